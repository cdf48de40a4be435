"""What the figures rest on: data, files, versions, seeds, the judge."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Fact, Table
from ftgate_ext.report.figures import (
    NOT_MEASURED,
    format_count,
    format_time,
    short_hash,
)
from ftgate_ext.report.models import find_operations

if TYPE_CHECKING:
    from ftgate_ext.schema import Comparisons, EvalSetUse, ModelCard, RunManifest


MANY_ROWS = 20
"""Longer lists of files are folded."""


@dataclass(frozen=True)
class Lineage:
    """Where the figures come from."""

    tables: list[Table]
    """Eval sets, models as asked and as served, weights, files."""
    facts: list[Fact]


def view_lineage(manifest: RunManifest, comparisons: Comparisons) -> Lineage:
    """Data, models, weights, files, versions and seeds of a run."""
    tables = [
        tabulate_eval_sets(manifest), tabulate_served(manifest), *tabulate_weights(manifest), tabulate_files(comparisons),
    ]  # fmt: skip
    return Lineage([t for t in tables if t.rows], describe_run(manifest, comparisons))


def tabulate_eval_sets(manifest: RunManifest) -> Table:
    """Which data was used, how much of it, and how often."""
    return Table(
        caption="Eval sets",
        columns=["Task", "Rows", "Used", "Asked", "File", "sha256"],
        rows=[
            [
                f"{use.group}: {use.task}" if use.group else use.task,
                format_count(use.n_rows),
                _used(use),
                "once" if use.repeats == 1 else f"{use.repeats} times",
                _file_name(use.file),
                short_hash(use.sha256),
            ]
            for use in manifest.eval_sets
        ],
        numeric=(1,),
        is_folded=len(manifest.eval_sets) > MANY_ROWS,
    )


def _used(use: EvalSetUse) -> str:
    if use.unavailable:
        return f"none: {use.unavailable.rstrip('.')}"
    if use.limit is None:
        return "all"
    return f"{'drawn' if use.drawn else 'first'} {min(use.limit, use.n_rows)}"


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
                _backend(card),
                card.endpoint,
                names or "not stated",
                fingerprint or "not stated",
            ]
        )
    return Table(
        caption="Models as asked and as served",
        columns=["Role", "Asked for", "Backend", "Endpoint", "Served there", "Fingerprint"],
        rows=rows,
    )


def _backend(card: ModelCard) -> str:
    """The lm-eval model that answered, and what it was called with."""
    called = ", ".join(f"{name}={value}" for name, value in card.model_args.items())
    return f"{card.backend} ({called})" if called else card.backend


def tabulate_weights(manifest: RunManifest) -> list[Table]:
    """Which checkpoints and adapters were loaded, file by file; none where servers answered."""
    rows = [
        [card.role, _file_name(weights.path), name, size, digest]
        for card in manifest.models
        for weights in card.weights
        for name, size, digest in [
            ("all files", format_count(sum(f.size_bytes for f in weights.files)) if weights.files else "not stated", short_hash(weights.fingerprint)),
            *((f.name, format_count(f.size_bytes), short_hash(f.sha256) + ("" if f.whole else " (of its ends)")) for f in weights.files),
        ]
    ]  # fmt: skip
    table = Table(
        caption="Weights that were loaded",
        columns=["Role", "Checkpoint", "File", "Bytes", "sha256"],
        rows=rows,
        numeric=(3,),
        is_folded=len(rows) > MANY_ROWS,
    )
    return [table] if rows else []


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
        Fact("Weights", _weights(manifest)),
    ]


def _weights(manifest: RunManifest) -> str:
    """Where the weights are pinned, and where only the server knows them."""
    pinned = [card.role for card in manifest.models if card.weights]
    served = [card.role for card in manifest.models if not card.weights and not card.absent]
    parts = [f"pinned by hash for {', '.join(pinned)}"] if pinned else []
    parts += [f"only the server knows those of {', '.join(served)}"] if served else []
    return "; ".join(parts) or "not stated"


def _load(comparisons: Comparisons) -> str:
    parts = []
    for role in comparisons.roles:
        operations = find_operations(comparisons, role)
        allowed = operations.concurrency if operations else None
        text = NOT_MEASURED if allowed is None else f"up to {allowed} requests in flight"
        parts.append(f"{role} {text}")
    return "; ".join(parts)
