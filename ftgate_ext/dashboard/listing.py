"""Which cases of a run are worth opening: regressed, lost before the judge, failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftgate_ext.dashboard.data import case_key
from ftgate_ext.judge.stage import JUDGMENTS
from ftgate_ext.runs import load_row, load_rows
from ftgate_ext.schema import Findings, Judgment, RunError
from ftgate_ext.winrate import pair_verdicts

if TYPE_CHECKING:
    from pathlib import Path

    from ftgate_ext.history import HistoryEntry

FINDINGS = "findings.json"


@dataclass(frozen=True)
class ListedCase:
    """A case and why it is listed."""

    task: str
    case_id: str
    why: str


def list_cases(entry: HistoryEntry, new: list[str], run_dir: Path) -> list[ListedCase]:
    """The cases of a run to look at, the gravest first, each once.

    Args:
        entry: The run.
        new: Its regressions that are new since the last green build, `task: case id`.
        run_dir: Its folder.
    """
    fresh = set(new)
    regressed = [
        ListedCase(row.task, case, f"regressed against {row.against}" + (", new since the last green build" if f"{row.task}: {case}" in fresh else ""))
        for row in entry.regressions
        for case in row.cases
    ]  # fmt: skip
    regressed.sort(key=lambda c: "new" not in c.why)
    found: dict[str, ListedCase] = {}
    for case in [*regressed, *_lost(run_dir), *_failed(run_dir)]:
        found.setdefault(case_key(entry.folder, case.task, case.case_id), case)
    return list(found.values())


def _lost(run_dir: Path) -> list[ListedCase]:
    """Pairs in which the judge preferred the other answer in both orders."""
    try:
        verdicts = pair_verdicts(load_rows(run_dir / JUDGMENTS, Judgment))
    except RunError:
        return []
    return [
        ListedCase(task, case_id, f"the judge prefers {baseline}")
        for (task, baseline, (_, case_id)), verdict in verdicts.items()
        if verdict == "baseline_better"
    ]


def _failed(run_dir: Path) -> list[ListedCase]:
    """The examples of the candidate's failures in findings.json."""
    try:
        findings = load_row(run_dir / FINDINGS, Findings, "compare").findings
    except RunError:
        return []
    return [
        ListedCase(finding.task, example.case_id, finding.category)
        for finding in findings
        for example in finding.examples
        if example.role == "candidate"
    ]
