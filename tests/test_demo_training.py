"""The demo's adapters were trained on the very prompt that the task sends, and their log is true."""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from pathlib import Path

import yaml
from jinja2 import Environment

ROOT = Path(__file__).resolve().parent.parent
ADAPTERS = ROOT / "ftgate_ext" / "demo_adapters"


def training_prompt() -> str:
    """PROMPT of the training script, read without importing torch."""
    tree = ast.parse((ROOT / "scripts" / "train_demo_adapters.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "PROMPT":
            return str(ast.literal_eval(node.value))
    raise AssertionError("no PROMPT in the training script")


def test_training_prompt_is_the_prompt_of_the_task() -> None:
    """Same text for the same function, to the byte; diffs were not trained on."""

    class Loader(yaml.SafeLoader):
        """Task YAMLs name functions by a tag."""

    Loader.add_constructor("!function", lambda _loader, node: node.value)
    task = ROOT / "tasks" / "codereview_golden" / "codereview_golden.yaml"
    template = yaml.load(task.read_text(encoding="utf-8"), Loader)["doc_to_text"]  # noqa: S506 - a SafeLoader
    rows = (ROOT / "golden" / "codereview_golden.jsonl").read_text(encoding="utf-8").splitlines()
    for row in map(json.loads, rows):
        if row["form"] == "diff":
            continue
        code = "\n".join(f"{i}| {line}" for i, line in enumerate(row["code"].splitlines(), start=1))
        expected = training_prompt().replace("%PURPOSE%", row["purpose"])
        expected = expected.replace("%LANGUAGE%", row["language"]).replace("%CODE%", code)
        environment = Environment(keep_trailing_newline=True, autoescape=False)  # noqa: S701 - no HTML
        assert environment.from_string(template).render(**row) == expected


def test_log_names_the_adapters_and_rows_that_are_there() -> None:
    """sha256 of both adapter files and of the training rows are those of the files at hand."""
    sys.path.insert(0, str(ROOT / "scripts"))
    from demo_training_rows import build_rows, hash_rows

    log = json.dumps(json.loads((ADAPTERS / "training_log.json").read_text(encoding="utf-8")))
    assert hash_rows(build_rows()) in log
    for name in ("early", "final"):
        adapter = ADAPTERS / name / "adapter_model.safetensors"
        assert hashlib.sha256(adapter.read_bytes()).hexdigest() in log
        assert adapter.stat().st_size < 4_000_000
        config = json.loads((ADAPTERS / name / "adapter_config.json").read_text(encoding="utf-8"))
        assert config["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
