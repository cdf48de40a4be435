"""Names of the paired comparisons that moved to modules of their own."""

from __future__ import annotations

from ftgate_ext.stats import mean
from ftgate_ext.stats.cells import Array
from ftgate_ext.stats.f1 import f1_difference, f1_of_sums
from ftgate_ext.stats.quantile import quantile
from ftgate_ext.stats.resample import BootstrapResult, Statistic, bootstrap, mean_difference

__all__ = [
    "Array", "BootstrapResult", "Statistic", "bootstrap", "f1_difference", "f1_of_sums",
    "mean_difference", "paired_t", "quantile",
]  # fmt: skip


def paired_t(candidate: Array, baseline: Array) -> float | None:
    """Two-sided p of the paired t-test, or None where all differences are equal or n < 2."""
    if len(candidate) < 2:
        return None
    test = mean.paired_t(candidate, baseline)
    return test.p if isinstance(test, mean.MeanTest) else None
