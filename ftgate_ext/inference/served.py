"""Which models a server serves: asked before anything is spent."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp

from ftgate_ext.inference.replicas import model_names
from ftgate_ext.schema import RunError, ServedModel

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from ftgate_ext.inference.endpoint import Endpoint

T = TypeVar("T")


class _DownError(RunError):
    """Nothing that answers for a model is there."""


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` from plain code, also where an event loop already runs in this thread: a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, work).result()


def check_endpoint(endpoint: Endpoint, timeout_s: float = 10) -> ServedModel:
    """Ask every server of the model which models it serves, before anything is spent.

    Returns:
        What the first server that is up said, with a warning for each one that is down.

    Raises:
        RunError: None can be reached; or one refuses the key, or does not serve the model.
    """
    found = run_to_end(_ask_each(endpoint, timeout_s))
    served: list[str] | None = None
    warnings: list[str] = []
    for url, names in zip(endpoint.urls, found, strict=True):
        if isinstance(names, _DownError):
            warnings.append(str(names))
            continue
        if isinstance(names, RunError):
            raise names
        if endpoint.model not in names:
            shown = ", ".join(repr(s) for s in names[:8]) or "none"
            raise RunError(
                f"{url}/models: the server does not serve model {endpoint.model!r}; it serves {shown}. Mend `model`."
            )
        served = names if served is None else served
    if served is None:
        raise RunError(warnings[0])
    return ServedModel(
        endpoint=endpoint.where, model=endpoint.model, served_models=served, warnings=warnings
    )


async def _ask_each(endpoint: Endpoint, timeout_s: float) -> list[list[str] | RunError]:
    async def ask(url: str) -> list[str] | RunError:
        try:
            return await list_models(endpoint, timeout_s, url)
        except RunError as error:
            return error

    return await asyncio.gather(*(ask(url) for url in endpoint.urls))


async def list_models(
    endpoint: Endpoint, timeout_s: float, base_url: str | None = None
) -> list[str]:
    """The names that a server serves.

    Args:
        endpoint: Whom to ask.
        timeout_s: Seconds that the answer may take.
        base_url: Which of its servers; the first when left out.

    Raises:
        RunError: It cannot be reached, refuses the key, or is no OpenAI-compatible server.
    """
    base_url = base_url or endpoint.base_url
    url, headers = f"{base_url}/models", endpoint.headers(base_url)
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            session.get(url) as reply,
        ):
            raw, status = await reply.read(), reply.status
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
        raise _DownError(
            f"{url}: no answer ({type(error).__name__}); expected an OpenAI-compatible server. Start it or mend `endpoint`."
        ) from None
    if status in (401, 403):
        raise RunError(
            f"{url}: {endpoint.http_error(status, raw)}; the server refuses the key. Set `api_key_env`."
        )
    names = model_names(raw)
    if names is None:
        kind = _DownError if status >= 500 else RunError
        raise kind(
            f"{url}: HTTP {status} without a model list; expected an OpenAI-compatible server (base URL ending in /v1)."
        )
    return [endpoint.hide_key(name) for name in names]
