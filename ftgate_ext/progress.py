"""Progress of long work, on stderr: a bar on a terminal, plain lines elsewhere, ever fewer of them."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

from ftgate_ext.schema import UNSCORED_STATUSES
from ftgate_ext.terminal import clean_block, show

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rich.progress import Progress as RichProgress
    from typing_extensions import Self

    from ftgate_ext.schema import Response, Role

LINE_EVERY_S = 10.0
"""Seconds from one plain line to the next, at first."""
LINE_GROWTH = 1.5
LINE_AT_MOST_EVERY_S = 60.0
RATE_OVER_S = 60.0
"""The rate is that of the last minute: models differ, and servers slow down."""
MINUTE_S, HOUR_S = 60, 3600


class Rate:
    """How many steps a second were done of late."""

    def __init__(self, now: float) -> None:
        self._points: deque[tuple[float, int]] = deque([(now, 0)])

    def note(self, now: float, done: int) -> None:
        """So many are done by now."""
        if now - self._points[-1][0] >= 1 or len(self._points) == 1:
            self._points.append((now, done))
        else:
            self._points[-1] = (self._points[-1][0], done)
        while len(self._points) > 2 and now - self._points[1][0] > RATE_OVER_S:
            self._points.popleft()

    def per_s(self, now: float, done: int) -> float | None:
        """Steps a second; None before anything can be said."""
        began, before = self._points[0]
        took = now - began
        return (done - before) / took if took > 0 and done > before else None


class Progress:
    """Counts responses and shows them, with rate, time left, failures and cost so far."""

    def __init__(
        self, total: int, what: str, *, quiet: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start counting.

        Args:
            total: How many responses there will be.
            what: Name of the stage.
            quiet: Show nothing.
            clock: Seconds that only go forward.
        """
        self.total, self.what, self.quiet = total, what, quiet
        self.done, self.reused, self.cost_usd = 0, 0, 0.0
        self.steps = 0
        self.statuses: Counter[str] = Counter()
        self._clock = clock
        self._rate = Rate(clock())
        self._next_line, self._pause = clock() + LINE_EVERY_S, LINE_EVERY_S
        self._bar = None if quiet or not _can_move_cursor() else _make_bar()
        self._task = self._bar.add_task(what, total=total or None, note="") if self._bar else None

    def __enter__(self) -> Self:
        """Show the bar."""
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar away and leave one line."""
        if self._bar:
            self._bar.stop()
        if self.done and kind is None:
            self.say(f"{self.what}: {self.done} answers{self._parts(self._counted())}.")
        elif self.done:
            self.say(f"{self.what}: stopped at {self._shown(self.done)}.")

    def start(self, total: int) -> None:
        """Learn the total once it is known."""
        self.total = total
        if self._bar and self._task is not None:
            self._bar.update(self._task, total=total)

    def say(self, line: str) -> None:
        """Print one line, unless quiet."""
        if self.quiet:
            return
        if self._bar and self._bar.live.is_started:
            text = clean_block(line)
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            show(line, error=True)

    def on_model_response(self, role: Role, response: Response, known: bool) -> None:
        """Count one response of a model."""
        self._count(f"{self.what} {role}", response, known)

    def on_response(self, response: Response, known: bool) -> None:
        """Count one response."""
        self._count(self.what, response, known)

    def advance(self, steps: int) -> None:
        """Count steps that are no responses, such as simulations."""
        self.steps += steps
        self._rate.note(self._clock(), self.steps)
        self._update(self.what, self.steps, [])

    def _count(self, label: str, response: Response, known: bool) -> None:
        self.done += 1
        self.reused += known
        self.statuses[response.status] += 1
        self.cost_usd += 0 if known else response.cost_usd or 0
        self._rate.note(self._clock(), self.done - self.reused)
        self._update(label, self.done, self._counted())

    def _update(self, label: str, done: int, counted: list[str]) -> None:
        if self._bar and self._task is not None:
            note = ", ".join([*self._speed(done), *counted])
            self._bar.update(self._task, completed=done, description=label, note=note)
        elif self._clock() >= self._next_line:
            self._pause = min(self._pause * LINE_GROWTH, LINE_AT_MOST_EVERY_S)
            self._next_line = self._clock() + self._pause
            self.say(f"{label}: {self._shown(done)}")

    def _shown(self, done: int) -> str:
        of = f"{done}/{self.total}" if self.total else str(done)
        return of + self._parts([*self._speed(done), *(self._counted() if self.done else [])])

    def _speed(self, done: int) -> list[str]:
        """Rate, and the time that is left at this rate."""
        rate = self._rate.per_s(self._clock(), self.steps or self.done - self.reused)
        if rate is None:
            return []
        parts = [f"{rate:.3g}/s" if rate >= 1 else f"{rate * MINUTE_S:.3g}/min"]
        if done < self.total:
            parts.append(f"{_duration((self.total - done) / rate)} left")
        return parts

    def _counted(self) -> list[str]:
        failed = sum(n for status, n in self.statuses.items() if status in UNSCORED_STATUSES)
        parts = [f"{self.reused} from the journal"] if self.reused else []
        parts += [f"{failed} failed"] if failed else []
        parts += [f"${self.cost_usd:.4f}"] if self.cost_usd else []
        return parts

    @staticmethod
    def _parts(parts: list[str]) -> str:
        return f" ({', '.join(parts)})" if parts else ""


def _duration(seconds: float) -> str:
    """Time in two units at most: 42 s, 3 min, 2 h 05 min."""
    whole = round(seconds)
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min"
    return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S:02} min"


def _can_move_cursor() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _make_bar() -> RichProgress:
    """A bar on stderr: stdout holds the result. NO_COLOR takes its colours."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    return Bar(
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False), console=Console(stderr=True),
    )  # fmt: skip
