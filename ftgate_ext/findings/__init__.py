"""Error analysis: which failures there are, where they lie, what changed, and what is worth looking at."""

from __future__ import annotations

from ftgate_ext.findings.build import build_findings
from ftgate_ext.findings.collect import EXAMPLE_CHARS, WITHHELD, FailureCounter, TaskFailures
from ftgate_ext.findings.sorting import failure_categories

__all__ = [
    "EXAMPLE_CHARS",
    "WITHHELD",
    "FailureCounter",
    "TaskFailures",
    "build_findings",
    "failure_categories",
]
