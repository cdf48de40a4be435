"""Agreement of two raters on cases that come in groups, such as several pairs of one question.

Knows category numbers and groups only. Categories outside the table, no case, and lists of different
lengths raise ValueError.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from ftgate_ext.stats.agreement import Kappa, KappaWeights, cohens_kappa
from ftgate_ext.stats.checks import Array, check_open_share
from ftgate_ext.stats.limits import Limits, NoLimits
from ftgate_ext.stats.repeats import number_names

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from numpy.typing import ArrayLike, NDArray


def clustered_kappa(
    first: ArrayLike,
    second: ArrayLike,
    categories: int,
    groups: Iterable[Hashable],
    weights: KappaWeights | None = None,
    level: float = 0.95,
) -> Kappa | NoLimits:
    """Cohen's kappa with limits that respect groups: delete-one-group jackknife and t(G - 1).

    se^2 = (G - 1) / G * sum (kappa_without_g - mean)^2 (Efron and Tibshirani 1993, ch. 11). Where every
    case stands alone, the analytic error of `cohens_kappa`.

    Args:
        first: Rater one's category of each case, 0 to categories - 1.
        second: Rater two's.
        categories: How many there are, at least 2.
        groups: The group of each case.
        weights: As `cohens_kappa`.
        level: Of the limits, cut off at 1.

    Returns:
        Kappa, or none where chance explains everything, or where no group moves it.
    """
    check_open_share(level, "level")
    one, two = _codes(first, categories), _codes(second, categories)
    if one.shape != two.shape:
        raise ValueError(f"{one.size} and {two.size} ratings: expected pairs")
    numbers = number_names(groups, one.size)
    tables = np.zeros((len(numbers.names), categories, categories))
    np.add.at(tables, (numbers.codes, one, two), 1)
    total = tables.sum(axis=0)
    found = cohens_kappa(total, weights, level)
    size = len(tables)
    if size == one.size or (isinstance(found, NoLimits) and found.value is None):
        return found
    value = found.value if isinstance(found, NoLimits) else found.limits.value
    left_out = [_kappa(total - table, weights) for table in tables]
    if value is None or size < 2 or any(k is None for k in left_out):
        return NoLimits(value, one.size, f"{size} groups do not bound it")
    spread = np.array(left_out, dtype=np.float64)
    error = math.sqrt((size - 1) / size * float(((spread - spread.mean()) ** 2).sum()))
    if error < 1e-12:
        return NoLimits(value, one.size, f"no group among {size} moves it: label more of them")
    half = float(special.stdtrit(size - 1, 0.5 + level / 2)) * error
    name = f"Cohen's kappa{f', {weights} weights' if weights else ''}, {size} groups"
    limits = Limits(value, value - half, min(1.0, value + half), level, one.size, name)
    observed, expected = _shares(total, weights)
    return Kappa(limits, error, observed, expected)


def _codes(values: ArrayLike, categories: int) -> NDArray[np.intp]:
    codes = np.asarray(values)
    if codes.ndim != 1 or codes.size < 1 or codes.dtype.kind not in "iu":
        raise ValueError("ratings: expected at least 1 category number a case")
    if codes.min() < 0 or codes.max() >= categories:
        raise ValueError(
            f"ratings from {codes.min()} to {codes.max()}: expected 0 to {categories - 1}"
        )
    return codes.astype(np.intp)


def _kappa(table: Array, weights: KappaWeights | None) -> float | None:
    found = cohens_kappa(table, weights) if table.sum() else NoLimits(None, 0, "no case")
    return found.value if isinstance(found, NoLimits) else found.limits.value


def _shares(table: Array, weights: KappaWeights | None) -> tuple[float, float]:
    found = cohens_kappa(table, weights)
    return (found.observed, found.expected) if isinstance(found, Kappa) else (1.0, 0.0)
