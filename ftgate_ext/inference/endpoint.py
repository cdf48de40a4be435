"""Whom to ask, under which limits, and what a request is. Knows nothing of sending it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlsplit

from ftgate_ext.schema import Price, RunError

ERROR_CHARS = 200
LEAST_KEY_CHARS = 12
"""A shorter key (EMPTY, ollama, password) is a placeholder, and a word that an answer may well hold."""


@dataclass(frozen=True)
class Endpoint:
    """Whom to ask, how fast and at what price; the fields are those of gate.yaml."""

    base_url: str
    model: str
    api_key_env: str | None = None
    concurrency: int = 16
    timeout_s: float = 300
    max_attempts: int = 5
    price: Price = field(default_factory=Price)
    more_urls: tuple[str, ...] = ()
    """Base URLs of further servers of the same model."""
    adaptive: bool = True
    request_budget_s: float = 1800
    budget_s: float | None = None
    budget_usd: float | None = None
    stop_after: int = 20
    stream: bool = False
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None

    @property
    def urls(self) -> tuple[str, ...]:
        """All base URLs that serve the model."""
        return (self.base_url, *self.more_urls)

    @property
    def where(self) -> str:
        """The base URLs in words."""
        return ", ".join(self.urls)

    def headers(self, url: str | None = None) -> dict[str, str]:
        """HTTP headers with the key, read from the environment now and kept nowhere.

        Args:
            url: The one of several base URLs; the first when left out.

        Raises:
            RunError: `api_key_env` names a variable that is not set, or that holds no key.
        """
        url = url or self.base_url
        name = self._key_variable(url)
        key = _key_in(name)
        if not key and self.api_key_env is not None:
            raise RunError(f"{url}: environment variable {name} is not set; export the key in it.")
        if not key.isprintable():
            raise RunError(
                f"{url}: environment variable {name} holds a line break or a control character; expected one key."
            )
        return {"Authorization": f"Bearer {key}"} if key else {}

    def quote(self, said: bytes) -> str:
        """The beginning of what the server said, in one line, without the key it may repeat."""
        text = " ".join(self.hide_key(said.decode("utf-8", "replace"), least_chars=1).split())
        return "".join(c for c in text[:ERROR_CHARS] if c.isprintable())

    def hide_key(self, text: str, least_chars: int = LEAST_KEY_CHARS) -> str:
        """What a server said, with `***` for the key that it repeats.

        An answer is changed too before anything is written or scored: a key in a file is worse.

        Args:
            text: In plain text or within JSON or a URL.
            least_chars: Shorter keys are let through.
        """
        if len(text) < least_chars:
            return text
        for name in self._key_variables:
            key = _key_in(name)
            if len(key) >= least_chars:
                in_json = json.dumps(key)[1:-1]
                for spelled in (key, in_json, in_json.replace("/", "\\/"), quote(key, safe="")):
                    text = text.replace(spelled, "***")
        return text

    def http_error(self, status: int, said: bytes) -> str:
        """Status and reason of a refusal, in one line."""
        try:
            reason = str(json.loads(said)["error"]["message"]).encode("utf-8", "replace")
        except (ValueError, KeyError, TypeError, RecursionError):
            reason = said
        return f"HTTP {status}: {self.quote(reason)}"

    @cached_property
    def _key_variables(self) -> frozenset[str]:
        return frozenset(self._key_variable(url) for url in self.urls)

    def _key_variable(self, url: str) -> str:
        if self.api_key_env is not None:
            return self.api_key_env
        # A key must never go to a host that it was not made for.
        host = urlsplit(url).hostname or ""
        at_openai = host == "openai.com" or host.endswith(".openai.com")
        return "OPENAI_API_KEY" if at_openai else "FTGATE_API_KEY"


def _key_in(variable: str) -> str:
    return os.environ.get(variable, "").strip()


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
    turn: int | None = None
    """Which message of the user in a conversation, from 0; None for a single question."""
