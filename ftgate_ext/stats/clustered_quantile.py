"""Times that come in clusters -> their quantile, with limits that respect the clusters.

Five answers to one question take nearly the same time: they are no five observations. Knows arrays
only; lists that are empty or not finite, and shares outside (0, 1), raise ValueError.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from ftgate_ext.stats.checks import Array, check_open_share, finite_values
from ftgate_ext.stats.limits import NoLimits
from ftgate_ext.stats.mean import MIN_CLUSTERS
from ftgate_ext.stats.quantile import (
    CHUNK_CELLS,
    MIN_RESAMPLES,
    QuantileLimits,
    QuantileRatio,
    lower_rank,
    ratio_of_draws,
    smallest_n_with_upper_limit,
    upper_rank,
)
from ftgate_ext.stats.repeats import number_names

MANY_CLUSTERS = 500
"""From here on the share of values below a quantile is normal, and drawing every cluster is slow."""

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from numpy.typing import ArrayLike, NDArray

    Codes = NDArray[np.intp]


def effective_size(values: ArrayLike, clusters: Iterable[Hashable], q: float) -> float:
    """How many independent values say as much about the q-quantile as these clustered ones.

    n / deff, with deff the variance of the share of values up to the quantile, from the sums over
    clusters, over the variance of as many independent values (Woodruff 1952, JASA 47, 635-646, reads
    limits of a quantile from those of such a share); times (t of n - 1 / t of G - 1)^2 at 95 % for
    the few clusters that the variance is known from (Korn and Graubard 1998, Survey Methodology 24,
    193-201). Never more than n. With one value a cluster it is n.
    """
    array, codes = _clustered(values, clusters)
    n, count = array.size, int(codes.max()) + 1
    if count == n:
        return float(n)
    if count < 2:
        return 1.0
    below = (array <= np.quantile(array, q, method="inverted_cdf")).astype(np.float64)
    share = float(below.mean())
    sums = np.bincount(codes, weights=below - share)
    robust = count / (count - 1) * float(sums @ sums) / n**2
    independent = share * (1 - share) / n
    if robust <= 0 or independent <= 0:  # all values on one side: the clusters are what is known
        return float(count)
    correction = special.stdtrit(n - 1, 0.975) / special.stdtrit(count - 1, 0.975)
    return float(min(n, max(1.0, n * independent / robust * correction**2)))


def clustered_quantile_limits(
    values: ArrayLike, clusters: Iterable[Hashable], q: float, level: float = 0.95
) -> QuantileLimits:
    """Limits of a quantile by rank, as `quantile_limits`, at the effective size of the sample.

    The ranks are those of a sample of `effective_size` independent values, brought to the same shares
    of the whole sample and rounded outwards. `test_clustered_quantile` simulates their coverage.

    Args:
        values: At least one.
        clusters: The case of each value.
        q: 0.95 for a p95.
        level: Two-sided.

    Returns:
        The quantile with its limits; None on a side that so few clusters cannot bound.
    """
    check_open_share(q, "q")
    check_open_share(level, "level")
    array, codes = _clustered(values, clusters)
    n, m = array.size, math.floor(effective_size(array, codes.tolist(), q))
    tail = (1 - level) / 2
    low, high = lower_rank(m, q, tail), upper_rank(m, q, tail)
    step = (n + 1) / (m + 1)
    first, last = math.floor(low * step), math.ceil(high * step)
    ordered = np.sort(array)
    has_lower, has_upper = low > 0, high <= m
    below = float(special.bdtr(low - 1, m, q)) if has_lower else 0.0
    above = float(special.bdtrc(high - 1, m, q)) if has_upper else 0.0
    return QuantileLimits(
        value=float(np.quantile(ordered, q)),
        lower=float(ordered[max(first, 1) - 1]) if has_lower else None,
        upper=float(ordered[min(last, n) - 1]) if has_upper else None,
        ranks=(first if has_lower else 0, min(last, n) if has_upper else n + 1),
        coverage=1.0 - below - above, level=level, n=n,
    )  # fmt: skip


def clustered_quantile_ratio(
    candidate: ArrayLike,
    baseline: ArrayLike,
    clusters: Iterable[Hashable],
    q: float,
    seed: int,
    resamples: int = 10_000,
    level: float = 0.95,
    alpha: float = 0.05,
) -> QuantileRatio | NoLimits:
    """Percentile bootstrap of quantile(candidate) / quantile(baseline) that draws whole clusters.

    Both models' values of a case are drawn together, with all its repeats: as `quantile_ratio`
    paired, and with the same caveat for a p95 under 500 cases.

    Args:
        candidate: Amounts above 0, such as seconds.
        baseline: The same requests in the same order.
        clusters: The case of each request.
        q: 0.95 for a p95.
        seed: Same seed, same limits.
        resamples: At least 1000.
        level: Of the two-sided limits.
        alpha: The one-sided limits are at level 1 - alpha.

    Returns:
        The ratio; without limits where the clusters are too few for limits of the quantile itself,
        or the baseline's quantile is not positive.
    """
    if resamples < MIN_RESAMPLES:
        raise ValueError(f"resamples={resamples}: expected at least {MIN_RESAMPLES}")
    above, codes = _clustered(candidate, clusters)
    below = finite_values(baseline, "baseline")
    if above.shape != below.shape:
        raise ValueError(f"{len(above)} candidates, {len(below)} baselines: expected pairs")
    top, bottom = float(np.quantile(above, q)), float(np.quantile(below, q))
    n, count = len(above), int(codes.max()) + 1
    reason = _unbounded(above, codes, q, level) or _unbounded(below, codes, q, level)
    if reason or bottom <= 0:
        value = top / bottom if bottom > 0 else None
        return NoLimits(value, n, reason or "the baseline's quantile is not positive")
    rng = np.random.default_rng(seed)
    tops, bottoms = draw_quantiles(np.stack([above, below]), codes, q, rng, resamples)
    method = f"paired percentile bootstrap of {count} cases, {resamples} resamples"
    return ratio_of_draws((top, bottom), (tops, bottoms), n, level, alpha, method)


def _unbounded(values: Array, codes: Codes, q: float, level: float) -> str | None:
    count = int(codes.max()) + 1
    if count < MIN_CLUSTERS:
        return f"{count} cases; at least {MIN_CLUSTERS} are needed"
    limits = clustered_quantile_limits(values, codes.tolist(), q, level)
    if limits.lower is not None and limits.upper is not None:
        return None
    side = "upper" if limits.upper is None else "lower"
    least = smallest_n_with_upper_limit(q if side == "upper" else 1 - q, level)
    size = math.floor(effective_size(values, codes.tolist(), q))
    return f"{limits.n} requests of {count} cases say as much as {size} independent ones, which have no {side} limit of this quantile; at least {least} are needed"


def draw_quantiles(
    columns: Array, codes: Codes, q: float, rng: np.random.Generator, resamples: int
) -> Array:
    """The q-quantile of each column in each resample of clusters, shape (columns, resamples).

    Clusters are drawn one by one up to `MANY_CLUSTERS`. Of more, the shares of values below the
    columns' quantiles are drawn, which are normal together, and the quantile is read that much further
    up or down: it moves against the share (Bahadur 1966, Annals of Mathematical Statistics 37,
    577-580).
    """
    draw = _draw_clusters if int(codes.max()) < MANY_CLUSTERS else _draw_shares
    return draw(columns, codes, q, rng, resamples)


def _draw_clusters(
    columns: Array, codes: Codes, q: float, rng: np.random.Generator, resamples: int
) -> Array:
    count = int(codes.max()) + 1
    sizes = np.bincount(codes)
    orders = [np.argsort(column, kind="stable") for column in columns]
    step = max(1, CHUNK_CELLS // max(len(codes), count))
    parts = []
    for done in range(0, resamples, step):
        n = min(step, resamples - done)
        drawn = rng.integers(0, count, size=(n, count)) + count * np.arange(n)[:, None]
        times = np.bincount(drawn.ravel(), minlength=n * count).reshape(n, count).astype(np.int32)
        exact = np.asarray((times @ sizes - 1) * q, dtype=np.float64)
        parts.append([
            _at_rank(column[order], times[:, codes[order]], exact)
            for column, order in zip(columns, orders, strict=True)
        ])  # fmt: skip
    return np.concatenate([np.stack(part) for part in parts], axis=1)


def _at_rank(ordered: Array, times: NDArray[np.int32], exact: Array) -> Array:
    """The values at ranks (from 0, between two by their share), each value drawn so many times."""
    reached = np.cumsum(times, axis=1, dtype=np.int32)
    rank = np.floor(exact)
    places = np.array([
        np.searchsorted(row, (at, at + 1), side="right") for row, at in zip(reached, rank, strict=True)
    ])  # fmt: skip
    lower, upper = ordered[np.minimum(places, len(ordered) - 1)].T
    return np.asarray(lower + (exact - rank) * (upper - lower))


def _draw_shares(
    columns: Array, codes: Codes, q: float, rng: np.random.Generator, resamples: int
) -> Array:
    count, n = int(codes.max()) + 1, columns.shape[1]
    quantiles = np.quantile(columns, q, axis=1, method="inverted_cdf", keepdims=True)
    below = (columns <= quantiles).astype(np.float64)
    below -= below.mean(axis=1, keepdims=True)
    sums = np.stack([np.bincount(codes, weights=column) for column in below])
    covariance = count / (count - 1) * (sums @ sums.T) / n**2
    moved = rng.multivariate_normal(np.zeros(len(columns)), covariance, resamples, method="eigh")
    drawn = [np.quantile(c, np.clip(q - m, 0, 1)) for c, m in zip(columns, moved.T, strict=True)]
    return np.stack(drawn)


def _clustered(values: ArrayLike, clusters: Iterable[Hashable]) -> tuple[Array, Codes]:
    array = finite_values(values, "values")
    return array, number_names(clusters, array.size).codes
