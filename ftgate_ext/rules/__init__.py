"""One rule and the evidence -> its result, in words. Pure, like the decision that calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftgate_ext.policy_rules import (
    AnyRoute,
    Budget,
    Ceiling,
    Floor,
    NonInferiority,
    NoRegression,
    PerBucket,
    PooledNonInferiority,
    Ratio,
    Rule,
    Superiority,
    WinRate,
)
from ftgate_ext.rules.approvals import approve
from ftgate_ext.rules.cases import apply_no_regression, apply_per_bucket
from ftgate_ext.rules.difference import (
    apply_non_inferiority,
    apply_pooled,
    apply_superiority,
    apply_win_rate,
)
from ftgate_ext.rules.measured import apply_budget, apply_ratio
from ftgate_ext.rules.routes import join_routes
from ftgate_ext.rules.threshold import apply_threshold

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from ftgate_ext.evidence import Evidence
    from ftgate_ext.policy import Approval
    from ftgate_ext.schema import RuleResult


APPLY: dict[type, Callable[[Any, Evidence], RuleResult]] = {
    Superiority: apply_superiority,
    NonInferiority: apply_non_inferiority,
    PooledNonInferiority: apply_pooled,
    PerBucket: apply_per_bucket,
    WinRate: apply_win_rate,
    Floor: apply_threshold,
    Ceiling: apply_threshold,
    Budget: apply_budget,
    Ratio: apply_ratio,
}


def apply_rule(
    rule: Rule, evidence: Evidence, approvals: list[Approval], today: date
) -> RuleResult:
    """Decide one rule; evidence that is missing makes it INCONCLUSIVE.

    Args:
        rule: Of any kind.
        evidence: Comparisons and the judge's qualification.
        approvals: Of single cases and of whole rules; those that ended before `today` do not count.
        today: The day of the decision.
    """
    if isinstance(rule, AnyRoute):
        routes = [[apply_rule(r, evidence, approvals, today) for r in x.rules] for x in rule.routes]
        found = join_routes(rule, routes)
    elif isinstance(rule, NoRegression):
        found = apply_no_regression(rule, evidence, approvals, today)
    else:
        found = APPLY[type(rule)](rule, evidence)
    return approve(found, approvals, today)
