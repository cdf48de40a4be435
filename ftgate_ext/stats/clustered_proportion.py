"""One proportion of cases that come in clusters, with limits that hold at the boundary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betaincinv, stdtrit

from ftgate_ext.stats.checks import check_open_share, shares
from ftgate_ext.stats.limits import Limits, NoLimits
from ftgate_ext.stats.mean import MIN_CLUSTERS, cluster_t

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def clopper_pearson_clusters(
    outcomes: ArrayLike, clusters: ArrayLike, level: float = 0.95
) -> Limits | NoLimits:
    """Clopper-Pearson limits at the number of independent cases that the clusters are worth.

    n* = p (1 - p) / SE^2 times (t(n - 1) / t(G - 1))^2, at most n, with SE the CR1 error and both t
    at the wanted level; the limits are the beta quantiles at k* = p n* of n* (Korn and Graubard,
    Survey Methodology 24, 1998, 193-201). Under 8 failures, or under 8 successes, there is no SE to
    speak of, and n* is at most G, as if the cases of a cluster were copies of each other: one more
    failure must not make the rate surer.

    Args:
        outcomes: 0 or 1 a case.
        clusters: One name a case.
        level: Two-sided; a one-sided 95 % limit is a limit at level 0.90.

    Returns:
        The limits, or none under 8 clusters.

    Raises:
        ValueError: No cases, outcomes other than 0 and 1, lists of different lengths.
    """
    check_open_share(level, "level")
    values = shares(outcomes, "outcomes")
    names = np.asarray(clusters)
    if names.shape != values.shape or not np.isin(values, (0.0, 1.0)).all():
        raise ValueError(
            f"{len(values)} outcomes, {len(names)} cluster names: expected as many, outcomes 0 or 1"
        )
    n, groups, p = len(values), len(np.unique(names)), float(values.mean())
    if groups < MIN_CLUSTERS:
        return NoLimits(p, n, f"{groups} clusters; at least {MIN_CLUSTERS} are needed")
    worth = float(groups)
    test = cluster_t(values, names, level)
    if not isinstance(test, NoLimits):
        shrink = stdtrit(n - 1, 0.5 + level / 2) / stdtrit(groups - 1, 0.5 + level / 2)
        found = p * (1 - p) / test.standard_error**2 * float(shrink) ** 2
        rare = min(values.sum(), n - values.sum()) < MIN_CLUSTERS
        worth = min(float(groups if rare else n), found)
    k, tail = p * worth, (1 - level) / 2
    lower = 0.0 if k <= 0 else float(betaincinv(k, worth - k + 1, tail))
    upper = 1.0 if k >= worth else float(betaincinv(k + 1, worth - k, 1 - tail))
    method = f"Clopper-Pearson at {worth:.1f} independent cases ({groups} clusters)"
    return Limits(p, lower, upper, level, n, method)
