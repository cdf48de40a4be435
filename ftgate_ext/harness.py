"""Drive lm-eval for each model of a policy: Policy in, run folder out.

Knows lm-eval and run folders; nothing of statistics or rules.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import secrets
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from ftgate_ext import __version__
from ftgate_ext.executors.backends import arguments_of, caveat_of, check_backend
from ftgate_ext.executors.local import run_here
from ftgate_ext.executors.ranks import agree, is_first
from ftgate_ext.executors.shards import OnResponse, RunPlan, Say, Work, count_unanswered
from ftgate_ext.executors.weights import identify_weights
from ftgate_ext.inference.client import Endpoint, check_endpoint, list_models, run_to_end
from ftgate_ext.inference.endpoints import endpoint_of
from ftgate_ext.inference.identity import note_changes, note_resumption
from ftgate_ext.lm_find import find_tasks
from ftgate_ext.lm_run import evaluate
from ftgate_ext.lm_tasks import describe_eval_sets, use_of
from ftgate_ext.policy import EvalSet
from ftgate_ext.policy_servers import CHAT_BACKEND
from ftgate_ext.prices import PRICE_LIST, write_price_list
from ftgate_ext.runs import (
    MANIFEST,
    POLICY_COPY,
    Until,
    find_unfinished,
    load_manifest,
    write_row,
    write_text,
)
from ftgate_ext.schema import (
    EvalSetUse,
    ModelCard,
    Role,
    RunError,
    RunManifest,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftgate_ext.policy import Policy

RECORDED_PACKAGES = ("lm_eval", "datasets", "numpy", "scipy", "aiohttp", "pydantic")
BACKEND_PACKAGES = ("torch", "transformers", "accelerate", "peft", "vllm")
"""Recorded too, where a model is loaded by a backend of lm-eval."""


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
    if not is_first():
        return _join_run(policy, policy_file)
    cards = [_card(role, policy, embedded_url) for role in policy.roles]
    tasks, uses = describe_eval_sets(policy, policy_file)
    output = Path(policy.run.output)
    found = run_dir or find_unfinished(output, policy.generation_hash, until=until)
    resumed = found is not None and (found / MANIFEST).is_file()
    if found and resumed:
        folder, manifest = found, _continued(found, policy, uses, cards)
    else:
        folder, manifest = _new_run(policy, found, uses, cards)
        write_text(folder / POLICY_COPY, policy_file.read_text(encoding="utf-8"))
        specs = [*policy.models.values(), *([policy.judge] if policy.judge else [])]
        if listed := write_price_list(spec.price for spec in specs):
            write_text(folder / PRICE_LIST, listed)
    write_row(folder / MANIFEST, manifest)
    agree((folder, manifest, resumed))
    return RunPlan(folder, manifest, tasks, resumed)


def _join_run(policy: Policy, policy_file: Path) -> RunPlan:
    """The run that the first process of `accelerate launch` has opened; nothing is written."""
    folder, manifest, resumed = agree(None)
    tasks, _uses = describe_eval_sets(policy, policy_file)
    return RunPlan(folder, manifest, tasks, resumed)


def _new_run(
    policy: Policy, folder: Path | None, uses: list[EvalSetUse], cards: list[ModelCard]
) -> tuple[Path, RunManifest]:
    """Folder and manifest of a run that begins now.

    Raises:
        RunError: The folder holds something else.
    """
    if folder and folder.is_dir() and any(folder.iterdir()):
        raise RunError(f"{folder}: not empty and no run of ftgate; name another --run-dir.")
    now = datetime.now(timezone.utc)
    run_id = f"{now:%Y%m%d-%H%M%S}-{policy.generation_hash[:6]}-{secrets.token_hex(2)}"
    manifest = RunManifest(
        run_id=folder.name if folder else run_id, policy_name=policy.name, policy_hash=policy.policy_hash,
        generation_hash=policy.generation_hash, created_at=now.isoformat(timespec="seconds"),
        models=cards, eval_sets=uses, seed=policy.run.seed, concurrency=policy.run.concurrency,
        warnings=_caveats(policy, cards), versions=_versions(policy),
    )  # fmt: skip
    return folder or Path(policy.run.output) / run_id, manifest


def _caveats(policy: Policy, cards: list[ModelCard]) -> list[str]:
    """What is odd from the start: a server that is down, a backend that hides failures."""
    hidden = {role: caveat_of(spec) for role, spec in policy.models.items()}
    down = [f"{c.role}: {warning}" for c in cards if c.served for warning in c.served.warnings]
    return [*down, *(f"{role}: {caveat}." for role, caveat in hidden.items() if caveat)]


def _continued(
    folder: Path, policy: Policy, uses: list[EvalSetUse], cards: list[ModelCard]
) -> RunManifest:
    """The manifest of a run to go on with; more cases than before are added to it.

    Raises:
        RunError: The run is of another policy, of other data or weights, or has more cases than are
            wanted.
    """
    manifest = load_manifest(folder)
    if manifest.generation_hash != policy.generation_hash:
        raise RunError(
            f"{folder}: made with policy {manifest.generation_hash[:12]}, but this one is {policy.generation_hash[:12]} (other models, eval sets or seed); name another --run-dir."
        )
    known = {use.task: use for use in manifest.eval_sets}
    uses = [known[u.task] if u.unavailable and u.task in known else u for u in uses]
    # A benchmark that was not at hand when the run began is as good as a larger limit.
    pairs = [(use, old) for use in uses if (old := known.get(use.task)) and not old.unavailable]
    changed = [use.task for use, old in pairs if use.sha256 != old.sha256]
    if changed:
        raise RunError(
            f"{folder}: the data of {changed[0]} has changed since this run began; name another --run-dir."
        )
    before = {card.role: card.weights for card in manifest.models}
    swapped = [c.role for c in cards if before.get(c.role) and before[c.role] != c.weights]
    if swapped:
        raise RunError(
            f"{folder}: the weights of {swapped[0]} have changed since this run began; name another --run-dir."
        )
    fewer = [use.task for use, old in pairs if use.n_requests < old.n_requests]
    if fewer:
        raise RunError(
            f"{folder}: has more cases of {fewer[0]} than `limit` now asks for; cases can be added to a run, not taken away. Name another --run-dir."
        )
    asked = {use.task: old.n_requests for use, old in pairs}
    more = any(use.n_requests > asked.get(use.task, 0) for use in uses)
    new = [line for line in _caveats(policy, cards) if line not in manifest.warnings]
    update = {"eval_sets": uses, "models": cards, "warnings": [*manifest.warnings, *new]} | (
        {"finished_at": None} if more else {}
    )
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return note_resumption(manifest, manifest.model_copy(update=update), now)


def _card(role: Role, policy: Policy, embedded_url: str | None) -> ModelCard:
    """Describe a model and make sure that its server serves it."""
    spec = policy.models[role]
    card = ModelCard(
        role=role, name=spec.name or spec.model, model=spec.model, endpoint=spec.address,
        hosting=spec.hosting, price=spec.price, backend=spec.backend,
    )  # fmt: skip
    if spec.backend != CHAT_BACKEND:
        check_backend(spec)
        weights = identify_weights(spec)
        return card.model_copy(update={"model_args": arguments_of(spec), "weights": weights})
    try:
        endpoint = endpoint_of(spec, policy.run, embedded_url)
        endpoint.headers()
    except RunError as error:
        if spec.optional:
            return card.model_copy(update={"absent": str(error)})
        raise
    return card.model_copy(update={"served": check_endpoint(endpoint)})


def _versions(policy: Policy) -> dict[str, str]:
    found = {"ftgate_ext": __version__, "python": platform.python_version()}
    for name in RECORDED_PACKAGES:
        found[name] = importlib.metadata.version(name)
    if all(spec.backend == CHAT_BACKEND for spec in policy.models.values()):
        return found
    for name in BACKEND_PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def run_models(
    plan: RunPlan,
    policy: Policy,
    embedded_url: str | None = None,
    on_response: OnResponse | None = None,
    say: Say = lambda _line: None,
    on_cluster: Callable[[Work], None] | None = None,
) -> RunManifest:
    """Ask every present model every eval set; answers that are there are not asked again.

    Args:
        plan: From `open_run`.
        policy: The same policy.
        embedded_url: Base URL of the embedded engine, where a model uses it.
        on_response: Progress.
        say: Takes lines for the user: which shard goes on, and what went wrong.
        on_cluster: Asks the shards elsewhere; in this process when left out.

    Returns:
        The manifest, finished unless requests went unanswered.

    Raises:
        RunError: A journal cannot be written, an endpoint is gone, or lm-eval wrote no results.
    """
    (on_cluster or run_here)(Work(plan, policy, embedded_url, on_response, say))
    if not is_first():
        return plan.manifest
    manifest = note_changes(plan.manifest, plan.run_dir)
    if not describe_unanswered(plan):  # else the same command asks them again
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        manifest = manifest.model_copy(update={"finished_at": now})
    write_row(plan.run_dir / MANIFEST, manifest)
    return manifest


def describe_unanswered(plan: RunPlan) -> list[str]:
    """One line for each model and eval set in which requests have no answer."""
    lines = []
    for card in plan.manifest.models:
        if card.absent is not None:
            continue
        lacking = count_unanswered(plan.run_dir / card.role, plan.manifest.eval_sets)
        lines += [
            f"{card.role} on {use.task}: {lacking[use.task]} of {use.n_requests} requests have no answer"
            for use in plan.manifest.eval_sets
            if lacking[use.task]
        ]
    return lines


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
    uses = use_of(tasks, EvalSet(task=task, kind="golden", limit=limit))
    folder = output.with_suffix("")
    journal = folder / "responses.jsonl"
    lm = FtgateChat(base_url, model, api_key_env, responses=str(journal))
    try:
        results = evaluate(lm, folder.name, folder.parent, uses, tasks, lm.seed)
    finally:
        lm.close()
    return write_text(output, json.dumps(results, indent=2, default=str, ensure_ascii=False) + "\n")
