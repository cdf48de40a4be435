"""Find lm-eval tasks by their names, and what to ask a model that gives no log-likelihoods."""

from __future__ import annotations

import difflib
import importlib
import logging
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftgate_ext.assets import asset_dir
from ftgate_ext.lm_index import Folders, is_mentioned, outermost, read_names
from ftgate_ext.lm_thrift import imported_for_good
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lm_eval.tasks import TaskManager

GENERATED = "generate_until"
_GENERATIVE = (
    "{}_generative", "{}", "{}_chat", "{}_gen", "{}_generate", "{}-seq2seq", "{}_generative_n_shot",
    "{}_cot_zeroshot", "{}_llama",
)  # fmt: skip
"""How lm-eval calls the variants of a task that are asked for an answer in words."""
_FORM = re.compile(
    r"(?<=.)(?:[_-](?:mc\d|zeroshot|n_shot|fewshot|cloze|perplexity|continuation))+$"
)
_COLLECTION = re.compile(r"^leaderboard_")


def find_tasks(names: list[str], more_folders: list[Path]) -> TaskManager:
    """A TaskManager that knows `names`, from our folder, `more_folders` and lm-eval's own.

    Raises:
        EvalSetError: A name is in none of them, or a folder does not exist.
    """
    if "lm_eval.tasks" not in sys.modules:
        with imported_for_good():
            importlib.import_module("lm_eval.tasks")

    # Its warnings are written for its own command line.
    logging.getLogger("lm_eval").setLevel(logging.ERROR)

    for folder in more_folders:
        if not folder.is_dir():
            raise EvalSetError(
                f"task_paths: {folder} is no folder; expected one with lm-eval task YAMLs."
            )
    folders = [asset_dir("tasks"), *more_folders]
    tasks = _manager(folders)
    if not set(_unknown(tasks, names)):
        return tasks
    tasks = _with_built_in(names, folders)
    for name in names:
        if name not in tasks.task_index:
            raise EvalSetError(_no_such_task(name, folders, tasks))
    return tasks


def _manager(folders: list[Path], *, everything: bool = False) -> TaskManager:
    from lm_eval.tasks import TaskManager

    return TaskManager(include_defaults=everything, include_path=[str(f) for f in folders])


def _built_in() -> Path:
    import lm_eval.tasks

    return Path(str(lm_eval.tasks.__file__)).parent


@lru_cache(maxsize=1)
def _built_in_names() -> Folders:
    return read_names(_built_in())


def _with_built_in(names: list[str], folders: list[Path]) -> TaskManager:
    """Only those of lm-eval's folders that hold `names` and their members."""
    root = _built_in()
    # Most names are also the name of their folder, and then nothing has to be looked up.
    own = {root / name for name in names if (root / name).is_dir()}
    tasks = _manager([*outermost(own), *folders])
    _join_tags(tasks, own)
    while wanted := {*_unknown(tasks, names), *_tags(tasks, names)}:
        known = _built_in_names()
        more = {folder for name in wanted for folder in known.get(name, ())}
        if more <= own:
            break
        own |= more
        tasks = _manager([*outermost(own), *folders])
        _join_tags(tasks, own)
    missing = [name for name in names if name not in tasks.task_index]
    if missing and (not _built_in_names() or any(is_mentioned(root, name) for name in missing)):
        tasks = _manager(folders, everything=True)  # defined in a way that we cannot read
    return tasks


def _join_tags(tasks: TaskManager, own: set[Path]) -> None:
    """Give tags their tasks from all of lm-eval's folders: it keeps those of the last folder alone.

    A tag of the user's own folders stays what they made of it.
    """
    bearers: dict[bool, list[tuple[str, str]]] = {True: [], False: []}
    for name, entry in tasks.task_index.items():
        if entry.yaml_path is not None:
            is_own = not own.isdisjoint(entry.yaml_path.parents)
            bearers[is_own] += [(tag, name) for tag in entry.tags]
    users = {tag for tag, _name in bearers[False]}
    for tag, name in bearers[True]:
        entry = tasks.task_index.get(tag)
        if entry and entry.kind.name == "TAG" and tag not in users:
            entry.tags.add(name)


def _unknown(tasks: TaskManager, names: list[str]) -> Iterator[str]:
    """Those of `names`, and of the members of groups among them, that are not known."""
    return (name for name, entry in _entries(tasks, names) if entry is None)


def _tags(tasks: TaskManager, names: list[str]) -> Iterator[str]:
    """The tags among `names` and their members: further folders may hold tasks that bear them."""
    return (name for name, entry in _entries(tasks, names) if entry and entry.kind.name == "TAG")


def _entries(tasks: TaskManager, names: list[str]) -> Iterator[tuple[str, Any]]:
    """Names, and all that stands below them, with what lm-eval knows of each; None for nothing."""
    waiting, met = list(names), set(names)
    while waiting:
        name = waiting.pop()
        entry = tasks.task_index.get(name)
        yield name, entry
        kind = entry.kind.name if entry else ""
        below = _members((entry.cfg or {}).get("task")) if kind == "GROUP" else ()
        below = entry.tags if kind == "TAG" else below
        waiting += [member for member in below if member not in met]
        met.update(below)


def _members(listed: Any) -> list[str]:
    """The names in a group's list, which may hold groups of their own."""
    if isinstance(listed, str):
        return [listed]
    if isinstance(listed, dict):
        return _members(listed.get("task") or listed.get("group"))
    return [name for member in listed or () for name in _members(member)]


def _no_such_task(name: str, folders: list[Path], tasks: TaskManager) -> str:
    close = difflib.get_close_matches(name, {*tasks.all_tasks, *_built_in_names()}, n=1)
    meant = f"did you mean {close[0]!r}? Looked" if close else "looked"
    return f"task {name!r}: lm-eval knows no such task; {meant} in {', '.join(map(str, folders))} and in lm-eval itself. Mend `task` or add a folder to `task_paths`."


def scored_by_likelihood(tasks: TaskManager, name: str) -> str | None:
    """The first task of `name` that is scored by log-likelihoods, or None."""
    for leaf, entry in _entries(tasks, [name]):
        how = (entry.cfg or {}).get("output_type", GENERATED) if entry else GENERATED
        if how != GENERATED and entry.kind.name == "TASK":
            return leaf
    return None


def refuse_likelihood(tasks: TaskManager, name: str, role: str) -> None:
    """Say before anything is asked that a chat endpoint cannot be asked this task.

    Raises:
        EvalSetError: `name`, or a task below it, is scored by log-likelihoods.
    """
    if (leaf := scored_by_likelihood(tasks, name)) is not None:
        of_it = "" if leaf == name else f" (its {leaf!r})"
        raise EvalSetError(
            f"task {name!r}{of_it}: scored by log-likelihoods, which {role} cannot give, being a chat endpoint; {way_out(name)}"
        )


def way_out(name: str) -> str:
    """What to do about a task that is scored by log-likelihoods, where a model gives none."""
    load = "load every model with lm-eval (`backend: hf`)"
    found = generative_variant(name)
    if found is None:
        return f"lm-eval has no generative variant of it: leave it out, or {load}."
    return f"ask every model {found!r} instead, or {load}."


def generative_variant(name: str) -> str | None:
    """The task, ours or lm-eval's, that puts the same questions and reads the answer in words."""
    known = _built_in_names()
    ours = _manager([asset_dir("tasks")])
    plain = _FORM.sub("", name)
    stems = dict.fromkeys((name, plain, _COLLECTION.sub("", plain)))
    for variant in (form.format(stem) for stem in stems for form in _GENERATIVE):
        if variant == name or not (variant in known or variant in ours.task_index):
            continue
        tasks = _manager(outermost(known[variant])) if variant in known else ours
        if scored_by_likelihood(tasks, variant) is None:
            return variant
    return None
