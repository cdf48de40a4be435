"""Read and write run folders, and the folders that a bare `lm_eval --log_samples` leaves.

    runs/<run_id>/run.json, gate.yaml, <model>/results_*.json, samples_*.jsonl, responses.jsonl,
                  judgments.jsonl, judge.json, comparisons.json, findings.json, decision.json,
                  report.md, report.html

Knows files and joins; no statistics, no rules.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from ftgate_ext.inference.journal import is_torn, read_responses
from ftgate_ext.schema import FORMAT_VERSION, ROLES, Response, Role, Row, RunError, RunManifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

T = TypeVar("T", bound=Row)

MANIFEST = "run.json"
RESUME_WITHIN = timedelta(days=1)
Until = Literal["run", "gate"]
POLICY_COPY = "gate.yaml"
LEAKAGE = "leakage.json"
COMPARISONS = "comparisons.json"
WITH_LEAKS = "comparisons_with_leaks.json"
"""Comparisons on all cases, where some of them stand in the training data."""


@dataclass(frozen=True)
class Record:
    """Case x response x scores of one model: what everything after generation works on."""

    task: str
    case_id: str
    doc_hash: str
    prompt_hash: str
    doc: dict[str, Any]
    prompt: str
    """What the user said: the last message, or the whole prompt where it is no chat."""
    target: str
    answer: str
    scores: dict[str, Any]
    """Metric -> number, or [tp, fp, fn] for an F1; a metric that could not be scored is not there."""
    response: Response | None
    """None where the model was not asked through ftgate-chat."""


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
    for path in results_files:  # later files win, task by task
        results = _read_json(path)
        stamp = path.stem.removeprefix("results_")
        below |= results.get("group_subtasks", {})
        for task in results.get("configs", {}):
            samples = path.with_name(f"samples_{task}_{stamp}.jsonl")
            if not samples.is_file():  # lm-eval writes them last: it may have been killed before
                missing[task] = f"{path}: no {samples.name} beside it"
                continue
            newest[task] = samples
            better[task] = results.get("higher_is_better", {}).get(task, {})
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


def read_task(task: str, path: Path) -> Iterator[Record]:
    """The records of one task: one a case, with the scores of all filters."""
    records: dict[str, Record] = {}
    for key, record in stream_samples(task, path):
        if key in records:
            records[key].scores.update(record.scores)
        else:
            records[key] = record
    yield from records.values()


def stream_samples(task: str, path: Path) -> Iterator[tuple[str, Record]]:
    """Every line of a samples file with the key of its case: one line a case and filter.

    Raises:
        RunError: A line is not what lm-eval writes.
    """
    responses = _responses_beside(path, task)
    met: Counter[str] = Counter()
    seen: set[str] = set()
    with path.open("rb") as file:
        # Lines of bytes: a text may hold U+2028 and the like, at which text lines would be cut.
        for number, line in enumerate(file, start=1):
            try:
                sample = from_json(line, cache_strings="keys")
                key = str(sample["doc_id"])
                prompt_hash = sample["prompt_hash"]
                response = responses.get((prompt_hash, met[prompt_hash]))
                record = _to_record(task, sample, response)
                if key not in seen:  # another filter reads the same answers
                    seen.add(key)
                    met[prompt_hash] += _count(sample["resps"])
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise RunError(
                    f"{path}:{number}: not a sample of lm-eval ({type(error).__name__}: {error}); run that model again."
                ) from None
            yield key, record


def _to_record(task: str, sample: dict[str, Any], response: Response | None) -> Record:
    suffix = "" if sample["filter"] == "none" else f",{sample['filter']}"
    doc = sample["doc"] if isinstance(sample["doc"], dict) else {"doc": sample["doc"]}
    return Record(
        task=task, case_id=str(doc.get("id", sample["doc_id"])), doc_hash=sample["doc_hash"],
        prompt_hash=sample["prompt_hash"], doc=doc, prompt=_prompt_text(sample["arguments"]),
        target=str(sample["target"]), answer=_first_text(sample["resps"]),
        scores={name + suffix: sample[name] for name in sample["metrics"]}, response=response,
    )  # fmt: skip


def pair_records(
    candidate: Iterable[Record], baseline: Iterable[Record]
) -> list[tuple[Record, Record]]:
    """Join two models' records on the case itself (`doc_hash`); of repeats, the first."""
    other: dict[str, Record] = {}
    for record in baseline:
        other.setdefault(record.doc_hash, record)
    mine: dict[str, Record] = {}
    for record in candidate:
        mine.setdefault(record.doc_hash, record)
    return [(record, other[key]) for key, record in mine.items() if key in other]


def _prompt_text(arguments: Any) -> str:
    """lm-eval logs a chat as a one-element list with the messages as JSON."""
    first = arguments["gen_args_0"]["arg_0"]
    text = str(first[0] if isinstance(first, list) else first)
    if not text.startswith("["):
        return text
    try:
        return str(json.loads(text)[-1]["content"])
    except (ValueError, KeyError, TypeError, IndexError):
        return text


def _count(resps: Any) -> int:
    """How many answers a sample holds, in lists of whatever depth."""
    if isinstance(resps, list) and len(resps) == 1:
        return _count(resps[0])
    return sum(_count(item) for item in resps) if isinstance(resps, list) else 1


def _first_text(resps: Any) -> str:
    while isinstance(resps, list):
        if not resps:
            return ""
        resps = resps[0]
    return str(resps)


def _responses_beside(samples: Path, task: str) -> dict[tuple[str, int], Response]:
    """(prompt_hash, occurrence) -> response; the last line about a request counts."""
    journal = samples.with_name("responses.jsonl")
    if not journal.is_file():
        # A bare lm_eval: the journal was opened when the model was made, shortly before the results.
        stamp = samples.stem.removeprefix(f"samples_{task}_")
        earlier = [
            p
            for p in samples.parent.glob("responses_*.jsonl")
            if p.stem.removeprefix("responses_") <= stamp
        ]
        if not earlier:
            return {}
        journal = max(earlier)
    return {(r.prompt_hash, r.occurrence): r for r in read_responses(journal) if r.task == task}


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
        temporary.write_text(text, encoding="utf-8")
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
        until: `run` if asking the models is all there is to finish, `gate` up to the decision.
    """
    oldest = datetime.now(timezone.utc) - RESUME_WITHIN
    for folder, manifest in _manifests(output):
        finished = manifest.finished_at is not None
        if until == "gate":
            finished = finished and (folder / "decision.json").is_file()
        young = datetime.fromisoformat(manifest.created_at) >= oldest
        if not finished and young and manifest.generation_hash == generation_hash:
            return folder
    return None


def _manifests(output: Path) -> Iterator[tuple[Path, RunManifest]]:
    found: Iterable[Path] = sorted(output.glob(f"*/{MANIFEST}"), reverse=True)
    for path in found:
        try:
            yield path.parent, load_row(path, RunManifest, "run")
        except RunError:
            continue  # of another version: not one to resume
