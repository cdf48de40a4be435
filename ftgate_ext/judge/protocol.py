"""What the judge is asked and how its answer is read. Nothing in an answer can leave its fence."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal, TypeVar

from jinja2 import Environment, StrictUndefined
from pydantic import BaseModel, ConfigDict, Field

from ftgate_ext.judge.neutral import VERSION as NEUTRAL
from ftgate_ext.judge.neutral import neutralise, quote

T = TypeVar("T", bound=BaseModel)
TemplateName = Literal["pairwise", "rubric", "grade", "grade_reference"]
ResponseFormat = Literal["json_schema", "json_object", "text"]
"""What the endpoint can be asked to enforce."""

CRITERIA = ("correctness", "completeness", "format", "clarity")
VERDICTS = ("A_better", "B_better", "tie", "both_bad")

_SHAPE = dict.fromkeys(CRITERIA, "1 to 5")
_SHAPES: dict[TemplateName, dict[str, Any]] = {
    "pairwise": {
        "reasoning": "...", "scores_A": _SHAPE, "scores_B": _SHAPE, "verdict": " or ".join(VERDICTS),
    },
    "rubric": {"reasoning": "...", "scores": _SHAPE},
    "grade": {"reasoning": "...", "score": "1 to 10"},
    "grade_reference": {"reasoning": "...", "score": "1 to 10"},
}  # fmt: skip
GRADES = range(1, 11)

_SCORES: dict[str, Any] = {
    "type": "object",
    "properties": {c: {"type": "integer", "enum": [1, 2, 3, 4, 5]} for c in CRITERIA},
    "required": list(CRITERIA),
    "additionalProperties": False,
}


def verdict_schema(max_reasoning_chars: int | None = None) -> dict[str, Any]:
    """The JSON Schema that the judge's answer must satisfy.

    Only keywords that strict endpoints know, but for one: a bound on the reasoning keeps a weak model
    from rambling past its token limit, and has to be asked for.

    Args:
        max_reasoning_chars: maxLength of the reasoning; OpenAI's strict mode refuses the keyword.
    """
    verdict = {"type": "string", "enum": list(VERDICTS)}
    return _reasoned(max_reasoning_chars, scores_A=_SCORES, scores_B=_SCORES, verdict=verdict)


def rubric_schema(max_reasoning_chars: int | None = None) -> dict[str, Any]:
    """The JSON Schema of a single answer's scores; see `verdict_schema`."""
    return _reasoned(max_reasoning_chars, scores=_SCORES)


def grade_schema(max_reasoning_chars: int | None = None) -> dict[str, Any]:
    """The JSON Schema of one answer's grade from 1 to 10; see `verdict_schema`."""
    return _reasoned(max_reasoning_chars, score={"type": "integer", "enum": [*GRADES]})


def _reasoned(max_reasoning_chars: int | None, **parts: dict[str, Any]) -> dict[str, Any]:
    """An object of these parts behind a reasoning.

    It stands first: a model that writes its verdict first only defends it afterwards.
    """
    reasoning: dict[str, Any] = {"type": "string"}
    if max_reasoning_chars is not None:
        reasoning["maxLength"] = max_reasoning_chars
    properties = {"reasoning": reasoning, **parts}
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }


class CriterionScores(BaseModel):
    """1 to 5 on each criterion."""

    model_config = ConfigDict(extra="forbid", strict=True)

    correctness: int = Field(ge=1, le=5)
    completeness: int = Field(ge=1, le=5)
    format: int = Field(ge=1, le=5)
    clarity: int = Field(ge=1, le=5)


class Verdict(BaseModel):
    """What the judge must answer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reasoning: str
    scores_A: CriterionScores  # noqa: N815 - the judge's own words
    scores_B: CriterionScores  # noqa: N815
    verdict: Literal["A_better", "B_better", "tie", "both_bad"]


class RubricVerdict(BaseModel):
    """What the judge must answer about a single answer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reasoning: str
    scores: CriterionScores


class GradeVerdict(BaseModel):
    """What the judge must answer about one turn of a conversation."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reasoning: str
    score: int = Field(ge=1, le=10)


@lru_cache(maxsize=8)
def _template_text(name: TemplateName) -> str:
    return files("ftgate_ext.judge").joinpath(f"{name}.j2").read_text(encoding="utf-8")


def pairwise_prompt(question: str, answer_a: str, answer_b: str) -> str:
    """The judge's prompt for one pair.

    Each text is neutralised and quoted (module `neutral`) and stands between fences with a label
    that is a hash of all three; every occurrence of the label inside them is removed: no answer can
    close its own fence.

    Args:
        question: What both models were asked.
        answer_a: The answer shown first.
        answer_b: The answer shown second.
    """
    texts = {"question": question, "answer_a": answer_a, "answer_b": answer_b}
    return _render("pairwise", texts)


def rubric_prompt(question: str, answer: str) -> str:
    """The judge's prompt for one answer by itself; fenced like a pair."""
    return _render("rubric", {"question": question, "answer": answer})


def grade_prompt(conversation: str, answer: str, reference: str | None = None) -> str:
    """The judge's prompt for one turn of a conversation; fenced like a pair.

    Args:
        conversation: What was said before the answer.
        answer: The answer to be graded.
        reference: A right answer, for questions that have one.
    """
    texts = {"conversation": conversation, "answer": answer}
    if reference is None:
        return _render("grade", texts)
    return _render("grade_reference", {**texts, "reference": reference})


def _render(name: TemplateName, texts: dict[str, str]) -> str:
    harmless = {key: neutralise(text) for key, text in texts.items()}
    label = _label(*harmless.values())
    environment = Environment(
        autoescape=False,  # noqa: S701 - plain text for a model, no HTML
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=False,
    )
    fenced = {key: quote(text.replace(label, "")) for key, text in harmless.items()}
    # Shown to all: many endpoints take a schema and do not enforce it.
    shape = json.dumps(_SHAPES[name])
    template = environment.from_string(_template_text(name))
    return template.render(label=label, shape=shape, **fenced)


def _label(*texts: str) -> str:
    """A fence label that depends on all texts, so none of them can have known it."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:8]


def fingerprint(model: str, parameters: dict[str, Any], template: TemplateName = "pairwise") -> str:
    """sha256 of everything that makes the judge what it is: model, prompt, parameters, schema."""
    whole = json.dumps([model, _template_text(template), NEUTRAL, parameters], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def parse_verdict(text: str) -> Verdict | None:
    """Read the judge's answer; None where it is anything but exactly one verdict."""
    return _parse(text, Verdict)


def parse_rubric(text: str) -> RubricVerdict | None:
    """Read the scores of a single answer; None where it is anything but exactly them."""
    return _parse(text, RubricVerdict)


def parse_grade(text: str) -> GradeVerdict | None:
    """Read the grade of one answer; None where it is anything but exactly one."""
    return _parse(text, GradeVerdict)


def _parse(text: str, kind: type[T]) -> T | None:
    try:
        json.loads(text, object_pairs_hook=keys_once)
        return kind.model_validate_json(text.strip())
    except (ValueError, RecursionError):  # ValidationError is a ValueError
        return None


class RepeatedKeyError(ValueError):
    """A key that stands there twice could be two verdicts, of which the last would count."""


def keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For json's object_pairs_hook; raises RepeatedKeyError."""
    content = dict(pairs)
    if len(content) != len(pairs):
        raise RepeatedKeyError("a key stands there twice")
    return content
