"""Tests of quantiles of clustered times: repeats of one case are not independent."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK

from ftgate_ext.stats.clustered_quantile import (
    _draw_clusters,
    clustered_quantile_limits,
    clustered_quantile_ratio,
    draw_quantiles,
    effective_size,
)
from ftgate_ext.stats.limits import NoLimits
from ftgate_ext.stats.quantile import QuantileRatio, quantile_limits

RNG = np.random.default_rng(5)
TIMES = RNG.lognormal(0, 0.5, 200)


@pytest.mark.parametrize("q", [0.5, 0.95])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_without_repeats_the_limits_are_the_usual_ones(q: float, level: float) -> None:
    """One value a cluster: rank for rank those of independent values."""
    assert clustered_quantile_limits(TIMES, range(200), q, level) == quantile_limits(TIMES, q, level)  # fmt: skip


@pytest.mark.parametrize("q", [0.5, 0.95])
def test_copies_say_no_more_than_the_original(q: float) -> None:
    """Each value five times over has nearly the limits of asking once."""
    copies, cases = np.repeat(TIMES, 5), np.repeat(np.arange(200), 5)
    once, often = quantile_limits(TIMES, q), clustered_quantile_limits(copies, cases.tolist(), q)

    assert effective_size(copies, cases.tolist(), q) == pytest.approx(200, rel=0.05)
    assert (once.lower, once.upper) != (None, None)
    ranks = np.searchsorted(np.sort(TIMES), [often.lower, often.upper]) + 1  # type: ignore[list-item]
    assert abs(ranks - np.array(once.ranks)).max() <= 3
    naive = quantile_limits(copies, q)
    assert often.upper - often.lower > 1.5 * (naive.upper - naive.lower)  # type: ignore[operator]


def test_too_few_cases_have_no_upper_limit_however_often_asked() -> None:
    """30 cases asked ten times: no p95 has an upper limit, though 300 requests would have one."""
    values, cases = np.repeat(TIMES[:30], 10), np.repeat(np.arange(30), 10).tolist()
    assert quantile_limits(values, 0.95).upper is not None
    assert clustered_quantile_limits(values, cases, 0.95).upper is None


@pytest.mark.parametrize("q", [0.5, 0.9])
def test_drawn_quantiles_are_those_of_drawn_cases(q: float) -> None:
    """Against resampling the cases one by one, in clusters of unequal sizes."""
    cases = RNG.integers(0, 40, 130)
    cases = np.unique(cases, return_inverse=True)[1]
    columns = RNG.lognormal(0, 1, (2, 130)) + RNG.lognormal(0, 1, 40)[cases]
    drawn = draw_quantiles(columns, cases, q, np.random.default_rng(1), 4000)
    members = [np.flatnonzero(cases == c) for c in range(cases.max() + 1)]
    rng = np.random.default_rng(2)
    slow = []
    for _ in range(1500):
        rows = np.concatenate([members[c] for c in rng.integers(0, len(members), len(members))])
        slow.append(np.quantile(columns[:, rows], q, axis=1))

    for mine, theirs in zip(drawn, np.array(slow).T, strict=True):
        assert mine.mean() == pytest.approx(theirs.mean(), rel=0.02)
        assert mine.std() == pytest.approx(theirs.std(), rel=0.15)


@pytest.mark.parametrize("q", [0.5, 0.95])
def test_many_cases_have_the_same_spread_by_their_shares(q: float) -> None:
    """Shares drawn from a normal distribution, against every cluster drawn: both models, jointly."""
    cases = np.repeat(np.arange(1500), 2)
    hard = RNG.lognormal(0, 0.5, 1500)[cases]
    columns = np.stack([hard * RNG.lognormal(0, 0.3, 3000) for _ in range(2)])
    fast = draw_quantiles(columns, cases, q, np.random.default_rng(3), 4000)
    slow = _draw_clusters(columns, cases, q, np.random.default_rng(4), 1500)

    for mine, theirs in zip(fast, slow, strict=True):
        assert mine.mean() == pytest.approx(theirs.mean(), rel=0.01)
    spread = [(drawn[0] / drawn[1]).std() for drawn in (fast, slow)]
    assert spread[0] == pytest.approx(spread[1], rel=0.12)
    limits = clustered_quantile_limits(columns[0], cases.tolist(), q)
    ends = np.quantile(fast[0], [0.025, 0.975])
    assert ends == pytest.approx([limits.lower, limits.upper], rel=0.02)


def test_a_ratio_draws_whole_cases() -> None:
    """Copies do not narrow it; a true factor lies inside."""
    base = RNG.lognormal(0, 0.4, 150)
    mine, theirs = 0.8 * base * RNG.lognormal(0, 0.05, 150), base
    once = clustered_quantile_ratio(mine, theirs, range(150), 0.5, 7, 2000)
    often = clustered_quantile_ratio(
        np.repeat(mine, 4), np.repeat(theirs, 4), np.repeat(np.arange(150), 4).tolist(), 0.5, 7, 2000
    )  # fmt: skip

    assert isinstance(once, QuantileRatio)
    assert isinstance(often, QuantileRatio)
    assert once.limits.lower <= 0.8 <= once.limits.upper
    width = once.limits.upper - once.limits.lower
    assert often.limits.upper - often.limits.lower == pytest.approx(width, rel=0.3)
    assert often.limits.method.startswith("paired percentile bootstrap of 150 cases")


@pytest.mark.parametrize(
    ("cases", "why"),
    [(5, "5 cases; at least"), (40, "of 40 cases say as much as 36 independent ones")],
)
def test_few_cases_have_a_ratio_without_limits(cases: int, why: str) -> None:
    """And a reason that counts cases, not requests."""
    values, names = np.repeat(TIMES[:cases], 10), np.repeat(np.arange(cases), 10).tolist()
    found = clustered_quantile_ratio(values, values, names, 0.95, 1, 1000)
    assert isinstance(found, NoLimits)
    assert found.value == pytest.approx(1)
    assert why in found.why


@QUICK
@given(
    st.lists(st.tuples(st.floats(0.001, 1000), st.integers(0, 12)), min_size=1, max_size=80),
    st.sampled_from([0.5, 0.9, 0.99]),
)
def test_limits_hold_the_sample_together(rows: list[tuple[float, int]], q: float) -> None:
    """They are values of the sample, in order, and there are never more of them than without clusters."""
    values, cases = zip(*rows, strict=True)
    found, naive = clustered_quantile_limits(values, cases, q), quantile_limits(values, q)

    if found.lower is not None and found.upper is not None:
        assert found.lower <= found.upper
    assert {found.lower, found.upper} - {None} <= set(values)
    assert naive.upper is not None or found.upper is None
    assert 1 <= effective_size(values, cases, q) <= len(values)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cases", "q"), [(50, 0.5), (200, 0.5), (200, 0.95)], ids=["50 p50", "200 p50", "200 p95"]
)
def test_coverage_of_repeated_cases(cases: int, q: float) -> None:
    """Five requests a case, correlation 0.9: 95 % limits miss 2 to 6 %; as if independent, 25 % and more."""
    rng, names = np.random.default_rng(11), np.repeat(np.arange(cases), 5).tolist()
    true = float(np.exp(0.6 * {0.5: 0.0, 0.95: 1.6448536}[q]))
    missed = naive = 0
    for _ in range(1000):
        z = 0.9**0.5 * np.repeat(rng.normal(size=cases), 5) + 0.1**0.5 * rng.normal(size=5 * cases)
        values = np.exp(0.6 * z)
        for limits, is_naive in ((clustered_quantile_limits(values, names, q), False), (quantile_limits(values, q), True)):  # fmt: skip
            out = (limits.lower or 0) > true or (limits.upper or np.inf) < true
            naive, missed = naive + (out and is_naive), missed + (out and not is_naive)

    assert 0.015 <= missed / 1000 <= 0.06
    assert naive / 1000 > 0.2
