"""Tests of the kinds of rules: what each asks, sees and says, and what holds for all of them."""

from __future__ import annotations

import math
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from records import (
    METRIC,
    QUICK,
    TASK,
    make_bound,
    make_comparison,
    make_comparisons,
    make_level,
    make_operations,
    make_policy,
    make_qualification,
)

from ftgate_ext.decision import decide
from ftgate_ext.policy import Policy, parse_policy
from ftgate_ext.rules import APPLY
from ftgate_ext.schema import (
    Bucket,
    Comparison,
    LookUse,
    OperationRatio,
    PolicyError,
)

if TYPE_CHECKING:
    from ftgate_ext.schema import Outcome, RuleResult

TODAY = date(2026, 6, 1)
FIT = make_qualification()
Ends = tuple["float | None", "float | None"]


def result_of(rule: dict[str, Any], *rows: Any, **policy: Any) -> RuleResult:
    """What one rule makes of the evidence."""
    made = make_comparisons(*rows)
    (found,) = decide(make_policy(rule, **policy), made, FIT, TODAY).rules
    return found


# --- the policy

POLICY = """\
version: 1
name: a gate
models:
  candidate: {endpoint: "http://localhost:1/v1", model: new}
  production: {endpoint: "http://localhost:1/v1", model: old}
  frontier: {endpoint: "http://localhost:1/v1", model: big}
judge: {endpoint: "http://localhost:1/v1", model: judge, task: golden}
eval_sets:
  - {task: golden, kind: golden}
  - {task: arc, kind: capability}
rules:
"""
ON = {"task": "golden", "metric": "f1"}
KINDS: dict[str, dict[str, Any]] = {
    "superiority": ON,
    "non_inferiority": ON | {"margin_pt": 2},
    "pooled_non_inferiority": {"margin_pt": 2, "benchmarks": [ON, {"task": "arc", "metric": "acc"}]},
    "per_bucket": ON | {"margin_pt": 5, "by": "language"},
    "floor": ON | {"threshold": 0.9},
    "ceiling": ON | {"threshold": 0.1},
    "no_regression": ON,
    "win_rate": {},
    "budget": {"quantity": "latency_p95_s", "maximum": 2},
    "ratio": {"quantity": "cost_usd_per_request", "maximum": 0.2},
}  # fmt: skip


def parse(*rules: dict[str, Any], **further: Any) -> Policy:
    """A policy with these rules, one a line from line 12 on."""
    lines = [f"  - {yaml.safe_dump(rule, default_flow_style=True, width=10_000)}" for rule in rules]
    lines += [f"{key}: {yaml.safe_dump(v, default_flow_style=True)}" for key, v in further.items()]
    return parse_policy(POLICY + "".join(lines), "gate.yaml")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_rule_parses_alone_and_inside_a_route(kind: str) -> None:
    """With its defaults for evidence and model; a route may hold any of them."""
    rule = {"name": "a rule", "kind": kind} | KINDS[kind]
    other = {"name": "other", "kind": "budget", "quantity": "latency_p50_s", "maximum": 1}
    routes = [{"name": "one", "rules": [rule]}, {"name": "two", "rules": [other]}]

    alone, inside = parse(rule), parse({"name": "either", "kind": "any_route", "routes": routes})

    assert alone.rules[0].kind == kind
    assert inside.rules[0].routes[0].rules[0] == alone.rules[0]  # type: ignore[union-attr]


def test_every_kind_of_rule_is_applied() -> None:
    """No kind that a policy may hold is without its function."""
    assert {k.model_fields["kind"].annotation.__args__[0] for k in APPLY} == {*KINDS} - {"no_regression"}  # type: ignore[attr-defined]  # fmt: skip


EITHER = "give task, metric and minimum (a quality ratio), or quantity and maximum (a cost or latency ratio)"
FLOOR: dict[str, Any] = {"name": "ok", "kind": "floor"} | KINDS["floor"]


def route(**rule: Any) -> dict[str, Any]:
    """Two routes, the second with this rule."""
    inner = {"name": "inner", "kind": "floor"} | KINDS["floor"] | rule
    routes = [{"name": "one", "rules": [FLOOR]}, {"name": "two", "rules": [inner]}]
    return {"name": "either", "kind": "any_route", "routes": routes}


# name -> (rules, further keys, line, words)
MISTAKES: dict[str, tuple[list[dict[str, Any]], dict[str, Any], int, str]] = {
    "no margin, but proven": ([{"name": "r", "kind": "non_inferiority"} | ON | {"margin_pt": 0}], {}, 12, "margin_pt 0 can be had as evidence `point` only"),
    "no margin, but screened": ([FLOOR, {"name": "r", "kind": "non_inferiority"} | ON | {"margin_pt": 0, "evidence": "screen"}], {}, 13, "margin_pt 0 can be had as evidence `point` only"),
    "both forms of a ratio": ([{"name": "r", "kind": "ratio"} | ON | {"minimum": 0.9} | KINDS["ratio"]], {}, 12, EITHER),
    "no form of a ratio": ([{"name": "r", "kind": "ratio"}], {}, 12, EITHER),
    "a ratio without its metric": ([{"name": "r", "kind": "ratio", "task": "golden", "minimum": 0.9}], {}, 12, EITHER),
    "a ratio with the wrong bound": ([{"name": "r", "kind": "ratio"} | ON | {"maximum": 0.9}], {}, 12, EITHER),
    "half a quantity": ([{"name": "r", "kind": "ratio", "quantity": "latency_p95_s"}], {}, 12, EITHER),
    "a ratio of nothing": ([{"name": "r", "kind": "ratio", "quantity": "latency_p95_s", "maximum": 0}], {}, 12, "input should be greater than 0"),
    "one route": ([route() | {"routes": [{"name": "one", "rules": [FLOOR]}]}], {}, 12, "list should have at least 2 items"),
    "a route without rules": ([route() | {"routes": [{"name": "one", "rules": [FLOOR]}, {"name": "two", "rules": []}]}], {}, 12, "list should have at least 1 item"),
    "a route in a route": ([route(**route())], {}, 12, "input tag 'any_route' found using 'kind' does not match any of the expected tags"),
    "a pool of one": ([{"name": "r", "kind": "pooled_non_inferiority", "margin_pt": 2, "benchmarks": [ON]}], {}, 12, "list should have at least 2 items"),
    "a pool without a margin": ([{"name": "r", "kind": "pooled_non_inferiority", "benchmarks": [ON, ON]}], {}, 12, "margin_pt: field required"),
    "a pool of an unknown task": ([{"name": "r", "kind": "pooled_non_inferiority", "margin_pt": 2, "benchmarks": [ON, {"task": "ark", "metric": "acc"}]}], {}, 12, "rule 'r': task 'ark' is not among eval_sets; did you mean 'arc'?"),
    "a name twice in the routes": ([route(name="ok")], {}, 12, "rules: name 'ok' stands there twice"),
    "a name in and outside the routes": ([FLOOR, route(name="either two")], {}, 12, "rules: name 'ok' stands there twice"),
    "the name of the whole inside": ([route(name="either")], {}, 12, "rules: name 'either' stands there twice"),
    "an unknown task in a route": ([route(task="goldn")], {}, 12, "rule 'inner': task 'goldn' is not among eval_sets; did you mean 'golden'?"),
    "an unknown model in a route": ([route(kind="ratio", threshold=None, minimum=0.9, against="base")], {}, 12, "unknown key 'threshold'"),
    "an absent model in a route": ([{"name": "either", "kind": "any_route", "routes": [{"name": "one", "rules": [FLOOR]}, {"name": "two", "rules": [{"name": "inner", "kind": "superiority", "against": "base"} | ON]}]}], {}, 12, "rule 'inner': there is no model 'base'; models: candidate, production, frontier"),
    "a win rate that nobody judges": ([{"name": "r", "kind": "win_rate", "against": "frontier"}], {}, 12, "rule 'r': no judge compares with 'frontier'"),
    "a selection on an unknown set": ([FLOOR], {"selection": {"checkpoints": 5, "tasks": ["golde"]}}, 13, "selection.tasks: 'golde' is not among eval_sets; did you mean 'golden'?"),
    "a selection among one": ([FLOOR], {"selection": {"checkpoints": 1, "tasks": ["golden"]}}, 13, "selection.checkpoints: found '1'; input should be greater than or equal to 2"),
    "a selection on nothing": ([FLOOR], {"selection": {"checkpoints": 5, "tasks": []}}, 13, "selection.tasks: list should have at least 1 item"),
    "one planned look": ([FLOOR], {"looks": {"planned": 1}}, 13, "looks.planned: found '1'; input should be greater than or equal to 2"),
    "an unknown boundary": ([FLOOR], {"looks": {"planned": 3, "boundary": "haybittle"}}, 13, "looks.boundary: found 'haybittle'; input should be 'pocock' or 'obrien_fleming'"),
    "a threshold beyond 1": ([FLOOR | {"threshold": 98}], {}, 12, "input should be less than or equal to 1"),
    "buckets of one case": ([{"name": "r", "kind": "per_bucket"} | KINDS["per_bucket"] | {"min_cases": 1}], {}, 12, "input should be greater than or equal to 2"),
    "an unknown level": ([FLOOR | {"evidence": "sure"}], {}, 12, "found 'sure'; input should be 'point', 'significant', 'proven' or 'screen'"),
    "a level for regressions": ([{"name": "r", "kind": "no_regression", "evidence": "proven"} | ON], {}, 12, "found 'proven'; input should be 'point'"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_what_does_not_fit_together_is_one_line_with_its_place(name: str) -> None:
    """File, line, what was found and what was expected; inside routes too."""
    rules, further, line, words = MISTAKES[name]

    with pytest.raises(PolicyError) as caught:
        parse(*rules, **further)

    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"gate.yaml:{line}: "), message
    assert words in message


def test_an_approval_may_name_a_rule_inside_a_route() -> None:
    """The names of routes are none of rules."""
    approval = {"by": "me", "reason": "known", "until": "2026-12-31"}

    assert parse(route(), approvals=[approval | {"rule": "inner"}]).approvals
    with pytest.raises(PolicyError, match="there is no rule 'two'"):
        parse(route(), approvals=[approval | {"rule": "two"}])


# --- differences


@pytest.mark.parametrize(
    ("value", "limits", "p", "outcome"),
    [(-0.01, (-0.04, 0.02), 0.6, "PASS"), (-0.05, (-0.08, -0.001), 0.04, "FAIL"), (0.0, (None, None), None, "INCONCLUSIVE")],
)  # fmt: skip
def test_a_screen_of_superiority_fails_only_where_harm_is_shown(
    value: float, limits: Ends, p: float | None, outcome: Outcome
) -> None:
    """It does not call a candidate better that is not."""
    rule = {"kind": "superiority", "evidence": "screen"}

    found = result_of(rule, make_comparison(value, limits, p))

    assert found.outcome == outcome
    assert "better" not in found.sentence
    if outcome == "PASS":
        assert "not shown to be short of the 0.0 pt" in found.sentence


@pytest.mark.parametrize(
    ("evidence", "limits", "words"),
    [
        ("proven", (-0.02, 0.03), "a loss of more than 3 pt is excluded"),
        ("significant", (-0.02, 0.03), "a loss of more than 3 pt is excluded"),
        ("significant", (-0.05, 0.03), "no loss of more than 3 pt is shown; 100 cases leave room for one of 5.0 pt"),
        ("screen", (-0.05, 0.03), "no loss of more than 3 pt is shown; 100 cases leave room for one of 5.0 pt"),
        ("point", (-0.05, 0.03), "within the allowance of 3 pt, as a bare figure"),
    ],
)  # fmt: skip
def test_non_inferiority_claims_no_more_than_was_shown(
    evidence: str, limits: Ends, words: str
) -> None:
    """A loss is excluded only where the limit excludes it. No test against 0 is asked for."""
    rule = {"kind": "non_inferiority", "margin_pt": 3, "evidence": evidence}

    found = result_of(rule, make_comparison(-0.005, limits, 0.9))

    assert found.outcome == "PASS"
    assert words in found.sentence


def test_a_screened_win_rate_is_not_called_preferred() -> None:
    """Fewer wins than losses, but not by more than chance."""
    counts = {"wins": 48, "losses": 52, "ties": 0, "both_bad": 0, "unparsed": 0}
    row = make_comparison(-0.02, (-0.1, 0.06), 0.7, metric="win_rate", counts=counts)

    found = result_of({"kind": "win_rate", "evidence": "screen"}, row)

    assert found.outcome == "PASS"
    assert "not shown to be less preferred" in found.sentence
    assert "48.0% against production" in found.sentence


# --- pools

POOL: dict[str, Any] = {
    "kind": "pooled_non_inferiority", "margin_pt": 4,
    "benchmarks": [{"task": "one", "metric": METRIC}, {"task": "two", "metric": METRIC}],
}  # fmt: skip
ONE = make_comparison(0.01, (-0.02, 0.05), task="one")
TWO = make_comparison(-0.03, (-0.06, -0.01), task="two", n_pairs=300)


def pooled(*rows: Comparison, **rule: Any) -> RuleResult:
    """The pool of two benchmarks."""
    return result_of(POOL | rule, *rows, tasks=["one", "two"])


def test_a_pool_weighs_every_benchmark_the_same() -> None:
    """Mean of +1 and -3 pt; limits by hand: -1 -+ sqrt(3^2 + 3^2) / 2 and sqrt(4^2 + 2^2) / 2."""
    found = pooled(ONE, TWO)

    assert found.estimate is not None
    assert found.estimate.value == pytest.approx(-0.01)
    assert found.estimate.n == 400
    assert found.lower_one_sided == pytest.approx(-0.01 - math.sqrt(18) / 200)
    assert found.upper_one_sided == pytest.approx(-0.01 + math.sqrt(20) / 200)
    assert found.outcome == "PASS"
    assert "over one +1.0 pt, two -3.0 pt" in found.sentence


@pytest.mark.parametrize(
    ("evidence", "margin", "outcome"),
    [
        ("point", 1, "PASS"), ("point", 0.9, "FAIL"), ("significant", 2, "PASS"), ("proven", 3.2, "PASS"),
        ("proven", 3.1, "INCONCLUSIVE"), ("screen", 0.5, "PASS"), ("significant", 0.5, "INCONCLUSIVE"),
    ],
)  # fmt: skip
def test_levels_of_a_pool(evidence: str, margin: float, outcome: Outcome) -> None:
    """Limits of -3.12 and +1.24 pt against several margins."""
    assert pooled(ONE, TWO, evidence=evidence, margin_pt=margin).outcome == outcome


def test_a_pool_with_a_clear_loss_fails() -> None:
    """Both benchmarks lost a lot."""
    rows = [make_comparison(-0.1, (-0.12, -0.08), task=t) for t in ("one", "two")]

    assert {pooled(*rows, evidence=e).outcome for e in ("point", "significant", "proven", "screen")} == {"FAIL"}  # fmt: skip


def test_benchmarks_where_less_is_better_are_turned() -> None:
    """An error rate that rose by 3 pt is a loss of 3 pt."""
    turned = make_comparison(0.03, (0.01, 0.06), task="two", n_pairs=300, higher_is_better=False)

    assert pooled(ONE, turned).lower_one_sided == pooled(ONE, TWO).lower_one_sided
    assert pooled(ONE, turned).upper_one_sided == pooled(ONE, TWO).upper_one_sided


@pytest.mark.parametrize("row", [None, TWO.model_copy(update={"unavailable": "it rained"}), TWO.model_copy(update={"n_excluded": 50})])  # fmt: skip
def test_a_pool_without_one_of_its_benchmarks_is_open(row: Comparison | None) -> None:
    """The mean of the others is not the mean; the one that is missing is named."""
    found = pooled(ONE, *([] if row is None else [row]))

    assert found.outcome == "INCONCLUSIVE"
    assert found.sentence.startswith("Cannot be decided: two: ")
    assert found.seen == "no evidence"


def test_a_pool_needs_the_limits_of_all() -> None:
    """One benchmark without an interval leaves the mean without one, and says why."""
    found = pooled(ONE, make_comparison(0.0, task="two", no_interval="3 clusters; at least 8 are needed"))  # fmt: skip

    assert found.outcome == "INCONCLUSIVE"
    assert "no limits can be given (3 clusters; at least 8 are needed)" in found.sentence


def test_metrics_of_one_set_do_not_make_a_pool_surer() -> None:
    """The same benchmark twice has the limits that it has once, and not narrower ones."""
    twice = {"benchmarks": [{"task": "one", "metric": METRIC}] * 2}

    found = pooled(ONE, **twice)

    assert found.lower_one_sided == pytest.approx(ONE.lower_one_sided)
    assert found.upper_one_sided == pytest.approx(ONE.upper_one_sided)


# --- buckets


def bucket(name: str, value: float, error: float | None, n: int = 100, **fields: Any) -> Bucket:
    """A bucket by language with a mean difference and its standard error."""
    return Bucket(by="language", bucket=name, n=n, difference=value, standard_error=error, **fields)


def binary_bucket(name: str, gained: int, lost: int, n: int = 100) -> Bucket:
    """A bucket of pass/fail cases."""
    error = math.sqrt(gained + lost - (gained - lost) ** 2 / n) / n or None
    return bucket(name, (gained - lost) / n, error, n, gained=gained, lost=lost)


def by_bucket(*buckets: Bucket, evidence: str = "screen", **fields: Any) -> RuleResult:
    """A rule with a margin of 5 pt over these buckets."""
    row = make_comparison(0.0, (-0.1, 0.1), buckets=list(buckets), **fields)
    rule = {"kind": "per_bucket", "by": "language", "margin_pt": 5, "evidence": evidence}
    return result_of(rule, row)


LOW, LOWER = bucket("go", -0.15, 0.05), bucket("c", -0.10, 0.03)
"""Beyond 5 pt by 2.00 and by 1.67 standard errors: p = 0.0228 and 0.0478."""


def test_harm_in_a_bucket_is_claimed_after_holm_only() -> None:
    """0.0228 x 2 is under 5 %, and then 0.0478 is; with a third bucket 0.0228 x 3 is not."""
    two, three = by_bucket(LOW, LOWER), by_bucket(LOW, LOWER, bucket("rust", 0.1, 0.05))

    assert two.outcome == "FAIL"
    assert "is shown for go, c (Holm over 2 buckets)" in two.sentence
    assert three.outcome == "PASS"
    assert [part.outcome for part in two.parts] == ["FAIL", "FAIL"]
    assert [part.outcome for part in three.parts] == ["PASS", "PASS", "PASS"]


def test_a_screen_says_what_it_could_not_have_seen() -> None:
    """2.49 standard errors beyond the margin go unseen in the least certain bucket."""
    found = by_bucket(bucket("go", -0.01, 0.02), bucket("c", 0.0, 0.04))

    assert found.outcome == "PASS"
    assert "a loss under 15 pt could have gone unseen" in found.sentence  # 5 + 2.486 x 4


@pytest.mark.parametrize(
    ("value", "error", "outcomes"),
    [
        (-0.01, 0.02, ("PASS", "PASS", "PASS", "PASS")),
        (-0.01, 0.04, ("PASS", "PASS", "INCONCLUSIVE", "PASS")),
        (-0.06, 0.04, ("FAIL", "INCONCLUSIVE", "INCONCLUSIVE", "PASS")),
        (-0.20, 0.04, ("FAIL", "FAIL", "FAIL", "FAIL")),
        (-0.01, None, ("PASS", "INCONCLUSIVE", "INCONCLUSIVE", "INCONCLUSIVE")),
    ],
)
def test_levels_of_buckets(
    value: float, error: float | None, outcomes: tuple[Outcome, Outcome, Outcome, Outcome]
) -> None:
    """One bucket that is fine and one that is not: the worse one decides."""
    for evidence, outcome in zip(("point", "significant", "proven", "screen"), outcomes, strict=True):  # fmt: skip
        found = by_bucket(
            bucket("fine", 0.2, 0.01), bucket("other", value, error), evidence=evidence
        )
        assert (evidence, found.outcome) == (evidence, outcome)
        assert (found.next_step is None) == (outcome == "PASS")
        assert found.point_outcome == outcomes[0]


def test_a_bucket_without_limits_is_named() -> None:
    """A screen never passes what it could not see at all."""
    found = by_bucket(bucket("go", 0.0, None), bucket("c", 0.0, 0.01))

    assert found.outcome == "INCONCLUSIVE"
    assert "no limits can be given for go" in found.sentence
    assert found.next_step == "Add cases to the buckets without limits."


def test_pass_fail_buckets_have_limits_that_hold_near_zero() -> None:
    """None of 100 changed: Tango's limits, 2.6 pt to both sides, and not a width of zero."""
    same = by_bucket(binary_bucket("go", 0, 0), evidence="proven")
    few = by_bucket(binary_bucket("go", 0, 0, n=40), evidence="proven")

    assert same.outcome == "PASS"
    assert same.parts[0].lower_one_sided == pytest.approx(-0.02634, abs=1e-5)
    assert few.outcome == "INCONCLUSIVE"


def test_one_lost_case_does_not_prove_a_small_bucket_safe() -> None:
    """1 of 30 lost: normal limits end at -8.8 pt, Tango's go on to -13 pt."""
    rule = {"kind": "per_bucket", "by": "language", "margin_pt": 10, "evidence": "proven"}
    row = make_comparison(0.0, (-0.1, 0.1), buckets=[binary_bucket("go", 0, 1, 30)])

    assert result_of(rule, row).outcome == "INCONCLUSIVE"


def test_small_buckets_are_counted_and_not_judged() -> None:
    """A bucket of 29 that lost everything is not judged at 30 cases or more."""
    found = by_bucket(binary_bucket("go", 0, 0), binary_bucket("c", 0, 29, 29))

    assert found.outcome == "PASS"
    assert "(1 buckets of 2 are large enough)" in found.seen
    assert [part.name for part in found.parts] == ["go"]


@pytest.mark.parametrize(
    ("buckets", "why"),
    [
        ([binary_bucket("go", 0, 0, 29), binary_bucket("c", 0, 0, 8)], "no bucket has 30 cases; the largest of 2 has 29"),
        ([], f"no row of {TASK} says its 'language'"),
        ([Bucket(by="repo", bucket="x", n=100, difference=0.0)], f"no row of {TASK} says its 'language'"),
    ],
)  # fmt: skip
def test_without_a_bucket_to_judge_the_rule_is_open(buckets: list[Bucket], why: str) -> None:
    """Too small, or a field that no row has: the reason stands in the sentence."""
    found = by_bucket(*buckets)

    assert (found.outcome, found.sentence) == ("INCONCLUSIVE", f"Cannot be decided: {why}.")


def test_buckets_where_less_is_better_are_turned() -> None:
    """A rate of false alarms that rises is harm; the same figures turned give the same outcome."""
    worse = by_bucket(bucket("go", 0.15, 0.03), higher_is_better=False)
    better = by_bucket(bucket("go", -0.15, 0.03), higher_is_better=False)
    lost = by_bucket(binary_bucket("go", 30, 2), higher_is_better=False, kind="binary")

    assert [r.outcome for r in (worse, better, lost)] == ["FAIL", "PASS", "FAIL"]
    assert worse.parts[0].estimate is not None
    assert worse.parts[0].estimate.value == -0.15
    assert lost.parts[0].upper_one_sided is not None
    assert lost.parts[0].upper_one_sided < -0.05


def test_buckets_pay_for_looks_and_selection_too() -> None:
    """At a test level of 2 % the same loss is no longer shown, and limits are wider."""
    usual, strict = by_bucket(LOW, LOWER), by_bucket(LOW, LOWER, alpha_one_sided=0.02)

    assert (usual.outcome, strict.outcome) == ("FAIL", "PASS")
    assert strict.level == pytest.approx(0.98)
    assert strict.parts[0].lower_one_sided is not None
    assert usual.parts[0].lower_one_sided is not None
    assert strict.parts[0].lower_one_sided < usual.parts[0].lower_one_sided


# --- the candidate's own figures


@pytest.mark.parametrize("evidence", ["point", "significant", "proven", "screen"])
@pytest.mark.parametrize(
    ("value", "limits"),
    [(0.95, (0.91, 0.98)), (0.95, (0.88, 0.98)), (0.89, (0.84, 0.93)), (0.8, (0.7, 0.85)), (0.9, (None, None)), (0.95, (0.9, 1.0))],
)  # fmt: skip
def test_a_ceiling_mirrors_a_floor(evidence: str, value: float, limits: Ends) -> None:
    """At most 10 % wrong is at least 90 % right, with every level and all limits."""
    low, high = limits
    mirrored = (None if high is None else 1 - high, None if low is None else 1 - low)

    floor = result_of(FLOOR_90 | {"evidence": evidence}, make_level(value, limits))
    ceiling = result_of(CEILING_10 | {"evidence": evidence}, make_level(1 - value, mirrored))

    assert ceiling.outcome == floor.outcome
    assert ceiling.point_outcome == floor.point_outcome
    assert ceiling.cases_needed == floor.cases_needed


FLOOR_90: dict[str, Any] = {"kind": "floor", "threshold": 0.9}
CEILING_10: dict[str, Any] = {"kind": "ceiling", "threshold": 0.1}


def test_a_ceiling_is_written_as_it_was_measured() -> None:
    """No minus signs, the lower limit first."""
    found = result_of(CEILING_10, make_level(0.04, (0.015, 0.07)))

    assert found.sentence.endswith("4.0% (90 % CI 1.5% to 7.0%, n = 100): at most 10.0%.")
    assert (found.lower_one_sided, found.upper_one_sided, found.threshold) == (-0.07, -0.015, -0.1)


def test_a_screened_floor_does_not_say_that_it_was_reached() -> None:
    """88 % of 100 does not show that the rate is under 90 %, and is not at least 90 % either."""
    found = result_of(FLOOR_90 | {"evidence": "screen"}, make_level(0.88, (0.81, 0.93)))

    assert found.outcome == "PASS"
    assert "not at least 90.0% as a bare figure, but 100 cases do not show that" in found.sentence


# --- ratios

CHEAPER: dict[str, Any] = {"kind": "ratio", "quantity": "cost_usd_per_request", "maximum": 0.2}
AS_GOOD: dict[str, Any] = {
    "kind": "ratio", "task": TASK, "metric": METRIC, "against": "production", "minimum": 0.95,
}  # fmt: skip


def cost_ratio(value: float, limits: Ends, **fields: Any) -> OperationRatio:
    """Cost as a multiple of the frontier's."""
    fields = {"quantity": "cost_usd_per_request", "baseline": "frontier"} | fields
    return OperationRatio(**{"ratio": make_bound(value, limits)} | fields)


@pytest.mark.parametrize(
    ("value", "limits", "outcomes"),
    [
        (0.15, (0.13, 0.18), ("PASS", "PASS", "PASS", "PASS")),
        (0.18, (0.15, 0.20), ("PASS", "PASS", "PASS", "PASS")),
        (0.18, (0.15, 0.21), ("PASS", "PASS", "INCONCLUSIVE", "PASS")),
        (0.21, (0.19, 0.23), ("FAIL", "INCONCLUSIVE", "INCONCLUSIVE", "PASS")),
        (0.25, (0.21, 0.29), ("FAIL", "FAIL", "FAIL", "FAIL")),
        (0.15, (None, None), ("PASS", "INCONCLUSIVE", "INCONCLUSIVE", "INCONCLUSIVE")),
    ],
)
def test_five_times_cheaper(
    value: float, limits: Ends, outcomes: tuple[Outcome, Outcome, Outcome, Outcome]
) -> None:
    """At most 0.2 times the frontier's cost, with every level of evidence."""
    for evidence, outcome in zip(("point", "significant", "proven", "screen"), outcomes, strict=True):  # fmt: skip
        found = result_of(CHEAPER | {"evidence": evidence}, cost_ratio(value, limits))
        assert (evidence, found.outcome) == (evidence, outcome)
        assert f"cost per request {value:g} times frontier's" in found.sentence


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (cost_ratio(1, (None, None), ratio=None, unavailable="cost was not measured for both models"), "cost was not measured for both models"),
        (cost_ratio(0.1, (0.1, 0.1), baseline="production"), "this comparison was not made"),
        (cost_ratio(0.1, (0.1, 0.1), quantity="latency_p95_s"), "this comparison was not made"),
    ],
)  # fmt: skip
def test_a_cost_that_was_not_measured_is_not_low(row: OperationRatio, why: str) -> None:
    """No price, another model, another quantity: open, with the reason."""
    found = result_of(CHEAPER, row)

    assert (found.outcome, found.sentence) == ("INCONCLUSIVE", f"Cannot be decided: {why}.")


@pytest.mark.parametrize("by_hour", [True, False])
def test_a_machine_paid_by_the_hour_must_be_used(by_hour: bool) -> None:
    """0.15 of 0.2 allowed: at 75 % of the load the claim still holds; tokens do not idle."""
    price = (
        {"usd_per_hour": 2.5} if by_hour else {"input_usd_per_mtok": 1, "output_usd_per_mtok": 1}
    )
    policy = make_policy(CHEAPER)
    mine = policy.models["candidate"].model_copy(
        update={"price": type(policy.models["candidate"].price)(**price)}
    )
    policy = policy.model_copy(update={"models": policy.models | {"candidate": mine}})

    made = make_comparisons(cost_ratio(0.15, (0.14, 0.16)))
    sentence = decide(policy, made, None, TODAY).rules[0].sentence

    words = "as long as the machine is used to 75 % of the measured load or more"
    assert (words in sentence) is by_hour


@pytest.mark.parametrize(
    ("value", "limits", "outcome"),
    [
        (0.98, (0.96, 1.0), "PASS"), (0.98, (0.95, 1.01), "PASS"), (0.98, (0.94, 1.02), "INCONCLUSIVE"),
        (0.90, (0.86, 0.94), "FAIL"), (0.98, (None, None), "INCONCLUSIVE"),
    ],
)  # fmt: skip
def test_nearly_as_good_as_another_model(value: float, limits: Ends, outcome: Outcome) -> None:
    """At least 95 % of the other's score, by the limits of the ratio."""
    row = make_comparison(-0.01, (-0.1, 0.1), ratio=make_bound(value, limits))

    assert result_of(AS_GOOD, row).outcome == outcome


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "there is no ratio: production scores 0"),
        ({"n_pairs": 1}, "there is no ratio of a single case"),
        ({"higher_is_better": False, "ratio": make_bound(0.9, (0.8, 1.0))}, "less of this metric is better"),
    ],
)  # fmt: skip
def test_a_metric_without_a_ratio_says_why(fields: dict[str, Any], why: str) -> None:
    """Nothing to divide by, one case, or a metric where a small ratio would be good."""
    found = result_of(AS_GOOD, make_comparison(0.0, (-0.1, 0.1), **fields))

    assert (found.outcome, found.sentence) == ("INCONCLUSIVE", f"Cannot be decided: {why}.")


def test_a_budget_can_be_proven_only_where_a_limit_exists() -> None:
    """A p95 of 50 requests has no upper limit: open below the budget, failed where far above it."""
    why = "no upper limit of the 95% quantile exists at 50 requests"
    bound = make_bound(0.9, (0.7, None), 50, no_interval=why)
    row = make_operations(latency_p95_s=0.9, bounds={"latency_p95_s": bound})
    rule = {"kind": "budget", "quantity": "latency_p95_s", "evidence": "proven"}

    kept, broken = (result_of(rule | {"maximum": m}, row) for m in (1.0, 0.6))

    assert kept.outcome == "INCONCLUSIVE"
    assert f"no limits can be given ({why})" in kept.sentence
    assert "90 % CI 0.7 s to no upper limit" in kept.sentence
    assert broken.outcome == "FAIL"
    point = result_of(rule | {"maximum": 1.0, "evidence": "point"}, row)
    assert point.outcome == "PASS"


@pytest.mark.parametrize("rule", [CHEAPER, {"kind": "budget", "quantity": "cost_usd_per_request", "maximum": 1}])  # fmt: skip
def test_failed_requests_make_cost_and_latency_open(rule: dict[str, Any]) -> None:
    """What was not answered was not measured: above the error budget nothing is decided."""
    bound = make_bound(0.001, (0.001, 0.001))
    measured = {"cost_usd_per_request": 0.001, "bounds": {"cost_usd_per_request": bound}}
    good = make_operations(**measured)
    bad = make_operations(**measured, statuses={"ok": 60, "failed": 40})
    ratio = cost_ratio(0.1, (0.09, 0.11))

    assert result_of(rule, good, ratio).outcome == "PASS"
    found = result_of(rule, bad, ratio)
    assert found.outcome == "INCONCLUSIVE"
    assert "40 of 100 requests to candidate (40.0%) were not measured" in found.sentence


# --- routes

LIMITS: dict[Outcome, Ends] = {
    "PASS": (0.95, 1.0), "FAIL": (0.1, 0.5), "INCONCLUSIVE": (0.8, 0.95),
}  # fmt: skip


def routed(outcomes: list[list[Outcome]], **policy: Any) -> RuleResult:
    """A rule with routes whose rules have these outcomes, named a0, a1, b0 and so on."""
    routes, rows, tasks = [], [], []
    for letter, route_outcomes in zip("abcd", outcomes, strict=False):
        names = [f"{letter}{i}" for i in range(len(route_outcomes))]
        rules = [FLOOR_90 | {"name": n, "task": n, "metric": METRIC} for n in names]
        rows += [
            make_level(0.9, LIMITS[o], task=n) for n, o in zip(names, route_outcomes, strict=True)
        ]
        routes.append({"name": letter, "rules": rules})
        tasks += names
    return result_of({"kind": "any_route", "routes": routes}, *rows, tasks=tasks, **policy)


OUTCOMES: tuple[Outcome, ...] = ("PASS", "FAIL", "INCONCLUSIVE")


@pytest.mark.parametrize("first", OUTCOMES)
@pytest.mark.parametrize("second", OUTCOMES)
def test_one_route_is_enough(first: Outcome, second: Outcome) -> None:
    """PASS if one passes, FAIL if all fail, open otherwise."""
    found = routed([[first], [second]])

    expected: Outcome = "INCONCLUSIVE"
    if "PASS" in (first, second):
        expected = "PASS"
    elif first == second == "FAIL":
        expected = "FAIL"
    assert found.outcome == expected
    assert [part.outcome for part in found.parts] == [first, second]
    assert (found.next_step is None) == (expected == "PASS")


@QUICK
@given(st.lists(st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=3), min_size=2, max_size=4))  # fmt: skip
def test_all_rules_of_a_route_must_hold(outcomes: list[list[Outcome]]) -> None:
    """A route is no better than its worst rule, and the whole no worse than its best route."""
    rank = {"FAIL": 0, "INCONCLUSIVE": 1, "PASS": 2}

    found = routed(outcomes)

    assert rank[found.outcome] == max(min(rank[o] for o in route) for route in outcomes)
    for part, inside in zip(found.parts, outcomes, strict=True):
        assert rank[part.outcome] == min(rank[o] for o in inside)
        assert [r.outcome for r in part.parts] == inside
    assert "\n" not in found.sentence
    assert found.sentence.endswith(".")


def test_a_rule_inside_a_route_can_be_approved() -> None:
    """The route holds with it, and the part says who approved it; the bare figure is not changed."""
    outcomes: list[list[Outcome]] = [["PASS", "FAIL"], ["FAIL"]]

    plain, approved = routed(outcomes), routed(outcomes, approvals=[{"rule": "a1"}])

    assert plain.outcome == "FAIL"
    assert plain.sentence == "a: fails at a1; b: fails at b0: no route holds."
    assert approved.outcome == "PASS"
    assert approved.sentence == "Passed by the route 'a'."
    note = approved.parts[0].parts[1].approved
    assert note is not None
    assert note.startswith("FAIL approved by A. Lead")
    assert approved.approved is None


def test_a_whole_choice_of_routes_can_be_approved() -> None:
    """By its own name, like every rule."""
    found = routed([["FAIL"], ["INCONCLUSIVE"]], approvals=[{"rule": "any_route"}])

    assert found.outcome == "PASS"
    assert found.approved is not None
    assert found.approved.startswith("INCONCLUSIVE approved by A. Lead")


def test_an_open_route_says_what_is_missing() -> None:
    """The step of the route that is closest to holding stands in the whole's, with the rule's name."""
    found = routed([["FAIL"], ["PASS", "INCONCLUSIVE"]])

    assert found.sentence == "a: fails at a0; b: open: b1: no route is shown to hold."
    assert found.next_step is not None
    assert found.next_step.startswith("Closest is the route 'b'. b1: ")


# --- the two readings, and the notes about looks and selection


def test_the_point_verdict_is_that_of_the_bare_figures() -> None:
    """Rules that are open by their limits may all hold as point rules; missing figures do not."""
    rules = [FLOOR_90, {"kind": "superiority", "evidence": "proven"}]
    rows: list[Any] = [make_level(0.92, (0.85, 0.97)), make_comparison(0.01, (-0.02, 0.04), 0.5)]

    whole = decide(make_policy(*rules), make_comparisons(*rows), None, TODAY)
    partly = decide(make_policy(*rules), make_comparisons(rows[0]), None, TODAY)
    short = make_comparison(-0.01, (-0.04, 0.02), 0.5)
    worse = decide(make_policy(*rules), make_comparisons(rows[0], short), None, TODAY)

    assert (whole.verdict, whole.point_verdict) == ("INCONCLUSIVE", "GO")
    assert (partly.verdict, partly.point_verdict) == ("INCONCLUSIVE", "INCONCLUSIVE")
    assert partly.rules[1].point_outcome is None
    assert (worse.verdict, worse.point_verdict) == ("INCONCLUSIVE", "NO-GO")


def notes(**fields: Any) -> list[str]:
    """What a decision warns of."""
    made = make_comparisons(make_level(0.95, (0.92, 0.98)), **fields)
    return decide(make_policy(FLOOR_90), made, None, TODAY).warnings


@pytest.mark.parametrize(("number", "rate"), [(2, "8 %"), (3, "10 %"), (5, "13 %")])
def test_unplanned_looks_say_what_they_cost(number: int, rate: str) -> None:
    """0.080, 0.101 and 0.130 instead of 0.05 for two, three and five looks."""
    (note,) = notes(look=LookUse(number=number))

    assert note.startswith(f"This is look {number} at growing data and none were planned")
    assert f"about {rate} a rule, not 5 %" in note


def test_a_single_look_needs_no_note() -> None:
    """The first look is the test itself."""
    assert notes(look=LookUse(number=1)) == notes() == []


def test_planned_looks_and_selection_are_noted() -> None:
    """Limits are wider than the reader would expect, and the decision says why."""
    look = LookUse(number=2, planned=3, boundary="pocock")

    found = notes(look=look, selected_from={TASK: 10})

    assert found[0].startswith("Look 2 of 3 planned ones at growing data (pocock boundary)")
    assert found[1].startswith(f"{TASK}: the candidate is the best of 10 checkpoints")
    assert "0.05 / 10" in found[1]
