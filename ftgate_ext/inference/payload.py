"""What a task asks for -> what is sent to a chat endpoint, without the model's name."""

from __future__ import annotations

import json
from typing import Any

MAX_STOPS = 4  # OpenAI's limit; the rest is cut on our side
MAX_GEN_TOKS = 512
"""New tokens where a task does not say."""
TURNS_FROM = "turns_from"
"""Of a task's `generation_kwargs`: the field of a row that lists what the user says, turn by turn."""
TEMPERATURE_FROM = "temperature_from"
"""The field of a row that states its temperature, where it does."""
_NOT_SENT = {
    "until", "do_sample", "max_gen_toks", "max_tokens", "temperature", TURNS_FROM, TEMPERATURE_FROM,
}  # fmt: skip


def chat_messages(prompt: str, *, is_chat: bool) -> list[dict[str, str]]:
    """A prompt as lm-eval hands it over: messages as JSON, or plain text, which the user says."""
    if is_chat:
        messages: list[dict[str, str]] = json.loads(prompt)
        return messages
    return [{"role": "user", "content": prompt}]


def stops_of(gen_kwargs: dict[str, Any]) -> list[str]:
    """All stop sequences of a task."""
    stops = gen_kwargs.get("until") or []
    return [stops] if isinstance(stops, str) else list(stops)


def build_payload(
    messages: list[dict[str, str]],
    gen_kwargs: dict[str, Any],
    occurrence: int,
    *,
    seed: int,
    max_gen_toks: int = MAX_GEN_TOKS,
    max_tokens: int | None = None,
) -> dict[str, Any]:
    """Messages and sampling parameters of one request.

    Args:
        messages: Of the chat.
        gen_kwargs: What the task says about generation.
        occurrence: Which of several requests with this prompt.
        seed: Of the run.
        max_gen_toks: New tokens where the task does not say.
        max_tokens: Cap on the new tokens, whatever the task says.
    """
    sampled = gen_kwargs.get("do_sample", bool(gen_kwargs.get("temperature")))
    asked = gen_kwargs.get("max_gen_toks") or gen_kwargs.get("max_tokens") or max_gen_toks
    stops = stops_of(gen_kwargs)
    payload = {
        "messages": messages,
        "max_tokens": min(asked, max_tokens or asked),
        "temperature": gen_kwargs.get("temperature", 1.0) if sampled else 0,
        # Repeats are samples: with one seed a server would give the same text each time.
        "seed": seed + (occurrence if sampled else 0),
        **{key: value for key, value in gen_kwargs.items() if key not in _NOT_SENT},
    }
    return payload | ({"stop": stops[:MAX_STOPS]} if stops else {})
