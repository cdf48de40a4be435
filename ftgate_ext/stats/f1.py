"""True and false positives and negatives of each case -> micro F1 of two models, compared.

Micro F1 pools the counts of all cases: 2TP / (2TP + FP + FN). The mean of one F1 a case is another
quantity; it is a mean, and `mean.paired_t` compares it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from ftgate_ext.stats.checks import Array, check_open_share
from ftgate_ext.stats.limits import Limits, NoLimits
from ftgate_ext.stats.mean import MIN_CLUSTERS, ROUNDING, MeanTest
from ftgate_ext.stats.repeats import number_names

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class _Spread:
    """A standard error from groups of cases that vary independently."""

    standard_error: float
    groups: int


def f1_of_sums(sums: Array) -> Array:
    """2TP / (2TP + FP + FN) a row; 0 where there is neither a finding nor a report."""
    denominator = 2 * sums[:, 0] + sums[:, 1] + sums[:, 2]
    return np.divide(
        2 * sums[:, 0], denominator, out=np.zeros_like(denominator), where=denominator > 0
    )


def f1_difference(sums: Array) -> Array:
    """Columns (tp, fp, fn of the candidate, tp, fp, fn of the baseline) -> F1 minus F1."""
    return f1_of_sums(sums[:, 0:3]) - f1_of_sums(sums[:, 3:6])


def f1_delta(
    candidate: ArrayLike,
    baseline: ArrayLike,
    level: float = 0.95,
    clusters: Iterable[Hashable] | None = None,
) -> MeanTest | NoLimits:
    """Delta-method test of the difference of two models' F1 on the same cases.

    F1 is a ratio of sums, and case i moves it by its influence
    l_i = (2TP_i - F1 (2TP_i + FP_i + FN_i)) / mean(2TP + FP + FN)
    (Hampel 1974, Journal of the American Statistical Association 69, 383-393). With d_i the
    candidate's influence minus the baseline's: SE = sd(d) / sqrt(n), and z = difference / SE is
    standard normal. Type-I error 0.067 at 50 cases, 0.055 at 200, 0.050 at 1000. With clusters, the
    d_i are added up in each, SE = sqrt(G / (G - 1) sum_g (sum d_i)^2) / n, and the difference / SE
    is Student's t with G - 1 degrees of freedom. Not under 50 cases: use `randomization_test`.

    Args:
        candidate: Shape (cases, 3): TP, FP, FN of one case.
        baseline: The same of the other model, in the same order.
        level: Two-sided confidence level.
        clusters: One name a case, where cases come in clusters.

    Returns:
        NoLimits where a model has no F1 (nothing to find and nothing reported), where the
        influences do not vary, and under 8 clusters.
    """
    new, old = _check(candidate, "candidate"), _check(baseline, "baseline")
    _check_same_shape(new, old)
    check_open_share(level, "level")
    n = len(new)
    for side, name in ((new, "candidate"), (old, "baseline")):
        if not side.any():
            return NoLimits(None, n, f"no finding and no report of the {name}: F1 is undefined")
    value = float(f1_difference(np.hstack([new.sum(axis=0), old.sum(axis=0)])[None, :])[0])
    spread = _spread(_influence(new) - _influence(old), clusters)
    if clusters is not None and spread.groups < MIN_CLUSTERS:
        return NoLimits(value, n, f"{spread.groups} clusters; at least {MIN_CLUSTERS} are needed")
    if n < 2 or spread.standard_error * math.sqrt(n) <= ROUNDING:
        return NoLimits(value, n, f"the difference of F1 does not vary over {n} cases")
    return _test(
        value, spread.standard_error, n, level, None if clusters is None else spread.groups
    )


def f1_jackknife_se(candidate: ArrayLike, baseline: ArrayLike) -> float | None:
    """Delete-1 jackknife standard error of the difference of two models' F1.

    sqrt((n - 1) / n sum (d_(i) - mean d_(.))^2), d_(i) the difference without case i (Tukey 1958;
    Efron and Tibshirani 1993, 11.5). A check of `f1_delta`; not where cases come in clusters.

    Returns:
        None of one case, where a model has no F1 without one of the cases, and where nothing varies.
    """
    new, old = _check(candidate, "candidate"), _check(baseline, "baseline")
    _check_same_shape(new, old)
    n = len(new)
    left_out = np.hstack([new.sum(axis=0) - new, old.sum(axis=0) - old])
    if n < 2 or not (left_out[:, :3].any(axis=1) & left_out[:, 3:].any(axis=1)).all():
        return None
    error = float(f1_difference(left_out).std()) * math.sqrt(n - 1)
    return error if error * math.sqrt(n) > ROUNDING else None


def f1_pseudo_values(counts: ArrayLike) -> Array | None:
    """One value a case whose mean is F1 and whose spread is F1's, for methods made for means.

    F1 + l_i, with l_i the influence of case i as in `f1_delta`. With it the ratio of two F1 is
    Fieller's, to first order. Not under 50 cases.

    Args:
        counts: Shape (cases, 3): TP, FP, FN of one case.

    Returns:
        None where there is no F1: nothing to find and nothing reported.
    """
    checked = _check(counts, "counts")
    if not checked.any():
        return None
    return np.asarray(f1_of_sums(checked.sum(axis=0, keepdims=True))[0] + _influence(checked))


def _check(counts: ArrayLike, name: str) -> Array:
    array = np.asarray(counts, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 3 or len(array) == 0:
        raise ValueError(f"{name} has shape {array.shape}: expected (cases, 3), at least one case")
    wrong = array[~((array >= 0) & np.isfinite(array))]
    if wrong.size:
        raise ValueError(f"{name} holds {wrong[0]}: expected counts from 0 upward")
    return array


def _check_same_shape(candidate: Array, baseline: Array) -> None:
    if len(candidate) != len(baseline):
        raise ValueError(
            f"candidate has {len(candidate)} cases, baseline {len(baseline)}: expected as many"
        )


def _influence(counts: Array) -> Array:
    """What each case adds to F1, shape (cases,); they add up to 0."""
    hits, parts = 2 * counts[:, 0], counts @ np.array([2.0, 1.0, 1.0])
    return np.asarray((hits - hits.sum() / parts.sum() * parts) / parts.mean())


def _spread(influence: Array, clusters: Iterable[Hashable] | None) -> _Spread:
    n = len(influence)
    sums = influence
    if clusters is not None:
        sums = np.bincount(number_names(clusters, n).codes, weights=influence).astype(np.float64)
    groups = len(sums)
    variance = float(sums @ sums) * groups / max(1, groups - 1)
    return _Spread(math.sqrt(variance) / n, groups)


def _test(
    value: float, standard_error: float, n: int, level: float, clusters: int | None
) -> MeanTest:
    """Normal, or Student's t where there are clusters; limits stay in [-1, 1]."""
    z = abs(value) / standard_error
    if clusters is None:
        df, method = None, "F1 delta method"
        p, quantile = 2 * special.ndtr(-z), special.ndtri(0.5 + level / 2)
    else:
        df, method = clusters - 1, f"F1 delta method, {clusters} clusters"
        p, quantile = 2 * special.stdtr(df, -z), special.stdtrit(df, 0.5 + level / 2)
    reach = float(quantile) * standard_error
    limits = Limits(value, max(-1.0, value - reach), min(1.0, value + reach), level, n, method)
    return MeanTest(limits, float(p), standard_error, df)
