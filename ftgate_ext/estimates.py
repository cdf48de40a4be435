"""Scores of one model -> its own figure with limits; two limits of any figure as a `Bound`.

Which method for which score, and when there is no interval. Knows arrays, settings and the types on
disk; no records, no rules. Two models on the same cases are for `paired_estimates`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ftgate_ext.schema import Bound
from ftgate_ext.settings import Alphas, Settings, to_estimate
from ftgate_ext.stats.clustered_proportion import clopper_pearson_clusters
from ftgate_ext.stats.f1 import f1_of_sums, f1_pseudo_values
from ftgate_ext.stats.limits import Limits, NoLimits
from ftgate_ext.stats.mean import MeanTest, cluster_t, paired_t
from ftgate_ext.stats.partial_passes import clopper_pearson_of_shares
from ftgate_ext.stats.proportion import clopper_pearson
from ftgate_ext.stats.resample import bootstrap

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftgate_ext.pairing import Kind

Array = np.ndarray[Any, Any]

FEWEST_CASES = 8
"""Below, a bootstrap has nothing to resample from."""
FEW_CHANGES = 20
"""Below, averages of pass/fail are taken for single answers (`stats.partial_passes` says why)."""
TAIL_RESAMPLES = 10
"""Fewer resamples beyond a limit do not make one."""


def bound(interval: Callable[[float], Limits | NoLimits], level: float, alphas: Alphas) -> Bound:
    """Limits at two levels as one `Bound`: the interval to show, and the limits that decide."""
    shown, deciding = interval(level), interval(alphas.level)
    why = next((x.why for x in (shown, deciding) if isinstance(x, NoLimits)), None)
    found = Bound(estimate=to_estimate(shown), alpha_one_sided=alphas.one_sided, no_interval=why)
    if isinstance(deciding, NoLimits):
        return found
    ends = {"lower_one_sided": deciding.lower, "upper_one_sided": deciding.upper}
    return found.model_copy(update=ends)


def estimate_level(
    kind: Kind, values: Array, clusters: Array | None, settings: Settings, alphas: Alphas,
    *, is_pass_fail: bool = False,
) -> Bound:  # fmt: skip
    """A model's own figure.

    Args:
        kind: What the scores are.
        values: Shape (cases, 1 or 3), finite.
        clusters: Per case, or None.
        settings: Resamples, seed and level.
        alphas: Of the one-sided limits.
        is_pass_fail: Whether means are averages of 0 and 1.
    """
    if kind == "f1":
        return _f1_level(values, clusters, settings, alphas)
    flat = values[:, 0]
    if clusters is not None and kind == "binary":
        return bound(
            lambda level: clopper_pearson_clusters(flat, clusters, level), settings.level, alphas
        )
    if clusters is not None:
        return bound(
            lambda level: _limits(cluster_t(flat, clusters, level)), settings.level, alphas
        )
    if kind == "binary":
        k, n = int(flat.sum()), len(flat)
        return bound(lambda level: clopper_pearson(k, n, level), settings.level, alphas)
    if is_pass_fail and min((flat > 0).sum(), (flat < 1).sum()) < FEW_CHANGES:
        return bound(lambda level: clopper_pearson_of_shares(flat, level), settings.level, alphas)
    return bound(lambda level: _mean_limits(flat, level), settings.level, alphas)


def _mean_limits(values: Array, level: float) -> Limits | NoLimits:
    return _limits(paired_t(values, np.zeros(len(values)), level), "t")


def _limits(test: MeanTest | NoLimits, method: str | None = None) -> Limits | NoLimits:
    if isinstance(test, NoLimits):
        return test
    found = test.limits
    if method is None:
        return found
    return Limits(found.value, found.lower, found.upper, found.level, found.n, method)


def _f1_level(values: Array, clusters: Array | None, settings: Settings, alphas: Alphas) -> Bound:
    value = float(f1_of_sums(values.sum(axis=0, keepdims=True))[0])
    if len(values) < FEWEST_CASES:
        return _without_limits(NoLimits(value, len(values), too_few(len(values))))
    if not reaches(alphas, settings) and clusters is None:
        pseudo = f1_pseudo_values(values)
        if pseudo is not None:
            return bound(lambda level: _mean_limits(pseudo, level), settings.level, alphas)
    result = bootstrap(
        values, f1_of_sums, settings.seed, settings.resamples, settings.level,
        clusters=clusters, alpha=alphas.one_sided,
    )  # fmt: skip
    if isinstance(result, NoLimits):
        return _without_limits(result)
    if result.degenerate:
        return _without_limits(NoLimits(value, len(values), "all resamples alike"))
    method = result.interval.method.removeprefix("paired ")
    return Bound(
        estimate=to_estimate(result.interval, method=method), alpha_one_sided=alphas.one_sided,
        lower_one_sided=result.lower_one_sided, upper_one_sided=result.upper_one_sided,
    )  # fmt: skip


def _without_limits(found: NoLimits) -> Bound:
    return Bound(estimate=to_estimate(found), no_interval=found.why)


def too_few(n: int) -> str:
    """Why there is no bootstrap of so few cases."""
    return f"{n} case{'s' if n > 1 else ''}; at least {FEWEST_CASES} are needed"


def reaches(alphas: Alphas, settings: Settings) -> bool:
    """Whether enough resamples lie beyond a one-sided limit for it to be one."""
    return alphas.one_sided * settings.resamples >= TAIL_RESAMPLES
