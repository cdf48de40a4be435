"""The embedded engine: real models behind an OpenAI-compatible endpoint on loopback.

In: names and GGUF files. Out: GET /v1/models and POST /v1/chat/completions. Each model runs in a
process of its own that starts with its first request. Knows nothing of adapters, sets or runs.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import itertools
import json
import os
import sys
import threading
import time
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ftgate_ext.errors import FtgateError, RunError
from ftgate_ext.inference.chat_api import (
    Answer,
    ChatError,
    ChatRequest,
    ChunkWriter,
    completion_body,
    parse_chat_request,
)
from ftgate_ext.inference.weights import (
    convert_weights,
    default_cache_dir,
    is_exactly_loadable,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import TracebackType

    from aiohttp.typedefs import Handler
    from typing_extensions import Self

LOOPBACK = "127.0.0.1"
MAX_BODY_BYTES = 16 << 20
STOP_S = 10.0
WORKER_MODULE = "ftgate_ext.inference.openvino_process"
IMPORT_ROOT = Path(__file__).resolve().parents[2]


def serve(
    models: dict[str, Path], host: str = LOOPBACK, port: int = 0, *, exact: bool = True
) -> RunningEngine:
    """Serve GGUF files until the returned engine is closed; use it as a context manager.

    Args:
        models: Name -> GGUF file. A model is loaded when it is first asked. A file that OpenVINO
            would not read exactly is converted first, once, into the user's cache.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        exact: Answers do not depend on what else is asked at the same time. False is about twice
            as fast, and a greedy answer may then change with the load.

    Raises:
        RunError: The extra `demo` is missing, a file is no GGUF file, or the port is taken.
    """
    if importlib.util.find_spec("openvino_genai") is None:
        raise RunError('Package openvino-genai is not installed; pip install "ftgate-ext[demo]"')
    cache_dir = default_cache_dir()
    loadable = {
        name: path if is_exactly_loadable(path) else convert_weights(path, cache_dir)
        for name, path in models.items()
    }
    engine = RunningEngine(loadable, host, port, exact=exact)
    engine.start()
    return engine


class RunningEngine:
    """An HTTP server in a thread of its own, with one process a model behind it."""

    def __init__(self, models: dict[str, Path], host: str, port: int, *, exact: bool) -> None:
        self.base_url = ""
        self._models = {name: _ModelProcess(path, exact=exact) for name, path in models.items()}
        self._address = (host, port)
        self._created = int(time.time())
        self._ready = threading.Event()
        self._error: OSError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="ftgate-engine", daemon=True)

    def __enter__(self) -> Self:
        """Return the engine, which runs already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop serving."""
        self.close()

    def start(self) -> None:
        """Listen; returns once requests are answered.

        Raises:
            RunError: The address cannot be had.
        """
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            host, port = self._address
            self._thread.join()
            raise RunError(
                f"{host}:{port}: cannot listen ({self._error.strerror}); choose another port."
            )

    def close(self) -> None:
        """Stop the server and every model's process; requests in flight get an error."""
        if self._loop is not None and self._closing is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_errors_as_json])
        app.add_routes([
            web.get("/v1/models", self._list_models),
            web.post("/v1/chat/completions", self._complete),
        ])  # fmt: skip
        # Handlers are cancelled when their client goes, so that the model stops working for it.
        runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=STOP_S
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, *self._address).start()
            host, port = runner.addresses[0][:2]
            self.base_url = f"http://{host}:{port}/v1"
            self._ready.set()
            await self._closing.wait()
        except OSError as error:
            self._error = error
        finally:
            await asyncio.gather(*(model.close() for model in self._models.values()))
            await runner.cleanup()
            self._ready.set()

    async def _list_models(self, _: web.Request) -> web.Response:
        card = {"object": "model", "created": self._created, "owned_by": "ftgate"}
        served = [{"id": name} | card for name in self._models]
        return web.json_response({"object": "list", "data": served})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        asked = parse_chat_request(await request.read())
        model = self._models.get(asked.model)
        if model is None:
            served = ", ".join(self._models)
            raise ChatError(
                f"The model {asked.model!r} does not exist; served are: {served}.",
                status=404, param="model", code="model_not_found",
            )  # fmt: skip
        async with aclosing(model.answer(asked)) as pieces:
            # An error before the first piece is an ordinary one, with its status.
            first = await anext(pieces)
            if isinstance(first, Answer) and not asked.stream:
                return web.json_response(completion_body(asked, first))
            return await _stream(request, ChunkWriter(asked), first, pieces)


async def _stream(
    request: web.Request,
    writer: ChunkWriter,
    first: str | Answer,
    pieces: AsyncGenerator[str | Answer, None],
) -> web.StreamResponse:
    """Send an answer as server-sent events, piece by piece."""
    reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await reply.prepare(request)
    said, piece = "", first
    try:
        while not isinstance(piece, Answer):
            await reply.write(writer.piece(piece, first=not said))
            said, piece = said + piece, await anext(pieces)
        if rest := piece.text[len(said) :]:
            await reply.write(writer.piece(rest, first=not said))
        await reply.write(writer.ending(piece))
    except ChatError as error:
        await reply.write(writer.error(error))
    return reply


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ChatError as error:
        return web.json_response(error.body(), status=error.status)
    except web.HTTPException as error:  # no such path, wrong method, body too large
        told = ChatError(f"{request.method} {request.path}: {error.reason}.", status=error.status)
        return web.json_response(told.body(), status=error.status)


class _ModelProcess:
    """One model: its process, and the requests that wait for it. Lives in the engine's loop."""

    def __init__(self, path: Path, *, exact: bool) -> None:
        self._path, self._mode = path, "exact" if exact else "fast"
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._waiting: dict[int, asyncio.Queue[dict[str, Any]]] = {}
        self._ids = itertools.count(1)
        self._fingerprint = ""
        self._closed = False

    async def answer(self, request: ChatRequest) -> AsyncGenerator[str | Answer, None]:
        """Yield the pieces of a streamed answer as they come, and at the end the answer.

        Raises:
            ChatError: The engine refuses it, or failed.
        """
        async with self._starting:
            process = self._process or await self._start()
        job_id, ended = next(self._ids), False
        said = self._waiting[job_id] = asyncio.Queue()
        _send(process, {"id": job_id} | request.job())
        try:
            while "piece" in (message := await said.get()):
                yield message["piece"]
            ended = True
        finally:
            del self._waiting[job_id]
            if not ended:  # whoever asked is gone
                _send(process, {"cancel": job_id})
        if "error" in message:
            raise ChatError(message["error"], status=message["status"])
        yield Answer(
            text=message["text"], finish_reason=message["finish_reason"], fingerprint=self._fingerprint,
            prompt_tokens=message["prompt_tokens"], completion_tokens=message["completion_tokens"],
        )  # fmt: skip

    async def close(self) -> None:
        """End the process; it ends by itself once its input does."""
        self._closed = True
        process, reading = self._process, self._reading
        if process is None or reading is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            await asyncio.wait_for(asyncio.shield(reading), STOP_S)
        except asyncio.TimeoutError:
            process.kill()
            await reading

    async def _start(self) -> asyncio.subprocess.Process:
        if self._closed:
            raise ChatError("The engine is closing.", status=503)
        paths = [str(IMPORT_ROOT), os.environ.get("PYTHONPATH", "")]
        env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        env["FTGATE_NO_AUTOLOAD"] = "1"  # the process needs no lm-eval
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", WORKER_MODULE, str(self._path), self._mode, env=env,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL, limit=MAX_BODY_BYTES,
        )  # fmt: skip
        self._process, self._reading = process, asyncio.create_task(self._read(process))
        return process

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Hand the process's lines to whoever waits; at its end tell those that still wait."""
        reason = ""
        assert process.stdout is not None  # noqa: S101 - it was started with a pipe
        async for line in process.stdout:
            said = json.loads(line)
            self._fingerprint = said.get("ready", self._fingerprint)
            reason = said.get("fatal", reason)
            self._settle(said.get("id"), said)
        code = await process.wait()
        self._process = None
        ended = f"the engine's process ended with code {code}"
        error = f"{self._path.name}: {reason or ended}."
        for job_id in list(self._waiting):
            self._settle(job_id, {"error": error, "status": 500})

    def _settle(self, job_id: int | None, said: dict[str, Any]) -> None:
        waiting = self._waiting.get(job_id) if job_id is not None else None
        if waiting is not None:
            waiting.put_nowait(said)


def _send(process: asyncio.subprocess.Process, message: dict[str, Any]) -> None:
    if process.stdin is not None and not process.stdin.is_closing():
        process.stdin.write(json.dumps(message).encode() + b"\n")


def main(argv: list[str] | None = None) -> int:
    """Serve the models that the command line names until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m ftgate_ext.inference.engine")
    parser.add_argument(
        "--model", action="append", required=True, metavar="NAME=FILE.gguf", help="repeatable"
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument(
        "--fast", action="store_true", help="twice the speed; answers may change with the load"
    )
    options = parser.parse_args(argv)
    pairs = [named.partition("=") for named in options.model]
    if bad := [name for name, _, path in pairs if not name or not path]:
        parser.error(f"--model {bad[0]!r}: expected NAME=FILE.gguf")
    models = {name: Path(path) for name, _, path in pairs}
    try:
        with serve(models, port=options.port, exact=not options.fast) as engine:
            sys.stdout.write(f"base_url={engine.base_url}\nmodels: {', '.join(models)}\n")
            sys.stdout.flush()
            threading.Event().wait()
    except KeyboardInterrupt:
        return 0
    except FtgateError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
