"""A run in pieces: one model on one entry of `eval_sets` is a shard, asked and written as a whole.

Knows run folders and which of their shards are answered; asks nobody.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ftgate_ext.inference.journal import read_responses
from ftgate_ext.lm_run import later_stamp
from ftgate_ext.runs import find_results, read_task, write_text
from ftgate_ext.schema import EvalSetUse, Response, Role, RunError, RunManifest
from ftgate_ext.scores import is_unanswered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lm_eval.tasks import TaskManager

    from ftgate_ext.policy import Policy

OnResponse = Callable[[Role, Response, bool], None]
"""Called with the role, every response, and whether it came from the journal."""

Say = Callable[[str], None]
"""Called with a line for the user."""

JOURNAL = "responses.jsonl"


@dataclass(frozen=True)
class RunPlan:
    """A run folder and the models that take part in it."""

    run_dir: Path
    manifest: RunManifest
    tasks: TaskManager
    resumed: bool


@dataclass(frozen=True)
class Shard:
    """One model and one entry of `eval_sets`."""

    role: Role
    name: str
    """The task, or the group of tasks, as the policy names it."""
    uses: list[EvalSetUse]

    @property
    def n_requests(self) -> int:
        """Cases that the model is asked."""
        return sum(use.n_requests for use in self.uses)

    def __str__(self) -> str:
        """How messages call it."""
        return f"{self.role} on {self.name}"


@dataclass(frozen=True)
class Work:
    """What every executor needs to know."""

    plan: RunPlan
    policy: Policy
    embedded_url: str | None = None
    """Base URL of the embedded engine, where a model uses it."""
    on_response: OnResponse | None = None
    say: Say = lambda _line: None


def shards_of(role: Role, uses: list[EvalSetUse]) -> list[Shard]:
    """All shards of one model, in the order of the policy."""
    found: dict[str, list[EvalSetUse]] = {}
    for use in uses:
        found.setdefault(use.group or use.task, []).append(use)
    return [Shard(role, name, members) for name, members in found.items()]


def open_shards(run_dir: Path, role: Role, uses: list[EvalSetUse]) -> list[Shard]:
    """The shards of one model in which a case has no answer yet."""
    lacking = count_unanswered(run_dir / role, uses)
    return [
        shard for shard in shards_of(role, uses) if any(lacking[use.task] for use in shard.uses)
    ]


def count_unanswered(folder: Path, uses: list[EvalSetUse]) -> dict[str, int]:
    """Task -> how many of its requests have no answer in a model's results."""
    try:
        samples = find_results(folder).samples
    except RunError:  # no results, or killed while lm-eval wrote them
        samples = {}
    return {use.task: _lacking(use, samples.get(use.task)) for use in uses}


def _lacking(use: EvalSetUse, samples: Path | None) -> int:
    if samples is None:
        return use.n_requests
    try:
        records = list(read_task(use.task, samples))
    except RunError:  # cut off in the middle
        return use.n_requests
    failed = sum(is_unanswered(record) for record in records)
    return max(use.n_requests - len(records), 0) + failed


def budget_left(run_dir: Path, policy: Policy) -> Policy:
    """The policy with what is left of `run.budget_usd`: all models of a run share it.

    Raises:
        RunError: Nothing is left.
    """
    whole = policy.run.budget_usd
    if whole is None:
        return policy
    paths = [path for role in policy.roles if (path := run_dir / role / JOURNAL).is_file()]
    spent = sum(response.cost_usd or 0 for path in paths for response in read_responses(path))
    if spent >= whole:
        raise RunError(
            f"{run_dir}: ${spent:.4f} are spent of the ${whole:g} of run.budget_usd; raise it to go on."
        )
    run = policy.run.model_copy(update={"budget_usd": whole - spent})
    return policy.model_copy(update={"run": run})


def deliver(files: dict[str, bytes], folder: Path) -> None:
    """Put lm-eval's files of a shard into the model's folder, under the time of now.

    Samples come first: results without samples would look broken. The stamp is ours, so that files
    of machines with different clocks are in the order in which they came.

    Args:
        files: Name -> content, as lm-eval named them.
        folder: The model's folder of the run.

    Raises:
        RunError: The folder cannot be written.
    """
    now = datetime.now(timezone.utc).replace(tzinfo=None).isoformat(timespec="microseconds")
    stamp = later_stamp(sorted(folder.glob("results_*.json")), now.replace(":", "-"))
    for name in sorted(files, reverse=True):  # samples_..., then results_...
        kind = name.rpartition("_")[0]
        suffix = name[name.rindex(".json") :]
        write_text(folder / f"{kind}_{stamp}{suffix}", files[name].decode("utf-8"))


def read_results(folder: Path) -> dict[str, bytes]:
    """The files that `deliver` takes, from the folder into which lm-eval wrote."""
    found = [*folder.glob("results_*.json"), *folder.glob("samples_*.jsonl")]
    return {path.name: path.read_bytes() for path in found}


@contextmanager
def only_writer(run_dir: Path) -> Iterator[None]:
    """Hold the run folder, for executors that keep no journal open.

    Raises:
        RunError: Another process of ftgate holds it.
    """
    with (run_dir / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError(
                f"{run_dir}: another ftgate process is writing this run; wait for it or stop it."
            ) from None
        yield
