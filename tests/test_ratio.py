"""Tests of ratios: a worked example, the linear contrast, and solutions that are no interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from records import QUICK
from scipy import stats as reference

from ftgate_ext.stats.limits import Limits, NoLimits
from ftgate_ext.stats.ratio import RatioContrast, contrast_p, fieller, ratio_of_totals

CANDIDATE = [4.0, 3.0, 5.0, 4.0, 2.0, 5.0, 4.0, 4.0]
BASELINE = [4.0, 4.0, 5.0, 4.0, 3.0, 4.0, 5.0, 4.0]

amounts = st.lists(st.tuples(st.integers(1, 40), st.integers(10, 40)), min_size=8, max_size=30).map(
    lambda rows: np.array(rows, dtype=float).T
)


def limits_of(*arguments: object, **named: object) -> Limits:
    """The limits, where there must be some."""
    found = fieller(*arguments, **named)  # type: ignore[arg-type]
    assert isinstance(found, Limits)
    return found


def contrast_of(*arguments: object, **named: object) -> RatioContrast:
    """The test, where there must be one."""
    found = contrast_p(*arguments, **named)  # type: ignore[arg-type]
    assert isinstance(found, RatioContrast)
    return found


def test_fieller_of_eight_pairs() -> None:
    """Eight pairs of ratings: ratio 31 / 33, and the limits that the t-test of a - k b gives."""
    limits = limits_of(CANDIDATE, BASELINE)

    assert (limits.value, limits.lower, limits.upper) == pytest.approx(
        (31 / 33, 0.7914635071913055, 1.0822600453025355), abs=1e-8
    )
    for end, sign in ((limits.lower, 1), (limits.upper, -1)):
        contrast = np.array(CANDIDATE) - end * np.array(BASELINE)
        t = reference.ttest_1samp(contrast, 0).statistic
        assert t == pytest.approx(sign * reference.t.ppf(0.975, 7), abs=1e-8)


def test_contrast_is_the_one_sample_t_test() -> None:
    """The test of "at most 0.95 of the other" is scipy's t-test of a - 0.95 b."""
    found = contrast_of(CANDIDATE, BASELINE, 0.95)
    other = reference.ttest_1samp(
        np.array(CANDIDATE) - 0.95 * np.array(BASELINE), 0, alternative="greater"
    )

    assert (found.t, found.p, found.df) == pytest.approx((other.statistic, other.pvalue, 7))
    assert (found.t, found.p) == pytest.approx((-0.1742008204928749, 0.5666806795787984), abs=1e-8)


@QUICK
@given(amounts, st.floats(0.2, 3.0))
def test_the_limits_hold_what_the_contrast_does_not_reject(rows: np.ndarray, ratio: float) -> None:
    """A one-sided p below 0.05 and a lower limit at level 0.90 above the ratio are one statement."""
    limits, contrast = fieller(*rows, level=0.90), contrast_p(*rows, ratio)
    assume(isinstance(limits, Limits) and isinstance(contrast, RatioContrast))
    assert isinstance(limits, Limits)
    assert isinstance(contrast, RatioContrast)
    assume(abs(limits.lower - ratio) > 1e-9)

    assert (contrast.p < 0.05) == (limits.lower > ratio)


@QUICK
@given(amounts, st.randoms(use_true_random=False))
def test_a_ratio_has_a_width_and_no_order_of_cases(rows: np.ndarray, random: object) -> None:
    """The limits lie on both sides of the ratio, whatever the order of the cases."""
    limits = fieller(*rows)
    assume(isinstance(limits, Limits))
    assert isinstance(limits, Limits)
    order = list(range(rows.shape[1]))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = limits_of(*rows[:, order])

    assert limits.lower < limits.value < limits.upper
    assert (limits.lower, limits.upper) == pytest.approx((shuffled.lower, shuffled.upper))


@QUICK
@given(amounts, st.floats(0.01, 100))
def test_units_scale_the_ratio(rows: np.ndarray, unit: float) -> None:
    """A numerator in another unit scales the limits; a unit of both changes nothing."""
    limits = fieller(*rows)
    assume(isinstance(limits, Limits))
    assert isinstance(limits, Limits)
    scaled, both = limits_of(unit * rows[0], rows[1]), limits_of(*(unit * rows))

    assert (scaled.lower, scaled.upper) == pytest.approx((unit * limits.lower, unit * limits.upper))
    assert (both.lower, both.upper) == pytest.approx((limits.lower, limits.upper))


def test_swapping_turns_the_limits_over() -> None:
    """The limits of b / a are one over those of a / b."""
    one, other = limits_of(CANDIDATE, BASELINE), limits_of(BASELINE, CANDIDATE)

    assert (other.lower, other.upper) == pytest.approx((1 / one.upper, 1 / one.lower))


def test_clusters_of_one_are_cases() -> None:
    """Where every case is its own cluster, clusters change nothing."""
    plain = limits_of(CANDIDATE, BASELINE)
    clustered = limits_of(CANDIDATE, BASELINE, clusters=list("abcdefgh"))

    assert (clustered.lower, clustered.upper) == pytest.approx((plain.lower, plain.upper))
    assert "clusters" in clustered.method


def test_copies_within_clusters_say_nothing_new() -> None:
    """Every case three times over, in a cluster, has the limits of the single cases."""
    plain = limits_of(CANDIDATE, BASELINE)
    tripled = limits_of(np.repeat(CANDIDATE, 3), np.repeat(BASELINE, 3), clusters=np.repeat(range(8), 3))  # fmt: skip
    naive = limits_of(np.repeat(CANDIDATE, 3), np.repeat(BASELINE, 3))

    assert (tripled.lower, tripled.upper) == pytest.approx((plain.lower, plain.upper))
    assert naive.upper - naive.lower < tripled.upper - tripled.lower


@pytest.mark.parametrize(
    ("numerator", "denominator", "why"),
    [
        ([1.0, 2.0], [1.0, 1.5], "unbounded"),
        ([0.1, -0.1, 0.2, -0.3], [0.1, -0.15, 0.1, -0.1], "every ratio is compatible"),
        ([1.0, 2.0, 3.0, 4.0], [1.0, -1.0, 1.0, -1.0], "cannot be told from 0"),
        ([2.0, 4.0, 6.0], [1.0, 2.0, 3.0], "same ratio"),
        ([0.5, 0.5, 0.5], [0.1, 0.1, 0.1], "same ratio"),
        ([0.0, 0.0, 0.0], [1.0, 2.0, 3.0], "same ratio"),
        ([1.0], [2.0], "at least 2 are needed"),
    ],
)
def test_no_interval_is_said_to_be_none(
    numerator: list[float], denominator: list[float], why: str
) -> None:
    """A half-line, two rays, the whole line and width zero are no limits, and the reason says so."""
    found = fieller(numerator, denominator)

    assert isinstance(found, NoLimits)
    assert why in found.why
    assert found.n == len(numerator)


def test_half_a_line_is_no_interval() -> None:
    """A denominator exactly on the edge of significance leaves the limits open on one side."""
    t = float(reference.t.ppf(0.975, 3))
    spread = np.array([1.0, -1.0, 1.0, -1.0])
    edge = t * float(spread.std(ddof=1)) / 2
    found = fieller(np.array([1.0, 2.0, 4.0, 3.0]), edge + spread)

    assert isinstance(found, NoLimits)
    assert "unbounded" in found.why


def test_too_few_clusters_have_no_limits() -> None:
    """Seven clusters are too few for limits and for the test."""
    clusters = [1, 1, 2, 3, 4, 5, 6, 7]
    found = fieller(CANDIDATE, BASELINE, clusters=clusters)
    test = contrast_p(CANDIDATE, BASELINE, 0.95, clusters=clusters)

    assert isinstance(found, NoLimits)
    assert found.why == "7 clusters; at least 8 are needed"
    assert isinstance(test, NoLimits)


def test_a_contrast_without_spread_has_no_p() -> None:
    """Where a - k b is the same for every case there is nothing to test."""
    found = contrast_p([2.0, 4.0, 6.0], [1.0, 2.0, 3.0], 2.0)

    assert isinstance(found, NoLimits)
    assert found.value == 2


def test_ratio_of_totals_weighs_cases_by_what_they_cost() -> None:
    """The total over the total; the mean of the case-by-case ratios would be another figure."""
    cheap, dear = [0.01, 0.02, 0.01, 0.30], [0.05, 0.11, 0.06, 0.70]
    found = ratio_of_totals(dear, cheap)

    assert (found.numerator, found.denominator) == pytest.approx((0.92, 0.34))
    assert found.limits.value == pytest.approx(0.92 / 0.34)
    assert found.limits.value != pytest.approx(np.mean(np.divide(dear, cheap)), rel=0.1)


@pytest.mark.parametrize(
    ("numerator", "denominator", "level", "message"),
    [
        ([1.0, 2.0], [1.0], 0.95, "expected pairs"),
        ([], [], 0.95, "at least 1 number"),
        ([1.0, float("nan")], [1.0, 2.0], 0.95, "expected finite numbers"),
        ([1.0, 2.0], [1.0, float("inf")], 0.95, "expected finite numbers"),
        ([1.0, 2.0], [1.0, 2.0], 1.0, "level=1.0"),
    ],
)
def test_bad_input_is_refused(
    numerator: list[float], denominator: list[float], level: float, message: str
) -> None:
    """Lists that are no pairs of numbers, and a level outside (0, 1), are errors."""
    with pytest.raises(ValueError, match=message):
        fieller(numerator, denominator, level)


def test_bad_contrasts_are_refused() -> None:
    """A ratio that is no number, and cluster names that are too few, are errors."""
    with pytest.raises(ValueError, match="ratio=nan"):
        contrast_p(CANDIDATE, BASELINE, float("nan"))
    with pytest.raises(ValueError, match="expected one name a value"):
        contrast_p(CANDIDATE, BASELINE, 1.0, clusters=["a", "b"])


@pytest.mark.slow
@pytest.mark.parametrize("per_cluster", [1, 5])
def test_a_ratio_on_the_boundary_passes_one_time_in_twenty(per_cluster: int) -> None:
    """At a true ratio of 0.95 the contrast rejects "at most 0.95" about 5 % of the time."""
    rng = np.random.default_rng(7)
    clusters, rejected, trials = np.repeat(np.arange(40), per_cluster), 0, 4000
    for _ in range(trials):
        shared = np.repeat(rng.normal(0, 0.1, 40), per_cluster)
        baseline = 0.8 + shared + rng.normal(0, 0.2, len(clusters))
        candidate = 0.95 * baseline + shared / 2 + rng.normal(0, 0.2, len(clusters))
        found = contrast_p(candidate, baseline, 0.95, clusters=clusters)
        assert isinstance(found, RatioContrast)
        rejected += found.p < 0.05
    assert rejected / trials == pytest.approx(0.05, abs=0.012)
