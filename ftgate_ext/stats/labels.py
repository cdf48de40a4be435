"""True positives, false positives and false negatives of each label -> precision, recall and F1.

Every statistic is a function of sums over cases, vectorised over resamples: columns come in threes
(tp, fp, fn), one three a label; in the last three stand labels that are never right, which have false
positives only and count for micro averages alone. 0 / 0 is 0, as nothing was found.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np

from ftgate_ext.stats.cells import Array

Average = Literal["micro", "macro"]
Figure = Literal["precision", "recall", "f1"]
Statistic = Callable[[Array], Array]

STATISTICS: dict[str, tuple[Figure, Average]] = {
    f"{figure}_{average}": (figure, average)
    for average in ("micro", "macro") for figure in ("precision", "recall", "f1")
}  # fmt: skip
"""Metric -> what it is."""


def label_statistic(metric: str) -> Statistic:
    """The statistic of one model: sums, shape (resamples, 3 x labels) -> one value each."""
    figure, average = STATISTICS[metric]
    return partial(_figure, figure=figure, average=average)


def label_difference(metric: str, columns: int) -> Statistic:
    """The difference of two models whose columns stand side by side, `columns` of each."""
    one = label_statistic(metric)
    return lambda sums: np.asarray(one(sums[:, :columns]) - one(sums[:, columns:]))


def _figure(sums: Array, *, figure: Figure, average: Average) -> Array:
    tp, fp, fn = (sums[:, i::3] for i in range(3))
    if average == "micro":
        tp, fp, fn = (x.sum(axis=1, keepdims=True) for x in (tp, fp, fn))
    else:
        tp, fp, fn = tp[:, :-1], fp[:, :-1], fn[:, :-1]
    if figure == "precision":
        each = _share(tp, tp + fp)
    elif figure == "recall":
        each = _share(tp, tp + fn)
    else:
        each = _share(2 * tp, 2 * tp + fp + fn)
    return np.asarray(each.mean(axis=1))


def _share(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.zeros_like(part, dtype=np.float64), where=whole > 0)
