"""What an audit leaves as it is, in sentences, and its table for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.report.audit import share_of_runs
from ftgate_ext.report.tables import lay_out
from ftgate_ext.report.text import wrap_line
from ftgate_ext.wording import percent

if TYPE_CHECKING:
    from ftgate_ext.audit.needs import Needs, Simulable
    from ftgate_ext.audit.tally import Tally
    from ftgate_ext.audit.world import World
    from ftgate_ext.policy import Policy
    from ftgate_ext.policy_rules import PlainRule
    from ftgate_ext.schema import Audit, AuditScenario

COLUMNS = 100
NAMED = 3
NEVER = 0.95
HELD = "if the other rules held"
"""Ends the name of every row that leaves out the rules that are not simulated."""


def notes_of(
    policy: Policy, world: World, needs: Needs, simulable: Simulable, resamples: int
) -> list[str]:
    """What was simulated how, and what was not."""
    partner = world.partner
    notes = [
        f"Every simulation draws as many cases as there are, with replacement, and exchanges candidate and {partner} in each of them at random; all scenarios of a simulation share the draw. The shares are about the next eval set of this size."
    ]
    if any(task.clusters for task in world.tasks.values()):
        notes.append("Where cases come in clusters, whole clusters are drawn and exchanged.")
    if resamples < policy.run.resamples:
        notes.append(
            f"Bootstrap limits rest on {resamples:,} resamples in a simulation, {policy.run.resamples:,} in the decision."
        )
    if partner != "production":
        notes.append(f"There is no production model in this run: {partner} takes its place.")
    alone = [name for name, task in world.tasks.items() if not task.is_exchanged]
    if alone:
        notes.append(
            f"{', '.join(alone)}: {partner} was not asked, so the candidate's cases are drawn anew but not exchanged."
        )
    others = [role for role in needs.win_rates if role != partner]
    if others:
        notes.append(
            f"Verdicts against {', '.join(others)} are exchanged with that model itself: nobody judged {partner} against it."
        )
    for name, result in simulable.held.items():
        why = (
            result.sentence
            if name in simulable.evidence_lacks
            else "It rests on scores that are not simulated."
        )
        notes.append(f"Rule {name!r} is {result.outcome} in every simulation, as in the run. {why}")
    if simulable.blocking:
        notes.append(
            f"That dominates every verdict: the rows {HELD!r} count the simulated rules alone."
        )
    whole = [a.rule for a in policy.approvals if not a.cases]
    if whole:
        notes.append(
            f"Approved as whole rules, so that they pass wherever they would not: {', '.join(dict.fromkeys(whole))}."
        )
    return notes


def never_passed(improved: Tally, rules: list[PlainRule]) -> list[str]:
    """A note on rules that hardly ever pass even where the candidate is better and nothing is worse."""
    blocked = [
        repr(rule.name) for rule in rules
        if improved.failed[rule.name] >= NEVER * improved.simulations
    ]  # fmt: skip
    if not blocked:
        return []
    return [
        f"{', '.join(blocked)}: fails even in a clear improvement in which nothing got worse. On these data another model that is as good as production can hardly pass; mend the rule or the eval set before reading the verdicts."
    ]


def audit_table(audit: Audit) -> str:
    """The audit for a terminal: the verdicts of every scenario, then what was true in it."""
    numbered = {s.name: f"{i} {s.name}" for i, s in enumerate(_all_rules(audit), start=1)}
    held = [s for s in audit.scenarios if s.name.endswith(HELD)]
    names = {s.name: numbered[s.name.removesuffix(f", {HELD}")] for s in held}
    lines = [
        f"{audit.scenarios[0].simulations:,} simulations of this run with known truths; \u00b1 is the 95 % Monte-Carlo error.",
        "", *_verdicts(_all_rules(audit), numbered),
    ]  # fmt: skip
    if held:
        lines += ["", f"{HELD.capitalize()}:", "", *_verdicts(held, names)]
    for s in _all_rules(audit):
        lines += ["", *wrap_line(numbered[s.name], COLUMNS), *_indented(f"True: {s.planted}")]
        lines += _behind(s)
    return "\n".join([*lines, "", *map(_note, audit.notes)])


def _all_rules(audit: Audit) -> list[AuditScenario]:
    return [s for s in audit.scenarios if not s.name.endswith(HELD)]


def _verdicts(scenarios: list[AuditScenario], names: dict[str, str]) -> list[str]:
    rows = [
        [names[s.name], *(share_of_runs(k, s.simulations) for k in (s.go, s.no_go, s.inconclusive))]
        for s in scenarios
    ]
    columns = ["Scenario", "GO", "NO-GO", "INCONCLUSIVE"]
    return lay_out(columns, rows, flexible=(0,), right=(1, 2, 3))


def _behind(scenario: AuditScenario) -> list[str]:
    """Which rules stood in the way, the most frequent ones first."""
    lines = _own_rule(scenario)
    for word, counts in (("Fails", scenario.failed_rules), ("Open", scenario.unsettled_rules)):
        most = sorted(counts.items(), key=lambda item: -item[1])[:NAMED]
        named = [f"{name} {percent(count / scenario.simulations)}" for name, count in most]
        lines += _indented(f"{word}: {', '.join(named)}") if named else []
    return lines


def _own_rule(scenario: AuditScenario) -> list[str]:
    """How often the rule that the fault is made for lets it through."""
    rule, colon, _ = scenario.name.rpartition(": ")
    if not colon:
        return []
    n, failed = scenario.simulations, scenario.failed_rules.get(rule, 0)
    caught = failed + scenario.unsettled_rules.get(rule, 0)
    return _indented(
        f"The rule itself: passes {share_of_runs(n - caught, n)}, fails {share_of_runs(failed, n)}"
    )


def _indented(text: str, indent: str = "  ") -> list[str]:
    return [f"{indent}{line}" for line in wrap_line(text, COLUMNS - len(indent))]


def _note(text: str) -> str:
    first, *rest = wrap_line(text, COLUMNS - len("Note: "))
    return "\n".join([f"Note: {first}", *(f"      {line}" for line in rest)])
