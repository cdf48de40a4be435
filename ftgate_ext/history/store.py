"""Where run folders lie: a folder of this machine, or any place that fsspec reaches.

Knows names, sizes, times and bytes; not what is in the files.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from ftgate_ext.history.reading import MANIFEST, is_wanted
from ftgate_ext.schema import RunError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

INDEX = "history.jsonl"


@dataclass(frozen=True)
class RunFiles:
    """The files of one run folder that the history reads."""

    name: str
    stamps: dict[str, str]
    """Path within the run folder -> size and time of change, or the store's own tag."""


class RunStore(Protocol):
    """A folder of run folders."""

    where: str
    """For people."""
    index: Path | None
    """Where entries are kept once they were read; None where they are not."""

    def runs(self) -> Iterator[RunFiles]:
        """The run folders, that is those with a run.json."""

    def read(self, wanted: Iterable[RunFiles]) -> Iterator[tuple[RunFiles, dict[str, bytes]]]:
        """The bytes of the files of several runs."""

    def local_dir(self, name: str) -> Path:
        """A folder of this machine with everything of one run.

        Raises:
            RunError: There is no such run.
        """


def open_store(place: str | Path) -> RunStore:
    """Open a folder of run folders, one run folder, or a URL of fsspec (s3://bucket/runs).

    Raises:
        RunError: There is no such folder, or the URL's file system cannot be used.
    """
    if isinstance(place, str) and "://" in place and not place.startswith("file://"):
        return RemoteStore(place)
    root = Path(str(place).removeprefix("file://"))
    if not root.is_dir():
        raise RunError(
            f"{root}: no such folder; expected a folder of runs as `ftgate gate` makes it (runs)."
        )
    return LocalStore(root)


class LocalStore:
    """Run folders on this machine."""

    def __init__(self, root: Path) -> None:
        self.only: str | None = None
        if (root / MANIFEST).is_file():  # one run folder instead of the folder above it
            root = root.resolve()
            root, self.only = root.parent, root.name
        self.root = root
        self.where = str(root / self.only) if self.only else str(root)
        self.index = None if self.only else root / INDEX

    def runs(self) -> Iterator[RunFiles]:
        """The run folders, that is those with a run.json."""
        names = [self.only] if self.only else sorted(e.name for e in os.scandir(self.root))
        for name in names:
            if not name.startswith(".") and (self.root / name / MANIFEST).is_file():
                yield RunFiles(name, dict(self._stamps(name)))

    def _stamps(self, name: str) -> Iterator[tuple[str, str]]:
        for below in ("", "candidate/"):
            with suppress(OSError), os.scandir(self.root / name / below) as found:
                for file in found:
                    if is_wanted(below + file.name) and file.is_file():
                        stat = file.stat()
                        yield below + file.name, f"{stat.st_size} {stat.st_mtime_ns}"

    def read(self, wanted: Iterable[RunFiles]) -> Iterator[tuple[RunFiles, dict[str, bytes]]]:
        """The bytes of the files; one that is gone by now is left out."""
        for run in wanted:
            files: dict[str, bytes] = {}
            for path in run.stamps:
                with suppress(OSError):
                    files[path] = (self.root / run.name / path).read_bytes()
            yield run, files

    def local_dir(self, name: str) -> Path:
        """The run folder itself."""
        folder = self.root / name
        inside = folder.parent == self.root and name not in ("", ".", "..") and name == folder.name
        if not inside or not (folder / MANIFEST).is_file():
            raise RunError(f"{self.where}: no run {name!r}.")
        return folder


class RemoteStore:
    """Run folders behind a URL of fsspec; its credentials come from the environment."""

    BATCH = 64
    """Runs whose files are fetched at once."""

    def __init__(self, url: str) -> None:
        import fsspec

        try:
            self.fs, root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError, OSError) as error:
            raise RunError(
                f"{url}: cannot be opened ({error}); expected a folder or a URL that fsspec knows."
            ) from None
        self.root = root.rstrip("/")
        self.where = url
        self.index: Path | None = (
            _cache_dir() / f"history-{hashlib.sha256(url.encode()).hexdigest()[:16]}.jsonl"
        )
        self._copies: dict[str, Path] = {}
        self._temporary: Path | None = None

    def runs(self) -> Iterator[RunFiles]:
        """The run folders, from one listing of everything below the URL."""
        found: dict[str, dict[str, str]] = {}
        for path, info in self._listing().items():
            name, _, file = path[len(self.root) :].lstrip("/").partition("/")
            if is_wanted(file):
                found.setdefault(name, {})[file] = _stamp(info)
        for name in sorted(found):
            if MANIFEST in found[name]:
                yield RunFiles(name, found[name])

    def _listing(self) -> dict[str, dict[str, Any]]:
        try:
            if not self.fs.exists(self.root):
                raise RunError(f"{self.where}: there is nothing; expected a folder of runs.")
            listed: dict[str, dict[str, Any]] = self.fs.find(self.root, detail=True)
        except OSError as error:
            raise RunError(f"{self.where}: cannot be listed ({error}).") from None
        return listed

    def read(self, wanted: Iterable[RunFiles]) -> Iterator[tuple[RunFiles, dict[str, bytes]]]:
        """The bytes of the files, many at a time."""
        runs = list(wanted)
        for start in range(0, len(runs), self.BATCH):
            batch = runs[start : start + self.BATCH]
            paths = [f"{self.root}/{run.name}/{file}" for run in batch for file in run.stamps]
            fetched = self.fs.cat(paths, on_error="omit") if paths else {}
            for run in batch:
                named = {file: fetched.get(f"{self.root}/{run.name}/{file}") for file in run.stamps}
                yield run, {file: text for file, text in named.items() if text is not None}

    def local_dir(self, name: str) -> Path:
        """A copy of the run folder, fetched once."""
        if name in self._copies:
            return self._copies[name]
        known = {run.name for run in self.runs()}
        if name not in known:
            raise RunError(f"{self.where}: no run {name!r}.")
        if self._temporary is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="ftgate-view-"))
            atexit.register(shutil.rmtree, self._temporary, ignore_errors=True)
        target = self._temporary / hashlib.sha256(name.encode()).hexdigest()[:16]
        for path in self.fs.find(f"{self.root}/{name}"):
            relative = PurePosixPath(path[len(self.root) + len(name) + 1 :].lstrip("/"))
            if ".." in relative.parts:
                continue
            (target / relative).parent.mkdir(parents=True, exist_ok=True)
            self.fs.get_file(path, str(target / relative))
        self._copies[name] = target
        return target


def _stamp(info: dict[str, Any]) -> str:
    tags = ("ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "last_modified", "created")  # fmt: skip
    tag = next((info[name] for name in tags if info.get(name)), "")
    return f"{info.get('size')} {tag}"


def _cache_dir() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ftgate"
