"""`latency.json` and `<role>/latency.jsonl` -> what the models took in turn, request by request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftgate_ext.inference.journal import read_responses
from ftgate_ext.runs import LATENCY_RUN, load_row
from ftgate_ext.schema import LatencyRun, Role

if TYPE_CHECKING:
    from pathlib import Path

    from ftgate_ext.schema import Response

LATENCIES = "latency.jsonl"

CaseKey = tuple[str, str]
"""Task and case."""


@dataclass(frozen=True)
class Interleaved:
    """Every model's responses to the same requests, asked in turn."""

    run: LatencyRun
    responses: dict[Role, dict[CaseKey, Response]]

    def of(self, role: Role, task: str | None = None) -> list[Response]:
        """A model's responses, to one task or to all."""
        mine = self.responses.get(role, {})
        return [r for (asked, _), r in mine.items() if task in (None, asked)]


def load_interleaved(run_dir: Path) -> Interleaved | None:
    """Read the interleaved measurement of a run; None where there was none.

    Raises:
        RunError: A file of it is broken.
    """
    if not (run_dir / LATENCY_RUN).is_file():
        return None
    run = load_row(run_dir / LATENCY_RUN, LatencyRun, "run --latency")
    responses: dict[Role, dict[CaseKey, Response]] = {}
    for role in run.roles:
        path = run_dir / role / LATENCIES
        if path.is_file():
            # The last line about a request counts: it was asked again together with the others.
            responses[role] = {(r.task, r.case_id): r for r in read_responses(path)}
    return Interleaved(run, responses)
