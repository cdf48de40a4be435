"""Run folder -> alerts. An alert holds names and figures, and not a word that a model wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.history import HistoryEntry, last_green, load_history, new_regressions
from ftgate_ext.judge.stage import QUALIFICATION
from ftgate_ext.policy_signals import AlertKind
from ftgate_ext.runs import COMPARISONS, load_manifest, load_row
from ftgate_ext.schema import UNSCORED_STATUSES, Comparisons, Decision, Qualification, Row, RunError
from ftgate_ext.wording import p_value, percent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ftgate_ext.policy import Policy

DECISION = "decision.json"


class Alert(Row):
    """One thing that somebody should know."""

    kind: AlertKind
    run_id: str
    title: str
    items: list[str] = []
    """Names that belong to it: regressed cases, rules."""
    keys: list[str]
    """What makes it the same alert another time: one key an item, or one for all."""


def find_alerts(run_dir: Path, policy: Policy, kinds: list[AlertKind]) -> list[Alert]:
    """What is worth telling about a decided run, told before or not.

    Args:
        run_dir: A run folder with a decision; its neighbours are its history.
        policy: The error budgets.
        kinds: What counts.

    Raises:
        RunError: The run is not decided, or a file of it is broken.
    """
    run_id = load_manifest(run_dir).run_id
    decision = load_row(run_dir / DECISION, Decision, "decide")
    entries = load_history(run_dir.resolve().parent)
    name = run_dir.resolve().name
    mine = next((e for e in entries if e.folder == name), None)
    mine = mine or next((e for e in entries if e.run_id == run_id), None)
    if mine is None:
        raise RunError(f"{run_dir}: cannot be read as a run; `ftgate history` says why.")
    found = [
        *_verdict(entries, mine, decision), *_regressions(entries, mine),
        *_judge_drift(run_dir, run_id), *_budgets(run_dir, run_id, policy),
    ]  # fmt: skip
    return [alert for alert in found if alert.kind in kinds]


def _verdict(
    entries: list[HistoryEntry], mine: HistoryEntry, decision: Decision
) -> Iterator[Alert]:
    """The line was at GO, and is not any more."""
    earlier = [
        e
        for e in entries
        if e.line == mine.line and e.verdict and (e.created_at, e.run_id) < (mine.created_at, mine.run_id)
    ]  # fmt: skip
    if not earlier or earlier[-1].verdict != "GO" or decision.verdict == "GO":
        return
    yield Alert(
        kind="verdict", run_id=mine.run_id,
        title=f"{decision.policy_name}: {decision.verdict}, after GO in run {earlier[-1].run_id}",
        items=[f"{r.outcome} {r.name}" for r in decision.rules if r.outcome != "PASS" and not r.approved],
        keys=[f"verdict {mine.run_id} {decision.verdict}"],
    )  # fmt: skip


def _regressions(entries: list[HistoryEntry], mine: HistoryEntry) -> Iterator[Alert]:
    green = last_green(entries, mine)
    cases = new_regressions(mine, green)
    if not cases:
        return
    since = f"since the last green build {green.run_id}" if green else "and no green build so far"
    plural = "case" if len(cases) == 1 else "cases"
    base = f"regression {mine.line} {green.run_id if green else '-'}"
    yield Alert(
        kind="regression", run_id=mine.run_id, items=cases,
        title=f"{mine.policy_name}: {len(cases)} regressed {plural} {since}",
        keys=[f"{base} {case}" for case in cases],
    )  # fmt: skip


def _judge_drift(run_dir: Path, run_id: str) -> Iterator[Alert]:
    path = run_dir / QUALIFICATION
    judge = load_row(path, Qualification, "judge") if path.is_file() else None
    if judge is None or judge.anchors is None or not judge.anchors.drifted:
        return
    anchors = judge.anchors
    yield Alert(
        kind="judge_drift", run_id=run_id, keys=[f"judge_drift {run_id}"],
        title=f"The judge {judge.judge_model} drifted: {anchors.n_changed} of {anchors.n_looks} "
        f"verdicts on its anchors changed ({p_value(anchors.p)})",
    )  # fmt: skip


def _budgets(run_dir: Path, run_id: str, policy: Policy) -> Iterator[Alert]:
    """Models and a judge whose requests failed more often than the policy allows."""
    comparisons = load_row(run_dir / COMPARISONS, Comparisons, "compare")
    allowed = policy.run.max_failed_share
    used = [
        (str(o.role), sum(n for s, n in o.statuses.items() if s in UNSCORED_STATUSES), o.n_requests, allowed)
        for o in comparisons.operations
        if o.task == "*"
    ]  # fmt: skip
    path = run_dir / QUALIFICATION
    if policy.judge and path.is_file():
        judge = load_row(path, Qualification, "judge")
        lost = judge.n_unparsed + judge.n_failed
        used.append(("judge", lost, judge.n_pairs, policy.judge.max_unparsed_share))
    for who, lost, n, share in used:
        if lost > share * n:
            what = "pairs have no verdict" if who == "judge" else "requests have no answer"
            yield Alert(
                kind="error_budget", run_id=run_id, keys=[f"error_budget {run_id} {who}"],
                title=f"Error budget used up: {lost} of {n} {what} ({who}, {lost / n:.1%}); "
                f"{percent(share)} allowed",
            )  # fmt: skip
