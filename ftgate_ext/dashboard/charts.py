"""Entries of one candidate line -> what the charts draw. A figure that is not there has no point.

A chart has labels (one colour each), and a label has one or more series: points of two series are
never joined, because their fingerprints differ.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

from ftgate_ext.dashboard.facts import Unit, metric_unit, write_estimate
from ftgate_ext.history.fingerprints import (
    Fingerprint,
    of_latency,
    of_requests,
    of_task,
    of_win_rate,
    split_series,
)
from ftgate_ext.report.figures import counted
from ftgate_ext.schema import ROLES
from ftgate_ext.wording import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ftgate_ext.history import HistoryEntry
    from ftgate_ext.schema import Estimate, Role

Figure: TypeAlias = "tuple[HistoryEntry, Estimate, Fingerprint]"
Chart: TypeAlias = dict[str, Any]
EVEN = 0.5
NO_COMPARISON = "without comparisons"


def charts_of(entries: Sequence[HistoryEntry]) -> list[Chart]:
    """All charts over time of one line, oldest run first; one may lack every point, and says so."""
    return [win_rate_chart(entries), primary_chart(entries), latency_chart(entries), safety_chart(entries)]  # fmt: skip


def win_rate_chart(entries: Sequence[HistoryEntry]) -> Chart:
    """How often the judge prefers the candidate, one label a pair of models."""
    figures: dict[str, list[Figure]] = {}
    for entry in entries:
        if entry.judge is None or not entry.judge.fit:
            continue
        for rate in entry.win_rates:
            if rate.estimate:
                comparable = of_win_rate(entry, rate.task, rate.baseline)
                label = f"candidate against {rate.baseline} on {rate.task}"
                figures.setdefault(label, []).append((entry, rate.estimate, comparable))

    def lacking(entry: HistoryEntry) -> str:
        if entry.judge is None:
            return "without a judge"
        return "with a judge that is not fit to vote" if not entry.judge.fit else "without a win rate"  # fmt: skip

    return _chart("win-rate", "Win rate", "share", entries, figures, lacking, reference=EVEN)


def primary_chart(entries: Sequence[HistoryEntry]) -> Chart:
    """The primary metric of every model."""
    figures: dict[str, list[Figure]] = {}
    named = Counter((e.primary.task, e.primary.metric) for e in entries if e.primary)
    for role in ROLES:
        for entry in entries:
            primary = entry.primary
            estimate = primary.levels.get(role) if primary else None
            if primary is None or estimate is None:
                continue
            metric = plain(primary.metric) if len(named) == 1 else f"{plain(primary.metric)} on {primary.task}"  # fmt: skip
            label = role if len(named) == 1 else f"{role}: {metric}"
            comparable = of_task(entry, primary.task)
            figures.setdefault(label, []).append((entry, estimate, comparable))
    units = {metric_unit(e) for e in entries if e.primary}
    unit: Unit = "number" if "number" in units else "share"
    title = "Primary metric"
    if len(named) == 1:
        ((task, name),) = named
        title = f"{_capital(plain(name))} on {task}"
    return _chart("quality", title, unit, entries, figures, lambda _: "without the metric")


def latency_chart(entries: Sequence[HistoryEntry]) -> Chart:
    """p50, p95 and p99 of the candidate, and p95 of production to compare with."""
    figures: dict[str, list[Figure]] = {}
    shown: tuple[tuple[Role, str], ...] = (
        ("candidate", "latency_p50_s"), ("candidate", "latency_p95_s"), ("candidate", "latency_p99_s"),
        ("production", "latency_p95_s"),
    )  # fmt: skip
    for role, name in shown:
        for entry in entries:
            serving = entry.serving_of(role)
            estimate = serving.latencies.get(name) if serving else None
            if estimate:
                label = f"{role} {plain(name).removeprefix('latency ')}"
                figures.setdefault(label, []).append((entry, estimate, of_latency(entry, role)))
    return _chart("latency", "Latency per request", "s", entries, figures, lambda _: "not measured")


def safety_chart(entries: Sequence[HistoryEntry]) -> Chart:
    """The candidate's safety rates."""
    figures: dict[str, list[Figure]] = {}
    tasks = {rate.task for entry in entries for rate in entry.safety}
    for entry in entries:
        for rate in entry.safety:
            if rate.role == "candidate":
                on = f" on {rate.task}" if len(tasks) > 1 else ""
                figure = (entry, rate.estimate, of_task(entry, rate.task))
                figures.setdefault(f"{plain(rate.metric)}{on}", []).append(figure)
    return _chart("safety", "Safety rates of the candidate", "share", entries, figures, lambda _: "without a safety set")  # fmt: skip


def _chart(
    name: str,
    title: str,
    unit: Unit,
    entries: Sequence[HistoryEntry],
    figures: dict[str, list[Figure]],
    lacking: Callable[[HistoryEntry], str],
    reference: float | None = None,
) -> Chart:
    index = {id(entry): i for i, entry in enumerate(entries)}
    labels: list[dict[str, Any]] = []
    breaks: list[tuple[int, str, str]] = []
    for label, found in figures.items():
        series = split_series(label, found)
        labels.append({
            "label": label,
            "series": [[_point(index[id(p.entry)], p.estimate, unit) for p in s.points] for s in series],
        })  # fmt: skip
        breaks += [(index[id(s.points[0].entry)], label, s.why) for s in series if s.why]
    there = {id(entry) for found in figures.values() for entry, _, _ in found}
    return {
        "id": name, "title": title, "unit": unit, "reference": reference, "labels": labels,
        "breaks": _merge(breaks), "absent": _absent(entries, there, lacking),
    }  # fmt: skip


def _point(run: int, estimate: Estimate, unit: Unit) -> list[Any]:
    return [run, estimate.value, estimate.lower, estimate.upper, write_estimate(estimate, unit)]


def _merge(breaks: list[tuple[int, str, str]]) -> list[dict[str, Any]]:
    """Where series begin that must not be joined to what stands before, and why, once a reason."""
    merged: dict[tuple[int, str], list[str]] = {}
    for run, label, why in sorted(breaks, key=lambda b: b[0]):
        merged.setdefault((run, why), []).append(label)
    return [
        {"run": run, "why": why, "labels": labels} for (run, why), labels in merged.items()
    ]  # fmt: skip


def _absent(
    entries: Sequence[HistoryEntry], there: set[int], lacking: Callable[[HistoryEntry], str]
) -> str | None:
    """How many runs have no point, and why: '3 of 12 runs have no point here: 3 unfinished.'."""
    without = [entry for entry in entries if id(entry) not in there]
    if not without:
        return None
    why = Counter(_reason(entry, lacking) for entry in without)
    told = ", ".join(f"{n} {reason}" for reason, n in why.most_common())
    have = "has" if len(without) == 1 else "have"
    return f"{len(without)} of {counted(len(entries), 'run')} {have} no point here: {told}."


def _reason(entry: HistoryEntry, lacking: Callable[[HistoryEntry], str]) -> str:
    if entry.state == "unfinished":
        return "unfinished"
    return lacking(entry) if entry.state in ("decided", "compared") else NO_COMPARISON


def frontier_of(entries: Sequence[HistoryEntry]) -> Chart:
    """Cost per request against the primary metric, with error bars both ways.

    Only runs with the fingerprint of the newest one that has both figures: the candidate of every
    such run, and of other models their newest figures. The frontier joins the points that none
    beats in both.
    """
    index = {id(entry): i for i, entry in enumerate(entries)}
    found = [
        (entry, role, cost, level, of_task(entry, entry.primary.task) | of_requests(entry))
        for entry in entries
        if entry.primary
        for role in ROLES
        if (level := entry.primary.levels.get(role))
        and (serving := entry.serving_of(role))
        and (cost := serving.cost_usd_per_request)
    ]
    chart: Chart = {"id": "frontier", "title": "Cost and quality", "points": [], "front": [], "left_out": 0}  # fmt: skip
    if not found:
        return chart | {"absent": "No run has both a cost per request and the primary metric."}
    newest = found[-1]
    same = [f for f in found if f[4] == newest[4] and _metric(f[0]) == _metric(newest[0])]
    last = {role: i for i, (_, role, *_) in enumerate(same)}
    kept = [f for i, f in enumerate(same) if f[1] == "candidate" or last[f[1]] == i]
    unit = metric_unit(newest[0])
    higher = newest[0].primary is None or newest[0].primary.higher_is_better
    chart["points"] = [
        {"run": index[id(entry)], "role": role, "x": _ends(cost), "y": _ends(level),
         "text": [write_estimate(cost, "usd"), write_estimate(level, unit)]}
        for entry, role, cost, level, _ in kept
    ]  # fmt: skip
    runs = {id(f[0]) for f in found} - {id(f[0]) for f in same}
    return chart | {
        "unit": unit, "metric": _capital(plain(_metric(newest[0])[1])),
        "front": _front([(c.value, q.value) for _, _, c, q, _ in kept], higher_is_better=higher),
        "left_out": len(runs),
        "absent": _absent(entries, {id(f[0]) for f in found}, lambda _: "without cost or metric"),
    }  # fmt: skip


def _metric(entry: HistoryEntry) -> tuple[str, str]:
    return (entry.primary.task, entry.primary.metric) if entry.primary else ("", "")


def _ends(estimate: Estimate) -> list[float | None]:
    return [estimate.value, estimate.lower, estimate.upper]


def _front(points: list[tuple[float, float]], *, higher_is_better: bool) -> list[list[float]]:
    """The points that none is both cheaper than and as good as, cheapest first."""
    sign = 1 if higher_is_better else -1
    front: list[list[float]] = []
    for cost, quality in sorted(points, key=lambda p: (p[0], -sign * p[1])):
        if not front or sign * quality > sign * front[-1][1]:
            front.append([cost, quality])
    return front


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:] if text.partition(" ")[0].isalpha() else text
