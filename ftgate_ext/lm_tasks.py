"""Find and build lm-eval tasks, and say which data they stand on. Knows no model."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ftgate_ext.assets import asset_dir
from ftgate_ext.evalset import loaded_sets
from ftgate_ext.evalset.versions import check_shipped
from ftgate_ext.schema import EvalSetError, EvalSetUse

if TYPE_CHECKING:
    from lm_eval.api.task import Task
    from lm_eval.tasks import TaskManager

    from ftgate_ext.policy import Policy


def find_tasks(names: list[str], more_folders: list[Path]) -> TaskManager:
    """A TaskManager that knows `names`, from our folder, `more_folders` and lm-eval's own.

    Raises:
        EvalSetError: A name is in none of them, or a folder does not exist.
    """
    import lm_eval.tasks as lm_eval_tasks

    # Its warnings are written for its own command line.
    logging.getLogger("lm_eval").setLevel(logging.ERROR)

    for folder in more_folders:
        if not folder.is_dir():
            raise EvalSetError(
                f"task_paths: {folder} is no folder; expected one with lm-eval task YAMLs."
            )
    folders = [asset_dir("tasks"), *more_folders]
    manager = lm_eval_tasks.TaskManager(
        include_defaults=False, include_path=[str(f) for f in folders]
    )
    unknown = [n for n in names if n not in manager.all_tasks]
    if unknown:
        built_in = Path(lm_eval_tasks.__file__).parent
        own = [built_in / n for n in unknown if (built_in / n).is_dir()]
        whole = len(own) < len(unknown)
        manager = lm_eval_tasks.TaskManager(
            include_defaults=whole, include_path=[str(f) for f in ([] if whole else own) + folders]
        )
        unknown = [n for n in names if n not in manager.all_tasks]
    if unknown:
        raise EvalSetError(
            f"task {unknown[0]!r}: lm-eval knows no such task; looked in {', '.join(map(str, folders))} and in lm-eval itself. Mend `task` or add a folder to `task_paths`."
        )
    return manager


def repeat_rows(task: Task, limit: int | None, repeats: int) -> Task:
    """The task with its first `limit` rows, asked `repeats` times.

    lm-eval's own `repeats` clones requests and then scores only the first answer.
    """
    split = task.config.test_split or task.config.validation_split
    rows = task.dataset[split]
    once = list(range(min(limit or len(rows), len(rows))))
    task.dataset = {**task.dataset, split: rows.select(once * repeats)}
    return task


def describe_eval_sets(policy: Policy, policy_file: Path) -> tuple[TaskManager, list[EvalSetUse]]:
    """Build every task once, so that broken data is found before a model is asked.

    Raises:
        EvalSetError: A task is unknown, its data is broken, or a shipped set is not what its manifest
            says and the policy does not call it local.
    """
    tasks = find_tasks(
        [s.task for s in policy.eval_sets], [policy_file.parent / p for p in policy.task_paths]
    )
    return tasks, [
        use
        for eval_set in policy.eval_sets
        for use in use_of(
            tasks, eval_set.task, eval_set.limit, eval_set.repeats, local=eval_set.local
        )
    ]


def use_of(
    tasks: TaskManager,
    name: str,
    limit: int | None = None,
    repeats: int = 1,
    *,
    local: bool = False,
) -> list[EvalSetUse]:
    """Build a task, or all tasks of a group, and say which data they use.

    Raises:
        EvalSetError: A shipped set that is not `local` differs from its manifest.
    """
    uses = []
    for task_name, task in tasks.load([name])["tasks"].items():
        source = str(task.config.metadata.get("config_source"))
        used, n = loaded_sets.get(source), len(task.eval_docs)
        if used and not local:
            check_shipped(used.file, used.sha256)
        uses.append(
            EvalSetUse(
                task=task_name, file=str(used.file) if used else str(task.config.dataset_path),
                sha256=used.sha256 if used else "", n_rows=n, limit=min(limit, n) if limit else None,
                repeats=repeats, group=name if task_name != name else None, config_source=source,
            )
        )  # fmt: skip
    return uses
