"""Paired scores of two models -> p of "the two are exchangeable". Knows no metric."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from ftgate_ext.stats.cells import Array, Cells, find_cells, order_of_rows
from ftgate_ext.stats.draws import sum_half_of_cases, sum_half_of_cells
from ftgate_ext.stats.sums import Statistic, evaluate, rounding_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

MIN_RESAMPLES = 1000
MOST_CELLS = 16_384


@dataclass(frozen=True)
class RandomizationTest:
    """Two-sided p of an observed difference under random swaps of the two models."""

    difference: float
    p: float
    exact: bool
    """All swaps were counted; else random ones were drawn, and p is never 0."""


@dataclass(frozen=True)
class _Pairs:
    """Cases whose two rows differ, each with its smaller row first."""

    smaller: Array
    larger: Array
    equal: Array
    """Sums of one model over the cases whose rows are equal, shape (1, columns)."""


@dataclass(frozen=True)
class _Swaps:
    shifts: Array
    """What the candidate's sums gain in a swap, over those with all the smaller rows."""
    chances: Array | None
    """Of each swap, where all were counted."""


def randomization_test(
    candidate_rows: ArrayLike,
    baseline_rows: ArrayLike,
    statistic: Statistic,
    seed: int,
    resamples: int = 10_000,
) -> RandomizationTest:
    """Approximate randomisation: swap the two models' rows of each case with probability 1/2.

    p = P(|t*| >= |t|), ties included (Noreen 1989; Yeh 2000), where t* is the statistic after a
    swap. Only cases whose rows differ matter, and of these only how many of each kind are swapped,
    a binomial count: so all 2^n swaps are counted where those counts have at most `resamples`
    values together, which pass/fail scores and F1 often allow at any n. Else p = (1 + count) / (1 +
    resamples). It keeps its level at 50 cases, where the bootstrap of F1 does not; it has no
    interval and no margin, and tests that the models are exchangeable, not only equal on average.

    Args:
        candidate_rows: Shape (cases, columns): what one case adds to the candidate's sums.
        baseline_rows: The same of the baseline.
        statistic: Reads the candidate's sums, then the baseline's, then the number of cases: as
            `f1_difference` of three columns, `mean_difference` of one.
        seed: Same seed, same result, in whatever order the cases come.
        resamples: At least 1000.

    Raises:
        ValueError: Shapes that differ, no cases, a number that is none, too few resamples, or a
            statistic that is undefined for some swap.
    """
    candidate, baseline = _check(candidate_rows, "candidate"), _check(baseline_rows, "baseline")
    if candidate.shape != baseline.shape or resamples < MIN_RESAMPLES:
        raise ValueError(
            f"candidate {candidate.shape}, baseline {baseline.shape}, {resamples} resamples: "
            f"expected equal shapes and at least {MIN_RESAMPLES}"
        )
    n = len(candidate)
    total = _sums(candidate.sum(axis=0)[None, :], baseline.sum(axis=0)[None, :], n)
    value, noise = float(evaluate(statistic, total)[0]), rounding_of(statistic, total)
    pairs = _orient(candidate, baseline)
    if len(pairs.smaller) == 0:
        return RandomizationTest(value, 1.0, exact=True)
    swaps = _swap(pairs, seed, resamples)
    low = pairs.equal + pairs.smaller.sum(axis=0) + swaps.shifts
    high = pairs.equal + pairs.larger.sum(axis=0) - swaps.shifts
    extreme = np.abs(evaluate(statistic, _sums(low, high, n))) >= abs(value) - noise
    if swaps.chances is not None:
        return RandomizationTest(value, min(1.0, float(swaps.chances[extreme].sum())), exact=True)
    return RandomizationTest(value, (1 + int(extreme.sum())) / (1 + resamples), exact=False)


def _check(rows: ArrayLike, name: str) -> Array:
    array = np.asarray(rows, dtype=np.float64)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or len(array) == 0 or not np.isfinite(array).all():
        raise ValueError(f"{name} rows of shape {array.shape}: expected finite (cases, columns)")
    return array


def _sums(candidate: Array, baseline: Array, n: int) -> Array:
    return np.hstack([candidate, baseline, np.full((len(candidate), 1), float(n))])


def _orient(candidate: Array, baseline: Array) -> _Pairs:
    """The pairs that differ; a swap of (x, y) and one of (y, x) are then the same kind."""
    differs = candidate != baseline
    kept = differs.any(axis=1)
    left, right = candidate[kept], baseline[kept]
    column = np.argmax(differs[kept], axis=1)[:, None]
    first_smaller = np.take_along_axis(left < right, column, axis=1)
    smaller, larger = np.where(first_smaller, left, right), np.where(first_smaller, right, left)
    return _Pairs(smaller, larger, candidate[~kept].sum(axis=0)[None, :])


def _swap(pairs: _Pairs, seed: int, resamples: int) -> _Swaps:
    """All shifts with their chances, or random ones: each larger row goes to either model."""
    gains = pairs.larger - pairs.smaller
    cells = find_cells(gains, most=min(MOST_CELLS, max(64, len(gains) // 8)))
    if cells is None:
        shifts = sum_half_of_cases(gains[order_of_rows(gains)], resamples, seed)
        return _Swaps(shifts, None)
    if math.prod((cells.counts + 1).tolist()) <= resamples:
        return _enumerate(cells)
    return _Swaps(sum_half_of_cells(cells, resamples, seed), None)


def _enumerate(cells: Cells) -> _Swaps:
    """Every count of larger rows that the candidate may get of each kind, with its chance."""
    shifts, chances = np.zeros((1, cells.rows.shape[1])), np.ones(1)
    for row, count in zip(cells.rows, cells.counts.tolist(), strict=True):
        taken = np.arange(count + 1.0)
        logs = (
            -count * math.log(2) - special.gammaln(taken + 1) - special.gammaln(count - taken + 1)
        )
        chance = np.exp(logs + special.gammaln(count + 1))
        shifts = (shifts[:, None, :] + taken[None, :, None] * row).reshape(-1, len(row))
        chances = np.outer(chances, chance).ravel()
    return _Swaps(shifts, chances)
