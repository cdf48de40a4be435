"""The keeper's eyes: the streams of one program, its clock, its memory, its end.

Runs outside of the view, in the sandbox's own clean interpreter. Knows no namespaces.
"""
# The interpreter that starts for every run imports no pathlib.
# ruff: noqa: PTH116, PTH123, PTH208

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ftgate_ext.scoring.sandbox_view import SCRATCH

if TYPE_CHECKING:
    import socket

TICK_S = 0.02
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SEALS = 0x0001 | 0x0002 | 0x0004 | 0x0008
_ADD_SEALS = 1033
_SIGNALLED = 128
_OWN_PROCESSES = 4
"""init or bubblewrap, and what they start before the program."""


@dataclass
class Streams:
    """The ends of every pipe of one program; `report` is written by init, never by the program."""

    stdin: int
    inner: tuple[int, int]
    outer: tuple[int, int]
    report: int
    heard: int
    texts_of: dict[int, bytearray] = field(default_factory=dict)
    said: bytearray = field(default_factory=bytearray)

    @classmethod
    def open(cls, stdin: str) -> Streams:
        """Make the pipes; standard input is a sealed file in memory."""
        given = os.memfd_create("stdin", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        rest = memoryview(stdin.encode("utf-8", "surrogatepass"))
        while rest:
            rest = rest[os.write(given, rest) :]
        os.lseek(given, 0, os.SEEK_SET)
        fcntl.fcntl(given, _ADD_SEALS, _SEALS)
        (out, out_in), (err, err_in), (heard, report) = os.pipe(), os.pipe(), os.pipe()
        for fd in (out, err, heard):
            os.set_blocking(fd, False)
        return cls(
            given, (out_in, err_in), (out, err), report, heard, {out: bytearray(), err: bytearray()}
        )

    def close_inner(self) -> None:
        """Close what only the program needs; the caller is not the program."""
        for fd in (self.stdin, *self.inner):
            os.close(fd)

    def enter(self, link: int | None, link_as: int) -> int:
        """Become the program's descriptors: 0, 1, 2 and, where given, the link; all else is closed.

        Returns:
            Where to report a failed start; closed by exec.
        """
        high = 100
        report = fcntl.fcntl(self.report, fcntl.F_DUPFD_CLOEXEC, high)
        linked = None if link is None else fcntl.fcntl(link, fcntl.F_DUPFD_CLOEXEC, high)
        ends = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, high) for fd in (self.stdin, *self.inner)]
        os.closerange(0, high)
        for number, fd in enumerate(ends):
            os.dup2(fd, number)
        if linked is not None:
            os.dup2(linked, link_as)
        for fd in (*ends, *([] if linked is None else [linked])):
            os.close(fd)
        os.closerange(report + 1, 1024)
        return report

    def texts(self, most: int) -> dict[str, str]:
        """What the program wrote, as text, at most `most` bytes of each."""
        out, err = (bytes(self.texts_of[fd][:most]).decode("utf-8", "replace") for fd in self.outer)
        return {"stdout": out, "stderr": err}

    def read(self, fd: int, most: int) -> bool | None:
        """Take what is there; None at the end, False where there is more than `most`."""
        kept = self.said if fd == self.heard else self.texts_of[fd]
        try:
            content = os.read(fd, 1 << 16)
        except BlockingIOError:
            return True
        if not content:
            return None
        kept += content
        return len(kept) <= most


def watch(
    child: int, streams: Streams, wire: socket.socket, limits: dict[str, float], started: float
) -> str | None:
    """Wait until the program ended (None) or broke a limit (its name).

    The end is the closing of the report pipe, which only init, or bubblewrap, holds.
    """
    os.close(streams.report)
    poll = select.poll()
    for fd in (*streams.outer, streams.heard, wire.fileno()):
        poll.register(fd, select.POLLIN)
    most = int(limits["output_bytes"])
    next_look = started
    while True:
        now = time.monotonic()
        left_s = limits["wall_s"] - (now - started)
        if left_s <= 0:
            return "timeout"
        if now >= next_look:
            next_look = now + TICK_S
            broken = _look(child, limits)
            if broken:
                return broken
        for fd, _ in poll.poll(1 + 1000 * min(TICK_S, left_s)):
            fits = fd != wire.fileno() and streams.read(fd, most)
            if fits is False:  # nobody waits for this program any more, or it says too much
                return "killed" if fd == wire.fileno() else "output"
            if fits is None and fd == streams.heard:
                return None
            if fits is None:
                poll.unregister(fd)


def end_tree(child: int) -> float:
    """Kill every process of the program, wait until all are gone, and return their CPU seconds.

    The child is the first process of a process namespace (or bubblewrap, or a waiter): the kernel
    kills the rest with it, and what is orphaned on the way becomes the keeper's own.
    """
    cpu_s = 0.0
    pending = [child]
    give_up = time.monotonic() + 5
    while time.monotonic() < give_up:
        for pid in pending:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return cpu_s
        cpu_s += usage.ru_utime + usage.ru_stime
        if pid == 0:
            time.sleep(0.0005)
        pending = _children(os.getpid())
    return cpu_s


def settle(
    broken: str | None, streams: Streams, cpu_s: float, cpu_limit_s: float
) -> dict[str, Any]:
    """How the program ended, from what was seen of it outside and from init's report."""
    for fd in streams.outer:
        while streams.read(fd, 1 << 30) and select.select([fd], [], [], 0)[0]:
            pass
    if broken:
        return {"status": broken, "exit_code": None}
    said: dict[str, Any] = {}
    for line in bytes(streams.said).splitlines():
        said.update(json.loads(line))
    if "setup" in said:
        return said
    if "status" in said:
        code = os.waitstatus_to_exitcode(said["status"])
    elif "exit-code" in said:
        code = int(said["exit-code"])
        code = _SIGNALLED - code if _SIGNALLED < code <= _SIGNALLED + 64 else code
    elif "child-pid" in said:
        return {"status": "killed", "exit_code": None}
    else:
        text = bytes(streams.texts_of[streams.outer[1]]).decode("utf-8", "replace").strip()
        return {"setup": text[-300:] or "the sandbox ended before its program began"}
    return {"status": _name_end(code, streams, cpu_s >= cpu_limit_s), "exit_code": code}


def _name_end(code: int, streams: Streams, cpu_spent: bool) -> str:
    if code == 0:
        return "ok"
    if code == -signal.SIGXCPU or (code == -signal.SIGKILL and cpu_spent):
        return "timeout"
    if code == -signal.SIGKILL:
        return "killed"
    last = bytes(streams.texts_of[streams.outer[1]]).rstrip().rpartition(b"\n")[2]
    return "memory" if code == 1 and last.startswith(b"MemoryError") else "failed"


def _look(child: int, limits: dict[str, float]) -> str | None:
    """Add up what rlimits count only process by process."""
    pages, family = 0, [child]
    for pid in family:
        try:
            with open(f"/proc/{pid}/statm", "rb") as numbers:
                pages += int(numbers.read().split()[1])
        except OSError:
            continue  # it ended between the two looks
        family += _children(pid)
    if pages * _PAGE > limits["memory_mb"] * (1 << 20):
        return "memory"
    if len(family) > limits["processes"] + _OWN_PROCESSES:
        return "killed"
    return "killed" if "files" in limits and _files(family[-1]) > limits["files"] else None


def _files(pid: int) -> int:
    """How many files the scratch holds; bubblewrap, unlike our own mounts, cannot limit that."""
    scratch = f"/proc/{pid}/root{SCRATCH}"
    try:
        if os.stat(scratch).st_dev == os.stat(SCRATCH).st_dev:
            return 0  # it is not in its view yet
        found = os.statvfs(scratch)
    except OSError:
        return 0  # it ended
    return found.f_files - found.f_ffree


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb") as numbers:
                found += map(int, numbers.read().split())
    except OSError:
        pass  # it ended, or this kernel keeps no such list
    return found
