"""`looks.json`: how often growing data were looked at, and which look a comparison is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftgate_ext.schema.row import FORMAT_VERSION, Row


class LookUse(Row):
    """Which of the planned looks at the growing data these comparisons are."""

    number: int
    planned: int | None = None
    """None where none were planned; then more than one inflates the error rate."""
    boundary: Literal["pocock", "obrien_fleming"] | None = None


class Look(Row):
    """One look at a run's data."""

    number: int
    at: str
    """ISO 8601, UTC."""
    data_hash: str
    """sha256 of the cases that were compared: the same cases again are no new look."""
    n_cases: dict[str, int]
    """Task -> cases."""


class LookLedger(Row):
    """`looks.json`: how often a run's growing data was looked at."""

    format_version: int = FORMAT_VERSION
    looks: list[Look] = Field(default_factory=list)
