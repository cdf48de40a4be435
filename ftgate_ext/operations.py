"""Scores of all requests -> what it took to get the answers: latency, tokens, cost, failures.

No quality here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from ftgate_ext.costs import (
    COST,
    are_declared,
    cost_method,
    cost_ratio,
    estimate_mean_cost,
    is_declared,
    mean_bound,
    measure_throughput,
    share_machine,
)
from ftgate_ext.estimates import reaches
from ftgate_ext.schema import Bound, Estimate, OperationRatio, Operations, Role
from ftgate_ext.settings import Alphas, Settings, to_estimate
from ftgate_ext.stats.clustered_quantile import (
    clustered_quantile_limits,
    clustered_quantile_ratio,
)
from ftgate_ext.stats.limits import NoLimits
from ftgate_ext.stats.quantile import (
    QuantileLimits,
    QuantileRatio,
    quantile,
    quantile_limits,
    quantile_ratio,
)
from ftgate_ext.timings import (
    Timings,
    measured_column,
    number_cases,
    number_requests,
    time_run,
    time_turns,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from ftgate_ext.interleaved import Interleaved
    from ftgate_ext.schema import LatencySource, Price
    from ftgate_ext.scores import TaskScores

Array = np.ndarray[Any, Any]
Tasks = dict[str, "TaskScores"]

LATENCIES = {"latency_p50_s": 0.5, "latency_p95_s": 0.95, "latency_p99_s": 0.99}
FIRST_TOKENS = {"first_token_p50_s": 0.5, "first_token_p95_s": 0.95, "first_token_p99_s": 0.99}


def measure_operations(
    role: Role, tasks: Tasks, settings: Settings, interleaved: Interleaved | None = None
) -> list[Operations]:
    """One entry a task, and one with limits over all tasks under the name `*`.

    Args:
        role: Whose requests these are.
        tasks: What they took; costs as they shall be counted (`costs.reprice`).
        settings: Level of the limits, and the price for the record.
        interleaved: Latencies of models asked in turn: they stand for the run's own.
    """
    price, held = settings.prices.get(role), share_machine(tasks)
    timed = {t: _timings([scores], role, t, interleaved) for t, scores in tasks.items()}
    entries = [_operation(role, t, [tasks[t]], timings, price) for t, timings in timed.items()]
    parts = list(tasks.values())
    if len(parts) == 1 and interleaved is None:  # of a million requests this is seconds
        timings, whole = next(iter(timed.values())), entries[0].model_copy(update={"task": "*"})
    else:
        timings = _timings(parts, role, None, interleaved)
        whole = _operation(role, "*", parts, timings, price)
    entries = [
        o.model_copy(update={"requests_per_hour": measure_throughput(held[o.task])})
        for o in entries
    ]
    speed = measure_throughput(np.concatenate([np.empty(0), *held.values()]))
    bounds = _bounds(parts, timings, settings, is_constant=is_declared(price))
    update = {"bounds": bounds, "requests_per_hour": speed}
    return [*entries, whole.model_copy(update=update)]


def _timings(
    parts: list[TaskScores], role: Role, task: str | None, interleaved: Interleaved | None
) -> Timings:
    """The interleaved requests where there are any, else the run's own."""
    turns = interleaved.of(role, task) if interleaved else []
    return time_turns(turns) if turns else time_run(parts)


def _known(parts: list[TaskScores], name: str) -> Array | None:
    """The quantity of all answered requests, or None where one of them lacks it."""
    answered = ~np.isnan(measured_column(parts, "latency_s"))
    values = measured_column(parts, name)[answered]
    return None if len(values) == 0 or np.isnan(values).any() else values


def _operation(
    role: Role, task: str, parts: list[TaskScores], timings: Timings, price: Price | None
) -> Operations:
    n = sum(len(part.measured.rows) for part in parts)
    names = ("input_tokens", "cached_input_tokens", "output_tokens")
    tokens = {name: _known(parts, name) for name in names}
    estimated = measured_column(parts, "tokens_estimated")
    return Operations(
        role=role, task=task, n_requests=n,
        statuses=dict(Counter(chain.from_iterable(part.measured.statuses for part in parts))),
        **{name: quantile(timings.ordered_s, q) for name, q in LATENCIES.items()},
        **{name: quantile(timings.streamed_s, q) for name, q in FIRST_TOKENS.items()},
        latency_from=timings.source, n_latency=len(timings.latency_s), n_latency_failed=timings.n_failed,
        output_tokens_per_s=timings.tokens_per_s, **timings.concurrency(),
        **{name: None if v is None else int(v.sum()) for name, v in tokens.items()},
        n_tokens_estimated=int(np.nansum(estimated)), **_costs(parts, price),
        attempts=sum(part.measured.attempts for part in parts) if n else None,
        n_without_response=sum(part.n_unmeasured for part in parts),
    )  # fmt: skip


def _costs(parts: list[TaskScores], price: Price | None) -> dict[str, Any]:
    """How the cost of the requests is distributed; at most a guess where one of them is unknown."""
    cost = _known(parts, "cost_usd")
    if cost is None:
        return {"cost_usd_estimated": estimate_mean_cost(parts, price)}
    return {
        COST: float(cost.mean()), "cost_usd_p50": quantile(cost, 0.5), "cost_usd_p95": quantile(cost, 0.95),
        "cost_usd_max": float(cost.max()), "cost_usd_total": float(cost.sum()), "cost_method": cost_method(price),
    }  # fmt: skip


def _bounds(
    parts: list[TaskScores], timings: Timings, settings: Settings, *, is_constant: bool
) -> dict[str, Bound]:
    alphas = settings.alphas("*")
    found: dict[str, Bound] = {}
    for name, q in LATENCIES.items():
        if len(timings.latency_s):
            values = timings.ordered_s if timings.cases is None else timings.latency_s
            found[name] = quantile_bound(values, q, settings.level, alphas, timings.cases)
    cost = _known(parts, "cost_usd")
    if cost is not None:
        cases = number_requests(parts)
        if cases is not None:
            cases = cases[~np.isnan(measured_column(parts, "latency_s"))]
        found[COST] = mean_bound(cost, settings.level, alphas, cases, is_constant=is_constant)
    return found


def quantile_bound(
    values: Array, q: float, level: float, alphas: Alphas, cases: Array | None = None
) -> Bound:
    """A quantile of all requests with the order statistics around it, as far as they exist.

    `cases` says which requests repeat one case: their ranks are those of as many independent requests
    as they are worth.
    """

    def limits(at: float) -> QuantileLimits:
        if cases is None:
            return quantile_limits(values, q, at)
        return clustered_quantile_limits(values, cases, q, at)

    shown, deciding = limits(level), limits(alphas.level)
    of_cases = "" if cases is None else f" of {len(np.unique(cases))} cases"
    estimate = Estimate(
        value=shown.value, lower=shown.lower, upper=shown.upper, level=level, n=len(values),
        method="order statistics" if cases is None else f"order statistics at the effective size{of_cases}",
    )  # fmt: skip
    missing = None
    if deciding.upper is None:
        missing = (
            f"no upper limit of the {q:.0%} quantile exists at {len(values)} requests{of_cases}"
        )
    return Bound(
        estimate=estimate, alpha_one_sided=alphas.one_sided, lower_one_sided=deciding.lower, upper_one_sided=deciding.upper,
        no_interval=missing,
    )  # fmt: skip


# --- candidate against another model


def compare_operations(
    models: dict[Role, Tasks],
    baseline: Role,
    settings: Settings,
    interleaved: Interleaved | None = None,
) -> list[OperationRatio]:
    """Cost and latency as multiples of another model's, on the cases that both answered.

    Latencies are those of the interleaved requests, pair by pair, where both models have them.
    """
    mine, other = _matched(models["candidate"], models[baseline])
    alphas = settings.alphas("*")
    cost = cost_ratio(
        mine["cost_usd"], other["cost_usd"], settings.level, alphas, mine.get("case"),
        are_constant=are_declared(settings, baseline),
    )  # fmt: skip
    seconds = (mine["latency_s"], other["latency_s"])
    if "case" not in mine:  # two samples, in no order: sorted once for all quantiles
        seconds = (np.sort(seconds[0]), np.sort(seconds[1]))
    sides = _LatencyPairs(*seconds, mine.get("case"))
    turns = _pair_turns(interleaved, baseline) if interleaved else None
    ratios = [
        (name, _latency_ratio(turns or sides, q, alphas, settings)) for name, q in LATENCIES.items()
    ]
    source: LatencySource = "interleaved" if turns else "run"
    return [
        OperationRatio(
            quantity=name, baseline=baseline, latency_from=None if name == COST else source,
            **{"unavailable" if isinstance(ratio, str) else "ratio": ratio},
        )
        for name, ratio in [cost, *ratios]
    ]  # fmt: skip


@dataclass(frozen=True)
class _LatencyPairs:
    """Seconds of both models on the same requests."""

    candidate: Array
    baseline: Array
    cases: Array | None
    are_turns: bool = False
    """Asked one right after the other: one request stands beside its like."""


def _pair_turns(interleaved: Interleaved, baseline: Role) -> _LatencyPairs | None:
    """Requests that both models answered in the same turn; None where there are none."""
    mine, other = (interleaved.responses.get(role, {}) for role in ("candidate", baseline))
    pairs = [
        (left.latency_s, right.latency_s)
        for key, left in mine.items()
        if (right := other.get(key)) and left.latency_s is not None and right.latency_s is not None
    ]  # fmt: skip
    if not pairs:
        return None
    candidate, theirs = np.array(pairs, dtype=np.float64).T
    return _LatencyPairs(candidate, theirs, None, are_turns=True)


def _latency_ratio(
    pairs: _LatencyPairs, q: float, alphas: Alphas, settings: Settings
) -> Bound | str:
    a, b = pairs.candidate, pairs.baseline
    if len(a) == 0:
        return "latency was not measured for both models"
    if not reaches(alphas, settings):
        return _too_far_out(a, b, q, alphas, settings)
    if pairs.cases is not None:
        return ratio_bound(clustered_quantile_ratio(
            a, b, pairs.cases, q, settings.seed, settings.resamples, settings.level, alphas.one_sided
        ))  # fmt: skip
    return ratio_bound(quantile_ratio(
        a, b, q, settings.seed, settings.resamples, settings.level, alphas.one_sided,
        paired=pairs.are_turns,
    ))  # fmt: skip


def _too_far_out(a: Array, b: Array, q: float, alphas: Alphas, settings: Settings) -> Bound | str:
    """The ratio without limits, at a test level so small that no resample lies beyond it."""
    top, bottom = quantile(a, q), quantile(b, q)
    why = f"{settings.resamples:,} resamples do not reach the level {1 - alphas.one_sided:.8g} of this look"
    if top is None or not bottom:
        return why
    return ratio_bound(NoLimits(top / bottom, len(a), why))


def ratio_bound(found: QuantileRatio | NoLimits) -> Bound | str:
    """A ratio of quantiles as it is written, or why there is none."""
    if isinstance(found, NoLimits):
        if found.value is None:
            return found.why
        return Bound(estimate=to_estimate(found), no_interval=found.why)
    return Bound(
        estimate=to_estimate(found.limits),
        alpha_one_sided=found.alpha, lower_one_sided=found.lower_one_sided,
        upper_one_sided=found.upper_one_sided,
    )  # fmt: skip


def _matched(mine: Tasks, other: Tasks) -> tuple[dict[str, Array], dict[str, Array]]:
    """Both models' measurements on requests that both answered, in the same order.

    With the number of the case of each request where cases were asked several times.
    """
    both = [(scores, other[task]) for task, scores in mine.items() if task in other]
    rows = [_matched_rows(a, b) for a, b in both]
    sides = [
        {
            name: np.concatenate([
                np.empty(0),
                *(pair[side].measurement(name)[row[side]] for pair, row in zip(both, rows, strict=True)),
            ])
            for name in ("latency_s", "cost_usd")
        }
        for side in (0, 1)
    ]  # fmt: skip
    cases = number_cases([(a.cases, row) for (a, _), (row, _) in zip(both, rows, strict=True)])
    if cases is not None:
        sides[0]["case"] = cases
    answered = ~np.isnan(sides[0]["latency_s"]) & ~np.isnan(sides[1]["latency_s"])
    left, right = ({name: v[answered] for name, v in side.items()} for side in sides)
    return left, right


def _matched_rows(mine: TaskScores, other: TaskScores) -> tuple[Array, Array]:
    """Rows of the same requests: the k-th repeat of a case with the k-th of the other model."""
    if mine.doc_hashes == other.doc_hashes:
        every = np.arange(len(mine))
        return every, every
    where = {key: row for row, key in enumerate(_numbered(other))}
    partners = np.fromiter((where.get(key, -1) for key in _numbered(mine)), np.int64, len(mine))
    rows = np.flatnonzero(partners >= 0)
    return rows, partners[rows]


def _numbered(scores: TaskScores) -> Iterable[Hashable]:
    """The hashes themselves where each occurs once, else with the number of the repeat."""
    if len(scores.cases) == len(scores):
        return scores.doc_hashes
    met: Counter[str] = Counter()
    numbered = []
    for doc_hash in scores.doc_hashes:
        numbered.append((doc_hash, met[doc_hash]) if met[doc_hash] else doc_hash)
        met[doc_hash] += 1
    return numbered
