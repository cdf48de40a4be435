"""Ask one shard on the machine where this runs, from what was shipped there. Knows no Ray."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ftgate_ext.executors.backends import load_backend, release
from ftgate_ext.executors.local import chat_model, evaluate_shard
from ftgate_ext.executors.shards import JOURNAL
from ftgate_ext.executors.shipping import Done, Folder, Job, decisive_versions, unpack_folders
from ftgate_ext.policy_servers import CHAT_BACKEND
from ftgate_ext.schema import FtgateError, RunError

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager


def run_job(job: Job, packed: dict[str, Folder]) -> Done:
    """Ask one model one entry of `eval_sets`; what goes wrong is said in `problem`."""
    node = socket.gethostname()
    try:
        with tempfile.TemporaryDirectory(prefix="ftgate-") as folder:
            return _run(job, packed, Path(folder), node)
    except FtgateError as error:
        return Done(problem=f"on node {node}: {error}", node=node)


def _run(job: Job, packed: dict[str, Folder], folder: Path, node: str) -> Done:
    _check_versions(job)
    tasks = _find_tasks(job, packed, folder)
    spec, run = job.policy.models[job.role], job.policy.run
    where = f"{job.role} on {job.name}"
    if spec.backend != CHAT_BACKEND:
        lm = load_backend(spec, run.max_tokens)
        files = evaluate_shard(lm, spec, job.uses, tasks, run.seed, where)
        del lm
        release()
        return Done(files, node=node)
    journal = folder / JOURNAL
    journal.write_text("".join(line + "\n" for line in job.known), encoding="utf-8")
    lm = chat_model(job.policy, job.role, journal)
    lm.on_response = lambda _response, _known: None
    files, problem = {}, None
    try:
        files = evaluate_shard(lm, spec, job.uses, tasks, run.seed, where)
    except FtgateError as error:  # what was answered before it is paid for: it goes back too
        problem = f"on node {node}: {error}"
    finally:
        lm.close()
    lines = journal.read_text(encoding="utf-8").split("\n")
    return Done(files, [line for line in lines[len(job.known) :] if line], problem, node)


def _check_versions(job: Job) -> None:
    for name, here in decisive_versions().items():
        if job.versions.get(name) != here:
            raise RunError(
                f"{name} {here}, but {job.versions.get(name)} where the run was started; install the same everywhere."
            )


def _find_tasks(job: Job, packed: dict[str, Folder], folder: Path) -> TaskManager:
    """The tasks, on the same data as where the run was started.

    Raises:
        EvalSetError: The task or its data is not here.
        RunError: The data is another.
    """
    from ftgate_ext.lm_tasks import describe_eval_sets

    policy = unpack_folders(packed, job.policy, folder / "shipped")
    mine = [e for e in policy.eval_sets if e.task == job.name]
    tasks, uses = describe_eval_sets(
        policy.model_copy(update={"eval_sets": mine}), folder / "gate.yaml"
    )
    for wanted, found in zip(job.uses, uses, strict=True):
        if found.unavailable:
            raise RunError(found.unavailable)
        if (wanted.task, wanted.sha256, wanted.n_rows) != (found.task, found.sha256, found.n_rows):
            raise RunError(
                f"{wanted.task}: its data here is not that of the run ({found.n_rows} rows in {found.file}); put the data below a folder of `task_paths`, or on a path that all nodes share."
            )
        wanted.data = found.data
    return tasks
