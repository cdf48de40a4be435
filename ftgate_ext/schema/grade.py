"""`mtbench_scores.jsonl`: grades that the judge gave to single answers of conversations."""

from __future__ import annotations

from ftgate_ext.schema.judging import VerdictProblem
from ftgate_ext.schema.response import Response
from ftgate_ext.schema.row import Role, Row


class Grade(Row):
    """One answer of one model in one turn: one line of `mtbench_scores.jsonl`."""

    task: str
    role: Role
    case_id: str
    doc_hash: str
    category: str = ""
    turn: int
    """From 0."""
    turns: int
    """How many the conversation has; a question counts only with a grade for each."""
    with_reference: bool = False
    """Whether the judge saw a right answer."""
    judge_model: str
    fingerprint: str
    score: int | None = None
    """1 to 10; None where there is a problem."""
    reasoning: str = ""
    problem: VerdictProblem | None = None
    repaired: bool = False
    response: Response | None = None
