"""Regressed cases x runs: when a case broke, and whether it still is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftgate_ext.history.fingerprints import of_task
from ftgate_ext.history.green import last_greens, new_regressions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.history import HistoryEntry

NEW, STILL, CLEAN, ABSENT = "N", "R", ".", " "
"""Regressed and not so in the last green build; regressed there too; not regressed; not compared."""


def matrix_of(entries: Sequence[HistoryEntry]) -> dict[str, Any]:
    """The timeline of every case that regressed in any run of a line.

    Args:
        entries: The runs of one line, oldest first.

    Returns:
        `rows`: one a case, the one that regressed last first, with a letter for every run;
        `breaks`: task -> runs at which its cases or prompts changed.
    """
    greens = last_greens(entries)
    new = [set(new_regressions(e, green)) for e, green in zip(entries, greens, strict=True)]
    compared = [{row.task for row in e.regressions} for e in entries]
    broken = [{(row.task, case) for row in e.regressions for case in row.cases} for e in entries]
    keys = dict.fromkeys(key for found in broken for key in sorted(found))
    rows = [
        {
            "task": task,
            "case": case,
            "cells": "".join(
                _cell(task, case, new[i], compared[i], broken[i]) for i in range(len(entries))
            ),
        }
        for task, case in keys
    ]
    rows.sort(key=lambda r: (-_last(r["cells"]), r["task"], r["case"]))
    return {"rows": rows, "breaks": {task: _breaks(entries, task) for task in {t for t, _ in keys}}}


def _cell(
    task: str, case: str, new: set[str], compared: set[str], broken: set[tuple[str, str]]
) -> str:
    if task not in compared:
        return ABSENT
    if (task, case) not in broken:
        return CLEAN
    return NEW if f"{task}: {case}" in new else STILL


def _last(cells: str) -> int:
    return max(cells.rfind(NEW), cells.rfind(STILL))


def _breaks(entries: Sequence[HistoryEntry], task: str) -> list[int]:
    found: list[int] = []
    before = None
    for i, entry in enumerate(entries):
        if not any(row.task == task for row in entry.regressions):
            continue
        mine = of_task(entry, task)
        if before is not None and mine != before:
            found.append(i)
        before = mine
    return found
