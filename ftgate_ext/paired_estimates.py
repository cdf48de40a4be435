"""Scores of two models on the same cases -> difference and ratio with limits and tests.

Which method for which score, and when there is no interval. Knows arrays, settings and the types on
disk; no records, no rules.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ftgate_ext.estimates import FEW_CHANGES, FEWEST_CASES, bound, reaches, too_few
from ftgate_ext.schema import Bound, Estimate, TestResult
from ftgate_ext.settings import Alphas, Settings, to_estimate
from ftgate_ext.stats.f1 import f1_delta, f1_difference, f1_of_sums, f1_pseudo_values
from ftgate_ext.stats.limits import NoLimits
from ftgate_ext.stats.mean import MIN_CLUSTERS, MeanTest, cluster_t, paired_t, sign_flip
from ftgate_ext.stats.paired_binary import mcnemar_exact, mcnemar_mid_p, tango_interval
from ftgate_ext.stats.partial_passes import pairs_worth, tango_of_shares
from ftgate_ext.stats.planning import mde_from_standard_error
from ftgate_ext.stats.power import mde_mcnemar
from ftgate_ext.stats.randomization import randomization_test
from ftgate_ext.stats.ratio import fieller
from ftgate_ext.stats.resample import bootstrap

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftgate_ext.pairing import Kind

Array = np.ndarray[Any, Any]

FEW_CASES = 30
"""Below, means are tested by exchanging signs: the t-test needs a central limit."""
FEW_CLUSTERS = 20
"""Below, cluster sums are tested by exchanging signs."""


@dataclass(frozen=True)
class Difference:
    """What a comparison says about a paired difference."""

    estimate: Estimate
    lower: float | None
    upper: float | None
    """One-sided limits at the task's test level."""
    tests: list[TestResult]
    standard_error: float | None = None
    no_interval: str | None = None
    mde: float | None = None
    """Smallest true difference seen at 80 % power, two-sided 5 %; None where there is none."""


def estimate_difference(
    kind: Kind, left: Array, right: Array, clusters: Array | None, settings: Settings, alphas: Alphas,
    *, is_pass_fail: bool = False, extra_tests: bool = True,
) -> Difference:  # fmt: skip
    """Candidate minus baseline.

    Pass/fail: Tango's score limits and McNemar's mid-p. F1: paired bootstrap, at levels that it does
    not reach by influence. Means: paired t, under 30 cases by exchanging signs; averages of pass/fail
    with few changed cases as if each were asked once. Clusters: CR1 and t(G - 1), under 20 by
    exchanging signs, under 8 no interval; for pass/fail no narrower than Tango's limits at as many
    pairs as the clusters are worth (`stats` has the sources).

    Args:
        kind: What the scores are.
        left: Candidate, shape (cases, 1 or 3), finite.
        right: Baseline, the same cases.
        clusters: Per case, or None where every case stands alone.
        settings: Resamples, seed and level.
        alphas: Of the one-sided limits.
        is_pass_fail: Whether means are averages of 0 and 1.
        extra_tests: Whether tests that do not decide are made too.
    """
    if kind == "f1":
        if clusters is not None:
            return _from_tests(
                lambda level: _f1_by_influence(left, right, level, clusters), "F1 by influence, clusters", settings, alphas
            )  # fmt: skip
        return _f1_difference(left, right, settings, alphas, extra_tests=extra_tests)
    a, b = left[:, 0], right[:, 0]
    if clusters is not None:
        return _clustered(a - b, clusters, settings, alphas, is_pass_fail=is_pass_fail)
    if kind == "binary":
        return _binary_difference(a, b, settings, alphas, extra_tests=extra_tests)
    if is_pass_fail and (a != b).sum() < FEW_CHANGES:
        return _few_changes(a - b, settings, alphas)
    return _mean_difference(a, b, settings, alphas)


def _mean_difference(a: Array, b: Array, settings: Settings, alphas: Alphas) -> Difference:
    if len(a) < FEW_CASES:
        return _from_tests(
            lambda level: _flip(a - b, None, level, settings), "sign flip", settings, alphas
        )
    return _from_tests(lambda level: paired_t(a, b, level), "paired t", settings, alphas)


def _clustered(
    differences: Array, clusters: Array, settings: Settings, alphas: Alphas, *, is_pass_fail: bool
) -> Difference:
    n_clusters = len(np.unique(clusters))
    if is_pass_fail and np.ptp(differences) == 0 and n_clusters >= MIN_CLUSTERS:
        return _copies(float(differences[0]), n_clusters, settings, alphas)
    if n_clusters < FEW_CLUSTERS:
        found = _from_tests(
            lambda level: _flip(differences, clusters, level, settings),
            "sign flip of clusters", settings, alphas,
        )  # fmt: skip
    else:
        found = _from_tests(
            lambda level: cluster_t(differences, clusters, level), "t of clusters (CR1)", settings, alphas
        )  # fmt: skip
    if not is_pass_fail:
        return found
    return _within_one(_no_narrower(found, differences, clusters, settings, alphas))


def _within_one(found: Difference) -> Difference:
    """Limits of a difference of shares, cut off where no such difference can be."""

    def cut(end: float | None) -> float | None:
        return None if end is None else min(1.0, max(-1.0, end))

    ends = {"lower": cut(found.estimate.lower), "upper": cut(found.estimate.upper)}
    estimate = found.estimate.model_copy(update=ends)
    return replace(found, estimate=estimate, lower=cut(found.lower), upper=cut(found.upper))


def _copies(difference: float, n: int, settings: Settings, alphas: Alphas) -> Difference:
    """Pass/fail without any spread: each cluster counts as one pair, as if its cases were copies."""
    gained, lost = (n if difference > 0 else 0), (n if difference < 0 else 0)
    changes = np.full(n, difference)
    shown, deciding = (tango_of_shares(changes, n, x) for x in (settings.level, alphas.level))
    tests = [TestResult(name="McNemar mid-p of clusters", p=mcnemar_mid_p(gained, lost))]
    return Difference(to_estimate(shown), deciding.lower, deciding.upper, tests)


def _no_narrower(
    found: Difference, differences: Array, clusters: Array, settings: Settings, alphas: Alphas
) -> Difference:
    """Pass/fail in clusters: limits at least as wide as Tango's at the pairs that they are worth."""
    shown = found.estimate
    if found.lower is None or found.upper is None or shown.lower is None or shown.upper is None:
        return found
    if not found.standard_error:
        return found
    pairs = pairs_worth(differences, found.standard_error, len(np.unique(clusters)))
    least, wide = (tango_of_shares(differences, pairs, x) for x in (alphas.level, settings.level))
    ends = {"lower": min(shown.lower, wide.lower), "upper": max(shown.upper, wide.upper)}
    return replace(
        found, estimate=shown.model_copy(update=ends),
        lower=min(found.lower, least.lower), upper=max(found.upper, least.upper),
    )  # fmt: skip


def _few_changes(differences: Array, settings: Settings, alphas: Alphas) -> Difference:
    """Averaged pass/fail scores that hardly differ: limits as if each case were asked once."""
    n = len(differences)
    shown, deciding = (tango_of_shares(differences, n, x) for x in (settings.level, alphas.level))
    gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
    detail = f"{gained} cases better, {lost} worse"
    tests = [TestResult(name="sign test (mid-p)", p=mcnemar_mid_p(gained, lost), detail=detail)]
    return Difference(
        to_estimate(shown), deciding.lower, deciding.upper, tests,
        float(np.sqrt(differences.var() / n)) or None,
        mde=mde_mcnemar(n, float(np.abs(differences).mean())),
    )  # fmt: skip


def _flip(
    differences: Array, clusters: Array | None, level: float, settings: Settings
) -> MeanTest | NoLimits:
    """The sign-flip test, where so many flips reach the level at all."""
    if settings.flips * (1 - level) < 1:
        why = f"{settings.flips:,} exchanges of signs do not reach the level {level:.8g} of this look or selection"
        return NoLimits(float(differences.mean()), len(differences), why)
    return sign_flip(differences, clusters, level, settings.seed, settings.flips)


def _from_tests(
    test: Callable[[float], MeanTest | NoLimits], name: str, settings: Settings, alphas: Alphas
) -> Difference:
    shown, deciding = test(settings.level), test(alphas.level)
    if isinstance(shown, NoLimits):
        return Difference(to_estimate(shown), None, None, [], no_interval=shown.why)
    estimate = to_estimate(shown.limits)
    tests = [TestResult(name=name, p=shown.p)]
    if isinstance(deciding, NoLimits):
        return Difference(estimate, None, None, tests, shown.standard_error, deciding.why)
    return Difference(
        estimate, deciding.limits.lower, deciding.limits.upper, tests, shown.standard_error,
        mde=mde_from_standard_error(shown.standard_error),
    )  # fmt: skip


def _binary_difference(
    left: Array, right: Array, settings: Settings, alphas: Alphas, *, extra_tests: bool
) -> Difference:
    n, gained, lost = len(left), int((left > right).sum()), int((left < right).sum())
    deciding = tango_interval(gained, lost, n, alphas.level)
    detail = f"{gained} gained, {lost} lost"
    tests = [TestResult(name="McNemar mid-p", p=mcnemar_mid_p(gained, lost), detail=detail)]
    if extra_tests:
        tests.append(TestResult(name="McNemar exact", p=mcnemar_exact(gained, lost), detail=detail))
        t = paired_t(left, right)
        tests += [] if isinstance(t, NoLimits) else [TestResult(name="paired t", p=t.p)]
    square = (gained + lost - (gained - lost) ** 2 / n) / n**2
    return Difference(
        to_estimate(tango_interval(gained, lost, n, settings.level)), deciding.lower, deciding.upper,
        tests, float(np.sqrt(square)) or None, mde=mde_mcnemar(n, (gained + lost) / n),
    )  # fmt: skip


def _f1_difference(
    left: Array, right: Array, settings: Settings, alphas: Alphas, *, extra_tests: bool
) -> Difference:
    rows = np.column_stack([left, right])
    value = float(f1_difference(rows.sum(axis=0, keepdims=True))[0])
    why = None if len(rows) >= FEWEST_CASES else too_few(len(rows))
    if why is None:
        result = bootstrap(
            rows, f1_difference, settings.seed, settings.resamples, settings.level,
            alpha=alphas.one_sided,
        )  # fmt: skip
        if not isinstance(result, NoLimits) and not result.degenerate:
            tests = [TestResult(name="paired bootstrap", p=result.p)]
            tests += _f1_tests(left, right, settings) if extra_tests else []
            ends: list[float | None] = [result.lower_one_sided, result.upper_one_sided]
            if not reaches(alphas, settings):
                far = _f1_by_influence(left, right, alphas.level, None)
                ends = (
                    [None, None]
                    if isinstance(far, NoLimits)
                    else [far.limits.lower, far.limits.upper]
                )
            return Difference(
                to_estimate(result.interval), ends[0], ends[1], tests, result.standard_error, mde=mde_from_standard_error(result.standard_error),
            )  # fmt: skip
        why = "all resamples alike"
    return Difference(to_estimate(NoLimits(value, len(rows), why)), None, None, [], no_interval=why)


def _f1_by_influence(
    left: Array, right: Array, level: float, clusters: Array | None
) -> MeanTest | NoLimits:
    found = f1_delta(left, right, level, clusters)
    if isinstance(found, NoLimits) and found.value is None:
        value = float(
            f1_of_sums(left.sum(axis=0)[None])[0] - f1_of_sums(right.sum(axis=0)[None])[0]
        )
        return replace(found, value=value)
    return found


def _f1_tests(left: Array, right: Array, settings: Settings) -> list[TestResult]:
    delta = f1_delta(left, right, settings.level)
    swapped = randomization_test(left, right, f1_difference, settings.seed, settings.resamples)
    found = [] if isinstance(delta, NoLimits) else [TestResult(name="delta method", p=delta.p)]
    return [*found, TestResult(name="approximate randomisation", p=swapped.p)]


def estimate_ratio(
    kind: Kind, left: Array, right: Array, clusters: Array | None, settings: Settings, alphas: Alphas
) -> Bound | None:  # fmt: skip
    """Candidate / baseline by Fieller, of F1 over its pseudo-values; None where there is none."""
    if kind == "f1":
        a, b = f1_pseudo_values(left), f1_pseudo_values(right)
    else:
        a, b = left[:, 0], right[:, 0]
    if a is None or b is None or b.mean() <= 0 or len(a) < 2:
        return None
    return bound(lambda level: fieller(a, b, level, clusters), settings.level, alphas)
