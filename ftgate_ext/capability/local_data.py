"""Local copies of benchmarks -> datasets as lm-eval's own tasks expect them.

A folder holds one folder a benchmark with JSONL files, plain or gzipped, whose names contain the
split: `mmlu/mmlu_test.jsonl.gz`, `gsm8k/train.jsonl`. Columns are those of the published data.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from ftgate_ext.capability.variants import benchmark_of
from ftgate_ext.evalset.rows import LoadedSet, loaded_sets
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Row = dict[str, Any]

_SPLITS: dict[str, dict[str, tuple[str, ...]]] = {
    "mmlu": {"test": ("test",), "dev": ("dev",)},
    "gsm8k": {"test": ("test",), "train": ("train",)},
    "humaneval": {"test": ("test", "humaneval")},
    "mtbench": {"train": ("question",)},
    "ifeval": {"train": ("train", "input_data")},
    "hellaswag": {"validation": ("validation", "val"), "train": ("train",)},
}
"""Benchmark -> split of the task -> what the file's name may contain."""

_COLUMNS: dict[str, tuple[str, ...]] = {
    "mmlu": ("subject", "question", "choices", "answer"),
    "gsm8k": ("question", "answer"),
    "humaneval": ("task_id", "prompt", "entry_point", "test"),
    "mtbench": ("question_id", "category", "turns"),
    "ifeval": ("key", "prompt", "instruction_id_list", "kwargs"),
    "hellaswag": ("ctx", "endings", "label"),
}


def local_dataset(task: str, data: Path) -> Callable[..., dict[str, Any]] | None:
    """What lm-eval is to call as `custom_dataset` of a task; None where `data` has none for it.

    Args:
        task: Name of an lm-eval task, a subject of MMLU included.
        data: The folder with local copies.
    """
    name, subject = _benchmark_and_subject(task)
    if name is None or not (data / name).is_dir():
        return None
    return partial(_load, name=name, folder=data / name, subject=subject)


def is_local(task: str, data: Path) -> bool:
    """Whether a benchmark, or the group of its tasks, has a local copy.

    Args:
        task: Name of an lm-eval task or group.
        data: The folder with local copies.
    """
    name, _ = _benchmark_and_subject(task)
    return name is not None and (data / name).is_dir()


def lacks_subject(task: str, data: Path) -> str | None:
    """Why a subject of a benchmark cannot be asked, where its file is there but has no rows of it.

    Raises:
        EvalSetError: The file is broken.
    """
    name, subject = _benchmark_and_subject(task)
    if name is None or subject is None or not (data / name).is_dir():
        return None
    for names in _SPLITS[name].values():
        path = _find(data / name, names)
        if path is not None and subject not in _subjects(path, name):
            return f"{path.name} has no rows of subject {subject!r}"
    return None


def _subjects(path: Path, name: str) -> frozenset[str]:
    return _subjects_of(path, name, _stamp(path))


@lru_cache(maxsize=8)
def _subjects_of(path: Path, name: str, stamp: tuple[int, int]) -> frozenset[str]:
    return frozenset(str(row.get("subject")) for row in _read(path, name, stamp))


def _stamp(path: Path) -> tuple[int, int]:
    """What changes when a file does."""
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def _benchmark_and_subject(task: str) -> tuple[str | None, str | None]:
    known = benchmark_of(task)
    if known is None and task.startswith("mmlu_"):
        return "mmlu", task.removeprefix("mmlu_").removesuffix("_generative")
    return known, None


def _load(
    *, name: str, folder: Path, subject: str | None, config_source: str = "", **_metadata: Any
) -> dict[str, Any]:
    """All splits of one benchmark, or of one subject of it.

    Raises:
        EvalSetError: A file is missing or broken, a column is missing, or it has no such subject.
    """
    from datasets import Dataset

    splits: dict[str, Any] = {}
    for split, names in _SPLITS[name].items():
        path = _find(folder, names)
        if path is None:
            if splits:  # worked examples are a second file, which not every copy has
                continue
            raise EvalSetError(
                f"{folder}: no file for the {split} split; expected {names[0]}.jsonl or {names[0]}.jsonl.gz."
            )
        rows = [r for r in _rows(path, name) if subject in (None, r.get("subject"))]
        if not rows:
            raise EvalSetError(f"{path}: no rows of subject {subject!r}.")
        if not splits:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            loaded_sets[config_source] = LoadedSet(path, digest, len(rows), config_source)
        splits[split] = Dataset.from_list(_references(rows, folder) if name == "mtbench" else rows)
    return splits


def _find(folder: Path, names: tuple[str, ...]) -> Path | None:
    files = sorted(p for p in folder.iterdir() if p.name.endswith((".jsonl", ".jsonl.gz")))
    for name in names:
        found = [p for p in files if name in p.name.lower()]
        if found:
            return found[0]
    return None


def _rows(path: Path, name: str) -> list[Row]:
    return _read(path, name, _stamp(path))


@lru_cache(maxsize=8)  # 57 subjects of MMLU stand in one file
def _read(path: Path, name: str, _as_of: tuple[int, int]) -> list[Row]:
    rows: list[Row] = []
    opened = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    rows.append(_row(json.loads(line), name, f"{path}:{number}"))
    except (ValueError, OSError, EOFError) as error:
        raise EvalSetError(
            f"{path}:{max(number, 1)}: cannot be read ({error}); expected JSONL."
        ) from None
    return rows


def _row(row: Any, name: str, where: str) -> Row:
    missing = [c for c in _COLUMNS[name] if not isinstance(row, dict) or c not in row]
    if missing:
        raise EvalSetError(f"{where}: no {missing[0]!r}; expected a row of {name}.")
    # Columns of one type each: Arrow takes no others.
    return {k: json.dumps(v) if k == "kwargs" and name != "ifeval" else v for k, v in row.items()}


def _references(rows: list[Row], folder: Path) -> list[Row]:
    """MT-Bench questions with the reference answers that stand beside them, where there are any."""
    path = _find(folder, ("reference",))
    known: dict[Any, list[str]] = {}
    if path is not None:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
            for line in file:
                answer = json.loads(line)
                known[answer["question_id"]] = list(answer["choices"][0]["turns"])
    return [
        {**row, "reference": row.get("reference") or known.get(row["question_id"], [])}
        for row in rows
    ]
