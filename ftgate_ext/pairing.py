"""Columns of two models -> the same cases side by side: repeats averaged, clusters known.

Knows arrays and hashes; no statistics, no files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ftgate_ext.columns import Cases, Column

if TYPE_CHECKING:
    from ftgate_ext.scores import TaskScores

Array = np.ndarray[Any, Any]
Kind = Literal["f1", "binary", "mean"]


@dataclass(frozen=True)
class CaseScores:
    """One metric of one model, one row a case: the mean over the case's repeats."""

    values: Array
    """Shape (cases, 1 or 3); NaN where no repeat has a score."""
    unanswered: Array
    """Whether the case lacks its score because its requests failed."""
    repeats: int
    """Most requests that one case got."""
    is_pass_fail: bool
    """Whether every single score is 0 or 1."""
    failed: Array | None = None
    """Per case: how many of its requests failed, where it has a score nevertheless; None: none."""

    @property
    def is_scored(self) -> Array:
        """Per case."""
        return ~np.isnan(self.values[:, 0])


def average_repeats(scores: TaskScores, cases: Cases, metric: str) -> CaseScores:
    """The scores of a metric per case; none where more than half of its requests have no score."""
    n = len(cases)
    column = scores.columns.get(metric, Column())
    raw = column.matrix(len(scores))
    scored = ~np.isnan(raw[:, 0])
    failed = np.array(np.frombuffer(scores.unanswered, dtype=bool))
    failed[column.rows] = True  # a score that is no finite number is as good as no answer
    failed &= ~scored
    counts = np.bincount(cases.case_of[scored], minlength=n)
    sums = np.column_stack([
        np.bincount(cases.case_of[scored], weights=raw[scored, i], minlength=n)
        for i in range(raw.shape[1])
    ])  # fmt: skip
    missing = np.bincount(cases.case_of[failed], minlength=n)
    lost = missing > counts
    known = (counts > 0) & ~lost
    with np.errstate(invalid="ignore"):
        values = np.where(known[:, None], sums / np.maximum(counts, 1)[:, None], np.nan)
    asked = np.bincount(cases.case_of, minlength=n)
    flat = raw[scored]
    return CaseScores(
        values, lost, int(asked.max(initial=0)),
        is_pass_fail=raw.shape[1] == 1 and bool(np.isin(flat, (0.0, 1.0)).all()),
        failed=np.where(known, missing, 0),
    )  # fmt: skip


@dataclass(frozen=True)
class Join:
    """The cases that two models were both asked, as rows of each."""

    left: Array
    right: Array
    n_unpaired: int
    n_prompts_differ: int
    first_left: Array
    """Per joined case: its first request of the candidate."""


def join_cases(candidate: TaskScores, mine: Cases, baseline: TaskScores, other: Cases) -> Join:
    """Join two models on the case itself."""
    if candidate.doc_hashes == baseline.doc_hashes:  # the same set in the same order
        every = np.arange(len(mine))
        differ = _count_different(
            candidate.prompt_hashes, baseline.prompt_hashes, mine.first, mine.first
        )
        return Join(every, every, 0, differ, mine.first)
    pairs = [(row, other.index[h]) for h, row in mine.index.items() if h in other.index]
    left = np.fromiter((a for a, _ in pairs), np.int64, len(pairs))
    right = np.fromiter((b for _, b in pairs), np.int64, len(pairs))
    a, b = mine.first[left], other.first[right]
    differ = _count_different(candidate.prompt_hashes, baseline.prompt_hashes, a, b)
    unpaired = len(mine) + len(other) - 2 * len(pairs)
    return Join(left, right, unpaired, differ, a)


def _count_different(left: list[str], right: list[str], a: Array, b: Array) -> int:
    if left == right and a is b:
        return 0
    return sum(left[i] != right[j] for i, j in zip(a, b, strict=True))


@dataclass(frozen=True)
class PairedScores:
    """One metric of two models on the cases where both have a score."""

    kind: Kind | None
    """None where there is no score, or the scores are no numbers."""
    left: Array
    """Candidate, shape (cases, 1 or 3)."""
    right: Array
    requests: Array
    """Per case: its first request of the candidate."""
    repeats: int
    is_pass_fail: bool
    n_excluded: int
    n_failed_repeats: int = 0
    """Requests without an answer that other repeats of their case stand for."""
    clusters: Array | None = None
    """Per case: the number of its cluster; None where every case stands alone."""


def pair_scores(join: Join, mine: CaseScores, other: CaseScores) -> PairedScores:
    """Keep the cases that both models have a score for, and count what is left out."""
    a, b = mine.is_scored[join.left], other.is_scored[join.right]
    both = a & b
    failed = mine.unanswered[join.left] | other.unanswered[join.right]
    excluded = int((failed | (a != b)).sum())
    left, right = mine.values[join.left[both]], other.values[join.right[both]]
    pass_fail = mine.is_pass_fail and other.is_pass_fail
    repeats = max(mine.repeats, other.repeats)
    kind: Kind | None = None
    if both.any() and left.shape[1] == right.shape[1]:
        kind = kind_of(left.shape[1], is_binary=pass_fail and repeats == 1)
    sides = ((mine, join.left[both]), (other, join.right[both]))
    return PairedScores(
        kind, left, right, join.first_left[both], repeats, pass_fail, excluded,
        sum(int(x.failed[rows].sum()) for x, rows in sides if x.failed is not None),
    )  # fmt: skip


def kind_of(width: int, *, is_binary: bool) -> Kind:
    """Three columns are true positives, false positives and false negatives."""
    if width == 3:
        return "f1"
    return "binary" if is_binary else "mean"


def number_clusters(labels: list[str | None] | None, requests: Array) -> Array | None:
    """Cluster labels of chosen requests -> numbers; None where no two cases share one.

    A case without a label stands alone.
    """
    if labels is None:
        return None
    numbers: dict[str, int] = {}
    coded = np.fromiter(
        (numbers.setdefault(label if (label := labels[i]) is not None else f"\0{i}", len(numbers)) for i in requests),
        np.int64, len(requests),
    )  # fmt: skip
    return coded if len(numbers) < len(requests) else None
