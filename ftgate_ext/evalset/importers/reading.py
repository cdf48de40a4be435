"""Files of a source -> JSON objects with their places. Knows files, and no source."""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Unreadable:
    """A line that is no JSON object."""

    problem: str


def objects_of(path: Path) -> Iterator[tuple[str, dict[str, Any] | Unreadable]]:
    """Every line of a JSONL file, plain or packed with gzip, and its place `file:line`.

    Raises:
        EvalSetError: The file cannot be read.
    """
    for number, line in enumerate(_lines(path), start=1):
        yield f"{path}:{number}", _object(line)


def read_text(path: Path) -> str:
    """A text file in UTF-8; bytes that are none become the replacement character.

    Raises:
        EvalSetError: The file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise EvalSetError(f"{path}: cannot be read ({error.strerror}).") from None


def files_of(source: Path, *patterns: str) -> list[Path]:
    """The file itself, or the files of a folder that fit the first pattern that fits any.

    Raises:
        EvalSetError: There is none.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise EvalSetError(f"{source}: no such file or folder.")
    for pattern in patterns:
        found = sorted(path for path in source.glob(pattern) if path.is_file())
        if found:
            return found
    raise EvalSetError(f"{source}: none of {', '.join(patterns)} in this folder.")


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield from file
    except FileNotFoundError:
        raise EvalSetError(f"{path}: no such file.") from None
    except (OSError, EOFError, zlib.error) as error:
        raise EvalSetError(f"{path}: cannot be read ({error}).") from None


def _object(line: bytes) -> dict[str, Any] | Unreadable:
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return Unreadable(f"not UTF-8 at byte {error.start + 1} of the line; expected UTF-8.")
    except RecursionError:
        return Unreadable("nested too deeply; expected a JSON object.")
    except ValueError as error:
        return Unreadable(f"not valid JSON ({error}); expected a JSON object.")
    if not isinstance(row, dict):
        return Unreadable(f"found a JSON {type(row).__name__}; expected an object.")
    return row
