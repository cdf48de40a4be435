"""Sums over clusters -> the sign-flip test of their mean, and the interval that inverts it.

Under "the mean is d" the sums R_g = S_g - d m_g of the clusters (sum S_g, size m_g; a value is a
cluster of its own where there are none) are symmetric about 0, so every pattern of their signs is
as likely. The p of d is the share of patterns with |sum of +-R_g| >= |sum of R_g| (Fisher 1935, The
Design of Experiments, 21).

Take d below the mean, so that the sum of R_g is positive. Flipping the signs of the subset J leaves
it as large if and only if the R_g of J sum to 0 or less, which is S_J / m_J <= d: a subset mean.
Patterns come in pairs, J and its complement J', whose sums are opposite. A pair therefore counts if
and only if one of its two subset means is <= d (never both: the mean lies between them). With B
pairs besides the pair (nothing, everything), which always counts,

    p(d) = (1 + #{subset means <= d}) / (B + 1)     for d below the mean,
    p(d) = (1 + #{subset means >= d}) / (B + 1)     for d above it.

So the d with p(d) > alpha reach from the k-th smallest to the k-th largest of the 2B subset means,
k = floor(alpha (B + 1)) (Hartigan 1969, Journal of the American Statistical Association 64,
1303-1317), and 0 lies outside of them if and only if p(0) <= alpha. B is 2^(G - 1) - 1 where all
patterns are listed. B patterns drawn at random, with what was seen counted as one more, keep the
level too (Phipson and Smyth 2010, Statistical Applications in Genetics and Molecular Biology 9:39).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ftgate_ext.stats.checks import Array

CHUNK_CELLS = 4_000_000
SLACK = 1e-9
"""Relative size under which two sums, or two ranks, differ by rounding only."""


@dataclass(frozen=True)
class FlipRange:
    """The means that the sign-flip test does not reject, and its p for the mean 0."""

    lower: float
    upper: float
    p: float


def groups_needed(level: float) -> int:
    """Fewest clusters at which the test can reject: the smallest G with 2 / 2^G <= 1 - level."""
    return 1 + math.ceil(math.log2(1 / (1 - level)) - SLACK)


def flip_range(
    sums: Array, sizes: Array, tie: float, level: float, seed: int, flips: int
) -> FlipRange | None:
    """Test the mean sum(sums) / sum(sizes) against 0, and invert the test.

    Args:
        sums: The sum of each cluster, at least `groups_needed(level)` of them.
        sizes: How many values each sum is of.
        tie: Means that differ by less are equal.
        level: Two-sided confidence level.
        seed: Same seed, same range.
        flips: All patterns are listed where there are no more than this, otherwise so many drawn.

    Returns:
        None where all subset means are equal, or too few flips reach into the tails.
    """
    if np.ptp(sums / sizes) <= tie:
        return None
    # Turned so that the mean is positive, and sorted: neither the order of the clusters nor which
    # model is called the candidate changes what is drawn.
    turn = -1.0 if sums.sum() < 0 else 1.0
    order = np.lexsort((sizes, np.round(turn * sums / abs(sums).max(), 9)))
    means = _subset_means(turn * sums[order], sizes[order], seed, flips)
    pairs = means.size // 2
    rank = math.floor((1 - level) * (pairs + 1) + SLACK)
    ranked = np.partition(means, [rank - 1, means.size - rank])
    ends = ranked[[rank - 1, means.size - rank]]
    if not (np.isfinite(ends).all() and ends[1] - ends[0] > tie):
        return None
    # What rounding moved off 0 is 0, as it is in the p.
    lower, upper = np.sort(turn * np.where(abs(ends) <= tie, 0.0, ends)).tolist()
    p = (1 + int((means <= tie).sum())) / (pairs + 1)
    return FlipRange(lower, upper, 1.0 if abs(sums.sum()) <= tie * sizes.sum() else p)


def _subset_means(sums: Array, sizes: Array, seed: int, flips: int) -> Array:
    groups, rng = sums.size, np.random.default_rng(seed)
    if 2**groups <= flips:
        numbers = np.arange(1, 2 ** (groups - 1))
        return _means_of(numbers[:, None] >> np.arange(groups) & 1, sums, sizes)
    step = max(1, CHUNK_CELLS // groups)
    return np.concatenate([
        _means_of(_coin_tosses(rng, min(step, flips - done), groups), sums, sizes)
        for done in range(0, flips, step)
    ])  # fmt: skip


def _coin_tosses(rng: np.random.Generator, rows: int, columns: int) -> NDArray[np.uint8]:
    octets = rng.integers(0, 256, size=(rows, -(-columns // 8)), dtype=np.uint8)
    return np.unpackbits(octets, axis=1, count=columns)


def _means_of(members: NDArray[Any], sums: Array, sizes: Array) -> Array:
    inside = members.astype(np.float64) @ np.column_stack([sums, sizes])
    outside = np.array([sums.sum(), sizes.sum()]) - inside
    both = np.concatenate([inside, outside])
    # Flipping nothing is as extreme as what was seen, whatever the mean: it lies beyond both limits.
    beyond = np.repeat([-np.inf, np.inf], len(members))
    proper = np.tile((inside[:, 1] > 0) & (outside[:, 1] > 0), 2)
    means: Array = np.divide(both[:, 0], both[:, 1], out=beyond, where=proper)
    return means
