"""A run's files -> everything a report says, as plain strings. The templates only lay it out.

Markdown and HTML are made from the same view: their figures cannot differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftgate_ext.report.advice import plan_next_steps, recommend
from ftgate_ext.report.approvals import view_approvals
from ftgate_ext.report.audit import AuditView, view_audit
from ftgate_ext.report.capability import CapabilityView, view_capability
from ftgate_ext.report.costs import tabulate_break_even, tabulate_costs
from ftgate_ext.report.errors import ErrorView, view_errors
from ftgate_ext.report.first_page import FirstPage, view_first_page
from ftgate_ext.report.judge import JudgeView, view_judge
from ftgate_ext.report.latency import tabulate_latencies
from ftgate_ext.report.leakage import view_leakage
from ftgate_ext.report.models import find_primary, tabulate_models
from ftgate_ext.report.operations import tabulate_bounds, tabulate_ratios
from ftgate_ext.report.quality import tabulate_differences, tabulate_levels
from ftgate_ext.report.readings import Readings, compare_readings
from ftgate_ext.report.robustness import view_robustness
from ftgate_ext.report.rules import RuleView, tabulate_rules, view_rules
from ftgate_ext.report.safety import view_safety
from ftgate_ext.report.sources import find_groups, view_lineage
from ftgate_ext.report.summary import find_key_findings
from ftgate_ext.report.winrates import view_win_rates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.findings.texts import CaseTexts
    from ftgate_ext.report.blocks import KeyFinding, Section, Step, Table
    from ftgate_ext.report.sources import Lineage
    from ftgate_ext.schema import (
        Audit,
        CaseReview,
        Comparisons,
        Decision,
        Findings,
        Leakage,
        Qualification,
        RunManifest,
        TrainLog,
        VerdictName,
    )


@dataclass(frozen=True)
class ReportInput:
    """What a run folder holds when everything has been done but the report."""

    manifest: RunManifest
    comparisons: Comparisons
    findings: Findings
    decision: Decision
    qualification: Qualification | None
    audit: Audit | None = None
    training: TrainLog | None = None
    leakage: Leakage | None = None
    texts: Sequence[CaseTexts] = ()
    """Of the failures most worth looking at, the worst first."""
    reviews: Sequence[CaseReview] = ()
    newness: str | None = None
    """A sentence on what is new against the last green build; None where there is none."""


@dataclass(frozen=True)
class View:
    """The whole report in plain strings."""

    verdict: VerdictName
    exit_code: int
    candidate: str
    policy: str
    first: FirstPage
    key_findings: list[KeyFinding]
    models: Table
    rule_table: Table
    rules: list[RuleView]
    readings: Readings
    audit: AuditView
    levels: list[Table]
    differences: list[Table]
    operations: list[Table]
    win_rates: Section
    judge: JudgeView
    safety: Section
    robustness: Section
    capability: CapabilityView
    errors: ErrorView
    leakage: Section
    lineage: Lineage
    approvals: Section
    recommendations: list[str]
    next_steps: list[Step]


def build_view(material: ReportInput) -> View:
    """Put everything into words."""
    decision, comparisons, manifest = material.decision, material.comparisons, material.manifest
    judge = material.qualification
    candidate = next((m.name for m in manifest.models if m.role == "candidate"), "the candidate")
    primary = find_primary(decision, comparisons)
    rules = view_rules(decision.rules, comparisons)
    groups = find_groups(manifest)
    steps = plan_next_steps(decision, comparisons, manifest, judge)
    return View(
        verdict=decision.verdict,
        exit_code=decision.exit_code,
        candidate=candidate,
        policy=decision.policy_name,
        first=view_first_page(material, candidate, rules, steps),
        key_findings=find_key_findings(comparisons, decision, judge, manifest.models, primary),
        models=tabulate_models(manifest.models, comparisons, primary),
        rule_table=tabulate_rules(decision.rules, comparisons),
        rules=rules,
        readings=compare_readings(decision, comparisons),
        audit=view_audit(material.audit, decision),
        levels=tabulate_levels(comparisons, groups),
        differences=tabulate_differences(comparisons, groups, judge_fit=judge is None or judge.fit),
        operations=_operations(comparisons),
        win_rates=view_win_rates(comparisons, judge),
        judge=view_judge(judge),
        safety=view_safety(comparisons),
        robustness=view_robustness(comparisons),
        capability=view_capability(comparisons, material.training),
        errors=_errors(material),
        leakage=view_leakage(material.leakage),
        lineage=view_lineage(manifest, comparisons),
        approvals=view_approvals(decision, comparisons),
        recommendations=recommend(decision, comparisons, candidate),
        next_steps=steps,
    )


def _operations(comparisons: Comparisons) -> list[Table]:
    """Cost and latency."""
    return [
        *tabulate_bounds(comparisons),
        *tabulate_ratios(comparisons),
        *tabulate_costs(comparisons),
        *tabulate_break_even(comparisons),
        *tabulate_latencies(comparisons),
    ]


def _errors(material: ReportInput) -> ErrorView:
    return view_errors(
        material.findings, material.comparisons, material.decision, material.texts,
        material.reviews, material.newness,
    )  # fmt: skip
