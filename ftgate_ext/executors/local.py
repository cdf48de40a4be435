"""Ask the shards of a run in this process, one model after the other."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftgate_ext.executors.backends import (
    DATA_PARALLEL,
    OneLine,
    asks_a_server,
    bars_on_terminals,
    load_backend,
    release,
)
from ftgate_ext.executors.ranks import agree, is_first, n_processes
from ftgate_ext.executors.shards import (
    JOURNAL,
    budget_left,
    deliver,
    only_writer,
    open_shards,
    read_results,
)
from ftgate_ext.lm_run import evaluate
from ftgate_ext.policy_servers import CHAT_BACKEND
from ftgate_ext.schema import RunError

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager

    from ftgate_ext.executors.shards import Shard, Work
    from ftgate_ext.policy import Policy
    from ftgate_ext.policy_servers import ModelSpec
    from ftgate_ext.schema import EvalSetUse, Role


def run_here(work: Work) -> None:
    """Ask every present model what it has not answered yet.

    A model that lm-eval itself loads and that fails is one line; the other models go on. In the
    processes of `accelerate launch` the first one says what is to be done.

    Raises:
        RunError: A journal cannot be written, an endpoint is gone, or several processes were
            started for something that they cannot share.
    """
    uses = work.plan.manifest.eval_sets
    present = [card.role for card in work.plan.manifest.models if card.absent is None]
    if n_processes() > 1:
        for role in present:
            _check_shareable(role, work.policy.models[role], uses)
    for role in present:
        spec = work.policy.models[role]
        shards = agree(open_shards(work.plan.run_dir, role, uses) if is_first() else [])
        if shards and spec.backend in DATA_PARALLEL:
            _run_backend(work, spec, shards)
        elif shards and is_first():
            _ask_alone(work, spec, shards)


def _ask_alone(work: Work, spec: ModelSpec, shards: list[Shard]) -> None:
    if spec.backend == CHAT_BACKEND:
        ask_endpoint(work, shards[0].role)
    else:
        _run_backend(work, spec, shards)


def _check_shareable(role: Role, spec: ModelSpec, uses: list[EvalSetUse]) -> None:
    if spec.backend not in DATA_PARALLEL and not asks_a_server(spec):
        raise RunError(
            f"{role}: backend {spec.backend} shares nothing out among processes; run it without accelerate launch (vllm has tensor_parallel_size and data_parallel_size in `model_args`)."
        )
    small = [use for use in uses if 0 < use.n_requests < n_processes()]
    if small and spec.backend in DATA_PARALLEL:
        raise RunError(
            f"{role} on {small[0].task}: {small[0].n_requests} cases for {n_processes()} processes; lm-eval needs a case for each. Start fewer processes."
        )


def ask_endpoint(work: Work, role: Role) -> None:
    """Ask a chat endpoint all eval sets at once; the journal knows what is answered already."""
    plan, show = work.plan, work.on_response
    policy = budget_left(plan.run_dir, work.policy)
    lm = chat_model(policy, role, plan.run_dir / role / JOURNAL, work.embedded_url)
    lm.on_response = (lambda response, known: show(role, response, known)) if show else None
    try:
        evaluate(lm, role, plan.run_dir, plan.manifest.eval_sets, plan.tasks, work.policy.run.seed)
    finally:
        lm.close()


def chat_model(policy: Policy, role: Role, journal: Path, embedded_url: str | None = None) -> Any:
    """The lm-eval model of a chat endpoint, with the limits of the policy.

    Raises:
        RunError: The endpoint does not serve the model, or another process writes the journal.
    """
    from ftgate_ext.inference.endpoints import endpoint_of
    from ftgate_ext.inference.lm import FtgateChat

    spec, run = policy.models[role], policy.run
    endpoint = endpoint_of(spec, run, embedded_url)
    return FtgateChat(
        endpoint.base_url, spec.model, max_tokens=run.max_tokens, seed=run.seed,
        responses=str(journal), reuse=True, endpoint=endpoint,
    )  # fmt: skip


def _run_backend(work: Work, spec: ModelSpec, shards: list[Shard]) -> None:
    try:
        with only_writer(work.plan.run_dir) if is_first() else nullcontext():
            lm = load_backend(spec, work.policy.run.max_tokens)
            try:
                for shard in shards:
                    _ask_backend(work, spec, lm, shard)
            finally:
                del lm
                release()
    except RunError as error:
        if n_processes() > 1 and spec.backend in DATA_PARALLEL:
            raise  # the other processes wait in the middle of a computation
        work.say(f"{shards[0].role}: {error}")


def _ask_backend(work: Work, spec: ModelSpec, lm: Any, shard: Shard) -> None:
    work.say(f"run {shard}: {shard.n_requests} cases through {spec.backend}")
    files = evaluate_shard(lm, spec, shard.uses, work.plan.tasks, work.policy.run.seed, str(shard))
    if is_first():
        deliver(files, work.plan.run_dir / shard.role)


def evaluate_shard(
    lm: Any, spec: ModelSpec, uses: list[EvalSetUse], tasks: TaskManager, seed: int, where: str
) -> dict[str, bytes]:
    """Let lm-eval evaluate one model on one entry of `eval_sets`.

    Args:
        lm: The model.
        spec: Of the policy.
        uses: What it is asked.
        tasks: Where the tasks are found.
        seed: Of the run.
        where: What messages call the shard.

    Returns:
        lm-eval's files, name -> content; none in a further process of a launcher.

    Raises:
        RunError: Whatever lm-eval raised, in one line.
    """
    place = tempfile.TemporaryDirectory(prefix="ftgate-")
    with place as folder, OneLine(where), bars_on_terminals():
        evaluate(lm, "model", Path(folder), uses, tasks, seed, chat_template=spec.chat_template)
        return read_results(Path(folder) / "model")
