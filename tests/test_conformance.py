"""The format set's shapes that are not JSON: diffs, tables, single lines, lists and sections."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftgate_ext.schema import Answer
from ftgate_ext.scoring.conformance import MAX_CHARS, MAX_LINE_CHARS, score_format

if TYPE_CHECKING:
    from collections.abc import Callable

BASE = "def total(rows):\n    found = 0\n    for row in rows:\n        found += row\n    return found\n"
HEAD = "--- a/cart.py\n+++ b/cart.py\n"
DIFF = f"{HEAD}@@ -1,3 +1,3 @@\n def total(rows):\n-    found = 0\n+    found = Decimal(0)\n     for row in rows:\n"
TABLE = {
    "kind": "markdown_table", "columns": ["Line", "Severity"], "min_rows": 1, "max_rows": 2,
    "allowed": {"Severity": ["low", "high"]},
}  # fmt: skip
LINE = {"kind": "one_line", "pattern": r"(?:fix|feat)\([a-z]+\): .{1,40}"}
DASHES = {"kind": "list", "bullet": "-", "min_items": 2, "max_items": 3, "max_words_per_item": 4}
NUMBERS = {"kind": "list", "bullet": "1.", "min_items": 2, "max_items": 12}
SECTIONS = {"kind": "sections", "headings": ["## Summary", "## Risks"]}
SHAPES: list[dict[str, Any]] = [
    {"kind": "unified_diff"}, TABLE, LINE, DASHES, NUMBERS, SECTIONS,
]  # fmt: skip


def conforms(shape: dict[str, Any], answer: str, base: str = BASE) -> int:
    scores = score_format({"format": shape, "base": base}, [answer])
    assert set(scores) == {"conforms", "unanswered"}
    assert scores["unanswered"] == 0
    return int(scores["conforms"])


# --- unified diff

DIFFS: list[tuple[str, str, int]] = [
    ("as asked", DIFF, 1),
    ("blank lines around", f"\n{DIFF}\n\n", 1),
    ("Windows line ends", DIFF.replace("\n", "\r\n"), 1),
    ("git's own lines", f"diff --git a/cart.py b/cart.py\nindex 1a2b..3c4d 100644\n{DIFF}", 1),
    ("a function name behind the header", DIFF.replace("@@\n", "@@ def total\n"), 1),
    ("no context", f"{HEAD}@@ -2 +2 @@\n-    found = 0\n+    found = 1\n", 1),
    ("only new lines", f"{HEAD}@@ -2,0 +3 @@\n+    rows = list(rows)\n", 1),
    ("only old lines", f"{HEAD}@@ -2 +1,0 @@\n-    found = 0\n", 1),
    ("a wrong line number", DIFF.replace("-1,3 +1,3", "-4,3 +4,3"), 1),
    (
        "two hunks",
        f"{DIFF}@@ -5 +5 @@\n-    return found\n\\ No newline at end of file\n+    return found or 0\n",
        1,
    ),
    ("a fence", f"```diff\n{DIFF}```", 0),
    ("a word before", f"Here you are:\n{DIFF}", 0),
    ("a word after", f"{DIFF}This starts at a decimal.", 0),
    ("no file names", DIFF.removeprefix(HEAD), 0),
    ("no hunk", HEAD, 0),
    ("a count too high", DIFF.replace("-1,3", "-1,4"), 0),
    ("a count too low", DIFF.replace("+1,3", "+1,2"), 0),
    ("a header without numbers", DIFF.replace("@@ -1,3 +1,3 @@", "@@ ... @@"), 0),
    ("other code", DIFF.replace("found = 0", "found = None"), 0),
    ("indents lost", DIFF.replace("-    found", "-found"), 0),
    ("nothing changed", f"{HEAD}@@ -1 +1 @@\n def total(rows):\n", 0),
    ("changed to the same", f"{HEAD}@@ -2 +2 @@\n-    found = 0\n+    found = 0\n", 0),
    ("a line beyond the end", f"{HEAD}@@ -9,0 +10 @@\n+    pass\n", 0),
    ("hunks in the wrong order", f"{HEAD}@@ -5 +5 @@\n-    return found\n+    return 0\n{DIFF.removeprefix(HEAD)}", 0),
    ("two files", DIFF + DIFF, 0),
    ("the new code", BASE.replace("0", "1"), 0),
    ("a number too long", DIFF.replace("-1,3", "-" + "1" * 5000), 0),
    ("silence", "", 0),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "expected"), [d[1:] for d in DIFFS], ids=[d[0] for d in DIFFS])
def test_a_diff_conforms_if_it_applies(answer: str, expected: int) -> None:
    """Counts and old lines must be right, and the code must change; the place may be off."""
    assert conforms({"kind": "unified_diff"}, answer) == expected


def test_an_empty_line_of_a_diff_may_lack_its_space() -> None:
    """Programs that trim line ends do not spoil a diff."""
    base = "a\n\nb\n"
    diff = f"{HEAD}@@ -1,3 +1,3 @@\n a\n\n-b\n+c\n"

    assert conforms({"kind": "unified_diff"}, diff, base) == 1


def test_a_hunk_goes_to_the_nearest_place() -> None:
    """Where the old lines stand twice, the next hunk must still find its own behind them."""
    diff = f"{HEAD}@@ -1 +1 @@\n-x\n+y\n@@ -3 +3 @@\n-x\n+z\n"

    assert conforms({"kind": "unified_diff"}, diff, "x\nb\nx\n") == 1
    assert conforms({"kind": "unified_diff"}, diff, "b\nx\n") == 0


def test_a_removed_line_may_look_like_a_header() -> None:
    """Counts say what is a line of the hunk: "--- x" is the removed line "-- x"."""
    diff = f"{HEAD}@@ -1,2 +1 @@\n--- rows of last year\n select 1;\n"

    assert conforms({"kind": "unified_diff"}, diff, "-- rows of last year\nselect 1;\n") == 1


# --- Markdown

OTHERS: list[tuple[dict[str, Any], str, int]] = [
    (TABLE, "| Line | Severity |\n|---|---|\n| 3 | high |", 1),
    (TABLE, "|Line|Severity|\n|:-|-:|\n|3|high|\n|4|low|\n", 1),
    (TABLE, "| Line | Severity |\n| :---: | --- |\n| a \\| b | low |", 1),
    (TABLE, "| Line | Severity |\n|---|---|", 0),
    (TABLE, "| Line | Severity |\n|---|---|\n" + "| 3 | high |\n" * 3, 0),
    (TABLE, "| Line | Severity |\n|---|---|\n| 3 | fatal |", 0),
    (TABLE, "| Line | Severity |\n|---|---|\n| 3 | High |", 0),
    (TABLE, "| Line | Severity |\n|---|---|\n| 3 |", 0),
    (TABLE, "| Line | Severity |\n|---|---|\n| 3 | high | x |", 0),
    (TABLE, "| Line | Severity |\n| 3 | high |", 0),
    (TABLE, "| Severity | Line |\n|---|---|\n| high | 3 |", 0),
    (TABLE, "Line | Severity\n---|---\n3 | high", 0),
    (TABLE, "Findings:\n| Line | Severity |\n|---|---|\n| 3 | high |", 0),
    (TABLE, "| Line | Severity |\n|---|---|\n| 3 | high |\n\nThat is all.", 0),
    (TABLE, "| Line | Severity |\n|---|---|\n| 3 | high |\n\n| 4 | low |", 0),
    (TABLE, "```\n| Line | Severity |\n|---|---|\n| 3 | high |\n```", 0),
    (TABLE, "", 0),
    ({"kind": "markdown_table", "columns": ["A"]}, "| A |\n|-|", 1),
    (LINE, "fix(cart): round the sum once", 1),
    (LINE, " fix(cart): round the sum once\n", 1),
    (LINE, "fix(cart): round the sum once\n\nMore below.", 0),
    (LINE, "Sure: fix(cart): round the sum once", 0),
    (LINE, "`fix(cart): round the sum once`", 0),
    (LINE, "```\nfix(cart): round the sum once\n```", 0),
    (LINE, "docs(cart): round the sum once", 0),
    (LINE, "fix(cart): " + "x" * 41, 0),
    (LINE, "", 0),
    (DASHES, "- round once\n- add a test", 1),
    (DASHES, "- round once\n\n- add a test\n", 1),
    (DASHES, "- only one", 0),
    (DASHES, "- a\n- b\n- c\n- d", 0),
    (DASHES, "- this one has five words\n- b", 0),
    (DASHES, "* a\n* b", 0),
    (DASHES, "-a\n-b", 0),
    (DASHES, "- a\n  - b", 0),
    (DASHES, "- a\n- ", 0),
    (DASHES, "Two points:\n- a\n- b", 0),
    (DASHES, "- a\n- b\nDone.", 0),
    (DASHES, "```\n- a\n- b\n```", 0),
    (DASHES, "1. a\n2. b", 0),
    (DASHES, "", 0),
    (NUMBERS, "1. a\n2. b", 1),
    (NUMBERS, "\n".join(f"{n}. x" for n in range(1, 13)), 1),
    (NUMBERS, "1. a\n1. b", 0),
    (NUMBERS, "0. a\n1. b", 0),
    (NUMBERS, "2. a\n3. b", 0),
    (NUMBERS, "1) a\n2) b", 0),
    (NUMBERS, "- a\n- b", 0),
    (SECTIONS, "## Summary\nFine.\n\n## Risks\nNone.", 1),
    (SECTIONS, "## Summary\n```python\n# Setup\n## Risks\n```\n## Risks\n- None.", 1),
    (SECTIONS, "## Summary\n~~~\n```\n## Risks\n~~~\n## Risks\nNone.", 1),
    (SECTIONS, "## Summary\nUse `#!/bin/sh`, #12 and\n#13.\n## Risks\nNone.", 1),
    (SECTIONS, "## Risks\nNone.\n## Summary\nFine.", 0),
    (SECTIONS, "## Summary\nFine.", 0),
    (SECTIONS, "## Summary\nFine.\n## Risks\n", 0),
    (SECTIONS, "## Summary\n\n## Risks\nNone.", 0),
    (SECTIONS, "## Summary\nFine.\n## Risks\nNone.\n## Notes\nMore.", 0),
    (SECTIONS, "## Summary\nFine.\n### Detail\nx\n## Risks\nNone.", 0),
    (SECTIONS, "# Summary\nFine.\n# Risks\nNone.", 0),
    (SECTIONS, "**Summary**\nFine.\n**Risks**\nNone.", 0),
    (SECTIONS, "Here it is.\n## Summary\nFine.\n## Risks\nNone.", 0),
    (SECTIONS, "```markdown\n## Summary\nFine.\n## Risks\nNone.\n```", 0),
    (SECTIONS, "## Summary\nFine.\n```\n## Risks\nNone.", 0),
    (SECTIONS, "", 0),
]


@pytest.mark.parametrize(("shape", "answer", "expected"), OTHERS)
def test_markdown_shapes(shape: dict[str, Any], answer: str, expected: int) -> None:
    """The whole answer has the shape: no fence, no word around it, every bound kept."""
    assert conforms(shape, answer) == expected


# --- all kinds


@pytest.mark.parametrize("stored", [dict, json.dumps])
def test_a_format_is_an_object_or_its_json(stored: Callable[[Any], Any]) -> None:
    """A column of objects reaches the scorer as JSON text, beside a schema and an empty base."""
    doc = {"schema": None, "format": stored(DASHES), "base": None}

    assert score_format(doc, ["- a\n- b"]) == {"conforms": 1, "unanswered": 0}


@pytest.mark.parametrize("fields", [{"format": None, "base": None}, {}])
def test_a_schema_is_scored_as_before_where_other_rows_have_a_format(
    fields: dict[str, Any],
) -> None:
    """Rows of a set share their columns; an empty `format` is none."""
    doc = {"schema": '{"type": "integer"}', **fields}

    assert score_format(doc, ["3"]) == {"parses": 1, "conforms": 1, "unanswered": 0}
    assert score_format(doc, ["- a"]) == {"parses": 0, "conforms": 0, "unanswered": 0}


def test_an_unknown_kind_is_an_error() -> None:
    """A set that cannot be scored is not scored as if every model failed."""
    with pytest.raises(ValueError, match="unknown kind 'haiku'"):
        score_format({"format": {"kind": "haiku"}}, ["a"])


@pytest.mark.parametrize("status", ["failed", "malformed"])
def test_a_failed_request_is_only_unanswered(status: Any) -> None:
    """No answer, no score."""
    assert score_format({"format": DASHES}, [Answer("- a\n- b", status)]) == {"unanswered": 1}


HOSTILE = {
    "long": "a" * (MAX_CHARS + 1),
    "one long line": "fix(cart): " + "x" * (MAX_LINE_CHARS + 1),
    "blank lines": "x" + "\n" * (MAX_CHARS - 2) + "x",
    "pipes": "|" * MAX_CHARS,
    "tables": "|a|\n|-|\n" * 12_000,
    "delimiters": "| Line | Severity |\n|" + ":-" * 40_000 + "|",
    "items": "- a\n" * 25_000,
    "a long number": "1" * 90_000 + ". a",
    "headings": "## Summary\n" * 9_000,
    "hashes": "#" * MAX_CHARS,
    "fences": "## Summary\n" + "```\n" * 20_000,
    "growing fences": "## Summary\n" + "\n".join("`" * n for n in range(3, 400)),
    "hunks": HEAD + "@@ -1,0 +1,0 @@\n" * 6_000,
    "insertions": HEAD + "@@ -1,0 +2 @@\n+x\n" * 5_000,
    "a hunk without end": HEAD + "@@ -1,999999 +1,999999 @@\n" + " a\n" * 20_000,
    "git lines": "index a\n" * 12_000,
    "control characters": "\x00\x0b\x0c\x1c\u2028\u202e\ufeff" * 9_000,
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape["kind"])
@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_answers_take_no_time(shape: dict[str, Any], answer: str) -> None:
    """Whatever a model writes at length fails at once."""
    begun = time.perf_counter()

    assert conforms(shape, answer) == int(
        shape["kind"] == "unified_diff" and answer == HOSTILE["insertions"]
    )
    assert time.perf_counter() - begun < 2


@given(st.text(alphabet=" \t\r\n-+@#|`~:.\\,1234ab", max_size=200), st.sampled_from(SHAPES))
def test_any_text_gets_a_score(answer: str, shape: dict[str, Any]) -> None:
    """No answer stops a run."""
    assert conforms(shape, answer) in (0, 1)
