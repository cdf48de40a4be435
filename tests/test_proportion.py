"""Tests of proportions: published limits, then what must hold for any counts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK
from scipy import stats as reference

from ftgate_ext.stats.proportion import (
    clopper_pearson,
    newcombe_independent,
    two_sided_z,
    wilson,
)

counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
levels = st.sampled_from([0.5, 0.9, 0.95, 0.99])


# --- published numbers


@pytest.mark.parametrize(
    ("successes", "n", "exact", "score"),
    [
        (81, 263, (0.2527, 0.3676), (0.2553, 0.3662)),
        (15, 148, (0.0578, 0.1617), (0.0624, 0.1605)),
        (0, 20, (0, 0.1684), (0, 0.1611)),
        (1, 29, (0.0009, 0.1776), (0.0061, 0.1718)),
    ],
)
def test_limits_of_newcombes_table(
    successes: int, n: int, exact: tuple[float, float], score: tuple[float, float]
) -> None:
    """Newcombe 1998, Statistics in Medicine 17:857-872, Table I: exact limits, score limits."""
    found, scored = clopper_pearson(successes, n), wilson(successes, n)

    assert (found.lower, found.upper) == pytest.approx(exact, abs=5e-5)
    assert (scored.lower, scored.upper) == pytest.approx(score, abs=5e-5)


@pytest.mark.parametrize("n", [1, 20, 50, 300])
def test_all_of_n_has_its_closed_forms(n: int) -> None:
    """(a/2)^(1/n) exactly, n / (n + z^2) by score: 50 of 50 can never prove 98 %."""
    z = float(reference.norm.ppf(0.975))

    assert clopper_pearson(n, n).lower == pytest.approx(0.025 ** (1 / n), rel=1e-12)
    assert clopper_pearson(n, n, 0.90).lower == pytest.approx(0.05 ** (1 / n), rel=1e-12)
    assert wilson(n, n).lower == pytest.approx(n / (n + z * z), rel=1e-12)
    assert clopper_pearson(n, n).upper == wilson(n, n).upper == 1
    assert clopper_pearson(0, n).lower == wilson(0, n).lower == 0


@pytest.mark.parametrize(
    ("successes", "lower", "upper"),
    [
        (285, 0.9240513017004046, 0.9689300502551448),
        (294, 0.9609089413190414, 0.9912550201391727),
        (299, 0.9842854451084161, 0.9998290369678865),
        (300, 0.9900639180555423, 1.0),
    ],
)
def test_one_sided_limits_are_limits_at_level_90(
    successes: int, lower: float, upper: float
) -> None:
    """One-sided 95 % limits of k of 300 by scipy.stats.beta.ppf(0.05, ...) and (0.95, ...)."""
    limits = clopper_pearson(successes, 300, 0.90)

    assert (limits.lower, limits.upper) == pytest.approx((lower, upper), abs=1e-9)


@pytest.mark.parametrize(
    ("a", "b", "lower", "upper"),
    [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090),
     ((10, 10), (0, 10), 0.6075, 1.0)],
)  # fmt: skip
def test_difference_of_independent_proportions(
    a: tuple[int, int], b: tuple[int, int], lower: float, upper: float
) -> None:
    """Newcombe 1998, Statistics in Medicine 17:873-890, Table II, method 10, cases a, b and h."""
    limits = newcombe_independent(*a, *b)

    assert (limits.lower, limits.upper) == pytest.approx((lower, upper), abs=5e-5)
    assert limits.value == pytest.approx(a[0] / a[1] - b[0] / b[1])
    assert limits.n == a[1] + b[1]


# --- any counts


@QUICK
@given(counts, levels)
def test_limits_are_those_of_scipy(count: tuple[int, int], level: float) -> None:
    """The fast form has the numbers of `scipy.stats.binomtest(...).proportion_ci`."""
    test = reference.binomtest(*count)
    for method, limits in (
        ("exact", clopper_pearson(*count, level)),
        ("wilson", wilson(*count, level)),
    ):
        expected = test.proportion_ci(level, method)
        assert (limits.lower, limits.upper) == pytest.approx(tuple(expected), abs=1e-9)


@QUICK
@given(counts, levels)
def test_interval_contains_its_estimate_and_has_a_width(
    count: tuple[int, int], level: float
) -> None:
    """Not even 0 of n or n of n gives an interval of zero width."""
    for limits in (clopper_pearson(*count, level), wilson(*count, level)):
        assert 0 <= limits.lower <= limits.value <= limits.upper <= 1
        assert limits.upper - limits.lower > 0


@QUICK
@given(counts, levels)
def test_interval_mirrors(count: tuple[int, int], level: float) -> None:
    """Counting failures instead of successes mirrors the interval."""
    successes, n = count
    for method in (clopper_pearson, wilson):
        one, other = method(successes, n, level), method(n - successes, n, level)
        assert (one.lower, one.upper) == pytest.approx((1 - other.upper, 1 - other.lower))


@QUICK
@given(counts)
def test_higher_confidence_is_wider(count: tuple[int, int]) -> None:
    """An interval at 99 % holds the interval at 90 %."""
    for method in (clopper_pearson, wilson):
        wide, narrow = method(*count, 0.99), method(*count, 0.90)
        assert wide.lower <= narrow.lower
        assert narrow.upper <= wide.upper


@QUICK
@given(counts, levels)
def test_one_more_success_moves_both_limits_up(count: tuple[int, int], level: float) -> None:
    """More successes out of as many never lower a limit."""
    successes, n = count
    for method in (clopper_pearson, wilson):
        one, more = method(successes, n + 1, level), method(successes + 1, n + 1, level)
        assert one.lower < more.lower
        assert one.upper < more.upper


@QUICK
@given(counts, counts, levels)
def test_independent_difference_mirrors_and_has_a_width(
    a: tuple[int, int], b: tuple[int, int], level: float
) -> None:
    """Exchanging the samples mirrors the limits; the estimate lies within them."""
    one, other = newcombe_independent(*a, *b, level), newcombe_independent(*b, *a, level)

    assert (one.lower, one.upper) == pytest.approx((-other.upper, -other.lower), abs=1e-12)
    assert -1 <= one.lower <= one.value <= one.upper <= 1
    assert one.upper - one.lower > 0


# --- what is refused

impossible = [(0, 0), (-1, 5), (6, 5), (math.nan, 5), (2, math.nan), (2.5, 5), (1, math.inf)]


@pytest.mark.parametrize(("successes", "n"), impossible)
def test_impossible_counts_are_refused(successes: int, n: int) -> None:
    """A proportion of nothing, of more than all, or of no number is an error and not a figure."""
    for method in (clopper_pearson, wilson):
        with pytest.raises(ValueError, match="expected 0 <= successes <= n"):
            method(successes, n)
    with pytest.raises(ValueError, match="expected 0 <= successes <= n"):
        newcombe_independent(1, 2, successes, n)


@pytest.mark.parametrize("level", [0, 1, -0.5, 95, math.nan])
def test_impossible_levels_are_refused(level: float) -> None:
    """A level of 95 instead of 0.95 is an error, and so are certainty and NaN."""
    for method in (clopper_pearson, wilson):
        with pytest.raises(ValueError, match="level="):
            method(1, 2, level)
    with pytest.raises(ValueError, match="level="):
        two_sided_z(level)


def test_normal_quantile_of_a_level() -> None:
    """1.96 for 95 % two-sided, 1.645 for 90 %."""
    assert two_sided_z(0.95) == pytest.approx(1.959963984540054, abs=1e-14)
    assert two_sided_z(0.90) == pytest.approx(1.6448536269514722, abs=1e-14)
