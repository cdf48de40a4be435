"""Read and write run folders, and the folders that a bare `lm_eval --log_samples` leaves.

    runs/<run_id>/run.json, gate.yaml, <model>/results_*.json, samples_*.jsonl, responses.jsonl,
                  judgments.jsonl, judge.json, comparisons.json, findings.json, decision.json,
                  report.md, report.html

Knows files and joins; no statistics, no rules.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import ValidationError

from ftgate_ext.inference.journal import is_torn
from ftgate_ext.samples import Record, pair_records, read_task, stream_samples
from ftgate_ext.schema import FORMAT_VERSION, ROLES, Role, Row, RunError, RunManifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = [
    "COMPARISONS", "LATENCY_RUN", "LEAKAGE", "MANIFEST", "POLICY_COPY", "RESUME_WITHIN", "WITH_LEAKS",
    "ModelRecords", "Record", "ResultFiles", "Until", "find_results", "find_unfinished",
    "load_manifest", "load_model_records", "load_row", "load_rows", "model_folders", "pair_records",
    "read_task", "stream_samples", "write_row", "write_text",
]  # fmt: skip

T = TypeVar("T", bound=Row)

MANIFEST = "run.json"
RESUME_WITHIN = timedelta(days=1)
Until = Literal["run", "latency", "gate"]
POLICY_COPY = "gate.yaml"
LEAKAGE = "leakage.json"
LATENCY_RUN = "latency.json"
COMPARISONS = "comparisons.json"
WITH_LEAKS = "comparisons_with_leaks.json"
"""Comparisons on all cases, where some of them stand in the training data."""


@dataclass(frozen=True)
class ModelRecords:
    """All records of one model, and the files they came from."""

    folder: Path
    records: dict[str, list[Record]]
    """Task -> records in the order of the eval set."""
    higher_is_better: dict[str, dict[str, bool]]
    sources: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class ResultFiles:
    """The newest complete results of one model: which files, and what they say about the tasks."""

    folder: Path
    samples: dict[str, Path]
    """Task -> its samples_*.jsonl."""
    higher_is_better: dict[str, dict[str, bool]]
    groups: dict[str, list[str]]
    """Group -> the tasks below it that have samples."""
    sources: list[Path]


def find_results(folder: Path) -> ResultFiles:
    """Find the newest complete results of one model.

    Args:
        folder: A model's folder of a run, or what `lm_eval --output_path DIR --log_samples` wrote
            (DIR itself or the model's folder below it).

    Raises:
        RunError: No results, results of several models, or results without samples.
    """
    results_files = sorted(folder.glob("**/results_*.json"))
    if not results_files:
        raise RunError(
            f"{folder}: no results_*.json; expected a folder written by `ftgate run` or `lm_eval --output_path DIR --log_samples`."
        )
    folders = sorted({str(path.parent) for path in results_files})
    if len(folders) > 1:
        raise RunError(
            f"{folder}: holds results of several models ({', '.join(folders)}); name the folder of one."
        )
    newest: dict[str, Path] = {}
    better: dict[str, dict[str, bool]] = {}
    missing: dict[str, str] = {}
    below: dict[str, list[str]] = {}
    torn: RunError | None = None
    for path in results_files:  # later files win, task by task
        try:
            results = _read_json(path)
        except RunError as error:  # lm-eval was killed, or the disk was full, while it wrote
            torn = error
            continue
        stamp = path.stem.removeprefix("results_")
        below |= results.get("group_subtasks", {})
        for task in results.get("configs", {}):
            samples = path.with_name(f"samples_{task}_{stamp}.jsonl")
            if not samples.is_file():  # lm-eval writes them last: it may have been killed before
                missing[task] = f"{path}: no {samples.name} beside it"
                continue
            newest[task] = samples
            better[task] = results.get("higher_is_better", {}).get(task, {})
    if torn and not newest:
        raise torn
    if without := missing.keys() - newest.keys():
        raise RunError(f"{missing[min(without)]}; run lm_eval with --log_samples.")
    groups = {group: leaves for group in below if (leaves := _leaves(group, below, newest))}
    return ResultFiles(
        folder, newest, better, groups, sorted({*newest.values(), results_files[-1]})
    )


def _leaves(group: str, below: dict[str, list[str]], tasks: dict[str, Path]) -> list[str]:
    """The tasks with samples below a group, through groups of groups; none for a task itself."""
    if group in tasks:
        return []
    found = [
        leaf
        for member in below.get(group, [])
        for leaf in ([member] if member in tasks else _leaves(member, below, tasks))
    ]
    return list(dict.fromkeys(found))


def load_model_records(folder: Path) -> ModelRecords:
    """Read the newest complete results of one model, with everything about every case.

    Raises:
        RunError: As `find_results`, or a broken file.
    """
    files = find_results(folder)
    records = {task: list(read_task(task, path)) for task, path in files.samples.items()}
    return ModelRecords(folder, records, files.higher_is_better, files.sources)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: not readable as JSON ({error}); run that stage again.") from None
    if not isinstance(content, dict):
        raise RunError(f"{path}: found a JSON {type(content).__name__}; expected an object.")
    return content


def load_row(path: Path, kind: type[T], made_by: str) -> T:
    """Read one of our own JSON files.

    Raises:
        RunError: It is missing (naming the stage that makes it) or of another format.
    """
    if not path.is_file():
        raise RunError(f"{path}: not there; run `ftgate {made_by}` first.")
    content = _read_json(path)
    version = content.get("format_version", FORMAT_VERSION)
    if version != FORMAT_VERSION:
        raise RunError(
            f"{path}: format_version {version!r}; this ftgate reads {FORMAT_VERSION}. Run `ftgate {made_by}` again, or use the ftgate that wrote it."
        )
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field_name = ".".join(map(str, first["loc"]))
        raise RunError(
            f"{path}: {field_name}: {first['msg'].lower()}; made by another version? Run `ftgate {made_by}` again."
        ) from None


def load_rows(path: Path, kind: type[T]) -> list[T]:
    """Read a JSONL file of our own; a missing file has no rows, a torn last line is passed over.

    Raises:
        RunError: A line is broken.
    """
    if not path.is_file():
        return []
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            rows.append(kind.model_validate_json(line))
        except ValidationError as error:
            if is_torn(error):
                continue
            raise RunError(
                f"{path}:{number}: {error.errors()[0]['msg'].lower()}; move the file away and run the stage again."
            ) from None
    return rows


def write_row(path: Path, row: Row) -> Path:
    """Write one of our own types as JSON, whole or not at all."""
    return write_text(path, row.model_dump_json(indent=2) + "\n")


def write_text(path: Path, text: str) -> Path:
    """Write a file whole or not at all.

    Raises:
        RunError: The folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # else a power loss may leave the new name on an empty file
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise RunError(
            f"{path}: cannot be written ({error.strerror}); choose another folder."
        ) from None
    return path


def load_manifest(run_dir: Path) -> RunManifest:
    """Read run.json."""
    return load_row(run_dir / MANIFEST, RunManifest, "run")


def model_folders(run_dir: Path) -> dict[Role, Path]:
    """Role -> folder, for the models of a run that have results."""
    return {
        role: run_dir / role for role in ROLES if any((run_dir / role).glob("**/results_*.json"))
    }


def find_unfinished(output: Path, generation_hash: str, *, until: Until = "run") -> Path | None:
    """The newest run of this policy that the same command would finish.

    Runs that began more than a day ago are left alone: another model may answer under the same
    name by now. Name such a run with --run-dir to resume it.

    Args:
        output: Folder of run folders.
        generation_hash: Of the policy.
        until: `run` if asking the models is all there is to finish, `latency` if they are also to
            be asked in turn, `gate` up to the decision.
    """
    oldest = datetime.now(timezone.utc) - RESUME_WITHIN
    for folder, manifest in _manifests(output):
        finished = manifest.finished_at is not None
        if until == "gate":
            finished = finished and (folder / "decision.json").is_file()
        if until == "latency":
            finished = finished and _is_measured_in_turn(folder)
        young = datetime.fromisoformat(manifest.created_at) >= oldest
        if not finished and young and manifest.generation_hash == generation_hash:
            return folder
    return None


def _is_measured_in_turn(folder: Path) -> bool:
    path = folder / LATENCY_RUN
    return path.is_file() and bool(_read_json(path).get("finished_at"))


def _manifests(output: Path) -> Iterator[tuple[Path, RunManifest]]:
    found: Iterable[Path] = sorted(output.glob(f"*/{MANIFEST}"), reverse=True)
    for path in found:
        try:
            yield path.parent, load_row(path, RunManifest, "run")
        except RunError:
            continue  # of another version: not one to resume
