"""What changed between candidate and production, by metric, category and bucket, and confusion matrices."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Table
from ftgate_ext.report.failures import name_category
from ftgate_ext.report.figures import format_p, listed
from ftgate_ext.wording import plain, points

if TYPE_CHECKING:
    from ftgate_ext.schema import BucketRate, BucketTable, Change, Confusion, Estimate, Findings

NONE = "none"
LONG = 12
"""Tables with more rows are folded."""
NAMED_CASES = 50
NAMED = 12
KINDS = ("fixed", "broken", "still_wrong", "still_right", "flaky")
WORDS = {
    "fixed": "fixed", "broken": "broken", "still_wrong": "still wrong", "still_right": "still right",
    "flaky": "flaky",
}  # fmt: skip


@dataclass(frozen=True)
class Shade:
    """One cell of a heat map: where it stands, how dark it is, and whether its text is light."""

    x: int
    y: int
    percent: int


@dataclass(frozen=True)
class HeatMap:
    """A confusion matrix as a table, and as cells to draw."""

    table: Table
    width: int
    height: int
    cells: list[Shade] = field(default_factory=list)


def tabulate_changes(findings: Findings) -> list[Table]:
    """Fixed, broken, still wrong, flaky: one row a deciding metric, and the ids below."""
    if not findings.changes:
        return []
    measured = [c for c in findings.changes if c.net]
    flaky = any("flaky" in c.counts for c in measured)
    kinds = KINDS if flaky else KINDS[:-1]
    rows = [
        [f"{c.task}, {plain(c.metric)}", f"{c.n:,}", *(_share(c, kind) for kind in kinds), *_net(c)]
        for c in measured
    ]
    notes = [
        "Right and wrong follow the majority of a case's repeats. Shares are of all paired cases, with 95 % Wilson intervals; the net difference is the paired one that rules use."
    ]
    if not flaky and measured:
        notes.append("Flaky cases are not known: every case was asked once.")
    notes += [f"{c.task}, {plain(c.metric)}: not known: {c.unavailable}." for c in findings.changes if c.unavailable]  # fmt: skip
    reference = findings.changes[0].reference
    table = Table(
        caption=f"What changed against {reference}, case by case",
        columns=["Task and metric", "n", *(WORDS[kind] for kind in kinds), "Net", "95 % CI", "p"],
        rows=rows, numeric=(1,), notes=notes,
    )  # fmt: skip
    return [table, *_ids(measured), *_category_tables(measured)] if measured else [table]


def unknown_changes(findings: Findings) -> list[str]:
    """Why nothing is known of a change, where a table has no row to hang it on."""
    if any(c.net for c in findings.changes):
        return []
    return [f"What changed on {c.task} is not known: {c.unavailable}." for c in findings.changes]


def _share(change: Change, kind: str) -> str:
    if kind not in change.counts:
        return NONE if kind != "flaky" else "not known"
    return f"{change.counts[kind]:,} ({interval(change.shares[kind])})"


def _net(change: Change) -> list[str]:
    if change.net is None:
        return [NONE, NONE, NONE]
    span = change.no_interval or NONE
    if change.net.lower is not None and change.net.upper is not None:
        span = f"{points(change.net.lower)} to {points(change.net.upper)}"
    return [points(change.net.value), span, NONE if change.p is None else format_p(change.p)]


def interval(estimate: Estimate) -> str:
    """'12.1%, 10.0% to 14.5%'."""
    if estimate.lower is None or estimate.upper is None:
        return f"{estimate.value:.1%}, no interval"
    return f"{estimate.value:.1%}, {estimate.lower:.1%} to {estimate.upper:.1%}"


def _ids(changes: list[Change]) -> list[Table]:
    rows = [
        [f"{c.task}, {plain(c.metric)}", WORDS[kind], f"{c.counts[kind]:,}", _named(c, kind)]
        for c in changes
        for kind, ids in c.ids.items()
        if ids
    ]  # fmt: skip
    if not rows:
        return []
    columns = ["Task and metric", "What", "n", "Cases"]
    return [Table("Which cases changed", columns, rows, numeric=(2,), is_folded=True)]


def _named(change: Change, kind: str) -> str:
    """The first cases by name; findings.json has more of them."""
    ids = change.ids[kind][:NAMED_CASES]
    left = change.counts[kind] - len(ids)
    return ", ".join(ids) + (f" and {left:,} more" if left > 0 else "")


def _category_tables(changes: list[Change]) -> list[Table]:
    """One table a task: what kind of failure came, and what kind went."""
    tables, seen = [], set()
    for change in changes:
        if change.task in seen or not change.categories:
            continue
        seen.add(change.task)
        ordered = sorted(change.categories, key=lambda c: (-c.difference.value, c.category))
        tables.append(Table(
            caption=f"{change.task}: failure categories, candidate against {change.reference}",
            columns=["Category", "New", "Gone", "In both", "n", "Difference", "95 % CI", "p (Holm)"],
            rows=[
                [name_category(c.category), f"{c.new:,}", f"{c.gone:,}", f"{c.both:,}", f"{c.n:,}",
                 points(c.difference.value), _span(c.difference), NONE if c.p_holm is None else format_p(c.p_holm)]
                for c in ordered
            ],
            numeric=(1, 2, 3, 4, 5),
            notes=[f"More is worse. p values are corrected for the {len(ordered)} categories of the task. A case counts with its first answer."],
        ))  # fmt: skip
    return tables


def _span(estimate: Estimate) -> str:
    if estimate.lower is None or estimate.upper is None:
        return NONE
    return f"{points(estimate.lower)} to {points(estimate.upper)}"


def tabulate_buckets(findings: Findings) -> list[Table]:
    """Failures by each property of the cases; what cannot be told apart stands in a note of the next table."""
    tables = []
    for task in dict.fromkeys(t.task for t in findings.buckets):
        mine = [t for t in findings.buckets if t.task == task]
        made = [_bucket_table(t) for t in mine if t.rows]
        absent = [f"By {t.by}: {t.absent}." for t in mine if t.absent]
        if made:
            made[-1].notes.extend(absent)
        tables += made
    return tables


def tasks_without_buckets(findings: Findings) -> list[str]:
    """Tasks of which no row says what to sort failures by, and why."""
    found = []
    for task in dict.fromkeys(t.task for t in findings.buckets):
        mine = [t for t in findings.buckets if t.task == task]
        if not any(t.rows for t in mine):
            why = "; ".join(f"{t.by}: {t.absent}" for t in mine)
            found.append(f"No buckets of {task}. {why[0].upper()}{why[1:]}.")
    return found


def _bucket_table(table: BucketTable) -> Table:
    notes = [
        f"More is worse. p values are corrected for all {table.n_tested} buckets of the task (Holm)."
    ]
    small = next((row for row in table.rows if row.members), None)
    if small:
        notes.append(f"Smaller ones, each of fewer than 10 cases: {listed(small.members, NAMED)}.")
    return Table(
        caption=f"{table.task}: wrong by {table.by} ({plain(table.metric)}), against {table.reference}",
        columns=[table.by.capitalize(), "n", "Candidate wrong", f"{table.reference.capitalize()} wrong", "Difference", "95 % CI", "p (Holm)", "Fixed", "Broken"],
        rows=[_bucket_row(row) for row in table.rows],
        numeric=(1, 4, 7, 8), notes=notes, is_folded=len(table.rows) > LONG or not any(row.fixed or row.broken for row in table.rows),
    )  # fmt: skip


def _bucket_row(row: BucketRate) -> list[str]:
    return [
        row.bucket, f"{row.n:,}", interval(row.failed), interval(row.reference_failed),
        points(row.difference.value), row.no_interval or _span(row.difference),
        NONE if row.p_holm is None else format_p(row.p_holm), f"{row.fixed:,}", f"{row.broken:,}",
    ]  # fmt: skip


def draw_confusions(findings: Findings) -> list[HeatMap]:
    """One matrix a model: rows are what is expected, cells are shaded by their share of the row."""
    return [_heat_map(c) for c in findings.confusion if c.n]


def _heat_map(confusion: Confusion) -> HeatMap:
    kept = [i for i, counts in enumerate(confusion.counts) if sum(counts)]
    rows = [
        [f"{confusion.expected[i]} ({sum(confusion.counts[i]):,})", *(f"{n:,}" for n in confusion.counts[i])]
        for i in kept
    ]  # fmt: skip
    cells = [
        Shade(x, y, round(100 * n / sum(confusion.counts[i])))
        for y, i in enumerate(kept)
        for x, n in enumerate(confusion.counts[i])
    ]
    notes = [
        "Rows: what the expert says, with the number of cases. Columns: what the model answered. A category that the expert also accepts counts as right elsewhere, and stands here where it was answered."
    ]
    if confusion.n_unanswered:
        notes.append(f"{confusion.n_unanswered:,} cases without an answer are left out.")
    table = Table(
        caption=f"{confusion.task}, {confusion.role}: expected and answered category, n = {confusion.n:,}",
        columns=["Expected", *confusion.answered], rows=rows, is_matrix=False, is_folded=True,
        numeric=tuple(range(1, len(confusion.answered) + 1)), notes=notes,
    )  # fmt: skip
    return HeatMap(table, len(confusion.answered), len(kept), cells)
