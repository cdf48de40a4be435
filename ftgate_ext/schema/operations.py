"""What answers took and cost, in `comparisons.json`: per model, as ratios, and where a machine pays."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftgate_ext.schema.estimate import Bound, Estimate
from ftgate_ext.schema.row import Role, Row

CostMethod = Literal["tokens", "machine_time", "declared_throughput", "recorded"]
"""tokens: price per token. machine_time: each moment of a machine paid by the hour is shared among the
requests in flight. declared_throughput: the hour over the declared requests. recorded: as the journal
says, where no price is at hand."""

LatencySource = Literal["run", "interleaved"]
"""run: from the run itself, models at different times. interleaved: from `ftgate run --latency`."""


class Operations(Row):
    """What it took one model to answer one task (or all of them: task `*`)."""

    role: Role
    task: str
    n_requests: int
    statuses: dict[str, int]
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None
    latency_p99_s: float | None = None
    latency_from: LatencySource = "run"
    """Where all latencies here come from."""
    n_latency: int | None = None
    """Requests that the latencies are of."""
    n_latency_failed: int = 0
    """Interleaved requests without an answer: their latency is not known."""
    first_token_p50_s: float | None = None
    """Seconds to the first token; only where answers were streamed."""
    first_token_p95_s: float | None = None
    first_token_p99_s: float | None = None
    output_tokens_per_s: float | None = None
    """Median over the requests of output tokens per second in flight."""
    concurrency: int | None = None
    """Most requests in flight when a latency was measured."""
    concurrency_median: float | None = None
    concurrency_min: int | None = None
    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    """Of the input tokens, those from the server's cache; None where it did not say for every request."""
    output_tokens: int | None = None
    n_tokens_estimated: int = 0
    """Requests whose tokens were estimated on our side: the server gave no usage."""
    cost_usd_per_request: float | None = None
    """The mean; None where tokens are not known or were estimated."""
    cost_usd_estimated: float | None = None
    """The mean with tokens estimated from the length of the texts: a guess, which decides nothing."""
    cost_usd_p50: float | None = None
    cost_usd_p95: float | None = None
    cost_usd_max: float | None = None
    cost_usd_total: float | None = None
    cost_method: CostMethod | None = None
    requests_per_hour: float | None = None
    """Answered per hour in which at least one request was in flight; of one machine where there are several."""
    bounds: dict[str, Bound] = Field(default_factory=dict)
    """Cost per request and latency quantiles by their field's name, with limits; task `*` only."""
    attempts: int | None = None
    n_without_response: int = 0
    """Samples without a line in `responses.jsonl`: latency and cost unknown, not zero."""


class OperationRatio(Row):
    """Cost or latency of the candidate as a multiple of another model's, on the same cases."""

    quantity: str
    baseline: Role
    ratio: Bound | None = None
    latency_from: LatencySource | None = None
    unavailable: str | None = None


class BreakEven(Row):
    """From which volume on a machine of one's own is cheaper than an API."""

    machine: Role = "candidate"
    """The model that is paid by the hour."""
    api: Role
    """The model that is paid per token."""
    usd_per_hour: float | None = None
    """What the machine costs, whether it works or not."""
    usd_per_request: Estimate | None = None
    """What one request costs at the API, with the tokens that were measured."""
    requests_per_hour: Estimate | None = None
    """Above this volume the machine is cheaper; the limits follow from those of the API's cost."""
    requests_per_day: float | None = None
    requests_per_month: float | None = None
    """Of 30 days."""
    capacity_per_hour: float | None = None
    """What one machine serves, at the utilisation that the price states."""
    capacity_is_declared: bool = False
    utilisation: float = 1
    """Share of the paid hours in which the machine has work, as the price states it."""
    utilisation_needed: float | None = None
    """The least at which one machine can serve that volume; above 1 none is enough."""
    machines: int | None = None
    """How many machines that volume takes; with more than one it never pays."""
    pays: bool | None = None
    """Whether one machine can serve that volume, so that there is a volume from which it pays."""
    pays_at_limits: bool | None = None
    """The same at the upper limit of that volume."""
    unavailable: str | None = None
    """Why there is no break-even, or why it cannot be told whether one machine can serve it."""
