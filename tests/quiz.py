"""A task of its own for tests of whole runs: small, and every answer is known."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from fake_server import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fake_server import Answer

TASK = "quiz"
_YAML = """\
task: quiz
custom_dataset: !function ftgate_ext.evalset.load_task_data
dataset_kwargs: {file: quiz.jsonl}
test_split: test
num_fewshot: 0
output_type: generate_until
doc_to_text: "Question {{ id }}: is it even?"
doc_to_target: "{{ label }}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 8}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""
_POLICY = """\
version: 1
name: quiz
models:
  candidate: {{endpoint: "{url}", model: new{more}}}
  production: {{endpoint: "{url}", model: old}}
task_paths: [quiz]
eval_sets: [{{task: quiz, kind: golden}}]
run: {{resamples: 1000, {run}}}
rules: [{{name: no worse, kind: non_inferiority, task: quiz, metric: exact_match, margin_pt: 60}}]
"""
MODELS = ("new", "old")


def write_quiz(
    folder: Path,
    url: str,
    n: int,
    run: str = "concurrency: 4, max_attempts: 2, timeout_s: 5",
    more: str = "",
) -> Path:
    """Write the task and a policy; returns the policy's file.

    Args:
        folder: Where to.
        url: Base URL of the server of both models.
        n: How many questions.
        run: Fields of `run`.
        more: Fields of the candidate.
    """
    (folder / "quiz").mkdir(parents=True)
    (folder / "quiz" / "quiz.yaml").write_text(_YAML, encoding="utf-8")
    rows = [{"id": f"q{i:04}", "label": right(i)} for i in range(n)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "quiz" / "quiz.jsonl").write_text(lines, encoding="utf-8")
    policy = folder / "gate.yaml"
    policy.write_text(_POLICY.format(url=url, run=run, more=more), encoding="utf-8")
    return policy


def right(number: int) -> str:
    """The right answer to a question."""
    return "no" if number % 2 else "yes"


def number_of(body: dict[str, Any]) -> int:
    """Which question a chat request asks."""
    found = re.search(r"Question q(\d+)", body["messages"][-1]["content"])
    assert found is not None
    return int(found[1])


def answers(faults: Mapping[int, Answer] | None = None, delay_s: float = 0) -> Any:
    """A server's script: right answers, but for the candidate's `faults` by question."""
    faults = faults or {}

    def script(_n: int, body: dict[str, Any]) -> Answer:
        number = number_of(body)
        if body["model"] == "new" and number in faults:
            return faults[number]
        return Reply(right(number), delay_s=delay_s)

    return script


def the_run(folder: Path) -> Path:
    """The only run folder."""
    (run,) = (folder / "runs").iterdir()
    return run


def load(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def lines(path: Path) -> list[dict[str, Any]]:
    """A JSONL file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def samples(model: Path) -> list[dict[str, Any]]:
    """The newest samples of a model's folder."""
    return lines(max(model.glob("samples_quiz_*.jsonl")))
