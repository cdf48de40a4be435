"""Policy -> which cases of its eval sets stand in its training data. Knows no model, no run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ftgate_ext.evalset.leak_index import EvalText
from ftgate_ext.evalset.leakage import FIELDS, find_leakage
from ftgate_ext.lm_tasks import find_tasks
from ftgate_ext.schema import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lm_eval.tasks import TaskManager

    from ftgate_ext.policy import Policy
    from ftgate_ext.schema import Leakage


def find_leaks(policy: Policy, policy_file: Path, tasks: TaskManager | None = None) -> Leakage:
    """Look for the cases of all eval sets of a policy in its training data.

    Whole sets are looked for, whatever their `limit`. Call it while the policy stands where its author
    put it: `training_data` is relative to gate.yaml, and a run folder holds only a copy of that.

    Args:
        policy: Names eval sets and training data.
        policy_file: Its gate.yaml.
        tasks: Where the tasks were found already.

    Returns:
        What leaked; `doc_hashes(task)` and `case_ids(task)` name the cases as records do.

    Raises:
        PolicyError: The policy names no training data.
        EvalSetError: A task or a training file cannot be read, or training rows are broken.
    """
    if not policy.training_data:
        raise PolicyError(f"{policy_file}: no `training_data`; name the files of training rows.")
    names = [s.task for s in policy.eval_sets]
    known = tasks or find_tasks(names, [policy_file.parent / p for p in policy.task_paths])
    texts = [text for name in names for text in _texts_of(known, name)]
    return find_leakage(texts, [policy_file.parent / file for file in policy.training_data])


def _texts_of(tasks: TaskManager, name: str) -> Iterator[EvalText]:
    """The cases of a task, or of all tasks of a group."""
    for task_name, task in tasks.load([name])["tasks"].items():
        for number, doc in enumerate(task.eval_docs):
            text = next((doc[f] for f in FIELDS if isinstance(doc.get(f), str)), None)
            asked = task.doc_to_text(doc) if text is None else text
            yield EvalText(task_name, str(doc.get("id", number)), str(asked), doc_hash(doc))


def doc_hash(doc: dict[str, Any]) -> str:
    """The hash of a case that lm-eval writes into its samples."""
    from lm_eval.utils import handle_non_serializable, hash_string

    text = json.dumps(doc, indent=2, default=handle_non_serializable, ensure_ascii=False)
    return str(hash_string(text))
