"""What reaches a terminal: text that cannot steer it, and JSON that is nothing but JSON.

Case ids, model names and messages of servers are not ours: any of them may hold a colour, a cursor
movement, a window title or an override of the direction of writing.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from typing import Any

_TERMINAL_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, cursor movements
    r"|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)"  # window titles, hyperlinks
    r"|\x1b[@-Z\\^_]"
)
# Controls, invisible format characters (they can turn the direction of writing) and surrogates.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs"})


def clean_block(text: str) -> str:
    """Text of several lines without control characters; line breaks and tabs stay."""
    if text.isascii() and text.isprintable():  # nearly all of a report's cells
        return text
    text = _TERMINAL_SEQUENCES.sub("", text)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").splitlines()
    return "\n".join("".join(c for c in line if c == "\t" or _is_visible(c)) for line in lines)


def _is_visible(character: str) -> bool:
    return unicodedata.category(character) not in _INVISIBLE


def clean_line(text: str) -> str:
    """Text on one line, without control characters, white space collapsed."""
    return " ".join(clean_block(text).split())


def show(text: object, *, error: bool = False) -> None:
    """Print text; what the terminal's encoding lacks becomes a question mark.

    Args:
        text: What to print, of any origin.
        error: To stderr.
    """
    stream = sys.stderr if error else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(clean_block(str(text)).encode(encoding, "replace").decode(encoding) + "\n")
    stream.flush()


def show_json(value: Any) -> None:
    """Print one JSON document: a type of ours, or plain values. ASCII only, so it steers nothing."""
    plain = value.model_dump(mode="json") if hasattr(value, "model_dump") else value
    text = json.dumps(plain, indent=2, ensure_ascii=True, default=str, allow_nan=False)
    sys.stdout.write(text.replace("\x7f", "\\u007f") + "\n")
    sys.stdout.flush()


def answer(document: Any, text: object, *, as_json: bool) -> None:
    """Print the result of a command: for people, or for programs.

    Args:
        document: What `--json` prints: a type of ours, or plain values.
        text: The same for people.
        as_json: Whether the user asked for JSON.
    """
    if as_json:
        show_json(document)
    else:
        show(text)
