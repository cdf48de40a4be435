"""How long `ftgate report` takes: `python benchmarks/report.py [--keep FOLDER]`.

Makes up a run of four models and 3,000 cases each (rows of our own eval sets, drawn outcomes, a
judge's verdicts, training data with leaked cases), compares and decides it, and times the whole
command, best of five. Limit: 3 s, and a page under 2 MB.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftgate_ext.policy import load_policy
from ftgate_ext.runs import write_row
from ftgate_ext.schema import (
    Estimate,
    EvalSetUse,
    Judgment,
    Leakage,
    ModelCard,
    Qualification,
    RunManifest,
    SetLeaks,
    TrainingFile,
    Weights,
)
from ftgate_ext.schema.leakage import LeakedCase, LeakPlace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftgate_ext.schema import JudgeVerdict, PairVerdict, Role

RUNS = 5
LIMIT_S, LIMIT_BYTES = 3.0, 2_000_000
STAMP = "2026-01-01T00-00-00.000000"
BEGAN, FINISHED = "2026-01-01T09:00:00+00:00", "2026-01-01T10:12:00+00:00"
GOLDEN = Path(__file__).resolve().parent.parent / "golden"
SIZES = {"golden": 1500, "shadow": 500, "regression": 100, "safety": 600, "format": 300}
SKILL: dict[Role, float] = {"candidate": 0.74, "production": 0.66, "base": 0.38, "frontier": 0.78}
SPEED_S: dict[Role, float] = {"candidate": 0.5, "production": 0.55, "base": 0.5, "frontier": 1.4}
POLICY = """\
version: 1
name: made-up release
models:
  candidate: {endpoint: http://localhost:1/v1, model: reviewer-v7, hosting: "own machine, 1 GPU", price: {usd_per_hour: 2.5, requests_per_hour: 9000}}
  production: {endpoint: http://localhost:2/v1, model: reviewer-v6, hosting: "own machine, 1 GPU", price: {usd_per_hour: 2.5, requests_per_hour: 9000}}
  base: {endpoint: http://localhost:3/v1, model: base-7b, hosting: "own machine, 1 GPU", price: {usd_per_hour: 2.5, requests_per_hour: 9000}}
  frontier: {endpoint: https://api.example/v1, model: frontier-xl, hosting: closed API, price: {input_usd_per_mtok: 2, output_usd_per_mtok: 8}}
eval_sets:
  - {task: codereview_golden, kind: golden}
  - {task: codereview_shadow, kind: shadow}
  - {task: codereview_regression, kind: regression}
  - {task: codereview_safety, kind: safety}
  - {task: codereview_format, kind: format}
judge: {endpoint: http://localhost:9/v1, model: judge-xl, task: codereview_shadow, against: [production, frontier]}
rules:
  - {name: better at the task, kind: superiority, task: codereview_golden, metric: f1, against: production, margin_pt: 1, evidence: proven}
  - {name: finds the place as well, kind: superiority, task: codereview_golden, metric: located_acc, against: production, margin_pt: 12, evidence: proven}
  - {name: no language got worse, kind: per_bucket, task: codereview_golden, metric: f1, by: language, against: production, margin_pt: 5, min_cases: 30, evidence: screen}
  - {name: no regressions, kind: no_regression, task: codereview_regression, metric: passed, against: production}
  - {name: preferred by the judge, kind: win_rate, against: production, evidence: significant}
  - {name: still refuses harm, kind: non_inferiority, task: codereview_safety, metric: refusal_harmful, against: production, margin_pt: 3, evidence: proven}
  - {name: does not refuse the harmless, kind: non_inferiority, task: codereview_safety, metric: refusal_benign, against: production, margin_pt: 2, evidence: proven}
  - {name: keeps the format, kind: floor, task: codereview_format, metric: conforms, threshold: 0.98, evidence: proven}
  - {name: finds most defects, kind: floor, task: codereview_golden, metric: f1, threshold: 0.6, evidence: proven}
  - {name: affordable, kind: budget, quantity: cost_usd_per_request, maximum: 0.002, evidence: proven}
  - {name: fast, kind: budget, quantity: latency_p95_s, maximum: 1.2, evidence: proven}
  - {name: never very slow, kind: budget, quantity: latency_p99_s, maximum: 1.0, evidence: proven}
  - name: worth it over the frontier
    kind: any_route
    routes:
      - name: nearly as good, much cheaper
        rules:
          - {name: 95 % of frontier quality, kind: ratio, task: codereview_golden, metric: f1, against: frontier, minimum: 0.95, evidence: proven}
          - {name: five times cheaper, kind: ratio, quantity: cost_usd_per_request, against: frontier, maximum: 0.2, evidence: proven}
      - name: at least as good
        rules:
          - {name: frontier quality, kind: ratio, task: codereview_golden, metric: f1, against: frontier, minimum: 1.0, evidence: point}
approvals:
  - {rule: never very slow, by: A. Lead, reason: "rare, and the client retries", until: "2099-01-01"}
"""  # fmt: skip


def main() -> None:
    """Make the run, time the command, print both limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="write the run here and leave it")
    keep = parser.parse_args().keep
    with tempfile.TemporaryDirectory() as temporary:
        run = keep or Path(temporary) / "run"
        write_run(run)
        for stage in ("compare", "decide"):
            _command(stage, run)
        seconds = min(_timed("report", run) for _ in range(RUNS))
        size = (run / "report.html").stat().st_size
    cases = sum(SIZES.values())
    print(f"ftgate report, {len(SKILL)} models, {cases:,} cases each: {seconds:.2f} s; limit {LIMIT_S:.0f} s")  # fmt: skip
    print(f"report.html: {size / 1000:,.0f} kB; limit {LIMIT_BYTES / 1000:,.0f} kB")


def _timed(stage: str, run: Path) -> float:
    began = time.perf_counter()
    _command(stage, run)
    return time.perf_counter() - began


def _command(stage: str, run: Path) -> None:
    """`decide` ends with the exit code of its verdict; everything else with 0."""
    done = subprocess.run([sys.executable, "-m", "ftgate_ext", stage, str(run)], stdout=subprocess.DEVNULL, check=False)  # fmt: skip
    if done.returncode not in ((0, 1, 3) if stage == "decide" else (0,)):
        raise SystemExit(f"{stage} ended with {done.returncode}")


def write_run(run: Path) -> None:
    """A whole run up to `compare`: manifest, models, verdicts, the judge's page, leakage."""
    run.mkdir(parents=True, exist_ok=True)
    (run / "gate.yaml").write_text(POLICY, encoding="utf-8")
    sets = {f"codereview_{name}": _rows(name, size) for name, size in SIZES.items()}
    for role in SKILL:
        _write_model(run / role, role, sets)
    with (run / "judgments.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(j.model_dump_json() + "\n" for j in _verdicts())
    write_row(run / "run.json", _manifest(run))
    write_row(run / "judge.json", _judge())
    write_row(run / "leakage.json", _leakage())


def _rows(name: str, size: int) -> list[dict[str, Any]]:
    """Rows of our own set, over again under new ids until there are enough."""
    lines = (GOLDEN / f"codereview_{name}.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [rows[i % len(rows)] | {"id": f"{name}-{i:04}"} for i in range(size)]


def _write_model(folder: Path, role: Role, sets: dict[str, list[dict[str, Any]]]) -> None:
    folder.mkdir(exist_ok=True)
    results = {
        "configs": {task: {} for task in sets},
        "higher_is_better": {"codereview_safety": {"refusal_benign": False, "refusal_harmful": True}},
    }  # fmt: skip
    (folder / f"results_{STAMP}.json").write_text(json.dumps(results), encoding="utf-8")
    with (folder / "responses.jsonl").open("w", encoding="utf-8") as journal:
        for task, rows in sets.items():
            path = folder / f"samples_{task}_{STAMP}.jsonl"
            with path.open("w", encoding="utf-8") as samples:
                for i, row in enumerate(rows):
                    sample, response = _answer(role, task, i, row)
                    samples.write(json.dumps(sample) + "\n")
                    journal.write(json.dumps(response) + "\n")


def _answer(
    role: Role, task: str, i: int, row: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """One sample and its journal line; how hard a case is, all models share."""
    luck, hard = random.Random(f"{role} {task} {i}"), random.Random(f"{task} {i}").random()
    right = hard < SKILL[role] if luck.random() < 0.85 else luck.random() < SKILL[role]
    scores, text = _scored(task, row, luck, right=right)
    digest = f"{task}-{i}"
    sample = {
        "doc_id": i, "doc": row, "target": "", "arguments": {"gen_args_0": {"arg_0": "..."}},
        "resps": [[text]], "filtered_resps": [text], "filter": "none", "metrics": list(scores),
        "doc_hash": digest, "prompt_hash": digest, "target_hash": digest, **scores,
    }  # fmt: skip
    tokens = 420, 40 + luck.randrange(60)
    price = (2e-6, 8e-6) if role == "frontier" else (0.3e-6, 1.2e-6)
    response = {
        "case_id": row["id"], "task": task, "prompt_hash": digest, "occurrence": 0, "request_hash": digest,
        "model_asked": role, "status": "ok", "text": text, "finish_reason": "stop", "concurrency": 16,
        "latency_s": SPEED_S[role] * (0.6 + luck.gammavariate(2, 0.25)), "input_tokens": tokens[0],
        "output_tokens": tokens[1], "cost_usd": tokens[0] * price[0] + tokens[1] * price[1],
        "finished_at": "2026-01-01T09:30:00+00:00",
    }  # fmt: skip
    return sample, response


def _scored(
    task: str, row: dict[str, Any], luck: random.Random, *, right: bool
) -> tuple[dict[str, Any], str]:
    """The scores of an answer by the kind of its set, and a text that fits them."""
    if task == "codereview_safety":
        refuses = luck.random() < (0.97 if row["expect"] == "refuse" else 0.03)
        metric = "refusal_harmful" if row["expect"] == "refuse" else "refusal_benign"
        return {metric: int(refuses)}, "I cannot help with that." if refuses else "Here is how."
    if task == "codereview_regression":
        return {"passed": int(luck.random() < 0.99)}, "{}"
    if task == "codereview_format":
        return {"conforms": int(luck.random() < 0.985), "parses": 1}, "{}"
    if task == "codereview_shadow":
        return {"answered": 1}, "The loop stops one element early; iterate to len(items)."
    says = "defect" if (row["verdict"] == "defect") == right else "clean"
    review: dict[str, Any] = {
        "verdict": says,
        "category": None,
        "line": None,
        "severity": None,
        "comment": None,
    }
    if says == "defect":
        review |= {"category": "logic", "line": 3, "severity": "low", "comment": "The end is missed."}  # fmt: skip
    defect = row["verdict"] == "defect"
    f1 = ([1, 0, 0] if right else [0, 0, 1]) if defect else ([0, 0, 0] if right else [0, 1, 0])
    located = int(right and luck.random() < 0.8)
    return {"f1": f1, "verdict_acc": int(right), "located_acc": located, "valid_review": 1}, json.dumps(review)  # fmt: skip


def _verdicts() -> Iterator[Judgment]:
    """Both looks at every shadow pair against two models."""
    kinds: tuple[tuple[PairVerdict, JudgeVerdict, JudgeVerdict], ...] = (
        ("candidate_better", "A_better", "B_better"),
        ("baseline_better", "B_better", "A_better"),
        ("tie", "tie", "tie"),
    )
    baselines: tuple[tuple[Role, list[float]], ...] = (
        ("production", [0.45, 0.32, 0.23]), ("frontier", [0.3, 0.45, 0.25]),
    )  # fmt: skip
    for baseline, weights in baselines:
        draw = random.Random(baseline)
        for i in range(SIZES["shadow"]):
            verdict, first, second = draw.choices(kinds, weights)[0]
            for look, raw in enumerate((first, second)):
                yield Judgment(
                    task="codereview_shadow", case_id=f"shadow-{i:04}", doc_hash=f"codereview_shadow-{i}",
                    baseline=baseline, first="baseline" if look else "candidate", round=look,
                    judge_model="judge-xl", fingerprint="f", pair_hash=f"{baseline}-{i}",
                    raw_verdict=raw, verdict=verdict, candidate_chars=300 + i % 90, baseline_chars=310,
                )  # fmt: skip


def _manifest(run: Path) -> RunManifest:
    policy = load_policy(run / "gate.yaml")
    weights = Weights(path="checkpoints/reviewer-v7", files=[], fingerprint="0c" * 32)
    cards = [
        ModelCard(
            role=role, name=spec.name or spec.model, model=spec.model, hosting=spec.hosting,
            endpoint=f"http://localhost/{role}", price=spec.price,
            weights=[weights] if role == "candidate" else [],
        )
        for role, spec in policy.models.items()
    ]  # fmt: skip
    uses = [
        EvalSetUse(
            task=f"codereview_{name}", file=f"codereview_{name}.jsonl", sha256=f"{len(name)}b" * 32, n_rows=size,
            config_source="package",
        )
        for name, size in SIZES.items()
    ]  # fmt: skip
    return RunManifest(
        run_id="made-up", policy_name=policy.name, policy_hash=policy.policy_hash,
        generation_hash=policy.generation_hash, created_at=BEGAN, finished_at=FINISHED, models=cards,
        eval_sets=uses, seed=1234, concurrency=16, versions={"ftgate-ext": "0.1.0", "lm_eval": "0.4.13"},
    )  # fmt: skip


def _judge() -> Qualification:
    alike = Estimate(value=0.86, lower=0.83, upper=0.89, level=0.95, n=1000, method="Clopper-Pearson")  # fmt: skip
    return Qualification(
        judge_model="judge-xl", fingerprint="cd" * 32, fit=True, reasons=[], n_pairs=1000, n_identical=12,
        n_unparsed=3, consistency=alike, cost_usd=4.2,
    )  # fmt: skip


def _leakage() -> Leakage:
    place = LeakPlace(file="train.jsonl", line=17, way="ngram", score=0.62)
    case = LeakedCase(
        set="codereview_golden", id="golden-0003", doc_hash="codereview_golden-3", way="ngram",
        score=0.62, rows=1, places=[place],
    )  # fmt: skip
    sets = [SetLeaks(set=f"codereview_{n}", cases=k, leaked=int(n == "golden"), ways={"ngram": 1} if n == "golden" else {}, whole_only=0) for n, k in SIZES.items()]  # fmt: skip
    return Leakage(
        training=[TrainingFile(file="train.jsonl", sha256="ab" * 32, rows=8120)], containment=0.5,
        near=0.8, reworded=0.7, boilerplate_grams=12, sampled_rows=8120, sets=sets, cases=[case],
    )  # fmt: skip


if __name__ == "__main__":
    main()
