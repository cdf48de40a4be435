"""A rule's threshold, its evidence and an assumed spread -> chances to pass. Knows no sets, no files.

Pass/fail is summed exactly over all tables; everything else is normal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from ftgate_ext.plan.planned import PlannedRule
from ftgate_ext.stats.paired_power import (
    chance_of_inferiority,
    point_rule_pass_rate,
    power_of_mcnemar_mid_p,
    power_of_non_inferiority,
)
from ftgate_ext.stats.planning import mde_from_standard_error
from ftgate_ext.stats.power import mde_mcnemar, mde_win_rate

if TYPE_CHECKING:
    from ftgate_ext.plan.assumptions import Spread
    from ftgate_ext.policy_rules import EvidenceLevel, PlainRule
    from ftgate_ext.settings import Alphas

NORMAL = NormalDist()
POWER = 0.8
MOST_CASES = 10**9
"""More are as good as none."""
ROUNDS = 60


@dataclass(frozen=True)
class Claim:
    """That a difference, turned so that bigger is better, reaches a threshold."""

    spread: Spread
    n: int
    n_effective: float
    """Independent cases that carry as much."""
    threshold: float
    evidence: EvidenceLevel
    alphas: Alphas

    @property
    def is_exact(self) -> bool:
        """Whether all tables of gains and losses can be summed over."""
        alone = self.n_effective == self.n
        return self.spread.kind == "binary" and self.spread.sd is None and alone

    def chance(self, effect: float) -> float:
        """Chance that the rule passes where this is the true effect."""
        if self.is_exact:
            return self._exact_chance(effect)
        error = self.spread.standard_error(self.n_effective, effect)
        if error == 0:
            return float(effect >= self.threshold)
        return NORMAL.cdf((effect - self._least_estimate(error)) / error)

    def _least_estimate(self, error: float) -> float:
        """The smallest observed difference with which the rule passes."""
        one_sided = NORMAL.inv_cdf(1 - self.alphas.one_sided) * error
        if self.evidence == "proven":
            return self.threshold + one_sided
        if self.evidence == "screen":
            return self.threshold - one_sided
        if self.evidence == "significant":
            return max(self.threshold, NORMAL.inv_cdf(1 - self.alphas.two_sided / 2) * error)
        return self.threshold

    def _exact_chance(self, effect: float) -> float:
        n, threshold, alpha = self.n, self.threshold, self.alphas.one_sided
        share = min(1.0, max(self.spread.discordance, abs(effect)))
        if self.evidence == "point":
            return point_rule_pass_rate(n, share, effect, threshold)
        if self.evidence == "significant":
            met = point_rule_pass_rate(n, share, effect, threshold)
            return min(met, self._chance_significantly_better(share, effect))
        # A gain to be shown is a loss to be excluded with the two models exchanged.
        if self.evidence == "proven":
            if threshold <= 0:
                return power_of_non_inferiority(n, -threshold, share, effect, alpha)
            return chance_of_inferiority(n, threshold, share, -effect, alpha)
        if threshold <= 0:
            return 1 - chance_of_inferiority(n, -threshold, share, effect, alpha)
        return 1 - power_of_non_inferiority(n, threshold, share, -effect, alpha)

    def _chance_significantly_better(self, share: float, effect: float) -> float:
        alpha = self.alphas.two_sided
        error = math.sqrt((share - effect * effect) / self.n)
        z = NORMAL.inv_cdf(1 - alpha / 2)
        if effect < 0:
            return NORMAL.cdf(effect / error - z) if error else 0.0
        either = power_of_mcnemar_mid_p(self.n, share, effect, alpha)
        if effect == 0:
            return either / 2
        return max(0.0, either - (NORMAL.cdf(-effect / error - z) if error else 0.0))

    @property
    def mde(self) -> float | None:
        """Smallest true difference seen at 80 % power, two-sided; None: more than there can be."""
        alpha = self.alphas.two_sided
        if self.spread.sd is not None:
            error = self.spread.standard_error(self.n_effective)
            return mde_from_standard_error(error, alpha)
        if self.spread.kind == "win_rate":
            return mde_win_rate(self.n_effective, 1 - self.spread.discordance, alpha)
        found = mde_mcnemar(self.n_effective, self.spread.discordance, alpha)
        return found if found is not None else _mde_one_way(self.n_effective, alpha)

    def n_for(self, effect: float, *, as_proven: bool = False) -> int | None:
        """Cases with which the rule passes at this true effect in 80 of 100 runs.

        Normal approximation, in units of the standard error: the effect must be ahead of whatever
        the evidence asks for by z_0.8. None where no number of cases does that.
        """
        power = NORMAL.inv_cdf(POWER)
        one_sided = NORMAL.inv_cdf(1 - self.alphas.one_sided)
        two_sided = NORMAL.inv_cdf(1 - self.alphas.two_sided / 2)
        evidence = "proven" if as_proven else self.evidence
        ahead = effect - self.threshold
        wanted = {
            "proven": [(ahead, one_sided + power)],
            "significant": [(effect, two_sided + power), (ahead, power)],
            "screen": [(ahead, power - one_sided)],
            "point": [(ahead, power)],
        }[evidence]
        sd = self.spread.standard_error(1, effect) * math.sqrt(self.n / self.n_effective)
        needed = 1.0
        for distance, errors in wanted:
            if errors <= 0 <= distance:
                continue
            if distance <= 0:
                return None
            needed = max(needed, (errors * sd / distance) ** 2)
        return math.ceil(needed) if needed < MOST_CASES else None

    @property
    def smallest_margin(self) -> float:
        """The allowance that so many cases prove for an unchanged model in 80 of 100 runs."""
        errors = NORMAL.inv_cdf(1 - self.alphas.one_sided) + NORMAL.inv_cdf(POWER)
        return errors * self.spread.standard_error(self.n_effective)


def _mde_one_way(n: float, alpha: float) -> float | None:
    """As `mde_mcnemar` where more cases must differ than assumed, all of them for the better.

    d sqrt(n) = z_a sqrt(d) + z_b sqrt(d - d^2), by iteration from above.
    """
    z, power = NORMAL.inv_cdf(1 - alpha / 2), NORMAL.inv_cdf(POWER)
    d = min(1.0, (z + power) ** 2 / n)
    for _ in range(ROUNDS):
        d = min(1.0, (z + power * math.sqrt(1 - d)) ** 2 / n)
    return d if d < 1 else None


@dataclass(frozen=True)
class Scenarios:
    """True effects at which a rule is asked for its chance to pass."""

    equal: float | None
    at_limit: float
    worse: float | None
    good: float | None


def blank_of(rule: PlainRule, **fields: Any) -> PlannedRule:
    """Name, kind and evidence of a rule, and what is known besides."""
    origin = {"task": getattr(rule, "task", None), "metric": getattr(rule, "metric", None)}
    return PlannedRule(name=rule.name, kind=rule.kind, evidence=rule.evidence, **origin | fields)


def fill(blank: PlannedRule, claim: Claim, scenarios: Scenarios) -> PlannedRule:
    """A rule with its chances, what it sees, and the size that would do."""
    as_proven = claim.evidence in ("point", "screen")
    chances = {
        f"chance_{name}": None if effect is None else as_share(claim.chance(effect))
        for name, effect in vars(scenarios).items()
    }
    enough = None
    if scenarios.good is not None:
        enough = claim.n_for(scenarios.good, as_proven=as_proven)
    two_sided = claim.evidence == "significant"
    return blank.model_copy(
        update={
            "n": claim.n, "mde": claim.mde, "asks": abs(claim.threshold) or None,
            "n_enough": enough,
            "alpha": claim.alphas.two_sided if two_sided else claim.alphas.one_sided,
            **chances,
        }
    )  # fmt: skip


def as_share(chance: float) -> float:
    """A sum of chances without the last digit's error."""
    return min(1.0, max(0.0, chance))
