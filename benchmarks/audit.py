"""How long `ftgate audit` takes: `python benchmarks/audit.py [--simulations 2000] [--processes 2]`.

A made-up run of gate.yaml's eval sets at the sizes that a release needs (1,000 golden, 500 shadow,
50 regression with five repeats, 400 safety and 300 format cases) under gate.yaml's own rules. Prints
the seconds and the audit's table. Target: 2,000 simulations of all scenarios together in 60 s on two
cores.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ftgate_ext.audit.stage import RunUnderAudit, audit_policy
from ftgate_ext.audit.words import audit_table
from ftgate_ext.compare import compare_models
from ftgate_ext.policy import load_policy
from ftgate_ext.runs import Record
from ftgate_ext.schema import Judgment, Qualification, Response
from ftgate_ext.scores import ModelScores, TaskScores, tabulate_task
from ftgate_ext.settings import settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftgate_ext.schema import JudgeVerdict, PairVerdict, Role

TARGET_S = 60.0
LANGUAGES = ("python", "java", "go", "sql", "shell", "rust", "javascript", "c")
SIZES = {"golden": 1000, "shadow": 500, "regression": 50, "safety": 400, "format": 300}
REPEATS = {"regression": 5}


def outcomes(task: str, luck: np.random.Generator, shared: np.random.Generator) -> dict[str, object]:  # fmt: skip
    """The scores of one answer: what both models find hard is drawn from `shared`."""
    if task == "golden":
        kind, hard, own = shared.random(), shared.random(), luck.random()
        right = hard > 0.3 if own > 0.12 else own > 0.04
        if kind < 0.6:
            return {"f1": [1, 0, 0] if right else [0, 1, 1] if own > 0.5 else [0, 0, 1]}
        return {"f1": [0, 0, 0] if right else [0, 1, 0]}
    if task == "regression":
        return {"passed": int(luck.random() < 0.995)}
    if task == "safety":
        metric, level = (
            ("refusal_harmful", 0.96) if shared.random() < 0.5 else ("refusal_benign", 0.05)
        )
        hard = shared.random()
        return {metric: int(hard < level if luck.random() > 0.03 else luck.random() < level)}
    return {"conforms": int(luck.random() < 0.995)} if task == "format" else {"answered": 1}


def answers(task: str, role: str) -> Iterator[Record]:
    """The records of one model."""
    luck = np.random.default_rng([len(role), len(task)])
    for i in range(SIZES[task]):
        for k in range(REPEATS.get(task, 1)):
            shared = np.random.default_rng([len(task), i])
            cost, latency = luck.gamma(4, 0.0002), luck.gamma(4, 0.2)
            response = Response(
                case_id=str(i), task=task, prompt_hash=str(i), occurrence=k, request_hash=str(i),
                model_asked=role, status="ok", finished_at="2026-01-01T00:00:00+00:00",
                latency_s=latency, cost_usd=cost, input_tokens=300, output_tokens=60,
            )  # fmt: skip
            record = Record(
                f"codereview_{task}", f"{task}-{i}", f"{task}-{i}", f"{task}-{i}",
                {"language": LANGUAGES[i % len(LANGUAGES)]}, "", "", "",
                outcomes(task, luck, shared), response,
            )  # fmt: skip
            yield record


def made_up_run() -> RunUnderAudit:
    """Candidate and production alike, and a judge that prefers neither."""
    policy = load_policy(Path(__file__).parent.parent / "configs" / "gate.yaml")
    settings = settings_of(policy)
    models: dict[Role, ModelScores] = {}
    lower = {"codereview_safety": {"refusal_benign": False}}
    for role in ("candidate", "production"):
        tasks: dict[str, TaskScores] = {}
        for task in SIZES:
            name = f"codereview_{task}"
            tasks[name] = tabulate_task(name, enumerate(answers(task, role)), settings.fields)
        models[role] = ModelScores(tasks, lower, {}, [])
    judgments = list(verdicts())
    comparisons = compare_models(models, judgments, "made-up", Path(), settings)
    judge = Qualification(
        judge_model="judge", fingerprint="f", fit=True, reasons=[], n_pairs=SIZES["shadow"],
        n_identical=0, n_unparsed=0,
    )  # fmt: skip
    return RunUnderAudit(policy, models, judgments, comparisons, judge, settings)


def verdicts() -> Iterator[Judgment]:
    """Both looks at every pair: a third wins, a third losses, a third ties."""
    kinds: tuple[tuple[PairVerdict, JudgeVerdict, JudgeVerdict], ...] = (
        ("candidate_better", "A_better", "B_better"),
        ("baseline_better", "B_better", "A_better"),
        ("tie", "tie", "tie"),
    )
    for i in range(SIZES["shadow"]):
        verdict, first, second = kinds[i % 3]
        for look, raw in enumerate((first, second)):
            yield Judgment(
                task="codereview_shadow", case_id=str(i), doc_hash=str(i), baseline="production",
                first="baseline" if look else "candidate", round=look, judge_model="judge",
                fingerprint="f", pair_hash=str(i), raw_verdict=raw, verdict=verdict,
            )  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=None)
    arguments = parser.parse_args()
    run = made_up_run()
    started = time.perf_counter()
    audit = audit_policy(run, arguments.simulations, seed=1, processes=arguments.processes)
    seconds = time.perf_counter() - started
    print(audit_table(audit))
    print(f"\n{arguments.simulations:,} simulations of {len(audit.scenarios)} scenarios: {seconds:.1f} s; target {TARGET_S:.0f} s for 2,000")  # fmt: skip


if __name__ == "__main__":
    main()
