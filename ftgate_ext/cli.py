"""The command `ftgate`: one sub-command a stage, and no logic.

Exit codes: 0 GO or done, 1 NO-GO, 2 wrong use or broken input, 3 INCONCLUSIVE.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ftgate_ext import __version__
from ftgate_ext.errors import WRONG_USE, FtgateError
from ftgate_ext.evalset_cli import app as evalset_app

if TYPE_CHECKING:
    from ftgate_ext.schema import Decision

app = typer.Typer(
    help="The release decision for a fine-tuned language model: GO, NO-GO or INCONCLUSIVE.",
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
)  # fmt: skip
app.add_typer(evalset_app, name="evalset")

PolicyFile = Annotated[Path, typer.Argument(metavar="GATE.YAML", help="The policy.")]
RunDir = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
RunDirOption = Annotated[
    Optional[Path], typer.Option("--run-dir", help="Run folder to make or to resume.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
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
def init(
    path: Annotated[Path, typer.Argument(metavar="GATE.YAML")] = Path("gate.yaml"),
    candidate: Annotated[
        Optional[str],
        typer.Option(help="Base URL of the candidate's server; its model name is asked there."),
    ] = None,
    production: Annotated[
        Optional[str], typer.Option(help="Base URL of the production model's server.")
    ] = None,
) -> None:
    """Write a commented gate.yaml to start from."""
    from ftgate_ext.starter import write_starter

    written, to_edit = write_starter(path, {"candidate": candidate, "production": production})
    edit = f"Edit {', '.join(to_edit)}, then run" if to_edit else "Next:"
    typer.echo(f"Wrote {written}. {edit} `ftgate check {written}`.")


@app.command()
def plan(
    policy_file: PolicyFile = Path("gate.yaml"),
    from_run: Annotated[
        Optional[Path],
        typer.Option("--from", metavar="RUN", help="Earlier run to take assumptions from."),
    ] = None,
    allow: Annotated[
        Optional[list[str]],
        typer.Option(metavar="RULE", help="Accept that this rule cannot decide. Repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what the rules can see at the size of their sets, and what it will cost."""
    from ftgate_ext.plan import make_plan
    from ftgate_ext.report.plan import plan_text, refusal_line

    planned = make_plan(policy_file, from_run, allow or ())
    typer.echo(planned.model_dump_json(indent=2) if as_json else plan_text(planned))
    for rule in planned.refused:
        typer.echo(f"ftgate: {refusal_line(rule)}", err=True)
    if planned.refused:
        raise typer.Exit(WRONG_USE)


@app.command()
def check(policy_file: PolicyFile = Path("gate.yaml")) -> None:
    """Check policy, eval sets, keys and endpoints, before anything is spent."""
    from ftgate_ext.doctor import check_policy

    for line in check_policy(policy_file):
        typer.echo(line)


@app.command()
def run(
    policy_file: PolicyFile = Path("gate.yaml"), run_dir: RunDirOption = None, quiet: Quiet = False
) -> None:
    """Ask every model every eval set. The same command again resumes."""
    from ftgate_ext.gate import run_policy

    typer.echo(f"Run folder: {run_policy(policy_file, run_dir, quiet=quiet)}")


@app.command()
def judge(run_dir: RunDir, quiet: Quiet = False) -> None:
    """Judge pairs of answers in both orders, and the judge itself."""
    from ftgate_ext.gate import judge_policy

    typer.echo(judge_policy(run_dir, quiet=quiet))


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
) -> None:
    """Paired statistics: comparisons.json and findings.json."""
    from ftgate_ext.gate import compare_any
    from ftgate_ext.report.tables import comparison_table

    comparisons, folder = compare_any(runs, output, cluster)
    typer.echo(comparison_table(comparisons))
    typer.echo(f"Wrote {folder / 'comparisons.json'} and {folder / 'findings.json'}.")


@app.command()
def decide(
    run_dir: RunDir,
    policy: Annotated[
        Optional[Path], typer.Option("--policy", help="Other rules than the run's own.")
    ] = None,
) -> None:
    """Apply the rules: decision.json. Exits with 0, 1 or 3."""
    from ftgate_ext.stages import decide_run

    _finish(decide_run(run_dir, policy))


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
    typer.echo(audit_table(found))
    typer.echo(f"Wrote {run_dir / AUDIT}; `ftgate report` shows it.")


@app.command()
def report(run_dir: RunDir) -> None:
    """Write report.md and report.html."""
    from ftgate_ext.stages import report_run

    markdown, page = report_run(run_dir)
    typer.echo(f"Wrote {markdown} and {page}.")


@app.command()
def gate(
    policy_file: PolicyFile = Path("gate.yaml"), run_dir: RunDirOption = None, quiet: Quiet = False
) -> None:
    """All stages in one command. Exits with 0 GO, 1 NO-GO, 3 INCONCLUSIVE."""
    from ftgate_ext.gate import run_gate

    decision, folder = run_gate(policy_file, run_dir, quiet=quiet)
    _print_decision(decision)
    typer.echo(f"Report: {folder / 'report.html'} (and report.md)")
    raise typer.Exit(decision.exit_code)


@app.command()
def demo(
    run_dir: RunDirOption = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Only serve the demo models, until Ctrl-C.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port for --serve; 0 takes a free one.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Three real models on this machine, from the first request to the report. Needs no key."""
    from ftgate_ext.demo import run_demo, serve_demo

    if serve:
        serve_demo(port, typer.echo)
        return
    decision, folder = run_demo(run_dir, quiet=quiet)
    _print_decision(decision)
    typer.echo(
        f"Report: {folder / 'report.html'} (and report.md)\n`ftgate gate` would exit with code {decision.exit_code}."
    )


@app.command("tasks-path")
def tasks_path() -> None:
    """Print the task folder, for `lm_eval --include_path`."""
    from ftgate_ext.assets import asset_dir

    typer.echo(asset_dir("tasks"))


@app.command()
def doctor() -> None:
    """Say what is installed and which way lm-eval finds our tasks."""
    from ftgate_ext.doctor import diagnose

    for line in diagnose():
        typer.echo(line)


def _print_decision(decision: Decision) -> None:
    from ftgate_ext.report.tables import decision_table

    typer.echo(decision_table(decision))


def _finish(decision: Decision) -> None:
    _print_decision(decision)
    raise typer.Exit(decision.exit_code)


def main() -> None:
    """Run the command line; what a user can mend is one line on stderr and exit code 2."""
    try:
        app()
    except FtgateError as error:
        typer.echo(f"ftgate: {error}", err=True)
        sys.exit(WRONG_USE)
    except KeyboardInterrupt:
        typer.echo("ftgate: interrupted; run the same command again to resume.", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
