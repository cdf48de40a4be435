"""Score answers against an output shape, for the format set.

A case states either a JSON Schema or a `format`: a unified diff, a Markdown table, one line, a list
or a document of sections. Either way the whole answer must have the shape: a code fence or a word
around it fails, because the program that reads the answer has no tolerance either.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from ftgate_ext.schema import is_unscored

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_CHARS = 100_000
"""A longer answer than this has none of the shapes; no case asks for a hundredth of it."""
MAX_LINE_CHARS = 1_000
"""The longest line that a pattern is tried on."""

Shape = dict[str, Any]
Hunk = tuple[int, list[str], list[str]]
"""(first line it replaces, the lines that it expects there, the lines that it puts there)."""

_HUNK = re.compile(
    r"@@ -([0-9]{1,6})(?:,([0-9]{1,6}))? \+([0-9]{1,6})(?:,([0-9]{1,6}))? @@(?: .*)?"
)
_GIT_LINE = re.compile(r"(?:diff --git|index|old mode|new mode) .*")
_NUMBER = re.compile(r"([1-9][0-9]{0,3})\. +(\S.*)")
_DASH = re.compile(r"- +(\S.*)")
_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t].*)?")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_DELIMITER = re.compile(r":?-+:?")
_PIPE = re.compile(r"(?<!\\)\|")


@lru_cache(maxsize=512)
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema))


def score_format(doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
    """Score one case of the format set (lm-eval's `process_results`).

    Returns:
        conforms: 1 if the whole answer has the case's shape; parses: 1 if it is JSON, only where
        the case has a schema; unanswered: 1 alone where the request failed.

    Raises:
        ValueError: The kind of the case's `format` is unknown.
    """
    answer = results[0]
    if is_unscored(answer):
        return {"unanswered": 1}
    if doc.get("format"):
        return {"conforms": int(_has_shape(doc, answer)), "unanswered": 0}
    schema = doc["schema"] if isinstance(doc["schema"], str) else json.dumps(doc["schema"])
    try:
        value = json.loads(answer, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return {"parses": 0, "conforms": 0, "unanswered": 0}
    return {"parses": 1, "conforms": int(_conforms(schema, value)), "unanswered": 0}


def _no_json(constant: str) -> None:
    """Python would read NaN and Infinity; the program that reads the answer does not."""
    raise ValueError(f"{constant} is not JSON")


def _conforms(schema: str, value: Any) -> bool:
    try:
        return _validator(schema).is_valid(value)
    except RecursionError:  # a recursive schema, and an answer that nests without end
        return False


def _has_shape(doc: dict[str, Any], answer: str) -> bool:
    shape = json.loads(doc["format"]) if isinstance(doc["format"], str) else doc["format"]
    kind = shape.get("kind")
    if kind not in _SHAPES:
        raise ValueError(f"unknown kind {kind!r} in the format set")
    if len(answer) > MAX_CHARS:
        return False
    text = answer.replace("\r\n", "\n")
    text = text.strip("\n") if kind == "unified_diff" else text.strip()  # a diff's " " is a line
    return _SHAPES[kind](shape, text.split("\n"), doc.get("base") or "")


# --- unified diff


def _is_diff(_shape: Shape, lines: list[str], base: str) -> bool:
    """Whether the lines are a diff of one file that applies to `base` and changes it.

    As with `git apply`, the counts of a hunk must be right and its old lines must stand in the
    code; they may stand elsewhere than its header says.
    """
    hunks = _hunks(lines)
    if not hunks:
        return False
    old = base.replace("\r\n", "\n").rstrip("\n").split("\n")
    new: list[str] = []
    done = 0
    for first, before, after in hunks:
        place = _place(old, before, first, done)
        if place is None:
            return False
        new += old[done:place] + after
        done = place + len(before)
    return new + old[done:] != old


def _place(old: list[str], before: list[str], first: int, done: int) -> int | None:
    """Where a hunk fits behind the first `done` lines, as near as possible to its line `first`."""
    if not before:  # nothing but new lines: they come after the line that the header names
        return first if done <= first <= len(old) else None
    places = range(done, len(old) - len(before) + 1)
    fits = [place for place in places if old[place : place + len(before)] == before]
    return min(fits, key=lambda place: abs(place - (first - 1)), default=None)


def _hunks(lines: list[str]) -> list[Hunk] | None:
    """The hunks of a diff of one file; None where there is anything else or a count is wrong."""
    at = 0
    while at < len(lines) and _GIT_LINE.fullmatch(lines[at]):
        at += 1
    if not (
        at + 1 < len(lines) and lines[at].startswith("--- ") and lines[at + 1].startswith("+++ ")
    ):
        return None
    at += 2
    hunks: list[Hunk] = []
    while at < len(lines):
        header = _HUNK.fullmatch(lines[at])
        if header is None:
            return None
        first, n_old, _, n_new = (1 if n is None else int(n) for n in header.groups())
        taken = _hunk_body(lines, at + 1, n_old, n_new)
        if taken is None:
            return None
        before, after, at = taken
        hunks.append((first, before, after))
    return hunks


def _hunk_body(
    lines: list[str], at: int, n_old: int, n_new: int
) -> tuple[list[str], list[str], int] | None:
    """The old and the new lines of a hunk and where the next begins; None where a count is off."""
    before: list[str] = []
    after: list[str] = []
    while at < len(lines) and (len(before) < n_old or len(after) < n_new):
        sign, text = lines[at][:1], lines[at][1:]
        if sign not in ("", " ", "-", "+", "\\"):
            return None
        if sign in ("", " ", "-"):  # many programs cut the space that an empty line begins with
            before.append(text)
        if sign in ("", " ", "+"):
            after.append(text)
        at += 1
    while at < len(lines) and lines[at].startswith("\\"):  # "No newline at end of file"
        at += 1
    return (before, after, at) if (len(before), len(after)) == (n_old, n_new) else None


# --- Markdown


def _is_table(shape: Shape, lines: list[str], _base: str) -> bool:
    """Whether the lines are one table with the columns, the number of rows and allowed values."""
    rows = [_cells(line) for line in lines]
    columns = shape["columns"]
    if len(rows) < 2 or rows[0] != columns:
        return False
    if any(row is None or len(row) != len(columns) for row in rows):
        return False
    _, delimiter, *body = (row for row in rows if row is not None)
    if not all(_DELIMITER.fullmatch(cell) for cell in delimiter):
        return False
    if not shape.get("min_rows", 0) <= len(body) <= shape.get("max_rows", MAX_CHARS):
        return False
    allowed = shape.get("allowed") or {}
    return all(
        column not in allowed or cell in allowed[column]
        for row in body
        for column, cell in zip(columns, row, strict=True)
    )


def _cells(line: str) -> list[str] | None:
    """The cells of a table's line, which begins and ends with a pipe; an escaped pipe is text."""
    parts = _PIPE.split(line.strip())
    if len(parts) < 3 or parts[0] or parts[-1]:
        return None
    return [part.strip() for part in parts[1:-1]]


def _is_one_line(shape: Shape, lines: list[str], _base: str) -> bool:
    """Whether there is one line and the whole of it matches the pattern."""
    return (
        len(lines) == 1
        and len(lines[0]) <= MAX_LINE_CHARS
        and re.fullmatch(shape["pattern"], lines[0]) is not None
    )


def _is_list(shape: Shape, lines: list[str], _base: str) -> bool:
    """Whether every line is an item, with the right bullet, and number and lengths fit.

    Numbered items count up from 1. Blank lines between items are no text and are passed over.
    """
    numbered = shape["bullet"] == "1."
    texts: list[str] = []
    for line in filter(str.strip, lines):
        item = (_NUMBER if numbered else _DASH).fullmatch(line.rstrip())
        if item is None or (numbered and int(item[1]) != len(texts) + 1):
            return False
        texts.append(item[item.lastindex or 0])
    if not shape.get("min_items", 1) <= len(texts) <= shape.get("max_items", MAX_CHARS):
        return False
    most = shape.get("max_words_per_item", MAX_CHARS)
    return all(len(text.split()) <= most for text in texts)


def _is_sections(shape: Shape, lines: list[str], _base: str) -> bool:
    """Whether the headings are the wanted ones in order, each with text below, none before."""
    headings: list[str] = []
    has_text: list[bool] = []
    fence = ""
    for line in lines:
        mark = _FENCE.fullmatch(line)
        if not fence and _HEADING.fullmatch(line):
            headings.append(line.strip())
            has_text.append(False)
        elif line.strip():
            if not headings:
                return False
            has_text[-1] = True
        if fence and mark and mark[1].startswith(fence) and not mark[2].strip():
            fence = ""
        elif not fence and mark:  # "# ..." inside a fence is a comment in code, not a heading
            fence = mark[1]
    return not fence and headings == shape["headings"] and all(has_text)


_SHAPES: dict[str, Callable[[Shape, list[str], str], bool]] = {
    "unified_diff": _is_diff,
    "markdown_table": _is_table,
    "one_line": _is_one_line,
    "list": _is_list,
    "sections": _is_sections,
}
