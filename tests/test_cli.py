"""The command line as a user meets it: help, versions, bad input in one line, exit codes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from command import ftgate

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = (
    "init", "plan", "check", "run", "judge", "compare", "decide", "report", "audit", "gate", "demo", "tasks-path", "doctor", "evalset",
)  # fmt: skip


def test_help_names_every_command() -> None:
    """`ftgate --help` lists all commands, with a sentence each."""
    shown = ftgate("--help")
    assert shown.returncode == 0
    for command in COMMANDS:
        assert re.search(rf"^\s+{command}\s+\S", shown.stdout, re.MULTILINE), command


def test_help_imports_nothing_heavy() -> None:
    """The help must answer at once: no lm_eval, datasets, scipy, numpy, aiohttp, jinja2 or pydantic."""
    code = (
        "import sys; sys.argv = ['ftgate', '--help']\n"
        "from ftgate_ext.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'lm_eval', 'datasets', 'scipy', 'numpy', 'aiohttp', 'jinja2', 'yaml', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode
        == 0
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_stands_in_the_readme(command: str) -> None:
    """A command that is not documented does not exist for its users."""
    assert ftgate(command, "--help").returncode == 0
    assert f"ftgate {command}" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["build", "verify", "report", "diff", "freeze"])
def test_tools_for_eval_sets_have_help_and_stand_in_the_readme(command: str) -> None:
    """The commands of `ftgate evalset` are documented like any other."""
    assert ftgate("evalset", command, "--help").returncode == 0
    assert f"ftgate evalset {command}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_version_is_the_package_version() -> None:
    """`ftgate --version` prints what pip installed."""
    from ftgate_ext import __version__

    assert ftgate("--version").stdout.strip() == __version__


def test_tasks_path_is_a_folder_with_task_yamls() -> None:
    """`--include_path "$(ftgate tasks-path)"` gets one existing folder."""
    folder = Path(ftgate("tasks-path").stdout.strip())
    assert (folder / "codereview_golden" / "codereview_golden.yaml").is_file()


def test_init_writes_a_policy_that_loads_and_never_overwrites(tmp_path: Path) -> None:
    """The starter is valid as it is, and a second `init` leaves the first file alone."""
    from ftgate_ext.policy import load_policy

    assert ftgate("init", cwd=tmp_path).returncode == 0
    written = tmp_path / "gate.yaml"
    assert load_policy(written).name == "code review release gate"
    before = written.read_text()
    again = ftgate("init", cwd=tmp_path)
    assert (again.returncode, written.read_text()) == (2, before)
    assert again.stderr.count("\n") == 1


BAD = {
    "no policy": (
        ("gate", "nowhere.yaml"),
        r"nowhere.yaml: no such file; `ftgate init` writes one",
    ),
    "no run folder": (
        ("decide", "nowhere"),
        r"nowhere/run.json: not there; run `ftgate run` first",
    ),
    "no run to judge": (("judge", "nowhere"), r"nowhere: no run folder"),
    "no run to report": (("report", "nowhere"), r"run `ftgate run` first"),
    "not a role": (
        ("compare", "mine=a", "yours=b"),
        r"'mine=a': expected one run folder, or role=folder",
    ),
    "no results": (
        ("compare", "candidate=.", "production=."),
        r"no results_\*.json; expected a folder written by",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_exit_code_2(name: str, tmp_path: Path) -> None:
    """No traceback: one line that says what was found and what to do."""
    arguments, message = BAD[name]
    shown = ftgate(*arguments, cwd=tmp_path)
    assert shown.returncode == 2, shown.stderr
    assert re.search(message, shown.stderr), shown.stderr
    assert shown.stderr.count("\n") == 1


def test_unknown_key_in_a_policy_names_its_line(tmp_path: Path) -> None:
    """A typing mistake in gate.yaml is found before anything else happens."""
    policy = (ROOT / "configs" / "gate.yaml").read_text(encoding="utf-8")
    broken = tmp_path / "gate.yaml"
    broken.write_text(policy.replace("  concurrency: 16", "  concurency: 16"), encoding="utf-8")
    line = 1 + broken.read_text(encoding="utf-8").splitlines().index("  concurency: 16")
    shown = ftgate("run", str(broken), cwd=tmp_path)
    assert shown.returncode == 2
    assert (
        f"gate.yaml:{line}: unknown key 'concurency' in run; did you mean 'concurrency'?"
        in shown.stderr
    )
    assert not (tmp_path / "runs").exists()


def test_doctor_says_which_way_lm_eval_finds_our_tasks() -> None:
    """The start-up hook is on in an installed environment, and off when it is switched off."""
    assert "autoload: on" in ftgate("doctor").stdout
    assert "autoload: off" in ftgate("doctor", FTGATE_NO_AUTOLOAD="1").stdout


def test_every_shipped_policy_is_valid_yaml_with_a_version() -> None:
    """configs/*.yaml are what users copy."""
    for path in (ROOT / "configs").glob("*.yaml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert content.get("version") == 1 or "as_of" in content, path
