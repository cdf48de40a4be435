"""Tests of the plan's arithmetic: published numbers, what must hold for any plan, and bad input."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from records import QUICK

from ftgate_ext.stats.floor_power import (
    cases_for_floor,
    largest_failing_count,
    least_count,
    power_of_floor,
    smallest_passing_count,
    smallest_provable_n,
)
from ftgate_ext.stats.paired_binary import mcnemar_mid_p, non_inferiority
from ftgate_ext.stats.paired_power import (
    cases_for_non_inferiority,
    chance_of_inferiority,
    point_rule_pass_rate,
    power_of_mcnemar_mid_p,
    power_of_non_inferiority,
)
from ftgate_ext.stats.planning import (
    cases_from_standard_error,
    cases_to_settle,
    chance_all_pass,
    chance_of_false_regression,
    chance_of_missed_regression,
    chance_of_point_pass,
    chance_unchanged_passes,
    design_effect,
    effective_cases,
    f1_standard_error,
    mde_f1,
    mde_from_standard_error,
    needed_each,
    power_from_standard_error,
    power_of_significance,
)
from ftgate_ext.stats.power import (
    cases_for_mcnemar,
    cases_for_miller,
    cases_for_paired_t,
    cases_for_win_rate,
    mde_mcnemar,
    mde_paired_t,
    mde_win_rate,
    power_of_mcnemar,
    power_of_paired_t,
    power_of_win_rate,
    win_rate_standard_error,
)
from ftgate_ext.stats.proportion import clopper_pearson

if TYPE_CHECKING:
    from collections.abc import Callable

POINT = 0.01

# --- published numbers: two models, pass or fail


@pytest.mark.parametrize(
    ("p10", "p01", "power", "sides", "n"),
    [
        (0.05, 0.45, 0.9, 1, 22.80907052752994),
        (0.05, 0.45, 0.8, 2, 22.011324427435788),
        (0.06, 0.04, 0.8, 2, 1959.860407125373),
        (0.11, 0.09, 0.8, 2, 3922.081167967855),
    ],
)
def test_pairs_for_mcnemar_are_connors(
    p10: float, p01: float, power: float, sides: int, n: float
) -> None:
    """Connor 1987; the first case is the worked one of powerandsamplesize.com (23 pairs)."""
    assert cases_for_mcnemar(p10, p01, 0.05, power, sides) == pytest.approx(n, abs=1e-6)


@pytest.mark.parametrize(
    ("discordance", "at_80", "at_90"),
    [
        (0.05, 979, 1310),
        (0.10, 1960, 2623),
        (0.15, 2941, 3937),
        (0.20, 3923, 5250),
        (0.30, 5885, 7877),
    ],
)
def test_pairs_for_two_points(discordance: float, at_80: int, at_90: int) -> None:
    """The table of pairs needed to see 2 points, at 80 and at 90 % power."""
    p10, p01 = (discordance + 0.02) / 2, (discordance - 0.02) / 2

    assert cases_for_mcnemar(p10, p01) == pytest.approx(at_80, abs=1)
    assert cases_for_mcnemar(p10, p01, power=0.9) == pytest.approx(at_90, abs=1)


@pytest.mark.parametrize(
    ("discordance", "thousands"),
    [(0.05, 3.9), (0.10, 7.8), (0.15, 11.8), (0.20, 15.7), (0.30, 23.5)],
)
def test_pairs_for_one_point(discordance: float, thousands: float) -> None:
    """Seeing 1 point takes four times the pairs of seeing 2."""
    n = cases_for_mcnemar((discordance + 0.01) / 2, (discordance - 0.01) / 2)

    assert n / 1000 == pytest.approx(thousands, abs=0.051)


DISCORDANCES = (0.03, 0.05, 0.10, 0.15, 0.20, 0.30)


@pytest.mark.parametrize(
    ("n", "points"),
    [
        (50, (None, None, None, 15.0, 17.3, 21.2)),
        (164, (None, 4.9, 6.9, 8.4, 9.7, 11.9)),
        (200, (None, 4.4, 6.2, 7.6, 8.8, 10.8)),
        (300, (2.8, 3.6, 5.1, 6.2, 7.2, 8.8)),
        (500, (2.2, 2.8, 4.0, 4.8, 5.6, 6.9)),
        (1000, (1.5, 2.0, 2.8, 3.4, 4.0, 4.9)),
        (5000, (0.7, 0.9, 1.3, 1.5, 1.8, 2.2)),
    ],
)
def test_smallest_difference_that_can_be_seen(n: int, points: tuple[float | None, ...]) -> None:
    """The table of smallest detectable differences, in points; None where nothing can be seen.

    Its cells were searched for in steps of a hundredth of a point, and then rounded.
    """
    for discordance, expected in zip(DISCORDANCES, points, strict=True):
        found = mde_mcnemar(n, discordance)
        if expected is None:
            assert found is None
        else:
            assert found is not None
            assert math.ceil(found / POINT * 100) / 100 == pytest.approx(expected, abs=0.0501)


@pytest.mark.parametrize(
    ("n", "discordance", "difference", "chance"),
    [
        (50, 0.10, 0.0, 0.026), (50, 0.10, 0.02, 0.034), (50, 0.10, 0.05, 0.13),
        (50, 0.10, 0.10, 0.56), (200, 0.10, 0.0, 0.048), (200, 0.10, 0.02, 0.13),
        (200, 0.10, 0.05, 0.62), (500, 0.10, 0.02, 0.29), (500, 0.10, 0.05, 0.96),
        (1000, 0.10, 0.0, 0.049), (1000, 0.10, 0.02, 0.52), (50, 0.20, 0.05, 0.10),
        (50, 0.20, 0.10, 0.33), (200, 0.20, 0.05, 0.34), (500, 0.20, 0.05, 0.70),
        (1000, 0.20, 0.02, 0.29), (1000, 0.20, 0.05, 0.95),
    ],
)  # fmt: skip
def test_power_of_the_mid_p_is_the_simulated_one(
    n: int, discordance: float, difference: float, chance: float
) -> None:
    """The exact sum lies within simulation error (1.5 points) of the measured rejection rates."""
    found = power_of_mcnemar_mid_p(n, discordance, difference)

    assert found == pytest.approx(chance, abs=0.015)


def test_normal_power_of_mcnemar() -> None:
    """A true drop of 2 points on 164 cases is seen 21 to 8 % of the time, at q from 5 to 20 %."""
    found = [power_of_mcnemar(164, (q - 0.02) / 2, (q + 0.02) / 2) for q in (0.05, 0.20)]

    assert found == pytest.approx([0.21, 0.08], abs=0.005)
    assert power_of_mcnemar(1000, 0.06, 0.04) == pytest.approx(0.516, abs=0.0005)


# --- published numbers: non-inferiority and point rules


@pytest.mark.parametrize(
    ("n", "margin", "discordance", "chance"),
    [
        (164, 0.02, 0.06, 0.25),
        (164, 0.02, 0.12, 0.18),
        (164, 0.02, 0.20, 0.14),
        (200, 0.02, 0.01, 0.62),
        (200, 0.05, 0.01, 0.998),
    ],
)
def test_an_unchanged_model_is_seldom_proven_so(
    n: int, margin: float, discordance: float, chance: float
) -> None:
    """164 cases pass an unchanged model 14 to 25 % of the time; 200 refusals depend on the margin."""
    found = power_of_non_inferiority(n, margin, discordance)

    assert found == pytest.approx(chance, abs=0.0005 if chance > 0.9 else 0.005)


@pytest.mark.parametrize(("discordance", "n"), [(0.05, 773), (0.10, 1546), (0.20, 3092)])
def test_pairs_for_non_inferiority(discordance: float, n: int) -> None:
    """The pairs that prove "no drop of 2 points", which the exact power bears out."""
    found = cases_for_non_inferiority(0.02, discordance)

    assert found is not None
    assert math.ceil(found) == n
    assert power_of_non_inferiority(n, 0.02, discordance) == pytest.approx(0.8, abs=0.025)


def test_pairs_at_the_observed_discordance() -> None:
    """12 of 164 discordant: about 1,131 pairs would settle a margin of 2 points."""
    assert cases_for_non_inferiority(0.02, 12 / 164) == pytest.approx(1131, abs=1)


@pytest.mark.parametrize(("discordance", "blocked"), [(0.06, 0.13), (0.12, 0.21), (0.20, 0.27)])
def test_a_point_rule_blocks_unchanged_models(discordance: float, blocked: float) -> None:
    """The rule "no drop over 2 points" on 164 cases blocks a model that did not change."""
    found = 1 - point_rule_pass_rate(164, discordance, 0.0, -0.02)

    assert found == pytest.approx(blocked, abs=0.005)


def test_six_point_rules_block_most_unchanged_models() -> None:
    """With six benchmarks of 164 cases 56, 76 and 85 % of unchanged models are blocked."""
    passed = [point_rule_pass_rate(164, q, 0.0, -0.02) for q in (0.06, 0.12, 0.20)]

    blocked = [1 - chance_all_pass([p] * 6) for p in passed]
    assert blocked == pytest.approx([0.56, 0.76, 0.85], abs=0.007)


@pytest.mark.parametrize(
    ("n", "drop", "least", "most"),
    [
        (164, 0.02, 0.49, 0.56),
        (1000, 0.02, 0.49, 0.56),
        (50, 0.02, 0.56, 0.63),
        (164, 0.03, 0.33, 0.40),
    ],
)
@pytest.mark.parametrize("discordance", [0.06, 0.12, 0.20])
def test_a_point_rule_passes_true_drops(
    n: int, drop: float, least: float, most: float, discordance: float
) -> None:
    """A true drop of 2 or 3 points passes "no drop over 2 points" about every second time."""
    found = point_rule_pass_rate(n, discordance, -drop, -0.02)

    assert least - 0.01 <= found <= most + 0.01


def test_at_least_the_baseline_is_a_coin_flip() -> None:
    """At 200 cases ">= baseline" blocks a truly equal model 34 to 45 % of the time."""
    blocked = [1 - point_rule_pass_rate(200, q, 0.0, 0.0) for q in (0.01, 0.10)]

    assert blocked == pytest.approx([0.34, 0.45], abs=0.01)


# --- published numbers: means, win rates, clusters, repeats


def test_pairs_for_paired_t_are_those_of_r() -> None:
    """R: pwr.t.test(d=.2, power=.8, type="paired") gives n = 198.15082."""
    assert cases_for_paired_t(0.2) == pytest.approx(198.150820955562, abs=1e-5)


def test_power_of_paired_t_is_that_of_r_and_statsmodels() -> None:
    """R: power.t.test(n=20, delta=.5, type="paired") gives 0.5645; statsmodels the others."""
    assert power_of_paired_t(20, 0.5) == pytest.approx(0.5645044, abs=1e-6)
    assert power_of_paired_t(50, 0.2) == pytest.approx(0.28, abs=0.01)
    assert power_of_paired_t(200, 0.2) == pytest.approx(0.80, abs=0.01)


@pytest.mark.parametrize(("n", "grades"), [(50, 0.35), (200, 0.17), (500, 0.11), (1000, 0.077)])
def test_smallest_difference_in_grades(n: int, grades: float) -> None:
    """Grades from 1 to 5 whose differences have a standard deviation of 0.87."""
    digits = 3 if n == 1000 else 2

    assert round(mde_paired_t(n, 0.87), digits) == grades


@pytest.mark.parametrize(
    ("n", "points"), [(50, 17.7), (200, 8.9), (300, 7.2), (500, 5.6), (1000, 4.0)]
)
def test_smallest_lead_in_a_win_rate(n: int, points: float) -> None:
    """With a fifth of ties."""
    assert mde_win_rate(n, 0.2) == pytest.approx(points * POINT, abs=0.00051)


@pytest.mark.parametrize(("rate", "n"), [(0.55, 550), (0.52, 3434), (0.45, 550)])
def test_cases_for_a_win_rate(rate: float, n: int) -> None:
    """With three ties in ten; a loss is seen as well as a lead."""
    assert math.ceil(cases_for_win_rate(rate, 0.3)) == n


@pytest.mark.parametrize(
    ("repeats", "n"),
    [(1, 3875.9899922711543), (10, 1259.6967474881253), (math.inf, 968.9974980677886)],
)
def test_questions_with_repeats_are_millers(repeats: float, n: float) -> None:
    """Miller 2024, arXiv 2411.00640: 969 questions for 3 points without sampling noise."""
    found = cases_for_miller(0.03, 1 / 9, 1 / 6, 1 / 6, repeats, repeats)

    assert found == pytest.approx(n, abs=1e-6)


@pytest.mark.parametrize(("icc", "worth"), [(0.1, 526), (0.3, 270)])
def test_clustered_cases_are_worth_less(icc: float, worth: int) -> None:
    """1000 cases in clusters of 10."""
    assert round(effective_cases(1000, 10, icc)) == worth
    assert effective_cases(1000, 10, icc) * design_effect(10, icc) == pytest.approx(1000)


# --- published numbers: F1 and whatever has a standard error

# Disagreement is printed as 6 and 22 %; with two classes at 31.5 % and F1 0.8 it is 6.25 and 22 %.
F1_PLAN = {"f1": 0.8, "prevalence": 0.315}


@pytest.mark.parametrize(
    ("disagreement", "points", "one_point", "two_points"),
    [(0.0625, 3.6, 12.9, 3.2), (0.22, 6.7, 45, 11.3)],
)
def test_f1_needs_many_cases(
    disagreement: float, points: float, one_point: float, two_points: float
) -> None:
    """1000 cases show 3.6 to 6.7 points of F1; 1 point takes 13 to 45 thousand cases."""
    found = mde_f1(1000, disagreement=disagreement, **F1_PLAN)
    standard_error = f1_standard_error(1000, disagreement=disagreement, **F1_PLAN)
    needed = [cases_from_standard_error(standard_error, 1000, e * POINT) for e in (1, 2)]

    assert found == pytest.approx(points * POINT, abs=0.00051)
    assert needed == pytest.approx(
        [one_point * 1000, two_points * 1000], abs=500 if one_point > 40 else 51
    )


@pytest.mark.parametrize(
    ("disagreement", "chances"),
    [(0.167, (0.07, 0.14, 0.33, 0.67)), (0.0625, (0.12, 0.35, 0.65, 0.97))],
)
def test_one_point_of_f1_seldom_shows(disagreement: float, chances: tuple[float, ...]) -> None:
    """1000 cases pass "+1 point, p < 0.05" at a true gain of 1, 2, 3 and 5 points so often."""
    standard_error = f1_standard_error(1000, disagreement=disagreement, **F1_PLAN)

    found = [power_of_significance(standard_error, e * POINT, POINT) for e in (1, 2, 3, 5)]
    assert found == pytest.approx(chances, abs=0.035)


def test_f1_standard_error_of_a_measured_table() -> None:
    """The derived standard error is within 5 % of the delta method's on 1000 cases: 0.02067."""
    f1 = (0.75 + 0.7058823529411765) / 2

    assert f1_standard_error(1000, f1, 0.3, 0.135) == pytest.approx(0.02067321930122027, rel=0.05)


def test_f1_standard_error_is_the_influence_functions() -> None:
    """On a table that meets the assumptions the delta method gives the very same variance."""
    # gold, candidate, baseline, cases: F1 0.8 for both, prevalence 0.3, 80 of 1000 disagree.
    table = [(1, 1, 1, 220), (1, 1, 0, 20), (1, 0, 1, 20), (1, 0, 0, 40)]
    table += [(0, 1, 0, 20), (0, 0, 1, 20), (0, 1, 1, 40), (0, 0, 0, 640)]
    gold, candidate, baseline, count = np.array(table).T
    influence = []
    for model in (candidate, baseline):
        weight = gold + model
        mean = (weight * count).sum() / 1000
        influence.append((2 * gold * model - 0.8 * weight) / mean)
    spread = math.sqrt((count * (influence[0] - influence[1]) ** 2).sum()) / 1000

    assert f1_standard_error(1000, 0.8, 0.3, 0.08) == pytest.approx(spread, rel=1e-12)


def test_a_point_rule_on_f1_passes_unchanged_models() -> None:
    """A bare "+1 point of F1" passes a third to a half of the unchanged models."""
    errors = [f1_standard_error(n, disagreement=0.2, **F1_PLAN) for n in (1000, 50)]

    found = [chance_unchanged_passes(standard_error, POINT) for standard_error in errors]

    assert found == pytest.approx([0.33, 0.465], abs=0.01)


# --- published numbers: floors


def test_counts_that_prove_98_percent() -> None:
    """299 of 300 and 988 of 1000 prove it; 50 of 50 and even 148 of 148 never do."""
    assert smallest_passing_count(300, 0.98) == 299
    assert smallest_passing_count(1000, 0.98) == 988
    assert smallest_passing_count(50, 0.98) is None
    assert smallest_passing_count(148, 0.98) is None
    assert smallest_provable_n(0.98) == 149


@pytest.mark.parametrize(
    ("n", "true_rate", "evidence", "chance"),
    [
        (300, 0.97, "point", 0.20), (300, 0.96, "point", 0.043), (300, 0.98, "point", 0.61),
        (300, 0.99, "point", 0.97), (300, 0.99, "proven", 0.20), (300, 0.995, "proven", 0.56),
        (1000, 0.99, "proven", 0.79), (50, 1.0, "proven", 0.0),
    ],
)  # fmt: skip
def test_power_of_a_floor(n: int, true_rate: float, evidence: Any, chance: float) -> None:
    """How often a model with this true rate passes a floor of 98 %."""
    assert power_of_floor(n, 0.98, true_rate, evidence) == pytest.approx(chance, abs=0.005)


def test_cases_for_a_floor_are_fewest() -> None:
    """At a true 99 % no smaller n reaches the power, and a true 98 % never proves 98 %."""
    found = cases_for_floor(0.98, 0.99)

    assert found == 969
    assert power_of_floor(found, 0.98, 0.99) >= 0.8
    assert all(power_of_floor(n, 0.98, 0.99) < 0.8 for n in range(149, 969))
    assert cases_for_floor(0.98, 1.0) == 149
    assert cases_for_floor(0.98, 0.98) is None
    assert cases_for_floor(0.98, 0.9800001) is None


# --- published numbers: regressions, more data, the gate as a whole


@pytest.mark.parametrize(
    ("suite_size", "pass_rate", "runs", "chance"),
    [
        (50, 0.99, 1, 0.395), (50, 0.98, 1, 0.64), (200, 0.99, 1, 0.87), (50, 0.99, 5, 0.0005),
        (1, 0.8, 3, 0.10), (5, 0.8, 1, 0.67),
    ],
)  # fmt: skip
def test_flaky_suites_fail_identical_models(
    suite_size: int, pass_rate: float, runs: int, chance: float
) -> None:
    """One run a case fails an identical model 39.5 % of the time, the majority of five 0.05 %."""
    found = chance_of_false_regression(suite_size, pass_rate, runs)

    assert found == pytest.approx(chance, abs=0.00005 if chance < 0.01 else 0.005)


def test_small_suites_miss_rare_regressions() -> None:
    """A regression of 1 % of cases is missed by 50 cases 61 % of the time."""
    assert chance_of_missed_regression(50, 0.01) == pytest.approx(0.605, abs=0.0005)


def test_more_data_settles_a_rule_that_leans_right() -> None:
    """A z of 1 needs 6.2 times the cases; on the wrong side no number of cases is named."""
    assert cases_to_settle(1000, 1.0) == pytest.approx(6183, abs=1)
    assert cases_to_settle(164, 0.0) is None
    assert cases_to_settle(164, -0.4) is None
    assert cases_to_settle(164, 1e-200) is None
    assert cases_to_settle(164, 10.0) == 164


def test_many_rules_need_much_power_each() -> None:
    """Nine rules of 80 % power pass together 13 % of the time; 80 % takes 97.6 % each."""
    assert chance_all_pass([0.8] * 9) == pytest.approx(0.13, abs=0.005)
    assert needed_each(9, 0.8) == pytest.approx(0.976, abs=0.0006)
    assert chance_all_pass([]) == 1


# --- the exact sums against the decision itself


@pytest.mark.parametrize(
    ("n", "discordance", "difference"),
    [(1, 0.5, 0.2), (13, 0.3, 0.0), (40, 0.2, -0.1), (40, 0.0, 0.0), (30, 1.0, 1.0)],
)
def test_exact_powers_are_what_the_tests_decide(
    n: int, discordance: float, difference: float
) -> None:
    """Summing the verdicts of the tests over every table gives the same powers."""
    share = (1 + difference / discordance) / 2 if discordance else 0.5
    proven = shown = rejected = passed = 0.0
    for m in range(n + 1):
        for gained in range(m + 1):
            chance = math.comb(n, m) * discordance**m * (1 - discordance) ** (n - m)
            chance *= math.comb(m, gained) * share**gained * (1 - share) ** (m - gained)
            verdict = non_inferiority(gained, m - gained, n, 0.05).verdict
            proven += chance * (verdict == "PASS")
            shown += chance * (verdict == "FAIL")
            rejected += chance * (mcnemar_mid_p(gained, m - gained) <= 0.05)
            passed += chance * ((2 * gained - m) / n >= -0.05)

    plan = (n, 0.05, discordance, difference)
    assert power_of_non_inferiority(*plan) == pytest.approx(proven, abs=1e-9)
    assert chance_of_inferiority(*plan) == pytest.approx(shown, abs=1e-9)
    assert power_of_mcnemar_mid_p(n, discordance, difference) == pytest.approx(rejected, abs=1e-9)
    assert point_rule_pass_rate(n, discordance, difference, -0.05) == pytest.approx(passed)


# --- what must hold for any plan

shares = st.floats(0.02, 0.98)
sizes = st.integers(1, 3000)
powers = st.sampled_from([0.5, 0.8, 0.9, 0.95])
alphas = st.sampled_from([0.01, 0.05, 0.1])
sides = st.sampled_from([1, 2])


@QUICK
@given(shares, st.floats(0.1, 0.95), alphas, powers, sides)
def test_mcnemar_inverts(
    discordance: float, part: float, alpha: float, power: float, two: int
) -> None:
    """Cases, power and smallest difference of McNemar's test are one relation read three ways."""
    d = part * discordance
    p10, p01 = (discordance + d) / 2, (discordance - d) / 2

    n = cases_for_mcnemar(p10, p01, alpha, power, two)

    assume(n >= 1)
    assert power_of_mcnemar(n, p10, p01, alpha, two) == pytest.approx(power)
    assert mde_mcnemar(n, discordance, alpha, power, two) == pytest.approx(d)


@QUICK
@given(st.floats(0.01, 1.5), alphas, powers, sides)
def test_paired_t_inverts(d: float, alpha: float, power: float, two: int) -> None:
    """Cases, power and smallest difference of the paired t-test are one relation read three ways."""
    n = cases_for_paired_t(d, alpha, power, two)

    assert power_of_paired_t(n, d, alpha, two) == pytest.approx(power, abs=1e-6)
    assert mde_paired_t(n, 3.0, alpha, power, two) == pytest.approx(3 * d, rel=1e-5)
    assert power_of_paired_t(n, -d, alpha, two) == power_of_paired_t(n, d, alpha, two)


@QUICK
@given(st.floats(0.01, 0.3), st.floats(0, 0.3), alphas, powers, sides)
def test_win_rate_inverts(lead: float, ties: float, alpha: float, power: float, two: int) -> None:
    """Cases, power and smallest lead of a win rate are one relation read three ways."""
    n = cases_for_win_rate(0.5 + lead, ties, alpha, power, two)

    assert power_of_win_rate(n, 0.5 + lead, ties, alpha, two) == pytest.approx(power)
    assert mde_win_rate(n, ties, alpha, power, two) == pytest.approx(lead)
    standard_error = win_rate_standard_error(n, ties)
    assert mde_from_standard_error(standard_error, alpha, power, two) == pytest.approx(lead)


@QUICK
@given(st.floats(0.001, 5), sizes, st.floats(0.001, 5), st.floats(-5, 5), alphas, powers, sides)
def test_standard_errors_invert(
    standard_error: float, n: int, lead: float, threshold: float, alpha: float, power: float, two: int
) -> None:  # fmt: skip
    """With the cases named, the standard error shrinks until the power is the one asked for."""
    effect = threshold + lead
    needed = cases_from_standard_error(standard_error, n, effect, threshold, alpha, power, two)

    assert needed is not None
    then = standard_error * math.sqrt(n / needed)
    assert power_from_standard_error(then, effect, threshold, alpha, two) == pytest.approx(power)
    assert mde_from_standard_error(then, alpha, power, two) == pytest.approx(lead)


@QUICK
@given(st.floats(0.02, 0.2), shares, st.floats(0, 1), alphas)
def test_non_inferiority_inverts_about(
    margin: float, discordance: float, part: float, alpha: float
) -> None:
    """The exact power at the pairs named is near the one asked for, once a few dozen disagree."""
    n = cases_for_non_inferiority(margin, discordance, part * discordance / 4, alpha)

    assert n is not None
    whole = math.ceil(n)
    assume(30 / discordance < whole < 30_000)
    found = power_of_non_inferiority(whole, margin, discordance, part * discordance / 4, alpha)
    assert found == pytest.approx(0.8, abs=0.08)


@QUICK
@given(shares, st.floats(0.05, 0.9), st.integers(20, 2000), st.integers(2, 5))
def test_power_grows_with_cases_and_the_smallest_difference_falls(
    discordance: float, part: float, n: int, times: int
) -> None:
    """More cases never hurt a test of two models."""
    d = part * discordance
    p10, p01 = (discordance + d) / 2, (discordance - d) / 2
    few, more = mde_mcnemar(n, discordance), mde_mcnemar(n * times, discordance)

    assert power_of_mcnemar(n, p10, p01) <= power_of_mcnemar(n * times, p10, p01)
    assert power_of_paired_t(n, d) <= power_of_paired_t(n * times, d) + 1e-9
    assert mde_paired_t(n, 1.0) > mde_paired_t(n * times, 1.0)
    assert few is None or (more is not None and more < few)
    lead, shorter = mde_win_rate(n, 0.2), mde_win_rate(n * times, 0.2)
    assert lead is None or (shorter is not None and shorter < lead)


@QUICK
@given(sizes, shares, st.floats(0, 0.95), st.floats(0, 0.2))
def test_power_grows_with_the_effect(
    n: int, discordance: float, part: float, margin: float
) -> None:
    """A better candidate passes every rule more often, and is shown to be worse less often."""
    ladder = [discordance * part * step / 4 for step in range(-4, 5)]

    def rises(chance: Callable[[float], float], start: int = 0) -> None:
        assert all(a <= b + 1e-9 for a, b in pairwise(chance(d) for d in ladder[start:]))

    rises(lambda d: power_of_non_inferiority(n, margin, discordance, d))
    rises(lambda d: -chance_of_inferiority(n, margin, discordance, d))
    rises(lambda d: point_rule_pass_rate(n, discordance, d, -margin))
    rises(lambda d: power_of_mcnemar_mid_p(n, discordance, d), start=4)
    rises(lambda d: power_of_mcnemar(n, (discordance + d) / 2, (discordance - d) / 2), start=4)
    rises(lambda d: chance_of_point_pass(0.1, d, -margin))


@QUICK
@given(sizes, shares, st.floats(-1, 1), st.floats(0, 0.5), alphas)
def test_chances_of_a_rule_are_chances(
    n: int, discordance: float, part: float, margin: float, alpha: float
) -> None:
    """Proven and shown to be worse exclude each other, and both models are treated alike."""
    d = part * discordance
    proven = power_of_non_inferiority(n, margin, discordance, d, alpha)
    shown = chance_of_inferiority(n, margin, discordance, d, alpha)

    assert 0 <= proven <= 1
    assert 0 <= shown <= 1
    assert proven + shown <= 1 + 1e-9
    rejected = power_of_mcnemar_mid_p(n, discordance, d, alpha)
    assert rejected == pytest.approx(power_of_mcnemar_mid_p(n, discordance, -d, alpha))


@QUICK
@given(sizes, shares, alphas)
def test_tests_keep_their_level(n: int, discordance: float, alpha: float) -> None:
    """The mid-p rejects an unchanged model not much more often than alpha."""
    assert power_of_mcnemar_mid_p(n, discordance, 0.0, alpha) <= 1.35 * alpha


@QUICK
@given(st.integers(1, 600), st.floats(0.05, 0.99), alphas)
def test_counts_of_a_floor_are_those_of_the_limits(n: int, threshold: float, alpha: float) -> None:
    """The passing count is the first whose limit clears the floor; the failing one is below it."""
    passing = smallest_passing_count(n, threshold, alpha)
    failing = largest_failing_count(n, threshold, alpha)
    limits = [clopper_pearson(k, n, 1 - 2 * alpha) for k in range(n + 1)]

    assert passing == next((k for k in range(n + 1) if limits[k].lower >= threshold), None)
    below = [k for k in range(n + 1) if limits[k].upper < threshold]
    assert failing == (below[-1] if below else None)
    provable = smallest_provable_n(threshold, alpha)
    assert provable is not None
    assert (passing is None) == (n < provable)


@QUICK
@given(st.integers(1, 2000), st.floats(0.05, 0.99), shares, shares)
def test_floors_pass_better_models_more_often(
    n: int, threshold: float, one: float, other: float
) -> None:
    """Power rises with the true rate, and proof is harder than the point, the point than a screen."""
    worse, better = sorted((one, other))
    for evidence in ("point", "proven", "screen"):
        low, high = (power_of_floor(n, threshold, rate, evidence) for rate in (worse, better))
        assert low <= high + 1e-9
    proven, point, screen = (
        power_of_floor(n, threshold, better, evidence) for evidence in ("proven", "point", "screen")
    )
    assert proven <= point + 1e-9
    assert point <= screen + 1e-9


@QUICK
@given(st.floats(0.5, 0.98), st.floats(0.2, 0.95), alphas, powers)
def test_cases_for_a_floor_have_the_power(
    threshold: float, part: float, alpha: float, power: float
) -> None:
    """With the cases named the floor is proven as often as asked, and with one fewer it is not."""
    rate = threshold + part * (1 - threshold)
    n = cases_for_floor(threshold, rate, alpha, power)

    assert n is not None
    assert power_of_floor(n, threshold, rate, alpha=alpha) >= power - 1e-9
    assert n == 1 or power_of_floor(n - 1, threshold, rate, alpha=alpha) < power


@QUICK
@given(st.integers(1, 5000), st.integers(-5000, 5000))
def test_a_share_is_reached_by_its_own_count(n: int, count: int) -> None:
    """Rounding of k / n * n never moves the count that a threshold asks for."""
    assert least_count(n, count / n) == count


@QUICK
@given(st.integers(1, 300), st.floats(0.5, 1), st.integers(0, 4))
def test_reruns_help_stable_suites(suite_size: int, pass_rate: float, more: int) -> None:
    """The majority of more (odd) runs never fails an identical model more often."""
    few = chance_of_false_regression(suite_size, pass_rate, 2 * more + 1)

    assert chance_of_false_regression(suite_size, pass_rate, 2 * more + 3) <= few + 1e-12
    assert 0 <= few <= 1


@QUICK
@given(st.integers(1, 50), st.floats(0.01, 0.99))
def test_powers_multiply_up_to_the_target(k: int, target: float) -> None:
    """The power that each rule needs is the one whose product is the target."""
    assert chance_all_pass([needed_each(k, target)] * k) == pytest.approx(target)


# --- edges and bad input


def test_what_no_case_can_show_is_none() -> None:
    """Where the attainable effect is too small there is no smallest one, and no number of cases."""
    assert mde_mcnemar(1000, 0.0) is None
    assert mde_win_rate(3, 0.2) is None
    assert mde_f1(50, 0.8, 0.3, 0.06) is None
    assert cases_for_non_inferiority(0.02, 0.1, -0.02) is None
    assert cases_from_standard_error(0.01, 100, 0.01, 0.02) is None
    assert smallest_provable_n(1.0) is None
    assert smallest_passing_count(100, 1.0) is None
    assert largest_failing_count(5, 0.2) is None


def test_edges_have_plain_answers() -> None:
    """Certain and impossible things come out as 1 and 0, not as NaN."""
    assert power_of_mcnemar(10, 0.0, 0.0) == 0
    assert power_of_mcnemar(10, 1.0, 0.0) == 1
    assert power_of_paired_t(50, 1e300) == 1
    assert cases_for_paired_t(50) == 2
    assert power_of_paired_t(2, 100) == pytest.approx(1)
    assert smallest_passing_count(10, 0.0) == 0
    assert smallest_provable_n(0.0) == 1
    assert cases_for_floor(0.0, 0.5) == 1
    assert power_of_floor(10, 1.0, 1.0, "point") == 1
    assert power_of_floor(20, 0.2, 0.0, "screen") == 0
    assert power_of_floor(10, 0.2, 0.0, "screen") == 1, "0 of 10 does not show a rate under 20 %"
    assert chance_of_false_regression(10, 0.0) == 1
    assert cases_for_non_inferiority(0.02, 0.0) == 1


BAD: list[Callable[[], object]] = [
    lambda: cases_for_mcnemar(0.05, 0.05),
    lambda: cases_for_mcnemar(0.7, 0.7),
    lambda: cases_for_mcnemar(math.nan, 0.1),
    lambda: cases_for_mcnemar(0.06, 0.04, alpha=0),
    lambda: cases_for_mcnemar(0.06, 0.04, power=0.05),
    lambda: cases_for_mcnemar(0.06, 0.04, power=1),
    lambda: cases_for_mcnemar(0.06, 0.04, sides=3),
    lambda: power_of_mcnemar(0, 0.06, 0.04),
    lambda: mde_mcnemar(math.nan, 0.1),
    lambda: mde_mcnemar(100, 1.1),
    lambda: power_of_mcnemar_mid_p(0, 0.1, 0.0),
    lambda: power_of_mcnemar_mid_p(100, 0.1, 0.2),
    lambda: power_of_mcnemar_mid_p(100, math.nan, 0.0),
    lambda: power_of_mcnemar_mid_p(100, 0.1, 0.0, alpha=1),
    lambda: power_of_non_inferiority(100, 1.0, 0.1),
    lambda: power_of_non_inferiority(100, 0.02, 0.1, alpha=0.5),
    lambda: chance_of_inferiority(10, -0.1, 0.1),
    lambda: cases_for_non_inferiority(0.02, 0.1, math.nan),
    lambda: point_rule_pass_rate(100, 0.1, 0.0, 2.0),
    lambda: cases_for_paired_t(0),
    lambda: cases_for_paired_t(math.inf),
    lambda: power_of_paired_t(1, 0.2),
    lambda: mde_paired_t(100, 0),
    lambda: cases_for_win_rate(0.5, 0.2),
    lambda: cases_for_win_rate(0.95, 0.2),
    lambda: power_of_win_rate(100, math.nan, 0.2),
    lambda: mde_win_rate(100, 1.0),
    lambda: cases_for_miller(0, 0.1, 0.1, 0.1),
    lambda: cases_for_miller(0.03, -0.1, 0.1, 0.1),
    lambda: cases_for_miller(0.03, 0.1, 0.1, 0.1, repeats_candidate=0),
    lambda: design_effect(0.5, 0.1),
    lambda: design_effect(5, 1.1),
    lambda: effective_cases(0, 5, 0.1),
    lambda: mde_from_standard_error(0),
    lambda: cases_from_standard_error(0.1, 100, math.nan),
    lambda: power_from_standard_error(0.1, 0.1, math.inf),
    lambda: power_of_significance(-1, 0.1),
    lambda: chance_unchanged_passes(math.nan, 0.0),
    lambda: f1_standard_error(1000, 1.0, 0.3, 0.1),
    lambda: f1_standard_error(1000, 0.9, 0.2, 0.1),
    lambda: smallest_passing_count(0, 0.98),
    lambda: smallest_passing_count(10, 1.1),
    lambda: largest_failing_count(10, 0.9, alpha=0.5),
    lambda: power_of_floor(10, 0.9, 1.1),
    lambda: power_of_floor(10, 0.9, 0.9, "significant"),
    lambda: cases_for_floor(0.9, math.nan),
    lambda: cases_to_settle(0, 1.0),
    lambda: cases_to_settle(10, math.nan),
    lambda: chance_of_false_regression(0, 0.9),
    lambda: chance_of_false_regression(10, 0.9, runs=0),
    lambda: chance_of_missed_regression(10, 1.5),
    lambda: chance_all_pass([0.5, math.nan]),
    lambda: needed_each(0, 0.8),
]


@pytest.mark.parametrize("call", BAD)
def test_a_plan_that_makes_no_sense_is_refused(call: Callable[[], object]) -> None:
    """Bad arguments are named, with what was expected."""
    with pytest.raises(ValueError, match="expected"):
        call()


# --- simulation


@pytest.mark.slow
def test_exact_powers_are_simulated_rates() -> None:
    """20,000 drawn tables a plan pass as often as computed, within four standard errors."""
    rng = np.random.default_rng(20260101)
    for n, q, d in ((164, 0.12, 0.0), (200, 0.01, -0.005), (1000, 0.1, -0.02)):
        tables = rng.multinomial(n, [(q + d) / 2, (q - d) / 2, 1 - q], size=20_000)
        verdicts = [non_inferiority(int(b), int(c), n, 0.02).verdict for b, c, _ in tables]
        for verdict, chance in (
            ("PASS", power_of_non_inferiority(n, 0.02, q, d)),
            ("FAIL", chance_of_inferiority(n, 0.02, q, d)),
        ):
            rate = verdicts.count(verdict) / len(verdicts)
            assert abs(rate - chance) <= 4 * math.sqrt(chance * (1 - chance) / 20_000) + 1e-4
