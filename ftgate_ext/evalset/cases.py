"""Families -> cases: code as it is shown, with the lines of its defect. Picks nothing.

A case is shown as a function or, where its family says what stood there before, as a unified diff;
`lines` always count the lines that are shown.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ftgate_ext.evalset.families import (
    Defect,
    Family,
    Skin,
    defective_template,
    fill,
    fill_sentence,
)
from ftgate_ext.evalset.near import Shingles, shingles
from ftgate_ext.evalset.schema import Form, length_bucket

if TYPE_CHECKING:
    from collections.abc import Iterator

DIFF_CONTEXT = 6
"""Unchanged lines around a change: enough to judge it, as a reviewer who unfolds a few."""
_HUNK = re.compile(r"@@ -\d+(?:,\d+)? \+(\d+)(?:,\d+)? @@")


@dataclass(frozen=True)
class Shown:
    """What a reviewer sees, and where the defect is in it."""

    form: Form
    text: str
    lines: tuple[int, int] | None


@dataclass(frozen=True)
class BuiltCase:
    """One family in one skin, right or with one defect."""

    family: Family = field(repr=False)
    skin_number: int
    defect_number: int | None
    shown: Shown
    program: str = field(repr=False)
    """The whole code that is judged."""

    @property
    def skin(self) -> Skin:
        """The vocabulary."""
        return self.family.skins[self.skin_number]

    @property
    def defect(self) -> Defect | None:
        """The defect; None in right code."""
        return None if self.defect_number is None else self.family.defects[self.defect_number]

    @property
    def place(self) -> tuple[str, int, Form]:
        """What a case shares with its twin."""
        return self.family.family, self.skin_number, self.shown.form

    @property
    def purpose(self) -> str:
        """One phrase: what the code is for."""
        return fill_sentence(self.family.purpose, self.skin)

    @property
    def right_program(self) -> str:
        """The code without the defect."""
        return program_of(self.family, self.skin)

    @cached_property
    def shingles(self) -> Shingles:
        """Of all that is shown."""
        return shingles(f"{self.purpose}\n{self.shown.text}")

    def order(self, seed: int) -> str:
        """A place in a shuffled row of cases that is the same on every machine."""
        key = f"{seed}:{self.place}:{self.defect_number}"
        return hashlib.sha256(key.encode()).hexdigest()

    def row(self) -> dict[str, Any]:
        """The row of the golden set, without id and twin."""
        defect, label = self.defect, label_of(self.family)
        return {
            "language": self.family.language,
            "purpose": self.purpose,
            "form": self.shown.form,
            "code": self.shown.text,
            "verdict": "defect" if defect else "clean",
            "category": defect.category if defect else None,
            "subtype": defect.subtype if defect else None,
            "also_accept": list(defect.also_accept) if defect else [],
            "severity": defect.severity if defect else None,
            "lines": list(self.shown.lines) if self.shown.lines else None,
            "comment": fill_sentence(defect.comment, self.skin) if defect else None,
            "tier": self.family.tier,
            "cluster": self.family.family,
            "length": length_bucket(self.shown.text),
            "source": "template",
            "label_source": label[0],
            "label_strength": label[1],
        }


def label_of(family: Family) -> tuple[str, str]:
    """(label_source, label_strength): proven is only what `verify` can run again."""
    if family.test is not None:
        return "execution", "proven"
    return (f"checked:{family.checked}" if family.checked else "construction"), "stated"


def program_of(family: Family, skin: Skin, defect: Defect | None = None) -> str:
    """The code of a family in a skin, right or with a defect."""
    template = family.code if defect is None else defective_template(family, defect)
    return fill(template, skin).strip("\n")


def cases_of(family: Family) -> Iterator[BuiltCase]:
    """Every case of a family: each defect in each skin, and the right code in the same form(s).

    Where the family has an earlier version, two skins in three are shown as diffs; a defect that the
    diff would not show stays a function.
    """
    for skin_number, skin in enumerate(family.skins):
        as_diff = bool(family.earlier) and skin_number % 3 != 2
        earlier = fill(family.earlier or "", skin).strip("\n")
        right = program_of(family, skin)
        forms: dict[Form, None] = {}
        for number, defect in enumerate(family.defects):
            program = program_of(family, skin, defect)
            lines = changed_lines(right, program)
            shown = _diff(earlier, program, lines) if as_diff else None
            if shown is None:
                shown = Shown("function", program, lines)
            forms[shown.form] = None
            yield BuiltCase(family, skin_number, number, shown, program)
        for form in forms:
            text = right if form == "function" else "\n".join(_diff_lines(earlier, right))
            yield BuiltCase(family, skin_number, None, Shown(form, text, None), right)


def changed_lines(right: str, program: str) -> tuple[int, int]:
    """First and last line of a program that differ from the right one, from 1.

    Where the defect is a deletion, the lines on both sides of it.
    """
    before, after = right.split("\n"), program.split("\n")
    shortest = min(len(before), len(after))
    head = next((i for i in range(shortest) if before[i] != after[i]), shortest)
    tail = next(
        (i for i in range(shortest - head) if before[-1 - i] != after[-1 - i]), shortest - head
    )
    first, last = head, len(after) - tail - 1  # from 0
    if first > last:
        first, last = max(0, head - 1), min(len(after) - 1, head)
    return _shrunk(after, first, last)


def _shrunk(lines: list[str], first: int, last: int) -> tuple[int, int]:
    """A range without blank lines at its ends, from 1; around a blank place it grows instead."""
    text = [i for i in range(first, last + 1) if lines[i].strip()]
    if text:
        return text[0] + 1, text[-1] + 1
    above = next((i for i in range(first, -1, -1) if lines[i].strip()), 0)
    below = next((i for i in range(last, len(lines)) if lines[i].strip()), above)
    return above + 1, below + 1


def _diff_lines(earlier: str, program: str) -> list[str]:
    """A unified diff without the names of the files."""
    found = difflib.unified_diff(
        earlier.split("\n"), program.split("\n"), lineterm="", n=DIFF_CONTEXT
    )
    return [line.rstrip() for line in found][2:]


def _diff(earlier: str, program: str, lines: tuple[int, int]) -> Shown | None:
    """The diff of a change, with the lines of the defect in it; None where it does not show them."""
    shown = _diff_lines(earlier, program)
    place: dict[int, int] = {}  # line of the new program -> line of the diff
    at = 0
    for number, line in enumerate(shown, start=1):
        hunk = _HUNK.match(line)
        if hunk:
            at = int(hunk[1])
        elif not line.startswith("-"):
            place[at] = number
            at += 1
    if lines[0] not in place or lines[1] not in place:
        return None
    first, last = place[lines[0]], place[lines[1]]
    touched = shown[max(0, first - 2) : last + 1]
    if not any(line.startswith(("+", "-")) for line in touched):
        return None  # the defect lies in lines that the change leaves alone
    return Shown("diff", "\n".join(shown), (first, last))
