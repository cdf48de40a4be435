"""`latency.json`: how the models of a run were measured in turn, request by request."""

from __future__ import annotations

from pydantic import Field

from ftgate_ext.schema.row import FORMAT_VERSION, Role, Row


class LatencyRun(Row):
    """`latency.json`, beside `<role>/latency.jsonl` with one response a request."""

    format_version: int = FORMAT_VERSION
    began_at: str
    """ISO 8601, UTC."""
    finished_at: str | None = None
    """None while requests are unanswered: the same command goes on."""
    concurrency: int
    """Requests in flight to one model, and to one model at a time."""
    is_streamed: bool = False
    """Whether answers were streamed, so that the first token was timed."""
    roles: list[Role]
    """The models that took turns."""
    absent: dict[Role, str] = Field(default_factory=dict)
    """Role -> why it was not measured."""
    n_cases: dict[str, int]
    """Task -> cases that every model was asked."""
