"""The lines of a batch: requests -> JSONL to upload, and lines of results -> attempts and responses."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from ftgate_ext.inference.attempt import HTTP_OK, Attempt, Blame, blame_of, is_completion
from ftgate_ext.inference.batch_api import CHAT
from ftgate_ext.inference.cost import request_cost_usd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftgate_ext.inference.endpoint import Endpoint, Request
    from ftgate_ext.schema import Response

MOST_BYTES = 190_000_000
"""OpenAI takes 200 MB."""
EXPIRED = "batch_expired"


def custom_id(key: str, request: Request) -> str:
    """The name of a request within batches: the same in every process, and no two are alike."""
    whole = f"{key}\0{request.occurrence}\0{request.case_id}"
    return hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()[:32]


def request_files(model: str, waiting: dict[str, Request], most: int) -> Iterator[dict[str, bytes]]:
    """The requests as JSONL, in as many files as the limits ask for.

    Args:
        model: The model asked.
        waiting: `custom_id` -> what is asked.
        most: So many requests at most in one file.

    Yields:
        `custom_id` -> its line.
    """
    lines: dict[str, bytes] = {}
    size = 0
    for name, request in waiting.items():
        body = {"model": model, **request.payload}
        content = {"custom_id": name, "method": "POST", "url": CHAT, "body": body}
        line = json.dumps(content).encode() + b"\n"
        if lines and (len(lines) >= most or size + len(line) > MOST_BYTES):
            yield lines
            lines, size = {}, 0
        lines[name] = line
        size += len(line)
    if lines:
        yield lines


def attempt_of(endpoint: Endpoint, line: dict[str, Any]) -> Attempt:
    """A line of results as the attempt that it was."""
    error, said = line.get("error"), line.get("response")
    if isinstance(said, dict) and isinstance(said.get("status_code"), int):
        status, body = said["status_code"], said.get("body")
        raw = json.dumps(body).encode()
        if status != HTTP_OK:
            return failed_attempt(
                endpoint, blame_of(status), endpoint.http_error(status, raw), status
            )
        if is_completion(body):
            return Attempt(0.0, 1, endpoint.base_url, http_status=status, completion=body)
        why = f"HTTP 200 without choices: {endpoint.quote(raw)}"
        return failed_attempt(endpoint, "body", why, status)
    error = error if isinstance(error, dict) else {}
    if error.get("code") == EXPIRED:
        return failed_attempt(endpoint, "moment", "the batch expired before its turn")
    told = endpoint.quote(str(error.get("message") or error.get("code") or "no reason").encode())
    return failed_attempt(endpoint, "server", f"failed in the batch: {told}")


def failed_attempt(
    endpoint: Endpoint, blame: Blame, why: str, status: int | None = None
) -> Attempt:
    """A line without an answer; why, in one line."""
    return Attempt(0.0, 1, endpoint.base_url, blame=blame, http_status=status, why=why)


def in_a_batch(endpoint: Endpoint, response: Response) -> Response:
    """The response without what only a direct request has, at the price of batches."""
    price = endpoint.price
    # A machine that is paid by the hour has no price for a batch: its seconds are not known here.
    known = price.is_per_token and not response.tokens_estimated
    usd = request_cost_usd(
        price, latency_s=0, in_flight=1, input_tokens=response.input_tokens,
        cached_tokens=response.cached_input_tokens, output_tokens=response.output_tokens, batch=True,
    ) if known else None  # fmt: skip
    return response.model_copy(update={"latency_s": None, "concurrency": None, "cost_usd": usd})
