"""Tables for a terminal, in plain text of at most 100 columns, and comparisons as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.report.figures import format_p, scale_of, short_hash
from ftgate_ext.report.models import tabulate_operations
from ftgate_ext.report.operations import tabulate_bounds, tabulate_ratios
from ftgate_ext.report.quality import (
    RUBRIC,
    RUBRIC_NOTE,
    describe_design,
    head_interval,
    name_metric,
    tabulate_differences,
    tabulate_levels,
    write_interval,
    write_mde,
    write_own,
)
from ftgate_ext.report.render import render_template
from ftgate_ext.report.text import cell_width, clean_line, wrap_line

if TYPE_CHECKING:
    from ftgate_ext.report.blocks import Table
    from ftgate_ext.schema import Comparison, Comparisons, Decision, RuleResult

COLUMNS = 100
GAP = "  "
LEAST_WIDTH = 8
NONE = "-"


def decision_table(decision: Decision) -> str:
    """The decision for a terminal: every rule, what to know besides, and the verdict last."""
    policy = f"{decision.policy_name} (policy {short_hash(decision.policy_hash)})"
    rows = [[rule.outcome, rule.name, _rule_text(rule)] for rule in decision.rules]
    table = lay_out(["Outcome", "Rule", "Asked, seen, next"], rows, flexible=(1, 2))
    notes = [line for warning in decision.warnings for line in _note(warning)]
    return "\n".join([
        *wrap_line(f"{policy}, run {decision.run_id}", COLUMNS), "", *table, "", *notes, *_bare_verdict(decision),
        f"Verdict: {decision.verdict} (exit code {decision.exit_code})",
    ])  # fmt: skip


def _bare_verdict(decision: Decision) -> list[str]:
    if decision.point_verdict in (None, decision.verdict):
        return []
    return [f"Read as bare figures: {decision.point_verdict}"]


def _rule_text(rule: RuleResult) -> str:
    lines = [f"asked: {rule.asked}", f"seen: {rule.seen}", *_inner_lines(rule)]
    if rule.estimate is None and rule.outcome == "INCONCLUSIVE" and not rule.parts:
        lines.append(rule.sentence)
    if rule.point_outcome and rule.point_outcome != rule.outcome:
        lines.append(f"as a bare figure: {rule.point_outcome}")
    if rule.next_step:
        lines.append(f"next: {rule.next_step}")
    if rule.approved:
        lines.append(f"approved: {rule.approved}")
    return "\n".join(map(clean_line, lines))


def _inner_lines(rule: RuleResult) -> list[str]:
    """The rules of the routes; buckets stand in the report."""
    if rule.kind not in ("any_route", "route"):
        return []
    return [
        line
        for part in rule.parts
        for line in [f"- {part.outcome}, {part.name}: {part.seen}", *_inner_lines(part)]
    ]


def _note(text: str) -> list[str]:
    first, *rest = wrap_line(text, COLUMNS - len("Note: "))
    return [f"Note: {first}", *(f"      {line}" for line in rest)]


def comparison_table(comparisons: Comparisons) -> str:
    """Paired differences, task by task, and operations, for a terminal."""
    tasks = dict.fromkeys(c.task for c in comparisons.comparisons)
    lines = [line for task in tasks for line in [*_task_lines(task, comparisons), ""]]
    tables = [
        tabulate_operations(comparisons),
        *tabulate_bounds(comparisons),
        *tabulate_ratios(comparisons),
    ]
    for table in tables:
        lines += [*_table_lines(table), ""]
    return "\n".join(lines[:-1])


def _table_lines(table: Table) -> list[str]:
    widths = range(1, len(table.columns))
    flexible = tuple(i for i in widths if i not in table.numeric)
    rows = lay_out(table.columns, table.rows, flexible=flexible, right=table.numeric)
    return [*wrap_line(table.caption, COLUMNS), *rows]


def _task_lines(task: str, comparisons: Comparisons) -> list[str]:
    mine = [c for c in comparisons.comparisons if c.task == task]
    columns = ["Metric", "Candidate", "Against", "Other", "Difference", head_interval(mine), "p", "n", "Can see"]  # fmt: skip
    rows = [_comparison_row(c, comparisons) for c in mine]
    table = lay_out(columns, rows, flexible=(0, 5), right=(1, 3, 4, 6, 7, 8))
    notes = describe_design(mine)
    notes += [RUBRIC_NOTE] if any(c.metric.startswith(RUBRIC) for c in mine) else []
    notes += ["Can see: the smallest true difference shown in 80 of 100 runs."] if any(c.mde for c in mine) else []  # fmt: skip
    return [*wrap_line(task, COLUMNS), *table, *(line for n in notes for line in _note(n))]


def _comparison_row(comparison: Comparison, comparisons: Comparisons) -> list[str]:
    scale = scale_of(comparisons, comparison.task, comparison.metric)
    own, other = (write_own(comparison, comparisons, mine=x) or NONE for x in (True, False))
    figure = [NONE, comparison.unavailable or "not measured"]
    if comparison.difference:
        figure = [scale.difference(comparison.difference.value), write_interval(comparison, scale)]
    p = format_p(comparison.tests[0].p) if comparison.tests else NONE
    return [
        name_metric(comparison), own, comparison.baseline, other, *figure, p,
        str(comparison.n_pairs), write_mde(comparison, scale) or NONE,
    ]  # fmt: skip


def lay_out(
    columns: list[str],
    rows: list[list[str]],
    *,
    flexible: tuple[int, ...],
    right: tuple[int, ...] = (),
) -> list[str]:
    """Lines of a plain table, never wider than a terminal.

    Args:
        columns: Headings.
        rows: Cells; a line break in one is kept.
        flexible: Columns that are wrapped before others.
        right: Columns aligned to the right.
    """
    table = [
        [[clean_line(line) for line in cell.split("\n")] for cell in row]
        for row in [columns, *rows]
    ]
    natural = [
        max(cell_width(line) for row in table for line in row[i]) for i in range(len(columns))
    ]
    widths = _shrink(natural, flexible)
    head, *body = [_row_lines(row, widths, right) for row in table]
    rule = GAP.join("-" * width for width in widths)
    return [*head, rule, *(line for lines in body for line in lines)]


def _shrink(widths: list[int], flexible: tuple[int, ...]) -> list[int]:
    """Take from the widest flexible column, and from any where these can give no more."""
    widths = list(widths)
    room = COLUMNS - len(GAP) * (len(widths) - 1)
    while sum(widths) > room:
        able = [i for i in flexible if widths[i] > LEAST_WIDTH] or range(len(widths))
        widths[max(able, key=lambda i: widths[i])] -= 1
    return widths


def _row_lines(row: list[list[str]], widths: list[int], right: tuple[int, ...]) -> list[str]:
    cells = [
        [piece for line in cell for piece in wrap_line(line, width)]
        for cell, width in zip(row, widths, strict=True)
    ]
    lines = []
    for number in range(max(map(len, cells))):
        texts = [cell[number] if number < len(cell) else "" for cell in cells]
        padded = [_pad(text, widths[i], to_right=i in right) for i, text in enumerate(texts)]
        lines.append(GAP.join(padded).rstrip())
    return lines


def _pad(text: str, width: int, *, to_right: bool) -> str:
    space = " " * (width - cell_width(text))
    return space + text if to_right else text + space


def comparison_markdown(comparisons: Comparisons) -> str:
    """Quality, paired differences and operations of any number of models as Markdown tables."""
    return render_template(
        "comparison.md.j2",
        comparisons=comparisons,
        levels=tabulate_levels(comparisons),
        differences=tabulate_differences(comparisons),
        operations=[
            tabulate_operations(comparisons),
            *tabulate_bounds(comparisons),
            *tabulate_ratios(comparisons),
        ],
    )
