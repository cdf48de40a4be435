"""Training JSONL -> rows of chat: the OpenAI format, prompt and completion, or plain text.

    {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}
    {"prompt": "...", "completion": "..."}        {"text": "..."}

Reads one line at a time. What a row says is not judged here: roles in a wrong order are read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ftgate_ext.evalset.blocks import MAX_LISTED, Block, blocks_of, lines_of
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

EXPECTED = "expected `messages`, `prompt` and `completion`, or `text`"


class UnreadableRowError(ValueError):
    """What is wrong with a line, in words for a user."""


class Message(NamedTuple):
    """One turn of a conversation."""

    role: str
    """As the file says; `text` for a row of plain text."""
    content: str
    calls_tools: bool = False
    """The turn calls a tool: then it may say nothing."""


@dataclass(frozen=True)
class ChatRow:
    """One training row."""

    line: int
    """Line of the block, or of the file where whole files are read; from 1."""
    offset: int
    """Byte of the file at which the line begins."""
    messages: tuple[Message, ...]
    fields: dict[str, Any]
    """The other keys of the row."""


@dataclass(frozen=True)
class BadRow:
    """A line that is no training row."""

    line: int
    problem: str


def read_block(block: Block) -> Iterator[ChatRow | BadRow]:
    """The rows of a block, and the lines that are none.

    Raises:
        EvalSetError: The file cannot be read.
    """
    for number, (offset, line) in enumerate(lines_of(block), start=1):
        try:
            messages, fields = _parse(line)
        except UnreadableRowError as error:
            yield BadRow(number, str(error))
        else:
            yield ChatRow(number, offset, messages, fields)


def read_rows(files: Sequence[Path]) -> Iterator[tuple[Path, ChatRow]]:
    """The rows of whole files, one after the other.

    Raises:
        EvalSetError: A file cannot be read, or lines are bad: the first 20, after the good rows before
            the first of them.
    """
    problems: list[str] = []
    blocks_of(files)
    for file in files:
        for row in read_block(Block(file, 0, file.stat().st_size)):
            if isinstance(row, BadRow):
                problems.append(f"{file}:{row.line}: {row.problem}")
                if len(problems) >= MAX_LISTED:
                    raise EvalSetError("\n".join(problems))
            elif not problems:
                yield file, row
    if problems:
        raise EvalSetError("\n".join(problems))


def row_at(file: Path, offset: int) -> ChatRow:
    """Read one row again; its line number is not known and 0."""
    with file.open("rb") as opened:
        opened.seek(offset)
        messages, fields = _parse(opened.readline())
    return ChatRow(0, offset, messages, fields)


def _parse(line: bytes) -> tuple[tuple[Message, ...], dict[str, Any]]:
    """One line -> its messages and its other keys; UnreadableRowError says what is wrong."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise UnreadableRowError(
            f"not UTF-8 at byte {error.start + 1} of the line; save the file as UTF-8."
        ) from None
    if not text.strip():
        raise UnreadableRowError("empty line; expected a JSON object. Remove the line.")
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise UnreadableRowError(
            f"not valid JSON ({error.msg} at column {error.colno}); mend the row."
        ) from None
    except RecursionError:
        raise UnreadableRowError("nested too deeply; mend the row.") from None
    if not isinstance(row, dict):
        raise UnreadableRowError(f"found a JSON {type(row).__name__}; {EXPECTED}.")
    if "messages" in row:
        return _chat(row.pop("messages")), row
    if "prompt" in row and "completion" in row:
        asked = _content(row.pop("prompt"), "prompt")
        answered = _content(row.pop("completion"), "completion")
        return (Message("user", asked), Message("assistant", answered)), row
    if "text" in row:
        return (Message("text", _content(row.pop("text"), "text")),), row
    keys = ", ".join(key for key in sorted(row)[:6] if key.isprintable())[:80]
    raise UnreadableRowError(f"found the keys {keys or '(none)'}; {EXPECTED}.")


def _chat(messages: Any) -> tuple[Message, ...]:
    if not isinstance(messages, list):
        raise UnreadableRowError(
            f"messages: found {_kind(messages)}; expected a list of role and content."
        )
    turns = []
    for position, message in enumerate(messages):
        where = f"messages[{position}]"
        if not isinstance(message, dict):
            raise UnreadableRowError(f"{where}: found {_kind(message)}; expected an object.")
        role = message.get("role")
        if not isinstance(role, str):
            raise UnreadableRowError(f"{where}.role: found {_kind(role)}; expected a string.")
        content = _content(message.get("content"), f"{where}.content")
        calls = bool(message.get("tool_calls") or message.get("function_call"))
        turns.append(Message(role, content, calls))
    return tuple(turns)


def _content(value: Any, where: str) -> str:
    """Text, a list of typed parts of which the text counts, or nothing."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(part, dict) for part in value):
        texts = [part.get("text", "") for part in value]
        if all(isinstance(text, str) for text in texts):
            return "\n".join(texts)
    raise UnreadableRowError(f"{where}: found {_kind(value)}; expected text.")


def _kind(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "text",
        bool: "true or false",
        type(None): "null",
    }
    return names.get(type(value), "a number")
