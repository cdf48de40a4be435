"""How the figures of one rule are written, and which way they are turned.

A rule holds its figures turned so that bigger is better; a reader wants dollars and seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftgate_ext.report.figures import Scale, format_money, format_seconds, scale_of
from ftgate_ext.wording import multiple, share

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftgate_ext.schema import Comparison, Comparisons, Estimate, RuleResult

NEGATED_KINDS = frozenset({"ceiling", "budget"})
"""Less is better: the rule holds the negative of what was measured."""


@dataclass(frozen=True)
class Unit:
    """How the figures of one rule are written."""

    write: Callable[[float], str]
    """A figure in the unit in which it was measured."""
    things: str = "cases"
    """What n counts."""
    is_negated: bool = False
    """Whether the rule holds the negative of what was measured."""
    axis: str = ""
    """Figures of units with the same axis can be drawn on one."""

    def turned(self, value: float) -> str:
        """A figure as the rule holds it: its value, a limit, the threshold."""
        return self.write(0.0 - value if self.is_negated else value)

    def asked(self, threshold: float) -> str:
        """The threshold in words."""
        relation = "at most" if self.is_negated else "at least"
        return f"{relation} {self.turned(threshold)}"

    def span(self, low: float | None, high: float | None) -> str | None:
        """'1.1 s to 1.4 s' for two limits as the rule holds them; None where there is neither."""
        if self.is_negated:
            low, high = (None if end is None else -end for end in (high, low))
        return write_span(low, high, self.write)


def write_span(low: float | None, high: float | None, write: Callable[[float], str]) -> str | None:
    """'1.1 s to 1.4 s', or the one limit that there is; None where there is neither."""
    if low is None and high is None:
        return None
    if high is None:
        return f"{write(low or 0.0)} or more, no upper limit"
    return f"{'no lower limit' if low is None else write(low)} to {write(high)}"


def unit_of(rule: RuleResult, comparisons: Comparisons) -> Unit:
    """How the figures of a rule are written."""
    scale = Scale()
    if rule.task is not None and rule.metric is not None:
        scale = scale_of(comparisons, rule.task, rule.metric)
    axis = "share" if scale.is_share else rule.metric or ""
    if rule.kind == "win_rate":
        return Unit(_win_rate, "pairs", axis="win rate")
    if rule.kind in ("floor", "ceiling"):
        return Unit(scale.value, is_negated=rule.kind in NEGATED_KINDS, axis=axis)
    if rule.kind == "budget":
        unit = "usd" if (rule.metric or "").startswith("cost") else "s"
        return Unit(amount_writer(rule.metric or ""), "requests", is_negated=True, axis=unit)
    if rule.kind == "ratio":
        of_quantity = rule.task is None
        return (
            Unit(multiple, "requests", is_negated=True, axis="times")
            if of_quantity
            else Unit(share, axis="share of the other")
        )
    return Unit(scale.difference, axis=axis)


def _win_rate(difference: float) -> str:
    return f"{difference + 0.5:.1%}"


def amount_writer(quantity: str) -> Callable[[float], str]:
    """How a cost or a latency is written."""
    return format_money if quantity.startswith("cost") else format_seconds


def find_comparison(rule: RuleResult, comparisons: Comparisons) -> Comparison | None:
    """The comparison that a rule looked at."""
    key = (rule.task, rule.metric, rule.against)
    made = comparisons.perturbed if rule.against == "candidate" else comparisons.comparisons
    return next((c for c in made if (c.task, c.metric, c.baseline) == key), None)


def is_turned(rule: RuleResult, comparisons: Comparisons) -> bool:
    """Whether less of the metric is better, so that the sign of the difference was changed."""
    comparison = find_comparison(rule, comparisons)
    return comparison is not None and not comparison.higher_is_better and rule.kind != "bucket"


def oriented_value(rule: RuleResult, comparisons: Comparisons) -> float | None:
    """The figure of a rule, turned so that bigger is better."""
    if rule.estimate is None:
        return None
    negated = unit_of(rule, comparisons).is_negated or is_turned(rule, comparisons)
    return -rule.estimate.value if negated else rule.estimate.value


def turn(estimate: Estimate) -> Estimate:
    """The same effect with the opposite sign."""
    ends = {"lower": estimate.upper, "upper": estimate.lower}
    turned = {name: None if end is None else -end for name, end in ends.items()}
    return estimate.model_copy(update={"value": -estimate.value, **turned})
