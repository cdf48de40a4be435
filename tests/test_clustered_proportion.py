"""Tests of the limits of a proportion whose cases come in clusters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK

from ftgate_ext.stats.clustered_proportion import clopper_pearson_clusters
from ftgate_ext.stats.limits import Limits, NoLimits
from ftgate_ext.stats.proportion import clopper_pearson


def limits(outcomes: list[int], clusters: list[int], level: float = 0.95) -> Limits:
    """Limits that are there."""
    found = clopper_pearson_clusters(outcomes, clusters, level)
    assert isinstance(found, Limits)
    return found


def test_without_spread_each_cluster_is_one_case() -> None:
    """60 of 60 right in 20 clusters is as sure as 20 of 20, and never certain."""
    found = limits([1] * 60, [i // 3 for i in range(60)])

    plain = clopper_pearson(20, 20)
    assert (found.value, found.n) == (1.0, 60)
    assert (found.lower, found.upper) == pytest.approx((plain.lower, plain.upper))


def test_clusters_of_one_case_are_worth_their_cases() -> None:
    """Nothing depends on anything: nearly the plain limits of 90 of 100."""
    found, plain = limits([1] * 90 + [0] * 10, list(range(100))), clopper_pearson(90, 100)

    assert found.lower == pytest.approx(plain.lower, abs=0.002)
    assert found.upper == pytest.approx(plain.upper, abs=0.002)


def test_copies_are_worth_one_case() -> None:
    """Ten copies of each of 20 outcomes: at most the certainty of 20, with t(19) in place of t(199)."""
    once = [1] * 17 + [0] * 3
    found = limits([x for x in once for _ in range(10)], [i // 10 for i in range(200)])

    plain = clopper_pearson(17, 20)
    assert found.lower < plain.lower
    assert found.upper > plain.upper
    assert found.lower == pytest.approx(plain.lower, abs=0.03)


def test_seven_clusters_bound_nothing() -> None:
    """Too few clusters to know how far they differ."""
    found = clopper_pearson_clusters([1, 0] * 7, [i // 2 for i in range(14)])

    assert isinstance(found, NoLimits)
    assert found.why == "7 clusters; at least 8 are needed"


@pytest.mark.parametrize(
    ("outcomes", "clusters"), [([], []), ([0.5] * 9, list(range(9))), ([1] * 9, [1] * 8)]
)
def test_what_is_no_pass_or_fail_is_refused(outcomes: list[float], clusters: list[int]) -> None:
    """No cases, half outcomes and names that are not one a case."""
    with pytest.raises(ValueError, match="expected"):
        clopper_pearson_clusters(outcomes, clusters)


@QUICK
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 15)), min_size=1, max_size=80))
def test_limits_hold_the_value_and_have_a_width(rows: list[tuple[int, int]]) -> None:
    """Whatever the clusters: inside 0 and 1, around the value, never of width zero, wider at 99 %."""
    outcomes, clusters = (list(column) for column in zip(*rows, strict=True))
    found = clopper_pearson_clusters(outcomes, clusters)
    if len(set(clusters)) < 8:
        assert isinstance(found, NoLimits)
        return

    assert isinstance(found, Limits)
    assert 0 <= found.lower <= found.value <= found.upper <= 1
    assert found.upper - found.lower > 0
    wider = limits(outcomes, clusters, 0.99)
    assert wider.lower <= found.lower + 1e-9
    assert wider.upper >= found.upper - 1e-9


@pytest.mark.slow
def test_coverage_with_correlated_cases() -> None:
    """50 clusters of 10, rate 0.97, clusters that share their rate: 95 % limits cover 95 % or more.

    Cluster rates are Beta with intra-cluster correlation 0.1. The plain limits, which take the 500
    cases for independent, cover only about 0.88 here. 4000 data sets: Monte-Carlo error 0.4 points.
    """
    rng = np.random.default_rng(5)
    names = np.repeat(np.arange(50), 10)
    shape = (1 - 0.1) / 0.1
    clustered = plain = 0
    for _ in range(4000):
        rates = rng.beta(0.97 * shape, 0.03 * shape, size=50)
        outcomes = (rng.random(500) < np.repeat(rates, 10)).astype(float)
        found = clopper_pearson_clusters(outcomes, names)
        assert isinstance(found, Limits)
        clustered += found.lower <= 0.97 <= found.upper
        independent = clopper_pearson(int(outcomes.sum()), 500)
        plain += independent.lower <= 0.97 <= independent.upper
    assert clustered / 4000 >= 0.94
    assert plain / 4000 < 0.93
