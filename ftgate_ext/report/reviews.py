"""What reviewers said of regressions: beside the cases, as proposals for the eval set, and as approvals to copy."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Table
from ftgate_ext.report.failures import name_category
from ftgate_ext.report.figures import counted
from ftgate_ext.report.text import clean_line
from ftgate_ext.wording import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.schema import CaseReview, Decision, Findings, TopFailure

SHEET = 20
"""So many of the worst regressions are put to reviewers."""
VERDICTS = {
    "regression_confirmed": "regression confirmed",
    "reversed": "the other model's answer is the wrong one",
    "label_wrong": "label wrong",
    "both_fine": "both fine",
    "not_sure": "not sure",
}
NOBODY = "nobody yet"


def sheet_of(findings: Findings) -> list[TopFailure]:
    """The regressions that reviewers are asked about, the worst first."""
    return [f for f in findings.top if f.change == "broken"][:SHEET]


def latest(reviews: Sequence[CaseReview]) -> dict[tuple[str, str], list[CaseReview]]:
    """Task and case -> the last word of every reviewer."""
    found: dict[tuple[str, str], dict[str, CaseReview]] = {}
    for review in reviews:
        found.setdefault((review.task, review.doc_hash), {})[review.reviewer] = review
    return {key: list(said.values()) for key, said in found.items()}


def who_checked(findings: Findings, reviews: Sequence[CaseReview]) -> str:
    """One sentence: who looked at the regressions, and what they found."""
    sheet = sheet_of(findings)
    if not sheet:
        return "There is no regression to check."
    said = latest(reviews)
    mine = [r for f in sheet for r in said.get((f.task, f.doc_hash), [])]
    if not mine:
        return f"Nobody has checked the {counted(len(sheet), 'worst regression')} yet: `ftgate review RUN` asks about them blind."
    n = len({(r.task, r.doc_hash) for r in mine})
    names = ", ".join(sorted({r.reviewer for r in mine}))
    words = Counter(VERDICTS[r.verdict] for r in mine)
    told = ", ".join(f"{word} {k}" for word, k in words.most_common())
    return f"{n} of the {counted(len(sheet), 'worst regression')} {'was' if n == 1 else 'were'} checked blind by {names}: {told}."


def tabulate_regressions(findings: Findings, reviews: Sequence[CaseReview]) -> list[Table]:
    """The worst regressions with what reviewers say of them."""
    sheet = sheet_of(findings)
    if not sheet:
        return []
    said = latest(reviews)
    rows = [
        [f.case_id, f"{f.task}, {plain(f.metric)}", name_category(f.category or "no category"), f.severity or "not stated",
         f"{f.drop:.0%}", _said(said.get((f.task, f.doc_hash), []))]
        for f in sheet
    ]  # fmt: skip
    return [
        Table(
            caption=f"The {counted(len(sheet), 'worst regression')} against {sheet[0].reference}",
            columns=["Case", "Task and metric", "Failure", "Severity", "Fall of the pass rate", "Reviewers say"],
            rows=rows, numeric=(4,),
            notes=["Cases that must not regress and harmful requests come first, then the severity that the eval set states, then the fall of the pass rate; what is alike is in a random order."],
        )
    ]  # fmt: skip


def _said(reviews: list[CaseReview]) -> str:
    return "; ".join(_word(review) for review in reviews) or NOBODY


def _word(review: CaseReview) -> str:
    note = f" ({clean_line(review.note)})" if review.note else ""
    return f"{VERDICTS[review.verdict]}, {review.reviewer}{note}"


def propose_labels(reviews: Sequence[CaseReview]) -> list[str]:
    """Label errors that reviewers found: proposals for the eval set, applied by nobody."""
    proposals = []
    for (task, _), said in latest(reviews).items():
        wrong = [r for r in said if r.verdict == "label_wrong"]
        if wrong:
            by = ", ".join(r.reviewer for r in wrong)
            notes = "; ".join(clean_line(r.note) for r in wrong if r.note)
            split = f" ({len(wrong)} of {len(said)} reviewers)" if len(said) > len(wrong) else ""
            proposals.append(f"{task}, case {wrong[0].case_id}: the label is wrong, says {by}{split}{f': {notes}' if notes else ''}")  # fmt: skip
    return proposals


def propose_approvals(reviews: Sequence[CaseReview], decision: Decision | None) -> str:
    """Lines for gate.yaml: regressions that every reviewer calls none, for rules that allow none."""
    if decision is None:
        return ""
    lines: list[str] = []
    said = latest(reviews)
    for rule in decision.rules:
        if rule.kind != "no_regression" or rule.outcome == "PASS":
            continue
        fine = {
            reviews_of[0].case_id: reviews_of
            for (task, _), reviews_of in said.items()
            if task == rule.task
            and all(r.verdict in ("both_fine", "label_wrong") for r in reviews_of)
        }
        if fine:
            names = sorted({r.reviewer for of in fine.values() for r in of})
            why = sorted({VERDICTS[r.verdict] for of in fine.values() for r in of})
            lines += [
                f"  - rule: {_quoted(rule.name)}",
                f"    cases: [{', '.join(_quoted(case) for case in fine)}]",
                f"    by: {_quoted(', '.join(names))}",
                f"    reason: {_quoted('blind review: ' + ' or '.join(why))}",
                "    until: YYYY-MM-DD   # the last day on which this holds",
            ]
    return "\n".join(["approvals:", *lines]) if lines else ""


def _quoted(text: str) -> str:
    """A YAML scalar that its text cannot leave: JSON strings are YAML."""
    return json.dumps(clean_line(text), ensure_ascii=False)
