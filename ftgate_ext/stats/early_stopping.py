"""Counts of verdicts at a look -> limits of the win rate that hold although one may stop there.

Two ways: a number of looks planned beforehand (O'Brien and Fleming), or a bet that may be looked at
whenever one likes. Pairs must come in an order that says nothing about them.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from scipy import special

from ftgate_ext.stats.checks import check_open_share
from ftgate_ext.stats.limits import Limits
from ftgate_ext.stats.preference import win_rate
from ftgate_ext.stats.sequential import BETS, BOLDEST_BET, boundaries, crossing_probability

LEAST_ALPHA = 1e-9
"""The first of many O'Brien-Fleming looks asks for less than numbers can tell from 0."""
HALVINGS = 50


def look_alpha(look: int, looks: int, alpha: float = 0.05, sides: Literal[1, 2] = 2) -> float:
    """The test level that one of several planned looks may use, so that all of them keep `alpha`.

    Limits at this level at whichever look one stops are repeated confidence intervals (Jennison and
    Turnbull, Journal of the Royal Statistical Society B 51, 1989, 305-361): all of them hold together.

    Args:
        look: 1 to `looks`, at look / looks of the cases.
        looks: 1 to 50.
        alpha: Of all looks.
        sides: As `boundaries`.

    Raises:
        ValueError: look, looks, alpha or sides out of range.
    """
    if not 1 <= look <= looks:
        raise ValueError(f"look={look}: expected 1 to {looks}")
    z = float(boundaries(looks, "obrien_fleming", alpha, sides)[look - 1])
    return max(sides * float(special.ndtr(-z)), LEAST_ALPHA)


def repeated_win_rate(
    wins: int, losses: int, ties: int, look: int, looks: int, level: float = 0.95
) -> Limits:
    """Win rate at one of several planned looks: Tango's score limits at that look's level.

    Args:
        wins: Pairs so far in which the candidate is better.
        losses: Pairs in which the other is.
        ties: All others, two bad answers included.
        look: Which of the looks this is.
        looks: How many were planned.
        level: That all looks hold together.
    """
    alpha = look_alpha(look, looks, 1 - level)
    found = win_rate(wins, losses, ties, level=1 - alpha).limits
    method = f"{found.method}, repeated: look {look} of {looks}"
    return Limits(found.value, found.lower, found.upper, level, found.n, method)


def log_capital_above(wins: int, losses: int, ties: int, null: float) -> float:
    """Logarithm of what bets on "the rate is above `null`" have earned; 0 at the start.

    The mixture of `sequential.betting_test`. Every bet stays the same, so that the order in which
    verdicts came does not matter.

    Args:
        wins: Verdicts of 1.
        losses: Verdicts of 0.
        ties: Verdicts of one half.
        null: In (0, 1).
    """
    check_open_share(null, "null")
    bets = BOLDEST_BET / null * np.arange(1, BETS + 1) / BETS
    earned = sum(
        count * np.log1p(bets * (score - null))
        for count, score in ((wins, 1.0), (ties, 0.5), (losses, 0.0))
    )
    return float(special.logsumexp(earned)) - math.log(BETS)


def betting_p(wins: int, losses: int, ties: int, null: float = 0.5) -> float:
    """Two-sided p of "the rate is `null`" that holds whenever one stops: 2 / the larger capital."""
    above = log_capital_above(wins, losses, ties, null)
    below = log_capital_above(losses, wins, ties, 1 - null)
    return min(1.0, 2 * math.exp(-max(above, below)))


def betting_win_rate(wins: int, losses: int, ties: int, level: float = 0.95) -> Limits:
    """Win rate with limits that hold at any time, for whatever reason one stops.

    All rates against which no bet has earned 2 / (1 - level): a confidence sequence (Waudby-Smith and
    Ramdas, Journal of the Royal Statistical Society B 86, 2024, 1-27).

    Args:
        wins: Pairs so far in which the candidate is better.
        losses: Pairs in which the other is.
        ties: All others.
        level: Two-sided; each side keeps half of the rest.

    Raises:
        ValueError: A negative count, no pair at all, level outside (0, 1).
    """
    n = wins + losses + ties
    if min(wins, losses, ties) < 0 or n < 1:
        raise ValueError(f"wins={wins}, losses={losses}, ties={ties}: expected counts from 0, at least 1 pair")  # fmt: skip
    check_open_share(level, "level")
    rate = (wins + ties / 2) / n
    goal = math.log(2 / (1 - level))
    lower = _lower_limit(wins, losses, ties, rate, goal)
    upper = 1 - _lower_limit(losses, wins, ties, 1 - rate, goal)
    return Limits(rate, lower, upper, level, n, "betting, holds at any time")


def _lower_limit(wins: int, losses: int, ties: int, rate: float, goal: float) -> float:
    """The smallest rate that is not bet away; the capital falls as the rate grows."""
    low, high = 0.0, rate
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if not 0 < middle < 1:
            return low
        if log_capital_above(wins, losses, ties, middle) >= goal:
            low = middle
        else:
            high = middle
    return low


def anytime_z(share: float, alpha: float = 0.05) -> float:
    """By how many standard errors limits of a mean reach that hold at any time, two-sided.

    sqrt(2 (1 + 1/u) log(sqrt(1 + u) / alpha)), u proportional to the cases so far: asymptotic
    confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (Annals of Statistics 52,
    2024, 2613-2640), narrowest at all planned cases. For estimates that are no plain mean of verdicts.

    Args:
        share: Cases so far / cases planned, in (0, 1].
        alpha: Of all times together.

    Raises:
        ValueError: share or alpha out of range.
    """
    check_open_share(alpha, "alpha")
    if not 0 < share <= 1:
        raise ValueError(f"share={share}: expected a number above 0 and up to 1")
    twice = -2 * math.log(alpha)
    u = share * (twice + math.log(1 + twice))
    return math.sqrt(2 * (1 + 1 / u) * math.log(math.sqrt(1 + u) / alpha))


def expected_share(looks: int, drift: float, alpha: float = 0.05) -> float:
    """Which share of the cases O'Brien-Fleming looks are expected to need.

    Args:
        looks: How many are planned.
        drift: The expected z with all cases.
        alpha: Two-sided, of all looks.
    """
    z = boundaries(looks, "obrien_fleming", alpha, 2)
    stops = crossing_probability(z, 2, drift / math.sqrt(looks))
    before_last = stops[:-1]
    used = float((before_last * np.arange(1, looks)).sum()) / looks
    return used + 1 - float(before_last.sum())


def anytime_p(z: float, share: float) -> float:
    """Two-sided p that holds whenever one stops: the alpha whose `anytime_z` is |z|.

    Args:
        z: Estimate over its standard error.
        share: Cases so far / cases planned, in (0, 1].
    """
    low, high = math.log(LEAST_ALPHA), math.log(1 - LEAST_ALPHA)
    if abs(z) < anytime_z(share, math.exp(high)):
        return 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if anytime_z(share, math.exp(middle)) > abs(z):
            low = middle
        else:
            high = middle
    return math.exp(high)


def expected_betting_share(
    n: int, rate: float, ties: float, rounds: int, paths: int = 1000, seed: int = 1
) -> float:
    """Which share of the cases a bet against one half is expected to need, by simulation.

    Args:
        n: Cases planned.
        rate: True win rate.
        ties: True share of ties, at most 2 (1 - rate) and 2 rate.
        rounds: How often one looks.
        paths: Simulated orders.
        seed: Same seed, same figure.

    Raises:
        ValueError: A rate that so many ties do not allow, or less than one case or round.
    """
    win, loss = rate - ties / 2, 1 - rate - ties / 2
    if min(win, loss, ties) < 0 or min(n, rounds, paths) < 1:
        raise ValueError(f"n={n}, rate={rate}, ties={ties}, rounds={rounds}: expected shares that fit, counts from 1")  # fmt: skip
    ends = np.unique(np.ceil(n * np.arange(1, rounds + 1) / rounds).astype(int))
    rng = np.random.default_rng(seed)
    steps = [rng.multinomial(k, [win, loss, ties], size=paths) for k in np.diff(ends, prepend=0)]
    counts = np.cumsum(steps, axis=0)[..., :, None]
    bets = np.arange(1, BETS + 1) / BETS * BOLDEST_BET
    one_way, other = (
        special.logsumexp(
            counts[..., first, :] * np.log1p(bets) + counts[..., second, :] * np.log1p(-bets), axis=-1
        )
        for first, second in ((0, 1), (1, 0))
    )  # fmt: skip
    stopped = np.maximum(one_way, other) - math.log(BETS) >= math.log(2 / 0.05)
    first = np.where(stopped.any(axis=0), stopped.argmax(axis=0), len(ends) - 1)
    return float(ends[first].mean()) / n
