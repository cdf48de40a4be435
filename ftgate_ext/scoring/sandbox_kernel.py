"""What Linux offers against hostile code, called through ctypes. Knows no program and no view.

Runs in the sandbox's own clean interpreter, never in the process that holds keys.
"""

from __future__ import annotations

import ctypes
import errno
import math
import os
import platform
import resource
import struct

NEW_NS, NEW_CGROUP, NEW_UTS, NEW_IPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
NEW_USER, NEW_PID, NEW_NET = 0x10000000, 0x20000000, 0x40000000
ALL_NEW = NEW_NS | NEW_CGROUP | NEW_UTS | NEW_IPC | NEW_USER | NEW_PID | NEW_NET

READ_ONLY, NO_SUID, NO_DEV, NO_EXEC, REMOUNT = 1, 2, 4, 8, 32
BIND, RECURSIVE, PRIVATE = 4096, 16384, 1 << 18
DETACH = 2

_DEATH_SIGNAL, _DUMPABLE, _SECCOMP, _SUBREAPER, _NO_NEW_PRIVS = 1, 4, 22, 36, 38
_FILTER_MODE = 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# System calls that no program under test needs and that reach outside of its limits: other
# processes, mounts, namespaces, kernel keys, and memory that no rlimit counts. x86_64, aarch64.
_DENIED: dict[str, tuple[int, int]] = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "unshare": (272, 97), "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194),
    "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180), "vmsplice": (278, 75),
    "kexec_load": (246, 104), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "swapon": (167, 224), "reboot": (169, 142), "acct": (163, 89),
    "syslog": (103, 116), "quotactl": (179, 60), "personality": (135, 92),
}  # fmt: skip
_CLONE, _CLONE3, _SOCKET = (56, 220), (435, 435), (41, 198)
_FAMILIES = (1, 2, 10)
"""AF_UNIX, AF_INET, AF_INET6: the private network namespace holds them. AF_VSOCK it does not."""

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(returned: int, what: str) -> None:
    if returned != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags` for fresh ones."""
    _checked(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None) -> None:
    """Mount `source` on `target`; an error names the target."""
    _checked(
        _libc.mount(
            source.encode(),
            target.encode(),
            kind.encode() if kind else None,
            ctypes.c_ulong(flags),
            options.encode() if options else None,
        ),
        f"mount {target}",
    )


def detach(target: str) -> None:
    """Take a mount and all below it away at once."""
    _checked(_libc.umount2(target.encode(), DETACH), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root of this mount namespace and hang the old one under `old`."""
    number = _PIVOT_ROOT.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"pivot_root on {platform.machine()}")
    _checked(_libc.syscall(number, new.encode(), old.encode()), "pivot_root")


def adopt_orphans() -> None:
    """Become the parent of every descendant that is orphaned, so that none gets away."""
    _checked(_libc.prctl(_SUBREAPER, 1, 0, 0, 0), "prctl subreaper")


def die_with_parent() -> None:
    """Be killed when the parent dies."""
    _checked(_libc.prctl(_DEATH_SIGNAL, 9, 0, 0, 0), "prctl death signal")


def hide_memory() -> None:
    """Forbid processes of the same user to read or trace this one."""
    _checked(_libc.prctl(_DUMPABLE, 0, 0, 0, 0), "prctl dumpable")


def forbid_new_privileges() -> None:
    """No setuid program gives this process, or one it starts, any right again."""
    _checked(_libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl no_new_privs")


def seccomp_program() -> bytes | None:
    """The filter as BPF instructions; None on a processor whose call numbers are not known here."""
    machine = platform.machine()
    if machine not in _AUDIT_ARCH:
        return None
    column = ("x86_64", "aarch64").index(machine)
    refuse, absent = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
    allow, kill = 0x7FFF0000, 0x80000000
    load, equal, at_least, any_bit, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    number, arch, first_argument = 0, 4, 16

    def step(code: int, yes: int, no: int, value: int) -> bytes:
        return struct.pack("=HBBI", code, yes, no, value)

    steps = [
        step(load, 0, 0, arch),
        step(equal, 1, 0, _AUDIT_ARCH[machine]),
        step(answer, 0, 0, kill),
        step(load, 0, 0, number),
        step(at_least, 0, 1, 0x40000000),  # the x32 calls have numbers of their own
        step(answer, 0, 0, kill),
    ]
    for pair in _DENIED.values():
        steps += [step(equal, 0, 1, pair[column]), step(answer, 0, 0, refuse)]
    # libc falls back to clone, whose flags a filter can read; those of clone3 it cannot.
    steps += [step(equal, 0, 1, _CLONE3[column]), step(answer, 0, 0, absent)]
    steps += [
        step(equal, 0, 4, _CLONE[column]),
        step(load, 0, 0, first_argument),
        step(any_bit, 0, 1, ALL_NEW),
        step(answer, 0, 0, refuse),
        step(answer, 0, 0, allow),
    ]
    steps += [
        step(equal, 0, 2 + len(_FAMILIES), _SOCKET[column]),
        step(load, 0, 0, first_argument),
        *(step(equal, len(_FAMILIES) - i, 0, f) for i, f in enumerate(_FAMILIES)),
        step(answer, 0, 0, refuse),
        step(answer, 0, 0, allow),
    ]
    return b"".join(steps)


def filter_system_calls() -> None:
    """Install the filter, where this processor has one; it cannot be taken off again."""
    program = seccomp_program()
    if program is None:
        return
    kept = ctypes.create_string_buffer(program, len(program))
    described = ctypes.create_string_buffer(
        struct.pack("@HP", len(program) // 8, ctypes.addressof(kept))
    )
    _checked(_libc.prctl(_SECCOMP, _FILTER_MODE, described, 0, 0), "prctl seccomp")


def limit_resources(limits: dict[str, float], *, processes: int | None) -> None:
    """Set every rlimit, soft and hard, for this process and all that it starts."""
    mega = 1 << 20
    cpu_s = math.ceil(limits["cpu_s"])
    memory = int(limits["memory_mb"]) * mega
    hard = {
        "RLIMIT_CORE": 0,
        # Private memory is what counts; libc reserves address space per thread without using it.
        "RLIMIT_DATA": memory,
        "RLIMIT_AS": memory * 2 + 1024 * mega,
        "RLIMIT_FSIZE": int(limits["file_mb"]) * mega,
        "RLIMIT_STACK": 8 * mega,
        "RLIMIT_NOFILE": 128,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_SIGPENDING": 256,
    }
    if processes is not None:
        hard["RLIMIT_NPROC"] = processes
    for name, value in hard.items():
        if hasattr(resource, name):
            _lower(getattr(resource, name), value, value)
    _lower(resource.RLIMIT_CPU, cpu_s, cpu_s + 1)


def _lower(kind: int, soft: int, hard: int) -> None:
    most = resource.getrlimit(kind)[1]
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(kind, (soft, hard))
