"""The same cases seen twice -> the ratio of two means or totals, with limits that may not exist.

A ratio of means is a ratio of totals over the cases. It is not the mean of the ratios case by case,
which a few cheap cases can move anywhere. Lists that are empty, not finite or of different lengths,
and levels outside (0, 1), raise ValueError.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from ftgate_ext.stats.checks import Array, check_open_share, finite_values
from ftgate_ext.stats.limits import Limits, NoLimits
from ftgate_ext.stats.mean import MIN_CLUSTERS, ROUNDING
from ftgate_ext.stats.repeats import number_names

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class RatioContrast:
    """The one-sided test of "the ratio is at most `ratio`" against "it is larger"."""

    ratio: float
    t: float
    """Estimate of mean(numerator) - ratio * mean(denominator), over its standard error."""
    p: float
    """P(T >= t): small where the true ratio is above `ratio`."""
    df: int
    standard_error: float


@dataclass(frozen=True)
class RatioOfTotals:
    """Two totals over the same cases, and what they say about the ratio on other such cases."""

    numerator: float
    denominator: float
    limits: Limits | NoLimits


@dataclass(frozen=True)
class _Groups:
    """Sums over clusters, or the cases themselves: what varies independently."""

    numerator: Array
    denominator: Array
    sizes: Array
    clustered: bool

    @property
    def n(self) -> int:
        return int(self.sizes.sum())

    @property
    def df(self) -> int:
        return len(self.sizes) - 1

    @property
    def method(self) -> str:
        return f"Fieller, t({self.df})" + (", CR1 over clusters" if self.clustered else "")

    @property
    def means(self) -> tuple[float, float]:
        """Over cases, whatever clusters they are in: of the numerator, of the denominator."""
        return float(self.numerator.sum() / self.n), float(self.denominator.sum() / self.n)


def fieller(
    numerator: ArrayLike,
    denominator: ArrayLike,
    level: float = 0.95,
    clusters: Iterable[Hashable] | None = None,
) -> Limits | NoLimits:
    """Interval of mean(numerator) / mean(denominator) over paired cases.

    All k that the t-test of mean(a - k b) = 0 does not reject: the roots of (B^2 - t^2 Vbb) k^2
    - 2 (A B - t^2 Vab) k + A^2 - t^2 Vaa = 0, with A and B the means and V their covariance matrix
    (Fieller, Journal of the Royal Statistical Society B 16, 1954, 175-185). With clusters V is the
    CR1 sandwich and t has G - 1 degrees of freedom. Not for scores without a true zero: rescale a
    rating from 1 to 5 into (x - 1) / 4 first.

    Args:
        numerator: One value a case, in the order of `denominator`.
        denominator: One value a case.
        level: Two-sided; a one-sided 95 % limit is a limit at level 0.90.
        clusters: One name a case; cases of one cluster may depend on each other.

    Returns:
        Limits, or none where the denominator's mean cannot be told from 0 (the solution is then a
        half-line, two rays or the whole line), nothing varies, or there are too few groups.
    """
    check_open_share(level, "level")
    groups = _groups(numerator, denominator, clusters)
    a, b = groups.means
    ratio = a / b if b != 0 and math.isfinite(a / b) else None
    reason = _too_few(groups) or (_no_spread(groups, ratio) if ratio is not None else None)
    if reason:
        return NoLimits(ratio, groups.n, reason)
    vaa, vab, vbb = _covariance(groups)
    t2 = float(special.stdtrit(groups.df, 0.5 + level / 2)) ** 2
    lead, middle, last = b * b - t2 * vbb, a * b - t2 * vab, a * a - t2 * vaa
    if ratio is None or lead <= ROUNDING * b * b:
        found = _open_solution(lead, middle**2 - lead * last)
        return NoLimits(ratio, groups.n, f"the denominator's mean {b:.4g} cannot be told from 0 at level {level:g}: {found}")  # fmt: skip
    half = math.sqrt(max(0.0, middle**2 - lead * last)) / lead
    center = middle / lead
    return Limits(ratio, center - half, center + half, level, groups.n, groups.method)


def contrast_p(
    numerator: ArrayLike,
    denominator: ArrayLike,
    ratio: float,
    clusters: Iterable[Hashable] | None = None,
) -> RatioContrast | NoLimits:
    """One-sided test of "the ratio of the means is at most `ratio`", by the linear contrast.

    The t-test of numerator - ratio * denominator against 0. It says the same as Fieller's limits
    and needs no division: p < 0.05 exactly where the lower limit at level 0.90 is above `ratio`,
    as long as the denominator's mean is clearly positive.

    Args:
        numerator: One value a case, in the order of `denominator`.
        denominator: One value a case; its mean is meant to be positive.
        ratio: What is to be exceeded: 0.95 for "at least 95 % of the other".
        clusters: One name a case.

    Returns:
        The test, or none where the contrast does not vary or there are too few groups.
    """
    if not math.isfinite(ratio):
        raise ValueError(f"ratio={ratio}: expected a finite number")
    groups = _groups(numerator, denominator, clusters)
    a, b = groups.means
    reason = _too_few(groups) or _no_spread(groups, ratio)
    if reason:
        return NoLimits(a / b if b != 0 else None, groups.n, reason)
    vaa, vab, vbb = _covariance(groups)
    standard_error = math.sqrt(max(0.0, vaa - 2 * ratio * vab + ratio**2 * vbb))
    t = (a - ratio * b) / standard_error
    p = float(special.stdtr(groups.df, -t))
    return RatioContrast(ratio, t, p, groups.df, standard_error)


def ratio_of_totals(
    numerator: ArrayLike,
    denominator: ArrayLike,
    level: float = 0.95,
    clusters: Iterable[Hashable] | None = None,
) -> RatioOfTotals:
    """The total of one over the total of the other, over the same cases: cost against cost.

    The limits are Fieller's: they are about other cases drawn like these, since the ratio of these
    very totals is known without error. A price an hour times a number of hours does not vary over
    cases; ask there at which utilisation the claim breaks instead.

    Args:
        numerator: One value a case, in USD for costs.
        denominator: One value a case, in the same unit and order.
        level: Of the two-sided limits.
        clusters: One name a case.
    """
    limits = fieller(numerator, denominator, level, clusters)
    above, below = finite_values(numerator, "numerator"), finite_values(denominator, "denominator")
    return RatioOfTotals(float(above.sum()), float(below.sum()), limits)


def _groups(
    numerator: ArrayLike, denominator: ArrayLike, clusters: Iterable[Hashable] | None
) -> _Groups:
    above, below = finite_values(numerator, "numerator"), finite_values(denominator, "denominator")
    if above.shape != below.shape:
        raise ValueError(f"{len(above)} numerators and {len(below)} denominators: expected pairs")
    if clusters is None:
        return _Groups(above, below, np.ones(len(above)), clustered=False)
    number = number_names(clusters, len(above)).codes
    return _Groups(
        np.bincount(number, above).astype(np.float64),
        np.bincount(number, below).astype(np.float64),
        np.bincount(number).astype(np.float64),
        clustered=True,
    )


def _covariance(groups: _Groups) -> tuple[float, float, float]:
    """Var of the numerator's mean, covariance, var of the denominator's mean: CR1."""
    a, b = groups.means
    above, below = groups.numerator - a * groups.sizes, groups.denominator - b * groups.sizes
    scale = (groups.df + 1) / groups.df / groups.n**2
    return float(above @ above) * scale, float(above @ below) * scale, float(below @ below) * scale


def _too_few(groups: _Groups) -> str | None:
    found = groups.df + 1
    if groups.clustered and found < MIN_CLUSTERS:
        return f"{found} clusters; at least {MIN_CLUSTERS} are needed"
    return f"{found} case; at least 2 are needed" if found < 2 else None


def _no_spread(groups: _Groups, ratio: float) -> str | None:
    """Why the contrast at `ratio` has no standard error, or None where it has one."""
    contrast = groups.numerator - ratio * groups.denominator
    contrast -= contrast.sum() / groups.n * groups.sizes
    size = np.abs(groups.numerator).max() + abs(ratio) * np.abs(groups.denominator).max()
    if np.abs(contrast).max() > ROUNDING * size:
        return None
    return "every case has the same ratio: nothing varies that a limit could be made of"


def _open_solution(lead: float, discriminant: float) -> str:
    if lead < 0 and discriminant < 0:
        return "every ratio is compatible with these cases"
    return "the ratios compatible with these cases are unbounded"
