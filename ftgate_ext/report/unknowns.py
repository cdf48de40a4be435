"""What is not known: open rules, models and measurements that are missing. For the first page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.report.figures import counted, end_sentence, listed
from ftgate_ext.report.models import find_operations

if TYPE_CHECKING:
    from ftgate_ext.schema import (
        Audit,
        Comparisons,
        Decision,
        Leakage,
        Qualification,
        RunManifest,
    )


def list_unknowns(
    decision: Decision,
    comparisons: Comparisons,
    manifest: RunManifest,
    qualification: Qualification | None,
    audit: Audit | None,
    leakage: Leakage | None,
) -> list[str]:
    """One sentence on each thing that a reader might take for known."""
    return [
        *_open_rules(decision),
        *_run(manifest, comparisons),
        *_models(manifest, comparisons),
        *_judge(qualification),
        *_sets(comparisons),
        *([] if leakage else ["Whether the candidate was trained on eval cases: not checked."]),
        *([] if audit else ["How often this gate is wrong on such data: not simulated."]),
    ]


def _open_rules(decision: Decision) -> list[str]:
    names = [rule.name for rule in decision.rules if rule.outcome == "INCONCLUSIVE"]
    if not names:
        return []
    return [f"Whether {'this holds' if len(names) == 1 else 'these hold'}: {listed(names)}."]


def _run(manifest: RunManifest, comparisons: Comparisons) -> list[str]:
    lines = []
    if manifest.finished_at is None:
        lines.append("What the missing answers would change: the run was not finished.")
    for role in comparisons.roles:
        operations = find_operations(comparisons, role)
        failed = operations.statuses.get("failed", 0) if operations else 0
        if failed:
            lines.append(f"What {role} would have answered to {counted(failed, 'request')} that failed.")  # fmt: skip
    return lines


def _models(manifest: RunManifest, comparisons: Comparisons) -> list[str]:
    absent = [card for card in manifest.models if card.absent]
    lines = [
        f"How it compares with {card.name} ({card.role}), which took no part." for card in absent
    ]
    if comparisons.roles == ["candidate"] or len(comparisons.roles) < 2:
        lines.append("Whether it is better than any other model: no other model was asked.")
    unmeasured = [
        role
        for role in comparisons.roles
        if not (o := find_operations(comparisons, role)) or o.cost_usd_per_request is None
    ]
    if unmeasured:
        lines.append(f"What a request costs at: {listed(unmeasured)}.")
    return lines


def _judge(qualification: Qualification | None) -> list[str]:
    if qualification is None:
        return ["Whose answers people would prefer: no pairs were judged."]
    if qualification.fit:
        return []
    return [f"Whose answers people would prefer: {qualification.judge_model} may not vote."]


def _sets(comparisons: Comparisons) -> list[str]:
    """Eval sets that could not be asked, and a run without any score."""
    lines = [f"{name} was not asked: {end_sentence(why)}" for name, why in comparisons.unavailable.items()]  # fmt: skip
    if not comparisons.levels:
        lines.append("How good any model is: no eval set has a score.")
    return lines
