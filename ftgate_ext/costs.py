"""Measured requests + price -> US dollars a request, and how much the machine served.

Costs are computed from tokens and times when runs are compared, so that one price holds for all
requests of a model, also where the policy's price was mended after some of them were asked. The limits
of a mean cost and of a ratio of costs are made here too; a cost that the policy declares has none.
"""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ftgate_ext.estimates import bound
from ftgate_ext.schema import Bound, Estimate
from ftgate_ext.stats.limits import Limits, NoLimits
from ftgate_ext.stats.mean import cluster_t, paired_t
from ftgate_ext.stats.ratio import fieller
from ftgate_ext.wording import DECLARED

if TYPE_CHECKING:
    from ftgate_ext.schema import CostMethod, Price, Role
    from ftgate_ext.scores import ModelScores, TaskScores
    from ftgate_ext.settings import Alphas, Settings

Array = np.ndarray[Any, Any]
Tasks = dict[str, "TaskScores"]

COST = "cost_usd_per_request"


def reprice(model: ModelScores, price: Price | None) -> ModelScores:
    """The scores with what every request cost at this price; as the journal says without one.

    Per token: the server's counts at the price, its cached input tokens at theirs (all at the full
    price where it does not say). By the hour: each moment in which the machine has requests in flight
    is shared equally among them, so that the shares add up to the time it was busy, one machine an
    endpoint; divided by the utilisation, for the hours that are paid without work. With a declared
    throughput: the hour over the requests. Attempts that failed hold a machine for a time that
    nobody measured; it is not in the cost. Tokens that were estimated from the length of the texts
    give no cost: that is a guess, and `estimate_mean_cost` makes it.
    """
    method = cost_method(price)
    if price is None or method == "recorded":
        return model
    if method == "tokens":
        costs = {
            task: np.where(
                scores.measured.column("tokens_estimated") > 0, np.nan, _token_costs(scores, price)
            )
            for task, scores in model.tasks.items()
        }
    else:
        costs = _machine_costs(model.tasks, price)
    tasks = {
        task: replace(scores, measured=replace(scores.measured, cost_usd=array("d", costs[task])))
        for task, scores in model.tasks.items()
    }
    return replace(model, tasks=tasks)


def cost_method(price: Price | None) -> CostMethod:
    """How the cost of a request follows from a price."""
    if price is None or not price.is_known:
        return "recorded"
    if price.hourly_usd is None:
        return "tokens"
    return "machine_time" if price.requests_per_hour is None else "declared_throughput"


def declared_cost(price: Price | None) -> float | None:
    """What every request costs because the policy says so, whatever was measured; else None.

    On a machine with a declared throughput, and where the price is declared to be nothing.
    """
    if price is None or not price.is_known:
        return None
    tokens = (price.input_usd_per_mtok, price.cached_input_usd_per_mtok, price.output_usd_per_mtok)
    if not any((price.hourly_usd, *tokens)):
        return 0.0
    if price.hourly_usd is None or price.requests_per_hour is None:
        return None
    return price.hourly_usd / price.utilisation / price.requests_per_hour


def is_declared(price: Price | None) -> bool:
    """Whether the policy states the cost of a request: it has no sampling error."""
    return declared_cost(price) is not None


def measure_throughput(held_s: Array) -> float | None:
    """Requests answered per hour of one machine that has requests in flight.

    None where no time is known. A machine may serve more where more is in flight.

    Args:
        held_s: From `share_machine`; of one task, beside all others that were asked with it.
    """
    hours = float(np.nansum(held_s)) / 3600
    return int((~np.isnan(held_s)).sum()) / hours if hours > 0 else None


def estimate_mean_cost(parts: list[TaskScores], price: Price | None) -> float | None:
    """Mean US dollars of a request where some tokens were estimated on our side; None elsewhere."""
    estimated = sum(part.measured.column("tokens_estimated").sum() for part in parts)
    if price is None or not estimated or cost_method(price) != "tokens":
        return None
    costs = np.concatenate([_token_costs(part, price) for part in parts])
    answered = ~np.isnan(np.concatenate([part.measured.column("latency_s") for part in parts]))
    known = costs[answered]
    return None if np.isnan(known).any() or len(known) == 0 else float(known.mean())


def _token_costs(scores: TaskScores, price: Price) -> Array:
    """The price is linear in the counts: what one token of each kind costs, times the tokens."""
    each = [price.token_usd(*one) or 0.0 for one in ((1, 0, 0), (0, 1, 0), (1, 0, 1))]
    measured = scores.measured
    asked, answered = measured.column("input_tokens"), measured.column("output_tokens")
    held = np.clip(np.nan_to_num(measured.column("cached_input_tokens")), 0, asked)
    return np.asarray(each[0] * (asked - held) + each[1] * answered + each[2] * held)


def _machine_costs(tasks: Tasks, price: Price) -> dict[str, Array]:
    paid = (price.hourly_usd or 0.0) / price.utilisation
    if price.requests_per_hour is None:
        return {task: paid * held / 3600 for task, held in share_machine(tasks).items()}
    each = declared_cost(price) or 0.0
    known = {task: scores.measured.column("latency_s") for task, scores in tasks.items()}
    return {task: np.where(np.isnan(spans), np.nan, each) for task, spans in known.items()}


def share_machine(tasks: Tasks) -> dict[str, Array]:
    """Task -> seconds of a machine that each measured request held; every endpoint is a machine."""
    measured = [scores.measured for scores in tasks.values()]
    ends, spans = (
        np.concatenate([np.empty(0), *(m.column(name) for m in measured)])
        for name in ("finished_s", "latency_s")
    )
    servers = np.array([e or "" for m in measured for e in m.endpoints], dtype=object)
    known = ~np.isnan(ends) & ~np.isnan(spans)
    held = np.full(len(ends), np.nan)
    for server in dict.fromkeys(servers.tolist()):
        mine = known & (servers == server)
        held[mine] = share_time(ends[mine], spans[mine])
    cuts = np.cumsum([len(m.rows) for m in measured])[:-1]
    return dict(zip(tasks, np.split(held, cuts), strict=True)) if tasks else {}


def share_time(finished_s: Array, in_flight_s: Array) -> Array:
    """The time of one machine shared among the requests that it served at the same time.

    A request that ran alone for 2 s and beside one other for 2 s held the machine for 3 s. The
    shares add up to the time in which there was any request.

    Args:
        finished_s: When each request ended.
        in_flight_s: How long each took.
    """
    n = len(finished_s)
    times = np.concatenate([finished_s - in_flight_s, finished_s])
    order = np.argsort(times, kind="stable")
    steps = np.concatenate([np.ones(n), -np.ones(n)])[order]
    in_flight = np.cumsum(steps)[:-1]
    passed = np.diff(times[order])
    held = np.divide(passed, in_flight, out=np.zeros(len(passed)), where=in_flight > 0.5)
    until = np.empty(2 * n)
    until[order] = np.concatenate([[0.0], np.cumsum(held)])[: 2 * n]
    return np.asarray(until[n:] - until[:n])


# --- limits


def mean_bound(
    values: Array,
    level: float,
    alphas: Alphas,
    cases: Array | None = None,
    *,
    is_constant: bool = False,
) -> Bound:
    """The mean over all requests.

    Args:
        values: One a request.
        level: Of the interval to show.
        alphas: Of the limits that decide.
        cases: Which requests repeat one case.
        is_constant: Whether a declared price makes all of them equal, and not chance.
    """
    if is_constant and np.ptp(values) == 0:
        return _declared_bound(float(values[0]), len(values), alphas)
    zero = np.zeros(len(values))

    def interval(at: float) -> Limits | NoLimits:
        if cases is not None:
            test = cluster_t(values, cases, at)
            return test if isinstance(test, NoLimits) else test.limits
        test = paired_t(values, zero, at)
        return test if isinstance(test, NoLimits) else replace(test.limits, method="t")

    return bound(interval, level, alphas)


def _declared_bound(value: float, n: int, alphas: Alphas) -> Bound:
    """A figure that the policy states: known exactly, so that both limits lie on it."""
    return Bound(
        estimate=Estimate(value=value, n=n, method=DECLARED), alpha_one_sided=alphas.one_sided,
        lower_one_sided=value, upper_one_sided=value, no_interval=DECLARED,
    )  # fmt: skip


def are_declared(settings: Settings, baseline: Role) -> bool:
    """Whether the requests of both models cost what their prices declare, each the same."""
    roles: tuple[Role, Role] = ("candidate", baseline)
    return all(is_declared(settings.prices.get(role)) for role in roles)


def cost_ratio(
    a: Array,
    b: Array,
    level: float,
    alphas: Alphas,
    cases: Array | None = None,
    *,
    are_constant: bool = False,
) -> tuple[str, Bound | str]:
    """Total cost of the candidate over the other model's on the same requests, or why not.

    `are_constant`: declared prices make all costs of each model equal, and not chance.
    """
    if len(a) == 0 or np.isnan(a).any() or np.isnan(b).any():
        return COST, "cost was not measured for both models"
    if b.sum() <= 0:
        return COST, "the other model costs nothing"
    if are_constant and np.ptp(a) == np.ptp(b) == 0:
        return COST, _declared_bound(float(a[0] / b[0]), len(a), alphas)
    return COST, bound(lambda at: fieller(a, b, at, cases), level, alphas)
