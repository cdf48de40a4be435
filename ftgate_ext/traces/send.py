"""Traces -> an OTLP/HTTP receiver, by OpenTelemetry's own exporter (the extra `otel`).

A receiver that is down or slow costs at most `BUDGET_S`, and is one sentence.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ftgate_ext import __version__
from ftgate_ext.schema import RunError
from ftgate_ext.traces import names
from ftgate_ext.traces.otlp import SCOPE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext
    from requests import Response

    from ftgate_ext.traces.spans import Attributes, Event, Span


class NotSentError(RunError):
    """A receiver did not take what was sent to it; the run itself is well."""


SPANS_A_REQUEST = 256
TIMEOUT_S = 10.0
"""For one request, the exporter's own retries included."""
BUDGET_S = 120.0
"""For all requests of a run."""
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
PATH = "/v1/traces"


def endpoint_of(given: str | None = None) -> str | None:
    """Where traces go, with the path of the signal; None where nobody says.

    Args:
        given: What the user typed: a base URL, or one that ends in /v1/traces.

    Raises:
        RunError: It is no http(s) URL.
    """
    whole = os.environ.get(TRACES_ENDPOINT)
    base = os.environ.get(ENDPOINT)
    url = given or whole or base
    if not url:
        return None
    if not is_url(url):
        source = "--endpoint" if given else TRACES_ENDPOINT if whole else ENDPOINT
        raise RunError(f"{source}: expected a URL such as http://localhost:4318.")
    # The variable of the signal is used as it is; to a base URL its path is added.
    if (whole and not given) or urlsplit(url).path.endswith(PATH):
        return url
    return url.rstrip("/") + PATH


def is_url(text: str) -> bool:
    """Whether this is an http(s) URL with a host, and a port that is one."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def send_spans(spans: Iterable[Span], resource: Attributes, endpoint: str) -> int:
    """Send spans; returns how many were taken.

    Headers, compression and certificates come from OpenTelemetry's environment variables.

    Args:
        spans: Any number; a few hundred are in memory at a time.
        resource: What they share.
        endpoint: From `endpoint_of`.

    Raises:
        NotSentError: The extra is not installed, or the receiver did not take them.
    """
    try:
        import requests
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import SpanExportResult
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    except ImportError:
        raise NotSentError(
            "sending traces needs pip install 'ftgate-ext[otel]'; nothing was sent."
        ) from None
    answers: list[int] = []

    def note(response: Response, *_args: object, **_kwargs: object) -> None:
        answers.append(response.status_code)

    session = requests.Session()
    session.hooks["response"].append(note)
    shared = Resource(dict(resource), names.SCHEMA_URL)
    scope = InstrumentationScope(SCOPE, __version__, names.SCHEMA_URL)
    until, sent, left = time.monotonic() + BUDGET_S, 0, iter(spans)
    with session, _quiet():
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=TIMEOUT_S, session=session)
        while batch := [_readable(s, shared, scope) for s in islice(left, SPANS_A_REQUEST)]:
            in_time = time.monotonic() < until
            answers.clear()
            if not in_time or exporter.export(batch) is not SpanExportResult.SUCCESS:
                why = _why(answers, in_time=in_time)
                raise NotSentError(
                    f"{_place(endpoint)} {why}; {sent} spans were sent. Send again with `ftgate traces`: nothing doubles."
                )
            sent += len(batch)
        exporter.shutdown()
    return sent


def _why(answers: list[int], *, in_time: bool) -> str:
    if not in_time:
        return f"is too slow ({BUDGET_S:.0f} s are over)"
    return f"answered HTTP {answers[-1]}" if answers else "does not answer"


def _place(endpoint: str) -> str:
    """Host and port only: a path or a query may hold a key."""
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter logs every attempt, with the URL; what went wrong is told in one sentence."""
    logger = logging.getLogger("opentelemetry")
    before = logger.disabled, logger.propagate, list(logger.handlers)
    children = [
        child
        for name, child in logging.Logger.manager.loggerDict.items()
        if name.startswith("opentelemetry") and isinstance(child, logging.Logger)
    ]
    states = [(child, child.disabled) for child in children]
    logger.propagate, logger.handlers = False, [logging.NullHandler()]
    for child in children:
        child.disabled = True
    try:
        yield
    finally:
        logger.disabled, logger.propagate, logger.handlers = before
        for child, state in states:
            child.disabled = state


def _readable(span: Span, resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Link, SpanKind
    from opentelemetry.trace.status import Status, StatusCode

    status = Status(StatusCode.UNSET)
    if span.error is not None:
        status = Status(StatusCode.ERROR, span.error or None)
    return ReadableSpan(
        name=span.name, context=_context(span.trace_id, span.span_id),
        parent=_context(span.trace_id, span.parent_id) if span.parent_id else None,
        resource=resource, attributes=dict(span.attributes), events=list(map(_event, span.events)),
        links=[Link(_context(*link)) for link in span.links],
        kind=SpanKind.CLIENT if span.kind == "client" else SpanKind.INTERNAL,
        status=status, start_time=span.start_ns, end_time=span.end_ns, instrumentation_scope=scope,
    )  # fmt: skip


def _event(event: Event) -> object:
    from opentelemetry.sdk.trace import Event as SdkEvent

    return SdkEvent(event.name, dict(event.attributes), event.time_ns)


def _context(trace_id: str, span_id: str) -> SpanContext:
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=TraceFlags(1)
    )
