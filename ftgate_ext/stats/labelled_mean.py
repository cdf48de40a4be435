"""A judge on all cases and humans on some of them -> the mean that humans would have given to all.

As `agreement.ppi_plus_plus_mean`, and besides: cases need not be labelled with equal chances, some may
need no label at all, few labels get wider limits, and it is said how many labels would halve them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from ftgate_ext.stats.agreement import rogan_gladen
from ftgate_ext.stats.checks import Array, check_open_share, finite_values
from ftgate_ext.stats.limits import Limits, NoLimits

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

FEWEST_LABELS = 10
"""Below, the spread of the judge's errors is anybody's guess. Rules ask for more."""


@dataclass(frozen=True)
class CorrectedMean:
    """A judge's mean, corrected by labels on some of the cases."""

    limits: Limits
    standard_error: float
    tuning: float
    """How far the judge was believed, 0 to 1."""
    human_only: float
    """Weighted mean of the labels alone."""
    judge_only: float
    """Mean of the judge's scores of all cases."""
    labels: int
    effective_labels: float
    """(sum w)^2 / sum w^2: labels of equal weight that would be worth the same."""
    correlation: float | None
    """Of judge and humans on the labelled cases; None where one does not vary."""
    labels_to_halve: int | None
    """Labels, of these cases, that would halve the limits; None where all labels would not: more
    cases have to be judged."""

    def half_width(self, level: float) -> float:
        """Half of the two-sided interval at another level."""
        return (
            float(special.stdtrit(self.effective_labels - 1, 0.5 + level / 2)) * self.standard_error
        )

    def p(self, null: float) -> float:
        """Two-sided p of "the mean is `null`"."""
        t = abs(self.limits.value - null) / self.standard_error
        return float(2 * special.stdtr(self.effective_labels - 1, -t))


@dataclass(frozen=True)
class _Parts:
    """What the mean and its variance are made of."""

    mean: float
    variance: float
    tuning: float
    weights: Array
    residuals: Array
    """Label minus believed judge, minus their weighted mean."""
    labels: Array
    cases: int
    framed: int
    """Cases that could have been labelled."""
    spread: float
    """Variance of what humans say of all cases, as the weighted labels show it."""


def corrected_mean(
    labels: ArrayLike,
    judged_labelled: ArrayLike,
    judged_unlabelled: ArrayLike,
    chances: ArrayLike | None = None,
    known: ArrayLike = (),
    level: float = 0.95,
) -> CorrectedMean | NoLimits:
    """The mean of human scores over all cases, from a judge on all and labels on a random part.

    lambda mean(judge) + sum w (label - lambda judge) / sum w with w = 1 / chance of being labelled:
    PPI++ (Angelopoulos, Duchi and Zrnic, arXiv 2311.01453, 2023) in the form of Robins, Rotnitzky and
    Zhao (Journal of the American Statistical Association 89, 1994, 846-866), weights normalised
    (Hajek). Equal chances give `ppi_plus_plus_mean` but for the size of the samples in its tuning.
    lambda is the slope of label on judge, weighted by w (w - 1) and cut off to [0, 1]. The
    variance is that of the cases' influences; residuals are widened by n / (n - 2) for the slope and
    the mean they cost, and limits are t(n - 1), n the effective number of labels.

    Args:
        labels: Human scores of n cases, drawn at random; the mean where two labelled a case.
        judged_labelled: The judge's scores of the same cases, in the same order.
        judged_unlabelled: The judge's scores of all other cases that could have been drawn.
        chances: Chance of each labelled case to be drawn, in (0, 1]; None: all the same.
        known: Scores of further cases that need no label, such as ties of identical answers.
        level: Of the limits.

    Returns:
        The mean, or none under `FEWEST_LABELS` effective labels or where the judge is equally far
        off in all of them: that leaves nothing to bound its error with.

    Raises:
        ValueError: Labels and judgments of different numbers, not finite, a chance out of range.
    """
    check_open_share(level, "level")
    human, judge = _pairs(labels, judged_labelled)
    rest = _maybe_empty(judged_unlabelled, "judged_unlabelled")
    given = _maybe_empty(known, "known")
    weights = _weights(chances, len(human), len(human) + len(rest))
    parts = _add_up(human, judge, rest, given, weights)
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    if effective < FEWEST_LABELS:
        return NoLimits(parts.mean, parts.cases, f"{len(human)} labels are worth {effective:.1f} of equal chance; at least {FEWEST_LABELS} are needed")  # fmt: skip
    if float(np.ptp(parts.residuals)) < 1e-12:
        return NoLimits(parts.mean, parts.cases, f"the judge's error does not vary over {len(human)} labels: they cannot bound it")  # fmt: skip
    error = math.sqrt(parts.variance)
    half = float(special.stdtrit(effective - 1, 0.5 + level / 2)) * error
    method = f"judge corrected by {len(human)} labels (PPI++, tuning {parts.tuning:.2f})"
    limits = Limits(parts.mean, parts.mean - half, parts.mean + half, level, parts.cases, method)
    varied = np.ptp(human) > 0 and np.ptp(judge) > 0
    return CorrectedMean(
        limits=limits, standard_error=error, tuning=parts.tuning,
        human_only=float((weights * human).sum() / weights.sum()),
        judge_only=float(np.concatenate([judge, rest, given]).mean()),
        labels=len(human), effective_labels=effective,
        correlation=float(np.corrcoef(human, judge)[0, 1]) if varied else None,
        labels_to_halve=_labels_to_halve(parts),
    )  # fmt: skip


def corrected_difference(
    labels: tuple[ArrayLike, ArrayLike],
    judged_labelled: tuple[ArrayLike, ArrayLike],
    judged_unlabelled: tuple[ArrayLike, ArrayLike],
    chances: ArrayLike | None = None,
    level: float = 0.95,
) -> CorrectedMean | NoLimits:
    """`corrected_mean` of the difference between two models that were scored on the same cases.

    Args:
        labels: Human scores of the first and of the second model, case by case.
        judged_labelled: The judge's scores of both on the same cases.
        judged_unlabelled: The judge's scores of both on the other cases.
        chances: As there.
        level: Of the limits.

    Raises:
        ValueError: As there, or two lists of different numbers.
    """
    human, judge = (np.subtract(*_pairs(*both)) for both in (labels, judged_labelled))
    one, other = (_maybe_empty(side, "judged_unlabelled") for side in judged_unlabelled)
    if one.shape != other.shape:
        raise ValueError(f"judged_unlabelled: {len(one)} and {len(other)} scores: expected pairs")
    return corrected_mean(human, judge, one - other, chances, (), level)


def rogan_gladen_win_rate(
    labels: ArrayLike,
    judged_labelled: ArrayLike,
    judged_unlabelled: ArrayLike,
    level: float = 0.95,
) -> Limits | NoLimits:
    """The win rate behind a judge's, from how often it sees true wins and true losses.

    Wins and losses are each corrected by `rogan_gladen`; the rate is 1/2 + (wins - losses) / 2, and
    its half width half of both added, which is exact without ties and too wide with them. For
    comparison: `corrected_mean` is narrower, and takes unequal chances.

    Args:
        labels: Human scores of some pairs, drawn with equal chances: above 0.5 is a win.
        judged_labelled: The judge's scores of the same pairs.
        judged_unlabelled: The judge's scores of all others.
        level: Of the limits.

    Returns:
        The rate, or none where wins or losses are missing among the labels, or the judge tells them
        no better than chance.

    Raises:
        ValueError: Labels and judgments of different numbers, not finite.
    """
    human, judge = _pairs(labels, judged_labelled)
    everything = np.concatenate([judge, _maybe_empty(judged_unlabelled, "judged_unlabelled")])
    sides = []
    for side in (1, -1):
        true, seen = side * (human - 0.5) > 0, side * (judge - 0.5) > 0
        positives = int(true.sum())
        negatives = len(true) - positives
        if min(positives, negatives) == 0:
            return NoLimits(None, len(everything), f"{positives} of {len(true)} labelled pairs are {'wins' if side > 0 else 'losses'}: both kinds are needed")  # fmt: skip
        found = rogan_gladen(
            float((side * (everything - 0.5) > 0).mean()), len(everything),
            float((~seen[~true]).mean()), negatives, float(seen[true].mean()), positives, level,
        )  # fmt: skip
        if isinstance(found, NoLimits):
            return found
        sides.append(found)
    wins, losses = sides
    rate = 0.5 + (wins.value - losses.value) / 2
    lower = max(0.0, 0.5 + (wins.lower - losses.upper) / 2)
    upper = min(1.0, 0.5 + (wins.upper - losses.lower) / 2)
    return Limits(rate, lower, upper, level, len(everything), wins.method)


def _pairs(labels: ArrayLike, judged: ArrayLike) -> tuple[Array, Array]:
    human, judge = finite_values(labels, "labels"), finite_values(judged, "judged_labelled")
    if human.shape != judge.shape:
        raise ValueError(f"{len(human)} labels, {len(judge)} judgments: expected pairs")
    return human, judge


def _maybe_empty(values: ArrayLike, name: str) -> Array:
    array = np.asarray(values, dtype=np.float64)
    return finite_values(array, name) if array.size else np.zeros(0)


def _weights(chances: ArrayLike | None, labels: int, framed: int) -> Array:
    """1 / chance, scaled so that they add up to the cases that could have been drawn."""
    if chances is None:
        return np.full(labels, framed / labels)
    given = finite_values(chances, "chances")
    if len(given) != labels or given.min() <= 0 or given.max() > 1:
        raise ValueError(f"chances: expected {labels} numbers above 0 and up to 1")
    raw = 1 / given
    return np.asarray(raw * (framed / raw.sum()))


def _add_up(human: Array, judge: Array, rest: Array, known: Array, weights: Array) -> _Parts:
    framed = len(human) + len(rest)
    cases, share = framed + len(known), weights / framed
    away = human - share @ human, judge - share @ judge
    believed = weights * np.maximum(weights - 1, 0)
    spread = float(believed @ away[1] ** 2)
    slope = float(believed @ (away[0] * away[1])) / spread if spread > 0 else 0.0
    tuning = min(1.0, max(0.0, slope))
    residuals = away[0] - tuning * away[1]
    everything = np.concatenate([judge, rest])
    of_frame = tuning * float(everything.mean()) + float(share @ (human - tuning * judge))
    mean = (framed * of_frame + float(known.sum())) / cases
    n = float(weights.sum() ** 2 / (weights**2).sum())
    influence = tuning * (everything - everything.mean()) + of_frame - mean
    influence[: len(human)] += weights * residuals * math.sqrt(n / (n - 2)) if n > 2 else 0.0
    variance = float((influence**2).sum() + ((known - mean) ** 2).sum()) / cases**2
    human_spread = framed * float(share @ away[0] ** 2 + (of_frame - mean) ** 2)
    of_all = (human_spread + float(((known - mean) ** 2).sum())) / cases
    return _Parts(mean, variance, tuning, weights, residuals, human, cases, framed, of_all)


def _labels_to_halve(parts: _Parts) -> int | None:
    """From variance = V(human) / N + (1 / n - 1 / N) V(residual) (N / all)^2, solved for n."""
    scale = (parts.framed / parts.cases) ** 2
    residual = float(parts.weights @ parts.residuals**2) / parts.framed * scale
    room = parts.variance / 4 - parts.spread / parts.cases
    if room <= 0:
        return None
    needed = math.ceil(1 / (room / residual + 1 / parts.framed))
    return needed if needed <= parts.framed else None
