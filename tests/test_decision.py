"""Tests of the decision: every rule on every evidence, and what may never turn it into a GO."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError
from records import (
    METRIC,
    QUICK,
    TASK,
    as_scores,
    make_models,
    make_outcomes,
    make_pairs,
    make_policy,
    make_record,
)

from ftgate_ext import schema
from ftgate_ext.compare import compare_models
from ftgate_ext.decision import decide
from ftgate_ext.schema import (
    Comparison,
    Comparisons,
    Decision,
    Estimate,
    Level,
    Operations,
    Qualification,
    RuleResult,
)
from ftgate_ext.settings import Settings
from ftgate_ext.wording import plain, points

if TYPE_CHECKING:
    from ftgate_ext.policy import Policy
    from ftgate_ext.schema import Outcome, PairVerdict, Role

TODAY = date(2026, 6, 1)
Limits = tuple["float | None", "float | None"]


def make_qualification(*reasons: str) -> Qualification:
    """A judge that is fit unless reasons are given."""
    return Qualification(
        judge_model="toy-judge", fingerprint="f", fit=not reasons, reasons=list(reasons),
        n_pairs=100, n_identical=0, n_unparsed=0,
    )  # fmt: skip


FIT = make_qualification()


def make_comparison(
    value: float = 0.0, limits: Limits = (None, None), p: float | None = None, **fields: Any
) -> Comparison:
    """A comparison of 100 pairs with the given difference."""
    return Comparison(**{
        "task": TASK, "metric": METRIC, "kind": "binary", "baseline": "production", "n_pairs": 100, "n_excluded": 0,
        "difference": Estimate(value=value, n=100, method="by hand"),
        "lower_one_sided": limits[0], "upper_one_sided": limits[1],
        "tests": [] if p is None else [schema.TestResult(name="by hand", p=p)],
        "counts": {"both": 60, "only_candidate": 10, "only_baseline": 5, "neither": 25},
    } | fields)  # fmt: skip


def make_win_rate(
    value: float = 0.0, limits: Limits = (None, None), p: float | None = None, **fields: Any
) -> Comparison:
    """A win rate of one half plus `value` over 100 pairs."""
    counts = {"wins": 50, "losses": 30, "ties": 15, "both_bad": 5, "unparsed": 0}
    return make_comparison(
        value, limits, p, **{"metric": "win_rate", "kind": "win_rate", "counts": counts} | fields
    )


def make_level(value: float, limits: Limits = (None, None), **fields: Any) -> Level:
    """The candidate's own figure on 100 cases."""
    estimate = Estimate(value=value, n=100, method="by hand")
    return Level(**{
        "task": TASK, "metric": METRIC, "role": "candidate", "estimate": estimate,
        "lower_one_sided": limits[0], "upper_one_sided": limits[1],
    } | fields)  # fmt: skip


def make_operations(**fields: Any) -> Operations:
    """What 100 requests to the candidate took."""
    return Operations(role="candidate", task="*", n_requests=100, statuses={"ok": 100}, **fields)


def make_comparisons(*rows: Comparison | Level | Operations) -> Comparisons:
    """Everything that the decision may look at."""
    return Comparisons(
        run_id="run-1", roles=["candidate", "production"], resamples=1000, seed=1, sources={},
        comparisons=[r for r in rows if isinstance(r, Comparison)],
        levels=[r for r in rows if isinstance(r, Level)],
        operations=[r for r in rows if isinstance(r, Operations)],
    )  # fmt: skip


def result_of(
    rule: dict[str, Any],
    *rows: Comparison | Level | Operations,
    judge: Qualification | None = FIT,
    **policy: Any,
) -> RuleResult:
    """What one rule makes of the evidence."""
    decision = decide(make_policy(rule, **policy), make_comparisons(*rows), judge, TODAY)
    (result,) = decision.rules
    return result


# --- every rule on every evidence

SUPERIORITY: list[tuple[str, float, Limits, float | None, Outcome]] = [
    ("point", 0.02, (None, None), None, "PASS"),
    ("point", 0.01, (None, None), None, "PASS"),
    ("point", 0.009, (None, None), None, "FAIL"),
    ("point", -0.02, (-0.05, 0.01), 0.3, "FAIL"),
    ("significant", 0.02, (0.002, 0.04), 0.03, "PASS"),
    ("significant", 0.02, (-0.01, 0.05), 0.20, "INCONCLUSIVE"),
    ("significant", 0.005, (-0.02, 0.03), 0.50, "INCONCLUSIVE"),
    ("significant", 0.005, (0.001, 0.009), 0.01, "FAIL"),
    ("significant", -0.05, (-0.09, -0.01), 0.01, "FAIL"),
    ("significant", 0.02, (0.002, 0.04), 0.05, "INCONCLUSIVE"),
    ("significant", 0.02, (None, None), None, "INCONCLUSIVE"),
    ("significant", 0.02, (0.002, 0.04), None, "INCONCLUSIVE"),
    ("proven", 0.05, (0.02, 0.08), 0.001, "PASS"),
    ("proven", 0.05, (0.01, 0.09), 0.001, "INCONCLUSIVE"),
    ("proven", 0.02, (0.005, 0.04), 0.02, "INCONCLUSIVE"),
    ("proven", -0.01, (-0.03, 0.009), 0.5, "FAIL"),
    ("proven", 0.05, (None, None), None, "INCONCLUSIVE"),
]


@pytest.mark.parametrize(("evidence", "value", "limits", "p", "outcome"), SUPERIORITY)
def test_superiority_by_one_point(
    evidence: str, value: float, limits: Limits, p: float | None, outcome: Outcome
) -> None:
    """At least 1 pt ahead: by the figure, with a test, or with the whole limit above."""
    rule = {"kind": "superiority", "margin_pt": 1, "evidence": evidence}

    assert result_of(rule, make_comparison(value, limits, p)).outcome == outcome


def test_significant_means_significant_in_the_right_direction() -> None:
    """A test that rejects "no difference" does not prove a model better that is not ahead."""
    rule = {"kind": "superiority", "margin_pt": 0, "evidence": "significant"}

    assert result_of(rule, make_comparison(0.0, (-0.02, 0.01), 0.01)).outcome == "INCONCLUSIVE"


NON_INFERIORITY: list[tuple[str, float, Limits, Outcome]] = [
    ("point", -0.03, (None, None), "PASS"),
    ("point", -0.031, (None, None), "FAIL"),
    ("significant", -0.01, (-0.05, 0.03), "PASS"),
    ("significant", -0.04, (-0.08, 0.0), "INCONCLUSIVE"),
    ("significant", -0.09, (-0.14, -0.04), "FAIL"),
    ("proven", 0.0, (-0.02, 0.02), "PASS"),
    ("proven", 0.0, (-0.03, 0.03), "INCONCLUSIVE"),
    ("proven", -0.01, (-0.05, 0.03), "INCONCLUSIVE"),
    ("proven", 0.05, (-0.04, 0.14), "INCONCLUSIVE"),
    ("proven", -0.07, (-0.10, -0.031), "FAIL"),
    ("proven", 0.0, (None, None), "INCONCLUSIVE"),
]


@pytest.mark.parametrize(("evidence", "value", "limits", "outcome"), NON_INFERIORITY)
def test_non_inferiority_by_three_points(
    evidence: str, value: float, limits: Limits, outcome: Outcome
) -> None:
    """At most 3 pt lost: a limit that lies on the allowance does not prove it."""
    rule = {"kind": "non_inferiority", "margin_pt": 3, "evidence": evidence}

    assert result_of(rule, make_comparison(value, limits, 0.5)).outcome == outcome


@pytest.mark.parametrize(("evidence", "value", "limits", "outcome"), NON_INFERIORITY)
def test_where_lower_is_better_the_same_figures_count_the_other_way(
    evidence: str, value: float, limits: Limits, outcome: Outcome
) -> None:
    """A refusal rate that rises by 3 pt is a loss of 3 pt."""
    low, high = limits
    turned: Limits = (None if high is None else -high, None if low is None else -low)
    rule = {"kind": "non_inferiority", "margin_pt": 3, "evidence": evidence}

    result = result_of(rule, make_comparison(-value, turned, 0.5, higher_is_better=False))

    assert result.outcome == outcome
    assert (result.lower_one_sided, result.upper_one_sided) == limits


@pytest.mark.parametrize(
    ("evidence", "value", "limits", "outcome"),
    [
        ("point", 0.90, (None, None), "PASS"),
        ("point", 0.899, (0.85, 0.94), "FAIL"),
        ("significant", 0.92, (0.86, 0.96), "PASS"),
        ("significant", 0.89, (0.84, 0.93), "INCONCLUSIVE"),
        ("significant", 0.80, (0.73, 0.86), "FAIL"),
        ("proven", 0.95, (0.90, 0.98), "PASS"),
        ("proven", 0.94, (0.89, 0.97), "INCONCLUSIVE"),
        ("proven", 0.80, (0.73, 0.8999), "FAIL"),
        ("proven", 0.95, (None, None), "INCONCLUSIVE"),
    ],
)
def test_floor_of_ninety_percent(
    evidence: str, value: float, limits: Limits, outcome: Outcome
) -> None:
    """A floor is reached when the limit lies on it."""
    rule = {"kind": "floor", "threshold": 0.9, "evidence": evidence}

    assert result_of(rule, make_level(value, limits)).outcome == outcome


@pytest.mark.parametrize(("lost", "outcome"), [([], "PASS"), (["case-7"], "FAIL")])
def test_no_regression(lost: list[str], outcome: Outcome) -> None:
    """One case that went wrong fails the rule, however many went right, and is named."""
    rule = {"kind": "no_regression"}

    result = result_of(rule, make_comparison(0.05, (0.01, 0.09), 0.01, lost_cases=lost))

    assert result.outcome == outcome
    assert all(case in result.sentence for case in lost)
    assert result.seen == f"{len(lost)} regressed, 10 newly right, n=100"


def test_no_regression_where_lower_is_better() -> None:
    """A benign request that is now refused is a regression; one that is answered again is none."""
    rule = {"kind": "no_regression"}
    direction = {TASK: {METRIC: False}}
    now_refused = {"candidate": make_outcomes([1, 0, 0]), "production": make_outcomes([0, 0, 0])}

    def outcome(models: dict[str, Any]) -> RuleResult:
        made = compare_models(as_scores(make_models(direction, **models)), [], "r", Path("runs"))
        (result,) = decide(make_policy(rule), made, None, TODAY).rules
        return result

    worse = outcome(now_refused)
    better = outcome(dict(zip(now_refused, reversed(now_refused.values()), strict=True)))

    assert (worse.outcome, worse.seen) == ("FAIL", "1 regressed, 0 newly right, n=3")
    assert (better.outcome, better.seen) == ("PASS", "0 regressed, 1 newly right, n=3")


def test_no_regression_needs_a_pass_fail_metric() -> None:
    """A mean has no cases that go wrong: the rule cannot be decided, and says what to name."""
    result = result_of({"kind": "no_regression"}, make_comparison(0.1, kind="mean", counts={}))

    assert result.outcome == "INCONCLUSIVE"
    assert "not a pass/fail metric" in result.sentence


@pytest.mark.parametrize(
    ("evidence", "value", "limits", "p", "outcome"),
    [
        ("point", 0.0, (None, None), None, "PASS"),
        ("point", -0.01, (None, None), None, "FAIL"),
        ("significant", 0.10, (0.02, 0.18), 0.03, "PASS"),
        ("significant", 0.10, (0.02, 0.18), 0.07, "INCONCLUSIVE"),
        ("significant", 0.0, (-0.08, 0.08), 1.0, "INCONCLUSIVE"),
        ("significant", 0.0, (-0.08, 0.08), 0.01, "INCONCLUSIVE"),
        ("significant", -0.10, (-0.18, -0.02), 0.03, "FAIL"),
        ("proven", 0.10, (0.02, 0.18), 0.03, "PASS"),
        ("proven", 0.08, (0.0, 0.16), 0.05, "INCONCLUSIVE"),
        ("proven", -0.10, (-0.18, -0.02), 0.03, "FAIL"),
    ],
)
def test_win_rate_above_one_half(
    evidence: str, value: float, limits: Limits, p: float | None, outcome: Outcome
) -> None:
    """The judge's preference, against the threshold of one half."""
    rule = {"kind": "win_rate", "evidence": evidence}

    assert result_of(rule, make_win_rate(value, limits, p)).outcome == outcome


@pytest.mark.parametrize(
    ("quantity", "value", "outcome"),
    [
        ("cost_usd_per_request", 0.002, "PASS"),
        ("cost_usd_per_request", 0.0021, "FAIL"),
        ("latency_p95_s", 0.001, "PASS"),
        ("latency_p50_s", 3.0, "FAIL"),
        ("latency_p95_s", None, "INCONCLUSIVE"),
        ("cost_usd_per_request", None, "INCONCLUSIVE"),
    ],
)
def test_budget(quantity: str, value: float | None, outcome: Outcome) -> None:
    """At most so much per request; what was not measured is not free."""
    rule = {"kind": "budget", "quantity": quantity, "maximum": 0.002}

    assert result_of(rule, make_operations(**{quantity: value})).outcome == outcome


# --- evidence that is missing or unusable

RULES: dict[str, dict[str, Any]] = {
    "superiority": {"kind": "superiority", "margin_pt": 1},
    "non_inferiority": {"kind": "non_inferiority", "margin_pt": 3},
    "no_regression": {"kind": "no_regression"},
    "floor": {"kind": "floor", "threshold": 0.9},
    "win_rate": {"kind": "win_rate"},
    "budget": {"kind": "budget", "quantity": "latency_p95_s", "maximum": 1},
}
PERFECT: dict[str, Comparison | Level | Operations] = {
    "comparison": make_comparison(0.2, (0.1, 0.3), 0.001),
    "level": make_level(1.0, (0.97, 1.0)),
    "win_rate": make_win_rate(0.2, (0.1, 0.3), 0.001),
    "operations": make_operations(latency_p95_s=0.5),
}
NEEDS = {
    "superiority": "comparison", "non_inferiority": "comparison", "no_regression": "comparison",
    "floor": "level", "win_rate": "win_rate", "budget": "operations",
}  # fmt: skip


def gate(rows: dict[str, Any], judge: Qualification | None = FIT) -> Decision:
    """The decision of a gate with one rule of every kind."""
    return decide(make_policy(*RULES.values()), make_comparisons(*rows.values()), judge, TODAY)


def test_perfect_evidence_is_a_go() -> None:
    """All rules pass: exit code 0."""
    decision = gate(PERFECT)

    assert [r.outcome for r in decision.rules] == ["PASS"] * len(RULES)
    assert (decision.verdict, decision.exit_code) == ("GO", 0)


@QUICK
@given(
    st.sets(st.sampled_from(list(PERFECT))), st.sampled_from([None, make_qualification("Weak.")])
)
def test_removing_evidence_never_yields_a_pass(kept: set[str], judge: Qualification | None) -> None:
    """Whatever of perfect evidence is taken away, the rules that needed it are INCONCLUSIVE."""
    decision = gate({name: row for name, row in PERFECT.items() if name in kept}, judge)

    outcomes = {r.kind: r.outcome for r in decision.rules}
    assert outcomes["win_rate"] == "INCONCLUSIVE", "there is no fit judge"
    for kind, need in NEEDS.items():
        if kind != "win_rate":
            assert outcomes[kind] == ("PASS" if need in kept else "INCONCLUSIVE")
    assert (decision.verdict, decision.exit_code) == ("INCONCLUSIVE", 3)


@pytest.mark.parametrize("rule", [k for k in RULES if NEEDS[k] in ("comparison", "win_rate")])
def test_evidence_about_another_model_does_not_count(rule: str) -> None:
    """The rule names production; a comparison with base cannot decide it."""
    row = PERFECT[NEEDS[rule]].model_copy(update={"baseline": "base"})

    assert result_of(RULES[rule], row).outcome == "INCONCLUSIVE"


@pytest.mark.parametrize("rule", list(RULES))
def test_unavailable_figures_are_inconclusive_with_their_reason(rule: str) -> None:
    """What has no figure says why, and what to do next."""
    if rule == "budget":
        result = result_of(RULES[rule], make_operations())
    else:
        row = PERFECT[NEEDS[rule]]
        gone = {"unavailable": "the moon was in the way", "estimate": None, "difference": None}
        known = {k: v for k, v in gone.items() if k in type(row).model_fields}
        result = result_of(RULES[rule], row.model_copy(update=known))
        assert "the moon was in the way" in result.sentence

    assert result.outcome == "INCONCLUSIVE"
    assert result.seen == "no evidence"
    assert result.next_step


@pytest.mark.parametrize(("missing", "outcome"), [(0, "PASS"), (2, "PASS"), (3, "INCONCLUSIVE")])
@pytest.mark.parametrize("rule", ["superiority", "non_inferiority", "win_rate"])
def test_error_budget_of_comparisons(rule: str, missing: int, outcome: Outcome) -> None:
    """Two of 100 cases may be without an answer, three may not."""
    row = PERFECT[NEEDS[rule]].model_copy(update={"n_pairs": 100 - missing, "n_excluded": missing})

    result = result_of(RULES[rule], row)

    assert result.outcome == outcome
    if outcome == "INCONCLUSIVE":
        assert "3 of 100 cases (3.0%) have no answer" in result.sentence


@pytest.mark.parametrize("rule", ["superiority", "non_inferiority", "no_regression"])
def test_cases_that_one_model_was_not_asked_count_as_missing(rule: str) -> None:
    """One case of a hundred is no evidence about the other ninety-nine."""
    row = PERFECT[NEEDS[rule]].model_copy(update={"n_pairs": 1, "n_unpaired": 99})

    result = result_of(RULES[rule], row)

    assert result.outcome == "INCONCLUSIVE"
    assert "99 of 100 cases (99.0%) lack an answer of one model" in result.sentence


@pytest.mark.parametrize("missing", [{"n_excluded": 1}, {"n_unpaired": 1}])
def test_a_suite_that_must_be_clean_has_no_error_budget(missing: dict[str, int]) -> None:
    """The one case without an answer may be the one that regressed."""
    row = PERFECT[NEEDS["no_regression"]].model_copy(update={"n_pairs": 99, **missing})

    result = result_of(RULES["no_regression"], row)

    assert result.outcome == "INCONCLUSIVE"
    assert "but 1 more have no answer to compare" in result.sentence


@pytest.mark.parametrize(("missing", "outcome"), [(0, "PASS"), (2, "PASS"), (3, "INCONCLUSIVE")])
def test_error_budget_of_levels(missing: int, outcome: Outcome) -> None:
    """A floor is not reached by leaving the hard cases unanswered."""
    estimate = Estimate(value=1.0, n=100 - missing, method="by hand")

    result = result_of(
        RULES["floor"], make_level(1.0, (0.97, 1.0), n_unscored=missing, estimate=estimate)
    )

    assert result.outcome == outcome


def test_error_budget_does_not_hide_behind_a_failure() -> None:
    """Above the budget nothing is decided, not even a clear loss."""
    row = make_comparison(-0.5, (-0.6, -0.4), 0.001, n_pairs=50, n_excluded=50, lost_cases=["c"])

    assert result_of(RULES["no_regression"], row).outcome == "INCONCLUSIVE"
    assert result_of(RULES["non_inferiority"], row).outcome == "INCONCLUSIVE"


def test_an_unfit_judge_cannot_decide() -> None:
    """However clear the preference, the reason that the judge is unfit stands in the sentence."""
    judge = make_qualification("Position bias: it likes the first.", "Consistency: 1 of 9.")

    result = result_of(RULES["win_rate"], PERFECT["win_rate"], judge=judge)

    assert result.outcome == "INCONCLUSIVE"
    assert "toy-judge is not fit to vote: Position bias: it likes the first." in result.sentence
    assert result.next_step is not None
    assert "another judge" in result.next_step


def test_without_a_judge_the_win_rate_is_inconclusive() -> None:
    """Verdicts of a judge that was never examined do not count."""
    result = result_of(RULES["win_rate"], PERFECT["win_rate"], judge=None)

    assert result.outcome == "INCONCLUSIVE"
    assert result.next_step == "run `ftgate judge`"


# --- approvals

REGRESSED = make_comparison(0.0, lost_cases=["case-1", "case-2"])


def test_approved_cases_pass_and_are_named() -> None:
    """Somebody took the responsibility for these very cases."""
    approval = {"rule": "no_regression", "cases": ["case-1", "case-2"]}

    result = result_of(RULES["no_regression"], REGRESSED, approvals=[approval])

    assert result.outcome == "PASS"
    assert result.sentence == "None of 100 cases regressed against production beyond 2 approved."
    assert result.approved == "case-1, case-2 approved by A. Lead until 2026-12-31: known"


def test_a_regressed_case_that_is_not_approved_fails() -> None:
    """An approval of one case is none of the other."""
    approval = {"rule": "no_regression", "cases": ["case-1"]}

    result = result_of(RULES["no_regression"], REGRESSED, approvals=[approval])

    assert result.outcome == "FAIL"
    assert "case-2" in result.sentence
    assert "case-1" not in result.sentence


def test_approvals_of_several_people_add_up() -> None:
    """Two approvals of the same rule cover the cases of both."""
    approvals = [{"rule": "no_regression", "cases": [f"case-{i}"], "by": f"L{i}"} for i in (1, 2)]

    result = result_of(RULES["no_regression"], REGRESSED, approvals=approvals)

    assert result.outcome == "PASS"
    assert result.approved is not None
    assert "L1" in result.approved
    assert "L2" in result.approved


def test_cases_approved_for_one_rule_are_not_approved_for_another() -> None:
    """The same case may stand in two suites; whoever approved it there did not look here."""
    rules = [{"kind": "no_regression", "name": name} for name in ("here", "there")]
    approvals = [{"rule": "there", "cases": ["case-1", "case-2"]}]

    decision = decide(
        make_policy(*rules, approvals=approvals), make_comparisons(REGRESSED), None, TODAY
    )

    assert [r.outcome for r in decision.rules] == ["FAIL", "PASS"]


@pytest.mark.parametrize(("until", "outcome"), [("2026-05-31", "FAIL"), ("2026-06-01", "PASS")])
@pytest.mark.parametrize("cases", [[], ["case-1", "case-2"]])
def test_an_approval_ends(until: str, outcome: Outcome, cases: list[str]) -> None:
    """It holds on its last day, and not on the day after."""
    approval = {"rule": "no_regression", "cases": cases, "until": until}

    result = result_of(RULES["no_regression"], REGRESSED, approvals=[approval])

    assert result.outcome == outcome


@pytest.mark.parametrize("kind", list(RULES))
def test_a_whole_rule_can_be_approved(kind: str) -> None:
    """A rule without evidence passes by name, and the decision says what was approved by whom."""
    policy = make_policy(RULES[kind], approvals=[{"rule": kind, "reason": "pilot"}])

    decision = decide(policy, make_comparisons(), None, TODAY)

    assert (decision.verdict, decision.exit_code) == ("GO", 0)
    assert decision.rules[0].approved == "INCONCLUSIVE approved by A. Lead until 2026-12-31: pilot"


def test_an_approval_of_another_rule_changes_nothing() -> None:
    """Approvals are by the rule's name."""
    policy = make_policy(RULES["no_regression"], RULES["budget"], approvals=[{"rule": "budget"}])

    decision = decide(policy, make_comparisons(REGRESSED, make_operations()), None, TODAY)

    assert [r.outcome for r in decision.rules] == ["FAIL", "PASS"]


# --- the verdict

OUTCOMES: list[Outcome] = ["PASS", "FAIL", "INCONCLUSIVE"]
LEVELS: dict[Outcome, Limits] = {
    "PASS": (0.95, 1.0), "FAIL": (0.1, 0.5), "INCONCLUSIVE": (0.8, 0.95),
}  # fmt: skip


def decide_outcomes(outcomes: list[Outcome]) -> Decision:
    """The decision of a gate whose rules have these outcomes."""
    tasks = [f"t{i}" for i in range(len(outcomes))]
    rules = [
        {"kind": "floor", "threshold": 0.9, "name": t, "task": t, "metric": METRIC} for t in tasks
    ]
    levels = [make_level(0.9, LEVELS[o], task=t) for t, o in zip(tasks, outcomes, strict=True)]
    decision = decide(make_policy(*rules, tasks=tasks), make_comparisons(*levels), None, TODAY)
    assert [r.outcome for r in decision.rules] == outcomes
    return decision


@QUICK
@given(st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=6))
def test_go_only_if_all_rules_pass(outcomes: list[Outcome]) -> None:
    """One FAIL is a NO-GO, otherwise one INCONCLUSIVE is INCONCLUSIVE; exit codes 0, 1 and 3."""
    decision = decide_outcomes(outcomes)

    if "FAIL" in outcomes:
        assert (decision.verdict, decision.exit_code) == ("NO-GO", 1)
    elif "INCONCLUSIVE" in outcomes:
        assert (decision.verdict, decision.exit_code) == ("INCONCLUSIVE", 3)
    else:
        assert (decision.verdict, decision.exit_code) == ("GO", 0)


def test_a_decision_can_be_written_and_read() -> None:
    """JSON and back, the same decision."""
    decision = gate(PERFECT)

    assert Decision.model_validate_json(decision.model_dump_json()) == decision


def test_doubts_become_warnings() -> None:
    """Different prompts and cases of one model only are stated beside the verdict."""
    row = make_comparison(0.2, (0.1, 0.3), 0.001, n_prompts_differ=3, n_unpaired=4)

    decision = decide(
        make_policy(RULES["superiority"]), make_comparisons(row), None, TODAY, ["first warning"]
    )

    assert decision.warnings[0] == "first warning"
    assert any("not sent the same prompts" in w for w in decision.warnings)
    assert any(w.startswith(f"{TASK}: 4 cases were asked of only one") for w in decision.warnings)


# --- sentences


def all_results() -> list[RuleResult]:
    """One result of every rule kind with every outcome it can have, with evidence."""
    rows: list[tuple[str, Comparison | Level | Operations]] = []
    for value, limits in ((0.2, (0.1, 0.3)), (-0.2, (-0.3, -0.1)), (0.0, (-0.2, 0.2))):
        rows += [
            (kind, make_comparison(value, limits, 0.01))
            for kind in ("superiority", "non_inferiority")
        ]
        rows.append(("win_rate", make_win_rate(value, limits, 0.01)))
        rows.append(("floor", make_level(0.7 + value, (0.7 + limits[0], 0.7 + limits[1]))))
    rows += [("no_regression", REGRESSED), ("no_regression", make_comparison())]
    rows += [("budget", make_operations(latency_p95_s=s)) for s in (0.5, 2.0)]
    return [result_of(RULES[kind], row) for kind, row in rows]


@pytest.mark.parametrize("result", all_results(), ids=lambda r: f"{r.kind}-{r.outcome}")
def test_sentences_are_one_line_and_name_n(result: RuleResult) -> None:
    """Whoever signs reads one line that says on how many cases it rests."""
    assert "\n" not in result.sentence
    assert result.sentence.endswith(".")
    assert "100" in result.sentence
    assert result.seen.endswith("n=100")
    assert (result.next_step is None) == (result.outcome == "PASS")


def test_long_lists_of_cases_are_cut() -> None:
    """Ten regressed cases are named, the rest is counted."""
    lost = [f"case-{i}" for i in range(25)]

    sentence = result_of(RULES["no_regression"], make_comparison(lost_cases=lost)).sentence

    assert sentence.startswith("25 of 100 cases regressed")
    assert sentence.count("case-") == 10
    assert " ...." in sentence
    assert "35 cases changed, 10 of them for the better" in sentence


@pytest.mark.parametrize(
    ("difference", "text"),
    [
        (0.044, "+4.4 pt"),
        (-0.031, "-3.1 pt"),
        (0.0, "0.0 pt"),
        (-0.0004, "0.0 pt"),
        (1.0, "+100.0 pt"),
    ],
)
def test_points_have_a_sign_and_no_negative_zero(difference: float, text: str) -> None:
    """A share as signed percentage points."""
    assert points(difference) == text


def test_a_metric_without_plain_words_keeps_its_name() -> None:
    """Metrics of other tasks are called what lm-eval calls them."""
    assert plain("exact_match,strict") == "exact_match,strict"
    assert plain("f1") == "task F1"


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_policy_has_only_finite_numbers(number: float) -> None:
    """An endless margin allows everything, and NaN is above no budget."""
    with pytest.raises(ValidationError, match="finite number"):
        make_policy({"kind": "non_inferiority", "margin_pt": number})
    with pytest.raises(ValidationError, match="finite number"):
        make_policy({"kind": "win_rate"}, max_failed_share=number)


# --- what may never turn a FAIL into a PASS

RANK: dict[Outcome, int] = {"FAIL": 0, "INCONCLUSIVE": 1, "PASS": 2}
COMPARING: list[dict[str, Any]] = [
    {"kind": kind, "name": f"{kind} {evidence}", "evidence": evidence, **fields}
    for kind, fields in (
        ("superiority", {"margin_pt": 2}),
        ("non_inferiority", {"margin_pt": 10}),
        ("no_regression", {}),
        ("floor", {"threshold": 0.6}),
    )
    for evidence in ("point", "significant", "proven")
    if kind != "no_regression" or evidence == "point"
]
WIN_RULES: list[dict[str, Any]] = [
    {"kind": "win_rate", "name": evidence, "evidence": evidence}
    for evidence in ("point", "significant", "proven")
]


def ranks(
    policy: Policy, candidate: list[Any], production: list[Any], verdicts: Any = ()
) -> list[int]:
    """The rank of every rule's outcome, from scores and verdicts to the decision."""
    models = make_models(candidate=make_outcomes(candidate), production=make_outcomes(production))
    made = compare_models(
        as_scores(models), make_pairs(verdicts), "r", Path("runs"), Settings(resamples=1000)
    )
    return [RANK[r.outcome] for r in decide(policy, made, FIT, TODAY).rules]


scores = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=80)


@QUICK
@given(scores, st.data())
def test_one_more_wrong_answer_never_helps(
    pairs: list[tuple[int, int]], data: st.DataObject
) -> None:
    """A case that the candidate now gets wrong leaves every rule where it was, or lower."""
    candidate, production = [a for a, _ in pairs], [b for _, b in pairs]
    right = [i for i, value in enumerate(candidate) if value]
    assume(right)
    worse = list(candidate)
    worse[data.draw(st.sampled_from(right))] = 0
    policy = make_policy(*COMPARING)

    before, after = ranks(policy, candidate, production), ranks(policy, worse, production)

    assert all(b >= a for b, a in zip(before, after, strict=True))


f1_counts = st.sampled_from([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1], [0, 0, 0]])


@QUICK
@given(st.lists(st.tuples(f1_counts, f1_counts), min_size=2, max_size=60), st.data())
def test_one_more_missed_defect_never_turns_fail_into_pass(
    pairs: list[tuple[list[int], list[int]]], data: st.DataObject
) -> None:
    """A defect that the candidate no longer finds cannot rescue a rule on F1."""
    candidate, production = [a for a, _ in pairs], [b for _, b in pairs]
    found = [i for i, value in enumerate(candidate) if value[0]]
    assume(found)
    worse = list(candidate)
    worse[data.draw(st.sampled_from(found))] = [0, 0, 1]
    policy = make_policy(*(r for r in COMPARING if r["kind"] != "no_regression"))

    before, after = ranks(policy, candidate, production), ranks(policy, worse, production)

    assert not [1 for b, a in zip(before, after, strict=True) if (b, a) == (0, 2)]


verdict_order: list[PairVerdict] = ["baseline_better", "tie", "candidate_better"]


@QUICK
@given(st.lists(st.integers(0, 2), min_size=1, max_size=60), st.data())
def test_one_more_lost_pair_never_turns_fail_into_pass(
    verdicts: list[int], data: st.DataObject
) -> None:
    """A pair that the judge now sees one step worse cannot rescue the win rate."""
    movable = [i for i, v in enumerate(verdicts) if v]
    assume(movable)
    worse = list(verdicts)
    worse[data.draw(st.sampled_from(movable))] -= 1
    policy = make_policy(*WIN_RULES)

    before = ranks(policy, [1], [1], [verdict_order[v] for v in verdicts])
    after = ranks(policy, [1], [1], [verdict_order[v] for v in worse])

    assert not [1 for b, a in zip(before, after, strict=True) if (b, a) == (0, 2)]


@QUICK
@given(scores, st.data())
def test_unanswered_requests_never_turn_fail_into_pass(
    pairs: list[tuple[int, int]], data: st.DataObject
) -> None:
    """With no error budget, requests that fail make rules INCONCLUSIVE and rescue none."""
    failed = data.draw(st.sets(st.integers(0, len(pairs) - 1), min_size=1))
    candidate = [
        make_record(f"case-{i}", unanswered=1)
        if i in failed
        else make_record(f"case-{i}", passed=a)
        for i, (a, _) in enumerate(pairs)
    ]
    models = make_models(candidate=candidate, production=make_outcomes([b for _, b in pairs]))
    made = compare_models(as_scores(models), [], "r", Path("runs"))

    decision = decide(make_policy(*COMPARING, max_failed_share=0), made, FIT, TODAY)

    assert {r.outcome for r in decision.rules} == {"INCONCLUSIVE"}


roles = st.sampled_from(["production", "base", "frontier"])


@QUICK
@given(st.sets(roles, min_size=1), roles)
def test_rules_look_only_at_the_model_they_name(others: set[Role], named: Role) -> None:
    """A rule against a model that was not run is INCONCLUSIVE, whatever the others show."""
    rows = [make_comparison(0.2, (0.1, 0.3), 0.001, baseline=role) for role in sorted(others)]

    result = result_of(RULES["superiority"] | {"against": named}, *rows)

    assert result.outcome == ("PASS" if named in others else "INCONCLUSIVE")
