"""The rules inside a rule: the routes of an `any_route`, the buckets of a `per_bucket`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Table
from ftgate_ext.report.figures import format_level
from ftgate_ext.report.plots import plot_rule, share_axes
from ftgate_ext.report.readings import how_sure, name_outcome
from ftgate_ext.report.units import oriented_value, unit_of

if TYPE_CHECKING:
    from ftgate_ext.report.plots import Axes
    from ftgate_ext.schema import Comparisons, RuleResult


def tabulate_parts(rule: RuleResult, comparisons: Comparisons, axes: Axes) -> list[Table]:
    """What stands inside a rule; nothing for a plain one."""
    if not rule.parts:
        return []
    if rule.kind == "per_bucket":
        return [_buckets(rule, comparisons)]
    routes = [part for part in rule.parts if part.kind == "route"]
    if not routes:
        return [_routes("The rules of its routes", rule.parts, comparisons, axes)]
    return [
        _routes(f"Route {route.name!r}: {route.outcome}", route.parts, comparisons, axes)
        for route in routes
    ]


def _routes(caption: str, rules: list[RuleResult], comparisons: Comparisons, axes: Axes) -> Table:
    columns = ["Rule", "Outcome", "Asked", "Seen", "How sure"]
    return Table(
        caption=caption,
        columns=columns,
        rows=[
            [r.name, name_outcome(r, comparisons), r.asked, r.seen, how_sure(r, comparisons).words]
            for r in rules
        ],
        outcomes=(1,),
        plots=[plot_rule(r, comparisons, axes) for r in rules],
        plot_after=columns.index("Seen"),
        notes=[f"{r.name}: {r.next_step}" for r in rules if r.outcome != "PASS" and r.next_step],
    )  # fmt: skip


def _buckets(rule: RuleResult, comparisons: Comparisons) -> Table:
    """The buckets that are large enough, worst first."""
    worst_first = sorted(rule.parts, key=lambda part: oriented_value(part, comparisons) or 0.0)
    level = format_level(rule.level)
    axes = share_axes(worst_first, comparisons)
    columns = ["Bucket", "n", "Difference", "Limits", "Within the allowance"]
    return Table(
        caption="Its buckets, worst first",
        columns=columns,
        rows=[_bucket(part, comparisons) for part in worst_first],
        numeric=(1, 2, 3),
        plots=[plot_rule(part, comparisons, axes) for part in worst_first],
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
