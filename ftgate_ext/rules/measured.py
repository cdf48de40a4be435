"""Rules on cost, latency and ratios to another model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ftgate_ext.evidence import (
    ALPHA,
    Effect,
    Evidence,
    Problem,
    find_problem,
    latency_problem,
    requests_problem,
)
from ftgate_ext.rules.outcome import Words, cannot_decide, judge_effect
from ftgate_ext.wording import DECLARED, money, multiple, percent, plain, seconds, share

if TYPE_CHECKING:
    from ftgate_ext.policy_rules import Budget, Ratio
    from ftgate_ext.schema import Bound, Comparison, Operations, RuleResult

COST = "cost_usd_per_request"


def apply_budget(rule: Budget, evidence: Evidence) -> RuleResult:
    """One request to the candidate costs or takes at most so much."""
    quantity = plain(rule.quantity)
    asked = f"{quantity} at most {_amount(rule.quantity, rule.maximum)}"
    problem = requests_problem(evidence, "candidate")
    if problem := problem or latency_problem(evidence, rule.quantity, "candidate"):
        return cannot_decide(rule, asked, problem)
    operations = evidence.operations()
    value = getattr(operations, rule.quantity) if operations else None
    if operations and value is None and rule.quantity == COST and operations.cost_usd_estimated:
        return cannot_decide(rule, asked, _only_a_guess(operations))
    if operations is None or value is None:
        return cannot_decide(
            rule, asked,
            Problem(
                f"{quantity} was not measured",
                "run the candidate through ftgate, with its price in the policy",
            ),
        )  # fmt: skip
    bound = operations.bounds.get(rule.quantity)
    n = bound.estimate.n if bound else operations.n_requests
    effect = _upside_down(bound, value, rule.maximum, n)

    def write(value: float) -> str:
        return _amount(rule.quantity, value)

    most = _amount(rule.quantity, rule.maximum)
    words = Words(
        asked, f"{quantity} {write(value)}",
        {
            "PASS": _unless_screened(effect, f"within the budget of {most}", f"above the budget of {most}"),
            "FAIL": f"above the budget of {most}",
            "INCONCLUSIVE": f"{effect.n:,} requests cannot show that it keeps to {most}",
        },
        write, unit="requests", is_negated=True,
    )  # fmt: skip
    found = judge_effect(
        rule, effect, words, no_interval=bound.no_interval if bound else None,
        estimate=bound.estimate if bound else None, metric=rule.quantity,
    )  # fmt: skip
    if found.outcome == "FAIL":
        step = f"Lower the {quantity}, or raise the budget in the policy."
        return found.model_copy(update={"next_step": step})
    return found


def _only_a_guess(operations: Operations) -> Problem:
    guess = money(operations.cost_usd_estimated or 0.0)
    return Problem(
        f"the server did not count the tokens of {operations.n_tokens_estimated:,} requests; a guess from the length of the texts, {guess} a request, decides nothing",
        "have the server send `usage` with every answer, and run the same command again",
    )


def _unless_screened(effect: Effect, reached: str, missed: str) -> str:
    """What a pass says; only a screen passes a figure that misses the mark."""
    return reached if effect.is_met else f"not shown to be {missed}"


def _upside_down(bound: Bound | None, value: float, maximum: float, n: int) -> Effect:
    """An upper bound as an effect that is better the bigger it is."""
    low = bound.lower_one_sided if bound else None
    high = bound.upper_one_sided if bound else None
    if bound and bound.no_interval == DECLARED and math.isclose(value, maximum):
        low = high = value = maximum  # $0.30 an hour over 3 requests is 10 cents, not a little less
    return Effect(
        -value, None if high is None else -high, None if low is None else -low, -maximum, n,
        bound.alpha_one_sided if bound else ALPHA, is_strict=False, is_difference=False,
    )  # fmt: skip


def _amount(quantity: str, value: float) -> str:
    return money(value) if quantity == COST else seconds(value)


def apply_ratio(rule: Ratio, evidence: Evidence) -> RuleResult:
    """The candidate's metric, cost or latency as a multiple of another model's."""
    return _of_metric(rule, evidence) if rule.metric else _of_quantity(rule, evidence)


def _of_metric(rule: Ratio, evidence: Evidence) -> RuleResult:
    metric, minimum = rule.metric or "", rule.minimum or 0.0
    asked = f"{plain(metric)} at least {share(minimum)} of {rule.against}'s"
    problem = find_problem(evidence, rule.task, metric, rule.against)
    comparison = evidence.comparison(rule.task, metric, rule.against)
    problem = problem or (_no_ratio(comparison) if comparison else None)
    if problem or comparison is None or comparison.ratio is None:
        return cannot_decide(rule, asked, problem or Problem("no ratio", "run the eval set"))
    bound = comparison.ratio
    effect = Effect(
        bound.estimate.value, bound.lower_one_sided, bound.upper_one_sided, minimum,
        comparison.n_pairs, comparison.alpha_one_sided, is_strict=False, is_difference=False,
    )  # fmt: skip
    words = Words(
        asked, f"{plain(metric)} {share(effect.value)} of {rule.against}'s",
        {
            "PASS": _unless_screened(effect, f"at least {share(minimum)}", f"less than {share(minimum)}"),
            "FAIL": f"less than {share(minimum)}",
            "INCONCLUSIVE": f"{effect.n:,} cases cannot tell whether it is {share(minimum)}",
        },
        share,
    )  # fmt: skip
    return judge_effect(
        rule, effect, words, no_interval=bound.no_interval, task=rule.task, metric=metric,
        against=rule.against, estimate=bound.estimate,
    )  # fmt: skip


def _no_ratio(comparison: Comparison) -> Problem | None:
    """Why the ratio of a metric may not decide; None where it may."""
    if not comparison.higher_is_better:
        return Problem("less of this metric is better", "compare differences instead")
    if comparison.ratio is not None:
        return None
    if comparison.n_pairs < 2:
        return Problem("there is no ratio of a single case", "add cases")
    why = f"there is no ratio: {comparison.baseline} scores 0"
    return Problem(why, "compare differences instead")


def _of_quantity(rule: Ratio, evidence: Evidence) -> RuleResult:
    quantity, maximum = rule.quantity or COST, rule.maximum or 0.0
    asked = f"{plain(quantity)} at most {multiple(maximum)} {rule.against}'s"
    problem = requests_problem(evidence, "candidate", rule.against)
    if problem := problem or latency_problem(evidence, quantity, "candidate", rule.against):
        return cannot_decide(rule, asked, problem)
    found = evidence.ratio(quantity, rule.against)
    if found is None or found.ratio is None:
        why = found.unavailable if found else None
        return cannot_decide(
            rule, asked,
            Problem(
                why or "this comparison was not made",
                "run both models through ftgate, with their prices in the policy",
            ),
        )  # fmt: skip
    bound = found.ratio
    effect = _upside_down(bound, bound.estimate.value, maximum, bound.estimate.n)
    words = Words(
        asked, f"{plain(quantity)} {multiple(bound.estimate.value)} {rule.against}'s",
        {
            "PASS": _unless_screened(effect, f"at most {multiple(maximum)}", f"more than {multiple(maximum)}") + _utilisation(rule, effect, evidence),
            "FAIL": f"more than {multiple(maximum)}",
            "INCONCLUSIVE": f"{effect.n:,} requests cannot tell whether it is at most {multiple(maximum)}",
        },
        multiple, unit="requests", is_negated=True,
    )  # fmt: skip
    return judge_effect(
        rule, effect, words, no_interval=bound.no_interval, metric=quantity, against=rule.against,
        estimate=bound.estimate,
    )  # fmt: skip


def _utilisation(rule: Ratio, effect: Effect, evidence: Evidence) -> str:
    """A machine paid by the hour costs the same when it idles: how idle it may be."""
    if rule.quantity != COST or not evidence.is_paid_by_hour or not effect.is_met:
        return ""
    least = effect.value / effect.threshold
    return f", as long as the machine is used to {percent(least)} of the measured load or more"
