"""One run as rows of figures: for the page of the run, and for two runs side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ftgate_ext.history.fingerprints import (
    Fingerprint,
    of_latency,
    of_requests,
    of_task,
    of_win_rate,
)
from ftgate_ext.history.table import STATES, scale_of_metric
from ftgate_ext.report.figures import Scale, format_money, format_seconds, format_time, short_hash
from ftgate_ext.wording import plain, points

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ftgate_ext.history import HistoryEntry
    from ftgate_ext.schema import Estimate

Unit = Literal["share", "points", "usd", "s", "number"]
SHARE = Scale()
WRITERS: dict[Unit, Callable[[float], str]] = {
    "share": SHARE.value,
    "points": points,
    "usd": format_money,
    "s": format_seconds,
    "number": Scale(is_share=False).value,
}


@dataclass(frozen=True)
class Fact:
    """One row: a figure or a text of a run."""

    group: str
    label: str
    text: str
    value: float | None = None
    unit: Unit | None = None
    fingerprint: Fingerprint | None = None
    """What two runs must share before their difference means anything; None for a plain text."""


def facts_of(entry: HistoryEntry) -> list[Fact]:
    """Everything that two runs are compared by, in reading order."""
    return [
        *_identity(entry), *_primary(entry), *_win_rates(entry), *_serving(entry),
        *_safety(entry), *_regressions(entry), *_rules(entry),
    ]  # fmt: skip


def write_estimate(estimate: Estimate, unit: Unit) -> str:
    """A figure with its interval: '54.4% (48.0% to 60.8%, n = 40)'."""
    return f"{WRITERS[unit](estimate.value)} ({write_interval(estimate, unit)})"


def write_interval(estimate: Estimate, unit: Unit) -> str:
    """'48.0% to 60.8%, n = 40'; without an interval it says so."""
    write = WRITERS[unit]
    span = "no interval"
    if estimate.lower is not None or estimate.upper is not None:
        low = "no limit" if estimate.lower is None else write(estimate.lower)
        high = "no limit" if estimate.upper is None else write(estimate.upper)
        span = f"{low} to {high}"
    return f"{span}, n = {estimate.n:,}"


def metric_unit(entry: HistoryEntry) -> Unit:
    """How the primary metric is written."""
    is_share = entry.primary is None or scale_of_metric(entry.primary).is_share
    return "share" if is_share else "number"


def _identity(entry: HistoryEntry) -> Iterator[Fact]:
    yield Fact("Run", "Verdict", entry.verdict or STATES[entry.state])
    yield Fact("Run", "Began", format_time(entry.created_at))
    yield Fact("Run", "Policy", f"{entry.policy_name} ({short_hash(entry.policy_hash)})")
    for model in entry.models:
        weights = f", weights {short_hash(model.weights)}" if model.weights else ""
        named = "" if model.name == model.model else f" ({model.model})"
        absent = f"took no part: {model.absent}" if model.absent else None
        yield Fact("Run", f"Model: {model.role}", absent or f"{model.name}{named}{weights}")
    if entry.judge:
        fit = "fit to vote" if entry.judge.fit else f"not fit to vote: {entry.judge.reason}"
        told = f"{entry.judge.model} ({short_hash(entry.judge.fingerprint)}), {fit}"
        yield Fact("Run", "Judge", told)
    else:
        yield Fact("Run", "Judge", "none")


def _primary(entry: HistoryEntry) -> Iterator[Fact]:
    primary = entry.primary
    if primary is None:
        return
    unit, name = metric_unit(entry), f"{plain(primary.metric)} on {primary.task}"
    comparable = of_task(entry, primary.task)
    for role, estimate in primary.levels.items():
        text = write_estimate(estimate, unit)
        yield Fact("Quality", f"{name}: {role}", text, estimate.value, unit, comparable)
    moved: Unit = "points" if unit == "share" else "number"
    for role, estimate in primary.differences.items():
        text = write_estimate(estimate, moved)
        yield Fact("Quality", f"{name}: candidate minus {role}", text)


def _win_rates(entry: HistoryEntry) -> Iterator[Fact]:
    for rate in entry.win_rates:
        label = f"Win rate against {rate.baseline} on {rate.task}"
        if rate.estimate is None or (entry.judge and not entry.judge.fit):
            why = "the judge is not fit to vote" if rate.estimate else rate.unavailable
            yield Fact("Quality", label, f"none: {why}")
            continue
        comparable = of_win_rate(entry, rate.task, rate.baseline)
        text = write_estimate(rate.estimate, "share")
        yield Fact("Quality", label, text, rate.estimate.value, "share", comparable)


def _serving(entry: HistoryEntry) -> Iterator[Fact]:
    for serving in entry.serving:
        cost = serving.cost_usd_per_request
        if cost:
            text = write_estimate(cost, "usd")
            load = of_requests(entry)
            yield Fact("Cost and latency", f"Cost per request: {serving.role}", text, cost.value, "usd", load)  # fmt: skip
        comparable = of_latency(entry, serving.role)
        for name, latency in serving.latencies.items():
            label, text = f"{plain(name).capitalize()}: {serving.role}", write_estimate(latency, "s")  # fmt: skip
            yield Fact("Cost and latency", label, text, latency.value, "s", comparable)


def _safety(entry: HistoryEntry) -> Iterator[Fact]:
    for rate in entry.safety:
        label = f"{plain(rate.metric)} on {rate.task}: {rate.role}"
        text = write_estimate(rate.estimate, "share")
        yield Fact("Safety", label, text, rate.estimate.value, "share", of_task(entry, rate.task))


def _regressions(entry: HistoryEntry) -> Iterator[Fact]:
    for row in entry.regressions:
        label = f"Regressed against {row.against} on {row.task}"
        left_out = f", {row.n_excluded} without a comparable answer" if row.n_excluded else ""
        text = f"{len(row.cases)} of {row.n_pairs}{left_out}"
        yield Fact("Regressions", label, text, len(row.cases), "number", of_task(entry, row.task))


def _rules(entry: HistoryEntry) -> Iterator[Fact]:
    for rule in entry.rules:
        approved = f" (approved: {rule.approved})" if rule.approved else ""
        yield Fact("Rules", rule.name, f"{rule.outcome}: {rule.seen}{approved}")
