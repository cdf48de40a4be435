"""An OpenAI-compatible server that answers after a fixed time, in a process on a core of its own.

It knows no model and parses no JSON: what a client costs shall be seen, not what the server costs.
It notes when the first request came, when the last answer left, and what the asking process had
used by then (processor seconds and memory, from /proc).
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import re
import selectors
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

MODEL = "fixed-latency"
REVIEW = {"verdict": "clean", "category": None, "line": None, "severity": None, "comment": None}
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
CAPACITY_CONNECTIONS = 64
CAPACITY_S = 0.5
CAPACITY_TRIES = 20
LISTEN_BACKLOG = 1024


def _reply(body: dict[str, Any]) -> bytes:
    raw = json.dumps(body).encode()
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
    )
    return head.encode() + raw


MODELS_REPLY = _reply({"object": "list", "data": [{"id": MODEL, "object": "model"}]})
CHAT_REPLY = _reply(
    {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL,
        "usage": {"prompt_tokens": 380, "completion_tokens": 30, "total_tokens": 410},
        "choices": [{
            "index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": json.dumps(REVIEW)},
        }],
    }
)  # fmt: skip


@dataclass
class Seen:
    """What the server saw of one command."""

    requests: int = 0
    answers: int = 0
    first_request_at: float = 0.0
    """Seconds on the machine's monotonic clock, which all processes share."""
    last_answer_at: float = 0.0
    cpu_at_first_s: float = 0.0
    """Processor seconds that the watched process had used when its first request came."""
    cpu_at_last_s: float = 0.0
    longest_wait_s: float = 0.0
    """The longest time that the server itself held a request."""
    most_in_flight: int = 0


@dataclass
class Settings:
    """What the server does at present."""

    latency_s: float = 0.0
    watched: int = 0
    """Process id whose use of the processor is noted; 0 for none."""
    expected: int = 0
    """Number of the answer after which the watched process is looked at again."""


class _State:
    """Shared by the connections of one server."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop, self.settings, self.seen = loop, Settings(), Seen()

    def came(self) -> float:
        now, seen = time.monotonic(), self.seen
        if not seen.requests:
            seen.first_request_at = now
            seen.cpu_at_first_s = cpu_seconds(self.settings.watched)
        seen.requests += 1
        seen.most_in_flight = max(seen.most_in_flight, seen.requests - seen.answers)
        return now

    def left(self, came_at: float) -> None:
        seen = self.seen
        seen.answers += 1
        seen.last_answer_at = time.monotonic()
        seen.longest_wait_s = max(seen.longest_wait_s, seen.last_answer_at - came_at)
        if seen.answers == self.settings.expected:
            seen.cpu_at_last_s = cpu_seconds(self.settings.watched)


class _Connection(asyncio.Protocol):
    """One kept-alive connection; requests on it come one after the other."""

    def __init__(self, state: _State) -> None:
        self.state, self.received = state, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        head_end = self.received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        length = LENGTH.search(self.received, 0, head_end)
        end = head_end + 4 + (int(length[1]) if length else 0)
        if len(self.received) < end:
            return
        request, self.received = self.received[:end], self.received[end:]
        if request.startswith(b"GET"):
            self.transport.write(MODELS_REPLY)
        elif request.startswith(b"POST /control"):
            self._control(request[head_end + 4 :])
        else:
            came_at, latency_s = self.state.came(), self.state.settings.latency_s
            if latency_s:
                self.state.loop.call_later(latency_s, self._answer, came_at)
            else:
                self._answer(came_at)

    def _answer(self, came_at: float) -> None:
        self.transport.write(CHAT_REPLY)
        self.state.left(came_at)

    def _control(self, body: bytes) -> None:
        wanted = json.loads(body)
        if wanted:
            self.state.settings, self.state.seen = Settings(**wanted), Seen()
        self.transport.write(_reply(asdict(self.state.seen)))


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far; 0 where it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - within the measured time
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


async def _serve(ready: Connection) -> None:
    loop = asyncio.get_running_loop()
    state = _State(loop)
    server = await loop.create_server(
        lambda: _Connection(state), "127.0.0.1", 0, backlog=LISTEN_BACKLOG
    )
    ready.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _process(core: int, ready: Connection) -> None:
    os.sched_setaffinity(0, {core})
    # epoll rounds waiting times up to whole milliseconds, a twentieth of 20 ms; select does not.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    loop.run_until_complete(_serve(ready))


@dataclass(frozen=True)
class LatencyServer:
    """The running server, seen from the benchmark."""

    port: int

    @property
    def base_url(self) -> str:
        """Ends in /v1."""
        return f"http://127.0.0.1:{self.port}/v1"

    def watch(self, settings: Settings) -> None:
        """Begin a new count."""
        self._control(asdict(settings))

    def seen(self) -> Seen:
        """What was seen since `watch`."""
        return Seen(**self._control({}))

    def _control(self, body: dict[str, Any]) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.port}/control"
        with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=10) as reply:
            return dict(json.load(reply))


@contextmanager
def latency_server() -> Iterator[LatencyServer]:
    """Serve on the last core, and leave the others to this process and its children."""
    cores = sorted(os.sched_getaffinity(0))
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_process, args=(cores[-1], there), daemon=True)
    process.start()
    os.sched_setaffinity(0, cores[:-1] or cores)
    try:
        yield LatencyServer(here.recv())
    finally:
        process.terminate()
        process.join()
        os.sched_setaffinity(0, cores)


class _Asker(asyncio.Protocol):
    """Asks again as soon as an answer came, with next to no work of its own."""

    answers = 0
    transport: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "x" * 1500}]})
        head = f"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n"
        self.request = (head + body).encode()
        self.missing = len(CHAT_REPLY)
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.missing -= len(data)
        if self.missing <= 0:
            _Asker.answers += 1
            self.missing += len(CHAT_REPLY)
            self.transport.write(self.request)


async def _measure_capacity(port: int) -> float:
    loop = asyncio.get_running_loop()
    opened: list[asyncio.BaseTransport] = [
        (await loop.create_connection(_Asker, "127.0.0.1", port))[0]
        for _ in range(CAPACITY_CONNECTIONS)
    ]
    began, before = time.perf_counter(), _Asker.answers
    await asyncio.sleep(CAPACITY_S)
    rate = (_Asker.answers - before) / (time.perf_counter() - began)
    for transport in opened:
        transport.close()
    return rate


def capacity(server: LatencyServer, enough: float) -> float:
    """Requests a second that the server answers without any delay, to a client that does nothing.

    Args:
        server: The server.
        enough: Where this many are reached, other work on the machine is no longer waited for.
    """
    server.watch(Settings())
    best = 0.0
    for _ in range(CAPACITY_TRIES):
        best = max(best, asyncio.run(_measure_capacity(server.port)))
        if best >= enough:
            break
    return best
