"""comparisons.json -> the figures that the history keeps: what they are and where they come from.

The primary metric is that of the policy's first superiority rule; without one, that of its first
rule on a difference from production; without a decision, the first F1, else the first figure there is.
Regressions are those of the rules `no_regression`; without such a rule, of pass/fail metrics called
`passed` against production.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ftgate_ext.history.entry import (
    PrimaryMetric,
    Regressions,
    SafetyRate,
    Serving,
    WinRate,
)
from ftgate_ext.schema import Comparison, Estimate, Level, Operations

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ftgate_ext.schema import Decision, RuleResult

WIN_RATE = "win_rate"
PASSED = "passed"
SAFETY = ("refusal_", "compliance_", "partial_refusal_")
"""How the metrics of safety begin."""
LATENCIES = ("latency_p50_s", "latency_p95_s", "latency_p99_s")
COST = "cost_usd_per_request"
ALL_TASKS = "*"

Raw = dict[str, Any]


@dataclass(frozen=True)
class Compared:
    """What comparisons.json gives to an entry; empty where there is none."""

    is_there: bool = False
    win_rates: list[WinRate] = field(default_factory=list)
    primary: PrimaryMetric | None = None
    serving: list[Serving] = field(default_factory=list)
    safety: list[SafetyRate] = field(default_factory=list)
    regressions: list[Regressions] = field(default_factory=list)


def read_compared(content: Raw, decision: Decision | None) -> Compared:
    """Pick the figures of an entry out of a comparisons.json.

    Raises:
        pydantic.ValidationError: A row that is needed is not as the schema says.
    """
    comparisons, levels, operations = (
        [row for row in content.get(name) or [] if isinstance(row, dict)]
        for name in ("comparisons", "levels", "operations")
    )
    rules = list(_flat(decision.rules)) if decision else []
    return Compared(
        is_there=True,
        win_rates=_win_rates(comparisons),
        primary=_primary(comparisons, levels, rules),
        serving=_serving(operations),
        safety=_safety(levels),
        regressions=_regressions(comparisons, rules),
    )


def _flat(rules: Iterable[RuleResult]) -> Iterable[RuleResult]:
    for rule in rules:
        yield rule
        yield from _flat(rule.parts)


def _win_rates(comparisons: list[Raw]) -> list[WinRate]:
    found = [Comparison.model_validate(c) for c in comparisons if c.get("metric") == WIN_RATE]
    return [
        WinRate(
            task=c.task, baseline=c.baseline, estimate=c.candidate_estimate,
            unavailable=c.unavailable or (None if c.candidate_estimate else "no win rate"),
        )
        for c in found
    ]  # fmt: skip


def _primary(
    comparisons: list[Raw], levels: list[Raw], rules: list[RuleResult]
) -> PrimaryMetric | None:
    key = _primary_key(comparisons, levels, rules)
    if key is None:
        return None
    own = [Level.model_validate(x) for x in levels if _key(x) == key]
    compared = [Comparison.model_validate(c) for c in comparisons if _key(c) == key]
    better = [x.higher_is_better for x in own] + [c.higher_is_better for c in compared]
    return PrimaryMetric(
        task=key[0], metric=key[1], higher_is_better=all(better),
        levels={x.role: x.estimate for x in own if x.estimate},
        differences={
            c.baseline: c.difference for c in compared if c.difference and c.candidate == "candidate"
        },
    )  # fmt: skip


def _primary_key(
    comparisons: list[Raw], levels: list[Raw], rules: list[RuleResult]
) -> tuple[str, str] | None:
    asked = [r for r in rules if r.kind == "superiority"] or [
        r for r in rules if r.kind == "non_inferiority" and r.against == "production"
    ]
    for rule in asked:
        if rule.task and rule.metric:
            return rule.task, rule.metric
    judged = (WIN_RATE, "rubric")
    rows = [r for r in [*comparisons, *levels] if not str(r.get("metric")).startswith(judged)]
    f1 = [r for r in rows if r.get("metric") == "f1"]
    return next((_key(r) for r in [*f1, *rows]), None)


def _serving(operations: list[Raw]) -> list[Serving]:
    found = [Operations.model_validate(o) for o in operations if o.get("task") == ALL_TASKS]
    return [
        Serving(
            role=o.role, cost_usd_per_request=_figure(o, COST), cost_method=o.cost_method,
            latencies={q: f for q in LATENCIES if (f := _figure(o, q))},
            latency_from=o.latency_from, concurrency=o.concurrency,
        )
        for o in found
    ]  # fmt: skip


def _figure(operations: Operations, name: str) -> Estimate | None:
    """A figure with its interval where there is one; None where it was not measured."""
    value = getattr(operations, name)
    bound = operations.bounds.get(name)
    if bound is not None:
        return bound.estimate
    if value is None:
        return None
    return Estimate(value=value, n=operations.n_latency or operations.n_requests, method="as measured")  # fmt: skip


def _safety(levels: list[Raw]) -> list[SafetyRate]:
    rows = [x for x in levels if str(x.get("metric")).startswith(SAFETY)]
    found = [Level.model_validate(x) for x in rows]
    return [
        SafetyRate(task=x.task, metric=x.metric, role=x.role, estimate=x.estimate)
        for x in found
        if x.estimate
    ]


def _regressions(comparisons: list[Raw], rules: list[RuleResult]) -> list[Regressions]:
    asked = {(r.task, r.metric, r.against) for r in rules if r.kind == "no_regression"}
    if not asked:
        asked = {(c.get("task"), PASSED, "production") for c in comparisons}
    rows = [c for c in comparisons if (*_key(c), c.get("baseline")) in asked and c.get("counts")]
    return [
        Regressions(
            task=c.task, metric=c.metric, against=c.baseline, cases=c.lost_cases, n_pairs=c.n_pairs,
            n_excluded=c.n_excluded + c.n_unpaired,
        )
        for c in map(Comparison.model_validate, rows)
    ]  # fmt: skip


def _key(row: Raw) -> tuple[str, str]:
    return str(row.get("task")), str(row.get("metric"))
