"""Options that several commands of `ftgate` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

PolicyFile = Annotated[Path, typer.Argument(metavar="GATE.YAML", help="The policy.")]
RunDir = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
RunDirOption = Annotated[
    Optional[Path], typer.Option("--run-dir", help="Run folder to make or to resume.")
]
ExecutorOption = Annotated[
    str, typer.Option("--executor", metavar="local|ray", help="Where the models are asked.")
]
RayAddress = Annotated[
    str, typer.Option("--ray-address", help="An existing Ray cluster, for --executor ray.")
]
Latency = Annotated[
    bool,
    typer.Option("--latency", help="Then ask the models some cases again in turn, and time them."),
]
LatencyConcurrency = Annotated[
    int,
    typer.Option(
        "--latency-concurrency", min=1, max=1024,
        help="Requests in flight to the model whose turn it is.",
    ),
]  # fmt: skip
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")]
