"""Labels in files that only grow, a line each: how a line is added, which lines count, and who may write.

Knows no labels in particular: cases, pairs and reviews have their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from ftgate_ext.evalset.importers.reading import Unreadable, objects_of
from ftgate_ext.evalset.rows import raise_problems
from ftgate_ext.evalset.schema import first_problem
from ftgate_ext.schema import EvalSetError, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from pathlib import Path

MAX_NAME = 60

AnyLabel = TypeVar("AnyLabel", bound=Row)


def labeller_name(option: str, name: str) -> str:
    """The name of who labels, without the blanks around it.

    Raises:
        EvalSetError: It is empty, not one printable line, or longer than 60 characters.
    """
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise EvalSetError(f"{option} {name!r}: expected a name of 1 to {MAX_NAME} characters.")
    return name.strip()


def append_line(path: Path, line: str) -> None:
    """Add a line to a file that only grows; a line that a crash cut off must not swallow it.

    Raises:
        EvalSetError: The file cannot be written.
    """
    try:
        with path.open("a+b") as file:
            if file.tell():
                file.seek(-1, 2)
                torn = file.read(1) != b"\n"
                file.write(b"\n" * torn)
            file.write(line.encode(errors="replace") + b"\n")
    except OSError as error:
        raise EvalSetError(f"{path}: cannot be written ({error.strerror}).") from None


def latest_labels(
    files: Sequence[Path], kind: type[AnyLabel], about: Callable[[AnyLabel], Hashable]
) -> list[AnyLabel]:
    """The labels of some files, the last of those that are about the same.

    Args:
        files: JSON lines.
        kind: What each line is.
        about: Who labelled what: of labels that say the same here, the last counts.

    Raises:
        EvalSetError: A file cannot be read, or lines are no labels; up to 20 are listed.
    """
    latest: dict[Hashable, AnyLabel] = {}
    problems: list[str] = []
    for file in files:
        for where, found in objects_of(file):
            if isinstance(found, Unreadable):
                problems.append(f"{where}: {found.problem}")
                continue
            try:
                label = kind.model_validate(found)
            except ValidationError as error:
                problems.append(f"{where}: {first_problem(error)}")
                continue
            latest[about(label)] = label
    raise_problems(problems)
    return list(latest.values())
