"""The servers of one model: which one is asked next, and which ones are up.

Knows nothing of requests, retries or journals: it hands out servers, and is told what came of it.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from ftgate_ext.inference.pace import Pace
from ftgate_ext.inference.retry import backoff_s

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from ftgate_ext.inference.attempt import Attempt
    from ftgate_ext.inference.endpoint import Endpoint

OUT_AFTER = 3
"""Failed requests in a row, different ones, that take a server out."""
BACK_WITHIN_S = 30.0
"""A model whose servers are all out for so long is gone; a restart may take that long."""
PROBE_EVERY_S = 0.5
"""While no server is up."""
PROBE_AFTER_S = 5.0
"""The first probe of a server that is out while others are up; doubled each time it goes out again."""
MAX_PROBE_AFTER_S = 60.0
PROBE_TIMEOUT_S = 5.0
KEEP_ALIVE_S = 4.0
"""Idle connections are dropped before a server does it (uvicorn: 5 s), in the middle of a request."""
HEALTH_BLAMES = frozenset({"server", "connection"})


@dataclass(eq=False)
class Replica:
    """One server of the model."""

    url: str
    session: aiohttp.ClientSession
    pace: Pace
    in_flight: int = 0
    sent: int = 0
    is_up: bool = True
    paused_until: float = 0.0
    refusals: int = 0
    """Refusals in a row for which nothing was left in flight."""
    failures: int = 0
    last_failed: object = None
    last_seen: str = ""
    """Its last failure, in words."""
    outages: int = 0
    """How often it went out since it last answered."""
    probe_at: float = 0.0


class Replicas:
    """All servers of one model; an async context manager that holds their connections."""

    def __init__(self, endpoint: Endpoint, on_gone: Callable[[str], None]) -> None:
        """Make them.

        Args:
            endpoint: With the base URLs and the bound on requests in flight.
            on_gone: Told in words when no server has been up for `BACK_WITHIN_S`.
        """
        self.endpoint, self._on_gone = endpoint, on_gone
        self.in_flight = 0
        self._all: list[Replica] = []
        self._waiting: deque[tuple[asyncio.Future[Replica | None], Replica | None]] = deque()
        self._closed = False
        self._watch: asyncio.Task[None] | None = None
        self._sessions = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open a session for each server, with the key made for its host.

        Raises:
            RunError: A key is missing.
        """
        headers = [self.endpoint.headers(url) for url in self.endpoint.urls]
        for url, key in zip(self.endpoint.urls, headers, strict=True):
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
                timeout=aiohttp.ClientTimeout(total=self.endpoint.timeout_s),
                headers={"Content-Type": "application/json"} | key,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            await self._sessions.enter_async_context(session)
            pace = Pace(self.endpoint.concurrency, adaptive=self.endpoint.adaptive)
            self._all.append(Replica(url, session, pace))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop probing and close all connections."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self._sessions.aclose()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._all)

    async def take(self, avoid: Replica | None = None) -> Replica | None:
        """Wait for the least loaded server with room; None when the call is over.

        Args:
            avoid: The one that just failed: taken only if no other is up.
        """
        if self._closed:
            return None
        if not self._waiting and (replica := self._free(avoid)) is not None:
            return self._lend(replica)
        turn: asyncio.Future[Replica | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, avoid))
        return await turn

    def close(self) -> None:
        """Lend no server any more; those who wait get none."""
        self._closed = True
        while self._waiting:
            turn, _ = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)

    def others_up(self, replica: Replica) -> bool:
        """Whether another server than this one is up."""
        return any(other.is_up for other in self._all if other is not replica)

    def _free(self, avoid: Replica | None) -> Replica | None:
        now = asyncio.get_running_loop().time()
        free = [
            r for r in self._all
            if r.is_up and r.in_flight < r.pace.room and r.paused_until <= now
        ]  # fmt: skip
        if avoid is not None and self.others_up(avoid):
            free = [r for r in free if r is not avoid]
        return min(free, key=lambda r: (r.in_flight, r.sent), default=None)

    def _lend(self, replica: Replica) -> Replica:
        replica.in_flight += 1
        replica.sent += 1
        self.in_flight += 1
        return replica

    def _hand_out(self) -> None:
        """Give servers with room to those who wait, in the order in which they came."""
        while self._waiting:
            turn, avoid = self._waiting[0]
            replica = None if turn.done() else self._free(avoid)
            if replica is None and not turn.done():
                return
            self._waiting.popleft()
            if replica is not None:
                turn.set_result(self._lend(replica))

    def give_back(
        self, replica: Replica, attempt: Attempt, asked: object, tokens: int | None
    ) -> None:
        """Say what came of an attempt.

        Args:
            replica: The server that was asked.
            attempt: What it did.
            asked: The request: one request that fails again and again says nothing of a server.
            tokens: Output tokens of the answer.
        """
        replica.in_flight -= 1
        self.in_flight -= 1
        now = asyncio.get_running_loop().time()
        if attempt.blame == "nobody":
            replica.failures = replica.outages = replica.refusals = 0
            replica.pace.answered(attempt.sent_at, now, attempt.latency_s, tokens)
        else:
            replica.last_seen = attempt.why
        if attempt.blame == "overload":
            self._ease(replica, attempt, now)
        if attempt.blame in HEALTH_BLAMES and replica.last_failed is not asked:
            replica.failures, replica.last_failed = replica.failures + 1, asked
        if attempt.blame == "unreachable" or replica.failures >= OUT_AFTER:
            self._take_out(replica, now)
        self._hand_out()

    def return_unused(self, replica: Replica) -> None:
        """Give a server back that was not asked."""
        replica.in_flight -= 1
        replica.sent -= 1
        self.in_flight -= 1
        self._hand_out()

    def _ease(self, replica: Replica, attempt: Attempt, now: float) -> None:
        """The server is overloaded: fewer at once; and a pause if it asks for one or took nothing."""
        replica.pace.refused(attempt.sent_at, now, replica.in_flight)
        wait_s = attempt.wait_s
        if wait_s is None and self.endpoint.adaptive and replica.in_flight == 0:
            replica.refusals += 1
            wait_s = backoff_s(replica.refusals)
        if wait_s:
            replica.paused_until = max(replica.paused_until, now + wait_s)
            asyncio.get_running_loop().call_later(wait_s, self._hand_out)

    def _take_out(self, replica: Replica, now: float) -> None:
        if not replica.is_up:
            return
        replica.is_up, replica.failures = False, 0
        replica.probe_at = now + min(MAX_PROBE_AFTER_S, PROBE_AFTER_S * 2.0**replica.outages)
        replica.outages += 1
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._watch_over())
            self._watch.add_done_callback(self._end_watch)

    def _end_watch(self, watch: asyncio.Task[None]) -> None:
        """Nobody may wait for a server that nobody watches."""
        if not watch.cancelled() and (error := watch.exception()) is not None:
            self._on_gone(f"cannot be watched ({type(error).__name__})")

    async def _watch_over(self) -> None:
        """Probe the servers that are out until all are back, or the model is gone."""
        loop = asyncio.get_running_loop()
        last_up = loop.time()
        while out := [r for r in self._all if not r.is_up]:
            none_up = len(out) == len(self._all)
            now = loop.time()
            last_up = last_up if none_up else now
            due = [r for r in out if none_up or r.probe_at <= now]
            await asyncio.gather(*(self._probe(replica) for replica in due))
            self._hand_out()
            if not any(r.is_up for r in self._all) and loop.time() - last_up > BACK_WITHIN_S:
                seen = "; ".join(f"{r.url}: {r.last_seen}" for r in self._all)
                self._on_gone(f"gone for {BACK_WITHIN_S:g} s ({seen})")
                return
            if not all(r.is_up for r in self._all):
                await asyncio.sleep(PROBE_EVERY_S)

    async def _probe(self, replica: Replica) -> None:
        """Ask a server for its models; it is back if it serves ours, or lists none at all."""
        timeout = aiohttp.ClientTimeout(total=PROBE_TIMEOUT_S)
        try:
            async with replica.session.get(f"{replica.url}/models", timeout=timeout) as reply:
                status, raw = reply.status, await reply.read()
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            replica.last_seen = f"no answer ({type(error).__name__})"
            self._next_probe(replica)
            return
        served = model_names(raw)
        if status >= 500:
            replica.last_seen = self.endpoint.http_error(status, raw)
        elif served and self.endpoint.model not in served:
            names = self.endpoint.hide_key(", ".join(repr(name) for name in served[:3]))
            replica.last_seen = f"serves {names} instead of {self.endpoint.model!r}"
        else:
            replica.is_up = True
            return
        self._next_probe(replica)

    def _next_probe(self, replica: Replica) -> None:
        wait_s = min(MAX_PROBE_AFTER_S, PROBE_AFTER_S * 2.0 ** (replica.outages - 1))
        replica.probe_at = asyncio.get_running_loop().time() + wait_s


def model_names(raw: bytes) -> list[str] | None:
    """The names in the body of GET /models; None where it is no list of models."""
    try:
        listed: list[dict[str, Any]] = json.loads(raw)["data"]
        return [str(model["id"]) for model in listed]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
