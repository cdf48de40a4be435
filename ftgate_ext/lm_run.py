"""Let lm-eval evaluate one model on its tasks, and write lm-eval's own files."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftgate_ext.lm_tasks import repeat_rows
from ftgate_ext.schema import EvalSetUse, RunError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lm_eval.tasks import TaskManager


def evaluate(
    lm: Any, name: str, output: Path, uses: list[EvalSetUse], tasks: TaskManager, seed: int
) -> dict[str, Any]:
    """Let lm-eval evaluate one model and write its own files to `output/name`.

    Args:
        lm: The lm-eval model object.
        name: The folder's name.
        output: Parent folder.
        uses: Which tasks, how many cases of each and how often.
        tasks: Where the tasks are found.
        seed: Of lm-eval's sampling of few-shot examples.

    Returns:
        lm-eval's results.

    Raises:
        EvalSetError: A task cannot be built.
        RunError: lm-eval swallowed an error while saving.
    """
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.loggers import EvaluationTracker

    tracker = EvaluationTracker(output_path=str(output))
    chosen = {u.task: list(range(u.limit)) for u in uses if u.limit and u.repeats == 1}
    with _lm_eval_in_silence():
        results = simple_evaluate(
            model=lm, model_args={"model": name}, tasks=_to_evaluate(uses, tasks), samples=chosen or None,
            evaluation_tracker=tracker, apply_chat_template=True, task_manager=tasks,
            bootstrap_iters=0, random_seed=seed, numpy_random_seed=seed, torch_random_seed=seed,
            fewshot_random_seed=seed,
        )  # fmt: skip
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for task, rows in samples.items():
        tracker.save_results_samples(task_name=task, samples=rows)
        saved = output / name / f"samples_{task}_{tracker.date_id}.jsonl"
        if not saved.is_file():  # lm-eval only logs a warning when it cannot save
            raise RunError(
                f"{saved}: lm-eval could not write it; check space and permissions, then run the same command again."
            )
    return dict(results)


def _to_evaluate(uses: list[EvalSetUse], tasks: TaskManager) -> list[Any]:
    """Names of tasks and groups; a task to be repeated as an object with its rows repeated."""
    named: list[Any] = list(dict.fromkeys(u.group or u.task for u in uses if u.repeats == 1))
    repeated = [
        repeat_rows(tasks.load([u.task])["tasks"][u.task], u.limit, u.repeats)
        for u in uses
        if u.repeats > 1
    ]
    return named + repeated


@contextmanager
def _lm_eval_in_silence() -> Iterator[None]:
    """Keep lm-eval's own bars, and git's complaint outside a repository, out of our progress."""
    import lm_eval.api.task as lm_eval_task
    import lm_eval.evaluator as lm_eval_evaluator

    bar, git_hash = lm_eval_task.tqdm, lm_eval_evaluator.get_git_commit_hash
    in_repository = any((folder / ".git").exists() for folder in [Path.cwd(), *Path.cwd().parents])
    lm_eval_task.tqdm = lambda items, **_options: items
    lm_eval_evaluator.get_git_commit_hash = git_hash if in_repository else lambda: None
    try:
        yield
    finally:
        lm_eval_task.tqdm, lm_eval_evaluator.get_git_commit_hash = bar, git_hash
