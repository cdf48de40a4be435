"""What two figures must share before one may stand beside the other over time.

A fingerprint is a mapping from a name for people to a short text: `judge`, `cases of golden`,
`prompts of golden`. Figures whose mappings differ in anything belong to different series, and what
differs is the reason that is shown. What is unknown equals nothing known.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ftgate_ext.history.entry import HistoryEntry, SetUse
    from ftgate_ext.schema import Estimate

Fingerprint: TypeAlias = dict[str, str]
HASH_CHARS = 8
NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class Point:
    """One figure of one run."""

    entry: HistoryEntry
    estimate: Estimate


@dataclass
class Series:
    """Figures that may be compared over time."""

    label: str
    fingerprint: Fingerprint
    points: list[Point] = field(default_factory=list)
    why: str | None = None
    """What differs from the series before; None for the first."""


def of_task(entry: HistoryEntry, task: str) -> Fingerprint:
    """Cases and prompts of a task, or of all tasks of a group."""
    uses = [s for s in entry.sets if s.task == task] or [s for s in entry.sets if s.group == task]
    return _of_sets(task, uses)


def of_requests(entry: HistoryEntry) -> Fingerprint:
    """Everything that was asked: cost and latency depend on the whole load."""
    return _of_sets("all tasks", [s for s in entry.sets if not s.unavailable])


def of_baseline(entry: HistoryEntry, role: str) -> Fingerprint:
    """Which model a role stands for."""
    model = entry.model(role)
    if model is None:
        return {role: NOT_RECORDED}
    weights = f" ({short(model.weights)})" if model.weights else ""
    named = model.model if model.name == model.model else f"{model.name}, {model.model}"
    return {role: named + weights}


def of_judge(entry: HistoryEntry) -> Fingerprint:
    """Judge model, prompt, parameters and schema."""
    judge = entry.judge
    return {"judge": f"{judge.model} {short(judge.fingerprint)}" if judge else NOT_RECORDED}


def of_win_rate(entry: HistoryEntry, task: str, baseline: str) -> Fingerprint:
    """Judge, other model, cases and prompts."""
    return of_judge(entry) | of_baseline(entry, baseline) | of_task(entry, task)


def of_latency(entry: HistoryEntry, role: str) -> Fingerprint:
    """The load, where latencies were measured, and with how many requests in flight."""
    serving = entry.serving_of(role)
    how = {"run": "during the run", "interleaved": "models in turn"}
    found = {
        "latencies": how.get(serving.latency_from, serving.latency_from),
        "requests in flight": str(serving.concurrency or NOT_RECORDED),
    } if serving else {}  # fmt: skip
    return found | of_requests(entry)


def split_series(
    label: str, figures: Iterable[tuple[HistoryEntry, Estimate, Fingerprint]]
) -> list[Series]:
    """Figures, oldest first, as series of one fingerprint each, in the order of their first points."""
    found: dict[tuple[tuple[str, str], ...], Series] = {}
    latest: Series | None = None
    for entry, estimate, fingerprint in figures:
        key = tuple(sorted(fingerprint.items()))
        series = found.get(key)
        if series is None:
            why = difference(latest.fingerprint, fingerprint) if latest else None
            series = found[key] = Series(label, fingerprint, why=why)
        series.points.append(Point(entry, estimate))
        latest = series
    return list(found.values())


def difference(before: Fingerprint, after: Fingerprint) -> str:
    """What differs, in words: 'judge: a 12ab… became b 34cd…'."""
    names = [n for n in {**before, **after} if before.get(n) != after.get(n)]
    return "; ".join(
        f"{name}: {before.get(name, NOT_RECORDED)} became {after.get(name, NOT_RECORDED)}"
        for name in names
    )


def short(fingerprint: str) -> str:
    """The first characters of a hash."""
    return fingerprint[:HASH_CHARS]


def _of_sets(name: str, uses: list[SetUse]) -> Fingerprint:
    if not uses:
        return {f"cases of {name}": NOT_RECORDED}
    cases = tuple((u.task, u.sha256, u.limit or u.n_rows, u.drawn, u.repeats, u.fewshot) for u in uses)  # fmt: skip
    prompts = tuple((u.task, u.prompts) for u in uses)
    told = NOT_RECORDED if any(u.prompts is None for u in uses) else _hash(prompts)
    asked = sum(u.limit or u.n_rows for u in uses)
    return {f"cases of {name}": f"{_hash(cases)} ({asked:,})", f"prompts of {name}": told}


@lru_cache(maxsize=4096)
def _hash(parts: tuple[tuple[object, ...], ...]) -> str:
    return short(hashlib.sha256(repr(sorted(parts, key=repr)).encode()).hexdigest())
