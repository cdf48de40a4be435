"""`findings.json` and `review.jsonl`: what went wrong, where, what changed, and what reviewers say."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftgate_ext.schema.estimate import Estimate
from ftgate_ext.schema.row import FORMAT_VERSION, Role, Row

ChangeKind = Literal["broken", "flaky", "still_wrong"]
ReviewVerdict = Literal["regression_confirmed", "reversed", "label_wrong", "both_fine", "not_sure"]
MAX_REVIEW_NOTE = 4000


class Example(Row):
    """One failure, to look at."""

    case_id: str
    role: Role
    expected: str
    answer: str


class Finding(Row):
    """An error bucket: how many cases of one model fell into it, with examples."""

    task: str
    category: str
    role: Role
    n: int
    of: int
    """Cases with an answer; of failed requests, cases asked. Of repeats the first counts."""
    examples: list[Example]
    """Typical ones, the most typical first."""
    rate: Estimate | None = None
    """n of `of`, with its interval."""
    also: int = 0
    """Further answers that show it beside a failure of another category."""


class BucketRate(Row):
    """How often two models are wrong on the cases of one bucket; difference = candidate - other."""

    bucket: str
    n: int
    """Cases that both models answered."""
    failed: Estimate
    """The candidate's share of wrong cases."""
    reference_failed: Estimate
    difference: Estimate
    no_interval: str | None = None
    p: float | None = None
    p_holm: float | None = None
    """Corrected for all buckets of the task that were tested."""
    fixed: int = 0
    """Cases that only the candidate has right in most repeats."""
    broken: int = 0
    members: list[str] = Field(default_factory=list)
    """Of the row that sums small buckets: their names, the largest first."""


class BucketTable(Row):
    """Failures by one property of the cases."""

    task: str
    metric: str
    reference: Role
    by: str
    rows: list[BucketRate] = Field(default_factory=list)
    n_tested: int = 0
    """Buckets of the task among which p values are corrected."""
    absent: str | None = None
    """Why there are no rows."""


class Confusion(Row):
    """Expected against answered categories of one model on one task; of repeats the first counts."""

    task: str
    role: Role
    expected: list[str]
    answered: list[str]
    counts: list[list[int]]
    """One row an expected category."""
    n: int
    n_unanswered: int = 0
    """Cases whose request failed: in no cell."""


class CategoryChange(Row):
    """One failure category, candidate against the other model on the same cases."""

    category: str
    new: int
    """Cases where only the candidate's answer fell into it."""
    gone: int
    both: int
    n: int
    difference: Estimate
    """Share of the candidate's answers in it minus the other's."""
    p: float | None = None
    p_holm: float | None = None
    """Corrected for all categories of the task."""


class Change(Row):
    """What became right and wrong between two models, on one metric, case by case."""

    task: str
    metric: str
    reference: Role
    repeats: int = 1
    n: int = 0
    """Cases that both models have a score for."""
    counts: dict[str, int] = Field(default_factory=dict)
    """fixed, broken, still_wrong, still_right, and flaky where cases were asked repeatedly."""
    shares: dict[str, Estimate] = Field(default_factory=dict)
    """The same as shares of n, with intervals."""
    net: Estimate | None = None
    """Share of cases right, candidate minus other, paired."""
    no_interval: str | None = None
    p: float | None = None
    ids: dict[str, list[str]] = Field(default_factory=dict)
    """fixed, broken, still_wrong, flaky -> case ids, the first thousand."""
    categories: list[CategoryChange] = Field(default_factory=list)
    broken_as: dict[str, int] = Field(default_factory=dict)
    """Failure category of the candidate's answer -> how many of the broken cases."""
    unavailable: str | None = None


class TopFailure(Row):
    """A case that the candidate gets wrong, in the order in which they are worth looking at."""

    task: str
    metric: str
    reference: Role
    case_id: str
    doc_hash: str
    change: ChangeKind
    category: str | None = None
    """Of the candidate's answer."""
    severity: str | None = None
    """Of the defect, as the eval set states it."""
    drop: float
    """The other model's share of right repeats minus the candidate's."""
    is_withheld: bool = False
    """A harmful request: answers to it are shown nowhere unasked."""


class FailureLabel(Row):
    """What the judge says a failure is: a line of `failure_labels.jsonl`."""

    task: str
    role: Role
    case_id: str
    doc_hash: str
    answer_hash: str
    """sha256 of the answer: another answer has another label."""
    category: str | None = None
    """None where the judge's answer could not be read, or no category fits."""
    reasoning: str = ""
    problem: str | None = None
    judge_model: str
    fingerprint: str
    cost_usd: float | None = None


class FailureSorting(Row):
    """`failure_sorting.json`: what the judge did about failures that no rule sorts."""

    format_version: int = FORMAT_VERSION
    n_unsorted: int = 0
    """Failures that no rule sorts."""
    n_asked: int = 0
    n_labelled: int = 0
    limit: int = 0
    cost_usd: float | None = None
    skipped: str | None = None
    """Why the judge was not asked."""


class Findings(Row):
    """`findings.json`: what went wrong, by failure category, by bucket, and what changed."""

    format_version: int = FORMAT_VERSION
    findings: list[Finding]
    taxonomy: str = "built in"
    changes: list[Change] = Field(default_factory=list)
    buckets: list[BucketTable] = Field(default_factory=list)
    confusion: list[Confusion] = Field(default_factory=list)
    top: list[TopFailure] = Field(default_factory=list)
    """The candidate's failures that are most worth looking at, worst regressions first."""
    sorting: FailureSorting | None = None
    absent: list[str] = Field(default_factory=list)
    """What could not be analysed, and why."""


class CaseReview(Row):
    """What one reviewer says of one regression, without knowing whose answer is whose."""

    task: str
    metric: str
    reference: Role
    case_id: str
    doc_hash: str
    pair_hash: str = Field(min_length=1)
    """Of both answers: a review holds as long as they stay the same."""
    reviewer: str = Field(min_length=1, max_length=60)
    verdict: ReviewVerdict
    """reversed: the reviewer calls the other model's answer the wrong one."""
    shown_first: Literal["candidate", "reference"]
    note: str | None = Field(default=None, max_length=MAX_REVIEW_NOTE)
    at: str
    """When, in UTC."""
