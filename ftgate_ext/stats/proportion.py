"""Counts -> limits of one proportion, and of the difference of two independent ones.

Every interval here holds at the boundary: 50 of 50 is not "exactly 100 %". Models that answered the
same cases are compared in `paired_binary`, not with the difference of two independent proportions.
"""

from __future__ import annotations

import math

from scipy.special import betaincinv, ndtri

from ftgate_ext.stats.checks import check_open_share
from ftgate_ext.stats.limits import Limits as Limits  # noqa: PLC0414 - handed on


def check_count(successes: int, n: int) -> None:
    """Refuse counts that no n trials can give: a fraction or NaN that slipped through as well.

    Raises:
        ValueError: n < 1, successes outside 0..n, or no whole numbers.
    """
    whole = float(successes).is_integer() and float(n).is_integer()
    if not (whole and n >= 1 and 0 <= successes <= n):
        raise ValueError(
            f"successes={successes}, n={n}: expected 0 <= successes <= n, n >= 1, whole numbers"
        )


def two_sided_z(level: float) -> float:
    """Standard normal quantile of a two-sided interval: 1.96 for level 0.95.

    Raises:
        ValueError: level outside (0, 1).
    """
    check_open_share(level, "level")
    return float(ndtri(0.5 + level / 2))


def clopper_pearson(successes: int, n: int, level: float = 0.95) -> Limits:
    """Exact interval of a proportion.

    The limits are the beta quantiles B(a/2; k, n-k+1) and B(1-a/2; k+1, n-k), a = 1 - level
    (Clopper and Pearson 1934, Biometrika 26, 404-413). Never covers less than `level`; wider than
    needed in the middle.

    Args:
        successes: k, 0 to n.
        n: Number of trials, at least 1.
        level: Confidence level in (0, 1); a one-sided 95 % limit is a limit at level 0.90.

    Raises:
        ValueError: n < 1, successes outside 0..n, or level outside (0, 1).
    """
    check_count(successes, n)
    check_open_share(level, "level")
    tail = (1 - level) / 2
    lower = float(betaincinv(successes, n - successes + 1, tail)) if successes > 0 else 0.0
    upper = float(betaincinv(successes + 1, n - successes, 1 - tail)) if successes < n else 1.0
    return Limits(float(successes / n), lower, upper, level, int(n), "Clopper-Pearson")


def wilson(successes: int, n: int, level: float = 0.95) -> Limits:
    """Score interval of a proportion.

    All p with |k - np| <= z sqrt(np(1-p)), which is
    (k + z^2/2 -+ z sqrt(k(n-k)/n + z^2/4)) / (n + z^2) (Wilson 1927, JASA 22, 209-212). Covers
    `level` on average over p, and between 90 and 97 % of the time at a given p and n = 50. Not for
    a threshold that must be proven: there the exact interval is.

    Args:
        successes: k, 0 to n.
        n: Number of trials, at least 1.
        level: Confidence level in (0, 1).

    Raises:
        ValueError: n < 1, successes outside 0..n, or level outside (0, 1).
    """
    check_count(successes, n)
    z = two_sided_z(level)
    centre = (successes + z * z / 2) / (n + z * z)
    half = z * math.sqrt(successes * (n - successes) / n + z * z / 4) / (n + z * z)
    # At 0 and n of n the limit is 0 or 1 exactly, whatever rounding says.
    lower = float(centre - half) if successes > 0 else 0.0
    upper = float(centre + half) if successes < n else 1.0
    return Limits(float(successes / n), lower, upper, level, int(n), "Wilson")


def newcombe_independent(
    successes_a: int, n_a: int, successes_b: int, n_b: int, level: float = 0.95
) -> Limits:
    """Hybrid score interval of the difference of two independent proportions, a minus b.

    With Wilson limits l, u of each: lower = d - sqrt((p_a - l_a)^2 + (u_b - p_b)^2), upper
    = d + sqrt((u_a - p_a)^2 + (p_b - l_b)^2) (Newcombe 1998, Statistics in Medicine 17, 873-890,
    method 10). Only for models that answered different cases.

    Args:
        successes_a: 0 to n_a.
        n_a: Trials of a, at least 1.
        successes_b: 0 to n_b.
        n_b: Trials of b, at least 1.
        level: Confidence level in (0, 1).

    Returns:
        Limits with n = n_a + n_b.

    Raises:
        ValueError: Counts that do not fit, or level outside (0, 1).
    """
    a, b = wilson(successes_a, n_a, level), wilson(successes_b, n_b, level)
    value = a.value - b.value
    lower = value - math.hypot(a.value - a.lower, b.upper - b.value)
    upper = value + math.hypot(a.upper - a.value, b.value - b.lower)
    return Limits(
        value, max(lower, -1.0), min(upper, 1.0), level, a.n + b.n, "Newcombe hybrid score"
    )
