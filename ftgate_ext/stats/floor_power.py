"""A floor under one pass rate -> the counts that pass and fail it, its power, the cases it needs.

Limits are one-sided Clopper-Pearson (Clopper and Pearson 1934, Biometrika 26, 404-413), as in the
decision itself, and powers are binomial sums. For a ceiling count the failures instead: exchange k
for n - k and every rate for 1 less the rate.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from scipy.special import bdtr, bdtrc

from ftgate_ext.stats.power import check_share, one_sided_z, power_z
from ftgate_ext.stats.proportion import check_count, clopper_pearson

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_CASES = 10_000_000
"""Nobody runs more; a plan that asks for more is told that there is no such number."""
LOOK_BACK = 64
"""The teeth of the saw are uneven: one up to 26 failures earlier was found to be high enough."""


def smallest_passing_count(n: int, threshold: float, alpha: float = 0.05) -> int | None:
    """Fewest passes of n that prove a rate of at least `threshold`.

    The smallest k whose one-sided Clopper-Pearson lower limit reaches the threshold (Clopper and
    Pearson 1934, Biometrika 26, 404-413). None where n of n do not: see `smallest_provable_n`. For a
    ceiling count the failures: exchange k for n - k and the threshold for 1 - threshold.
    """
    level = _floor_level(n, threshold, alpha)

    def short(passes: int) -> bool:
        return clopper_pearson(passes, n, level).lower < threshold

    return None if short(n) else _first_not(short, 0, int(n))


def largest_failing_count(n: int, threshold: float, alpha: float = 0.05) -> int | None:
    """Most passes of n that show a rate below `threshold`.

    The largest k whose one-sided Clopper-Pearson upper limit is below the threshold. None where even
    0 of n does not show it: a rule on so few cases never fails.
    """
    level = _floor_level(n, threshold, alpha)

    def shown(passes: int) -> bool:
        return clopper_pearson(passes, n, level).upper < threshold

    return _first_not(shown, 0, int(n)) - 1 if shown(0) else None


def smallest_provable_n(threshold: float, alpha: float = 0.05) -> int | None:
    """Fewest cases that can prove a rate of `threshold`, every one of them passed.

    The smallest n with threshold^n <= alpha: 149 for 98 %. None for a threshold of 1.
    """
    level = _floor_level(1, threshold, alpha)
    if threshold == 1:
        return None
    n = max(1, math.floor(math.log(alpha) / math.log(threshold)) - 1) if threshold > 0 else 1
    while clopper_pearson(n, n, level).lower < threshold:
        n += 1
    return n


def power_of_floor(
    n: int,
    threshold: float,
    true_rate: float,
    evidence: Literal["point", "proven", "screen"] = "proven",
    alpha: float = 0.05,
) -> float:
    """Chance that a model with this true rate passes a floor on n cases.

    P(X >= k), X ~ Bin(n, true_rate), with k by evidence. point: k / n reaches the threshold.
    proven: k = `smallest_passing_count`. screen: more than `largest_failing_count`, so 1 minus this
    is the chance to fail as proven.
    """
    _floor_level(n, threshold, alpha)
    check_share(true_rate, "true_rate")
    least: int | None
    if evidence == "point":
        least = least_count(n, threshold)
    elif evidence == "proven":
        least = smallest_passing_count(n, threshold, alpha)
    elif evidence == "screen":
        failing = largest_failing_count(n, threshold, alpha)
        least = 0 if failing is None else failing + 1
    else:
        raise ValueError(f"evidence={evidence!r}: expected 'point', 'proven' or 'screen'")
    return 0.0 if least is None else float(bdtrc(least - 1, int(n), true_rate))


def cases_for_floor(
    threshold: float, true_rate: float, alpha: float = 0.05, power: float = 0.8
) -> int | None:
    """Fewest cases on which a model with this true rate proves `threshold` with this power.

    Power rises and falls with n like a saw: it jumps where one more failure is forgiven. So the
    answer is one of the n at which it jumps, and one case more has a little less power. None where
    the true rate is not above the threshold, or so little that `MOST_CASES` are too few.
    """
    _floor_level(1, threshold, alpha)
    check_share(true_rate, "true_rate")
    power_z(power, alpha)
    if true_rate <= threshold:
        return None
    if threshold == 0:
        return 1
    failure = 1 - true_rate

    def cases(failures: int) -> int:
        return _cases_forgiving(failures, threshold, alpha)

    def lacking(failures: int) -> bool:
        return float(bdtr(failures, cases(failures), failure)) < power

    most = 1
    while lacking(most):
        most *= 2
        if cases(most) > MOST_CASES:
            return None
    found = _first_not(lacking, 0, most)
    earlier = (f for f in range(max(0, found - LOOK_BACK), found) if not lacking(f))
    return cases(next(earlier, found))


def least_count(n: int, threshold: float) -> int:
    """The smallest count, possibly below 0, whose share of n is at least the threshold."""
    count = math.ceil(n * threshold)
    # n * threshold is rounded: 0.07 of 100 is 7, not 8. The gate compares count / n.
    if (count - 1) / n >= threshold:
        return count - 1
    return count if count / n >= threshold else count + 1


def _cases_forgiving(failures: int, threshold: float, alpha: float) -> int:
    """Fewest cases that prove the threshold with so many failures among them."""

    def unproven(n: int) -> bool:
        return float(bdtr(failures, n, 1 - threshold)) > alpha

    high = failures + 1
    while unproven(high):
        high *= 2
    return _first_not(unproven, failures + 1, high)


def _first_not(condition: Callable[[int], bool], low: int, high: int) -> int:
    """The first count for which the condition no longer holds; it holds up to some count below."""
    while low < high:
        middle = (low + high) // 2
        if condition(middle):
            low = middle + 1
        else:
            high = middle
    return low


def _floor_level(n: int, threshold: float, alpha: float) -> float:
    check_count(0, n)
    check_share(threshold, "threshold")
    one_sided_z(alpha)
    return 1 - 2 * alpha
