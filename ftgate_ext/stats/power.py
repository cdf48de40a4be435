"""Assumed spread and effect -> cases needed, power, and the smallest effect that can be seen.

Closed formulas for planning. What can be summed over all tables of pass and fail is in
`paired_power`; standard errors, regression suites and the gate as a whole are in `planning`.

Effects are shares (0.02 is 2 points) or units of a score. `alpha` is the level of the test, with
`sides` 1 or 2; two sides share it. Arguments that no plan can have raise ValueError; what no number
of cases can do is None. Counts of cases come back as floats: round them up.
"""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.special import chdtr, nctdtr, ndtr, ndtri, stdtrit

from ftgate_ext.stats.checks import check_open_share

CERTAIN_SCORE = 1e6
"""A standardised effect that no test of two cases misses."""


def critical_z(alpha: float, sides: int = 2) -> float:
    """Standard normal value that a test must exceed: 1.96 for alpha 0.05 and two sides."""
    check_open_share(alpha, "alpha")
    if sides not in (1, 2):
        raise ValueError(f"sides={sides}: expected 1 or 2")
    return float(-ndtri(alpha / sides))


def one_sided_z(alpha: float) -> float:
    """Standard normal value that a one-sided test must exceed: 1.645 for alpha 0.05, below 0.5."""
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha={alpha}: expected a one-sided level between 0 and 0.5")
    return critical_z(alpha, 1)


def power_z(power: float, alpha: float = 0.05) -> float:
    """Standard normal quantile of a power: 0.84 for 0.8; a power not above alpha is no plan."""
    if not alpha < power < 1:
        raise ValueError(f"power={power}: expected a number between alpha={alpha} and 1")
    return float(ndtri(power))


def cases_for_mcnemar(
    p10: float, p01: float, alpha: float = 0.05, power: float = 0.8, sides: int = 2
) -> float:
    """Pairs that McNemar's test needs.

    n = ((z_a sqrt(q) + z_b sqrt(q - d^2)) / d)^2 with q = p10 + p01 and d = p10 - p01 (Connor 1987,
    Biometrics 43, 207-211). The exact test needs more: at 1000 pairs it has 4 points less power.

    Args:
        p10: Share of pairs that only the candidate has right.
        p01: Share of pairs that only the baseline has right; not equal to p10.
        alpha: Level of the test.
        power: Wanted chance of a rejection.
        sides: 1 or 2.
    """
    q, d = _discordance(p10, p01), abs(p10 - p01)
    if d == 0:
        raise ValueError(f"p10=p01={p10}: expected a difference; no number of pairs shows none")
    scale = critical_z(alpha, sides) * math.sqrt(q)
    return float(((scale + power_z(power, alpha) * math.sqrt(max(0.0, q - d * d))) / d) ** 2)


def power_of_mcnemar(
    n: float, p10: float, p01: float, alpha: float = 0.05, sides: int = 2
) -> float:
    """Power of McNemar's test with n pairs, normal approximation; inverse of `cases_for_mcnemar`.

    Phi((|d| sqrt(n) - z_a sqrt(q)) / sqrt(q - d^2)) (Connor 1987). Good to a point or two from 10
    discordant pairs on; below that sum the tables: `paired_power.power_of_mcnemar_mid_p`.
    """
    check_cases(n)
    q, d = _discordance(p10, p01), abs(p10 - p01)
    z = critical_z(alpha, sides)
    if q == 0:
        return 0.0
    excess = d * math.sqrt(n) - z * math.sqrt(q)
    if q - d * d <= 0:
        return float(excess >= 0)
    return float(ndtr(excess / math.sqrt(q - d * d)))


def mde_mcnemar(
    n: float, discordance: float, alpha: float = 0.05, power: float = 0.8, sides: int = 2
) -> float | None:
    """Smallest difference of two pass rates that n pairs show with this power.

    The root d of `power_of_mcnemar(n, ...) = power` at the given discordance (Connor 1987). None
    where even d = discordance, all changes for the better, would be missed.

    Args:
        n: Pairs.
        discordance: Share of pairs where exactly one model is right, in (0, 1].
        alpha: Level of the test.
        power: Wanted chance of a rejection.
        sides: 1 or 2.
    """
    check_cases(n)
    q, wanted = _discordance(discordance, 0.0), power_z(power, alpha)
    least = critical_z(alpha, sides) * math.sqrt(q)
    if q == 0:
        return None

    def excess(d: float) -> float:
        return d * math.sqrt(n) - least - wanted * math.sqrt(max(0.0, q - d * d))

    return float(brentq(excess, 0.0, q, xtol=1e-12)) if excess(q) >= 0 else None


def cases_for_paired_t(d: float, alpha: float = 0.05, power: float = 0.8, sides: int = 2) -> float:
    """Pairs that the paired t-test needs; the inverse of `power_of_paired_t`, never below 2.

    The same as R's pwr.t.test(type="paired") (Champely 2020) and statsmodels' TTestPower.

    Args:
        d: Mean difference over the standard deviation of the differences; its sign is of no matter.
        alpha: Level of the test.
        power: Wanted chance of a rejection.
        sides: 1 or 2.
    """
    check_finite(d, "d")
    if d == 0:
        raise ValueError("d=0: expected an effect; no number of pairs shows none")
    start = ((critical_z(alpha, sides) + power_z(power, alpha)) / d) ** 2

    def lacking(n: float) -> float:
        return power_of_paired_t(n, d, alpha, sides) - power

    if lacking(2.0) >= 0:
        return 2.0
    upper = max(4.0, start + 4)
    while lacking(upper) < 0:
        upper *= 2
    return float(brentq(lacking, 2.0, upper, xtol=1e-9, rtol=1e-12))


def power_of_paired_t(n: float, d: float, alpha: float = 0.05, sides: int = 2) -> float:
    """Power of the paired t-test with n pairs.

    P(T > t_a), plus P(T < -t_a) with two sides, where T is noncentral t with n - 1 degrees of freedom
    and noncentrality |d| sqrt(n) (Cohen 1988, Statistical Power Analysis for the Behavioral Sciences,
    2.3). Differences are taken to be near normal; on grades from 1 to 5 that is good enough from 50
    pairs on.

    Args:
        n: Pairs, at least 2.
        d: Mean difference over the standard deviation of the differences.
        alpha: Level of the test.
        sides: 1 or 2.
    """
    check_cases(n, least=2)
    check_finite(d, "d")
    critical_z(alpha, sides)
    df, shift = n - 1, abs(d) * math.sqrt(n)
    t = float(stdtrit(df, 1 - alpha / sides))
    below, other_side = float(nctdtr(df, shift, t)), float(nctdtr(df, shift, -t))
    if math.isnan(below):
        # T is (Z + shift) / S, and scipy gives up only where the normal Z is lost beside the shift.
        ratio = shift / t if t > 0 else math.inf
        below = 1 - float(chdtr(df, df * ratio * ratio))
    # The other side underflows to NaN where its chance is nil.
    return 1 - below + (other_side if sides == 2 and other_side > 0 else 0.0)


def mde_paired_t(
    n: float, sd: float, alpha: float = 0.05, power: float = 0.8, sides: int = 2
) -> float:
    """Smallest mean difference that n pairs show with this power: `power_of_paired_t` solved for d.

    Args:
        n: Pairs, at least 2.
        sd: Standard deviation of the differences between the models, in the units of the score.
        alpha: Level of the test.
        power: Wanted chance of a rejection.
        sides: 1 or 2.
    """
    check_positive(sd, "sd")
    power_z(power, alpha)

    def lacking(d: float) -> float:
        return power_of_paired_t(n, d, alpha, sides) - power

    upper = 1.0
    while lacking(upper) < 0 and upper < CERTAIN_SCORE:
        upper *= 2
    return sd * float(brentq(lacking, 0.0, upper, xtol=1e-12))


def win_rate_standard_error(n: float, ties: float) -> float:
    """Standard error of a win rate near one half: sqrt((1 - t) / (4 n)), a tie counting 0.5.

    Ties make the win rate steadier, and leave less of it to be won.

    Args:
        n: Judged cases.
        ties: Share of ties t, in [0, 1).
    """
    check_cases(n)
    if not 0 <= ties < 1:
        raise ValueError(f"ties={ties}: expected a share from 0 to below 1")
    return math.sqrt((1 - ties) / (4 * n))


def cases_for_win_rate(
    rate: float,
    ties: float,
    alpha: float = 0.05,
    power: float = 0.8,
    sides: int = 2,
    threshold: float = 0.5,
) -> float:
    """Judged cases needed to tell a win rate from `threshold`.

    n = ((z_a + z_b) s / (rate - threshold))^2 with s = sqrt((1 - t) / 4): the normal approximation at
    one half, a little high for rates far from it.

    Args:
        rate: Assumed win rate, ties at 0.5; not equal to the threshold.
        ties: Share of ties t; a rate further than (1 - t) / 2 from one half cannot be.
        alpha: Level of the test.
        power: Wanted chance of a rejection.
        sides: 1 or 2.
        threshold: What must be beaten.
    """
    _check_rate(rate, ties)
    if rate == threshold:
        raise ValueError(f"rate=threshold={rate}: expected a difference to be shown")
    spread = win_rate_standard_error(1, ties)
    wanted = critical_z(alpha, sides) + power_z(power, alpha)
    return float((wanted * spread / (rate - threshold)) ** 2)


def power_of_win_rate(
    n: float,
    rate: float,
    ties: float,
    alpha: float = 0.05,
    sides: int = 2,
    threshold: float = 0.5,
) -> float:
    """Chance that n judged cases tell this win rate from `threshold`; see `cases_for_win_rate`."""
    _check_rate(rate, ties)
    effect = abs(rate - threshold)
    return float(ndtr(effect / win_rate_standard_error(n, ties) - critical_z(alpha, sides)))


def mde_win_rate(
    n: float, ties: float, alpha: float = 0.05, power: float = 0.8, sides: int = 2
) -> float | None:
    """Smallest lead over 50 % that n judged cases show: (z_a + z_b) sqrt((1 - t) / (4 n)).

    None where it is more than (1 - t) / 2, the lead of a model that wins whatever is no tie.
    """
    wanted = critical_z(alpha, sides) + power_z(power, alpha)
    lead = wanted * win_rate_standard_error(n, ties)
    return lead if lead <= (1 - ties) / 2 else None


def cases_for_miller(
    effect: float,
    variance_of_questions: float,
    variance_candidate: float,
    variance_baseline: float,
    repeats_candidate: float = 1,
    repeats_baseline: float = 1,
    alpha: float = 0.05,
    power: float = 0.8,
    sides: int = 2,
) -> float:
    """Questions needed where each is answered several times.

    n = (z_a + z_b)^2 (w^2 + s_A^2 / K_A + s_B^2 / K_B) / d^2 (Miller 2024, arXiv 2411.00640).

    Args:
        effect: d, the mean difference to be shown, not 0.
        variance_of_questions: w^2, of the differences of the two models' mean scores per question.
        variance_candidate: s_A^2, of the candidate's score on one question, averaged over questions.
        variance_baseline: s_B^2, the same of the baseline.
        repeats_candidate: K_A, answers a question; `math.inf` for a score without sampling noise.
        repeats_baseline: K_B.
        alpha: Level of the test.
        power: Wanted chance of a rejection.
        sides: 1 or 2.
    """
    check_finite(effect, "effect")
    variances = (variance_of_questions, variance_candidate, variance_baseline)
    if effect == 0 or not all(0 <= v < math.inf for v in variances):
        raise ValueError(f"effect={effect}, variances={variances}: expected an effect and no variance below 0")  # fmt: skip
    if not (repeats_candidate >= 1 and repeats_baseline >= 1):
        raise ValueError(f"repeats={repeats_candidate}, {repeats_baseline}: expected at least 1")
    sampling = variance_candidate / repeats_candidate + variance_baseline / repeats_baseline
    wanted = critical_z(alpha, sides) + power_z(power, alpha)
    return float(wanted**2 * (variance_of_questions + sampling) / effect**2)


def check_cases(n: float, least: float = 1) -> None:
    """A number of cases is finite and not below `least`, a fraction or not; ValueError otherwise."""
    if not least <= n < math.inf:
        raise ValueError(f"n={n}: expected at least {least} cases")


def check_share(value: float, name: str) -> None:
    """A share lies between 0 and 1, both included; ValueError where it does not, or is NaN."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name}={value}: expected a share from 0 to 1")


def check_finite(value: float, name: str) -> None:
    """An effect or a threshold is a number; ValueError where it is NaN or infinite."""
    if not math.isfinite(value):
        raise ValueError(f"{name}={value}: expected a finite number")


def check_positive(value: float, name: str) -> None:
    """A spread is above 0 and finite; ValueError where it is not, or is NaN."""
    if not 0 < value < math.inf:
        raise ValueError(f"{name}={value}: expected a number above 0")


def _discordance(p10: float, p01: float) -> float:
    if not (p10 >= 0 and p01 >= 0 and p10 + p01 <= 1):
        raise ValueError(f"p10={p10}, p01={p01}: expected shares whose sum is at most 1")
    return p10 + p01


def _check_rate(rate: float, ties: float) -> None:
    if not abs(rate - 0.5) <= (1 - ties) / 2 + 1e-12:
        raise ValueError(f"rate={rate}, ties={ties}: expected a rate within (1 - ties) / 2 of 0.5")
