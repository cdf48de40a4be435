"""Tests of the levels of evidence: what a figure and its limits are worth, and what would settle it."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import (
    METRIC,
    QUICK,
    TASK,
    as_scores,
    make_comparison,
    make_comparisons,
    make_level,
    make_models,
    make_operations,
    make_outcomes,
    make_policy,
    make_qualification,
)

from ftgate_ext.compare import compare_models
from ftgate_ext.decision import decide
from ftgate_ext.evidence import (
    Effect,
    Evidence,
    cases_for_unchanged,
    cases_needed,
    chance_unchanged_passes,
    find_problem,
    point_reading,
    requests_problem,
    weigh,
)
from ftgate_ext.settings import Settings
from ftgate_ext.stats.paired_power import point_rule_pass_rate

if TYPE_CHECKING:
    from ftgate_ext.policy_rules import EvidenceLevel
    from ftgate_ext.schema import Outcome, RuleResult

TODAY = date(2026, 6, 1)
LEVELS: tuple[EvidenceLevel, ...] = ("point", "significant", "proven", "screen")
Z = 1.6448536269514722


def effect(value: float, low: float | None, high: float | None, **fields: Any) -> Effect:
    """An effect on 100 cases against a threshold of 0."""
    return Effect(value, low, high, fields.pop("threshold", 0.0), fields.pop("n", 100), **fields)


# value, lower and upper limit, whether its test rejects -> outcome of each level
TABLE: dict[str, tuple[Effect, tuple[Outcome, Outcome, Outcome, Outcome]]] = {
    "clearly above": (effect(0.1, 0.05, 0.15, is_significant=True), ("PASS", "PASS", "PASS", "PASS")),
    "above, no test asked": (effect(0.1, -0.05, 0.25), ("PASS", "PASS", "INCONCLUSIVE", "PASS")),
    "above, test silent": (effect(0.1, -0.05, 0.25, is_significant=False), ("PASS", "INCONCLUSIVE", "INCONCLUSIVE", "PASS")),
    "on it": (effect(0.0, -0.05, 0.05), ("PASS", "PASS", "INCONCLUSIVE", "PASS")),
    "below, not shown": (effect(-0.1, -0.25, 0.05, is_significant=False), ("FAIL", "INCONCLUSIVE", "INCONCLUSIVE", "PASS")),
    "clearly below": (effect(-0.1, -0.15, -0.05), ("FAIL", "FAIL", "FAIL", "FAIL")),
    "upper limit on it": (effect(-0.1, -0.2, 0.0), ("FAIL", "INCONCLUSIVE", "INCONCLUSIVE", "PASS")),
    "lower limit on it": (effect(0.1, 0.0, 0.2), ("PASS", "PASS", "INCONCLUSIVE", "PASS")),
    "lower limit on it, floor": (effect(0.1, 0.0, 0.2, is_strict=False), ("PASS", "PASS", "PASS", "PASS")),
    "no limits": (effect(0.1, None, None, is_significant=True), ("PASS", "INCONCLUSIVE", "INCONCLUSIVE", "INCONCLUSIVE")),
    "no lower limit": (effect(0.1, None, 0.2), ("PASS", "INCONCLUSIVE", "INCONCLUSIVE", "INCONCLUSIVE")),
    "no upper limit": (effect(0.1, 0.05, None), ("PASS", "INCONCLUSIVE", "INCONCLUSIVE", "INCONCLUSIVE")),
    "below, no limits": (effect(-0.1, None, None), ("FAIL", "INCONCLUSIVE", "INCONCLUSIVE", "INCONCLUSIVE")),
    "below, harm shown by the one limit": (effect(-0.1, None, -0.05), ("FAIL", "FAIL", "FAIL", "FAIL")),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE)
def test_levels_of_evidence(case: str) -> None:
    """Point looks at the figure, significant at its test, proven at its limit, screen for harm."""
    found, outcomes = TABLE[case]

    assert tuple(weigh(level, found) for level in LEVELS) == outcomes
    assert point_reading(found) == outcomes[0]


figures = st.floats(-0.5, 0.5)
reaches = st.one_of(st.none(), st.floats(0, 0.5))


@QUICK
@given(figures, reaches, reaches, st.sampled_from([None, True, False]))
def test_a_stricter_level_never_passes_what_a_laxer_one_does_not(
    value: float, down: float | None, up: float | None, significant: bool | None
) -> None:
    """Proven passes imply the other passes; without both limits nothing but a point rule passes."""
    low, high = (None if down is None else value - down), (None if up is None else value + up)
    found = effect(value, low, high, is_significant=significant)
    outcomes = {level: weigh(level, found) for level in LEVELS}

    if outcomes["proven"] == "PASS":
        assert outcomes["point"] == outcomes["screen"] == "PASS"
        assert significant is False or outcomes["significant"] == "PASS"
    if low is None or high is None:
        assert "PASS" not in {outcomes[level] for level in LEVELS if level != "point"}
    fails = {level for level in LEVELS if outcomes[level] == "FAIL"} - {"point"}
    assert fails in (set(), {"significant", "proven", "screen"}), "harm is shown or it is not"


def test_equal_figures_are_equal_whatever_the_rounding() -> None:
    """A win rate of exactly 55 % meets a threshold of 55 %, though 0.55 - 0.5 > 0.05."""
    assert 0.55 - 0.5 > 0.05
    assert point_reading(effect(0.05, None, None, threshold=0.55 - 0.5)) == "PASS"
    assert point_reading(effect(0.05 - 1e-6, None, None, threshold=0.55 - 0.5)) == "FAIL"


# --- how many cases would settle it


def test_one_standard_error_above_needs_six_times_the_cases() -> None:
    """One standard error above needs (1.645 + 0.842)^2 = 6.18 times as many for a power of 80 %."""
    found = effect(0.01, 0.01 - Z * 0.01, 0.01 + Z * 0.01, n=1000)

    assert found.standard_error == pytest.approx(0.01)
    assert cases_needed("proven", found) == math.ceil(1000 * (Z + 0.8416212335729143) ** 2) == 6183


@pytest.mark.parametrize("value", [0.0, -0.01])
def test_on_the_wrong_side_more_cases_are_unlikely_to_help(value: float) -> None:
    """No number is given where the figure itself does not reach the threshold."""
    found = effect(value, value - 0.05, value + 0.05)

    assert cases_needed("proven", found) is None
    assert cases_needed("significant", effect(value, -0.1, 0.1, threshold=0.02, is_significant=False)) is None  # fmt: skip


def test_a_silent_test_is_settled_against_zero_and_not_against_the_margin() -> None:
    """Asked for 1 pt and p < 0.05: the point is met, so the two-sided test is what is missing."""
    found = effect(0.02, 0.02 - Z * 0.0125, 0.02 + Z * 0.0125, threshold=0.01, is_significant=False)

    assert cases_needed("significant", found) == math.ceil(
        100 * ((1.959963984540054 + 0.8416212335729143) / 1.6) ** 2
    )


@pytest.mark.parametrize("limits", [(None, None), (0.0, 0.0)])
def test_without_a_spread_no_number_is_given(limits: tuple[float | None, float | None]) -> None:
    """Nothing is known of the figure's error: nothing can be said about more cases."""
    found = effect(0.0, *limits, threshold=-0.02)

    assert cases_needed("proven", found) is None
    assert cases_for_unchanged(found) is None
    assert chance_unchanged_passes(found) is None


@QUICK
@given(st.floats(0.001, 0.3), st.floats(0.001, 0.3), st.integers(2, 10_000))
def test_an_open_rule_asks_for_more_cases_than_there_are(
    distance: float, reach: float, n: int
) -> None:
    """Where the limit does not clear the threshold, at least 2.2 times as many cases are named."""
    found = effect(distance, distance - reach, distance + reach, n=n)
    if weigh("proven", found) != "INCONCLUSIVE":
        return

    needed = cases_needed("proven", found)
    assert needed is not None
    assert needed >= 2.2 * n


# --- the worked example of the specification: 164 cases, 5 gained, 7 lost, 2 pt allowed


def human_eval(evidence: str, **rule: Any) -> RuleResult:
    """A drop of 1.2 pt at 7.3 % disagreement."""
    production = [1] * 107 + [0] * 57
    candidate = [0] * 7 + [1] * 100 + [1] * 5 + [0] * 52
    models = make_models(
        candidate=make_outcomes(candidate), production=make_outcomes(production)
    )  # fmt: skip
    made = compare_models(as_scores(models), [], "r", Path("runs"), Settings(resamples=1000))
    asked = {"kind": "non_inferiority", "margin_pt": 2, "evidence": evidence} | rule
    (found,) = decide(make_policy(asked), made, None, TODAY).rules
    return found


def test_a_small_benchmark_is_open_and_says_how_many_cases_would_settle_it() -> None:
    """90 % CI -5.1 to +2.5 pt: 1,131 cases would prove it, had nothing changed."""
    found = human_eval("proven")

    assert found.outcome == "INCONCLUSIVE"
    assert "-1.2 pt against production" in found.sentence
    assert "(90 % CI -5.1 pt to +2.5 pt, n = 164)" in found.sentence
    assert "can be neither shown nor excluded with 164 cases" in found.sentence
    assert found.next_step is not None
    assert "if nothing has changed at all, 1,131 would prove it" in found.next_step
    assert found.cases_needed is not None
    assert f"About {found.cases_needed:,} cases in all" in found.next_step


def test_beyond_the_margin_the_planned_number_is_still_given() -> None:
    """The point estimate is on the wrong side, but the number for an unchanged model stands there."""
    found = human_eval("proven", margin_pt=1)

    assert found.cases_needed is None
    assert found.next_step == (
        "More cases are unlikely to help: the point estimate is on the wrong side; "
        "if nothing has changed at all, 4,524 would prove it."
    )


def test_a_point_rule_says_how_often_it_passes_an_unchanged_model() -> None:
    """The chance stands in the sentence of a point rule, and beside every other rule."""
    point, proven = human_eval("point"), human_eval("proven")

    assert point.outcome == "PASS"
    assert point.chance_unchanged_passes == proven.chance_unchanged_passes
    assert point.chance_unchanged_passes is not None
    expected = f"passes a model that differs in nothing {point.chance_unchanged_passes:.0%}"
    assert expected.replace("%", " % of the time") in point.sentence
    assert "differs in nothing" not in proven.sentence


@pytest.mark.parametrize(
    ("n", "discordant", "margin"),
    [(164, 10, 0.02), (164, 20, 0.02), (164, 33, 0.02), (200, 2, 0.0), (200, 10, 0.0), (200, 20, 0.0), (1000, 50, 0.01)],
)  # fmt: skip
def test_the_chance_of_an_unchanged_model_is_that_of_the_exact_distribution(
    n: int, discordant: int, margin: float
) -> None:
    """Pass/fail figures come in steps of one case: "at least the baseline" passes more than half."""
    found = effect(
        0.0, -0.05, 0.05, threshold=-margin, n=n, step=1 / n,
        error_if_unchanged=math.sqrt(discordant) / n,
    )  # fmt: skip

    exact = point_rule_pass_rate(n, discordant / n, 0.0, -margin)
    assert chance_unchanged_passes(found) == pytest.approx(exact, abs=0.02)


def test_only_differences_have_an_unchanged_model() -> None:
    """A floor or a ratio is not passed by "a model that differs in nothing"."""
    found = effect(0.96, 0.94, 0.98, threshold=0.95, is_difference=False)

    assert chance_unchanged_passes(found) is None
    assert cases_for_unchanged(found) is None


@QUICK
@given(st.floats(-0.2, 0.2), st.floats(0.001, 0.2))
def test_chances_are_chances(threshold: float, error: float) -> None:
    """Between 0 and 1, and smaller the more is asked."""
    found = [
        chance_unchanged_passes(effect(0.0, -Z * error, Z * error, threshold=t))
        for t in (threshold, threshold + 0.01)
    ]
    assert found[0] is not None
    assert found[1] is not None
    assert 0 <= found[1] <= found[0] <= 1


def test_a_number_out_of_reach_is_not_proposed() -> None:
    """Over a hundred times as many cases: another threshold, or a signature."""
    row = make_comparison(0.0001, (-0.02, 0.0201), 0.9)
    rule = {"kind": "superiority", "evidence": "proven"}

    (found,) = decide(make_policy(rule), make_comparisons(row), None, TODAY).rules

    assert found.next_step is not None
    assert found.next_step.startswith("More cases will hardly settle it (over 100 times as many)")


# --- what may not decide


def problem(*rows: Any, **fields: Any) -> str | None:
    """Why the comparison with production may not decide."""
    evidence = Evidence(make_comparisons(*rows), None, 0.02)
    found = find_problem(evidence, TASK, fields.get("metric", METRIC), "production")
    return found.why if found else None


@pytest.mark.parametrize(("failed", "is_open"), [(0, False), (10, False), (11, True), (400, True)])
def test_failed_repeats_count_against_the_error_budget(failed: int, is_open: bool) -> None:
    """Of 500 requests on 100 cases, 10 may fail; the other repeats hide them otherwise."""
    why = problem(make_comparison(n_pairs=100, repeats=5, n_failed_repeats=failed))

    assert (why is not None) is is_open
    if why:
        assert f"{failed} of 500 repeats" in why


def test_a_metric_that_the_task_does_not_have_is_answered_with_those_it_has() -> None:
    """The mistake is in the policy, and the sentence says what could stand there."""
    rows = [make_comparison(metric=m) for m in ("f1", "exact_match,strict")]

    assert (
        problem(*rows, metric="em") == f"{TASK} has no metric 'em'; it has f1, exact_match,strict"
    )


@pytest.mark.parametrize("kind", ["floor", "ceiling", "superiority", "non_inferiority", "per_bucket", "no_regression", "ratio"])  # fmt: skip
def test_every_rule_on_a_metric_names_the_metrics_that_there_are(kind: str) -> None:
    """Whatever the rule, a wrong metric is INCONCLUSIVE and says which the task has."""
    fields: dict[str, dict[str, Any]] = {
        "floor": {"threshold": 0.5}, "ceiling": {"threshold": 0.5}, "non_inferiority": {"margin_pt": 1},
        "per_bucket": {"margin_pt": 1, "by": "language"}, "ratio": {"minimum": 0.9, "task": TASK, "against": "production"},
    }  # fmt: skip
    rule = {"kind": kind, "metric": "pased"} | fields.get(kind, {})

    (found,) = decide(
        make_policy(rule), make_comparisons(make_comparison(), make_level(0.9)), None, TODAY
    ).rules

    assert found.outcome == "INCONCLUSIVE"
    assert found.sentence == f"Cannot be decided: {TASK} has no metric 'pased'; it has {METRIC}."
    assert found.next_step == "mend the rule's `metric` in the policy"


def test_a_judged_metric_needs_a_fit_judge() -> None:
    """Rubric scores of an unfit judge decide as little as its preferences."""
    row = make_comparison(0.2, (0.1, 0.3), 0.001, metric="rubric_clarity")
    rule = {"kind": "superiority", "metric": "rubric_clarity"}
    made = make_comparisons(row)

    outcomes = [
        decide(make_policy(rule), made, judge, TODAY).rules[0].outcome
        for judge in (None, make_qualification("Weak."), make_qualification())
    ]

    assert outcomes == ["INCONCLUSIVE", "INCONCLUSIVE", "PASS"]


@pytest.mark.parametrize(
    ("fields", "is_open"),
    [
        ({"statuses": {"ok": 98, "failed": 2}}, False),
        ({"statuses": {"ok": 97, "failed": 2, "malformed": 1}}, True),
        ({"statuses": {"ok": 50, "truncated": 50}}, False),
        ({"n_without_response": 2}, False),
        ({"n_without_response": 3}, True),
        ({"n_requests": 0, "statuses": {}, "n_without_response": 0}, False),
    ],
)
def test_requests_that_were_not_measured_count_against_the_error_budget(
    fields: dict[str, Any], is_open: bool
) -> None:
    """A candidate does not get fast by failing what is slow."""
    evidence = Evidence(make_comparisons(make_operations(**fields)), None, 0.02)

    assert (requests_problem(evidence, "candidate", "frontier") is not None) is is_open
