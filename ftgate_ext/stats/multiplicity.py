"""Several p-values -> what may be claimed from all of them together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ftgate_ext.stats.checks import Array, check_open_share, shares

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class IntersectionUnion:
    """The test of "at least one of the claims is false" against "all of them are true"."""

    p: float
    alpha: float

    @property
    def all_shown(self) -> bool:
        """Every single claim is shown at `alpha`, and so is their conjunction."""
        return self.p <= self.alpha


def holm(p_values: ArrayLike) -> Array:
    """Adjusted p-values that keep the chance of any false claim at alpha, in the order given.

    The i-th smallest of m is multiplied by m - i + 1, and never falls below a smaller one's (Holm,
    Scandinavian Journal of Statistics 6, 1979, 65-70). Holds whatever the dependence. For claims of
    which each stands alone ("better than X", "improved on Y"); where all must hold, see
    `intersection_union`.

    Args:
        p_values: At least one, each in [0, 1].

    Raises:
        ValueError: None at all, or one outside [0, 1].
    """
    p = shares(p_values, "p_values")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return _in_place_of(order, np.minimum(stepped, 1.0))


def benjamini_hochberg(p_values: ArrayLike) -> Array:
    """Adjusted p-values that keep the expected share of false claims at alpha, in the order given.

    The i-th smallest of m is multiplied by m / i, and never rises above a larger one's (Benjamini
    and Hochberg, Journal of the Royal Statistical Society B 57, 1995, 289-300). For lists to look
    through, such as error buckets; never for a release, where one false claim is one too many.

    Args:
        p_values: At least one, each in [0, 1]; independent or positively dependent.

    Raises:
        ValueError: None at all, or one outside [0, 1].
    """
    p = shares(p_values, "p_values")
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    stepped = np.minimum.accumulate(scaled[::-1])[::-1]
    return _in_place_of(order, np.minimum(stepped, 1.0))


def intersection_union(p_values: ArrayLike, alpha: float = 0.05) -> IntersectionUnion:
    """The test of a claim that all of several hold: its p is the largest of theirs.

    Each is tested at alpha without a correction, and the chance of a false "all hold" is at most
    alpha (Berger, Technometrics 24, 1982, 295-300). The price is power: nine claims at 80 % each
    hold together 13 % of the time.

    Args:
        p_values: One a claim.
        alpha: Test level of every claim.

    Raises:
        ValueError: None at all, or one outside [0, 1]; alpha outside (0, 1).
    """
    check_open_share(alpha, "alpha")
    return IntersectionUnion(float(shares(p_values, "p_values").max()), alpha)


def selection_alpha(alpha: float, candidates: int) -> float:
    """The level at which to test the best of several candidates, chosen on the same cases.

    alpha / K (Bonferroni): the first step of Holm. Untouched, the best of 10 equal checkpoints
    "improves" 23 % of the time at alpha 0.05. A split for choosing and one for testing needs no
    correction and loses less.

    Args:
        alpha: Wanted chance of any false claim.
        candidates: K, how many were looked at, not only how many were reported.

    Raises:
        ValueError: No candidate, or alpha outside (0, 1).
    """
    check_open_share(alpha, "alpha")
    if candidates < 1:
        raise ValueError(f"candidates={candidates}: expected at least 1")
    return alpha / candidates


def _in_place_of(order: NDArray[np.intp], sorted_p: Array) -> Array:
    adjusted = np.empty_like(sorted_p)
    adjusted[order] = sorted_p
    return adjusted
