"""The commands `ftgate traces` and `ftgate alerts`, and no logic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Optional

import typer

from ftgate_ext.errors import WRONG_USE, FtgateError
from ftgate_ext.options_cli import AsJson, RunDir
from ftgate_ext.terminal import answer, show

NEWS = 1
"""Exit code of `ftgate alerts` where something is new."""

PolicyOption = Annotated[
    Optional[Path], typer.Option("--policy", help="Another policy than the run's own.")
]


def traces(
    run_dir: RunDir,
    endpoint: Annotated[
        Optional[str],
        typer.Option(
            metavar="URL", help="OTLP/HTTP receiver; OTEL_EXPORTER_OTLP_ENDPOINT when left out."
        ),
    ] = None,
    to: Annotated[
        Optional[Path],
        typer.Option(
            metavar="FILE", help="OTLP JSON lines; traces.jsonl of the run when left out."
        ),
    ] = None,
    annotate: Annotated[
        bool,
        typer.Option("--annotate", help="The receiver is Phoenix: put scores onto the spans too."),
    ] = False,
    policy: PolicyOption = None,
    as_json: AsJson = False,
) -> None:
    """Write a run as OpenTelemetry traces, and send them where a receiver is named."""
    from ftgate_ext.traces.stage import trace_run, traced_text

    done = trace_run(run_dir, endpoint, to, policy, annotations=annotate)
    answer(done, traced_text(done), as_json=as_json)
    if done.problem:
        raise FtgateError(done.problem)


def alerts(
    run_dir: RunDir,
    webhook_env: Annotated[
        Optional[str],
        typer.Option(metavar="NAME", help="Environment variable with the webhook's URL."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what a webhook would get; tell nobody.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Also what was told before.")] = False,
    policy: PolicyOption = None,
    as_json: AsJson = False,
) -> None:
    """Tell what got worse, once. Exits with 0 where nothing is new, with 1 where something is."""
    from ftgate_ext.alerts.stage import alert_run, alerted_text

    done = alert_run(run_dir, webhook_env, policy, dry_run=dry_run, again=again)
    text = json.dumps(done.payload, indent=2) if done.payload else alerted_text(done)
    answer(done, text, as_json=as_json)
    for problem in done.problems:
        show(f"ftgate: {problem}", error=True)
    if done.new:
        raise typer.Exit(WRONG_USE if done.problems else NEWS)
