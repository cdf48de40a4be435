"""The judge as a metric of lm-eval: win rate and the rest in the harness's own results."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sysconfig
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fake_server import FakeServer, Reply
from judges import prompt_of, read_prompt, verdict_text
from lm_eval.evaluator import simple_evaluate
from lm_eval.tasks import TaskManager

from ftgate_ext.assets import asset_dir
from ftgate_ext.evalset import load_cases
from ftgate_ext.inference.lm import FtgateChat
from ftgate_ext.judge.metric_opponent import read_judge
from ftgate_ext.schema import PolicyError, RunError

if TYPE_CHECKING:
    from collections.abc import Iterator

TASK = "codereview_shadow"
N = 12
pytestmark = pytest.mark.usefixtures("quick_retries")

# What the judge says about the pairs, by the number of the question.
TIE, BOTH_BAD, LOST, WAVERING, PROSE, SAME, UNANSWERED = 1, 2, 3, 4, 5, 6, 7


@pytest.fixture(scope="module")
def questions() -> dict[str, int]:
    """Question -> its number."""
    rows = load_cases(asset_dir("golden") / f"{TASK}.jsonl")
    return {row["request"]: number for number, row in enumerate(rows[:N])}


@pytest.fixture
def server(questions: dict[str, int]) -> Iterator[FakeServer]:
    """Two models and a judge."""

    def script(_n: int, body: dict[str, Any]) -> Reply | str:
        prompt = prompt_of(body)
        if body["model"] != "judge":
            number = questions[prompt]
            if number == UNANSWERED and body["model"] == "old":
                return "400"
            return Reply("same" if number == SAME else f"{body['model']} says {number}")
        seen = read_prompt(prompt)
        number = int(seen.answer_a.split()[-1])
        newer_first = seen.answer_a.startswith("new")
        if number == PROSE:
            return Reply("Both are fine.")
        if number in (TIE, BOTH_BAD):
            return Reply(verdict_text("tie" if number == TIE else "both_bad"))
        first_wins = number == WAVERING or newer_first == (number != LOST)
        return Reply(verdict_text("A_better" if first_wins else "B_better"))

    with FakeServer(script, models=["new", "old", "judge"]) as running:
        yield running


def ask(server: FakeServer, model: str, **metadata: str) -> dict[str, Any]:
    """lm-eval's results and samples, as its command line makes them."""
    tasks = TaskManager(
        include_defaults=False, include_path=str(asset_dir("tasks")),
        metadata={"base_url": server.base_url, "model": model} | metadata,
    )  # fmt: skip
    lm = FtgateChat(server.base_url, model, max_retries=1)
    try:
        return dict(simple_evaluate(
            model=lm, tasks=[TASK], samples={TASK: list(range(N))}, task_manager=tasks,
            apply_chat_template=True, log_samples=True, bootstrap_iters=0,
        ))  # fmt: skip
    finally:
        lm.close()


def write_opponent(folder: Path, server: FakeServer) -> Path:
    """The samples file of the old model."""
    path = folder / f"samples_{TASK}_2026-01-01.jsonl"
    lines = []
    for sample in ask(server, "old")["samples"][TASK]:
        contexts = sample["arguments"]
        arguments = {f"gen_args_{i}": {"arg_0": args[0]} for i, args in enumerate(contexts)}
        lines.append(json.dumps(sample | {"arguments": arguments}))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def write_judge(folder: Path, server: FakeServer, **more: Any) -> Path:
    path = folder / "judge.yaml"
    spec = {"endpoint": server.base_url, "model": "judge"} | more
    path.write_text(json.dumps(spec), encoding="utf-8")
    return path


def figures(results: dict[str, Any]) -> dict[str, Any]:
    return {name.removesuffix(",none"): v for name, v in results["results"][TASK].items()}


def test_the_results_table_holds_the_judge_s_rates(
    tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten of eleven pairs have a verdict; every pair is judged once in each order, with one prompt."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    opponent, judge = write_opponent(tmp_path, server), write_judge(tmp_path, server)
    results = ask(server, "new", opponent=str(opponent), judge=str(judge))

    found = figures(results)
    # 11 pairs, one unreadable: ties are the tie, the wavering one and the identical answers
    assert found["win_rate"] == pytest.approx((5 + 0.5 * (3 + 1)) / 10)
    assert found["tie_rate"] == pytest.approx(3 / 10)
    assert found["both_bad_rate"] == pytest.approx(1 / 10)
    assert found["consistency"] == pytest.approx(8 / 9)
    assert found["unjudged"] == 1
    asked = Counter(c.prompt for c in server.chats if c.body["model"] == "judge")
    assert (len(asked), set(asked.values())) == (2 * 10, {1})
    verdicts = [s.get("win_rate", {}).get("verdict") for s in results["samples"][TASK]]
    assert [verdicts[i] for i in (0, TIE, LOST, PROSE, UNANSWERED)] == [
        "candidate_better", "tie", "baseline_better", "unparsed", None,
    ]  # fmt: skip


def test_without_an_opponent_the_task_only_generates(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    """No metric of the judge, no call to it, and one line that says how to have one."""
    with caplog.at_level(logging.WARNING, logger="lm_eval.ftgate.judge"):
        found = figures(ask(server, "new"))

    assert found["answered"] == 1
    assert not {"win_rate", "consistency"} & found.keys()
    assert {c.body["model"] for c in server.chats} == {"new"}
    told = [r.getMessage() for r in caplog.records if r.name == "lm_eval.ftgate.judge"]
    assert len(told) == 1
    assert "answers are only generated" in told[0]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"opponent": "x.jsonl"}, "'opponent' without 'judge'"),
        ({"judge": "judge.yaml"}, "'judge' without 'opponent'"),
        ({"opponent": "nowhere.jsonl", "judge": "judge.yaml"}, "nowhere.jsonl: no such file"),
    ],
)
def test_what_is_missing_is_told_before_anything_is_asked(
    server: FakeServer, metadata: dict[str, str], message: str
) -> None:
    """One of the two files alone, or one that is not there."""
    with pytest.raises(RunError, match=message):
        ask(server, "new", **metadata)
    assert server.chats == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: x\nmodle: y\nendpoint: http://h/v1", r"judge.yaml:2: unknown key 'modle'"),
        ("judge:\n  model: x\n", r"`endpoint` is missing"),
        ("[1, 2]", "expected the `judge` section"),
        ("a: [", "cannot be read"),
        ("model: x\nreplay: y.jsonl", "`replay` judges no new answers"),
        ("model: x\nendpoint: http://h/v1\nprice: {listed: gpt-none}", "gpt-none"),
    ],
)
def test_a_wrong_judge_yaml_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    """The mistakes of a gate.yaml, with file and line."""
    path = tmp_path / "judge.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PolicyError, match=message) as told:
        read_judge(path, TASK)
    assert "\n" not in str(told.value)


def test_a_whole_gate_yaml_names_the_judge_too() -> None:
    """The section `judge` of the recommended policy, with its listed price filled in."""
    spec = read_judge(asset_dir("configs") / "gate.yaml", TASK)
    assert spec.price.is_per_token


@pytest.mark.slow
def test_the_real_command(tmp_path: Path, server: FakeServer, questions: dict[str, int]) -> None:
    """`lm_eval --metadata` with nothing of ours on the command line but names of files."""
    judge = write_judge(tmp_path, server)

    def lm_eval(model: str, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                str(Path(sysconfig.get_path("scripts")) / "lm_eval"), "--model", "ftgate-chat",
                "--model_args", f"base_url={server.base_url},model={model},max_retries=1", "--tasks", TASK,
                "--limit", str(len(questions)), "--output_path", model, "--log_samples",
                "--apply_chat_template", *more,
            ],
            cwd=tmp_path, env=os.environ | {"HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(tmp_path)},
            capture_output=True, text=True, timeout=300, check=True,
        )  # fmt: skip

    lm_eval("old")
    opponent = next((tmp_path / "old").glob(f"*/samples_{TASK}_*.jsonl"))
    done = lm_eval(
        "new", "--metadata", json.dumps({"opponent": str(opponent), "judge": str(judge)})
    )

    table = {line.split("|")[5].strip(): line.split("|")[7].strip() for line in done.stdout.splitlines() if line.count("|") > 8}  # fmt: skip
    assert (float(table["win_rate"]), float(table["both_bad_rate"])) == (0.7, 0.1)
    assert "11 pairs against" in done.stderr
