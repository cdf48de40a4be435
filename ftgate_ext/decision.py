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
    VerdictName,
)
from ftgate_ext.stats.sequential import crossing_probability
from ftgate_ext.wording import percent

Z_ONE_SIDED = 1.6448536
"""Of a single one-sided test at 5 %."""

if TYPE_CHECKING:
    from datetime import date

    from ftgate_ext.policy import Policy


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
    evidence = Evidence(
        comparisons, qualification, policy.run.max_failed_share,
        is_paid_by_hour=policy.models["candidate"].price.hourly_usd is not None,
    )  # fmt: skip
    results = [apply_rule(rule, evidence, policy.approvals, today) for rule in policy.rules]
    verdict = _verdict([r.outcome for r in results])
    return Decision(
        run_id=comparisons.run_id, policy_name=policy.name, policy_hash=policy.policy_hash, verdict=verdict,
        exit_code=EXIT_CODES[verdict], point_verdict=_verdict([r.point_outcome for r in results]), rules=results, warnings=(warnings or []) + _doubts(comparisons),
    )  # fmt: skip


def _verdict(outcomes: list[Outcome | None]) -> VerdictName:
    if "FAIL" in outcomes:
        return "NO-GO"
    return "GO" if outcomes and all(o == "PASS" for o in outcomes) else "INCONCLUSIVE"


def _correction_notes(comparisons: Comparisons) -> list[str]:
    notes = []
    look = comparisons.look
    if look and look.planned:
        notes.append(
            f"Look {look.number} of {look.planned} planned ones at growing data ({look.boundary} boundary): limits are wider than for a single look."
        )
    elif look and look.number > 1:
        rate = float(crossing_probability([Z_ONE_SIDED] * look.number).sum())
        notes.append(
            f"This is look {look.number} at growing data and none were planned: the chance of a false pass is about {percent(rate)} a rule, not 5 %. Plan looks in the policy (`looks`)."
        )
    for task, checkpoints in comparisons.selected_from.items():
        notes.append(
            f"{task}: the candidate is the best of {checkpoints} checkpoints on this very set; its limits are corrected for that (0.05 / {checkpoints})."
        )
    return notes


def _doubts(comparisons: Comparisons) -> list[str]:
    doubts = _correction_notes(comparisons)
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
