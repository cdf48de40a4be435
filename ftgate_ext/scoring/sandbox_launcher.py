"""The sandbox's own process: jobs in by a socket, one fresh set of namespaces for each, outcomes out.

It is started with an empty environment and holds no key. Per program there are four processes:

- launcher  one clean interpreter for many programs; passes on file descriptors, reads no job
- keeper    forked per program, outside of the view: holds the clock, the pipes and the verdict
- init      first process of the new process namespace: builds the view; when it ends, the kernel
            kills all that is left in there
- program   unprivileged, limited, filtered; a fresh interpreter by exec, so that nothing of the
            three others is left in its memory; inherits stdin, stdout, stderr and nothing else
"""
# The interpreter that starts for every run imports no pathlib.
# ruff: noqa: PTH103, PTH118, PTH120, PTH123

from __future__ import annotations

import array
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import time
from typing import Any, NoReturn

from ftgate_ext.scoring import sandbox_kernel as kernel
from ftgate_ext.scoring import sandbox_view as views
from ftgate_ext.scoring.sandbox_watch import Streams, end_tree, settle, watch

NOBODY = 65534
LINK = 3
"""The one descriptor that a program may get besides its three streams."""
_PROGRAM = "program.py"
_TWO_USERS, _ONE_USER = 10, 11
_LIMIT_THEN_RUN = (
    "import os, resource, sys; n = int(sys.argv[1]); "
    "resource.setrlimit(resource.RLIMIT_NPROC, (n, n)); os.execve(sys.argv[2], sys.argv[2:], {})"
)

Job = dict[str, Any]


class SetupError(Exception):
    """This way to isolate does not work here."""


def main(control_fd: int) -> None:
    """Serve jobs until the other end of the control socket is closed."""
    view = views.find_view()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    control = socket.socket(fileno=control_fd)
    while True:
        word, ancillary, _, _ = control.recvmsg(1, socket.CMSG_SPACE(2 * 4))
        if not word:
            return
        fds = array.array("i")
        for _, _, content in ancillary:
            fds.frombytes(content)
        if os.fork() == 0:
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _keep(socket.socket(fileno=fds[0]), fds[1] if len(fds) > 1 else None, view)
        for fd in fds:
            os.close(fd)


def _keep(wire: socket.socket, link: int | None, view: views.View) -> NoReturn:
    """Run one job and say how it ended; never returns."""
    try:
        kernel.adopt_orphans()
        with wire.makefile("rb") as lines:
            job = json.loads(lines.readline())
        try:
            outcome = _run(job, wire, link, view)
        except (SetupError, OSError) as error:
            outcome = {"setup": str(error)}
        wire.sendall(json.dumps(outcome).encode())
    finally:
        os._exit(0)


def _run(job: Job, wire: socket.socket, link: int | None, view: views.View) -> dict[str, Any]:
    streams = Streams.open(job["stdin"])
    folder = tempfile.mkdtemp(prefix="sandbox-") if job["way"] == "rlimits" else ""
    started = time.monotonic()
    try:
        if job["way"] == "namespaces":
            child = _start_in_namespaces(job, streams, link, view)
        elif job["way"] == "bubblewrap":
            job["limits"]["files"] = views.SCRATCH_FILES
            child = _start_in_bubblewrap(job, streams, link, view)
        else:
            child = _start_with_limits_only(job, streams, link, view, folder)
        streams.close_inner()
        broken = watch(child, streams, wire, job["limits"], started)
        wall_s = time.monotonic() - started
        cpu_s = end_tree(child)
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
    ending = settle(broken, streams, cpu_s, job["limits"]["cpu_s"])
    return {"wall_s": wall_s, **ending, **streams.texts(job["limits"]["output_bytes"])}


# -- by our own namespaces -------------------------------------------------------------------


def _start_in_namespaces(job: Job, streams: Streams, link: int | None, view: views.View) -> int:
    """Leave the namespaces, then fork what becomes the first process of the new ones."""
    uid, gid = os.geteuid(), os.getegid()
    mapped = _ONE_USER
    mapper, tell = _fork_mapper() if uid == 0 else (0, -1)
    kernel.unshare(kernel.ALL_NEW & ~kernel.NEW_NS)
    if mapper:
        os.write(tell, b"x")
        os.close(tell)
        mapped = os.waitstatus_to_exitcode(os.waitpid(mapper, 0)[1])
        if mapped not in (_TWO_USERS, _ONE_USER):
            raise SetupError("this root may not map users into a namespace")
    else:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{views.PROGRAM_UID} {uid} 1")
        _write("/proc/self/gid_map", f"{views.PROGRAM_UID} {gid} 1")
    child = os.fork()
    if child == 0:
        _init(job, streams, link, view, drop=mapped == _TWO_USERS)
    return child


def _fork_mapper() -> tuple[int, int]:
    """A child that stays outside and maps root and one unprivileged user into the namespace."""
    hear, tell = os.pipe()
    keeper = os.getpid()
    mapper = os.fork()
    if mapper:
        os.close(hear)
        return mapper, tell
    os.close(tell)
    code = 1
    two, one = f"0 0 1\n{views.PROGRAM_UID} {NOBODY} 1\n", f"{views.PROGRAM_UID} 0 1\n"
    try:
        if os.read(hear, 1):
            for text, meaning in ((two, _TWO_USERS), (one, _ONE_USER)):
                with contextlib.suppress(OSError):  # root of a namespace may have but one user
                    _write(f"/proc/{keeper}/gid_map", text)
                    _write(f"/proc/{keeper}/uid_map", text)
                    code = meaning
                    break
    finally:
        os._exit(code)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _init(
    job: Job, streams: Streams, link: int | None, view: views.View, *, drop: bool
) -> NoReturn:
    """First process in there: builds the view, starts the program, reaps, reports its status."""
    try:
        kernel.die_with_parent()
        kernel.hide_memory()
        for number in (signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)  # the kernel then lets nobody inside send it
        kernel.unshare(kernel.NEW_NS)
        # /proc is read-only in a container; the filter of system calls forbids new ones too.
        with contextlib.suppress(OSError):
            _write("/proc/sys/user/max_user_namespaces", "0")
        views.enter_view(view, job["limits"]["scratch_mb"])
        if drop:
            os.chown(views.SCRATCH, views.PROGRAM_UID, views.PROGRAM_UID)
        program = os.fork()
        if program == 0:
            if drop:
                os.setgroups([])
                os.setresgid(*(views.PROGRAM_UID,) * 3)
                os.setresuid(*(views.PROGRAM_UID,) * 3)
            _fill(job, views.SCRATCH)
            _become_program(job, streams, link, view, processes=_most_processes(job, drop=drop))
        _wait_for(program, streams)
    except OSError as error:
        _report(streams.report, {"setup": str(error)})
    finally:
        os._exit(0)


def _most_processes(job: Job, *, drop: bool) -> int | None:
    """The limit that the kernel keeps; None where it would count the user's others (before 5.14)."""
    kept = int(job["limits"]["processes"])
    if drop:
        return kept
    release = tuple(int(n) for n in re.findall(r"\d+", os.uname().release)[:2])
    return kept + 2 if release >= (5, 14) else None  # init and keeper have the same user


def _wait_for(program: int, streams: Streams) -> None:
    """Reap whatever ends, until the program does; say how."""
    streams.close_inner()
    while True:
        pid, status = os.wait()
        if pid == program:
            _report(streams.report, {"status": status})
            return


def _report(fd: int, said: Job) -> None:
    os.write(fd, json.dumps(said).encode() + b"\n")


# -- the program -----------------------------------------------------------------------------


def _fill(job: Job, scratch: str) -> None:
    files = {**job["files"], _PROGRAM: job["source"]}
    for name, text in files.items():
        path = os.path.join(scratch, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(text)


def _command(view: views.View, scratch: str, link: int | None) -> list[str]:
    # The two halves of a check need no `site`, a third of the time that a start takes.
    lean = [] if link is None else ["-S"]
    words = [view.interpreter, "-s", "-E", "-B", *lean, "-X", "utf8"]
    return [*words, os.path.join(scratch, _PROGRAM)]


def _become_program(
    job: Job,
    streams: Streams,
    link: int | None,
    view: views.View,
    *,
    processes: int | None,
    scratch: str = views.SCRATCH,
) -> NoReturn:
    """Give everything away and exec the interpreter on the program; never returns."""
    report = streams.report
    try:
        os.chdir(scratch)
        os.setsid()
        report = streams.enter(link, LINK)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        kernel.limit_resources(job["limits"], processes=processes)
        kernel.forbid_new_privileges()
        kernel.filter_system_calls()
        command = _command(view, scratch, link)
        os.execve(command[0], command, {})  # noqa: S606 - no shell is the point
    except OSError as error:
        _report(report, {"setup": str(error)})
    finally:
        os._exit(1)


def _start_with_limits_only(
    job: Job, streams: Streams, link: int | None, view: views.View, folder: str
) -> int:
    """Run where FTGATE_UNSAFE_EXEC=1 accepts the risk: limits, a clean environment, no walls."""
    child = os.fork()
    if child:
        return child
    try:
        program = os.fork()
        if program == 0:
            _fill(job, folder)
            _become_program(job, streams, link, view, processes=None, scratch=folder)
        _wait_for(program, streams)
    except OSError as error:
        _report(streams.report, {"setup": str(error)})
    finally:
        os._exit(0)


# -- by bubblewrap ---------------------------------------------------------------------------


def _start_in_bubblewrap(job: Job, streams: Streams, link: int | None, view: views.View) -> int:
    child = os.fork()
    if child:
        return child
    report = streams.report
    try:
        os.setsid()
        report = streams.enter(link, LINK)
        words = [job["bwrap"], *views.bwrap_arguments(view, job["limits"]["scratch_mb"])]
        program = kernel.seccomp_program()
        if program is not None:
            words += ["--seccomp", str(_in_memory(program))]
        for name, text in {**job["files"], _PROGRAM: job["source"]}.items():
            fd = _in_memory(text.encode("utf-8", "surrogatepass"))
            words += ["--file", str(fd), os.path.join(views.SCRATCH, name)]
        os.set_inheritable(report, True)
        words += ["--json-status-fd", str(report)]
        words += ["--", view.interpreter, "-I", "-S", "-c", _LIMIT_THEN_RUN]
        words += [str(int(job["limits"]["processes"]) + 2), *_command(view, views.SCRATCH, link)]
        kernel.limit_resources(job["limits"], processes=None)
        os.execve(words[0], words, {})  # noqa: S606 - no shell is the point
    except OSError as error:
        _report(report, {"setup": str(error)})
    finally:
        os._exit(1)


def _in_memory(content: bytes) -> int:
    fd = os.memfd_create("given", 0)
    os.set_inheritable(fd, True)
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


if __name__ == "__main__":
    main(int(sys.argv[1]))
