"""What an importer yields: rows of one case, a bad row, or one that is left out. Knows no source.

A source rarely says everything that a golden row needs. What it does not say is filled in here, and
named, so that the import can print how often that happened:

    severity    high for security, medium for all else
    category    logic            subtype    unspecified
    lines       all of the code  comment    "The source gives no reason."
    tier        medium
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from pydantic import ConfigDict, Field, ValidationError

from ftgate_ext.evalset.importers.reading import Unreadable, objects_of
from ftgate_ext.evalset.schema import GoldenRow, first_problem, length_bucket
from ftgate_ext.schema import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NO_REASON = "The source gives no reason."
LINE_BREAKS = re.compile("\r\n|[\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029]")
"""Whatever else Python counts as the end of a line; line numbers of sources mean line feeds."""


class ImportedRow(GoldenRow):
    """A golden row from elsewhere: it keeps where it comes from and under which licence."""

    origin: str = Field(min_length=1)
    """What the source calls this case: an id, a commit, a place in a pull request."""
    licence: str = Field(min_length=1)
    """Of the code as the source states it; `not stated` where it does not."""


class SourceRow(Row):
    """A row as a source writes it: other fields than those named are of no interest."""

    model_config = ConfigDict(extra="ignore", strict=True)


@dataclass(frozen=True)
class Group:
    """The rows of one case, such as a pair of twins: imported together or not at all."""

    rows: tuple[ImportedRow, ...]
    filled: tuple[str, ...] = ()
    """Fields that the source does not state, once a row."""


@dataclass(frozen=True)
class BadRow:
    """A row of a source that is not as it must be."""

    where: str
    problem: str


@dataclass(frozen=True)
class LeftOut:
    """A sound row that makes no case, such as a pair whose two versions are the same."""

    where: str
    reason: str


Found: TypeAlias = Group | BadRow | LeftOut
Model = TypeVar("Model", bound=SourceRow)


def one_line_breaks(text: str) -> str:
    """Text in which only a line feed ends a line, without empty lines at the end."""
    return LINE_BREAKS.sub(lambda m: "\n" if m[0] in "\r\n" else " ", text).rstrip("\n")


def make_group(where: str, *stated: dict[str, Any]) -> Group | BadRow:
    """The rows of one case from what a source states of each; fields left out are filled in."""
    rows, filled = [], []
    for fields in stated:
        whole = _filled_in(fields)
        filled += [key for key in _SELDOM_STATED if key not in fields and whole[key] is not None]
        try:
            rows.append(ImportedRow.model_validate(whole))
        except ValidationError as error:
            return BadRow(where, first_problem(error))
    return Group(tuple(rows), tuple(filled))


_SELDOM_STATED = ("category", "subtype", "severity", "lines", "comment", "tier")


def _filled_in(stated: dict[str, Any]) -> dict[str, Any]:
    code = stated["code"]
    row = {
        "tier": "medium", "twin": None, "also_accept": [], "length": length_bucket(code),
        "label_source": "imported", "label_strength": "stated",
    } | stated  # fmt: skip
    if row["verdict"] != "defect":
        return row | dict.fromkeys(
            ("category", "subtype", "severity", "lines", "comment"), None
        ) | {"also_accept": []}  # fmt: skip
    row.setdefault("category", "logic")
    severity = "high" if row["category"] == "security" else "medium"
    fallback = {
        "subtype": "unspecified", "severity": severity, "comment": NO_REASON,
        "lines": [1, max(1, len(code.splitlines()))],
    }  # fmt: skip
    row = fallback | row
    row["also_accept"] = [c for c in dict.fromkeys(row["also_accept"]) if c != row["category"]]
    return row


def read_rows(
    path: Path, model: type[Model], convert: Callable[[Model, str], Found]
) -> Iterator[Found]:
    """The cases of a JSONL file, line by line.

    Args:
        path: JSONL, or the same packed with gzip.
        model: What a line must hold.
        convert: A line and its place -> what it is.

    Raises:
        EvalSetError: The file cannot be read.
    """
    for where, found in objects_of(path):
        if isinstance(found, Unreadable):
            yield BadRow(where, found.problem)
            continue
        try:
            row = model.model_validate(found)
        except ValidationError as error:
            yield BadRow(where, first_problem(error))
            continue
        yield convert(row, where)
