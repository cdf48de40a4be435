"""What a program in the sandbox sees of the file system: interpreter, its libraries, one scratch.

Knows no program. Runs in the sandbox's own clean interpreter.
"""
# The interpreter that starts for every run imports no pathlib.
# ruff: noqa: PTH102, PTH103, PTH106, PTH112, PTH113, PTH114, PTH118, PTH119, PTH120, PTH123, PTH207, PTH211

from __future__ import annotations

import contextlib
import ctypes
import glob
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftgate_ext.scoring import sandbox_kernel as kernel

if TYPE_CHECKING:
    from collections.abc import Iterable

SCRATCH = "/tmp"  # noqa: S108 - in the view this is a fresh, bounded file system of its own
SCRATCH_FILES = 4096
PROGRAM_UID = 1000

_NATIVE = (
    "_bz2", "_ctypes", "_curses", "_dbm", "_decimal", "_hashlib", "_lzma", "_sqlite3", "_ssl",
    "_uuid", "_zstd", "array", "binascii", "math", "mmap", "pyexpat", "readline", "unicodedata", "zlib",
)  # fmt: skip
_DEVICES = ("null", "zero", "random", "urandom")


@dataclass(frozen=True)
class View:
    """The paths that are shown, each where it stands outside too."""

    interpreter: str
    trees: tuple[str, ...]
    """Folders of the standard library."""
    files: tuple[str, ...]
    """The interpreter, the shared libraries it needs, and the loader's cache."""
    links: tuple[tuple[str, str], ...]
    """(where, to what): the other names of those libraries."""
    hidden: tuple[str, ...]
    """Folders of third-party packages inside the trees; empty in the view."""


def find_view() -> View:
    """The view of this interpreter; forks a child that loads what the standard library can load."""
    interpreter = os.path.realpath(sys.executable)
    trees = _outermost(os.path.realpath(p) for p in sys.path if p.startswith(sys.base_prefix))
    zones = "/usr/share/zoneinfo"
    names = ("site-packages", "dist-packages")
    hidden = [os.path.join(tree, name) for tree in trees for name in names]
    if os.path.isdir(zones):
        trees.append(zones)
    libraries = [p for p in _mapped_libraries() if not any(_inside(p, t) for t in trees)]
    cache = "/etc/ld.so.cache"
    return View(
        interpreter=interpreter,
        trees=tuple(trees),
        files=(interpreter, *libraries, *([cache] if os.path.isfile(cache) else [])),
        links=tuple(_links(libraries)),
        hidden=tuple(path for path in hidden if os.path.isdir(path)),
    )


def _inside(path: str, tree: str) -> bool:
    return path == tree or path.startswith(tree.rstrip("/") + "/")


def _outermost(paths: Iterable[str]) -> list[str]:
    kept: list[str] = []
    for path in sorted({p for p in paths if os.path.isdir(p)}):
        if not any(_inside(path, other) for other in kept):
            kept.append(path)
    return kept


def _mapped_libraries() -> list[str]:
    hear, say = os.pipe()
    child = os.fork()
    if child == 0:
        for name in _NATIVE:
            try:
                __import__(name)
            except ImportError:
                continue
        with contextlib.suppress(OSError):
            ctypes.CDLL("libgcc_s.so.1")  # libc opens it when a thread ends
        with open("/proc/self/maps", encoding="utf-8") as maps:
            found = {line.split(maxsplit=5)[5].strip() for line in maps if ".so" in line}
        os.write(say, "\n".join(sorted(p for p in found if os.path.isfile(p))).encode())
        os._exit(0)
    os.close(say)
    with os.fdopen(hear, encoding="utf-8") as lines:
        paths = lines.read().splitlines()
    os.waitpid(child, 0)
    return paths


def _links(libraries: list[str]) -> list[tuple[str, str]]:
    """Every symbolic link by which the loader may ask for one of these files."""
    wanted = set(libraries)
    found: dict[str, str] = {}
    for top in ("/lib", "/lib32", "/lib64", "/libx32"):
        if os.path.islink(top):
            found[top] = os.path.realpath(top)
    for folder in sorted({os.path.dirname(path) for path in libraries}):
        with os.scandir(folder) as entries:
            for entry in entries:
                if ".so" in entry.name and entry.is_symlink():
                    target = os.path.realpath(entry.path)
                    if target in wanted:
                        found[entry.path] = target
    for loader in (*glob.glob("/lib*/ld-*.so*"), *glob.glob("/lib*/*/ld-*.so*")):
        target = os.path.realpath(loader)
        where = os.path.join(os.path.realpath(os.path.dirname(loader)), os.path.basename(loader))
        if target in wanted and where != target:
            found[where] = target
    return sorted(found.items())


def enter_view(view: View, scratch_mb: int) -> None:
    """Make `view` and an empty scratch the only files there are; the old root is gone for good.

    The caller has fresh user and mount namespaces and every capability in them.
    """
    kernel.mount("none", "/", None, kernel.RECURSIVE | kernel.PRIVATE, None)
    base = SCRATCH if os.path.isdir(SCRATCH) else "/mnt"
    kernel.mount("tmpfs", base, "tmpfs", kernel.NO_SUID | kernel.NO_DEV, "size=1m,mode=755")
    os.chdir(base)
    os.umask(0o022)
    os.mkdir("old")
    kernel.pivot_root(".", "old")
    os.chdir("/")
    for where, target in view.links:
        _link(where, target)
    for tree in view.trees:
        os.makedirs(tree, exist_ok=True)
        _show("/old" + tree, tree, kernel.NO_DEV)
    for path in view.files:
        _place(path)
        _show("/old" + path, path, kernel.NO_DEV)
    for folder in view.hidden:
        kernel.mount("tmpfs", folder, "tmpfs", kernel.READ_ONLY, "size=4k,mode=755")
    for device in _DEVICES:
        _place(f"/dev/{device}")
        kernel.mount(f"/old/dev/{device}", f"/dev/{device}", None, kernel.BIND, None)
    _link("/dev/shm", SCRATCH)  # noqa: S108 - shared memory counts as scratch
    os.makedirs(SCRATCH, exist_ok=True)
    options = f"size={int(scratch_mb)}m,nr_inodes={SCRATCH_FILES},mode=700"
    kernel.mount("tmpfs", SCRATCH, "tmpfs", kernel.NO_SUID | kernel.NO_DEV, options)
    kernel.detach("/old")
    os.rmdir("/old")
    flags = kernel.REMOUNT | kernel.BIND | kernel.READ_ONLY | kernel.NO_SUID | kernel.NO_DEV
    kernel.mount("none", "/", None, flags, None)


def _link(where: str, target: str) -> None:
    os.makedirs(os.path.dirname(where), exist_ok=True)
    if not os.path.lexists(where):
        os.symlink(target, where)


def _place(path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if not os.path.lexists(path):
        with open(path, "x", encoding="utf-8"):
            pass


def _show(source: str, target: str, extra: int) -> None:
    """Bind read-only, keeping what the outer mount forbids: the kernel insists on that."""
    kernel.mount(source, target, None, kernel.BIND, None)
    outer = os.statvfs(target).f_flag
    kept = outer & (kernel.NO_SUID | kernel.NO_DEV | kernel.NO_EXEC)
    if outer & 1024:  # noatime
        kept |= 1024
    elif outer & 4096:  # relatime
        kept |= 1 << 21
    if outer & 2048:  # nodiratime
        kept |= 2048
    flags = kernel.REMOUNT | kernel.BIND | kernel.READ_ONLY | kernel.NO_SUID | extra | kept
    kernel.mount("none", target, None, flags, None)


def bwrap_arguments(view: View, scratch_mb: int) -> list[str]:
    """The same view in the words of bubblewrap 0.8 or later."""
    words = ["--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]
    words += ["--unshare-user", "--uid", str(PROGRAM_UID), "--gid", str(PROGRAM_UID)]
    words += ["--disable-userns", "--cap-drop", "ALL", "--hostname", "sandbox"]
    for where, target in view.links:
        words += ["--symlink", target, where]
    for path in (*view.trees, *view.files):
        words += ["--ro-bind", path, path]
    for folder in view.hidden:
        words += ["--size", "4096", "--tmpfs", folder, "--remount-ro", folder]
    for device in _DEVICES:
        words += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    words += ["--symlink", SCRATCH, "/dev/shm"]  # noqa: S108 - shared memory counts as scratch
    words += ["--perms", "0700", "--size", str(int(scratch_mb) << 20), "--tmpfs", SCRATCH]
    return [*words, "--remount-ro", "/", "--chdir", SCRATCH]
