"""What the history keeps of one run. Knows no file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftgate_ext.schema import Estimate, Outcome, Role, Row, VerdictName

INDEX_VERSION = 1
"""Rises when an entry changes; lines of another version are read anew from their run folders."""

RunState = Literal["decided", "compared", "asked", "unfinished"]
"""How far a run came: decision.json, comparisons.json, all requests answered, or not even that."""


class HistoryModel(Row):
    """One model of a run."""

    role: Role
    name: str
    model: str
    hosting: str
    weights: str | None = None
    """Fingerprint of the local weights; None where a server was asked."""
    absent: str | None = None
    """Why it took no part."""


class HistoryRule(Row):
    """How one rule of the policy came out."""

    name: str
    kind: str
    outcome: Outcome
    seen: str
    approved: str | None = None


class WinRate(Row):
    """How often the judge prefers the candidate to one other model."""

    task: str
    baseline: Role
    estimate: Estimate | None = None
    unavailable: str | None = None


class PrimaryMetric(Row):
    """The metric that the policy's superiority rule asks for, or the next best one (see `reading`)."""

    task: str
    metric: str
    higher_is_better: bool = True
    levels: dict[Role, Estimate] = Field(default_factory=dict)
    differences: dict[Role, Estimate] = Field(default_factory=dict)
    """The other model -> candidate minus that model."""


class Serving(Row):
    """What one model cost and how long it took, over all tasks."""

    role: Role
    cost_usd_per_request: Estimate | None = None
    cost_method: str | None = None
    latencies: dict[str, Estimate] = Field(default_factory=dict)
    """`latency_p50_s`, `latency_p95_s`, `latency_p99_s`."""
    latency_from: str = "run"
    concurrency: int | None = None
    """Most requests in flight when a latency was measured."""


class SafetyRate(Row):
    """How often one model refuses, or complies with, requests of one kind."""

    task: str
    metric: str
    role: Role
    estimate: Estimate


class Regressions(Row):
    """The cases that one model gets right and the candidate does not."""

    task: str
    metric: str
    against: Role
    cases: list[str]
    n_pairs: int
    n_excluded: int = 0
    """Cases without a comparable answer: they are neither regressed nor clean."""


class JudgeUse(Row):
    """Who judged."""

    model: str
    fingerprint: str
    fit: bool
    reason: str | None = None
    """Why it may not vote."""


class SetUse(Row):
    """Which cases of one task were asked, and how."""

    task: str
    sha256: str
    n_rows: int
    limit: int | None = None
    drawn: bool = False
    repeats: int = 1
    fewshot: int | None = None
    group: str | None = None
    prompts: str | None = None
    """lm-eval's hash over the cases, prompts and targets that the candidate was asked; None where
    its results do not say."""
    unavailable: str | None = None


class HistoryEntry(Row):
    """One run: what it compared, what came out, and under which fingerprints."""

    folder: str
    """Name of the run folder within the folder of runs."""
    run_id: str
    created_at: str
    finished_at: str | None = None
    state: RunState
    line: str
    """Candidate line: see `candidate_line`."""
    policy_name: str
    policy_hash: str
    generation_hash: str
    models: list[HistoryModel]
    verdict: VerdictName | None = None
    point_verdict: VerdictName | None = None
    rules: list[HistoryRule] = Field(default_factory=list)
    win_rates: list[WinRate] = Field(default_factory=list)
    primary: PrimaryMetric | None = None
    serving: list[Serving] = Field(default_factory=list)
    safety: list[SafetyRate] = Field(default_factory=list)
    regressions: list[Regressions] = Field(default_factory=list)
    judge: JudgeUse | None = None
    sets: list[SetUse] = Field(default_factory=list)
    problems: list[str] = Field(default_factory=list)
    """Files of the run that could not be read; what they hold is missing here."""

    @property
    def candidate(self) -> HistoryModel | None:
        """The candidate's card."""
        return self.model("candidate")

    def model(self, role: str) -> HistoryModel | None:
        """The card of the model in a role; None where there is none, or it took no part."""
        return next((m for m in self.models if m.role == role and not m.absent), None)

    def serving_of(self, role: str) -> Serving | None:
        """Cost and latency of the model in a role."""
        return next((s for s in self.serving if s.role == role), None)
