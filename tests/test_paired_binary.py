"""Tests of paired pass/fail: published numbers, closed forms, then what must hold for any table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK
from scipy import stats as reference

from ftgate_ext.stats.limits import Limits, NoLimits
from ftgate_ext.stats.paired_binary import (
    bonett_price_interval,
    mcnemar_asymptotic,
    mcnemar_exact,
    mcnemar_mid_p,
    mcnemar_one_sided,
    newcombe10_interval,
    non_inferiority,
    pass_rate_drop,
    runs_to_prove_break,
    tango_interval,
    tango_z,
    tango_z_array,
    wald_interval,
)
from ftgate_ext.stats.proportion import wilson

if TYPE_CHECKING:
    from collections.abc import Callable

Table = tuple[int, int, int]
tables = st.integers(1, 200).flatmap(
    lambda n: st.integers(0, n).flatmap(
        lambda gained: st.tuples(st.just(gained), st.integers(0, n - gained), st.just(n))
    )
)
cells = st.tuples(*[st.integers(0, 60)] * 4).filter(any)
levels = st.sampled_from([0.5, 0.9, 0.95, 0.99])
usual_levels = st.sampled_from([0.8, 0.9, 0.95, 0.99])


# --- published numbers

AIRWAY = (1, 1, 7, 12)
"""Airway hyper-responsiveness before and after transplantation: both, gained, lost, neither."""


@pytest.mark.parametrize(
    ("interval", "lower", "upper", "digits"),
    [
        (tango_interval(1, 7, 21), -0.517, -0.026, 3),
        (newcombe10_interval(*AIRWAY), -0.507, -0.026, 3),
        (wald_interval(1, 7, 21), -0.520, -0.052, 3),
        (bonett_price_interval(1, 7, 21), -0.508, -0.013, 3),
        (newcombe10_interval(8, 3, 1, 2), -0.1574, 0.4136, 4),
        (tango_interval(25, 2, 102), 0.139, 0.321, 3),
    ],
    ids=["tango", "newcombe-10", "wald", "bonett-price", "newcombe-10 of Tang", "tango of Chang"],
)
def test_intervals_agree_with_published_limits(
    interval: Limits, lower: float, upper: float, digits: int
) -> None:
    """Fagerland, Lydersen and Laake 2014, Statistics in Medicine 33:2850-2875, airway data.

    Further: Tang, Li and Tang 2010 (8, 3, 1, 2); Chang 2024 (7, 25, 2, 68).
    """
    assert (round(interval.lower, digits), round(interval.upper, digits)) == (lower, upper)


@pytest.mark.parametrize(
    ("interval", "lower", "upper"),
    [
        (tango_interval(1, 7, 21), -0.5172322764212653, -0.02600303248094923),
        (newcombe10_interval(*AIRWAY), -0.506920226686141, -0.02555912416485978),
        (tango_interval(700, 720, 14042, 0.90), -0.005842651517063671, 0.0029921689507156953),
        (tango_interval(10, 45, 500, 0.90), -0.09534014567287122, -0.04698999677412609),
    ],
)
def test_intervals_agree_with_other_programs(interval: Limits, lower: float, upper: float) -> None:
    """Digits of ratesci @dbe2ab79, tests/testthat/test3.R, and of a second Tango implementation."""
    assert (interval.lower, interval.upper) == pytest.approx((lower, upper), abs=1e-9)


@pytest.mark.parametrize(
    ("gained", "lost", "exact", "mid_p", "statistic", "asymptotic"),
    [
        (86, 150, 3.7159361395713866e-05, 2.893389517615428e-05, 17.35593220338983,
         3.099293441045215e-05),
        (1, 7, 0.0703125, 0.0390625, 4.5, 0.033894853524689274),
    ],
    ids=["approval ratings", "airway"],
)  # fmt: skip
def test_mcnemar_agrees_with_published_p(
    gained: int, lost: int, exact: float, mid_p: float, statistic: float, asymptotic: float
) -> None:
    """Agresti's approval ratings (R ?mcnemar.test) and the airway data of Fagerland et al. 2013.

    Exact and chi-square p by statsmodels 0.15; Fagerland et al. print 0.070, 0.039 and 0.034.
    """
    assert mcnemar_exact(gained, lost) == pytest.approx(exact, rel=1e-9)
    assert mcnemar_mid_p(gained, lost) == pytest.approx(mid_p, rel=1e-9)
    plain = mcnemar_asymptotic(gained, lost)
    assert plain.statistic == pytest.approx(statistic, rel=1e-12)
    assert plain.p == pytest.approx(asymptotic, rel=1e-9)


def test_corrected_mcnemar_is_that_of_r() -> None:
    """R: mcnemar.test(matrix(c(794, 86, 150, 570), 2)) prints 16.818 and 4.115e-05."""
    corrected = mcnemar_asymptotic(86, 150, corrected=True)

    assert corrected.statistic == pytest.approx(16.81779661016949, rel=1e-12)
    assert corrected.p == pytest.approx(4.114562281345944e-05, rel=1e-9)


@pytest.mark.parametrize(
    ("table", "z", "verdict"),
    [((700, 720, 14042), 6.828031070811301, "PASS"), ((10, 45, 500), -3.5237388117224984, "FAIL"),
     ((5, 7, 164), None, "INCONCLUSIVE")],
)  # fmt: skip
def test_non_inferiority_of_three_benchmarks(table: Table, z: float | None, verdict: str) -> None:
    """A large one excludes a loss of 2 points, one shows it, HumanEval's 164 cases do neither."""
    test = non_inferiority(*table, margin=0.02)

    assert test.z == pytest.approx(tango_z(*table, -0.02) if z is None else z, abs=1e-9)
    assert test.verdict == verdict
    assert test.p == pytest.approx(float(reference.norm.sf(test.z)), rel=1e-9)
    limits = tango_interval(*table, 0.90)
    assert (test.difference, test.lower, test.upper) == (limits.value, limits.lower, limits.upper)


@pytest.mark.parametrize(
    ("runs", "p", "verdict"),
    [((0, 7, 7, 7), 1 / math.comb(14, 7), "FAIL"), ((2, 3, 3, 3), 0.5, "RERUN"),
     ((0, 6, 6, 6), 1 / math.comb(12, 6), "RERUN"), ((3, 3, 3, 3), 1.0, "PASS"),
     ((1, 1, 4, 5), 1.0, "PASS")],
)  # fmt: skip
def test_a_case_breaks_only_where_fisher_proves_it(
    runs: tuple[int, int, int, int], p: float, verdict: str
) -> None:
    """Of 50 cases, 0 of 7 against 7 of 7 is proof; one failure in three is a reason to rerun."""
    test = pass_rate_drop(*runs, suite_size=50)

    assert test.p == pytest.approx(p, abs=1e-12)
    assert test.threshold == pytest.approx(0.001)
    assert test.verdict == verdict


@pytest.mark.parametrize(("suite_size", "runs"), [(1, 4), (50, 7), (200, 8)])
def test_fewest_runs_that_prove_a_break(suite_size: int, runs: int) -> None:
    """So many runs of each model are proof, and one less is not."""
    assert runs_to_prove_break(suite_size) == runs
    assert pass_rate_drop(0, runs, runs, runs, suite_size).verdict == "FAIL"
    assert pass_rate_drop(0, runs - 1, runs - 1, runs - 1, suite_size).verdict == "RERUN"


# --- closed forms


@pytest.mark.parametrize("n", [1, 5, 50, 14042])
def test_tango_without_discordance_has_its_closed_form(n: int) -> None:
    """Nothing discordant in n pairs: z^2 / (n + z^2) to both sides."""
    z = float(reference.norm.ppf(0.975))
    limits = tango_interval(0, 0, n)

    half = z * z / (n + z * z)
    assert (limits.lower, limits.value, limits.upper) == pytest.approx((-half, 0, half), rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 13, 25, 50, 52, 10_000])
def test_tango_holds_where_everything_is_lost(n: int) -> None:
    """All pairs lost: the interval ends at -1, and at (z^2 - n) / (z^2 + n)."""
    z = float(reference.norm.ppf(0.975))
    limits = tango_interval(0, n, n)

    assert (limits.lower, limits.value) == (-1, -1)
    assert limits.upper == pytest.approx((z * z - n) / (z * z + n), rel=1e-12)
    assert tango_interval(n, 0, n).lower == -limits.upper


@QUICK
@given(
    counts := st.integers(2, 300).flatmap(lambda n: st.tuples(st.integers(1, n - 1), st.just(n)))
)
def test_tango_without_losses_has_wilsons_upper_limit(count: tuple[int, int]) -> None:
    """Where nothing is lost, the upper limit is that of the share of gains on its own."""
    gained, n = count

    expected = wilson(gained, n).upper
    assert tango_interval(gained, 0, n).upper == pytest.approx(expected, abs=1e-11)


def test_no_discordance_is_no_evidence() -> None:
    """Without a discordant pair every p is 1 and the score is 0."""
    assert mcnemar_exact(0, 0) == mcnemar_mid_p(0, 0) == mcnemar_one_sided(0, 0) == 1
    for corrected in (False, True):
        assert mcnemar_asymptotic(0, 0, corrected=corrected).p == 1
        assert mcnemar_asymptotic(0, 0, corrected=corrected).statistic == 0
    assert tango_z(0, 0, 50, 0) == 0
    assert tango_z_array([0], [0], 50, 0).tolist() == [0]


# --- any table


@QUICK
@given(tables, levels)
def test_tango_contains_its_estimate_and_has_a_width(table: Table, level: float) -> None:
    """Also where nothing is discordant the interval has a width."""
    limits = tango_interval(*table, level)

    assert -1 <= limits.lower <= limits.value <= limits.upper <= 1
    assert limits.upper - limits.lower > 0


@QUICK
@given(cells, usual_levels)
def test_alternatives_contain_the_estimate_and_have_a_width(
    cells: tuple[int, int, int, int], level: float
) -> None:
    """Newcombe's and Bonett and Price's limits too; Wald's has a width or says that it has none."""
    both, gained, lost, neither = cells
    n = sum(cells)
    found = [newcombe10_interval(*cells, level), bonett_price_interval(gained, lost, n, level)]
    wald = wald_interval(gained, lost, n, level)
    if isinstance(wald, NoLimits):
        assert gained + lost == 0 or n in (gained, lost)
        assert wald.value == (gained - lost) / n
    else:
        found.append(wald)
    for limits in found:
        assert -1 - 1e-12 <= limits.lower <= limits.value <= limits.upper <= 1 + 1e-12
        assert limits.upper - limits.lower > 0
        assert limits.n == both + gained + lost + neither


@QUICK
@given(cells, levels)
def test_exchanging_the_models_mirrors_limits_and_keeps_p(
    cells: tuple[int, int, int, int], level: float
) -> None:
    """What the candidate gains the baseline loses, and no p cares."""
    both, gained, lost, neither = cells
    n = sum(cells)
    methods: list[Callable[[int, int], Any]] = [
        lambda b, c: tango_interval(b, c, n, level),
        lambda b, c: newcombe10_interval(both, b, c, neither, level),
        lambda b, c: bonett_price_interval(b, c, n, level),
    ]
    for method in methods:
        one, other = method(gained, lost), method(lost, gained)
        mirrored = (-other.value, -other.upper, -other.lower)
        assert (one.value, one.lower, one.upper) == pytest.approx(mirrored, abs=1e-12)
    for p in (mcnemar_exact, mcnemar_mid_p, lambda b, c: mcnemar_asymptotic(b, c).p):
        assert p(gained, lost) == p(lost, gained)


@QUICK
@given(tables)
def test_higher_confidence_is_wider(table: Table) -> None:
    """An interval at 99 % holds the interval at 90 %."""
    for method in (tango_interval, bonett_price_interval):
        wide, narrow = method(*table, 0.99), method(*table, 0.90)
        assert wide.lower <= narrow.lower
        assert narrow.upper <= wide.upper


@QUICK
@given(tables)
def test_one_more_loss_never_helps(table: Table) -> None:
    """The limits go down when a pair that both had right is lost."""
    gained, lost, n = table
    before = tango_interval(gained, lost, n + 1)
    after = tango_interval(gained, lost + 1, n + 1)

    assert after.value < before.value
    assert after.lower <= before.lower + 1e-12
    assert after.upper <= before.upper + 1e-12


@QUICK
@given(tables, st.integers(1, 5000), levels)
def test_concordant_pairs_never_move_the_sign(table: Table, more: int, level: float) -> None:
    """Pairs on which the models agree change how large a difference is, not which way it points."""
    gained, lost, n = table
    few, many = (
        tango_interval(gained, lost, n, level),
        tango_interval(gained, lost, n + more, level),
    )

    assert np.sign(few.value) == np.sign(many.value)
    assert abs(many.value) <= abs(few.value)
    for one, other in ((few.lower, many.lower), (few.upper, many.upper)):
        if min(abs(one), abs(other)) > 1e-9:
            assert np.sign(one) == np.sign(other)


@QUICK
@given(tables, levels, st.integers(-999, 999).map(lambda d: d / 1000))
def test_tango_holds_what_its_score_does_not_reject(
    table: Table, level: float, difference: float
) -> None:
    """A difference lies in the interval if and only if its score is small enough."""
    limits = tango_interval(*table, level)
    z = float(reference.norm.ppf(0.5 + level / 2))
    if min(abs(difference - limits.lower), abs(difference - limits.upper)) > 1e-9:
        inside = limits.lower < difference < limits.upper
        assert inside == (abs(tango_z(*table, difference)) <= z)


@QUICK
@given(st.lists(tables, min_size=1), st.integers(-99, 99).map(lambda d: d / 100))
def test_scores_of_many_tables_are_those_of_each(found: list[Table], difference: float) -> None:
    """The vectorised score agrees with the scalar one."""
    n = max(table[2] for table in found)
    gained, lost = np.array([t[0] for t in found]), np.array([t[1] for t in found])

    scores = tango_z_array(gained, lost, n, difference)

    each = [tango_z(b, c, n, difference) for b, c, _ in found]
    assert scores.tolist() == pytest.approx(each, rel=1e-9, abs=1e-9)


def test_scores_of_one_table_at_many_differences() -> None:
    """Differences are broadcast as well, and the score falls in them."""
    differences = np.linspace(-0.9, 0.9, 19)

    scores = tango_z_array(5, 3, 40, differences)

    assert scores.tolist() == pytest.approx([tango_z(5, 3, 40, d) for d in differences.tolist()])
    assert (np.diff(scores) < 0).all()


@QUICK
@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_sign_test_of_scipy(gained: int, lost: int) -> None:
    """The exact p is the binomial test; the mid-p is less by the chance of what was observed."""
    p, mid_p, n = mcnemar_exact(gained, lost), mcnemar_mid_p(gained, lost), gained + lost
    assert 0 < mid_p <= p <= 1
    if n:
        assert p == pytest.approx(reference.binomtest(gained, n).pvalue, rel=1e-6)
        worse = reference.binomtest(gained, n, alternative="less").pvalue
        assert mcnemar_one_sided(gained, lost) == pytest.approx(worse, rel=1e-6)
    if gained != lost:
        chance = float(reference.binom.pmf(gained, n, 0.5))
        assert mid_p == pytest.approx(p - chance, rel=1e-6)


@QUICK
@given(tables, st.sampled_from([0.0, 0.01, 0.02, 0.05, 0.3]), st.sampled_from([0.01, 0.05]))
def test_non_inferiority_passes_where_its_p_is_small(
    table: Table, margin: float, alpha: float
) -> None:
    """PASS if and only if p < alpha, and a larger margin never turns it back."""
    test = non_inferiority(*table, margin, alpha)

    if abs(test.p - alpha) > 1e-9:
        assert (test.verdict == "PASS") == (test.p < alpha)
    assert (test.verdict == "FAIL") == (test.upper < -margin)
    rank = ["FAIL", "INCONCLUSIVE", "PASS"]
    wider = non_inferiority(*table, margin + 0.05, alpha)
    assert rank.index(wider.verdict) >= rank.index(test.verdict)


@QUICK
@given(st.integers(0, 9), st.integers(1, 9), st.integers(0, 9), st.integers(1, 9))
def test_pass_rate_drop_is_fishers_test(passes: int, runs: int, before: int, times: int) -> None:
    """The p adds up the tables at least as bad with the margins fixed; no drop is no alarm."""
    passes, before = min(passes, runs), min(before, times)
    test = pass_rate_drop(passes, runs, before, times, suite_size=1)

    ways = [
        math.comb(runs, k) * math.comb(times, passes + before - k)
        for k in range(passes + 1)
        if passes + before - k <= times
    ]
    assert test.p == pytest.approx(sum(ways) / math.comb(runs + times, passes + before))
    assert test.drop == pytest.approx(before / times - passes / runs)
    assert (test.verdict == "PASS") == (passes * times >= before * runs)
    if test.verdict == "FAIL":
        assert test.p < test.threshold


def test_coverage_of_paired_differences() -> None:
    """Over all outcomes of 25 pairs, up to the boundary, the interval covers at least 93 %."""
    n = 25
    outcomes = [(gained, lost) for gained in range(n + 1) for lost in range(n + 1 - gained)]
    limits = [tango_interval(*outcome, n) for outcome in outcomes]
    table = [(gained, lost, n - gained - lost) for gained, lost in outcomes]
    for up, down in ((0.0, 0.0), (0.02, 0.0), (0.02, 0.02), (0.1, 0.05), (0.3, 0.2), (0.5, 0.5)):
        chances = reference.multinomial.pmf(table, n, [up, down, max(0.0, 1 - up - down)])
        hits = [x.lower - 1e-12 <= up - down <= x.upper + 1e-12 for x in limits]
        assert chances.sum() == pytest.approx(1)
        assert chances[hits].sum() >= 0.93, (up, down)


# --- what is refused

impossible = [(0, 0, 0), (-1, 0, 5), (0, -1, 5), (3, 3, 5), (1.5, 1, 5), (math.nan, 1, 5),
              (1, 1, math.nan), (1, 1, math.inf)]  # fmt: skip


@pytest.mark.parametrize("table", impossible)
def test_impossible_tables_are_refused(table: Table) -> None:
    """More discordant pairs than pairs, or counts that are none, are an error and not a figure."""
    methods: list[Callable[..., Any]] = [
        tango_interval, bonett_price_interval, wald_interval,
        lambda *table: tango_z(*table, 0.1), lambda *table: non_inferiority(*table, 0.02),
    ]  # fmt: skip
    for method in methods:
        with pytest.raises(ValueError, match=r"expected gained \+ lost <= n"):
            method(*table)
    with pytest.raises(ValueError, match=r"expected gained \+ lost <= n"):
        tango_z_array([table[0]], [table[1]], table[2], 0.1)


@pytest.mark.parametrize("cells", [(0, 0, 0, 0), (-1, 2, 2, 2), (2, 2, 2, -1), (2, -1, 2, 2)])
def test_newcombe_refuses_impossible_cells(cells: tuple[int, int, int, int]) -> None:
    """No pairs, and fewer than none, are errors."""
    with pytest.raises(ValueError, match="expected"):
        newcombe10_interval(*cells)


@pytest.mark.parametrize("counts", [(-1, 2), (2, -1), (0.5, 1), (math.nan, 1)])
def test_mcnemar_refuses_impossible_counts(counts: tuple[int, int]) -> None:
    """Half a gain is no count."""
    for p in (mcnemar_exact, mcnemar_mid_p, mcnemar_one_sided, mcnemar_asymptotic):
        with pytest.raises(ValueError, match="whole numbers"):
            p(*counts)


@pytest.mark.parametrize("level", [0, 1, 95, math.nan])
def test_impossible_levels_are_refused(level: float) -> None:
    """A level of 95 instead of 0.95 is an error."""
    for method in (tango_interval, bonett_price_interval, wald_interval):
        with pytest.raises(ValueError, match="level="):
            method(1, 2, 9, level)
    with pytest.raises(ValueError, match="level="):
        newcombe10_interval(1, 2, 3, 4, level)


@pytest.mark.parametrize("difference", [-1, 1, 1.5, math.nan])
def test_scores_refuse_impossible_differences(difference: float) -> None:
    """A difference of proportions of 1 or more is no hypothesis about these tables."""
    with pytest.raises(ValueError, match="-1 < difference < 1"):
        tango_z(1, 2, 9, difference)
    with pytest.raises(ValueError, match="-1 < difference < 1"):
        tango_z_array([1], [2], 9, difference)


@pytest.mark.parametrize(
    ("margin", "alpha"), [(-0.01, 0.05), (1, 0.05), (math.nan, 0.05), (0.02, 0), (0.02, 0.5)]
)
def test_non_inferiority_refuses_impossible_margins(margin: float, alpha: float) -> None:
    """A margin is a share, 0.02 and not 2, and is not negative."""
    with pytest.raises(ValueError, match="expected margin in"):
        non_inferiority(1, 2, 9, margin, alpha)


@pytest.mark.parametrize(
    "arguments", [(8, 7, 7, 7, 50), (0, 0, 7, 7, 50), (0, 7, 7, 7, 0), (0, 7, -1, 7, 50)]
)
def test_pass_rates_refuse_impossible_counts(arguments: tuple[int, int, int, int, int]) -> None:
    """More passes than runs, no runs, or no suite are errors."""
    with pytest.raises(ValueError, match="expected 0 <= successes <= n"):
        pass_rate_drop(*arguments)


def test_numpy_counts_give_plain_floats() -> None:
    """Counts that come out of arrays give the same limits, in types that JSON knows."""
    limits = tango_interval(*np.array([12, 2, 50]))

    assert limits == tango_interval(12, 2, 50)
    assert type(limits.value) is type(limits.lower) is float
    assert type(limits.n) is int
