"""How often tests of pass/fail metrics are wrong: seeded simulations, against published figures.

The published figures stand beside each test. Of 40,000 data sets a setting the Monte-Carlo error of
a share is 0.0025 at most; theirs is about 0.01. Every distinct table is computed once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ftgate_ext.stats.limits import Limits, NoLimits
from ftgate_ext.stats.mean import MeanTest, paired_t, welch_p
from ftgate_ext.stats.paired_binary import (
    bonett_price_interval,
    mcnemar_exact,
    mcnemar_mid_p,
    newcombe10_interval,
    non_inferiority,
    tango_interval,
    tango_z_array,
)
from ftgate_ext.stats.proportion import clopper_pearson, wilson

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow

DATA_SETS = 40_000
CLOSE = 0.013
"""Four Monte-Carlo errors of ours, and the rounding and error of the published figure."""


def scores(gained: int, lost: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """A table as the scores of two models."""
    candidate, baseline = np.zeros(n), np.zeros(n)
    candidate[:gained] = 1
    baseline[gained : gained + lost] = 1
    return candidate, baseline


def t_p(gained: int, lost: int, n: int) -> float:
    """The paired t-test's p; no variance is no finding."""
    outcome = paired_t(*scores(gained, lost, n))
    return outcome.p if isinstance(outcome, MeanTest) else 1.0


def share(drawn: np.ndarray, holds: Callable[..., bool]) -> float:
    """In what share of the drawn tables something holds."""
    tables, times = np.unique(drawn, axis=0, return_counts=True)
    hits = np.array([holds(*table) for table in tables.tolist()])
    return float((hits * times).sum() / times.sum())


# n, q -> share of data sets with p <= 0.05 at a true gain of 0, 2, 5 and 10 points.
REJECTIONS = {
    (50, 0.10): ((0.009, 0.015, 0.06, 0.38), (0.026, 0.034, 0.13, 0.56), (0.049, 0.057, 0.18, 0.75)),
    (200, 0.10): ((0.031, 0.097, 0.55, 1), (0.048, 0.13, 0.62, 1), (0.055, 0.14, 0.63, 1)),
    (500, 0.10): ((0.034, 0.25, 0.94, 1), (0.045, 0.29, 0.96, 1), (0.045, 0.29, 0.96, 1)),
    (1000, 0.10): ((0.039, 0.48, 1, 1), (0.049, 0.52, 1, 1), (0.050, 0.52, 1, 1)),
    (50, 0.20): ((0.024, 0.024, 0.064, 0.24), (0.044, 0.041, 0.10, 0.33), (0.046, 0.042, 0.10, 0.33)),
    (200, 0.20): ((0.035, 0.07, 0.29, 0.87), (0.049, 0.09, 0.34, 0.90), (0.050, 0.09, 0.35, 0.90)),
    (500, 0.20): ((0.040, 0.14, 0.67, 1), (0.051, 0.17, 0.70, 1), (0.052, 0.17, 0.71, 1)),
    (1000, 0.20): ((0.041, 0.27, 0.94, 1), (0.049, 0.29, 0.95, 1), (0.050, 0.29, 0.95, 1)),
}  # fmt: skip


@pytest.mark.parametrize(("n", "q"), REJECTIONS)
def test_type_i_error_and_power_of_paired_tests(n: int, q: float) -> None:
    """The table "Type-I/power, binary paired": exact McNemar, mid-p and paired t.

    q is the share of discordant cases. Each share within 0.013 (Monte-Carlo error 0.0025 here, 0.01
    there); without a true gain no test rejects more than 5.6 % of the time.
    """
    rng = np.random.default_rng(20260201 + n)
    for column, gain in enumerate((0, 0.02, 0.05, 0.10)):
        up = (q + gain) / 2
        drawn = rng.multinomial(n, [up, q - up, 1 - q], size=DATA_SETS)[:, :2]
        found = [
            share(drawn, lambda b, c: mcnemar_exact(b, c) <= 0.05),
            share(drawn, lambda b, c: mcnemar_mid_p(b, c) <= 0.05),
            share(drawn, lambda b, c: t_p(b, c, n) <= 0.05),
        ]
        expected = [row[column] for row in REJECTIONS[n, q]]
        assert found == pytest.approx(expected, abs=CLOSE), gain
        if gain == 0:
            assert found[0] <= found[1] <= found[2] <= 0.056


@pytest.mark.parametrize(
    ("n", "t", "tango", "newcombe", "bonett_price"),
    [(50, 0.752, 0.994, 0.999, 1.0), (200, 0.932, 0.936, 0.982, 0.966)],
)
def test_coverage_of_small_samples(
    n: int, t: float, tango: float, newcombe: float, bonett_price: float
) -> None:
    """Coverage of "95 %" where a model of 97 % meets one of 99 %: "Small samples", second point.

    The pairs are correlated (0.4 % gained, 2.4 % lost), which is what gives the published figure of
    the t interval. Within 0.013 (Monte-Carlo error 0.002 here, 0.01 there).
    """
    rng = np.random.default_rng(20260202)
    drawn = rng.multinomial(n, [0.966, 0.004, 0.024, 0.006], size=DATA_SETS)

    def covered(method: Callable[[int, int, int, int], Limits | NoLimits]) -> float:
        def holds(*cells: int) -> bool:
            limits = method(*cells)
            return isinstance(limits, Limits) and limits.lower <= -0.02 <= limits.upper

        return share(drawn, holds)

    def t_limits(both: int, gained: int, lost: int, neither: int) -> Limits | NoLimits:
        outcome = paired_t(*scores(gained, lost, both + gained + lost + neither))
        return outcome.limits if isinstance(outcome, MeanTest) else outcome

    found = [
        covered(t_limits),
        covered(lambda _both, gained, lost, _neither: tango_interval(gained, lost, n)),
        covered(newcombe10_interval),
        covered(lambda _both, gained, lost, _neither: bonett_price_interval(gained, lost, n)),
    ]
    assert found == pytest.approx([t, tango, newcombe, bonett_price], abs=CLOSE)


@pytest.mark.parametrize(
    ("n", "p", "wald"),
    [(50, 0.98, 0.63), (50, 0.99, 0.39), (50, 0.998, 0.095), (200, 0.99, 0.86), (300, 0.998, 0.45)],
)
def test_coverage_of_one_proportion(n: int, p: float, wald: float) -> None:
    """Coverage of "95 %" near the boundary: "Small samples", first point.

    The textbook interval covers as seldom as published (within 0.013; Monte-Carlo error 0.0025), the
    exact one never less than 95 %, Wilson's between 90 and 98 %.
    """
    drawn = np.random.default_rng(20260203).binomial(n, p, size=(DATA_SETS, 1))

    def textbook(k: int) -> bool:
        return abs(k / n - p) <= 1.959964 * (k * (n - k) / n**3) ** 0.5

    assert share(drawn, textbook) == pytest.approx(wald, abs=CLOSE)
    exact = share(drawn, lambda k: clopper_pearson(k, n).lower <= p <= clopper_pearson(k, n).upper)
    assert exact >= 0.95
    score = share(drawn, lambda k: wilson(k, n).lower <= p <= wilson(k, n).upper)
    assert 0.90 <= score <= 0.98


@pytest.mark.parametrize(
    ("n", "q", "margin", "passes"),
    [(164, 0.06, 0.02, 0.25), (164, 0.20, 0.02, 0.14), (200, 0.01, 0.02, 0.62),
     (200, 0.01, 0.05, 0.998), (14042, 0.20, 0.02, 1.0)],
)  # fmt: skip
def test_non_inferiority_of_an_unchanged_model(
    n: int, q: float, margin: float, passes: float
) -> None:
    """How often a model without any change passes: HumanEval 14 to 25 %, refusals 62 %, MMLU always.

    "Power", under-powered sets 3 and 4; within 0.013 (Monte-Carlo error 0.0025). A model that is
    worse by exactly the margin passes 5 % of the time, and less where discordance is rare.
    """
    rng = np.random.default_rng(20260204)
    unchanged = rng.multinomial(n, [q / 2, q / 2, 1 - q], size=DATA_SETS)
    z = tango_z_array(unchanged[:, 0], unchanged[:, 1], n, -margin)
    assert float((z > 1.6448536269514722).mean()) == pytest.approx(passes, abs=CLOSE)

    if q > margin:
        worse = rng.multinomial(n, [(q - margin) / 2, (q + margin) / 2, 1 - q], size=DATA_SETS)
        z = tango_z_array(worse[:, 0], worse[:, 1], n, -margin)
        assert float((z > 1.6448536269514722).mean()) <= 0.055


def test_non_inferiority_by_t_lets_losses_pass() -> None:
    """50 cases, a true loss of 2 points: the t-test passes it 30 % of the time, Tango 0.9 %.

    Row "refusal on harmful prompts" of the table of criteria; 0.5 % gained, 2.5 % lost. Tango within
    0.005 (Monte-Carlo error 0.0005). Where nothing varies, the t-test's user sees no loss and passes.
    """
    rng = np.random.default_rng(20260205)
    drawn = rng.multinomial(50, [0.005, 0.025, 0.97], size=DATA_SETS)[:, :2]

    def by_t(gained: int, lost: int) -> bool:
        outcome = paired_t(*scores(gained, lost, 50), 0.90)
        if isinstance(outcome, NoLimits):
            return True
        return outcome.limits.lower > -0.02

    passed = share(drawn, lambda b, c: non_inferiority(b, c, 50, 0.02).verdict == "PASS")
    assert passed == pytest.approx(0.009, abs=0.005)
    assert 0.2 <= share(drawn, by_t) <= 0.35


@pytest.mark.parametrize(("n", "power", "unpaired"), [(50, 0.28, 0.022), (200, 0.82, 0.28)])
def test_paired_t_of_1_to_5_scores(n: int, power: float, unpaired: float) -> None:
    """Row "paired t on mean scores": type-I error 0.044 to 0.052, and power at a gain of 0.2.

    Scores 1 to 5 whose differences have standard deviation 1 and whose models correlate at 0.66.
    Power within 0.05: the scores are not those of the published figure, only alike. Monte-Carlo
    error 0.006 over 6000 data sets. Welch's test on the same data hardly ever rejects.
    """
    rng = np.random.default_rng(20260206 + n)
    found = {}
    for gain in (0.0, 0.2):
        case = rng.normal(3, 1.1, size=(6000, n))
        # A tenth of what is added is lost where a score is at the end of its scale.
        one, other = (
            np.clip(np.round(case + shift + rng.normal(0, 0.7, size=case.shape)), 1, 5)
            for shift in (1.11 * gain, 0)
        )
        outcomes = [paired_t(a, b) for a, b in zip(one, other, strict=True)]
        found[gain] = np.mean([isinstance(x, MeanTest) and x.p <= 0.05 for x in outcomes])
        found[gain, "welch"] = np.mean([
            (welch_p(a, b) or 1.0) <= 0.05 for a, b in zip(one, other, strict=True)
        ])  # fmt: skip

    assert 0.042 <= found[0.0] <= 0.060
    assert found[0.2] == pytest.approx(power, abs=0.05)
    assert found[0.0, "welch"] <= 0.005
    assert found[0.2, "welch"] == pytest.approx(unpaired, abs=0.06)


@pytest.mark.parametrize(
    ("n", "up", "down"), [(50, 0.03, 0.01), (164, 0.06, 0.06), (1000, 0.06, 0.04)]
)
def test_paired_difference_covers_in_simulation(n: int, up: float, down: float) -> None:
    """Of 40,000 seeded data sets, about 95 % or more of the intervals hold the true difference."""
    rng = np.random.default_rng(20260102)
    drawn = rng.multinomial(n, [up, down, 1 - up - down], size=DATA_SETS)[:, :2]

    def holds(gained: int, lost: int) -> bool:
        limits = tango_interval(gained, lost, n)
        return limits.lower <= up - down <= limits.upper

    assert share(drawn, holds) >= 0.945
