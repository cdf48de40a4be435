"""A chat completion, or the reason why there is none -> the typed `Response` of a request."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ftgate_ext.inference.cost import request_cost_usd
from ftgate_ext.schema import Response, ResponseStatus

if TYPE_CHECKING:
    from ftgate_ext.inference.attempt import Attempt
    from ftgate_ext.inference.endpoint import Endpoint, Request

CHARS_PER_TOKEN = 4
"""Rule of thumb for English and code; within a factor of two for most tokenizers."""
TOKENS_PER_MESSAGE = 4
"""What a chat template puts around a message, roughly."""
MOST_TOKENS = 10**9
"""A larger count is no count."""


def failed_response(
    endpoint: Endpoint, request: Request, key: str, attempt: Attempt, attempts: int, why: str
) -> Response:
    """The response of a request that was not answered.

    Args:
        endpoint: Whom was asked.
        request: What was asked.
        key: Its `request_hash`.
        attempt: The last one.
        attempts: How many were sent.
        why: In one line.
    """
    return Response(
        **_facts(endpoint, request, key, attempt, attempts), status=attempt.status, error=why
    )


def answered_response(
    endpoint: Endpoint, request: Request, key: str, attempt: Attempt, attempts: int
) -> tuple[Response, float | None]:
    """The response of a request that was answered, and what it probably cost in US dollars.

    Where the server does not count tokens they are estimated from the lengths of the texts, and
    marked. Tokens that were estimated give no `cost_usd`: what a model costs is evidence, and a
    rule of thumb is none. The probable cost, which a spending limit goes by, has no such scruples.
    """
    body = attempt.completion
    if body is None:
        raise ValueError("the attempt was not answered; use failed_response")
    choice, usage = body["choices"][0], body.get("usage")
    whole = _said(endpoint, choice["message"].get("content")) or ""
    text = _cut(whole, request.stop)
    counted = (_count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))
    tokens_in = estimate_prompt(request.payload) if counted[0] is None else counted[0]
    tokens_out = estimate_tokens(whole) if counted[1] is None else counted[1]
    cached = _cached(usage)
    probable = request_cost_usd(
        endpoint.price, latency_s=attempt.latency_s, in_flight=attempt.in_flight,
        input_tokens=tokens_in, cached_tokens=cached, output_tokens=tokens_out,
    )  # fmt: skip
    estimated = None in counted
    known = probable if not estimated or endpoint.price.hourly_usd is not None else None
    response = Response(
        **_facts(endpoint, request, key, attempt, attempts), status=_status(choice, text), text=text,
        model_answered=_said(endpoint, body.get("model")),
        system_fingerprint=_said(endpoint, body.get("system_fingerprint")),
        finish_reason=_said(endpoint, choice.get("finish_reason")), latency_s=round(attempt.latency_s, 6),
        first_token_s=None if attempt.first_token_s is None else round(attempt.first_token_s, 6),
        input_tokens=tokens_in, cached_input_tokens=cached, output_tokens=tokens_out,
        tokens_estimated=estimated, cost_usd=known,
    )  # fmt: skip
    return response, probable


def _facts(
    endpoint: Endpoint, request: Request, key: str, attempt: Attempt, attempts: int
) -> dict[str, Any]:
    return {
        "case_id": request.case_id, "task": request.task, "prompt_hash": request.prompt_hash,
        "occurrence": request.occurrence, "turn": request.turn, "request_hash": key, "model_asked": endpoint.model,
        "attempts": attempts, "concurrency": attempt.in_flight, "http_status": attempt.http_status,
        "endpoint": attempt.url if endpoint.more_urls else None,
        "finished_at": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
    }  # fmt: skip


def estimate_tokens(text: str) -> int:
    """Tokens of a text by a rule of thumb: a quarter of its characters, rounded up."""
    return math.ceil(len(text) / CHARS_PER_TOKEN)


def estimate_prompt(payload: dict[str, Any]) -> int:
    """Tokens of a request's messages by the same rule, with a few for each message's frame."""
    tokens = 0
    for message in payload.get("messages", ()):
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        texts = [part.get("text") for part in parts if isinstance(part, dict)]
        tokens += TOKENS_PER_MESSAGE + sum(estimate_tokens(t) for t in texts if isinstance(t, str))
    return tokens


def _said(endpoint: Endpoint, value: Any) -> str | None:
    """A text as it can be written to a file: without the key, and half a character becomes `?`."""
    if not isinstance(value, str):
        return None
    return endpoint.hide_key(value.encode("utf-8", "replace").decode())


def _count(usage: Any, name: str) -> int | None:
    """A token count of the server, or None where it gives none."""
    value = usage.get(name) if isinstance(usage, dict) else None
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_TOKENS
    return value if is_count else None


def _cached(usage: Any) -> int | None:
    details = usage.get("prompt_tokens_details") if isinstance(usage, dict) else None
    return _count(details, "cached_tokens")


def _cut(text: str, stops: list[str]) -> str:
    ends = [at for stop in stops if stop and (at := text.find(stop)) != -1]
    return text[: min(ends)] if ends else text


def _status(choice: dict[str, Any], text: str) -> ResponseStatus:
    if choice.get("finish_reason") == "content_filter":
        return "refused_by_provider"
    if not text.strip():
        return "empty"
    return "truncated" if choice.get("finish_reason") == "length" else "ok"
