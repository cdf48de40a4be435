"""Scores -> annotations of a Phoenix server, where they can be sorted, filtered and averaged.

Phoenix shows the events of a span, but takes its columns from annotations. One name on one span of
one run is one annotation: sent twice, it is written over.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ftgate_ext.traces import names
from ftgate_ext.traces.send import NotSentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ftgate_ext.traces.spans import Span

PATH = "/v1/span_annotations"
ANNOTATIONS_A_REQUEST = 500
TIMEOUT_S = 30.0
API_KEY = "PHOENIX_API_KEY"
REFUSED = 400


def annotations_of(spans: Iterable[Span]) -> Iterator[dict[str, Any]]:
    """What Phoenix takes, one a score or verdict."""
    for span in spans:
        for event in span.events:
            if event.name != names.EVALUATION_EVENT or names.ERROR_TYPE in event.attributes:
                continue
            given = {
                "score": event.attributes.get(names.EVALUATION_VALUE),
                "label": event.attributes.get(names.EVALUATION_LABEL),
                "explanation": event.attributes.get(names.EVALUATION_EXPLANATION),
            }
            result = {name: value for name, value in given.items() if value is not None}
            judged = names.FIRST in event.attributes
            seen_first = str(event.attributes.get(names.FIRST, ""))
            yield {
                "span_id": span.span_id, "name": event.attributes[names.EVALUATION_NAME],
                "annotator_kind": "LLM" if judged else "CODE", "result": result,
                "identifier": " ".join([str(span.attributes[names.EVAL_RUN_ID]), seen_first]).strip(),
            }  # fmt: skip


def annotate(spans: Iterable[Span], url: str, key: str | None) -> int:
    """Put the scores of spans that Phoenix has onto them; returns how many.

    Args:
        spans: Those that were sent.
        url: Base URL of the server, or its OTLP endpoint.
        key: The server's API key, where it wants one.

    Raises:
        NotSentError: The server did not take them.
    """
    base = url.removesuffix("/v1/traces").rstrip("/")
    return asyncio.run(_annotate(spans, base + PATH, key))


async def _annotate(spans: Iterable[Span], url: str, key: str | None) -> int:
    import aiohttp

    parts = urlsplit(url)
    place, sent, left = (
        f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
        0,
        annotations_of(spans),
    )
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    session = aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), headers=headers, trust_env=True
    )
    async with session:
        while batch := list(islice(left, ANNOTATIONS_A_REQUEST)):
            try:
                async with session.post(url, json={"data": batch}, allow_redirects=False) as answer:
                    status = answer.status
            except (aiohttp.ClientError, TimeoutError, OSError):
                raise NotSentError(f"{place} does not take annotations; is it Phoenix?") from None
            if status >= REFUSED:
                raise NotSentError(f"{place}{PATH} answered HTTP {status}; is it Phoenix?")
            sent += len(batch)
    return sent
