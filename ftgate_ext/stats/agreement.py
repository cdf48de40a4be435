"""A judge beside human labels -> how far they agree, and what the judge's rate is worth.

Labels check a judge and correct its bias. They do not make it sharp: 50 labels bound a rate to about
ten points. Lists that are empty, not finite or of different lengths, and shares outside [0, 1], raise
ValueError.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import special

from ftgate_ext.stats.checks import Array, check_open_share, finite_values, shares
from ftgate_ext.stats.limits import Limits, NoLimits

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

KappaWeights = Literal["linear", "quadratic"]


@dataclass(frozen=True)
class Kappa:
    """Agreement beyond chance, 1 - observed over expected disagreement."""

    limits: Limits
    standard_error: float
    observed: float
    """Weighted share of agreement."""
    expected: float
    """The same by chance, from the margins."""


@dataclass(frozen=True)
class PredictionPoweredMean:
    """A mean over all cases, of which only some carry a human label."""

    limits: Limits
    standard_error: float
    tuning: float
    """How far the judge was believed: 0 not at all, 1 as much as its rectifier allows."""
    human_only: float
    """Mean of the labels alone."""


@dataclass(frozen=True)
class _SmoothedRates:
    """A judge's rates with one more success and one more failure each."""

    specificity: float
    sensitivity: float
    negatives: int
    positives: int

    @property
    def youden(self) -> float:
        """0 for a judge that guesses, 1 for one that never errs."""
        return self.specificity + self.sensitivity - 1


def cohens_kappa(
    table: ArrayLike, weights: KappaWeights | None = None, level: float = 0.95
) -> Kappa | NoLimits:
    """Cohen's kappa of two raters, with the large-sample standard error of Fleiss, Cohen and Everitt.

    (Po - Pe) / (1 - Pe), with agreement weights 1 - |i - j| / (k - 1) (linear) or its square's
    complement 1 - (i - j)^2 / (k - 1)^2 (quadratic) between categories i and j (Cohen, Psychological
    Bulletin 70, 1968, 213-220; variance: the same 72, 1969, 323-327). Quadratic for ratings from 1
    to 5, none for names without an order. Judge it against the kappa of two humans, not against 1.

    Args:
        table: Shape (k, k), k >= 2: how often rater one said i and rater two said j.
        weights: None counts exact agreement only.
        level: Of the limits, kappa -+ z SE, cut off at 1.

    Returns:
        Kappa, or none where chance alone explains everything (one category in use) or nothing is
        off the diagonal, so that the standard error is 0.
    """
    check_open_share(level, "level")
    counts = _square_counts(table, least=2)
    n = int(counts.sum())
    p = counts / counts.sum()
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    w = _agreement_weights(len(p), weights)
    observed, expected = float((w * p).sum()), float(rows @ w @ columns)
    if expected > 1 - 1e-12:
        return NoLimits(None, n, "both raters use one category only: nothing to agree on beyond it")
    kappa = (observed - expected) / (1 - expected)
    mean_weights = (w @ columns)[:, None] + (rows @ w)[None, :]
    spread = float((p * (w - mean_weights * (1 - kappa)) ** 2).sum())
    variance = (spread - (kappa - expected * (1 - kappa)) ** 2) / (1 - expected) ** 2 / n
    if variance < 1e-15:
        return NoLimits(kappa, n, f"the standard error is 0 in these {n} cases: label more of them")
    error, z = math.sqrt(variance), float(special.ndtri(0.5 + level / 2))
    name = "Cohen's kappa" + (f", {weights} weights" if weights else "")
    limits = Limits(kappa, kappa - z * error, min(1.0, kappa + z * error), level, n, name)
    return Kappa(limits, error, observed, expected)


def ppi_mean(
    labels: ArrayLike,
    judged_labelled: ArrayLike,
    judged_unlabelled: ArrayLike,
    level: float = 0.95,
) -> PredictionPoweredMean | NoLimits:
    """Prediction-powered mean: the judge's mean, corrected by its error on the labelled cases.

    mean(judge on the rest) + mean(label - judge), variance Var(judge) / N + Var(label - judge) / n
    with ddof 0 and normal limits (Angelopoulos, Bates, Fannjiang, Jordan and Zrnic, Science 382,
    2023, 669-674). A judge worse than chance makes it wider than the labels alone; prefer
    `ppi_plus_plus_mean`. Needs labels of cases drawn at random, 30 or more: at 30 it covers about 93
    % of the time.

    Args:
        labels: Human scores of n cases, such as 0, 0.5 and 1.
        judged_labelled: The judge's scores of the same cases, in the same order.
        judged_unlabelled: The judge's scores of N other cases.
        level: Of the limits.

    Returns:
        The mean, or none under 2 labels or where the judge is equally far off in all of them: that
        leaves nothing to bound its error with.

    Raises:
        ValueError: Empty or not finite; labels and judgments of different numbers.
    """
    human, judge, rest = _labelled(labels, judged_labelled, judged_unlabelled)
    return _prediction_powered(human, judge, rest, 1.0, level)


def ppi_plus_plus_mean(
    labels: ArrayLike,
    judged_labelled: ArrayLike,
    judged_unlabelled: ArrayLike,
    level: float = 0.95,
) -> PredictionPoweredMean | NoLimits:
    """`ppi_mean` that believes the judge as far as it pays: asymptotically never wider than labels.

    The judge's scores are multiplied by Cov(label, judge) / ((1 + n / N) Var(judge)), the covariance
    on the labelled cases (ddof 0), the variance on all (ddof 1), cut off to [0, 1] (Angelopoulos,
    Duchi and Zrnic, arXiv 2311.01453, 2023; power tuning). 1 / (1 - r^2) times as many labels would
    be needed without the judge, r its correlation with the labels.

    Args:
        labels: Human scores of n cases, drawn at random.
        judged_labelled: The judge's scores of the same cases, in the same order.
        judged_unlabelled: The judge's scores of N other cases.
        level: Of the limits.

    Returns:
        The mean, or none as `ppi_mean`.

    Raises:
        ValueError: Empty or not finite; labels and judgments of different numbers.
    """
    human, judge, rest = _labelled(labels, judged_labelled, judged_unlabelled)
    everything = np.concatenate([judge, rest])
    variance = float(everything.var(ddof=1))
    covariance = float(((human - human.mean()) * (judge - judge.mean())).mean())
    tuning = covariance / ((1 + len(human) / len(rest)) * variance) if variance > 0 else 0.0
    return _prediction_powered(human, judge, rest, min(1.0, max(0.0, tuning)), level)


def rogan_gladen(
    judged_rate: float,
    n: int,
    specificity: float,
    negatives: int,
    sensitivity: float,
    positives: int,
    level: float = 0.95,
) -> Limits | NoLimits:
    """The true rate behind a judge's rate, from its error rates on cases of known truth.

    (p + q0 - 1) / (q0 + q1 - 1), cut off to [0, 1] (Rogan and Gladen, American Journal of
    Epidemiology 107, 1978, 71-76), with the limits of Lee et al. (arXiv 2511.21140, 2025): the plug-in
    of p with z^2 / 2 and of q0, q1 with one more success and failure, and a shift for the
    curvature. Wider than `ppi_plus_plus_mean` wherever both can be had; for calibration sets that
    were not drawn from the cases in question.

    Args:
        judged_rate: p, the share of n cases that the judge calls positive.
        n: Cases judged.
        specificity: q0, the share of `negatives` known negative cases that it calls negative.
        negatives: m0.
        sensitivity: q1, the share of `positives` known positive cases that it calls positive.
        positives: m1.
        level: Of the limits, cut off to [0, 1].

    Returns:
        The rate, or none where the judge is no better than chance, or where its rate lies outside
        anything that its error rates allow.
    """
    check_open_share(level, "level")
    for name, value in {"judged_rate": judged_rate, "specificity": specificity, "sensitivity": sensitivity}.items():  # fmt: skip
        shares([value], name)
    if min(n, negatives, positives) < 1:
        raise ValueError(f"n={n}, negatives={negatives}, positives={positives}: expected 1 or more")
    if specificity + sensitivity <= 1:
        return NoLimits(None, n, f"specificity {specificity:.3g} and sensitivity {sensitivity:.3g} add up to no more than 1: the judge is no better than chance")  # fmt: skip
    known = _SmoothedRates(
        specificity=(negatives * specificity + 1) / (negatives + 2),
        sensitivity=(positives * sensitivity + 1) / (positives + 2),
        negatives=negatives + 2,
        positives=positives + 2,
    )
    if known.youden <= 0:
        return NoLimits(None, n, f"{negatives} and {positives} known cases cannot tell the judge from chance")  # fmt: skip
    rate = (judged_rate + specificity - 1) / (specificity + sensitivity - 1)
    return _lee_limits(min(1.0, max(0.0, rate)), judged_rate, n, known, level)


def _lee_limits(
    rate: float, judged_rate: float, n: int, known: _SmoothedRates, level: float
) -> Limits | NoLimits:
    z = float(special.ndtri(0.5 + level / 2))
    size = n + z * z
    p = (n * judged_rate + z * z / 2) / size
    center = (p + known.specificity - 1) / known.youden
    spread0 = known.specificity * (1 - known.specificity) / known.negatives
    spread1 = known.sensitivity * (1 - known.sensitivity) / known.positives
    shift = 2 * z * z * (center * spread1 - (1 - center) * spread0)
    variance = p * (1 - p) / size + (1 - center) ** 2 * spread0 + center**2 * spread1
    half = z * math.sqrt(variance) / known.youden
    lower, upper = (min(1.0, max(0.0, center + shift + side * half)) for side in (-1, 1))
    if lower >= upper:
        return NoLimits(None, n, f"no rate explains the judge's {judged_rate:.3g}: its known error rates do not fit these cases")  # fmt: skip
    return Limits(rate, lower, upper, level, n, "Rogan-Gladen, limits of Lee et al. 2025")


def _square_counts(table: ArrayLike, least: int) -> Array:
    counts = np.asarray(table, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or len(counts) < least:
        raise ValueError(f"table has shape {counts.shape}: expected a square of {least} or more")
    if not (np.isfinite(counts).all() and (counts >= 0).all() and (counts % 1 == 0).all()):
        raise ValueError("table: expected counts, whole and not below 0")
    if counts.sum() < 1:
        raise ValueError("table is empty: expected at least 1 case")
    return counts


def _agreement_weights(size: int, weights: KappaWeights | None) -> Array:
    step = np.abs(np.subtract.outer(np.arange(size), np.arange(size))) / (size - 1)
    if weights is None:
        return np.eye(size)
    if weights not in ("linear", "quadratic"):
        raise ValueError(f"weights={weights!r}: expected None, 'linear' or 'quadratic'")
    return np.asarray(1 - (step if weights == "linear" else step**2))


def _labelled(
    labels: ArrayLike, judged_labelled: ArrayLike, judged_unlabelled: ArrayLike
) -> tuple[Array, Array, Array]:
    human = finite_values(labels, "labels")
    judge = finite_values(judged_labelled, "judged_labelled")
    if human.shape != judge.shape:
        raise ValueError(f"{len(human)} labels, {len(judge)} judgments: expected pairs")
    return human, judge, finite_values(judged_unlabelled, "judged_unlabelled")


def _prediction_powered(
    human: Array, judge: Array, rest: Array, tuning: float, level: float
) -> PredictionPoweredMean | NoLimits:
    check_open_share(level, "level")
    n, cases = len(human), len(human) + len(rest)
    residual = human - tuning * judge
    mean = tuning * float(rest.mean()) + float(residual.mean())
    if n < 2:
        return NoLimits(mean, cases, f"{n} label; at least 2 are needed")
    if float(np.ptp(residual)) < 1e-12:
        return NoLimits(mean, cases, f"the judge's error does not vary over {n} labels: they cannot bound it")  # fmt: skip
    error = math.sqrt(tuning**2 * float(rest.var()) / len(rest) + float(residual.var()) / n)
    half = float(special.ndtri(0.5 + level / 2)) * error
    method = f"prediction-powered mean, {n} labels, tuning {tuning:.3g}"
    limits = Limits(mean, mean - half, mean + half, level, cases, method)
    return PredictionPoweredMean(limits, error, tuning, float(human.mean()))
