"""How figures are computed, and limits as the estimates that are written to disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftgate_ext.schema import Estimate

if TYPE_CHECKING:
    from ftgate_ext.stats.proportion import Limits


@dataclass(frozen=True)
class Settings:
    """How figures are computed."""

    resamples: int = 10_000
    seed: int = 1234
    level: float = 0.95


def to_estimate(limits: Limits, *, degenerate: bool = False, method: str | None = None) -> Estimate:
    """Limits as an `Estimate`; without limits where all resamples were alike."""
    if degenerate:
        return Estimate(value=limits.value, n=limits.n, method="all resamples alike: no interval")
    return Estimate(
        value=limits.value,
        lower=limits.lower,
        upper=limits.upper,
        level=limits.level,
        n=limits.n,
        method=method or limits.method,
    )
