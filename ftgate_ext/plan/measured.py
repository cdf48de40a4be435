"""Rules on cost and latency -> what can be said before a run: little, and from an earlier one, more."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

from ftgate_ext.costs import declared_cost
from ftgate_ext.plan.assumptions import LATENCY_LOG_SD, Spread
from ftgate_ext.plan.power import Claim, Scenarios, blank_of, fill
from ftgate_ext.settings import Alphas
from ftgate_ext.stats.quantile import smallest_n_with_upper_limit
from ftgate_ext.wording import money, multiple, plain

if TYPE_CHECKING:
    from ftgate_ext.plan.assumptions import EarlierRun
    from ftgate_ext.plan.planned import PlannedRule
    from ftgate_ext.policy import Policy
    from ftgate_ext.policy_rules import Budget, Quantity, Ratio
    from ftgate_ext.schema import Bound

COST: Quantity = "cost_usd_per_request"
QUANTILES: dict[Quantity, float] = {
    "latency_p50_s": 0.5, "latency_p95_s": 0.95, "latency_p99_s": 0.99,
}  # fmt: skip
FASTER = 0.10
"""A good candidate is so much faster where the rule leaves no room for being slower."""
LEVEL = 0.95
"""Of the interval that must have an upper end."""


def plan_budget(
    rule: Budget, policy: Policy, requests: int, earlier: EarlierRun | None
) -> PlannedRule:
    """What a budget of cost or latency can see."""
    blank = blank_of(rule, n=requests, n_of="requests")
    price = policy.models["candidate"].price
    declared = declared_cost(price) if rule.quantity == COST else None
    if declared is not None:
        note = f"{money(declared)} a request by the declared price, whatever the run takes"
        return blank.model_copy(update={"note": note})
    measured = earlier.quantity(rule.quantity, None) if earlier else None
    if measured is not None:
        return _from_earlier(blank, rule, measured, rule.maximum, requests)
    note = "known from a run only (`--from RUN`)"
    hourly = price.hourly_usd
    if rule.quantity == COST and hourly:
        seconds = rule.maximum * 3600 / hourly * price.utilisation * policy.run.concurrency
        note = f"{note}; at {money(hourly)} an hour it holds while a request takes {seconds:.3g} s or less, {policy.run.concurrency} at a time"
    return blank.model_copy(update={"note": note})


def plan_quantity_ratio(
    rule: Ratio, policy: Policy, requests: int, earlier: EarlierRun | None
) -> PlannedRule:
    """What a cost or latency ratio can see."""
    quantity, maximum = rule.quantity or COST, rule.maximum or 1.0
    blank = blank_of(rule, n=requests, n_of="requests")
    mine, other = (
        declared_cost(policy.models[r].price) if r in policy.models else None
        for r in ("candidate", rule.against)
    )
    if quantity == COST and mine is not None and other:
        note = f"{multiple(mine / other)} by the declared prices, whatever the run takes"
        return blank.model_copy(update={"note": note})
    measured = earlier.quantity(quantity, rule.against) if earlier else None
    if measured is not None:
        return _from_earlier(blank, rule, measured, maximum, requests)
    if quantity not in QUANTILES:
        return blank.model_copy(update={"note": "known from a run only (`--from RUN`)"})
    q = QUANTILES[quantity]
    # A sample quantile on the log scale: sqrt(q (1 - q)) / density; twice, for two models.
    normal = NormalDist()
    one = math.sqrt(q * (1 - q)) / normal.pdf(normal.inv_cdf(q)) * LATENCY_LOG_SD
    words = f"log latency has standard deviation {LATENCY_LOG_SD:g} (assumed)"
    spread = Spread("mean", 1.0, words, one * math.sqrt(2))
    limit = -math.log(maximum)
    if limit < 0:
        scenarios = Scenarios(0.0, limit, 2 * limit, 0.0)
    else:
        good = -math.log1p(-FASTER) if maximum > 1 - FASTER else None
        scenarios = Scenarios(0.0, limit, -math.log1p(FASTER), good)
    evidence = "point" if rule.evidence == "significant" else rule.evidence
    claim = Claim(spread, requests, requests, limit, evidence, Alphas())
    found = fill(blank.model_copy(update={"assumption": words}), claim, scenarios)
    return found.model_copy(update={"mde": math.expm1(found.mde or 0), "asks": None})


def _from_earlier(
    blank: PlannedRule, rule: Budget | Ratio, measured: Bound, maximum: float, requests: int
) -> PlannedRule:
    """The chance that the same candidate passes again, with the standard error scaled to the size."""
    estimate = measured.estimate
    where = f"{estimate.value:.3g} in the earlier run, n = {estimate.n:,}"
    if rule.quantity == COST and rule.kind == "budget":
        where = f"{money(estimate.value)} in the earlier run, n = {estimate.n:,}"
    ends = (estimate.lower, estimate.upper)
    if None in ends or ends[0] == ends[1] or not estimate.level:
        return blank.model_copy(update={"note": f"{where}, without an interval"})
    low, high = (float(end) for end in ends if end is not None)
    z = NormalDist().inv_cdf((1 + estimate.level) / 2)
    sd = (high - low) / (2 * z) * math.sqrt(estimate.n)
    evidence = "point" if rule.evidence == "significant" else rule.evidence
    claim = Claim(Spread("mean", 1.0, where, sd), requests, requests, -maximum, evidence, Alphas())
    scenarios = Scenarios(None, -maximum, None, -estimate.value)
    found = fill(blank.model_copy(update={"assumption": where}), claim, scenarios)
    return found.model_copy(update={"mde": None, "asks": None, "chance_equal": found.chance_good})


def why_overspent(rule: Budget, policy: Policy) -> str | None:
    """Why a declared price alone breaks a budget of cost; None where it does not."""
    cost = declared_cost(policy.models["candidate"].price) if rule.quantity == COST else None
    if cost is None or cost <= rule.maximum or math.isclose(cost, rule.maximum):
        return None
    return f"by the declared price a request costs {money(cost)}, more than {money(rule.maximum)}"


def why_unbounded(rule: Budget | Ratio, requests: int) -> str | None:
    """Why a latency rule cannot be decided at so few requests; None where it can."""
    if rule.evidence == "point" or rule.quantity not in QUANTILES:
        return None
    least = smallest_n_with_upper_limit(QUANTILES[rule.quantity], LEVEL)
    if requests >= least:
        return None
    return f"{plain(rule.quantity)} has an upper limit from {least:,} requests on; there will be {requests:,}"
