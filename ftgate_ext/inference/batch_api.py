"""The calls of OpenAI's Batch API that are needed, through OpenAI's own library.

Bytes and ids in, states and lines out. Knows nothing of judges, journals or retries of requests.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ftgate_ext.inference.retry import backoff_s
from ftgate_ext.schema import RunError, RunStopped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai import APIError
    from openai.types import Batch

    from ftgate_ext.inference.endpoint import Endpoint

CHAT: Literal["/v1/chat/completions"] = "/v1/chat/completions"
KEY = "ftgate_key"
"""Metadata under which a batch is found again whose id was lost."""
LISTED = 100
"""Batches on one page of the list."""
CLOCKS_APART_S = 3600
"""By how much the server's clock may differ from ours."""
CREATE_ATTEMPTS = 4
RETRIES = 4
"""Of calls that may be repeated without harm."""
OVER = frozenset({"completed", "expired", "failed", "cancelled"})
NO_SUCH_PATH = frozenset({404, 405, 501})


@dataclass(frozen=True)
class BatchState:
    """What the server says about a batch."""

    id: str
    status: str
    n_done: int = 0
    n_failed: int = 0
    n_total: int = 0
    files: tuple[str, ...] = ()
    """With its results: the answered requests, then the others."""
    code: str = ""
    """Of the first problem, where the whole batch was refused."""
    problem: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.status in OVER


class BatchApi:
    """One endpoint's files and batches."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Prepare to call; nothing is sent.

        Raises:
            RunError: The library is not installed, or the key is missing.
        """
        try:
            import openai
        except ImportError:
            raise RunError(
                "--batch needs the package openai; pip install 'ftgate-ext[batch]', or judge without --batch."
            ) from None
        self._openai, self._endpoint = openai, endpoint
        bearer = endpoint.headers().get("Authorization", "")
        self._client = openai.OpenAI(
            # Without a key the library would look for one that was made for another host.
            api_key=bearer.removeprefix("Bearer ") or "EMPTY", base_url=endpoint.base_url,
            timeout=endpoint.timeout_s, max_retries=RETRIES,
        )  # fmt: skip

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def upload(self, lines: bytes, name: str) -> str:
        """Upload the requests, one JSON object a line; the id of the file."""
        with self._told():
            return self._client.files.create(file=(name, lines), purpose="batch").id

    def create(self, file_id: str, key: str, since: float) -> BatchState:
        """Create a batch, once: where the answer is lost, it is looked for before it is created again.

        Args:
            file_id: Of the uploaded requests.
            key: A name that no other batch has.
            since: Seconds since the epoch before which it did not exist.
        """
        with self._told():
            error: APIError
            for attempt in range(1, CREATE_ATTEMPTS + 1):
                try:
                    return _state(
                        self._client.with_options(max_retries=0).batches.create(
                            input_file_id=file_id, endpoint=CHAT, completion_window="24h", metadata={KEY: key}
                        )
                    )  # fmt: skip
                except (
                    self._openai.APIConnectionError,
                    self._openai.InternalServerError,
                    self._openai.RateLimitError,
                ) as lost:
                    error = lost
                time.sleep(backoff_s(attempt))
                if found := self.find(key, since):
                    return found
            raise error

    def find(self, key: str, since: float) -> BatchState | None:
        """The batch of that name, where there is one."""
        with self._told():
            for batch in self._client.batches.list(limit=LISTED):
                if (batch.metadata or {}).get(KEY) == key:
                    return _state(batch)
                if batch.created_at < since - CLOCKS_APART_S:
                    return None  # the newest stand first
        return None

    def look(self, batch_id: str) -> BatchState:
        """How far a batch is."""
        with self._told(f"batch {batch_id} is not known there; use the key of the project that sent it, or move judge_batches.jsonl away to ask anew"):  # fmt: skip
            return _state(self._client.batches.retrieve(batch_id))

    def read(self, file_id: str) -> Iterator[dict[str, Any]]:
        """The lines of a file of results; what is no JSON object is passed over."""
        with self._told():
            raw = self._client.files.content(file_id).read()
        for line in raw.splitlines():
            try:
                content = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(content, dict):
                yield content

    @contextmanager
    def _told(
        self, absent: str = "the server has no Batch API; judge without --batch"
    ) -> Iterator[None]:
        """What the library raises, as one line for the user; with what it means that nothing is there."""
        url = self._endpoint.base_url
        try:
            yield
        except self._openai.APIStatusError as error:
            said = self._endpoint.http_error(error.status_code, error.response.content)
            if error.status_code in NO_SUCH_PATH:
                todo = absent
            elif error.status_code in (401, 403):
                todo = "the server refuses the key; mend `api_key_env`"
            else:
                todo = "run the same command again to go on"
            raise RunError(f"{url}: {said}; {todo}.") from None
        except self._openai.APIError as error:
            kind = type(error).__name__
            raise RunStopped(
                f"{url}: no answer ({kind}); run the same command again to go on."
            ) from None


def _state(batch: Batch) -> BatchState:
    counts = batch.request_counts
    problems = (batch.errors.data if batch.errors else None) or []
    first = problems[0] if problems else None
    where = f"line {first.line}: " if first and first.line else ""
    return BatchState(
        id=batch.id, status=batch.status, n_done=counts.completed if counts else 0,
        n_failed=counts.failed if counts else 0, n_total=counts.total if counts else 0,
        files=tuple(f for f in (batch.output_file_id, batch.error_file_id) if f),
        code=(first.code or "") if first else "",
        problem=f"{where}{first.message or first.code}" if first else "",
    )  # fmt: skip
