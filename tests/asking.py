"""How the tests of the client ask a server."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from ftgate_ext.inference.client import Endpoint, Request, ask_all
from ftgate_ext.schema import Price

if TYPE_CHECKING:
    from fake_server import FakeServer

    from ftgate_ext.schema import Response

KEY = "sk-test-0123456789abcdef"
PER_TOKEN = Price(input_usd_per_mtok=2.0, output_usd_per_mtok=8.0)


def endpoint_of(server: FakeServer, *more: FakeServer, **changes: Any) -> Endpoint:
    """An endpoint of one server, or of several that serve the same model."""
    fields: dict[str, Any] = {
        "base_url": server.base_url, "model": "toy", "max_attempts": 3,
        "more_urls": tuple(other.base_url for other in more),
    }  # fmt: skip
    return Endpoint(**fields | changes)


def make_request(prompt: str = "review this", **changes: Any) -> Request:
    """One question."""
    payload = {"messages": [{"role": "user", "content": prompt}], "max_tokens": 16}
    return Request(case_id=prompt, task="quiz", prompt_hash=prompt, payload=payload, **changes)


def make_requests(n: int) -> list[Request]:
    """So many different questions."""
    return [make_request(f"question {i}") for i in range(n)]


def ask(server: FakeServer, *prompts: str, **changes: Any) -> list[Response]:
    """Ask one server."""
    requests = [make_request(p) for p in prompts or ("review this",)]
    return ask_all(endpoint_of(server, **changes), requests)


def one_line(error: BaseException | str | None) -> str:
    """The text of an error, which must be one line that a terminal can show."""
    text = str(error)
    assert "\n" not in text
    assert text.isprintable()
    return text


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
