"""Tests of win rates and orders: leaderboard figures, degenerate counts, then any verdicts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK

from ftgate_ext.stats.limits import Limits, NoLimits
from ftgate_ext.stats.preference import (
    VERDICTS,
    Verdict,
    bradley_terry,
    combine_orders,
    position_bias,
    weighted_win_rate,
    win_rate,
)

WON: Verdict = "candidate_better"
LOST: Verdict = "baseline_better"

tallies = st.tuples(*[st.integers(0, 60)] * 4).filter(lambda tally: sum(tally) > 0)
looks = st.dictionaries(
    st.tuples(st.sampled_from(VERDICTS), st.sampled_from(VERDICTS)), st.integers(0, 30), min_size=1
).filter(lambda counts: sum(counts.values()) > 0)


@pytest.mark.parametrize(
    ("tally", "rate_pct", "error_pct"),
    [
        ((761, 32, 12), 95.27950310559004, 0.716281440286153),
        ((734, 69, 1), 91.35572139303484, 0.9897323784630048),
        ((750, 46, 8), 93.78109452736318, 0.8338571422122372),
        ((199, 600, 6), 25.093167701863354, 1.521412738876177),
    ],
)
def test_win_rates_are_those_of_the_leaderboard(
    tally: tuple[int, int, int], rate_pct: float, error_pct: float
) -> None:
    """AlpacaEval: gpt4, claude-2, gpt4_0613, and gpt4 on version 2 (alpaca_eval @cd543a14)."""
    found = win_rate(*tally)

    assert found.rate_pct == pytest.approx(rate_pct, abs=1e-6)
    assert found.standard_error_pct == pytest.approx(error_pct, abs=1e-6)


@QUICK
@given(tallies)
def test_a_win_rate_is_a_mean_of_scores(tally: tuple[int, int, int, int]) -> None:
    """1, 0 and 1/2: their mean and the standard error of that mean."""
    values = np.repeat([1.0, 0.0, 0.5, 0.5], tally)
    found = win_rate(*tally)

    assert found.limits.value == pytest.approx(values.mean())
    if len(values) > 1:
        assert found.standard_error == pytest.approx(values.std(ddof=1) / np.sqrt(len(values)))
    else:
        assert found.standard_error is None
        assert found.standard_error_pct is None


@QUICK
@given(tallies)
def test_win_rates_mirror_and_never_collapse(tally: tuple[int, int, int, int]) -> None:
    """The baseline's rate is one minus the candidate's, and every interval has a width."""
    wins, losses, ties, both_bad = tally
    one, other = win_rate(*tally).limits, win_rate(losses, wins, ties, both_bad).limits

    assert 0 <= one.lower <= one.value <= one.upper <= 1
    assert one.upper > one.lower
    assert (other.lower, other.upper) == pytest.approx((1 - one.upper, 1 - one.lower))


@pytest.mark.parametrize("tally", [(50, 0, 0, 0), (0, 50, 0, 0), (0, 0, 50, 0), (0, 0, 0, 50)])
def test_verdicts_that_are_all_alike_have_limits(tally: tuple[int, int, int, int]) -> None:
    """All wins, all losses, all ties: the standard error is 0 and the limits are not."""
    found = win_rate(*tally)

    assert found.standard_error == 0
    assert found.limits.upper - found.limits.lower > 0.03


def test_the_rate_without_ties_stands_beside_the_rate() -> None:
    """Both bad counts half and is told; without wins and losses there is no rate without ties."""
    found = win_rate(30, 20, 40, both_bad=10)

    assert found.limits.value == pytest.approx(0.55)
    assert found.rate_without_ties == pytest.approx(0.6)
    assert found.both_bad_share == pytest.approx(0.1)
    assert win_rate(0, 0, 5).rate_without_ties is None


@pytest.mark.parametrize("tally", [(0, 0, 0, 0), (-1, 2, 0, 0), (1, 0, 0, -1)])
def test_bad_tallies_are_refused(tally: tuple[int, int, int, int]) -> None:
    """No pair at all and negative counts are errors."""
    with pytest.raises(ValueError, match="at least 1 pair"):
        win_rate(*tally)


# --- graded preferences


def test_weighted_win_rate_is_a_mean_with_t_limits() -> None:
    """Mean, sd / sqrt(n) with ddof 1, and t limits, worked out by hand."""
    found = weighted_win_rate([0.9, 0.6, 0.2, 0.7])

    assert found.rate == pytest.approx(0.6)
    assert found.standard_error == pytest.approx(np.sqrt(0.26 / 3) / 2)
    assert isinstance(found.limits, Limits)
    half = 3.182446305284263 * np.sqrt(0.26 / 3) / 2
    assert (found.limits.lower, found.limits.upper) == pytest.approx((0.6 - half, 1.0))


@QUICK
@given(tallies)
def test_certain_preferences_are_verdicts(tally: tuple[int, int, int, int]) -> None:
    """Preferences of 1, 0 and 1/2 give the rate and the error of the counts."""
    values = np.repeat([1.0, 0.0, 0.5, 0.5], tally)
    graded, counted = weighted_win_rate(values), win_rate(*tally)

    assert graded.rate == pytest.approx(counted.limits.value)
    assert graded.standard_error == pytest.approx(counted.standard_error)


@pytest.mark.parametrize("preferences", [[0.7], [0.5, 0.5, 0.5]])
def test_preferences_that_do_not_vary_have_no_limits(preferences: list[float]) -> None:
    """One pair, or always the same preference, bounds nothing."""
    found = weighted_win_rate(preferences)

    assert isinstance(found.limits, NoLimits)
    assert found.rate == pytest.approx(preferences[0])


def test_bad_preferences_are_refused() -> None:
    """AlpacaEval's raw scale from 1 to 2 is not taken for a share by mistake."""
    with pytest.raises(ValueError, match=r"preferences holds 1\.7"):
        weighted_win_rate([1.7, 1.2])
    with pytest.raises(ValueError, match="level=0"):
        weighted_win_rate([0.7, 0.2], level=0)


# --- both orders


def test_only_two_equal_verdicts_count() -> None:
    """The whole table: the same verdict twice stands, anything else is a tie."""
    for first, second in itertools.product(VERDICTS, VERDICTS):
        assert combine_orders(first, second) == (first if first == second else "tie")


def test_what_could_not_be_read_is_no_tie() -> None:
    """An unparsed verdict is an error here: it is counted elsewhere, as what it is."""
    with pytest.raises(ValueError, match="'unparsed'"):
        combine_orders("unparsed", "tie")  # type: ignore[arg-type]


def test_position_bias_of_300_pairs() -> None:
    """Two thirds consistent, 70 for the first answer and 30 for the second (MT-bench's measures)."""
    found = position_bias({(WON, WON): 120, (LOST, LOST): 80, (WON, LOST): 70, (LOST, WON): 30})

    assert found.consistency.value == pytest.approx(2 / 3)
    assert (found.consistent, found.inconsistent) == (200, 100)
    assert (found.first_preferred, found.second_preferred) == (70, 30)
    assert found.p == pytest.approx(7.85013964559367e-05, abs=1e-9)
    assert found.bias_index == pytest.approx(0.4)
    assert found.win_rate.limits.value == pytest.approx(0.5666666666666667)
    assert found.win_rate.rate_without_ties == pytest.approx(0.6)


def test_consistency_has_wilson_limits() -> None:
    """160 of 200 pairs judged alike: 0.739 to 0.850."""
    limits = position_bias({(WON, WON): 160, (WON, "tie"): 40}).consistency

    assert (limits.lower, limits.upper) == pytest.approx((0.739, 0.850), abs=0.0005)


@QUICK
@given(looks)
def test_positions_mirror(counts: dict[tuple[Verdict, Verdict], int]) -> None:
    """Looking at the other order first turns the bias around and leaves the rate alone."""
    one, other = position_bias(counts), position_bias({(b, a): n for (a, b), n in counts.items()})

    assert (one.first_preferred, one.second_preferred) == (
        other.second_preferred,
        other.first_preferred,
    )
    assert one.consistent + one.inconsistent == sum(counts.values())
    assert one.p == pytest.approx(other.p)
    assert one.win_rate == other.win_rate
    assert (one.bias_index is None) == (one.first_preferred + one.second_preferred == 0)


def test_bad_looks_are_refused() -> None:
    """No pair, a negative count and an unknown verdict are errors."""
    with pytest.raises(ValueError, match="at least 1"):
        position_bias({})
    with pytest.raises(ValueError, match="-3 pairs"):
        position_bias({(WON, WON): -3, (LOST, LOST): 9})
    with pytest.raises(ValueError, match="expected one of"):
        position_bias({("A", "A"): 3})  # type: ignore[dict-item]


# --- strengths of many models


def test_bradley_terry_of_the_encyclopedia() -> None:
    """Four players of the encyclopedia's worked example: 0.640, 1.043, 0.660 and 2.270."""
    found = bradley_terry([[0, 2, 0, 1], [3, 0, 5, 0], [0, 3, 0, 1], [4, 0, 3, 0]])

    assert not isinstance(found, NoLimits)
    assert found == pytest.approx([0.640, 1.043, 0.660, 2.270], abs=0.0005)


@QUICK
@given(st.lists(st.integers(1, 30), min_size=12, max_size=12))
def test_strengths_solve_the_likelihood(counts: list[int]) -> None:
    """Expected wins are the wins, and the geometric mean is 1."""
    wins = np.zeros((4, 4))
    wins[~np.eye(4, dtype=bool)] = counts
    found = bradley_terry(wins)
    assert not isinstance(found, NoLimits)
    chances = found[:, None] / np.add.outer(found, found)

    assert ((wins + wins.T) * chances * (1 - np.eye(4))).sum(axis=1) == pytest.approx(
        wins.sum(axis=1)
    )
    assert np.log(found).mean() == pytest.approx(0, abs=1e-9)


def test_two_models_have_the_odds_of_their_games() -> None:
    """9 wins to 4: strengths 1.5 and 1 / 1.5."""
    assert bradley_terry([[0, 9], [4, 0]]) == pytest.approx([1.5, 1 / 1.5])


@pytest.mark.parametrize("wins", [[[0, 3], [0, 0]], [[0, 1, 0], [1, 0, 0], [0, 0, 0]]])
def test_a_model_that_never_lost_has_no_strength(wins: list[list[int]]) -> None:
    """Without a loss, or without a game, there is no finite strength."""
    found = bradley_terry(wins)

    assert isinstance(found, NoLimits)
    assert "2 groups" in found.why


@pytest.mark.parametrize(
    ("wins", "message"),
    [
        ([[0]], "expected a square of 2"),
        ([[0, 1]], "expected a square"),
        ([[0, -1], [1, 0]], "counts from 0"),
        ([[1, 1], [1, 0]], "0 on the diagonal"),
        ([[0, float("nan")], [1, 0]], "counts from 0"),
    ],
)
def test_what_is_no_table_of_wins_is_refused(wins: list[list[float]], message: str) -> None:
    """Tables that are not square, or hold what is no count of games, are errors."""
    with pytest.raises(ValueError, match=message):
        bradley_terry(wins)


@pytest.mark.slow
@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.0), (0.95, 0.03, 0.02), (0.02, 0.0, 0.98)])
def test_limits_of_win_rates_cover(shares: tuple[float, float, float]) -> None:
    """Over simulated tallies of 50 pairs, up to the edges, at least 92 % of the limits hold.

    Without ties at one half it is Wilson's interval, which covers 93.5 % of 50 trials.
    """
    rng = np.random.default_rng(12)
    truth = shares[0] + shares[2] / 2
    limits = [win_rate(*map(int, tally)).limits for tally in rng.multinomial(50, shares, 3000)]

    assert np.mean([one.lower <= truth <= one.upper for one in limits]) >= 0.92
