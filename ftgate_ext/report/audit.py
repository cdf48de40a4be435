"""How often this gate is wrong: simulated verdicts where the truth was planted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Table
from ftgate_ext.report.figures import end_sentence, short_hash
from ftgate_ext.wording import percent

if TYPE_CHECKING:
    from ftgate_ext.schema import Audit, AuditScenario, Decision

Z = 1.96
NAMED_RULES = 3


@dataclass(frozen=True)
class AuditView:
    """What the simulation of the gate says."""

    lines: list[str]
    tables: list[Table]
    notes: list[str]


def view_audit(audit: Audit | None, decision: Decision) -> AuditView:
    """One row a scenario; without an audit the command that makes one."""
    if audit is None:
        absent = "Not simulated for this run: `ftgate audit RUN` plants known truths into its data and counts the verdicts."
        return AuditView([absent], [], [])
    lines = [
        "Truths were planted into this run's data, and the whole policy was asked again and again. Each share has its 95 % Monte-Carlo error. A good gate ships the better model and stops the worse one."
    ]
    stale = []
    if audit.policy_hash != decision.policy_hash:
        stale.append(
            f"The simulation used another policy ({short_hash(audit.policy_hash)}) than this decision ({short_hash(decision.policy_hash)}): run `ftgate audit RUN` again."
        )
    notes = [*stale, *map(end_sentence, audit.notes), f"Seed {audit.seed}, {audit.resamples:,} resamples."]  # fmt: skip
    return AuditView(lines, [_verdicts(audit.scenarios), _rules(audit.scenarios)], notes)


def _verdicts(scenarios: list[AuditScenario]) -> Table:
    return Table(
        caption="Verdicts of this policy where the truth is known",
        columns=["Scenario", "Planted", "GO", "NO-GO", "INCONCLUSIVE", "Simulations"],
        rows=[
            [s.name, s.planted, *(share_of_runs(k, s.simulations) for k in (s.go, s.no_go, s.inconclusive)), f"{s.simulations:,}"]
            for s in scenarios
        ],
        numeric=(2, 3, 4, 5),
    )  # fmt: skip


def _rules(scenarios: list[AuditScenario]) -> Table:
    """Which rules block most often, and which settle nothing."""
    rows = [
        [s.name, _most(s.failed_rules, s.simulations), _most(s.unsettled_rules, s.simulations)]
        for s in scenarios
        if s.failed_rules or s.unsettled_rules
    ]
    columns = ["Scenario", "Rules that failed most often", "Rules that stayed open most often"]
    return Table(caption="What the verdicts came from", columns=columns, rows=rows)


def _most(counts: dict[str, int], of: int) -> str:
    ranked = sorted((item for item in counts.items() if item[1]), key=lambda item: -item[1])
    named = [f"{name}: {share_of_runs(k, of)}" for name, k in ranked[:NAMED_RULES]]
    more = len(ranked) - NAMED_RULES
    return "; ".join(named) + (f"; and {more} more" if more > 0 else "") or "none"


def share_of_runs(k: int, n: int) -> str:
    """'52 % ± 3': a share of simulations in whole percent with its 95 % Monte-Carlo error.

    None or all of `n` gives no error but a limit (Clopper and Pearson, Biometrika 26, 1934).
    """
    if n < 1:
        return "not simulated"
    if k in (0, n):
        limit = math.ceil(100 * (1 - 0.025 ** (1 / n)))
        return f"0 % (at most {limit} %)" if k == 0 else f"100 % (at least {100 - limit} %)"
    share = k / n
    error = max(1, round(100 * Z * math.sqrt(share * (1 - share) / n)))
    written = percent(share)
    return written if "than" in written else f"{written} ± {error}"
