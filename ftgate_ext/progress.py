"""Progress of long work: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from ftgate_ext.schema import UNSCORED_STATUSES

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from ftgate_ext.schema import Response, Role

LINE_EVERY_S = 10.0


class Progress:
    """Counts responses and shows them on stderr, with failures and cost so far."""

    def __init__(self, total: int, what: str, *, quiet: bool) -> None:
        """Start counting.

        Args:
            total: How many responses there will be.
            what: Name of the stage.
            quiet: Show nothing.
        """
        self.total, self.what, self.quiet = total, what, quiet
        self.done, self.reused, self.cost_usd = 0, 0, 0.0
        self.steps = 0
        self.statuses: Counter[str] = Counter()
        self._last_line = time.monotonic()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._bar = RichProgress(*columns) if sys.stderr.isatty() and not quiet else None
        self._task = self._bar.add_task(what, total=total, note="") if self._bar else None

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
            self.say(f"{self.what}: {self.done} answers{self._note()}.")

    def start(self, total: int) -> None:
        """Learn the total once it is known."""
        self.total = total
        if self._bar and self._task is not None:
            self._bar.update(self._task, total=total)

    def say(self, line: str) -> None:
        """Print one line, unless quiet."""
        if not self.quiet:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    def on_model_response(self, role: Role, response: Response, known: bool) -> None:
        """Count one response of a model."""
        self._count(f"{self.what} {role}", response, known)

    def on_response(self, response: Response, known: bool) -> None:
        """Count one response."""
        self._count(self.what, response, known)

    def advance(self, steps: int) -> None:
        """Count steps that are no responses, such as simulations."""
        self.steps += steps
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=self.steps)
        elif time.monotonic() - self._last_line > LINE_EVERY_S:
            self._last_line = time.monotonic()
            self.say(f"{self.what}: {self.steps}/{self.total}")

    def _count(self, label: str, response: Response, known: bool) -> None:
        self.done += 1
        self.reused += known
        self.statuses[response.status] += 1
        self.cost_usd += 0 if known else response.cost_usd or 0
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=self.done, description=label, note=self._note())
        elif time.monotonic() - self._last_line > LINE_EVERY_S:
            self._last_line = time.monotonic()
            self.say(f"{label}: {self.done}/{self.total}{self._note()}")

    def _note(self) -> str:
        failed = sum(n for status, n in self.statuses.items() if status in UNSCORED_STATUSES)
        parts = [f"{self.reused} from the journal"] if self.reused else []
        parts += [f"{failed} failed"] if failed else []
        parts += [f"${self.cost_usd:.4f}"] if self.cost_usd else []
        return f" ({', '.join(parts)})" if parts else ""
