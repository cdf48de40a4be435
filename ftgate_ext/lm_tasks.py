"""Find and build lm-eval tasks, and say which data they stand on. Knows no model."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ftgate_ext.assets import asset_dir
from ftgate_ext.evalset import loaded_sets
from ftgate_ext.schema import EvalSetError, EvalSetUse

if TYPE_CHECKING:
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


def describe_eval_sets(policy: Policy, policy_file: Path) -> tuple[TaskManager, list[EvalSetUse]]:
    """Build every task once, so that broken data is found before a model is asked.

    Raises:
        EvalSetError: A task is unknown or its data is broken.
    """
    tasks = find_tasks(
        [s.task for s in policy.eval_sets], [policy_file.parent / p for p in policy.task_paths]
    )
    uses = []
    for eval_set in policy.eval_sets:
        built = tasks.load([eval_set.task])["tasks"]
        for name, task in built.items():
            source = str(task.config.metadata.get("config_source"))
            used = loaded_sets.get(source)
            uses.append(
                EvalSetUse(
                    task=name,
                    file=str(used.file) if used else str(task.config.dataset_path),
                    sha256=used.sha256 if used else "",
                    n_rows=len(task.eval_docs),
                    limit=min(eval_set.limit, len(task.eval_docs)) if eval_set.limit else None,
                    config_source=source,
                )
            )
    return tasks, uses
