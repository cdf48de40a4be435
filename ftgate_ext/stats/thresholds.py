"""Scores and truths of cases -> precision and recall at every threshold, and the area below."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Operating:
    """What flagging every case at or above a threshold gives."""

    threshold: float
    precision: float
    recall: float
    f1: float
    flagged: int


@dataclass(frozen=True)
class Sweep:
    """All thresholds of one set of scores, the highest first."""

    points: list[Operating]
    average_precision: float
    """Sum over thresholds of (recall gained) x (precision): the area below the steps of the curve."""

    @property
    def best(self) -> Operating:
        """The threshold with the highest F1; of several the highest threshold."""
        return max(self.points, key=lambda p: (p.f1, p.threshold))


def sweep_thresholds(scores: ArrayLike, positive: ArrayLike) -> Sweep:
    """Precision, recall and F1 at each distinct score.

    Average precision is sum_k (R_k - R_{k-1}) P_k, without interpolation, which would flatter.

    Args:
        scores: One a case; higher means more likely positive.
        positive: Whether each case is.

    Raises:
        ValueError: No cases, lengths that differ, a score that is no number, or no positive case.
    """
    values, truths = np.asarray(scores, np.float64), np.asarray(positive, bool)
    if values.shape != truths.shape or values.ndim != 1 or not len(values):
        raise ValueError(f"{values.shape} scores, {truths.shape} truths: expected as many, at least 1")  # fmt: skip
    if not np.isfinite(values).all():
        raise ValueError("scores hold a value that is no number")
    if not truths.any():
        raise ValueError("no positive case: there is no recall")
    order = np.argsort(-values, kind="stable")
    values, truths = values[order], truths[order]
    last = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)  # of each distinct score
    hits, flagged = np.cumsum(truths)[last], last + 1
    precision, recall = hits / flagged, hits / truths.sum()
    gained = np.diff(recall, prepend=0.0)
    points = [
        Operating(float(v), float(p), float(r), 2 * p * r / (p + r) if p + r else 0.0, int(n))
        for v, p, r, n in zip(values[last], precision, recall, flagged, strict=True)
    ]
    return Sweep(points, float((gained * precision).sum()))
