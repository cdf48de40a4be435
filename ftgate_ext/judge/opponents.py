"""Policy -> whom the candidate's answers are judged against: nobody is judged for no rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.policy_rules import WinRate, metrics_of, plain_rules

if TYPE_CHECKING:
    from ftgate_ext.policy import Policy
    from ftgate_ext.schema import Role

JUDGED = "rubric"
"""Begins the name of every metric that is a judge's score."""


def needed_opponents(policy: Policy) -> list[Role]:
    """Production always; base and frontier where a rule needs the judge's word on them."""
    if policy.judge is None:
        return []
    needed = {"production"}
    for rule in plain_rules(policy.rules):
        against = getattr(rule, "against", None)
        judged = any(benchmark.metric.startswith(JUDGED) for benchmark in metrics_of(rule))
        if against and (isinstance(rule, WinRate) or judged):
            needed.add(against)
    return [role for role in policy.judge.against if role in needed]
