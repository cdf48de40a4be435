"""Pass/fail of two models on the same cases -> tests and limits of the paired difference.

Two counts carry the evidence: b cases that only the candidate has right (`gained`) and c cases that
only the baseline has right (`lost`), out of n. The difference is (b - c) / n. Counts that are below
0, that do not fit into n, or that are no whole numbers raise ValueError, and so do a level outside
(0, 1) and a difference outside (-1, 1). A two-sided `level` of 0.90 has one-sided 95 % limits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import bdtr, chdtrc, ndtr

from ftgate_ext.stats.checks import check_open_share
from ftgate_ext.stats.limits import Limits, NoLimits
from ftgate_ext.stats.proportion import check_count, two_sided_z, wilson

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

Number = TypeVar("Number", float, NDArray[np.float64])
CACHED_TABLES = 2**15


@dataclass(frozen=True)
class ChiSquare:
    """A statistic with one degree of freedom, and its p."""

    statistic: float
    p: float


@dataclass(frozen=True)
class NonInferiorityTest:
    """Is the candidate worse by more than `margin`? Limits at level 1 - 2 alpha go with the test."""

    difference: float
    z: float
    p: float
    """One-sided: small where a loss of `margin` or more is excluded."""
    lower: float
    upper: float
    verdict: Literal["PASS", "FAIL", "INCONCLUSIVE"]


@dataclass(frozen=True)
class PassRateDrop:
    """One case, run repeatedly by both models: did its pass rate drop?"""

    drop: float
    """Baseline's pass rate minus candidate's."""
    p: float
    threshold: float
    verdict: Literal["FAIL", "RERUN", "PASS"]


def mcnemar_exact(gained: int, lost: int) -> float:
    """Two-sided p of "as many gains as losses": the binomial test of gained in gained + lost at 1/2.

    p = min(1, 2 P(X <= min(b, c))), X ~ Bin(b + c, 1/2) (McNemar 1947, Psychometrika 12, 153-157). 1
    where nothing is discordant. Conservative: type-I error 0.01 to 0.04 at alpha 0.05.
    """
    _check_pairs(gained, lost)
    return min(1.0, 2 * float(bdtr(min(gained, lost), int(gained + lost), 0.5)))


def mcnemar_mid_p(gained: int, lost: int) -> float:
    """Two-sided mid-p of "as many gains as losses".

    The exact p less the probability of what was observed: P(X <= k) + P(X <= k - 1), k the smaller
    count (Fagerland, Lydersen and Laake 2013, BMC Medical Research Methodology 13:91). Type-I error
    0.03 to 0.05 at alpha 0.05, so the test to use. 1 where gains and losses are as many.
    """
    _check_pairs(gained, lost)
    fewer, discordant = min(gained, lost), int(gained + lost)
    if gained == lost:
        return 1.0
    fewer_still = float(bdtr(fewer - 1, discordant, 0.5)) if fewer > 0 else 0.0
    return float(bdtr(fewer, discordant, 0.5)) + fewer_still


def mcnemar_one_sided(gained: int, lost: int) -> float:
    """Exact one-sided p of "no more losses than gains": small where the candidate got worse.

    P(X <= gained), X ~ Bin(gained + lost, 1/2): an alarm, to be sounded beside a non-inferiority
    test and never instead of it.
    """
    _check_pairs(gained, lost)
    return float(bdtr(gained, int(gained + lost), 0.5))


def mcnemar_asymptotic(gained: int, lost: int, *, corrected: bool = False) -> ChiSquare:
    """Chi-square form of McNemar's test: (b - c)^2 / (b + c), or (|b - c| - 1)^2 / (b + c).

    McNemar 1947; the correction is Edwards' (1948, Psychometrika 13, 185-187). For comparison with
    other programs; decisions are made with the mid-p. Statistic 0 and p 1 where b = c.
    """
    _check_pairs(gained, lost)
    if gained == lost:
        return ChiSquare(0.0, 1.0)
    statistic = float((abs(gained - lost) - corrected) ** 2 / (gained + lost))
    return ChiSquare(statistic, float(chdtrc(1, statistic)))


def tango_z(gained: int, lost: int, n: int, difference: float) -> float:
    """Score statistic of "the paired difference of proportions is `difference`".

    z = (b - c - n d) / sqrt(n (2 q + d (1 - d))), with b gained, c lost, and q the maximum-likelihood
    estimate of the lost share under d: the larger root of 2n q^2 + (2n d - (b - c) d - b - c) q
    - c d (1 - d) = 0 (Tango 1998, Statistics in Medicine 17, 891-908). Approximately standard normal,
    also where few pairs or none are discordant.
    """
    _check_pairs(gained, lost, n)
    if not -1 < difference < 1:
        raise ValueError(f"difference={difference}: expected -1 < difference < 1")
    residual = gained - lost - n * difference
    deviation = _null_deviation(gained, lost, n, difference)
    # Nothing discordant has no variance at difference 0, where the residual is 0 as well.
    return residual / deviation if deviation > 0 else 0.0


def tango_z_array(
    gained: ArrayLike, lost: ArrayLike, n: int, difference: ArrayLike
) -> NDArray[np.float64]:
    """`tango_z` of many tables at once, for simulations; arguments are broadcast."""
    b, c = np.asarray(gained, np.float64), np.asarray(lost, np.float64)
    d = np.asarray(difference, np.float64)
    _check_pairs(0, 0, n)
    if not ((b >= 0) & (c >= 0) & (b + c <= n) & (b % 1 == 0) & (c % 1 == 0) & (abs(d) < 1)).all():
        raise ValueError(f"n={n}: expected gained + lost <= n, and -1 < difference < 1")
    residual = b - c - n * d
    variance = _null_variance(np.where(d < 0, c, b), np.where(d < 0, b, c), n, abs(d), np.sqrt)
    return np.divide(residual, np.sqrt(variance), out=np.zeros_like(residual), where=variance > 0)


def tango_interval(gained: int, lost: int, n: int, level: float = 0.95) -> Limits:
    """Score interval of a paired difference of proportions, (gained - lost) / n.

    All d with |tango_z| <= z (Tango 1998). Keeps its level at 50 pairs and at shares near 0 and 1,
    where t and bootstrap intervals do not, and has a width where nothing is discordant:
    z^2 / (n + z^2) to both sides. Not for scores between 0 and 1, nor where cases come in clusters.
    """
    return _tango_limits(gained, lost, n, level)


# A gate that simulates itself asks for the same few thousand tables over and over.
@lru_cache(maxsize=CACHED_TABLES)
def _tango_limits(gained: int, lost: int, n: int, level: float) -> Limits:
    _check_pairs(gained, lost, n)
    b, c, n, z = int(gained), int(lost), int(n), two_sided_z(level)
    # The lower limit is the upper one of the exchanged models: the interval mirrors exactly.
    lower, upper = -_tango_upper(c, b, n, z), _tango_upper(b, c, n, z)
    return Limits((b - c) / n, lower, upper, level, n, "Tango score")


def _tango_upper(b: int, c: int, n: int, z: float) -> float:
    if b == n:
        return 1.0
    # Where the observed table has no variance the equation has a second root; its own is known.
    if b + c == 0:
        return z * z / (n + z * z)
    if c == n:
        return (z * z - n) / (z * z + n)

    def excess(d: float) -> float:
        return b - c - n * d + z * _null_deviation(b, c, n, d)

    return float(brentq(excess, (b - c) / n, 1.0, xtol=1e-14))


def _null_deviation(b: int, c: int, n: int, d: float) -> float:
    if d < 0:
        b, c, d = c, b, -d
    return math.sqrt(_null_variance(b, c, n, d, math.sqrt))


def _null_variance(
    b: Number, c: Number, n: int, d: Number, sqrt: Callable[[Number], Number]
) -> Number:
    # For d >= 0, where nothing cancels; a loss is the same test with the models exchanged.
    linear = (2 * n - b + c) * d - b - c
    root = sqrt(linear * linear + 8 * n * c * d * (1 - d))
    return n * ((root - linear) / (2 * n) + d * (1 - d))


def newcombe10_interval(
    both: int, gained: int, lost: int, neither: int, level: float = 0.95
) -> Limits:
    """Hybrid score interval of a paired difference of proportions.

    With Wilson limits l, u of the two pass rates p, p' and their correlation phi: lower = d
    - sqrt(x^2 - 2 phi x y + y^2), x = p - l, y = u' - p', and upper likewise with u - p and p' - l'.
    phi = (eh - fg less n/2 where that is positive, but not below 0) / sqrt of the product of the
    margins, 0 where a margin is empty (Newcombe 1998, Statistics in Medicine 17, 2635-2650, method
    10). The printed alternative to Tango's interval; wider than needed near 0 and 1.
    """
    n = both + gained + lost + neither
    _check_pairs(gained, lost, n)
    check_count(both, n)
    check_count(neither, n)
    candidate = wilson(both + gained, n, level)
    baseline = wilson(both + lost, n, level)
    phi = _newcombe_phi(both, gained, lost, neither)

    def distance(x: float, y: float) -> float:
        return math.sqrt(x * x - 2 * phi * x * y + y * y)

    down = distance(candidate.value - candidate.lower, baseline.upper - baseline.value)
    up = distance(candidate.upper - candidate.value, baseline.value - baseline.lower)
    value = float((gained - lost) / n)
    return Limits(value, value - down, value + up, level, int(n), "Newcombe hybrid score, paired")


def _newcombe_phi(both: int, gained: int, lost: int, neither: int) -> float:
    n = both + gained + lost + neither
    margins = (both + gained) * (lost + neither) * (both + lost) * (gained + neither)
    if margins == 0:
        return 0.0
    cross = both * neither - gained * lost
    return float((max(cross - n / 2, 0) if cross > 0 else cross) / math.sqrt(margins))


def bonett_price_interval(gained: int, lost: int, n: int, level: float = 0.95) -> Limits:
    """Adjusted Wald interval of a paired difference of proportions.

    The Wald interval of the table with one more gain and one more loss: p = (b + 1) / (n + 2),
    p' = (c + 1) / (n + 2), p - p' -+ z sqrt((p + p' - (p - p')^2) / (n + 2)) (Bonett and Price 2012,
    Journal of Educational and Behavioral Statistics 37, 479-488). Simple, and conservative where few
    pairs are discordant. Centred nearer to 0 than the value: may miss it at levels under 0.7.
    """
    _check_pairs(gained, lost, n)
    up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = two_sided_z(level) * math.sqrt((up + down - (up - down) ** 2) / (n + 2))
    lower, upper = max(-1.0, float(up - down - half)), min(1.0, float(up - down + half))
    return Limits(float((gained - lost) / n), lower, upper, level, int(n), "Bonett-Price")


def wald_interval(gained: int, lost: int, n: int, level: float = 0.95) -> Limits | NoLimits:
    """Textbook interval d -+ z sqrt(((b + c) / n - d^2) / n): for comparison, never for a decision.

    Covers 75 % instead of 95 % at 50 pairs and shares near 1. NoLimits where its width would be 0:
    nothing discordant, everything gained, everything lost.
    """
    _check_pairs(gained, lost, n)
    z, value = two_sided_z(level), float((gained - lost) / n)
    if gained + lost == 0 or n in (gained, lost):
        return NoLimits(value, int(n), f"{gained} gained and {lost} lost of {n}: no variance")
    half = z * math.sqrt(((gained + lost) / n - value**2) / n)
    return Limits(value, max(-1.0, value - half), min(1.0, value + half), level, int(n), "Wald")


def non_inferiority(
    gained: int, lost: int, n: int, margin: float, alpha: float = 0.05
) -> NonInferiorityTest:
    """Test of "the candidate is worse by `margin` or more".

    z is Tango's score at difference -margin, p = P(Z > z), and the limits are Tango's at level
    1 - 2 alpha, so that PASS (lower limit above -margin) means p < alpha. FAIL: the upper limit is
    below -margin, a loss of more than the margin is shown. Where several benchmarks must all pass,
    each is tested at alpha and no correction is due (Berger 1982, Technometrics 24, 295-300).
    `margin` is the largest tolerable loss, a share in [0, 1): 0.02 is 2 points. alpha is one-sided.
    """
    if not (0 <= margin < 1 and 0 < alpha < 0.5):
        raise ValueError(f"margin={margin}, alpha={alpha}: expected margin in [0, 1), alpha < 0.5")
    z = tango_z(gained, lost, n, -margin)
    limits = tango_interval(gained, lost, n, 1 - 2 * alpha)
    verdict: Literal["PASS", "FAIL", "INCONCLUSIVE"] = "INCONCLUSIVE"
    if limits.lower > -margin:
        verdict = "PASS"
    elif limits.upper < -margin:
        verdict = "FAIL"
    return NonInferiorityTest(limits.value, z, float(ndtr(-z)), limits.lower, limits.upper, verdict)


def pass_rate_drop(
    candidate_passes: int,
    candidate_runs: int,
    baseline_passes: int,
    baseline_runs: int,
    suite_size: int,
    alpha: float = 0.05,
) -> PassRateDrop:
    """Did one case of a regression suite break, or is it flaky?

    Fisher's exact one-sided p of "the candidate passes as often", against alpha / suite_size
    (Bonferroni: one false alarm over the whole suite at most alpha of the time). FAIL: p is below
    the threshold. PASS: the candidate passes at least as often. RERUN: fewer passes, not proven; at
    50 cases, 7 of 7 against 0 of 7 is the first proof there is (`runs_to_prove_break`).

    Args:
        candidate_passes: 0 to candidate_runs.
        candidate_runs: Reruns of this one case, at least 1; need not be as many as the baseline's.
        baseline_passes: 0 to baseline_runs.
        baseline_runs: At least 1.
        suite_size: Cases in the suite, at least 1.
        alpha: Level of the test over the whole suite, in (0, 1).
    """
    check_count(candidate_passes, candidate_runs)
    check_count(baseline_passes, baseline_runs)
    threshold = _bonferroni(suite_size, alpha)
    table = [
        [candidate_passes, candidate_runs - candidate_passes],
        [baseline_passes, baseline_runs - baseline_passes],
    ]
    from scipy.stats import fisher_exact  # half a second to import

    p = float(fisher_exact(table, alternative="less").pvalue)
    verdict: Literal["FAIL", "RERUN", "PASS"] = "RERUN"
    if candidate_passes * baseline_runs >= baseline_passes * candidate_runs:
        verdict = "PASS"
    elif p < threshold:
        verdict = "FAIL"
    drop = baseline_passes / baseline_runs - candidate_passes / candidate_runs
    return PassRateDrop(float(drop), p, threshold, verdict)


def runs_to_prove_break(suite_size: int, alpha: float = 0.05) -> int:
    """Fewest runs k a model at which 0 of k against k of k proves that one case broke.

    The smallest k with 1 / C(2k, k) < alpha / suite_size: Fisher's p of the most extreme table.
    """
    threshold = _bonferroni(suite_size, alpha)
    runs = 1
    while 1 / math.comb(2 * runs, runs) >= threshold:
        runs += 1
    return runs


def _bonferroni(suite_size: int, alpha: float) -> float:
    check_open_share(alpha, "alpha")
    check_count(0, suite_size)
    return float(alpha / suite_size)


def _check_pairs(gained: int, lost: int, n: int | None = None) -> None:
    whole = all(float(count).is_integer() for count in (gained, lost, n or 0))
    fits = n is None or (n >= 1 and gained + lost <= n)
    if not (whole and gained >= 0 and lost >= 0 and fits):
        raise ValueError(
            f"gained={gained}, lost={lost}, n={n}: expected gained + lost <= n, n >= 1, whole numbers"
        )
