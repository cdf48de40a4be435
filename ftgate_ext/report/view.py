"""A run's files -> everything a report says, as plain strings. The templates only lay it out.

Markdown and HTML are made from the same view: their figures cannot differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftgate_ext.report.advice import begin_with, plan_next_steps, recommend
from ftgate_ext.report.audit import AuditView, view_audit
from ftgate_ext.report.blocks import Fact
from ftgate_ext.report.failures import TaskFailures, view_failures
from ftgate_ext.report.models import find_primary, tabulate_models
from ftgate_ext.report.operations import tabulate_bounds, tabulate_ratios
from ftgate_ext.report.quality import tabulate_differences, tabulate_levels
from ftgate_ext.report.readings import (
    Readings,
    compare_readings,
    describe_sureness,
    rests_on_approval,
)
from ftgate_ext.report.rules import ORDER, RuleView, tabulate_rules, view_rules
from ftgate_ext.report.sources import (
    describe_judge,
    describe_run,
    find_groups,
    tabulate_eval_sets,
    tabulate_files,
    tabulate_served,
)
from ftgate_ext.report.summary import find_key_findings, summarise_run, write_headline

if TYPE_CHECKING:
    from ftgate_ext.report.blocks import KeyFinding, Step, Table
    from ftgate_ext.schema import (
        Audit,
        Comparisons,
        Decision,
        Findings,
        Qualification,
        RunManifest,
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


@dataclass(frozen=True)
class View:
    """The whole report in plain strings."""

    verdict: VerdictName
    exit_code: int
    candidate: str
    policy: str
    headline: str
    run_facts: list[Fact]
    deciding: list[RuleView]
    what_next: list[str]
    approved: list[Fact]
    warnings: list[str]
    key_findings: list[KeyFinding]
    models: Table
    rule_table: Table
    rules: list[RuleView]
    readings: Readings
    audit: AuditView
    levels: list[Table]
    differences: list[Table]
    operations: list[Table]
    judge: list[Fact]
    failures: list[TaskFailures]
    evidence: list[Fact]
    eval_sets: Table
    served: Table
    files: Table
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
    approved = _approved(decision, comparisons)
    return View(
        verdict=decision.verdict,
        exit_code=decision.exit_code,
        candidate=candidate,
        policy=decision.policy_name,
        headline=write_headline(decision, candidate, len(approved)),
        run_facts=[*describe_sureness(decision, comparisons), *summarise_run(manifest, decision)],
        deciding=_deciding(rules),
        what_next=begin_with(decision, steps, candidate),
        approved=approved,
        warnings=decision.warnings,
        key_findings=find_key_findings(comparisons, decision, judge, manifest.models, primary),
        models=tabulate_models(manifest.models, comparisons, primary),
        rule_table=tabulate_rules(decision.rules, comparisons),
        rules=rules,
        readings=compare_readings(decision, comparisons),
        audit=view_audit(material.audit, decision),
        levels=tabulate_levels(comparisons, groups),
        differences=tabulate_differences(comparisons, groups, judge_fit=judge is None or judge.fit),
        operations=[*tabulate_bounds(comparisons), *tabulate_ratios(comparisons)],
        judge=describe_judge(judge),
        failures=view_failures(material.findings, comparisons),
        evidence=describe_run(manifest, comparisons),
        eval_sets=tabulate_eval_sets(manifest),
        served=tabulate_served(manifest),
        files=tabulate_files(comparisons),
        recommendations=recommend(decision, comparisons, candidate),
        next_steps=steps,
    )


def _approved(decision: Decision, comparisons: Comparisons) -> list[Fact]:
    """The rules that hold only by somebody's word."""
    return [
        Fact(r.name, r.approved or "") for r in decision.rules if rests_on_approval(r, comparisons)
    ]


def _deciding(rules: list[RuleView]) -> list[RuleView]:
    """The rules that do not hold, failures first."""
    open_rules = [rule for rule in rules if rule.outcome != "PASS"]
    return sorted(open_rules, key=lambda rule: ORDER[rule.outcome])
