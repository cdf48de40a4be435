"""A real HTTP server with OpenAI's Files and Batch API, besides the chat of `FakeServer`.

A batch moves on by one step each time somebody looks at it: validating, in_progress (twice), finalizing,
completed. Its lines are answered by the same script as chat requests; a reply with a status other than
200 becomes a line of the error file, as OpenAI writes it. On request a batch expires after some lines, is
refused, or is created although its creator hears of a fault.

    with FakeBatchServer(expert()) as server:                 everything goes well
    FakeBatchServer(script, expires_after=[10])               the first batch ends after ten lines
    FakeBatchServer(script, queue=50)                         at most 50 requests may be enqueued
    FakeBatchServer(script, create_faults=["lost", "500"])    created but not told; not created
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from aiohttp import web
from fake_server import FakeServer, Received, Script, _completion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STEPS = ("validating", "in_progress", "in_progress", "finalizing")
PAGE = 2
"""So few batches on a page that clients must turn it."""
Fault = Literal["", "lost", "500", "slow"]


@dataclass
class FakeBatch:
    """One batch as the server knows it."""

    id: str
    input_file: str
    metadata: dict[str, str]
    created_at: int
    expires_after: int | None
    status: str = "validating"
    looks: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)
    output_file: str | None = None
    error_file: str | None = None
    problem: dict[str, Any] | None = None
    n_done: int = 0
    n_failed: int = 0


class FakeBatchServer(FakeServer):
    """The server; a context manager."""

    def __init__(
        self,
        script: Script = "good",
        *,
        expires_after: Sequence[int | None] = (),
        queue: int | None = None,
        create_faults: Sequence[Fault] = (),
        key: str | None = None,
        refused: str | None = None,
        models: Sequence[str] = ("toy",),
    ) -> None:
        """Make a server.

        Args:
            script: What each line of a batch, and each chat request, gets.
            expires_after: For each batch in turn, after how many lines it expires; None for never.
            queue: How many requests may be enqueued at once.
            create_faults: What each creation of a batch gets: "lost" creates it and answers 500.
            key: The only key that is let in.
            refused: Message with which every batch fails its validation.
            models: The names that GET /v1/models lists.
        """
        super().__init__(script, models)
        self.expires_after, self.queue, self.key = list(expires_after), queue, key
        self.create_faults, self.refused = list(create_faults), refused
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, FakeBatch] = {}
        self.executed: Counter[str] = Counter()
        """How often each line was answered with 200: what somebody pays."""
        self.on_step: Callable[[str], None] = lambda _step: None
        """Told "uploaded", "created" and "looked", before the answer goes out."""

    def _add_routes(self, app: web.Application) -> None:
        app.router.add_post("/v1/files", self._upload)
        app.router.add_get("/v1/files/{id}/content", self._content)
        app.router.add_post("/v1/batches", self._create)
        app.router.add_get("/v1/batches", self._list)
        app.router.add_get("/v1/batches/{id}", self._look)
        app.router.add_post("/v1/batches/{id}/cancel", self._cancel)

    def _refusal(self, request: web.Request) -> web.Response | None:
        self.received.append(Received(request.path, dict(request.headers), {}, time.monotonic()))
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            return _error(401, f"Incorrect API key provided: {given}.")
        return None

    async def _upload(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        form = await request.post()
        part = form["file"]
        assert form["purpose"] == "batch"
        assert isinstance(part, web.FileField)
        name = f"file-{len(self.files)}"
        self.files[name] = part.file.read()
        self.on_step("uploaded")
        return web.json_response({
            "id": name, "object": "file", "bytes": len(self.files[name]), "created_at": _now(),
            "filename": part.filename, "purpose": "batch", "status": "processed",
        })  # fmt: skip

    async def _content(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        content = self.files.get(request.match_info["id"])
        return web.Response(body=content) if content is not None else _error(404, "No such file")

    async def _create(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        body = await request.json()
        if body["endpoint"] != "/v1/chat/completions" or body["completion_window"] != "24h":
            return _error(400, "Invalid endpoint or window")
        if body["input_file_id"] not in self.files:
            return _error(404, "No such file")
        fault: Fault = self.create_faults.pop(0) if self.create_faults else ""
        if fault == "500":
            return _error(500, "The server had an error")
        expires_after = self.expires_after.pop(0) if self.expires_after else None
        batch = FakeBatch(
            f"batch_{len(self.batches)}", body["input_file_id"], body.get("metadata") or {}, _now(),
            expires_after,
        )  # fmt: skip
        self.batches[batch.id] = batch
        self.on_step("created")
        return _error(500, "The server had an error") if fault == "lost" else web.json_response(_shown(batch))  # fmt: skip

    async def _list(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        newest_first = list(reversed(self.batches.values()))
        after = request.query.get("after")
        ids = [batch.id for batch in newest_first]
        rest = newest_first[ids.index(after) + 1 :] if after else newest_first
        page = rest[: min(PAGE, int(request.query.get("limit", 20)))]
        return web.json_response({
            "object": "list", "data": [_shown(batch) for batch in page], "has_more": len(rest) > len(page),
            "first_id": page[0].id if page else None, "last_id": page[-1].id if page else None,
        })  # fmt: skip

    async def _look(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        batch = self.batches.get(request.match_info["id"])
        if batch is None:
            return _error(404, "No such batch")
        self._move_on(batch)
        self.on_step("looked")
        return web.json_response(_shown(batch))

    async def _cancel(self, request: web.Request) -> web.Response:
        if refusal := self._refusal(request):
            return refusal
        batch = self.batches[request.match_info["id"]]
        self.cancel(batch.id)
        return web.json_response(_shown(batch))

    def cancel(self, batch_id: str) -> None:
        """Stop a batch half-way, as a user does on the provider's page."""
        batch = self.batches[batch_id]
        batch.lines = _lines(self.files[batch.input_file])
        self._execute(batch, len(batch.lines) // 2, rest=None)
        batch.status = "cancelled"

    def _move_on(self, batch: FakeBatch) -> None:
        if batch.status not in STEPS:
            return
        if batch.looks == 0:
            batch.lines = _lines(self.files[batch.input_file])
            batch.problem = self._problem(batch)
            if batch.problem:
                batch.status = "failed"
                return
        batch.looks += 1
        if batch.looks < len(STEPS):
            batch.status = STEPS[batch.looks]
            return
        ends = batch.expires_after
        self._execute(batch, len(batch.lines) if ends is None else ends, rest="batch_expired")
        batch.status = "completed" if ends is None else "expired"

    def _problem(self, batch: FakeBatch) -> dict[str, Any] | None:
        """Why a batch is refused as a whole."""
        if self.refused:
            return {"code": "invalid_request", "message": self.refused, "line": 1}
        ids = [line.get("custom_id") for line in batch.lines]
        if not ids or len(set(ids)) < len(ids):
            return {"code": "duplicate_custom_id", "message": "custom_id is not unique", "line": 2}
        waiting = sum(
            len(_lines(self.files[b.input_file])) for b in self.batches.values() if b.status in STEPS
        )  # fmt: skip
        if self.queue is not None and waiting > self.queue:
            return {"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}
        return None

    def _execute(self, batch: FakeBatch, n: int, rest: str | None) -> None:
        """Answer the first `n` lines, and write the two files; with `rest` the others are errors."""
        answered, failed = [], []
        for number, line in enumerate(batch.lines):
            name = {"id": f"batch_req_{number}", "custom_id": line["custom_id"]}
            if number >= n:
                error = {"code": rest, "message": "This request ran out of time."}
                failed += [name | {"response": None, "error": error}] if rest else []
                continue
            reply = self._choose(number, line["body"])
            said = {
                "status_code": reply.status, "request_id": f"req_{number}",
                "body": _completion(reply, line["body"]),
            }  # fmt: skip
            (answered if reply.status == 200 else failed).append(
                name | {"response": said, "error": None}
            )
            self.executed[line["custom_id"]] += reply.status == 200
        batch.n_done, batch.n_failed = len(answered), len(failed)
        # What failed comes in no order.
        batch.output_file = self._write(batch, "output", answered[::-1])
        batch.error_file = self._write(batch, "error", failed[::-1])

    def _write(self, batch: FakeBatch, kind: str, lines: list[dict[str, Any]]) -> str | None:
        if not lines:
            return None
        name = f"file-{batch.id}-{kind}"
        self.files[name] = "".join(json.dumps(line) + "\n" for line in lines).encode()
        return name


def _lines(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]


def _now() -> int:
    return int(time.time())


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message, "type": "error"}}, status=status)


def _shown(batch: FakeBatch) -> dict[str, Any]:
    shown = {
        "id": batch.id, "object": "batch", "endpoint": "/v1/chat/completions", "completion_window": "24h",
        "input_file_id": batch.input_file, "status": batch.status, "created_at": batch.created_at,
        "output_file_id": batch.output_file, "error_file_id": batch.error_file, "metadata": batch.metadata,
        "request_counts": {"total": len(batch.lines), "completed": batch.n_done, "failed": batch.n_failed},
    }  # fmt: skip
    if batch.problem:
        shown["errors"] = {"object": "list", "data": [batch.problem]}
    return shown
