"""Benchmarks as lm-eval tasks: its own YAMLs, on local data where there is some, with worked examples."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from ftgate_ext.capability.hub import cache_alone_if_unreachable
from ftgate_ext.capability.local_data import lacks_subject, local_dataset
from ftgate_ext.schema import EvalSetError, FtgateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lm_eval.api.task import Task
    from lm_eval.tasks import TaskManager

REMEDY = "put a copy into the folder that `data` names in gate.yaml, or make the hub reachable"
LOCAL_FORMATS = frozenset({"json", "csv", "text", "parquet", "arrow"})
"""Values of `dataset_path` that name no data set of the hub."""


class NotLoadedError(EvalSetError):
    """The data of a task, or something that the task needs, is not on this machine."""


def build_tasks(
    tasks: TaskManager, name: str, data: Path | None = None, fewshot: int | None = None
) -> dict[str, Task]:
    """Build a task, or all tasks of a group, with what the policy says about it.

    Args:
        tasks: Knows `name`.
        name: A task, a group or a tag of lm-eval.
        data: Folder with local copies of benchmarks; a benchmark that is not there comes from
            where its YAML says.
        fewshot: Worked examples before each question; the task's own number when left out.

    Returns:
        Task name -> task, in lm-eval's order.

    Raises:
        NotLoadedError: The data is not here, and the hub does not give it.
        EvalSetError: The data is broken.
    """
    extra = {} if fewshot is None else {"num_fewshot": fewshot}
    specs = []
    for leaf in leaf_tasks(tasks, name):
        if data and lacks_subject(leaf, data):
            continue  # the others of its group go on
        loader = local_dataset(leaf, data) if data else None
        specs.append({"task": leaf, **extra, **({"custom_dataset": loader} if loader else {})})
    if not specs:
        raise EvalSetError(
            f"{name}: its data cannot be loaded (no rows of any of its tasks); {REMEDY}."
        )
    changed = any(len(spec) > 1 for spec in specs)
    # A nameless group around them is lm-eval's own way to override fields and keep the names.
    wanted: Any = {"group": f"{name} here", "task": specs} if changed else name
    remote = any("custom_dataset" not in s and _is_remote(tasks, str(s["task"])) for s in specs)
    return _load(tasks, name, wanted, remote=remote)


def _load(tasks: TaskManager, name: str, wanted: Any, *, remote: bool) -> dict[str, Task]:
    import datasets.exceptions

    reachable = True
    with ExitStack() as stack:
        if remote:
            reachable = stack.enter_context(cache_alone_if_unreachable())
        try:
            return dict(tasks.load([wanted])["tasks"])
        except FtgateError:
            raise
        # What a data set's loader, or the module of a task that looks for its own files, may raise.
        except (OSError, ValueError, LookupError, ImportError, datasets.exceptions.DatasetsError) as error:  # fmt: skip
            said = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            if isinstance(error, ImportError):
                said, remedy = f"{name}: cannot be loaded ({said})", "install what it needs"
            else:
                why = said if reachable else "no copy here, and the hub does not answer"
                said, remedy = f"{name}: its data cannot be loaded ({why})", REMEDY
    raise NotLoadedError(f"{said}; {remedy}.")


def missing_tasks(tasks: TaskManager, name: str, data: Path | None) -> dict[str, str]:
    """The tasks of a group that the local copy has no rows of, each with the reason."""
    found = {}
    for leaf in leaf_tasks(tasks, name) if data else []:
        if data and (why := lacks_subject(leaf, data)):
            found[leaf] = why
    return found


def _is_remote(tasks: TaskManager, leaf: str) -> bool:
    """Whether its data may have to come from the hub, as far as its YAML says."""
    config = tasks.task_index[leaf].cfg or {}
    return "custom_dataset" not in config and config.get("dataset_path") not in LOCAL_FORMATS


def leaf_tasks(tasks: TaskManager, name: str) -> list[str]:
    """The tasks that a task, a group or a tag stands for."""
    return list(dict.fromkeys(_leaves(tasks, name)))


def _leaves(tasks: TaskManager, name: str) -> Iterator[str]:
    entry = tasks.task_index[name]
    if entry.kind.name == "TAG":
        for task in sorted(entry.tags):
            yield from _leaves(tasks, task)
    elif entry.kind.name == "GROUP":
        from lm_eval.tasks._yaml_loader import load_yaml

        config = load_yaml(entry.yaml_path, resolve_func=False)
        yield from _members(tasks, config["task"])
    else:
        yield name


def _members(tasks: TaskManager, members: list[Any]) -> Iterator[str]:
    for member in members:
        if isinstance(member, str):
            yield from _leaves(tasks, member)
        elif isinstance(member.get("task"), list):
            yield from _members(tasks, member["task"])
        else:
            yield from _leaves(tasks, member.get("task") or member["group"])
