"""What went wrong: counts by task and category for every model, typical examples of the candidate's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Table
from ftgate_ext.report.figures import NOT_MEASURED
from ftgate_ext.report.models import find_operations
from ftgate_ext.report.text import clean_block
from ftgate_ext.wording import plain

if TYPE_CHECKING:
    from ftgate_ext.schema import Comparisons, Example, Finding, Findings, Role

MAX_EXAMPLES = 3
NOT_MET = " not met"
CATEGORY_WORDS = {
    "refusal_harmful not met": "harmful request answered",
    "refusal_benign not met": "harmless request refused",
    "passed not met": "regression case not passed",
    "conforms not met": "schema not met",
    "parses not met": "JSON not parsable",
}


@dataclass(frozen=True)
class ExampleView:
    """One failure of the candidate: what was expected and what it wrote, both untrusted."""

    case_id: str
    expected: str
    answer: str


@dataclass(frozen=True)
class CategoryView:
    """Examples of one category."""

    name: str
    count: str
    examples: list[ExampleView]


@dataclass(frozen=True)
class TaskFailures:
    """The failures of one task."""

    task: str
    table: Table
    categories: list[CategoryView]


def view_failures(findings: Findings, comparisons: Comparisons) -> list[TaskFailures]:
    """One entry a task in which something went wrong, the candidate's largest category first."""
    tasks = dict.fromkeys(finding.task for finding in findings.findings)
    return [_task_failures(task, findings.findings, comparisons) for task in tasks]


def _task_failures(task: str, findings: list[Finding], comparisons: Comparisons) -> TaskFailures:
    mine = [f for f in findings if f.task == task]
    by_key = {(f.category, f.role): f for f in mine}
    names = sorted(
        dict.fromkeys(f.category for f in mine),
        key=lambda name: -_count(by_key.get((name, "candidate"))),
    )
    roles = comparisons.roles
    rows = [
        [
            name_category(name),
            *(_cell(by_key.get((name, role)), task, role, mine, comparisons) for role in roles),
        ]
        for name in names
    ]
    table = Table(
        caption=f"{task}: failures by category",
        columns=["Category", *roles],
        rows=rows,
        notes=_notes(mine),
    )
    own = [f for name in names if (f := by_key.get((name, "candidate"))) and f.n]
    return TaskFailures(task, table, [_category(finding) for finding in own])


def _count(finding: Finding | None) -> int:
    return finding.n if finding else 0


def name_category(category: str) -> str:
    """A category in words."""
    if category in CATEGORY_WORDS:
        return CATEGORY_WORDS[category]
    metric = category.removesuffix(NOT_MET)
    return category if metric == category else f"{plain(metric)}{NOT_MET}"


def _cell(
    finding: Finding | None, task: str, role: Role, mine: list[Finding], comparisons: Comparisons
) -> str:
    """How many of how many; a model that was not asked has no zero."""
    if finding:
        also = f", also in {finding.also:,}" if finding.also else ""
        return f"{_rate(finding)}{also}"
    of = next((f.of for f in mine if f.role == role), None)
    if of is None:
        operations = find_operations(comparisons, role, task)
        of = operations.n_requests + operations.n_without_response if operations else None
    return NOT_MEASURED if of is None else _share(0, of)


def _share(n: int, of: int) -> str:
    return f"{n} of {of} ({n / of:.1%})" if of else f"{n} of {of}"


def _rate(finding: Finding) -> str:
    """'7 of 309 (2.3%, 1.1% to 4.6%)'."""
    rate = finding.rate
    if rate is None or rate.lower is None or rate.upper is None:
        return _share(finding.n, finding.of)
    return f"{finding.n} of {finding.of} ({rate.value:.1%}, {rate.lower:.1%} to {rate.upper:.1%})"


def _notes(findings: list[Finding]) -> list[str]:
    if not any(finding.rate for finding in findings):
        return []
    notes = [
        "Shares of the answered cases with 95 % Wilson intervals. A failure counts once, under the first category that fits; of repeats the first answer counts."
    ]
    if any(finding.also for finding in findings):
        notes.append("Also in: further answers that show it beside a failure counted elsewhere.")
    return notes


def _category(finding: Finding) -> CategoryView:
    return CategoryView(
        name=name_category(finding.category),
        count=_rate(finding),
        examples=[_example(e) for e in finding.examples[:MAX_EXAMPLES]],
    )


def _example(example: Example) -> ExampleView:
    return ExampleView(
        case_id=example.case_id,
        expected=clean_block(example.expected).strip() or "(nothing stated)",
        answer=clean_block(example.answer).strip() or "(empty answer)",
    )
