"""The terminal: progress that says what matters, JSON that is nothing else, text that steers nothing."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from command import ftgate, ftgate_here
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK, make_comparison, make_comparisons, make_response
from run_folders import write_run
from traced_runs import HOSTILE, POLICY, write_traced

from ftgate_ext.progress import LINE_AT_MOST_EVERY_S, LINE_EVERY_S, Progress, _duration
from ftgate_ext.report.tables import COLUMNS, comparison_table, decision_table
from ftgate_ext.report.text import cell_width
from ftgate_ext.schema import Decision, RuleResult
from ftgate_ext.terminal import clean_block, show, show_json

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
NO_RESULT = {
    "label": "a dialogue", "evalset label": "a dialogue", "review": "a dialogue", "view": "serves pages",
}  # fmt: skip
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def ask(progress: Progress, clock: Clock, n: int, every_s: float = 1.0, **response: Any) -> None:
    """So many answers, one every so many seconds."""
    for _ in range(n):
        clock.now += every_s
        progress.on_response(
            make_response(response.get("status", "ok"), cost_usd=0.01), known=False
        )


def test_lines_become_fewer_and_the_last_one_always_comes(capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    """From 10 s to 60 s apart: hours of work are a log that somebody reads."""
    clock = Clock()
    with Progress(7200, "run", quiet=False, clock=clock) as progress:
        ask(progress, clock, 7200)
    lines = capsys.readouterr().err.splitlines()
    at = [int(re.findall(r"run: (\d+)/7200", line)[0]) for line in lines[:-1]]
    gaps = [b - a for a, b in pairwise(at)]
    assert at[0] == LINE_EVERY_S
    assert gaps == sorted(gaps)
    assert gaps[-1] == LINE_AT_MOST_EVERY_S
    assert len(lines) < 130
    assert lines[-1] == "run: 7200 answers ($72.0000)."


def test_a_line_says_rate_time_left_failures_and_cost(capsys: pytest.CaptureFixture[str]) -> None:
    """At two answers a second, 100 of 1,000 done, 15 minutes are wrong by a factor of two: it is 7."""
    clock = Clock()
    progress = Progress(1000, "run", quiet=False, clock=clock)
    ask(progress, clock, 19, 0.5)
    ask(progress, clock, 1, 0.5, status="failed")
    assert capsys.readouterr().err == "run: 20/1000 (2/s, 8 min left, 1 failed, $0.2000)\n"


def test_the_rate_is_that_of_the_last_minute(capsys: pytest.CaptureFixture[str]) -> None:
    """A slow model after a fast one: what is left goes at the slow one's pace."""
    clock = Clock()
    progress = Progress(2000, "run", quiet=False, clock=clock)
    ask(progress, clock, 1000, 0.01)
    ask(progress, clock, 100, 10)
    last = capsys.readouterr().err.splitlines()[-1]
    assert "(6/min, 2 h 30 min left" in last or "(6/min, 2 h 31 min left" in last, last


def test_answers_from_the_journal_are_no_rate(capsys: pytest.CaptureFixture[str]) -> None:
    """A resumed run does not promise to be as fast as reading a file."""
    clock = Clock()
    progress = Progress(100, "run", quiet=False, clock=clock)
    for _ in range(50):
        progress.on_response(make_response(), known=True)
    clock.now += 11
    progress.on_response(make_response(), known=True)
    assert capsys.readouterr().err == "run: 51/100 (51 from the journal)\n"


def test_a_stage_that_is_stopped_says_how_far_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    """The last line also comes when the work does not end well."""
    clock = Clock()
    progress = Progress(10, "run", quiet=False, clock=clock)
    with progress:
        ask(progress, clock, 3)
    capsys.readouterr()
    progress.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert capsys.readouterr().err.startswith("run: stopped at 3/10 (1/s")


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing on either stream."""
    clock = Clock()
    with Progress(10, "run", quiet=True, clock=clock) as progress:
        ask(progress, clock, 10, 60)
        progress.say("a line")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0 s"), (59, "59 s"), (61, "1 min"), (3600, "1 h 00 min"), (7500, "2 h 05 min")])  # fmt: skip
def test_durations_have_two_units_at_most(seconds: float, words: str) -> None:
    """Nobody needs the seconds of two hours."""
    assert _duration(seconds) == words


BAR = """
import time
from ftgate_ext.progress import Progress
from ftgate_ext.terminal import show
with Progress(3, "run", quiet=False) as progress:
    for _ in range(3):
        progress.advance(1)
        time.sleep(0.15)
    progress.say("between \\x1b]0;title\\x07 lines")
show("the result")
"""


def on_terminal(**environment: str) -> tuple[str, str]:
    """What a program writes to a terminal on stderr, and to a pipe on stdout."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", BAR], stdout=subprocess.PIPE, stderr=theirs, stdin=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **environment},
    )  # fmt: skip
    os.close(theirs)
    seen, until = b"", time.monotonic() + 30
    while time.monotonic() < until:
        if select.select([ours], [], [], 0.2)[0]:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            seen += piece
        elif process.poll() is not None:
            break
    out = process.communicate(timeout=30)[0]
    os.close(ours)
    return out.decode(), seen.decode(errors="replace")


def test_the_bar_is_on_stderr_and_the_result_alone_on_stdout() -> None:
    """`ftgate gate --json > result.json` at a terminal: the bar never reaches the file."""
    out, seen = on_terminal()
    assert out == "the result\n"
    assert "3/3" in seen
    assert "\x1b[" in seen
    assert "]0;title" not in seen


def test_no_color_takes_the_colours_and_a_dumb_terminal_the_bar() -> None:
    """NO_COLOR leaves no colour; TERM=dumb leaves no control sequence at all."""
    _, seen = on_terminal(NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*(?:3[0-9]|38;[0-9;]+)m", seen)
    _, seen = on_terminal(TERM="dumb")
    assert "\x1b" not in seen


def leaves(command: Any, trail: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command of the command line with its full name."""
    if hasattr(command, "commands"):
        for name, child in command.commands.items():
            yield from leaves(child, (*trail, name))
    else:
        yield " ".join(trail), command


@cache
def commands() -> dict[str, Any]:
    from typer.main import get_command

    from ftgate_ext.cli import app

    return dict(leaves(get_command(app)))


def test_every_command_with_a_result_has_json() -> None:
    """A new command is born with --json, or stands in the list of those that are no use to a program."""
    without = {
        name
        for name, command in commands().items()
        if "--json" not in [option for p in command.params for option in p.opts]
    }
    assert without == set(NO_RESULT)


KEYS = {
    "alerts": "new", "traces": "spans", "history": None, "doctor": "lines", "tasks-path": "tasks_path",
    "init": "policy", "compare": "comparisons", "report": "html", "check": "problems", "evalset freeze": None,
    "evalset report": None,
}  # fmt: skip
"""Command -> a key that its document has."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a hostile run, `runs/1-hostile`, and a small eval set."""
    folder = tmp_path_factory.mktemp("prepared")
    write_run(folder / "runs" / "0-green", number=0)
    run = write_run(folder / "runs" / "1-hostile", number=1, regressed=[HOSTILE], verdict="NO-GO", candidate=f"reviewer {HOSTILE}")  # fmt: skip
    (run / "gate.yaml").write_text(POLICY.format(more=""), encoding="utf-8")
    lines = (ROOT / "golden" / "codereview_golden.jsonl").read_text(encoding="utf-8").splitlines()
    (folder / "set.jsonl").write_text("\n".join(lines[:20]) + "\n", encoding="utf-8")
    (folder / "bad.yaml").write_text("version: 1\n", encoding="utf-8")
    return folder


def compared(folder: Path) -> list[str]:
    """Arguments of `compare` on two folders with real samples."""
    run = write_traced(folder / "compared" / "run")
    return [f"candidate={run / 'candidate'}", f"production={run / 'production'}", "-o", "out"]


def arguments(command: str, folder: Path) -> list[str]:
    """What to type behind the command."""
    run = str(folder / "runs" / "1-hostile")
    given = {
        "history": ["runs"], "doctor": [], "tasks-path": [], "init": ["new.yaml"], "check": ["bad.yaml"],
        "evalset freeze": ["set.jsonl"], "evalset report": ["set.jsonl"], "alerts": [run, "--again"],
    }  # fmt: skip
    return compared(folder) if command == "compare" else given.get(command, [run])


@pytest.mark.parametrize("command", KEYS)
def test_json_is_one_document_and_nothing_else(command: str, prepared: Path) -> None:
    """Standard output is parsed as it is; without --json there is text with the same exit code.

    The run has a hostile case and a hostile model: neither output can steer a terminal.
    """
    typed = [*command.split(), *arguments(command, prepared)]
    shown = ftgate_here(*typed, "--json", cwd=prepared)
    document = json.loads(shown.stdout)
    assert KEYS[command] is None or KEYS[command] in document
    assert shown.stdout.isascii()
    (prepared / "new.yaml").unlink(missing_ok=True)
    plain = ftgate_here(*typed, cwd=prepared)
    assert plain.returncode == shown.returncode
    for text in (shown.stdout, shown.stderr, plain.stdout, plain.stderr):
        assert not CONTROL.search(text)
    assert plain.stdout or plain.returncode == 2


def test_an_error_cannot_steer_the_terminal_either(tmp_path: Path) -> None:
    """The one line of an error may name a file or quote a server."""
    shown = ftgate_here("decide", "no\x1b[2Jwhere\u202e", cwd=tmp_path)
    assert shown.returncode == 2
    assert not CONTROL.search(shown.stderr)
    assert "run `ftgate run` first" in shown.stderr


def test_an_encoding_that_lacks_a_letter_is_no_traceback(tmp_path: Path) -> None:
    """On a terminal of ASCII a letter becomes a question mark."""
    shown = ftgate("init", str(tmp_path / "größe.yaml"), cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "gr??e.yaml" in shown.stdout


@QUICK
@given(st.text())
def test_shown_text_has_no_control_characters(text: str) -> None:
    """Whatever the text is: line breaks and tabs at most, and the visible words stay."""
    assert not CONTROL.search(clean_block(text).replace("\n", "").replace("\t", ""))
    assert clean_block(clean_block(text)) == clean_block(text)
    visible = re.sub(r"[^a-z]", "", "".join(c for c in text if c.isascii()))
    assert not text.isalpha() or set(visible) <= set(clean_block(text))


@QUICK
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]))))  # fmt: skip
def test_json_keeps_every_character_and_steers_nothing(value: dict[str, str]) -> None:
    """ASCII only, so nothing in it is a control sequence; parsed, it is what it was."""
    from contextlib import redirect_stdout
    from io import StringIO

    out = StringIO()
    with redirect_stdout(out):
        show_json(value)
    assert json.loads(out.getvalue()) == value
    assert not CONTROL.search(out.getvalue())


def test_errors_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """`show` knows both streams."""
    show("out")
    show("err", error=True)
    assert capsys.readouterr() == ("out\n", "err\n")


@QUICK
@given(st.lists(st.tuples(st.text(max_size=120), st.text(max_size=300)), min_size=1, max_size=5))
def test_tables_fit_a_hundred_columns(rules: list[tuple[str, str]]) -> None:
    """Whatever rules and metrics are called."""
    decision = Decision(
        run_id="run-1", policy_name="policy", policy_hash="ab" * 32, verdict="GO", exit_code=0, warnings=[rules[0][1]],
        rules=[RuleResult(name=n, kind="floor", evidence="point", outcome="PASS", asked=s, seen=s, sentence=s) for n, s in rules],
    )  # fmt: skip
    table = comparison_table(
        make_comparisons(*(make_comparison(metric=f"m{n}{s}") for n, s in rules))
    )
    for line in [*decision_table(decision).split("\n"), *table.split("\n")]:
        assert cell_width(line) <= COLUMNS
        assert not CONTROL.search(line)
