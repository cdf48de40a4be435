"""Rows of scores and a seed -> the sums of each resample. Knows no statistic.

Resamples are drawn in blocks of fixed size, each by its own counter-based generator (Philox, Salmon
et al. 2011), keyed by seed, kind of draw, resample block and case block. Sums are sums of integers
that floating point adds exactly. So neither the number of threads nor the order in which a linear
algebra library adds shows in a sum, and more resamples only append to fewer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

if TYPE_CHECKING:
    from ftgate_ext.stats.cells import Array, Cells

RESAMPLE_BLOCK = 250
CASE_BLOCK = 8192
BLOCK_WEIGHT = 9216
"""More than the Poisson(1) weights of a case block ever add up to: 11 standard deviations."""
MANTISSA = {np.float32: 24, np.float64: 53}
LIMBS = {np.float32: 3, np.float64: 2}

Weights = NDArray[Any]
Weigh = Callable[[np.random.Generator, int], Weights]
"""Generator, number of cases -> weights of the cases, shape (RESAMPLE_BLOCK, cases)."""


class Draw(IntEnum):
    """What a generator is for: no two kinds of draw share a stream."""

    CELLS = 0
    CASES = 1
    POISSON = 2
    SWAPS = 3
    SWAPPED_CELLS = 4
    REFITS = 5


@dataclass(frozen=True)
class _FixedPoint:
    """Rows as limbs: row = centre + step * (limb 1 + limb 2 / 2^bits + ...), limbs are integers."""

    limbs: Array
    """Shape (rows, 1 + columns * limbs); the first column is 1 and counts what was drawn."""
    centre: Array
    step: Array
    bits: int

    def sums(self, totals: Array) -> Array:
        """Weighted sums of the limbs -> of the rows; the first column is the weight itself."""
        drawn, rest = totals[:, :1], totals[:, 1:]
        width = len(self.centre)
        limbs = [rest[:, start : start + width] for start in range(0, rest.shape[1], width)]
        sums = np.zeros_like(limbs[0])
        for place in reversed(range(len(limbs))):
            sums += limbs[place] * (self.step * 2.0 ** (-self.bits * place))
        return np.hstack([drawn, sums + drawn * self.centre])


def _fixed_point(rows: Array, weight: int, dtype: type[np.floating[Any]]) -> _FixedPoint:
    """Limbs so small that their sums under weights that add up to `weight` stay exact in `dtype`."""
    bits = MANTISSA[dtype] - math.ceil(math.log2(weight + 1))
    low, high = rows.min(axis=0), rows.max(axis=0)
    centre = low + (high - low) / 2
    # A power of two, so that scores on a binary grid are held without any rounding.
    step = np.exp2(np.ceil(np.log2(np.where(high > low, high - centre, 1.0))) - bits)
    width = rows.shape[1]
    limbs = np.ones((len(rows), 1 + width * LIMBS[dtype]), dtype=dtype)
    for start in range(0, len(rows), CASE_BLOCK):
        part = slice(start, start + CASE_BLOCK)
        rest = (rows[part] - centre) / step
        for column in range(1, limbs.shape[1], width):
            limbs[part, column : column + width] = np.rint(rest)
            rest = (rest - np.rint(rest)) * 2.0**bits
    return _FixedPoint(limbs, centre, step, bits)


def generator(
    seed: int, draw: Draw, resample_block: int, case_block: int = 0
) -> np.random.Generator:
    """The generator of one block of one kind of draw."""
    key = np.random.SeedSequence(seed, spawn_key=(draw, resample_block, case_block))
    return np.random.Generator(np.random.Philox(key))


def resample_cells(cells: Cells, resamples: int, seed: int) -> Array:
    """Sums of `resamples` resamples of the cases, shape (resamples, columns).

    The counts of the distinct rows in a resample of n cases are Multinomial(n, counts / n): the
    same distribution, at a cost that does not depend on n.
    """
    n = int(cells.counts.sum())
    fixed = _fixed_point(cells.rows, n, np.float64)
    shares = cells.counts / n

    def weigh(rng: np.random.Generator, _: int) -> Weights:
        return rng.multinomial(n, shares, size=RESAMPLE_BLOCK).astype(np.float64)

    return fixed.sums(_weighted_totals(fixed, weigh, Draw.CELLS, resamples, seed))[:, 1:]


def resample_cases(rows: Array, resamples: int, seed: int) -> Array:
    """Sums of `resamples` resamples of the cases; each draws n cases with replacement."""
    n = len(rows)
    fixed = _fixed_point(rows, n, np.float64)
    offsets = n * np.arange(RESAMPLE_BLOCK)[:, None]

    def weigh(rng: np.random.Generator, cases: int) -> Weights:
        drawn = rng.integers(0, cases, size=(RESAMPLE_BLOCK, cases))
        drawn += offsets
        counts = np.bincount(drawn.ravel(), minlength=RESAMPLE_BLOCK * cases)
        return counts.astype(np.float64).reshape(RESAMPLE_BLOCK, cases)

    return fixed.sums(_weighted_totals(fixed, weigh, Draw.CASES, resamples, seed))[:, 1:]


def resample_by_poisson(rows: Array, resamples: int, seed: int) -> Array:
    """Sums over cases with independent Poisson(1) weights, scaled to n drawn cases.

    Multinomial counts are Poisson counts given their sum; scaled by n / (sum of weights) the two
    agree where n is large (Hanley and MacGibbon, Computer Methods and Programs in Biomedicine 83,
    2006; Chamandy et al., Google, 2012). Memory does not grow with the number of resamples.
    """
    fixed = _fixed_point(rows, BLOCK_WEIGHT, np.float32)
    # The quantiles of Poisson(1) at 65536 equally likely points: mean 1, variance 0.99997.
    points = (np.arange(65_536) + 0.5) / 65_536
    table = np.searchsorted(special.pdtr(np.arange(12), 1.0), points).astype(np.float32)

    def weigh(rng: np.random.Generator, cases: int) -> Weights:
        raw = rng.bit_generator.random_raw(RESAMPLE_BLOCK * CASE_BLOCK // 4)
        return table.take(raw.view(np.uint16).reshape(RESAMPLE_BLOCK, CASE_BLOCK)[:, :cases])

    sums = fixed.sums(_weighted_totals(fixed, weigh, Draw.POISSON, resamples, seed, CASE_BLOCK))
    return np.asarray(sums[:, 1:] * (len(rows) / sums[:, :1]))


def sum_half_of_cases(rows: Array, resamples: int, seed: int) -> Array:
    """Sums over cases of which each is taken with probability 1/2."""
    fixed = _fixed_point(rows, BLOCK_WEIGHT, np.float32)

    def weigh(rng: np.random.Generator, cases: int) -> Weights:
        raw = rng.bit_generator.random_raw(RESAMPLE_BLOCK * CASE_BLOCK // 64)
        bits = np.unpackbits(raw.view(np.uint8)).reshape(RESAMPLE_BLOCK, CASE_BLOCK)
        return bits[:, :cases].astype(np.float32)

    return fixed.sums(_weighted_totals(fixed, weigh, Draw.SWAPS, resamples, seed, CASE_BLOCK))[
        :, 1:
    ]


def sum_half_of_cells(cells: Cells, resamples: int, seed: int) -> Array:
    """The same for cells: of each, a Binomial(count, 1/2) number of cases is taken."""
    fixed = _fixed_point(cells.rows, int(cells.counts.sum()), np.float64)
    size = (RESAMPLE_BLOCK, len(cells.counts))

    def weigh(rng: np.random.Generator, _: int) -> Weights:
        return rng.binomial(cells.counts, 0.5, size=size).astype(np.float64)

    return fixed.sums(_weighted_totals(fixed, weigh, Draw.SWAPPED_CELLS, resamples, seed))[:, 1:]


def _weighted_totals(
    fixed: _FixedPoint,
    weigh: Weigh,
    draw: Draw,
    resamples: int,
    seed: int,
    rows_at_once: int | None = None,
) -> Array:
    """Weights times limbs, one resample block after the other; by default all rows at once."""
    limbs, step = fixed.limbs, rows_at_once or len(fixed.limbs)

    def one_block(block: int) -> Array:
        totals = np.zeros((RESAMPLE_BLOCK, limbs.shape[1]))
        for row_block, start in enumerate(range(0, len(limbs), step)):
            part = limbs[start : start + step]
            totals += weigh(generator(seed, draw, block, row_block), len(part)) @ part
        return totals

    blocks = range(math.ceil(resamples / RESAMPLE_BLOCK))
    return np.concatenate([one_block(block) for block in blocks])[:resamples]
