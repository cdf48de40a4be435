"""Comparisons + policy -> Decision. Pure: knows no files, no models, no network.

All rules must hold: GO if all PASS, NO-GO if one FAILs, else INCONCLUSIVE. Evidence that is missing
never passes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.evidence import Evidence
from ftgate_ext.rules import apply_rule
from ftgate_ext.schema import (
    EXIT_CODES,
    Comparisons,
    Decision,
    Outcome,
    Qualification,
    RuleResult,
    VerdictName,
)

if TYPE_CHECKING:
    from datetime import date

    from ftgate_ext.policy import (
        Approval,
        Policy,
    )


def decide(
    policy: Policy,
    comparisons: Comparisons,
    qualification: Qualification | None,
    today: date,
    warnings: list[str] | None = None,
) -> Decision:
    """Apply every rule of the policy.

    Args:
        policy: The rules, and the approvals.
        comparisons: What `compare` found.
        qualification: What `judge` found out about the judge, if there is one.
        today: Approvals that ended before this day do not count.
        warnings: What the reader must know besides.

    Returns:
        The decision, one result a rule in the policy's order.
    """
    evidence = Evidence(comparisons, qualification, policy.run.max_failed_share)
    results = [
        _approve(apply_rule(rule, evidence, policy.approvals, today), policy.approvals, today)
        for rule in policy.rules
    ]
    verdict = _verdict([r.outcome for r in results])
    return Decision(
        run_id=comparisons.run_id, policy_name=policy.name, policy_hash=policy.policy_hash, verdict=verdict,
        exit_code=EXIT_CODES[verdict], rules=results, warnings=(warnings or []) + _doubts(comparisons),
    )  # fmt: skip


def _verdict(outcomes: list[Outcome]) -> VerdictName:
    if "FAIL" in outcomes:
        return "NO-GO"
    return "GO" if outcomes and all(o == "PASS" for o in outcomes) else "INCONCLUSIVE"


def _doubts(comparisons: Comparisons) -> list[str]:
    doubts = []
    for role in comparisons.roles:
        mine = [c for c in comparisons.comparisons if c.baseline == role]
        if any(c.n_prompts_differ for c in mine):
            doubts.append(
                f"Candidate and {role} were not sent the same prompts in some cases; their difference includes that."
            )
        unpaired = {c.task: c.n_unpaired for c in mine if c.n_unpaired}
        doubts += [
            f"{task}: {n} cases were asked of only one of candidate and {role}; they are left out."
            for task, n in unpaired.items()
        ]
    return doubts


def _approve(result: RuleResult, approvals: list[Approval], today: date) -> RuleResult:
    """A whole rule that somebody took the responsibility for passes, and says so."""
    for approval in approvals:
        if (
            approval.rule == result.name
            and not approval.cases
            and approval.until >= today
            and result.outcome != "PASS"
        ):
            note = f"{result.outcome} approved by {approval.by} until {approval.until}: {approval.reason}"
            return result.model_copy(update={"outcome": "PASS", "approved": note})
    return result
