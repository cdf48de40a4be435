"""Code that a model wrote and a test -> passed or not, decided where the code cannot reach.

The code runs in one sandbox, the test in another; a socket lets the test call what the code
defines, with plain data (sandbox_wire). The verdict is ours, from the exit status of the *test's*
process and a secret that only this process prints, after the test's last statement.

Stopped, because the code and the verdict share no process, no file and no secret: ending the
process early (os._exit, SystemExit, a signal, atexit), printing a sentinel, writing to or closing
every descriptor, replacing builtins (a name of a builtin is never taken from the code), assert helpers
or the runner, reading a token from frames, gc,
globals or /proc, reading the test, answers that claim to equal everything, StopIteration raised
into the loop of a test, more answers than questions.

Not stopped, because it is the code's right to answer: recognising the arguments of a test and
returning what was learnt by heart; comparing two objects of its own classes as it likes; giving
a meaning to a name that the test uses without defining or importing it; a test that is too weak. Not possible this way, and then not passed: a test that hands functions or objects
of its own to the code, awaits its coroutines, reads its printed output or its source, or compares
objects by identity across calls.
"""

from __future__ import annotations

import json
import secrets
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ftgate_ext.scoring.sandbox import Launcher, Limits, SandboxResult, open_launcher

if TYPE_CHECKING:
    from collections.abc import Sequence

_HERE = Path(__file__).parent
_PACKAGE = "ftgate_ext/scoring"


@dataclass(frozen=True)
class CheckResult:
    """Whether the code passed its test."""

    passed: bool
    reason: str
    """One line; may quote what the code said."""


def check_program(
    code: str,
    test: str,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> CheckResult:
    """Run `code`, then the statements of `test`, which see the names that `code` defines.

    Raises:
        SandboxUnavailable: There is no way to isolate it here.
    """
    with open_launcher() as launcher:
        return _check(launcher, code, test, limits)


def check_programs(
    pairs: Sequence[tuple[str, str]],
    workers: int = 2,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> list[CheckResult]:
    """Check many pairs of code and test, `workers` at a time, each in sandboxes of its own.

    Raises:
        SandboxUnavailable: There is no way to isolate them here.
    """
    with open_launcher() as launcher, ThreadPoolExecutor(workers) as threads:
        return list(threads.map(lambda pair: _check(launcher, pair[0], pair[1], limits), pairs))


def _check(launcher: Launcher, code: str, test: str, limits: Limits) -> CheckResult:
    token = secrets.token_hex(16)
    files = {
        "ftgate_ext/__init__.py": "",
        f"{_PACKAGE}/__init__.py": "",
        f"{_PACKAGE}/sandbox_wire.py": _text("sandbox_wire"),
    }
    here, there = socket.socketpair()
    with here, there:
        given = json.dumps({"test": test, "token": token})
        asking = launcher.start(
            _text("sandbox_tester"),
            stdin=given,
            limits=replace(limits, wall_s=limits.wall_s + 1),
            files=files,
            link=here,
        )
        answering = launcher.start(
            _text("sandbox_candidate"), stdin=code, limits=limits, files=files, link=there
        )
    try:
        tested = asking.wait()
    finally:
        answering.stop()
        answered = answering.wait()
    if tested.status == "ok" and secrets.compare_digest(tested.stdout.encode(), token.encode()):
        return CheckResult(True, "passed")
    return CheckResult(False, _why(tested, answered))


def _why(tested: SandboxResult, answered: SandboxResult) -> str:
    if answered.status in ("timeout", "memory", "output"):
        return f"the code broke its limit: {answered.status}"
    if tested.status == "failed":
        return tested.stderr.strip().rpartition("\n")[2][:500] or "the test failed"
    if tested.status == "ok":
        return "the test ended before its last statement"
    return f"the test broke its limit: {tested.status}"


def _text(room: str) -> str:
    return (_HERE / f"{room}.py").read_text(encoding="utf-8")
