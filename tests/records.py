"""Small builders of what the stages pass on: records, models, policies and judgments.

Every builder fills in what a test does not care about. Nothing here computes what is under test.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import settings

from ftgate_ext.policy import Policy
from ftgate_ext.runs import ModelRecords, Record
from ftgate_ext.schema import (
    Bound,
    Comparison,
    Comparisons,
    Estimate,
    Judgment,
    Level,
    OperationRatio,
    Operations,
    Qualification,
    Response,
    TestResult,
)
from ftgate_ext.scores import ModelScores, tabulate_records

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ftgate_ext.schema import PairVerdict, ResponseStatus, Role

TASK = "quiz"
METRIC = "passed"

# For property tests: the same examples in every run, and no deadline on a busy machine.
QUICK = settings(max_examples=40, deadline=None, derandomize=True)


def make_response(status: ResponseStatus = "ok", **changes: Any) -> Response:
    """A response of a model, with latency, tokens and cost unless it failed."""
    fields: dict[str, Any] = {
        "case_id": "case-1", "task": TASK, "prompt_hash": "p", "occurrence": 0, "request_hash": "r",
        "model_asked": "toy", "status": status, "finished_at": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    if status not in ("failed", "malformed"):
        fields |= {"latency_s": 0.5, "input_tokens": 100, "output_tokens": 10, "cost_usd": 0.001}
    return Response(**fields | changes)


def make_record(
    case_id: str = "case-1",
    *,
    task: str = TASK,
    answer: str = "an answer",
    status: ResponseStatus | None = None,
    prompt: str | None = None,
    doc: dict[str, Any] | None = None,
    target: str = "",
    response: Response | None = None,
    **scores: Any,
) -> Record:
    """One case of one model; `scores` are its metrics.

    The doc hash depends on the case id and `doc`, so that records of two models on the same case
    join. `status` makes a response; a failed request of our own tasks also sets `unanswered`.
    """
    doc = {"id": case_id} | (doc or {})
    prompt = f"question {case_id}" if prompt is None else prompt
    return Record(
        task=task, case_id=case_id, doc_hash=_sha256(repr(sorted(doc.items()))), prompt_hash=_sha256(prompt),
        doc=doc, prompt=prompt, target=target, answer=answer, scores=scores,
        response=make_response(status, case_id=case_id, task=task) if status else response,
    )  # fmt: skip


def make_outcomes(
    values: Sequence[Any], *, task: str = TASK, metric: str = METRIC, prefix: str = "case"
) -> list[Record]:
    """One record a value, on cases that are the same for every call; None means not scored."""
    return [
        make_record(f"{prefix}-{i}", task=task, **({} if value is None else {metric: value}))
        for i, value in enumerate(values)
    ]


def make_models(
    higher_is_better: dict[str, dict[str, bool]] | None = None, **roles: Iterable[Record]
) -> dict[Role, ModelRecords]:
    """Role -> its records, sorted by task."""
    models: dict[Role, ModelRecords] = {}
    for role, records in roles.items():
        by_task: dict[str, list[Record]] = {}
        for record in records:
            by_task.setdefault(record.task, []).append(record)
        models[role] = ModelRecords(  # type: ignore[index]
            Path("runs/toy") / role, by_task, higher_is_better or {}, [Path(f"runs/toy/{role}/r.json")]
        )  # fmt: skip
    return models


def as_scores(
    models: dict[Role, ModelRecords], fields: Sequence[str] = ("cluster",)
) -> dict[Role, ModelScores]:
    """The columns that comparisons work on."""
    return {role: tabulate_records(model, fields) for role, model in models.items()}


def make_policy(
    *rules: dict[str, Any],
    approvals: Sequence[dict[str, Any]] = (),
    max_failed_share: float = 0.02,
    judge: dict[str, Any] | None = None,
    tasks: Sequence[str] = (TASK,),
    **settings: Any,
) -> Policy:
    """A policy of candidate, production, base and frontier with a judge of `tasks[0]`.

    A rule without a name is called by its kind; task and metric are filled in where it needs them.
    `settings` are further keys of gate.yaml.
    """
    server = {"endpoint": "http://localhost:1/v1", "model": "toy"}
    return Policy.model_validate({
        "version": 1, "name": "toy gate",
        "models": dict.fromkeys(("candidate", "production", "base", "frontier"), server),
        "eval_sets": [{"task": task, "kind": "capability"} for task in tasks],
        "judge": server | {"task": tasks[0], "against": ["production", "frontier"]} | (judge or {}),
        "run": {"max_failed_share": max_failed_share, "resamples": 1000},
        "rules": [_full_rule(rule) for rule in rules],
        "approvals": [{"by": "A. Lead", "reason": "known", "until": "2026-12-31"} | a for a in approvals],
        **settings,
    })  # fmt: skip


def _full_rule(rule: dict[str, Any]) -> dict[str, Any]:
    needs_task = rule["kind"] not in {
        "win_rate", "budget", "ratio", "any_route", "pooled_non_inferiority",
    }  # fmt: skip
    return {"name": rule["kind"]} | ({"task": TASK, "metric": METRIC} if needs_task else {}) | rule


def make_comparison(
    value: float = 0.0,
    limits: tuple[float | None, float | None] = (None, None),
    p: float | None = None,
    **fields: Any,
) -> Comparison:
    """Candidate against production on 100 pairs with this difference, its limits and its test."""
    return Comparison(**{
        "task": TASK, "metric": METRIC, "kind": "mean", "baseline": "production", "n_pairs": 100, "n_excluded": 0,
        "difference": Estimate(value=value, n=100, method="by hand"),
        "lower_one_sided": limits[0], "upper_one_sided": limits[1],
        "tests": [] if p is None else [TestResult(name="by hand", p=p)],
    } | fields)  # fmt: skip


def make_bound(
    value: float, limits: tuple[float | None, float | None] = (None, None), n: int = 100, **fields: Any
) -> Bound:  # fmt: skip
    """A figure with its one-sided limits."""
    return Bound(
        estimate=Estimate(value=value, n=n, method="by hand"),
        lower_one_sided=limits[0], upper_one_sided=limits[1], **fields,
    )  # fmt: skip


def make_level(
    value: float, limits: tuple[float | None, float | None] = (None, None), **fields: Any
) -> Level:
    """The candidate's own figure on 100 cases."""
    return Level(**{
        "task": TASK, "metric": METRIC, "role": "candidate", **dict(make_bound(value, limits)),
    } | fields)  # fmt: skip


def make_operations(**fields: Any) -> Operations:
    """What 100 requests to the candidate took."""
    return Operations(
        **{"role": "candidate", "task": "*", "n_requests": 100, "statuses": {"ok": 100}} | fields
    )


def make_comparisons(
    *rows: Comparison | Level | Operations | OperationRatio, **fields: Any
) -> Comparisons:
    """Everything that the decision may look at."""
    return Comparisons(**{
        "run_id": "run-1", "roles": ["candidate", "production"], "resamples": 1000, "seed": 1, "sources": {},
        "comparisons": [r for r in rows if isinstance(r, Comparison)],
        "levels": [r for r in rows if isinstance(r, Level)],
        "operations": [r for r in rows if isinstance(r, Operations)],
        "ratios": [r for r in rows if isinstance(r, OperationRatio)],
    } | fields)  # fmt: skip


def make_qualification(*reasons: str) -> Qualification:
    """A judge that is fit unless reasons are given."""
    return Qualification(
        judge_model="toy-judge", fingerprint="f", fit=not reasons, reasons=list(reasons),
        n_pairs=100, n_identical=0, n_unparsed=0,
    )  # fmt: skip


def make_judgment(
    case_id: str = "case-1",
    verdict: PairVerdict = "tie",
    *,
    round_: int = 0,
    first: str = "candidate",
    baseline: Role = "production",
    identical: bool = False,
    task: str = TASK,
    response: Response | None = None,
) -> Judgment:
    """One look of the judge; `verdict` is about the models, the judge's own A and B follow."""
    raw: str = verdict
    if verdict in ("candidate_better", "baseline_better"):
        raw = "A_better" if verdict.startswith(first) else "B_better"
    return Judgment(
        task=task, case_id=case_id, doc_hash=_sha256(case_id), baseline=baseline, first=first,
        round=round_, judge_model="toy-judge", fingerprint="f", pair_hash=_sha256(case_id),
        identical=identical, raw_verdict=raw, verdict=verdict, response=response,
    )  # fmt: skip


def make_pair(
    case_id: str, in_order: PairVerdict, exchanged: PairVerdict, **fields: Any
) -> list[Judgment]:
    """Both looks at one pair: the candidate first, then the baseline first."""
    return [
        make_judgment(case_id, in_order, round_=0, first="candidate", **fields),
        make_judgment(case_id, exchanged, round_=1, first="baseline", **fields),
    ]


def make_pairs(verdicts: Iterable[PairVerdict], **fields: Any) -> list[Judgment]:
    """One pair a verdict, judged alike in both orders."""
    return [
        judgment
        for i, verdict in enumerate(verdicts)
        for judgment in make_pair(f"pair-{i}", verdict, verdict, **fields)
    ]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
