"""The commands over many runs: `ftgate history` and `ftgate view`. No logic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from ftgate_ext.options_cli import AsJson
from ftgate_ext.terminal import answer, show

PagesDir = Annotated[
    Optional[Path],
    typer.Option("--static", metavar="DIR", help="Write the pages as files, to open from disk."),
]
Runs = Annotated[
    str, typer.Argument(metavar="RUNS", help="A folder of runs, or a URL of fsspec (s3://...).")
]


def history(
    runs: Runs = "runs",
    as_json: AsJson = False,
    line: Annotated[
        Optional[str],
        typer.Option(metavar="TEXT", help="Only candidate lines whose name holds this."),
    ] = None,
    limit: Annotated[int, typer.Option(help="Newest runs of each line.", min=1)] = 20,
) -> None:
    """All runs of a folder: verdicts, figures, and what regressed since the last green build."""
    from ftgate_ext.history import read_history
    from ftgate_ext.history.table import history_json, history_table

    found = read_history(runs)
    text = "" if as_json else history_table(found, line, limit)
    answer(history_json(found, line, limit) if as_json else None, text, as_json=as_json)


def view(
    runs: Runs = "runs",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0)] = 0,
    opened: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = True,
    static: PagesDir = None,
    cases: Annotated[int, typer.Option(help="With --static: pages of cases at most.", min=0)] = 500,
) -> None:
    """A page over all runs, on this machine or as files: charts, regressions, cases and answers."""
    from ftgate_ext.history.store import open_store

    store = open_store(runs)
    if static is None:
        from ftgate_ext.dashboard.server import serve

        serve(store, port, show, opened=opened)
        return
    from ftgate_ext.dashboard.site import write_site

    show(write_site(store, static, cases).words)
