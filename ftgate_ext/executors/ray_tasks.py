"""Ask the shards of a run as tasks of an existing Ray cluster.

The driver alone writes the run folder, as each shard comes back. Keys are read from the environment
of the worker that asks; none is part of a task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftgate_ext.executors.backends import asks_a_server
from ftgate_ext.executors.ranks import n_processes
from ftgate_ext.executors.remote import run_job
from ftgate_ext.executors.shards import JOURNAL, budget_left, deliver, only_writer, open_shards
from ftgate_ext.executors.shipping import Job, decisive_versions, pack_folders
from ftgate_ext.inference.journal import Journal, read_responses
from ftgate_ext.policy_servers import CHAT_BACKEND, EMBEDDED
from ftgate_ext.schema import UNSCORED_STATUSES, Response, RunError

if TYPE_CHECKING:
    from pathlib import Path

    from ftgate_ext.executors.shards import Shard, Work
    from ftgate_ext.executors.shipping import Done
    from ftgate_ext.policy_servers import ModelSpec
    from ftgate_ext.schema import Role

TRIES_AGAIN = 3
"""How often Ray starts a task again whose worker or node was lost."""

RAY_NAMES = ("num_cpus", "num_gpus", "memory")


def run_on_ray(work: Work, policy_file: Path, address: str) -> None:
    """Ask every open shard as a Ray task; each that is done is in the run folder at once.

    Args:
        work: The run.
        policy_file: Its gate.yaml: relative folders are shipped from beside it.
        address: Of the cluster, as `ray.init` takes it.

    Raises:
        RunError: Ray is missing, there is no cluster, or no node has what a model asks for.
    """
    ray = _connect(work, address)
    try:
        with only_writer(work.plan.run_dir):
            _run_all(ray, work, policy_file)
    finally:
        ray.shutdown()  # tasks still running end with their driver


def _connect(work: Work, address: str) -> Any:
    if n_processes() > 1:
        raise RunError("--executor ray: start it as one process, without accelerate launch.")
    for role, spec in work.policy.models.items():
        if spec.endpoint == EMBEDDED:
            raise RunError(
                f"{role}: the embedded engine answers on this machine only; with --executor ray name an endpoint that the nodes reach."
            )
    try:
        import ray
    except ImportError:
        raise RunError(
            "--executor ray needs the package ray; pip install 'ftgate-ext[ray]'."
        ) from None
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        said = " ".join(str(error).split())[:200]
        raise RunError(
            f"--ray-address {address}: no Ray cluster ({said}); start one with `ray start --head` and name it."
        ) from None
    return ray


def _run_all(ray: Any, work: Work, policy_file: Path) -> None:
    present = [card.role for card in work.plan.manifest.models if card.absent is None]
    waiting = [
        shard
        for role in present
        for shard in open_shards(work.plan.run_dir, role, work.plan.manifest.eval_sets)
    ]
    for role in {shard.role for shard in waiting}:
        _check_resources(ray, role, work.policy.models[role])
    packed = ray.put(pack_folders(work.policy, policy_file))
    task = ray.remote(run_job)
    running: dict[Any, Shard] = {}
    while waiting or running:
        for shard in _startable(waiting, list(running.values()), work):
            waiting.remove(shard)
            options = task_options(work.policy.models[shard.role])
            try:
                job = _job(work, shard)
            except RunError as error:  # the budget is spent; what runs may come to its end
                work.say(f"{shard}: {error}")
                continue
            running[task.options(**options).remote(job, packed)] = shard
            work.say(f"run {shard}: {shard.n_requests} cases as a Ray task")
        if not running:
            continue
        for reference in ray.wait(list(running), num_returns=1)[0]:
            _take_in(ray, work, running.pop(reference), reference)


def _startable(waiting: list[Shard], running: list[Shard], work: Work) -> list[Shard]:
    """What may start now: of a model behind a server one shard at a time, of the others all.

    Two shards at once would put twice the policy's `concurrency` on the same server.
    """
    busy = {shard.role for shard in running}
    chosen = []
    for shard in waiting:
        if asks_a_server(work.policy.models[shard.role]):
            if shard.role in busy:
                continue
            busy.add(shard.role)
        chosen.append(shard)
    return chosen


def task_options(spec: ModelSpec) -> dict[str, Any]:
    """What a task of this model asks Ray for: `resources` of the policy, in Ray's words."""
    own = {name: value for name, value in spec.resources.items() if name not in RAY_NAMES}
    known = {name: value for name, value in spec.resources.items() if name in RAY_NAMES}
    return {**known, "resources": own, "max_retries": TRIES_AGAIN, "retry_exceptions": False}


def _check_resources(ray: Any, role: Role, spec: ModelSpec) -> None:
    """Refuse what no node has: such a task would wait for ever."""
    words = {"num_cpus": "CPU", "num_gpus": "GPU"}
    wanted = {words.get(name, name): value for name, value in spec.resources.items()}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(node.get(n, 0) >= value for n, value in wanted.items()) for node in nodes):
        have = "; ".join(", ".join(f"{n} {node.get(n, 0):g}" for n in wanted) for node in nodes)
        raise RunError(
            f"{role}: `resources` asks for {', '.join(f'{n} {v:g}' for n, v in wanted.items())}, but no node has that (nodes have {have}). Mend `resources` or add a node."
        )


def _job(work: Work, shard: Shard) -> Job:
    return Job(
        policy=budget_left(work.plan.run_dir, work.policy), role=shard.role, name=shard.name, uses=shard.uses,
        known=_known(work, shard), versions=decisive_versions(),
    )  # fmt: skip


def _known(work: Work, shard: Shard) -> list[str]:
    path = work.plan.run_dir / shard.role / JOURNAL
    if work.policy.models[shard.role].backend != CHAT_BACKEND or not path.is_file():
        return []
    tasks = {use.task for use in shard.uses}
    good = [
        response
        for response in read_responses(path)
        if response.task in tasks and response.status not in UNSCORED_STATUSES
    ]
    return [response.model_dump_json(exclude_none=True) for response in good]


def _take_in(ray: Any, work: Work, shard: Shard, reference: Any) -> None:
    """Write what a task brought back, or say why it brought nothing."""
    try:
        done: Done = ray.get(reference)
    except ray.exceptions.RayError as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        work.say(
            f"{shard}: lost ({type(error).__name__}: {said[-1][:200]}); the same command again asks it."
        )
        return
    folder = work.plan.run_dir / shard.role
    responses = [Response.model_validate_json(line) for line in done.responses]
    if responses:
        journal = Journal(folder / JOURNAL, reuse=True)
        try:
            for response in responses:
                if not journal.find(response.request_hash, response.occurrence, response.case_id):
                    journal.append(response)
        finally:
            journal.close()
    if work.on_response:
        for response in responses:
            work.on_response(shard.role, response, False)
    if done.problem:
        work.say(f"{shard}: {done.problem}")
        return
    deliver(done.files, folder)
    work.say(f"run {shard}: done on node {done.node}")
