"""A judge's answer -> its verdict, or the kind of what stands there instead. Never a guess.

An endpoint that cannot enforce the schema gets one repair: a single JSON object is taken out of a code
fence, or from behind the thoughts of a reasoning model, if nothing else stands around it. What was
repaired is recorded as repaired; whatever still is not exactly one verdict has none.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ftgate_ext.judge.protocol import (
    GRADES,
    VERDICTS,
    GradeVerdict,
    RepeatedKeyError,
    RubricVerdict,
    Verdict,
    keys_once,
    parse_grade,
    parse_rubric,
    parse_verdict,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftgate_ext.schema import Response, VerdictProblem

T = TypeVar("T", Verdict, RubricVerdict, GradeVerdict)

PROBLEM_OF_STATUS: dict[str, VerdictProblem] = {
    "empty": "empty", "truncated": "truncated", "refused_by_provider": "refused",
    "failed": "failed", "malformed": "failed",
}  # fmt: skip
FAILED: frozenset[str] = frozenset({"failed", "not_recorded"})
"""Problems of the request, not of the judge."""

_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>\s*", re.DOTALL)
_FENCE = re.compile(
    r"\A\s*```(?:json)?[ \t]*\n(?P<inside>(?:(?!```).)*?)\n?```\s*\Z", re.IGNORECASE | re.DOTALL
)
NAMES = {"verdict", "scores", "score"}
"""An object with one of these is meant as a verdict."""
MOST_OBJECTS = 50
"""A text with more braces than that is prose, however long one looks."""


@dataclass(frozen=True)
class Reading(Generic[T]):
    """What an answer of the judge turned out to be."""

    verdict: T | None
    problem: VerdictProblem | None = None
    repaired: bool = False


def read_verdict(response: Response) -> Reading[Verdict]:
    """The verdict on a pair, or why there is none."""
    return _read(response, parse_verdict)


def read_rubric(response: Response) -> Reading[RubricVerdict]:
    """The scores of a single answer, or why there are none."""
    return _read(response, parse_rubric)


def read_grade(response: Response) -> Reading[GradeVerdict]:
    """The grade of one answer, or why there is none."""
    return _read(response, parse_grade)


def _read(response: Response, parse: Callable[[str], T | None]) -> Reading[T]:
    if response.status in PROBLEM_OF_STATUS:
        return Reading(None, PROBLEM_OF_STATUS[response.status])
    verdict = parse(response.text)
    if verdict is not None:
        return Reading(verdict)
    unwrapped = _unwrap(response.text)
    verdict = parse(unwrapped) if unwrapped != response.text else None
    if verdict is not None:
        return Reading(verdict, repaired=True)
    return Reading(None, classify(unwrapped))


def _unwrap(text: str) -> str:
    """The one object inside a fence or behind thoughts; other texts as they are."""
    rest = _THOUGHTS.sub("", text, count=1)
    fence = _FENCE.match(rest)
    return fence.group("inside") if fence else rest


def classify(text: str) -> VerdictProblem:
    """What a text is that is not exactly one verdict."""
    try:
        objects = _objects(text)
    except RepeatedKeyError:
        return "two_verdicts"
    named = [found for found in objects if NAMES & found.keys()]
    if not named:
        return "wrong_shape" if objects else "prose"
    if len(named) > 1:
        return "two_verdicts"
    return _problem_of(named[0], is_alone=_is_object(text))


def _problem_of(found: dict[str, Any], *, is_alone: bool) -> VerdictProblem:
    if "verdict" in found and found["verdict"] not in VERDICTS:
        return "unknown_verdict"
    for name in ("scores_A", "scores_B", "scores"):
        scores = found.get(name)
        values = scores.values() if isinstance(scores, dict) else []
        if any(_is_number(value) and not 1 <= value <= 5 for value in values):
            return "score_out_of_range"
    if _is_number(found.get("score")) and found["score"] not in GRADES:
        return "score_out_of_range"
    text = json.dumps(found)
    whole = parse_verdict(text) or parse_rubric(text) or parse_grade(text)
    return "prose" if whole is not None and not is_alone else "wrong_shape"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects in a text, from left to right, none inside another.

    Raises:
        RepeatedKeyError: One of them holds a key twice.
    """
    decoder = json.JSONDecoder(object_pairs_hook=keys_once)
    found: list[dict[str, Any]] = []
    at = text.find("{")
    for _ in range(MOST_OBJECTS):
        if at < 0:
            break
        try:
            value, end = decoder.raw_decode(text, at)
            found.append(value)
        except RepeatedKeyError:
            raise
        except (ValueError, RecursionError):
            end = at + 1
        at = text.find("{", end)
    return found
