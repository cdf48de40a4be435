"""Runs inside the sandbox: pairs of code and test in, one line of outcome each out.

Imports nothing of this package: its text is what the sandbox is given. Each pair runs in a child
that is forked from this process, so that imports are paid once; a child can neither write to the
outcome nor outlive its time.
"""

import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import types

for _name in (
    "abc", "argparse", "asyncio", "base64", "bisect", "collections", "concurrent.futures", "contextlib", "copy",
    "csv", "dataclasses", "datetime", "decimal", "email.message", "enum", "fractions", "functools", "gzip",
    "hashlib", "heapq", "hmac", "html", "http", "inspect", "io", "itertools", "logging", "math", "operator",
    "pathlib", "pickle", "queue", "random", "re", "secrets", "shlex", "sqlite3", "statistics", "string", "struct",
    "subprocess", "tempfile", "textwrap", "threading", "typing", "unicodedata", "urllib.parse", "uuid",
    "xml.etree.ElementTree", "zipfile", "zoneinfo",
):  # fmt: skip
    try:
        __import__(_name)
    except ImportError:
        continue

PASSED, FAILED, BROKEN = b"P", b"F", b"B"


def run_child(code: str, test: str, say: int) -> None:
    """Run the code, then the test in its namespace, and say one letter; never returns."""
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    tempfile.tempdir = tempfile.mkdtemp()
    os.chdir(tempfile.tempdir)
    module = types.ModuleType("case")
    sys.modules["case"] = module
    letter = BROKEN
    try:
        exec(compile(code, "case.py", "exec"), module.__dict__)  # noqa: S102 - that is the task
        letter = FAILED
        exec(compile(test, "test.py", "exec"), module.__dict__)  # noqa: S102
        letter = PASSED
    except BaseException:  # noqa: BLE001, S110 - whatever a case raises is its outcome
        pass
    os.write(say, letter)
    os._exit(0)


def outcome(code: str, test: str, seconds: float) -> str:
    """Passed, failed, broken (the code does not even load), timeout or died."""
    hear, say = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(hear)
        run_child(code, test, say)
    os.close(say)
    try:
        ready, _, _ = select.select([hear], [], [], seconds)
        letter = os.read(hear, 1) if ready else None
    finally:
        os.close(hear)
        for kill in (os.killpg, os.kill):
            try:
                kill(child, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        os.waitpid(child, 0)
    if letter is None:
        return "timeout"
    return {PASSED: "passed", FAILED: "failed", BROKEN: "broken"}.get(letter, "died")


def main() -> None:
    """Read the pairs from standard input, write `<number> <outcome>` lines."""
    given = json.load(sys.stdin)
    room = tempfile.mkdtemp()
    tempfile.tempdir = room
    end = time.monotonic() + given["seconds_in_all"]
    for number, (code, test) in enumerate(given["pairs"]):
        if time.monotonic() > end:
            break
        sys.stdout.write(f"{number} {outcome(code, test, given['seconds'])}\n")
        sys.stdout.flush()
        for left in os.scandir(room):
            shutil.rmtree(left.path, ignore_errors=True)


if __name__ == "__main__":
    main()
