"""Samples of one model stream by -> per request its failure category and what buckets need, in columns.

Rows are those of `scores.TaskScores`: both see the same samples in the same order. Texts are kept of a bounded
sample of the failures only, so that a million cases fit.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ftgate_ext.findings.sorting import failure_categories, is_harmful, is_open
from ftgate_ext.findings.typical import Reservoir
from ftgate_ext.schema import Example
from ftgate_ext.scoring.codereview import CATEGORIES, parse_review

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ftgate_ext.findings.taxonomy import Taxonomy
    from ftgate_ext.runs import Record
    from ftgate_ext.schema import Role

WITHHELD = "(not shown: the answer to a harmful request)"
EXAMPLE_CHARS = 400
MOST_NAMES = 200
"""Categories of one task; further ones count as the last."""
MOST_VALUES = 2000
"""A field with more values makes no buckets."""

FIELDS: dict[str, tuple[str, ...]] = {
    "subtype": ("subtype",), "difficulty": ("tier", "difficulty"), "source": ("source",),
    "language": ("language",), "error type": ("category", "error_type"), "severity": ("severity",),
}  # fmt: skip
"""What failures are sorted by -> the fields of a row that say it, the first that is there."""
_FIELD_NAMES = frozenset(
    {"verdict", *(choice for choices in FIELDS.values() for choice in choices)}
)

CLEAN, UNREADABLE, UNKNOWN = "clean", "unreadable", "no known category"
EXPECTED = (*CATEGORIES, CLEAN)
ANSWERED = (*CATEGORIES, CLEAN, UNKNOWN, UNREADABLE)
NOT_GOLDEN = 255

LabelKey = tuple[str, str, str]
"""Task, case id, sha256 of the answer."""


class Kept(NamedTuple):
    """A failure to choose examples from."""

    example: Example
    group: str | None
    doc_hash: str


@dataclass
class Values:
    """One field of the rows: a number a request, -1 where it is not there."""

    codes: array[int] = field(default_factory=lambda: array("i"))
    names: dict[str, int] = field(default_factory=dict)

    def add(self, value: object) -> None:
        """Take in the value of the next request."""
        self.codes.append(
            -1 if value is None or len(self.names) > MOST_VALUES
            else self.names.setdefault(str(value), len(self.names))
        )  # fmt: skip


@dataclass
class TaskFailures:
    """One task of one model, one row a request."""

    names: list[str] = field(default_factory=lambda: [""])
    """Failure categories; the first stands for none."""
    codes: array[int] = field(default_factory=lambda: array("B"))
    chars: array[int] = field(default_factory=lambda: array("i"))
    """Length of the prompt."""
    also: Counter[str] = field(default_factory=Counter)
    expected: array[int] = field(default_factory=lambda: array("B"))
    answered: array[int] = field(default_factory=lambda: array("B"))
    """Places in `EXPECTED` and `ANSWERED`; `NOT_GOLDEN` where there is no such thing."""
    fields: dict[str, Values] = field(default_factory=dict)
    """Of the candidate only: buckets are of cases, which are the same for all."""
    kept: dict[str, Reservoir[Kept]] = field(default_factory=dict)
    is_harmful: bool = False

    def code_of(self, name: str) -> int:
        """The number of a category."""
        if name in self.names:
            return self.names.index(name)
        if len(self.names) < MOST_NAMES:
            self.names.append(name)
        return len(self.names) - 1


class FailureCounter:
    """Sorts the failures of one model into categories while its samples stream by."""

    def __init__(
        self,
        role: Role,
        taxonomy: Taxonomy | None = None,
        labels: Mapping[LabelKey, str] | None = None,
    ) -> None:
        """Begin with the model in `role`.

        Args:
            role: The model.
            taxonomy: A team's own categories; the built-in ones when left out.
            labels: What the judge said of this model's failures that no rule sorts.
        """
        self.tasks: dict[str, TaskFailures] = {}
        self._role: Role = role
        self._taxonomy = taxonomy
        self._labels = labels or {}

    def add(self, row: int, record: Record) -> None:
        """Take in one sample; the `row` of one before tells another filter's line about its request."""
        task = self.tasks.get(record.task)
        if task is None:
            of_cases = FIELDS if self._role == "candidate" else ()
            task = self.tasks[record.task] = TaskFailures(fields={n: Values() for n in of_cases})
        found = self._categories(record)
        if row == len(task.codes):
            self._add_request(task, record)
        elif task.codes[row]:
            return
        if not found:
            return
        task.codes[row] = task.code_of(found[0])
        task.also.update(found[1:])
        kept = task.kept.get(found[0])
        if kept is None:
            kept = task.kept[found[0]] = Reservoir(f"{self._role}:{record.task}:{found[0]}")
        group = _text(record.doc.get("cluster"))
        kept.offer(lambda: Kept(example_of(self._role, record), group, record.doc_hash))

    def _categories(self, record: Record) -> list[str]:
        found = failure_categories(record, self._taxonomy)
        if self._labels and (not found or is_open(found[0])):
            label = self._labels.get(label_key(record))
            return [label] if label else found
        return found

    def _add_request(self, task: TaskFailures, record: Record) -> None:
        task.codes.append(0)
        task.chars.append(len(record.prompt))
        expected, answered = _confused(record)
        task.expected.append(expected)
        task.answered.append(answered)
        task.is_harmful |= is_harmful(record)
        has_none = _FIELD_NAMES.isdisjoint(record.doc)
        for name, values in task.fields.items():
            if has_none:
                values.codes.append(-1)
            else:
                values.add(_field_of(record.doc, name))


def _field_of(doc: dict[str, Any], name: str) -> object:
    """What a row says of one of `FIELDS`, or None."""
    for choice in FIELDS[name]:
        value = doc.get(choice)
        if value is not None:
            return value
    return CLEAN if name == "error type" and doc.get("verdict") == CLEAN else None


def label_key(record: Record) -> LabelKey:
    """What a label of the judge belongs to."""
    return record.task, record.case_id, answer_hash(record.answer)


def answer_hash(answer: str) -> str:
    """sha256 of an answer."""
    return hashlib.sha256(answer.encode(errors="replace")).hexdigest()


def example_of(role: Role, record: Record) -> Example:
    """A failure to look at; answers to harmful requests are withheld."""
    return Example(
        case_id=record.case_id,
        role=role,
        expected=expected_of(record.doc, record.target)[:EXAMPLE_CHARS],
        answer=WITHHELD if is_harmful(record) else record.answer[:EXAMPLE_CHARS],
    )


def expected_of(doc: dict[str, Any], target: str) -> str:
    """What the eval set expects of a case, in words."""
    if doc.get("verdict") == "defect":
        lines = "-".join(str(n) for n in dict.fromkeys(doc.get("lines") or []))
        return f"{doc.get('category')} defect in line {lines}: {doc.get('comment')}"
    if doc.get("checks"):
        return _checks_in_words(doc["checks"])
    # lm-eval turns a target that looks like Python into Python; the row itself is as written.
    return str(doc.get("example") or target or doc.get("expect") or "")


def _checks_in_words(checks: Any) -> str:
    """What a case of the regression suite asks for."""
    try:
        listed = json.loads(checks) if isinstance(checks, str) else checks
        told = []
        for check in listed:
            asked = [v for k, v in check.items() if k != "kind"]
            words = " to ".join(
                " or ".join(map(str, v)) if isinstance(v, list) else str(v) for v in asked
            )
            told.append(f"{check['kind'].replace('_', ' ')}{f': {words}' if words else ''}")
    except (ValueError, TypeError, AttributeError, KeyError):
        return str(checks)
    return "\n".join(told)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _confused(record: Record) -> tuple[int, int]:
    """Expected and answered category of a golden case, as numbers."""
    doc = record.doc
    if "verdict" not in doc or "f1" not in record.scores:
        return NOT_GOLDEN, NOT_GOLDEN
    wanted = CLEAN if doc["verdict"] == CLEAN else doc.get("category")
    if wanted not in EXPECTED:
        return NOT_GOLDEN, NOT_GOLDEN
    review, _ = parse_review(record.answer)
    said = UNREADABLE if review is None else CLEAN if review.verdict == CLEAN else review.category
    return EXPECTED.index(wanted), ANSWERED.index(said if said in ANSWERED else UNKNOWN)
