"""Verdicts about pairs -> win rates, what the order of presentation did, and strengths of many models.

The rate counts a tie, and a pair of two bad answers, as half a win. Leaving ties out is another
quantity (0.542 instead of 0.525 on the same pairs) and never happens in silence. Unknown verdicts,
negative counts, tables of nothing and levels outside (0, 1) raise ValueError.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from scipy import special
from scipy.sparse import csgraph, csr_matrix

from ftgate_ext.stats.checks import Array, check_open_share, shares
from ftgate_ext.stats.limits import Limits, NoLimits
from ftgate_ext.stats.paired_binary import mcnemar_exact, tango_interval
from ftgate_ext.stats.proportion import wilson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

Verdict = Literal["candidate_better", "baseline_better", "tie", "both_bad"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

MAX_ROUNDS = 100_000


@dataclass(frozen=True)
class WinRate:
    """How often the candidate is preferred, a tie being half."""

    limits: Limits
    """Of the rate, as a share."""
    standard_error: float | None
    """sd(ddof=1) / sqrt(n), as a share: what leaderboards print. None of one pair, and 0 where all
    verdicts are alike, which is why the limits are not made of it."""
    wins: int
    losses: int
    ties: int
    both_bad: int
    rate_without_ties: float | None
    """wins / (wins + losses), or None where there is neither."""
    both_bad_share: float

    @property
    def rate_pct(self) -> float:
        """The rate in percent."""
        return 100 * self.limits.value

    @property
    def standard_error_pct(self) -> float | None:
        """The standard error in percentage points."""
        return None if self.standard_error is None else 100 * self.standard_error


@dataclass(frozen=True)
class WeightedWinRate:
    """The mean of graded preferences for the candidate."""

    rate: float
    standard_error: float | None
    """sd(ddof=1) / sqrt(n), as a share; None of one pair."""
    limits: Limits | NoLimits
    n: int


@dataclass(frozen=True)
class PositionBias:
    """What exchanging the two answers did to the verdicts."""

    consistency: Limits
    """Share of pairs with one and the same verdict in both orders."""
    consistent: int
    inconsistent: int
    first_preferred: int
    """Pairs won by whichever answer came first."""
    second_preferred: int
    p: float
    """Two-sided binomial test of "first as often as second"; 1 where no verdict went with position."""
    bias_index: float | None
    """(first - second) / (first + second), from -1 to 1, or None where both are 0."""
    win_rate: WinRate
    """Of the combined verdicts."""


def win_rate(wins: int, losses: int, ties: int, both_bad: int = 0, level: float = 0.95) -> WinRate:
    """Win rate of the candidate over n pairs, (wins + (ties + both_bad) / 2) / n.

    The rate is 1/2 + (wins - losses) / (2 n), half a paired difference, and its limits are those of
    Tango's score (1998), halved around 1/2: they stay inside [0, 1] and have a width where all pairs
    are won or all are tied, where rate -+ z SE has none. Away from 0 and 1 both
    agree from some hundred pairs on.

    Args:
        wins: Pairs in which the candidate is better.
        losses: Pairs in which the baseline is better.
        ties: Pairs without a preference.
        both_bad: Pairs in which neither will do.
        level: Two-sided; a one-sided 95 % limit is a limit at level 0.90.

    Raises:
        ValueError: A negative count, no pair at all, level outside (0, 1).
    """
    check_open_share(level, "level")
    n = wins + losses + ties + both_bad
    if min(wins, losses, ties, both_bad) < 0 or n < 1:
        raise ValueError(f"wins={wins}, losses={losses}, ties={ties}, both_bad={both_bad}: expected counts from 0, at least 1 pair")  # fmt: skip
    difference = tango_interval(wins, losses, n, level)
    rate = 0.5 + difference.value / 2
    lower, upper = 0.5 + difference.lower / 2, 0.5 + difference.upper / 2
    squares = wins * (1 - rate) ** 2 + losses * rate**2 + (ties + both_bad) * (0.5 - rate) ** 2
    return WinRate(
        limits=Limits(rate, lower, upper, level, n, "Tango score, halved"),
        standard_error=math.sqrt(squares / (n - 1) / n) if n > 1 else None,
        wins=wins,
        losses=losses,
        ties=ties,
        both_bad=both_bad,
        rate_without_ties=wins / (wins + losses) if wins + losses else None,
        both_bad_share=both_bad / n,
    )


def weighted_win_rate(preferences: ArrayLike, level: float = 0.95) -> WeightedWinRate:
    """Mean preference for the candidate, where a judge gives its probability and not a verdict.

    Mean and sd(ddof=1) / sqrt(n), with t limits cut off to [0, 1]. AlpacaEval 2 stores 1 plus the
    probability that the evaluated model is better: subtract 1 first.

    Args:
        preferences: One a pair, in [0, 1]; 1 is the candidate for certain.
        level: Of the limits.

    Returns:
        The rate; its limits are none under 2 pairs or where all preferences are equal.

    Raises:
        ValueError: None at all, one outside [0, 1], level outside (0, 1).
    """
    check_open_share(level, "level")
    values = shares(preferences, "preferences")
    n, rate = len(values), float(values.mean())
    if n < 2:
        return WeightedWinRate(rate, None, NoLimits(rate, n, "1 pair; at least 2 are needed"), n)
    if np.ptp(values) < 1e-12:
        none = NoLimits(rate, n, f"all {n} preferences are equal: nothing varies")
        return WeightedWinRate(rate, 0.0, none, n)
    error = float(values.std(ddof=1)) / math.sqrt(n)
    half = float(special.stdtrit(n - 1, 0.5 + level / 2)) * error
    lower, upper = max(0.0, rate - half), min(1.0, rate + half)
    return WeightedWinRate(rate, error, Limits(rate, lower, upper, level, n, f"t({n - 1})"), n)


def combine_orders(first: Verdict, second: Verdict) -> Verdict:
    """The verdict of a pair that was judged in both orders: both times the same, or a tie.

    For a judge that must choose this equals averaging both orders, so nothing is lost. A judge that
    may say "tie" loses half a point where it does so once: count those (`position_bias`).

    Args:
        first: With the candidate shown first; about the models, not about positions.
        second: With the baseline shown first; about the models.

    Raises:
        ValueError: Anything else, such as a verdict that could not be read: that is no tie.
    """
    for verdict in (first, second):
        if verdict not in VERDICTS:
            raise ValueError(f"verdict {verdict!r}: expected one of {', '.join(VERDICTS)}")
    return first if first == second else "tie"


def position_bias(
    counts: Mapping[tuple[Verdict, Verdict], int], level: float = 0.95
) -> PositionBias:
    """How much of the verdicts follows the position of the answers (Zheng et al. 2023, MT-bench).

    A pair follows position where the verdicts are opposite: candidate shown first and better, then
    baseline shown first and better is a preference for the first. A verdict against a tie is
    inconsistent and follows neither.

    Args:
        counts: (verdict with the candidate first, verdict with the baseline first) -> pairs.
        level: Of the limits of consistency (Wilson) and of the win rate.
    """
    combined = dict.fromkeys(VERDICTS, 0)
    for (in_order, exchanged), count in counts.items():
        if count < 0:
            raise ValueError(f"{in_order}, {exchanged}: {count} pairs: expected a count from 0")
        combined[combine_orders(in_order, exchanged)] += count
    total = sum(counts.values())
    if total < 1:
        raise ValueError("no pair was judged in both orders: expected at least 1")
    consistent = sum(counts.get((verdict, verdict), 0) for verdict in VERDICTS)
    first = counts.get(("candidate_better", "baseline_better"), 0)
    second = counts.get(("baseline_better", "candidate_better"), 0)
    return PositionBias(
        consistency=wilson(consistent, total, level),
        consistent=consistent,
        inconsistent=total - consistent,
        first_preferred=first,
        second_preferred=second,
        p=mcnemar_exact(first, second),
        bias_index=(first - second) / (first + second) if first + second else None,
        win_rate=win_rate(
            combined["candidate_better"],
            combined["baseline_better"],
            combined["tie"],
            combined["both_bad"],
            level,
        ),
    )


def bradley_terry(wins: ArrayLike) -> Array | NoLimits:
    """Strengths of several models from who beat whom: P(i beats j) = s_i / (s_i + s_j).

    Maximum likelihood by s_i = W_i / sum_j n_ij / (s_i + s_j), repeated until nothing moves (Zermelo
    1929; Hunter, Annals of Statistics 32, 2004, 384-406), scaled to a geometric mean of 1. For tables
    of more than two models; two are compared by `win_rate`.

    Args:
        wins: Shape (models, models), at least 2: how often i beat j; a tie adds 1/2 to both.

    Returns:
        Shape (models,), or none where the models fall into groups of which one never lost to
        another: its strength would be infinite.

    Raises:
        ValueError: No square table, a negative or not finite count, something on the diagonal.
    """
    table = np.asarray(wins, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or len(table) < 2:
        raise ValueError(f"wins has shape {table.shape}: expected a square of 2 or more")
    if not np.isfinite(table).all() or (table < 0).any() or np.diag(table).any():
        raise ValueError("wins: expected counts from 0, and 0 on the diagonal")
    games = table + table.T
    pairs = round(float(games.sum() / 2))
    groups = csgraph.connected_components(csr_matrix(table), connection="strong")[0]
    if groups > 1:
        return NoLimits(None, pairs, f"{groups} groups of models: not every group both won and lost against another")  # fmt: skip
    strengths = np.ones(len(table))
    for _ in range(MAX_ROUNDS):
        expected = (games / np.add.outer(strengths, strengths)).sum(axis=1)
        moved = table.sum(axis=1) / expected
        moved /= math.exp(float(np.log(moved).mean()))
        settled = np.allclose(moved, strengths, rtol=1e-13, atol=0)
        strengths = np.asarray(moved)
        if settled:
            return strengths
    return NoLimits(None, pairs, f"no convergence in {MAX_ROUNDS} rounds: some strengths hardly differ from infinity")  # fmt: skip
