"""Decisions of many simulations -> counts, over several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ftgate_ext.audit.simulate import Material, simulate
from ftgate_ext.rules.routes import all_must_hold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ftgate_ext.schema import Outcome, RuleResult

CHUNK = 20
"""Simulations that a process makes before it reports: about a second, so that Ctrl-C is heard."""
MOST_PROCESSES = 8


@dataclass
class Tally:
    """How often each verdict was reached, and by which rules."""

    simulations: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    """PASS stands for GO."""
    failed: Counter[str] = field(default_factory=Counter)
    unsettled: Counter[str] = field(default_factory=Counter)

    def add(self, rules: list[RuleResult]) -> None:
        """Count one decision."""
        self.simulations += 1
        self.outcomes[all_must_hold([rule.outcome for rule in rules])] += 1
        self.failed.update(rule.name for rule in rules if rule.outcome == "FAIL")
        self.unsettled.update(rule.name for rule in rules if rule.outcome == "INCONCLUSIVE")

    def merge(self, other: Tally) -> None:
        """Take in the counts of another process."""
        self.simulations += other.simulations
        self.outcomes.update(other.outcomes)
        self.failed.update(other.failed)
        self.unsettled.update(other.unsettled)


@dataclass
class Tallies:
    """One tally a scenario, of all rules and of those that are simulated."""

    whole: list[Tally]
    simulated: list[Tally]

    @classmethod
    def empty(cls, scenarios: int) -> Tallies:
        """Nothing counted yet."""
        return cls([Tally() for _ in range(scenarios)], [Tally() for _ in range(scenarios)])

    def merge(self, other: Tallies) -> None:
        """Take in the counts of another process."""
        mine, theirs = self.whole + self.simulated, other.whole + other.simulated
        for tally, fresh in zip(mine, theirs, strict=True):
            tally.merge(fresh)


def count_decisions(material: Material, blocking: list[str], numbers: Iterable[int]) -> Tallies:
    """Simulate, one number a simulation.

    Args:
        material: Of the run.
        blocking: Rules that are not simulated and did not pass; the second tally leaves them out.
        numbers: Of the simulations.
    """
    found = Tallies.empty(len(material.scenarios))
    for number in numbers:
        for i, decision in enumerate(simulate(material, number)):
            found.whole[i].add(decision.rules)
            found.simulated[i].add([r for r in decision.rules if r.name not in blocking])
    return found


def count_in_parallel(
    material: Material,
    blocking: list[str],
    simulations: int,
    processes: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Tallies:
    """The same on several cores; the counts do not depend on how many.

    Args:
        material: Of the run.
        blocking: As for `count_decisions`.
        simulations: How many.
        processes: One a core when left out.
        on_progress: Told how many simulations a process has just finished.
    """
    chunks = [range(i, min(i + CHUNK, simulations)) for i in range(0, simulations, CHUNK)]
    workers = min(processes or _cores(), len(chunks), MOST_PROCESSES)
    found = Tallies.empty(len(material.scenarios))
    told = on_progress or (lambda _: None)
    if workers == 1:
        for chunk in chunks:
            found.merge(count_decisions(material, blocking, chunk))
            told(len(chunk))
        return found
    # Not forked: threads of a progress bar or of a linear algebra library may hold locks.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _remember, (material, blocking))
    try:
        with _deaf_children():
            futures = {pool.submit(_count_chunk, chunk): len(chunk) for chunk in chunks}
        for future in as_completed(futures):
            found.merge(future.result())
            told(futures[future])
    finally:
        # After Ctrl-C or an error only the chunks that are running come to their end.
        pool.shutdown(cancel_futures=True)
    return found


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Processes that start in here do not hear Ctrl-C: the parent ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_REMEMBERED: list[tuple[Material, list[str]]] = []


def _remember(material: Material, blocking: list[str]) -> None:
    _REMEMBERED[:] = [(material, blocking)]


def _count_chunk(numbers: range) -> Tallies:
    material, blocking = _REMEMBERED[0]
    return count_decisions(material, blocking, numbers)
