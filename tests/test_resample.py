"""Tests of the bootstrap and of random swaps: all resamples, properties, ways of drawing, size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK
from scipy import stats as reference

from ftgate_ext.stats import cells, draws
from ftgate_ext.stats.cells import Array, find_cells
from ftgate_ext.stats.limits import NoLimits
from ftgate_ext.stats.paired_binary import mcnemar_exact
from ftgate_ext.stats.resample import (
    BootstrapResult,
    ExhaustiveBootstrap,
    bootstrap,
    exhaustive_bootstrap,
    mean_difference,
    randomization_test,
    ratio_of_sums,
)

CASES: list[dict[str, Any]] = json.loads(
    Path(__file__)
    .with_name("reference")
    .joinpath("worked_examples.json")
    .read_text(encoding="utf-8")
)


def cases_of(what: str) -> list[Any]:
    """The reference cases of one method."""
    return [pytest.param(c, id=c["id"]) for c in CASES if c["what"] == what]


def rows_of(candidate: Any, baseline: Any) -> Array:
    """Rows that `mean_difference` reads."""
    return np.column_stack([candidate, baseline, np.ones(len(candidate))]).astype(float)


def run(rows: Array, seed: int = 1, resamples: int = 1000) -> BootstrapResult:
    """The bootstrap of a mean difference, quickly."""
    return bootstrap(rows, mean_difference, seed, resamples)


def continuous_rows(n: int, seed: int = 7) -> Array:
    """Scores of two models, no two alike."""
    rng = np.random.default_rng(seed)
    baseline = rng.gamma(2.0, size=n)
    return rows_of(baseline + rng.normal(0.02, 0.5, size=n), baseline)


# --- all resamples, all swaps


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("case", cases_of("bootstrap_p"))
def test_bootstrap_agrees_with_all_resamples(case: dict[str, Any], sign: int) -> None:
    """The drawn resamples are distributed like the complete list of resamples."""
    differences = sign * np.array(case["input"]["differences"])

    result = run(rows_of(differences, np.zeros(4)), resamples=case["input"]["resamples"])

    assert result.interval.value == pytest.approx(sign * case["expected"]["value"])
    assert result.p / 2 == pytest.approx(case["expected"]["p_le_0"], abs=case["tolerance"])
    assert result.standard_error == pytest.approx(0.0739509972887452, rel=0.01)


@pytest.mark.parametrize("sign", [1, -1])
def test_ties_count_on_both_sides_whatever_their_rounding(sign: int) -> None:
    """0.3 - 0.1 - 0.1 - 0.1 is a tie with 0, whether it is rounded up or down."""
    differences = sign * np.array([-0.3, 0.1, 0.1, 0.3])
    exact = exhaustive_bootstrap(sign * differences)
    assert isinstance(exact, ExhaustiveBootstrap)

    result = run(rows_of(differences, np.zeros(4)), resamples=20_000)

    assert result.p / 2 == pytest.approx(exact.p_not_better, abs=0.014)
    assert exact.p_not_better - exact.p_worse > 0.08


def test_all_resamples_of_four_are_counted() -> None:
    """The 256 resamples of four differences, ties kept apart by the side they count on."""
    found = exhaustive_bootstrap([0.3, -0.1, 0.2, 0.1])

    assert isinstance(found, ExhaustiveBootstrap)
    assert found.value == pytest.approx(0.125)
    assert found.standard_error == pytest.approx(0.0739509972887452, abs=1e-12)
    assert found.p_not_better == pytest.approx(19 / 256, abs=1e-12)
    assert found.p_worse == pytest.approx(9 / 256, abs=1e-12)
    assert found.p_twice == pytest.approx(15 / 256, abs=1e-12)


@QUICK
@given(st.lists(st.sampled_from([-1.0, -0.3, 0.0, 0.1, 0.2]), min_size=2, max_size=5))
def test_all_resamples_are_those_of_a_plain_enumeration(differences: list[float]) -> None:
    """Counting compositions gives what listing all n^n resamples gives."""
    found = exhaustive_bootstrap(differences)
    if len(set(differences)) == 1:
        assert isinstance(found, NoLimits)
        return
    assert isinstance(found, ExhaustiveBootstrap)
    means = np.mean(list(product(differences, repeat=len(differences))), axis=1)
    assert found.p_not_better == pytest.approx((means <= 1e-9).mean(), abs=1e-12)
    assert found.p_worse == pytest.approx((means < -1e-9).mean(), abs=1e-12)
    assert found.p_twice == pytest.approx((means >= 2 * found.value - 1e-9).mean(), abs=1e-12)
    assert found.standard_error == pytest.approx(means.std(), abs=1e-12)


def test_one_case_of_a_thousand_proves_nothing() -> None:
    """One case differs: swaps say p = 1, and the bootstrap is not better in (1 - 1/n)^n of all."""
    differences = np.zeros(1000)
    differences[17] = 1.0

    found = exhaustive_bootstrap(differences)
    swapped = randomization_test(differences, np.zeros(1000), mean_difference, seed=1)

    assert isinstance(found, ExhaustiveBootstrap)
    assert found.p_not_better == pytest.approx((1 - 1 / 1000) ** 1000, abs=1e-10)
    assert (swapped.difference, swapped.p, swapped.exact) == (0.001, 1.0, True)


def test_too_many_outcomes_are_refused() -> None:
    """What would take hours is an error that names the way out."""
    with pytest.raises(ValueError, match="expected at most 1000000 outcomes"):
        exhaustive_bootstrap(np.arange(12.0))
    with pytest.raises(ValueError, match="2000 cases with 3 distinct differences"):
        exhaustive_bootstrap(np.arange(2000.0) % 3)


@QUICK
@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 30))
def test_swapping_pass_and_fail_is_the_sign_test(gained: int, lost: int, same: int) -> None:
    """On pass/fail scores random swaps are McNemar's exact test."""
    candidate = np.repeat([1.0, 0.0, 1.0], [gained, lost, same + 1])
    baseline = np.repeat([0.0, 1.0, 1.0], [gained, lost, same + 1])

    found = randomization_test(candidate, baseline, mean_difference, seed=1)

    assert found.exact
    assert found.p == pytest.approx(mcnemar_exact(gained, lost), rel=1e-9)


@QUICK
@given(st.lists(st.tuples(*[st.sampled_from([0.0, 0.3, 0.5, 1.1])] * 2), min_size=1, max_size=8))
def test_all_swaps_are_those_of_a_plain_enumeration(pairs: list[tuple[float, float]]) -> None:
    """Counting swaps by kind of pair gives what listing all 2^n swaps gives."""
    candidate, baseline = np.array(pairs).T
    differences = candidate - baseline
    signs = np.array(list(product([1, -1], repeat=len(pairs))))
    extreme = np.abs(signs @ differences) >= abs(differences.sum()) - 1e-9

    found = randomization_test(candidate, baseline, mean_difference, seed=1)

    assert found.exact
    assert found.p == pytest.approx(extreme.mean(), abs=1e-12)


def test_random_swaps_agree_with_all_swaps() -> None:
    """By kinds of pairs, or case by case: p is that of scipy's test up to Monte-Carlo error."""
    rng = np.random.default_rng(3)
    graded = rng.integers(1, 6, size=(300, 2)).astype(float)
    smooth = rng.random((300, 2)) + np.array([0.03, 0.0])
    for scores in (graded, smooth):
        expected = reference.permutation_test(
            tuple(scores.T), lambda x, y, axis: (x - y).mean(axis=axis), n_resamples=20_000,
            permutation_type="samples", vectorized=True, random_state=1, batch=1000,
        ).pvalue  # fmt: skip

        found = randomization_test(*scores.T, mean_difference, seed=1, resamples=20_000)

        assert not found.exact
        assert found.p == pytest.approx(expected, abs=0.02)


def test_swaps_of_many_cases_are_drawn_in_blocks() -> None:
    """Above 8192 cases, half of them are taken in each random swap, whichever block they are in."""
    rows = np.column_stack([np.arange(20_000) < 8192, np.arange(20_000) >= 8192]).astype(float)

    sums = draws.sum_half_of_cases(rows, 1000, seed=1)

    assert sums.mean(axis=0) == pytest.approx([4096, 5904], rel=0.01)
    assert sums.std(axis=0) == pytest.approx([np.sqrt(8192) / 2, np.sqrt(11_808) / 2], rel=0.1)
    assert abs(np.corrcoef(sums.T)[0, 1]) < 0.15


# --- against others


@pytest.mark.parametrize("case", cases_of("win_rate"))
def test_bootstrap_of_win_rates_has_the_published_standard_error(case: dict[str, Any]) -> None:
    """The interval of a public leaderboard's win rate is as wide as its standard error says."""
    counts = case["input"]
    values = np.repeat([1.0, 0.0, 0.5], [counts["wins"], counts["losses"], counts["ties"]])

    result = run(rows_of(values, np.zeros(len(values))), resamples=20_000)

    expected = case["expected"]
    assert result.interval.value == pytest.approx(expected["value"], abs=case["tolerance"])
    half_width = (result.interval.upper - result.interval.lower) / 2
    assert half_width == pytest.approx(1.96 * expected["standard_error"], rel=0.03)
    assert result.standard_error == pytest.approx(expected["standard_error"], rel=0.03)


def test_limits_are_those_of_scipy() -> None:
    """Percentile limits of scipy.stats.bootstrap, up to Monte-Carlo error."""
    rows = continuous_rows(300)
    expected = reference.bootstrap(
        (rows[:, 0], rows[:, 1]), lambda x, y, axis: (x - y).mean(axis=axis), paired=True,
        vectorized=True, n_resamples=20_000, batch=2000, method="percentile",
        random_state=1,
    )  # fmt: skip

    result = run(rows, resamples=20_000)

    wanted = [expected.confidence_interval.low, expected.confidence_interval.high]
    slack = 0.05 * result.standard_error
    assert [result.interval.lower, result.interval.upper] == pytest.approx(wanted, abs=slack)
    assert result.standard_error == pytest.approx(expected.standard_error, rel=0.02)


# --- what holds for any scores

score_rows = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])),
    min_size=1,
    max_size=60,
).map(lambda pairs: rows_of(*zip(*pairs, strict=True)))
seeds = st.integers(0, 2**32 - 1)


@QUICK
@given(score_rows, seeds)
def test_same_seed_gives_the_same_result(rows: Array, seed: int) -> None:
    """Two calls with one seed agree in every digit."""
    assert run(rows, seed) == run(rows, seed)


@QUICK
@given(score_rows, st.randoms(use_true_random=False))
def test_order_of_cases_is_irrelevant(rows: Array, random: Any) -> None:
    """Shuffled cases give the same figures in every digit."""
    order = list(range(len(rows)))
    random.shuffle(order)

    assert run(rows) == run(rows[order])


@pytest.mark.parametrize("n", [500, 10_001])
def test_order_of_cases_is_irrelevant_for_continuous_scores(n: int) -> None:
    """Also where cases are drawn one by one or weighted."""
    rows = continuous_rows(n)

    assert run(rows) == run(rows[np.random.default_rng(1).permutation(n)])


@QUICK
@given(score_rows)
def test_interval_contains_the_estimate(rows: Array) -> None:
    """Percentile limits of a mean lie on both sides of it, the one-sided ones within them."""
    result = run(rows)
    interval = result.interval

    assert interval.lower - 1e-9 <= interval.value <= interval.upper + 1e-9
    assert interval.lower <= result.lower_one_sided <= result.upper_one_sided <= interval.upper
    assert 0 < result.p <= 1


@QUICK
@given(score_rows)
def test_swapping_the_models_mirrors_the_bootstrap(rows: Array) -> None:
    """The value changes its sign exactly, limits and p up to Monte-Carlo error."""
    one, other = run(rows, resamples=5000), run(rows[:, [1, 0, 2]], resamples=5000)

    assert one.interval.value == pytest.approx(-other.interval.value, abs=1e-12)
    assert one.degenerate == other.degenerate
    # The percentiles of a mean lie on a lattice of 1 / (4 n): neighbours of it may change places.
    slack = 0.15 * (one.interval.upper - one.interval.lower) + 1 / len(rows)
    assert one.interval.lower == pytest.approx(-other.interval.upper, abs=slack)
    assert one.upper_one_sided == pytest.approx(-other.lower_one_sided, abs=slack)
    assert one.p == pytest.approx(other.p, abs=0.08)


@QUICK
@given(score_rows)
def test_swapping_the_models_mirrors_the_randomisation(rows: Array) -> None:
    """Which model is called the candidate does not matter to p."""
    one = randomization_test(rows[:, 0], rows[:, 1], mean_difference, seed=1, resamples=2000)
    other = randomization_test(rows[:, 1], rows[:, 0], mean_difference, seed=1, resamples=2000)

    assert one.difference == pytest.approx(-other.difference, abs=1e-12)
    assert one.p == pytest.approx(other.p, abs=0 if one.exact else 0.06)


@QUICK
@given(score_rows)
def test_adding_the_same_to_both_models_changes_nothing(rows: Array) -> None:
    """Only differences count."""
    shifted = rows + np.array([1.0, 1.0, 0.0])

    one, other = run(rows), run(shifted)

    assert one.interval.value == pytest.approx(other.interval.value, abs=1e-12)
    assert one.interval.lower == pytest.approx(other.interval.lower, abs=1e-12)
    assert one.interval.upper == pytest.approx(other.interval.upper, abs=1e-12)


@QUICK
@given(score_rows, st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=60))
def test_cases_that_both_models_score_alike_never_change_the_sign(
    rows: Array, alike: list[float]
) -> None:
    """They dilute a difference, and cannot make a gain of a loss."""
    before = run(rows)
    after = run(np.vstack([rows, rows_of(alike, alike)]))

    shrunk = before.interval.value * len(rows) / (len(rows) + len(alike))
    assert after.interval.value == pytest.approx(shrunk, abs=1e-12)
    if before.interval.lower > 0:
        assert after.interval.upper > 0
    if before.interval.upper < 0:
        assert after.interval.lower < 0


@QUICK
@given(st.lists(st.tuples(*[st.sampled_from([-1.5, 0.0, 0.1, 0.3, 7.0])] * 3), min_size=1))
def test_cells_are_the_distinct_rows(items: list[tuple[float, ...]]) -> None:
    """As numpy's unique, whatever the scores."""
    rows = np.array(items)
    expected, counts = np.unique(rows, axis=0, return_counts=True)

    found = find_cells(rows, most=125)

    assert found is not None
    assert np.array_equal(found.rows, expected)
    assert np.array_equal(found.counts, counts)


@pytest.mark.parametrize("width", [3, 16])
def test_cells_of_many_columns_and_levels_are_found(width: int) -> None:
    """Also where the rows have more combinations than an integer has values."""
    rng = np.random.default_rng(5)
    kinds = np.column_stack([rng.random((300, width - 1)), np.arange(300) * 3])
    rows = kinds[rng.integers(0, 300, size=70_000)]
    expected, counts = np.unique(rows, axis=0, return_counts=True)

    found = find_cells(rows, most=300)

    assert found is not None
    assert np.array_equal(found.rows, expected)
    assert np.array_equal(found.counts, counts)
    assert find_cells(rows, most=299) is None


def test_cells_are_given_up_where_only_all_blocks_together_have_too_many() -> None:
    """No block of rows has more distinct ones than are of use, all blocks together have."""
    rows = rows_of(np.arange(70_000) // 250, np.zeros(70_000))

    assert find_cells(rows, most=279) is None
    assert find_cells(rows, most=280) is not None


# --- ways of drawing


def test_each_way_of_drawing_is_chosen_where_it_fits() -> None:
    """Few distinct rows are drawn as cells at any n, others case by case, many by weights."""
    verdicts = rows_of(np.arange(20_000) % 2, np.arange(20_000) % 3 == 0)

    methods = [run(x).interval.method for x in (verdicts, continuous_rows(200))]
    methods.append(run(continuous_rows(10_001)).interval.method)

    assert methods == [
        "paired percentile bootstrap, 1000 resamples, multinomial over 4 distinct rows of 20000 cases",
        "paired percentile bootstrap, 1000 resamples, multinomial over 200 cases",
        "paired percentile bootstrap, 1000 resamples, Poisson weights on 10001 cases",
    ]


def test_cells_are_drawn_like_cases() -> None:
    """Counts of distinct rows and cases drawn one by one have the same distribution."""
    rng = np.random.default_rng(2)
    rows = rows_of(rng.integers(1, 6, size=120), rng.integers(1, 6, size=120))
    found = find_cells(rows, most=25)
    assert found is not None

    by_cell = mean_difference(draws.resample_cells(found, 20_000, seed=1))
    by_case = mean_difference(draws.resample_cases(rows, 20_000, seed=2))

    slack = 4 * by_case.std() * 1.5 / np.sqrt(20_000)
    tails = [0.025, 0.05, 0.5, 0.95, 0.975]
    # A percentile is known to about sqrt(q (1 - q) / B) / density, which is largest at the tails.
    assert np.quantile(by_cell, tails) == pytest.approx(np.quantile(by_case, tails), abs=2 * slack)
    assert reference.ks_2samp(by_cell, by_case).pvalue > 0.001


@pytest.mark.parametrize("n", [8192, 10_001, 30_000])
def test_poisson_weights_have_the_standard_error_of_resampling(n: int) -> None:
    """The spread is that of multinomial counts, sd / sqrt(n), within 4 %."""
    rows = continuous_rows(n)
    difference = rows[:, 0] - rows[:, 1]

    values = mean_difference(draws.resample_by_poisson(rows, 5000, seed=1))

    error = difference.std() / np.sqrt(n)
    assert values.std() == pytest.approx(error, rel=0.04)
    assert values.mean() == pytest.approx(difference.mean(), abs=4 * error / np.sqrt(5000))


def test_poisson_weights_draw_as_many_cases_as_there_are() -> None:
    """A total, not only a mean, has the spread of resampling: sums are scaled to n cases."""
    rows = continuous_rows(10_001)

    sums = draws.resample_by_poisson(rows, 2000, seed=1)

    assert sums[:, 2] == pytest.approx(10_001, rel=1e-12)
    assert sums[:, 0].std() == pytest.approx(rows[:, 0].std() * np.sqrt(10_001), rel=0.05)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_sums_are_as_exact_as_double_precision(offset: float) -> None:
    """Weighted sums in blocks and limbs are the plain ones, also of large scores that differ little."""
    rows = continuous_rows(9000) + np.array([offset, offset, 0.0])
    found = draws.resample_cases(rows, 1, seed=1)
    first = draws.generator(1, draws.Draw.CASES, 0).integers(0, 9000, size=(250, 9000))[0]
    weights = np.bincount(first, minlength=9000)

    assert found[0] == pytest.approx(weights @ rows, rel=1e-14)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_weighted_sums_keep_nine_digits_in_single_precision(offset: float) -> None:
    """The products are of single precision; limbs make their sums far more exact than that."""
    rows = continuous_rows(9000) + np.array([offset, offset, 0.0])
    blocks = [
        draws.generator(1, draws.Draw.SWAPS, 0, block).bit_generator.random_raw(250 * 8192 // 64)
        for block in (0, 1)
    ]
    bits = np.hstack([np.unpackbits(raw.view(np.uint8)).reshape(250, 8192) for raw in blocks])

    found = draws.sum_half_of_cases(rows, 250, seed=1)

    spread = np.ptp(rows, axis=0).max()
    assert found == pytest.approx(bits[:, :9000] @ rows, rel=1e-14, abs=9000 * 1e-9 * spread)


@pytest.mark.parametrize("n", [120, 700, 10_001])
def test_more_resamples_only_append(n: int) -> None:
    """The first of many resamples are those of fewer: how many are drawn at once does not show."""
    rows = continuous_rows(n) if n > 120 else np.round(continuous_rows(n))
    found = find_cells(rows, most=60)
    for seed in (1, 2):
        if n == 120:
            assert found is not None
            few, many = (draws.resample_cells(found, b, seed) for b in (333, 1000))
        elif n == 700:
            few, many = (draws.resample_cases(rows, b, seed) for b in (333, 1000))
        else:
            few, many = (draws.resample_by_poisson(rows, b, seed) for b in (333, 1000))
        assert np.array_equal(few, many[:333])


@pytest.mark.parametrize("rows_at_once", [100, 7000])
def test_rows_looked_at_together_do_not_matter(
    monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    """Cells found in many small portions are those found at once, and so is what is drawn."""
    rng = np.random.default_rng(4)
    rows = rows_of(rng.integers(0, 9, size=20_000) / 8, rng.integers(0, 3, size=20_000) / 10)
    at_once = run(rows)

    monkeypatch.setattr(cells, "BLOCK", rows_at_once)

    assert run(rows) == at_once


def test_number_of_threads_does_not_matter() -> None:
    """One thread of the linear algebra library gives every digit of many."""
    code = (
        "import numpy as np; from ftgate_ext.stats.draws import *;"
        "x = np.random.default_rng(7).gamma(2.0, size=(20001, 5));"
        "print([f(x[:n], 300, 1).sum(axis=0).tolist() for f, n in"
        " ((resample_cases, 2000), (resample_by_poisson, 20001), (sum_half_of_cases, 20001))])"
    )
    names = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
    printed = [
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True,
            env=os.environ | dict.fromkeys(names, threads),
        ).stdout
        for threads in ("1", "3")
    ]  # fmt: skip

    assert printed[0] == printed[1]
    assert len(printed[0]) > 100


def test_no_two_draws_share_a_stream() -> None:
    """Another seed, kind of draw, resample block or case block is another stream."""
    keys = list(product((1, 2), (draws.Draw.CASES, draws.Draw.POISSON), (0, 1), (0, 1)))

    first = {draws.generator(*key).integers(0, 2**62) for key in keys}

    assert len(first) == len(keys)


# --- clusters


def test_clusters_are_resampled_whole() -> None:
    """Ten equal cases a cluster hold no more than one: the standard error is that of the clusters."""
    rng = np.random.default_rng(6)
    one_each = rows_of(rng.random(60), rng.random(60))
    ten_each, names = np.repeat(one_each, 10, axis=0), [f"repo-{i // 10}" for i in range(600)]

    clustered = bootstrap(ten_each, mean_difference, 1, 5000, clusters=names)

    assert isinstance(clustered, BootstrapResult)
    alone = run(one_each, resamples=5000)
    assert clustered.interval.value == pytest.approx(alone.interval.value)
    assert clustered.interval.n == 600
    assert clustered.interval.method.endswith("60 distinct rows of 60 clusters")
    assert clustered.standard_error == pytest.approx(alone.standard_error, rel=0.05)
    assert clustered.standard_error > 2.5 * run(ten_each).standard_error


def test_clusters_of_one_case_are_cases() -> None:
    """Each case its own cluster: the same figures in every digit."""
    rows = rows_of(np.arange(40) % 5, np.arange(40) % 3)

    clustered = bootstrap(rows, mean_difference, 1, 1000, clusters=range(40))

    assert isinstance(clustered, BootstrapResult)
    assert clustered.standard_error == run(rows).standard_error
    assert clustered.p == run(rows).p


def test_seven_clusters_bound_nothing() -> None:
    """Under 8 clusters there is a value and no interval."""
    rows = rows_of(np.arange(70.0) % 9, np.arange(70.0) % 4)

    found = bootstrap(rows, mean_difference, 1, clusters=np.arange(70) % 7)

    assert isinstance(found, NoLimits)
    assert found.value == pytest.approx(run(rows).interval.value)
    assert (found.n, found.why) == (70, "7 clusters; at least 8 are needed")


# --- nothing to draw


def test_resamples_that_are_all_alike_are_called_degenerate() -> None:
    """Identical models have no bootstrap interval, and the result says so."""
    different = rows_of(np.arange(30.0), np.zeros(30))
    scores = np.random.default_rng(1).random(30)

    assert run(np.ones((30, 3))).degenerate
    assert run(np.ones((30, 3))).p == 1.0
    assert run(rows_of(scores, scores)).degenerate
    assert run(rows_of(scores, scores)).p == 1.0
    assert run(rows_of(scores + 0.1, scores)).degenerate
    assert not run(different).degenerate


def test_scores_of_any_scale_are_told_from_rounding() -> None:
    """A difference of a billionth in costs of a billionth is a difference."""
    rows = continuous_rows(300)
    tiny = rows * np.array([1e-9, 1e-9, 1.0])

    assert not run(tiny).degenerate
    assert run(tiny).p == run(rows).p


def test_one_sided_limits_have_the_level_asked_for() -> None:
    """Alpha moves the one-sided limits, level the interval, and at 2 alpha = 1 - level they meet."""
    rows = continuous_rows(200)

    result = bootstrap(rows, mean_difference, 1, 2000, level=0.8, alpha=0.1)

    assert result.lower_one_sided == pytest.approx(result.interval.lower)
    assert result.upper_one_sided == pytest.approx(result.interval.upper)
    wider = bootstrap(rows, mean_difference, 1, 2000, level=0.8, alpha=0.01)
    assert wider.lower_one_sided < result.lower_one_sided


def test_ratio_of_totals_is_bootstrapped() -> None:
    """The ratio of totals has the spread of the delta method; without a denominator it is refused."""
    rng = np.random.default_rng(8)
    rows = np.column_stack([rng.gamma(2.0, 1.0, 400), rng.gamma(2.0, 4.0, 400)])
    ratio = rows[:, 0].sum() / rows[:, 1].sum()

    result = bootstrap(rows, ratio_of_sums, seed=1, resamples=4000)

    assert result.interval.value == pytest.approx(ratio)
    error = (rows[:, 0] - ratio * rows[:, 1]).std() / rows[:, 1].mean() / 20
    assert result.standard_error == pytest.approx(error, rel=0.06)
    with pytest.raises(ValueError, match="expected one finite value a resample"):
        bootstrap(np.array([[1.0, 0.0], [1.0, 1.0]]), ratio_of_sums, seed=1)


@pytest.mark.parametrize(("n", "resamples"), [(0, 1000), (5, 999)])
def test_bootstrap_refuses_too_little(n: int, resamples: int) -> None:
    """No cases and too few resamples are errors, not figures."""
    with pytest.raises(ValueError, match="expected at least 1 and 1000"):
        run(np.ones((n, 3)), resamples=resamples)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (np.ones(5), {}, r"rows have shape \(5,\): expected \(cases, columns\)"),
        (np.full((5, 3), np.nan), {}, "rows hold nan: expected finite numbers"),
        (np.ones((5, 3)), {"level": 1.0}, "level=1.0: expected"),
        (np.ones((5, 3)), {"alpha": 0.0}, "alpha=0.0: expected"),
        (np.ones((5, 3)), {"clusters": [1, 2]}, "2 names for 5 values"),
    ],
)
def test_bootstrap_refuses_what_makes_no_sense(
    rows: Array, options: dict[str, Any], message: str
) -> None:
    """Each wrong argument is named, with what was expected."""
    with pytest.raises(ValueError, match=message):
        bootstrap(rows, mean_difference, 1, **options)


@pytest.mark.parametrize(
    ("candidate", "baseline", "resamples", "message"),
    [
        ([1.0], [1.0, 2.0], 1000, r"candidate \(1, 1\), baseline \(2, 1\)"),
        ([1.0], [2.0], 10, "10 resamples"),
        ([], [], 1000, r"candidate rows of shape \(0, 1\)"),
        ([1.0], [np.inf], 1000, "baseline rows of shape"),
    ],
)
def test_randomisation_refuses_what_makes_no_sense(
    candidate: list[float], baseline: list[float], resamples: int, message: str
) -> None:
    """Each wrong argument is named, with what was expected."""
    with pytest.raises(ValueError, match=message):
        randomization_test(candidate, baseline, mean_difference, 1, resamples)


# --- size and coverage, by simulation


@pytest.mark.slow
@pytest.mark.parametrize(("clusters", "least", "most"), [(10, 0.06, 0.14), (50, 0.045, 0.085)])
def test_cluster_bootstrap_is_as_liberal_as_documented(
    clusters: int, least: float, most: float
) -> None:
    """Of 2000 data sets without a difference it rejects 10 % at 10 clusters, 6.5 % at 50."""
    rng = np.random.default_rng(20260104)
    names = np.repeat(np.arange(clusters), 10)
    rejected = 0
    for seed in range(2000):
        values = np.sqrt(0.3) * rng.normal(size=clusters)[names] + np.sqrt(0.7) * rng.normal(
            size=10 * clusters
        )
        rows = rows_of(values, np.zeros(10 * clusters))
        result = bootstrap(rows, mean_difference, seed, 1000, clusters=names)
        assert isinstance(result, BootstrapResult)
        rejected += not result.interval.lower <= 0 <= result.interval.upper

    assert least <= rejected / 2000 <= most
