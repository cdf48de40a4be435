"""Untrusted text -> text that cannot do anything: in a terminal, in Markdown, in a line of a table.

HTML is not here: Jinja escapes it. Knows no models and no figures.
"""

from __future__ import annotations

import re
import unicodedata

from ftgate_ext import terminal

clean_block = terminal.clean_block
clean_line = terminal.clean_line

_ENTITY = re.compile(r"&(?=#?\w{1,32};)")
_MARKUP = re.compile(r"([\\`*\[\]|~])")
_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_BLOCK_START = re.compile(r"^([-+=]+|#{1,6})(?=\s|$)|^(>)")
# Backticks that stand alone; longer runs are no code, or they would run into the fences made here.
_CODE = re.compile(r"(?<!`)`(?!`)([^`\s](?:[^`]*[^`\s])?)`(?!`)")
_ORDERED_START = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no link, no HTML, no end of a table cell.

    Only what could mean something is escaped, so that the source stays readable: `p < 0.05` and
    `codereview_golden` stay themselves.
    """
    return _escape(clean_line(text))


def _escape(text: str) -> str:
    text = _ENTITY.sub("&amp;", text)
    text = _MARKUP.sub(r"\\\1", text)
    text = _UNDERSCORE.sub(r"\\_", text)
    text = _TAG.sub("&lt;", text)
    text = _BLOCK_START.sub(lambda m: "&gt;" if m[2] else f"\\{m[1]}", text)
    return _ORDERED_START.sub(r"\1\\\2", text)


def split_code(text: str) -> list[tuple[bool, str]]:
    """(whether it is code, text) for the pieces of a line in which `backticks` mark code."""
    pieces = _CODE.split(clean_line(text))
    return [(index % 2 == 1, piece) for index, piece in enumerate(pieces) if piece]


def prose_markdown(text: str) -> str:
    """A line for running text, not for a table: escaped, but for what `backticks` mark as code."""
    return "".join(
        code_markdown(piece) if is_code else _escape(piece) for is_code, piece in split_code(text)
    )


def fence_markdown(text: str) -> str:
    """A code block whose fence is longer than any run of backticks in the text."""
    text = clean_block(text)
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}text\n{text}\n{fence}"


def code_markdown(text: str) -> str:
    """A code span that the text cannot leave."""
    text = clean_line(text)
    fence = "`" * (_longest_run(text) + 1)
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall(r"`+", text)), default=0)


def cell_width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(_character_width(c) for c in text)


def _character_width(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def wrap_line(text: str, columns: int) -> list[str]:
    """Break a text into lines of at most `columns` columns, at spaces where there are some."""
    lines = [""]
    for word in clean_line(text).split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if cell_width(joined) <= columns:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if cell_width(lines[-1] + character) > columns:
                lines.append("")
            lines[-1] += character
    return lines
