"""The stages as the command line runs them: with the embedded engine where needed, and progress."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ftgate_ext.policy import Policy, load_policy
from ftgate_ext.progress import Progress
from ftgate_ext.runs import LEAKAGE, MANIFEST, POLICY_COPY, Until, write_row
from ftgate_ext.schema import ROLES, Comparisons, Decision, Role, RunError
from ftgate_ext.settings import Settings

if TYPE_CHECKING:
    from ftgate_ext.schema import RunManifest


def run_policy(policy_file: Path, run_dir: Path | None = None, *, quiet: bool = False) -> Path:
    """The stage `run`; returns the run folder."""
    from ftgate_ext.inference.endpoints import embedded_engine

    policy = load_policy(policy_file)
    with embedded_engine(_run_models(policy)) as url:
        return _run(policy, policy_file, run_dir, url, until="run", quiet=quiet)


def _run_models(policy: Policy) -> list[str]:
    from ftgate_ext.inference.endpoints import embedded_models

    return embedded_models(policy.model_copy(update={"judge": None}))


def _run(
    policy: Policy,
    policy_file: Path,
    run_dir: Path | None,
    url: str | None,
    *,
    until: Until,
    quiet: bool,
) -> Path:
    from ftgate_ext.harness import open_run, run_models

    plan = open_run(policy, policy_file, run_dir, url, until)
    if policy.training_data:
        from ftgate_ext.leaks import find_leaks

        write_row(plan.run_dir / LEAKAGE, find_leaks(policy, policy_file, plan.tasks))
    with Progress(_total(plan.manifest), "run", quiet=quiet) as progress:
        if plan.resumed:
            progress.say(
                f"Resuming {plan.run_dir} of {plan.manifest.created_at}: "
                "answers already there are not asked again."
            )
        manifest = run_models(plan, policy, url, progress.on_model_response)
        if manifest.finished_at is None:
            progress.say("Some requests have no answer; the same command again asks only those.")
    return plan.run_dir


def _total(manifest: RunManifest) -> int:
    models = sum(card.absent is None for card in manifest.models)
    return models * sum(use.n_requests for use in manifest.eval_sets)


def judge_policy(run_dir: Path, *, quiet: bool = False) -> str:
    """The stage `judge`; returns one line for the user."""
    from ftgate_ext.inference.endpoints import embedded_engine, embedded_models

    policy = load_policy(_policy_copy(run_dir))
    alone = policy.model_copy(update={"models": {}})
    with embedded_engine(embedded_models(alone)) as url:
        return _judge(policy, run_dir, url, quiet=quiet)


def _policy_copy(run_dir: Path) -> Path:
    if not (run_dir / MANIFEST).is_file():
        raise RunError(f"{run_dir}: no run folder (no {MANIFEST}); make one with `ftgate run`.")
    return run_dir / POLICY_COPY


def _judge(policy: Policy, run_dir: Path, url: str | None, *, quiet: bool) -> str:
    from ftgate_ext.inference.endpoints import endpoint_of
    from ftgate_ext.judge.stage import judge_run

    spec = policy.judge
    if spec is None:
        return "The policy names no judge: nothing to do."
    endpoint = endpoint_of(spec, policy.run, url)
    with Progress(0, "judge", quiet=quiet) as progress:
        qualification = judge_run(run_dir, policy, endpoint, progress.start, progress.on_response)
    if qualification.fit:
        return f"Judge {spec.model}: fit to vote on {qualification.n_pairs} pairs."
    return f"Judge {spec.model}: NOT fit to vote. {qualification.reasons[0]}"


def compare_any(
    runs: list[str], output: Path, cluster: str | None = None
) -> tuple[Comparisons, Path]:
    """The stage `compare` on one run folder, or on role=folder pairs; returns where it wrote too.

    Raises:
        RunError: The arguments are neither, or a folder holds no results.
    """
    from ftgate_ext.stages import compare_folders, compare_run

    if len(runs) == 1 and "=" not in runs[0]:
        run_dir = Path(runs[0])
        _policy_copy(run_dir)
        return compare_run(run_dir), run_dir
    folders: dict[Role, Path] = {}
    for argument in runs:
        role, sign, folder = argument.partition("=")
        if not sign or role not in ROLES:
            raise RunError(
                f"{argument!r}: expected one run folder, or role=folder with a role of {', '.join(ROLES)}."
            )
        folders[role] = Path(folder)
    settings = Settings(cluster_fields={"*": cluster} if cluster else {})
    return compare_folders(folders, output, output.name, settings), output


def run_gate(
    policy_file: Path, run_dir: Path | None = None, *, quiet: bool = False
) -> tuple[Decision, Path]:
    """All stages, with one embedded engine for models and judge; also returns the run folder."""
    from ftgate_ext.inference.endpoints import embedded_engine, embedded_models
    from ftgate_ext.stages import compare_run, decide_run, report_run

    policy = load_policy(policy_file)
    with embedded_engine(embedded_models(policy)) as url:
        folder = _run(policy, policy_file, run_dir, url, until="gate", quiet=quiet)
        if policy.judge:
            _judge(policy, folder, url, quiet=quiet)
    compare_run(folder, policy_file)
    decision = decide_run(folder, policy_file)
    report_run(folder)
    return decision, folder
