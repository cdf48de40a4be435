"""One function a stage: run folder in, files of the next stage out. The command line calls these."""

from __future__ import annotations

import dataclasses
import os
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timezone
from multiprocessing import get_context
from typing import TYPE_CHECKING

from ftgate_ext.benchmarks_compared import add_grades, add_ledger
from ftgate_ext.compare import compare_models
from ftgate_ext.decision import decide
from ftgate_ext.findings import FailureCounter, TaskFailures, build_findings
from ftgate_ext.findings.by_judge import Sorted, load_sorted
from ftgate_ext.findings.taxonomy import keep_taxonomy
from ftgate_ext.findings.texts import load_texts
from ftgate_ext.interleaved import load_interleaved
from ftgate_ext.judge.pair_labels import keep_labels, load_beside
from ftgate_ext.judge.rubric import RUBRIC_SCORES
from ftgate_ext.judge.stage import JUDGMENTS, QUALIFICATION
from ftgate_ext.looks import note_look
from ftgate_ext.newness import say_what_is_new
from ftgate_ext.notebook import write_notebook
from ftgate_ext.policy import Policy, load_policy
from ftgate_ext.report import ReportInput, render_html, render_markdown
from ftgate_ext.runs import (
    COMPARISONS,
    LEAKAGE,
    POLICY_COPY,
    WITH_LEAKS,
    load_manifest,
    load_row,
    load_rows,
    model_folders,
    write_row,
    write_text,
)
from ftgate_ext.schema import (
    Audit,
    CaseReview,
    Comparisons,
    Decision,
    EvalSetUse,
    Findings,
    Judgment,
    Leakage,
    Qualification,
    Role,
    RubricScore,
    RunError,
    RunManifest,
    TrainLog,
)
from ftgate_ext.scores import ModelScores, load_model_scores, share_lists, without_cases
from ftgate_ext.settings import Settings, settings_of
from ftgate_ext.trainlog import TRAINLOG
from ftgate_ext.winrate import compare_rubrics

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NAMED_LEAKS = 10
FINDINGS = "findings.json"
REVIEWS = "review.jsonl"
READ_IN_PARALLEL_BYTES = 100_000_000
"""Above this size of all samples, starting processes costs less than it saves."""


def compare_run(run_dir: Path, policy_file: Path | None = None) -> Comparisons:
    """`compare` on a run folder: writes comparisons.json, findings.json and looks.json.

    Args:
        run_dir: A finished run.
        policy_file: Other rules than the run's own: they say which buckets, clusters and looks.

    Raises:
        RunError: The run is unfinished, a file of it is missing or broken, or all planned looks
            are used.
    """
    manifest = load_manifest(run_dir)
    folders = model_folders(run_dir)
    unasked = [c.role for c in manifest.models if c.absent is None and c.role not in folders]
    if unasked:
        raise RunError(
            f"{run_dir}: {', '.join(unasked)} has no results yet; `ftgate run` on the same gate.yaml finishes."
        )
    policy = load_policy(policy_file or run_dir / POLICY_COPY)
    if policy_file:
        keep_labels(policy, policy_file, run_dir)
        keep_taxonomy(policy, policy_file, run_dir)
    settings = settings_of(policy)
    how = load_sorted(run_dir, policy)
    models, failures = _load(folders, settings.fields, how)
    if "candidate" in models:
        look = note_look(run_dir, models["candidate"], policy)
        settings = dataclasses.replace(settings, look=look)
    leaked = _leaked_cases(run_dir, models)
    around = (manifest, policy)
    _write_findings(models, failures, run_dir, settings, leaked, how)
    whole = _write_comparisons(models, run_dir, manifest.run_id, settings, around=around)
    if not leaked:
        (run_dir / WITH_LEAKS).unlink(missing_ok=True)
        return whole
    # What decides are cases that the candidate was not trained on; the others stand beside.
    write_row(run_dir / WITH_LEAKS, whole)
    clean = {role: without_cases(model, leaked) for role, model in models.items()}
    return _write_comparisons(clean, run_dir, manifest.run_id, settings, leaked, around=around)


def _leaked_cases(run_dir: Path, models: dict[Role, ModelScores]) -> dict[str, set[str]]:
    """Task -> hashes of the compared cases that stand in the training data."""
    leakage = load_leakage(run_dir)
    if leakage is None or "candidate" not in models:
        return {}
    found = {
        task: leakage.doc_hashes(task) & set(scores.doc_hashes)
        for task, scores in models["candidate"].tasks.items()
    }
    return {task: hashes for task, hashes in found.items() if hashes}


def load_leakage(run_dir: Path) -> Leakage | None:
    """Which eval cases stand in the training data, where the policy names it."""
    path = run_dir / LEAKAGE
    return load_row(path, Leakage, "run") if path.is_file() else None


def compare_folders(
    folders: dict[Role, Path], output: Path, run_id: str, settings: Settings
) -> Comparisons:
    """`compare` on folders of any origin: writes comparisons.json and findings.json to `output`.

    Args:
        folders: Role -> a model's folder of a run, or one that a bare lm_eval wrote.
        output: Where to write; judgments there are taken in.
        run_id: For the record.
        settings: Resamples, seed, level and clusters.
    """
    models, failures = _load(folders, settings.fields, Sorted())
    _write_findings(models, failures, output, settings)
    return _write_comparisons(models, output, run_id, settings)


def _load(
    folders: dict[Role, Path], fields: list[str], how: Sorted
) -> tuple[dict[Role, ModelScores], dict[Role, dict[str, TaskFailures]]]:
    """Every model's scores and failures; large runs are read by several processes."""
    if _size(folders.values()) < READ_IN_PARALLEL_BYTES:
        loaded = [_load_model(role, folder, fields, how) for role, folder in folders.items()]
    else:
        workers = ProcessPoolExecutor(
            min(len(folders), os.cpu_count() or 1), mp_context=get_context("spawn")
        )
        with workers as pool:
            args = ([fields] * len(folders), [how] * len(folders))
            loaded = list(pool.map(_load_model, folders, folders.values(), *args))
    models = {role: scores for role, (scores, _) in zip(folders, loaded, strict=True)}
    share_lists(models.values())
    return models, {role: found for role, (_, found) in zip(folders, loaded, strict=True)}


def _load_model(
    role: Role, folder: Path, fields: list[str], how: Sorted
) -> tuple[ModelScores, dict[str, TaskFailures]]:
    counter = FailureCounter(role, how.taxonomy, how.labels.get(role))
    scores = load_model_scores(folder, fields, counter.add)
    for task in scores.tasks.values():
        _ = task.cases  # found here, in parallel with other models'
    return scores, counter.tasks


def _size(folders: Iterable[Path]) -> int:
    return sum(path.stat().st_size for f in folders for path in f.glob("**/samples_*.jsonl"))


def _write_comparisons(
    models: dict[Role, ModelScores],
    output: Path,
    run_id: str,
    settings: Settings,
    leaked: dict[str, set[str]] | None = None,
    around: tuple[RunManifest, Policy] | None = None,
) -> Comparisons:
    judgments = load_rows(output / JUDGMENTS, Judgment)
    if leaked:
        judgments = [j for j in judgments if j.doc_hash not in leaked.get(j.task, set())]
    comparisons = compare_models(
        models, judgments, run_id, output, settings, load_interleaved(output), load_beside(output)
    )
    scored = load_rows(output / RUBRIC_SCORES, RubricScore)
    comparisons.comparisons += compare_rubrics(
        [s for s in scored if s.doc_hash not in (leaked or {}).get(s.task, set())], settings
    )
    add_grades(comparisons, output, settings, leaked or {})
    if around:
        add_ledger(comparisons, *around)
    write_row(output / COMPARISONS, comparisons)
    return comparisons


def _write_findings(
    models: dict[Role, ModelScores],
    failures: dict[Role, dict[str, TaskFailures]],
    output: Path,
    settings: Settings,
    leaked: dict[str, set[str]] | None = None,
    how: Sorted | None = None,
) -> None:
    how = how or Sorted()
    found = build_findings(models, failures, settings, leaked, how.source, how.record)
    write_row(output / FINDINGS, found)


def decide_run(run_dir: Path, policy_file: Path | None = None) -> Decision:
    """`decide`: writes decision.json.

    Args:
        run_dir: A compared run.
        policy_file: Other rules than the run's own; models and eval sets must be the same.

    Raises:
        RunError: A file is missing, or the policy belongs to another run.
    """
    manifest = load_manifest(run_dir)
    policy = load_policy(policy_file or run_dir / POLICY_COPY)
    warnings = _policy_warnings(run_dir, manifest, policy)
    comparisons = load_row(run_dir / COMPARISONS, Comparisons, "compare")
    today = datetime.now(timezone.utc).date()
    qualification = load_qualification(run_dir)
    if (run_dir / WITH_LEAKS).is_file():
        whole = load_row(run_dir / WITH_LEAKS, Comparisons, "compare")
        warnings += _leak_warnings(run_dir, decide(policy, whole, qualification, today))
    decision = decide(policy, comparisons, qualification, today, warnings)
    write_row(run_dir / "decision.json", decision)
    return decision


def _leak_warnings(run_dir: Path, with_them: Decision) -> list[str]:
    """Which cases were left out because the candidate was trained on them, and what they would do."""
    leakage = load_leakage(run_dir)
    cases = leakage.cases if leakage else []
    ids = ", ".join(case.id for case in cases[:NAMED_LEAKS])
    more = f" and {len(cases) - NAMED_LEAKS} more" if len(cases) > NAMED_LEAKS else ""
    return [
        f"{len(cases)} eval cases stand in the training data and are left out: {ids}{more} ({LEAKAGE} says where). With them the verdict would be {with_them.verdict}."
    ]


def _policy_warnings(run_dir: Path, manifest: RunManifest, policy: Policy) -> list[str]:
    if policy.generation_hash != manifest.generation_hash:
        raise RunError(
            f"{run_dir}: made with other models, eval sets or seed than this policy names ({manifest.generation_hash[:12]}, not {policy.generation_hash[:12]}); run it with `ftgate run`."
        )
    warnings = [f"{c.role} took no part: {c.absent}" for c in manifest.models if c.absent]
    warnings += manifest.warnings
    warnings += [_left_out(use) for use in manifest.eval_sets if use.unavailable]
    if policy.policy_hash != manifest.policy_hash:
        warnings.append(
            "The rules were changed after the run began: this decision uses the new ones."
        )
    return warnings


def _left_out(use: EvalSetUse) -> str:
    why = (use.unavailable or "").rstrip(".")
    if use.group:
        return f"{use.group} was asked without {use.task}: {why}."
    return f"{use.task} was not asked: {why}. Its rules are INCONCLUSIVE."


def load_qualification(run_dir: Path) -> Qualification | None:
    """The judge's qualification, if a judge was asked."""
    path = run_dir / QUALIFICATION
    return load_row(path, Qualification, "judge") if path.is_file() else None


def load_audit(run_dir: Path) -> Audit | None:
    """The gate's own error rates, if they were simulated."""
    path = run_dir / "audit.json"
    return load_row(path, Audit, "audit") if path.is_file() else None


def load_trainlog(run_dir: Path) -> TrainLog | None:
    """What training logs say, where `ftgate trainlog` read some."""
    path = run_dir / TRAINLOG
    return load_row(path, TrainLog, "trainlog") if path.is_file() else None


def report_run(run_dir: Path) -> tuple[Path, Path]:
    """`report`: writes report.md, report.html and error_analysis.ipynb; returns the first two paths."""
    manifest = load_manifest(run_dir)
    findings = load_row(run_dir / FINDINGS, Findings, "compare")
    texts = load_texts(run_dir, findings.top)
    material = ReportInput(
        manifest=manifest,
        comparisons=load_row(run_dir / COMPARISONS, Comparisons, "compare"),
        findings=findings,
        decision=load_row(run_dir / "decision.json", Decision, "decide"),
        qualification=load_qualification(run_dir),
        audit=load_audit(run_dir),
        training=load_trainlog(run_dir),
        leakage=load_leakage(run_dir),
        texts=texts,
        reviews=load_rows(run_dir / REVIEWS, CaseReview),
        newness=say_what_is_new(run_dir),
    )
    write_notebook(run_dir, texts)
    markdown = write_text(run_dir / "report.md", render_markdown(material))
    return markdown, write_text(run_dir / "report.html", render_html(material))
