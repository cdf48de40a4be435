"""Words of a source -> language and category. Small rules, each stated here and nowhere else.

The category of a change, by what its fix adds more often than it removes, first hit:

    null_handling   a test against None, null, nil or undefined
    error_handling  try, except, catch, raise, throw, finally
    resource_leak   close(), with, defer
    concurrency     lock, mutex, synchronized, atomic
    boundary        the lines differ only in <, <=, >, >= or in + 1, - 1
    logic           all else

The category of a remark, by its words, in the same spirit. Both are guesses at what the source does not
say, so rows that carry them also accept `logic`.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.evalset.schema import Category

LANGUAGES = {
    ".py": "python", ".js": "javascript", ".jsx": "javascript", ".mjs": "javascript", ".svelte": "javascript",
    ".ts": "typescript", ".tsx": "typescript", ".go": "go", ".java": "java", ".kt": "kotlin", ".scala": "scala",
    ".sql": "sql", ".sh": "shell", ".bash": "shell", ".c": "c", ".h": "c", ".cpp": "cpp", ".cc": "cpp",
    ".cxx": "cpp", ".hpp": "cpp", ".C": "cpp", ".rs": "rust", ".cs": "csharp", ".php": "php", ".rb": "ruby",
    ".swift": "swift", ".m": "objective_c", ".lua": "lua", ".pl": "perl", ".r": "r",
}  # fmt: skip
"""File ending -> language, of files that hold code."""

_CHANGES: tuple[tuple[Category, re.Pattern[str]], ...] = (
    ("null_handling", re.compile(r"\bis (?:not )?None\b|[!=]= ?None\b|\b(?:null|nil|NULL|undefined|nullptr)\b")),
    ("error_handling", re.compile(r"(?m)^\W*(?:try|except|catch|raise|throw|finally)\b")),
    ("resource_leak", re.compile(r"\.close\(|(?m:^\s*(?:async )?with\b)|\bdefer\b")),
    ("concurrency", re.compile(r"(?i)\b(?:lock|rlock|mutex|synchronized|atomic\w*|threading)\b")),
)  # fmt: skip
_REMARKS: tuple[tuple[Category, re.Pattern[str]], ...] = (
    ("concurrency", re.compile(r"\b(?:race|concurren\w*|deadlock\w*|thread[- ]?saf\w*|threads?|mutex|atomic\w*)\b")),
    ("null_handling", re.compile(r"\b(?:null\w*|nil|none|undefined|npe|optional chaining)\b")),
    ("resource_leak", re.compile(r"\b(?:leak\w*|unclosed|not closed|never closed|dispose\w*|release[sd]?|clean ?up)\b")),
    ("boundary", re.compile(r"\b(?:off[- ]by[- ]one|out[- ]of[- ](?:bounds|range)|bounds|overflow\w*|empty (?:list|array|string|slice))\b")),
    ("error_handling", re.compile(r"\b(?:exceptions?|errors?|catch|panics?|swallow\w*|unhandled|fail(?:s|ure)?)\b")),
    ("data_loss", re.compile(r"\b(?:data loss|overwrit\w*|truncat\w*|lost|discard\w*)\b")),
    ("api_misuse", re.compile(r"\b(?:deprecated|signature|api)\b")),
)  # fmt: skip
_TELLS = re.compile(r"\s*(?!import\b|from\b|#|//|\*|\"\"\")(?=.*\w.*\w.*[ (.\[=])")
"""A line of code that says something: no import, comment, single word or bracket."""
_BOUND = re.compile(r"[<>]=?|[+-] ?1\b|\s")


def language_of(path: str) -> str | None:
    """Language of a file by its ending; None where it holds no code."""
    suffix = PurePosixPath(path).suffix
    return LANGUAGES.get(suffix) or LANGUAGES.get(suffix.lower())


def is_test(path: str) -> bool:
    """Whether a file holds tests: a folder or a name says so."""
    parts = PurePosixPath(path.lower()).parts
    name = parts[-1] if parts else ""
    in_folder = any(
        part in {"test", "tests", "testing", "__tests__", "spec"} for part in parts[:-1]
    )
    return in_folder or bool(re.search(r"(?:^|[_.])(?:tests?|spec)(?:[_.]|$)", name))


def category_of_change(removed: Sequence[str], added: Sequence[str]) -> Category:
    """Category of the defect that a fix mends, by the lines it removes and adds."""
    before, after = "\n".join(removed), "\n".join(added)
    for category, pattern in _CHANGES:
        if len(pattern.findall(after)) > len(pattern.findall(before)):
            return category
    if before != after and before and _BOUND.sub("", before) == _BOUND.sub("", after):
        return "boundary"
    return "logic"


def category_of_remark(text: str) -> Category:
    """Category of the defect that a remark speaks of, by its words."""
    lowered = text.lower()
    return next((c for c, pattern in _REMARKS if pattern.search(lowered)), "logic")


def in_words(hunks: Sequence[tuple[Sequence[str], Sequence[str]]]) -> str:
    """A fix in one sentence: what it removes and adds first in the first place that tells.

    Args:
        hunks: Removed and added lines of each place.
    """
    for telling in (_TELLS, re.compile(r"\S")):
        for removed, added in hunks:
            old = next((line.strip() for line in removed if telling.match(line)), "")
            new = next((line.strip() for line in added if telling.match(line)), "")
            if old and new:
                return f"The fix puts `{new}` in the place of `{old}`."
            if old or new:
                return f"The fix adds `{new}`." if new else f"The fix removes `{old}`."
    return "The fix changes blank lines."
