"""Records -> what it took to get the answers: latency, tokens, cost, failures. No quality here."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from ftgate_ext.schema import Operations, Role
from ftgate_ext.stats.paired import quantile

if TYPE_CHECKING:
    from ftgate_ext.runs import ModelRecords, Record


def measure_operations(role: Role, model: ModelRecords) -> list[Operations]:
    """One entry a task, and one over all tasks under the name `*`."""
    by_task = model.records
    everything = [r for records in by_task.values() for r in records]
    return [
        _operation(role, task, records) for task, records in [*by_task.items(), ("*", everything)]
    ]


def _operation(role: Role, task: str, records: list[Record]) -> Operations:
    responses = [r.response for r in records if r.response is not None]
    latency = np.array([r.latency_s for r in responses if r.latency_s is not None])
    costs = [r.cost_usd for r in responses if r.cost_usd is not None]
    answered = [r for r in responses if r.latency_s is not None]
    known = {
        "input_tokens": [r.input_tokens for r in answered], "output_tokens": [r.output_tokens for r in answered],
    }  # fmt: skip
    tokens = {name: sum(values) for name, values in known.items() if values and None not in values}  # type: ignore[arg-type]
    return Operations(
        role=role, task=task, n_requests=len(responses), statuses=dict(Counter(r.status for r in responses)),
        latency_p50_s=quantile(latency, 0.5), latency_p95_s=quantile(latency, 0.95), latency_p99_s=quantile(latency, 0.99),
        input_tokens=tokens.get("input_tokens"), output_tokens=tokens.get("output_tokens"),
        cost_usd_per_request=sum(costs) / len(costs) if costs and len(costs) == len(answered) else None,
        concurrency=max((r.concurrency or 0 for r in responses), default=0) or None,
        attempts=sum(r.attempts for r in responses) if responses else None,
        n_without_response=len(records) - len(responses),
    )  # fmt: skip
