"""A real HTTP server that speaks the OpenAI chat protocol, and misbehaves on request.

It listens on a free loopback port in a thread of its own. A script says what each chat request gets:

    FakeServer()                              a well-formed review for everybody
    FakeServer("html")                        one fault for everybody
    FakeServer(["429", "429", "good"])        one after the other; the last one stays
    FakeServer(lambda n, body: Reply("hi"))   n counts the chat requests from 0

A request with `stream: true` gets its answer in pieces. A server that was left can be started again:
another one on the same `port`. Faults are `Reply` objects or names of `FAULTS`. Everything received
is kept for the test to look at.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Union

from aiohttp import web

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

TRICKLE_EVERY_S = 0.05
GOOD = '{"verdict": "clean", "category": null, "line": null, "severity": null, "comment": null}'


@dataclass(frozen=True)
class Reply:
    """What one chat request gets."""

    text: str | None = GOOD
    """The answer; ignored where `body` is given."""
    finish_reason: str = "stop"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    """The whole body instead of a chat completion: bytes as they are, everything else as JSON."""
    usage: Any = field(default_factory=lambda: {"prompt_tokens": 100, "completion_tokens": 10})
    message: dict[str, Any] = field(default_factory=dict)
    """Put over the message of the completion."""
    fields: dict[str, Any] = field(default_factory=dict)
    """Put over the completion itself: `model`, `system_fingerprint`."""
    delay_s: float = 0
    transport: Literal["whole", "reset", "hang", "cut off", "trickle"] = "whole"
    streams: bool = True
    """Whether a request to stream is obeyed; else it gets plain JSON."""
    events: Sequence[bytes] | None = None
    """The lines of the stream as they are, instead of a completion's."""
    piece_delay_s: float = 0
    """Before every piece of a stream."""


def _error(status: int, message: str, **headers: str) -> Reply:
    error = {"error": {"message": message, "type": "error", "code": status}}
    return Reply(status=status, body=error, headers=headers)


FAULTS: dict[str, Reply] = {
    "good": Reply(),
    "429": _error(429, "Too many requests"),
    "429 retry-after": _error(429, "Too many requests", **{"Retry-After": "0"}),
    "500": _error(500, "The server had an error"),
    "400": _error(400, "This model's maximum context length is 10 tokens"),
    "401": _error(401, "Incorrect API key provided"),
    "reset": Reply(transport="reset"),
    "hang": Reply(transport="hang"),
    "cut off": Reply(transport="cut off"),
    "trickle": Reply(transport="trickle"),
    "html": Reply(body=b"<html>\n<body>Bad gateway</body>\n</html>", headers={"Content-Type": "text/html"}),
    "truncated json": Reply(body=b'{"id": "x", "choices": [{"message": {"con'),
    "error body": Reply(body={"error": {"message": "out of memory"}}),
    "no choices": Reply(body={"id": "x", "choices": []}),
    "null content": Reply(text=None),
    "empty": Reply(text=""),
    "tool calls": Reply(text=None, finish_reason="tool_calls", message={"tool_calls": [{"id": "1", "type": "function"}]}),
    "content filter": Reply(text="", finish_reason="content_filter"),
    "length": Reply(text='{"verdict": "defe', finish_reason="length"),
    "slow": Reply(delay_s=0.15),
}  # fmt: skip

Answer = Union[Reply, str]  # noqa: UP007 - a runtime alias on Python 3.10
Script = Union[Answer, Sequence[Answer], Callable[[int, dict[str, Any]], Answer]]  # noqa: UP007


@dataclass(frozen=True)
class Received:
    """One request as it came in."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float
    """Seconds on the monotonic clock."""

    @property
    def prompt(self) -> str:
        """The last message."""
        return str(self.body["messages"][-1]["content"])


def on_prompt(fragment: str, fault: Answer, otherwise: Answer = "good") -> Script:
    """A script that gives `fault` to every prompt with `fragment` in it."""

    def script(_n: int, body: dict[str, Any]) -> Answer:
        return fault if fragment in body["messages"][-1]["content"] else otherwise

    return script


class FakeServer:
    """The server; a context manager."""

    def __init__(
        self,
        script: Script = "good",
        models: Sequence[str] = ("toy",),
        models_reply: Reply | None = None,
        port: int = 0,
    ) -> None:
        """Make a server.

        Args:
            script: What each chat request gets.
            models: The names that GET /v1/models lists.
            models_reply: What GET /v1/models gets instead (its `body`, `status` and `headers`).
            port: Where to listen; a free port when 0.
        """
        self.script, self.models, self.models_reply = script, list(models), models_reply
        self.received: list[Received] = []
        """Every request, GET /v1/models too."""
        self.in_flight = 0
        self.most_in_flight = 0
        self.port = port
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    @property
    def base_url(self) -> str:
        """Ends in /v1."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def chats(self) -> list[Received]:
        """The chat requests in the order in which they came."""
        return [r for r in self.received if r.path.endswith("/chat/completions")]

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        if not self._ready.wait(10):
            raise TimeoutError("the fake server did not start")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Close the port and every connection; nothing happens where that was done."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=2**26)
        app.router.add_get("/v1/models", self._list_models)
        app.router.add_post("/v1/chat/completions", self._chat)
        self._add_routes(app)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    def _add_routes(self, app: web.Application) -> None:
        """A place for what another server answers besides."""

    def _keep(self, request: web.Request, body: dict[str, Any]) -> int:
        seen = Received(request.path, dict(request.headers), body, time.monotonic())
        self.received.append(seen)
        return len(self.chats) - 1

    async def _list_models(self, request: web.Request) -> web.StreamResponse:
        self._keep(request, {})
        listed = [{"id": name, "object": "model"} for name in self.models]
        reply = self.models_reply or Reply(body={"object": "list", "data": listed})
        return await self._send(request, reply, reply.body)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        reply = self._choose(self._keep(request, body), body)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(reply.delay_s)
            if body.get("stream") and reply.streams and reply.body is None and reply.status == 200:
                return await self._stream(request, reply, body)
            return await self._send(request, reply, _completion(reply, body))
        finally:
            self.in_flight -= 1

    def _choose(self, n: int, body: dict[str, Any]) -> Reply:
        script = self.script
        if callable(script):
            script = script(n, body)
        elif not isinstance(script, (Reply, str)):
            script = script[min(n, len(script) - 1)]
        return FAULTS[script] if isinstance(script, str) else script

    async def _send(self, request: web.Request, reply: Reply, body: Any) -> web.StreamResponse:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | reply.headers
        whole = web.Response(status=reply.status, body=raw, headers=headers)
        if reply.transport == "whole":
            return whole
        if reply.transport == "hang":
            await self._stop.wait()
            return whole
        begun = web.StreamResponse(headers={"Content-Length": str(len(raw))})
        if reply.transport in ("cut off", "trickle"):
            await begun.prepare(request)
        if reply.transport == "cut off":
            await begun.write(raw[: len(raw) // 2])
        for i in range(len(raw) - 1 if reply.transport == "trickle" else 0):
            await begun.write(raw[i : i + 1])
            await asyncio.sleep(TRICKLE_EVERY_S)
        _reset(request.transport)
        return begun

    async def _stream(
        self, request: web.Request, reply: Reply, body: dict[str, Any]
    ) -> web.StreamResponse:
        if reply.transport in {"hang", "reset"}:
            return await self._send(request, reply, {})
        begun = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await begun.prepare(request)
        lines = reply.events if reply.events is not None else _events(reply, body)
        for line in lines[: len(lines) // 2] if reply.transport == "cut off" else lines:
            await asyncio.sleep(reply.piece_delay_s)
            await begun.write(line)
        if reply.transport == "cut off":
            _reset(request.transport)
        return begun


PIECES = 5


def _events(reply: Reply, body: dict[str, Any]) -> list[bytes]:
    """The lines of a completion in pieces, as OpenAI's servers send them."""
    about = {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": body["model"],
        "system_fingerprint": "fp_toy", **reply.fields,
    }  # fmt: skip
    text = reply.text or ""
    size = -(-len(text) // PIECES) or 1
    deltas: list[dict[str, Any]] = [
        {"role": "assistant", "content": reply.text and ""} | reply.message
    ]
    deltas += [{"content": text[at : at + size]} for at in range(0, len(text), size)]
    chunks = [
        about | {"choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas
    ]
    end = {"index": 0, "delta": {}, "finish_reason": reply.finish_reason}
    chunks.append(about | {"choices": [end]})
    if body.get("stream_options", {}).get("include_usage"):
        chunks.append(about | {"choices": [], "usage": reply.usage})
    lines = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks]
    return [*lines, b"data: [DONE]\n\n"]


def _completion(reply: Reply, body: dict[str, Any]) -> Any:
    if reply.body is not None:
        return reply.body
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body["model"],
        "system_fingerprint": "fp_toy", "usage": reply.usage,
        "choices": [{
            "index": 0, "finish_reason": reply.finish_reason,
            "message": {"role": "assistant", "content": reply.text} | reply.message,
        }],
        **reply.fields,
    }  # fmt: skip


def _reset(transport: Any) -> None:
    """Drop the connection without a farewell (RST)."""
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def slowed(reply: Answer, delay_s: float) -> Reply:
    """The same reply, later."""
    return replace(FAULTS[reply] if isinstance(reply, str) else reply, delay_s=delay_s)
