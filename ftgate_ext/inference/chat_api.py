"""The chat-completions wire format: a body -> a checked request; an answer -> a body.

Knows nothing of sockets or engines. Whatever could change the answer and cannot be obeyed is
refused, never ignored.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import asdict, dataclass
from typing import Any

DEFAULT_MAX_TOKENS = 512
ROLES = ("system", "user", "assistant")
SEED_LIMIT = 1 << 63
MAX_STOPS = 16

OBEYED = frozenset({
    "model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "seed",
    "stop", "response_format", "stream", "stream_options",
})  # fmt: skip
NO_EFFECT = frozenset({"user", "metadata", "store", "safety_identifier"})
"""Parameters that never change a text."""
ONLY_AT: dict[str, Any] = {
    "n": 1, "logprobs": False, "presence_penalty": 0, "frequency_penalty": 0,
    "tools": [], "logit_bias": {},
}  # fmt: skip
"""Parameters that are taken at their default alone."""


class ChatError(Exception):
    """A request that is not answered: the HTTP status and what the client is told."""

    def __init__(
        self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code

    def body(self) -> dict[str, Any]:
        """The error as OpenAI's clients expect it."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        error = {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        return {"error": error}


@dataclass(frozen=True)
class ChatRequest:
    """One checked request."""

    model: str
    messages: list[dict[str, str]]
    max_tokens: int
    temperature: float
    top_p: float
    seed: int | None
    stop: list[str]
    json_schema: str | None
    """JSON Schema that the text must satisfy, as JSON text."""
    stream: bool = False
    """Answer in pieces, as server-sent events."""
    include_usage: bool = False
    """End a stream with the tokens that were counted."""

    def job(self) -> dict[str, Any]:
        """What the engine's process needs of it."""
        not_needed = {"model", "include_usage"}
        return {name: value for name, value in asdict(self).items() if name not in not_needed}


@dataclass(frozen=True)
class Answer:
    """What the engine made of one request."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    fingerprint: str


def parse_chat_request(raw: bytes) -> ChatRequest:
    """The body of POST /v1/chat/completions -> a request.

    Raises:
        ChatError: The body is no such request, or asks for what this engine does not do.
    """
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise ChatError("The body is not JSON; send a chat completion request.") from None
    if not isinstance(body, dict):
        raise ChatError("The body is not a JSON object; send a chat completion request.")
    body = {name: value for name, value in body.items() if value is not None}
    _refuse_unsupported(body)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise ChatError("model must be the name of a served model.", param="model")
    limit = "max_completion_tokens" if "max_completion_tokens" in body else "max_tokens"
    return ChatRequest(
        model=model,
        messages=_messages(body.get("messages")),
        max_tokens=_integer(body, limit, DEFAULT_MAX_TOKENS, low=1),
        temperature=_number(body, "temperature", low=0, high=2),
        top_p=_number(body, "top_p", low=1e-6, high=1),
        seed=_integer(body, "seed", 0, low=-SEED_LIMIT) % SEED_LIMIT if "seed" in body else None,
        stop=_stops(body.get("stop", [])),
        json_schema=_json_schema(body.get("response_format", {"type": "text"})),
        stream=_boolean(body.get("stream", False), "stream"),
        include_usage=_include_usage(body),
    )


def completion_body(request: ChatRequest, answer: Answer) -> dict[str, Any]:
    """The body of a chat completion."""
    message = {"role": "assistant", "content": answer.text}
    choice = {"index": 0, "message": message, "logprobs": None}
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request.model,
        "system_fingerprint": answer.fingerprint,
        "choices": [choice | {"finish_reason": answer.finish_reason}],
        "usage": _usage(answer),
    }


def _usage(answer: Answer) -> dict[str, int]:
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
    }


class ChunkWriter:
    """The events of one streamed completion, as OpenAI's clients expect them."""

    end = b"data: [DONE]\n\n"

    def __init__(self, request: ChatRequest) -> None:
        self._request = request
        self._head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}", "object": "chat.completion.chunk",
            "created": int(time.time()), "model": request.model,
        }  # fmt: skip

    def piece(self, text: str, *, first: bool) -> bytes:
        """A piece of the text; the first one says whose it is."""
        delta = {"role": "assistant", "content": text} if first else {"content": text}
        return self._event([{"index": 0, "delta": delta, "finish_reason": None}])

    def ending(self, answer: Answer) -> bytes:
        """Why the answer ends, and what was counted where that was asked for."""
        about = {"system_fingerprint": answer.fingerprint}
        choice = {"index": 0, "delta": {}, "finish_reason": answer.finish_reason}
        events = self._event([choice], **about)
        if self._request.include_usage:
            events += self._event([], usage=_usage(answer), **about)
        return events + self.end

    @staticmethod
    def error(error: ChatError) -> bytes:
        """An error after the answer has begun."""
        return _data(error.body())

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        return _data({**self._head, "choices": choices, **more})


def _data(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _boolean(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise ChatError(f"{name} must be true or false, got {value!r}.", param=name)
    return value


def _include_usage(body: dict[str, Any]) -> bool:
    options = body.get("stream_options", {})
    if not isinstance(options, dict):
        raise ChatError("stream_options must be an object.", param="stream_options")
    return _boolean(options.get("include_usage", False), "stream_options.include_usage")


def _refuse_unsupported(body: dict[str, Any]) -> None:
    for name, value in body.items():
        if name in OBEYED or name in NO_EFFECT:
            continue
        if name not in ONLY_AT:
            raise ChatError(f"{name} is not supported here; leave it out.", param=name)
        if value != ONLY_AT[name]:
            only = json.dumps(ONLY_AT[name])
            raise ChatError(f"{name} is supported at {only} only; leave it out.", param=name)


def _messages(value: Any) -> list[dict[str, str]]:
    if not isinstance(value, list) or not value:
        raise ChatError("messages must be a list with at least one message.", param="messages")
    return [_message(message, f"messages[{i}]") for i, message in enumerate(value)]


def _message(message: Any, where: str) -> dict[str, str]:
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        raise ChatError(f"{where}: role must be one of {', '.join(ROLES)}.", param="messages")
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    texts = [p.get("text") for p in parts if isinstance(p, dict) and p.get("type") == "text"]
    if len(texts) != len(parts) or not all(isinstance(text, str) for text in texts):
        raise ChatError(f"{where}: content must be text or a list of text parts.", param="messages")
    # Half a character (a lone surrogate) is legal JSON and no text that a tokenizer can take.
    text = "".join(str(t) for t in texts).encode("utf-8", "replace").decode()
    return {"role": message["role"], "content": text}


def _integer(body: dict[str, Any], name: str, default: int, *, low: int) -> int:
    value = body.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value < SEED_LIMIT:
        raise ChatError(f"{name} must be an integer of at least {low}, got {value!r}.", param=name)
    return value


def _number(body: dict[str, Any], name: str, *, low: float, high: float) -> float:
    value = body.get(name, 1)
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        expected = f"a number from {low:g} to {high:g}"
        raise ChatError(f"{name} must be {expected}, got {value!r}.", param=name)
    return float(value)


def _stops(value: Any) -> list[str]:
    stops = [value] if isinstance(value, str) else value
    texts = isinstance(stops, list) and all(isinstance(s, str) and s for s in stops)
    if not texts or len(stops) > MAX_STOPS:
        expected = f"a text or a list of at most {MAX_STOPS} texts, none of them empty"
        raise ChatError(f"stop must be {expected}.", param="stop")
    return [s.encode("utf-8", "replace").decode() for s in stops]


def _json_schema(value: Any) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return '{"type": "object"}'
    spec = value.get("json_schema") if kind == "json_schema" else None
    schema = spec.get("schema") if isinstance(spec, dict) else None
    if not isinstance(schema, dict):
        expected = 'text, json_object, or json_schema with an object under "schema"'
        raise ChatError(f"response_format must be {expected}.", param="response_format")
    return json.dumps(schema)
