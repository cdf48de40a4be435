"""A floor or a ceiling under one model's own figure -> what it can see. Binomial, not normal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from ftgate_ext.plan.assumptions import CLUSTER_CORRELATION, Spread
from ftgate_ext.plan.power import Claim, Scenarios, as_share, blank_of, fill
from ftgate_ext.policy_rules import Ceiling, Floor
from ftgate_ext.stats.floor_power import cases_for_floor, power_of_floor, smallest_provable_n

if TYPE_CHECKING:
    from ftgate_ext.plan.assumptions import EarlierRun
    from ftgate_ext.plan.planned import PlannedRule
    from ftgate_ext.plan.sets import Size, SizedSet
    from ftgate_ext.schema import Role
    from ftgate_ext.settings import Alphas

GOOD_LEAD = 0.05
GOOD_SHARE_OF_ROOM = 0.75
"""A good candidate is 5 pt above a floor, or three quarters of the way to 100 %: 99.5 % for 98 %."""
LEVEL_SD = 0.5
"""Of one case's score, where it is no pass or fail: the most that a share can have."""


def as_floor(rule: Floor | Ceiling) -> float:
    """The threshold as a floor: a ceiling is one under the share of failures."""
    return rule.threshold if isinstance(rule, Floor) else 1 - rule.threshold


def good_rate(floor: float) -> float:
    """The rate of a clearly good candidate."""
    return floor + min(GOOD_LEAD, GOOD_SHARE_OF_ROOM * (1 - floor))


def is_binomial(sized: SizedSet, size: Size, metric: str) -> bool:
    """Whether every case passes or fails by itself."""
    return not (sized.has_f1(metric) or size.clusters or sized.spec.repeats > 1)


def plan_threshold(
    rule: Floor | Ceiling, sized: SizedSet, alphas: Alphas, earlier: EarlierRun | None
) -> PlannedRule:
    """What a floor or ceiling can see at the size of its set."""
    size, floor = sized.size_of(rule.metric), as_floor(rule)
    evidence = rule.evidence if rule.evidence in ("proven", "screen") else "point"
    good = good_rate(floor)
    seen = _unchanged(rule, earlier)
    equal = good if seen is None else seen
    if seen is None:
        words = f"an equal and a good model have {_percent(_turned(rule, good))} (assumed)"
    else:
        words = f"equal: {_percent(_turned(rule, seen))} (earlier run); good: {_percent(_turned(rule, good))}"
    blank = blank_of(rule, assumption=words)
    worse = max(0.0, 1 - 2 * (1 - floor))
    if not is_binomial(sized, size, rule.metric):
        spread = Spread("mean", 1.0, words, LEVEL_SD)
        claim = Claim(spread, size.n, size.effective(CLUSTER_CORRELATION), floor, evidence, alphas)
        return fill(blank, claim, Scenarios(equal, floor, worse, good))

    def chance(rate: float) -> float:
        return as_share(power_of_floor(size.n, floor, rate, evidence, alphas.one_sided))

    return blank.model_copy(
        update={
            "n": size.n, "alpha": alphas.one_sided, "mde": smallest_shortfall(floor, size.n, alphas),
            "asks": 1 - floor, "chance_equal": chance(equal), "chance_at_limit": chance(floor),
            "chance_worse": chance(worse), "chance_good": chance(good),
            "n_enough": cases_for_floor(floor, good, alphas.one_sided),
        }
    )  # fmt: skip


def smallest_shortfall(floor: float, n: int, alphas: Alphas) -> float | None:
    """How far below the floor a model must be to be caught in 80 of 100 runs; None: never is."""

    def caught(rate: float) -> bool:
        return 1 - power_of_floor(n, floor, rate, "screen", alphas.one_sided) >= 0.8

    if not caught(0.0):
        return None
    low, high = 0.0, floor
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (middle, high) if caught(middle) else (low, middle)
    return floor - low


def _unchanged(rule: Floor | Ceiling, earlier: EarlierRun | None) -> float | None:
    """The production model's own rate in the earlier run, turned like the floor."""
    if earlier is None:
        return None
    roles: tuple[Role, ...] = ("production", "candidate")
    found = (earlier.level(rule.task, rule.metric, role) for role in roles)
    rate = next((r for r in found if r is not None), None)
    return None if rate is None else _turned(rule, rate)


def _turned(rule: Floor | Ceiling, rate: float) -> float:
    return rate if isinstance(rule, Floor) else 1 - rate


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


Refusal = Literal["pass", "fail"]


def why_impossible(rule: Floor | Ceiling, sized: SizedSet, alphas: Alphas) -> str | None:
    """Why a floor cannot pass, or cannot fail, at its size; None where it can do both."""
    size, floor = sized.size_of(rule.metric), as_floor(rule)
    relation = "at least" if isinstance(rule, Floor) else "at most"
    asked = f"{relation} {_percent(rule.threshold)}"
    if floor == 0:
        return f"{asked} holds for every model: the rule cannot fail"
    if not is_binomial(sized, size, rule.metric):
        return None
    if rule.evidence == "proven":
        least = smallest_provable_n(floor, alphas.one_sided)
        if least is None:
            return f"{asked} proven needs endless cases; ask for a little less"
        if size.n < least:
            return f"{asked} proven needs at least {least:,} cases, every one of them right; the set has {size.n:,}"
    if rule.evidence == "screen" and smallest_shortfall(floor, size.n, alphas) is None:
        least = math.ceil(math.log(alphas.one_sided) / math.log(1 - floor)) if floor < 1 else 1
        return f"{asked} as a screen cannot fail on {size.n:,} cases: not even none right would show it; {least:,} are the least"
    return None
