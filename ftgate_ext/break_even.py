"""Price of a machine + cost of an API's requests -> the volume from which the machine is cheaper.

Knows types only.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ftgate_ext.schema import ROLES, BreakEven, Estimate

if TYPE_CHECKING:
    from ftgate_ext.schema import Operations, Price, Role

COST = "cost_usd_per_request"
HOURS_A_DAY = 24
DAYS_A_MONTH = 30


def find_break_even(
    api: Role, prices: dict[Role, Price], operations: dict[Role, Operations]
) -> BreakEven:
    """From how many requests on the candidate's own machine is cheaper than an API.

    A machine costs H dollars an hour whether it works or not; an API costs c dollars a request, the
    mean over the eval sets with the tokens that were measured there. One machine is cheaper above
    v = H / c requests an hour, if it can serve v: its capacity is the throughput (declared, or
    measured in the run) times the utilisation. The limits of v follow from those of c, its lower
    limit from c's upper. k machines cost k H and pay from k v on, so where v is above the capacity of
    one no number of them ever pays at that throughput; and each further machine pays only from v more
    requests on.

    Taken for granted: requests like those of the eval sets, answered equally well; the machine is paid
    around the clock, 24 hours and 30 days; no wages, no volume rebate.

    Args:
        api: A model priced per token.
        prices: Role -> price, of the models that have one.
        operations: Role -> what its requests took, over all tasks.

    Returns:
        With a reason in place of figures where they cannot be computed.
    """
    blank = BreakEven(api=api)
    mine, theirs = prices.get("candidate"), prices.get(api)
    hourly = mine.hourly_usd if mine else None
    if mine is None or hourly is None:
        return _none(blank, "the candidate is not paid by the hour")
    blank = blank.model_copy(update={"usd_per_hour": hourly})
    if theirs is None or not theirs.is_per_token:
        return _none(blank, f"{api} is not paid per token")
    cost = _cost_of(operations.get(api))
    if cost is None:
        return _none(blank, f"the cost of {api}'s requests was not measured")
    if cost.value <= 0:
        return _none(blank, f"{api}'s requests cost nothing")
    volume = _volume(hourly, cost)
    found = blank.model_copy(
        update={
            "usd_per_request": cost, "requests_per_hour": volume,
            "requests_per_day": HOURS_A_DAY * volume.value,
            "requests_per_month": HOURS_A_DAY * DAYS_A_MONTH * volume.value,
        }
    )  # fmt: skip
    speed = mine.requests_per_hour
    served = speed or _throughput(operations.get("candidate"))
    if served is None:
        return _none(found, "the throughput of the candidate was neither declared nor measured")
    return _against_capacity(found, served, mine.utilisation, is_declared=speed is not None)


def _none(blank: BreakEven, why: str) -> BreakEven:
    return blank.model_copy(update={"unavailable": why})


def _cost_of(operations: Operations | None) -> Estimate | None:
    if operations is None or operations.cost_usd_per_request is None:
        return None
    bound = operations.bounds.get(COST)
    if bound is not None:
        return bound.estimate
    n = operations.n_requests
    return Estimate(value=operations.cost_usd_per_request, n=n, method="mean")


def _throughput(operations: Operations | None) -> float | None:
    return operations.requests_per_hour if operations else None


def _volume(hourly: float, cost: Estimate) -> Estimate:
    """H / c; no upper limit where c may be 0."""
    return Estimate(
        value=hourly / cost.value,
        lower=hourly / cost.upper if cost.upper else None,
        upper=hourly / cost.lower if cost.lower and cost.lower > 0 else None,
        level=cost.level, n=cost.n, method="hourly price over the API's cost per request",
    )  # fmt: skip


def _against_capacity(
    found: BreakEven, speed: float, utilisation: float, *, is_declared: bool
) -> BreakEven:
    volume, capacity = found.requests_per_hour, speed * utilisation
    if volume is None:
        return found
    at_limits = None
    if volume.lower is not None and volume.upper is not None:
        at_limits = volume.upper <= capacity
    return found.model_copy(
        update={
            "capacity_per_hour": capacity, "capacity_is_declared": is_declared,
            "utilisation": utilisation, "utilisation_needed": volume.value / speed,
            "machines": math.ceil(volume.value / capacity), "pays": volume.value <= capacity,
            "pays_at_limits": at_limits,
        }
    )  # fmt: skip


def find_break_evens(prices: dict[Role, Price], operations: list[Operations]) -> list[BreakEven]:
    """Against every model that is paid per token, where the candidate is paid by the hour."""
    mine = prices.get("candidate")
    if mine is None or mine.hourly_usd is None:
        return []
    whole = {o.role: o for o in operations if o.task == "*"}
    return [
        find_break_even(role, prices, whole)
        for role in ROLES
        if role != "candidate" and role in prices and prices[role].is_per_token
    ]
