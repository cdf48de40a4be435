"""Error analysis for a manager: what got worse, three examples, whether it is new, who checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Fact, Table
from ftgate_ext.report.changes import (
    HeatMap,
    draw_confusions,
    interval,
    tabulate_buckets,
    tabulate_changes,
    tasks_without_buckets,
    unknown_changes,
)
from ftgate_ext.report.failures import TaskFailures, name_category, view_failures
from ftgate_ext.report.figures import counted, format_money, listed, p_equals
from ftgate_ext.report.reviews import (
    propose_approvals,
    propose_labels,
    tabulate_regressions,
    who_checked,
)
from ftgate_ext.report.text import clean_block
from ftgate_ext.wording import plain, points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.findings.texts import CaseTexts
    from ftgate_ext.schema import (
        BucketRate,
        CaseReview,
        Change,
        Comparisons,
        Decision,
        FailureSorting,
        Findings,
        Role,
    )

SHOWN = 3
TOLD = 4
"""So many tasks are told of in sentences; tables hold all."""
ALPHA = 0.05
ANSWER_CHARS = 1200
WITHHELD = "(not shown: a harmful request and its answers)"
NOT_ASKED = "(this model has no answer here)"


@dataclass(frozen=True)
class ShownCase:
    """One regression to look at; every text is untrusted."""

    title: str
    expected: str
    answers: list[Fact] = field(default_factory=list)
    """Model and its answer."""


@dataclass(frozen=True)
class ErrorView:
    """The section on errors."""

    lines: list[str]
    shown: list[ShownCase]
    tables: list[Table]
    """What changed, the worst regressions, buckets."""
    heat_maps: list[HeatMap]
    failures: list[TaskFailures]
    proposals: list[str]
    approvals: str
    """Lines for gate.yaml, or nothing."""
    notes: list[str]
    """What is not known, and why."""


def view_errors(
    findings: Findings,
    comparisons: Comparisons,
    decision: Decision | None = None,
    texts: Sequence[CaseTexts] = (),
    reviews: Sequence[CaseReview] = (),
    newness: str | None = None,
) -> ErrorView:
    """Put the error analysis into words and tables.

    Args:
        findings: What compare found.
        comparisons: For the models that took part.
        decision: For rules that an approval could be given for.
        texts: Of the worst regressions, the worst first.
        reviews: What reviewers said so far.
        newness: A sentence on earlier runs, where there are any.
    """
    return ErrorView(
        lines=_lines(findings, reviews, newness),
        shown=[_shown(case) for case in texts if _can_be_shown(case)][:SHOWN],
        tables=[*tabulate_changes(findings), *tabulate_regressions(findings, reviews), *tabulate_buckets(findings)],
        heat_maps=draw_confusions(findings), failures=view_failures(findings, comparisons),
        proposals=propose_labels(reviews), approvals=propose_approvals(reviews, decision),
        notes=_notes(findings) + _without_texts(findings, texts),
    )  # fmt: skip


def _lines(findings: Findings, reviews: Sequence[CaseReview], newness: str | None) -> list[str]:
    known = sorted((c for c in findings.changes if c.net), key=lambda c: -c.counts["broken"])
    if not known:
        return []
    moved = [c for c in known if c.counts["broken"] or c.counts["fixed"]]
    lines = [line for change in moved[:TOLD] for line in _told(change)]
    left = [f"{c.task} ({plain(c.metric)})" for c in moved[TOLD:]]
    lines += [f"The tables below also tell of {listed(left)}."] if left else []
    still = [f"{c.task} ({plain(c.metric)}, n = {c.n:,})" for c in known if c not in moved]
    lines += [f"No case became right or wrong on {listed(still)}."] if still else []
    lines += _worse_buckets(findings)
    lines.append(newness or "Whether this is new is not known: there is no earlier green build to compare with.")  # fmt: skip
    lines.append(who_checked(findings, reviews))
    return lines


def _told(change: Change) -> list[str]:
    if change.net is None:
        return []
    broken, fixed = change.counts["broken"], change.counts["fixed"]
    span = ""
    if change.net.lower is not None and change.net.upper is not None:
        span = f"95 % CI {points(change.net.lower)} to {points(change.net.upper)}"
    sure = ", ".join([x for x in (span or "no interval", p_equals(change.p) if change.p is not None else "") if x])  # fmt: skip
    line = (
        f"{change.task} ({plain(change.metric)}, n = {change.n:,}): the candidate broke {counted(broken, 'case')} that {change.reference} gets right "
        f"({_sentence(change, 'broken')}) and fixed {fixed:,} ({_sentence(change, 'fixed')}): net {points(change.net.value)} ({sure})."
    )
    kinds = ", ".join(f"{name_category(name)} {n}" for name, n in change.broken_as.items())
    lines = [f"{line} The broken ones are: {kinds}." if kinds else line]
    grown = [
        f"{name_category(c.category)} {points(c.difference.value)} ({p_equals(c.p_holm)} after Holm's correction)"
        for c in change.categories
        if c.p_holm is not None and c.p_holm < ALPHA and c.difference.value > 0
    ]
    lines += [f"Failures that became more frequent on {change.task}: {', '.join(grown)}."] if grown else []  # fmt: skip
    return lines


def _sentence(change: Change, kind: str) -> str:
    return interval(change.shares[kind]).replace(", ", ", 95 % CI ", 1)


def _worse_buckets(findings: Findings) -> list[str]:
    tested = {t.task: t.n_tested for t in findings.buckets if t.n_tested}
    if not tested:
        return []
    worse = [
        f"{t.task}, {t.by} {row.bucket} ({_bucket(row)})"
        for t in findings.buckets
        for row in t.rows
        if row.p_holm is not None and row.p_holm < ALPHA and row.difference.value > 0
    ]
    total = sum(tested.values())
    if worse:
        return [f"Worse than before, after Holm's correction, in: {'; '.join(worse)}."]
    return [f"In none of {counted(total, 'bucket')} is the candidate shown to be worse after Holm's correction; a small bucket may hide a loss."]  # fmt: skip


def _bucket(row: BucketRate) -> str:
    return f"{points(row.difference.value)}, n = {row.n:,}, {p_equals(row.p_holm if row.p_holm is not None else 1.0)}"


def _can_be_shown(case: CaseTexts) -> bool:
    return case.failure.change == "broken" and bool(case.answers)


def _without_texts(findings: Findings, texts: Sequence[CaseTexts]) -> list[str]:
    broken = any(failure.change == "broken" for failure in findings.top)
    if not broken or any(_can_be_shown(case) for case in texts):
        return []
    return ["No regression is shown: the models' samples are not in the run folder."]


def _shown(case: CaseTexts) -> ShownCase:
    failure = case.failure
    kind = name_category(failure.category or "no category")
    title = f"Case {failure.case_id} of {failure.task}: {kind}"
    if failure.is_withheld:
        return ShownCase(title, WITHHELD)
    roles: list[Role] = ["candidate", failure.reference]
    answers = [
        Fact(role, _text(answer) if (answer := case.answers.get(role)) is not None else NOT_ASKED)
        for role in roles
    ]
    return ShownCase(title, _text(case.expected) or "(nothing stated)", answers)


def _text(text: str) -> str:
    return clean_block(text[:ANSWER_CHARS]).strip() or "(empty)"


def _notes(findings: Findings) -> list[str]:
    """What could not be analysed, and why; nothing where there was nothing to analyse."""
    notes = [*findings.absent, *unknown_changes(findings), *tasks_without_buckets(findings)]
    if findings.findings and not findings.confusion:
        notes.append("There is no confusion matrix: no golden set with expected categories was asked.")  # fmt: skip
    if findings.taxonomy != "built in":
        notes.append(f"Failure categories are those of {findings.taxonomy}.")
    if findings.sorting:
        notes.append(_sorting(findings.sorting))
    return notes


def _sorting(sorting: FailureSorting) -> str:
    if sorting.skipped:
        return f"Failures that no rule sorts were not put to the judge: {sorting.skipped}."
    if not sorting.n_unsorted:
        return "Rules sort every failure; the judge was not needed for that."
    cost = "" if sorting.cost_usd is None else f", for {format_money(sorting.cost_usd)}"
    return f"Of {counted(sorting.n_unsorted, 'failure')} that no rule sorts, the judge was asked about {sorting.n_asked:,} (limit {sorting.limit:,}) and named a category for {sorting.n_labelled:,}{cost}; the others stand as not met or not sorted."
