"""Somebody takes the responsibility for a rule that did not pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date

    from ftgate_ext.policy import Approval
    from ftgate_ext.schema import RuleResult


def approve(found: RuleResult, approvals: list[Approval], today: date) -> RuleResult:
    """A whole rule that somebody took the responsibility for passes, and says so."""
    if found.outcome == "PASS":
        return found
    for approval in approvals:
        if approval.rule == found.name and not approval.cases and approval.until >= today:
            note = f"{found.outcome} approved by {approval.by} until {approval.until}: {approval.reason}"
            return found.model_copy(update={"outcome": "PASS", "approved": note})
    return found
