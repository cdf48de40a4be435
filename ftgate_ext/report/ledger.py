"""The forgetting ledger as a section: every capability against base and production, then by subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Section, Table
from ftgate_ext.report.figures import (
    Scale,
    counted,
    format_level,
    format_p,
    listed,
    scale_of,
)
from ftgate_ext.wording import plain

if TYPE_CHECKING:
    from ftgate_ext.schema import Comparisons, Estimate, LedgerEntry, LedgerSubject

NONE = "none"
ALPHA = 0.05
FEW_SUBJECTS = 12
"""More subjects than that are folded."""


def view_ledger(comparisons: Comparisons) -> Section:
    """One table of all benchmarks, and one a benchmark that has subjects; nothing without benchmarks."""
    entries = comparisons.ledger
    if not entries:
        return Section()
    lines = [_sum_up(role, entries) for role in dict.fromkeys(e.baseline for e in entries)]
    tables = [_benchmarks(entries, comparisons)]
    tables += [_subjects(e, comparisons) for e in entries if len(e.subjects) > 1]
    return Section(lines, tables)


def _sum_up(role: str, entries: list[LedgerEntry]) -> str:
    mine = [e for e in entries if e.baseline == role]
    there = [e for e in mine if e.absent is None]
    worse = [e.benchmark for e in there if _shown(e, -1)]
    better = [e.benchmark for e in there if _shown(e, 1)]
    subjects = [f"{s.subject} ({e.benchmark})" for e in there for s in e.subjects if s.is_lost]
    text = f"Against {role}: of {counted(len(mine), 'capability benchmark')} {len(there)} could be compared. "
    text += (
        f"Shown to be worse: {listed(worse) or NONE}. Shown to be better: {listed(better) or NONE}."
    )
    if subjects:
        text += f" Subjects shown to be lost after Holm's correction: {listed(subjects)}."
    return text


def _shown(entry: LedgerEntry, sign: int) -> bool:
    if entry.difference is None or entry.p is None:
        return False
    turned = entry.difference.value * (1 if entry.higher_is_better else -1)
    return entry.p < ALPHA and sign * turned > 0


def _benchmarks(entries: list[LedgerEntry], comparisons: Comparisons) -> Table:
    absent = [
        f"{e.benchmark} against {e.baseline} is absent: {(e.absent or 'no figure').rstrip('.')}."
        for e in entries if e.difference is None
    ]  # fmt: skip
    return Table(
        caption="Forgetting ledger: the candidate on every capability benchmark, on the same cases",
        columns=["Benchmark", "Metric", "Against", "Candidate", "Other", "Difference", _head(entries), "p", "n", "Gained", "Lost"],
        rows=[_row(e, comparisons) for e in entries],
        numeric=(3, 4, 5, 7, 8, 9, 10),
        notes=[
            "Gained: cases that only the candidate has right, or with the higher score. Lost: the other way round. A benchmark that is absent is neither kept nor lost.",
            *absent,
        ],
    )  # fmt: skip


def _head(entries: list[LedgerEntry]) -> str:
    levels = {e.difference.level for e in entries if e.difference and e.difference.level}
    return f"{format_level(levels.pop())} CI" if len(levels) == 1 else "Interval"


def _row(entry: LedgerEntry, comparisons: Comparisons) -> list[str]:
    head = [entry.benchmark, plain(entry.metric), entry.baseline]
    if entry.difference is None:
        return [*head, NONE, NONE, "absent", NONE, NONE, "0", NONE, NONE]
    scale = scale_of(comparisons, entry.task, entry.metric)
    own = [scale.value(e.value) if e else NONE for e in (entry.candidate, entry.other)]
    p = NONE if entry.p is None else format_p(entry.p)
    return [
        *head, *own, *_difference(entry.difference, scale), p, f"{entry.n:,}",
        _count(entry.gained), _count(entry.lost),
    ]  # fmt: skip


def _difference(estimate: Estimate, scale: Scale) -> list[str]:
    interval = NONE
    if estimate.lower is not None and estimate.upper is not None:
        interval = f"{scale.difference(estimate.lower)} to {scale.difference(estimate.upper)}"
    return [scale.difference(estimate.value), interval]


def _count(n: int | None) -> str:
    return NONE if n is None else str(n)


def _subjects(entry: LedgerEntry, comparisons: Comparisons) -> Table:
    scale = scale_of(comparisons, entry.task, entry.metric)
    return Table(
        caption=f"{entry.benchmark} by subject, against {entry.baseline}: largest loss first",
        columns=["Subject", "Difference", _head([entry]), "p", "p (Holm)", "n", "Gained", "Lost", "Shown to be lost"],
        rows=[_subject(s, scale) for s in entry.subjects],
        numeric=(1, 3, 4, 5, 6, 7),
        notes=[
            "Among many subjects some lie low by chance: a loss is claimed only after Holm's correction over all of them."
        ],
        is_folded=len(entry.subjects) > FEW_SUBJECTS,
    )  # fmt: skip


def _subject(subject: LedgerSubject, scale: Scale) -> list[str]:
    difference = [NONE, NONE] if subject.difference is None else _difference(subject.difference, scale)  # fmt: skip
    ps = [NONE if p is None else format_p(p) for p in (subject.p, subject.p_holm)]
    return [
        subject.subject, *difference, *ps, f"{subject.n:,}", _count(subject.gained),
        _count(subject.lost), "yes" if subject.is_lost else "no",
    ]  # fmt: skip
