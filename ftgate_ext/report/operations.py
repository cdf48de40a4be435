"""Cost and latency with their limits, and as multiples of the other models'."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Table, bounds_around, plot_interval
from ftgate_ext.report.figures import NOT_MEASURED, counted, format_level
from ftgate_ext.report.models import find_operations
from ftgate_ext.report.units import amount_writer, write_span
from ftgate_ext.wording import multiple, plain

if TYPE_CHECKING:
    from ftgate_ext.report.blocks import Plot
    from ftgate_ext.schema import Bound, Comparisons, OperationRatio, Operations

QUANTITIES = ("cost_usd_per_request", "latency_p50_s", "latency_p95_s", "latency_p99_s")


def tabulate_bounds(comparisons: Comparisons) -> list[Table]:
    """Cost and latency of every model with 95 % intervals; nothing where none was computed."""
    found = {role: find_operations(comparisons, role) for role in comparisons.roles}
    known = [q for q in QUANTITIES if any(o and q in o.bounds for o in found.values())]
    rows = [[plain(q), *(write_quantity(o, q) for o in found.values())] for q in known]
    table = Table(
        caption="Cost and latency over all tasks, each model by itself",
        columns=["Quantity", *comparisons.roles],
        rows=rows,
    )
    return [table] if rows else []


def write_quantity(operations: Operations | None, quantity: str) -> str:
    """'1.23 s (95 % CI 1.1 s to 1.4 s)', or that no upper limit exists at this n."""
    bound = operations.bounds.get(quantity) if operations else None
    if operations is None or bound is None:
        value = getattr(operations, quantity, None)
        return NOT_MEASURED if value is None else amount_writer(quantity)(value)
    return write_bound(bound, quantity)


def write_bound(bound: Bound, quantity: str) -> str:
    """A measured quantity with its interval, and why a limit is missing."""
    write, estimate = amount_writer(quantity), bound.estimate
    span = write_span(estimate.lower, estimate.upper, write)
    interval = f"{format_level(estimate.level)} CI {span}" if span else "no interval"
    lacking = estimate.lower is None or estimate.upper is None
    why = f": {bound.no_interval}" if lacking and bound.no_interval else ""
    return f"{write(estimate.value)} ({interval}{why}, n = {estimate.n})"


def tabulate_ratios(comparisons: Comparisons) -> list[Table]:
    """Cost and latency of the candidate as multiples of each other model's."""
    ratios = [r for r in comparisons.ratios if r.ratio or r.unavailable]
    if not ratios:
        return []
    columns = ["Quantity", "Against", "Candidate takes", "Interval", "n", "Method"]
    plots = [_plot(ratio) for ratio in ratios]
    table = Table(
        caption="Cost and latency of the candidate as multiples of the other's, on requests that both answered",
        columns=columns,
        rows=[_ratio_row(ratio) for ratio in ratios],
        numeric=(4,),
        plots=plots if any(plots) else [],
        plot_after=columns.index("Interval"),
    )
    return [table]


def _ratio_row(found: OperationRatio) -> list[str]:
    head = [plain(found.quantity), found.baseline]
    if found.ratio is None:
        return [*head, f"{NOT_MEASURED}: {found.unavailable}", "none", "none", "none"]
    estimate = found.ratio.estimate
    span = write_span(estimate.lower, estimate.upper, multiple)
    if span:
        interval, method = f"{format_level(estimate.level)} CI {span}", estimate.method
    else:
        interval, method = f"none: {found.ratio.no_interval or 'no limit can be given'}", "none"
    return [*head, multiple(estimate.value), interval, str(estimate.n), method]


def _plot(found: OperationRatio) -> Plot | None:
    """Around 1: the same; less is to the right, because less is better."""
    if found.ratio is None:
        return None
    e = found.ratio.estimate
    if e.lower is None or e.upper is None:
        return None
    limits = (-e.upper, -e.value, -e.lower)
    label = f"{multiple(e.value)}, {multiple(e.lower)} to {multiple(e.upper)}; the line is 1 times, less is to the right"
    return plot_interval(bounds_around([-1.0, *limits]), limits, -1.0, "1", label)


def describe_ratio(comparisons: Comparisons, quantity: str, against: str) -> str | None:
    """'0.15 times the cost per request (95 % CI 0.14 times to 0.16 times)' against one model."""
    found = next(
        (r.ratio for r in comparisons.ratios if (r.quantity, r.baseline) == (quantity, against)), None
    )  # fmt: skip
    if found is None:
        return None
    e = found.estimate
    span = write_span(e.lower, e.upper, multiple)
    why = f": {found.no_interval}" if found.no_interval else ""
    interval = f"{format_level(e.level)} CI {span}" if span else f"no interval{why}"
    return f"{multiple(e.value)} the {plain(quantity)} ({interval}, n = {counted(e.n, 'request')})"
