"""Candidate and one other model on the same cases -> what became right, and what became wrong.

Which side a case is on follows the majority of its repeats, as in the rules: half is no majority. Knows columns
and statistics; no texts.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ftgate_ext.columns import Column
from ftgate_ext.paired_estimates import Difference, estimate_difference
from ftgate_ext.pairing import average_repeats, join_cases, number_clusters, pair_scores
from ftgate_ext.schema import CategoryChange, Change
from ftgate_ext.settings import to_estimate
from ftgate_ext.stats.multiplicity import holm
from ftgate_ext.stats.proportion import wilson

if TYPE_CHECKING:
    from ftgate_ext.columns import Cases
    from ftgate_ext.findings.collect import TaskFailures
    from ftgate_ext.pairing import PairedScores
    from ftgate_ext.schema import Role
    from ftgate_ext.scores import TaskScores
    from ftgate_ext.settings import Settings

Array = np.ndarray[Any, Any]
RIGHT = "right"
MOST_IDS = 1000


@dataclass(frozen=True)
class Side:
    """One model on one task: its scores, and its failures row by row."""

    scores: TaskScores
    failures: TaskFailures

    @property
    def cases(self) -> Cases:
        """The distinct cases."""
        return self.scores.cases


@dataclass(frozen=True)
class CasePairs:
    """The cases that both models answered, with the share of right repeats of each."""

    task: str
    metric: str
    reference: Role
    pairs: PairedScores
    rows: Array
    """Per case: its first request of the candidate."""
    reference_rows: Array
    clusters: Array | None
    mine: Side
    other: Side

    @property
    def share(self) -> Array:
        """The candidate's share of right repeats, per case."""
        return np.asarray(self.pairs.left[:, 0])

    @property
    def reference_share(self) -> Array:
        """The other model's share of right repeats, per case."""
        return np.asarray(self.pairs.right[:, 0])

    def masks(self) -> dict[str, Array]:
        """What became of every case, by majority; flaky ones stand in two of them."""
        mine, other = self.share > 0.5, self.reference_share > 0.5
        found: dict[str, Array] = {
            "fixed": mine & ~other, "broken": other & ~mine, "still_wrong": ~mine & ~other,
            "still_right": mine & other,
        }  # fmt: skip
        if self.pairs.repeats > 1:
            shares = np.stack([self.share, self.reference_share])
            found["flaky"] = np.asarray(((shares > 0) & (shares < 1)).any(axis=0))
        return found

    def ids(self, mask: Array) -> list[str]:
        """Ids of chosen cases."""
        return [self.mine.scores.case_ids[i] for i in self.rows[mask]]


def pair_sides(
    mine: Side, other: Side, metric: str, reference: Role, settings: Settings, *, higher: bool
) -> CasePairs | str:
    """Join two models on the cases that both have a score for; why there are none otherwise.

    Args:
        mine: The candidate.
        other: The model it is compared with.
        metric: 0 or 1 a case, or [tp, fp, fn]: right is what has neither fp nor fn.
        reference: Role of the other model.
        settings: Clusters.
        higher: Whether 1 is right.
    """
    scores = [_as_right(side.scores, metric, higher=higher) for side in (mine, other)]
    if scores[0] is None or scores[1] is None:
        return (
            "the metric is neither pass/fail nor counts of an F1: no case is right or wrong by it"
        )
    cases = (mine.cases, other.cases)
    join = join_cases(scores[0], cases[0], scores[1], cases[1])
    left, right = (
        average_repeats(s, c, RIGHT) for s, c in zip(scores, cases, strict=True) if s is not None
    )
    pairs = pair_scores(join, left, right)
    if pairs.kind is None:
        return "the two models have no scored case in common"
    both = left.is_scored[join.left] & right.is_scored[join.right]
    labels = mine.scores.fields.get(settings.cluster_field(mine.scores.task))
    return CasePairs(
        mine.scores.task, metric, reference, pairs, pairs.requests, cases[1].first[join.right[both]],
        number_clusters(labels, pairs.requests), mine, other,
    )  # fmt: skip


def _as_right(scores: TaskScores, metric: str, *, higher: bool) -> TaskScores | None:
    """The scores with one metric, 1 where the answer is right; None where no answer can be."""
    column = scores.columns.get(metric)
    if column is None or not column.is_numeric:
        return None
    values = column.matrix(len(scores))
    known = ~np.isnan(values[:, 0])
    values = values[known]
    if values.shape[1] == 3:
        right = (values[:, 1:] == 0).all(axis=1)
    elif np.isin(values, (0.0, 1.0)).all():
        right = (values[:, 0] == 1) == higher
    else:
        return None
    cells = array("d", right.astype(float).tobytes())
    rows = array("q", np.flatnonzero(known).astype(np.int64).tobytes())
    return replace(scores, columns={RIGHT: Column(1, cells, rows)})


def difference_of(
    mine: Array, other: Array, clusters: Array | None, settings: Settings, task: str, *, repeats: int = 1
) -> Difference:  # fmt: skip
    """The paired difference of shares, by the method that rules use; clusters where cases share one."""
    if clusters is not None and len(np.unique(clusters)) == len(clusters):
        clusters = None
    return estimate_difference(
        "binary" if repeats == 1 else "mean", mine[:, None].astype(float), other[:, None].astype(float),
        clusters, settings, settings.alphas(task), is_pass_fail=True, extra_tests=False,
    )  # fmt: skip


def describe_change(found: CasePairs, settings: Settings) -> Change:
    """Counts, shares, the net difference, and the failure categories, of one comparison."""
    masks = found.masks()
    n = len(found.rows)
    net = difference_of(
        found.share, found.reference_share, found.clusters, settings, found.task,
        repeats=found.pairs.repeats,
    )  # fmt: skip
    counts = {name: int(mask.sum()) for name, mask in masks.items()}
    failures = found.mine.failures
    codes = np.frombuffer(failures.codes, np.uint8)[found.rows[masks["broken"]]]
    broken_as = {failures.names[c] or "no category": int((codes == c).sum()) for c in np.unique(codes)}  # fmt: skip
    return Change(
        task=found.task, metric=found.metric, reference=found.reference, repeats=found.pairs.repeats, n=n,
        counts=counts, shares={name: to_estimate(wilson(k, n)) for name, k in counts.items()},
        net=net.estimate, no_interval=net.no_interval, p=net.tests[0].p if net.tests else None,
        ids={k: found.ids(mask)[:MOST_IDS] for k, mask in masks.items() if k != "still_right"},
        categories=_categories(found, settings),
        broken_as=dict(sorted(broken_as.items(), key=lambda x: (-x[1], x[0]))),
    )  # fmt: skip


def _categories(found: CasePairs, settings: Settings) -> list[CategoryChange]:
    """Every failure category of the two models' first answers to the same cases."""
    mine, other = found.mine.failures, found.other.failures
    a = np.frombuffer(mine.codes, np.uint8)[found.rows]
    b = np.frombuffer(other.codes, np.uint8)[found.reference_rows]
    names = dict.fromkeys([*mine.names[1:], *other.names[1:]])
    rows: list[CategoryChange] = []
    for name in names:
        left, right = (codes == side.names.index(name) if name in side.names else np.zeros(len(codes), bool)
                       for codes, side in ((a, mine), (b, other)))  # fmt: skip
        if not (left.any() or right.any()):
            continue
        difference = difference_of(left, right, found.clusters, settings, found.task)
        rows.append(CategoryChange(
            category=name, new=int((left & ~right).sum()), gone=int((right & ~left).sum()),
            both=int((left & right).sum()), n=len(a), difference=difference.estimate,
            p=difference.tests[0].p if difference.tests else None,
        ))  # fmt: skip
    return [
        row.model_copy(update={"p_holm": p}) for row, p in zip(rows, correct([r.p for r in rows]), strict=True)
    ]  # fmt: skip


def correct(p_values: list[float | None]) -> list[float | None]:
    """Holm's correction; what has no p stays without."""
    known = [p for p in p_values if p is not None]
    adjusted = iter(holm(known).tolist() if known else [])
    return [None if p is None else float(next(adjusted)) for p in p_values]
