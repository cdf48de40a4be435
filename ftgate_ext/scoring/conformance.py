"""Score answers against an output schema, for the format set."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator

from ftgate_ext.schema import is_unscored


@lru_cache(maxsize=512)
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema))


def score_format(doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
    """Score one case of the format set (lm-eval's `process_results`).

    Returns:
        parses: 1 if the whole answer is JSON; conforms: 1 if it also satisfies the case's schema;
        unanswered: 1 alone where the request failed. A code fence or a word around the JSON fails:
        the program that reads the answer has no tolerance either.
    """
    answer = results[0]
    if is_unscored(answer):
        return {"unanswered": 1}
    schema = doc["schema"] if isinstance(doc["schema"], str) else json.dumps(doc["schema"])
    try:
        value = json.loads(answer, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return {"parses": 0, "conforms": 0, "unanswered": 0}
    return {"parses": 1, "conforms": int(_conforms(schema, value)), "unanswered": 0}


def _no_json(constant: str) -> None:
    """Python would read NaN and Infinity; the program that reads the answer does not."""
    raise ValueError(f"{constant} is not JSON")


def _conforms(schema: str, value: Any) -> bool:
    try:
        return _validator(schema).is_valid(value)
    except RecursionError:  # a recursive schema, and an answer that nests without end
        return False
