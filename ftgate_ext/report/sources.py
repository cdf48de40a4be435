"""What the figures rest on: data, files, versions, seeds, the judge."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Fact, Table
from ftgate_ext.report.figures import (
    NOT_MEASURED,
    Scale,
    format_count,
    format_estimate,
    format_money,
    format_time,
    p_equals,
    short_hash,
)
from ftgate_ext.report.models import find_operations

if TYPE_CHECKING:
    from ftgate_ext.schema import Comparisons, Qualification, RunManifest


MANY_ROWS = 20
"""Longer lists of files are folded."""


def describe_judge(qualification: Qualification | None) -> list[Fact]:
    """What the judge showed about itself."""
    if qualification is None:
        return [Fact("Judge", "none: no pairs were judged")]
    return [
        Fact("Judge", qualification.judge_model),
        Fact("Qualified", "yes" if qualification.fit else "no, it may not vote"),
        *(Fact("Reason", reason) for reason in qualification.reasons),
        Fact("Pairs", _pairs(qualification)),
        Fact("Consistency", _consistency(qualification)),
        Fact("First-position share", _position(qualification)),
        Fact("Unparsed verdicts", f"{qualification.n_unparsed} pairs"),
        Fact("Cost", format_money(qualification.cost_usd)),
        Fact("Fingerprint", short_hash(qualification.fingerprint) or "none"),
    ]


def _pairs(qualification: Qualification) -> str:
    return (
        f"{qualification.n_pairs} in both orders, of which {qualification.n_identical} with "
        "identical answers (ties without a call)"
    )


def _consistency(qualification: Qualification) -> str:
    if qualification.consistency is None:
        return f"{NOT_MEASURED}: no pair has two readable verdicts"
    figure = format_estimate(qualification.consistency, scale=Scale())
    return f"{figure} of pairs judged alike in both orders"


def _position(qualification: Qualification) -> str:
    share, p = qualification.first_position_share, qualification.first_position_p
    if share is None:
        return "no verdict followed the position"
    test = f", {p_equals(p)} for a fair coin" if p is not None else ""
    figure = format_estimate(share, scale=Scale())
    return f"{figure}{test}, among verdicts that followed the position"


def tabulate_eval_sets(manifest: RunManifest) -> Table:
    """Which data was used, how much of it, and how often."""
    return Table(
        caption="Eval sets",
        columns=["Task", "Rows", "Used", "Asked", "File", "sha256"],
        rows=[
            [
                f"{use.group}: {use.task}" if use.group else use.task,
                format_count(use.n_rows),
                "all" if use.limit is None else f"first {min(use.limit, use.n_rows)}",
                "once" if use.repeats == 1 else f"{use.repeats} times",
                _file_name(use.file),
                short_hash(use.sha256),
            ]
            for use in manifest.eval_sets
        ],
        numeric=(1,),
        is_folded=len(manifest.eval_sets) > MANY_ROWS,
    )


def find_groups(manifest: RunManifest) -> dict[str, list[str]]:
    """The groups of tasks that the policy named, with the tasks of each."""
    groups: dict[str, list[str]] = {}
    for use in manifest.eval_sets:
        if use.group:
            groups.setdefault(use.group, []).append(use.task)
    return groups


def _file_name(path: str) -> str:
    """A file's name without the folders of the machine it lay on; other origins as they are."""
    is_absolute = re.match(r"[\\/]|[A-Za-z]:[\\/]", path)
    return re.split(r"[\\/]", path)[-1] if is_absolute else path


def tabulate_served(manifest: RunManifest) -> Table:
    """What was asked for, and what the servers said about themselves."""
    rows = []
    for card in manifest.models:
        if card.absent:
            continue
        served = card.served
        names = ", ".join(served.served_models) if served else ""
        fingerprint = served.system_fingerprint if served else None
        rows.append(
            [
                card.role,
                card.model,
                card.endpoint,
                names or "not stated",
                fingerprint or "not stated",
            ]
        )
    return Table(
        caption="Models as asked and as served",
        columns=["Role", "Asked for", "Endpoint", "Served there", "Fingerprint"],
        rows=rows,
    )


def tabulate_files(comparisons: Comparisons) -> Table:
    """The files of the run folder that the figures came from."""
    rows = [[role, name] for role, names in comparisons.sources.items() for name in names]
    caption, is_long = "Source files, in the run folder", len(rows) > MANY_ROWS
    return Table(caption=caption, columns=["Role", "File"], rows=rows, is_folded=is_long)


def describe_run(manifest: RunManifest, comparisons: Comparisons) -> list[Fact]:
    """Hashes, seeds, versions and the load under which latency was measured."""
    versions = ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
    return [
        Fact("Run", manifest.run_id),
        Fact("Began", format_time(manifest.created_at)),
        Fact("Finished", format_time(manifest.finished_at)),
        Fact("Policy hash", manifest.policy_hash),
        Fact("Generation hash", manifest.generation_hash),
        Fact("Seed of generation", str(manifest.seed)),
        Fact("Seed of statistics", str(comparisons.seed)),
        Fact("Resamples", format_count(comparisons.resamples)),
        Fact("Latency measured at", _load(comparisons)),
        Fact("Versions", versions or "not stated"),
    ]


def _load(comparisons: Comparisons) -> str:
    parts = []
    for role in comparisons.roles:
        operations = find_operations(comparisons, role)
        allowed = operations.concurrency if operations else None
        text = NOT_MEASURED if allowed is None else f"up to {allowed} requests in flight"
        parts.append(f"{role} {text}")
    return "; ".join(parts)
