"""`comparisons.json`: everything the decision may look at."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftgate_ext.schema.row import FORMAT_VERSION, Role, Row


class Estimate(Row):
    """A figure with its uncertainty."""

    value: float
    lower: float | None = None
    upper: float | None = None
    level: float | None = None
    """Confidence level of `lower` and `upper`, two-sided."""
    n: int
    method: str


class Bound(Row):
    """A figure with its interval and the one-sided limits at which rules look."""

    estimate: Estimate
    alpha_one_sided: float = 0.05
    """Test level of the one-sided limits."""
    lower_one_sided: float | None = None
    upper_one_sided: float | None = None
    no_interval: str | None = None
    """Why a limit is missing."""


class TestResult(Row):
    """A significance test of "no difference"."""

    name: str
    p: float
    detail: str = ""


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
    pass_rate_drops: dict[str, list[float]] = Field(default_factory=dict)
    """Repeated pass/fail: other cases whose pass rate fell, with candidate's and baseline's rate."""
    buckets: list[Bucket] = Field(default_factory=list)
    """For rules that look at each bucket."""
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


class Operations(Row):
    """What it took one model to answer one task (or all of them: task `*`)."""

    role: Role
    task: str
    n_requests: int
    statuses: dict[str, int]
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None
    latency_p99_s: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd_per_request: float | None = None
    bounds: dict[str, Bound] = Field(default_factory=dict)
    """Cost per request and latency quantiles by their field's name, with limits; task `*` only."""
    concurrency: int | None = None
    attempts: int | None = None
    n_without_response: int = 0
    """Samples without a line in `responses.jsonl`: latency and cost unknown, not zero."""


class OperationRatio(Row):
    """Cost or latency of the candidate as a multiple of another model's, on the same cases."""

    quantity: str
    baseline: Role
    ratio: Bound | None = None
    unavailable: str | None = None


class LookUse(Row):
    """Which of the planned looks at the growing data these comparisons are."""

    number: int
    planned: int | None = None
    """None where none were planned; then more than one inflates the error rate."""
    boundary: Literal["pocock", "obrien_fleming"] | None = None


class Comparisons(Row):
    """`comparisons.json`: everything the decision may look at."""

    format_version: int = FORMAT_VERSION
    run_id: str
    roles: list[Role]
    groups: dict[str, list[str]] = Field(default_factory=dict)
    """Group of tasks -> the tasks below it; both are compared."""
    levels: list[Level]
    comparisons: list[Comparison]
    operations: list[Operations]
    ratios: list[OperationRatio] = Field(default_factory=list)
    look: LookUse | None = None
    selected_from: dict[str, int] = Field(default_factory=dict)
    """Task -> of how many checkpoints the candidate was the best there."""
    sources: dict[str, list[str]]
    """Role -> the files its figures came from, relative to the run folder."""
    resamples: int
    seed: int


class Look(Row):
    """One look at a run's data."""

    number: int
    at: str
    """ISO 8601, UTC."""
    data_hash: str
    """sha256 of the cases that were compared: the same cases again are no new look."""
    n_cases: dict[str, int]
    """Task -> cases."""


class LookLedger(Row):
    """`looks.json`: how often a run's growing data was looked at."""

    format_version: int = FORMAT_VERSION
    looks: list[Look] = Field(default_factory=list)
