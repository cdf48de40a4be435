"""One model against itself: the same cases in another dress, and the same cases asked again.

Knows columns of scores and arrays; no other model, no files, no rules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ftgate_ext.buckets import count_outcomes
from ftgate_ext.estimates import estimate_level
from ftgate_ext.pairing import PairedScores, kind_of, number_clusters
from ftgate_ext.schema import Comparison, Consistency

if TYPE_CHECKING:
    from ftgate_ext.columns import Cases
    from ftgate_ext.pairing import CaseScores
    from ftgate_ext.schema import Role
    from ftgate_ext.scores import TaskScores
    from ftgate_ext.settings import Settings

Array = np.ndarray[Any, Any]

Fill = Callable[..., "Comparison"]

FIELDS = ("base", "perturbation")
"""Fields of the rows: the case that a row is a dress of, and which dress; `none` for the case itself."""
UNPERTURBED = "none"
ALL = "perturbed"
"""Name of the mean over all perturbations of a case."""


class Table(Protocol):
    """One task of one model, as `compare` holds it."""

    scores: TaskScores

    @property
    def cases(self) -> Cases:
        """The distinct cases."""

    def metric(self, name: str) -> CaseScores:
        """Scores per case."""

    def is_numeric(self, name: str) -> bool:
        """Whether the scores of a metric are numbers."""


def perturbations_of(scores: TaskScores) -> list[str]:
    """The perturbations in a task, in the order of its rows; none where its rows have no such field."""
    named = scores.fields.get(FIELDS[1])
    if named is None or FIELDS[0] not in scores.fields:
        return []
    return [p for p in dict.fromkeys(named) if p is not None and p != UNPERTURBED]


def pair_perturbed(
    scores: TaskScores, cases: Cases, own: CaseScores
) -> dict[str, tuple[PairedScores, int]]:
    """Perturbation -> perturbed (left) and unperturbed (right) scores of the same cases of one model.

    Args:
        scores: One task of one model, whose rows have `FIELDS`.
        cases: Its cases.
        own: One metric, one row a case.

    Returns:
        With each pair, how many cases stand in one dress only. `ALL` averages over a case's
        perturbations; a case counts there if none of them lacks its score.
    """
    by_name = _rows_by_perturbation(scores, cases)
    plain = by_name.pop(UNPERTURBED, {})
    found = {}
    for name, dressed in by_name.items():
        bases = [base for base in dressed if base in plain]
        left = np.array([dressed[base] for base in bases], dtype=np.int64)
        right = np.array([plain[base] for base in bases], dtype=np.int64)
        found[name] = (_pairs(cases, own, [left], right), len(set(dressed) ^ set(plain)))
    every = [base for base in plain if all(base in dressed for dressed in by_name.values())]
    if len(by_name) > 1 and every:
        lefts = [np.array([dressed[b] for b in every], dtype=np.int64) for dressed in by_name.values()]  # fmt: skip
        right = np.array([plain[base] for base in every], dtype=np.int64)
        bases_at_all = set(plain).union(*by_name.values())
        found[ALL] = (_pairs(cases, own, lefts, right), len(bases_at_all) - len(every))
    return found


def _rows_by_perturbation(scores: TaskScores, cases: Cases) -> dict[str, dict[str, int]]:
    """Perturbation -> base -> the row of its case."""
    bases, names = (scores.fields[name] for name in FIELDS)
    found: dict[str, dict[str, int]] = {}
    for row, request in enumerate(cases.first):
        base, name = bases[request], names[request]
        if base is not None and name is not None:
            found.setdefault(name, {})[base] = row
    return found


def _pairs(cases: Cases, own: CaseScores, lefts: list[Array], right: Array) -> PairedScores:
    sides = [right, *lefts]
    scored = np.array([own.is_scored[side] for side in sides])
    failed = np.array([own.unanswered[side] for side in sides]).any(axis=0)
    known = scored.all(axis=0)
    values = np.mean([own.values[left[known]] for left in lefts], axis=0) if known.any() else own.values[:0]  # fmt: skip
    baseline = own.values[right[known]]
    single = len(lefts) == 1
    kind = None
    if known.any():
        width = own.values.shape[1]
        kind = kind_of(width, is_binary=single and own.is_pass_fail and own.repeats == 1)
    return PairedScores(
        kind, values, baseline, cases.first[right[known]], own.repeats,
        own.is_pass_fail,
        int((failed | (scored.any(axis=0) & ~known)).sum()),
    )  # fmt: skip


def same_every_time(scores: TaskScores, cases: Cases, metric: str) -> Array | None:
    """Per case 1 where all its repeats came out alike, 0 where not, NaN below two scored repeats.

    None where no case was asked twice, or the metric is not pass/fail.
    """
    column = scores.columns.get(metric)
    if column is None or not column.is_numeric or column.width != 1:
        return None
    raw = column.matrix(len(scores))[:, 0]
    scored = ~np.isnan(raw)
    n = len(cases)
    counts = np.bincount(cases.case_of[scored], minlength=n)
    if counts.max(initial=0) < 2 or not np.isin(raw[scored], (0.0, 1.0)).all():
        return None
    sums = np.bincount(cases.case_of[scored], weights=raw[scored], minlength=n)
    alike = ((sums == 0) | (sums == counts)).astype(float)
    return np.where(counts > 1, alike, np.nan)


def compare_perturbed(
    role: Role, table: Table, directions: dict[str, bool], settings: Settings, fill: Fill
) -> list[Comparison]:
    """Every perturbation against the unperturbed cases, metric by metric, for one model.

    Args:
        role: The model: candidate and baseline of these comparisons at once.
        table: One task of it.
        directions: Metric -> whether more is better.
        settings: Resamples, seed, level and clusters.
        fill: Puts figures into a comparison from its pairs.
    """
    scores = table.scores
    if not perturbations_of(scores):
        return []
    found = []
    for metric, higher_is_better in directions.items():
        if not table.is_numeric(metric):
            continue
        for name, (pairs, unpaired) in pair_perturbed(scores, table.cases, table.metric(metric)).items():  # fmt: skip
            comparison = Comparison(
                task=scores.task, metric=f"{metric},{name}", kind="mean", candidate=role, baseline=role,
                n_pairs=len(pairs.left), n_excluded=pairs.n_excluded, n_unpaired=unpaired,
                higher_is_better=higher_is_better,
            )  # fmt: skip
            found.append(_filled(comparison, pairs, table, settings, fill))
    return found


def _filled(
    comparison: Comparison, pairs: PairedScores, table: Table, settings: Settings, fill: Fill
) -> Comparison:
    if pairs.kind is None:
        why = "no case has a score both as it is and perturbed"
        return comparison.model_copy(update={"unavailable": why})
    if pairs.kind == "f1" and not (pairs.left.any() and pairs.right.any()):
        why = "there is no F1: nothing to find, and nothing was reported"
        return comparison.model_copy(update={"unavailable": why})
    labels = table.scores.fields.get(settings.cluster_field(comparison.task))
    filled = fill(pairs, number_clusters(labels, pairs.requests), comparison, settings)
    if not pairs.is_pass_fail:
        return filled
    ids = [table.scores.case_ids[i] for i in pairs.requests]
    counted = count_outcomes(pairs, ids, higher_is_better=comparison.higher_is_better)
    return filled.model_copy(update=counted)


def measure_consistency(role: Role, table: Table, metrics: list[str], settings: Settings) -> list[Consistency]:  # fmt: skip
    """The share of cases whose repeats all came out alike, for every pass/fail metric of a task."""
    scores, cases = table.scores, table.cases
    found = []
    for metric in metrics:
        alike = same_every_time(scores, cases, metric)
        if alike is None:
            continue
        kept = ~np.isnan(alike)
        labels = scores.fields.get(settings.cluster_field(scores.task))
        clusters = number_clusters(labels, cases.first[kept])
        bound = estimate_level(
            "binary", alike[kept][:, None], clusters, settings, settings.alphas(scores.task),
            is_pass_fail=True,
        )  # fmt: skip
        repeats = int(np.bincount(cases.case_of).max())
        found.append(
            Consistency(role=role, task=scores.task, metric=metric, repeats=repeats, same=bound)
        )
    return found
