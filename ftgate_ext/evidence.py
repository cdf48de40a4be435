"""What rules may look at, when it is unusable, and how the levels of evidence weigh it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from ftgate_ext.schema import UNSCORED_STATUSES
from ftgate_ext.stats.planning import cases_to_settle

if TYPE_CHECKING:
    from ftgate_ext.policy_rules import EvidenceLevel
    from ftgate_ext.schema import (
        Comparison,
        Comparisons,
        Level,
        OperationRatio,
        Operations,
        Outcome,
        Qualification,
    )

ALPHA = 0.05
POWER = 0.8
ROUNDING = 1e-12
"""0.55 - 0.5 is a little more than 0.05: figures that differ by less than this are equal."""
ASK_AGAIN = "run the same command again: it asks only what is missing"
JUDGED = ("win_rate", "rubric", "mtbench_score")
"""Metrics that a judge made, by how their names begin."""


@dataclass(frozen=True)
class Evidence:
    """All that rules may look at."""

    comparisons: Comparisons
    qualification: Qualification | None
    max_failed_share: float
    is_paid_by_hour: bool = False
    """Whether the candidate's cost is a share of a machine's hour."""

    def comparison(self, task: str | None, metric: str, against: str) -> Comparison | None:
        """The comparison with `against`; any task where `task` is None.

        Against the candidate itself: its answers to perturbed cases.
        """
        found = (
            self.comparisons.comparisons if against != "candidate" else self.comparisons.perturbed
        )
        return next(
            (c for c in found if c.candidate == "candidate" and c.metric == metric and c.baseline == against and task in (None, c.task)),
            None,
        )  # fmt: skip

    def level(self, task: str, metric: str) -> Level | None:
        """The candidate's own figure."""
        key = (task, metric, "candidate")
        return next((x for x in self.comparisons.levels if (x.task, x.metric, x.role) == key), None)

    def operations(self, role: str = "candidate") -> Operations | None:
        """What all requests to a model took."""
        return next(
            (o for o in self.comparisons.operations if (o.role, o.task) == (role, "*")), None
        )

    def ratio(self, quantity: str, against: str) -> OperationRatio | None:
        """Cost or latency as a multiple of another model's."""
        key = (quantity, against)
        return next((r for r in self.comparisons.ratios if (r.quantity, r.baseline) == key), None)


@dataclass(frozen=True)
class Problem:
    """Why evidence may not decide, and what to do about it."""

    why: str
    next_step: str


def find_problem(evidence: Evidence, task: str | None, metric: str, against: str) -> Problem | None:
    """Why a comparison may not decide; None where it may."""
    comparison = evidence.comparison(task, metric, against)
    problem = not_at_hand(evidence, task) if comparison is None else None
    if problem is None and metric.startswith(JUDGED):
        problem = judge_problem(evidence)
    if problem:
        return problem
    if comparison is None:
        return _not_made(evidence, task, metric, against)
    if comparison.unavailable:
        return Problem(comparison.unavailable, "see the run's responses.jsonl for what went wrong")
    repeated = comparison.n_pairs * comparison.repeats
    if comparison.n_failed_repeats > evidence.max_failed_share * repeated:
        return Problem(
            f"{comparison.n_failed_repeats} of {repeated} repeats ({comparison.n_failed_repeats / repeated:.1%}) have no answer, above the error budget of {evidence.max_failed_share:.1%}",
            ASK_AGAIN,
        )
    missing = comparison.n_excluded + comparison.n_unpaired
    asked = comparison.n_pairs + missing
    if missing > evidence.max_failed_share * asked:
        what = "have no answer" if not comparison.n_unpaired else "lack an answer of one model"
        return Problem(
            f"{missing} of {asked} cases ({missing / asked:.1%}) {what}, above the error budget of {evidence.max_failed_share:.1%}",
            ASK_AGAIN,
        )
    return None


def requests_problem(evidence: Evidence, *roles: str) -> Problem | None:
    """Why cost and latency may not decide: too many requests without an answer were not measured."""
    for role in roles:
        operations = evidence.operations(role)
        if operations is None:
            continue
        asked = operations.n_requests + operations.n_without_response
        if asked and not operations.n_requests:
            return Problem(
                f"cost and latency of {role} were not measured: a backend of lm-eval other than ftgate-chat, or a bare lm_eval, says nothing of them",
                f"serve {role} and ask it by its `endpoint`, or leave rules on cost and latency out",
            )
        missing = operations.n_without_response
        missing += sum(n for s, n in operations.statuses.items() if s in UNSCORED_STATUSES)
        if missing > evidence.max_failed_share * asked:
            return Problem(
                f"{missing} of {asked} requests to {role} ({missing / asked:.1%}) were not measured, above the error budget of {evidence.max_failed_share:.1%}",
                ASK_AGAIN,
            )
    return None


def latency_problem(evidence: Evidence, quantity: str, *roles: str) -> Problem | None:
    """Why interleaved latencies may not decide: too many of the requests have no answer."""
    if not quantity.startswith("latency"):
        return None
    for role in roles:
        operations = evidence.operations(role)
        if operations is None or operations.latency_from != "interleaved":
            continue
        missing = operations.n_latency_failed
        asked = (operations.n_latency or 0) + missing
        if missing > evidence.max_failed_share * asked:
            return Problem(
                f"{missing} of {asked} interleaved requests to {role} ({missing / asked:.1%}) have no answer, above the error budget of {evidence.max_failed_share:.1%}",
                "run `ftgate run --latency` again: it asks only what is missing",
            )
    return None


def _not_made(evidence: Evidence, task: str | None, metric: str, against: str) -> Problem:
    found = evidence.comparisons.comparisons
    if against == "candidate":
        found = evidence.comparisons.perturbed
    made = [c.metric for c in found if (c.task, c.baseline) == (task, against)]
    if made:
        return Problem(
            f"{task} has no metric {metric!r}; it has {', '.join(made)}",
            "mend the rule's `metric` in the policy",
        )
    return Problem(
        "this comparison was not made", "run the models and eval sets that the rule names"
    )


def not_at_hand(evidence: Evidence, task: str | None) -> Problem | None:
    """That nothing of an eval set could be asked, and why; None where it was."""
    why = evidence.comparisons.unavailable.get(task or "")
    if why is None:
        return None
    return Problem(why.rstrip("."), "mend that, then run the same command again")


def judge_problem(evidence: Evidence) -> Problem | None:
    """Why the judge may not vote; None where it may."""
    judge = evidence.qualification
    if judge is None:
        return Problem("no pairs were judged", "run `ftgate judge`")
    if not judge.fit:
        return Problem(
            f"the judge {judge.judge_model} is not fit to vote: {judge.reasons[0].rstrip('.')}",
            "Name another judge in the policy and run `ftgate judge` again.",
        )
    return None


@dataclass(frozen=True)
class Effect:
    """A figure against its threshold, turned so that bigger is better."""

    value: float
    low: float | None
    """One-sided lower limit; None where there is none."""
    high: float | None
    threshold: float
    n: int
    alpha: float = ALPHA
    """Test level of the limits."""
    is_significant: bool | None = None
    """Whether the stated test rejects "no difference" in the right direction; None: no test."""
    is_strict: bool = True
    """Whether a limit must lie above the threshold, not on it."""
    is_difference: bool = True
    """Whether 0 stands for a model that differs in nothing; not so for thresholds and ratios."""
    error_if_unchanged: float | None = None
    """Standard error if the two models did not differ, where it is known better than by limits."""
    step: float = 0.0
    """Pass/fail figures come in steps of one case; 0 for figures that take any value."""

    @property
    def is_met(self) -> bool:
        """Whether the bare figure reaches the threshold."""
        return self.value >= self.threshold - ROUNDING

    @property
    def standard_error(self) -> float | None:
        """As the limits imply it, on the side of the threshold."""
        end = self.low if self.value >= self.threshold else self.high
        if end is None or end == self.value:
            return None
        return abs(self.value - end) / NormalDist().inv_cdf(1 - self.alpha)


def weigh(level: EvidenceLevel, effect: Effect) -> Outcome:
    """The levels of evidence (module `policy_rules` says what each asks)."""
    if level == "point":
        return "PASS" if effect.is_met else "FAIL"
    if effect.high is not None and effect.high < effect.threshold:
        return "FAIL"
    if effect.low is None or effect.high is None:
        return "INCONCLUSIVE"
    if level == "screen":
        return "PASS"
    if level == "significant":
        shown = effect.is_significant is not False
        return "PASS" if effect.is_met and shown else "INCONCLUSIVE"
    return "PASS" if is_cleared(effect) else "INCONCLUSIVE"


def is_cleared(effect: Effect) -> bool:
    """Whether the lower limit lies on the right side of the threshold."""
    if effect.low is None:
        return False
    return effect.low > effect.threshold or (
        not effect.is_strict and effect.low == effect.threshold
    )


def point_reading(effect: Effect) -> Outcome:
    """What the bare figure says."""
    return "PASS" if effect.is_met else "FAIL"


def chance_unchanged_passes(effect: Effect) -> float | None:
    """How often the bare figure of a model that differs in nothing would reach the threshold.

    By the normal distribution, at half a step below the first figure that reaches it. None for
    thresholds and ratios, where there is no such model, and where nothing is known of the figure's
    spread.
    """
    error = effect.error_if_unchanged or effect.standard_error
    if error is None or not effect.is_difference:
        return None
    least = effect.threshold
    if effect.step:
        least = (math.ceil(least / effect.step - ROUNDING * effect.n) - 0.5) * effect.step
    return 1 - NormalDist().cdf(least / error)


def cases_needed(level: EvidenceLevel, effect: Effect) -> int | None:
    """How many cases in all would probably settle an open rule, if the figure stays where it is.

    N = n ((z_alpha + z_0.8) / z_observed)^2. None where more cases are unlikely to help.
    """
    error = effect.standard_error
    if error is None:
        return None
    if level == "significant" and effect.is_significant is False:
        if not effect.is_met:
            return None
        return cases_to_settle(effect.n, effect.value / error, effect.alpha / 2)
    return cases_to_settle(effect.n, (effect.value - effect.threshold) / error, effect.alpha)


def cases_for_unchanged(effect: Effect) -> int | None:
    """How many cases would prove the threshold with power 0.8 if nothing has changed at all."""
    error = effect.error_if_unchanged or effect.standard_error
    if error is None or effect.threshold >= 0 or not effect.is_difference:
        return None
    normal = NormalDist()
    z = normal.inv_cdf(1 - effect.alpha) + normal.inv_cdf(POWER)
    return math.ceil(effect.n * (z * error / effect.threshold) ** 2)
