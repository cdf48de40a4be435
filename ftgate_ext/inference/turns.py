"""Ask several models the same requests in turn, so that a busy minute hits all of them alike.

In: endpoints and rounds of requests. Out: one `Response` a request. Knows nothing of run folders.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

import aiohttp

from ftgate_ext.inference.answers import answered_response, estimate_prompt, failed_response
from ftgate_ext.inference.attempt import CANNOT_HEAL, send
from ftgate_ext.inference.journal import request_hash
from ftgate_ext.inference.pace import RateLimit
from ftgate_ext.inference.retry import backoff_s
from ftgate_ext.schema import UNSCORED_STATUSES, RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ftgate_ext.inference.endpoint import Endpoint, Request
    from ftgate_ext.schema import Response

Name = TypeVar("Name", bound=str)
WARM_TIMEOUT_S = 10.0


@dataclass
class _Server(Generic[Name]):
    """One model with its open connections."""

    name: Name
    endpoint: Endpoint
    sessions: dict[str, aiohttp.ClientSession]
    limits: list[tuple[RateLimit, bool]]
    """Limits per minute, and whether they count tokens."""
    failures: int = 0
    """Requests in a row without an answer."""

    async def warm_up(self, concurrency: int) -> None:
        """Open what connections the coming requests need: their time is none of the model's."""
        timeout = aiohttp.ClientTimeout(total=WARM_TIMEOUT_S)

        async def knock(url: str, session: aiohttp.ClientSession) -> None:
            with suppress(aiohttp.ClientError, asyncio.TimeoutError, OSError):
                async with session.get(f"{url}/models", timeout=timeout) as reply:
                    await reply.read()

        await asyncio.gather(
            *(knock(url, s) for url, s in self.sessions.items() for _ in range(concurrency))
        )

    async def ask(self, request: Request, url: str, in_flight: int) -> Response:
        """One request with its attempts."""
        key = request_hash(self.endpoint.model, request.task, request.payload)
        for number in range(1, self.endpoint.max_attempts + 1):
            await self._wait_for_limits(request)
            attempt = await send(
                self.sessions[url], self.endpoint, url, request, in_flight, self.endpoint.timeout_s
            )
            if attempt.blame == "nobody":
                self.failures = 0
                return answered_response(self.endpoint, request, key, attempt, number)[0]
            if attempt.blame in CANNOT_HEAL or number == self.endpoint.max_attempts:
                break
            await asyncio.sleep(backoff_s(number) if attempt.wait_s is None else attempt.wait_s)
        self.failures += 1
        return failed_response(self.endpoint, request, key, attempt, number, attempt.why)

    async def _wait_for_limits(self, request: Request) -> None:
        tokens = estimate_prompt(request.payload) + int(request.payload.get("max_tokens", 0))
        now = time.monotonic()
        waits = [limit.take(tokens if counts else 1, now) for limit, counts in self.limits]
        if (wait_s := max(waits, default=0.0)) > 0:
            await asyncio.sleep(wait_s)


@dataclass
class Turns(Generic[Name]):
    """Several models and how they take turns."""

    endpoints: dict[Name, Endpoint]
    concurrency: int = 1
    """Requests in flight to a model whose turn it is; no other model is asked meanwhile."""
    budget_usd: float | None = None
    """Nothing more is asked once so much is spent."""
    spent_usd: float = field(default=0.0, init=False)

    async def ask(
        self,
        rounds: Sequence[dict[Name, Request]],
        on_response: Callable[[Name, Response], None],
    ) -> None:
        """Ask every round of every model: `concurrency` rounds of one model, then of the next.

        Who begins moves on from block to block, and every other time around the order is reversed:
        nobody is always first, and nobody always comes after the same other one.

        Raises:
            RunError: A key is missing, a model is gone, or the budget is spent.
        """
        async with AsyncExitStack() as stack:
            servers = [await _open(stack, name, e) for name, e in self.endpoints.items()]
            for start in range(0, len(rounds), self.concurrency):
                block = rounds[start : start + self.concurrency]
                for server in in_turn(servers, start // self.concurrency):
                    for response in await self._ask_block(server, block, start):
                        on_response(server.name, response)
                        self.spent_usd += response.cost_usd or 0.0
                    self._check(server)

    async def _ask_block(
        self, server: _Server[Name], block: Sequence[dict[Name, Request]], start: int
    ) -> list[Response]:
        urls = list(server.sessions)
        await server.warm_up(len(block))
        return await asyncio.gather(*(
            server.ask(round_[server.name], urls[(start + i) % len(urls)], len(block))
            for i, round_ in enumerate(block)
        ))  # fmt: skip

    def _check(self, server: _Server[Name]) -> None:
        if server.failures >= server.endpoint.stop_after:
            raise RunError(
                f"{server.name} ({server.endpoint.base_url}): {server.failures} requests in a row have no answer; see why in its latency.jsonl. The same command goes on from here."
            )
        if self.budget_usd is not None and self.spent_usd >= self.budget_usd:
            raise RunError(
                f"the budget is spent (${self.spent_usd:.4f} on latency, of ${self.budget_usd:.4f} that were left); raise run.budget_usd to go on."
            )


def in_turn(servers: Sequence[_Server[Name]], block: int) -> list[_Server[Name]]:
    """The order of one block."""
    n = len(servers)
    order = [servers[(block + i) % n] for i in range(n)]
    return order[::-1] if (block // n) % 2 else order


async def _open(stack: AsyncExitStack, name: Name, endpoint: Endpoint) -> _Server[Name]:
    sessions = {}
    for url in endpoint.urls:
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=endpoint.timeout_s),
            headers={"Content-Type": "application/json"} | endpoint.headers(url),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        sessions[url] = await stack.enter_async_context(session)
    now = time.monotonic()
    limits = [
        (RateLimit(per_minute, now), counts_tokens)
        for per_minute, counts_tokens in (
            (endpoint.requests_per_minute, False), (endpoint.tokens_per_minute, True),
        )
        if per_minute is not None
    ]  # fmt: skip
    return _Server(name, endpoint, sessions, limits)


def is_timed(response: Response) -> bool:
    """Whether a response says how long an answer took."""
    return response.latency_s is not None and response.status not in UNSCORED_STATUSES
