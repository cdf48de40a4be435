"""The worst regressions, put to a reviewer blind: in the terminal or on a page of this machine.

A reviewer sees request, expected answer and two answers in an order drawn for each of them, never whose they are,
and says which one is wrong. What that means for the candidate is worked out afterwards. Reviews are appended to
`review.jsonl`; nothing is changed by them: the report shows them, and proposes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from ftgate_ext.evalset.blind import digest, is_candidate_first, read_verdict
from ftgate_ext.evalset.blind_shown import BlindForm, as_text, ask_in_terminal, page_form
from ftgate_ext.evalset.label_lines import append_line, labeller_name
from ftgate_ext.evalset.label_page import serve_page
from ftgate_ext.evalset.label_terminal import plain_line
from ftgate_ext.evalset.schema import first_problem
from ftgate_ext.findings.texts import load_texts
from ftgate_ext.report.reviews import latest, propose_approvals, propose_labels, sheet_of
from ftgate_ext.runs import MANIFEST, load_row, load_rows
from ftgate_ext.schema import CaseReview, Decision, Findings, RunError
from ftgate_ext.stages import FINDINGS, REVIEWS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ftgate_ext.evalset.label_page import PageForm
    from ftgate_ext.findings.texts import CaseTexts
    from ftgate_ext.schema import ReviewVerdict

Side = Literal["candidate", "reference"]

CHOICES = ("first_wrong", "second_wrong", "label_wrong", "both_fine", "not_sure")
KEYS = {"1": "first_wrong", "2": "second_wrong", "l": "label_wrong", "b": "both_fine", "n": "not_sure", "s": "skip"}  # fmt: skip
ASKED = "[1] first answer wrong, [2] second wrong, [l]abel wrong, [b]oth fine, [n]ot sure, [s]kip or [q]uit"


@dataclass(frozen=True)
class ReviewCase:
    """One regression as a reviewer is asked about it."""

    texts: CaseTexts
    candidate: str
    reference: str

    @property
    def pair_hash(self) -> str:
        """sha256 of both answers: a review holds as long as they stay the same."""
        return digest("pair", self.candidate, self.reference)

    @property
    def key(self) -> str:
        """A name that tells neither the case nor the models."""
        failure = self.texts.failure
        return digest("key", failure.task, failure.doc_hash, self.pair_hash)[:16]

    def shown_first(self, reviewer: str) -> Side:
        """Whose answer this reviewer sees first; looks random and never changes."""
        return "candidate" if is_candidate_first(reviewer, self.key) else "reference"

    def answers(self, reviewer: str) -> tuple[str, str]:
        """Both answers in the order in which this reviewer sees them."""
        pair = (self.candidate, self.reference)
        return pair if self.shown_first(reviewer) == "candidate" else pair[::-1]


class ReviewSheet:
    """The regressions of a run, and what one reviewer has said of them."""

    def __init__(self, cases: Sequence[ReviewCase], file: Path, reviewer: str) -> None:
        """Take the cases and read the reviews so far.

        Args:
            cases: The worst first.
            file: Where reviews are, or will be.
            reviewer: Who reviews; one line, at most 60 characters.

        Raises:
            EvalSetError: The name is none.
            RunError: The file holds what is no review.
        """
        self.reviewer = labeller_name("--reviewer", reviewer)
        self.file = file
        self._cases = {case.key: case for case in cases}
        self.remaining()

    def remaining(self) -> list[ReviewCase]:
        """The cases that this reviewer has not reviewed, in an order of their own."""
        said = {
            (r.task, r.doc_hash, r.pair_hash)
            for r in load_rows(self.file, CaseReview)
            if r.reviewer == self.reviewer
        }
        left = [
            case
            for case in self._cases.values()
            if (case.texts.failure.task, case.texts.failure.doc_hash, case.pair_hash) not in said
        ]
        # Not by rank: whoever knows that the worst come first looks for harm in them.
        return sorted(left, key=lambda case: digest("place", self.reviewer, case.key))

    def case_of(self, key: str) -> ReviewCase | None:
        """The case of an opaque key, if there is one."""
        return self._cases.get(key)

    def save(self, case: ReviewCase, answer: dict[str, Any]) -> CaseReview:
        """Append one review.

        Args:
            case: What was shown.
            answer: verdict, one of `CHOICES`, and note.

        Raises:
            ValueError: The answer is none; the message says why in one line.
            EvalSetError: The file cannot be written.
        """
        failure = case.texts.failure
        first = case.shown_first(self.reviewer)
        try:
            review = CaseReview(
                task=failure.task, metric=failure.metric, reference=failure.reference,
                case_id=failure.case_id, doc_hash=failure.doc_hash, pair_hash=case.pair_hash,
                reviewer=self.reviewer, verdict=verdict_of(answer["verdict"], first), shown_first=first,
                note=answer.get("note"), at=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            )  # fmt: skip
        except ValidationError as error:
            raise ValueError(first_problem(error)) from None
        append_line(self.file, review.model_dump_json(exclude_none=True))
        return review


def verdict_of(choice: str, first: Side) -> ReviewVerdict:
    """First and second as the reviewer saw them -> what it says about the regression."""
    if choice in ("first_wrong", "second_wrong"):
        is_candidate = (choice == "first_wrong") == (first == "candidate")
        return "regression_confirmed" if is_candidate else "reversed"
    return choice  # type: ignore[return-value]  # the others need no translation


def read_review(told: dict[str, str]) -> dict[str, Any]:
    """What a reviewer typed -> verdict and note.

    Raises:
        ValueError: One line that says what was found and expected.
    """
    return read_verdict(told, CHOICES)


def review_sheet(run_dir: Path, reviewer: str, *, harmful: bool = False) -> tuple[ReviewSheet, int]:
    """What one reviewer is asked about a run, and how many cases are withheld.

    Args:
        run_dir: A compared run.
        reviewer: Who reviews.
        harmful: Also show harmful requests and the answers to them.

    Raises:
        RunError: No run, not compared, or no regression to review.
        EvalSetError: The name is none.
    """
    if not (run_dir / MANIFEST).is_file():
        raise RunError(f"{run_dir}: no run folder (no {MANIFEST}); make one with `ftgate run`.")
    findings = load_row(run_dir / FINDINGS, Findings, "compare")
    sheet = sheet_of(findings)
    if not sheet:
        why = findings.absent[0] if findings.absent else "no case got worse"
        raise RunError(f"{run_dir}: there is no regression to review: {why}")
    shown = [f for f in sheet if harmful or not f.is_withheld]
    cases = [
        ReviewCase(texts, texts.answers["candidate"], texts.answers[texts.failure.reference])
        for texts in load_texts(run_dir, shown)
        if {"candidate", texts.failure.reference} <= texts.answers.keys()
    ]
    return ReviewSheet(cases, run_dir / REVIEWS, reviewer), len(sheet) - len(shown)


def review_run(
    run_dir: Path,
    reviewer: str,
    *,
    harmful: bool,
    port: int | None,
    ask: Callable[[str], str],
    tell: Callable[[str], None],
) -> str:
    """Ask one reviewer, in the terminal or on a page; returns what it comes to, for the user.

    Args:
        run_dir: As `review_sheet`, like the next two.
        reviewer: Who reviews.
        harmful: Also show harmful requests.
        port: Of the page; None asks in the terminal.
        ask: Shows a question and returns a line.
        tell: Prints a line.

    Raises:
        RunError: As `review_sheet`.
        EvalSetError: As `review_sheet`, or the port is taken.
    """
    sheet, withheld = review_sheet(run_dir, reviewer, harmful=harmful)
    if withheld:
        tell(f"{withheld} cases with harmful requests are left out; --harmful shows them.")
    if port is None:
        review_in_terminal(sheet, ask, tell)
    else:
        serve_page(sheet, port, tell, review_form(sheet.reviewer))  # type: ignore[arg-type]  # the same methods
    return summarise(run_dir)


def summarise(run_dir: Path) -> str:
    """Where reviews lie, and what they propose."""
    reviews = load_rows(run_dir / REVIEWS, CaseReview)
    path = run_dir / "decision.json"
    decision = load_row(path, Decision, "decide") if path.is_file() else None
    lines = [f"Proposal: {plain_line(line)}" for line in propose_labels(reviews)]
    approvals = propose_approvals(reviews, decision)
    if approvals:
        lines += ["To approve these regressions, copy into gate.yaml and set the date:", approvals]
    n = len(latest(reviews))
    return "\n".join([*lines, f"{n} cases reviewed in {run_dir / REVIEWS}; `ftgate report {run_dir}` shows them."])  # fmt: skip


# --- how it is shown


def review_in_terminal(
    sheet: ReviewSheet, ask: Callable[[str], str], tell: Callable[[str], None]
) -> int:
    """Ask until nothing remains or the reviewer quits; returns how many cases were reviewed."""
    return ask_in_terminal(_form(sheet.reviewer), sheet, ask, tell)


def case_as_text(case: ReviewCase, reviewer: str, left: int) -> str:
    """A case as the terminal shows it: every line of a text behind a bar, nothing that a terminal obeys."""
    return as_text(_parts(case, reviewer), left)


def review_form(reviewer: str) -> PageForm:
    """The form of the page on which this reviewer is asked."""
    return page_form(_form(reviewer))


def _form(reviewer: str) -> BlindForm:
    return BlindForm(
        parts=lambda case: _parts(case, reviewer), read=read_review,
        title="Which answer is wrong?", asked=ASKED, keys=KEYS, verb=("review", "reviewed"),
    )  # fmt: skip


def _parts(case: ReviewCase, reviewer: str) -> list[tuple[str, str]]:
    first, second = case.answers(reviewer)
    expected = case.texts.expected or "(nothing stated)"
    return [("request", case.texts.request), ("expected", expected), ("first answer", first), ("second answer", second)]  # fmt: skip
