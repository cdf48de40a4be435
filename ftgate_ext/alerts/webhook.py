"""One POST to a webhook, with patience. Its URL is a secret: no message and no file holds it."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ftgate_ext.schema import RunError

if TYPE_CHECKING:
    from aiohttp import ClientSession

ATTEMPTS = 4
BACKOFF_S = 1.0
"""Before the second attempt; twice as much before each further one."""
MAX_WAIT_S = 20.0
"""A server may ask for that much patience, and no more."""
TIMEOUT_S = 10.0
"""For one attempt."""
TOO_MANY, BROKEN = 429, 500
OK = range(200, 300)


def webhook_url(name: str) -> str:
    """The URL in an environment variable.

    Raises:
        RunError: It is not set, or is no http(s) URL.
    """
    url = os.environ.get(name, "").strip()
    if not url:
        raise RunError(f"{name}: the environment variable with the webhook's URL is not set.")
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        fits = False
    if not fits:
        raise RunError(f"{name}: holds no http(s) URL.")
    return url


def post(url: str, payload: dict[str, Any], name: str) -> None:
    """Deliver; again after 429, 5xx and lost connections.

    Args:
        url: Of the webhook.
        payload: The body.
        name: What errors call it: the environment variable.

    Raises:
        RunError: Nobody took it.
    """
    why = asyncio.run(_post(url, payload))
    if why:
        raise RunError(f"the webhook of {name} {why}; it will be tried again next time.")


async def _post(url: str, payload: dict[str, Any]) -> str | None:
    """Why it was not delivered."""
    import aiohttp

    why: str | None = None
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
        for attempt in range(ATTEMPTS):
            wait = BACKOFF_S * 2**attempt
            try:
                status, asked = await _once(session, url, payload)
            except (aiohttp.ClientError, TimeoutError, asyncio.TimeoutError, OSError, ValueError):
                why = "does not answer"
            else:
                if status in OK:
                    return None
                why = f"answered HTTP {status}"
                if status != TOO_MANY and status < BROKEN:
                    return why
                wait = min(max(wait, asked), MAX_WAIT_S)
            if attempt + 1 < ATTEMPTS:
                await asyncio.sleep(wait)
    return f"{why} ({ATTEMPTS} attempts)"


async def _once(session: ClientSession, url: str, payload: dict[str, Any]) -> tuple[int, float]:
    """Status, and the seconds that the server asks to wait. No redirect is followed."""
    async with session.post(url, json=payload, allow_redirects=False) as answer:
        asked = answer.headers.get("Retry-After", "")
        return answer.status, float(asked) if asked.isdecimal() else 0.0
