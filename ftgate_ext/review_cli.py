"""The commands in which people look at answers: `ftgate label`, `notebook`, `review`. No logic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from ftgate_ext.options_cli import AsJson, RunDir
from ftgate_ext.terminal import answer, show


def label(
    pairs: Annotated[
        Path, typer.Option(metavar="RUN", help="A run folder, its pairs judged or not yet.")
    ],
    labeller: Annotated[str, typer.Option(help="Who labels.")],
    n: Annotated[int, typer.Option("--n", help="Pairs to draw in all.", min=1)] = 100,
    against: Annotated[
        Optional[str],
        typer.Option(metavar="ROLE", help="The other model; the judge's first when left out."),
    ] = None,
    by: Annotated[
        Optional[str],
        typer.Option(metavar="FIELD", help="Draw as many pairs for every value of this field."),
    ] = None,
    overlap: Annotated[
        float, typer.Option(help="Share of the pairs that two label.", min=0, max=1)
    ] = 0.2,
    page: Annotated[bool, typer.Option("--page", help="On a page of this machine.")] = False,
    port: Annotated[int, typer.Option(help="Port for --page; 0 takes a free one.", min=0)] = 0,
) -> None:
    """Let an expert compare answers blind; the same command goes on. Corrects the judge's win rate."""
    from ftgate_ext.judge.pair_labels import label_run

    told = label_run(
        pairs, labeller, n, against, by, overlap, port=port if page else None, ask=input, tell=show,
    )  # fmt: skip
    show(told)


def notebook(
    run_dir: RunDir,
    execute: Annotated[
        bool,
        typer.Option("--execute", help="Run its cells in a kernel; needs ftgate-ext[notebook]."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write error_analysis.ipynb anew: the top 30 failures with all models' answers."""
    from ftgate_ext.notebook import write_notebook

    path = write_notebook(run_dir, execute=execute)
    answer({"notebook": str(path)}, f"Wrote {path}.", as_json=as_json)


def review(
    run_dir: RunDir,
    reviewer: Annotated[str, typer.Option(help="Who reviews.")],
    page: Annotated[bool, typer.Option("--page", help="On a page of this machine.")] = False,
    port: Annotated[int, typer.Option(help="Port for --page; 0 takes a free one.", min=0)] = 0,
    harmful: Annotated[
        bool, typer.Option("--harmful", help="Also show harmful requests and the answers to them.")
    ] = False,
) -> None:
    """Let somebody check the worst regressions blind; the same command goes on."""
    from ftgate_ext.review import review_run

    told = review_run(
        run_dir, reviewer, harmful=harmful, port=port if page else None, ask=input, tell=show
    )
    show(told)
