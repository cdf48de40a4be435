"""Figures with their uncertainty: what comparisons, decisions and findings are written in."""

from __future__ import annotations

from ftgate_ext.schema.row import Row


class Estimate(Row):
    """A figure with its uncertainty."""

    value: float
    lower: float | None = None
    upper: float | None = None
    level: float | None = None
    """Confidence level of `lower` and `upper`, two-sided."""
    n: int
    method: str


class Bound(Row):
    """A figure with its interval and the one-sided limits at which rules look."""

    estimate: Estimate
    alpha_one_sided: float = 0.05
    """Test level of the one-sided limits."""
    lower_one_sided: float | None = None
    upper_one_sided: float | None = None
    no_interval: str | None = None
    """Why a limit is missing."""


class TestResult(Row):
    """A significance test of "no difference"."""

    name: str
    p: float
    detail: str = ""
