"""Traces -> OTLP JSON, one trace a line: what the collector's otlpjsonfile receiver reads.

In this encoding ids are hexadecimal, enumerations are numbers and 64-bit integers are strings.
Source: the OTLP specification 1.7, "JSON Protobuf Encoding".
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pydantic_core import to_json

from ftgate_ext import __version__
from ftgate_ext.schema import RunError
from ftgate_ext.traces import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ftgate_ext.traces.spans import Attributes, Event, Span, Value

KINDS = {"internal": 1, "client": 3}
STATUS_ERROR = 2
SCOPE = "ftgate_ext.traces"
SERVICE = "ftgate"


def resource_of(policy_name: str, run_id: str) -> Attributes:
    """What all traces of a run share; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES count.

    Args:
        policy_name: Phoenix makes a project of it.
        run_id: Of the run.
    """
    found: Attributes = {
        names.SERVICE_NAME: SERVICE, names.SERVICE_VERSION: __version__,
        names.PHOENIX_PROJECT: policy_name, names.EVAL_RUN_ID: run_id,
    }  # fmt: skip
    for pair in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        name, sign, value = pair.partition("=")
        if sign and name.strip():
            found[unquote(name.strip())] = unquote(value.strip())
    if service := os.environ.get("OTEL_SERVICE_NAME"):
        found[names.SERVICE_NAME] = service
    return found


def write_traces(path: Path, traces: Iterable[list[Span]], resource: Attributes) -> Iterator[Span]:
    """Write every trace to a file, and hand its spans on; the file is there whole or not at all.

    Raises:
        RunError: The folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            for trace in traces:
                file.write(to_line(trace, resource))
                yield from trace
        temporary.replace(path)
    except OSError as error:
        raise RunError(
            f"{path}: traces cannot be written ({error.strerror}); choose another place with --to."
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def to_line(trace: list[Span], resource: Attributes) -> bytes:
    """One line of the file: the TracesData of one trace."""
    scope = {"name": SCOPE, "version": __version__}
    spans = {"scope": scope, "spans": list(map(_span, trace)), "schemaUrl": names.SCHEMA_URL}
    data = {"resource": {"attributes": _attributes(resource)}, "scopeSpans": [spans]}
    return to_json({"resourceSpans": [data]}) + b"\n"


def _span(span: Span) -> dict[str, Any]:
    found = {
        "traceId": span.trace_id, "spanId": span.span_id, "name": span.name,
        "kind": KINDS[span.kind], "startTimeUnixNano": str(span.start_ns),
        "endTimeUnixNano": str(span.end_ns), "attributes": _attributes(span.attributes),
    }  # fmt: skip
    if span.parent_id:
        found["parentSpanId"] = span.parent_id
    if span.events:
        found["events"] = list(map(_event, span.events))
    if span.links:
        found["links"] = [{"traceId": t, "spanId": s} for t, s in span.links]
    if span.error is not None:
        found["status"] = {"code": STATUS_ERROR} | ({"message": span.error} if span.error else {})
    return found


def _event(event: Event) -> dict[str, Any]:
    return {
        "timeUnixNano": str(event.time_ns), "name": event.name,
        "attributes": _attributes(event.attributes),
    }  # fmt: skip


def _attributes(attributes: Attributes) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in attributes.items()]


def _value(value: Value) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [{"stringValue": item} for item in value]}}
    return {"stringValue": value}
