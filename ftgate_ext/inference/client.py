"""Ask an OpenAI-compatible chat endpoint: one async path for models and judge.

In: an endpoint and requests. Out: one `Response` a request, whatever happens to it. Knows nothing
of lm-eval, of scores or of run folders.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftgate_ext.inference.answers import answered_response, estimate_prompt, failed_response
from ftgate_ext.inference.attempt import CANNOT_HEAL, Attempt, send
from ftgate_ext.inference.breaker import Breaker, Budget, Naps
from ftgate_ext.inference.endpoint import Endpoint, Request
from ftgate_ext.inference.journal import request_hash
from ftgate_ext.inference.pace import RateLimit
from ftgate_ext.inference.replicas import Replica, Replicas
from ftgate_ext.inference.retry import backoff_s
from ftgate_ext.inference.served import check_endpoint, list_models, run_to_end
from ftgate_ext.schema import UNSCORED_STATUSES, Response, RunStopped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.inference.journal import Journal

__all__ = [
    "Asker", "Endpoint", "OnResponse", "Request", "ask_all", "check_endpoint", "list_models", "run_to_end",
]  # fmt: skip

RETRIES_KEPT = 4
"""Requests that wait for their next attempt, for each one in flight; then no new ones are begun."""
KNOWN_AT_ONCE = 16
"""Answers taken from the journal before the event loop may do something else."""
GUESSED_ANSWER_TOKENS = 512
"""Output tokens reserved of a limit on tokens where the request does not cap them."""
LEAST_TIMEOUT_S = 0.01
BUDGET_POLL_S = 0.05
"""How often a request looks whether the answers in flight leave enough of a budget for it."""
ELSEWHERE = frozenset({"server", "connection", "overload"})
"""Faults after which another server is asked at once, if there is one."""

OnResponse = Callable[[Response, bool], None]
"""Called with every response and whether it came from the journal."""
Asker = Callable[
    [Endpoint, "Sequence[Request]", "Journal | None", "OnResponse | None"], list[Response]
]
"""What `ask_all` is: endpoint, requests, journal and progress in, the responses in order out."""


@dataclass(eq=False, slots=True)
class _Job:
    """A request that is not answered yet."""

    index: int
    request: Request
    key: str
    sent: int = 0
    """Attempts made."""
    counted: int = 0
    """Of them, those that count against `max_attempts`."""
    deadline: float | None = None
    avoid: Replica | None = None
    """The server that failed it last."""


def ask_all(
    endpoint: Endpoint,
    requests: Sequence[Request],
    journal: Journal | None = None,
    on_response: OnResponse | None = None,
) -> list[Response]:
    """Ask everything that the journal does not hold, and return the responses in order.

    A request that fails for good becomes a `failed` or `malformed` response; it never raises. A
    response is reported only after the journal has it.

    Args:
        endpoint: Whom to ask.
        requests: What to ask.
        journal: Where answers are found and kept.
        on_response: Progress.

    Raises:
        RunError: The key is missing, the journal cannot be written, the endpoint is gone, or a
            budget is used up. What was answered is in the journal.
    """
    return run_to_end(_Call(endpoint, requests, journal, on_response).run())


class _Call:
    """One call of `ask_all`: what waits, what is in flight and what is answered."""

    def __init__(
        self,
        endpoint: Endpoint,
        requests: Sequence[Request],
        journal: Journal | None,
        on_response: OnResponse | None,
    ) -> None:
        self._endpoint, self._journal, self._on_response = endpoint, journal, on_response
        self._answers: list[Response | None] = [None] * len(requests)
        self._fresh = enumerate(requests)
        self._later: list[tuple[float, int, _Job]] = []
        self._breaker, self._budget = Breaker(endpoint.stop_after), Budget(endpoint)
        now, per_minute = time.monotonic(), endpoint.requests_per_minute
        self._requests_limit = RateLimit(per_minute, now) if per_minute else None
        per_minute = endpoint.tokens_per_minute
        self._tokens_limit = RateLimit(per_minute, now, burst_s=1) if per_minute else None
        self._naps = Naps()
        self._stopped: str | None = None
        self._workers: list[asyncio.Task[None]] = []

    async def run(self) -> list[Response]:
        """Ask everything; the responses in order."""
        endpoint = self._endpoint
        async with Replicas(endpoint, self._abandon) as self._replicas:
            self._workers = [
                asyncio.create_task(self._work())
                for _ in range(min(endpoint.concurrency, len(self._answers)))
            ]
            alarm = None
            if endpoint.budget_s is not None:
                used_up = f"the budget of {endpoint.budget_s:g} s (budget_s) is used up"
                alarm = asyncio.get_running_loop().call_later(
                    endpoint.budget_s, self._stop, used_up
                )
            try:
                await self._join()
            finally:
                if alarm:
                    alarm.cancel()
        if self._stopped is not None and any(a is None for a in self._answers):
            raise RunStopped(self._stopped_early())
        return [a for a in self._answers if a is not None]

    async def _join(self) -> None:
        """Wait for the workers; the first error ends them all."""
        if not self._workers:
            return
        try:
            await asyncio.wait(self._workers, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for worker in self._workers:
                worker.cancel()
            ends = await asyncio.gather(*self._workers, return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException) and not isinstance(end, asyncio.CancelledError):
                raise end

    def _stop(self, reason: str) -> None:
        """Begin nothing more; what is in flight may come to its end."""
        self._stopped = self._stopped or reason
        self._naps.wake_all()
        self._replicas.close()

    def _abandon(self, reason: str) -> None:
        """Begin nothing more, and wait for nothing."""
        self._stop(reason)
        for worker in self._workers:
            worker.cancel()

    def _stopped_early(self) -> str:
        kept = sum(a is not None and a.status not in UNSCORED_STATUSES for a in self._answers)
        where = f"in {self._journal.path}" if self._journal else "kept nowhere (no journal)"
        return (
            f"{self._endpoint.where}, model {self._endpoint.model!r}: {self._stopped}; {kept} of "
            f"{len(self._answers)} answers are {where}. To go on, run the same command again."
        )

    async def _work(self) -> None:
        while (job := await self._next()) is not None:
            await self._try(job)

    async def _next(self) -> _Job | None:
        """The next request to send: one whose wait is over, else a new one, else wait for one."""
        if self._stopped is not None:
            return None
        later = self._later
        if later and later[0][0] <= time.monotonic():
            return heapq.heappop(later)[-1]
        if len(later) < RETRIES_KEPT * self._endpoint.concurrency:
            fresh = await self._next_unknown()
            if fresh is not None:
                return fresh
        if not later:
            return None  # whoever has the last ones in flight sends them again
        due, _, job = heapq.heappop(later)
        await self._naps.sleep(due - time.monotonic())
        return job if self._stopped is None else None

    async def _next_unknown(self) -> _Job | None:
        """The next request that the journal does not hold; those that it holds are answered."""
        for index, request in self._fresh:
            key = request_hash(self._endpoint.model, request.task, request.payload)
            response = None
            if self._journal:
                response = self._journal.find(key, request.occurrence, request.case_id)
            if response is None:
                return _Job(index, request, key)
            self._answer(index, response, known=True)
            if index % KNOWN_AT_ONCE == 0:
                await asyncio.sleep(0)
        return None

    async def _try(self, job: _Job) -> None:
        """Send a request once, and answer it or put it off."""
        endpoint = self._endpoint
        reserved = await self._wait_for_rate(job.request)
        replica = await self._replicas.take(job.avoid)
        if replica is None:
            return
        if self._budget.is_short(self._replicas.in_flight):
            self._spare(job, replica)
            return
        now = time.monotonic()
        if job.deadline is None:
            job.deadline = now + endpoint.request_budget_s
        # At least a little: it may have waited for a server until its budget was used up.
        left_s = max(job.deadline - now, LEAST_TIMEOUT_S)
        attempt = await send(
            replica.session, endpoint, replica.url, job.request, self._replicas.in_flight,
            min(endpoint.timeout_s, left_s),
        )  # fmt: skip
        job.sent += 1
        response = None
        if attempt.completion is not None:
            response, usd = answered_response(endpoint, job.request, job.key, attempt, job.sent)
            self._budget.pay(usd)
        self._replicas.give_back(replica, attempt, job, response.output_tokens if response else 0)
        if self._tokens_limit:
            self._tokens_limit.give_back(reserved - _tokens_of(response))
        if response is not None:
            self._breaker.answered()
            self._answer(job.index, response)
        elif (why := self._put_off(job, attempt, replica)) is not None:
            failed = failed_response(endpoint, job.request, job.key, attempt, job.sent, why)
            self._answer(job.index, failed)
            if (reason := self._breaker.failed(attempt)) is not None:
                self._abandon(reason)

    def _spare(self, job: _Job, replica: Replica) -> None:
        """Do not send what may exceed the budget: wait for what is in flight, or stop."""
        alone = self._replicas.in_flight == 1
        self._replicas.return_unused(replica)
        if alone:
            self._stop(self._budget.used_up)
        else:
            heapq.heappush(self._later, (time.monotonic() + BUDGET_POLL_S, job.index, job))

    async def _wait_for_rate(self, request: Request) -> float:
        """Wait until the rate limits allow one more; the tokens that were reserved for it."""
        if not self._requests_limit and not self._tokens_limit:
            return 0
        now, wait_s, tokens = time.monotonic(), 0.0, 0.0
        if self._requests_limit:
            wait_s = self._requests_limit.take(1, now)
        if self._tokens_limit:
            payload = request.payload
            cap = payload.get("max_tokens") or payload.get("max_completion_tokens")
            tokens = estimate_prompt(payload) + (cap or GUESSED_ANSWER_TOKENS)
            wait_s = max(wait_s, self._tokens_limit.take(tokens, now))
        if wait_s > 0:
            await self._naps.sleep(wait_s)
        return tokens

    def _put_off(self, job: _Job, attempt: Attempt, replica: Replica) -> str | None:
        """Plan the next attempt; or say, in one line, why there will be none."""
        if attempt.blame in CANNOT_HEAL:
            return attempt.why
        if self._is_free(job, attempt, replica):
            wait_s = 0.0
        else:
            job.counted += 1
            if job.counted >= self._endpoint.max_attempts:
                return attempt.why
            wait_s = backoff_s(job.counted) if attempt.wait_s is None else attempt.wait_s
        due = time.monotonic() + wait_s
        if job.deadline is not None and due >= job.deadline:
            return f"{attempt.why}; its {self._endpoint.request_budget_s:g} s (request_budget_s) are used up"
        job.avoid = replica
        heapq.heappush(self._later, (due, job.index, job))
        return None

    def _is_free(self, job: _Job, attempt: Attempt, replica: Replica) -> bool:
        """Whether an attempt does not count: the server was down, or another one can do better.

        Attempts are for requests that are hard to answer. A bound on the free ones keeps a request
        that brings servers down from going round among them.
        """
        if attempt.blame == "unreachable":
            return True  # the servers' watch decides how long that may go on
        if job.sent - job.counted > len(self._replicas):
            return False
        if attempt.blame in ELSEWHERE and self._replicas.others_up(replica):
            return True
        return attempt.blame == "connection" and not replica.is_up

    def _answer(self, index: int, response: Response, *, known: bool = False) -> None:
        if self._journal and not known:
            self._journal.append(response)
        self._answers[index] = response
        if self._on_response:
            self._on_response(response, known)


def _tokens_of(response: Response | None) -> int:
    """Tokens that counted towards a limit; a refused request used none."""
    if response is None:
        return 0
    return (response.input_tokens or 0) + (response.output_tokens or 0)
