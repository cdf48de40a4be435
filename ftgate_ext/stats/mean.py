"""Scores of the same cases -> tests and limits of their mean difference.

The case is the unit: repeated runs are averaged per case first (`repeats`), and cases that belong
together (one repository, one conversation) are one cluster. Arguments that are no finite numbers or
do not fit together raise ValueError; what cannot be estimated is a `NoLimits`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtr, stdtrit

from ftgate_ext.stats.checks import Array, check_open_share, finite_values
from ftgate_ext.stats.flips import flip_range, groups_needed
from ftgate_ext.stats.limits import Limits, NoLimits
from ftgate_ext.stats.repeats import (
    CaseMeans,
    VarianceComponents,
    average_repeats,
    number_names,
    variance_components,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "MIN_CLUSTERS", "CaseMeans", "ClusterStandardErrors", "MeanTest", "VarianceComponents",
    "average_repeats", "cluster_standard_errors", "cluster_t", "paired_t", "sign_flip",
    "variance_components", "welch_p",
]  # fmt: skip

MIN_CLUSTERS = 8
"""Under 8 clusters the spread between clusters is a guess."""
MIN_VALUES = 6
"""Under 6 values no flip of the signs is rarer than 1 in 20, two-sided."""
MIN_FLIPS = 1000
ROUNDING = 1e-12
"""A spread smaller than this share of the values is rounding, not spread."""


@dataclass(frozen=True)
class MeanTest:
    """A mean with its limits, and the two-sided p of "the mean is 0"."""

    limits: Limits
    p: float
    standard_error: float
    df: float | None
    """Degrees of freedom of Student's t; None of a test that has none."""


@dataclass(frozen=True)
class ClusterStandardErrors:
    """The standard error of one mean, by four formulas."""

    mean: float
    naive: float
    """As if all values were independent."""
    cr0: float
    cr1: float
    """CR0 with the factor G / (G - 1) in the variance: what `cluster_t` uses."""
    miller: float
    """Miller 2024: the naive error plus what cases of one cluster share."""
    clusters: int

    @property
    def df(self) -> int:
        """Degrees of freedom of Student's t."""
        return self.clusters - 1

    @property
    def design_effect(self) -> float:
        """How many times as many cases are needed as if all were independent."""
        return (self.cr1 / self.naive) ** 2


def paired_t(candidate: ArrayLike, baseline: ArrayLike, level: float = 0.95) -> MeanTest | NoLimits:
    """Paired t-test of two models' scores on the same cases, candidate minus baseline.

    t = mean(d) / (sd(d) / sqrt(n)) with n - 1 degrees of freedom (Student 1908, Biometrika 6, 1-25).
    Holds its level for 1-to-5 scores from 50 cases on. Not for pass/fail under a few hundred cases
    or near 0 and 1 (`paired_binary.tango_interval`), nor where cases come in clusters.

    Args:
        candidate: One score a case.
        baseline: One score a case, in the same order.
        level: Two-sided confidence level.

    Returns:
        NoLimits for a single case, and where all differences are equal.
    """
    new, old = finite_values(candidate, "candidate"), finite_values(baseline, "baseline")
    if new.shape != old.shape:
        raise ValueError(f"candidate has {new.size} scores, baseline {old.size}: expected as many")
    check_open_share(level, "level")
    difference, n = new - old, new.size
    mean = float(difference.mean())
    if n < 2:
        return NoLimits(mean, n, "1 case; at least 2 are needed")
    deviation = float(difference.std(ddof=1))
    if deviation <= ROUNDING * max(_largest(new), _largest(old)):
        return NoLimits(mean, n, f"all {n} differences are equal")
    return _student(mean, deviation / math.sqrt(n), n - 1, n, level, "paired t")


def cluster_t(
    values: ArrayLike,
    clusters: Iterable[Hashable],
    level: float = 0.95,
    *,
    min_clusters: int = MIN_CLUSTERS,
) -> MeanTest | NoLimits:
    """Cluster-robust t-test of a mean: is the mean difference 0 where cases come in clusters?

    With U_g the sum of (value - mean) in cluster g: SE = sqrt(G / (G - 1) sum U_g^2) / n, the CR1
    sandwich of a regression on a constant (Liang and Zeger 1986, Biometrika 73, 13-22), and G - 1
    degrees of freedom (Cameron and Miller 2015, Journal of Human Resources 50, 317-372). Type-I error
    0.04 to 0.06 from 10 clusters on. With one case a cluster it is the plain t-test.

    Args:
        values: One difference a case; large clusters weigh more.
        clusters: The cluster of each case: names or numbers.
        level: Two-sided confidence level.
        min_clusters: Fewer give NoLimits; under 8 only to reproduce published figures.

    Returns:
        NoLimits under `min_clusters`, and where nothing varies between clusters.
    """
    array, codes = _clustered(values, clusters)
    check_open_share(level, "level")
    mean, count = float(array.mean()), int(codes.max()) + 1
    if count < max(2, min_clusters):
        return _too_few(mean, array.size, count, max(2, min_clusters), "clusters")
    error = _cluster_error(array, codes)
    if error <= ROUNDING * _largest(array):
        return NoLimits(mean, array.size, f"the means of all {count} clusters are equal")
    method = f"cluster-robust t (CR1), {count} clusters"
    return _student(mean, error, count - 1, array.size, level, method)


def sign_flip(
    values: ArrayLike,
    clusters: Iterable[Hashable] | None = None,
    level: float = 0.95,
    seed: int = 0,
    flips: int = 100_000,
) -> MeanTest | NoLimits:
    """Sign-flip test of a mean, and the interval that inverts it (Hartigan 1969).

    The limits are order statistics of the means of subsets of the values: `flips.py` derives them.
    Exact for differences that are symmetric about their mean; the choice for under 20 clusters, or
    under 30 cases. 0 lies outside the limits if and only if p <= 1 - level.

    Args:
        values: One difference a case; large clusters weigh more.
        clusters: The cluster of each case; None: every case for itself.
        level: Two-sided confidence level.
        seed: Same seed, same limits; of no effect where all flips are listed.
        flips: At least 1000. Up to so many are listed, otherwise so many are drawn.

    Returns:
        NoLimits under 8 clusters or 6 values, at a level these cannot reach, and where nothing varies.
    """
    array, codes = _clustered(values, clusters)
    check_open_share(level, "level")
    if not flips >= max(MIN_FLIPS, 1 / (1 - level)):
        raise ValueError(f"flips={flips}: expected at least {MIN_FLIPS} and 1 / (1 - level)")
    mean, count = float(array.mean()), int(codes.max()) + 1
    least, unit = (MIN_VALUES, "values") if clusters is None else (MIN_CLUSTERS, "clusters")
    if count < (least := max(least, groups_needed(level))):
        return _too_few(mean, array.size, count, least, unit)
    sums = np.bincount(codes, weights=array).astype(np.float64)
    sizes = np.bincount(codes).astype(np.float64)
    found = flip_range(sums, sizes, ROUNDING * _largest(array), level, seed, flips)
    drawn = f"all {2**count}" if 2**count <= flips else f"{flips} random"
    if found is None:
        return NoLimits(mean, array.size, f"{count} {unit}, {drawn} flips: equal in the tails")
    method = f"sign-flip, {drawn} flips of {count} {unit}"
    limits = Limits(mean, found.lower, found.upper, level, array.size, method)
    return MeanTest(limits, found.p, _cluster_error(array, codes), None)


def welch_p(a: ArrayLike, b: ArrayLike) -> float | None:
    """Two-sided p of Welch's t-test: scores of different cases, never of the same ones.

    t = (mean a - mean b) / sqrt(s_a^2 / n_a + s_b^2 / n_b), with the degrees of freedom of
    Satterthwaite (Welch 1947, Biometrika 34, 28-35). None where a sample has fewer than 2 scores, and
    where neither varies. On paired scores it rejects 0.15 % instead of 5 %.
    """
    one, other = finite_values(a, "a"), finite_values(b, "b")
    if min(one.size, other.size) < 2:
        return None
    first, second = float(one.var(ddof=1)) / one.size, float(other.var(ddof=1)) / other.size
    if math.sqrt(first + second) <= ROUNDING * max(_largest(one), _largest(other)):
        return None
    df = (first + second) ** 2 / (first**2 / (one.size - 1) + second**2 / (other.size - 1))
    t = float(one.mean() - other.mean()) / math.sqrt(first + second)
    return 2 * float(stdtr(df, -abs(t)))


def cluster_standard_errors(
    values: ArrayLike, clusters: Iterable[Hashable]
) -> ClusterStandardErrors | NoLimits:
    """The standard error of a mean with and without respect for clusters.

    Naive sd / sqrt(n); CR0 sqrt(sum U_g^2) / n and CR1 with the factor G / (G - 1), U_g the sum of
    (value - mean) in cluster g; Miller's variance, the naive one plus the products of the residuals
    of different cases of a cluster / n^2, which is CR0's plus s^2 / n^2 (Miller 2024,
    arXiv:2411.00640, section 2.2).

    Returns:
        NoLimits for a single cluster, and where nothing varies between clusters.
    """
    array, codes = _clustered(values, clusters)
    n, count, mean = array.size, int(codes.max()) + 1, float(array.mean())
    if count < 2:
        return _too_few(mean, n, count, 2, "clusters")
    cr1 = _cluster_error(array, codes)
    if cr1 <= ROUNDING * _largest(array):
        return NoLimits(mean, n, f"the means of all {count} clusters are equal")
    squares = float(((array - mean) ** 2).sum())
    cr0_square = cr1**2 * (count - 1) / count
    return ClusterStandardErrors(
        mean=mean, naive=math.sqrt(squares / (n - 1) / n), cr0=math.sqrt(cr0_square), cr1=cr1,
        miller=math.sqrt(cr0_square + squares / (n - 1) / n**2), clusters=count,
    )  # fmt: skip


def _student(mean: float, error: float, df: int, n: int, level: float, method: str) -> MeanTest:
    half = float(stdtrit(df, 0.5 + level / 2)) * error
    limits = Limits(mean, mean - half, mean + half, level, n, method)
    return MeanTest(limits, 2 * float(stdtr(df, -abs(mean) / error)), error, df)


def _cluster_error(values: Array, codes: NDArray[np.intp]) -> float:
    sums = np.bincount(codes, weights=values - values.mean())
    return math.sqrt(sums.size / (sums.size - 1) * float(sums @ sums)) / values.size


def _clustered(
    values: ArrayLike, clusters: Iterable[Hashable] | None
) -> tuple[Array, NDArray[np.intp]]:
    array = finite_values(values, "values")
    if clusters is None:
        return array, np.arange(array.size)
    return array, number_names(clusters, array.size).codes


def _largest(values: Array) -> float:
    return float(abs(values).max())


def _too_few(mean: float, n: int, found: int, needed: int, unit: str) -> NoLimits:
    unit = unit.removesuffix("s") if found == 1 else unit
    return NoLimits(mean, n, f"{found} {unit}; at least {needed} are needed")
