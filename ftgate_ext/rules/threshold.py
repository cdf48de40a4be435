"""Rules on the candidate's own figure: floors and ceilings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.evidence import (
    ASK_AGAIN,
    JUDGED,
    Effect,
    Evidence,
    Problem,
    is_cleared,
    judge_problem,
    not_at_hand,
)
from ftgate_ext.policy_rules import Ceiling, Floor
from ftgate_ext.rules.outcome import Words, cannot_decide, judge_effect
from ftgate_ext.wording import plain, share

if TYPE_CHECKING:
    from ftgate_ext.schema import Level, RuleResult


def apply_threshold(rule: Floor | Ceiling, evidence: Evidence) -> RuleResult:
    """A metric reaches a threshold, or does not exceed it."""
    is_floor = isinstance(rule, Floor)
    relation = "at least" if is_floor else "at most"
    asked = f"{plain(rule.metric)} {relation} {rule.threshold:.1%}"
    level = evidence.level(rule.task, rule.metric)
    problem = _problem(rule, level, evidence)
    if problem or level is None or level.estimate is None:
        return cannot_decide(rule, asked, problem or Problem("no figure", "run the eval set"))
    value, n = level.estimate.value, level.estimate.n
    low, high, threshold = level.lower_one_sided, level.upper_one_sided, rule.threshold
    if not is_floor:
        value, threshold = -value, -threshold
        low, high = (None if high is None else -high), (None if low is None else -low)
    effect = Effect(
        value, low, high, threshold, n, level.alpha_one_sided, is_strict=False, is_difference=False
    )
    reached = f"{relation} {rule.threshold:.1%}"
    words = Words(
        asked, f"{plain(rule.metric)} {level.estimate.value:.1%}",
        {
            "PASS": _passed(effect, reached),
            "FAIL": f"not {reached}",
            "INCONCLUSIVE": f"{n:,} cases cannot show that it is {reached}",
        },
        share, is_negated=not is_floor,
    )  # fmt: skip
    return judge_effect(
        rule, effect, words, no_interval=level.no_interval, task=rule.task, metric=rule.metric,
        estimate=level.estimate,
    )  # fmt: skip


def _passed(effect: Effect, reached: str) -> str:
    if is_cleared(effect):
        return reached
    if effect.is_met:
        return f"{reached} as a bare figure; {effect.n:,} cases do not prove it"
    return f"not {reached} as a bare figure, but {effect.n:,} cases do not show that"


def _problem(rule: Floor | Ceiling, level: Level | None, evidence: Evidence) -> Problem | None:
    if level is None:
        known = {x.metric for x in evidence.comparisons.levels if x.task == rule.task}
        if known:
            return Problem(
                f"{rule.task} has no metric {rule.metric!r}; it has {', '.join(sorted(known))}",
                "mend the rule's `metric` in the policy",
            )
        if absent := not_at_hand(evidence, rule.task):
            return absent
        return Problem(
            "the candidate was not asked this eval set", "run the eval set that the rule names"
        )
    if level.metric.startswith(JUDGED) and (problem := judge_problem(evidence)):
        return problem
    if level.estimate is None:
        return Problem(
            level.unavailable or "no figure", "see the run's responses.jsonl for what went wrong"
        )
    return _unanswered(level, level.estimate.n, evidence.max_failed_share)


def _unanswered(level: Level, n: int, max_failed_share: float) -> Problem | None:
    """Whether too many requests have no answer."""
    repeated = n * level.repeats
    if level.n_failed_repeats > max_failed_share * repeated:
        return Problem(
            f"{level.n_failed_repeats} of {repeated} repeats have no answer, above the error budget",
            ASK_AGAIN,
        )
    if level.n_unscored > max_failed_share * (n + level.n_unscored):
        return Problem(
            f"{level.n_unscored} cases have no answer, above the error budget",
            ASK_AGAIN,
        )
    return None
