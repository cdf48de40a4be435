"""HumanEval: what counts as the program of an answer, and that only a right one passes."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from public_data import FOLDER, needs_public_data

from ftgate_ext.schema import Answer
from ftgate_ext.scoring.humaneval import LIMITS, program_of, score_humaneval
from ftgate_ext.scoring.sandbox_check import check_programs

PROMPT = 'import math\n\n\ndef area(r: float) -> float:\n    """Area of a circle."""\n'
DOC = {
    "prompt": PROMPT, "entry_point": "area",
    "test": "def check(candidate):\n    assert abs(candidate(1) - 3.14159) < 1e-3\n    assert candidate(0) == 0\n",
}  # fmt: skip
BODY = "    return math.pi * r * r\n"

ANSWERS = {
    "continued": BODY,
    "whole in a fence": f"```python\n{PROMPT}{BODY}```",
    "function alone in a fence": "Here it is:\n```python\ndef area(r):\n    return math.pi * r ** 2\n```\nIt squares the radius.",
    "body in a fence": f"```\n{BODY}```",
    "with prose behind": BODY + "\nThis returns the area, as asked.\n",
    "whole with prose around": "Sure!\n" + PROMPT + BODY + "\nHope that helps!",
    "fence not closed": f"```python\n{PROMPT}{BODY}",
    "two blocks": f"First:\n```python\nprint('hi')\n```\nThen:\n```python\n{PROMPT}{BODY}```",
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_right_answer_passes_however_it_is_wrapped(kind: str) -> None:
    """Models wrap code in many ways; none of them makes right code wrong."""
    assert score_humaneval(DOC, [ANSWERS[kind]]) == {"passed": 1, "unanswered": 0}


WRONG = {
    "pass": "    pass\n",
    "wrong": "    return r\n",
    "empty": "",
    "prose": "I would multiply pi by the square of the radius.",
    "endless": "    while True:\n        pass\n",
    "exits": "    import os\n    os._exit(0)\n",
    "prints": "    print('passed')\n",
    "another name": "```python\ndef surface(r):\n    return 3.14159 * r * r\n```",
}


@pytest.mark.parametrize("kind", [k for k in WRONG if k != "endless"])
def test_a_wrong_answer_fails(kind: str) -> None:
    """Wrong, missing or cheating code is scored 0: a bad answer is data."""
    assert score_humaneval(DOC, [WRONG[kind]]) == {"passed": 0, "unanswered": 0}


def test_a_failed_request_is_not_scored() -> None:
    """No answer came: nobody may call that wrong."""
    assert score_humaneval(DOC, [Answer("", "failed")]) == {"unanswered": 1}


def test_prose_is_cut_where_it_stops_being_python() -> None:
    """What follows the function does not break it."""
    assert program_of(DOC, ANSWERS["with prose behind"]).rstrip() == (PROMPT + BODY).rstrip()


def problems() -> list[dict[str, Any]]:
    with gzip.open(FOLDER / "humaneval" / "HumanEval.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def passes(docs: list[dict[str, Any]], answers: list[str]) -> int:
    pairs = [
        (program_of(doc, answer), f"{doc['test']}\ncheck({doc['entry_point']})\n")
        for doc, answer in zip(docs, answers, strict=True)
    ]
    return sum(result.passed for result in check_programs(pairs, 2, limits=LIMITS))


@needs_public_data
def test_canonical_solutions_pass_and_empty_ones_fail() -> None:
    """Every sixteenth problem: its canonical solution passes, `pass` in its place fails."""
    docs = problems()[::16]
    assert passes(docs, [doc["canonical_solution"] for doc in docs]) == len(docs)
    assert passes(docs, ["    pass\n"] * len(docs)) == 0


@needs_public_data
@pytest.mark.slow
def test_all_canonical_solutions_pass_and_all_empty_ones_fail() -> None:
    """164 of 164 canonical solutions pass; 0 of 164 with `pass` as their body."""
    docs = problems()
    fenced = [f"```python\n{doc['prompt']}{doc['canonical_solution']}\n```" for doc in docs]
    assert passes(docs, fenced) == 164
    assert passes(docs, [doc["canonical_solution"] for doc in docs]) == 164
    assert passes(docs, ["    pass\n"] * len(docs)) == 0
