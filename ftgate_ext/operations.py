"""Scores of all requests -> what it took to get the answers: latency, tokens, cost, failures.

No quality here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ftgate_ext.estimates import bound, reaches
from ftgate_ext.schema import Bound, Estimate, OperationRatio, Operations, Role
from ftgate_ext.settings import Alphas, Settings, to_estimate
from ftgate_ext.stats.limits import Limits, NoLimits
from ftgate_ext.stats.mean import cluster_t, paired_t
from ftgate_ext.stats.quantile import (
    QuantileRatio,
    quantile,
    quantile_limits,
    quantile_ratio,
)
from ftgate_ext.stats.ratio import fieller

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from ftgate_ext.scores import TaskScores

Array = np.ndarray[Any, Any]
Tasks = dict[str, "TaskScores"]

LATENCIES = {"latency_p50_s": 0.5, "latency_p95_s": 0.95, "latency_p99_s": 0.99}
COST = "cost_usd_per_request"


def measure_operations(role: Role, tasks: Tasks, settings: Settings) -> list[Operations]:
    """One entry a task, and one with limits over all tasks under the name `*`."""
    entries = [_operation(role, task, [scores]) for task, scores in tasks.items()]
    whole = _operation(role, "*", list(tasks.values()))
    return [*entries, whole.model_copy(update={"bounds": _bounds(list(tasks.values()), settings)})]


def _column(parts: list[TaskScores], name: str) -> Array:
    """One measured quantity of all requests; NaN where it is not known."""
    return np.concatenate([np.empty(0), *(part.measurement(name) for part in parts)])


def _known(parts: list[TaskScores], name: str) -> Array | None:
    """The quantity of all answered requests, or None where one of them lacks it."""
    values = _column(parts, name)[~np.isnan(_column(parts, "latency_s"))]
    return None if len(values) == 0 or np.isnan(values).any() else values


def _operation(role: Role, task: str, parts: list[TaskScores]) -> Operations:
    latency = _column(parts, "latency_s")
    latency = latency[~np.isnan(latency)]
    n = sum(len(part.measured.rows) for part in parts)
    cost = _known(parts, "cost_usd")
    tokens = {name: _known(parts, name) for name in ("input_tokens", "output_tokens")}
    return Operations(
        role=role, task=task, n_requests=n,
        statuses=dict(Counter(s for part in parts for s in part.measured.statuses)),
        **{name: quantile(latency, q) for name, q in LATENCIES.items()},
        **{name: None if v is None else int(v.sum()) for name, v in tokens.items()},
        cost_usd_per_request=None if cost is None else float(cost.mean()),
        concurrency=max((part.measured.concurrency for part in parts), default=0) or None,
        attempts=sum(part.measured.attempts for part in parts) if n else None,
        n_without_response=sum(len(part) for part in parts) - n,
    )  # fmt: skip


def _bounds(parts: list[TaskScores], settings: Settings) -> dict[str, Bound]:
    alphas = settings.alphas("*")
    found: dict[str, Bound] = {}
    latency = _column(parts, "latency_s")
    latency = latency[~np.isnan(latency)]
    for name, q in LATENCIES.items():
        if len(latency):
            found[name] = quantile_bound(latency, q, settings.level, alphas)
    cost = _known(parts, "cost_usd")
    if cost is not None:
        cases = _number_cases([part.doc_hashes for part in parts])
        if cases is not None:
            cases = cases[~np.isnan(_column(parts, "latency_s"))]
        found[COST] = mean_bound(cost, settings.level, alphas, cases)
    return found


def _number_cases(hashes: list[list[str]]) -> Array | None:
    """Per request, the number of its case; None where no case was asked twice.

    Five answers to one question cost nearly the same: they are no five observations.
    """
    if all(len(set(part)) == len(part) for part in hashes):
        return None
    numbers: dict[tuple[int, str], int] = {}
    keys = [(i, h) for i, part in enumerate(hashes) for h in part]
    return np.fromiter((numbers.setdefault(key, len(numbers)) for key in keys), np.int64, len(keys))


def quantile_bound(values: Array, q: float, level: float, alphas: Alphas) -> Bound:
    """A quantile of all requests with the order statistics around it, as far as they exist."""
    shown, deciding = (quantile_limits(values, q, x) for x in (level, alphas.level))
    estimate = Estimate(
        value=shown.value, lower=shown.lower, upper=shown.upper, level=level, n=len(values),
        method="order statistics",
    )  # fmt: skip
    missing = None
    if deciding.upper is None:
        missing = f"no upper limit of the {q:.0%} quantile exists at {len(values)} requests"
    return Bound(
        estimate=estimate, alpha_one_sided=alphas.one_sided, lower_one_sided=deciding.lower, upper_one_sided=deciding.upper,
        no_interval=missing,
    )  # fmt: skip


def mean_bound(values: Array, level: float, alphas: Alphas, cases: Array | None = None) -> Bound:
    """The mean over all requests; `cases` says which of them repeat one case."""
    zero = np.zeros(len(values))

    def interval(at: float) -> Limits | NoLimits:
        if cases is not None:
            test = cluster_t(values, cases, at)
            return test if isinstance(test, NoLimits) else test.limits
        test = paired_t(values, zero, at)
        return test if isinstance(test, NoLimits) else replace(test.limits, method="t")

    return bound(interval, level, alphas)


# --- candidate against another model


def compare_operations(
    models: dict[Role, Tasks], baseline: Role, settings: Settings
) -> list[OperationRatio]:
    """Cost and latency as multiples of another model's, on the cases that both answered."""
    mine, other = _matched(models["candidate"], models[baseline])
    alphas = settings.alphas("*")
    cases = mine.get("case")
    ratios = [cost_ratio(mine["cost_usd"], other["cost_usd"], settings.level, alphas, cases)]
    for name, q in LATENCIES.items():
        ratio: Bound | str = "latency was not measured for both models"
        a, b = mine["latency_s"], other["latency_s"]
        if len(a) and not reaches(alphas, settings):
            ratio = _too_far_out(a, b, q, alphas, settings)
        elif len(a):
            found = quantile_ratio(
                a, b, q, settings.seed, settings.resamples, settings.level, alphas.one_sided,
            )  # fmt: skip
            ratio = ratio_bound(found)
        ratios.append((name, ratio))
    return [
        OperationRatio(quantity=name, baseline=baseline, unavailable=ratio)
        if isinstance(ratio, str)
        else OperationRatio(quantity=name, baseline=baseline, ratio=ratio)
        for name, ratio in ratios
    ]


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


def cost_ratio(
    a: Array, b: Array, level: float, alphas: Alphas, cases: Array | None = None
) -> tuple[str, Bound | str]:
    """Total cost of the candidate over the other model's on the same requests, or why not."""
    if len(a) == 0 or np.isnan(a).any() or np.isnan(b).any():
        return COST, "cost was not measured for both models"
    if b.sum() <= 0:
        return COST, "the other model costs nothing"
    return COST, bound(lambda at: fieller(a, b, at, cases), level, alphas)


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
    cases = _number_cases([
        [a.doc_hashes[i] for i in row] for (a, _), (row, _) in zip(both, rows, strict=True)
    ])  # fmt: skip
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
    where = {key: row for row, key in enumerate(_numbered(other.doc_hashes))}
    partners = np.fromiter(
        (where.get(key, -1) for key in _numbered(mine.doc_hashes)), np.int64, len(mine)
    )
    rows = np.flatnonzero(partners >= 0)
    return rows, partners[rows]


def _numbered(doc_hashes: list[str]) -> Iterable[Hashable]:
    """The hashes themselves where each occurs once, else with the number of the repeat."""
    if len(set(doc_hashes)) == len(doc_hashes):
        return doc_hashes
    met: Counter[str] = Counter()
    numbered = []
    for doc_hash in doc_hashes:
        numbered.append((doc_hash, met[doc_hash]) if met[doc_hash] else doc_hash)
        met[doc_hash] += 1
    return numbered
