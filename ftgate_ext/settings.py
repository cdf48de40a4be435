"""How figures are computed, and limits as the estimates that are written to disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

from ftgate_ext.schema import Estimate, LookUse
from ftgate_ext.stats.limits import Limits, NoLimits
from ftgate_ext.stats.multiplicity import selection_alpha

if TYPE_CHECKING:
    from ftgate_ext.policy import Policy
    from ftgate_ext.schema import Price, Role

ALPHA = 0.05
SAFETY_METRICS = ("refusal_harmful", "refusal_benign")
SAFETY_BUCKETS = ("harm", "framing")
"""Row fields by which safety is shown, whether a rule asks for it or not."""
LEAST_ALPHA = 1e-9
"""The first of many O'Brien-Fleming looks asks for less than numbers can tell from 0."""


@dataclass(frozen=True)
class Alphas:
    """Test levels of one task: for one-sided limits, and for two-sided p values."""

    one_sided: float = ALPHA
    two_sided: float = ALPHA

    @property
    def level(self) -> float:
        """Level of the two-sided interval whose ends are the one-sided limits."""
        return 1 - 2 * self.one_sided


@dataclass(frozen=True)
class Settings:
    """How figures are computed."""

    resamples: int = 10_000
    seed: int = 1234
    level: float = 0.95
    cluster_fields: dict[str, str] = field(default_factory=dict)
    """Task -> the row field that makes clusters; `cluster` for all others."""
    buckets: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """(task, metric) -> the row fields that make buckets."""
    selected_from: dict[str, int] = field(default_factory=dict)
    """Task -> of how many checkpoints the candidate was the best there."""
    look: LookUse | None = None
    prices: dict[Role, Price] = field(default_factory=dict)
    """What costs are computed with; models without a price cost what their journal says."""
    flips: int = 100_000
    """How many exchanges of signs a test of few values draws where it cannot list all."""
    deciding: dict[str, list[str]] = field(default_factory=dict)
    """Task -> the metrics that rules look at: by these a case is right or wrong."""
    guarded: frozenset[str] = frozenset()
    """Tasks of which no case may regress."""

    def cluster_field(self, task: str) -> str:
        """The row field that makes clusters."""
        return self.cluster_fields.get(task, self.cluster_fields.get("*", "cluster"))

    @property
    def fields(self) -> list[str]:
        """Every row field that is needed."""
        named = [f for fields in self.buckets.values() for f in fields]
        return list(
            dict.fromkeys(
                ["cluster", "base", "perturbation", *self.cluster_fields.values(), *named]
            )
        )

    def alphas(self, task: str) -> Alphas:
        """Test levels of a task, corrected for looks and for a selection among checkpoints."""
        one_sided, two_sided = ALPHA, ALPHA
        look = self.look
        if look and look.planned and look.boundary:
            one_sided, two_sided = _alpha_of_look(look, 1), _alpha_of_look(look, 2)
        checkpoints = self.selected_from.get(task, 1)
        return Alphas(
            max(selection_alpha(one_sided, checkpoints), LEAST_ALPHA),
            max(selection_alpha(two_sided, checkpoints), LEAST_ALPHA),
        )


def _alpha_of_look(look: LookUse, sides: Literal[1, 2]) -> float:
    """The test level that one look may use, so that all planned looks together keep ALPHA."""
    if not look.planned or not look.boundary:
        return ALPHA
    from ftgate_ext.stats.sequential import boundaries

    z = boundaries(look.planned, look.boundary, ALPHA, sides)[look.number - 1]
    return max(sides * NormalDist().cdf(-float(z)), LEAST_ALPHA)


def settings_of(policy: Policy, look: LookUse | None = None) -> Settings:
    """What a policy says about how figures are computed."""
    from ftgate_ext.policy_rules import NoRegression, PerBucket, metrics_of, plain_rules

    buckets: dict[tuple[str, str], list[str]] = {}
    for rule in plain_rules(policy.rules):
        if isinstance(rule, PerBucket):
            buckets.setdefault((rule.task, rule.metric), []).append(rule.by)
    for task in (s.task for s in policy.eval_sets if s.kind == "safety"):
        for metric in SAFETY_METRICS:
            by = buckets.setdefault((task, metric), [])
            by += [name for name in SAFETY_BUCKETS if name not in by]
    deciding: dict[str, list[str]] = {}
    for looked_at in (b for rule in plain_rules(policy.rules) for b in metrics_of(rule)):
        named = deciding.setdefault(looked_at.task, [])
        named += [looked_at.metric] if looked_at.metric not in named else []
    guarded = {r.task for r in plain_rules(policy.rules) if isinstance(r, NoRegression)}
    selection = policy.selection
    return Settings(
        resamples=policy.run.resamples, seed=policy.run.seed, buckets=buckets, look=look,
        cluster_fields={s.task: s.cluster for s in policy.eval_sets},
        deciding=deciding, guarded=frozenset(guarded),
        selected_from=dict.fromkeys(selection.tasks, selection.checkpoints) if selection else {},
        prices={role: policy.models[role].price for role in policy.roles if policy.models[role].price.is_known},
    )  # fmt: skip


def to_estimate(limits: Limits | NoLimits, *, method: str | None = None) -> Estimate:
    """Limits as an `Estimate`; without limits where there are none.

    Raises:
        ValueError: There is not even a value.
    """
    if isinstance(limits, NoLimits):
        if limits.value is None:
            raise ValueError(f"no value: {limits.why}")
        return Estimate(value=limits.value, n=limits.n, method=f"no interval: {limits.why}")
    return Estimate(
        value=limits.value, lower=limits.lower, upper=limits.upper, level=limits.level,
        n=limits.n, method=method or limits.method,
    )  # fmt: skip
