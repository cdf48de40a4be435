"""Server-sent events of a chat completion -> the completion that they make up.

Knows nothing of sockets: bytes in, whatever their cuts; a completion out, as an answer that is not
streamed would have it.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

END = b"[DONE]"


@dataclass(slots=True)
class Streamed:
    """What a stream has held so far."""

    pieces: list[str] = field(default_factory=list)
    finish_reason: Any = None
    usage: Any = None
    model: Any = None
    system_fingerprint: Any = None
    first_token_at: float | None = None
    """When the first piece of text, of thought or of a tool call came, on the monotonic clock."""
    odd: bytes | None = None
    """The first event that is no part of a chat completion."""
    has_choice: bool = False
    has_end: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether the answer came to its end, and did not just break off."""
        return self.has_choice and (self.has_end or self.finish_reason is not None)

    def completion(self) -> dict[str, Any]:
        """The chat completion."""
        choice = {
            "message": {"content": "".join(self.pieces)},
            "finish_reason": self.finish_reason,
        }
        return {
            "choices": [choice], "usage": self.usage, "model": self.model,
            "system_fingerprint": self.system_fingerprint,
        }  # fmt: skip

    def take_line(self, line: bytes) -> None:
        """Read one line of the stream; comments, blank lines and other fields mean nothing."""
        name, _, value = line.rstrip(b"\r").partition(b":")
        if name != b"data" or self.odd is not None or self.has_end:
            return
        event = value.strip()
        if event == END:
            self.has_end = True
            if not self.has_choice:
                self.odd = event
        elif event and not self._take_event(event):
            self.odd = event

    def _take_event(self, event: bytes) -> bool:
        """Add one event; False where it is no chunk of a chat completion."""
        try:
            chunk = json.loads(event)
        except (ValueError, RecursionError):
            return False
        if not isinstance(chunk, dict) or "error" in chunk:
            return False
        choices = chunk.get("choices", [])  # some servers send their own news without any
        if not isinstance(choices, list):
            return False
        for name in ("usage", "model", "system_fingerprint"):
            if chunk.get(name) is not None:
                setattr(self, name, chunk[name])
        return all(self._take_choice(choice) for choice in choices[:1])

    def _take_choice(self, choice: Any) -> bool:
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if not isinstance(delta, dict) or not isinstance(delta.get("content"), str | None):
            return False
        self.has_choice = True
        if choice.get("finish_reason") is not None:
            self.finish_reason = choice["finish_reason"]
        if delta.get("content"):
            self.pieces.append(delta["content"])
        if self.first_token_at is None and _holds_a_token(delta):
            self.first_token_at = time.monotonic()
        return True


def _holds_a_token(delta: dict[str, Any]) -> bool:
    return any(value for name, value in delta.items() if name != "role")


async def assemble(chunks: AsyncIterator[bytes]) -> Streamed:
    """Read a stream to its end.

    Args:
        chunks: Bytes as they come in, cut anywhere.
    """
    streamed, rest = Streamed(), b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            streamed.take_line(line)
    streamed.take_line(rest)
    return streamed
