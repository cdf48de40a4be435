"""`responses.jsonl`: one line a finished request, append-only, and what may be used again of it.

Every line is handed to the operating system at once, so a killed process loses nothing; `close`
also forces it to the disk. A torn last line is left standing and ignored.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ftgate_ext.schema import UNSCORED_STATUSES, Response, RunError

if TYPE_CHECKING:
    from pathlib import Path

Key = tuple[str, int]


def request_hash(model: str, task: str, payload: dict[str, Any]) -> str:
    """sha256 of the model asked, the task and everything that was asked."""
    canonical = json.dumps([model, task, payload], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def is_torn(error: ValidationError) -> bool:
    """Whether a line that cannot be read just ends too early, as a killed process leaves it."""
    first = error.errors()[0]
    return first["type"] == "json_invalid" and "EOF while parsing" in first["msg"]


def read_responses(path: Path) -> list[Response]:
    """Read a journal; a torn last line is passed over.

    Raises:
        RunError: A line in the middle is broken: the file was edited or belongs to something else.
    """
    lines = path.read_bytes().splitlines()
    responses = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            responses.append(Response.model_validate_json(line))
        except ValidationError as error:
            if is_torn(error):
                continue  # the process was killed while it wrote; the request is asked again
            problem = error.errors()[0]
            field = ".".join(map(str, problem["loc"])) or "line"
            raise RunError(
                f"{path}:{number}: {field}: {problem['msg'].lower()}; expected a response of ftgate. "
                "Move the file away to ask everything again."
            ) from None
    return responses


class Journal:
    """The journal of one model in one run; one process at a time."""

    def __init__(self, path: Path, *, reuse: bool) -> None:
        """Open the journal for appending.

        Args:
            path: The file; made if missing.
            reuse: Whether good answers already in it are given back instead of asked again.

        Raises:
            RunError: Another process holds the journal, or the file cannot be written or read.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: a line that does not fit on the disk must not wait in memory for `close`.
            self._file = path.open("ab+", buffering=0)
        except OSError as error:
            raise RunError(
                f"{path}: cannot be written ({error.strerror}); choose another folder."
            ) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise RunError(
                f"{path}: another ftgate process is writing this run; wait for it or stop it."
            ) from None
        self._good: dict[Key, Response] = {}
        try:
            for response in read_responses(path) if reuse else []:
                if response.status not in UNSCORED_STATUSES:
                    self._good[response.request_hash, response.occurrence] = response
            self._end_torn_line()
        except RunError:
            self._file.close()
            raise

    def _end_torn_line(self) -> None:
        if self._file.seek(0, os.SEEK_END):
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":
                self._write(b"\n")

    def find(self, key: str, occurrence: int) -> Response | None:
        """The good answer to this very request, if there is one."""
        return self._good.get((key, occurrence))

    def append(self, response: Response) -> None:
        """Write one finished request.

        Raises:
            RunError: The disk is full or gone; everything written before is kept.
        """
        self._write(response.model_dump_json(exclude_none=True).encode() + b"\n")

    def _write(self, line: bytes) -> None:
        try:
            problem = "" if self._file.write(line) == len(line) else "no space for a whole line"
        except OSError as error:
            problem = str(error.strerror)
        if problem:
            raise RunError(
                f"{self.path}: cannot be written ({problem}); make room and run the same command again."
            )

    def close(self) -> None:
        """Force everything to the disk and let go of the file."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()
