"""Policy and evidence -> which rules can be simulated, and which figures they read.

Nothing else is computed in a simulation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftgate_ext.decision import decide
from ftgate_ext.evidence import JUDGED
from ftgate_ext.policy_rules import (
    AnyRoute,
    Budget,
    Ceiling,
    Floor,
    NoRegression,
    PerBucket,
    PlainRule,
    Ratio,
    WinRate,
    metrics_of,
    plain_rules,
)

if TYPE_CHECKING:
    from datetime import date

    from ftgate_ext.policy import Policy
    from ftgate_ext.schema import Comparison, Comparisons, Qualification, Role, RuleResult


@dataclass(frozen=True)
class Need:
    """A comparison that rules read, and what they read of it."""

    task: str
    metric: str
    against: Role
    difference: bool
    outcomes: bool
    """Which cases were lost."""
    ratio: bool
    by: tuple[str, ...]
    """Fields of the row that make buckets."""


@dataclass(frozen=True)
class Needs:
    """All that the rules of a policy read, as far as it can be simulated."""

    comparisons: list[Need]
    levels: list[tuple[str, str]]
    """Task and metric of the candidate's own figures."""
    win_rates: list[Role]
    budgets: list[str]
    ratios: list[tuple[str, Role]]
    """Quantity and the model it is a multiple of."""

    @property
    def tasks(self) -> list[str]:
        """Eval sets whose scores are read."""
        named = [need.task for need in self.comparisons] + [task for task, _ in self.levels]
        return list(dict.fromkeys(named))

    @property
    def measures(self) -> bool:
        """Whether cost or latency is read."""
        return bool(self.budgets or self.ratios)


@dataclass(frozen=True)
class Simulable:
    """Which rules can be simulated, and what becomes of the others."""

    rules: list[PlainRule]
    """Also those inside routes."""
    held: dict[str, RuleResult]
    """Rule of the policy -> its result in the run and in every simulation."""
    evidence_lacks: list[str]
    """Names of the held rules that had nothing to look at."""
    today: date
    """The day of the decision, for approvals."""

    @property
    def blocking(self) -> list[str]:
        """Held rules that did not pass: they dominate every verdict."""
        return [name for name, result in self.held.items() if result.outcome != "PASS"]


def find_simulable(
    policy: Policy, comparisons: Comparisons, qualification: Qualification | None, today: date
) -> Simulable:
    """Sort the rules by whether their evidence can be drawn anew.

    A rule without usable evidence (an unfit judge, a comparison that was not made, too many failed
    requests), a rule on rubric scores and one on perturbed cases stay as they are. So does a rule of several routes if each
    of them holds such a rule.
    """
    decision = decide(policy, comparisons, qualification, today)
    rules, held, lacking = [], {}, []
    for rule, result in zip(policy.rules, decision.rules, strict=True):
        if isinstance(rule, AnyRoute):
            inner = {part.name: part for route in result.parts for part in route.parts}
            good = [r for r in plain_rules([rule]) if _is_simulable(r, inner[r.name])]
            rules += good
            can_hold = any(all(r in good for r in route.rules) for route in rule.routes)
        else:
            can_hold = _is_simulable(rule, result)
            rules += [rule] if can_hold else []
        if not can_hold:
            held[rule.name] = result
            lacking += [rule.name] if result.point_outcome is None else []
    return Simulable(rules, held, lacking, today)


def _is_simulable(rule: PlainRule, result: RuleResult) -> bool:
    judged = any(m.metric.startswith(JUDGED) for m in metrics_of(rule))
    of_itself = getattr(rule, "against", None) == "candidate"
    return result.point_outcome is not None and not judged and not of_itself


def find_needs(rules: list[PlainRule]) -> Needs:
    """What these rules read."""
    wanted: dict[tuple[str, str, Role], list[PlainRule]] = {}
    for rule in rules:
        if isinstance(rule, (Floor, Ceiling, WinRate, Budget)):
            continue
        for metric in metrics_of(rule):
            wanted.setdefault((metric.task, metric.metric, rule.against), []).append(rule)
    own = [(r.task, r.metric) for r in rules if isinstance(r, (Floor, Ceiling))]
    multiples = [(r.quantity, r.against) for r in rules if isinstance(r, Ratio) and r.quantity]
    return Needs(
        comparisons=[_need(*key, readers) for key, readers in wanted.items()],
        levels=list(dict.fromkeys(own)),
        win_rates=list(dict.fromkeys(r.against for r in rules if isinstance(r, WinRate))),
        budgets=list(dict.fromkeys(r.quantity for r in rules if isinstance(r, Budget))),
        ratios=list(dict.fromkeys(multiples)),
    )


def _need(task: str, metric: str, against: Role, readers: list[PlainRule]) -> Need:
    fields = [r.by for r in readers if isinstance(r, PerBucket)]
    special = (NoRegression, Ratio, PerBucket)
    return Need(
        task, metric, against,
        difference=any(not isinstance(r, special) for r in readers),
        outcomes=any(isinstance(r, NoRegression) for r in readers),
        ratio=any(isinstance(r, Ratio) for r in readers),
        by=tuple(dict.fromkeys(fields)),
    )  # fmt: skip


def find_comparison(comparisons: Comparisons, need: Need) -> Comparison:
    """The comparison of the run that a need is about."""
    key = (need.task, need.metric, need.against)
    return next(c for c in comparisons.comparisons if (c.task, c.metric, c.baseline) == key)


def is_better_high(comparisons: Comparisons, task: str, metric: str) -> bool:
    """Whether more of a metric is better."""
    key = (task, metric)
    levels = [x.higher_is_better for x in comparisons.levels if (x.task, x.metric) == key]
    pairs = [c.higher_is_better for c in comparisons.comparisons if (c.task, c.metric) == key]
    return all(levels + pairs)
