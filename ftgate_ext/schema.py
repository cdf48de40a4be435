"""Every type that ftgate writes to disk. Knows no model, no file, no policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ftgate_ext.errors import EvalSetError as EvalSetError  # noqa: PLC0414 - handed on
from ftgate_ext.errors import FtgateError as FtgateError  # noqa: PLC0414 - handed on
from ftgate_ext.errors import PolicyError as PolicyError  # noqa: PLC0414 - handed on
from ftgate_ext.errors import RunError as RunError  # noqa: PLC0414 - handed on

if TYPE_CHECKING:
    from typing_extensions import Self

FORMAT_VERSION = 1

Outcome = Literal["PASS", "FAIL", "INCONCLUSIVE"]
VerdictName = Literal["GO", "NO-GO", "INCONCLUSIVE"]
EXIT_CODES: dict[VerdictName, int] = {"GO": 0, "NO-GO": 1, "INCONCLUSIVE": 3}

Role = Literal["candidate", "production", "base", "frontier"]
ROLES: tuple[Role, ...] = ("candidate", "production", "base", "frontier")

ResponseStatus = Literal["ok", "empty", "truncated", "malformed", "refused_by_provider", "failed"]
# The model gave no answer that could be scored: nobody may call that wrong.
UNSCORED_STATUSES: frozenset[str] = frozenset({"failed", "malformed"})


class Answer(str):
    """A model's text that remembers how it came about.

    lm-eval hands answers to scorers as plain strings; this one carries its status along, so that a
    request that failed can be told from a model that said nothing. No model can write one.
    """

    __slots__ = ("status",)
    status: ResponseStatus

    def __new__(cls, text: str, status: ResponseStatus = "ok") -> Self:
        """Make an answer of `text`; lm-eval casts targets to the type of an answer, hence `ok`."""
        answer = super().__new__(cls, text)
        answer.status = status
        return answer


def is_unscored(answer: str) -> bool:
    """Whether there is no answer to score, through no fault of the model."""
    return isinstance(answer, Answer) and answer.status in UNSCORED_STATUSES


class Row(BaseModel):
    """What all types on disk share: closed, no NaN, attribute docstrings are the documentation."""

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )


class Response(Row):
    """What one model answered to one request, and what it cost: one line of `responses.jsonl`."""

    case_id: str
    """The row's `id`, or its position where it has none."""
    task: str
    prompt_hash: str
    """sha256 of the prompt as lm-eval logs it; joins this line to `samples_*.jsonl`."""
    occurrence: int
    """0 for the first request with this prompt, 1 for the second: repeats stay apart."""
    request_hash: str
    """sha256 of model and full payload: the key under which an answer may be used again."""
    model_asked: str
    model_answered: str | None = None
    """The name that the server put into its answer."""
    system_fingerprint: str | None = None
    status: ResponseStatus
    text: str = ""
    latency_s: float | None = None
    """Seconds in flight of the last attempt, without waiting in our own queue."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    finish_reason: str | None = None
    attempts: int = 1
    concurrency: int | None = None
    """How many requests were allowed in flight while this one was measured."""
    cost_usd: float | None = None
    error: str | None = None
    """Why there is no answer, in one line without secrets."""
    finished_at: str
    """ISO 8601, UTC."""


class Estimate(Row):
    """A figure with its uncertainty."""

    value: float
    lower: float | None = None
    upper: float | None = None
    level: float | None = None
    """Confidence level of `lower` and `upper`, two-sided."""
    n: int
    method: str


class TestResult(Row):
    """A significance test of "no difference"."""

    name: str
    p: float
    detail: str = ""


class Comparison(Row):
    """Candidate against one other model on one metric of one task; difference = candidate - other."""

    task: str
    metric: str
    kind: Literal["f1", "binary", "mean", "win_rate"]
    candidate: Role = "candidate"
    baseline: Role
    n_pairs: int
    n_excluded: int
    """Cases left out because one of the two models has no scorable answer."""
    n_unpaired: int = 0
    """Cases that only one of the two models was asked."""
    n_prompts_differ: int = 0
    """Pairs whose prompts were not the same text (another chat template, for instance)."""
    candidate_estimate: Estimate | None = None
    baseline_estimate: Estimate | None = None
    difference: Estimate | None = None
    lower_one_sided: float | None = None
    """One-sided 95 % lower limit of the difference (of the win rate minus one half)."""
    upper_one_sided: float | None = None
    tests: list[TestResult] = Field(default_factory=list)
    intervals_overlap: bool | None = None
    """Whether the two models' own 95 % intervals overlap: a flag, never a test."""
    higher_is_better: bool = True
    counts: dict[str, int] = Field(default_factory=dict)
    """Binary: both, only_candidate, only_baseline, neither. Win rate: wins, losses, ties ..."""
    lost_cases: list[str] = Field(default_factory=list)
    """Binary: the cases that the baseline gets right and the candidate does not."""
    unavailable: str | None = None
    """Why there is no figure; then there are no estimates either."""


class Level(Row):
    """One model on one metric of one task, by itself."""

    task: str
    metric: str
    role: Role
    estimate: Estimate | None = None
    lower_one_sided: float | None = None
    upper_one_sided: float | None = None
    n_unscored: int = 0
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
    concurrency: int | None = None
    attempts: int | None = None
    n_without_response: int = 0
    """Samples without a line in `responses.jsonl`: latency and cost unknown, not zero."""


class Comparisons(Row):
    """`comparisons.json`: everything the decision may look at."""

    format_version: int = FORMAT_VERSION
    run_id: str
    roles: list[Role]
    levels: list[Level]
    comparisons: list[Comparison]
    operations: list[Operations]
    sources: dict[str, list[str]]
    """Role -> the files its figures came from, relative to the run folder."""
    resamples: int
    seed: int


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
    examples: list[Example]


class Findings(Row):
    """`findings.json`: what went wrong, by failure category."""

    format_version: int = FORMAT_VERSION
    findings: list[Finding]


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


class ServedModel(Row):
    """What the server said about itself when the run began."""

    endpoint: str
    model: str
    served_models: list[str]
    system_fingerprint: str | None = None


class EvalSetUse(Row):
    """Which data a task used."""

    task: str
    file: str
    sha256: str
    n_rows: int
    limit: int | None = None
    config_source: str


class ModelCard(Row):
    """One model of the comparison as the policy describes it."""

    role: Role
    name: str
    model: str
    endpoint: str
    hosting: str
    input_usd_per_mtok: float | None = None
    output_usd_per_mtok: float | None = None
    usd_per_hour: float | None = None
    absent: str | None = None
    """Why the model takes no part, for an optional one."""
    served: ServedModel | None = None


class RunManifest(Row):
    """`run.json`: what was asked of whom, with what."""

    format_version: int = FORMAT_VERSION
    run_id: str
    policy_name: str
    policy_hash: str
    generation_hash: str
    """Hash of the part of the policy that decides what is generated."""
    created_at: str
    finished_at: str | None = None
    """None while requests are unanswered: the same command asks them again."""
    models: list[ModelCard]
    eval_sets: list[EvalSetUse] = Field(default_factory=list)
    seed: int
    concurrency: int
    versions: dict[str, str]


class RuleResult(Row):
    """What one rule of the policy asked, what was seen, and what follows."""

    name: str
    kind: str
    evidence: str
    outcome: Outcome
    asked: str
    seen: str
    sentence: str
    """The outcome in words for whoever signs."""
    next_step: str | None = None
    task: str | None = None
    metric: str | None = None
    against: Role | None = None
    estimate: Estimate | None = None
    lower_one_sided: float | None = None
    upper_one_sided: float | None = None
    threshold: float | None = None
    approved: str | None = None
    """Who approved a failure, why and until when."""


class Decision(Row):
    """`decision.json`: the verdict and all it rests on."""

    format_version: int = FORMAT_VERSION
    run_id: str
    policy_name: str
    policy_hash: str
    verdict: VerdictName
    exit_code: int
    rules: list[RuleResult]
    warnings: list[str] = Field(default_factory=list)


def to_json(row: Row) -> dict[str, Any]:
    """Return `row` as plain JSON values."""
    return row.model_dump(mode="json")
