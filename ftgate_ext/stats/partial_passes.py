"""Pass/fail averages of repeats, or pass/fail in clusters -> limits that hold where little changes.

Near 0 and 1, and where few cases changed, t-limits are too narrow: a candidate with exactly the loss
that a margin forbids clears it in 10 to 15 % of runs instead of 5 % (300 cases, 5 repeats; 40 clusters
of 10). A score between 0 and 1 spreads no more than one of 0 and 1 with the same mean, so the limits
of whole passes hold for parts of passes. They are wider than need be where many cases changed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ftgate_ext.stats.checks import check_open_share, finite_values, shares
from ftgate_ext.stats.limits import Limits
from ftgate_ext.stats.paired_binary import tango_interval
from ftgate_ext.stats.proportion import clopper_pearson

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

ROUNDING = 1e-9
"""Sums of averages that differ by less are equal."""


def clopper_pearson_of_shares(values: ArrayLike, level: float = 0.95) -> Limits:
    """Clopper-Pearson limits as if each case had been asked once (Biometrika 26, 1934, 404-413).

    A part of a pass counts against the limit: as none for the lower, as a whole one for the upper.

    Args:
        values: One pass rate a case, in [0, 1].
        level: Two-sided; a one-sided 95 % limit is a limit at level 0.90.
    """
    rates = shares(values, "values")
    total, n = float(rates.sum()), len(rates)
    return Limits(
        total / n, clopper_pearson(_down(total), n, level).lower,
        clopper_pearson(_up(total), n, level).upper, level, n, "Clopper-Pearson on cases",
    )  # fmt: skip


def tango_of_shares(differences: ArrayLike, pairs: int, level: float = 0.95) -> Limits:
    """Tango's score limits at so many pairs, where a case may be gained or lost in part.

    The gained and the lost parts are summed, scaled to `pairs`, and rounded against the limit on
    either side (Tango, Statistics in Medicine 17, 1998, 891-908). The interval of the exchanged
    models is its mirror image.

    Args:
        differences: Candidate minus baseline, one a case, in [-1, 1].
        pairs: How many independent pairs the cases are worth, at least 1 and at most as many.
        level: Two-sided.

    Raises:
        ValueError: A difference outside [-1, 1], or pairs out of range.
    """
    check_open_share(level, "level")
    changes = finite_values(differences, "differences")
    if np.abs(changes).max() > 1 or not 1 <= pairs <= len(changes):
        raise ValueError(f"differences up to {np.abs(changes).max():.4g}, {pairs} pairs: expected at most 1, and 1 to {len(changes)} pairs")  # fmt: skip
    scale = pairs / len(changes)
    gained = scale * float(changes[changes > 0].sum())
    lost = -scale * float(changes[changes < 0].sum())
    lower = tango_interval(_down(gained), _up(lost), pairs, level).lower
    upper = tango_interval(_up(gained), _down(lost), pairs, level).upper
    method = f"Tango score on {pairs} pairs"
    return Limits(float(changes.mean()), lower, upper, level, len(changes), method)


def pairs_worth(differences: ArrayLike, standard_error: float, clusters: int) -> int:
    """How many independent pairs the cases of clusters are worth.

    var(d) / SE^2 with SE from the clusters, from the number of clusters to the number of cases: the
    effective size of Korn and Graubard (Survey Methodology 24, 1998, 193-201) for a difference.

    Args:
        differences: One a case.
        standard_error: Of their mean, cluster-robust, above 0.
        clusters: How many there are.
    """
    changes = finite_values(differences, "differences")
    if not standard_error > 0:
        raise ValueError(f"standard_error={standard_error}: expected above 0")
    worth = math.floor(float(changes.var()) / standard_error**2 + ROUNDING)
    return max(clusters, min(len(changes), worth))


def _down(count: float) -> int:
    return math.floor(count + ROUNDING)


def _up(count: float) -> int:
    return math.ceil(count - ROUNDING)
