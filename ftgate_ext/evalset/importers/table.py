"""JSONL or CSV with any columns -> cases, by a map from our fields to the columns of the table.

A map entry is `field=column`, or `field=:value` for the same value in every row; a field without an entry is
read from the column of its own name, where there is one. `code` and `verdict` must come from somewhere.
Lines are `[3, 5]`, `3-5` or `3`; categories to also accept are a list, or names with commas between.
"""

from __future__ import annotations

import csv
import hashlib
import re
from typing import TYPE_CHECKING, Any

from ftgate_ext.evalset.importers.imported import (
    BadRow,
    Found,
    ImportedRow,
    make_group,
    one_line_breaks,
)
from ftgate_ext.evalset.importers.reading import Unreadable, objects_of
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

MAX_CELL = 10_000_000
"""Characters of one CSV cell at most."""
CSV_ENDINGS = {".csv": ",", ".tsv": "\t"}
FIELDS = tuple(ImportedRow.model_fields)
DEFECT = {"defect", "defective", "bug", "buggy", "bad", "vulnerable", "1", "true", "yes"}
CLEAN = {"clean", "ok", "good", "correct", "fixed", "safe", "0", "false", "no"}
TEXTS = (
    "id", "language", "purpose", "form", "code", "subtype", "comment", "cluster", "twin", "licence", "origin",
)  # fmt: skip
LOWERED = ("category", "severity", "tier")


def read_map(entries: Iterable[str]) -> dict[str, str]:
    """The map from `field=column` entries.

    Raises:
        EvalSetError: An entry is none, or names a field that rows do not have.
    """
    mapping = {}
    for entry in entries:
        name, separator, column = entry.partition("=")
        if not separator or not column:
            raise EvalSetError(
                f"--map {entry!r}: expected field=column, or field=:value for all rows."
            )
        if name not in FIELDS:
            raise EvalSetError(
                f"--map {entry!r}: no field {name!r}; rows have {', '.join(FIELDS)}."
            )
        mapping[name] = column
    return mapping


def read_table(
    source: Path, mapping: Mapping[str, str], licence: str = "not stated"
) -> Iterator[Found]:
    """One case a row of a JSONL (plain or gzip), CSV or TSV file.

    Args:
        source: The file; the ending says what it is.
        mapping: See `read_map`.
        licence: Where the table has no such column.

    Raises:
        EvalSetError: The file cannot be read, or a mapped column is not in its head.
    """
    rows = csv_rows(source) if source.suffix.lower() in CSV_ENDINGS else objects_of(source)
    for where, row in rows:
        if isinstance(row, Unreadable):
            yield BadRow(where, row.problem)
        else:
            yield case_of(row, where, mapping, source.name.split(".")[0], licence)


def csv_rows(source: Path) -> Iterator[tuple[str, dict[str, Any] | Unreadable]]:
    """Every row of a CSV or TSV file and its place `file:line`.

    Raises:
        EvalSetError: The file cannot be read.
    """
    before = csv.field_size_limit(MAX_CELL)
    delimiter = CSV_ENDINGS[source.suffix.lower()]
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=delimiter, strict=True)
            for row in reader:
                where = f"{source}:{reader.line_num}"
                if None in row:
                    yield where, Unreadable("more cells than the head has columns.")
                elif None in row.values():
                    yield where, Unreadable("fewer cells than the head has columns.")
                else:
                    yield where, row
    except FileNotFoundError:
        raise EvalSetError(f"{source}: no such file.") from None
    except UnicodeDecodeError:
        raise EvalSetError(f"{source}: not UTF-8; save the file as UTF-8.") from None
    except (OSError, csv.Error) as error:
        raise EvalSetError(f"{source}: cannot be read as CSV ({error}).") from None
    finally:
        csv.field_size_limit(before)


def case_of(
    row: Mapping[str, Any], where: str, mapping: Mapping[str, str], name: str, licence: str
) -> Found:
    """One row of a table -> its case.

    Args:
        row: Column -> value.
        where: Its place, for messages.
        mapping: See `read_map`.
        name: Of the table: the source of the rows.
        licence: Where the row states none.
    """
    stated: dict[str, Any] = {}
    for field in FIELDS:
        column = mapping.get(field, field)
        if column.startswith(":"):
            stated[field] = column[1:]
        elif column in row:
            stated[field] = row[column]
        elif field in mapping:
            return BadRow(where, f"{column}: no such column; found {', '.join(list(row)[:8])}.")
    try:
        fields = _read_fields({k: v for k, v in stated.items() if v is not None and v != ""})
    except ValueError as error:
        return BadRow(where, str(error))
    key = hashlib.sha256(
        f"{fields['code']}{fields['verdict']}".encode(errors="replace")
    ).hexdigest()[:10]
    number = where.rpartition(":")[2]
    defaults = {
        "id": f"{name}-{key}", "language": "text", "purpose": "Part of a program.",
        "form": "diff" if re.search(r"(?m)^@@ -\d", fields["code"]) else "function",
        "source": name, "licence": licence, "origin": f"{name}:{number}",
    }  # fmt: skip
    whole = defaults | fields
    return make_group(where, {"cluster": whole["id"]} | whole)


def _read_fields(stated: Mapping[str, Any]) -> dict[str, Any]:
    """Values in our types. Raises ValueError: `field: found, expected`."""
    fields = dict(stated)
    for field in ("code", "verdict"):
        if field not in fields:
            raise ValueError(
                f"{field}: missing; add a column of that name, or --map {field}=column."
            )
    for field in TEXTS:
        if field in fields and not isinstance(fields[field], str):
            fields[field] = str(fields[field])
    fields["code"] = one_line_breaks(fields["code"])
    fields["verdict"] = _verdict(fields["verdict"])
    for field in LOWERED:
        if field in fields:
            fields[field] = re.sub(r"[\s-]+", "_", str(fields[field]).strip().lower())
    if "lines" in fields:
        fields["lines"] = _lines(fields["lines"])
    also = fields.get("also_accept")
    if isinstance(also, str):
        fields["also_accept"] = [part.strip() for part in also.split(",") if part.strip()]
    # These follow from the code and from being imported, whatever the table says.
    for field in ("length", "label_source", "label_strength"):
        fields.pop(field, None)
    return fields


def _verdict(value: Any) -> str:
    told = str(value).strip().lower()
    if told in DEFECT:
        return "defect"
    if told in CLEAN:
        return "clean"
    raise ValueError(
        f"verdict: found {told[:40]!r}; expected one of {', '.join(sorted(DEFECT | CLEAN))}."
    )


def _lines(value: Any) -> list[int]:
    numbers = value if isinstance(value, list) else re.findall(r"\d{1,9}", str(value))
    if len(numbers) not in {1, 2} or not all(str(n).isdecimal() for n in numbers):
        raise ValueError(f"lines: found {str(value)[:40]!r}; expected [3, 5], 3-5 or 3.")
    return [int(numbers[0]), int(numbers[-1])]
