"""The history of runs: an index over their folders, candidate lines and their last green builds."""

from __future__ import annotations

from ftgate_ext.history.entry import HistoryEntry
from ftgate_ext.history.green import last_green, new_regressions
from ftgate_ext.history.index import History, load_history, read_history

__all__ = [
    "History",
    "HistoryEntry",
    "last_green",
    "load_history",
    "new_regressions",
    "read_history",
]
