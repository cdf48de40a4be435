"""Two models on the same cases: paired percentile bootstrap and paired t.

Cases are compressed to distinct rows of scores first. Drawing Multinomial(n, counts / n) over these
rows is the same distribution as resampling cases, and its cost does not grow with n.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ftgate_ext.stats.proportion import Limits

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]
"""Sums over the cases, shape (resamples, columns) -> one value a resample."""

MIN_RESAMPLES = 1000
CHUNK_CELLS = 4_000_000


@dataclass(frozen=True)
class BootstrapResult:
    """A paired difference with two-sided 95 % and one-sided 95 % limits and a two-sided p."""

    interval: Limits
    lower_one_sided: float
    upper_one_sided: float
    p: float
    degenerate: bool
    """All resamples gave the same value: there is no interval to speak of."""


def mean_difference(sums: Array) -> Array:
    """Columns (candidate, baseline, 1) -> mean of candidate minus mean of baseline."""
    return np.asarray((sums[:, 0] - sums[:, 1]) / sums[:, 2])


def f1_difference(sums: Array) -> Array:
    """Columns (tp, fp, fn of the candidate, tp, fp, fn of the baseline) -> F1 minus F1."""
    return f1_of_sums(sums[:, 0:3]) - f1_of_sums(sums[:, 3:6])


def f1_of_sums(sums: Array) -> Array:
    """2TP / (2TP + FP + FN) a row; 0 where there is neither a finding nor a report."""
    denominator = 2 * sums[:, 0] + sums[:, 1] + sums[:, 2]
    return np.divide(
        2 * sums[:, 0], denominator, out=np.zeros_like(denominator), where=denominator > 0
    )


def bootstrap(
    rows: Array, statistic: Statistic, seed: int, resamples: int = 10_000, level: float = 0.95
) -> BootstrapResult:
    """Percentile bootstrap over cases.

    Args:
        rows: Shape (cases, columns): what one case adds to the sums that `statistic` reads.
        statistic: Sums -> value, vectorised over resamples; oriented so that bigger is better.
        seed: Same seed, same result.
        resamples: At least 1000.
        level: Of the two-sided interval.

    Returns:
        Limits from the percentiles; p = 2 min(P(d* <= 0), P(d* >= 0)) with one added to both counts
        (Davison and Hinkley 1997, 4.11), so it is never 0. Slightly liberal under 100 cases.

    Raises:
        ValueError: No cases, or too few resamples.
    """
    if len(rows) == 0 or resamples < MIN_RESAMPLES:
        raise ValueError(
            f"{len(rows)} cases, {resamples} resamples: expected at least 1 and {MIN_RESAMPLES}"
        )
    n = len(rows)
    distinct, counts = np.unique(rows, axis=0, return_counts=True)
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK_CELLS // len(distinct))
    values = np.concatenate([
        statistic(rng.multinomial(n, counts / n, size=min(step, resamples - done)) @ distinct)
        for done in range(0, resamples, step)
    ])  # fmt: skip
    value = float(statistic(rows.sum(axis=0, keepdims=True))[0])
    tail = (1 - level) / 2
    lower, upper, low90, high90 = np.quantile(values, [tail, 1 - tail, 0.05, 0.95])
    below, above = int((values <= 0).sum()), int((values >= 0).sum())
    p = min(1.0, 2 * (min(below, above) + 1) / (resamples + 1))
    method = f"paired percentile bootstrap, {resamples} resamples"
    interval = Limits(value, float(lower), float(upper), level, n, method)
    return BootstrapResult(
        interval, float(low90), float(high90), p, degenerate=bool(np.ptp(values) == 0)
    )


def paired_t(candidate: Array, baseline: Array) -> float | None:
    """Two-sided p of the paired t-test, or None where all differences are equal or n < 2."""
    difference = candidate - baseline
    if len(difference) < 2 or np.ptp(difference) == 0:
        return None
    result: Any = stats.ttest_rel(candidate, baseline)
    return float(result.pvalue)


def quantile(values: Array, q: float) -> float | None:
    """The q-quantile of a sample (linear interpolation), or None of an empty one."""
    return float(np.quantile(values, q)) if len(values) else None
