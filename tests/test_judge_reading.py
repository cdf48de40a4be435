"""Tests of how a judge's answer is read: every kind of bad answer by itself, one repair, no guess."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judges import verdict_text
from records import QUICK, make_response

from ftgate_ext.judge.reading import classify, read_rubric, read_verdict

GOOD = verdict_text("B_better", 2, 5)


def with_change(**changes: Any) -> str:
    """A good verdict with something else in it."""
    return json.dumps(json.loads(GOOD) | changes)


def marks(value: Any) -> dict[str, Any]:
    """Scores with one mark on all criteria."""
    return dict.fromkeys(("correctness", "completeness", "format", "clarity"), value)


BAD = {
    "prose": "Answer A is better, since it names the line.",
    "prose around": f"Here you are: {GOOD}",
    "prose before and after": f"Sure.\n```json\n{GOOD}\n```\nI hope this helps.",
    "verdict as prose": "verdict: A_better",
    "two": GOOD + "\n" + verdict_text("A_better"),
    "two in one": GOOD[:-1] + ', "verdict": "A_better"}',
    "two fenced": f"```json\n{GOOD}\n```\n```json\n{GOOD}\n```",
    "unknown": with_change(verdict="C_better"),
    "none": with_change(verdict=None),
    "list": with_change(verdict=["A_better", "B_better"]),
    "six": with_change(scores_A=marks(6)),
    "zero": with_change(scores_B=marks(0)),
    "half": with_change(scores_A=marks(3.5)),
    "words": with_change(scores_A=marks("5")),
    "missing": json.dumps({"reasoning": "r", "verdict": "tie"}),
    "extra": with_change(confidence=0.9),
    "other object": '{"answer": 42}',
    "cut": GOOD[:-30],
    "nothing": "null",
}
KINDS = {
    "prose": "prose", "prose around": "prose", "prose before and after": "prose", "verdict as prose": "prose",
    "two": "two_verdicts", "two in one": "two_verdicts", "two fenced": "two_verdicts", "unknown": "unknown_verdict",
    "none": "unknown_verdict", "list": "unknown_verdict", "six": "score_out_of_range", "zero": "score_out_of_range",
    "half": "wrong_shape", "words": "wrong_shape", "missing": "wrong_shape", "extra": "wrong_shape",
    "other object": "wrong_shape", "cut": "wrong_shape", "nothing": "prose",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_every_bad_answer_has_its_own_kind(name: str) -> None:
    """None of them is a verdict, and what it was instead is said."""
    reading = read_verdict(make_response(text=BAD[name]))

    assert (reading.verdict, reading.problem, reading.repaired) == (None, KINDS[name], False)


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        ("empty", "empty"), ("truncated", "truncated"), ("refused_by_provider", "refused"),
        ("failed", "failed"), ("malformed", "failed"),
    ],
)  # fmt: skip
def test_what_became_of_the_request_goes_before_its_text(status: Any, problem: str) -> None:
    """A whole verdict in an answer that was cut or refused does not count."""
    reading = read_verdict(make_response(status, text=GOOD))

    assert (reading.verdict, reading.problem) == (None, problem)


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{GOOD}\n```", f"```\n{GOOD}\n```\n", f"  ```JSON\n{GOOD}```",
        f"<think>A or B? {{not json}} Hm, A_better?</think>\n{GOOD}",
        f"<think></think>\n\n```json\n{GOOD}\n```",
    ],
)  # fmt: skip
def test_one_object_in_a_fence_or_behind_thoughts_is_repaired(text: str) -> None:
    """Nothing else stands around it, so nothing is guessed; it is recorded as repaired."""
    reading = read_verdict(make_response(text=text))

    assert reading.verdict is not None
    assert (reading.verdict.verdict, reading.repaired, reading.problem) == ("B_better", True, None)


def test_a_plain_verdict_is_not_called_repaired() -> None:
    """What needs no repair gets none."""
    reading = read_verdict(make_response(text=f"\n{GOOD} "))

    assert (reading.verdict is not None, reading.repaired) == (True, False)


def test_thoughts_are_no_verdict() -> None:
    """A verdict that stands in the thoughts alone was thought of, not given."""
    reading = read_verdict(make_response(text=f"<think>{GOOD}</think>"))

    assert reading.verdict is None


@QUICK
@given(st.text() | st.lists(st.sampled_from([GOOD, "```", "{", "}", "<think>", "</think>", "\n", '"'])).map("".join))  # fmt: skip
def test_whatever_a_judge_writes_has_a_kind(text: str) -> None:
    """The reader never fails, and either there is a verdict or a problem."""
    reading = read_verdict(make_response(text=text))

    assert (reading.verdict is None) == (reading.problem is not None)


@pytest.mark.parametrize("text", ["{" * 100_000, '{"a":' * 100_000, "[" * 100_000, "`" * 100_000])
def test_endless_nesting_is_prose(text: str) -> None:
    """It ends at once, and is no crash."""
    assert classify(text) == "prose"


def test_scores_of_a_single_answer_are_read_as_strictly() -> None:
    """A verdict on a pair is no score of one answer, and marks outside 1 to 5 are none."""
    good = json.dumps({"reasoning": "r", "scores": marks(4)})
    texts = [
        good,
        f"```json\n{good}\n```",
        GOOD,
        json.dumps({"reasoning": "r", "scores": marks(7)}),
    ]

    readings = [read_rubric(make_response(text=text)) for text in texts]

    assert [r.problem for r in readings] == [None, None, "wrong_shape", "score_out_of_range"]
    assert [r.repaired for r in readings] == [False, True, False, False]
