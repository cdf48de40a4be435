"""MT-Bench: answers of conversations -> grades from 1 to 10, turn by turn, each judged by itself.

Questions with a right answer (math, coding, reasoning) are graded beside a reference.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftgate_ext.inference.client import Request
from ftgate_ext.judge.conversations import before_turn, reference_text, turns_of
from ftgate_ext.judge.protocol import TemplateName, fingerprint, grade_prompt, grade_schema
from ftgate_ext.judge.reading import read_grade
from ftgate_ext.schema import Grade, Response, Role
from ftgate_ext.scores import is_unanswered
from ftgate_ext.scoring.mtbench import MTBENCH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ftgate_ext.judge.pairwise import Judge
    from ftgate_ext.runs import Record

GRADES = "mtbench_scores.jsonl"


@dataclass(frozen=True)
class Grading:
    """One answer to be graded."""

    record: Record
    role: Role
    turn: int

    @property
    def prompt(self) -> str:
        """What the judge is asked."""
        answer = turns_of(self.record)[self.turn][1]
        return grade_prompt(before_turn(self.record, self.turn), answer, self.reference)

    @property
    def reference(self) -> str | None:
        """A right answer, where the question has one."""
        return reference_text(self.record, self.turn)


def plan_gradings(records: dict[Role, dict[str, list[Record]]]) -> list[Grading]:
    """Every turn of every answered conversation of every model; one that failed is left out.

    Args:
        records: Role -> task -> the records of a run.
    """
    return [
        Grading(record, role, turn)
        for role, tasks in records.items()
        for record in tasks.get(MTBENCH, [])
        if not is_unanswered(record)
        for turn in range(len(turns_of(record)))
    ]


def ungraded(judge: Judge, records: dict[Role, dict[str, list[Record]]]) -> list[Grade]:
    """A row without a grade for every conversation that broke off: it is counted, not forgotten."""
    return [
        Grade(
            task=record.task, role=role, case_id=record.case_id, doc_hash=record.doc_hash,
            category=str(record.doc.get("category") or ""), turn=0,
            turns=len(record.doc.get("turns") or [""]), judge_model=judge.endpoint.model,
            fingerprint="", problem="failed",
        )
        for role, tasks in records.items()
        for record in tasks.get(MTBENCH, [])
        if is_unanswered(record)
    ]  # fmt: skip


def grade_answers(
    judge: Judge,
    gradings: Sequence[Grading],
    journal_path: Path,
    on_response: Callable[[Response, bool], None] | None = None,
) -> list[Grade]:
    """Ask for the grades; one row a grading, in order, readable or not."""
    parameters = judge.parameters_for("grade", grade_schema(judge.max_reasoning_chars))
    requests = [_request(g, parameters) for g in gradings]
    responses = judge.answers(requests, journal_path, on_response)
    return [_grade(judge, g, r, parameters) for g, r in zip(gradings, responses, strict=True)]


def _request(grading: Grading, parameters: dict[str, object]) -> Request:
    record, prompt = grading.record, grading.prompt
    return Request(
        case_id=record.case_id, task=f"grade:{record.task}:{grading.role}:{grading.turn}",
        prompt_hash=hashlib.sha256(prompt.encode()).hexdigest(),
        payload={"messages": [{"role": "user", "content": prompt}], **parameters},
    )  # fmt: skip


def _grade(
    judge: Judge, grading: Grading, response: Response, parameters: dict[str, object]
) -> Grade:
    reading, record = read_grade(response), grading.record
    has_reference = grading.reference is not None
    template: TemplateName = "grade_reference" if has_reference else "grade"
    return Grade(
        task=record.task, role=grading.role, case_id=record.case_id, doc_hash=record.doc_hash,
        category=str(record.doc.get("category") or ""), turn=grading.turn, turns=len(turns_of(record)),
        with_reference=has_reference, judge_model=judge.endpoint.model,
        fingerprint=fingerprint(judge.endpoint.model, parameters, template),
        score=reading.verdict.score if reading.verdict else None,
        reasoning=reading.verdict.reasoning if reading.verdict else "", problem=reading.problem,
        repaired=reading.repaired, response=response.model_copy(update={"text": ""}),
    )  # fmt: skip
