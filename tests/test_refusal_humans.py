"""The refusal detector against human labels: what XSTest's annotators said of three models' answers.

The rules were written while reading the answers of one model (`llama2new`) alone. Of the other two
only the figures below were looked at. The label of a row is the authors' final one: both humans
where they agree (727 of the 750 rows), an adjudicated one in the other 23. The figures against each
human alone stand beside. The data cuts answers at 600 characters.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from public_data import FOLDER, needs_public_data

from ftgate_ext.scoring import refusal_rules
from ftgate_ext.scoring.refusal import classify_answer
from ftgate_ext.stats.agreement import Kappa, cohens_kappa

pytestmark = needs_public_data

DEVELOPED_ON = "llama2new"
CONFIRMED_ON = ("gpt4", "mistralinstruct")
MODELS = (DEVELOPED_ON, *CONFIRMED_ON)
KINDS = {"1": "compliance", "2": "full_refusal", "3": "partial_refusal"}


@cache
def answered(model: str) -> tuple[dict[str, Any], ...]:
    """The 250 safe prompts of a model, whose answers are in the data."""
    path = FOLDER / "safety_xstest" / f"labels_{model}.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return tuple(row for row in rows if row["completion"])


def is_refused(label: str) -> bool:
    """Full and partial refusal; a label outside the three (GPT-4 gave eleven) is no compliance."""
    return not label.startswith("1")


def kappa(ours: list[bool], theirs: list[bool]) -> float:
    table = np.zeros((2, 2), dtype=int)
    for mine, other in zip(ours, theirs, strict=True):
        table[int(mine), int(other)] += 1
    found = cohens_kappa(table)
    value = found.limits.value if isinstance(found, Kappa) else found.value
    assert value is not None
    return float(value)


def figures(models: tuple[str, ...], label: str = "final_label") -> dict[str, float]:
    """Kappa of the detector, of string matching and of GPT-4 with one label of the humans."""
    rows = [row for model in models for row in answered(model)]
    humans = [is_refused(row[label]) for row in rows]
    ours = [classify_answer(row["completion"]).kind != "compliance" for row in rows]
    return {
        "detector": kappa(ours, humans),
        "string matching": kappa([is_refused(r["strmatch_label"]) for r in rows], humans),
        "GPT-4": kappa([is_refused(r["gpt4_label"]) for r in rows], humans),
    }


def in_words(found: dict[str, float]) -> str:
    return "  ".join(f"{who} {value:.3f}" for who, value in found.items())


def test_over_750_answers_it_agrees_with_humans_better_than_both_rivals() -> None:
    """Kappa at least 0.80 pooled, above string matching and above GPT-4 on the same rows."""
    found = figures(MODELS)
    for model in MODELS:
        sys.stdout.write(f"{model:16} {in_words(figures((model,)))}\n")
    sys.stdout.write(f"{'pooled':16} {in_words(found)}\n")

    assert sum(len(answered(model)) for model in MODELS) == 750
    assert found["detector"] >= 0.80
    assert found["detector"] > max(found["string matching"], found["GPT-4"])


def test_it_holds_on_the_models_that_it_was_not_developed_on() -> None:
    """The two other models together reach the target too, and each is above both rivals."""
    assert figures(CONFIRMED_ON)["detector"] >= 0.80
    for model in CONFIRMED_ON:
        found = figures((model,))
        assert found["detector"] > max(found["string matching"], found["GPT-4"])


@pytest.mark.parametrize("human", ["annotation_1", "annotation_2"])
def test_it_agrees_with_either_human_alone(human: str) -> None:
    """Whoever of the two is asked, the figure is nearly that of the final label."""
    found = figures(MODELS, human)
    sys.stdout.write(f"{human:16} {in_words(found)}\n")

    assert found["detector"] >= 0.80
    assert found["detector"] > max(found["string matching"], found["GPT-4"])


def test_three_kinds_are_told_apart_as_far_as_humans_do() -> None:
    """Full against partial is a softer line: fair agreement, and partial ones are found at all."""
    rows = [row for model in MODELS for row in answered(model)]
    order = list(KINDS.values())
    table = np.zeros((3, 3), dtype=int)
    for row in rows:
        ours = classify_answer(row["completion"]).kind
        table[order.index(ours), order.index(KINDS[row["final_label"][0]])] += 1
    found = cohens_kappa(table)
    assert isinstance(found, Kappa)
    sys.stdout.write(f"three kinds: kappa {found.limits.value:.3f}\n{table}\n")

    assert found.limits.value >= 0.60
    assert table[2, 2] >= 20


def test_the_rules_hold_nothing_of_the_data() -> None:
    """Neither a prompt nor the name of a model or its maker stands in the rules."""
    folder = Path(refusal_rules.__file__).parent
    text = "".join(
        (folder / name).read_text("utf-8") for name in ("refusal.py", "refusal_rules.py")
    )
    lowered = text.lower()

    for row in answered(DEVELOPED_ON):
        assert row["prompt"].lower() not in lowered
    for name in ("llama", "mistral", "gpt", "openai", "meta ", "claude", "gemini"):
        assert name not in lowered
