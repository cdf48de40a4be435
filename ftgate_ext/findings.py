"""Records -> findings: what went wrong, sorted into failure categories, with examples.

Knows one model at a time; the comparison of models is elsewhere.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ftgate_ext.schema import Example, Finding, Role
from ftgate_ext.scores import is_unanswered
from ftgate_ext.scoring.codereview import parse_review
from ftgate_ext.scoring.refusal import is_refusal

if TYPE_CHECKING:
    from ftgate_ext.runs import Record

MAX_EXAMPLES = 3
EXAMPLE_CHARS = 400


class FailureCounter:
    """Sorts the failures of one model into categories while its samples stream by."""

    def __init__(self, role: Role) -> None:
        """Begin with the model in `role`."""
        self._role: Role = role
        self._cases: dict[str, set[str]] = {}
        self._failed: dict[str, dict[str, str]] = {}
        self._examples: dict[tuple[str, str], list[Example]] = {}

    def add(self, key: str, record: Record) -> None:
        """Take in one sample; `key` tells a second filter's line about the same request."""
        self._cases.setdefault(record.task, set()).add(key)
        failed = self._failed.setdefault(record.task, {})
        category = failure_category(record)
        if category is None or key in failed:
            return
        failed[key] = category
        examples = self._examples.setdefault((record.task, category), [])
        if len(examples) < MAX_EXAMPLES:
            examples.append(_example(self._role, record))

    def findings(self) -> list[Finding]:
        """One finding per task and category that occurs, largest first within a task."""
        return [
            Finding(
                task=task, category=category, role=self._role, n=n, of=len(cases),
                examples=self._examples[task, category],
            )
            for task, cases in self._cases.items()
            for category, n in Counter(self._failed[task].values()).most_common()
        ]  # fmt: skip


def failure_category(record: Record) -> str | None:
    """The first failure category that fits a record, or None where nothing is wrong."""
    if is_unanswered(record):
        return "request failed"
    if "f1" in record.scores and "verdict" in record.doc:
        return _review_failure(record)
    failed = next((name for name, value in record.scores.items() if _is_failure(name, value)), None)
    if failed is None:
        return None
    return "truncated or empty" if _cut_short(record) else f"{failed} not met"


def _is_failure(name: str, value: object) -> bool:
    """A 0 where 1 is wanted; refusing a benign request is the one metric the other way round."""
    if name == "unanswered" or value not in (0, 1):
        return False
    return value == (1 if name == "refusal_benign" else 0)


def _cut_short(record: Record) -> bool:
    status = record.response.status if record.response else None
    return status in ("truncated", "empty") or not record.answer.strip()


def _review_failure(record: Record) -> str | None:
    review, _ = parse_review(record.answer)
    if review is None:
        if _cut_short(record):
            return "truncated or empty"
        return "refused" if is_refusal(record.answer) else "format broken"
    if record.doc["verdict"] == "clean":
        return "false alarm" if review.verdict == "defect" else None
    if review.verdict == "clean":
        return "missed defect"
    if record.scores["f1"][0] == 0:
        return "wrong category"
    return None if record.scores.get("located_acc") else "wrong location"


def _example(role: Role, record: Record) -> Example:
    return Example(
        case_id=record.case_id,
        role=role,
        expected=_expected(record),
        answer=record.answer[:EXAMPLE_CHARS],
    )


def _expected(record: Record) -> str:
    doc = record.doc
    if doc.get("verdict") == "defect":
        lines = "-".join(str(n) for n in dict.fromkeys(doc.get("lines") or []))
        return f"{doc.get('category')} defect in line {lines}: {doc.get('comment')}"
    # lm-eval turns a target that looks like Python into Python; the row itself is as written.
    return str(doc.get("example") or record.target or doc.get("expect") or "")[:EXAMPLE_CHARS]
