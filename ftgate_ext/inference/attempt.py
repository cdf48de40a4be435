"""Send a request once and say what came of it. Knows nothing of queues, retries or journals."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import aiohttp

from ftgate_ext.inference.retry import retry_after_s
from ftgate_ext.inference.stream import assemble

if TYPE_CHECKING:
    from ftgate_ext.inference.endpoint import Endpoint, Request
    from ftgate_ext.schema import ResponseStatus

HTTP_OK = 200
ASK_AGAIN = frozenset({408, 409, 425})
OVERLOAD = frozenset({429, 503, 529})
NO_ACCESS = frozenset({401, 403, 404})
NOBODY_THERE = (aiohttp.ClientConnectorError, aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError)

Blame = Literal[
    "nobody", "body", "moment", "overload", "server", "connection", "unreachable", "access", "request"
]  # fmt: skip
"""Whose fault it is that there is no answer.

    nobody       there is one
    body         200 with something that is no chat completion
    moment       408, 409, 425: not now
    overload     429, 503, 529: too much at once
    server       any other 5xx
    connection   it broke, or nothing came in time
    unreachable  nobody takes connections there
    access       401, 403, 404: the key, or the model
    request      any other 4xx: this request will never be answered
"""
CANNOT_HEAL = frozenset({"access", "request"})


@dataclass(slots=True)
class Attempt:
    """What came of sending a request once."""

    sent_at: float
    """On the monotonic clock."""
    in_flight: int
    """Requests in flight to the model when it was sent, this one included."""
    url: str
    latency_s: float = 0.0
    blame: Blame = "nobody"
    http_status: int | None = None
    completion: dict[str, Any] | None = None
    """The chat completion, where there is an answer."""
    first_token_s: float | None = None
    why: str = ""
    """Why there is no answer, in one line."""
    wait_s: float | None = None
    """How long the server wants to be left alone."""

    @property
    def status(self) -> ResponseStatus:
        """What the response is called if this was the last attempt and there is no answer."""
        return "malformed" if self.blame == "body" else "failed"


async def send(
    session: aiohttp.ClientSession,
    endpoint: Endpoint,
    url: str,
    request: Request,
    in_flight: int,
    timeout_s: float,
) -> Attempt:
    """Send once; whatever happens becomes an attempt.

    Args:
        session: With the headers of this server and the endpoint's timeout.
        endpoint: Whom to ask.
        url: The base URL of the server to ask.
        request: What to ask.
        in_flight: Requests in flight, this one included.
        timeout_s: Seconds that are left for it.
    """
    body = {"model": endpoint.model, **request.payload}
    if endpoint.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    options: dict[str, Any] = {}
    if timeout_s < endpoint.timeout_s:
        options["timeout"] = aiohttp.ClientTimeout(total=timeout_s)
    raw = json.dumps(body).encode()
    attempt = Attempt(time.monotonic(), in_flight, url)
    try:
        async with session.post(f"{url}/chat/completions", data=raw, **options) as reply:
            attempt.http_status = reply.status
            if reply.status != HTTP_OK:
                _refuse(attempt, endpoint, reply, await reply.read())
            elif reply.content_type == "text/event-stream":
                await _read_stream(attempt, endpoint, reply)
            else:
                raw = await reply.read()
                attempt.latency_s = time.monotonic() - attempt.sent_at
                _read_completion(attempt, endpoint, raw)
    except asyncio.TimeoutError:
        _fail(attempt, "connection", f"no answer within {timeout_s:g} s")
    except NOBODY_THERE as error:
        _fail(attempt, "unreachable", f"connection failed ({type(error).__name__})")
    except (aiohttp.ClientError, OSError) as error:
        _fail(attempt, "connection", f"connection failed ({type(error).__name__})")
    return attempt


def _fail(attempt: Attempt, blame: Blame, why: str) -> None:
    attempt.blame, attempt.why, attempt.completion = blame, why, None
    if blame in {"connection", "unreachable"}:
        attempt.http_status = None


def _refuse(
    attempt: Attempt, endpoint: Endpoint, reply: aiohttp.ClientResponse, raw: bytes
) -> None:
    _fail(attempt, blame_of(reply.status), endpoint.http_error(reply.status, raw))
    if endpoint.stream and attempt.blame == "request" and "stream" in attempt.why:
        attempt.why += " (`stream` was asked for in gate.yaml: leave it out there)"
    attempt.wait_s = retry_after_s(reply.headers.get("Retry-After"))


def blame_of(status: int) -> Blame:
    """Whose fault an HTTP status other than 200 is."""
    if status in OVERLOAD:
        return "overload"
    if status in ASK_AGAIN:
        return "moment"
    if status >= 500:
        return "server"
    return "access" if status in NO_ACCESS else "request"


def _read_completion(attempt: Attempt, endpoint: Endpoint, raw: bytes) -> None:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        _fail(attempt, "body", f"HTTP 200 without JSON: {endpoint.quote(raw)}")
        return
    if is_completion(body):
        attempt.completion = body
    else:
        _fail(attempt, "body", f"HTTP 200 without choices: {endpoint.quote(raw)}")


async def _read_stream(attempt: Attempt, endpoint: Endpoint, reply: aiohttp.ClientResponse) -> None:
    """Read server-sent events into the completion that they make up."""
    streamed = await assemble(reply.content.iter_any())
    attempt.latency_s = time.monotonic() - attempt.sent_at
    if streamed.first_token_at is not None:
        attempt.first_token_s = streamed.first_token_at - attempt.sent_at
    if streamed.odd is not None:
        _fail(attempt, "body", f"HTTP 200 without choices: {endpoint.quote(streamed.odd)}")
    elif not streamed.is_whole:
        _fail(attempt, "connection", "connection failed (the stream ended before the answer did)")
    else:
        attempt.completion = streamed.completion()


def is_completion(body: Any) -> bool:
    """Whether a decoded body holds one chat message, be it an empty one."""
    choices = body.get("choices") if isinstance(body, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    return isinstance(message, dict) and isinstance(message.get("content"), str | None)
