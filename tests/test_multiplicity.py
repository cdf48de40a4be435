"""Tests of several p-values at once: tables of other programs, then what must hold for any list."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK

from ftgate_ext.stats.multiplicity import (
    benjamini_hochberg,
    holm,
    intersection_union,
    selection_alpha,
)

p_lists = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("p", "by_holm", "by_bh"),
    [
        ([0.01, 0.02, 0.03, 0.04, 0.05], [0.05, 0.08, 0.09, 0.09, 0.09], [0.05] * 5),
        ([0.004, 0.011, 0.039, 0.2], [0.016, 0.033, 0.078, 0.2], [0.016, 0.022, 0.052, 0.2]),
        ([0.2, 0.004, 0.039, 0.011], [0.2, 0.016, 0.078, 0.033], [0.2, 0.016, 0.052, 0.022]),
    ],
)
def test_adjusted_p_values_are_those_of_r(
    p: list[float], by_holm: list[float], by_bh: list[float]
) -> None:
    """R's p.adjust and statsmodels' multipletests give the same, in the order of the input."""
    assert holm(p) == pytest.approx(by_holm, abs=1e-12)
    assert benjamini_hochberg(p) == pytest.approx(by_bh, abs=1e-12)


@QUICK
@given(p_lists)
def test_adjusting_raises_p_and_keeps_the_order(p: list[float]) -> None:
    """Raw <= BH <= Holm <= Bonferroni, and a smaller p stays the smaller one."""
    raw, by_holm, by_bh = np.array(p), holm(p), benjamini_hochberg(p)

    assert (raw <= by_bh + 1e-15).all()
    assert (by_bh <= by_holm + 1e-15).all()
    assert (by_holm <= np.minimum(1, len(p) * raw) + 1e-15).all()
    for adjusted in (by_holm, by_bh):
        assert (np.diff(adjusted[np.argsort(raw, kind="stable")]) >= 0).all()


@QUICK
@given(p_lists, st.randoms(use_true_random=False))
def test_the_order_of_the_claims_is_irrelevant(p: list[float], random: object) -> None:
    """Shuffled claims take their adjusted p with them."""
    order = list(range(len(p)))
    random.shuffle(order)  # type: ignore[attr-defined]

    assert holm([p[i] for i in order]).tolist() == holm(p)[order].tolist()
    assert benjamini_hochberg([p[i] for i in order]) == pytest.approx(benjamini_hochberg(p)[order])


def test_all_claims_hold_where_the_worst_does() -> None:
    """Berger 1982: four claims below 0.05 hold together, where Holm would not grant each of them."""
    p = [0.01, 0.04, 0.03, 0.049]
    found = intersection_union(p, alpha=0.05)

    assert found.p == 0.049
    assert found.all_shown
    assert not (holm(p) <= 0.05).all()
    assert not intersection_union([*p, 0.051]).all_shown


def test_the_best_of_many_is_tested_harder() -> None:
    """The level is divided by K, as in the first step of Holm; one candidate costs nothing."""
    assert selection_alpha(0.05, 10) == pytest.approx(0.005)
    assert selection_alpha(0.05, 1) == 0.05


@pytest.mark.parametrize("p", [[], [0.5, 1.5], [-0.1], [float("nan")], [[0.1, 0.2]]])
def test_what_is_no_list_of_p_values_is_refused(p: list[float]) -> None:
    """An empty list, a NaN and a p outside [0, 1] are errors in every method."""
    for method in (holm, benjamini_hochberg, intersection_union):
        with pytest.raises(ValueError, match="p_values"):
            method(p)


def test_bad_levels_and_counts_are_refused() -> None:
    """A level outside (0, 1), and no candidate at all, are errors."""
    with pytest.raises(ValueError, match="alpha=0"):
        intersection_union([0.1], alpha=0)
    with pytest.raises(ValueError, match="alpha=1"):
        selection_alpha(1, 3)
    with pytest.raises(ValueError, match="candidates=0"):
        selection_alpha(0.05, 0)


@pytest.mark.slow
def test_chosen_checkpoints_improve_by_luck_and_the_correction_stops_it() -> None:
    """The best of 10 equal checkpoints passes 0.05 far too often; at 0.05 / 10 it does not."""
    rng = np.random.default_rng(11)
    p = rng.random((20_000, 10)).min(axis=1)

    assert (p < 0.05).mean() > 0.3
    assert (p < selection_alpha(0.05, 10)).mean() == pytest.approx(0.05, abs=0.007)
