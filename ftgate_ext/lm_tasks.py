"""Find and build lm-eval tasks, and say which data they stand on. Knows no model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.capability.draw import allocate, drawn_rows
from ftgate_ext.capability.tasks import build_tasks, missing_tasks
from ftgate_ext.evalset import loaded_sets
from ftgate_ext.evalset.versions import check_shipped
from ftgate_ext.inference.payload import TURNS_FROM
from ftgate_ext.lm_find import find_tasks, refuse_likelihood
from ftgate_ext.policy_servers import CHAT_BACKEND
from ftgate_ext.schema import EvalSetError, EvalSetUse
from ftgate_ext.scoring.texts import GRADED

if TYPE_CHECKING:
    from pathlib import Path

    from lm_eval.api.task import Task
    from lm_eval.tasks import TaskManager

    from ftgate_ext.policy import EvalSet, Policy

__all__ = ["describe_eval_sets", "find_tasks", "repeat_rows", "rows_asked", "use_of"]


def rows_asked(use: EvalSetUse, seed: int) -> list[int]:
    """Positions of the rows of an eval set that are asked, in ascending order."""
    if use.limit is None:
        return list(range(use.n_rows))
    if use.drawn:
        return drawn_rows(use.task, use.n_rows, use.limit, seed)
    return list(range(min(use.limit, use.n_rows)))


def repeat_rows(task: Task, once: list[int], repeats: int) -> Task:
    """The task with the rows at `once`, asked `repeats` times.

    lm-eval's own `repeats` clones requests and then scores only the first answer.
    """
    split = task.config.test_split or task.config.validation_split
    rows = task.dataset[split]
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
    data = policy_file.parent / policy.data if policy.data else None
    if data and not data.is_dir():
        raise EvalSetError(
            f"data: {data} is no folder; expected one with local copies of benchmarks."
        )
    for role in policy.roles:
        if policy.models[role].backend == CHAT_BACKEND:
            for eval_set in policy.eval_sets:
                refuse_likelihood(tasks, eval_set.task, role)
    uses: list[EvalSetUse] = []
    for eval_set in policy.eval_sets:
        try:
            found = use_of(tasks, eval_set, data)
            _refuse_turns(found, policy)
            uses += found
        except EvalSetError as error:
            if eval_set.kind != "capability":
                raise
            # A benchmark that is not at hand must not keep the others from being asked.
            uses.append(_unavailable(eval_set, str(error)))
    if all(use.unavailable for use in uses):
        raise EvalSetError(f"eval_sets: none of them can be asked. {uses[0].unavailable}")
    return tasks, uses


def _unavailable(eval_set: EvalSet, why: str, member: str | None = None) -> EvalSetUse:
    return EvalSetUse(
        task=member or eval_set.task, file="", sha256="", n_rows=0, config_source="",
        group=eval_set.task if member else None, unavailable=why,
    )  # fmt: skip


def _refuse_turns(uses: list[EvalSetUse], policy: Policy) -> None:
    """Say before anything is asked that a backend of lm-eval answers one message, not a conversation.

    Raises:
        EvalSetError: A conversation is asked, and a model is no chat endpoint.
    """
    talks = [use.task for use in uses if use.turns > 1]
    for role in policy.roles:
        backend = policy.models[role].backend
        if talks and backend != CHAT_BACKEND:
            raise EvalSetError(
                f"{talks[0]}: asks {uses[0].turns} turns, which only chat endpoints answer, and {role} is loaded by backend {backend}; serve it and name its `endpoint`, or leave {talks[0]} out."
            )


def use_of(tasks: TaskManager, eval_set: EvalSet, data: Path | None = None) -> list[EvalSetUse]:
    """Build a task, or all tasks of a group, and say which data they use.

    Args:
        tasks: Knows the task.
        eval_set: Which task, how many cases of it and how often.
        data: Folder with local copies of benchmarks.

    Raises:
        EvalSetError: The data cannot be loaded, or a shipped set that is not `local` differs from
            its manifest.
    """
    built = build_tasks(tasks, eval_set.task, data, eval_set.fewshot)
    sizes = {name: len(task.eval_docs) for name, task in built.items()}
    limits = _limits(eval_set, sizes)
    uses = []
    for name, task in built.items():
        _refuse_several_references(name, task)
        source = str(task.config.metadata.get("config_source"))
        used = loaded_sets.get(source)
        if used and not eval_set.local:
            check_shipped(used.file, used.sha256)
        uses.append(
            EvalSetUse(
                task=name, file=str(used.file) if used else str(task.config.dataset_path),
                sha256=used.sha256 if used else "", n_rows=sizes[name], limit=limits[name],
                drawn=eval_set.sample is not None, fewshot=eval_set.fewshot, repeats=eval_set.repeats,
                group=eval_set.task if name != eval_set.task else None, config_source=source,
                data=str(data) if data else None, turns=_turns(task),
            )
        )  # fmt: skip
    missing = missing_tasks(tasks, eval_set.task, data)
    return uses + [_unavailable(eval_set, f"{why}.", leaf) for leaf, why in missing.items()]


def _refuse_several_references(name: str, task: Task) -> None:
    """lm-eval makes 0 or 1 of any metric as soon as a target is a list: no ROUGE would survive that.

    Raises:
        EvalSetError: The task has such targets, and a metric that is no such share.
    """
    named: dict[str, object] = getattr(task, "_metric_fn_list", {})
    graded = [name for name in named if name in GRADED]
    if graded and vars(task).get("multiple_target"):
        raise EvalSetError(
            f"{name}: doc_to_target gives a list, of which lm-eval makes 0 or 1 for {graded[0]}; give one text, labels for example with `join(', ')`."
        )


def _turns(task: Task) -> int:
    """The most messages of the user that a conversation of the task has."""
    column = (task.config.generation_kwargs or {}).get(TURNS_FROM)
    return max(len(turns) for turns in task.eval_docs[column]) if column else 1


def _limits(eval_set: EvalSet, sizes: dict[str, int]) -> dict[str, int | None]:
    """How many cases of each task are asked; None for all of them."""
    if eval_set.sample is not None:
        try:
            return dict(allocate(sizes, eval_set.sample))
        except ValueError as error:
            raise EvalSetError(f"{eval_set.task}: `sample` asks for {error}.") from None
    limit = eval_set.limit
    return {name: min(limit, n) if limit else None for name, n in sizes.items()}
