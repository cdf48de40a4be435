"""When a call ends early: an endpoint that is gone, or a budget that is used up."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftgate_ext.inference.attempt import Attempt
    from ftgate_ext.inference.endpoint import Endpoint


class Naps:
    """Coroutines that sleep until their time has come, or until all are woken."""

    def __init__(self) -> None:
        self._sleeping: deque[asyncio.Future[None]] = deque()

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds, or as soon as `wake_all` is called."""
        loop = asyncio.get_running_loop()
        nap: asyncio.Future[None] = loop.create_future()
        alarm = loop.call_later(seconds, _wake, nap)
        self._sleeping.append(nap)
        try:
            await nap
        finally:
            alarm.cancel()
            self._sleeping.remove(nap)

    def wake_all(self) -> None:
        """End every nap."""
        for nap in self._sleeping:
            _wake(nap)


def _wake(nap: asyncio.Future[None]) -> None:
    if not nap.done():
        nap.set_result(None)


class Breaker:
    """Counts failed requests in a row, whichever server they went to.

    A request that the server rejects (a 400) says nothing of the endpoint, and is not counted,
    unless nothing has ever been answered: then the request is not what is wrong.
    """

    def __init__(self, stop_after: int) -> None:
        """Make a breaker that trips after so many failed requests in a row."""
        self._stop_after = stop_after
        self._in_a_row = 0
        self._answered = False

    def answered(self) -> None:
        """A request was answered."""
        self._in_a_row, self._answered = 0, True

    def failed(self, attempt: Attempt) -> str | None:
        """A request failed for good; the reason to stop, if there is one now.

        Args:
            attempt: Its last one.
        """
        if attempt.blame == "request" and self._answered:
            return None
        self._in_a_row += 1
        if self._in_a_row < self._stop_after:
            return None
        requests = "request" if self._in_a_row == 1 else f"{self._in_a_row} requests in a row"
        return f"{requests} failed, the last one with: {attempt.why}"


class Budget:
    """US dollars that a call may spend; what the journal holds costs nothing."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Make the budget of one call, which may have no limit."""
        self._limit_usd = endpoint.budget_usd
        self.spent_usd = 0.0
        self._paid = 0

    def pay(self, usd: float | None) -> None:
        """Count one answer; an unknown cost counts nothing."""
        if usd is not None:
            self.spent_usd += usd
            self._paid += 1

    def is_short(self, in_flight: int) -> bool:
        """Whether one more request would probably exceed the budget.

        Args:
            in_flight: Requests still to be paid, that one included, at the mean cost so far.
        """
        if self._limit_usd is None or not self._paid:
            return False
        return self.spent_usd + self.spent_usd / self._paid * in_flight > self._limit_usd

    @property
    def used_up(self) -> str:
        """The reason to stop."""
        return f"the budget of ${self._limit_usd:g} (budget_usd) is used up (${self.spent_usd:.4g} spent)"
