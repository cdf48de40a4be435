"""Times or other amounts -> their quantile, with limits by rank that need no distribution.

Where the sample is too small for a limit, there is none: no p95 has an upper limit at 50 cases.
Lists that are empty or not finite, and shares outside (0, 1), raise ValueError.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from ftgate_ext.stats.checks import Array, check_open_share, finite_values
from ftgate_ext.stats.limits import Limits, NoLimits

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

MIN_RESAMPLES = 1000
CHUNK_CELLS = 2_000_000
WINDOW_SD = 8.0
"""A resample's quantile lies further out than this in fewer than one of 10^14 resamples."""

ROUNDING = 1e-12
"""(1 - 0.9) / 2 is a little less than 0.05: chances that differ by less than this are equal."""


@dataclass(frozen=True)
class QuantileLimits:
    """A quantile and the two order statistics around it; None is a side without a limit."""

    value: float
    lower: float | None
    upper: float | None
    ranks: tuple[int, int]
    """Of the limits in the sorted sample, from 1; 0 below and n + 1 above where there is none."""
    coverage: float
    """Exact for a continuous distribution, at least this for any other."""
    level: float
    n: int


@dataclass(frozen=True)
class QuantileRatio:
    """A quantile of the candidate over the same quantile of the baseline."""

    limits: Limits
    lower_one_sided: float
    upper_one_sided: float
    alpha: float
    """Of the one-sided limits."""
    candidate: float
    baseline: float


def quantile(values: ArrayLike, q: float) -> float | None:
    """The q-quantile of a sample (linear interpolation), or None of an empty one.

    Raises:
        ValueError: q outside [0, 1], or values that are not finite.
    """
    if not 0 <= q <= 1:
        raise ValueError(f"q={q}: expected a number from 0 to 1")
    if np.size(values) == 0:
        return None
    return float(np.quantile(finite_values(values, "values"), q))


def quantile_limits(values: ArrayLike, q: float, level: float = 0.95) -> QuantileLimits:
    """Distribution-free limits of a quantile: two values of the sample, chosen by rank.

    The number of values below the true quantile is Binomial(n, q); the limits are the values at the
    ranks that it leaves to either side with at most (1 - level) / 2 (Hahn and Meeker, Statistical
    Intervals, 1991, 5.2; the ranks of scipy.stats.quantile_test). A one-sided 95 % limit is a limit
    at level 0.90. Not for measurements that depend on each other, such as one queue under load.

    Args:
        values: One a case, at least one.
        q: 0.95 for a p95.
        level: Two-sided.

    Returns:
        The quantile with its limits; None on a side where the rank lies outside the sample. Many
        equal values may be both limits at once, and rightly so: the distribution has a lump there.
        In a sample of a few the value, which is interpolated, may lie outside of them.

    Raises:
        ValueError: Empty or not finite; q or level outside (0, 1).
    """
    check_open_share(q, "q")
    check_open_share(level, "level")
    array = finite_values(values, "values")
    n, tail = len(array), (1 - level) / 2
    low, high = lower_rank(n, q, tail), upper_rank(n, q, tail)
    ordered = in_order(array)
    below = float(special.bdtr(low - 1, n, q)) if low > 0 else 0.0
    above = float(special.bdtrc(high - 1, n, q)) if high <= n else 0.0
    return QuantileLimits(
        value=float(np.quantile(ordered, q)),
        lower=float(ordered[low - 1]) if low > 0 else None,
        upper=float(ordered[high - 1]) if high <= n else None,
        ranks=(low, high),
        coverage=1.0 - below - above,
        level=level,
        n=n,
    )


def in_order(values: Array) -> Array:
    """The values sorted; to see that they are is a hundredth of the work."""
    return values if (values[1:] >= values[:-1]).all() else np.sort(values)


def smallest_n_with_upper_limit(q: float, level: float = 0.95) -> int:
    """The least sample in which `quantile_limits` has an upper limit: 72 for a p95, 368 for a p99.

    The least n with q^n <= (1 - level) / 2: otherwise all values may well lie below the quantile.

    Raises:
        ValueError: q or level outside (0, 1).
    """
    check_open_share(q, "q")
    check_open_share(level, "level")
    tail = (1 - level) / 2
    n = max(1, math.ceil(math.log(tail) / math.log(q)) - 1)  # one less: logarithms round
    while q**n > tail * (1 + ROUNDING):
        n += 1
    return n


def quantile_ratio(
    candidate: ArrayLike,
    baseline: ArrayLike,
    q: float,
    seed: int,
    resamples: int = 10_000,
    level: float = 0.95,
    alpha: float = 0.05,
    *,
    paired: bool = False,
) -> QuantileRatio | NoLimits:
    """Percentile bootstrap of quantile(candidate) / quantile(baseline).

    Unpaired, the order statistics of a resample are drawn directly, which is exact; paired, whole
    cases are drawn (`_one_sample`, `_paired_quantiles`). Liberal for a p95 under 500 cases (89 %
    coverage at 100). Measure both models interleaved and under the same load, or the ratio is about
    the hour of the day.

    Args:
        candidate: Amounts above 0, such as seconds.
        baseline: The same; in the order of `candidate` if `paired`.
        q: 0.95 for a p95.
        seed: Same seed, same limits.
        resamples: At least 1000.
        level: Of the two-sided limits.
        alpha: The one-sided limits are at level 1 - alpha.
        paired: Case i of both is the same request, and cases are resampled together.

    Returns:
        The ratio, or none where a sample is too small for limits of its own quantile, a quantile of
        the baseline is not positive, or the resamples have no spread.
    """
    _check_ratio(q, alpha, resamples)
    above, below = finite_values(candidate, "candidate"), finite_values(baseline, "baseline")
    if paired and above.shape != below.shape:
        raise ValueError(f"{len(above)} candidates, {len(below)} baselines: expected pairs")
    top, bottom = float(np.quantile(above, q)), float(np.quantile(below, q))
    n = min(len(above), len(below))
    reason = _unbounded(above, q, level) or _unbounded(below, q, level)
    if reason or bottom <= 0:
        value = top / bottom if bottom > 0 else None
        return NoLimits(value, n, reason or "the baseline's quantile is not positive")
    rng = np.random.default_rng(seed)
    draw = _paired_quantiles if paired else _unpaired_quantiles
    tops, bottoms = draw(above, below, q, rng, resamples)
    method = f"{'paired' if paired else 'unpaired'} percentile bootstrap, {resamples} resamples"
    return ratio_of_draws((top, bottom), (tops, bottoms), n, level, alpha, method)


def ratio_of_draws(
    found: tuple[float, float],
    drawn: tuple[Array, Array],
    n: int,
    level: float,
    alpha: float,
    method: str,
) -> QuantileRatio | NoLimits:
    """Percentile limits of candidate / baseline from the quantiles of their resamples.

    Args:
        found: Quantile of the candidate and of the baseline.
        drawn: The same in every resample.
        n: Cases.
        level: Of the two-sided limits.
        alpha: The one-sided limits are at level 1 - alpha.
        method: How the resamples were drawn.
    """
    (top, bottom), (tops, bottoms) = found, drawn
    if bottoms.min() <= 0:
        return NoLimits(top / bottom, n, "the baseline's quantile is not positive in all resamples")
    tails = np.array([(1 - level) / 2, (1 + level) / 2, alpha, 1 - alpha])
    lower, upper, low, high = np.quantile(tops / bottoms, tails).tolist()
    if lower == upper or low == high:
        return NoLimits(top / bottom, n, "nearly all resamples have the same ratio: no spread")
    interval = Limits(top / bottom, lower, upper, level, n, method)
    return QuantileRatio(interval, low, high, alpha, top, bottom)


def _check_ratio(q: float, alpha: float, resamples: int) -> None:
    check_open_share(q, "q")
    check_open_share(alpha, "alpha")
    if resamples < MIN_RESAMPLES:
        raise ValueError(f"resamples={resamples}: expected at least {MIN_RESAMPLES}")


def lower_rank(n: int, q: float, tail: float) -> int:
    """The smallest r with P(Binomial(n, q) <= r) >= tail, by special functions: microseconds."""
    wanted = tail * (1 - ROUNDING)
    r = min(n, max(0, math.ceil(float(special.bdtrik(tail, n, q)))))
    while r > 0 and special.bdtr(r - 1, n, q) >= wanted:
        r -= 1
    while special.bdtr(r, n, q) < wanted:
        r += 1
    return r


def upper_rank(n: int, q: float, tail: float) -> int:
    """One more than the smallest r with P(Binomial(n, q) > r) <= tail."""
    wanted = tail * (1 + ROUNDING)
    r = min(n, max(0, math.ceil(float(special.bdtrik(1 - tail, n, q)))))
    while r > 0 and special.bdtrc(r - 1, n, q) <= wanted:
        r -= 1
    while special.bdtrc(r, n, q) > wanted:
        r += 1
    return r + 1


def _unbounded(values: Array, q: float, level: float) -> str | None:
    limits = quantile_limits(values, q, level)
    if limits.lower is not None and limits.upper is not None:
        return None
    side = "upper" if limits.upper is None else "lower"
    least = smallest_n_with_upper_limit(q if side == "upper" else 1 - q, level)
    return f"{limits.n} cases have no {side} limit of this quantile; at least {least} are needed"


def _position(n: int, q: float) -> tuple[int, float]:
    """Where np.quantile looks: the rank (from 1) below the quantile, and the share of the next."""
    exact = (n - 1) * q
    rank = min(n - 1, int(exact))
    return rank + 1, exact - rank


def _unpaired_quantiles(
    candidate: Array, baseline: Array, q: float, rng: np.random.Generator, resamples: int
) -> tuple[Array, Array]:
    return _one_sample(candidate, q, rng, resamples), _one_sample(baseline, q, rng, resamples)


def _one_sample(values: Array, q: float, rng: np.random.Generator, resamples: int) -> Array:
    """Quantiles of resamples of one sample: two neighbouring order statistics, drawn jointly.

    The j-th value of a resample is the one at rank ceil(n U), with U ~ Beta(j, n - j + 1) the j-th of
    n uniform numbers: exact, at a cost that does not grow with n.
    """
    n, ordered = len(values), in_order(values)
    rank, share = _position(n, q)
    first = rng.beta(rank, n - rank + 1, resamples)
    lower = ordered[np.clip(np.ceil(first * n).astype(np.intp), 1, n) - 1]
    if share == 0:
        return np.asarray(lower)
    # Given the j-th of n uniform numbers, the next is the least of n - j on what is left above it.
    second = first + (1 - first) * rng.beta(1, n - rank, resamples)
    upper = ordered[np.clip(np.ceil(second * n).astype(np.intp), 1, n) - 1]
    return np.asarray(lower + share * (upper - lower))


def _paired_quantiles(
    candidate: Array, baseline: Array, q: float, rng: np.random.Generator, resamples: int
) -> tuple[Array, Array]:
    """Quantiles of both lists in the same resamples of cases.

    Cases that lie far from both quantiles count only by the sides on which they lie: four cells of
    a multinomial. The others are one cell each.
    """
    n = len(candidate)
    sides = np.stack([_side_of_window(candidate, q), _side_of_window(baseline, q)])
    near = (sides == 0).any(axis=0)
    far_below = sides[:, ~near] < 0
    corner, sizes = np.unique(far_below, axis=1, return_counts=True)
    cells = np.concatenate([np.ones(int(near.sum())), sizes]) / n
    step = max(1, CHUNK_CELLS // len(cells))
    parts: tuple[list[Array], list[Array]] = ([], [])
    for done in range(0, resamples, step):
        counts = rng.multinomial(n, cells, size=min(step, resamples - done))
        singles, lumps = counts[:, : int(near.sum())], counts[:, int(near.sum()) :]
        for part, values, below in zip(parts, (candidate, baseline), corner, strict=True):
            order = np.argsort(values[near], kind="stable")
            start = lumps[:, below].sum(axis=1)
            reached = np.cumsum(singles[:, order], axis=1) + start[:, None]
            part.append(_at_rank(values[near][order], reached, n, q))
    return np.concatenate(parts[0]), np.concatenate(parts[1])


def _side_of_window(values: Array, q: float) -> Array:
    """-1 below, 0 in, 1 above the ranks in which a resample's quantile can lie."""
    n = len(values)
    rank, reach = _position(n, q)[0], WINDOW_SD * math.sqrt(n * q * (1 - q)) + WINDOW_SD
    ranks = np.empty(n)
    ranks[np.argsort(values, kind="stable")] = np.arange(1, n + 1)
    return np.sign(ranks - rank) * (np.abs(ranks - rank) > reach)


def _at_rank(ordered: Array, reached: Array, n: int, q: float) -> Array:
    """`reached` counts the drawn cases up to each of the ordered values, a row a resample."""
    rank, share = _position(n, q)
    last = len(ordered) - 1
    lower = ordered[np.minimum((reached < rank).sum(axis=1), last)]
    upper = ordered[np.minimum((reached < rank + 1).sum(axis=1), last)]
    return np.asarray(lower + share * (upper - lower))
