"""Levels and paired differences as tables: every figure with its interval, n and method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Bounds, Plot, Table, bounds_around, plot_interval
from ftgate_ext.report.figures import (
    NOT_MEASURED,
    Scale,
    format_interval,
    p_equals,
    scale_of,
)
from ftgate_ext.report.models import find_level, write_level
from ftgate_ext.wording import plain

if TYPE_CHECKING:
    from ftgate_ext.schema import Comparison, Comparisons, Estimate, Level

DIFFERENCE_COLUMNS = [
    "Metric", "Against", "Difference", "Interval", "p", "n", "Left out", "Counts", "Own intervals", "Method",
]  # fmt: skip
COUNT_WORDS = {
    "only_candidate": "only candidate",
    "only_baseline": "only the other",
    "both_bad": "both bad",
}


def tabulate_levels(comparisons: Comparisons) -> list[Table]:
    """One table a task: metrics down, models across, and how the intervals were made."""
    return [_levels_of(comparisons, task) for task in _tasks(comparisons.levels)]


def _tasks(figures: list[Level] | list[Comparison]) -> list[str]:
    return list(dict.fromkeys(figure.task for figure in figures))


def _levels_of(comparisons: Comparisons, task: str) -> Table:
    mine = [level for level in comparisons.levels if level.task == task]
    rows = []
    for metric in dict.fromkeys(level.metric for level in mine):
        scale = scale_of(comparisons, task, metric)
        levels = [find_level(comparisons, task, metric, role) for role in comparisons.roles]
        methods = [x.estimate.method for x in levels if x and x.estimate]
        cells = [write_level(level, scale) for level in levels]
        rows.append([plain(metric), *cells, "; ".join(dict.fromkeys(methods)) or "none"])
    return Table(
        caption=f"{task}: each model by itself",
        columns=["Metric", *comparisons.roles, "Method"],
        rows=rows,
    )


def tabulate_differences(comparisons: Comparisons, *, judge_fit: bool = True) -> list[Table]:
    """One table a task: the candidate minus each other model on the same cases.

    Args:
        comparisons: From `compare`.
        judge_fit: False marks the win rates of a disqualified judge.
    """
    return [_differences_of(comparisons, t, judge_fit) for t in _tasks(comparisons.comparisons)]


def _differences_of(comparisons: Comparisons, task: str, judge_fit: bool) -> Table:
    mine = [c for c in comparisons.comparisons if c.task == task]
    drawn = [
        e for c in mine if (e := c.difference) and scale_of(comparisons, task, c.metric).is_share
    ]
    ends = [v for e in drawn for v in (e.lower, e.value, e.upper) if v is not None]
    bounds = bounds_around([0.0, *ends]) if any(ends) else None
    plots = [_plot(c, bounds, scale_of(comparisons, task, c.metric)) for c in mine]
    return Table(
        caption=f"{task}: candidate minus the other, on the same cases",
        columns=DIFFERENCE_COLUMNS,
        rows=[_difference_row(c, comparisons, judge_fit) for c in mine],
        numeric=(2, 3, 5, 6),
        plots=plots if any(plots) else [],
        plot_after=DIFFERENCE_COLUMNS.index("Interval"),
    )


def _plot(comparison: Comparison, bounds: Bounds | None, scale: Scale) -> Plot | None:
    estimate = comparison.difference
    if estimate is None or bounds is None or not scale.is_share:
        return None
    if estimate.lower is None or estimate.upper is None:
        return None
    label = f"{scale.difference(estimate.value)}, {_interval(estimate, scale)}; the line is no difference"
    limits = (estimate.lower, estimate.value, estimate.upper)
    return plot_interval(bounds, limits, 0.0, "0", label)


def _interval(estimate: Estimate, scale: Scale) -> str:
    return format_interval(estimate, scale=scale, difference=True)


def name_metric(comparison: Comparison) -> str:
    """The metric, and which way is good where it is not the usual one."""
    if comparison.kind == "win_rate":
        return f"{plain(comparison.metric)} minus 50 %"
    turned = "" if comparison.higher_is_better else " (lower is better)"
    return plain(comparison.metric) + turned


def _difference_row(comparison: Comparison, comparisons: Comparisons, judge_fit: bool) -> list[str]:
    scale = scale_of(comparisons, comparison.task, comparison.metric)
    estimate = comparison.difference
    name = name_metric(comparison)
    if comparison.kind == "win_rate" and not judge_fit:
        name += " (no evidence: the judge is not qualified)"
    left_out = str(comparison.n_excluded)
    if comparison.n_unpaired:
        left_out += f" and {comparison.n_unpaired} asked of one model only"
    head = [name, comparison.baseline]
    if estimate is None:
        why = (
            f"{NOT_MEASURED}: {comparison.unavailable}" if comparison.unavailable else NOT_MEASURED
        )
        return [
            *head,
            why,
            "none",
            "none",
            str(comparison.n_pairs),
            left_out,
            "none",
            "none",
            "none",
        ]
    return [
        *head, scale.difference(estimate.value), _interval(estimate, scale),
        write_tests(comparison), str(comparison.n_pairs), left_out, _counts(comparison),
        _overlap(comparison, comparisons), estimate.method,
    ]  # fmt: skip


def write_tests(comparison: Comparison) -> str:
    """'McNemar exact p = 0.625; paired t p = 0.326'."""
    return "; ".join(f"{test.name} {p_equals(test.p)}" for test in comparison.tests) or "no test"


def _counts(comparison: Comparison) -> str:
    counts = [f"{n} {COUNT_WORDS.get(name, name)}" for name, n in comparison.counts.items()]
    return ", ".join(counts) or "none"


def _overlap(comparison: Comparison, comparisons: Comparisons) -> str:
    """Whether the two models' own intervals overlap: a flag for the reader, not a test."""
    overlap = comparison.intervals_overlap
    if overlap is None:
        overlap = _levels_overlap(comparison, comparisons)
    if overlap is None:
        return "not comparable"
    return "overlap" if overlap else "apart"


def _levels_overlap(comparison: Comparison, comparisons: Comparisons) -> bool | None:
    sides = [
        find_level(comparisons, comparison.task, comparison.metric, role)
        for role in (comparison.candidate, comparison.baseline)
    ]
    limits = [
        (e.lower, e.upper)
        for level in sides
        if level and (e := level.estimate) and e.lower is not None and e.upper is not None
    ]
    if len(limits) != len(sides):
        return None
    (low, high), (other_low, other_high) = limits
    return low <= other_high and other_low <= high
