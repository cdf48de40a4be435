"""Drive lm-eval for each model of a policy: Policy in, run folder out.

Knows lm-eval and run folders; nothing of statistics or rules.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from ftgate_ext import __version__
from ftgate_ext.inference.client import Endpoint, check_endpoint, list_models, run_to_end
from ftgate_ext.inference.endpoints import endpoint_of
from ftgate_ext.lm_run import evaluate
from ftgate_ext.lm_tasks import describe_eval_sets, find_tasks, use_of
from ftgate_ext.runs import (
    MANIFEST,
    POLICY_COPY,
    Until,
    find_unfinished,
    load_manifest,
    load_model_records,
    write_row,
    write_text,
)
from ftgate_ext.schema import (
    EvalSetUse,
    ModelCard,
    Response,
    Role,
    RunError,
    RunManifest,
)

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager

    from ftgate_ext.policy import Policy

RECORDED_PACKAGES = ("lm_eval", "datasets", "numpy", "scipy", "aiohttp", "pydantic")

OnResponse = Callable[[Role, Response, bool], None]
"""Called with the role, every response, and whether it came from the journal."""


@dataclass(frozen=True)
class RunPlan:
    """A run folder and the models that take part in it."""

    run_dir: Path
    manifest: RunManifest
    tasks: TaskManager
    resumed: bool


def open_run(
    policy: Policy,
    policy_file: Path,
    run_dir: Path | None = None,
    embedded_url: str | None = None,
    until: Until = "run",
) -> RunPlan:
    """Check endpoints and data, then open a new run folder or the unfinished one of this policy.

    Args:
        policy: What to run.
        policy_file: Its gate.yaml: `task_paths` are relative to it, and a copy stays with the run.
        run_dir: Where to run; chosen under `run.output` when left out.
        embedded_url: Base URL of the embedded engine, where a model uses it.
        until: Which command is to be resumed.

    Raises:
        EvalSetError: A task is unknown or its data is broken.
        RunError: An endpoint is down, does not serve its model, or the folder belongs to another
            policy. Nothing has been written then.
    """
    cards = [_card(role, policy, embedded_url) for role in policy.roles]
    tasks, uses = describe_eval_sets(policy, policy_file)
    output = Path(policy.run.output)
    found = run_dir or find_unfinished(output, policy.generation_hash, until=until)
    if found and (found / MANIFEST).is_file():
        manifest = _continued(found, policy, uses).model_copy(update={"models": cards})
        write_row(found / MANIFEST, manifest)
        return RunPlan(found, manifest, tasks, resumed=True)
    if found and found.is_dir() and any(found.iterdir()):
        raise RunError(f"{found}: not empty and no run of ftgate; name another --run-dir.")
    now = datetime.now(timezone.utc)
    run_id = f"{now:%Y%m%d-%H%M%S}-{policy.generation_hash[:6]}-{secrets.token_hex(2)}"
    manifest = RunManifest(
        run_id=found.name if found else run_id, policy_name=policy.name, policy_hash=policy.policy_hash,
        generation_hash=policy.generation_hash, created_at=now.isoformat(timespec="seconds"),
        models=cards, eval_sets=uses, seed=policy.run.seed, concurrency=policy.run.concurrency, versions=_versions(),
    )  # fmt: skip
    folder = found or Path(policy.run.output) / run_id
    write_row(folder / MANIFEST, manifest)
    write_text(folder / POLICY_COPY, policy_file.read_text(encoding="utf-8"))
    return RunPlan(folder, manifest, tasks, resumed=False)


def _continued(folder: Path, policy: Policy, uses: list[EvalSetUse]) -> RunManifest:
    """The manifest of a run to go on with; more cases than before are added to it.

    Raises:
        RunError: The run is of another policy, of other data, or has more cases than are wanted.
    """
    manifest = load_manifest(folder)
    if manifest.generation_hash != policy.generation_hash:
        raise RunError(
            f"{folder}: made with policy {manifest.generation_hash[:12]}, but this one is {policy.generation_hash[:12]} (other models, eval sets or seed); name another --run-dir."
        )
    pairs = list(zip(uses, manifest.eval_sets, strict=False))
    changed = [use.task for use, old in pairs if use.sha256 != old.sha256]
    if changed:
        raise RunError(
            f"{folder}: the data of {changed[0]} has changed since this run began; name another --run-dir."
        )
    fewer = [use.task for use, old in pairs if use.n_requests < old.n_requests]
    if fewer:
        raise RunError(
            f"{folder}: has more cases of {fewer[0]} than `limit` now asks for; cases can be added to a run, not taken away. Name another --run-dir."
        )
    more = any(use.n_requests > old.n_requests for use, old in pairs)
    update = {"eval_sets": uses} | ({"finished_at": None} if more else {})
    return manifest.model_copy(update=update)


def _card(role: Role, policy: Policy, embedded_url: str | None) -> ModelCard:
    """Describe a model and make sure that its server serves it."""
    spec = policy.models[role]
    card = ModelCard(
        role=role, name=spec.name or spec.model, model=spec.model, endpoint=spec.address,
        hosting=spec.hosting, price=spec.price,
    )  # fmt: skip
    try:
        endpoint = endpoint_of(spec, policy.run, embedded_url)
        endpoint.headers()
    except RunError as error:
        if spec.optional:
            return card.model_copy(update={"absent": str(error)})
        raise
    return card.model_copy(update={"served": check_endpoint(endpoint)})


def _versions() -> dict[str, str]:
    found = {"ftgate_ext": __version__, "python": platform.python_version()}
    for name in RECORDED_PACKAGES:
        found[name] = importlib.metadata.version(name)
    return found


def run_models(
    plan: RunPlan,
    policy: Policy,
    embedded_url: str | None = None,
    on_response: OnResponse | None = None,
) -> RunManifest:
    """Ask every present model every eval set; answers that the journals hold are not asked again.

    Args:
        plan: From `open_run`.
        policy: The same policy.
        embedded_url: Base URL of the embedded engine, where a model uses it.
        on_response: Progress.

    Returns:
        The manifest, finished unless requests went unanswered.

    Raises:
        RunError: A journal cannot be written, or lm-eval wrote no results.
    """
    for card in plan.manifest.models:
        if card.absent is None:
            _run_model(plan, card.role, policy, embedded_url, on_response)
    present = [card.role for card in plan.manifest.models if card.absent is None]
    if not all(_is_complete(plan.run_dir / role, plan.manifest.eval_sets) for role in present):
        return plan.manifest  # some requests failed: the same command asks them again
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    finished = plan.manifest.model_copy(update={"finished_at": now})
    write_row(plan.run_dir / MANIFEST, finished)
    return finished


def _run_model(
    plan: RunPlan,
    role: Role,
    policy: Policy,
    embedded_url: str | None,
    on_response: OnResponse | None,
) -> None:
    from ftgate_ext.inference.lm import FtgateChat

    folder = plan.run_dir / role
    if _is_complete(folder, plan.manifest.eval_sets):
        return
    spec = policy.models[role]
    endpoint = endpoint_of(spec, policy.run, embedded_url)
    lm = FtgateChat(
        base_url=endpoint.base_url, model=spec.model, api_key_env=spec.api_key_env,
        num_concurrent=policy.run.concurrency, timeout=policy.run.timeout_s,
        max_retries=policy.run.max_attempts, max_tokens=policy.run.max_tokens, seed=policy.run.seed, price=spec.price,
        responses=str(folder / "responses.jsonl"), reuse=True,
        on_response=(lambda response, known: on_response(role, response, known)) if on_response else None,
    )  # fmt: skip
    try:
        evaluate(lm, role, plan.run_dir, plan.manifest.eval_sets, plan.tasks, policy.run.seed)
    finally:
        lm.close()


def _is_complete(folder: Path, uses: list[EvalSetUse]) -> bool:
    """Whether results of every eval set are there and every request was answered."""
    if not any(folder.glob("results_*.json")):
        return False
    try:
        records = load_model_records(folder).records
    except RunError:  # killed while lm-eval wrote; the journal has the answers
        return False
    asked = all(len(records.get(use.task, [])) == use.n_requests for use in uses)
    return asked and not any(r.scores.get("unanswered") for rows in records.values() for r in rows)


def evaluate_endpoint(
    base_url: str,
    task: str,
    output: Path,
    model: str | None = None,
    api_key_env: str | None = None,
    limit: int | None = None,
) -> Path:
    """Ask one endpoint one eval set, without a policy, and write lm-eval's results as one JSON.

    Args:
        base_url: The endpoint, ending in /v1.
        task: An lm-eval task.
        output: The file to write; samples and responses go to a folder of the same name beside it.
        model: The name to ask for; asked from the server where it serves only one.
        api_key_env: Environment variable with the key.
        limit: Only the first so many cases.

    Raises:
        RunError: The server does not answer, or serves several models and none is named.
        EvalSetError: lm-eval knows no such task.
    """
    from ftgate_ext.inference.lm import FtgateChat

    if model is None:
        served = run_to_end(list_models(Endpoint(base_url, "", api_key_env), timeout_s=10))
        if len(served) != 1:
            raise RunError(f"{base_url}: serves {', '.join(served) or 'no model'}; name one.")
        model = served[0]
    tasks = find_tasks([task], [])
    uses = use_of(tasks, task, limit)
    folder = output.with_suffix("")
    journal = folder / "responses.jsonl"
    lm = FtgateChat(base_url, model, api_key_env, responses=str(journal))
    try:
        results = evaluate(lm, folder.name, folder.parent, uses, tasks, lm.seed)
    finally:
        lm.close()
    return write_text(output, json.dumps(results, indent=2, default=str, ensure_ascii=False) + "\n")
