"""What the judge is asked and how its answer is read. Nothing in an answer can leave its fence."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

from jinja2 import Environment, StrictUndefined
from pydantic import BaseModel, ConfigDict, Field

CRITERIA = ("correctness", "completeness", "format", "clarity")

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
    reasoning: dict[str, Any] = {"type": "string"}
    if max_reasoning_chars is not None:
        reasoning["maxLength"] = max_reasoning_chars
    verdicts = ["A_better", "B_better", "tie", "both_bad"]
    # Reasoning stands first: a model that writes its verdict first only defends it afterwards.
    return {
        "type": "object",
        "properties": {
            "reasoning": reasoning,
            "scores_A": _SCORES,
            "scores_B": _SCORES,
            "verdict": {"type": "string", "enum": verdicts},
        },
        "required": ["reasoning", "scores_A", "scores_B", "verdict"],
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


@lru_cache(maxsize=1)
def _template_text() -> str:
    return files("ftgate_ext.judge").joinpath("pairwise.j2").read_text(encoding="utf-8")


def pairwise_prompt(question: str, answer_a: str, answer_b: str) -> str:
    """The judge's prompt for one pair.

    Each text stands between fences with a label that is a hash of all three texts, and every
    occurrence of the label inside them is removed: no answer can close its own fence.
    """
    label = _label(question, answer_a, answer_b)
    environment = Environment(
        autoescape=False,  # noqa: S701 - plain text for a model, no HTML
        undefined=StrictUndefined,
        keep_trailing_newline=False,
    )
    fenced = [text.replace(label, "") for text in (question, answer_a, answer_b)]
    return environment.from_string(_template_text()).render(
        label=label, question=fenced[0], answer_a=fenced[1], answer_b=fenced[2]
    )


def _label(*texts: str) -> str:
    """A fence label that depends on all texts, so none of them can have known it."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:8]


def fingerprint(model: str, parameters: dict[str, Any]) -> str:
    """sha256 of everything that makes the judge what it is: model, prompt, parameters, schema."""
    whole = json.dumps([model, _template_text(), parameters], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def parse_verdict(text: str) -> Verdict | None:
    """Read the judge's answer; None where it is anything but exactly one verdict."""
    try:
        json.loads(text, object_pairs_hook=_keys_once)
        return Verdict.model_validate_json(text.strip())
    except (ValueError, RecursionError):  # ValidationError is a ValueError
        return None


def _keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A key that stands there twice could be two verdicts, of which the last would count."""
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a key stands there twice")
    return content
