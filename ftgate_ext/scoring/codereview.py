"""Score code reviews: the golden set, the regression suite and the shadow sample.

A review is one JSON object: verdict, category, line, severity, comment. A review that cannot be
read is a wrong review; a request that failed is no review and gets no score.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ftgate_ext.schema import is_unscored

if TYPE_CHECKING:
    from collections.abc import Callable

CATEGORIES = (
    "logic", "boundary", "null_handling", "error_handling", "resource_leak",
    "concurrency", "security", "performance", "api_misuse", "data_loss",
)  # fmt: skip

Doc = dict[str, Any]
Scores = dict[str, Any]
Counts = list[int]
"""[true positives, false positives, false negatives] of one case."""


class Review(BaseModel):
    """What the task asks a model for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    verdict: Literal["defect", "clean"]
    category: str | None = None
    line: int | None = None
    severity: Literal["low", "medium", "high", "critical"] | None = None
    comment: str | None = None


def parse_review(answer: str) -> tuple[Review | None, bool]:
    """Read a review out of an answer.

    Args:
        answer: What the model wrote.

    Returns:
        The review, or None where there is none; and whether the answer is exactly the review and
        nothing else, as the prompt demands. Text or a code fence around the object is tolerated for
        the review, not for the format.
    """
    stripped = answer.strip()
    start = stripped.find("{")
    while start != -1:
        try:
            value, end = json.JSONDecoder().raw_decode(stripped, start)
            review = Review.model_validate(value)
        except (ValueError, ValidationError, RecursionError):
            start = stripped.find("{", start + 1)
            continue
        return review, start == 0 and end == len(stripped)
    return None, False


def score_golden(doc: Doc, results: list[str]) -> Scores:
    """Score one golden case (lm-eval's `process_results`).

    A reported defect is a true positive when the case has one and the category is right (the
    expert's, or one the expert also accepts). In a wrong category it is a false positive and leaves
    the real defect a false negative, so no constant answer scores well.

    Returns:
        f1, defect_f1: counts [tp, fp, fn] for `corpus_f1`; verdict_acc, located_acc, valid_review:
        0 or 1; unanswered: 1 alone where the request failed.
    """
    answer = results[0]
    if is_unscored(answer):
        return {"unanswered": 1}
    review, exact = parse_review(answer)
    has_defect = doc["verdict"] == "defect"
    reported = review is not None and review.verdict == "defect"
    accepted = {doc["category"], *(doc.get("also_accept") or [])}
    right_category = review is not None and review.category in accepted
    right_verdict = review is not None and review.verdict == doc["verdict"]
    located = right_verdict and (not has_defect or _within(review, doc["lines"]))
    return {
        "f1": _counts(has_defect, reported, has_defect and reported and right_category),
        "defect_f1": _counts(has_defect, reported, has_defect and reported),
        "verdict_acc": int(right_verdict),
        "located_acc": int(located),
        "valid_review": int(exact and _consistent(review)),
        "unanswered": 0,
    }


def _counts(has_defect: bool, reported: bool, found: bool) -> Counts:
    return [int(found), int(reported and not found), int(has_defect and not found)]


def _within(review: Review | None, lines: list[int], slack: int = 1) -> bool:
    if review is None or review.line is None:
        return False
    return lines[0] - slack <= review.line <= lines[-1] + slack


def _consistent(review: Review | None) -> bool:
    """A defect names a known category; a clean verdict names none."""
    if review is None:
        return False
    return (
        (review.category in CATEGORIES) if review.verdict == "defect" else review.category is None
    )


def corpus_f1(items: list[Counts]) -> float:
    """F1 over all cases: 2TP / (2TP + FP + FN), from per-case counts (lm-eval aggregation)."""
    tp, fp, fn = (sum(column) for column in zip(*items, strict=True))
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0


def total(items: list[int]) -> int:
    """The number of cases counted (lm-eval aggregation)."""
    return sum(items)


def score_regression(doc: Doc, results: list[str]) -> Scores:
    """Score one case of the regression suite: `passed` is 1 if all its checks hold."""
    answer = results[0]
    if is_unscored(answer):
        return {"unanswered": 1}
    checks = json.loads(doc["checks"]) if isinstance(doc["checks"], str) else doc["checks"]
    review, exact = parse_review(answer)
    return {
        "passed": int(all(holds(check, answer, review, exact) for check in checks)),
        "unanswered": 0,
    }


def holds(check: dict[str, Any], answer: str, review: Review | None, exact: bool) -> bool:
    """Whether one machine-checkable assertion of a regression case holds.

    Raises:
        ValueError: The check's kind is unknown.
    """
    kind = check["kind"]
    if kind == "max_words":
        return len(answer.split()) <= int(check["value"])
    if kind == "valid_review":
        return exact and _consistent(review)
    if kind not in _REVIEW_CHECKS:
        raise ValueError(f"unknown check {kind!r} in the regression suite")
    return review is not None and _REVIEW_CHECKS[kind](check, review)


def _mentions(check: dict[str, Any], review: Review) -> bool:
    comment = (review.comment or "").lower()
    return any(word.lower() in comment for word in check["any_of"])


_REVIEW_CHECKS: dict[str, Callable[[dict[str, Any], Review], bool]] = {
    "verdict": lambda check, review: review.verdict == str(check["value"]),
    "category": lambda check, review: review.category in set(check["any_of"]),
    "line": lambda check, review: review.line in range(check["first"], check["last"] + 1),
    "mentions": _mentions,
    "not_mentions": lambda check, review: not _mentions(check, review),
}


def score_shadow(_doc: Doc, results: list[str]) -> Scores:
    """Note whether the model answered at all; the shadow sample has no labels, a judge compares."""
    answer = results[0]
    if is_unscored(answer):
        return {"unanswered": 1}
    return {"answered": int(bool(answer.strip())), "unanswered": 0}
