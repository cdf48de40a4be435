"""Preferences and lengths of both answers -> the win rate had both answers been equally long.

Judges like long answers. A model that only writes more wins more, and this takes that part out. It
does not stop other ways to please a judge: a constant answer tops a public length-controlled table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from ftgate_ext.stats.checks import Array, check_open_share, finite_values, shares
from ftgate_ext.stats.draws import RESAMPLE_BLOCK, Draw, generator
from ftgate_ext.stats.limits import Limits, NoLimits

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

FEWEST_EITHER_WAY = 10
"""Pairs in which the candidate's answer is the longer, and the shorter: fewer do not show what
happens at equal length. Also of more and of less than half a win."""
LEAST_SHARE_EITHER_WAY = 0.1
"""The same as a share: with fewer, equal length lies at the edge of what was seen, and the rate there
is a guess of the regression (37.8 % where the full model of many models says 19.3 %)."""
RIDGE = 0.01
"""Pull of both coefficients towards 0, in pairs' worth: keeps a resample finite in which one model
wins every pair, and moves the rate of 200 pairs by less than 0.0001."""
MAX_STEPS = 60
LONGEST_STEP = 2.0
"""Newton's steps are cut off here: far from the solution they overshoot."""
CONVERGED = 1e-9


@dataclass(frozen=True)
class LengthControlledRate:
    """A win rate at equal length."""

    limits: Limits
    """Of the rate, by bootstrap with the regression fitted anew in every resample."""
    lower_one_sided: float
    upper_one_sided: float
    p: float
    """Two-sided, of a rate of one half."""
    standard_error: float
    length_effect: float
    """How the log odds of a win grow from equal length to very much longer; 0: length is nothing."""
    length_effect_limits: tuple[float, float]
    mean_difference: float
    """Candidate's length minus the other's, in standard deviations."""


def length_controlled_win_rate(
    preferences: ArrayLike,
    length_differences: ArrayLike,
    seed: int,
    resamples: int = 2000,
    level: float = 0.95,
    alpha: float = 0.05,
) -> LengthControlledRate | NoLimits:
    """Win rate at equal length, by a logistic regression with two coefficients.

    logit P(win) = theta + phi tanh(d / sd(d)), d the candidate's length minus the other's, ties being
    half a win; the rate is 1 / (1 + exp(-theta)). After the length term of Dubois, Galambosi, Liang
    and Hashimoto, arXiv 2404.04475, 2024, without their terms for single questions, which need many
    models. Exchanging the models turns the rate into 1 minus itself. Percentile limits: the regression
    is fitted again in each resample of the pairs, with the same sd; published code takes the spread of
    predictions for a standard error, which is far too small.

    Args:
        preferences: One a pair, in [0, 1]: 1 a win of the candidate, 0.5 a tie, 0 a loss.
        length_differences: The same pairs: candidate's length minus the other's, in any unit.
        seed: Same seed, same result, in whatever order the pairs come.
        resamples: At least 100.
        level: Of the two-sided limits.
        alpha: Of the one-sided limits.

    Returns:
        The rate, or none where all lengths are equal, where equal length lies at the edge of what
        was seen, or where hardly any pair is won or lost.

    Raises:
        ValueError: Lists empty, not finite or of different lengths, preferences outside [0, 1].
    """
    wins, d = _checked(preferences, length_differences)
    check_open_share(level, "level")
    check_open_share(alpha, "alpha")
    if resamples < 100:
        raise ValueError(f"resamples={resamples}: expected at least 100")
    if none := _why_not(wins, d):
        return none
    x = np.tanh(d / d.std(ddof=1))
    fitted = _fit(np.ones((1, len(x))), x, wins, np.zeros((1, 2)))[0]
    drawn = np.vstack([
        _fit(_weights(seed, block, len(x)), x, wins, np.tile(fitted, (RESAMPLE_BLOCK, 1)))
        for block in range(math.ceil(resamples / RESAMPLE_BLOCK))
    ])[:resamples]  # fmt: skip
    return _summary(fitted, drawn, d, level, alpha)


def length_controlled_value(preferences: ArrayLike, length_differences: ArrayLike) -> float:
    """The rate of `length_controlled_win_rate` without limits; for any pairs with some spread.

    Raises:
        ValueError: As there, or all lengths are equal.
    """
    wins, d = _checked(preferences, length_differences)
    if len(d) < 2 or np.ptp(d) == 0:
        raise ValueError("length_differences: all are equal; expected some spread")
    x = np.tanh(d / d.std(ddof=1))
    return float(special.expit(_fit(np.ones((1, len(x))), x, wins, np.zeros((1, 2)))[0, 0]))


def _checked(preferences: ArrayLike, length_differences: ArrayLike) -> tuple[Array, Array]:
    wins = shares(preferences, "preferences")
    d = finite_values(length_differences, "length_differences")
    if wins.shape != d.shape:
        raise ValueError(f"{len(wins)} preferences, {len(d)} lengths: expected pairs")
    order = np.lexsort((wins, d))
    return wins[order], d[order]


def _why_not(wins: Array, d: Array) -> NoLimits | None:
    n, raw = len(wins), float(wins.mean())
    if np.ptp(d) == 0:
        return NoLimits(
            raw, n, "the lengths differ by the same in all pairs: nothing to control for"
        )
    longer, shorter = int((d >= 0).sum()), int((d <= 0).sum())
    least = max(FEWEST_EITHER_WAY, math.ceil(LEAST_SHARE_EITHER_WAY * n))
    if min(longer, shorter) < least:
        return NoLimits(None, n, f"the candidate's answer is not shorter in {longer} of {n} pairs and not longer in {shorter}: at least {least} of both are needed to say what happens at equal length")  # fmt: skip
    won, lost = int((wins > 0.5).sum()), int((wins < 0.5).sum())
    if min(won, lost) < FEWEST_EITHER_WAY:
        return NoLimits(None, n, f"{won} wins and {lost} losses: at least {FEWEST_EITHER_WAY} of both are needed")  # fmt: skip
    return None


def _weights(seed: int, block: int, n: int) -> Array:
    """How often each pair is drawn in each resample of a block."""
    drawn = generator(seed, Draw.REFITS, block).integers(0, n, size=(RESAMPLE_BLOCK, n))
    drawn += n * np.arange(RESAMPLE_BLOCK)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=RESAMPLE_BLOCK * n)
    return counts.reshape(RESAMPLE_BLOCK, n).astype(np.float64)


def _fit(weights: Array, x: Array, wins: Array, start: Array) -> Array:
    """Newton's method for many weightings at once; shape (weightings, 2)."""
    found: Array = start.copy()
    square = x * x
    todo = np.arange(len(found))
    for _ in range(MAX_STEPS):
        w, at = weights[todo], found[todo]
        p = special.expit(at[:, :1] + at[:, 1:] * x)
        miss, spread = w * (wins - p), w * p * (1 - p)
        slope = np.column_stack([miss.sum(axis=1), miss @ x]) - RIDGE * at
        a, b, c = spread.sum(axis=1) + RIDGE, spread @ x, spread @ square + RIDGE
        turned = np.column_stack(
            [c * slope[:, 0] - b * slope[:, 1], a * slope[:, 1] - b * slope[:, 0]]
        )
        step = np.clip(turned / (a * c - b * b)[:, None], -LONGEST_STEP, LONGEST_STEP)
        found[todo] = at + step
        todo = todo[np.abs(step).max(axis=1) > CONVERGED]
        if not len(todo):
            break
    return found


def _summary(
    fitted: Array, drawn: Array, d: Array, level: float, alpha: float
) -> LengthControlledRate:
    tail = (1 - level) / 2
    rates = special.expit(drawn[:, 0])
    ends = np.quantile(rates, [tail, 1 - tail, alpha, 1 - alpha])
    slopes = np.quantile(drawn[:, 1], [tail, 1 - tail])
    rate = float(special.expit(fitted[0]))
    lower, upper = min(rate, float(ends[0])), max(rate, float(ends[1]))
    beyond = 1 + min(int((drawn[:, 0] <= 0).sum()), int((drawn[:, 0] >= 0).sum()))
    method = "logistic regression at equal length, refitted bootstrap"
    return LengthControlledRate(
        limits=Limits(rate, lower, upper, level, len(d), method),
        lower_one_sided=float(ends[2]), upper_one_sided=float(ends[3]),
        p=min(1.0, 2 * beyond / (len(drawn) + 1)), standard_error=float(rates.std(ddof=1)),
        length_effect=float(fitted[1]), length_effect_limits=(float(slopes[0]), float(slopes[1])),
        mean_difference=float(d.mean() / d.std(ddof=1)),
    )  # fmt: skip
