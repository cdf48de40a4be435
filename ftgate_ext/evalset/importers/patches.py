"""Unified diffs: read, turned round, shown. Knows text only; nothing is ever applied."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NOWHERE = "/dev/null"
_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@(.*)")

Side = Literal["left", "right"]


@dataclass(frozen=True)
class Hunk:
    """One `@@` block."""

    old_start: int
    new_start: int
    section: str
    """What stands behind the second `@@`."""
    lines: tuple[str, ...]
    """With their sign: blank, `-`, `+`, or a backslash for a missing line feed."""

    @property
    def removed(self) -> list[str]:
        """Lines that the change takes away, without their sign."""
        return [line[1:] for line in self.lines if line[0] == "-"]

    @property
    def added(self) -> list[str]:
        """Lines that the change brings, without their sign."""
        return [line[1:] for line in self.lines if line[0] == "+"]

    def shown(self) -> Iterator[str]:
        """The lines of the block as a diff shows them, the `@@` line first."""
        old, new = (sum(line[0] in signs for line in self.lines) for signs in (" -", " +"))
        yield f"@@ -{self.old_start},{old} +{self.new_start},{new} @@{self.section}"
        yield from self.lines

    def places(self, side: Side, first: int, last: int) -> list[int]:
        """Which of the shown lines, from 0, are lines first to last of the file before or after."""
        signs, number = (" -", self.old_start) if side == "left" else (" +", self.new_start)
        found = []
        for place, line in enumerate(self.lines, start=1):
            if line[0] in signs:
                if first <= number <= last:
                    found.append(place)
                number += 1
        return found


@dataclass(frozen=True)
class FilePatch:
    """The change of one file."""

    old_path: str
    new_path: str
    hunks: tuple[Hunk, ...]

    @property
    def path(self) -> str:
        """Where the file lies after the change, or lay before."""
        return self.old_path if self.new_path == NOWHERE else self.new_path

    def shown(self) -> Iterator[str]:
        """The lines of the diff."""
        yield f"--- {self.old_path if self.old_path == NOWHERE else f'a/{self.old_path}'}"
        yield f"+++ {self.new_path if self.new_path == NOWHERE else f'b/{self.new_path}'}"
        for hunk in self.hunks:
            yield from hunk.shown()


def read_patch(text: str) -> list[FilePatch]:
    """The files of a unified diff; those without a `@@` block (renamed, binary) are not there.

    Raises:
        ValueError: A `@@` block is cut off, or holds a line without a sign.
    """
    lines = text.removesuffix("\n").split("\n")
    patches: list[FilePatch] = []
    place = 0
    while place < len(lines):
        line = lines[place]
        if (
            line.startswith("--- ")
            and place + 1 < len(lines)
            and lines[place + 1].startswith("+++ ")
        ):
            patches.append(FilePatch(_path(line), _path(lines[place + 1]), ()))
            place += 2
        elif patches and (found := _HUNK.match(line)):
            hunk = _hunk(found, lines, place + 1)
            patches[-1] = replace(patches[-1], hunks=(*patches[-1].hunks, hunk))
            place += 1 + len(hunk.lines)
        else:
            place += 1
    return [patch for patch in patches if patch.hunks]


def turned_round(patch: FilePatch) -> FilePatch:
    """The change that undoes a change."""
    hunks = tuple(
        Hunk(h.new_start, h.old_start, h.section, tuple(_turned(h.lines))) for h in patch.hunks
    )
    return FilePatch(patch.new_path, patch.old_path, hunks)


def diff_text(patches: Sequence[FilePatch]) -> str:
    """The diff of some files."""
    return "\n".join(line for patch in patches for line in patch.shown())


def changed_range(patches: Sequence[FilePatch]) -> list[int]:
    """First and last line of `diff_text` that the change adds; that it removes, where it adds none."""
    signed: list[tuple[int, str]] = []
    number = 0
    for patch in patches:
        number += 2
        for hunk in patch.hunks:
            signed += [(number + 2 + i, line[0]) for i, line in enumerate(hunk.lines)]
            number += 1 + len(hunk.lines)
    found = [n for n, sign in signed if sign == "+"] or [n for n, sign in signed if sign == "-"]
    return [found[0], found[-1]]


def _path(line: str) -> str:
    path = line[4:].split("\t", maxsplit=1)[0].strip().strip('"')
    return path if path == NOWHERE else re.sub(r"^[abiwco]/", "", path)


def _hunk(head: re.Match[str], lines: list[str], start: int) -> Hunk:
    old, new = (1 if head[i] is None else int(head[i]) for i in (2, 4))
    body: list[str] = []
    for line in lines[start:]:
        if old <= 0 and new <= 0 and not line.startswith("\\"):
            break
        # Mail and editors strip the blank of an empty line.
        signed = line or " "
        if signed[0] not in " +-\\":
            break
        old -= signed[0] in " -"
        new -= signed[0] in " +"
        body.append(signed)
    if old or new:
        raise ValueError(f"the block {head[0]!r} is cut off or too long; expected a unified diff.")
    return Hunk(int(head[1]), int(head[3]), head[5], tuple(body))


def _turned(lines: Sequence[str]) -> Iterator[str]:
    """Signs swapped, and in each run of changes what goes before what comes."""
    units: list[list[str]] = []
    for line in lines:
        if line[0] == "\\" and units:
            units[-1].append(line)
        else:
            units.append([line])
    for changes, run in groupby(units, key=lambda unit: unit[0][0] in "+-"):
        block = list(run)
        if not changes:
            yield from (line for unit in block for line in unit)
            continue
        for sign, other in (("+", "-"), ("-", "+")):
            for unit in block:
                if unit[0][0] == sign:
                    yield other + unit[0][1:]
                    yield from unit[1:]
