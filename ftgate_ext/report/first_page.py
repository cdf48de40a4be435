"""The first page: what was decided, why, by how much, what is not known, what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftgate_ext.report.advice import begin_with
from ftgate_ext.report.blocks import Fact
from ftgate_ext.report.costs import warn_about_prices
from ftgate_ext.report.latency import warn_about_latency
from ftgate_ext.report.models import find_primary
from ftgate_ext.report.readings import describe_sureness, rests_on_approval
from ftgate_ext.report.rules import ORDER
from ftgate_ext.report.summary import say_by_how_much, summarise_run, write_headline
from ftgate_ext.report.unknowns import list_unknowns

if TYPE_CHECKING:
    from ftgate_ext.report.blocks import Step
    from ftgate_ext.report.rules import RuleView
    from ftgate_ext.report.view import ReportInput


@dataclass(frozen=True)
class FirstPage:
    """For who reads nothing else."""

    headline: str
    deciding: list[RuleView]
    """The rules that do not hold, failures first."""
    holds: list[Fact]
    """What the rules that hold rest on."""
    by_how_much: list[str]
    unknowns: list[str]
    what_next: list[str]
    approved: list[Fact]
    """The rules that hold only by somebody's word."""
    run_facts: list[Fact]
    warnings: list[str]


def view_first_page(
    material: ReportInput, candidate: str, rules: list[RuleView], steps: list[Step]
) -> FirstPage:
    """Put the decision into a page of plain sentences.

    Args:
        material: What the run folder holds.
        candidate: The candidate's name.
        rules: All rules, in words.
        steps: All next steps, in their order.
    """
    decision, comparisons, manifest = material.decision, material.comparisons, material.manifest
    open_rules = [rule for rule in rules if rule.outcome != "PASS"]
    approved = [
        Fact(r.name, r.approved or "") for r in decision.rules if rests_on_approval(r, comparisons)
    ]
    primary = find_primary(decision, comparisons)
    return FirstPage(
        headline=write_headline(decision, candidate, len(approved)),
        deciding=sorted(open_rules, key=lambda rule: ORDER[rule.outcome]),
        holds=describe_sureness(decision, comparisons),
        by_how_much=say_by_how_much(comparisons, material.qualification, primary),
        unknowns=list_unknowns(
            decision,
            comparisons,
            manifest,
            material.qualification,
            material.audit,
            material.leakage,
        ),
        what_next=begin_with(decision, steps, candidate),
        approved=approved,
        run_facts=summarise_run(manifest, decision),
        warnings=[
            *decision.warnings,
            *warn_about_prices(comparisons, manifest),
            *warn_about_latency(comparisons),
        ],
    )
