"""`ftgate traces`: one run to a file, and to a receiver where there is one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ftgate_ext.policy import load_policy
from ftgate_ext.runs import POLICY_COPY, load_manifest
from ftgate_ext.schema import Row
from ftgate_ext.traces.build import build_traces
from ftgate_ext.traces.otlp import resource_of, write_traces
from ftgate_ext.traces.phoenix import API_KEY, annotate
from ftgate_ext.traces.send import NotSentError, endpoint_of, send_spans

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ftgate_ext.traces.spans import Span

TRACES = "traces.jsonl"


class Traced(Row):
    """What became of the traces of a run."""

    run_id: str
    file: str
    spans: int
    evaluations: int
    content: bool
    """Prompts and answers are in them."""
    sent: int | None = None
    """Spans that the receiver took; None where none is named, or it failed."""
    annotated: int | None = None
    problem: str | None = None
    """Why they were not sent, in one sentence."""


class _Counted:
    """Counts spans that pass by."""

    def __init__(self, spans: Iterator[Span]) -> None:
        self.spans, self.n, self.n_events = spans, 0, 0

    def __iter__(self) -> Iterator[Span]:
        for span in self.spans:
            self.n += 1
            self.n_events += len(span.events)
            yield span


def trace_run(
    run_dir: Path,
    endpoint: str | None = None,
    to: Path | None = None,
    policy_file: Path | None = None,
    *,
    annotations: bool = False,
) -> Traced:
    """Write the traces of a run, and send them where there is a receiver.

    Args:
        run_dir: A run, finished or not.
        endpoint: Base URL of an OTLP/HTTP receiver; OpenTelemetry's variables when left out.
        to: The file; `traces.jsonl` of the run when left out.
        policy_file: Says whether texts may be told; the run's own when left out.
        annotations: The receiver is Phoenix: put the scores onto the spans as annotations too.

    Raises:
        RunError: The run or the endpoint is not as it must be, or the file cannot be written. A
            receiver that fails is told in `problem`.
    """
    manifest = load_manifest(run_dir)
    policy = load_policy(policy_file or run_dir / POLICY_COPY)
    url = endpoint_of(endpoint)
    path = to or run_dir / TRACES
    resource = resource_of(policy.name, manifest.run_id)
    spans = _Counted(write_traces(path, build_traces(run_dir, policy, manifest), resource))
    left = iter(spans)
    sent, problem = None, None
    if url:
        try:
            sent = send_spans(left, resource, url)
        except NotSentError as error:
            problem = str(error)
    for _ in left:  # the file is whole whatever became of the receiver
        pass
    annotated = None
    if annotations and url and problem is None:
        try:
            traces = build_traces(run_dir, policy, manifest)
            every = (span for trace in traces for span in trace)
            annotated = annotate(every, url, os.environ.get(API_KEY))
        except NotSentError as error:
            problem = str(error)
    return Traced(
        run_id=manifest.run_id, file=str(path), spans=spans.n, evaluations=spans.n_events,
        content=policy.traces.content, sent=sent, annotated=annotated, problem=problem,
    )  # fmt: skip


def traced_text(done: Traced) -> str:
    """What was done, in a line or two."""
    told = "with prompts and answers" if done.content else "without prompts and answers"
    lines = [
        f"Wrote {done.spans} spans and {done.evaluations} evaluations, {told}, to {done.file}."
    ]
    lines += [f"Sent {done.sent} spans."] if done.sent is not None else []
    lines += [f"Annotated with {done.annotated} scores."] if done.annotated is not None else []
    return "\n".join(lines)
