"""The results of the rules, one by one: asked, seen, interval, evidence, outcome, what follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Fact, Plot, Table, bounds_around, plot_interval
from ftgate_ext.report.figures import Scale, format_interval, scale_of
from ftgate_ext.report.models import find_operations

if TYPE_CHECKING:
    from ftgate_ext.schema import Comparison, Comparisons, Estimate, Outcome, RuleResult

EVIDENCE_WORDS = {
    "point": "point: the figure itself decides",
    "significant": "significant: the figure reaches the mark and a test rejects chance",
    "proven": "proven: the 95 % limit of the figure reaches the mark",
}
DRAWN_KINDS = frozenset({"superiority", "non_inferiority", "win_rate", "floor"})
ORDER: dict[Outcome, int] = {"FAIL": 0, "INCONCLUSIVE": 1, "PASS": 2}


@dataclass(frozen=True)
class RuleView:
    """One rule as the report shows it."""

    name: str
    outcome: Outcome
    sentence: str
    facts: list[Fact]
    plot: Plot | None


def view_rules(rules: list[RuleResult], comparisons: Comparisons) -> list[RuleView]:
    """Every rule in the policy's order."""
    return [
        RuleView(
            name=rule.name,
            outcome=rule.outcome,
            sentence=rule.sentence,
            facts=_facts(rule, comparisons),
            plot=_plot(rule, comparisons),
        )
        for rule in rules
    ]


def tabulate_rules(rules: list[RuleResult], comparisons: Comparisons) -> Table:
    """All rules at a glance."""
    return Table(
        caption="All rules of the policy",
        columns=["Rule", "Outcome", "Asked", "Seen"],
        rows=[[rule.name, _outcome(rule, comparisons), rule.asked, rule.seen] for rule in rules],
        outcomes=1,
    )


def _outcome(rule: RuleResult, comparisons: Comparisons) -> str:
    approved = rests_on_approval(rule, comparisons)
    return f"{rule.outcome} (approved)" if approved else rule.outcome


def rests_on_approval(rule: RuleResult, comparisons: Comparisons) -> bool:
    """Whether the rule passes only because somebody took the responsibility.

    An approval of single cases may stand there although none of them regressed.
    """
    if rule.outcome != "PASS" or rule.approved is None:
        return False
    comparison = find_comparison(rule, comparisons)
    return rule.kind != "no_regression" or comparison is None or bool(comparison.lost_cases)


def _facts(rule: RuleResult, comparisons: Comparisons) -> list[Fact]:
    return [
        Fact("Outcome", f"{_outcome(rule, comparisons)}: {rule.sentence}"),
        Fact("Asked", rule.asked),
        Fact("Seen", rule.seen),
        Fact("Interval", _interval(rule, comparisons)),
        Fact("Evidence level", EVIDENCE_WORDS.get(rule.evidence, rule.evidence)),
        Fact("n", _sample_size(rule, comparisons)),
        Fact("Next step", rule.next_step or "none"),
        Fact("Approval", rule.approved or "none"),
    ]


def _sample_size(rule: RuleResult, comparisons: Comparisons) -> str:
    if rule.estimate is not None:
        return f"{rule.estimate.n} cases"
    operations = find_operations(comparisons, "candidate")
    if rule.kind == "budget" and operations:
        return f"{operations.n_requests} requests"
    return "none"


def _interval(rule: RuleResult, comparisons: Comparisons) -> str:
    """The 95 % interval, and the limits at which the rule looks."""
    if rule.kind == "budget":
        return "none: a budget compares the measured value"
    if rule.estimate is None:
        return "none"
    scale = _scale(rule, comparisons)
    turned = _is_turned(rule, comparisons)
    estimate = _turn(rule.estimate) if turned else rule.estimate
    text = format_interval(estimate, scale=scale, difference=rule.kind != "floor")
    if rule.kind == "no_regression":
        return f"{text} of the difference; the rule counts regressed cases"
    if rule.lower_one_sided is not None and rule.upper_one_sided is not None:
        write = scale.value if rule.kind == "floor" else scale.difference
        ends = f"{write(rule.lower_one_sided)} to {write(rule.upper_one_sided)}"
        text += f"; the limits that decide (one-sided 95 %) are {ends}"
    if turned:
        text += "; the sign is turned so that plus is better"
    return text + (f"; {rule.estimate.method}" if rule.estimate.method else "")


def find_comparison(rule: RuleResult, comparisons: Comparisons) -> Comparison | None:
    """The comparison that a rule looked at."""
    key = (rule.task, rule.metric, rule.against)
    return next((c for c in comparisons.comparisons if (c.task, c.metric, c.baseline) == key), None)


def _scale(rule: RuleResult, comparisons: Comparisons) -> Scale:
    if rule.task is None or rule.metric is None:
        return Scale()
    return scale_of(comparisons, rule.task, rule.metric)


def _is_turned(rule: RuleResult, comparisons: Comparisons) -> bool:
    """Whether less is better, so that the rule looked at the effect with the opposite sign."""
    comparison = find_comparison(rule, comparisons)
    return comparison is not None and not comparison.higher_is_better


def oriented_value(rule: RuleResult, comparisons: Comparisons) -> float | None:
    """The figure of a rule, turned so that bigger is better."""
    if rule.estimate is None:
        return None
    return -rule.estimate.value if _is_turned(rule, comparisons) else rule.estimate.value


def _turn(estimate: Estimate) -> Estimate:
    """The same effect with the opposite sign."""
    ends = {"lower": estimate.upper, "upper": estimate.lower}
    turned = {name: None if end is None else -end for name, end in ends.items()}
    return estimate.model_copy(update={"value": -estimate.value, **turned})


def _plot(rule: RuleResult, comparisons: Comparisons) -> Plot | None:
    """The limits that the rule looks at, against its threshold; bigger is better, to the right."""
    low, high, threshold = rule.lower_one_sided, rule.upper_one_sided, rule.threshold
    value = oriented_value(rule, comparisons)
    if value is None or low is None or high is None or threshold is None:
        return None
    if rule.kind not in DRAWN_KINDS:
        return None
    scale = _scale(rule, comparisons)
    write = scale.value if rule.kind == "floor" else scale.difference
    label = (
        f"{write(value)}, one-sided 95 % limits {write(low)} and {write(high)}; "
        f"the rule asks for {write(threshold)}"
    )
    bounds = bounds_around([low, value, high, threshold])
    text = f"asked {write(threshold)}"
    return plot_interval(bounds, (low, value, high), threshold, text, label)
