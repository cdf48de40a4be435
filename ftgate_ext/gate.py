"""The stages as the command line runs them: with the embedded engine where needed, and progress."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ftgate_ext.capability.words import describe_uses
from ftgate_ext.policy import Policy, load_policy
from ftgate_ext.policy_benchmarks import describe_choices
from ftgate_ext.policy_servers import CHAT_BACKEND
from ftgate_ext.progress import Progress
from ftgate_ext.runs import LEAKAGE, MANIFEST, POLICY_COPY, Until, write_row
from ftgate_ext.schema import ROLES, Comparisons, Decision, Role, RunError
from ftgate_ext.settings import Settings
from ftgate_ext.terminal import show

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from ftgate_ext.executors.shards import Work
    from ftgate_ext.inference.client import Endpoint
    from ftgate_ext.judge.batch_asking import BatchWish
    from ftgate_ext.schema import Qualification, RunManifest


def run_policy(
    policy_file: Path,
    run_dir: Path | None = None,
    *,
    quiet: bool = False,
    on_ray: str | None = None,
    latency: int | None = None,
) -> Path:
    """The stage `run`; returns the run folder.

    Args:
        policy_file: A gate.yaml.
        run_dir: The folder to make or to resume.
        quiet: No progress.
        on_ray: Address of a Ray cluster whose nodes ask; this process when left out.
        latency: Then also measure the models in turn, with so many requests in flight.
    """
    from ftgate_ext.inference.endpoints import embedded_engine

    policy = load_policy(policy_file)
    until: Until = "run" if latency is None else "latency"
    with embedded_engine(_run_models(policy)) as url:
        folder = _run(policy, policy_file, run_dir, url, until=until, quiet=quiet, on_ray=on_ray)
        if latency is not None:
            _measure_latency(folder, policy, url, latency, quiet=quiet)
    return folder


def _measure_latency(
    folder: Path, policy: Policy, url: str | None, concurrency: int, *, quiet: bool
) -> None:
    from ftgate_ext.latency import measure_latency

    with Progress(0, "latency", quiet=quiet) as progress:
        run = measure_latency(
            folder, policy, url, concurrency, progress.start, progress.on_model_response
        )
        for role, why in run.absent.items():
            progress.say(f"latency: {role} is not measured in turn: {why}")
        if run.finished_at is None:
            progress.say("latency: some requests have no answer; the same command asks them again.")


def _run_models(policy: Policy) -> list[str]:
    """What the embedded engine serves during the run, in the process that asks."""
    from ftgate_ext.executors.ranks import is_first
    from ftgate_ext.inference.endpoints import embedded_models

    return embedded_models(policy.model_copy(update={"judge": None})) if is_first() else []


def _run(
    policy: Policy,
    policy_file: Path,
    run_dir: Path | None,
    url: str | None,
    *,
    until: Until,
    quiet: bool,
    on_ray: str | None = None,
) -> Path:
    from ftgate_ext.executors.ranks import is_first
    from ftgate_ext.harness import describe_unanswered, open_run, run_models

    plan = open_run(policy, policy_file, run_dir, url, until)
    if not is_first():
        run_models(plan, policy)
        sys.exit(0)  # the first process goes on alone
    if policy.judge and policy.judge.labels:
        from ftgate_ext.judge.pair_labels import keep_labels

        keep_labels(policy, policy_file, plan.run_dir)
    if policy.taxonomy:
        from ftgate_ext.findings.taxonomy import keep_taxonomy

        keep_taxonomy(policy, policy_file, plan.run_dir)
    if policy.training_data:
        from ftgate_ext.leaks import find_leaks

        write_row(plan.run_dir / LEAKAGE, find_leaks(policy, policy_file, plan.tasks))
    with Progress(_total(plan.manifest), "run", quiet=quiet) as progress:
        if plan.resumed:
            progress.say(
                f"Resuming {plan.run_dir} of {plan.manifest.created_at}: "
                "answers already there are not asked again."
            )
        for line in [*describe_choices(policy), *_capability_lines(policy, plan.manifest)]:
            progress.say(line)
        executor = _on_ray(policy_file, on_ray) if on_ray else None
        done = run_models(plan, policy, url, progress.on_model_response, progress.say, executor)
        for warning in done.warnings:
            progress.say(f"Warning: {warning}")
        lacking = describe_unanswered(plan)
        for line in lacking:
            progress.say(f"{line}.")
        if lacking:
            progress.say("Some requests have no answer; the same command again asks only those.")
    return plan.run_dir


def _on_ray(policy_file: Path, address: str) -> Callable[[Work], None]:
    from ftgate_ext.executors.ray_tasks import run_on_ray

    return lambda work: run_on_ray(work, policy_file, address)


def _capability_lines(policy: Policy, manifest: RunManifest) -> list[str]:
    """What is asked of the benchmarks: a draw of which cases, with how many worked examples."""
    named = {s.task for s in policy.eval_sets if s.kind == "capability"}
    return describe_uses(u for u in manifest.eval_sets if (u.group or u.task) in named)


def _total(manifest: RunManifest) -> int:
    models = sum(c.absent is None and c.backend == CHAT_BACKEND for c in manifest.models)
    return models * sum(use.n_requests * use.turns for use in manifest.eval_sets)


def judge_policy(run_dir: Path, *, quiet: bool = False, batch: BatchWish | None = None) -> str:
    """The stage `judge`; returns one line for the user.

    Args:
        run_dir: A run folder.
        quiet: No progress.
        batch: Ask through the Batch API, and how.
    """
    from ftgate_ext.judge.batch_asking import refuse_embedded

    policy = load_policy(_policy_copy(run_dir))
    if batch:
        refuse_embedded(policy)
    with _judge_engine(policy) as url:
        return _judge(policy, run_dir, url, quiet=quiet, batch=batch)


def qualify_policy(
    policy_file: Path, pairs: Path | None = None, *, quiet: bool = False
) -> Qualification:
    """Examine the judge of a policy on pairs whose better answer is known, without a run.

    Args:
        policy_file: A gate.yaml with a `judge`.
        pairs: Other pairs than those that the policy names.
        quiet: No progress.
    """
    from ftgate_ext.judge.stage import qualify_judge

    policy = load_policy(policy_file)
    with _judge_engine(policy) as url, Progress(0, "qualify", quiet=quiet) as progress:
        return qualify_judge(
            policy, _judge_endpoint(policy, url), policy_file.parent, pairs,
            progress.start, progress.on_response,
        )  # fmt: skip


def _judge_engine(policy: Policy) -> AbstractContextManager[str | None]:
    from ftgate_ext.inference.endpoints import embedded_engine, embedded_models

    return embedded_engine(embedded_models(policy.model_copy(update={"models": {}})))


def _judge_endpoint(policy: Policy, url: str | None) -> Endpoint | None:
    """Where the judge answers; None for one whose verdicts are recorded, or where there is none."""
    from ftgate_ext.inference.endpoints import endpoint_of

    spec = policy.judge
    return endpoint_of(spec, policy.run, url) if spec and spec.replay is None else None


def _policy_copy(run_dir: Path) -> Path:
    if not (run_dir / MANIFEST).is_file():
        raise RunError(f"{run_dir}: no run folder (no {MANIFEST}); make one with `ftgate run`.")
    return run_dir / POLICY_COPY


def _judge(
    policy: Policy,
    run_dir: Path,
    url: str | None,
    *,
    quiet: bool,
    policy_dir: Path | None = None,
    batch: BatchWish | None = None,
) -> str:
    from ftgate_ext.findings.by_judge import sort_by_judge
    from ftgate_ext.inference.client import ask_all
    from ftgate_ext.judge.batch_asking import batch_asker
    from ftgate_ext.judge.stage import judge_run

    spec = policy.judge
    if spec is None:
        return "The policy names no judge: nothing to do."
    endpoint = _judge_endpoint(policy, url)
    with Progress(0, "judge", quiet=quiet) as progress:
        ask = batch_asker(policy, run_dir, batch, progress.say) if batch else ask_all
        qualification = judge_run(
            run_dir, policy, endpoint, progress.start, progress.on_response, policy_dir, ask
        )
    with Progress(0, "failures", quiet=quiet) as progress:
        sort_by_judge(
            run_dir, policy, endpoint, fit=qualification.fit,
            on_start=progress.start, on_response=progress.on_response,
        )  # fmt: skip
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
    policy_file: Path,
    run_dir: Path | None = None,
    *,
    quiet: bool = False,
    on_ray: str | None = None,
) -> tuple[Decision, Path]:
    """All stages, with one embedded engine for models and judge; also returns the run folder."""
    from ftgate_ext.executors.ranks import is_first
    from ftgate_ext.inference.endpoints import embedded_engine, embedded_models
    from ftgate_ext.signals import tell_others
    from ftgate_ext.stages import compare_run, decide_run, report_run

    policy = load_policy(policy_file)
    names = embedded_models(policy) if is_first() else []
    with embedded_engine(names) as url:
        folder = _run(policy, policy_file, run_dir, url, until="gate", quiet=quiet, on_ray=on_ray)
        if policy.judge:
            _judge(policy, folder, url, quiet=quiet, policy_dir=policy_file.parent)
    compare_run(folder, policy_file)
    decision = decide_run(folder, policy_file)
    report_run(folder)
    tell_others(folder, policy_file, lambda line: show(line, error=True))
    return decision, folder
