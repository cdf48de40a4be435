"""An effect and the level of evidence -> a rule's result with its sentence and the next step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftgate_ext.evidence import (
    Effect,
    Problem,
    cases_for_unchanged,
    cases_needed,
    chance_unchanged_passes,
    point_reading,
    weigh,
)
from ftgate_ext.schema import Outcome, RuleResult
from ftgate_ext.wording import DECLARED, percent

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftgate_ext.policy_rules import PlainRule

OUT_OF_REACH = 100
"""More cases than so many times what there is are not worth proposing."""


def cannot_decide(rule: PlainRule, asked: str, problem: Problem) -> RuleResult:
    """The result of a rule without usable evidence."""
    return RuleResult(
        name=rule.name, kind=rule.kind, evidence=rule.evidence, outcome="INCONCLUSIVE", asked=asked,
        seen="no evidence", sentence=f"Cannot be decided: {problem.why}.", next_step=problem.next_step,
        task=getattr(rule, "task", None), metric=getattr(rule, "metric", None),
        against=getattr(rule, "against", None),
    )  # fmt: skip


@dataclass(frozen=True)
class Words:
    """How one kind of rule speaks."""

    asked: str
    opening: str
    """What was seen, before the colon."""
    endings: dict[Outcome, str]
    write: Callable[[float], str]
    """A figure as it was measured, in words."""
    unit: str = "cases"
    is_negated: bool = False
    """Whether the effect is the negative of what was measured, because less is better."""

    def written(self, value: float) -> str:
        """A value of the effect as it was measured."""
        return self.write(0.0 - value if self.is_negated else value)


def judge_effect(
    rule: PlainRule, effect: Effect, words: Words, *, no_interval: str | None = None, **fields: Any
) -> RuleResult:
    """Weigh an effect and say what follows.

    Args:
        rule: For its name, kind and evidence level.
        effect: Oriented so that bigger is better.
        words: How to say it.
        no_interval: Why there are no limits, where there are none.
        fields: Of the result, besides: task, metric, against, estimate, mde.
    """
    outcome = weigh(rule.evidence, effect)
    ending = words.endings[outcome]
    if outcome == "INCONCLUSIVE" and (effect.low is None or effect.high is None):
        ending = f"no limits can be given ({no_interval or 'no interval'})"
    needed = cases_needed(rule.evidence, effect) if outcome == "INCONCLUSIVE" else None
    chance = chance_unchanged_passes(effect)
    if rule.evidence == "point" and chance is not None:
        ending += f"; this point rule passes a model that differs in nothing {percent(chance)} of the time"
    around = f"{DECLARED}: no interval" if no_interval == DECLARED else limits(effect, words)
    return RuleResult(
        name=rule.name, kind=rule.kind, evidence=rule.evidence, outcome=outcome, asked=words.asked,
        seen=f"{words.written(effect.value)} ({around}), n={effect.n}",
        sentence=f"{words.opening} ({around}, n = {effect.n}): {ending}.",
        next_step=next_step(outcome, rule, effect, words, needed),
        lower_one_sided=effect.low, upper_one_sided=effect.high, threshold=effect.threshold,
        level=1 - effect.alpha, point_outcome=point_reading(effect), chance_unchanged_passes=chance,
        cases_needed=needed, **fields,
    )  # fmt: skip


def limits(effect: Effect, words: Words) -> str:
    """'90 % CI -1.2 pt to +3.0 pt': the two one-sided limits make an interval of that level."""
    if effect.low is None and effect.high is None:
        return "no interval"
    level = f"{100 * (1 - 2 * effect.alpha):.3g} % CI"
    low, high = (None if end is None else words.written(end) for end in (effect.low, effect.high))
    if words.is_negated:
        low, high = high, low
    return f"{level} {low or 'no lower limit'} to {high or 'no upper limit'}"


def next_step(
    outcome: Outcome, rule: PlainRule, effect: Effect, words: Words, needed: int | None
) -> str | None:
    """What to do about a rule that did not pass."""
    if outcome == "PASS":
        return None
    if outcome == "INCONCLUSIVE":
        return _when_open(effect, words, needed)
    look = "Look at the failures of this rule"
    if rule.evidence == "point":
        return f"{look}; as a point rule it asks for no evidence, see `ftgate plan`."
    return f"{look}; more cases will not change it."


def _when_open(effect: Effect, words: Words, needed: int | None) -> str:
    """How many cases would settle it, if any number does."""
    if effect.low is None or effect.high is None:
        return "Add cases, or have the rule approved by name in the policy."
    unchanged = cases_for_unchanged(effect)
    planned = ""
    if unchanged is not None and unchanged > effect.n and unchanged != needed:
        planned = f"; if nothing has changed at all, {unchanged:,} would prove it"
    if needed is None:
        return f"More {words.unit} are unlikely to help: the point estimate is on the wrong side{planned}."
    if needed > OUT_OF_REACH * effect.n:
        return f"More {words.unit} will hardly settle it (over {OUT_OF_REACH} times as many){planned}; approve the rule by name, or set another threshold."
    return f"About {needed:,} {words.unit} in all would settle it if the figure stays where it is{planned}; or have the rule approved by name in the policy."
