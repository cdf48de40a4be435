"""The rules inside a rule: the routes of an `any_route`, the buckets of a `per_bucket`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Bounds, Plot, Table, bounds_around, plot_interval
from ftgate_ext.report.figures import format_level
from ftgate_ext.report.readings import how_sure, name_outcome
from ftgate_ext.report.units import oriented_value, unit_of

if TYPE_CHECKING:
    from ftgate_ext.schema import Comparisons, RuleResult

DRAWN_KINDS = frozenset({
    "superiority", "non_inferiority", "pooled_non_inferiority", "win_rate", "floor", "ceiling",
    "budget", "ratio", "bucket",
})  # fmt: skip


def tabulate_parts(rule: RuleResult, comparisons: Comparisons) -> list[Table]:
    """What stands inside a rule; nothing for a plain one."""
    if not rule.parts:
        return []
    if rule.kind == "per_bucket":
        return [_buckets(rule, comparisons)]
    routes = [part for part in rule.parts if part.kind == "route"]
    if not routes:
        return [_routes("The rules of its routes", rule.parts, comparisons)]
    return [
        _routes(f"Route {route.name!r}: {route.outcome}", route.parts, comparisons)
        for route in routes
    ]


def _routes(caption: str, rules: list[RuleResult], comparisons: Comparisons) -> Table:
    columns = ["Rule", "Outcome", "Asked", "Seen", "How sure"]
    return Table(
        caption=caption,
        columns=columns,
        rows=[
            [r.name, name_outcome(r, comparisons), r.asked, r.seen, how_sure(r, comparisons).words]
            for r in rules
        ],
        outcomes=(1,),
        plots=[plot_rule(r, comparisons) for r in rules],
        plot_after=columns.index("Seen"),
        notes=[f"{r.name}: {r.next_step}" for r in rules if r.outcome != "PASS" and r.next_step],
    )  # fmt: skip


def _buckets(rule: RuleResult, comparisons: Comparisons) -> Table:
    """The buckets that are large enough, worst first."""
    worst_first = sorted(rule.parts, key=lambda part: oriented_value(part, comparisons) or 0.0)
    level = format_level(rule.level)
    ends = [v for part in worst_first for v in _limits(part, comparisons) if v is not None]
    bounds = bounds_around([rule.threshold or 0.0, *ends]) if ends else None
    columns = ["Bucket", "n", "Difference", "Limits", "Within the allowance"]
    return Table(
        caption="Its buckets, worst first",
        columns=columns,
        rows=[_bucket(part, comparisons) for part in worst_first],
        numeric=(1, 2, 3),
        plots=[plot_rule(part, comparisons, bounds) for part in worst_first],
        plot_after=columns.index("Limits"),
        notes=[
            f"Limits are one-sided {level} ones of each bucket by itself. Among many buckets one lies low by chance: harm is claimed only after Holm's correction."
        ],
    )  # fmt: skip


def _bucket(part: RuleResult, comparisons: Comparisons) -> list[str]:
    unit, value = unit_of(part, comparisons), oriented_value(part, comparisons)
    n = part.estimate.n if part.estimate else 0
    return [
        part.name, f"{n:,}", "none" if value is None else unit.turned(value),
        unit.span(part.lower_one_sided, part.upper_one_sided) or "none",
        {"PASS": "yes", "FAIL": "no"}.get(part.outcome, "open"),
    ]  # fmt: skip


def _limits(rule: RuleResult, comparisons: Comparisons) -> list[float | None]:
    return [rule.lower_one_sided, oriented_value(rule, comparisons), rule.upper_one_sided]


def plot_rule(
    rule: RuleResult, comparisons: Comparisons, bounds: Bounds | None = None
) -> Plot | None:
    """The limits that a rule looks at, against its threshold; better is always to the right.

    Args:
        rule: Of any kind.
        comparisons: For the units.
        bounds: Of several drawings that are to be compared; the rule's own when left out.
    """
    low, high, threshold = rule.lower_one_sided, rule.upper_one_sided, rule.threshold
    value = oriented_value(rule, comparisons)
    if rule.kind not in DRAWN_KINDS or value is None or threshold is None:
        return None
    if low is None or high is None:
        return None
    unit = unit_of(rule, comparisons)
    label = (
        f"{unit.turned(value)}, one-sided {format_level(rule.level)} limits {unit.span(low, high)}; "
        f"the rule asks for {unit.asked(threshold)}"
    )
    bounds = bounds or bounds_around([low, value, high, threshold])
    text = (
        f"asked {unit.asked(threshold)}" if unit.is_negated else f"asked {unit.turned(threshold)}"
    )
    limits = " | ".join(unit.turned(end) for end in (low, value, high))
    return plot_interval(bounds, (low, value, high), threshold, text, label, limits)
