"""JSONL -> cases of an eval set, checked and hashed. Knows rows and files; no model, no score."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftgate_ext.assets import asset_dir
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LISTED = 20

Case = dict[str, Any]


@dataclass(frozen=True)
class LoadedSet:
    """Which file a task was given, for the record of the run."""

    file: Path
    sha256: str
    n_rows: int
    config_source: str


# Path of the task YAML -> its data. Filled while lm-eval builds its tasks, so that results and the
# run manifest can state which data they stand on.
loaded_sets: dict[str, LoadedSet] = {}


def load_cases(path: Path, required: tuple[str, ...] = ()) -> list[Case]:
    """Read the rows of an eval set.

    Args:
        path: A JSONL file, one object with a unique `id` a line.
        required: Further keys that every row must have.

    Returns:
        The rows in file order.

    Raises:
        EvalSetError: The file is missing or rows are broken; all problems (up to 20) are listed.
    """
    problems: list[str] = []
    cases: list[Case] = []
    seen: dict[str, int] = {}
    for number, text in _lines(path):
        case, problem = _parse_row(text, required)
        if case is None:
            problems.append(f"{path}:{number}: {problem}")
            continue
        first = seen.setdefault(case["id"], number)
        if first != number:
            problems.append(
                f"{path}:{number}: id {case['id']!r} is already in line {first}; give each row its own."
            )
            continue
        cases.append(case)
    raise_problems(problems)
    if not cases:
        raise EvalSetError(f"{path}: no rows; expected one JSON object a line.")
    return cases


def raise_problems(problems: list[str]) -> None:
    """Stop with the first 20 problems and the number of the others, if there are any.

    Raises:
        EvalSetError: There is a problem.
    """
    if problems:
        more = f"\n... and {len(problems) - MAX_LISTED} more" if len(problems) > MAX_LISTED else ""
        raise EvalSetError("\n".join(problems[:MAX_LISTED]) + more)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        with path.open("rb") as file:  # bytes, so that a wrong one is found in its own line
            for number, line in enumerate(file, start=1):
                yield number, line.decode().strip()
    except FileNotFoundError:
        raise EvalSetError(f"{path}: no such eval set; check the `file` of the task.") from None
    except UnicodeDecodeError as error:
        raise EvalSetError(
            f"{path}:{number}: not UTF-8 at byte {error.start + 1} of the line; save the file as UTF-8."
        ) from None
    except OSError as error:
        raise EvalSetError(f"{path}: cannot be read ({error.strerror}).") from None


def _parse_row(text: str, required: tuple[str, ...]) -> tuple[Case | None, str]:
    """One line -> (case, "") or (None, what is wrong with it)."""
    if not text:
        return None, "empty line; expected a JSON object. Remove the line."
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        return None, f"not valid JSON ({error.msg} at column {error.colno}); mend the row."
    if not isinstance(row, dict):
        return None, f"found a JSON {type(row).__name__}; expected an object."
    if not isinstance(row.get("id"), str) or not row["id"]:
        return None, f"`id` is {row.get('id')!r}; expected a unique string."
    missing = [key for key in required if key not in row]
    if missing:
        return None, f"case {row['id']!r} has no {missing[0]!r}; add it."
    return row, ""


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def resolve_data_file(file: str, config_source: str | None) -> Path:
    """Find an eval set's file: absolute, beside the task's YAML, or in the package's `golden`.

    The working directory is never looked at: the same YAML must mean the same data everywhere.

    Raises:
        EvalSetError: It is in none of these places.
    """
    path = Path(file)
    if path.is_absolute():
        places = [path]
    else:
        yaml_dir = (
            Path(config_source).parent if config_source and config_source != "inline" else None
        )
        places = [folder / path for folder in (yaml_dir, asset_dir("golden")) if folder]
    for place in places:
        if place.is_file():
            return place.resolve()
    looked = ", ".join(str(p) for p in places)
    raise EvalSetError(
        f"{config_source or 'inline task'}: eval set {file!r} not found; looked for {looked}."
    )


def load_task_data(
    *,
    file: str,
    required: list[str] | None = None,
    config_source: str | None = None,
    **_metadata: Any,
) -> dict[str, Any]:
    """Give lm-eval the rows of a task: the `custom_dataset` of our YAMLs.

    Args:
        file: JSONL file, see `resolve_data_file`.
        required: Keys that every row must have.
        config_source: Path of the YAML, given by lm-eval.
        **_metadata: Whatever else lm-eval passes on (model_args, version ...).

    Returns:
        `{"test": datasets.Dataset}`. A column has one type: one that holds objects or values of
        several types becomes JSON text, which scorers decode.

    Raises:
        EvalSetError: See `load_cases`.
    """
    path = resolve_data_file(file, config_source)
    cases = load_cases(path, tuple(required or ()))
    return hand_over(cases, path, config_source)


def hand_over(cases: list[Case], path: Path, config_source: str | None) -> dict[str, Any]:
    """Rows of a task as lm-eval wants them; notes for the record of the run where they come from.

    Raises:
        EvalSetError: A column holds values that do not fit together.
    """
    source = config_source or "inline"
    loaded_sets[source] = LoadedSet(path, file_sha256(path), len(cases), source)
    return _as_columns(cases, path)


def _as_columns(cases: list[Case], path: Path) -> dict[str, Any]:
    """`path` stands in error messages."""
    from datasets import Dataset

    keys = list(dict.fromkeys(key for case in cases for key in case))
    try:
        return {"test": Dataset.from_dict({k: _column([c.get(k) for c in cases]) for k in keys})}
    except (TypeError, ValueError, OverflowError) as error:
        raise EvalSetError(
            f"{path}: a column holds values that do not fit together ({error}); use one plain type a key."
        ) from None


def _column(values: list[Any]) -> list[Any]:
    """A column has one type: objects, and values of several types, become JSON text."""
    kinds = {_type_name(value) for value in values if value is not None}
    if len(kinds) <= 1 and "object" not in kinds:
        return values
    return [None if v is None else json.dumps(v, ensure_ascii=False) for v in values]


def _type_name(value: Any) -> str:
    if isinstance(value, dict) or (isinstance(value, list) and any(map(_is_nested, value))):
        return "object"
    return "number" if type(value) in {int, float} else type(value).__name__


def _is_nested(value: Any) -> bool:
    return isinstance(value, (dict, list))
