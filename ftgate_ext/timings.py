"""Requests -> how long they took, from the run itself or from models measured in turn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ftgate_ext.schema import UNSCORED_STATUSES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.columns import Cases
    from ftgate_ext.schema import LatencySource, Response
    from ftgate_ext.scores import TaskScores

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Timings:
    """The answered requests of one model; NaN is what is not known of one."""

    latency_s: Array
    first_token_s: Array
    output_tokens: Array
    in_flight: Array
    cases: Array | None
    """The number of the case of each request; None where no case was asked twice."""
    source: LatencySource = "run"
    n_failed: int = 0
    """Interleaved requests without an answer."""

    @cached_property
    def ordered_s(self) -> Array:
        """Latencies from the shortest to the longest, sorted once for all quantiles and limits."""
        return np.sort(self.latency_s)

    @property
    def streamed_s(self) -> Array:
        """Seconds to the first token, of the answers that were streamed."""
        return np.asarray(self.first_token_s[~np.isnan(self.first_token_s)])

    @property
    def tokens_per_s(self) -> float | None:
        """Median over the requests of output tokens per second in flight."""
        known = ~np.isnan(self.output_tokens) & (self.latency_s > 0)
        if not known.any():
            return None
        return float(np.median(self.output_tokens[known] / self.latency_s[known]))

    def concurrency(self) -> dict[str, float | int | None]:
        """Fields of Operations: requests in flight when these were sent."""
        known = self.in_flight[~np.isnan(self.in_flight)]
        if len(known) == 0:
            return {}
        return {
            "concurrency": int(known.max()), "concurrency_min": int(known.min()),
            "concurrency_median": float(np.median(known)),
        }  # fmt: skip


def time_run(parts: list[TaskScores]) -> Timings:
    """What the requests of the run itself took."""
    latency = measured_column(parts, "latency_s")
    answered = ~np.isnan(latency)
    cases = number_requests(parts)
    first, tokens, in_flight = (
        measured_column(parts, n)[answered] for n in ("first_token_s", "output_tokens", "in_flight")
    )
    return Timings(
        latency[answered], first, tokens, in_flight, None if cases is None else cases[answered]
    )


def time_turns(responses: Sequence[Response]) -> Timings:
    """What interleaved requests took; each case was asked once."""
    timed = [r for r in responses if r.latency_s is not None and r.status not in UNSCORED_STATUSES]
    latency, first, tokens, in_flight = (
        np.array([getattr(r, name) for r in timed], dtype=np.float64)
        for name in ("latency_s", "first_token_s", "output_tokens", "concurrency")
    )
    return Timings(
        latency, first, tokens, in_flight, None, "interleaved", len(responses) - len(timed)
    )


def measured_column(parts: list[TaskScores], name: str) -> Array:
    """One measured quantity of all requests; NaN where it is not known."""
    return np.concatenate([np.empty(0), *(part.by_request(name) for part in parts)])


def number_requests(parts: list[TaskScores]) -> Array | None:
    """Per request, the number of its case, as `number_cases`; the turns of a conversation share one."""
    return number_cases([(part.cases, part.request_rows) for part in parts])


def number_cases(chosen: list[tuple[Cases, Array]]) -> Array | None:
    """Per chosen row of each task, the number of its case; None where no case was asked twice.

    Five answers to one question take and cost nearly the same: they are no five observations.
    """
    parts = [cases.case_of[rows] for cases, rows in chosen]
    if all(np.bincount(part).max(initial=0) <= 1 for part in parts):
        return None
    starts = np.cumsum([0, *(len(cases) for cases, _ in chosen)])
    numbers = np.concatenate([part + start for part, start in zip(parts, starts[:-1], strict=True)])
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    place = np.empty(len(first), dtype=np.int64)
    place[np.argsort(first)] = np.arange(len(first))  # as they first occur
    return np.asarray(place[inverse])
