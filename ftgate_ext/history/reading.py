"""The files of one run folder -> its entry in the history.

Of comparisons.json only the rows that an entry needs are validated: it is the largest file, and a
thousand of them are read at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from ftgate_ext.history.entry import (
    HistoryEntry,
    HistoryModel,
    HistoryRule,
    JudgeUse,
    RunState,
    SetUse,
)
from ftgate_ext.history.figures import Compared, read_compared
from ftgate_ext.history.line import candidate_line
from ftgate_ext.schema import (
    FORMAT_VERSION,
    Decision,
    ModelCard,
    Qualification,
    Row,
    RunError,
    RunManifest,
)

T = TypeVar("T", bound=Row)
Files: TypeAlias = Mapping[str, bytes]
"""Path within the run folder -> its bytes."""

MANIFEST, DECISION, COMPARISONS, JUDGE = "run.json", "decision.json", "comparisons.json", "judge.json"  # fmt: skip
RESULTS = "candidate/results_"
"""How the names of lm-eval's own results of the candidate begin: they hold the hashes of prompts."""


def is_wanted(path: str) -> bool:
    """Whether the history reads this file of a run folder."""
    if path.startswith(RESULTS):
        return path.endswith(".json") and "/" not in path[len(RESULTS) :]
    return path in (MANIFEST, DECISION, COMPARISONS, JUDGE)


def read_entry(folder: str, files: Files) -> HistoryEntry:
    """One run as the history keeps it.

    Args:
        folder: The run folder's name, for the entry and for messages.
        files: What `is_wanted` there.

    Raises:
        RunError: run.json is not readable. Other files that are not are named in the entry.
    """
    manifest = _read_row(folder, MANIFEST, files, RunManifest)
    problems: list[str] = []
    decision = _try_row(folder, DECISION, files, Decision, problems)
    judge = _try_row(folder, JUDGE, files, Qualification, problems)
    compared = _try_compared(folder, files, decision, problems)
    prompts = _prompt_hashes(folder, files, problems)
    candidate = next((c.name for c in manifest.models if c.role == "candidate"), "no candidate")
    return HistoryEntry(
        folder=folder, run_id=manifest.run_id, created_at=manifest.created_at,
        finished_at=manifest.finished_at, state=_state(manifest, decision, compared),
        line=candidate_line(manifest.policy_name, candidate),
        policy_name=manifest.policy_name,
        policy_hash=decision.policy_hash if decision else manifest.policy_hash,
        generation_hash=manifest.generation_hash, models=[_model(c) for c in manifest.models],
        verdict=decision.verdict if decision else None,
        point_verdict=decision.point_verdict if decision else None,
        rules=_rules(decision), win_rates=compared.win_rates, primary=compared.primary,
        serving=compared.serving, safety=compared.safety, regressions=compared.regressions,
        judge=_judge(judge), sets=_sets(manifest, prompts), problems=problems,
    )  # fmt: skip


def _state(manifest: RunManifest, decision: Decision | None, compared: Compared) -> RunState:
    if decision is not None:
        return "decided"
    if compared.is_there:
        return "compared"
    return "asked" if manifest.finished_at else "unfinished"


def _model(card: ModelCard) -> HistoryModel:
    return HistoryModel(
        role=card.role, name=card.name, model=card.model, hosting=card.hosting, absent=card.absent,
        weights="+".join(w.fingerprint for w in card.weights) or None,
    )  # fmt: skip


def _rules(decision: Decision | None) -> list[HistoryRule]:
    return [
        HistoryRule(name=r.name, kind=r.kind, outcome=r.outcome, seen=r.seen, approved=r.approved)
        for r in (decision.rules if decision else [])
    ]


def _judge(found: Qualification | None) -> JudgeUse | None:
    if found is None:
        return None
    return JudgeUse(
        model=found.judge_model, fingerprint=found.fingerprint, fit=found.fit,
        reason=found.reasons[0] if found.reasons else None,
    )  # fmt: skip


def _sets(manifest: RunManifest, prompts: dict[str, str]) -> list[SetUse]:
    return [
        SetUse(
            task=use.task, sha256=use.sha256, n_rows=use.n_rows, limit=use.limit, drawn=use.drawn,
            repeats=use.repeats, fewshot=use.fewshot, group=use.group,
            prompts=prompts.get(use.task), unavailable=use.unavailable,
        )
        for use in manifest.eval_sets
    ]  # fmt: skip


def _prompt_hashes(folder: str, files: Files, problems: list[str]) -> dict[str, str]:
    """Task -> lm-eval's hash over its cases, prompts and targets; later results win."""
    found: dict[str, str] = {}
    for path in sorted(p for p in files if p.startswith(RESULTS)):
        try:
            hashes = _object(folder, path, files[path]).get("task_hashes")
        except RunError as error:
            problems.append(str(error))
            continue
        if isinstance(hashes, dict):
            found |= {str(task): str(value) for task, value in hashes.items() if value}
    return found


def _try_compared(
    folder: str, files: Files, decision: Decision | None, problems: list[str]
) -> Compared:
    if COMPARISONS not in files:
        return Compared()
    try:
        content = _object(folder, COMPARISONS, files[COMPARISONS])
        return read_compared(content, decision)
    except RunError as error:
        problems.append(str(error))
    except ValidationError as error:
        problems.append(_describe(folder, COMPARISONS, error))
    return Compared()


def _try_row(folder: str, name: str, files: Files, kind: type[T], problems: list[str]) -> T | None:
    if name not in files:
        return None
    try:
        return _read_row(folder, name, files, kind)
    except RunError as error:
        problems.append(str(error))
        return None


def _read_row(folder: str, name: str, files: Files, kind: type[T]) -> T:
    if name not in files:
        raise RunError(f"{folder}: no {name}; expected a folder made by `ftgate run`.")
    content = _object(folder, name, files[name])
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise RunError(_describe(folder, name, error)) from None


def _object(folder: str, name: str, text: bytes) -> dict[str, Any]:
    try:
        content = from_json(text)
    except ValueError as error:
        raise RunError(
            f"{folder}/{name}: not readable as JSON ({error}); run that stage again."
        ) from None
    if not isinstance(content, dict):
        raise RunError(
            f"{folder}/{name}: found a JSON {type(content).__name__}; expected an object."
        )
    version = content.get("format_version", FORMAT_VERSION)
    if version != FORMAT_VERSION:
        raise RunError(
            f"{folder}/{name}: format_version {version!r}; this ftgate reads {FORMAT_VERSION}."
        )
    return content


def _describe(folder: str, name: str, error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return f"{folder}/{name}: {where}: {first['msg'].lower()}; made by another version? Run that stage again."
