"""Levels and paired differences as tables: every figure with its interval, n and method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.evidence import JUDGED
from ftgate_ext.report.blocks import Bounds, Plot, Table, bounds_around, plot_interval
from ftgate_ext.report.figures import (
    NOT_MEASURED,
    Scale,
    format_interval,
    format_level,
    format_p,
    listed,
    p_equals,
    scale_of,
)
from ftgate_ext.report.models import find_level, write_level
from ftgate_ext.wording import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ftgate_ext.schema import Comparison, Comparisons, Estimate, Level

DIFFERENCE_COLUMNS = [
    "Metric", "Against", "Candidate", "Other", "Difference", "Interval", "p", "n", "Can see",
    "Left out", "Own intervals", "Counts", "Further tests",
]  # fmt: skip
NUMERIC = frozenset({"Candidate", "Other", "Difference", "p", "n", "Can see"})
NONE = "none"
UNTOLD = frozenset({"both", "neither"})
"""Counts that follow from n and each model's own figure."""
COUNT_WORDS = {
    "only_candidate": "only candidate",
    "only_baseline": "only the other",
    "both_bad": "both bad",
}
RUBRIC = "rubric"
RUBRIC_NOTE = "Rubric scores are the judge's 1 to 5 brought to 0 to 1, as (x - 1) / 4: a step of 1 is 25 points."
SCALE_NOTES = ("MT-Bench", "As perplexities")
"""Beginnings of a comparison's notes that say how to read its figures."""
Groups = dict[str, list[str]]
"""Group -> the tasks that it is made of."""


def tabulate_levels(comparisons: Comparisons, groups: Groups | None = None) -> list[Table]:
    """One table a task: metrics down, models across, and how the intervals were made.

    Args:
        comparisons: From `compare`.
        groups: The tasks of a group stand in one folded table behind their group's.
    """
    groups = groups or {}
    tables = []
    for task in _tasks(comparisons.levels, groups):
        mine = [level for level in comparisons.levels if level.task == task]
        tables.append(
            _levels_of(mine, f"{_title(task, groups)}: each model by itself", comparisons)
        )
        below = [level for level in comparisons.levels if level.task in groups.get(task, [])]
        if below:
            caption = f"The {len(groups[task])} tasks of {task}: each model by itself"
            tables.append(_levels_of(below, caption, comparisons, is_folded=True))
    return tables  # fmt: skip


def _tasks(figures: list[Level] | list[Comparison], groups: Groups) -> list[str]:
    """Tasks in their order, without those that stand below a group's own figures."""
    tasks = dict.fromkeys(figure.task for figure in figures)
    below = {leaf for group, leaves in groups.items() if group in tasks for leaf in leaves}
    return [task for task in tasks if task not in below]


def _title(task: str, groups: Groups) -> str:
    return f"{task} ({len(groups[task])} tasks as one)" if task in groups else task


def _levels_of(
    levels: list[Level], caption: str, comparisons: Comparisons, *, is_folded: bool = False
) -> Table:
    rows = []
    for task, metric in dict.fromkeys((level.task, level.metric) for level in levels):
        scale = scale_of(comparisons, task, metric)
        mine = [find_level(comparisons, task, metric, role) for role in comparisons.roles]
        cells = [write_level(level, scale) for level in mine]
        methods = _methods(x.estimate for x in mine if x and x.estimate)
        name = f"{task}: {plain(metric)}" if is_folded else plain(metric)
        rows.append([name, *cells, methods])
    columns = ["Metric", *comparisons.roles, "Method"]
    return Table(caption=caption, columns=columns, rows=rows, is_folded=is_folded)


def _methods(estimates: Iterable[Estimate]) -> str:
    """How intervals were made; an estimate without one has no method."""
    made = [e.method for e in estimates if not e.method.startswith("no interval")]
    return "; ".join(dict.fromkeys(made)) or NONE


def tabulate_differences(
    comparisons: Comparisons, groups: Groups | None = None, *, judge_fit: bool = True
) -> list[Table]:
    """One table a task: the candidate minus each other model on the same cases.

    Args:
        comparisons: From `compare`.
        groups: As for `tabulate_levels`.
        judge_fit: False marks the figures of a disqualified judge.
    """
    groups = groups or {}
    tables = []
    ending = "candidate minus the other, on the same cases"
    for task in _tasks(comparisons.comparisons, groups):
        mine = [c for c in comparisons.comparisons if c.task == task]
        caption = f"{_title(task, groups)}: {ending}"
        tables.append(_differences_of(mine, caption, comparisons, judge_fit=judge_fit))
        below = [c for c in comparisons.comparisons if c.task in groups.get(task, [])]
        if below:
            caption = f"The {len(groups[task])} tasks of {task}: {ending}"
            tables.append(
                _differences_of(below, caption, comparisons, judge_fit=judge_fit, is_folded=True)
            )
    return tables


def _differences_of(
    mine: list[Comparison],
    caption: str,
    comparisons: Comparisons,
    *,
    judge_fit: bool,
    is_folded: bool = False,
) -> Table:
    scales = [scale_of(comparisons, c.task, c.metric) for c in mine]
    drawn = [e for c, s in zip(mine, scales, strict=True) if (e := c.difference) and s.is_share]
    ends = [v for e in drawn for v in (e.lower, e.value, e.upper) if v is not None]
    bounds = bounds_around([0.0, *ends]) if any(ends) else None
    plots = [_plot(c, bounds, s) for c, s in zip(mine, scales, strict=True)]
    rows = [_difference_row(c, comparisons, judge_fit=judge_fit, is_folded=is_folded) for c in mine]
    columns, rows = _without_empty(DIFFERENCE_COLUMNS, rows)
    interval = columns.index("Interval")
    columns[interval] = head_interval(mine)
    return Table(
        caption=caption,
        columns=columns,
        rows=rows,
        numeric=tuple(i for i, column in enumerate(columns) if column in NUMERIC),
        plots=plots if any(plots) else [],
        plot_after=interval,
        notes=_notes(mine),
        is_folded=is_folded,
    )


def _without_empty(columns: list[str], rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Leave out the columns, right of the interval, that say nothing in any row."""
    always = columns.index("n") + 1
    kept = [
        i
        for i in range(len(columns))
        if (i < always and columns[i] not in ("Candidate", "Other"))
        or any(row[i] not in (NONE, "0") for row in rows)
    ]
    return [columns[i] for i in kept], [[row[i] for i in kept] for row in rows]


def _notes(mine: list[Comparison]) -> list[str]:
    """What holds for several rows of a table."""
    notes = [*_describe_methods(mine), *describe_design(mine)]
    if any(c.metric.startswith(RUBRIC) for c in mine):
        notes.append(RUBRIC_NOTE)
    notes += [note for c in mine for note in c.notes if note.startswith(SCALE_NOTES)]
    return notes


def describe_design(mine: list[Comparison]) -> list[str]:
    """Clusters and repeats of the comparisons of one task, in words."""
    notes = []
    clustered = sorted({c.n_clusters for c in mine if c.n_clusters})
    if clustered:
        many = listed(f"{n:,}" for n in clustered)
        notes.append(
            f"The cases stand in clusters ({many}) that belong together; intervals and tests count clusters, not cases."
        )
    repeated = sorted({c.repeats for c in mine if c.repeats > 1})
    if repeated:
        often = listed(str(n) for n in repeated)
        notes.append(
            f"Every case was asked {often} times; the answers of a case are averaged before anything is compared."
        )
    return notes


def _plot(comparison: Comparison, bounds: Bounds | None, scale: Scale) -> Plot | None:
    estimate = comparison.difference
    if estimate is None or bounds is None or not scale.is_share:
        return None
    if estimate.lower is None or estimate.upper is None:
        return None
    interval = format_interval(estimate, scale=scale, difference=True)
    label = f"{scale.difference(estimate.value)}, {interval}; the line is no difference"
    limits = (estimate.lower, estimate.value, estimate.upper)
    return plot_interval(bounds, limits, 0.0, "0", label)


def write_interval(comparison: Comparison, scale: Scale) -> str:
    """The ends of the interval of a difference, or why there is none."""
    estimate = comparison.difference
    if estimate is None:
        return NONE
    if estimate.lower is None or estimate.upper is None:
        return f"no interval: {comparison.no_interval}" if comparison.no_interval else "no interval"
    lower = scale.difference(estimate.lower).removesuffix(" pt")
    return f"{lower} to {scale.difference(estimate.upper)}"


def head_interval(mine: list[Comparison]) -> str:
    """'95 % CI', the heading of the intervals of a table."""
    levels = {c.difference.level for c in mine if c.difference and c.difference.level}
    return f"{format_level(levels.pop())} CI" if len(levels) == 1 else "Interval"


def name_metric(comparison: Comparison) -> str:
    """The metric, and which way is good where it is not the usual one."""
    if comparison.kind == "win_rate":
        return f"{plain(comparison.metric)} minus 50 %"
    if comparison.metric.startswith(RUBRIC):
        criterion = comparison.metric[len(RUBRIC) :].lstrip("_")
        return f"rubric {criterion}" if criterion else "rubric mean"
    turned = "" if comparison.higher_is_better else " (lower is better)"
    return plain(comparison.metric) + turned


def _is_judged(comparison: Comparison) -> bool:
    return comparison.kind == "win_rate" or comparison.metric.startswith(JUDGED)


def _difference_row(
    comparison: Comparison, comparisons: Comparisons, *, judge_fit: bool, is_folded: bool
) -> list[str]:
    scale = scale_of(comparisons, comparison.task, comparison.metric)
    estimate = comparison.difference
    name = f"{comparison.task}: " * is_folded + name_metric(comparison)
    if _is_judged(comparison) and not judge_fit:
        name += " (no evidence: the judge is not qualified)"
    left_out = str(comparison.n_excluded)
    if comparison.n_unpaired:
        left_out += f" and {comparison.n_unpaired} asked of one model only"
    own = [write_own(comparison, comparisons, mine=mine) or NONE for mine in (True, False)]
    head, n = [name, comparison.baseline, *own], str(comparison.n_pairs)
    if estimate is None:
        why = f"{NOT_MEASURED}: {comparison.unavailable}" if comparison.unavailable else NOT_MEASURED  # fmt: skip
        return [*head, why, NONE, NONE, n, NONE, left_out, NONE, NONE, NONE]
    p = format_p(comparison.tests[0].p) if comparison.tests else NONE
    return [
        *head, scale.difference(estimate.value), write_interval(comparison, scale), p, n,
        write_mde(comparison, scale) or NONE, left_out, _overlap(comparison, comparisons),
        _counts(comparison),
        ", ".join(f"{test.name} {p_equals(test.p)}" for test in comparison.tests[1:]) or NONE,
    ]  # fmt: skip


def _describe_methods(mine: list[Comparison]) -> list[str]:
    """'verdict accuracy, located accuracy: Tango score; p by McNemar mid-p', once for all rows."""
    metrics: dict[str, list[str]] = {}
    for comparison in mine:
        method = _method(comparison)
        if method:
            metrics.setdefault(method, []).append(name_metric(comparison))
    return [
        f"Method for {listed(dict.fromkeys(names))}: {method}." for method, names in metrics.items()
    ]


def _method(comparison: Comparison) -> str:
    """How the interval was made, and whose p it is."""
    made = _methods([comparison.difference] if comparison.difference else [])
    parts = [] if made == NONE else [made]
    parts += [f"p by {test.name}" for test in comparison.tests[:1] if test.name != made]
    return "; ".join(parts)


def write_own(comparison: Comparison, comparisons: Comparisons, *, mine: bool) -> str | None:
    """One model's own figure on the pairs of a comparison; None where there is none."""
    scale = scale_of(comparisons, comparison.task, comparison.metric)
    estimate = comparison.candidate_estimate if mine else comparison.baseline_estimate
    if comparison.kind == "win_rate" and comparison.candidate_estimate and not mine:
        return scale.value(1 - comparison.candidate_estimate.value)
    if estimate is None and comparison.kind != "win_rate":
        role = comparison.candidate if mine else comparison.baseline
        level = find_level(comparisons, comparison.task, comparison.metric, role)
        estimate = level.estimate if level else None
    return scale.value(estimate.value) if estimate else None


def write_mde(comparison: Comparison, scale: Scale) -> str | None:
    """The smallest true difference that the cases show; None where nobody knows."""
    return scale.difference(comparison.mde).lstrip("+") if comparison.mde else None


def _counts(comparison: Comparison) -> str:
    told = [(name, n) for name, n in comparison.counts.items() if name not in UNTOLD]
    return ", ".join(f"{n} {COUNT_WORDS.get(name, name)}" for name, n in told) or NONE


def _overlap(comparison: Comparison, comparisons: Comparisons) -> str:
    """Whether the two models' own intervals overlap: a flag for the reader, not a test."""
    overlap = comparison.intervals_overlap
    if comparison.kind == "win_rate" and (e := comparison.difference):
        # The two models' win rates mirror each other around one half.
        overlap = None if e.lower is None or e.upper is None else e.lower <= 0 <= e.upper
    elif overlap is None:
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
