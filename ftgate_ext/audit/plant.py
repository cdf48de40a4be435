"""A true level that is wanted -> which share of the cases must change, and the changed scores.

Whole cases are turned, so that a case's repeats and its findings change together. The expected
level after planting is the wanted one exactly; the drawn cases scatter about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ftgate_ext.stats.f1 import f1_of_sums

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Plant:
    """A change of one metric of the candidate."""

    share: float
    """Of the cases (pass/fail, F1), or of the way to the end of the range (other scores)."""
    is_up: bool
    end: float
    """The score a case is turned to, or the end of the range."""
    level: float
    """The true level afterwards; not the wanted one where there is not so much to change."""
    bucket: tuple[str, str] | None = None
    """Only in cases with this field and value."""

    @property
    def changes(self) -> bool:
        """Whether anything is planted at all."""
        return self.share > 0


def level_of(pool: Array) -> float:
    """F1 of three columns, else the mean."""
    if pool.shape[1] == 3:
        return float(f1_of_sums(pool.sum(axis=0, keepdims=True))[0])
    return float(pool.mean())


def plant_level(
    pool: Array, wanted: float, *, is_pass_fail: bool, bucket: tuple[str, str] | None = None
) -> Plant:
    """What to change so that the true level is `wanted`.

    Args:
        pool: All scores the candidate may have after the exchange, shape (n, 1 or 3), finite.
        wanted: The true level.
        is_pass_fail: Whether single scores are 0 or 1.
        bucket: Plant only there; `pool` is then of these cases.
    """
    now = level_of(pool)
    is_up = wanted > now
    if pool.shape[1] == 3:
        share = _share_of_errors(pool, now, wanted) if is_up else _share_of_hits(pool, now, wanted)
        share = min(max(share, 0.0), 1.0)
        turned = turn(pool, np.zeros(len(pool)), Plant(1.0, is_up, 0.0, 0.0), is_pass_fail=False)
        sums = (1 - share) * pool.sum(axis=0) + share * turned.sum(axis=0)
        return Plant(share, is_up, 0.0, level_of(sums[None, :]), bucket)
    unit = is_pass_fail or (pool.min() >= 0 and pool.max() <= 1)
    low, high = (0.0, 1.0) if unit else (float(pool.min()), float(pool.max()))
    end = high if is_up else low
    share = 0.0 if end == now else min(max((wanted - now) / (end - now), 0.0), 1.0)
    return Plant(share, is_up, end, now + share * (end - now), bucket)


def _share_of_errors(pool: Array, now: float, wanted: float) -> float:
    """Mend a share f of the cases: 2(TP + f FN) / (2TP + FP + FN + f (FN - FP)) = wanted."""
    hits, false, missed = pool.sum(axis=0).tolist()
    per_share = 2 * missed - wanted * (missed - false)
    return (wanted - now) * (2 * hits + false + missed) / per_share if per_share > 0 else 0.0


def _share_of_hits(pool: Array, now: float, wanted: float) -> float:
    """Lose the findings of a share f of the cases: 2TP (1 - f) / (2TP + FP + FN - f TP) = wanted."""
    hits, false, missed = pool.sum(axis=0).tolist()
    return (now - wanted) * (2 * hits + false + missed) / (hits * (2 - wanted)) if hits else 0.0


def turn(values: Array, luck: Array, plant: Plant, *, is_pass_fail: bool) -> Array:
    """The scores after planting.

    Args:
        values: Shape (cases, 1 or 3).
        luck: A uniform number a case: below the share, it is turned.
        plant: What to change.
        is_pass_fail: Whether single scores are 0 or 1.
    """
    if values.shape[1] == 3:
        hits, false, missed = values.T
        found = hits + missed
        none = np.zeros_like(found)
        parts = [found, none, none] if plant.is_up else [none, false, found]
        return np.where((luck < plant.share)[:, None], np.column_stack(parts), values)
    if is_pass_fail:
        known = ~np.isnan(values)
        return np.where((luck < plant.share)[:, None] & known, plant.end, values)
    return np.asarray(values + plant.share * (plant.end - values))
