"""Drawn cases -> latency and cost of their requests, with the limits that rules read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ftgate_ext.audit.draw import both_ways
from ftgate_ext.audit.world import MEASURES
from ftgate_ext.costs import COST, are_declared, cost_ratio, is_declared, mean_bound
from ftgate_ext.operations import LATENCIES, quantile_bound, ratio_bound
from ftgate_ext.schema import OperationRatio
from ftgate_ext.stats.quantile import quantile_ratio

if TYPE_CHECKING:
    from ftgate_ext.audit.draw import Draw
    from ftgate_ext.audit.world import World
    from ftgate_ext.schema import Bound, Operations, Role
    from ftgate_ext.settings import Settings

Array = np.ndarray[Any, Any]
Requests = dict[str, Array]
"""latency_s and cost_usd of requests, in the same order for every model."""


def quantity_field(quantity: str) -> str:
    """The measurement behind a quantity of the policy."""
    return "cost_usd" if quantity == COST else "latency_s"


def draw_requests(
    world: World, draws: dict[str, Draw], role: Role, factors: dict[str, float]
) -> Requests:
    """What one model's requests took, in the drawn cases after the exchange.

    Args:
        world: All cases.
        draws: Eval set -> which cases, and which of them are exchanged.
        role: Whose requests.
        factors: Of the candidate's latency or cost.
    """
    found: Requests = {}
    for name in MEASURES:
        parts = [_side(world, task, name, role, draws[task]).ravel() for task in world.measured]
        scale = factors.get(name, 1.0) if role == "candidate" else 1.0
        found[name] = np.concatenate([np.empty(0), *parts]) * scale
    return found


def _side(world: World, task: str, name: str, role: Role, draw: Draw) -> Array:
    measures = world.tasks[task].measures
    nowhere = np.full(measures[name, "candidate"].shape, np.nan)
    mine = measures.get((name, role), nowhere)[draw.rows]
    twins: dict[Role, Role] = {"candidate": world.partner, world.partner: "candidate"}
    if role not in twins:
        return np.asarray(mine)
    twin = measures.get((name, twins[role]), nowhere)[draw.rows]
    # What was not measured for both is not exchanged.
    both = draw.swapped[:, None] & ~np.isnan(twin) & ~np.isnan(mine)
    return np.where(both, twin, mine)


def true_quantity(world: World, quantity: str, against: Role | None) -> float:
    """A quantity over all cases, each exchanged and not; or its multiple of another model's."""
    draws = {task: both_ways(len(world.tasks[task].case_ids)) for task in world.measured}
    mine = draw_requests(world, draws, "candidate", {})
    if against is None:
        return _figure(mine, quantity, _answered([mine]))
    other = draw_requests(world, draws, against, {})
    known = _answered([mine, other])
    return _figure(mine, quantity, known) / _figure(other, quantity, known)


def _answered(sides: list[Requests]) -> Array:
    return np.asarray(np.logical_and.reduce([~np.isnan(s["latency_s"]) for s in sides]))


def _figure(requests: Requests, quantity: str, known: Array) -> float:
    values = requests[quantity_field(quantity)][known]
    return float(values.mean() if quantity == COST else np.quantile(values, LATENCIES[quantity]))


def measure_budgets(
    observed: Operations, requests: Requests, quantities: list[str], settings: Settings
) -> Operations:
    """What the candidate's requests took, where budgets read it."""
    alphas, known = settings.alphas("*"), _answered([requests])
    figures: dict[str, float | None] = {}
    bounds: dict[str, Bound] = {}
    for quantity in quantities:
        values = requests[quantity_field(quantity)][known]
        if len(values) == 0 or np.isnan(values).any():
            figures[quantity] = None
            continue
        figures[quantity] = _figure(requests, quantity, known)
        bounds[quantity] = (
            mean_bound(values, settings.level, alphas, is_constant=is_declared(settings.prices.get("candidate")))
            if quantity == COST
            else quantile_bound(values, LATENCIES[quantity], settings.level, alphas)
        )  # fmt: skip
    return observed.model_copy(update={**figures, "bounds": bounds})


def measure_ratio(
    quantity: str, against: Role, mine: Requests, other: Requests, settings: Settings
) -> OperationRatio:
    """Cost or latency as a multiple of another model's, on the requests that both answered."""
    known, alphas = _answered([mine, other]), settings.alphas("*")
    a, b = (side[quantity_field(quantity)][known] for side in (mine, other))
    found: Bound | str = "latency was not measured for both models"
    if quantity == COST:
        constant = are_declared(settings, against)
        found = cost_ratio(a, b, settings.level, alphas, are_constant=constant)[1]
    elif len(a):
        found = ratio_bound(
            quantile_ratio(
                a, b, LATENCIES[quantity], settings.seed, settings.resamples, settings.level, alphas.one_sided
            )
        )  # fmt: skip
    if isinstance(found, str):
        return OperationRatio(quantity=quantity, baseline=against, unavailable=found)
    return OperationRatio(quantity=quantity, baseline=against, ratio=found)
