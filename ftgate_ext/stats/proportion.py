"""One proportion, and the paired difference of two, with limits that hold at the boundary."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import optimize, stats


@dataclass(frozen=True)
class Limits:
    """A value with its two-sided interval at `level`."""

    value: float
    lower: float
    upper: float
    level: float
    n: int
    method: str


def clopper_pearson(successes: int, n: int, level: float = 0.95) -> Limits:
    """Exact interval of a proportion.

    The limits are the beta quantiles B(a/2; k, n-k+1) and B(1-a/2; k+1, n-k), a = 1 - level
    (Clopper and Pearson 1934). Never covers less than `level`; wider than needed in the middle.

    Args:
        successes: k, 0 to n.
        n: Number of trials, at least 1.
        level: Confidence level in (0, 1); a one-sided 95 % limit is a limit at level 0.90.

    Raises:
        ValueError: n < 1, or successes outside 0..n.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"successes={successes}, n={n}: expected 0 <= successes <= n, n >= 1")
    interval = stats.binomtest(successes, n).proportion_ci(confidence_level=level, method="exact")
    return Limits(
        successes / n, float(interval.low), float(interval.high), level, n, "Clopper-Pearson"
    )


def mcnemar_exact(gained: int, lost: int) -> float:
    """Two-sided p of "as many gains as losses": the binomial test of gained in gained + lost at 1/2.

    1 where nothing is discordant. Conservative: type-I error 0.01 to 0.04 at alpha 0.05.
    """
    discordant = gained + lost
    return 1.0 if discordant == 0 else float(stats.binomtest(gained, discordant, 0.5).pvalue)


def tango_z(gained: int, lost: int, n: int, difference: float) -> float:
    """Score statistic of "the paired difference of proportions is `difference`".

    z = (b - c - n d) / sqrt(n (2 q + d (1 - d))), with b gained, c lost, and q the maximum-likelihood
    estimate of the lost share under d: the larger root of 2n q^2 + (2n d - (b - c) d - b - c) q
    - c d (1 - d) = 0 (Tango, Statistics in Medicine 17, 1998, 891-908). Approximately standard normal,
    also where few pairs or none are discordant.

    Args:
        gained: Pairs that only the candidate has right.
        lost: Pairs that only the baseline has right.
        n: All pairs, at least 1.
        difference: d, in (-1, 1).
    """
    b, c, d = gained, lost, difference
    linear = (2 * n - b + c) * d - b - c
    square = max(0.0, linear**2 + 8 * n * c * d * (1 - d))  # below 0 by rounding only
    q = (math.sqrt(square) - linear) / (4 * n)
    variance = n * (2 * q + d * (1 - d))
    residual = b - c - n * d
    if variance <= 0:
        return 0.0 if residual == 0 else math.copysign(math.inf, residual)
    return residual / math.sqrt(variance)


def tango_interval(gained: int, lost: int, n: int, level: float = 0.95) -> Limits:
    """Score interval of a paired difference of proportions, (gained - lost) / n.

    All d with |tango_z| <= z. Keeps its level at 50 pairs and at shares near 0 and 1, where t and
    bootstrap intervals do not, and has a width where nothing is discordant: z^2 / (n + z^2).

    Args:
        gained: Pairs that only the candidate has right.
        lost: Pairs that only the baseline has right.
        n: All pairs, at least 1.
        level: Two-sided confidence level; a one-sided 95 % limit is a limit at level 0.90.

    Raises:
        ValueError: n < 1, or gained and lost do not fit into n.
    """
    if n < 1 or min(gained, lost) < 0 or gained + lost > n:
        raise ValueError(
            f"gained={gained}, lost={lost}, n={n}: expected gained + lost <= n, n >= 1"
        )
    z = float(stats.norm.ppf(0.5 + level / 2))
    value, edge = (gained - lost) / n, 1 - 1e-12

    def limit(sign: int) -> float:
        at_edge = tango_z(gained, lost, n, -sign * edge) - sign * z
        if at_edge * sign <= 0 or (abs(value) == 1 and sign * value < 0):
            return -float(sign)
        return float(optimize.brentq(lambda d: tango_z(gained, lost, n, d) - sign * z, -edge, edge))

    return Limits(value, limit(1), limit(-1), level, n, "Tango score")
