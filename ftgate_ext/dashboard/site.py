"""All pages of a folder of runs: made on demand for the server, or written as files.

Files hold the page of all runs, a page a run, and pages of the cases worth opening, the newest runs
first and up to a limit; the rest is only in the run folders, and the pages say so.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from ftgate_ext.dashboard.case import list_task, load_case, load_cases
from ftgate_ext.dashboard.data import case_key, page_data
from ftgate_ext.dashboard.listing import ListedCase, list_cases
from ftgate_ext.dashboard.pages import render_case, render_cases, render_index, render_run
from ftgate_ext.history.green import last_green, new_regressions
from ftgate_ext.history.index import read_store
from ftgate_ext.report.figures import counted
from ftgate_ext.runs import write_text
from ftgate_ext.schema import RunError

if TYPE_CHECKING:
    from pathlib import Path

    from ftgate_ext.history import History, HistoryEntry
    from ftgate_ext.history.store import RunStore

INDEX_PAGE = "index.html"
CASES_OF_A_RUN = 20
CASES_IN_ALL = 500
LISTED = 200
"""So many cases stand on the page of a run."""


@dataclass(frozen=True)
class Written:
    """What `write_site` wrote."""

    index: Path
    n_runs: int
    n_cases: int
    n_left_out: int
    """Cases worth opening that have no page: no room for them, or no answers in the run folder."""

    @property
    def words(self) -> str:
        """For whoever asked for it."""
        left_out = (
            f" {counted(self.n_left_out, 'more case')} worth a look: `ftgate view` without --static opens any."
            if self.n_left_out
            else ""
        )
        return f"Wrote {self.index} with {counted(self.n_runs, 'run')} and {counted(self.n_cases, 'case')}.{left_out}"


def live_index(store: RunStore) -> str:
    """The page of all runs, as the server gives it."""
    return render_index(page_data(read_store(store), run_query))


def live_run(store: RunStore, folder: str) -> str:
    """The page of one run, as the server gives it.

    Raises:
        RunError: There is no such run.
    """
    history = read_store(store)
    entry = find_entry(history, folder)
    run_dir = store.local_dir(folder)
    green = last_green(history.entries, entry)
    new = new_regressions(entry, green)
    listed = list_cases(entry, new, run_dir)
    linked = [(case, case_query(folder, case.task, case.case_id)) for case in listed[:LISTED]]
    tasks = [(use.task, cases_query(folder, use.task)) for use in entry.sets if not use.unavailable]
    return render_run(entry, list(linked), new, green, "./", _more(listed), tasks)


def live_cases(store: RunStore, folder: str, task: str, page: int) -> str:
    """All cases of one task of a run, a page of them at a time.

    Raises:
        RunError: There is no such run or task.
    """
    entry = find_entry(read_store(store), folder)
    rows = list_task(store.local_dir(folder), task)
    pages = max(1, math.ceil(len(rows) / LISTED))
    page = min(max(page, 1), pages)
    shown = rows[(page - 1) * LISTED : page * LISTED]
    linked = [(row, case_query(folder, task, row.case_id)) for row in shown]
    others = [(n, f"{cases_query(folder, task)}&page={n}") for n in range(1, pages + 1)]
    return render_cases(entry, task, linked, (page, others, len(rows)), "./", run_query(folder))


def live_case(store: RunStore, folder: str, task: str, case_id: str) -> str:
    """The page of one case, as the server gives it.

    Raises:
        RunError: There is no such run or case.
    """
    entry = find_entry(read_store(store), folder)
    case = load_case(store.local_dir(folder), task, case_id)
    return render_case(entry, case, "./", run_query(folder))


def find_entry(history: History, folder: str) -> HistoryEntry:
    """The run in a folder.

    Raises:
        RunError: There is none.
    """
    for entry in history.entries:
        if entry.folder == folder:
            return entry
    raise RunError(f"{history.where}: no run {folder!r}.")


def run_query(folder: str) -> str:
    """Where the server has the page of a run."""
    return f"run?{urlencode({'run': folder})}"


def cases_query(folder: str, task: str) -> str:
    """Where the server has the list of all cases of a task."""
    return f"cases?{urlencode({'run': folder, 'task': task})}"


def case_query(folder: str, task: str, case_id: str) -> str:
    """Where the server has the page of a case."""
    return f"case?{urlencode({'run': folder, 'task': task, 'id': case_id})}"


def write_site(store: RunStore, target: Path, cases_in_all: int = CASES_IN_ALL) -> Written:
    """Write all pages as files that open from disk.

    Args:
        store: The runs.
        target: Folder to write to; files of an earlier call are written over.
        cases_in_all: So many pages of cases at most.

    Raises:
        RunError: The folder cannot be written.
    """
    history = read_store(store)
    pages: dict[str, str] = {}
    n_left_out = 0
    for entry in reversed(history.entries):
        room = min(CASES_OF_A_RUN, cases_in_all - len(pages))
        n_left_out += _write_run(store, history, entry, target, room, pages)
    data = page_data(history, run_file, pages)
    index = write_text(target / INDEX_PAGE, render_index(data))
    return Written(index, len(history.entries), len(pages), n_left_out)


def _write_run(
    store: RunStore,
    history: History,
    entry: HistoryEntry,
    target: Path,
    room: int,
    pages: dict[str, str],
) -> int:
    """Write a run's page and those of its cases; adds them to `pages`, returns how many had no room."""
    green = last_green(history.entries, entry)
    new = new_regressions(entry, green)
    run_dir = store.local_dir(entry.folder)
    listed = list_cases(entry, new, run_dir)
    mine: dict[tuple[str, str], str] = {}
    views = load_cases(run_dir, [(c.task, c.case_id) for c in listed[:room]])
    for (task, case_id), view in views.items():
        if not view.answers:  # the samples are not there, or cannot be read
            continue
        key = case_key(entry.folder, task, case_id)
        mine[task, case_id] = pages[key] = f"case-{_opaque(key)}.html"
        text = render_case(entry, view, INDEX_PAGE, run_file(entry.folder))
        write_text(target / pages[key], text)
    linked = [(case, mine.get((case.task, case.case_id))) for case in listed[:LISTED]]
    notes = _more(listed)
    if len(mine) < len(linked):
        notes.append(f"These files hold the pages of {counted(len(mine), 'case')} of this run; `ftgate view` opens any case.")  # fmt: skip
    write_text(
        target / run_file(entry.folder),
        render_run(entry, linked, new, green, INDEX_PAGE, notes),
    )
    return len(listed) - len(mine)


def _more(listed: list[ListedCase]) -> list[str]:
    left_out = len(listed) - LISTED
    return [f"{counted(left_out, 'more case')} of this kind."] if left_out > 0 else []


def run_file(folder: str) -> str:
    """The file of a run's page: a folder's name may hold anything."""
    return f"run-{_opaque(folder)}.html"


def _opaque(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]
