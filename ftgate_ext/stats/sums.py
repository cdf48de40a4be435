"""Sums over the cases -> a statistic. What is resampled are sums, never the cases themselves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ftgate_ext.stats.cells import Array

Statistic = Callable[[Array], Array]
"""Sums over the cases, shape (resamples, columns) -> one value a resample."""


def mean_difference(sums: Array) -> Array:
    """Columns (candidate, baseline, 1) -> mean of candidate minus mean of baseline."""
    return np.asarray((sums[:, 0] - sums[:, 1]) / sums[:, 2])


def ratio_of_sums(sums: Array) -> Array:
    """Columns (numerator, denominator) -> ratio of the totals.

    For denominators above 0 in every case (a cost, a latency, a number of tokens). Where a total is
    0 the ratio is NaN, which whatever resamples it refuses; use `ratio.fieller` there.
    """
    ratios = np.full(len(sums), np.nan)
    np.divide(sums[:, 0], sums[:, 1], out=ratios, where=sums[:, 1] != 0)
    return ratios


def evaluate(statistic: Statistic, sums: Array) -> Array:
    """The statistic of each row of sums.

    Raises:
        ValueError: It is not one finite number a row.
    """
    values = np.asarray(statistic(sums), dtype=np.float64)
    if values.shape != (len(sums),) or not np.isfinite(values).all():
        undefined = int((~np.isfinite(values)).sum())
        raise ValueError(
            f"statistic of {len(sums)} resamples has shape {values.shape}, {undefined} undefined: "
            "expected one finite value a resample"
        )
    return values


def rounding_of(statistic: Statistic, total: Array) -> float:
    """The size below which a difference of two values of the statistic is rounding.

    What the statistic changes by when each sum changes in its 13th digit. With it 0.3 - 0.1 - 0.1
    - 0.1 is a tie with 0, whatever the scale of the scores.

    Args:
        statistic: Sums -> value.
        total: Sums over the cases themselves, shape (1, columns).
    """
    moved = total * (1 + 1e-13 * np.eye(total.shape[1]))
    return float(np.abs(statistic(moved) - statistic(total)).sum())
