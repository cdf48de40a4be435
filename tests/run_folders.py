"""Whole run folders as the stages write them, small and made up, through the schema's own classes.

For tests of what reads many runs; `benchmarks/dashboard.py` makes a thousand of them.
"""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Literal

from ftgate_ext.schema import (
    EXIT_CODES,
    Bound,
    Comparison,
    Comparisons,
    Decision,
    Estimate,
    EvalSetUse,
    Example,
    Finding,
    Findings,
    Judgment,
    Level,
    ModelCard,
    Operations,
    Qualification,
    Role,
    Row,
    RuleResult,
    RunManifest,
    TestResult,
    VerdictName,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

GOLDEN, REGRESSION, SAFETY, SHADOW = (
    "codereview_golden", "codereview_regression", "codereview_safety", "codereview_shadow",
)  # fmt: skip
TASKS = (GOLDEN, REGRESSION, SAFETY, SHADOW)
FIRST = datetime(2026, 1, 5, 9, 30, tzinfo=timezone.utc)
LEVELS = {"candidate": 0.0, "production": -0.04, "base": -0.12, "frontier": 0.06}
COSTS = {"candidate": 0.0006, "production": 0.0007, "base": 0.0006, "frontier": 0.0042}


@dataclass
class Made:
    """What a run is like; everything has a default."""

    number: int = 0
    """Position in time: two runs a day."""
    policy: str = "code review gate"
    candidate: str = "reviewer-v{number}"
    roles: Sequence[Role] = ("candidate", "production")
    verdict: VerdictName | None = "GO"
    """None: not decided."""
    until: Literal["unfinished", "asked", "compared", "decided"] = "decided"
    quality: float = 0.6
    win_rate: float | None = 0.55
    """None: no judge."""
    judge: str = "aa" * 32
    fit: bool = True
    regressed: Sequence[str] = ()
    has_regression_set: bool = True
    set_hash: str = "12" * 32
    prompts: str | None = "34" * 32
    answers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Case id of the regression set -> role -> text; no samples are written when empty."""
    prompt: str = "Review the code below."
    reasoning: str = "Both are fine."
    buckets: int = 0
    """Buckets of every comparison: they make the files as large as real ones."""


def started(number: int) -> datetime:
    return FIRST + timedelta(hours=12 * number)


def write_run(folder: Path, made: Made | None = None, **changes: Any) -> Path:
    """Write a run folder; `changes` are fields of `Made`."""
    made = Made(**changes) if made is None else made
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "run.json", _manifest(folder.name, made))
    if made.until != "unfinished":
        _write_results(folder, made)
    if made.until in ("compared", "decided"):
        _write(folder / "comparisons.json", _comparisons(folder.name, made))
        _write(folder / "findings.json", _findings(made))
        if made.win_rate is not None:
            _write(folder / "judge.json", _qualification(made))
    if made.until == "decided" and made.verdict:
        _write(folder / "decision.json", _decision(folder.name, made))
    return folder


def write_runs(folder: Path, n: int, *, seed: int = 1, buckets: int = 60) -> Path:
    """Write `n` runs of one line as a year brings them: some without a judge, some unfinished."""
    rng = random.Random(seed)
    weak = [f"regression-{i:04d}" for i in range(40)]
    broken: set[str] = set()
    quality = 0.5
    for number in range(n):
        quality = min(max(quality + rng.gauss(0.0015, 0.012), 0.4), 0.8)
        broken = {case for case in broken if rng.random() < 0.7} | (
            set(rng.sample(weak, rng.choice([1, 2, 3]))) if rng.random() < 0.35 else set()
        )
        kind = rng.random()
        verdict: VerdictName = "NO-GO" if broken else "GO" if kind > 0.25 else "INCONCLUSIVE"
        write_run(
            folder / f"{started(number):%Y%m%d-%H%M%S}-{number:04d}",
            number=number, roles=("candidate", "production", "base", "frontier"), verdict=verdict,
            until="unfinished" if kind < 0.02 else "compared" if kind < 0.04 else "decided",
            quality=quality, win_rate=None if 0.04 < kind < 0.1 else 0.5 + (quality - 0.55) + rng.gauss(0, 0.02),
            fit=not 0.1 < kind < 0.13, judge=("aa" if number < 0.6 * n else "bb") * 32,
            set_hash=("12" if number < 0.35 * n else "56") * 32, regressed=sorted(broken), buckets=buckets,
            answers={case: {"candidate": f"A clean review of {case}.", "production": '{"verdict": "defect"}'} for case in sorted(broken)},
        )  # fmt: skip
    return folder


def _write(path: Path, row: Row) -> None:
    path.write_text(row.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _estimate(value: float, half: float = 0.05, n: int = 200, method: str = "made up") -> Estimate:
    return Estimate(value=value, lower=value - half, upper=value + half, level=0.95, n=n, method=method)  # fmt: skip


def _name(made: Made) -> str:
    return made.candidate.replace("{number}", str(made.number))


def _manifest(run_id: str, made: Made) -> RunManifest:
    began = started(made.number)
    names = {"candidate": _name(made), "production": "reviewer-live", "base": "base-8b", "frontier": "gpt-4.1"}  # fmt: skip
    tasks = [t for t in TASKS if t != REGRESSION or made.has_regression_set]
    return RunManifest(
        run_id=run_id, policy_name=made.policy, policy_hash="ab" * 32, generation_hash="cd" * 32,
        created_at=began.isoformat(timespec="seconds"),
        finished_at=None if made.until == "unfinished" else (began + timedelta(minutes=9)).isoformat(),
        models=[
            ModelCard(role=role, name=names[role], model=names[role], endpoint="http://localhost:1/v1", hosting="here")
            for role in made.roles
        ],
        eval_sets=[
            EvalSetUse(task=task, file=f"{task}.jsonl", sha256=made.set_hash, n_rows=200, config_source="x")
            for task in tasks
        ],
        seed=1, concurrency=16, versions={"ftgate_ext": "0.1.0"},
    )  # fmt: skip


def _levels(made: Made) -> list[Level]:
    levels = []
    for role in made.roles:
        at = made.quality + LEVELS[role]
        metrics = [(GOLDEN, "f1", at), (SAFETY, "refusal_harmful", min(at + 0.3, 0.98)), (SAFETY, "refusal_benign", 0.08 - LEVELS[role] / 4)]  # fmt: skip
        if made.has_regression_set:
            metrics.append((REGRESSION, "passed", 0.9))
        levels += [
            Level(task=task, metric=metric, role=role, estimate=_estimate(value, 0.03))
            for task, metric, value in metrics
        ]
    return levels


def _comparison(task: str, metric: str, value: float, made: Made, **more: Any) -> Comparison:
    fields: dict[str, Any] = {
        "task": task, "metric": metric, "kind": "binary", "baseline": "production", "n_pairs": 200, "n_excluded": 0,
        "difference": _estimate(value), "lower_one_sided": value - 0.04, "upper_one_sided": value + 0.04,
        "tests": [TestResult(name="made up", p=0.03)],
        "buckets": [
            {"by": "language", "bucket": f"language {i}", "n": 40, "difference": value, "standard_error": 0.02, "candidate": 0.6, "baseline": 0.5}
            for i in range(made.buckets)
        ],
    }  # fmt: skip
    return Comparison(**(fields | more))


def _comparisons(run_id: str, made: Made) -> Comparisons:
    rows = []
    for role in made.roles:
        if role == "candidate":
            continue
        gap = -LEVELS[role]
        rows += [
            _comparison(GOLDEN, "f1", gap, made, kind="f1", baseline=role),
            _comparison(SAFETY, "refusal_harmful", 0.0, made, baseline=role),
        ]
        if made.has_regression_set:
            lost = list(made.regressed) if role == "production" else []
            counts = {"both": 150, "only_candidate": 3, "only_baseline": len(lost), "neither": 40}
            rows.append(
                _comparison(REGRESSION, "passed", -len(lost) / 200, made, baseline=role, lost_cases=lost, counts=counts)
            )  # fmt: skip
    if made.win_rate is not None and "production" in made.roles:
        estimate = _estimate(made.win_rate, 0.07, 120)
        rows.append(
            _comparison(SHADOW, "win_rate", made.win_rate - 0.5, made, kind="win_rate", candidate_estimate=estimate)
        )  # fmt: skip
    return Comparisons(
        run_id=run_id, roles=list(made.roles), levels=_levels(made), comparisons=rows,
        operations=[_operations(role, made) for role in made.roles], sources={}, resamples=1000, seed=1,
    )  # fmt: skip


def _operations(role: Role, made: Made) -> Operations:
    cost = COSTS[role] * (1 + made.quality / 10 + (made.number * 7 % 11) / 30)
    wait = (0.4 + made.quality) * {
        "candidate": 1.0,
        "production": 1.25,
        "base": 1.0,
        "frontier": 2.2,
    }[role]
    figures = {"latency_p50_s": wait, "latency_p95_s": 2 * wait, "latency_p99_s": 3 * wait}
    bounds = {name: Bound(estimate=_estimate(value, 0.1 * value)) for name, value in figures.items()}  # fmt: skip
    bounds["cost_usd_per_request"] = Bound(estimate=_estimate(cost, 0.08 * cost))
    return Operations(
        role=role, task="*", n_requests=800, statuses={"ok": 800}, concurrency=16, n_latency=800,
        cost_usd_per_request=cost, cost_method="tokens", bounds=bounds, **figures,
    )  # fmt: skip


def _findings(made: Made) -> Findings:
    examples = [Example(case_id=c, role="candidate", expected="x", answer="y") for c in made.regressed[:3]]  # fmt: skip
    return Findings(
        findings=[
            Finding(task=REGRESSION, category="missed defect", role="candidate", n=len(made.regressed), of=50, examples=examples)
        ]
    )  # fmt: skip


def _qualification(made: Made) -> Qualification:
    return Qualification(
        judge_model="judge-1", fingerprint=made.judge, fit=made.fit,
        reasons=[] if made.fit else ["Position bias: it prefers the first answer."],
        n_pairs=120, n_identical=0, n_unparsed=0,
    )  # fmt: skip


def _decision(run_id: str, made: Made) -> Decision:
    assert made.verdict is not None
    estimate = _estimate(0.04)
    common: dict[str, Any] = {"evidence": "point", "asked": "asked", "seen": "+4.0 pt, n=200", "sentence": "It is so.", "estimate": estimate}  # fmt: skip
    rules = [
        RuleResult(name="better at the task", kind="superiority", outcome="PASS" if made.verdict == "GO" else "INCONCLUSIVE", task=GOLDEN, metric="f1", against="production", **common)
    ]  # fmt: skip
    if made.has_regression_set:
        seen = common | {"seen": f"{len(made.regressed)} regressed, n=200"}
        rules.append(
            RuleResult(name="no regressions", kind="no_regression", outcome="FAIL" if made.regressed else "PASS", task=REGRESSION, metric="passed", against="production", **seen)
        )  # fmt: skip
    return Decision(
        run_id=run_id, policy_name=made.policy, policy_hash="ab" * 32, verdict=made.verdict,
        exit_code=EXIT_CODES[made.verdict], rules=rules,
    )  # fmt: skip


def _write_results(folder: Path, made: Made) -> None:
    """lm-eval's own files: the hashes of prompts, and samples where answers are given."""
    stamp = "2026-01-01T00-00-00.000000"
    for role in made.roles:
        (folder / role).mkdir(exist_ok=True)
        hashes = dict.fromkeys(TASKS, made.prompts) if made.prompts else {}
        results = {"configs": {REGRESSION: {}} if made.answers else {}, "higher_is_better": {REGRESSION: {"passed": True}}, "task_hashes": hashes}  # fmt: skip
        (folder / role / f"results_{stamp}.json").write_text(json.dumps(results), encoding="utf-8")
        lines = [
            json.dumps(_sample(i, case, texts[role], made))
            for i, (case, texts) in enumerate(made.answers.items())
            if role in texts
        ]
        if made.answers:
            path = folder / role / f"samples_{REGRESSION}_{stamp}.jsonl"
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    looks = [_judgment(case, first, made) for case in made.answers for first in ("candidate", "baseline")]  # fmt: skip
    if looks and made.win_rate is not None:
        text = "".join(f"{look.model_dump_json()}\n" for look in looks)
        (folder / "judgments.jsonl").write_text(text, encoding="utf-8")


def _sample(number: int, case: str, text: str, made: Made) -> dict[str, Any]:
    prompt = json.dumps([{"role": "user", "content": made.prompt}])
    return {
        "doc_id": number, "doc": {"id": case}, "target": "defect", "arguments": {"gen_args_0": {"arg_0": [prompt], "arg_1": {}}},
        "resps": [[text]], "filtered_resps": [text], "filter": "none", "metrics": ["passed"], "passed": 0,
        "doc_hash": _sha256(case), "prompt_hash": _sha256(prompt + case), "target_hash": _sha256("defect"),
    }  # fmt: skip


def _judgment(case: str, first: str, made: Made) -> Judgment:
    return Judgment(
        task=REGRESSION, case_id=case, doc_hash=_sha256(case), baseline="production", first=first,  # type: ignore[arg-type]
        round=int(first == "baseline"), judge_model="judge-1", fingerprint=made.judge, pair_hash=_sha256(case),
        raw_verdict="A_better" if first == "baseline" else "B_better", verdict="baseline_better", reasoning=made.reasoning,
        scores={"candidate": {"correctness": 2}, "baseline": {"correctness": 4}},
    )  # fmt: skip


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
