"""`comparisons.json`: everything the decision may look at."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftgate_ext.schema.estimate import Bound, Estimate, TestResult
from ftgate_ext.schema.latency import LatencyRun
from ftgate_ext.schema.look import LookUse
from ftgate_ext.schema.operations import BreakEven, OperationRatio, Operations
from ftgate_ext.schema.price import Price
from ftgate_ext.schema.row import FORMAT_VERSION, Role, Row


class Bucket(Row):
    """The difference in one bucket of an eval set."""

    by: str
    """The field of the row that makes the buckets."""
    bucket: str
    n: int
    difference: float
    standard_error: float | None = None
    """None where there is none; then the bucket shows nothing."""
    gained: int | None = None
    """Binary: cases that only the candidate has right."""
    lost: int | None = None
    candidate: float | None = None
    """Each model's own mean in this bucket; None for an F1."""
    baseline: float | None = None


class Comparison(Row):
    """Candidate against one other model on one metric of one task; difference = candidate - other."""

    task: str
    metric: str
    kind: Literal["f1", "binary", "mean", "win_rate"]
    candidate: Role = "candidate"
    baseline: Role
    n_pairs: int
    """Cases that both models have a score for; repeats of a case count once."""
    n_excluded: int
    """Cases left out because one of the two models has no scorable answer."""
    n_unpaired: int = 0
    """Cases that only one of the two models was asked."""
    n_prompts_differ: int = 0
    """Pairs whose prompts were not the same text (another chat template, for instance)."""
    n_clusters: int | None = None
    """Groups of cases that belong together; None where every case stands alone."""
    repeats: int = 1
    """How often each case was asked; repeats are averaged first."""
    n_failed_repeats: int = 0
    """Requests of the pairs without an answer; the other repeats of their cases stand for them."""
    candidate_estimate: Estimate | None = None
    baseline_estimate: Estimate | None = None
    difference: Estimate | None = None
    alpha_one_sided: float = 0.05
    """Test level of the one-sided limits: 0.05, less where looks or a selection are corrected for."""
    alpha_two_sided: float = 0.05
    """The p below which a test counts as significant."""
    lower_one_sided: float | None = None
    """One-sided lower limit of the difference (of the win rate minus one half)."""
    upper_one_sided: float | None = None
    no_interval: str | None = None
    """Why there are no limits, where there is a difference."""
    standard_error: float | None = None
    mde: float | None = None
    """Smallest true difference that this many cases show in 80 of 100 runs (two-sided 5 %)."""
    tests: list[TestResult] = Field(default_factory=list)
    """The first one decides."""
    ratio: Bound | None = None
    """Candidate / other."""
    intervals_overlap: bool | None = None
    """Whether the two models' own 95 % intervals overlap: a flag, never a test."""
    higher_is_better: bool = True
    counts: dict[str, int] = Field(default_factory=dict)
    """Pass/fail: both, only_candidate, only_baseline, neither. Win rate: wins, losses, ties ..."""
    lost_cases: list[str] = Field(default_factory=list)
    """Pass/fail: the cases that the baseline gets right (in most repeats) and the candidate does not."""
    lost_by: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Field that makes buckets -> its value -> how many of the lost cases have it."""
    pass_rate_drops: dict[str, list[float]] = Field(default_factory=dict)
    """Repeated pass/fail: other cases whose pass rate fell, with candidate's and baseline's rate."""
    buckets: list[Bucket] = Field(default_factory=list)
    """For rules that look at each bucket."""
    notes: list[str] = Field(default_factory=list)
    """What a reader must know about the figure: how it was corrected, where judging stopped."""
    unavailable: str | None = None
    """Why there is no figure; then there are no estimates either."""


class Level(Row):
    """One model on one metric of one task, by itself."""

    task: str
    metric: str
    role: Role
    estimate: Estimate | None = None
    alpha_one_sided: float = 0.05
    lower_one_sided: float | None = None
    upper_one_sided: float | None = None
    no_interval: str | None = None
    """Why there are no limits, where there is an estimate."""
    n_unscored: int = 0
    """Cases without a score because their requests failed, or the score is no number."""
    n_failed_repeats: int = 0
    """Requests without an answer that other repeats of their case stand for."""
    n_clusters: int | None = None
    """Groups of cases that belong together; None where every case stands alone."""
    repeats: int = 1
    """How often each case was asked; repeats are averaged first."""
    higher_is_better: bool = True
    unavailable: str | None = None


class Consistency(Row):
    """How often all repeats of a case came out alike."""

    role: Role
    task: str
    metric: str
    repeats: int
    same: Bound
    """The share of cases with the same score in every repeat."""


class ThresholdPoint(Row):
    """What flagging every case at or above a threshold gives."""

    threshold: float
    precision: float
    recall: float
    f1: float


class ThresholdSweep(Row):
    """Precision and recall of one model's scores at every threshold."""

    role: Role
    task: str
    n: int
    """Cases with a score."""
    n_positive: int
    n_without_score: int = 0
    average_precision: float | None = None
    best_threshold: float | None = None
    """With the highest F1 on these very cases: on others it will do worse."""
    best_f1: float | None = None
    points: list[ThresholdPoint] = Field(default_factory=list)
    """Highest threshold first; of many an even choice."""
    unavailable: str | None = None


class LedgerSubject(Row):
    """One subject of a benchmark in the forgetting ledger."""

    subject: str
    n: int
    difference: Estimate | None = None
    gained: int | None = None
    lost: int | None = None
    p: float | None = None
    p_holm: float | None = None
    """Corrected over all subjects of this benchmark and model."""
    is_lost: bool = False
    """The candidate is worse, and chance is rejected after the correction."""


class LedgerEntry(Row):
    """The candidate against one other model on one capability benchmark: a row of the ledger."""

    task: str
    benchmark: str
    """As gate.yaml calls it."""
    metric: str
    baseline: Role
    n: int = 0
    candidate: Estimate | None = None
    other: Estimate | None = None
    difference: Estimate | None = None
    gained: int | None = None
    """Cases that only the candidate has right, or with a higher score."""
    lost: int | None = None
    p: float | None = None
    higher_is_better: bool = True
    subjects: list[LedgerSubject] = Field(default_factory=list)
    """Largest loss first."""
    absent: str | None = None
    """Why there are no figures."""


class Comparisons(Row):
    """`comparisons.json`: everything the decision may look at."""

    format_version: int = FORMAT_VERSION
    run_id: str
    roles: list[Role]
    groups: dict[str, list[str]] = Field(default_factory=dict)
    """Group of tasks -> the tasks below it; both are compared."""
    unavailable: dict[str, str] = Field(default_factory=dict)
    """Eval set, or a task of a group -> why nothing of it could be asked."""
    levels: list[Level]
    comparisons: list[Comparison]
    perturbed: list[Comparison] = Field(default_factory=list)
    """Each model's answers to perturbed cases against its own to the same cases as they are;
    `metric` is followed by a comma and the perturbation."""
    consistency: list[Consistency] = Field(default_factory=list)
    sweeps: list[ThresholdSweep] = Field(default_factory=list)
    """For tasks with a score a row."""
    ledger: list[LedgerEntry] = Field(default_factory=list)
    """What the candidate gained and forgot, on every capability benchmark of the policy."""
    operations: list[Operations]
    ratios: list[OperationRatio] = Field(default_factory=list)
    break_even: list[BreakEven] = Field(default_factory=list)
    prices: dict[Role, Price] = Field(default_factory=dict)
    """What costs were computed with, where the policy says."""
    latency_run: LatencyRun | None = None
    """How the models were measured interleaved, where they were."""
    look: LookUse | None = None
    selected_from: dict[str, int] = Field(default_factory=dict)
    """Task -> of how many checkpoints the candidate was the best there."""
    sources: dict[str, list[str]]
    """Role -> the files its figures came from, relative to the run folder."""
    resamples: int
    seed: int
