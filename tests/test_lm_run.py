"""lm-eval driven cheaply: the same files and numbers, and lm-eval left as it was found."""

from __future__ import annotations

import gc
import json
import sys
from typing import TYPE_CHECKING, Any

import lm_eval.api.task
import lm_eval.evaluator
import lm_eval.utils
import pytest
from command import ftgate
from fake_server import FakeServer, Reply
from jinja2 import UndefinedError
from lm_eval.evaluator import simple_evaluate
from lm_eval.loggers import EvaluationTracker

from ftgate_ext.inference.lm import FtgateChat
from ftgate_ext.lm_find import find_tasks
from ftgate_ext.lm_run import evaluate
from ftgate_ext.lm_tasks import use_of
from ftgate_ext.lm_thrift import environment_text, imported_for_good, thrifty_lm_eval
from ftgate_ext.policy import EvalSet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REPLACED = (
    (lm_eval.evaluator, "add_env_info"),
    (lm_eval.evaluator, "set_torch_seed"),
    (lm_eval.evaluator, "get_git_commit_hash"),
    (lm_eval.api.task, "tqdm"),
)
DIFFERS = {"date", "start_time", "end_time", "total_evaluation_time_seconds"}
ROWS = [
    {"id": f"own-{n}", "q": f"What is {n} + {n}?", "a": str(2 * n), "choices": ["a", "b"]}
    for n in range(6)
]
OWN_TASK = """\
task: own
custom_dataset: !function ftgate_ext.evalset.load_task_data
dataset_kwargs: {file: own.jsonl}
test_split: test
fewshot_split: test
num_fewshot: 2
output_type: generate_until
description: "Answer {{choices|length}} things.\\n"
doc_to_text: "{% set word = 'Q' %}{{word}}: {{q}}{% for c in choices %} {{c}}{% endfor %}\\nA:"
doc_to_target: "{{a}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 8}
filter_list:
  - {name: all, filter: [{function: take_first}]}
  - {name: number, filter: [{function: regex, regex_pattern: "(\\\\d+)"}, {function: take_first}]}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
metadata: {version: 1}
"""


@pytest.fixture
def own_task(tmp_path: Path) -> Path:
    """A folder with a few-shot task that uses much of Jinja."""
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "own.yaml").write_text(OWN_TASK, encoding="utf-8")
    (folder / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return folder


def read(folder: Path) -> tuple[dict[str, Any], list[Any]]:
    """lm-eval's two files."""
    (results,) = folder.glob("results_*.json")
    (samples,) = folder.glob("samples_own_*.jsonl")
    return json.loads(results.read_text()), list(map(json.loads, samples.read_text().splitlines()))


def test_the_same_files_as_without_savings(own_task: Path, tmp_path: Path) -> None:
    """Every key, score, hash and prompt is what lm-eval alone writes; only times differ."""
    tasks = find_tasks(["own"], [own_task])
    with FakeServer(lambda _n, body: reply_to(body)) as server:
        thrifty = FtgateChat(server.base_url, "toy", responses=str(tmp_path / "1.jsonl"))
        uses = use_of(tasks, EvalSet(task="own", kind="golden"))
        evaluate(thrifty, "thrifty", tmp_path, uses, tasks, 7)
        thrifty.close()
        alone = FtgateChat(server.base_url, "toy", responses=str(tmp_path / "1.jsonl"))
        evaluate_alone(alone, tmp_path, tasks)
        alone.close()
    ours, our_samples = read(tmp_path / "thrifty")
    theirs, their_samples = read(tmp_path / "alone")
    assert our_samples == their_samples
    assert list(ours) == list(theirs)
    for key in ours.keys() - DIFFERS:
        assert str(ours[key]).replace("thrifty", "alone") == str(theirs[key]), key


def reply_to(body: dict[str, Any]) -> Reply:
    """Right for even questions."""
    number = body["messages"][-1]["content"].split()[3]
    return Reply(str(2 * int(number)) if int(number) % 2 == 0 else "no idea")


def evaluate_alone(lm: FtgateChat, output: Path, tasks: Any) -> None:
    """lm-eval by its own documentation."""
    tracker = EvaluationTracker(output_path=str(output))
    results = simple_evaluate(
        model=lm, model_args={"model": "alone"}, tasks=["own"], evaluation_tracker=tracker,
        apply_chat_template=True, task_manager=tasks, bootstrap_iters=0, random_seed=7,
        numpy_random_seed=7, torch_random_seed=7, fewshot_random_seed=7,
    )  # fmt: skip
    assert results is not None
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    tracker.save_results_samples(task_name="own", samples=samples["own"])


def test_lm_eval_is_left_as_it_was() -> None:
    """Every saving is undone, also where the run broke off."""
    before = [getattr(owner, name) for owner, name in REPLACED]

    def broken_off() -> None:
        with thrifty_lm_eval():
            assert [getattr(owner, name) for owner, name in REPLACED] != before
            assert "from_string" in vars(lm_eval.utils.env)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken_off()
    assert [getattr(owner, name) for owner, name in REPLACED] == before
    assert "from_string" not in vars(lm_eval.utils.env)


@pytest.mark.parametrize("gone", [0, 1, 2, 3, 4])
def test_a_later_lm_eval_without_one_of_them(gone: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no longer there is not replaced and not brought back; the other savings remain."""
    owner, name = [*REPLACED, (lm_eval.utils, "env")][gone]
    monkeypatch.delattr(owner, name)
    bar = lm_eval.api.task.tqdm if gone != 3 else None
    with thrifty_lm_eval():
        assert not hasattr(owner, name)
        if bar:
            assert lm_eval.api.task.tqdm is not bar
    assert not hasattr(owner, name)


def test_a_template_is_compiled_once_and_rendered_anew() -> None:
    """The same template is the same object; every case gets its own text, and undefined is an error."""
    render: Callable[[str, dict[str, Any]], str] = lm_eval.utils.apply_template
    text = "{% set n = n + 1 %}{{ n }}{{ word|upper }}"
    with thrifty_lm_eval():
        env = lm_eval.utils.env
        assert env.from_string(text) is env.from_string(text)
        assert [render(text, {"n": n, "word": "a"}) for n in (1, 2, 1)] == ["2A", "3A", "2A"]
        with pytest.raises(UndefinedError):
            render(text, {"n": 1})


def test_nothing_of_torch_is_imported(tmp_path: Path) -> None:
    """A run with torch and transformers installed imports neither, and still says which they are."""
    for package, version in (("torch", "9.8.7"), ("transformers", "6.5.4")):
        folder = tmp_path / "site" / package
        folder.mkdir(parents=True)
        trace = f"open({str(tmp_path / package)!r}, 'w').close()\nraise ImportError('used')\n"
        (folder / "__init__.py").write_text(trace)
        about = tmp_path / "site" / f"{package}-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
        )
    with FakeServer() as server:
        write_policy(tmp_path, server, "codereview_golden")
        done = ftgate("run", "--quiet", cwd=tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert done.returncode == 0, done.stderr
    (results,) = tmp_path.glob("runs/*/candidate/results_*.json")
    written = json.loads(results.read_text())
    assert written["pretty_env_info"].startswith("PyTorch version: 9.8.7")
    assert "[pip3] torch==9.8.7" in written["pretty_env_info"]
    assert written["transformers_version"] == "6.5.4"
    assert not (tmp_path / "torch").exists()
    assert not (tmp_path / "transformers").exists()


def write_policy(folder: Path, server: FakeServer, task: str) -> None:
    """One model, three cases."""
    text = f"""\
version: 1
name: own
models:
  candidate: {{endpoint: {server.base_url}, model: toy}}
eval_sets:
  - {{task: {task}, kind: golden, limit: 3}}
rules:
  - {{name: r, kind: floor, task: {task}, metric: acc, threshold: 0.5}}
"""
    (folder / "gate.yaml").write_text(text, encoding="utf-8")


def test_the_environment_in_words() -> None:
    """Python, system and numpy are named as PyTorch's own description names them."""
    text = environment_text()
    assert f"Python version: {sys.version_info.major}.{sys.version_info.minor}" in text
    assert "\n[pip3] numpy==" in text
    assert "\nOS: " in text


@pytest.mark.parametrize("running", [True, False])
def test_the_collector_comes_back(running: bool) -> None:
    """Whoever had the collector on has it on again, and whoever had it off keeps it off."""

    def broken_off() -> None:
        with imported_for_good():
            assert not gc.isenabled()
            raise ZeroDivisionError

    try:
        (gc.enable if running else gc.disable)()
        with pytest.raises(ZeroDivisionError):
            broken_off()
        assert gc.isenabled() is running
    finally:
        gc.enable()
        gc.unfreeze()


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("arc_challenge", "ask every model 'arc_challenge_chat' instead, or load every model with"),
        ("winogrande", "lm-eval has no generative variant of it: leave it out, or load every"),
        ("gsm9k", "lm-eval knows no such task; did you mean 'gsm8k'?"),
    ],
)
def test_a_task_that_cannot_be_asked_costs_one_line(task: str, said: str, tmp_path: Path) -> None:
    """`ftgate run` names the way out in one line, before anything is asked or loaded."""
    with FakeServer() as server:
        write_policy(tmp_path, server, task)
        done = ftgate("run", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert server.chats == []
    assert not (tmp_path / "runs").exists()
