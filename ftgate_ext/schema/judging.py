"""`judgments.jsonl` and `judge.json`: verdicts, and whether the judge may vote."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftgate_ext.schema.estimate import Estimate
from ftgate_ext.schema.qualifying import AnchorCheck, CanaryResult, KnownPairFigures, RubricNoise
from ftgate_ext.schema.response import Response
from ftgate_ext.schema.row import FORMAT_VERSION, Role, Row

JudgeVerdict = Literal["A_better", "B_better", "tie", "both_bad", "unparsed", "failed"]
PairVerdict = Literal[
    "candidate_better", "baseline_better", "tie", "both_bad", "unparsed", "failed"
]
NO_VERDICT: frozenset[str] = frozenset({"unparsed", "failed"})
"""The judge said nothing that can be read, or its request failed: never a tie."""

VerdictProblem = Literal[
    "prose", "two_verdicts", "unknown_verdict", "score_out_of_range", "wrong_shape", "empty",
    "truncated", "refused", "failed", "not_recorded",
]  # fmt: skip
"""What stood where a verdict should have been; the last two are failures of the request, not of the judge."""


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
    problem: VerdictProblem | None = None
    """Why there is no verdict."""
    repaired: bool = False
    """The verdict was taken out of a code fence, or from behind the judge's thoughts."""
    candidate_chars: int | None = None
    """Length of the candidate's answer, for length control; None in files of older versions."""
    baseline_chars: int | None = None
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
    """Pairs of which a verdict could not be read."""
    n_failed: int = 0
    """Pairs of which a request failed."""
    n_repaired: int = 0
    """Verdicts, not pairs."""
    problems: dict[str, int] = Field(default_factory=dict)
    """Kind of unreadable or failed verdict -> how many, over all that was asked."""
    consistency: Estimate | None = None
    first_position_share: Estimate | None = None
    """Of the pairs where the verdict followed the position, the share that preferred the first."""
    first_position_p: float | None = None
    cost_usd: float | None = None
    """Of all calls: known pairs, traps, anchors, pairs and rubric; None where a price is unknown."""
    n_calls: int = 0
    family: str | None = None
    """Whose model the judge is descended from, as the policy says."""
    notes: list[str] = Field(default_factory=list)
    """What was not done or is not known, one sentence each."""
    known: KnownPairFigures | None = None
    """How it did on pairs whose better answer is known."""
    canaries: list[CanaryResult] = Field(default_factory=list)
    """Traps, each against a real good answer in both orders."""
    anchors: AnchorCheck | None = None
    """Whether it still judges as it did when it qualified."""
    rubric_noise: RubricNoise | None = None


class RubricScore(Row):
    """One answer scored by itself: one line of `rubric_scores.jsonl`."""

    task: str
    role: Role
    case_id: str
    doc_hash: str
    repeat: int
    """0, 1, ...: how often the same answer was scored before."""
    is_noise_check: bool = False
    """Scored once more to see how far the judge agrees with itself; not part of the mean."""
    judge_model: str
    fingerprint: str
    scores: dict[str, int] = Field(default_factory=dict)
    """correctness, completeness, format, clarity, each 1 to 5; empty where there is a problem."""
    reasoning: str = ""
    problem: VerdictProblem | None = None
    repaired: bool = False
    response: Response | None = None
