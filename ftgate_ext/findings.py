"""Records -> findings: what went wrong, sorted into failure categories, with examples.

Knows one model at a time; the comparison of models is elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.compare import is_unanswered
from ftgate_ext.schema import Example, Finding, Findings, Role
from ftgate_ext.scoring.codereview import parse_review
from ftgate_ext.scoring.refusal import is_refusal

if TYPE_CHECKING:
    from ftgate_ext.runs import ModelRecords, Record

MAX_EXAMPLES = 3
EXAMPLE_CHARS = 400


def find_failures(models: dict[Role, ModelRecords]) -> Findings:
    """Sort every model's failures into categories.

    Returns:
        One finding per task, model and category that occurs, largest first within task and model.
    """
    findings = []
    for role, model in models.items():
        for task, records in model.records.items():
            buckets: dict[str, list[Record]] = {}
            for record in records:
                category = failure_category(record)
                if category:
                    buckets.setdefault(category, []).append(record)
            for category, failed in sorted(buckets.items(), key=lambda item: -len(item[1])):
                examples = [_example(role, r) for r in failed[:MAX_EXAMPLES]]
                findings.append(
                    Finding(
                        task=task,
                        category=category,
                        role=role,
                        n=len(failed),
                        of=len(records),
                        examples=examples,
                    )
                )
    return Findings(findings=findings)


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
