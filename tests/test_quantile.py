"""Tests of quantiles: ranks in published tables, samples too small for a limit, and ratios."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK
from scipy import stats as reference

from ftgate_ext.stats import quantile as module
from ftgate_ext.stats.limits import NoLimits
from ftgate_ext.stats.quantile import (
    QuantileRatio,
    quantile,
    quantile_limits,
    quantile_ratio,
    smallest_n_with_upper_limit,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

samples = st.integers(1, 300)
quantiles = st.sampled_from([0.01, 0.05, 0.25, 0.5, 0.9, 0.95, 0.99])
levels = st.sampled_from([0.5, 0.9, 0.95, 0.99])
latencies = st.lists(st.integers(1, 500).map(lambda ms: ms / 100), min_size=80, max_size=200)


def ratio_of(*arguments: object, **named: object) -> QuantileRatio:
    """The ratio, where there must be one."""
    found = quantile_ratio(*arguments, **named)  # type: ignore[arg-type]
    assert isinstance(found, QuantileRatio)
    return found


@pytest.mark.parametrize(
    ("n", "q", "ranks", "coverage"),
    [
        (100, 0.5, (40, 61), 0.9647997997822952),
        (100, 0.95, (90, 100), 0.9826070607121812),
        (1000, 0.95, (936, 964), 0.9580952682226541),
    ],
)
def test_ranks_are_the_published_ones(
    n: int, q: float, ranks: tuple[int, int], coverage: float
) -> None:
    """Hahn and Meeker's ranks for a median of 100, scipy's for p95, and their exact coverage."""
    found = quantile_limits(np.arange(n, 0, -1), q)

    assert found.ranks == ranks
    assert (found.lower, found.upper) == ranks
    assert found.coverage == pytest.approx(coverage, abs=1e-9)


@pytest.mark.parametrize(("q", "n"), [(0.5, 6), (0.95, 72), (0.99, 368)])
def test_the_least_sample_with_an_upper_limit(q: float, n: int) -> None:
    """One case fewer has none: 72 cases for a p95, 368 for a p99."""
    assert smallest_n_with_upper_limit(q, 0.95) == n
    assert quantile_limits(np.arange(n), q).upper == n - 1
    assert quantile_limits(np.arange(n - 1), q).upper is None


def test_fifty_cases_have_no_upper_limit_of_a_p95() -> None:
    """The side without a limit is None, never an infinity, and its rank lies outside the sample."""
    found = quantile_limits(np.arange(1, 51), 0.95)

    assert (found.lower, found.upper) == (44, None)
    assert found.ranks == (44, 51)
    assert found.coverage == pytest.approx(1 - reference.binom.cdf(43, 50, 0.95))


@pytest.mark.skipif(not hasattr(reference, "quantile_test"), reason="scipy has it from 1.12 on")
@QUICK
@given(samples, quantiles, levels)
def test_limits_are_those_of_scipy(n: int, q: float, level: float) -> None:
    """The limits of scipy.stats.quantile_test, with None for its NaN, and at least the level."""
    values = np.arange(1.0, n + 1)
    found = quantile_limits(values, q, level)
    other = reference.quantile_test(values, q=0, p=q).confidence_interval(level)
    expected = [None if np.isnan(end) else float(end) for end in (other.low, other.high)]

    assert [found.lower, found.upper] == expected
    assert level - 1e-12 <= found.coverage <= 1
    assert found.value == quantile(values, q)


@QUICK
@given(quantiles, levels)
def test_the_least_sample_follows_from_the_ranks(q: float, level: float) -> None:
    """`smallest_n_with_upper_limit` and `quantile_limits` agree at every quantile and level."""
    n = smallest_n_with_upper_limit(q, level)

    assert quantile_limits(np.arange(n), q, level).upper is not None
    assert n == 1 or quantile_limits(np.arange(n - 1), q, level).upper is None


@QUICK
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=150), quantiles)
def test_a_higher_level_never_narrows(values: list[float], q: float) -> None:
    """Limits at 99 % enclose those at 90 %, and a missing limit stays missing."""
    wide, narrow = quantile_limits(values, q, 0.99), quantile_limits(values, q, 0.90)

    assert wide.ranks[0] <= narrow.ranks[0]
    assert wide.ranks[1] >= narrow.ranks[1]
    if wide.lower is not None:
        assert narrow.lower is not None
        assert wide.lower <= narrow.lower


def test_limits_cost_microseconds() -> None:
    """A gate that simulates itself asks thousands of times."""
    values = np.random.default_rng(1).lognormal(size=500)
    start = time.perf_counter()
    for _ in range(200):
        quantile_limits(values, 0.95)

    assert time.perf_counter() - start < 0.5


def test_quantile_of_nothing_is_none() -> None:
    """An empty sample has no quantile; a full one is numpy's."""
    assert quantile([], 0.95) is None
    assert quantile([1.0, 2.0, 4.0], 0.5) == 2
    assert quantile([1.0, 2.0, 4.0], 1.0) == 4


# --- ratios


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("q", [0.5, 0.95])
def test_drawn_quantiles_are_those_of_resampled_cases(q: float, paired: bool) -> None:
    """Both shortcuts have the distribution that drawing all cases again and again gives."""
    rng = np.random.default_rng(2)
    baseline = np.round(rng.lognormal(size=150), 1) + 0.1
    candidate = np.round(baseline * rng.lognormal(0, 0.3, size=150), 1) + 0.1
    drawn = rng.integers(0, 150, (10_000, 150))
    other = drawn if paired else rng.integers(0, 150, (10_000, 150))
    expected = np.quantile(candidate[drawn], q, axis=1) / np.quantile(baseline[other], q, axis=1)

    draw = module._paired_quantiles if paired else module._unpaired_quantiles
    tops, bottoms = draw(candidate, baseline, q, rng, 10_000)

    # 0.023: the 1 % point of the two-sample Kolmogorov-Smirnov distance at these sizes.
    assert reference.ks_2samp(tops / bottoms, expected).statistic < 0.023


def test_a_narrow_window_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases far from the quantile may be counted in lumps: the limits stay within their error."""
    rng = np.random.default_rng(3)
    baseline = rng.lognormal(size=20_000)
    candidate = baseline * rng.lognormal(0, 0.2, size=20_000)
    wide = ratio_of(candidate, baseline, 0.95, 1, resamples=2000, paired=True)
    monkeypatch.setattr(module, "WINDOW_SD", 5.0)
    narrow = ratio_of(candidate, baseline, 0.95, 1, resamples=2000, paired=True)

    width = wide.limits.upper - wide.limits.lower
    assert narrow.limits.lower == pytest.approx(wide.limits.lower, abs=0.1 * width)
    assert narrow.limits.upper == pytest.approx(wide.limits.upper, abs=0.1 * width)


@QUICK
@given(latencies, st.booleans())
def test_limits_of_a_ratio_are_in_order(times: list[float], paired: bool) -> None:
    """One-sided limits lie within the two-sided ones; the same seed gives the same figures."""
    other = [1.1 * x for x in reversed(times)]
    found = quantile_ratio(times, other, 0.9, 5, 1000, paired=paired)

    assert found == quantile_ratio(times, other, 0.9, 5, 1000, paired=paired)
    if isinstance(found, QuantileRatio):
        assert found.limits.lower <= found.lower_one_sided <= found.upper_one_sided
        assert found.upper_one_sided <= found.limits.upper
        assert found.limits.value == pytest.approx(found.candidate / found.baseline)


def test_pairing_pays_where_the_cases_decide() -> None:
    """Times that go together have narrower limits when they are resampled together."""
    rng = np.random.default_rng(4)
    baseline = rng.lognormal(size=400)
    candidate = 1.1 * baseline * rng.lognormal(0, 0.05, size=400)
    paired = ratio_of(candidate, baseline, 0.9, 1, paired=True).limits
    unpaired = ratio_of(candidate, baseline, 0.9, 1).limits

    assert paired.value == unpaired.value
    assert paired.upper - paired.lower < 0.5 * (unpaired.upper - unpaired.lower)


def test_a_hundred_thousand_cases_take_no_time_unpaired() -> None:
    """The cost of order statistics does not grow with the resample."""
    times = np.random.default_rng(5).lognormal(size=100_000)
    start = time.perf_counter()
    ratio_of(times, times, 0.95, 1)

    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    ("candidate", "baseline", "q", "why"),
    [
        (range(1, 51), range(1, 101), 0.95, "50 cases have no upper limit of this quantile; at least 72 are needed"),
        (range(1, 101), range(1, 51), 0.95, "at least 72 are needed"),
        (range(1, 51), range(1, 51), 0.05, "no lower limit"),
        (range(1, 101), [0] * 100, 0.95, "not positive"),
        (range(1, 101), [0] * 90 + [1] * 10, 0.9, "not positive in all resamples"),
        ([2] * 100, [1] * 100, 0.95, "no spread"),
    ],
)  # fmt: skip
def test_no_ratio_is_said_to_be_none(
    candidate: Sequence[float], baseline: Sequence[float], q: float, why: str
) -> None:
    """Too few cases, a baseline of 0 and times that are all alike have no limits."""
    found = quantile_ratio(list(candidate), list(baseline), q, seed=1)

    assert isinstance(found, NoLimits)
    assert why in found.why


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q": 1.0}, "q=1.0"),
        ({"level": 0.0}, "level=0.0"),
        ({"alpha": 0.0}, "alpha=0.0"),
        ({"resamples": 999}, "at least 1000"),
        ({"candidate": []}, "at least 1 number"),
        ({"baseline": [1.0, float("nan")]}, "finite"),
        ({"candidate": [1.0] * 80, "paired": True}, "expected pairs"),
    ],
)
def test_bad_input_is_refused(change: dict[str, object], message: str) -> None:
    """What is no sample, no pairing or no share is an error."""
    arguments: dict[str, object] = {"candidate": [1.0] * 90, "baseline": [1.0] * 90, "q": 0.5, "seed": 1}  # fmt: skip
    with pytest.raises(ValueError, match=message):
        quantile_ratio(**arguments | change)  # type: ignore[arg-type]


def test_bad_quantiles_are_refused() -> None:
    """A quantile outside its range and an empty sample have no limits to speak of."""
    with pytest.raises(ValueError, match="q=0"):
        quantile_limits([1.0], 0)
    with pytest.raises(ValueError, match="at least 1 number"):
        quantile_limits([], 0.5)
    with pytest.raises(ValueError, match=r"q=1\.5"):
        quantile([1.0], 1.5)
    with pytest.raises(ValueError, match="q=nan"):
        smallest_n_with_upper_limit(float("nan"))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "least"), [(100, 0.85), (500, 0.925)])
def test_coverage_of_a_p95_ratio(n: int, least: float) -> None:
    """The bootstrap of a p95 ratio is liberal at 100 cases and holds from 500 on."""
    rng = np.random.default_rng(6)
    hits, trials = 0, 1500
    for seed in range(trials):
        limits = ratio_of(rng.lognormal(size=n), rng.lognormal(size=n), 0.95, seed, 1000).limits
        hits += limits.lower <= 1 <= limits.upper
    assert hits / trials >= least
