"""The command `ftgate`: one sub-command a stage, and no logic.

Exit codes: 0 GO or done, 1 NO-GO, 2 wrong use or broken input, 3 INCONCLUSIVE.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ftgate_ext import __version__
from ftgate_ext.errors import FtgateError
from ftgate_ext.evalset_cli import app as evalset_app
from ftgate_ext.judge_cli import app as judge_app
from ftgate_ext.options_cli import (
    AsJson,
    ExecutorOption,
    Latency,
    LatencyConcurrency,
    PolicyFile,
    Quiet,
    RayAddress,
    RunDir,
    RunDirOption,
)
from ftgate_ext.prepare_cli import check, doctor, init, plan, tasks_path
from ftgate_ext.review_cli import label, notebook, review
from ftgate_ext.signals_cli import alerts, traces
from ftgate_ext.terminal import answer, show
from ftgate_ext.trainlog_cli import trainlog
from ftgate_ext.view_cli import history, view

if TYPE_CHECKING:
    from ftgate_ext.schema import Decision

INTERRUPTED = 130

app = typer.Typer(
    help="The release decision for a fine-tuned language model: GO, NO-GO or INCONCLUSIVE.",
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
)  # fmt: skip
app.add_typer(evalset_app, name="evalset")
app.add_typer(judge_app, name="judge")
app.command()(trainlog)
app.command()(history)
app.command()(view)
app.command()(init)
app.command()(plan)
app.command()(check)


def _print_version(wanted: bool) -> None:
    if wanted:
        show(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Options before any command."""


@app.command()
def run(
    policy_file: PolicyFile = Path("gate.yaml"),
    run_dir: RunDirOption = None,
    executor: ExecutorOption = "local",
    ray_address: RayAddress = "auto",
    latency: Latency = False,
    latency_concurrency: LatencyConcurrency = 1,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Ask every model every eval set. The same command again resumes."""
    from ftgate_ext.gate import run_policy
    from ftgate_ext.runs import load_manifest
    from ftgate_ext.schema import to_json

    on_ray = _ray_address(executor, ray_address)
    folder = run_policy(
        policy_file, run_dir, quiet=quiet, on_ray=on_ray,
        latency=latency_concurrency if latency else None,
    )  # fmt: skip
    document = {"run_dir": str(folder), "run": to_json(load_manifest(folder))} if as_json else None
    answer(document, f"Run folder: {folder}", as_json=as_json)


app.command()(label)


@app.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN | ROLE=DIR...",
            help="A run folder, or role=folder pairs as lm_eval wrote them.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where to write, for role=folder pairs.")
    ] = Path("comparison"),
    cluster: Annotated[
        Optional[str],
        typer.Option(
            help="Row field that says which cases belong together, for role=folder pairs."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Paired statistics: comparisons.json and findings.json."""
    from ftgate_ext.gate import compare_any
    from ftgate_ext.report.tables import comparison_table

    comparisons, folder = compare_any(runs, output, cluster)
    wrote = f"Wrote {folder / 'comparisons.json'} and {folder / 'findings.json'}."
    answer(comparisons, f"{comparison_table(comparisons)}\n{wrote}", as_json=as_json)


@app.command()
def decide(
    run_dir: RunDir,
    policy: Annotated[
        Optional[Path], typer.Option("--policy", help="Other rules than the run's own.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Apply the rules: decision.json. Exits with 0, 1 or 3."""
    from ftgate_ext.report.tables import decision_table
    from ftgate_ext.stages import decide_run

    decision = decide_run(run_dir, policy)
    answer(decision, decision_table(decision), as_json=as_json)
    raise typer.Exit(decision.exit_code)


@app.command()
def audit(
    run_dir: RunDir,
    policy: Annotated[
        Optional[Path], typer.Option("--policy", help="Other rules than the run's own.")
    ] = None,
    simulations: Annotated[int, typer.Option(help="How many, at least 100.")] = 2000,
    improvement_pt: Annotated[
        float, typer.Option(help="Size of the planted improvement in percentage points.")
    ] = 5.0,
    seed: Annotated[Optional[int], typer.Option(help="The policy's when left out.")] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Simulate how often the policy is wrong on data like these: audit.json."""
    from ftgate_ext.audit.stage import AUDIT, audit_run
    from ftgate_ext.audit.words import audit_table
    from ftgate_ext.progress import Progress

    with Progress(simulations, "audit", quiet=quiet) as progress:
        found = audit_run(
            run_dir, policy, simulations, seed,
            improvement_pt=improvement_pt, on_progress=progress.advance,
        )  # fmt: skip
    text = f"{audit_table(found)}\nWrote {run_dir / AUDIT}; `ftgate report` shows it."
    answer(found, text, as_json=as_json)


@app.command()
def report(run_dir: RunDir, as_json: AsJson = False) -> None:
    """Write report.md, report.html and error_analysis.ipynb."""
    from ftgate_ext.stages import report_run

    markdown, page = report_run(run_dir)
    paths = {"markdown": str(markdown), "html": str(page)}
    answer(paths, f"Wrote {markdown} and {page}.", as_json=as_json)


@app.command()
def gate(
    policy_file: PolicyFile = Path("gate.yaml"),
    run_dir: RunDirOption = None,
    executor: ExecutorOption = "local",
    ray_address: RayAddress = "auto",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """All stages in one command. Exits with 0 GO, 1 NO-GO, 3 INCONCLUSIVE."""
    from ftgate_ext.gate import run_gate

    on_ray = _ray_address(executor, ray_address)
    decision, folder = run_gate(policy_file, run_dir, quiet=quiet, on_ray=on_ray)
    _answer_decision(decision, folder, as_json=as_json)
    raise typer.Exit(decision.exit_code)


@app.command()
def demo(
    run_dir: RunDirOption = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Only serve the demo models, until Ctrl-C.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port for --serve; 0 takes a free one.")] = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Three real models on this machine, from the first request to the report. Needs no key."""
    from ftgate_ext.demo import run_demo, serve_demo

    if serve:
        serve_demo(port, show)
        return
    decision, folder = run_demo(run_dir, quiet=quiet)
    would = f"\nDashboard: {folder / 'dashboard' / 'index.html'}\n`ftgate gate` would exit with code {decision.exit_code}."
    _answer_decision(decision, folder, would, as_json=as_json)


@app.command()
def moved(
    run_dir: RunDir, policy_file: PolicyFile = Path("gate.yaml"), as_json: AsJson = False
) -> None:
    """Tell a run that its models are served elsewhere now, so that it can go on there."""
    from ftgate_ext.moved import move_run

    lines = move_run(run_dir, policy_file)
    answer({"moved": lines}, "\n".join(lines or ["No address has changed."]), as_json=as_json)


app.command("tasks-path")(tasks_path)
app.command()(doctor)
app.command()(notebook)
app.command()(review)
app.command()(traces)
app.command()(alerts)


def _ray_address(executor: str, address: str) -> str | None:
    if executor not in ("local", "ray"):
        raise FtgateError(f"--executor {executor!r}: expected local or ray.")
    return address if executor == "ray" else None


def _answer_decision(
    decision: Decision, folder: Path, more: str = "", *, as_json: bool = False
) -> None:
    from ftgate_ext.report.tables import decision_table

    page = folder / "report.html"
    text = f"{decision_table(decision)}\nReport: {page} (and report.md){more}"
    document = {
        "run_dir": str(folder),
        "report": str(page),
        "decision": decision.model_dump(mode="json"),
    }
    answer(document, text, as_json=as_json)


def main() -> None:
    """Run the command line; what a user can mend is one line on stderr and exit code 2."""
    try:
        app()
    except FtgateError as error:
        show(f"ftgate: {error}", error=True)
        sys.exit(error.exit_code)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer makes this of a KeyboardInterrupt, and says nothing
            show("ftgate: interrupted; run the same command again to resume.", error=True)
        raise


if __name__ == "__main__":
    main()
