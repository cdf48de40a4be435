"""A journal and the samples that it belongs to -> the response of each, without the texts in memory."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from ftgate_ext.inference.journal import read_at, read_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ftgate_ext.schema import Response

_TEXT = rb'"([^"\\]*(?:\\.[^"\\]*)*)"'
READ_BYTES = 1 << 20
"""At once, where a file is read from its beginning to its end."""
_BEGINNING = re.compile(
    rb'\{"case_id":\s*' + _TEXT + rb',\s*"task":\s*' + _TEXT + rb',\s*"prompt_hash":\s*'
    rb'"([^"\\]*)",\s*"occurrence":\s*(\d+),\s*(?:"turn":\s*(\d+),\s*)?"request_hash":'
)  # fmt: skip
"""How every line begins that ftgate wrote: enough to know whose response it is."""


class Answers:
    """The last response to every request of one task; the texts stay in the file until wanted."""

    def __init__(self, path: Path | None, task: str) -> None:
        """Read where the responses stand.

        Args:
            path: A journal; None where there is none, and no response.
            task: Whose responses.

        Raises:
            RunError: As `journal.read_lines`.
        """
        self._path, self._task = path, task
        self._offsets = dict(_places(path, task)) if path else {}
        self._file = path.open("rb") if path else None
        self._is_exact = False

    def get(self, prompt_hash: str, occurrence: int, turn: int = 0) -> Response | None:
        """The response to the so many-th request with this prompt, or None.

        Args:
            prompt_hash: Of the first turn, where it is a conversation.
            occurrence: From 0.
            turn: Of a conversation, from 0.

        Raises:
            RunError: As `journal.read_lines`.
        """
        wanted = (prompt_hash, occurrence, turn)
        offset = self._offsets.get(hash(wanted))
        if self._file is None or offset is None:
            return None
        response = read_at(self._file, offset)
        if response is None:
            return self._get_exactly(prompt_hash, occurrence, turn)
        return response if _key(response) == wanted else None

    def _get_exactly(self, prompt_hash: str, occurrence: int, turn: int) -> Response | None:
        """The same after every line was read to its end: one of them only began well."""
        if self._is_exact or self._path is None:
            return None  # somebody edits the file at this moment
        self._offsets = dict(_exact_places(self._path, self._task))
        self._is_exact = True
        return self.get(prompt_hash, occurrence, turn)

    def later_turns(self, first: Response | None) -> tuple[Response, ...]:
        """The responses to the further turns of a conversation, as far as there are any."""
        found: list[Response] = []
        if first is None or first.turn is None:
            return ()
        while response := self.get(first.prompt_hash, first.occurrence, len(found) + 1):
            found.append(response)
        return tuple(found)

    def close(self) -> None:
        """Let go of the file."""
        if self._file:
            self._file.close()


def _places(path: Path, task: str) -> Iterator[tuple[int, int]]:
    """Hash of a request and offset of its line; lines are read no further than needed for that."""
    wanted = json.dumps(task, ensure_ascii=False).encode()[1:-1]
    offset = 0
    with path.open("rb", buffering=READ_BYTES) as file:
        for line in file:
            found = _BEGINNING.match(line) if line.endswith(b"}\n") else None
            if found is None:
                break
            whose, prompt_hash, occurrence, turn = found.group(2, 3, 4, 5)
            if whose == wanted:
                yield hash((prompt_hash.decode(), int(occurrence), int(turn or 0))), offset
            offset += len(line)
        else:
            return
    # Torn, edited or written otherwise: everything is read to the end, and said where it is broken.
    yield from _exact_places(path, task, offset)


def _exact_places(path: Path, task: str, start: int = 0) -> Iterator[tuple[int, int]]:
    """The same from `start` on, of lines that are read to their end.

    Raises:
        RunError: As `journal.read_lines`, of lines before `start` too.
    """
    for offset, response in read_lines(path, task):
        if offset >= start:
            yield hash(_key(response)), offset


def _key(response: Response) -> tuple[str, int, int]:
    return response.prompt_hash, response.occurrence, response.turn or 0
