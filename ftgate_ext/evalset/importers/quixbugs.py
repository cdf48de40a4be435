"""QuixBugs -> pairs: a program with one defective line and the same program mended.

Reads `quixbugs.jsonl` (`id`, `buggy`, `fixed`, a program a line) or a clone of github.com/jkoppel/QuixBugs
(`python_programs/` beside `correct_python_programs/`). Texts that stand alone at the top level (the
description of the task, other right answers) are cut off, as they would tell which version it is; the
description becomes the purpose. Lines: where the two versions differ.
"""

from __future__ import annotations

import ast
import difflib
import re
from typing import TYPE_CHECKING, Any

from ftgate_ext.evalset.importers.imported import (
    BadRow,
    Found,
    LeftOut,
    SourceRow,
    make_group,
    one_line_breaks,
    read_rows,
)
from ftgate_ext.evalset.importers.kinds import category_of_change, in_words
from ftgate_ext.evalset.importers.reading import files_of, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUGGY, FIXED = "python_programs", "correct_python_programs"


class Program(SourceRow):
    """One program in both versions."""

    id: str
    buggy: str
    fixed: str


def read_quixbugs(source: Path) -> Iterator[Found]:
    """Two rows a program.

    Raises:
        EvalSetError: There is no such file, or it cannot be read.
    """
    for path in files_of(source, "quixbugs*.jsonl*", f"{BUGGY}/*.py"):
        if path.suffix != ".py":
            yield from read_rows(path, Program, _pair)
            continue
        other = path.parents[1] / FIXED / path.name
        if not other.is_file():
            if not path.stem.endswith("_test") and path.stem != "node":
                yield BadRow(str(path), f"no {FIXED}/{path.name}; expected the mended program.")
            continue
        program = Program(id=f"quixbugs-{path.stem}", buggy=read_text(path), fixed=read_text(other))
        if program.buggy != program.fixed:
            yield _pair(program, str(path))


def _pair(program: Program, where: str) -> Found:
    try:
        buggy, fixed = _program(program.buggy), _program(program.fixed)
    except (SyntaxError, ValueError) as error:
        return BadRow(where, f"not a Python program ({error}); expected one.")
    before, after = buggy.split("\n"), fixed.split("\n")
    edits = [
        edit
        for edit in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
        if edit[0] != "equal"
    ]
    if not edits:
        return LeftOut(where, "the two versions of the program are the same")
    removed = [line for _, a, b, _, _ in edits for line in before[a:b]]
    added = [line for _, _, _, a, b in edits for line in after[a:b]]
    first = min(edits[0][1] + 1, len(before))
    category = category_of_change(removed, added)
    both: dict[str, Any] = {
        "language": "python", "form": "function", "purpose": _purpose(program),
        "cluster": program.id, "source": "quixbugs", "origin": program.id, "licence": "MIT",
    }  # fmt: skip
    return make_group(
        where,
        {
            **both, "id": f"{program.id}-a", "code": buggy, "verdict": "defect", "twin": f"{program.id}-b",
            "category": category, "also_accept": ["logic", "boundary"], "subtype": "one_line",
            "lines": [first, max(first, edits[-1][2])], "comment": in_words([(removed, added)]),
        },
        {**both, "id": f"{program.id}-b", "code": fixed, "verdict": "clean", "twin": f"{program.id}-a"},
    )  # fmt: skip


def _program(text: str) -> str:
    """The program without the texts that stand alone at its top level, and without spare blanks."""
    lines = one_line_breaks(text).split("\n")
    for node in ast.parse("\n".join(lines)).body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[number] = ""
    joined = "\n".join(line.rstrip() for line in lines)
    code = re.sub(r"\n{4,}", "\n\n\n", joined).strip("\n")
    if not code:
        raise ValueError("no statement")
    return code


def _purpose(program: Program) -> str:
    """What the description says comes out, or else the program's name."""
    name = program.id.removeprefix("quixbugs-").replace("_", " ")
    found = re.search(r"(?ms)^Output:\s*\n(.*?)(?:\n\s*\n|\n\w+:|\"\"\"|\Z)", program.buggy)
    told = " ".join(found[1].split()) if found else ""
    return f"{name}: {told}" if told else name
