"""Assumed pass/fail of two models -> the chance that a rule passes, summed over every table.

With q the share of cases where exactly one model is right (the discordance) and d the difference of
the pass rates, the number of such cases is Bin(n, q), and given their number the gains are binomial
with share (q + d) / (2q). Nothing is simulated, and only `cases_for_non_inferiority` approximates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc, gammaln, xlog1py, xlogy

from ftgate_ext.stats.checks import check_open_share
from ftgate_ext.stats.floor_power import least_count
from ftgate_ext.stats.paired_binary import tango_z_array
from ftgate_ext.stats.power import check_share, one_sided_z, power_z
from ftgate_ext.stats.proportion import check_count

if TYPE_CHECKING:
    from collections.abc import Callable

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

WINDOW_SD = 8.0
WINDOW_MORE = 20
"""Discordant counts beyond mean + 8 sd + 20 have a chance under 1e-12, also where few are expected."""


@dataclass(frozen=True)
class _Discordant:
    """Every discordant count that matters, its chance, and the share of gains among them."""

    counts: Counts
    chances: Array
    gained_share: float

    def chance(self, least_gained: Counts, least_lost: Counts | None = None) -> float:
        """Chance of so many gains or more; or of so many losses or more, which must exclude that."""
        tail = _at_least(least_gained, self.counts, self.gained_share)
        if least_lost is not None:
            tail = tail + _at_least(least_lost, self.counts, 1 - self.gained_share)
        return min(1.0, float(self.chances @ tail))


def power_of_mcnemar_mid_p(
    n: int, discordance: float, difference: float, alpha: float = 0.05
) -> float:
    """Chance that McNemar's two-sided mid-p is at most alpha, in either direction.

    The sum over discordant counts m of P(m) P(gains <= k or losses <= k | m), k the largest count
    with P(X <= k) + P(X <= k - 1) <= alpha under X ~ Bin(m, 1/2) (Fagerland, Lydersen and Laake 2013,
    BMC Medical Research Methodology 13:91). At difference 0 it is the type-I error.

    Args:
        n: Pairs.
        discordance: Share of pairs where exactly one model is right.
        difference: Pass rate of the candidate minus the baseline's; at most the discordance.
        alpha: Level of the test.
    """
    check_open_share(alpha, "alpha")
    pairs = _discordant(n, discordance, difference)
    m, half = pairs.counts, alpha / 2
    # P(X < k) + P(X = k) / 2 <= alpha / 2 holds for the quantile less one, and not for it plus one.
    from scipy.stats import binom  # half a second to import

    quantile = binom.ppf(half, m, 0.5).astype(np.int64)
    mid = (_at_least(m - quantile, m, 0.5) + _at_least(m - quantile + 1, m, 0.5)) / 2
    enough = m - np.where(mid <= half, quantile, quantile - 1)
    return pairs.chance(enough, enough)


def power_of_non_inferiority(
    n: int, margin: float, discordance: float, difference: float = 0.0, alpha: float = 0.05
) -> float:
    """Chance that "not worse by `margin`" is proven: Tango's one-sided score test at -margin.

    The sum over all tables of gains and losses with tango_z > z_alpha (Tango 1998, Statistics in
    Medicine 17, 891-908), for each discordant count from the least number of gains that passes.

    Args:
        n: Pairs.
        margin: Largest tolerable loss, a share in [0, 1).
        discordance: Share of pairs where exactly one model is right.
        difference: True pass rate of the candidate minus the baseline's; 0 is an unchanged model.
        alpha: One-sided level, below 0.5.
    """
    _check_margin(margin)
    pairs, z = _discordant(n, discordance, difference), one_sided_z(alpha)

    def passes(gained: Counts) -> NDArray[np.bool_]:
        return tango_z_array(gained, pairs.counts - gained, n, -margin) > z

    return pairs.chance(_least(pairs.counts, passes))


def chance_of_inferiority(
    n: int, margin: float, discordance: float, difference: float = 0.0, alpha: float = 0.05
) -> float:
    """Chance that "worse by more than `margin`" is shown: Tango's score at -margin under -z_alpha.

    A screen passes unless this happens. Arguments as in `power_of_non_inferiority`.
    """
    _check_margin(margin)
    pairs, z = _discordant(n, discordance, difference), one_sided_z(alpha)

    def spared(gained: Counts) -> NDArray[np.bool_]:
        return tango_z_array(gained, pairs.counts - gained, n, -margin) >= -z

    return max(0.0, 1.0 - pairs.chance(_least(pairs.counts, spared)))


def cases_for_non_inferiority(
    margin: float,
    discordance: float,
    difference: float = 0.0,
    alpha: float = 0.05,
    power: float = 0.8,
) -> float | None:
    """Pairs needed to prove "not worse by `margin`", normal approximation: round up.

    n = (z_a + z_b)^2 (q - d^2) / (margin + d)^2, one-sided alpha (Lu and Bean 1995, Statistics in
    Medicine 14, 1831-1839, in its unrestricted form). None where the true difference itself is a loss
    of the margin or more.

    Args:
        margin: Largest tolerable loss, a share in [0, 1).
        discordance: Share of pairs where exactly one model is right.
        difference: True pass rate of the candidate minus the baseline's.
        alpha: One-sided level, below 0.5.
        power: Wanted chance of a proof.
    """
    _check_margin(margin)
    _gained_share(discordance, difference)
    wanted = one_sided_z(alpha) + power_z(power, alpha)
    if difference <= -margin:
        return None
    return max(1.0, wanted**2 * (discordance - difference**2) / (margin + difference) ** 2)


def point_rule_pass_rate(n: int, discordance: float, difference: float, threshold: float) -> float:
    """Chance that the observed difference of two pass rates is at least `threshold`.

    "No drop over 2 points" is threshold -0.02. At difference 0 the rest, to 1, is the chance that an
    unchanged model is blocked.

    Args:
        n: Pairs.
        discordance: Share of pairs where exactly one model is right.
        difference: True pass rate of the candidate minus the baseline's.
        threshold: Of the observed difference, in [-1, 1].
    """
    if not -1 <= threshold <= 1:
        raise ValueError(f"threshold={threshold}: expected a difference from -1 to 1")
    pairs = _discordant(n, discordance, difference)
    net = least_count(n, threshold)
    return pairs.chance(np.clip(-((-net - pairs.counts) // 2), 0, pairs.counts + 1))


def _least(counts: Counts, passes: Callable[[Counts], NDArray[np.bool_]]) -> Counts:
    """For each discordant count the least number of gains that passes, or one more than there are."""
    low, high = np.zeros_like(counts), counts + 1
    while (searching := low < high).any():
        middle = (low + high) // 2
        passed = passes(np.minimum(middle, counts))
        high = np.where(searching & passed, middle, high)
        low = np.where(searching & ~passed, middle + 1, low)
    return low


def _at_least(least: Counts, trials: Counts, share: float) -> Array:
    """P(X >= least), X ~ Bin(trials, share), for least from -1 to trials + 1."""
    return np.asarray(bdtrc(np.maximum(least, 0) - 1, trials, share), dtype=np.float64)


def _discordant(n: int, discordance: float, difference: float) -> _Discordant:
    check_count(0, n)
    share = _gained_share(discordance, difference)
    mean, reach = n * discordance, WINDOW_SD * math.sqrt(n * discordance * (1 - discordance))
    low = max(0, math.floor(mean - reach))
    high = min(int(n), math.ceil(mean + reach) + WINDOW_MORE)
    m = np.arange(low, high + 1, dtype=np.int64)
    ways = gammaln(n + 1) - gammaln(m + 1) - gammaln(n - m + 1)
    chances = np.exp(ways + xlogy(m, discordance) + xlog1py(n - m, -discordance))
    return _Discordant(m, chances / chances.sum(), share)


def _gained_share(discordance: float, difference: float) -> float:
    check_share(discordance, "discordance")
    if not abs(difference) <= discordance:
        raise ValueError(f"difference={difference}, discordance={discordance}: expected a difference of at most the discordance")  # fmt: skip
    return (1 + difference / discordance) / 2 if discordance > 0 else 0.5


def _check_margin(margin: float) -> None:
    if not 0 <= margin < 1:
        raise ValueError(f"margin={margin}: expected a share from 0 to below 1")
