"""The command `ftgate` as a user types it, for tests."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest import mock


def ftgate(
    *arguments: str, cwd: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ftgate_ext", *arguments]
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def ftgate_here(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """The same in this very process, which saves the seconds of a start."""
    from ftgate_ext.cli import main

    out, err, code, before = StringIO(), StringIO(), 0, Path.cwd()
    os.chdir(cwd)
    try:
        with (
            redirect_stdout(out),
            redirect_stderr(err),
            mock.patch.object(sys, "argv", ["ftgate", *arguments]),
            mock.patch.dict(os.environ, env),
        ):
            main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    finally:
        os.chdir(before)
    return subprocess.CompletedProcess(["ftgate", *arguments], code, out.getvalue(), err.getvalue())
