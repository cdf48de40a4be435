"""The commands before a model is asked: `ftgate init`, `plan`, `check`, `doctor`, `tasks-path`. No logic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from ftgate_ext.errors import WRONG_USE, FtgateError
from ftgate_ext.options_cli import AsJson, PolicyFile
from ftgate_ext.terminal import answer, show, show_json


def init(
    path: Annotated[Path, typer.Argument(metavar="GATE.YAML")] = Path("gate.yaml"),
    candidate: Annotated[
        Optional[str],
        typer.Option(help="Base URL of the candidate's server; its model name is asked there."),
    ] = None,
    production: Annotated[
        Optional[str], typer.Option(help="Base URL of the production model's server.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a commented gate.yaml to start from."""
    from ftgate_ext.starter import write_starter

    written, to_edit = write_starter(path, {"candidate": candidate, "production": production})
    edit = f"Edit {', '.join(to_edit)}, then run" if to_edit else "Next:"
    text = f"Wrote {written}. {edit} `ftgate check {written}`."
    answer({"policy": str(written), "to_edit": to_edit}, text, as_json=as_json)


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
    as_json: AsJson = False,
) -> None:
    """Say what the rules can see at the size of their sets, and what it will cost."""
    from ftgate_ext.plan import make_plan
    from ftgate_ext.report.plan import plan_text, refusal_line

    planned = make_plan(policy_file, from_run, allow or ())
    answer(planned, plan_text(planned), as_json=as_json)
    for rule in planned.refused:
        show(f"ftgate: {refusal_line(rule)}", error=True)
    if planned.refused:
        raise typer.Exit(WRONG_USE)


def check(policy_file: PolicyFile = Path("gate.yaml"), as_json: AsJson = False) -> None:
    """Check policy, eval sets, keys and endpoints, before anything is spent."""
    from ftgate_ext.doctor import check_policy

    found: dict[str, Any] = {"ok": True, "lines": [], "problems": []}
    try:
        for line in check_policy(policy_file):
            found["lines"].append(line)
            if not as_json:
                show(line)
    except FtgateError as error:
        found |= {"ok": False, "problems": str(error).splitlines()}
        raise
    finally:
        if as_json and found["lines"] + found["problems"]:
            show_json(found)


def doctor(as_json: AsJson = False) -> None:
    """Say what is installed and which way lm-eval finds our tasks."""
    from ftgate_ext.doctor import diagnose

    lines = list(diagnose())
    answer({"lines": lines}, "\n".join(lines), as_json=as_json)


def tasks_path(as_json: AsJson = False) -> None:
    """Print the task folder, for `lm_eval --include_path`."""
    from ftgate_ext.assets import asset_dir

    folder = str(asset_dir("tasks"))
    answer({"tasks_path": folder}, folder, as_json=as_json)
