"""Python source in, what it printed and how it ended out; the source is taken to be hostile.

What every program gets, fresh and alone: a user, mount, process, network, IPC and host-name
namespace; a root of the interpreter, its standard library and the shared libraries these need,
read-only; a scratch of bounded size in memory; no environment, no network, no capability, no new
privileges, no /proc; limits on CPU, memory, processes, file size and descriptors; a filter of
system calls (x86_64 and aarch64); limits on wall time and output, kept from outside. When a
function of this module returns, no process of the program is left.

Two ways to make the namespaces: by ourselves, as root or as an ordinary user, or by bubblewrap
(0.8 or later). Root takes its own way first, because it can run the program as a second,
unprivileged user, for whom the limit on processes holds; everybody else takes bubblewrap first,
because some distributions let only that make namespaces.

What no wall here stops: a hole in the kernel, what the processor lets be guessed by timing, and
heat: a program may use its CPU seconds on every core. Private memory is limited per process by the
kernel and over all processes by a look every 20 ms, so that a burst can pass the limit briefly.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from ftgate_ext.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Way = Literal["namespaces", "bubblewrap", "rlimits"]
Status = Literal["ok", "failed", "timeout", "memory", "output", "killed"]

UNSAFE_SWITCH = "FTGATE_UNSAFE_EXEC"
GRACE_S = 15
"""How long past its wall limit a program's end may take to be told."""
_WORDS: dict[Way, str] = {
    "namespaces": "Linux namespaces made by ftgate itself",
    "bubblewrap": "bubblewrap",
    "rlimits": f"rlimits only, no isolation ({UNSAFE_SWITCH}=1)",
}
_START = "import sys; sys.path.append(sys.argv[1]); from ftgate_ext.scoring.sandbox_launcher import main; main(int(sys.argv[2]))"


class SandboxUnavailable(RunError):  # noqa: N818 - it is no fault of anybody's
    """This machine offers no way to isolate a program."""


@dataclass(frozen=True)
class Limits:
    """What one program may use."""

    wall_s: float = 10
    cpu_s: float = 10
    """Per process."""
    memory_mb: int = 512
    """Private memory of each process, and resident memory of all together."""
    processes: int = 16
    """Processes and threads together."""
    file_mb: int = 16
    scratch_mb: int = 32
    output_bytes: int = 64_000
    """Of standard output and of standard error, each."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 < value < float("inf"):
                raise ValueError(f"limit {name} is {value!r}; expected a positive number")


@dataclass(frozen=True)
class SandboxResult:
    """How one program ended."""

    status: Status
    """ok: exit code 0; failed: another one, or a signal of its own; the rest: a limit it broke."""
    exit_code: int | None
    """Negative: the signal that ended it. None: it was ended from outside."""
    stdout: str
    stderr: str
    wall_s: float
    isolation: str = ""
    """How the program was isolated, in words."""


def run_program(
    source: str,
    *,
    stdin: str = "",
    limits: Limits = Limits(),
    files: Mapping[str, str] | None = None,
) -> SandboxResult:
    """Run one Python program; its folder is its scratch, with `files` (name -> text) beside it.

    Raises:
        SandboxUnavailable: There is no way to isolate it here.
    """
    with open_launcher() as launcher:
        return launcher.run(source, stdin=stdin, limits=limits, files=files)


def run_programs(
    sources: Sequence[str],
    workers: int = 2,
    *,
    limits: Limits = Limits(),
) -> list[SandboxResult]:
    """Run many programs, `workers` at a time, each as isolated as by `run_program`.

    One clean interpreter forks for every program and never reads one; the namespaces, the scratch
    and the interpreter of the program itself are fresh each time (the last by exec), so nothing
    but the read-only view is shared. Starting an interpreter is then most of what a program costs.

    Raises:
        SandboxUnavailable: There is no way to isolate them here.
    """
    with open_launcher() as launcher, ThreadPoolExecutor(workers) as threads:
        return list(threads.map(lambda source: launcher.run(source, limits=limits), sources))


def describe_sandbox() -> str:
    """Which way is used here, in one sentence."""
    try:
        way = choose_way()
    except SandboxUnavailable as error:
        return str(error)
    if way == "rlimits":
        return f"{_WORDS[way]}: code under test can read and change everything that you can"
    return f"{_WORDS[way]}, as {'root' if os.geteuid() == 0 else 'an ordinary user'}"


def choose_way() -> Way:
    """The way that works here, tried once per process with a program of one line.

    Raises:
        SandboxUnavailable: None works and nobody accepted the risk.
    """
    return _choose_way(os.environ.get(UNSAFE_SWITCH) == "1", os.environ.get("PATH", ""))


@functools.lru_cache
def _choose_way(risk_accepted: bool, path: str) -> Way:
    ways: list[Way] = ["namespaces"]
    if shutil.which("bwrap", path=path):
        ways.insert(1 if os.geteuid() == 0 else 0, "bubblewrap")
    why = "it needs Linux"
    if sys.platform == "linux":
        for way in ways:
            try:
                with open_launcher(way) as launcher:
                    tried = launcher.run("print('ready')")
            except SandboxUnavailable as error:
                why = str(error)
                continue
            if tried.stdout == "ready\n":
                return way
            why = tried.stderr.strip().rpartition("\n")[2] or tried.status
        if risk_accepted:
            return "rlimits"
    raise SandboxUnavailable(
        f"no sandbox to run code under test in ({why[:200]}); install bubblewrap 0.8 or later"
        f" (package bubblewrap), or accept the risk on a machine without secrets: {UNSAFE_SWITCH}=1"
    )


class Running:
    """A program that was started and whose end has not been asked for yet."""

    def __init__(self, wire: socket.socket, way: Way) -> None:
        self._wire = wire
        self._way = way

    def stop(self) -> None:
        """Have it killed now, if it still runs; the result then says `killed`."""
        with contextlib.suppress(OSError):
            self._wire.shutdown(socket.SHUT_WR)

    def wait(self) -> SandboxResult:
        """Wait for the end of the program and of everything that it started.

        Raises:
            SandboxUnavailable: The program could not be isolated; it did not run.
        """
        content = bytearray()
        with self._wire:
            try:
                while chunk := self._wire.recv(1 << 16):
                    content += chunk
                ended = json.loads(content)
            except (OSError, ValueError) as error:
                raise SandboxUnavailable(
                    f"the keeper of the program died ({type(error).__name__})"
                ) from None
        if "setup" in ended:
            raise SandboxUnavailable(str(ended["setup"]))
        return SandboxResult(**ended, isolation=_WORDS[self._way])


class Launcher:
    """A clean interpreter that starts isolated programs; safe to use from several threads."""

    def __init__(self, way: Way, control: socket.socket) -> None:
        self.way = way
        self._control = control
        self._bwrap = shutil.which("bwrap") or ""

    def run(
        self,
        source: str,
        *,
        stdin: str = "",
        limits: Limits = Limits(),
        files: Mapping[str, str] | None = None,
    ) -> SandboxResult:
        """Start one program and wait for its end."""
        return self.start(source, stdin=stdin, limits=limits, files=files).wait()

    def start(
        self,
        source: str,
        *,
        stdin: str = "",
        limits: Limits = Limits(),
        files: Mapping[str, str] | None = None,
        link: socket.socket | None = None,
    ) -> Running:
        """Start one program; `link` becomes its descriptor 3."""
        job = {
            "way": self.way,
            "source": source,
            "stdin": stdin,
            "files": _check_files(files or {}, source, limits),
            "limits": asdict(limits),
            "bwrap": self._bwrap,
        }
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                fds = [theirs.fileno(), *([] if link is None else [link.fileno()])]
                socket.send_fds(self._control, [b"x"], fds)
            ours.settimeout(limits.wall_s + GRACE_S)
            ours.sendall(json.dumps(job).encode() + b"\n")
        except OSError as error:
            ours.close()
            raise SandboxUnavailable(f"the sandbox did not start: {error}") from None
        return Running(ours, self.way)


def _check_files(files: Mapping[str, str], source: str, limits: Limits) -> dict[str, str]:
    for name in files:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\0" in name:
            raise ValueError(f"file name {name!r}; expected a relative path without '..'")
    if len(files) > 50:
        raise ValueError(f"{len(files)} files; expected at most 50")
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in (*files.values(), source))
    if size > limits.scratch_mb * (1 << 20) // 2:
        raise ValueError(f"{size} bytes of source and files; expected under half of the scratch")
    return dict(files)


@contextlib.contextmanager
def open_launcher(way: Way | None = None) -> Iterator[Launcher]:
    """Start a clean interpreter, without environment, that serves programs until the block ends.

    Raises:
        SandboxUnavailable: There is no way to isolate programs here.
    """
    way = way or choose_way()
    root = str(Path(__file__).resolve().parents[2])
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        command = [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-c", _START, root]
        process = subprocess.Popen(  # noqa: S603 - our own interpreter on our own module
            [*command, str(theirs.fileno())],
            env={},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        try:
            yield Launcher(way, ours)
        finally:
            ours.close()
            process.wait()
