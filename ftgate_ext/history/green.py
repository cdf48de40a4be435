"""The last green build of a candidate line, and which regressions are new since then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.history.fingerprints import of_task

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ftgate_ext.history.entry import HistoryEntry


def last_green(entries: Iterable[HistoryEntry], entry: HistoryEntry) -> HistoryEntry | None:
    """The newest run of the entry's line whose verdict is GO and that began before it."""
    mine = time_key(entry)
    earlier = [
        e for e in entries if e.line == entry.line and e.verdict == "GO" and time_key(e) < mine
    ]
    return max(earlier, key=time_key, default=None)


def last_greens(entries: Sequence[HistoryEntry]) -> list[HistoryEntry | None]:
    """`last_green` of every entry, in one pass.

    Args:
        entries: By time, the oldest first.
    """
    newest: dict[str, HistoryEntry] = {}
    found: list[HistoryEntry | None] = []
    for entry in entries:
        found.append(newest.get(entry.line))
        if entry.verdict == "GO":
            newest[entry.line] = entry
    return found


def new_regressions(entry: HistoryEntry, green: HistoryEntry | None) -> list[str]:
    """Regressed cases of a run that were not regressed in the last green build.

    A case of that name in another set, or under another prompt, is another case: then all regressed
    cases of the task are new. They are all new where there is no green build, too.

    Returns:
        `task: case id`, in the order of the tasks.
    """
    known: set[tuple[str, str]] = set()
    for row in green.regressions if green else []:
        if green and of_task(green, row.task) == of_task(entry, row.task):
            known |= {(row.task, case) for case in row.cases}
    found = [(row.task, case) for row in entry.regressions for case in row.cases]
    return [f"{task}: {case}" for task, case in dict.fromkeys(found) if (task, case) not in known]


def time_key(entry: HistoryEntry) -> tuple[str, str, str]:
    """Sorts runs by when they began; ISO 8601 in UTC sorts as text."""
    return (entry.created_at, entry.run_id, entry.folder)
