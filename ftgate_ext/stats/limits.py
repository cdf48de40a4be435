"""What an interval is, and what stands in its place where there is none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """A value with its two-sided interval at `level`."""

    value: float
    lower: float
    upper: float
    level: float
    n: int
    method: str


@dataclass(frozen=True)
class NoLimits:
    """A value that these cases cannot bound, and why: never an interval of width zero."""

    value: float | None
    n: int
    why: str
    """What was found and what would be needed: "3 clusters; at least 8 are needed"."""
