"""One draw of the cases -> what the policy decides in every scenario, by the gate's own functions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ftgate_ext.audit.draw import Draw, distinct_clusters, draw_cases
from ftgate_ext.audit.measures import Requests, draw_requests, measure_budgets, measure_ratio
from ftgate_ext.audit.plant import turn
from ftgate_ext.audit.verdicts import draw_verdicts, plant_rate
from ftgate_ext.buckets import compare_bucket, count_outcomes
from ftgate_ext.compare import compare_pairs
from ftgate_ext.decision import decide
from ftgate_ext.estimates import estimate_level
from ftgate_ext.paired_estimates import estimate_ratio
from ftgate_ext.pairing import CaseScores, Join, PairedScores, kind_of, pair_scores
from ftgate_ext.winrate import compare_verdicts

if TYPE_CHECKING:
    from datetime import date

    from ftgate_ext.audit.needs import Need, Needs
    from ftgate_ext.audit.plant import Plant
    from ftgate_ext.audit.scenarios import Key, Scenario
    from ftgate_ext.audit.world import World
    from ftgate_ext.policy import Policy
    from ftgate_ext.schema import (
        Bucket,
        Comparison,
        Comparisons,
        Decision,
        Level,
        Qualification,
        Role,
    )
    from ftgate_ext.settings import Settings

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Material:
    """All that a simulation starts from."""

    policy: Policy
    world: World
    needs: Needs
    observed: Comparisons
    """Of the run: what is not simulated is read from here."""
    empty: dict[Need, Comparison]
    """Comparisons of the run without their figures."""
    levels: dict[Key, Level]
    qualification: Qualification | None
    settings: Settings
    scenarios: list[Scenario]
    today: date
    seed: int


def simulate(material: Material, number: int) -> list[Decision]:
    """The policy's decision in every scenario, all on the same draw of the cases.

    Args:
        material: Of the run.
        number: Of the simulation; with the seed it determines every draw.
    """
    rng = np.random.default_rng(np.random.SeedSequence(material.seed, spawn_key=(number,)))
    redraw = Redraw(material, rng)
    return [redraw.decide(scenario) for scenario in material.scenarios]


class Redraw:
    """One draw of all cases; what several scenarios have in common is computed once."""

    def __init__(self, material: Material, rng: np.random.Generator) -> None:
        """Draw the cases of every eval set and the verdicts of the judge."""
        self.material, self.world = material, material.world
        self.settings = replace(material.settings, seed=int(rng.integers(2**31)))
        self.draws: dict[str, Draw] = {}
        for name, task in self.world.tasks.items():
            metrics = sorted({metric for metric, _ in task.scores})
            self.draws[name] = draw_cases(task, metrics, rng)
        self.verdicts = {
            role: draw_verdicts(c, rng) for role, (_, c) in self.world.verdicts.items()
        }
        self.luck = {role: int(rng.integers(2**31)) for role in self.world.verdicts}
        self._known: dict[Any, Any] = {}

    def _once(self, key: Any, make: Any) -> Any:
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def decide(self, scenario: Scenario) -> Decision:
        """What the policy says if the scenario is true."""
        material, needs = self.material, self.material.needs
        comparisons = {
            (n.task, n.metric, n.against): self._comparison(n, scenario) for n in needs.comparisons
        }
        won = {
            (task, "win_rate", role): self._win_rate(role, scenario)
            for role, (task, _) in self.world.verdicts.items()
        }
        levels = {key: self._level(key, scenario) for key in needs.levels}
        whole = material.observed.model_copy(
            update={
                "comparisons": _replaced(material.observed.comparisons, comparisons | won, lambda c: (c.task, c.metric, c.baseline)),
                "levels": _replaced(material.observed.levels, levels, lambda x: (x.task, x.metric)),
                **self._operations(scenario),
            }
        )  # fmt: skip
        return decide(material.policy, whole, material.qualification, material.today)

    # --- scores

    def _candidate(self, key: Key, scenario: Scenario) -> CaseScores:
        """The candidate's scores in the drawn cases: exchanged, then planted."""
        plants, against = scenario.plants.get(key, ()), scenario.broken.get(key)
        name = ("candidate", key, plants, against)
        found: CaseScores = self._once(name, lambda: self._plant(key, plants, against))
        return found

    def _plant(self, key: Key, plants: tuple[Plant, ...], against: Role | None) -> CaseScores:
        scores = self._other(key, "candidate")
        draw, values = self.draws[key[0]], scores.values
        for plant in plants:
            changed = turn(values, draw.luck[key[1]], plant, is_pass_fail=scores.is_pass_fail)
            inside = self._inside(key[0], plant.bucket)
            # In its own cases a later plant begins from the unchanged scores again.
            if plant.bucket is None:
                values = changed
            else:
                fresh = turn(
                    scores.values, draw.luck[key[1]], plant, is_pass_fail=scores.is_pass_fail
                )
                values = np.where(inside[:, None], fresh, values)
        if against is not None:
            values = self._break(key, values, against)
        return replace(scores, values=values)

    def _inside(self, task: str, bucket: tuple[str, str] | None) -> Array:
        rows = self.draws[task].rows
        if bucket is None:
            return np.ones(len(rows), dtype=bool)
        return np.asarray(self.world.tasks[task].labels[bucket[0]][rows] == bucket[1])

    def _break(self, key: Key, values: Array, against: Role) -> Array:
        """One case that the other model gets right goes wrong for good."""
        high = self._better_high(key)
        right = self._other(key, against).values[:, 0]
        good = np.flatnonzero((right > 0.5) if high else (right < 0.5))
        good = good[~np.isnan(values[good, 0])]
        broken: Array = values.copy()
        if len(good):
            broken[good[int(self.draws[key[0]].pick * len(good))]] = 0.0 if high else 1.0
        return broken

    def _better_high(self, key: Key) -> bool:
        return any(
            c.higher_is_better for n, c in self.material.empty.items() if (n.task, n.metric) == key
        )

    def _other(self, key: Key, role: Role) -> CaseScores:
        """A model's scores in the drawn cases after the exchange, before anything is planted."""
        found: CaseScores = self._once(("scores", key, role), lambda: self._exchange(key, role))
        return found

    def _exchange(self, key: Key, role: Role) -> CaseScores:
        task, draw, partner = self.world.tasks[key[0]], self.draws[key[0]], self.world.partner
        mine = task.scores[key[1], role]
        twin = {"candidate": partner, partner: "candidate"}.get(role)
        other = task.scores.get((key[1], twin)) if twin else None
        values, failed = mine.values[draw.rows], mine.unanswered[draw.rows]
        if other is None:
            return replace(mine, values=values, unanswered=failed)
        # A failed request says nothing about the model: it stays where it is.
        both = draw.swapped & (mine.is_scored & other.is_scored)[draw.rows]
        return CaseScores(
            np.where(both[:, None], other.values[draw.rows], values), failed,
            max(mine.repeats, other.repeats), mine.is_pass_fail and other.is_pass_fail,
        )  # fmt: skip

    # --- what rules read

    def _comparison(self, need: Need, scenario: Scenario) -> Comparison:
        key = (need.task, need.metric)
        name = (need, scenario.plants.get(key, ()), scenario.broken.get(key))
        found: Comparison = self._once(name, lambda: self._compare(need, scenario))
        return found

    def _compare(self, need: Need, scenario: Scenario) -> Comparison:
        key, empty = (need.task, need.metric), self.material.empty[need]
        task, draw = self.world.tasks[need.task], self.draws[need.task]
        asked = np.flatnonzero(task.asked[need.against][draw.rows])
        pairs = pair_scores(
            Join(asked, asked, 0, 0, asked), self._candidate(key, scenario), self._other(key, need.against)
        )  # fmt: skip
        found = empty.model_copy(
            update={"n_pairs": len(pairs.left), "n_excluded": pairs.n_excluded}
        )
        empty_f1 = pairs.kind == "f1" and not (pairs.left.any() and pairs.right.any())
        if pairs.kind is None or empty_f1:
            return found.model_copy(update={"unavailable": "no scored case was drawn"})
        clusters = None
        if draw.clusters is not None:
            clusters = distinct_clusters(draw.clusters[pairs.requests])
        if need.difference:
            found = compare_pairs(pairs, clusters, found, self.settings, in_full=False)
        update: dict[str, Any] = {"kind": pairs.kind, "repeats": pairs.repeats}
        if need.ratio:
            alphas = self.settings.alphas(need.task)
            update["ratio"] = estimate_ratio(pairs.kind, pairs.left, pairs.right, clusters, self.settings, alphas)  # fmt: skip
            update["alpha_one_sided"] = alphas.one_sided
        if need.outcomes and pairs.is_pass_fail:
            ids = [task.case_ids[i] for i in draw.rows[pairs.requests]]
            update |= count_outcomes(pairs, ids, higher_is_better=empty.higher_is_better)
        plants = scenario.plants.get(key, ())
        update["buckets"] = [
            bucket for by in need.by for bucket in self._buckets(need, by, pairs, clusters, plants)
        ]
        return found.model_copy(update=update)

    def _buckets(
        self, need: Need, by: str, pairs: PairedScores, clusters: Array | None, plants: tuple[Plant, ...]
    ) -> list[Bucket]:  # fmt: skip
        task, draw = self.world.tasks[need.task], self.draws[need.task]
        of_case = task.labels[by][draw.rows[pairs.requests]]
        found = []
        for name in sorted({label for label in of_case if label is not None}):
            inside = of_case == name
            # What is planted in other buckets of the same field is not seen here.
            seen = tuple(
                p for p in plants if p.bucket is None or p.bucket[0] != by or p.bucket[1] == name
            )
            make = _BucketOf(by, name, pairs, clusters, inside, self.settings)
            found.append(self._once((need, by, name, seen), make))
        return found

    def _level(self, key: Key, scenario: Scenario) -> Level:
        name = ("level", key, scenario.plants.get(key, ()), scenario.broken.get(key))
        found: Level = self._once(name, lambda: self._estimate_level(key, scenario))
        return found

    def _estimate_level(self, key: Key, scenario: Scenario) -> Level:
        scores, draw = self._candidate(key, scenario), self.draws[key[0]]
        kept = scores.is_scored
        clusters = None if draw.clusters is None else distinct_clusters(draw.clusters[kept])
        binary = scores.is_pass_fail and scores.repeats == 1
        alphas = self.settings.alphas(key[0])
        kind = kind_of(scores.values.shape[1], is_binary=binary)
        if not kept.any() or (kind == "f1" and not scores.values[kept].any()):
            nothing = {"estimate": None, "unavailable": "no scored case was drawn"}
            return self.material.levels[key].model_copy(update=nothing)
        bound = estimate_level(
            kind, scores.values[kept], clusters, self.settings, alphas, is_pass_fail=scores.is_pass_fail
        )  # fmt: skip
        return self.material.levels[key].model_copy(update=dict(bound))

    def _win_rate(self, role: Role, scenario: Scenario) -> Comparison:
        rate = scenario.rates.get(role, 0.5)
        task = self.world.verdicts[role][0]

        def make() -> Comparison:
            verdicts = plant_rate(
                self.verdicts[role], self.world.verdicts[role][1], rate, self.luck[role]
            )
            listed = [v for v, count in verdicts.items() for _ in range(count)]
            return compare_verdicts(task, role, listed, self.settings)

        found: Comparison = self._once(("win rate", role, rate), make)
        return found

    def _operations(self, scenario: Scenario) -> dict[str, Any]:
        needs = self.material.needs
        if not needs.measures:
            return {}
        name = ("operations", tuple(sorted(scenario.factors.items())))
        found: dict[str, Any] = self._once(name, lambda: self._measure(scenario.factors))
        return found

    def _measure(self, factors: dict[str, float]) -> dict[str, Any]:
        needs, observed = self.material.needs, self.material.observed
        mine = draw_requests(self.world, self.draws, "candidate", factors)
        own = [
            measure_budgets(o, mine, needs.budgets, self.settings)
            if (o.role, o.task) == ("candidate", "*") else o
            for o in observed.operations
        ]  # fmt: skip
        sides: dict[Role, Requests] = {
            role: draw_requests(self.world, self.draws, role, {}) for _, role in needs.ratios
        }
        ratios = {
            (quantity, role): measure_ratio(quantity, role, mine, sides[role], self.settings)
            for quantity, role in needs.ratios
        }
        kept = _replaced(observed.ratios, ratios, lambda r: (r.quantity, r.baseline))
        return {"operations": own, "ratios": kept}


@dataclass(frozen=True)
class _BucketOf:
    by: str
    name: str
    pairs: PairedScores
    clusters: Array | None
    inside: Array
    settings: Settings

    def __call__(self) -> Bucket:
        pairs, inside = self.pairs, self.inside
        part = replace(
            pairs, left=pairs.left[inside], right=pairs.right[inside], requests=pairs.requests[inside]
        )  # fmt: skip
        clusters = None if self.clusters is None else self.clusters[inside]
        return compare_bucket(self.by, self.name, part, clusters, self.settings)


def _replaced(rows: list[Any], fresh: dict[Any, Any], key: Any) -> list[Any]:
    """Rows of the run with those that were simulated in the place of the observed ones."""
    return [*fresh.values(), *(row for row in rows if key(row) not in fresh)]
