"""SVEN -> pairs: a function before and after the fix of a vulnerability, twins of each other.

Reads `sven_pairs.jsonl.gz`, or a clone of github.com/eth-sri/sven (`data_train_val/*/cwe-*.jsonl`): a pair a
line with `func_src_before`, `func_src_after`, `line_changes`, `vul_type`, `file_name`, `commit_link`.
Category security, subtype the CWE, lines from the spans of the lines that the fix deletes; where it
only adds lines, the line in front of which the first of them comes.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ftgate_ext.evalset.importers.imported import (
    Found,
    LeftOut,
    SourceRow,
    make_group,
    one_line_breaks,
    read_rows,
)
from ftgate_ext.evalset.importers.kinds import language_of
from ftgate_ext.evalset.importers.reading import files_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LICENCE = "MIT (data set); code under the project's own licence"

CWES: dict[str, tuple[str, list[str]]] = {
    "cwe-022": ("A path from outside is not confined to its folder", []),
    "cwe-078": ("A command of the operating system is built from outside input", []),
    "cwe-079": ("Text from outside reaches a page without being escaped", []),
    "cwe-089": ("An SQL statement is built from outside input", []),
    "cwe-125": ("Memory is read outside of its bounds", ["boundary"]),
    "cwe-190": ("An integer overflows", ["boundary"]),
    "cwe-416": ("Memory is used after it was freed", ["resource_leak", "api_misuse"]),
    "cwe-476": ("A null pointer is dereferenced", ["null_handling"]),
    "cwe-787": ("Memory is written outside of its bounds", ["boundary"]),
}
"""CWE -> what it is, and which other categories an expert would accept."""


class Line(SourceRow):
    """One line of a change."""

    line_no: int = Field(ge=1)


class LineChanges(SourceRow):
    """Lines of the function before, and of the one after."""

    deleted: list[Line]
    added: list[Line]


class Pair(SourceRow):
    """One function before and after."""

    func_name: str
    func_src_before: str
    func_src_after: str
    line_changes: LineChanges
    vul_type: str = Field(pattern=r"^cwe-\d+$")
    file_name: str
    commit_link: str


def read_sven(source: Path) -> Iterator[Found]:
    """Two rows a pair.

    Raises:
        EvalSetError: There is no such file, or it cannot be read.
    """
    for path in files_of(
        source, "sven*.jsonl*", "cwe-*.jsonl", "*/cwe-*.jsonl", "data_train_val/*/cwe-*.jsonl"
    ):
        yield from read_rows(path, Pair, _pair)


def _pair(pair: Pair, where: str) -> Found:
    before, after = one_line_breaks(pair.func_src_before), one_line_breaks(pair.func_src_after)
    if before == after:
        return LeftOut(where, "the two versions of the function are the same")
    what, also = CWES.get(pair.vul_type, (f"A weakness of the kind {pair.vul_type.upper()}", []))
    key = f"{pair.commit_link}/{pair.file_name}/{pair.func_name}"
    # Of the code too: a commit may change two functions of one name in one file.
    name = hashlib.sha256(f"{key}\n{before}".encode()).hexdigest()[:10]
    repository = re.sub(r"/commit/.*", "", pair.commit_link)
    both: dict[str, Any] = {
        "language": language_of(pair.file_name) or "c", "form": "function",
        "purpose": f"{pair.func_name} of {pair.file_name}.", "cluster": f"sven-{repository}",
        "source": "sven", "origin": key, "licence": LICENCE,
    }  # fmt: skip
    lines = _lines(pair.line_changes, before.count("\n") + 1)
    return make_group(
        where,
        {
            **both, "id": f"sven-{name}-a", "code": before, "verdict": "defect", "twin": f"sven-{name}-b",
            "category": "security", "also_accept": also, "subtype": pair.vul_type.replace("-", "_"),
            "lines": lines, "comment": f"{what} ({pair.vul_type.upper()}).",
        },
        {**both, "id": f"sven-{name}-b", "code": after, "verdict": "clean", "twin": f"sven-{name}-a"},
    )  # fmt: skip


def _lines(changes: LineChanges, count: int) -> list[int]:
    """First and last line that must change, inside a function of so many lines."""
    deleted = [line.line_no for line in changes.deleted]
    if deleted:
        return [min(count, line) for line in (min(deleted), max(deleted))]
    first = min((line.line_no for line in changes.added), default=1)
    return [min(count, first)] * 2
