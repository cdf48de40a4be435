"""Conversations as the judge sees them: both turns of a pair, or what was said before one answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.scoring.mtbench import split_answers

if TYPE_CHECKING:
    from ftgate_ext.runs import Record


def turns_of(record: Record) -> list[tuple[str, str]]:
    """What the user said and what the model answered, turn by turn; nothing for a single question."""
    said = record.doc.get("turns")
    answers = split_answers(record.answer)
    if not isinstance(said, list) or answers is None or len(said) != len(answers):
        return []
    return list(zip(map(str, said), answers, strict=True))


def question_text(record: Record) -> str:
    """What both models of a pair were asked: the prompt, or all turns of the user."""
    turns = turns_of(record)
    if not turns:
        return record.prompt
    return "\n\n".join(f"Turn {n}:\n{said}" for n, (said, _) in enumerate(turns, start=1))


def answer_text(record: Record) -> str:
    """What a model answered: the text, or its answers to all turns."""
    turns = turns_of(record)
    if not turns:
        return record.answer
    return "\n\n".join(f"Turn {n}:\n{answer}" for n, (_, answer) in enumerate(turns, start=1))


def before_turn(record: Record, turn: int) -> str:
    """All that was said before the answer of one turn, from 0."""
    turns = turns_of(record)
    lines = [f"User:\n{said}\n\nAssistant:\n{answer}\n" for said, answer in turns[:turn]]
    return "\n".join([*lines, f"User:\n{turns[turn][0]}"])


def reference_text(record: Record, turn: int) -> str | None:
    """The right answers up to a turn, where the question has some."""
    known = [str(text) for text in record.doc.get("reference") or [] if text]
    if not known:
        return None
    return "\n\n".join(f"Turn {n}:\n{text}" for n, text in enumerate(known[: turn + 1], start=1))
