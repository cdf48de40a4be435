"""`judgments.jsonl` and `judge.json`: verdicts, and whether the judge may vote."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftgate_ext.schema.comparison import Estimate
from ftgate_ext.schema.response import Response
from ftgate_ext.schema.row import FORMAT_VERSION, Role, Row

JudgeVerdict = Literal["A_better", "B_better", "tie", "both_bad", "unparsed"]
PairVerdict = Literal["candidate_better", "baseline_better", "tie", "both_bad", "unparsed"]


class Judgment(Row):
    """One verdict of the judge on one pair in one order: one line of `judgments.jsonl`."""

    task: str
    case_id: str
    doc_hash: str
    candidate: Role = "candidate"
    baseline: Role
    first: Literal["candidate", "baseline"]
    """Whose answer the judge saw as A."""
    round: int
    """0 for the first look, 1 for the look with positions exchanged."""
    judge_model: str
    fingerprint: str
    """sha256 of judge model, prompt, parameters and schema."""
    pair_hash: str
    """sha256 of question and both answers: a changed answer is judged again."""
    identical: bool = False
    """Both answers were the same text: a tie by definition, the judge was not asked."""
    raw_verdict: JudgeVerdict
    verdict: PairVerdict
    scores: dict[str, dict[str, int]] = Field(default_factory=dict)
    """candidate|baseline -> correctness, completeness, format, clarity, each 1 to 5."""
    reasoning: str = ""
    response: Response | None = None


class Qualification(Row):
    """`judge.json`: whether this judge may vote."""

    format_version: int = FORMAT_VERSION
    judge_model: str
    fingerprint: str
    fit: bool
    reasons: list[str]
    """Why it is unfit, one sentence each."""
    n_pairs: int
    n_identical: int
    n_unparsed: int
    consistency: Estimate | None = None
    first_position_share: Estimate | None = None
    """Of the pairs where the verdict followed the position, the share that preferred the first."""
    first_position_p: float | None = None
    cost_usd: float | None = None
