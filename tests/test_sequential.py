"""Tests of looking early: published constants, a capital counted by hand, and what luck can do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK
from scipy import stats as reference

from ftgate_ext.stats.sequential import (
    betting_test,
    boundaries,
    capital,
    crossing_probability,
)

scores = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=200)
plans = st.tuples(
    st.integers(1, 6),
    st.sampled_from(["pocock", "obrien_fleming"]),
    st.sampled_from([0.01, 0.025, 0.05, 0.1]),
    st.sampled_from([1, 2]),
)


@pytest.mark.parametrize(
    ("kind", "sides", "constants"),
    [
        ("pocock", 1, (1.875, 1.992, 2.122)),
        ("obrien_fleming", 1, (1.678, 1.710, 1.751)),
        ("pocock", 2, (2.178, 2.289, 2.413)),
        ("obrien_fleming", 2, (1.977, 2.004, 2.040)),
    ],
)
def test_constants_are_the_published_ones(
    kind: str, sides: int, constants: tuple[float, ...]
) -> None:
    """2, 3 and 5 looks at alpha 0.05; one-sided constants stand under 0.10 in the two-sided tables.

    Jennison and Turnbull, Group Sequential Methods, 2000, chapter 2.
    """
    found = [boundaries(k, kind, 0.05, sides)[-1] for k in (2, 3, 5)]  # type: ignore[arg-type]

    # Rounded tables: 2.2895 stands there as 2.289.
    assert found == pytest.approx(constants, abs=0.00051)


def test_obrien_and_fleming_begin_hard() -> None:
    """Their z falls with the root of the information; Pocock's stays where it is."""
    obf, pocock = boundaries(5, "obrien_fleming"), boundaries(5, "pocock")

    assert obf == pytest.approx(obf[-1] * np.sqrt(5 / np.arange(1, 6)))
    assert np.ptp(pocock) == 0
    assert obf[0] > pocock[0] > obf[-1]


@pytest.mark.parametrize(("looks", "error"), [(1, 0.05), (2, 0.080), (3, 0.101), (5, 0.130)])
def test_looking_again_inflates_the_error(looks: int, error: float) -> None:
    """A one-sided 5 % test taken at every look errs 8, 10 and 13 % of the time."""
    z = float(reference.norm.ppf(0.95))

    assert crossing_probability([z] * looks).sum() == pytest.approx(error, abs=0.0006)


@QUICK
@given(plans)
def test_boundaries_spend_exactly_alpha(plan: tuple[int, str, float, int]) -> None:
    """The chances to stop add up to alpha, and no look is easier than the test without looks."""
    looks, kind, alpha, sides = plan
    z = boundaries(looks, kind, alpha, sides)  # type: ignore[arg-type]

    assert crossing_probability(z, sides).sum() == pytest.approx(alpha, abs=1e-8)  # type: ignore[arg-type]
    assert (z >= reference.norm.ppf(1 - alpha / sides) - 1e-9).all()


def test_two_looks_agree_with_the_bivariate_normal() -> None:
    """The chance not to stop at either of two looks is a probability of correlated normals."""
    limits, drift = [2.2, 1.8], 1.3
    correlated = reference.multivariate_normal(
        [drift, drift * np.sqrt(2)], [[1, np.sqrt(0.5)], [np.sqrt(0.5), 1]]
    )
    chances = crossing_probability(limits, 1, drift)

    assert chances[0] == pytest.approx(reference.norm.sf(2.2 - drift), abs=1e-9)
    assert 1 - chances.sum() == pytest.approx(correlated.cdf(limits), abs=1e-5)


def test_a_negative_drift_hardly_ever_stops() -> None:
    """Where the candidate is worse, stopping for "better" is rarer than alpha."""
    z = boundaries(5, "obrien_fleming")

    assert crossing_probability(z, 1, drift=-1.0).sum() < 0.001
    assert crossing_probability(z, 2, drift=-1.0).sum() > 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"looks": 0}, "looks=0"),
        ({"looks": 51}, "looks=51"),
        ({"kind": "peto"}, "kind='peto'"),
        ({"alpha": 0.0}, "alpha=0.0"),
        ({"alpha": 0.6}, "below 0.5"),
        ({"sides": 3}, "sides=3"),
    ],
)
def test_bad_plans_are_refused(change: dict[str, object], message: str) -> None:
    """Plans without a look, with an unknown shape or an impossible error are errors."""
    arguments: dict[str, object] = {"looks": 3, "kind": "pocock"}
    with pytest.raises(ValueError, match=message):
        boundaries(**arguments | change)  # type: ignore[arg-type]


@pytest.mark.parametrize("z", [[], [1.0, float("inf")], [0.0], [-1.0]])
def test_bad_limits_are_refused(z: list[float]) -> None:
    """A limit on z is a positive number."""
    with pytest.raises(ValueError, match="z_limits"):
        crossing_probability(z)


# --- bets


def test_capital_counted_by_hand() -> None:
    """Bets of 1 on eight verdicts: 1.5 after a win, half after a loss, unchanged by a tie."""
    path = capital([1, 1, 0.5, 1, 0, 1, 1, 1], null=0.5, bet=1.0)

    expected = [1.5, 2.25, 2.25, 3.375, 1.6875, 2.53125, 3.796875, 5.6953125]
    assert path == pytest.approx(expected, abs=1e-12)
    assert path.max() < 1 / 0.05


@QUICK
@given(st.integers(1, 8), st.floats(0.05, 0.95), st.floats(-1, 1))
def test_a_fair_game_earns_nothing(n: int, null: float, boldness: float) -> None:
    """Over all sequences of a coin with mean `null` the expected capital is 1."""
    bet = boldness / null if boldness > 0 else boldness / (1 - null)
    sequences = np.array(np.meshgrid(*[[0.0, 1.0]] * n)).reshape(n, -1).T
    chances = (null**sequences * (1 - null) ** (1 - sequences)).prod(axis=1)
    ends = [capital(sequence, null, 0.999 * bet)[-1] for sequence in sequences]

    assert chances @ np.array(ends) == pytest.approx(1)


def test_bets_may_change_from_case_to_case() -> None:
    """One bet a value, chosen before it is seen."""
    path = capital([1.0, 0.0, 1.0], 0.5, [2.0, 0.0, -1.0])

    assert path.tolist() == [2.0, 2.0, 1.0]


@QUICK
@given(scores)
def test_the_two_sides_mirror(values: list[float]) -> None:
    """Exchanging wins and losses exchanges the two capitals."""
    one, other = betting_test(values), betting_test([1 - x for x in values])

    assert one.above == pytest.approx(other.below)
    assert one.p == pytest.approx(other.p)
    assert one.stopped_after == other.stopped_after


@QUICK
@given(scores, st.lists(st.sampled_from([0.0, 1.0]), max_size=50))
def test_later_cases_do_not_change_what_was_seen(values: list[float], later: list[float]) -> None:
    """The capital after n cases knows n cases; p only falls, and a stop stays a stop."""
    before, after = betting_test(values), betting_test(values + later)

    assert after.above[: len(values)] == pytest.approx(before.above)
    assert 0 < after.p <= before.p * (1 + 1e-12)
    if before.stopped_after:
        assert (after.stopped_after, after.side) == (before.stopped_after, before.side)


@QUICK
@given(scores, st.floats(0.01, 0.2))
def test_stopping_means_a_small_p(values: list[float], alpha: float) -> None:
    """The test has stopped if and only if its p has reached alpha."""
    found = betting_test(values, alpha=alpha)

    assert (found.stopped_after is not None) == (found.p <= alpha)
    assert (found.side is None) == (found.stopped_after is None)


def test_clear_cases_stop_early() -> None:
    """Wins only are shown after a dozen and a half, losses only on the other side, ties never."""
    wins, losses, ties = betting_test([1] * 40), betting_test([0] * 40), betting_test([0.5] * 4000)

    assert wins.side == "above"
    assert wins.stopped_after is not None
    assert wins.stopped_after < 20
    assert (losses.side, losses.stopped_after) == ("below", wins.stopped_after)
    assert (ties.side, ties.stopped_after, ties.p) == (None, None, 1.0)


def test_one_side_bets_on_one_side_only() -> None:
    """A one-sided test cannot find a smaller mean, and finds a larger one sooner."""
    losses, wins = betting_test([0] * 100, sides=1), betting_test([1] * 40, sides=1)

    assert losses.stopped_after is None
    assert set(losses.below.tolist()) == {1.0}
    both = betting_test([1] * 40).stopped_after
    assert wins.stopped_after is not None
    assert both is not None
    assert wins.stopped_after < both


def test_long_runs_do_not_overflow() -> None:
    """Ten thousand wins are a huge capital, and still a number."""
    found = betting_test([1.0] * 10_000)

    assert np.isfinite(found.above).all()
    assert 0 < found.p < 1e-100


@pytest.mark.parametrize(
    ("values", "null", "bet", "message"),
    [
        ([1.5], 0.5, 1.0, "from 0 to 1"),
        ([], 0.5, 1.0, "at least 1 number"),
        ([1.0], 0.0, 1.0, "null=0.0"),
        ([1.0], 0.5, 2.1, "expected -2 to 2"),
        ([1.0], 0.5, float("nan"), "expected -2 to 2"),
        ([1.0], 0.5, [1.0, 1.0], "one a value"),
    ],
)
def test_bad_bets_are_refused(
    values: list[float], null: float, bet: float | list[float], message: str
) -> None:
    """A bet that could lose more than there is, and values outside [0, 1], are errors."""
    with pytest.raises(ValueError, match=message):
        capital(values, null, bet)


def test_bad_betting_tests_are_refused() -> None:
    """A test has one or two sides and an alpha between 0 and 1."""
    with pytest.raises(ValueError, match="sides=0"):
        betting_test([1.0], sides=0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="alpha=1"):
        betting_test([1.0], alpha=1)


@pytest.mark.slow
def test_peeking_after_every_case_keeps_alpha() -> None:
    """Equal models with a fifth of ties: at most 5 % ever stop; better ones stop early."""
    rng = np.random.default_rng(8)

    def stops(rate: float) -> list[int | None]:
        shares = [rate - 0.1, 0.2, 0.9 - rate]
        draws = rng.choice([1.0, 0.5, 0.0], size=(1500, 1000), p=shares)
        return [betting_test(row).stopped_after for row in draws]

    equal, better = stops(0.5), stops(0.6)
    assert sum(s is not None for s in equal) / len(equal) <= 0.05 + 3 * 0.0056
    assert np.mean([1000 if s is None else s for s in better]) == pytest.approx(168, rel=0.08)


@pytest.mark.slow
def test_planned_looks_keep_alpha() -> None:
    """Five looks at simulated z stop 5 % of the time, by either boundary."""
    rng = np.random.default_rng(9)
    z = np.cumsum(rng.normal(size=(200_000, 5)), axis=1) / np.sqrt(np.arange(1, 6))
    for kind in ("pocock", "obrien_fleming"):
        stopped = (z >= boundaries(5, kind)).any(axis=1)  # type: ignore[arg-type]
        assert stopped.mean() == pytest.approx(0.05, abs=0.002)
