"""`judge_batches.jsonl`: which batches were created for which requests, so that none is paid twice.

A line is written before a batch is created and another one after: a crash in between leaves a name under
which the batch is found again at the server.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from ftgate_ext.inference.journal import is_torn
from ftgate_ext.schema import Row, RunError

if TYPE_CHECKING:
    from pathlib import Path


class BatchEvent(Row):
    """One line: something happened to a batch."""

    key: str
    """Our name for it, which stands in its metadata."""
    what: Literal["planned", "created", "read"]
    at: str
    """ISO 8601, UTC."""
    base_url: str = ""
    requests: list[str] = []
    """`custom_id` of each, where it was planned."""
    batch: str | None = None
    """The server's name for it."""
    status: str | None = None
    """How it ended."""


@dataclass
class Flight:
    """A batch whose results have not been read."""

    key: str
    requests: frozenset[str]
    planned_at: float
    """Seconds since the epoch."""
    batch: str | None = None
    told: str = field(default="", compare=False)
    """What the user was last told about it."""


class BatchLedger:
    """The file, append-only."""

    def __init__(self, path: Path, base_url: str) -> None:
        """Name the file; batches of other endpoints in it are passed over."""
        self.path, self._base_url = path, base_url

    def open_flights(self) -> list[Flight]:
        """The batches that were planned and not read, whether they were created or not.

        Raises:
            RunError: A line is broken otherwise than a crash breaks it.
        """
        flights: dict[str, Flight] = {}
        for event in self._events():
            if event.what == "planned" and event.base_url == self._base_url:
                at = datetime.fromisoformat(event.at).timestamp()
                flights[event.key] = Flight(event.key, frozenset(event.requests), at)
            elif event.what == "created" and event.key in flights:
                flights[event.key].batch = event.batch
            elif event.what == "read":
                flights.pop(event.key, None)
        return list(flights.values())

    def plan(self, key: str, requests: list[str]) -> Flight:
        """Note what is about to be created."""
        now = datetime.now(timezone.utc)
        self._write(BatchEvent(
            key=key, what="planned", at=now.isoformat(), base_url=self._base_url, requests=requests
        ))  # fmt: skip
        return Flight(key, frozenset(requests), now.timestamp())

    def note_created(self, key: str, batch: str) -> None:
        """Note the server's name for a batch."""
        self._write(BatchEvent(key=key, what="created", at=_now(), batch=batch))

    def note_read(self, key: str, status: str) -> None:
        """Note that nothing is to be had from a batch any more."""
        self._write(BatchEvent(key=key, what="read", at=_now(), status=status))

    def _events(self) -> list[BatchEvent]:
        events = []
        lines = self.path.read_bytes().splitlines() if self.path.is_file() else []
        for number, line in enumerate(lines, start=1):
            try:
                events += [BatchEvent.model_validate_json(line)] if line.strip() else []
            except ValidationError as error:
                if not is_torn(error):
                    raise RunError(f"{self.path}:{number}: {error.errors()[0]['msg'].lower()}; expected a batch of ftgate. Batches under way are lost if you move the file away.") from None  # fmt: skip
        return events

    def _write(self, event: BatchEvent) -> None:
        try:
            with self.path.open("ab") as file:
                # A line that a crash cut off must not swallow this one.
                begin = b"\n" if file.tell() and not self._ends_whole() else b""
                file.write(begin + event.model_dump_json(exclude_none=True).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RunError(f"{self.path}: cannot be written ({error.strerror}); make room and run the same command again.") from None  # fmt: skip

    def _ends_whole(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()
