"""A run among earlier ones -> one sentence: are its regressions new against the last green build?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.history import last_green, new_regressions, read_history
from ftgate_ext.runs import MANIFEST
from ftgate_ext.schema import RunError

if TYPE_CHECKING:
    from pathlib import Path

NAMED = 10


def say_what_is_new(run_dir: Path) -> str | None:
    """The sentence; None where no earlier green build of the same candidate line lies beside the run.

    Args:
        run_dir: A run folder; its parent is taken for the folder of runs.
    """
    folder = run_dir.resolve()
    if not any(path.parent != folder for path in folder.parent.glob(f"*/{MANIFEST}")):
        return None
    try:
        history = read_history(folder.parent)
    except RunError:
        return None
    entry = next((e for e in history.entries if e.folder == folder.name), None)
    green = last_green(history.entries, entry) if entry else None
    if entry is None or green is None:
        return None
    new = new_regressions(entry, green)
    total = sum(len(set(row.cases)) for row in entry.regressions)
    if not new:
        return f"Nothing here is new: all {total} regressed cases of its rules were regressed in the last green build, {green.folder}, too."
    more = f" and {len(new) - NAMED} more" if len(new) > NAMED else ""
    return f"Against the last green build, {green.folder}, {len(new)} regressed cases are new: {', '.join(new[:NAMED])}{more}."
