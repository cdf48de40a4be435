"""`ftgate trainlog`: what a training log says, put beside the results of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ftgate_ext.options_cli import AsJson
from ftgate_ext.terminal import answer


def trainlog(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="trainer_state.json, a log of the Trainer, or OpenAI's result CSV (base64 or not).",
        ),
    ],
    run: Annotated[Path, typer.Option("--run", metavar="RUN", help="The run folder.")],
    as_json: AsJson = False,
) -> None:
    """Read loss and token accuracy from training logs: trainlog.json, shown in the report."""
    from ftgate_ext.trainlog import TRAINLOG, describe, write_trainlog

    found = write_trainlog(files, run)
    wrote = f"Wrote {run / TRAINLOG}; `ftgate report {run}` shows it."
    answer(found, "\n".join([*describe(found), wrote]), as_json=as_json)
