"""Training logs -> `trainlog.json`: loss and token accuracy by step, and signs of overfitting.

Reads the state that the Trainer of transformers writes (`trainer_state.json`), a log of its lines (as
printed, or one JSON object a line) and the result CSV of OpenAI's fine-tuning API, as it is or in the
base64 in which the API delivers it. Files are data: nothing in them is executed.
"""

from __future__ import annotations

import ast
import base64
import binascii
import csv
import hashlib
import io
import json
import math
import re
from typing import TYPE_CHECKING, Any

from ftgate_ext.runs import MANIFEST, write_row
from ftgate_ext.schema import RunError, TrainLog, TrainPoint, TrainRun
from ftgate_ext.training_signs import find_signs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from ftgate_ext.schema import TrainSeries

TRAINLOG = "trainlog.json"
MOST_BYTES = 200_000_000
_NAMES: dict[str, TrainSeries] = {
    "loss": "train_loss", "train_loss": "train_loss", "training_loss": "train_loss",
    "eval_loss": "valid_loss", "valid_loss": "valid_loss", "validation_loss": "valid_loss",
    "mean_token_accuracy": "train_token_accuracy", "train_accuracy": "train_token_accuracy",
    "train_mean_token_accuracy": "train_token_accuracy", "token_accuracy": "train_token_accuracy",
    "eval_mean_token_accuracy": "valid_token_accuracy", "eval_token_accuracy": "valid_token_accuracy",
    "valid_mean_token_accuracy": "valid_token_accuracy", "full_valid_mean_token_accuracy": "valid_token_accuracy",
    "full_valid_loss": "valid_loss",
}  # fmt: skip
"""Names of values in logs -> ours; whole-set validation of OpenAI wins over that of one batch."""
_WHOLE_SET = {"full_valid_loss", "full_valid_mean_token_accuracy"}
_SUMMARY = "train_runtime"
"""Stands in the Trainer's last line, whose train_loss is the mean of the whole run."""
_DICT = re.compile(r"\{.*\}")


def write_trainlog(files: Sequence[Path], run_dir: Path) -> TrainLog:
    """Read training logs and put what they say into a run folder.

    Args:
        files: The logs.
        run_dir: A run folder.

    Raises:
        RunError: No run folder, or a file that is no training log.
    """
    if not (run_dir / MANIFEST).is_file():
        raise RunError(f"{run_dir}: no run folder (no {MANIFEST}); make one with `ftgate run`.")
    found = TrainLog(runs=[read_log(path) for path in files])
    write_row(run_dir / TRAINLOG, found)
    return found


def read_log(path: Path) -> TrainRun:
    """One training log of any of the known kinds.

    Raises:
        RunError: The file cannot be read, or holds no loss and no accuracy.
    """
    raw = _read(path)
    text = raw.decode("utf-8-sig", errors="replace")
    run = TrainRun(source=path.name, sha256=hashlib.sha256(raw).hexdigest(), kind="hf_log")
    rows: Iterable[dict[str, Any]]
    if (state := _as_state(text)) is not None:
        run.kind, rows = "trainer_state", state
    elif (table := _as_csv(text) or _as_csv(_decoded(text))) is not None:
        run.kind, rows = "openai_csv", table
    else:
        rows = _log_lines(text)
    _collect(run, rows)
    if not run.series:
        raise RunError(
            f"{path}: no loss and no token accuracy found; expected trainer_state.json, a log of the Trainer, or the result CSV of OpenAI's fine-tuning API."
        )
    run.signs = find_signs(run.series)
    return run


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise RunError(f"{path}: {size:,} bytes; a training log of at most {MOST_BYTES:,} was expected.")  # fmt: skip
        return path.read_bytes()
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); name a training log.") from None


def _as_state(text: str) -> list[dict[str, Any]] | None:
    """The log history of a trainer_state.json, or a JSON list of the same rows."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    history = content.get("log_history") if isinstance(content, dict) else content
    if not isinstance(history, list):
        return None
    return [row for row in history if isinstance(row, dict)]


def _as_csv(text: str | None) -> list[dict[str, Any]] | None:
    if text is None:
        return None
    try:
        reader = csv.DictReader(io.StringIO(text))
        if "step" not in (reader.fieldnames or ()):
            return None
        return list(reader)
    except csv.Error:
        return None


def _decoded(text: str) -> str | None:
    """The text inside base64; None where it is none."""
    packed = "".join(text.split())
    try:
        return base64.b64decode(packed, validate=True).decode("utf-8-sig")
    except (binascii.Error, ValueError):
        return None


def _log_lines(text: str) -> Iterator[dict[str, Any]]:
    """The objects in the lines of a log: JSON, or Python's way to print a dict, with text around."""
    for line in text.splitlines():
        found = _DICT.search(line)
        if found is None or len(line) > MOST_BYTES // 1000:
            continue
        for read in (json.loads, ast.literal_eval):
            try:
                row = read(found[0])
            except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
                continue
            if isinstance(row, dict):
                yield row
                break


def _collect(run: TrainRun, rows: Iterable[dict[str, Any]]) -> None:
    """Sort the values of all rows into series, by step; a later value of a step wins."""
    values: dict[TrainSeries, dict[float, float]] = {}
    whole: dict[TrainSeries, dict[float, float]] = {}
    for number, row in enumerate(rows, start=1):
        if _SUMMARY in row:
            continue
        step = _number(row.get("step"))
        step = step if step is not None else _number(row.get("epoch"))
        for name, cell in row.items():
            series = _NAMES.get(str(name))
            if series is None or cell in (None, ""):
                continue
            value = _number(cell)
            if value is None:
                run.n_not_numbers += 1
                continue
            target = whole if name in _WHOLE_SET else values
            target.setdefault(series, {})[float(number) if step is None else step] = value
    for series, points in (values | whole).items():
        run.series[series] = [TrainPoint(step=s, value=v) for s, v in sorted(points.items())]


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and not isinstance(value, bool) else None


def describe(found: TrainLog) -> list[str]:
    """A line or two a log: where each series began and ended, and what there is to worry about."""
    lines = []
    for run in found.runs:
        ends = [f"{name} {p[0].value:.4g} to {p[-1].value:.4g}" for name, p in run.series.items()]
        lines.append(f"{run.source} ({run.kind}): {', '.join(ends)}")
        lines += [f"  {sign}" for sign in run.signs]
    return lines
