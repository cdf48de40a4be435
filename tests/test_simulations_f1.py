"""Type-I error and power of three tests of a difference in F1, by simulation.

The figures that the documentation of the tests quotes come from a study whose generator is not
recorded. Assumed here: 30 % of the cases have something to find; both models find it in 72.5 % of
them and raise a false alarm in 11.4 % of the others (F1 0.73); exactly one of them is right in 25 %
of the former and 8.6 % of the latter, 13.5 % of all cases. These are the shares of the reference
case of 1000 pairs with its two models made equal. A gain of the candidate is a higher chance to find
what is there, taken from the cases it misses. Rejections are two-sided at 0.05 where there is no
difference, and only those in favour of the candidate where there is a gain. The quoted figures are
taken to rest on 2000 data sets, so their own Monte-Carlo error is half a point.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize

from ftgate_ext.stats.f1 import f1_delta, f1_difference
from ftgate_ext.stats.mean import MeanTest
from ftgate_ext.stats.resample import bootstrap, randomization_test

Array = NDArray[np.float64]

# (gold, candidate, baseline), and what a case of each kind adds to the sums of both models.
KINDS = np.array([[gold, a, b] for gold in (1, 0) for a in (1, 0) for b in (1, 0)])
GOLD, CANDIDATE, BASELINE = KINDS.T
SUMS = np.column_stack([
    column
    for model in (CANDIDATE, BASELINE)
    for column in (GOLD & model, (1 - GOLD) & model, GOLD & (1 - model))
]).astype(float)  # fmt: skip
EQUAL = np.array([0.18, 0.0375, 0.0375, 0.045, 0.05, 0.03, 0.03, 0.59])
QUOTED_SETS = 2000


@dataclass(frozen=True)
class Rejections:
    """Shares of the data sets in which each test rejects, in favour of either model."""

    delta: Array
    bootstrap: Array
    randomisation: Array
    """Each of length 2: in favour of the candidate, of the baseline."""


def shares_with(gain: float) -> Array:
    """Shares of the kinds of cases where the candidate's F1 is higher by `gain`."""

    def shifted(found: float) -> Array:
        missed = EQUAL[2:4] / EQUAL[2:4].sum()
        shares = EQUAL.copy()
        shares[2:4] -= found * missed
        shares[0:2] += found * missed
        return shares

    def excess(found: float) -> float:
        return float(f1_difference((shifted(found) @ SUMS)[None, :])[0]) - gain

    return shifted(optimize.brentq(excess, 0, EQUAL[2:4].sum()))


def simulate(n: int, gain: float, sets: int, seed: int) -> Rejections:
    """Draw data sets and count what each test makes of them."""
    drawn = np.random.default_rng(seed).multinomial(n, shares_with(gain), size=sets)
    counts = {name: np.zeros(2) for name in ("delta", "bootstrap", "randomisation")}
    for number, kinds in enumerate(drawn):
        rows = np.repeat(SUMS, kinds, axis=0)
        value = float(f1_difference(rows.sum(axis=0)[None, :])[0])
        side = int(value < 0)
        test = f1_delta(rows[:, :3], rows[:, 3:])
        counts["delta"][side] += isinstance(test, MeanTest) and test.p < 0.05
        interval = bootstrap(rows, f1_difference, number, resamples=1000).interval
        counts["bootstrap"] += [interval.lower > 0, interval.upper < 0]
        swapped = randomization_test(rows[:, :3], rows[:, 3:], f1_difference, number)
        counts["randomisation"][side] += swapped.p < 0.05
    return Rejections(**{name: count / sets for name, count in counts.items()})


def error_of(share: float, sets: int) -> float:
    """Monte-Carlo standard deviation of our share minus the quoted one."""
    return float(np.sqrt(share * (1 - share) * (1 / sets + 1 / QUOTED_SETS)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "delta", "percentile", "randomisation"),
    [(50, 0.067, 0.073, 0.036), (200, 0.055, 0.064, 0.051), (1000, 0.050, 0.053, 0.047)],
)
def test_type_i_error_is_as_quoted(
    n: int, delta: float, percentile: float, randomisation: float
) -> None:
    """Of 4000 data sets of equal models each test rejects as many as quoted, within 3 sd."""
    found = simulate(n, 0.0, sets=4000, seed=20260110)

    near = partial(error_of, sets=4000)
    assert found.delta.sum() == pytest.approx(delta, abs=3 * near(delta))
    assert found.bootstrap.sum() == pytest.approx(percentile, abs=3 * near(percentile))
    assert found.randomisation.sum() == pytest.approx(randomisation, abs=3 * near(randomisation))
    assert found.randomisation.sum() <= 0.05 + 3 * near(0.05)
    assert found.bootstrap.sum() >= found.randomisation.sum()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "delta"),
    [
        (50, [0.035, 0.05, 0.06, 0.07]),
        (200, [0.04, 0.07, 0.10, 0.20]),
        (1000, [0.07, 0.14, 0.32, 0.71]),
    ],
)
def test_power_is_about_as_quoted(n: int, delta: list[float]) -> None:
    """Gains of 1, 2, 3 and 5 points are seen about as often as quoted, larger ones more often."""
    found = [simulate(n, gain, sets=1500, seed=20260111) for gain in (0.01, 0.02, 0.03, 0.05)]

    power = [rejections.delta[0] for rejections in found]
    assert power == pytest.approx(delta, abs=0.035)
    assert power == sorted(power)
    for rejections in found:
        # The bootstrap rejects most and random swaps fewest at 50 cases; at 1000 they agree.
        assert rejections.bootstrap[0] == pytest.approx(rejections.delta[0], abs=0.035)
        assert rejections.randomisation[0] <= rejections.bootstrap[0] + 0.005
        if n >= 200:
            assert rejections.randomisation[0] == pytest.approx(rejections.delta[0], abs=0.02)
