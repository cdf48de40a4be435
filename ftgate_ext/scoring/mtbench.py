"""MT-Bench: the columns of its questions, and conversations as one unambiguous text.

The answers to all turns of a conversation are one JSON array of strings: no text that a model writes
can be taken for the border between two answers.
"""

from __future__ import annotations

import json
from typing import Any

from ftgate_ext.schema import EvalSetError, is_unscored

MTBENCH = "mtbench"
TURNS = 2
"""Of every published question."""
_OTHER_NAMES = {"prompt": "turns", "prompt_id": "question_id"}
"""Columns of the copy on the hub -> those of the published questions."""


def join_answers(answers: list[str]) -> str:
    """The answers to all turns as one text."""
    return json.dumps(answers, ensure_ascii=False)


def split_answers(text: str) -> list[str] | None:
    """The answers to all turns; None where the text is no such list."""
    try:
        answers = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(answers, list) and all(isinstance(a, str) for a in answers):
        return answers
    return None


def name_columns(rows: Any) -> Any:
    """The questions with the names of the published columns, wherever they come from (lm-eval's `process_docs`)."""
    for old, new in _OTHER_NAMES.items():
        if old in rows.column_names and new not in rows.column_names:
            rows = rows.rename_column(old, new)
    if "reference" not in rows.column_names:
        rows = rows.add_column("reference", [[]] * len(rows))
    if "id" in rows.column_names:
        return rows
    return rows.add_column("id", [f"mtbench-{number}" for number in rows["question_id"]])


def score_mtbench(doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
    """Whether every turn got an answer (lm-eval's `process_results`); the judge scores them later.

    Returns:
        answered: 0 or 1, whether no answer is empty; unanswered: 1 alone where a request failed.

    Raises:
        EvalSetError: The model was asked the first turn only.
    """
    if is_unscored(results[0]):
        return {"unanswered": 1}
    answers = split_answers(results[0])
    if answers is None or len(answers) != len(doc["turns"]):
        raise EvalSetError(
            f"{MTBENCH}: {len(doc['turns'])} turns asked, and one answer found; only the model ftgate-chat asks conversations, so ask this one by its endpoint."
        )
    return {"answered": int(all(answer.strip() for answer in answers)), "unanswered": 0}
