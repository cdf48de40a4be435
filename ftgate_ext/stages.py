"""One function a stage: run folder in, files of the next stage out. The command line calls these."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ftgate_ext.compare import compare_models
from ftgate_ext.decision import decide
from ftgate_ext.findings import find_failures
from ftgate_ext.judge.stage import JUDGMENTS, QUALIFICATION
from ftgate_ext.policy import Policy, load_policy
from ftgate_ext.report import ReportInput, render_html, render_markdown
from ftgate_ext.runs import (
    MANIFEST,
    POLICY_COPY,
    load_manifest,
    load_model_records,
    load_row,
    load_rows,
    model_folders,
    write_row,
    write_text,
)
from ftgate_ext.schema import (
    Comparisons,
    Decision,
    Findings,
    Judgment,
    Qualification,
    Role,
    RunError,
    RunManifest,
)
from ftgate_ext.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


def compare_run(run_dir: Path) -> Comparisons:
    """`compare` on a run folder: writes comparisons.json and findings.json.

    Raises:
        RunError: The run is unfinished, or a file of it is missing or broken.
    """
    manifest = load_manifest(run_dir)
    folders = model_folders(run_dir)
    unasked = [c.role for c in manifest.models if c.absent is None and c.role not in folders]
    if unasked:
        raise RunError(
            f"{run_dir}: {', '.join(unasked)} has no results yet; `ftgate run` on the same gate.yaml finishes."
        )
    policy = load_policy(run_dir / POLICY_COPY)
    settings = Settings(resamples=policy.run.resamples, seed=policy.run.seed)
    return compare_folders(folders, run_dir, manifest.run_id, settings)


def compare_folders(
    folders: dict[Role, Path], output: Path, run_id: str, settings: Settings
) -> Comparisons:
    """`compare` on folders of any origin: writes comparisons.json and findings.json to `output`.

    Args:
        folders: Role -> a model's folder of a run, or one that a bare lm_eval wrote.
        output: Where to write; judgments there are taken in.
        run_id: For the record.
        settings: Resamples, seed and level.
    """
    models = {role: load_model_records(folder) for role, folder in folders.items()}
    comparisons = compare_models(
        models, load_rows(output / JUDGMENTS, Judgment), run_id, output, settings
    )
    write_row(output / "comparisons.json", comparisons)
    write_row(output / "findings.json", find_failures(models))
    return comparisons


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
    comparisons = load_row(run_dir / "comparisons.json", Comparisons, "compare")
    decision = decide(
        policy,
        comparisons,
        load_qualification(run_dir),
        datetime.now(timezone.utc).date(),
        warnings,
    )
    write_row(run_dir / "decision.json", decision)
    return decision


def _policy_warnings(run_dir: Path, manifest: RunManifest, policy: Policy) -> list[str]:
    if policy.generation_hash != manifest.generation_hash:
        raise RunError(
            f"{run_dir}: made with other models, eval sets or seed than this policy names ({manifest.generation_hash[:12]}, not {policy.generation_hash[:12]}); run it with `ftgate run`."
        )
    warnings = [f"{c.role} took no part: {c.absent}" for c in manifest.models if c.absent]
    if policy.policy_hash != manifest.policy_hash:
        warnings.append(
            "The rules were changed after the run began: this decision uses the new ones."
        )
    return warnings


def load_qualification(run_dir: Path) -> Qualification | None:
    """The judge's qualification, if a judge was asked."""
    path = run_dir / QUALIFICATION
    return load_row(path, Qualification, "judge") if path.is_file() else None


def report_run(run_dir: Path) -> tuple[Path, Path]:
    """`report`: writes report.md and report.html, and returns their paths."""
    material = ReportInput(
        manifest=load_row(run_dir / MANIFEST, RunManifest, "run"),
        comparisons=load_row(run_dir / "comparisons.json", Comparisons, "compare"),
        findings=load_row(run_dir / "findings.json", Findings, "compare"),
        decision=load_row(run_dir / "decision.json", Decision, "decide"),
        qualification=load_qualification(run_dir),
    )
    markdown = write_text(run_dir / "report.md", render_markdown(material))
    return markdown, write_text(run_dir / "report.html", render_html(material))
