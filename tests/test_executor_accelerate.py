"""Backend hf on a checkpoint made here, in one process and in two of `accelerate launch`: the same scores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from ftgate_ext.runs import load_manifest

if TYPE_CHECKING:
    from pathlib import Path

for package in ("torch", "transformers", "accelerate", "tokenizers"):
    pytest.importorskip(package, reason="the extra `hf` is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

ROWS = 7
ASK = """\
task: ask
custom_dataset: !function ftgate_ext.evalset.load_task_data
dataset_kwargs: {file: ask.jsonl}
test_split: test
num_fewshot: 0
output_type: generate_until
doc_to_text: "{{ question }}"
doc_to_target: "{{ answer }}"
generation_kwargs: {until: [], max_gen_toks: 64}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""
CHOOSE = """\
task: choose
custom_dataset: !function ftgate_ext.evalset.load_task_data
dataset_kwargs: {file: ask.jsonl}
test_split: test
num_fewshot: 0
output_type: multiple_choice
doc_to_text: "{{ question }}"
doc_to_choice: ["one", "two three", "four"]
doc_to_target: "{{ right }}"
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
"""
POLICY = """\
version: 1
name: two checkpoints
models:
  candidate: {backend: hf, model: ./chat, model_args: {dtype: float32, batch_size: 2}}
  production: {backend: hf, model: ./base, model_args: {dtype: float32}, chat_template: false}
eval_sets:
  - {task: ask, kind: golden}
  - {task: choose, kind: capability}
task_paths: [tasks]
run: {max_tokens: 5}
rules:
  - {name: good, kind: floor, task: ask, metric: exact_match, threshold: 0.5}
"""
TEMPLATE = "{% for message in messages %}{{ message['content'] }} {% endfor %}"


def write_checkpoint(folder: Path, seed: int, template: str | None) -> None:
    """A Llama of a few thousand weights with a tokenizer of a few words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = [
        "<unk>",
        "<s>",
        "</s>",
        *["zero", "one", "two", "three", "four", "five", "six", "seven", "what", "is", "?"],
    ]
    raw = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token=words[0]))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        unk_token=words[0],
        bos_token=words[1],
        eos_token=words[2],
        pad_token=words[2],
    )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    shape = LlamaConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=128,
        bos_token_id=1, eos_token_id=2, pad_token_id=2,
    )  # fmt: skip
    LlamaForCausalLM(shape).save_pretrained(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("accelerate")
    tasks = root / "tasks"
    tasks.mkdir()
    numbers = ["zero", "one", "two", "three", "four", "five", "six"]
    rows = [
        {"id": f"q{n}", "question": f"what is {word} ?", "answer": word, "right": n % 3}
        for n, word in enumerate(numbers)
    ]
    (tasks / "ask.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tasks / "ask.yaml").write_text(ASK)
    (tasks / "choose.yaml").write_text(CHOOSE)
    (root / "gate.yaml").write_text(POLICY)
    write_checkpoint(root / "chat", 0, TEMPLATE)
    write_checkpoint(root / "base", 1, None)
    return root


def run(folder: Path, *arguments: str, processes: int = 1) -> subprocess.CompletedProcess[str]:
    launcher = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(processes)]  # fmt: skip
    several = [*launcher, "--main_process_port", "0"] if processes > 1 else []
    return subprocess.run(
        [sys.executable, *several, "-m", "ftgate_ext", "run", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip


def rows_of(run_dir: Path) -> dict[str, list[dict[str, Any]]]:
    return {
        f"{path.parent.name} {path.name.split('_2')[0]}": [json.loads(x) for x in path.open()]
        for path in sorted(run_dir.glob("*/samples_*.jsonl"))
    }


def test_two_processes_score_like_one(folder: Path) -> None:
    """Only the first process writes; answers, scores and the order of cases are those of one process."""
    alone = run(folder, "gate.yaml", "--run-dir", "one")
    assert alone.returncode == 0, alone.stderr
    both = run(folder, "gate.yaml", "--run-dir", "two", processes=2)
    assert both.returncode == 0, both.stderr
    assert both.stdout.count("Run folder:") == 1
    assert load_manifest(folder / "two").finished_at is not None
    one, two = rows_of(folder / "one"), rows_of(folder / "two")
    assert list(one) == list(two)
    assert len(one) == 4
    for name, rows in one.items():
        metric = "acc" if "choose" in name else "exact_match"
        assert [r["doc_id"] for r in two[name]] == list(range(ROWS))
        assert [r[metric] for r in rows] == [r[metric] for r in two[name]]
        if "ask" in name:  # of log-likelihoods the last digit depends on the batch
            assert [r["resps"] for r in rows] == [r["resps"] for r in two[name]]
    assert rows_of(folder / "one")["candidate samples_ask"][0]["arguments"]["gen_args_0"]["arg_1"]["max_gen_toks"] == 5  # fmt: skip
    again = run(folder, "gate.yaml", "--run-dir", "two", processes=2)
    assert again.returncode == 0, again.stderr
    assert len(list((folder / "two" / "candidate").glob("samples_*"))) == 2


def test_a_base_model_without_a_template_is_one_line(folder: Path) -> None:
    """lm-eval would fail in the middle; the other model goes on, and the way out is named."""
    text = POLICY.replace(", chat_template: false", "")
    (folder / "chat.yaml").write_text(text)
    done = run(folder, "chat.yaml", "--run-dir", "no_template")
    (line,) = [x for x in done.stderr.splitlines() if "no chat template" in x]
    assert line.startswith(
        "production: model './base', backend hf: its tokenizer has no chat template"
    )
    assert line.endswith("write `chat_template: false`.")
    assert f"production on ask: {ROWS} of {ROWS} requests have no answer." in done.stderr
    assert set(rows_of(folder / "no_template")) == {
        "candidate samples_ask",
        "candidate samples_choose",
    }


def test_fewer_cases_than_processes_is_one_line(folder: Path) -> None:
    """lm-eval would break on a process without a case."""
    (folder / "small.yaml").write_text(POLICY.replace("kind: golden}", "kind: golden, limit: 1}"))
    done = run(folder, "small.yaml", "--run-dir", "small", processes=2)
    assert done.returncode != 0
    assert "candidate on ask: 1 cases for 2 processes; lm-eval needs a case for each" in done.stderr
