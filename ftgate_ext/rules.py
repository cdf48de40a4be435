"""One rule and the evidence -> its result, in words. Pure, like the decision that calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.evidence import Evidence, oriented_difference, weigh, why_unusable
from ftgate_ext.policy import (
    Approval,
    Budget,
    Floor,
    NonInferiority,
    NoRegression,
    Rule,
    Superiority,
    WinRate,
)
from ftgate_ext.schema import (
    Comparison,
    Outcome,
    RuleResult,
)
from ftgate_ext.wording import money, plain, points

if TYPE_CHECKING:
    from datetime import date

ALPHA = 0.05


def apply_rule(
    rule: Rule, evidence: Evidence, approvals: list[Approval], today: date
) -> RuleResult:
    """Decide one rule; evidence that is missing makes it INCONCLUSIVE."""
    if isinstance(rule, Superiority):
        return _superiority(rule, evidence)
    if isinstance(rule, NonInferiority):
        return _non_inferiority(rule, evidence)
    if isinstance(rule, Floor):
        return _floor(rule, evidence)
    if isinstance(rule, NoRegression):
        return _no_regression(rule, evidence, approvals, today)
    if isinstance(rule, WinRate):
        return _win_rate(rule, evidence)
    return _budget(rule, evidence)


def _missing(rule: Rule, asked: str, why: str, next_step: str) -> RuleResult:
    return RuleResult(
        name=rule.name, kind=rule.kind, evidence=rule.evidence, outcome="INCONCLUSIVE", asked=asked, seen="no evidence",
        sentence=f"Cannot be decided: {why}.", next_step=next_step, task=getattr(rule, "task", None),
        metric=getattr(rule, "metric", None), against=getattr(rule, "against", None),
    )  # fmt: skip


def _result(
    rule: Rule,
    comparison: Comparison,
    outcome: Outcome,
    asked: str,
    threshold: float,
    sentence: str,
    next_step: str | None,
) -> RuleResult:
    value, low, high = oriented_difference(comparison)
    return RuleResult(
        name=rule.name, kind=rule.kind, evidence=rule.evidence, outcome=outcome, asked=asked,
        seen=f"{points(value)} ({_limits(low, high)}), n={comparison.n_pairs}", sentence=sentence, next_step=next_step,
        task=comparison.task, metric=comparison.metric, against=comparison.baseline, estimate=comparison.difference,
        lower_one_sided=low, upper_one_sided=high, threshold=threshold,
    )  # fmt: skip


def _limits(low: float | None, high: float | None) -> str:
    return (
        "no interval" if low is None or high is None else f"90 % CI {points(low)} to {points(high)}"
    )


def _main_p(comparison: Comparison) -> float | None:
    return comparison.tests[0].p if comparison.tests else None


def _superiority(rule: Superiority, evidence: Evidence) -> RuleResult:
    asked = f"{plain(rule.metric)} at least {points(rule.margin_pt / 100)} above {rule.against}" + (
        ", p < 0.05" if rule.evidence == "significant" else ""
    )
    comparison = evidence.comparison(rule.task, rule.metric, rule.against)
    unusable = why_unusable(comparison, evidence)
    if comparison is None or unusable:
        return _missing(rule, asked, *(unusable or ("", "")))
    value, low, high = oriented_difference(comparison)
    p = _main_p(comparison)
    threshold = rule.margin_pt / 100
    outcome = weigh(
        rule,
        value,
        low,
        high,
        threshold,
        strict=True,
        significant=p is not None and p < ALPHA and value > 0,
    )
    tail = f" ({_limits(low, high)}, p = {_p(p)}, n = {comparison.n_pairs})"
    opening = f"{plain(rule.metric)} {points(value)} against {rule.against}{tail}"
    sentence = {
        "PASS": f"{opening}: better, as the rule demands.",
        "FAIL": f"{opening}: short of the {points(threshold)} that the rule demands.",
        "INCONCLUSIVE": f"{opening}: neither shown nor excluded by {comparison.n_pairs} cases.",
    }[outcome]
    return _result(
        rule,
        comparison,
        outcome,
        asked,
        threshold,
        sentence,
        _more_cases(outcome, value - threshold),
    )


def _non_inferiority(rule: NonInferiority, evidence: Evidence) -> RuleResult:
    asked = f"{plain(rule.metric)} not more than {rule.margin_pt:g} pt worse than {rule.against}"
    comparison = evidence.comparison(rule.task, rule.metric, rule.against)
    unusable = why_unusable(comparison, evidence)
    if comparison is None or unusable:
        return _missing(rule, asked, *(unusable or ("", "")))
    value, low, high = oriented_difference(comparison)
    threshold = -rule.margin_pt / 100
    outcome = weigh(rule, value, low, high, threshold, strict=True)
    turned = "" if comparison.higher_is_better else "; turned so that plus is better"
    opening = f"{plain(rule.metric)} {points(value)} against {rule.against} ({_limits(low, high)}, n = {comparison.n_pairs}{turned})"
    sentence = {
        "PASS": f"{opening}: a loss of more than {rule.margin_pt:g} pt is excluded.",
        "FAIL": f"{opening}: worse than the allowance of {rule.margin_pt:g} pt.",
        "INCONCLUSIVE": f"{opening}: a loss of more than {rule.margin_pt:g} pt can be neither shown nor excluded with {comparison.n_pairs} cases.",
    }[outcome]
    return _result(
        rule,
        comparison,
        outcome,
        asked,
        threshold,
        sentence,
        _more_cases(outcome, value - threshold),
    )


def _more_cases(outcome: Outcome, distance: float) -> str | None:
    if outcome == "PASS":
        return None
    if outcome == "FAIL":
        return "Look at the failures of this rule; more cases will not change it."
    if distance <= 0:
        return "More cases are unlikely to help: the point estimate is on the wrong side."
    return "Add cases, or have the rule approved by name in the policy."


def _floor(rule: Floor, evidence: Evidence) -> RuleResult:
    asked = f"{plain(rule.metric)} at least {rule.threshold:.1%}"
    level = evidence.level(rule.task, rule.metric)
    if level is None or level.estimate is None:
        why = (
            level.unavailable
            if level and level.unavailable
            else "the candidate was not asked this eval set"
        )
        return _missing(rule, asked, why, "run the eval set that the rule names")
    if level.n_unscored > evidence.max_failed_share * (level.estimate.n + level.n_unscored):
        return _missing(
            rule,
            asked,
            f"{level.n_unscored} cases have no answer, above the error budget",
            "run the same command again: it asks only what is missing",
        )
    value, low, high = level.estimate.value, level.lower_one_sided, level.upper_one_sided
    outcome = weigh(rule, value, low, high, rule.threshold, strict=False)
    limits = "no interval" if low is None or high is None else f"90 % CI {low:.1%} to {high:.1%}"
    opening = f"{plain(rule.metric)} {value:.1%} ({limits}, n = {level.estimate.n})"
    sentence = {
        "PASS": f"{opening}: reaches {rule.threshold:.1%}.",
        "FAIL": f"{opening}: below {rule.threshold:.1%}.",
        "INCONCLUSIVE": f"{opening}: {level.estimate.n} cases cannot show that {rule.threshold:.1%} is reached.",
    }[outcome]
    return RuleResult(
        name=rule.name, kind=rule.kind, evidence=rule.evidence, outcome=outcome, asked=asked, seen=f"{value:.1%} ({limits}), n={level.estimate.n}",
        sentence=sentence, next_step=_more_cases(outcome, value - rule.threshold), task=rule.task, metric=rule.metric,
        estimate=level.estimate, lower_one_sided=low, upper_one_sided=high, threshold=rule.threshold,
    )  # fmt: skip


def _no_regression(
    rule: NoRegression, evidence: Evidence, approvals: list[Approval], today: date
) -> RuleResult:
    asked = f"no case that {rule.against} gets right goes wrong, or each is approved by name"
    comparison = evidence.comparison(rule.task, rule.metric, rule.against)
    unusable = why_unusable(comparison, evidence)
    if comparison is None or unusable:
        return _missing(rule, asked, *(unusable or ("", "")))
    if comparison.kind != "binary":
        return _missing(
            rule,
            asked,
            f"{rule.metric} is not a pass/fail metric",
            "name a metric that is 0 or 1 per case",
        )
    lost = comparison.lost_cases
    valid = [
        a for a in approvals if a.rule == rule.name and a.until >= today and {*a.cases} & {*lost}
    ]
    approved = {case for a in valid for case in a.cases}
    broken = [case for case in lost if case not in approved]
    missing = comparison.n_excluded + comparison.n_unpaired
    outcome: Outcome = "FAIL" if broken else "INCONCLUSIVE" if missing else "PASS"
    gained = comparison.counts["only_candidate" if comparison.higher_is_better else "only_baseline"]
    next_step = "Mend them, or approve each by name in the policy." if broken else None
    if outcome == "INCONCLUSIVE":
        next_step = "Run the same command again: it asks only what is missing."
    sentence = _regressions(comparison, broken, missing)
    result = _result(rule, comparison, outcome, asked, 0.0, sentence, next_step)
    notes = [f"{', '.join(a.cases)} approved by {a.by} until {a.until}: {a.reason}" for a in valid]
    return result.model_copy(
        update={
            "seen": f"{len(lost)} regressed, {gained} newly right, n={comparison.n_pairs}",
            "approved": "; ".join(notes) or None,
        }
    )


def _regressions(comparison: Comparison, broken: list[str], missing: int) -> str:
    """What regressed, in one sentence; a suite that must be clean is not clean while cases lack."""
    n, baseline = comparison.n_pairs, comparison.baseline
    if broken:
        names = ", ".join(broken[:10]) + (" ..." if len(broken) > 10 else "")
        return f"{len(broken)} of {n} cases regressed against {baseline}: {names}."
    covered = len(comparison.lost_cases)
    sentence = f"None of {n} cases regressed against {baseline}"
    sentence += f" beyond {covered} approved" if covered else ""
    return (
        f"{sentence}, but {missing} more have no answer to compare." if missing else f"{sentence}."
    )


def _win_rate(rule: WinRate, evidence: Evidence) -> RuleResult:
    asked = (
        f"judge prefers the candidate to {rule.against} in more than {rule.threshold:.0%} of pairs"
        + (", p < 0.05" if rule.evidence == "significant" else "")
    )
    judge = evidence.qualification
    if judge is None:
        return _missing(rule, asked, "no pairs were judged", "run `ftgate judge`")
    if not judge.fit:
        why = f"the judge {judge.judge_model} is not fit to vote: {judge.reasons[0].rstrip('.')}"
        return _missing(
            rule, asked, why, "Name another judge in the policy and run `ftgate judge` again."
        )
    comparison = evidence.comparison(None, "win_rate", rule.against)
    unusable = why_unusable(comparison, evidence)
    if comparison is None or unusable:
        return _missing(rule, asked, *(unusable or ("", "")))
    value, low, high = oriented_difference(comparison)
    threshold = rule.threshold - 0.5
    p = _main_p(comparison)
    outcome = weigh(
        rule,
        value,
        low,
        high,
        threshold,
        strict=True,
        significant=p is not None and p < ALPHA and value > 0,
    )
    c = comparison.counts
    opening = f"win rate {value + 0.5:.1%} against {rule.against} ({c['wins']} wins, {c['losses']} losses, {c['ties']} ties, {c['both_bad']} both bad; {_limits(low, high)} around 50 %, n = {comparison.n_pairs})"
    ending = {
        "PASS": "preferred, as the rule demands.",
        "FAIL": "not preferred.",
        "INCONCLUSIVE": f"neither shown nor excluded by {comparison.n_pairs} pairs.",
    }[outcome]
    return _result(
        rule,
        comparison,
        outcome,
        asked,
        threshold,
        f"{opening}: {ending}",
        _more_cases(outcome, value - threshold),
    )


def _p(p: float | None) -> str:
    if p is None:
        return "not computable"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _budget(rule: Budget, evidence: Evidence) -> RuleResult:
    quantity, most = plain(rule.quantity), _amount(rule, rule.maximum)
    asked = f"{quantity} at most {most}"
    operations = evidence.operations()
    value = getattr(operations, rule.quantity) if operations else None
    if operations is None or value is None:
        return _missing(
            rule,
            asked,
            f"{quantity} was not measured",
            "run the candidate through ftgate, with its price in the policy",
        )
    outcome: Outcome = "PASS" if value <= rule.maximum else "FAIL"
    relation = "within" if outcome == "PASS" else "above"
    seen, n = _amount(rule, value), operations.n_requests
    return RuleResult(
        name=rule.name, kind=rule.kind, evidence=rule.evidence, outcome=outcome, asked=asked, seen=f"{seen}, n={n}",
        sentence=f"{quantity} {seen} over {n} requests: {relation} the budget of {most}.", threshold=rule.maximum,
        next_step=None if outcome == "PASS" else f"Lower the {quantity}, or raise the budget in the policy.",
    )  # fmt: skip


def _amount(rule: Budget, value: float) -> str:
    return money(value) if rule.quantity == "cost_usd_per_request" else f"{value:.3g} s"
