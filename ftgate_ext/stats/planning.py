"""Standard errors, suites and powers -> what a plan says before a run, and how much more would settle.

Knows a metric by its standard error only, whatever its kind; for F1 the standard error can be
derived from assumptions. Estimates are taken to be normal around the true effect. Effects, standard
errors and thresholds are in the same unit, oriented so that bigger is better.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scipy.special import bdtrc, ndtr

from ftgate_ext.stats.checks import check_open_share
from ftgate_ext.stats.power import (
    check_cases,
    check_finite,
    check_positive,
    check_share,
    critical_z,
    one_sided_z,
    power_z,
)
from ftgate_ext.stats.proportion import check_count

if TYPE_CHECKING:
    from collections.abc import Sequence


def mde_from_standard_error(
    standard_error: float, alpha: float = 0.05, power: float = 0.8, sides: int = 2
) -> float:
    """Smallest effect over the threshold that is seen with this power: (z_a + z_b) SE."""
    check_positive(standard_error, "standard_error")
    return (critical_z(alpha, sides) + power_z(power, alpha)) * standard_error


def cases_from_standard_error(
    standard_error: float,
    n: float,
    effect: float,
    threshold: float = 0.0,
    alpha: float = 0.05,
    power: float = 0.8,
    sides: int = 2,
) -> float | None:
    """Cases needed, from the standard error that n such cases had: n (MDE / (effect - threshold))^2.

    None where the effect is not above the threshold.
    """
    check_cases(n)
    check_finite(effect, "effect")
    check_finite(threshold, "threshold")
    mde = mde_from_standard_error(standard_error, alpha, power, sides)
    if effect <= threshold:
        return None
    ratio = mde / (effect - threshold)
    return n * ratio * ratio


def power_from_standard_error(
    standard_error: float,
    effect: float,
    threshold: float = 0.0,
    alpha: float = 0.05,
    sides: int = 2,
) -> float:
    """Chance that the lower limit of an estimate clears the threshold.

    Phi((effect - threshold) / SE - z_a). For a rule that must be proven: sides=1 and its own
    threshold, the margin of a non-inferiority rule with a minus.
    """
    check_positive(standard_error, "standard_error")
    check_finite(effect, "effect")
    check_finite(threshold, "threshold")
    return float(ndtr((effect - threshold) / standard_error - critical_z(alpha, sides)))


def power_of_significance(
    standard_error: float,
    effect: float,
    threshold: float = 0.0,
    alpha: float = 0.05,
    sides: int = 2,
) -> float:
    """Chance that an estimate reaches the threshold and its test rejects "no difference".

    Phi((effect - max(threshold, z_a SE)) / SE): "at least 1 point better, p < 0.05". The point has to
    reach the threshold, the limit only has to clear 0.
    """
    check_positive(standard_error, "standard_error")
    check_finite(effect, "effect")
    check_finite(threshold, "threshold")
    least = max(threshold, critical_z(alpha, sides) * standard_error)
    return float(ndtr((effect - least) / standard_error))


def chance_of_point_pass(standard_error: float, effect: float, threshold: float) -> float:
    """Chance that the estimate itself reaches the threshold: Phi((effect - threshold) / SE).

    For pass/fail of two models on few cases `paired_power.point_rule_pass_rate` is exact.
    """
    check_positive(standard_error, "standard_error")
    check_finite(effect, "effect")
    check_finite(threshold, "threshold")
    return float(ndtr((effect - threshold) / standard_error))


def chance_unchanged_passes(standard_error: float, threshold: float) -> float:
    """Chance that a point rule passes a model with no true change; it blocks the rest, to 1."""
    return chance_of_point_pass(standard_error, 0.0, threshold)


def design_effect(cluster_size: float, icc: float) -> float:
    """How many times more cases are needed where they come in clusters: 1 + (m - 1) icc.

    Kish 1965, Survey Sampling. `icc` is the correlation, in [0, 1], of the differences within a
    cluster; `cluster_size` m is the mean size, at least 1.
    """
    if not (cluster_size >= 1 and math.isfinite(cluster_size) and 0 <= icc <= 1):
        raise ValueError(f"cluster_size={cluster_size}, icc={icc}: expected a size from 1 and an icc from 0 to 1")  # fmt: skip
    return 1 + (cluster_size - 1) * icc


def effective_cases(n: float, cluster_size: float, icc: float) -> float:
    """Independent cases that are worth as much as n cases in clusters: n / design effect."""
    check_cases(n)
    return n / design_effect(cluster_size, icc)


def f1_standard_error(n: float, f1: float, prevalence: float, disagreement: float) -> float:
    """Standard error of the F1 difference of two models, before there is a run to take it from.

    SE = sqrt(q (1 + (1 - F)^2) / n) / (2 p). A case that one model alone has right moves the F1
    difference by (2 - F) / D if it is a true positive there, and by F / D if it is a true negative,
    D = mean(2TP + FP + FN) (influence function of F1; Hampel 1974, JASA 69, 383-393). Assumed: both
    models have about this F1 and report as many positives as there are, so D = 2p and misses are as
    many as false alarms; so the disagreements are half on true, half on false cases. With an earlier
    run take the standard error from that.

    Args:
        n: Cases.
        f1: Assumed F1 of both, in (0, 1).
        prevalence: Share p of cases whose true label is positive, in (0, 1).
        disagreement: Share q of cases where exactly one model is right. Each errs on 2p (1 - F) of
            the cases, so it is at most twice that.
    """
    check_cases(n)
    check_open_share(f1, "f1")
    check_open_share(prevalence, "prevalence")
    most = min(1.0, 4 * prevalence * (1 - f1))
    if not 0 < disagreement <= most + 1e-12:
        raise ValueError(f"disagreement={disagreement}: expected above 0 and at most {most:.4g}, twice the errors that f1={f1} allows")  # fmt: skip
    return math.sqrt(disagreement * (1 + (1 - f1) ** 2) / n) / (2 * prevalence)


def mde_f1(
    n: float,
    f1: float,
    prevalence: float,
    disagreement: float,
    alpha: float = 0.05,
    power: float = 0.8,
    sides: int = 2,
) -> float | None:
    """Smallest F1 difference that n cases show, under the assumptions of `f1_standard_error`.

    None where it is more than q / (2p), what F1 changes by if every disagreement goes one way.
    """
    standard_error = f1_standard_error(n, f1, prevalence, disagreement)
    mde = mde_from_standard_error(standard_error, alpha, power, sides)
    return mde if mde <= disagreement / (2 * prevalence) else None


def cases_to_settle(
    n: int, z_observed: float, alpha: float = 0.05, power: float = 0.8
) -> int | None:
    """Cases in all that would settle an open rule, if the true effect is the one observed.

    N = n ((z_a + z_b) / z_observed)^2, at least n. The observed effect is noisy: print the number
    for the planned effect beside it. More looks at the same rule need stricter limits.

    Args:
        n: Cases so far.
        z_observed: (estimate - threshold) / standard error.
        alpha: One-sided level.
        power: Chance to pass with that many cases.

    Returns:
        None where z_observed is not above 0: the estimate is on the wrong side, and more data is
        unlikely to help. Also where z_observed is so near 0 that the number is beyond all counting.
    """
    check_count(0, n)
    check_finite(z_observed, "z_observed")
    wanted = one_sided_z(alpha) + power_z(power, alpha)
    if z_observed <= 0:
        return None
    ratio = wanted / z_observed
    cases = n * ratio * ratio
    return max(int(n), math.ceil(cases)) if math.isfinite(cases) else None


def chance_of_false_regression(suite_size: int, pass_rate: float, runs: int = 1) -> float:
    """Chance that an identical model shows a regression on a suite of flaky cases.

    1 - (1 - f)^N, f = P(more than half of the runs of one case fail) = P(Bin(runs, 1 - pass_rate)
    > runs / 2). The baseline is taken to have passed every case, as a regression presumes.

    Args:
        suite_size: Cases N, at least 1.
        pass_rate: Chance that a run of a case passes, the same for all.
        runs: Runs a case, decided by majority; an even number fails on more than half.
    """
    check_count(0, suite_size)
    check_count(0, runs)
    check_share(pass_rate, "pass_rate")
    fails = float(bdtrc(int(runs) // 2, int(runs), 1 - pass_rate))
    return _at_least_one(suite_size, fails)


def chance_of_missed_regression(suite_size: int, regression_rate: float) -> float:
    """Chance that no case of the suite shows a regression that hits this share of all cases.

    (1 - r)^N: at 50 cases a regression of 1 % goes unseen 61 % of the time.
    """
    check_count(0, suite_size)
    check_share(regression_rate, "regression_rate")
    return float((1 - regression_rate) ** suite_size)


def chance_all_pass(powers: Sequence[float]) -> float:
    """Chance that every rule of a gate passes: the product, as if the rules were independent.

    Rules on the same cases hang together, mostly for the better: the truth lies between the product
    and the smallest power.
    """
    for power in powers:
        check_share(power, "power")
    return math.prod(powers)


def needed_each(k: int, target: float) -> float:
    """Power that each of k independent rules needs for this chance of all passing: target^(1/k)."""
    check_count(0, k)
    check_open_share(target, "target")
    return float(target ** (1 / k))


def _at_least_one(cases: int, chance: float) -> float:
    # By logarithms: a chance of 1e-17 a case would vanish in 1 - chance.
    return 1.0 if chance >= 1 else -math.expm1(cases * math.log1p(-chance))
