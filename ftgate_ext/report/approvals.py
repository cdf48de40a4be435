"""Everything that somebody took the responsibility for, whether the verdict needed it or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Section, Table
from ftgate_ext.report.readings import rests_on_approval

if TYPE_CHECKING:
    from ftgate_ext.schema import Comparisons, Decision, RuleResult


def view_approvals(decision: Decision, comparisons: Comparisons) -> Section:
    """Every approval of the decision, those of rules inside rules too."""
    approved = [rule for rule in _with_parts(decision.rules) if rule.approved]
    if not approved:
        return Section(["Nobody approved anything: no outcome rests on somebody's word."])
    table = Table(
        caption="Approvals",
        columns=["Rule", "Outcome", "Approval", "Does the outcome rest on it?"],
        rows=[
            [
                rule.name,
                rule.outcome,
                rule.approved or "",
                "yes" if rests_on_approval(rule, comparisons) else "no",
            ]
            for rule in approved
        ],
        outcomes=(1,),
    )
    return Section(tables=[table])


def _with_parts(rules: list[RuleResult]) -> list[RuleResult]:
    return [inner for rule in rules for inner in (rule, *_with_parts(rule.parts))]
