"""Paired scores of two models -> bootstrap limits, drawn or enumerated. Knows no metric."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np
from scipy import special

from ftgate_ext.stats.cells import Array, find_cells, order_of_rows
from ftgate_ext.stats.checks import check_open_share, finite_values
from ftgate_ext.stats.draws import resample_by_poisson, resample_cases, resample_cells
from ftgate_ext.stats.limits import Limits, NoLimits
from ftgate_ext.stats.mean import MIN_CLUSTERS
from ftgate_ext.stats.randomization import RandomizationTest, randomization_test
from ftgate_ext.stats.repeats import number_names
from ftgate_ext.stats.sums import Statistic, evaluate, mean_difference, ratio_of_sums, rounding_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from numpy.typing import ArrayLike

__all__ = [
    "MIN_CLUSTERS", "Array", "BootstrapResult", "ExhaustiveBootstrap", "RandomizationTest", "Statistic",
    "bootstrap", "exhaustive_bootstrap", "mean_difference", "randomization_test", "ratio_of_sums",
]  # fmt: skip

MIN_RESAMPLES = 1000

MOST_CASES_DRAWN_SINGLY = 10_000
MOST_CELLS = 16_384
MOST_OUTCOMES = 1_000_000


@dataclass(frozen=True)
class BootstrapResult:
    """A statistic with two-sided limits, one-sided limits and a two-sided p."""

    interval: Limits
    lower_one_sided: float
    upper_one_sided: float
    p: float
    standard_error: float
    """Standard deviation of the resamples."""
    degenerate: bool
    """All resamples gave the same value: limits, p and standard error say nothing."""


@dataclass(frozen=True)
class ExhaustiveBootstrap:
    """The mean difference d* in every possible resample, each as often as it can be drawn."""

    value: float
    standard_error: float
    p_not_better: float
    """P(d* <= 0), ties with 0 included (Koehn 2004)."""
    p_worse: float
    """P(d* < 0), ties with 0 left out."""
    p_twice: float
    """P(d* >= 2 d), ties included: the one-sided p of Berg-Kirkpatrick et al. (2012), whose text
    has > in place of >=."""


@dataclass(frozen=True)
class _Resampled:
    total: Array
    """Sums over the cases themselves, shape (1, columns)."""
    sums: Array
    way: str


@dataclass(frozen=True)
class _Outcomes:
    sums: Array
    chances: Array


@overload
def bootstrap(
    rows: ArrayLike, statistic: Statistic, seed: int, resamples: int = ..., level: float = ...,
    *, clusters: None = None, alpha: float = ...,
) -> BootstrapResult: ...  # fmt: skip


@overload
def bootstrap(
    rows: ArrayLike, statistic: Statistic, seed: int, resamples: int = ..., level: float = ...,
    *, clusters: Iterable[Hashable] | None, alpha: float = ...,
) -> BootstrapResult | NoLimits: ...  # fmt: skip


def bootstrap(
    rows: ArrayLike,
    statistic: Statistic,
    seed: int,
    resamples: int = 10_000,
    level: float = 0.95,
    *,
    clusters: Iterable[Hashable] | None = None,
    alpha: float = 0.05,
) -> BootstrapResult | NoLimits:
    """Percentile bootstrap over cases (Efron 1979), or over clusters of cases.

    p = 2 min(P(d* <= 0), P(d* >= 0)) with one added to both counts (Davison and Hinkley 1997, 4.11),
    so it is never 0. Slightly liberal under 200 cases (0.07 at 50) and under 50 clusters (0.10 at
    10). Not for one proportion, nor for a margin on pass/fail scores: at shares near 0 and 1 it
    covers far less than it says; use Clopper-Pearson and Tango.

    Args:
        rows: Shape (cases, columns): what one case adds to the sums that `statistic` reads.
        statistic: Sums -> value, vectorised over resamples; bigger is better, 0 is no difference.
        seed: Same seed, same result, in whatever order the cases come.
        resamples: At least 1000.
        level: Of the two-sided interval.
        clusters: One name a case, where cases of one cluster are alike: clusters are resampled.
        alpha: Each one-sided limit has level 1 - alpha.

    Returns:
        Limits from the percentiles, `interval.method` saying how they were drawn; or `NoLimits`
        under 8 clusters.

    Raises:
        ValueError: No cases, a number that is none, too few resamples, a level outside (0, 1), or a
            statistic that is undefined for some resample.
    """
    checked = _check(rows, resamples, level, alpha)
    if clusters is None:
        drawn = _resample(checked, resamples, seed, "cases")
        return _limits_of(drawn, statistic, len(checked), level, alpha)
    named = number_names(clusters, len(checked))
    groups = len(named.names)
    if groups < MIN_CLUSTERS:
        value = float(evaluate(statistic, checked.sum(axis=0, keepdims=True))[0])
        why = f"{groups} clusters; at least {MIN_CLUSTERS} are needed"
        return NoLimits(value, len(checked), why)
    sums = [np.bincount(named.codes, column).astype(np.float64) for column in checked.T]
    drawn = _resample(np.column_stack(sums), resamples, seed, "clusters")
    return _limits_of(drawn, statistic, len(checked), level, alpha)


def _check(rows: ArrayLike, resamples: int, level: float, alpha: float) -> Array:
    array = np.asarray(rows, dtype=np.float64)
    if len(array) == 0 or resamples < MIN_RESAMPLES:
        raise ValueError(
            f"{len(array)} cases, {resamples} resamples: expected at least 1 and {MIN_RESAMPLES}"
        )
    if array.ndim != 2:
        raise ValueError(f"rows have shape {array.shape}: expected (cases, columns)")
    if not np.isfinite(array).all():
        raise ValueError(f"rows hold {array[~np.isfinite(array)][0]}: expected finite numbers")
    check_open_share(level, "level")
    check_open_share(alpha, "alpha")
    return array


def _resample(rows: Array, resamples: int, seed: int, units: str) -> _Resampled:
    """Draw in the cheapest way that is exact, above 10,000 distinct rows in a close one."""
    n = len(rows)
    # Drawing the count of a cell costs about as much as the Poisson weights of eight cases.
    cells = find_cells(rows, most=min(MOST_CELLS, max(64, n // 8)))
    if cells is not None:
        total = (cells.counts.astype(np.float64) @ cells.rows)[None, :]
        way = f"multinomial over {len(cells.counts)} distinct rows of {n} {units}"
        return _Resampled(total, resample_cells(cells, resamples, seed), way)
    # Sorted, so that the order in which the cases come does not matter.
    rows = rows[order_of_rows(rows)]
    total = rows.sum(axis=0, keepdims=True)
    if n <= MOST_CASES_DRAWN_SINGLY:
        way = f"multinomial over {n} {units}"
        return _Resampled(total, resample_cases(rows, resamples, seed), way)
    way = f"Poisson weights on {n} {units}"
    return _Resampled(total, resample_by_poisson(rows, resamples, seed), way)


def _limits_of(
    drawn: _Resampled, statistic: Statistic, cases: int, level: float, alpha: float
) -> BootstrapResult:
    value, values = float(evaluate(statistic, drawn.total)[0]), evaluate(statistic, drawn.sums)
    noise, resamples = rounding_of(statistic, drawn.total), len(values)
    tail = (1 - level) / 2
    lower, upper, low, high = np.quantile(values, [tail, 1 - tail, alpha, 1 - alpha]).tolist()
    below, above = int((values <= noise).sum()), int((values >= -noise).sum())
    method = f"paired percentile bootstrap, {resamples} resamples, {drawn.way}"
    return BootstrapResult(
        interval=Limits(value, lower, upper, level, cases, method),
        lower_one_sided=low,
        upper_one_sided=high,
        p=min(1.0, 2 * (min(below, above) + 1) / (resamples + 1)),
        standard_error=float(values.std(ddof=1)),
        degenerate=bool(np.ptp(values) <= noise),
    )


def exhaustive_bootstrap(differences: ArrayLike) -> ExhaustiveBootstrap | NoLimits:
    """The mean over all n^n resamples of the cases, without drawing any.

    A resample is a number of cases for each distinct difference, with multinomial probability: so
    a thousand cases with two distinct differences have 1001 outcomes. Means that lie within 1e-12
    of the largest difference are ties.

    Args:
        differences: Candidate minus baseline, one a case.

    Returns:
        Exact probabilities; `NoLimits` where all differences are equal.

    Raises:
        ValueError: More than 1,000,000 outcomes; use `bootstrap`.
    """
    array = finite_values(differences, "differences")
    n, value = len(array), float(array.mean())
    distinct, counts = np.unique(array, return_counts=True)
    if len(distinct) == 1:
        return NoLimits(value, n, f"all {n} differences are equal: resamples cannot differ")
    # 12 distinct ones have more than a million outcomes at any n.
    if len(distinct) >= 12 or math.comb(n + len(distinct) - 1, n) > MOST_OUTCOMES:
        raise ValueError(
            f"{n} cases with {len(distinct)} distinct differences: "
            f"expected at most {MOST_OUTCOMES} outcomes"
        )
    outcomes = _enumerate(distinct, counts / n, n)
    means, chances = outcomes.sums / n, outcomes.chances
    tie = 1e-12 * float(np.abs(distinct).max())
    return ExhaustiveBootstrap(
        value=value,
        standard_error=math.sqrt(float(chances @ (means - value) ** 2)),
        p_not_better=float(chances[means <= tie].sum()),
        p_worse=float(chances[means < -tie].sum()),
        p_twice=float(chances[means >= 2 * value - tie].sum()),
    )


def _enumerate(values: Array, shares: Array, n: int) -> _Outcomes:
    """Sum and multinomial probability of every way to draw n of these values."""
    left, sums, logs = np.array([n]), np.zeros(1), np.full(1, special.gammaln(n + 1))
    for value, share in zip(values[:-1], shares[:-1], strict=True):
        choices = left + 1
        source = np.repeat(np.arange(len(left)), choices)
        drawn = np.arange(len(source)) - np.repeat(np.cumsum(choices) - choices, choices)
        sums = sums[source] + drawn * value
        logs = logs[source] + drawn * math.log(share) - special.gammaln(drawn + 1)
        left = left[source] - drawn
    sums = sums + left * values[-1]
    logs = logs + left * math.log(shares[-1]) - special.gammaln(left + 1)
    return _Outcomes(sums, np.exp(logs))
