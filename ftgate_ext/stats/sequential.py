"""Looking before all cases are in -> limits on z, or capital, that keep the error of all looks.

Shuffle the cases first: every method here takes them in an order that says nothing about them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import optimize, special

from ftgate_ext.stats.checks import Array, check_open_share, finite_values, shares

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

BoundaryKind = Literal["pocock", "obrien_fleming"]
Side = Literal["above", "below"]

MAX_LOOKS = 50
NODES = 96
"""Gauss-Legendre nodes a look: twice as many change no constant by more than 1e-10."""
FAR_SD = 9.0
"""Where a one-sided test cannot stop, its region is cut off this many standard deviations out."""
BETS = 24
BOLDEST_BET = 0.5
"""Share of the capital at risk in the boldest bet. Bolder ones win only where hardly a dozen cases
are needed anyway, and cost a tenth more cases at a win rate of 0.60."""


@dataclass(frozen=True)
class BettingTest:
    """What bets against "the mean is `null`" have earned, case after case."""

    above: Array
    """Capital of the bets that the mean is above, after each case; starts at 1."""
    below: Array
    """The same for below; all 1 in a one-sided test."""
    stopped_after: int | None
    """Cases after which one capital first reached its threshold, or None: not shown."""
    side: Side | None
    p: float
    """Holds whenever one stops: the largest capital so far, turned over (Ville)."""
    alpha: float


def boundaries(
    looks: int, kind: BoundaryKind, alpha: float = 0.05, sides: Literal[1, 2] = 1
) -> Array:
    """The z that each of several equally spaced looks must reach.

    Pocock: the same z at every look (Biometrika 64, 1977, 191-199). O'Brien and Fleming: C sqrt(K /
    k), hard at first and near the fixed test at the end (Biometrics 35, 1979, 549-556). The constant
    is solved for with `crossing_probability`. The looks must be those that were planned.

    Args:
        looks: K, 1 to 50, at n / K, 2 n / K ... n cases.
        kind: "pocock" or "obrien_fleming".
        alpha: Chance of stopping at any look where nothing is true.
        sides: 1 stops for large z only, 2 for large |z|.

    Returns:
        Shape (looks,): z of the first look to the last.

    Raises:
        ValueError: looks, kind, alpha or sides out of range.
    """
    check_open_share(alpha, "alpha")
    if not 1 <= looks <= MAX_LOOKS:
        raise ValueError(f"looks={looks}: expected 1 to {MAX_LOOKS}")
    if kind not in ("pocock", "obrien_fleming"):
        raise ValueError(f"kind={kind!r}: expected 'pocock' or 'obrien_fleming'")
    if sides not in (1, 2):
        raise ValueError(f"sides={sides}: expected 1 or 2")
    if sides == 1 and alpha >= 0.5:
        raise ValueError(f"alpha={alpha}: expected below 0.5 for a one-sided test")
    return np.array(_boundaries(looks, kind, alpha, sides))


def crossing_probability(
    z_limits: ArrayLike, sides: Literal[1, 2] = 1, drift: float = 0.0
) -> Array:
    """The chance to stop first at each of several equally spaced looks.

    Sums S_k = sqrt(k) z_k have independent normal increments; their density on the region where one
    goes on is carried from look to look by numerical integration (Armitage, McPherson and Rowe,
    Journal of the Royal Statistical Society A 132, 1969, 235-244). Its sum is the overall type-I
    error, or with a drift the power.

    Args:
        z_limits: Positive z of every look, first to last.
        sides: 1 stops for z above the limit only, 2 for |z| above it.
        drift: Expected z of the first look; 0 where nothing is true.

    Returns:
        Shape (looks,): they sum to at most 1.

    Raises:
        ValueError: A limit that is not positive and finite, sides out of range.
    """
    limits = finite_values(z_limits, "z_limits")
    if limits.min() <= 0 or sides not in (1, 2) or not math.isfinite(drift):
        raise ValueError(f"z_limits={limits.tolist()}, sides={sides}, drift={drift}: expected positive z, sides 1 or 2")  # fmt: skip
    looks = np.arange(1, len(limits) + 1)
    top = limits * np.sqrt(looks)
    bottom = -top if sides == 2 else np.minimum(-FAR_SD, drift * looks - FAR_SD) * np.sqrt(looks)
    unit, weight = np.polynomial.legendre.leggauss(NODES)
    nodes, mass = np.zeros(1), np.ones(1)
    chances = np.empty(len(limits))
    for k, (low, high) in enumerate(zip(bottom, top, strict=True)):
        beyond = special.ndtr(nodes + drift - high)
        if sides == 2:
            beyond = beyond + special.ndtr(low - nodes - drift)
        chances[k] = mass @ beyond
        center, half = (high + low) / 2, (high - low) / 2
        ahead = center + half * unit
        density = np.exp(-((ahead[:, None] - nodes - drift) ** 2) / 2) / math.sqrt(2 * math.pi)
        nodes, mass = ahead, (density @ mass) * weight * half
    return chances


def capital(values: ArrayLike, null: float, bet: float | ArrayLike) -> Array:
    """Capital of a bettor against "the mean is `null`", after every value; it starts at 1.

    prod(1 + bet_i (x_i - null)) (Waudby-Smith and Ramdas, Journal of the Royal Statistical Society B
    86, 2024, 1-27). Where the null is true it is a non-negative martingale, so the chance that it
    ever reaches 1 / alpha is at most alpha (Ville 1939), however often one looks.

    Args:
        values: In [0, 1], in the order seen.
        null: The mean under the hypothesis, in (0, 1).
        bet: One for all, or one a value, chosen before that value is seen; positive bets win where
            the mean is above. Between -1 / (1 - null) and 1 / null, so that no value ruins beyond 0.

    Raises:
        ValueError: A value, the null or a bet out of range.
    """
    x = shares(values, "values")
    check_open_share(null, "null")
    bets = np.asarray(bet, dtype=np.float64)
    if bets.shape not in ((), x.shape):
        raise ValueError(f"bet has shape {bets.shape}: expected one number or one a value")
    if not ((bets >= -1 / (1 - null)) & (bets <= 1 / null)).all():
        raise ValueError(f"bet: expected {-1 / (1 - null):.4g} to {1 / null:.4g} for null={null}")
    return np.asarray(np.cumprod(1 + bets * (x - null)))


def betting_test(
    values: ArrayLike, null: float = 0.5, alpha: float = 0.05, sides: Literal[1, 2] = 2
) -> BettingTest:
    """Test of "the mean is `null`" that may be looked at after every case.

    The capital is spread evenly over bets from timid to bold, and a mixture of martingales is one
    (Waudby-Smith and Ramdas 2024, as `capital`). Two-sided: two capitals, each against 2 / alpha. For
    a budget of judgments where effects are large; for small ones planned looks cost less.

    Args:
        values: In [0, 1], in the order seen: 1, 0.5 and 0 for a win, a tie and a loss.
        null: The mean under the hypothesis, in (0, 1).
        alpha: Bound on the chance of ever rejecting a true hypothesis.
        sides: 1 looks for a larger mean only.

    Raises:
        ValueError: A value, the null, alpha or sides out of range.
    """
    x = shares(values, "values")
    check_open_share(null, "null")
    check_open_share(alpha, "alpha")
    if sides not in (1, 2):
        raise ValueError(f"sides={sides}: expected 1 or 2")
    above = _mixed_capital(x - null, BOLDEST_BET / null)
    below = _mixed_capital(null - x, BOLDEST_BET / (1 - null)) if sides == 2 else np.ones_like(x)
    reached = np.maximum(above, below) >= sides / alpha
    first = int(reached.argmax()) if reached.any() else None
    side: Side | None = None
    if first is not None:
        side = "above" if above[first] >= sides / alpha else "below"
    p = min(1.0, sides / float(max(above.max(), below.max())))
    return BettingTest(above, below, None if first is None else first + 1, side, p, alpha)


@lru_cache(maxsize=256)
def _boundaries(looks: int, kind: BoundaryKind, alpha: float, sides: Literal[1, 2]) -> list[float]:
    k = np.arange(1, looks + 1)
    shape = np.ones(looks) if kind == "pocock" else np.sqrt(looks / k)
    least = float(-special.ndtri(alpha / sides))
    if looks == 1:
        return [least]
    most = float(-special.ndtri(alpha / sides / looks))  # Bonferroni

    def excess(constant: float) -> float:
        return float(crossing_probability(constant * shape, sides).sum()) - alpha

    return (optimize.brentq(excess, least, most, xtol=1e-10) * shape).tolist()  # type: ignore[no-any-return]


def _mixed_capital(gains: Array, boldest: float) -> Array:
    """Mean over the bets of their capital; sums of logarithms, since products overflow."""
    bets = boldest * np.arange(1, BETS + 1) / BETS
    logs = np.cumsum(np.log1p(np.outer(bets, gains)), axis=1)
    return np.asarray(np.exp(np.minimum(special.logsumexp(logs, axis=0) - math.log(BETS), 700.0)))
