"""The index of runs: what the run folders say, and a file that spares reading them again.

The run folders are the truth. `history.jsonl` beside them only holds what was read from each,
under the size and the time of change of every file that was read: a folder that was copied in, was
changed or went on is read anew, one that was deleted drops out, and the index itself may be deleted
at any time. Lines are only ever appended, one a run and state; the last one that fits counts.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ftgate_ext.history.entry import INDEX_VERSION, HistoryEntry
from ftgate_ext.history.green import time_key
from ftgate_ext.history.reading import read_entry
from ftgate_ext.history.store import RunStore, open_store
from ftgate_ext.schema import Row, RunError

if TYPE_CHECKING:
    from pathlib import Path

    from ftgate_ext.history.store import RunFiles


class IndexLine(Row):
    """One line of `history.jsonl`."""

    index_version: int = INDEX_VERSION
    folder: str
    stamps: dict[str, str]
    """File -> its size and time of change when it was read."""
    entry: HistoryEntry | None = None
    skipped: str | None = None
    """Why the run could not be read."""


@dataclass(frozen=True)
class History:
    """All runs of a folder, oldest first."""

    where: str
    entries: list[HistoryEntry]
    skipped: list[str]
    """Run folders that could not be read, or that hold a run already told: one line each."""


def load_history(folder: str | Path) -> list[HistoryEntry]:
    """All readable runs of a folder, oldest first.

    Args:
        folder: A folder of run folders, or a URL of fsspec.

    Raises:
        RunError: There is no such folder.
    """
    return read_history(folder).entries


def read_history(folder: str | Path) -> History:
    """All runs of a folder, oldest first, and what had to be skipped.

    Raises:
        RunError: There is no such folder.
    """
    return read_store(open_store(folder))


def read_store(store: RunStore) -> History:
    """The same for a store that is open."""
    runs = list(store.runs())
    known = _read_index(store.index) if store.index else {}
    lines: dict[str, IndexLine] = {}
    for run in runs:
        line = known.get(run.name)
        if line and line.stamps == run.stamps:
            lines[run.name] = line
    fresh = [
        _read_run(run, files) for run, files in store.read(r for r in runs if r.name not in lines)
    ]
    if store.index and fresh:
        _append(store.index, fresh)
    lines |= {line.folder: line for line in fresh}
    return _assemble(store.where, [lines[run.name] for run in runs])


def _read_run(run: RunFiles, files: dict[str, bytes]) -> IndexLine:
    try:
        entry = read_entry(run.name, files)
    except RunError as error:
        return IndexLine(folder=run.name, stamps=run.stamps, skipped=str(error))
    return IndexLine(folder=run.name, stamps=run.stamps, entry=entry)


def _assemble(where: str, lines: list[IndexLine]) -> History:
    """Entries by time; a run that lies in two folders counts once."""
    skipped = [line.skipped for line in lines if line.skipped]
    entries: dict[tuple[str, str, str], HistoryEntry] = {}
    for line in lines:
        entry = line.entry
        if entry is None:
            continue
        key = (entry.run_id, entry.created_at, entry.generation_hash)
        first = entries.setdefault(key, entry)
        if first is not entry:
            skipped.append(f"{entry.folder}: the same run as {first.folder}; counted once.")
    return History(where, sorted(entries.values(), key=time_key), skipped)


def _read_index(path: Path) -> dict[str, IndexLine]:
    """Folder -> its last line; torn lines and those of another version are passed over."""
    found: dict[str, IndexLine] = {}
    try:
        content = path.read_bytes()
    except OSError:
        return {}
    for text in content.splitlines():
        try:
            line = IndexLine.model_validate_json(text)
        except ValidationError:
            continue
        if line.index_version == INDEX_VERSION:
            found[line.folder] = line
    return found


def _append(path: Path, lines: list[IndexLine]) -> None:
    """Keep what was read; a folder that cannot be written is read anew each time."""
    # The line break comes first: a line that an interrupt tore must not swallow the next one.
    text = "".join(f"\n{line.model_dump_json(exclude_unset=False)}" for line in lines) + "\n"
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
