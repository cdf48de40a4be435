"""A trace in memory: spans with events, and ids that are the same whenever a run is traced."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Value = str | int | float | bool | list[str]
"""What an attribute may hold."""
Attributes = dict[str, Value]
Kind = Literal["internal", "client"]

NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class Event:
    """Something that was found out about a span."""

    name: str
    time_ns: int
    attributes: Attributes


@dataclass(frozen=True)
class Span:
    """One operation; times are nanoseconds since 1970, UTC."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    parent_id: str | None
    name: str
    kind: Kind
    start_ns: int
    end_ns: int
    attributes: Attributes
    events: list[Event] = field(default_factory=list)
    error: str | None = None
    """Why it failed, empty where that may not be told; None where it did not."""
    links: list[tuple[str, str]] = field(default_factory=list)
    """Trace and span of other traces that belong to it."""


def make_trace_id(*parts: str) -> str:
    """The id of the trace of these parts: sending a run twice overwrites, and does not double."""
    return _digest(16, parts)


def make_span_id(trace_id: str, *parts: str) -> str:
    """The id of a span within its trace."""
    return _digest(8, (trace_id, *parts))


def _digest(size: int, parts: tuple[str, ...]) -> str:
    # All zeros mean "no id"; sha256 will not give that.
    text = json.dumps(parts).encode()
    return hashlib.sha256(text).hexdigest()[: 2 * size]


def to_ns(moment: str) -> int:
    """ISO 8601 -> nanoseconds since 1970."""
    read = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return round(read.timestamp() * 1_000_000) * 1000
