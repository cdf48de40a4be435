"""`trainlog.json`: what a training log says about loss and token accuracy, step by step."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftgate_ext.schema.row import FORMAT_VERSION, Row

TrainSeries = Literal["train_loss", "valid_loss", "train_token_accuracy", "valid_token_accuracy"]


class TrainPoint(Row):
    """One value of one series."""

    step: float
    value: float


class TrainRun(Row):
    """One training log."""

    source: str
    """Name of the file, without its folders."""
    sha256: str
    kind: Literal["trainer_state", "hf_log", "openai_csv"]
    series: dict[TrainSeries, list[TrainPoint]] = Field(default_factory=dict)
    """In the order of steps; a series that the log does not hold is not there."""
    n_not_numbers: int = 0
    """Values that were no finite numbers; they are left out, and counted here."""
    signs: list[str] = Field(default_factory=list)
    """Signs of overfitting, one sentence each."""


class TrainLog(Row):
    """`trainlog.json`: all logs that were read for a run."""

    format_version: int = FORMAT_VERSION
    runs: list[TrainRun]
