"""The path on real models: SmolLM2-135M as it is, and with the two adapters, from a real engine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ftgate_ext.judge.canaries import MAKERS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.demo

POLICY = """\
version: 1
name: small demo
models:
  candidate: {endpoint: embedded, model: smollm2-135m+final, price: {usd_per_hour: 0.1}}
  production: {endpoint: embedded, model: smollm2-135m+early, price: {usd_per_hour: 0.1}}
  base: {endpoint: embedded, model: smollm2-135m, price: {usd_per_hour: 0.1}}
  frontier: {endpoint: https://api.openai.com/v1, model: gpt-4.1, api_key_env: FTGATE_TEST_NO_SUCH_KEY, optional: true}
eval_sets:
  - {task: codereview_golden, kind: golden, limit: 4}
  - {task: codereview_shadow, kind: shadow, limit: 12}
judge: {endpoint: embedded, model: smollm2-135m, task: codereview_shadow, against: [base], max_tokens: 170, max_reasoning_chars: 100, qualification_limit: 11}
run: {output: RUNS, concurrency: 16, max_tokens: 80}
rules:
  - {name: better, kind: superiority, task: codereview_golden, metric: f1, against: production, margin_pt: 1}
  - {name: preferred, kind: win_rate, against: base}
  - {name: affordable, kind: budget, quantity: cost_usd_per_request, maximum: 0.001}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole gate on the three demo models, a few cases each."""
    from ftgate_ext.gate import run_gate

    folder = tmp_path_factory.mktemp("demo")
    policy = folder / "gate.yaml"
    policy.write_text(POLICY.replace("RUNS", str(folder / "runs")), encoding="utf-8")
    return run_gate(policy, quiet=True)[1]


def load(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_three_real_models_answer_with_latency_and_tokens(finished: Path) -> None:
    """Every request of every model has a measured latency, real token counts and a cost."""
    for role in ("candidate", "production", "base"):
        lines = [
            json.loads(line)
            for line in (finished / role / "responses.jsonl").read_text().splitlines()
        ]
        assert len(lines) == 16
        for line in lines:
            assert line["status"] in {"ok", "truncated", "empty"}
            assert line["latency_s"] > 0
            assert line["input_tokens"] > 20
            assert line["output_tokens"] >= 1
            assert line["cost_usd"] > 0


def test_fine_tuned_models_answer_in_the_trained_form(finished: Path) -> None:
    """The adapters are in effect: the end of training writes reviews, the base model does not."""
    levels = {(x["role"], x["metric"]): x for x in load(finished / "comparisons.json")["levels"]}
    assert levels["candidate", "valid_review"]["estimate"]["value"] >= 0.8
    assert levels["base", "valid_review"]["estimate"]["value"] <= 0.2


def test_base_model_is_no_fit_judge(finished: Path) -> None:
    """It prefers whatever stands first, worthless answers too; its rule is INCONCLUSIVE and says why."""
    judge = load(finished / "judge.json")
    assert not judge["fit"]
    assert any("Position bias" in reason for reason in judge["reasons"])
    assert judge["reasons"][0].startswith("Traps: it preferred")
    rules = {r["name"]: r for r in load(finished / "decision.json")["rules"]}
    assert rules["preferred"]["outcome"] == "INCONCLUSIVE"
    assert "not fit to vote" in rules["preferred"]["sentence"]


@pytest.mark.parametrize("kind", MAKERS)
def test_every_trap_was_set_before_the_real_judge(finished: Path, kind: str) -> None:
    """It was asked in both orders, and what it said is on record."""
    canaries = {c["kind"]: c for c in load(finished / "judge.json")["canaries"]}

    assert len(canaries[kind]["outcomes"]) == 2
    assert canaries[kind]["won"] == _won(canaries[kind])


def _won(canary: dict) -> bool:
    preferred = [outcome == "canary" for outcome in canary["outcomes"]]
    return all(preferred) if canary["kind"] == "padded duplicate" else any(preferred)


def test_report_names_models_judge_and_absent_frontier(finished: Path) -> None:
    """What a manager reads: three models, F1 with an interval, the judge, what is missing."""
    report = (finished / "report.md").read_text(encoding="utf-8")
    for words in (
        "smollm2-135m+final",
        "task F1",
        "Position bias",
        "FTGATE_TEST_NO_SUCH_KEY is not set",
    ):
        assert words in report
    assert (finished / "report.html").stat().st_size > 10_000


def test_bare_lm_eval_folders_give_the_same_figures(finished: Path, tmp_path: Path) -> None:
    """Two folders as a plain lm_eval writes them compare to the same figures as the run folder."""
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.loggers import EvaluationTracker

    from ftgate_ext.gate import compare_any
    from ftgate_ext.inference.endpoints import embedded_engine
    from ftgate_ext.lm_tasks import find_tasks

    names = {"candidate": "smollm2-135m+final", "production": "smollm2-135m+early"}
    with embedded_engine(list(names.values())) as url:
        for model in names.values():
            tracker = EvaluationTracker(output_path=str(tmp_path))
            results = simple_evaluate(
                model="ftgate-chat", model_args={"base_url": url, "model": model, "num_concurrent": 16, "max_tokens": 80},
                tasks=["codereview_golden"], limit=4, evaluation_tracker=tracker, apply_chat_template=True,
                task_manager=find_tasks(["codereview_golden"], []),
            )  # fmt: skip
            samples = results.pop("samples")
            tracker.save_results_aggregated(results=results, samples=samples)
            tracker.save_results_samples("codereview_golden", samples["codereview_golden"])
    pairs = [f"{role}={tmp_path / name}" for role, name in names.items()]
    bare, _ = compare_any(pairs, tmp_path / "comparison")
    whole = load(finished / "comparisons.json")["comparisons"]
    theirs = {
        c["metric"]: c
        for c in whole
        if (c["task"], c["baseline"]) == ("codereview_golden", "production")
    }
    assert len(bare.comparisons) == len(theirs) == 5
    for mine in bare.comparisons:
        other = theirs[mine.metric]
        assert mine.model_dump(mode="json") == other
