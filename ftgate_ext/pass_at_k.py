"""Repeats of a task that is scored `passed` -> pass@k per case, for k up to the number of repeats.

Knows scores and the formula; no limits, no rules.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from ftgate_ext.columns import Column
from ftgate_ext.pairing import CaseScores
from ftgate_ext.stats.pass_at_k import pass_at_k

if TYPE_CHECKING:
    from ftgate_ext.columns import Cases
    from ftgate_ext.scores import TaskScores

PASSED = "passed"
EVERY_K = 10
FURTHER_KS = (20, 25, 50, 100)
"""Beyond `EVERY_K` repeats: these, and all repeats."""
_NAME = re.compile(r"pass@(\d+)")


def read_k(metric: str) -> int | None:
    """The k of `pass@k`; None for every other metric."""
    found = _NAME.fullmatch(metric)
    return int(found[1]) if found else None


def tries_named(scores: TaskScores, cases: Cases) -> list[str]:
    """The names `pass@k` of a task; none where it is not scored `passed`, or asked once."""
    if PASSED not in scores.columns or not len(cases.case_of):
        return []
    n = int(np.bincount(cases.case_of).max())
    ks = [k for k in (*range(1, EVERY_K + 1), *FURTHER_KS) if k < n]
    return [f"pass@{k}" for k in [*ks, n]] if n > 1 else []


def pass_at_k_scores(scores: TaskScores, cases: Cases, k: int) -> CaseScores:
    """The estimate of every case, from the tries that have a score.

    A case with fewer than k of them has none, and counts as unanswered if requests failed.
    """
    raw = scores.columns.get(PASSED, Column()).matrix(len(scores))[:, 0]
    scored = ~np.isnan(raw)
    size = len(cases)
    tries = np.bincount(cases.case_of[scored], minlength=size)
    passes = np.bincount(cases.case_of[scored], weights=raw[scored] > 0, minlength=size)
    values = np.array([
        pass_at_k(int(n), int(c), k) if n >= k else np.nan for n, c in zip(tries, passes, strict=True)
    ])  # fmt: skip
    asked = np.bincount(cases.case_of, minlength=size)
    lost = np.isnan(values) & (asked >= k)
    return CaseScores(
        values[:, None], lost, int(asked.max(initial=0)), is_pass_fail=True,
        failed=np.where(lost, 0, asked - tries),
    )  # fmt: skip
