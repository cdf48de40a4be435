"""`responses.jsonl`: one line a finished request, append-only, and what may be used again of it.

What a fault may cost:

    SIGKILL, out of memory   nothing: a line is handed to the operating system in one call, at once
    power loss               the lines of the last `SYNC_EVERY_S` seconds
    full disk                nothing: the half line is taken back, the run stops with one sentence
    two processes            nothing: the second is refused

A line that a crash cut off is passed over wherever it stands, and its request is asked again.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from pydantic import TypeAdapter, ValidationError

from ftgate_ext.schema import UNSCORED_STATUSES, Response, RunError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SYNC_EVERY_S = 1.0
"""Seconds between two times that the file is forced to the disk, by a thread of its own."""

_RESPONSE = TypeAdapter(Response)
_LOCKED = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES})


def request_hash(model: str, task: str, payload: dict[str, Any]) -> str:
    """sha256 of the model asked, the task and everything that was asked.

    It is the greater part of a request's identity. The case and the occurrence make it whole: two
    cases that ask the very same are two requests, and each needs an answer of its own. They stand
    beside the hash in every line, so that journals without them in their hash are used as before.
    """
    canonical = json.dumps([model, task, payload], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def is_torn(error: ValidationError) -> bool:
    """Whether a line that cannot be read just ends too early, as a killed process leaves it."""
    first = error.errors()[0]
    return first["type"] == "json_invalid" and "EOF while parsing" in first["msg"]


def read_lines(path: Path, task: str | None = None) -> Iterator[tuple[int, Response]]:
    """Every response of a journal with the offset of its line, one at a time.

    Args:
        path: The file.
        task: Only the responses to this task; other lines are not looked at closely.

    Raises:
        RunError: A line is broken otherwise than a crash breaks it: the file was edited or belongs
            to something else.
    """
    offset, name = 0, b"" if task is None else json.dumps(task, ensure_ascii=False).encode()
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            start, offset = offset, offset + len(raw)
            line = raw.strip()
            # A block that never reached the disk before the power went is read as zeros.
            if not line or b"\0" in line or name not in line:
                continue
            try:
                response = Response.model_validate_json(line)
            except ValidationError as error:
                if is_torn(error):
                    continue  # the process was killed while it wrote; the request is asked again
                problem = error.errors()[0]
                field = ".".join(map(str, problem["loc"])) or "line"
                raise RunError(
                    f"{path}:{number}: {field}: {problem['msg'].lower()}; expected a response of ftgate. "
                    "Move the file away to ask everything again."
                ) from None
            if task in (None, response.task):
                yield start, response


def read_responses(path: Path) -> list[Response]:
    """Read a whole journal; lines that a crash tore are passed over.

    Raises:
        RunError: As `read_lines`.
    """
    return [response for _, response in read_lines(path)]


def read_at(file: BinaryIO, offset: int) -> Response | None:
    """The response of the line that begins there; None where there is none that can be read."""
    file.seek(offset)
    try:
        found: Response = _RESPONSE.validator.validate_json(file.readline())
    except ValidationError:
        return None
    return found


class Journal:
    """The journal of one model in one run; one process at a time.

    Of the answers that are there only the places are kept in memory, about 110 bytes each.
    """

    def __init__(self, path: Path, *, reuse: bool) -> None:
        """Open the journal for appending.

        Args:
            path: The file; made if missing.
            reuse: Whether good answers already in it are given back instead of asked again.

        Raises:
            RunError: Another process holds the journal, or the file cannot be written or read.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: a line that does not fit on the disk must not wait in memory for `close`.
            self._file = path.open("ab+", buffering=0)
        except OSError as error:
            raise RunError(
                f"{path}: cannot be written ({error.strerror}); choose another folder."
            ) from None
        self._good: dict[int, int] = {}
        self._problem: str | None = None
        self._told = False
        self._unsynced = False
        self._closing = threading.Event()
        self._syncer: threading.Thread | None = None
        try:
            self._lock()
            for offset, response in read_lines(path) if reuse else ():
                if response.status not in UNSCORED_STATUSES:
                    self._good[hash(_identity(response))] = offset
            self._end = self._file.seek(0, os.SEEK_END)
            self._end_torn_line()
            _sync_folder(path.parent)
        except RunError:
            self._file.close()
            raise
        self._reader = path.open("rb")

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _LOCKED:
                raise RunError(
                    f"{self.path}: another ftgate process is writing this run; wait for it or stop it."
                ) from None
            raise RunError(
                f"{self.path}: cannot be locked ({error.strerror}); choose a folder on a disk of this machine."
            ) from None

    def _end_torn_line(self) -> None:
        if self._end:
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":
                self._write(b"\n")

    def find(self, key: str, occurrence: int, case_id: str) -> Response | None:
        """The good answer to this very request that an earlier process left, if there is one.

        Args:
            key: From `request_hash`.
            occurrence: Which of the requests of this case with this key.
            case_id: The case that asks.
        """
        wanted = (key, occurrence, case_id)
        # A number takes a fifth of the memory of its texts; the line itself decides.
        offset = self._good.get(hash(wanted))
        response = None if offset is None else read_at(self._reader, offset)
        return response if response and _identity(response) == wanted else None

    def append(self, response: Response) -> None:
        """Write one finished request.

        Raises:
            RunError: The disk is full or gone; everything written before is kept.
        """
        self._write(response.model_dump_json(exclude_none=True).encode() + b"\n")
        self._unsynced = True
        if self._syncer is None:
            self._syncer = threading.Thread(target=self._keep_synced, daemon=True)
            self._syncer.start()

    def _write(self, line: bytes) -> None:
        if self._problem is None:
            try:
                if self._file.write(line) == len(line):
                    self._end += len(line)
                    return
                self._problem = "no space for a whole line"
            except OSError as error:
                self._problem = str(error.strerror)
            with suppress(OSError):  # else the half line stays, as after a kill
                self._file.truncate(self._end)
        raise self._failure()

    def _failure(self) -> RunError:
        self._told = True
        return RunError(
            f"{self.path}: cannot be written ({self._problem}); make room and run the same command again."
        )

    def _keep_synced(self) -> None:
        """Force what was written to the disk now and then; the event loop never waits for it."""
        while not self._closing.wait(SYNC_EVERY_S):
            self._sync()

    def _sync(self) -> None:
        if self._unsynced:
            self._unsynced = False
            try:
                os.fsync(self._file.fileno())
                if not os.fstat(self._file.fileno()).st_nlink:
                    self._problem = self._problem or "somebody deleted the file"
            except OSError as error:
                self._problem = self._problem or str(error.strerror)

    def sync(self) -> None:
        """Force everything to the disk now, before something is noted elsewhere that relies on it."""
        self._sync()

    def close(self) -> None:
        """Force everything to the disk and let go of the file.

        Raises:
            RunError: The disk lost lines that it had taken; run again, they are asked again.
        """
        if self._file.closed:
            return
        self._closing.set()
        if self._syncer:
            self._syncer.join()
        self._sync()
        self._reader.close()
        self._file.close()
        if self._problem and not self._told:
            raise self._failure()


def _identity(response: Response) -> tuple[str, int, str]:
    return response.request_hash, response.occurrence, response.case_id


def _sync_folder(folder: Path) -> None:
    """Make sure that a new file is still there after a power loss, where folders can be synced."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
