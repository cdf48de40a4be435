"""Judgments on known pairs -> how far the judge can be believed. Knows no endpoint and no policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftgate_ext.judge.biases import find_biases
from ftgate_ext.schema import NO_VERDICT, Estimate, KindAgreement, KnownPairFigures
from ftgate_ext.settings import to_estimate
from ftgate_ext.stats.clustered_kappa import clustered_kappa
from ftgate_ext.stats.limits import NoLimits
from ftgate_ext.stats.preference import combine_orders
from ftgate_ext.stats.proportion import clopper_pearson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.judge.known_pairs import KnownPairs
    from ftgate_ext.schema import Judgment, KnownPair
    from ftgate_ext.stats.agreement import Kappa, KappaWeights

VERDICTS = ("candidate_better", "baseline_better", "tie", "both_bad")
OF_LABEL = dict(zip(("A_better", "B_better", "tie", "both_bad"), VERDICTS, strict=True))
"""Answer A plays the candidate."""
ONE_SIDED = 0.90
"""The lower limit at this level is a one-sided 95 % limit."""


@dataclass(frozen=True)
class ExaminedPair:
    """A known pair and what the judge said about it with A first and with B first."""

    pair: KnownPair
    as_given: Judgment
    exchanged: Judgment

    @property
    def label(self) -> str:
        """The label in the judge's words on models."""
        return OF_LABEL[self.pair.label]

    @property
    def verdict(self) -> str:
        """Of both orders."""
        return combine_orders(self.as_given.verdict, self.exchanged.verdict)  # type: ignore[arg-type]

    @property
    def group(self) -> str:
        """Pairs of one question are one group."""
        return self.pair.group or self.pair.id


def match_pairs(pairs: Sequence[KnownPair], judgments: Sequence[Judgment]) -> list[ExaminedPair]:
    """The pairs that were judged in both orders, readable or not."""
    looks: dict[tuple[str, str], Judgment] = {(j.case_id, j.first): j for j in judgments}
    return [
        ExaminedPair(pair, as_given, exchanged)
        for pair in pairs
        if (as_given := looks.get((pair.id, "candidate")))
        and (exchanged := looks.get((pair.id, "baseline")))
    ]


def measure_known(
    known: KnownPairs, judgments: Sequence[Judgment], family: str | None = None
) -> KnownPairFigures:
    """Every figure of the qualification.

    Args:
        known: The pairs that were asked.
        judgments: Both orders of each.
        family: The judge's, for its preference for its own kind.
    """
    judged = match_pairs(known.pairs, judgments)
    failed = [p for p in judged if "failed" in (p.as_given.verdict, p.exchanged.verdict)]
    read = [
        p for p in judged if not NO_VERDICT & {p.as_given.verdict, p.exchanged.verdict}
    ]  # fmt: skip
    counts = {"n_unparsed": len(judged) - len(read) - len(failed), "n_failed": len(failed)}
    found = KnownPairFigures(
        source=known.source, sha256=known.sha256, n_pairs=len(judged),
        n_groups=len({p.group for p in judged}), **counts,
    )  # fmt: skip
    if not read:
        return found
    kappa, lower = _kappa_of_labels(read)
    as_given, exchanged = [p.as_given.verdict for p in read], [p.exchanged.verdict for p in read]
    labels, groups = [p.label for p in read], [p.group for p in read]
    return found.model_copy(
        update={
            "agreement": _share([p.verdict == p.label for p in read]),
            "agreement_as_given": _share([v == p.label for v, p in zip(as_given, read, strict=True)]),
            "agreement_exchanged": _share([v == p.label for v, p in zip(exchanged, read, strict=True)]),
            "right_in_both": _share([p.as_given.verdict == p.exchanged.verdict == p.label for p in read]),
            "kappa": kappa, "kappa_lower": lower,
            "kappa_as_given": _kappa(labels, as_given, groups),
            "kappa_exchanged": _kappa(labels, exchanged, groups),
            "kappa_between_orders": _kappa(as_given, exchanged, groups),
            "consistency": _share([a == b for a, b in zip(as_given, exchanged, strict=True)]),
            "grade_kappa": _grade_kappa(read), "score_kappa": _score_kappa(read),
            "biases": find_biases(read, family), "by_kind": _by_kind(read),
        }
    )  # fmt: skip


def _share(hits: Sequence[bool]) -> Estimate:
    return to_estimate(clopper_pearson(sum(hits), len(hits)))


def _kappa(one: Sequence[str], two: Sequence[str], groups: Sequence[str]) -> Estimate | None:
    """Of verdicts; all four categories, whether they occur or not."""
    return _to_kappa(clustered_kappa(_codes(one), _codes(two), len(VERDICTS), groups))


def _to_kappa(found: Kappa | NoLimits) -> Estimate | None:
    """As an estimate; a kappa of 0 that rounding left at 1e-17 is 0."""
    if isinstance(found, NoLimits) and found.value is None:
        return None
    estimate = to_estimate(found if isinstance(found, NoLimits) else found.limits)
    return estimate.model_copy(update={"value": round(estimate.value, 12)})


def _codes(verdicts: Sequence[str]) -> list[int]:
    return [VERDICTS.index(verdict) for verdict in verdicts]


def _kappa_of_labels(read: Sequence[ExaminedPair]) -> tuple[Estimate | None, float | None]:
    """Kappa of verdicts and labels, and its one-sided lower limit.

    A judge that errs nowhere leaves nothing to estimate an error from: its limit is then that of an
    agreement of all groups (Clopper and Pearson), set against the same agreement by chance.
    """
    labels, verdicts = [p.label for p in read], [p.verdict for p in read]
    groups = [p.group for p in read]
    shown = _kappa(labels, verdicts, groups)
    found = clustered_kappa(
        _codes(labels), _codes(verdicts), len(VERDICTS), groups, level=ONE_SIDED
    )
    if not isinstance(found, NoLimits):
        return shown, found.limits.lower
    if shown is None or labels != verdicts:
        return shown, None
    chance = sum((labels.count(v) / len(labels)) ** 2 for v in VERDICTS)
    size = len(set(groups))
    least = clopper_pearson(size, size, ONE_SIDED).lower
    return shown, (least - chance) / (1 - chance)


def _grade_kappa(read: Sequence[ExaminedPair]) -> Estimate | None:
    """Correctness scores of the judge, averaged over both orders, against the labels' grades."""
    rows = []
    for p in read:
        for side, grade in (("candidate", p.pair.grade_a), ("baseline", p.pair.grade_b)):
            scores = [j.scores.get(side, {}).get("correctness") for j in (p.as_given, p.exchanged)]
            if grade is not None and scores[0] is not None and scores[1] is not None:
                rows.append((round((scores[0] + scores[1]) / 2), grade, p.group))
    return _weighted(rows)


def _score_kappa(read: Sequence[ExaminedPair]) -> Estimate | None:
    """The judge's scores of one answer shown first against those of the same answer shown second."""
    rows = [
        (score, p.exchanged.scores[side][criterion], p.group)
        for p in read
        for side, scores in p.as_given.scores.items()
        for criterion, score in scores.items()
        if criterion in p.exchanged.scores.get(side, {})
    ]
    return _weighted(rows)


def _weighted(
    rows: Sequence[tuple[int, int, str]], weights: KappaWeights = "quadratic"
) -> Estimate | None:
    if not rows:
        return None
    one, two = [r[0] - 1 for r in rows], [r[1] - 1 for r in rows]
    return _to_kappa(clustered_kappa(one, two, 5, [r[2] for r in rows], weights))


def weighted_kappa(rows: Sequence[tuple[int, int, str]]) -> Estimate | None:
    """Quadratically weighted kappa of (score, other score, group), scores from 1 to 5."""
    return _weighted(rows)


def _by_kind(read: Sequence[ExaminedPair]) -> list[KindAgreement]:
    by_kind: dict[str, list[bool]] = {}
    for p in read:
        kind = " ".join(p.pair.kind.split()) or "not stated"
        by_kind.setdefault(kind, []).append(p.verdict == p.label)
    return [KindAgreement(kind=k, n=len(hits), n_right=sum(hits)) for k, hits in by_kind.items()]
