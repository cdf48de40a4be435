"""Let lm-eval evaluate one model on its tasks, and write lm-eval's own files."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftgate_ext.capability.tasks import build_tasks
from ftgate_ext.lm_tasks import repeat_rows, rows_asked
from ftgate_ext.lm_thrift import thrifty_lm_eval
from ftgate_ext.schema import EvalSetUse, RunError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager


def evaluate(
    lm: Any,
    name: str,
    output: Path,
    uses: list[EvalSetUse],
    tasks: TaskManager,
    seed: int,
    *,
    chat_template: bool = True,
) -> dict[str, Any]:
    """Let lm-eval evaluate one model and write its own files to `output/name`.

    Args:
        lm: The lm-eval model object.
        name: The folder's name.
        output: Parent folder.
        uses: Which tasks, how many cases of each and how often.
        tasks: Where the tasks are found.
        seed: Of lm-eval's sampling of few-shot examples.
        chat_template: Whether prompts go through the model's chat template.

    Returns:
        lm-eval's results; none on a further process of `accelerate launch`, which only computes.

    Raises:
        EvalSetError: A task cannot be built.
        RunError: lm-eval swallowed an error while saving.
    """
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.loggers import EvaluationTracker

    tracker = EvaluationTracker(output_path=str(output))
    uses = [use for use in uses if use.unavailable is None]
    chosen = {u.task: rows_asked(u, seed) for u in uses if u.limit and u.repeats == 1}
    with thrifty_lm_eval():
        results = simple_evaluate(
            model=lm, model_args={"model": name}, tasks=_to_evaluate(uses, tasks, seed), samples=chosen or None,
            evaluation_tracker=tracker, apply_chat_template=chat_template, task_manager=tasks,
            bootstrap_iters=0, random_seed=seed, numpy_random_seed=seed, torch_random_seed=seed,
            fewshot_random_seed=seed,
        )  # fmt: skip
    if results is None:
        return {}
    samples = results.pop("samples")
    results["group_subtasks"] = _with_groups(results.get("group_subtasks", {}), uses)
    _save(tracker, output / name, results, samples)
    return dict(results)


def _with_groups(known: dict[str, list[str]], uses: list[EvalSetUse]) -> dict[str, list[str]]:
    """lm-eval's groups, and those whose tasks it was given as objects and cannot know of."""
    groups = {name: list(below) for name, below in known.items()}
    for use in uses:
        if use.group and use.group not in known:
            groups.setdefault(use.group, []).append(use.task)
    return groups


def _save(
    tracker: EvaluationTracker, folder: Path, results: dict[str, Any], samples: dict[str, Any]
) -> None:
    """Write lm-eval's files, and make sure that they are whole and count as the newest ones.

    Raises:
        RunError: lm-eval could not write one of them: it only logs that.
    """
    earlier = sorted(folder.glob("results_*.json"))
    with _reasons() as told:
        tracker.save_results_aggregated(results=results, samples=samples)
    written = folder / f"results_{tracker.date_id}.json"
    _expect(written, told, whole=_is_json(written))
    tracker.date_id = later_stamp(earlier, tracker.date_id)
    written.replace(folder / f"results_{tracker.date_id}.json")
    for task, rows in samples.items():
        _sort_rows(rows)
        with _reasons() as told:
            tracker.save_results_samples(task_name=task, samples=rows)
        saved = folder / f"samples_{task}_{tracker.date_id}.jsonl"
        _expect(saved, told, whole=_count_lines(saved) == len(rows))


@contextmanager
def _reasons() -> Iterator[list[str]]:
    """What lm-eval logs while it saves: the exceptions that it swallows are among it."""
    told: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("lm_eval.loggers.evaluation_tracker")
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield told
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


def later_stamp(earlier: list[Path], stamp: str) -> str:
    """The time in the name of new results, or one after all that are there if the clock went back.

    Args:
        earlier: Names of the results files that are there, in order.
        stamp: The time of now, as lm-eval writes it.
    """
    last = earlier[-1].stem.removeprefix("results_") if earlier else ""
    return stamp if stamp > last else f"{last}_"


def _expect(path: Path, told: list[str], *, whole: bool) -> None:
    if not whole:
        # An exception is logged as its repr: `OSError(28, 'No space left on device')`.
        why = next((line for line in reversed(told) if line.endswith(")")), "no reason given")
        raise RunError(
            f"{path}: lm-eval could not write it ({why}); check space and permissions, then run the same command again."
        )


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return True


def _count_lines(path: Path) -> int:
    if not path.is_file():
        return -1
    with path.open("rb") as file:
        return sum(line.endswith(b"\n") for line in file)


def _sort_rows(rows: list[dict[str, Any]]) -> None:
    """Put the rows of several processes into the order that one process gives them."""
    filters = {name: n for n, name in enumerate(dict.fromkeys(row["filter"] for row in rows))}
    rows.sort(key=lambda row: (filters[row["filter"]], row["doc_id"]))


def _to_evaluate(uses: list[EvalSetUse], tasks: TaskManager, seed: int) -> list[Any]:
    """Names of tasks and groups; as objects the tasks whose rows or examples the policy changes."""
    plain = [u for u in uses if u.repeats == 1 and not u.data and u.fewshot is None]
    named: list[Any] = list(dict.fromkeys(u.group or u.task for u in plain))
    return named + [_build(u, tasks, seed) for u in uses if u not in plain]


def _build(use: EvalSetUse, tasks: TaskManager, seed: int) -> Any:
    data = Path(use.data) if use.data else None
    task = build_tasks(tasks, use.task, data, use.fewshot)[use.task]
    return repeat_rows(task, rows_asked(use, seed), use.repeats) if use.repeats > 1 else task
