"""Rules and a world -> what is planted, rule by rule, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ftgate_ext.audit.measures import quantity_field, true_quantity
from ftgate_ext.audit.needs import is_better_high
from ftgate_ext.audit.plant import Plant, level_of, plant_level
from ftgate_ext.policy_rules import (
    AnyRoute,
    Budget,
    Ceiling,
    Floor,
    NonInferiority,
    NoRegression,
    PerBucket,
    PlainRule,
    PooledNonInferiority,
    Ratio,
    Superiority,
    WinRate,
)
from ftgate_ext.wording import money, multiple, percent, plain

if TYPE_CHECKING:
    from ftgate_ext.audit.world import World
    from ftgate_ext.pairing import CaseScores
    from ftgate_ext.policy_rules import Rule
    from ftgate_ext.schema import Comparisons, Role

Array = np.ndarray[Any, Any]
Key = tuple[str, str]
"""Task and metric."""

NOTHING = "nothing changed"
IMPROVED = "a clear improvement"
CLEAR_WIN_RATE = 0.60
BEYOND = 1.10
"""Of a maximum: 10 % over the budget."""
LEAST_STEP = 0.02
LARGEST_STEP = 0.05
"""A floor is missed by as much as it allows for, between 2 and 5 points."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with an otherwise better candidate."""

    name: str
    words: str
    plants: dict[Key, tuple[Plant, ...]] = field(default_factory=dict)
    broken: dict[Key, Role] = field(default_factory=dict)
    """Task and metric in which one case breaks for good, and against whom that shows."""
    rates: dict[Role, float] = field(default_factory=dict)
    factors: dict[str, float] = field(default_factory=dict)
    """Of latency or cost."""


@dataclass(frozen=True)
class Scenario:
    """What is true in a simulation."""

    name: str
    planted: str
    plants: dict[Key, tuple[Plant, ...]] = field(default_factory=dict)
    """Later plants of a metric overrule earlier ones in the cases that both are about."""
    broken: dict[Key, Role] = field(default_factory=dict)
    rates: dict[Role, float] = field(default_factory=dict)
    """True win rates; 0.5 where none is given."""
    factors: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Planner:
    """Turns rules into scenarios."""

    world: World
    comparisons: Comparisons
    improvement: float
    """As a share: 0.05 is five points."""

    # --- levels

    def sign(self, key: Key) -> int:
        """+1 where more of the metric is better."""
        return 1 if is_better_high(self.comparisons, *key) else -1

    def pool(self, key: Key, against: Role | None = None, bucket: Key | None = None) -> Array:
        """What the candidate may score after the exchange, on cases scored by `against` as well."""
        rows = self._rows(key, against, bucket)
        mine = self._scores(key, "candidate").values[rows]
        if not self._has(key, self.world.partner):
            return np.asarray(mine)
        twin = self._scores(key, self.world.partner).values[rows]
        # A case that the partner has no score for is not exchanged.
        return np.concatenate([mine, np.where(np.isnan(twin), mine, twin)])

    def _has(self, key: Key, role: Role) -> bool:
        return (key[1], role) in self.world.tasks[key[0]].scores

    def _scores(self, key: Key, role: Role) -> CaseScores:
        return self.world.tasks[key[0]].scores[key[1], role]

    def _rows(self, key: Key, against: Role | None, bucket: Key | None) -> Array:
        kept = self._scores(key, "candidate").is_scored
        if against:
            kept = kept & self._scores(key, against).is_scored
        if bucket:
            kept = kept & (self.world.tasks[key[0]].labels[bucket[0]] == bucket[1])
        return np.flatnonzero(kept)

    def level(self, key: Key, role: Role, bucket: Key | None = None) -> float:
        """The true level of a model, on the cases that the candidate is compared with it."""
        if role == self.world.partner:
            return level_of(self.pool(key, role, bucket))
        return level_of(self._scores(key, role).values[self._rows(key, role, bucket)])

    def plant(self, key: Key, wanted: float, against: Role | None, bucket: Key | None = None) -> Plant:  # fmt: skip
        """A true level of the candidate."""
        twins = [role for role in ("candidate", self.world.partner) if self._has(key, role)]
        is_pass_fail = all(self._scores(key, role).is_pass_fail for role in twins)
        pool = self.pool(key, against, bucket)
        return plant_level(pool, wanted, is_pass_fail=is_pass_fail, bucket=bucket)

    def difference(self, key: Key, gain: float, against: Role, bucket: Key | None = None) -> Plant:
        """A true difference from another model; a loss is negative."""
        level = self.level(key, against, bucket)
        return self.plant(key, level + self.sign(key) * gain, against, bucket)

    def gained(self, key: Key, plant: Plant, against: Role) -> float:
        """What a plant gains on another model, positive where the candidate is better."""
        return self.sign(key) * (plant.level - self.level(key, against, plant.bucket))


def build_scenarios(planner: Planner, policy_rules: list[Rule], rules: list[PlainRule]) -> list[Scenario]:  # fmt: skip
    """Nothing changed, a clear improvement, and one or two faults for every rule.

    Args:
        planner: The world and what it knows of it.
        policy_rules: As the policy has them.
        rules: Those that can be simulated, also inside routes.
    """
    partner = planner.world.partner
    nothing = Scenario(NOTHING, f"Candidate and {partner} are equally good in everything.")
    better = _improve(planner, rules)
    scenarios = [nothing, better]
    for rule in policy_rules:
        if isinstance(rule, AnyRoute):
            scenarios += [_spoil(better, fault) for fault in _no_route(planner, rule, rules)]
        elif rule in rules:
            scenarios += [_spoil(better, fault) for fault in faults_of(planner, rule)]
    return scenarios


def _improve(planner: Planner, rules: list[PlainRule]) -> Scenario:
    plants: dict[Key, tuple[Plant, ...]] = {}
    words = []
    partner = planner.world.partner
    for rule in rules:
        if isinstance(rule, Superiority) and (rule.task, rule.metric) not in plants:
            key = (rule.task, rule.metric)
            wanted = level_of(planner.pool(key)) + planner.sign(key) * planner.improvement
            plants[key] = (planner.plant(key, wanted, None),)
            gain = planner.sign(key) * (plants[key][0].level - level_of(planner.pool(key)))
            words.append(f"{plain(rule.metric)} {_pt(gain)} better than {partner}'s{_all(gain, planner.improvement)}")  # fmt: skip
    rates: dict[Role, float] = {r.against: CLEAR_WIN_RATE for r in rules if isinstance(r, WinRate)}
    words += [f"win rate {percent(CLEAR_WIN_RATE)} against {role}" for role in rates]
    said = _sentence(", ".join(words) + "; all else as before" if words else "no rule asks for an improvement, so none is planted")  # fmt: skip
    return Scenario(IMPROVED, said, plants=plants, rates=rates)


def _all(gain: float, wanted: float) -> str:
    return "" if abs(abs(gain) - abs(wanted)) < 5e-4 else " (there is no more to change)"


def _spoil(better: Scenario, fault: Fault) -> Scenario:
    """The improvement with one thing wrong; a fault overrules what it contradicts."""
    changed = bool(better.plants or better.rates)
    opening = "The clear improvement, but" if changed else "Nothing else changed, but"
    plants = dict(better.plants)
    for key, own in fault.plants.items():
        # In one bucket, the improvement of all the others stays.
        keeps = plants.get(key, ()) if all(p.bucket for p in own) else ()
        # No change is no plant: the simulation then computes nothing anew.
        plants[key] = (*keeps, *(p for p in own if p.changes or p.bucket))
    return Scenario(
        fault.name, f"{opening} {fault.words}.", plants=plants, broken=fault.broken,
        rates={**better.rates, **fault.rates}, factors=fault.factors,
    )  # fmt: skip


def _no_route(planner: Planner, rule: AnyRoute, rules: list[PlainRule]) -> list[Fault]:
    """One rule of every route is broken; of two wants on one metric the lower one stays."""
    broken: list[Fault] = []
    for route in rule.routes:
        able = [f for r in route.rules if r in rules for f in faults_of(planner, r)[-1:]]
        if not able:
            return []
        broken.append(able[0])
    merged = Fault(f"{rule.name}: no route holds", ", and ".join(f.words for f in broken))
    for fault in broken:
        for key, own in fault.plants.items():
            kept = merged.plants.get(key, own)
            worse = planner.sign(key) * (own[0].level - kept[0].level) < 0
            merged.plants[key] = own if worse else kept
        merged.broken.update(fault.broken)
        merged.rates.update(fault.rates)
        for name, factor in fault.factors.items():
            merged.factors[name] = max(factor, merged.factors.get(name, 0.0))
    return [merged]


def faults_of(planner: Planner, rule: PlainRule) -> list[Fault]:
    """What a rule is there to find, in its own size."""
    if isinstance(rule, (NonInferiority, PooledNonInferiority, PerBucket)):
        return _losses(planner, rule)
    if isinstance(rule, (Floor, Ceiling)):
        return [_missed_threshold(planner, rule)]
    if isinstance(rule, Superiority):
        key = (rule.task, rule.metric)
        plant = planner.difference(key, 0.0, rule.against)
        words = f"{plain(rule.metric)} is no better than {rule.against}'s"
        return [Fault(f"{rule.name}: nothing gained", words, {key: (plant,)})]
    if isinstance(rule, WinRate):
        words = f"the judge likes {rule.against}'s answers as much: true win rate 50 %"
        return [Fault(f"{rule.name}: the judge prefers neither", words, rates={rule.against: 0.5})]
    if isinstance(rule, NoRegression):
        words = f"one case of {rule.task} that {rule.against} gets right is wrong in every answer"
        return [Fault(f"{rule.name}: one case broken", words, broken={(rule.task, rule.metric): rule.against})]  # fmt: skip
    return [
        _over_budget(planner, rule) if isinstance(rule, Budget) else _short_ratio(planner, rule)
    ]


def _losses(
    planner: Planner, rule: NonInferiority | PooledNonInferiority | PerBucket
) -> list[Fault]:
    """A true loss of exactly the margin, and of twice as much; where the margin is 0, of 2 points."""
    margin = rule.margin_pt / 100
    sizes = [(margin, "the whole allowance"), (2 * margin, "twice the allowance")]
    faults = []
    for loss, size in sizes if margin else [(LEAST_STEP, "the rule allows none")]:
        if isinstance(rule, PooledNonInferiority):
            keys: list[Key] = [(b.task, b.metric) for b in rule.benchmarks]
            what = "every one of " + ", ".join(plain(k[0]) for k in keys)
            bucket = None
        else:
            keys = [(rule.task, rule.metric)]
            bucket = _largest_bucket(planner, rule) if isinstance(rule, PerBucket) else None
            what = plain(rule.metric) + (f" where {bucket[0]} is {bucket[1]}" if bucket else "")
        plants: dict[Key, tuple[Plant, ...]]
        plants = {key: (planner.difference(key, -loss, rule.against, bucket),) for key in keys}
        lost = [-planner.gained(key, plants[key][0], rule.against) for key in keys]
        shown = _pt(sum(lost) / len(lost))
        words = f"{what} is {shown} worse than {rule.against}'s ({size}{_all(min(lost), loss) and ', as far as there is so much to lose'})"
        faults.append(Fault(f"{rule.name}: true loss {_pt(loss)}", words, plants))
    return faults


def _largest_bucket(planner: Planner, rule: PerBucket) -> Key:
    labels = [x for x in planner.world.tasks[rule.task].labels[rule.by] if x is not None]
    names, counts = np.unique(np.array(labels, dtype=str), return_counts=True)
    return rule.by, str(names[counts.argmax()])


def _missed_threshold(planner: Planner, rule: Floor | Ceiling) -> Fault:
    key = (rule.task, rule.metric)
    is_floor = isinstance(rule, Floor)
    room = 1 - rule.threshold if is_floor else rule.threshold
    step = min(max(room, LEAST_STEP), LARGEST_STEP)
    wanted = rule.threshold - step if is_floor else rule.threshold + step
    plant = planner.plant(key, min(max(wanted, 0.0), 1.0), None)
    side = "below" if is_floor else "above"
    words = f"{plain(rule.metric)} is truly {100 * plant.level:.1f} %, {abs(plant.level - rule.threshold) * 100:.1f} pt {side} the threshold"
    return Fault(f"{rule.name}: true level {100 * plant.level:.1f} %", words, {key: (plant,)})


def _over_budget(planner: Planner, rule: Budget) -> Fault:
    true = true_quantity(planner.world, rule.quantity, None)
    words = f"{plain(rule.quantity)} is truly {_amount(rule.quantity, BEYOND * rule.maximum)}, 10 % over the budget"
    factor = BEYOND * rule.maximum / true
    return Fault(f"{rule.name}: 10 % over", words, factors={quantity_field(rule.quantity): factor})


def _amount(quantity: str, value: float) -> str:
    return money(value) if quantity_field(quantity) == "cost_usd" else f"{value:.3g} s"


def _short_ratio(planner: Planner, rule: Ratio) -> Fault:
    if rule.metric and rule.task and rule.minimum:
        key = (rule.task, rule.metric)
        level = planner.level(key, rule.against)
        plant = planner.plant(key, (2 - BEYOND) * rule.minimum * level, rule.against)
        short = f"{plain(rule.metric)} is truly {percent(plant.level / level)} of {rule.against}'s where {percent(rule.minimum)} are asked"
        return Fault(f"{rule.name}: 10 % short", short, {key: (plant,)})
    quantity, maximum = rule.quantity or "", rule.maximum or 0.0
    true = true_quantity(planner.world, quantity, rule.against)
    over = f"{plain(quantity)} is truly {multiple(BEYOND * maximum)} {rule.against}'s, 10 % over"
    factor = BEYOND * maximum / true
    return Fault(f"{rule.name}: 10 % over", over, factors={quantity_field(quantity): factor})


def _pt(difference: float) -> str:
    return f"{100 * difference:.1f} pt"


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def rename_twins(scenarios: list[Scenario]) -> list[Scenario]:
    """Names that tell scenarios apart, whatever the rules are called."""
    seen: dict[str, int] = {}
    named = []
    for scenario in scenarios:
        count = seen[scenario.name] = seen.get(scenario.name, 0) + 1
        named.append(
            replace(scenario, name=f"{scenario.name} ({count})") if count > 1 else scenario
        )
    return named
