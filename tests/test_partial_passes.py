"""Tests of limits of pass/fail averages: whole passes as ever, parts of passes against the limit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK

from ftgate_ext.stats.limits import NoLimits
from ftgate_ext.stats.mean import cluster_t, paired_t
from ftgate_ext.stats.paired_binary import tango_interval
from ftgate_ext.stats.partial_passes import (
    clopper_pearson_of_shares,
    pairs_worth,
    tango_of_shares,
)
from ftgate_ext.stats.proportion import clopper_pearson


def test_whole_passes_have_the_usual_limits() -> None:
    """5 gained and 7 lost of 164, 49 right of 50: Tango's and Clopper-Pearson's limits themselves."""
    differences = [1.0] * 5 + [-1.0] * 7 + [0.0] * 152
    usual = tango_interval(5, 7, 164, 0.9)
    found = tango_of_shares(differences, 164, 0.9)
    exact = clopper_pearson(49, 50, 0.9)
    share = clopper_pearson_of_shares([1.0] * 49 + [0.0], 0.9)

    assert (found.lower, found.upper) == (usual.lower, usual.upper)
    assert found.value == pytest.approx(usual.value)
    assert (share.value, share.lower, share.upper) == (exact.value, exact.lower, exact.upper)


def test_parts_of_passes_count_against_either_limit() -> None:
    """Five answers in ten cases: 0.4 + 0.4 lost is one lost case below, and none above."""
    found = tango_of_shares([-0.4, -0.4] + [0.0] * 98, 100, 0.9)

    assert found.value == pytest.approx(-0.008)
    assert found.lower == tango_interval(0, 1, 100, 0.9).lower
    assert found.upper == tango_interval(0, 0, 100, 0.9).upper
    share = clopper_pearson_of_shares([0.6, 0.6] + [1.0] * 48, 0.9)
    assert share.value == pytest.approx(49.2 / 50)
    assert share.lower == clopper_pearson(49, 50, 0.9).lower
    assert share.upper == clopper_pearson(50, 50, 0.9).upper


def test_fewer_pairs_make_wider_limits() -> None:
    """200 cases that are worth 50 pairs: 8 lost are 2 lost of 50."""
    differences = [-1.0] * 8 + [0.0] * 192

    assert tango_of_shares(differences, 50, 0.9).lower == tango_interval(0, 2, 50, 0.9).lower


parts = st.lists(st.sampled_from([-1.0, -0.6, -0.2, 0.0, 0.2, 0.6, 1.0]), min_size=1, max_size=60)


@QUICK
@given(parts, st.sampled_from([0.8, 0.9, 0.95]))
def test_limits_hold_the_value_and_mirror(differences: list[float], level: float) -> None:
    """Never of zero width, never beyond -1 and 1, and the exchanged models' mirror image."""
    found = tango_of_shares(differences, len(differences), level)
    turned = tango_of_shares([-d for d in differences], len(differences), level)

    assert -1 <= found.lower <= found.value + 1e-12
    assert found.value - 1e-12 <= found.upper <= 1
    assert found.lower < found.upper
    assert (turned.lower, turned.upper) == pytest.approx((-found.upper, -found.lower))


@QUICK
@given(parts, st.data())
def test_a_worse_case_lowers_both_limits(differences: list[float], data: st.DataObject) -> None:
    """Monotone in every case."""
    i = data.draw(st.sampled_from(range(len(differences))))
    worse = list(differences)
    worse[i] = -1.0
    n = len(differences)

    before, after = tango_of_shares(differences, n), tango_of_shares(worse, n)

    assert after.lower <= before.lower + 1e-9
    assert after.upper <= before.upper + 1e-9


def test_cases_of_clusters_are_worth_between_clusters_and_cases() -> None:
    """Copies are worth their clusters, independent cases themselves."""
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(40), 10)
    copies = np.repeat(rng.choice([-1.0, 0.0, 1.0], 40), 10)
    single = rng.choice([-1.0, 0.0, 1.0], 400)

    def worth(values: np.ndarray) -> int:
        found = cluster_t(values, clusters)
        assert not isinstance(found, NoLimits)
        return pairs_worth(values, found.standard_error, 40)

    assert 38 <= worth(copies) <= 42
    assert 280 <= worth(single) <= 400


@pytest.mark.parametrize(
    ("differences", "pairs"), [([], 1), ([0.5], 2), ([0.5], 0), ([1.5], 1), ([math.nan], 1)]
)
def test_what_is_no_difference_of_shares_is_refused(differences: list[float], pairs: int) -> None:
    """One line that says what was found."""
    with pytest.raises(ValueError, match=r"expected|finite"):
        tango_of_shares(differences, pairs)
    with pytest.raises(ValueError, match="standard_error"):
        pairs_worth([0.0, 1.0], 0.0, 2)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "repeats", "rate"), [(100, 5, 0.4), (200, 2, 0.5), (200, 5, 1.0)])
def test_a_loss_of_just_the_margin_is_rarely_cleared(n: int, repeats: int, rate: float) -> None:
    """A true loss of 2 pt in few cases clears a 2 pt margin in at most 5 %; by t in up to 14 %."""
    rng = np.random.default_rng(5)
    by_t = by_shares = 0
    for _ in range(2000):
        broken = rng.random(n) < 0.02 / rate
        mine = np.where(broken, rng.binomial(repeats, 1 - rate, n) / repeats, 1.0)
        t = paired_t(mine, np.ones(n), 0.9)
        by_t += not isinstance(t, NoLimits) and t.limits.lower > -0.02
        by_shares += tango_of_shares(mine - 1, n, 0.9).lower > -0.02

    assert by_shares / 2000 <= 0.05
    assert by_t / 2000 > 0.06
