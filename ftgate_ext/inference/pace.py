"""How many requests may be in flight to one server, and how many may be sent in a minute.

Numbers in, numbers out: knows nothing of sockets, of time that passes by itself, or of requests.
"""

from __future__ import annotations

import math
from statistics import median

CUT = 0.7
"""What a decrease leaves of the limit."""
SLOW_GROWTH = 0.05
"""Growth per round of answers near the place of the last cut; 1 elsewhere."""
WINDOW = 10
"""Least number of answers that latency is judged by."""
RISEN = 2.5
"""Times the best latency that count as clearly risen. Answers that only grow longer or shorter
cannot reach 2: their latency per request and per token do not both double."""
LEAST_RISE_S = 0.05
"""A smaller rise may be the noise of our own machine."""


class Pace:
    """The limit on requests in flight to one server: additive increase, multiplicative decrease.

    It starts at the bound, which a policy states. A refusal (429, 503) cuts it once for all that
    was in flight together, at most to what the server goes on working at; answers raise it by one a
    round, slowly near the place of the last cut. Latency that has clearly risen cuts it on trial: a cut that does not make answers faster was not the remedy and is taken back.
    """

    def __init__(self, bound: int, *, adaptive: bool = True) -> None:
        """Make a pace.

        Args:
            bound: Most requests in flight.
            adaptive: Whether the limit may move at all.
        """
        self.bound, self.adaptive = max(1, bound), adaptive
        self.limit: float = self.bound
        self._too_many = math.inf
        """How many were too many the last time."""
        self._cut_at = -math.inf
        self._latency = _Latency()

    @property
    def room(self) -> int:
        """How many may be in flight now: at least 1, at most the bound."""
        return int(self.limit)

    def refused(self, sent_at: float, now: float, left: int) -> None:
        """The server said that it is too much.

        Args:
            sent_at: When the refused request was sent.
            now: On the same clock.
            left: Requests in flight without the refused one: what the server did not refuse.
        """
        if not self.adaptive:
            return
        if sent_at > self._cut_at:
            self.limit *= CUT
            self._cut_at = now
        self._too_many = max(left, 1) + 1
        self._move_to(min(self.limit, left))
        self._latency.forget_trial()

    def answered(self, sent_at: float, now: float, latency_s: float, tokens: int | None) -> None:
        """The server answered.

        Args:
            sent_at: When the request was sent.
            now: On the same clock.
            latency_s: Seconds in flight.
            tokens: Output tokens, where known.
        """
        if not self.adaptive or sent_at <= self._cut_at:
            return  # it was in flight at another limit than now
        verdict = self._latency.take(latency_s, tokens, max(WINDOW, self.room))
        if verdict == "risen" and self.room > 1:
            self._latency.try_cut(self.limit)
            self._too_many = self.room
            self._move_to(self.limit * CUT)
            self._cut_at = now
        elif verdict == "no remedy":
            self._move_to(self._latency.limit_before)
            self._too_many, self._cut_at = math.inf, now
        elif not self._latency.is_slow:
            self._grow()

    def _grow(self) -> None:
        if self.limit >= self._too_many + 1:
            self._too_many = math.inf  # past it unharmed: the server takes more than it did
        near = self.limit >= self._too_many - 1
        self._move_to(self.limit + (SLOW_GROWTH if near else 1.0) / self.limit)

    def _move_to(self, limit: float) -> None:
        self.limit = min(max(limit, 1.0), float(self.bound))


class _Latency:
    """Whether answers have become clearly slower, window by window of answers.

    A window is known by its median latency per request and per output token. Both have to rise:
    longer answers raise the first alone, shorter ones the second alone.
    """

    def __init__(self) -> None:
        self.is_slow = False
        self.limit_before = 1.0
        self._seconds: list[float] = []
        self._per_token: list[float] = []
        self._best = (math.inf, math.inf)
        self._last = (math.inf, math.inf)
        self._on_trial: float | None = None

    def take(self, latency_s: float, tokens: int | None, window: int) -> str:
        """Add an answer; at the end of a window say what follows of it: risen, no remedy or nothing."""
        self._seconds.append(latency_s)
        if tokens:
            self._per_token.append(latency_s / tokens)
        if len(self._seconds) < window:
            return ""
        counted = len(self._per_token) * 2 > len(self._seconds)
        self._last = (
            median(self._seconds),
            median(self._per_token) if counted else math.inf,
        )
        self._seconds.clear()
        self._per_token.clear()
        return self._judge()

    def _judge(self) -> str:
        seconds, per_token = self._last
        before, self._on_trial = self._on_trial, None
        if before is not None and seconds > before * (1 + CUT) / 2:
            # Half of the cut in requests did not come back as speed: it is not our load.
            self._best, self.is_slow = self._last, False
            return "no remedy"
        was_slow = self.is_slow
        self.is_slow = (
            seconds > RISEN * self._best[0]
            and seconds - self._best[0] > LEAST_RISE_S
            and (math.isinf(per_token) or per_token > RISEN * self._best[1])
        )
        self._best = (min(self._best[0], seconds), min(self._best[1], per_token))
        # The first slow window may stand in the middle of the rise: nothing to measure a cut by.
        return "risen" if self.is_slow and was_slow else ""

    def try_cut(self, limit: float) -> None:
        """Remember what a cut because of latency has to improve on."""
        self._on_trial, self.limit_before = self._last[0], limit
        self._seconds.clear()
        self._per_token.clear()

    def forget_trial(self) -> None:
        """The limit moved for another reason."""
        self._on_trial, self.is_slow = None, False
        self._seconds.clear()
        self._per_token.clear()


class RateLimit:
    """A token bucket: so many units a minute, and no more at once than `burst`.

    Whoever takes from it is told how long to wait, and has its place already: those that wait are
    served in the order in which they came.
    """

    def __init__(self, per_minute: float, now: float, *, burst_s: float = 0.0) -> None:
        """Make a full bucket.

        Args:
            per_minute: Units a minute.
            now: On the monotonic clock.
            burst_s: Seconds' worth of units that may be taken at once; always at least one unit.
        """
        self._per_s = per_minute / 60
        self._burst = max(1.0, self._per_s * burst_s)
        self._level, self._at = self._burst, now

    def take(self, units: float, now: float) -> float:
        """Take units, on credit if need be, and return the seconds to wait before using them."""
        self._fill(now)
        # More than the bucket holds goes once it is full, and those behind wait for the debt.
        missing = min(units, self._burst) - self._level
        self._level -= units
        return max(0.0, missing / self._per_s)

    def give_back(self, units: float) -> None:
        """Correct an estimate: units that were not used after all, or more of them if negative."""
        self._level = min(self._burst, self._level + units)

    def _fill(self, now: float) -> None:
        self._level = min(self._burst, self._level + (now - self._at) * self._per_s)
        self._at = now
