"""Ask an OpenAI-compatible chat endpoint: one async path for models and judge.

In: an endpoint and requests. Out: one `Response` a request, whatever happens to it. Knows nothing
of lm-eval, of scores or of run folders.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import aiohttp

from ftgate_ext.inference.journal import request_hash
from ftgate_ext.schema import Price, Response, ResponseStatus, RunError, ServedModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.inference.journal import Journal

T = TypeVar("T")

HTTP_OK = 200
CAN_HEAL = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
MAX_BACKOFF_S = 30.0
MAX_RETRY_AFTER_S = 120.0
ERROR_CHARS = 200

OnResponse = Callable[[Response, bool], None]
"""Called with every response and whether it came from the journal."""


@dataclass(frozen=True)
class Endpoint:
    """Whom to ask, how fast and at what price."""

    base_url: str
    model: str
    api_key_env: str | None = None
    concurrency: int = 16
    timeout_s: float = 300
    max_attempts: int = 5
    price: Price = field(default_factory=Price)

    def headers(self) -> dict[str, str]:
        """HTTP headers with the key, read from the environment now and kept nowhere.

        Raises:
            RunError: `api_key_env` names a variable that is not set, or that holds no key.
        """
        name = self._key_variable()
        key = self._key()
        if not key and self.api_key_env is not None:
            raise RunError(
                f"{self.base_url}: environment variable {name} is not set; export the key in it."
            )
        if not key.isprintable():
            raise RunError(
                f"{self.base_url}: environment variable {name} holds a line break or a control character; expected one key."
            )
        return {"Authorization": f"Bearer {key}"} if key else {}

    def quote(self, said: bytes) -> str:
        """The beginning of what the server said, in one line, without the key it may repeat."""
        text, key = said.decode("utf-8", "replace"), self._key()
        text = " ".join((text.replace(key, "***") if key else text).split())
        return "".join(c for c in text[:ERROR_CHARS] if c.isprintable())

    def http_error(self, status: int, said: bytes) -> str:
        """Status and reason of a refusal, in one line."""
        try:
            reason = str(json.loads(said)["error"]["message"]).encode("utf-8", "replace")
        except (ValueError, KeyError, TypeError, RecursionError):
            reason = said
        return f"HTTP {status}: {self.quote(reason)}"

    def _key_variable(self) -> str:
        if self.api_key_env is not None:
            return self.api_key_env
        # A key must never go to a host that it was not made for.
        host = urlsplit(self.base_url).hostname or ""
        at_openai = host == "openai.com" or host.endswith(".openai.com")
        return "OPENAI_API_KEY" if at_openai else "FTGATE_API_KEY"

    def _key(self) -> str:
        return os.environ.get(self._key_variable(), "").strip()

    def cost_usd(
        self, latency_s: float, input_tokens: int | None, output_tokens: int | None
    ) -> float | None:
        """US dollars of one request, or None where price or tokens are unknown.

        On a machine paid by the hour a request costs the share of the machine that it held: its
        seconds in flight divided by the requests in flight.
        """
        price = self.price
        if price.hourly_usd is not None:
            return price.hourly_usd / 3600 * latency_s / self.concurrency
        if price.input_usd_per_mtok is None or price.output_usd_per_mtok is None:
            return None
        if input_tokens is None or output_tokens is None:
            return None
        return (
            input_tokens * price.input_usd_per_mtok + output_tokens * price.output_usd_per_mtok
        ) / 1e6


@dataclass
class Request:
    """One question: what to send, and what it belongs to."""

    case_id: str
    task: str
    prompt_hash: str
    payload: dict[str, Any]
    """Messages and sampling parameters, without the model's name."""
    occurrence: int = 0
    stop: list[str] = field(default_factory=list)
    """Where the text is cut on our side, for servers that take fewer stop sequences."""


class _TryAgain(Exception):  # noqa: N818 - no error of the user
    """This attempt failed in a way that may heal."""

    def __init__(
        self, why: str, wait_s: float | None = None, status: ResponseStatus = "failed"
    ) -> None:
        super().__init__(why)
        self.why, self.wait_s, self.status = why, wait_s, status


class _GiveUp(Exception):  # noqa: N818 - no error of the user
    """This request will never be answered."""


def ask_all(
    endpoint: Endpoint,
    requests: Sequence[Request],
    journal: Journal | None = None,
    on_response: OnResponse | None = None,
) -> list[Response]:
    """Ask everything that the journal does not hold, and return the responses in order.

    A request that fails for good becomes a `failed` or `malformed` response; it never raises.

    Raises:
        RunError: The key is missing, or the journal cannot be written.
    """
    return run_to_end(_ask_all(endpoint, requests, journal, on_response))


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` from plain code, also where an event loop already runs in this thread: a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, work).result()


async def _ask_all(
    endpoint: Endpoint,
    requests: Sequence[Request],
    journal: Journal | None,
    on_response: OnResponse | None,
) -> list[Response]:
    answers: list[Response | None] = [None] * len(requests)
    waiting = iter(enumerate(requests))
    connector = aiohttp.TCPConnector(limit=endpoint.concurrency)
    timeout = aiohttp.ClientTimeout(total=endpoint.timeout_s)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, headers=endpoint.headers()
    ) as session:

        async def work() -> None:
            for index, request in waiting:
                key = request_hash(endpoint.model, request.task, request.payload)
                known = journal.find(key, request.occurrence) if journal else None
                response = known or await _ask(session, endpoint, request, key)
                if journal and not known:
                    journal.append(response)
                if on_response:
                    on_response(response, known is not None)
                answers[index] = response

        workers = [
            asyncio.create_task(work()) for _ in range(min(endpoint.concurrency, len(requests)))
        ]
        try:
            await asyncio.gather(*workers)
        except BaseException:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            raise
    return [a for a in answers if a is not None]


async def _ask(
    session: aiohttp.ClientSession, endpoint: Endpoint, request: Request, key: str
) -> Response:
    """One request with its attempts -> its response."""
    status: ResponseStatus = "failed"
    for attempt in range(1, endpoint.max_attempts + 1):
        started = time.perf_counter()
        try:
            body = await _attempt(session, endpoint, request)
            latency_s = time.perf_counter() - started
            return _response(
                endpoint, request, key, body=body, latency_s=latency_s, attempts=attempt
            )
        except _TryAgain as again:
            why, status = again.why, again.status
            if attempt < endpoint.max_attempts:
                await asyncio.sleep(_backoff_s(attempt) if again.wait_s is None else again.wait_s)
        except _GiveUp as end:
            why, status = str(end), "failed"
            break
    return _response(endpoint, request, key, error=why, status=status, attempts=attempt)


def _backoff_s(attempt: int) -> float:
    """Exponential backoff with full jitter."""
    return random.uniform(0.5, 1.0) * min(MAX_BACKOFF_S, 0.5 * 2.0**attempt)


async def _attempt(
    session: aiohttp.ClientSession, endpoint: Endpoint, request: Request
) -> dict[str, Any]:
    """Send once; return the decoded chat completion.

    Raises:
        _TryAgain: Overload, server fault, transport fault, timeout, or an answer that is none.
        _GiveUp: The server rejects the request itself.
    """
    payload = {"model": endpoint.model, **request.payload}
    try:
        async with session.post(f"{endpoint.base_url}/chat/completions", json=payload) as reply:
            raw = await reply.read()
            if reply.status in CAN_HEAL:
                wait_s = _retry_after_s(reply.headers.get("Retry-After"))
                raise _TryAgain(endpoint.http_error(reply.status, raw), wait_s)
            if reply.status != HTTP_OK:
                raise _GiveUp(endpoint.http_error(reply.status, raw))
    except asyncio.TimeoutError:
        raise _TryAgain(f"no answer within {endpoint.timeout_s:g} s") from None
    except (aiohttp.ClientError, OSError) as error:
        raise _TryAgain(f"connection failed ({type(error).__name__})") from None
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        why = f"HTTP 200 without JSON: {endpoint.quote(raw)}"
        raise _TryAgain(why, status="malformed") from None
    if not _is_completion(body):
        raise _TryAgain(f"HTTP 200 without choices: {endpoint.quote(raw)}", status="malformed")
    return dict(body)


def _is_completion(body: Any) -> bool:
    choices = body.get("choices") if isinstance(body, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    return isinstance(message, dict) and isinstance(message.get("content"), str | None)


def _retry_after_s(header: str | None) -> float | None:
    """Seconds to wait that a server asks for, as a number or an HTTP date; at most two minutes."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(header) - datetime.now(timezone.utc)).total_seconds()
        except (TypeError, ValueError):
            return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _response(
    endpoint: Endpoint,
    request: Request,
    key: str,
    *,
    body: dict[str, Any] | None = None,
    latency_s: float | None = None,
    attempts: int,
    error: str | None = None,
    status: ResponseStatus = "failed",
) -> Response:
    record = Response(
        case_id=request.case_id, task=request.task, prompt_hash=request.prompt_hash,
        occurrence=request.occurrence, request_hash=key, model_asked=endpoint.model, status=status,
        attempts=attempts, concurrency=endpoint.concurrency, error=error,
        finished_at=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
    )  # fmt: skip
    if body is None or latency_s is None:
        return record
    choice, usage = body["choices"][0], body.get("usage")
    text = _cut(_writable(choice["message"].get("content")) or "", request.stop)
    tokens_in, tokens_out = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    return record.model_copy(
        update={
            "text": text,
            "status": _status(choice, text),
            "model_answered": _writable(body.get("model")),
            "system_fingerprint": _writable(body.get("system_fingerprint")),
            "finish_reason": _writable(choice.get("finish_reason")),
            "latency_s": round(latency_s, 6),
            "input_tokens": tokens_in,
            "output_tokens": tokens_out,
            "cost_usd": endpoint.cost_usd(latency_s, tokens_in, tokens_out),
        }
    )


def _writable(value: Any) -> str | None:
    """A text as it can be written to a file: half a character (a lone surrogate) becomes `?`."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None


def _count(usage: Any, name: str) -> int | None:
    """A token count of the server, or None where it gives none."""
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _cut(text: str, stops: list[str]) -> str:
    ends = [at for stop in stops if stop and (at := text.find(stop)) != -1]
    return text[: min(ends)] if ends else text


def _status(choice: dict[str, Any], text: str) -> ResponseStatus:
    if choice.get("finish_reason") == "content_filter":
        return "refused_by_provider"
    if not text.strip():
        return "empty"
    return "truncated" if choice.get("finish_reason") == "length" else "ok"


def check_endpoint(endpoint: Endpoint, timeout_s: float = 10) -> ServedModel:
    """Ask the server which models it serves, before anything is spent.

    Raises:
        RunError: It cannot be reached, refuses the key, or does not serve the model.
    """
    served = run_to_end(list_models(endpoint, timeout_s))
    if endpoint.model not in served:
        shown = ", ".join(repr(s) for s in served[:8]) or "none"
        raise RunError(
            f"{endpoint.base_url}/models: the server does not serve model {endpoint.model!r}; it serves {shown}. Mend `model`."
        )
    return ServedModel(endpoint=endpoint.base_url, model=endpoint.model, served_models=served)


async def list_models(endpoint: Endpoint, timeout_s: float) -> list[str]:
    """The names that a server serves.

    Raises:
        RunError: It cannot be reached, refuses the key, or is no OpenAI-compatible server.
    """
    url = f"{endpoint.base_url}/models"
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=endpoint.headers()) as session,
            session.get(url) as reply,
        ):
            raw, status = await reply.read(), reply.status
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
        raise RunError(
            f"{url}: no answer ({type(error).__name__}); expected an OpenAI-compatible server. Start it or mend `endpoint`."
        ) from None
    if status in (401, 403):
        raise RunError(
            f"{url}: {endpoint.http_error(status, raw)}; the server refuses the key. Set `api_key_env`."
        )
    try:
        return [str(m["id"]) for m in json.loads(raw)["data"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RunError(
            f"{url}: HTTP {status} without a model list; expected an OpenAI-compatible server (base URL ending in /v1)."
        ) from None
