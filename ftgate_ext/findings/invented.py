"""Does a review speak of code that is not there?

Conservative: whoever is unsure is not accused. Two things count.

1. A line beyond the end of the code, in the answer's `line` or as "line 40" in its comment.
2. A name in the part of the comment that describes the code. That part ends where a proposal begins
   ("use", "should", "instead", a semicolon ...): what a proposal names need not be there yet. Only what cannot
   be prose is taken for a name: snake_case, camelCase, a call `name(`. It is there if it occurs in
   the code, the purpose or the prompt's own words, in any case and with or without underscores; names of
   the language, and of errors and exceptions, are known everywhere.

On the expert comments of the shipped golden set, which describe real code, it must accuse nobody (tested).
"""

from __future__ import annotations

import builtins
import keyword
import re
from typing import TYPE_CHECKING, Any

from ftgate_ext.scoring.codereview import CATEGORIES

if TYPE_CHECKING:
    from ftgate_ext.scoring.codereview import Review

_LINES = re.compile(r"\blines?\s+(\d{1,6})(?:\s*(?:-|to|and)\s*(\d{1,6}))?", re.IGNORECASE)
_PROPOSAL = re.compile(
    r";|\b(?:use|using|should|must|instead|add|adding|replace|call|calling|wrap|consider|need|needs|try|"
    r"import|rather|e\.g|such as|like|fix|change|switch|return|pass|with|prefer|set|make|keep|check|ensure|"
    r"avoid|without|missing|lacks?|never|not|no)\b",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"\b(?:_*[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)+"  # snake_case
    r"|[a-z]+[a-z0-9]*[A-Z][A-Za-z0-9]*"  # camelCase
    r"|[A-Za-z_][A-Za-z0-9_]{2,}(?=\())"  # a call
)
_WORD = re.compile(r"[A-Za-z0-9]+")
_KNOWN = (
    {name.lower().replace("_", "") for name in (*dir(builtins), *keyword.kwlist, *CATEGORIES)}
    | {"null", "undefined", "nullptr", "nil", "javascript", "typescript", "postgresql", "mysql", "github"}
    | {"sqlite", "stdin", "stdout", "stderr", "iterator", "async", "await"}
)  # fmt: skip
_ERRORS = ("error", "exception", "warning")
MAX_COMMENT = 2000


def speaks_of_what_is_not_there(review: Review, doc: dict[str, Any], prompt: str) -> bool:
    """Whether a review names a line or a name that its code does not have.

    Args:
        review: A readable answer that reports a defect.
        doc: The row, with `code`.
        prompt: What the model was asked: words of the request itself are not invented.
    """
    code = doc.get("code")
    if not isinstance(code, str):
        return False
    last = len(code.splitlines())
    if review.line is not None and not 1 <= review.line <= last:
        return True
    comment = (review.comment or "")[:MAX_COMMENT]
    if any(int(n) > last for found in _LINES.findall(comment) for n in found if n):
        return True
    described = comment[: found.start()] if (found := _PROPOSAL.search(comment)) else comment
    names = {match.group() for match in _NAME.finditer(described)}
    if not names:
        return False
    there = _letters(f"{code} {doc.get('purpose', '')} {prompt}")
    return any(not _is_known(name) and _letters(name) not in there for name in names)


def _letters(text: str) -> str:
    return "".join(_WORD.findall(text)).lower()


def _is_known(name: str) -> bool:
    plain = _letters(name)
    return plain in _KNOWN or plain.endswith(_ERRORS)
