"""Rules -> drawings of their limits against what they ask; rules of one kind share an axis."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Bounds, Plot, bounds_around, plot_interval, ticks_of
from ftgate_ext.report.figures import format_level
from ftgate_ext.report.readings import name_outcome
from ftgate_ext.report.units import oriented_value, unit_of
from ftgate_ext.wording import DECLARED

if TYPE_CHECKING:
    from ftgate_ext.schema import Comparisons, RuleResult

Axes = dict[tuple[str, str], Bounds]
"""Kind of rules and unit -> the ends of the axis on which all of them are drawn."""
DRAWN_KINDS = frozenset({
    "superiority", "non_inferiority", "pooled_non_inferiority", "win_rate", "floor", "ceiling",
    "budget", "ratio", "bucket",
})  # fmt: skip


def share_axes(rules: list[RuleResult], comparisons: Comparisons) -> Axes:
    """One axis for all rules of a kind that are measured in the same unit, those of routes too."""
    ends: dict[tuple[str, str], list[float]] = {}
    for rule in _with_routes(rules):
        drawn = _interval(rule, comparisons)
        if drawn is not None and rule.threshold is not None:
            ends.setdefault(_axis_key(rule, comparisons), []).extend([*drawn, rule.threshold])
    return {key: bounds_around(values) for key, values in ends.items()}


def _with_routes(rules: list[RuleResult]) -> list[RuleResult]:
    """The rules and those inside them; buckets have an axis of their own."""
    inside = [part for rule in rules if rule.kind != "per_bucket" for part in rule.parts]
    return [*rules, *_with_routes(inside)] if inside else rules


def _axis_key(rule: RuleResult, comparisons: Comparisons) -> tuple[str, str]:
    return rule.kind, unit_of(rule, comparisons).axis


def _interval(rule: RuleResult, comparisons: Comparisons) -> tuple[float, float, float] | None:
    """Lower limit, value and upper limit; None where one of them is missing."""
    low, high = rule.lower_one_sided, rule.upper_one_sided
    value = oriented_value(rule, comparisons)
    if rule.estimate is not None and rule.estimate.method == DECLARED:
        return None
    if rule.kind not in DRAWN_KINDS or value is None or low is None or high is None:
        return None
    return low, value, high


def plot_rule(rule: RuleResult, comparisons: Comparisons, axes: Axes) -> Plot | None:
    """The limits that a rule looks at, against its threshold; better is always to the right.

    Args:
        rule: Of any kind.
        comparisons: For the units.
        axes: From `share_axes`.
    """
    interval, threshold = _interval(rule, comparisons), rule.threshold
    bounds = axes.get(_axis_key(rule, comparisons))
    if interval is None or threshold is None or bounds is None:
        return None
    unit = unit_of(rule, comparisons)
    low, value, high = interval
    label = (
        f"{unit.turned(value)}, one-sided {format_level(rule.level)} limits {unit.span(low, high)}; "
        f"the rule asks for {unit.asked(threshold)}"
    )
    text = (
        f"asked {unit.asked(threshold)}" if unit.is_negated else f"asked {unit.turned(threshold)}"
    )
    return replace(
        plot_interval(bounds, interval, threshold, text, label),
        limits_text=" | ".join(unit.turned(end) for end in interval),
        outcome=rule.outcome,
        word=name_outcome(rule, comparisons),
        title=f"{rule.name}: {name_outcome(rule, comparisons)}",
        ticks=ticks_of(bounds, unit.turned),
    )
