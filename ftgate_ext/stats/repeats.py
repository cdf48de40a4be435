"""Repeated runs of the same cases -> one mean a case, and where the spread comes from.

A case that was run five times is one case: pooling its runs as if they were five understates the
standard error, at five runs by a factor of 1.2 to 2.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ftgate_ext.stats.checks import Array, finite_values
from ftgate_ext.stats.limits import NoLimits

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class NameNumbers:
    """Names in the order in which they were first seen, and the number of each value's name."""

    names: tuple[Hashable, ...]
    codes: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class CaseMeans:
    """One mean a case, in the order in which the cases were first seen."""

    cases: tuple[Hashable, ...]
    means: Array
    runs: NDArray[np.intp]
    """How many runs each mean is of."""


@dataclass(frozen=True)
class VarianceComponents:
    """Variance of repeated runs: between cases, and between the runs of one case."""

    mean: float
    """Mean of the case means."""
    mean_square_between: float
    mean_square_within: float
    """Also the estimated variance of one run around its case's mean."""
    case_variance: float
    """Variance of the cases' true means; 0 where the runs alone explain what is seen."""
    standard_error: float
    """Of `mean`, from the case means."""
    naive_standard_error: float
    """As if all runs were independent: too small."""
    cases: int
    runs: int

    def standard_error_with(self, repeats: int, cases: int | None = None) -> float:
        """What to expect of another plan: sqrt(s_b^2 / n + s_w^2 / (n K)), K repeats of n cases."""
        n = self.cases if cases is None else cases
        if not (repeats >= 1 and n >= 1):
            raise ValueError(f"repeats={repeats}, cases={n}: expected at least 1 of both")
        return math.sqrt((self.case_variance + self.mean_square_within / repeats) / n)


def number_names(names: Iterable[Hashable], n: int) -> NameNumbers:
    """Number the cases or clusters of n values as they come: two are one if and only if equal.

    Raises:
        ValueError: Not n names, or a name that is None or NaN.
    """
    listed = names.tolist() if isinstance(names, np.ndarray) else list(names)
    if len(listed) != n:
        raise ValueError(f"{len(listed)} names for {n} values: expected one name a value")
    # NaN is not equal to itself: it would make clusters of one out of what is unknown.
    if any(name is None or name != name for name in listed):  # noqa: PLR0124
        raise ValueError("a name is None or NaN: expected the case or cluster of every value")
    seen: dict[Hashable, int] = {}
    codes = [seen.setdefault(name, len(seen)) for name in listed]
    return NameNumbers(tuple(seen), np.array(codes, dtype=np.intp))


def average_repeats(values: ArrayLike, cases: Iterable[Hashable]) -> CaseMeans:
    """Average the runs of each case, so that a case counts once however often it was run.

    Args:
        values: One score a run.
        cases: The case of each run.

    Returns:
        One mean a case, in the order in which the cases are first seen.
    """
    array = finite_values(values, "values")
    numbers = number_names(cases, array.size)
    runs = np.bincount(numbers.codes)
    return CaseMeans(numbers.names, np.bincount(numbers.codes, weights=array) / runs, runs)


def variance_components(scores_by_case: Sequence[ArrayLike]) -> VarianceComponents | NoLimits:
    """How much of the spread is between cases, and how much between the runs of one case.

    One-way random-effects analysis of variance: s_b^2 = (MSB - MSW) / k, with k the runs a case, or
    (N - sum k_i^2 / N) / (n - 1) where they differ (Searle, Casella and McCulloch 1992, ch. 3). The
    standard error comes from the n case means, never from the N runs.

    Args:
        scores_by_case: One list of scores a case, one score a run.

    Returns:
        NoLimits for a single case, and where no case was run twice.
    """
    cases = [finite_values(runs, f"case {i}") for i, runs in enumerate(scores_by_case)]
    if not cases:
        raise ValueError("scores_by_case is empty: expected at least 1 case")
    means, sizes = (
        np.array([runs.mean() for runs in cases]),
        np.array([runs.size for runs in cases]),
    )
    n, total, mean = len(cases), int(sizes.sum()), float(means.mean())
    if n < 2 or total == n:
        return NoLimits(mean, n, f"{n} cases, {total} runs; at least 2 cases and 2 runs are needed")
    every = np.concatenate(cases)
    between = float((sizes * (means - every.mean()) ** 2).sum()) / (n - 1)
    within = sum(float(((runs - runs.mean()) ** 2).sum()) for runs in cases) / (total - n)
    repeats = (total - float((sizes**2).sum()) / total) / (n - 1)
    return VarianceComponents(
        mean=mean, mean_square_between=between, mean_square_within=within,
        case_variance=max(0.0, (between - within) / repeats),
        standard_error=float(means.std(ddof=1)) / math.sqrt(n),
        naive_standard_error=float(every.std(ddof=1)) / math.sqrt(total), cases=n, runs=total,
    )  # fmt: skip
