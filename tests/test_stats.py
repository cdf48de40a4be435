"""Tests of the statistics: published numbers, then what must hold for any data, then coverage."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK
from scipy import stats as reference

from ftgate_ext.stats import paired
from ftgate_ext.stats.paired import (
    bootstrap,
    f1_difference,
    f1_of_sums,
    mean_difference,
    paired_t,
    quantile,
)
from ftgate_ext.stats.proportion import (
    Limits,
    clopper_pearson,
    mcnemar_exact,
    tango_interval,
    tango_z,
)

CASES: list[dict[str, Any]] = json.loads(
    Path(__file__).with_name("reference").joinpath("stats_cases.json").read_text(encoding="utf-8")
)


def cases_of(what: str) -> list[Any]:
    """The reference cases of one method."""
    return [pytest.param(c, id=c["id"]) for c in CASES if c["what"] == what]


# --- published numbers


@pytest.mark.parametrize("case", cases_of("clopper_pearson"))
def test_clopper_pearson_agrees_with_published_limits(case: dict[str, Any]) -> None:
    """The exact interval of a proportion is the one in the tables."""
    limits = clopper_pearson(**case["input"])

    found = {name: getattr(limits, name) for name in case["expected"]}
    assert found == pytest.approx(case["expected"], abs=case["tolerance"])


@pytest.mark.parametrize("case", cases_of("mcnemar_exact"))
def test_mcnemar_agrees_with_published_p(case: dict[str, Any]) -> None:
    """The exact McNemar p is the one of other programs."""
    p = mcnemar_exact(**case["input"])

    assert p == pytest.approx(case["expected"]["p"], abs=case["tolerance"])


@pytest.mark.parametrize("case", cases_of("tango"))
def test_tango_agrees_with_published_limits(case: dict[str, Any]) -> None:
    """The score interval of a paired difference, and the score statistic at a margin."""
    limits = tango_interval(**case["input"])

    found = {name: getattr(limits, name) for name in case["expected"]}
    assert found == pytest.approx(case["expected"], abs=case["tolerance"])
    if "z" in case:
        counts = {name: case["input"][name] for name in ("gained", "lost", "n")}
        z = tango_z(**counts, difference=case["margin"])
        assert z == pytest.approx(case["z"], abs=case["tolerance"])


@pytest.mark.parametrize("case", cases_of("paired_t"))
def test_paired_t_agrees_with_published_p(case: dict[str, Any]) -> None:
    """Student's own data give the p that R prints."""
    p = paired_t(np.array(case["input"]["candidate"]), np.array(case["input"]["baseline"]))

    assert p == pytest.approx(case["expected"]["p"], abs=case["tolerance"])


@pytest.mark.parametrize("case", cases_of("bootstrap_p"))
def test_bootstrap_agrees_with_all_resamples(case: dict[str, Any]) -> None:
    """The drawn resamples are distributed like the complete list of resamples."""
    differences = np.array(case["input"]["differences"])
    rows = np.column_stack([differences, np.zeros(4), np.ones(4)])

    result = bootstrap(rows, mean_difference, seed=1, resamples=case["input"]["resamples"])

    assert result.interval.value == pytest.approx(case["expected"]["value"])
    assert result.p / 2 == pytest.approx(case["expected"]["p_le_0"], abs=case["tolerance"])


@pytest.mark.parametrize("case", cases_of("bootstrap_f1"))
def test_f1_bootstrap_agrees_with_delta_method_and_jackknife(case: dict[str, Any]) -> None:
    """Two models on 1000 cases: F1 to the last digit, limits and p within Monte-Carlo error."""
    rows = f1_rows(case["input"]["counts_by_gold_candidate_baseline"])
    expected = case["expected"]

    result = bootstrap(rows, f1_difference, seed=1, resamples=case["input"]["resamples"])

    sums = rows.sum(axis=0, keepdims=True)
    assert f1_of_sums(sums[:, :3])[0] == pytest.approx(expected["candidate"], abs=1e-12)
    assert f1_of_sums(sums[:, 3:])[0] == pytest.approx(expected["baseline"], abs=1e-12)
    assert result.interval.value == pytest.approx(expected["value"], abs=1e-12)
    assert result.p == pytest.approx(expected["p"], abs=case["tolerance_p"])
    found = [result.interval.lower, result.interval.upper, result.lower_one_sided]
    wanted = [expected[name] for name in ("lower", "upper", "lower_one_sided")]
    assert found == pytest.approx(wanted, abs=case["tolerance"])


def f1_rows(counts: dict[str, int]) -> paired.Array:
    """Cells (gold, candidate, baseline) -> one row [tp, fp, fn, tp, fp, fn] a case."""

    def cell(gold: int, predicted: int) -> list[int]:
        return [gold & predicted, (1 - gold) & predicted, gold & (1 - predicted)]

    rows = [
        cell(int(key[0]), int(key[1])) + cell(int(key[0]), int(key[2]))
        for key, count in counts.items()
        for _ in range(count)
    ]
    return np.array(rows, dtype=float)


@pytest.mark.parametrize("case", cases_of("win_rate"))
def test_bootstrap_of_win_rates_has_the_published_standard_error(case: dict[str, Any]) -> None:
    """The interval of a public leaderboard's win rate is as wide as its standard error says."""
    counts = case["input"]
    values = np.repeat([1.0, 0.0, 0.5], [counts["wins"], counts["losses"], counts["ties"]])
    rows = np.column_stack([values, np.zeros(len(values)), np.ones(len(values))])

    result = bootstrap(rows, mean_difference, seed=1, resamples=20_000)

    expected = case["expected"]
    assert result.interval.value == pytest.approx(expected["value"], abs=case["tolerance"])
    half_width = (result.interval.upper - result.interval.lower) / 2
    assert half_width == pytest.approx(1.96 * expected["standard_error"], rel=0.03)


# --- exact intervals

counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
discordance = st.integers(1, 200).flatmap(
    lambda n: st.integers(0, n).flatmap(
        lambda gained: st.tuples(st.just(gained), st.integers(0, n - gained), st.just(n))
    )
)
levels = st.sampled_from([0.5, 0.9, 0.95, 0.99])


@QUICK
@given(counts, levels)
def test_proportion_interval_contains_its_estimate_and_has_a_width(
    count: tuple[int, int], level: float
) -> None:
    """Not even 0 of n or n of n gives an interval of zero width."""
    limits = clopper_pearson(*count, level)

    assert 0 <= limits.lower <= limits.value <= limits.upper <= 1
    assert limits.upper - limits.lower > 0


@QUICK
@given(counts, levels)
def test_proportion_interval_mirrors(count: tuple[int, int], level: float) -> None:
    """Counting failures instead of successes mirrors the interval."""
    successes, n = count
    one, other = clopper_pearson(successes, n, level), clopper_pearson(n - successes, n, level)

    assert (one.lower, one.upper) == pytest.approx((1 - other.upper, 1 - other.lower))


@QUICK
@given(counts)
def test_higher_confidence_is_wider(count: tuple[int, int]) -> None:
    """An interval at 99 % holds the interval at 90 %."""
    wide, narrow = clopper_pearson(*count, 0.99), clopper_pearson(*count, 0.90)

    assert wide.lower <= narrow.lower
    assert narrow.upper <= wide.upper


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(successes: int, n: int) -> None:
    """A proportion of nothing, or of more than all, is an error and not a figure."""
    with pytest.raises(ValueError, match="expected 0 <= successes <= n"):
        clopper_pearson(successes, n)


@QUICK
@given(discordance, levels)
def test_paired_difference_contains_its_estimate_and_has_a_width(
    pairs: tuple[int, int, int], level: float
) -> None:
    """Also where nothing is discordant the interval has a width."""
    limits = tango_interval(*pairs, level)

    assert -1 <= limits.lower <= limits.value <= limits.upper <= 1
    assert limits.upper - limits.lower > 0


@QUICK
@given(discordance, levels)
def test_paired_difference_mirrors(pairs: tuple[int, int, int], level: float) -> None:
    """Swapping the two models mirrors the interval and leaves p alone."""
    gained, lost, n = pairs
    one = tango_interval(gained, lost, n, level)
    other = tango_interval(lost, gained, n, level)

    mirrored = (-other.value, -other.upper, -other.lower)
    assert (one.value, one.lower, one.upper) == pytest.approx(mirrored, abs=1e-9)
    assert mcnemar_exact(gained, lost) == pytest.approx(mcnemar_exact(lost, gained))


@QUICK
@given(discordance)
def test_one_more_loss_never_helps(pairs: tuple[int, int, int]) -> None:
    """The limits go down when a pair that both had right is lost."""
    gained, lost, n = pairs
    before = tango_interval(gained, lost, n + 1)
    after = tango_interval(gained, lost + 1, n + 1)

    assert after.value < before.value
    assert after.lower <= before.lower + 1e-9
    assert after.upper <= before.upper + 1e-9


@QUICK
@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_sign_test_of_scipy(gained: int, lost: int) -> None:
    """The p is a probability, and the binomial test of the discordant pairs."""
    p = mcnemar_exact(gained, lost)

    assert 0 < p <= 1
    if gained + lost:
        smaller = min(gained, lost)
        tail = float(reference.binom.cdf(smaller, gained + lost, 0.5))
        assert p == pytest.approx(min(1.0, 2 * tail), rel=1e-6)


@QUICK
@given(discordance, levels, st.integers(-999, 999).map(lambda d: d / 1000))
def test_tango_interval_holds_what_its_score_does_not_reject(
    pairs: tuple[int, int, int], level: float, difference: float
) -> None:
    """A difference lies in the interval if and only if its score is small enough."""
    limits = tango_interval(*pairs, level)
    z = float(reference.norm.ppf(0.5 + level / 2))
    if min(abs(difference - limits.lower), abs(difference - limits.upper)) > 1e-6:
        inside = limits.lower < difference < limits.upper
        assert inside == (abs(tango_z(*pairs, difference)) <= z)


@pytest.mark.parametrize("n", [1, 2, 13, 25, 50, 52])
def test_tango_holds_where_everything_is_lost(n: int) -> None:
    """All pairs lost: rounding makes the root's argument negative at the edge, and nobody notices."""
    limits = tango_interval(0, n, n)

    assert (limits.lower, limits.value) == (-1, -1)
    assert -1 < limits.upper < 1
    assert tango_interval(n, 0, n).lower == pytest.approx(-limits.upper)


def test_tango_without_discordance_has_its_closed_form() -> None:
    """Nothing discordant in n pairs: z^2 / (n + z^2) to both sides."""
    z = float(reference.norm.ppf(0.975))
    limits = tango_interval(0, 0, 50)

    assert (limits.lower, limits.upper) == pytest.approx(
        (-(z**2) / (50 + z**2), z**2 / (50 + z**2))
    )


@pytest.mark.parametrize(("gained", "lost", "n"), [(0, 0, 0), (-1, 0, 5), (3, 3, 5)])
def test_tango_refuses_impossible_counts(gained: int, lost: int, n: int) -> None:
    """More discordant pairs than pairs are an error and not a figure."""
    with pytest.raises(ValueError, match=r"expected gained \+ lost <= n"):
        tango_interval(gained, lost, n)


def test_coverage_of_paired_differences() -> None:
    """Over all outcomes of 25 pairs, up to the boundary, the interval covers at least 93 %."""
    n = 25
    outcomes = [(g, lost) for g in range(n + 1) for lost in range(n + 1 - g)]
    limits = [tango_interval(*outcome, n) for outcome in outcomes]
    cells = [(g, lost, n - g - lost) for g, lost in outcomes]
    for up, down in ((0.0, 0.0), (0.02, 0.0), (0.02, 0.02), (0.1, 0.05), (0.3, 0.2), (0.5, 0.5)):
        chances = reference.multinomial.pmf(cells, n, [up, down, max(0.0, 1 - up - down)])
        hits = [x.lower - 1e-12 <= up - down <= x.upper + 1e-12 for x in limits]
        assert chances.sum() == pytest.approx(1)
        assert chances[hits].sum() >= 0.93, (up, down)


# --- paired bootstrap

score_rows = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])),
    min_size=1,
    max_size=60,
).map(lambda rows: np.array([(a, b, 1.0) for a, b in rows]))
seeds = st.integers(0, 2**32 - 1)


def run(rows: paired.Array, seed: int = 1, resamples: int = 1000) -> paired.BootstrapResult:
    """The bootstrap of a mean difference, quickly."""
    return bootstrap(rows, mean_difference, seed, resamples)


@QUICK
@given(score_rows, seeds)
def test_same_seed_gives_the_same_result(rows: paired.Array, seed: int) -> None:
    """Two calls with one seed agree in every digit."""
    assert run(rows, seed) == run(rows, seed)


@QUICK
@given(score_rows, st.randoms(use_true_random=False))
def test_order_of_cases_is_irrelevant(rows: paired.Array, random: Any) -> None:
    """Shuffled cases give the same figures in every digit."""
    order = list(range(len(rows)))
    random.shuffle(order)

    assert run(rows) == run(rows[order])


@QUICK
@given(score_rows)
def test_interval_contains_the_estimate(rows: paired.Array) -> None:
    """Percentile limits of a mean lie on both sides of it, the one-sided ones within them."""
    result = run(rows)
    interval = result.interval

    assert interval.lower - 1e-9 <= interval.value <= interval.upper + 1e-9
    assert interval.lower <= result.lower_one_sided <= result.upper_one_sided <= interval.upper
    assert 0 < result.p <= 1


@QUICK
@given(score_rows)
def test_swapping_the_models_mirrors_the_bootstrap(rows: paired.Array) -> None:
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
def test_adding_the_same_to_both_models_changes_nothing(rows: paired.Array) -> None:
    """Only differences count."""
    shifted = rows + np.array([1.0, 1.0, 0.0])

    one, other = run(rows), run(shifted)

    assert one.interval.value == pytest.approx(other.interval.value, abs=1e-12)
    assert one.interval.lower == pytest.approx(other.interval.lower, abs=1e-12)
    assert one.interval.upper == pytest.approx(other.interval.upper, abs=1e-12)


@pytest.mark.parametrize("cells", [1, 7, 1000, 50_000])
def test_chunking_does_not_matter(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    """Resamples drawn in many small portions are those drawn at once."""
    # Eighths have exact sums, in whatever order they are added.
    rows = np.column_stack([np.arange(40) / 8, np.arange(40)[::-1] % 7 / 8, np.ones(40)])
    at_once = run(rows)

    monkeypatch.setattr(paired, "CHUNK_CELLS", cells)

    assert run(rows) == at_once


def test_resamples_that_are_all_alike_are_called_degenerate() -> None:
    """Identical models have no bootstrap interval, and the result says so."""
    alike = np.ones((30, 3))
    different = np.column_stack([np.arange(30.0), np.zeros(30), np.ones(30)])

    assert run(alike).degenerate
    assert run(alike).p == 1.0
    assert not run(different).degenerate


@pytest.mark.parametrize(("n", "resamples"), [(0, 1000), (5, 999)])
def test_bootstrap_refuses_too_little(n: int, resamples: int) -> None:
    """No cases and too few resamples are errors, not figures."""
    with pytest.raises(ValueError, match="expected at least 1 and 1000"):
        run(np.ones((n, 3)), resamples=resamples)


@QUICK
@given(st.lists(st.tuples(*[st.integers(0, 1)] * 3), min_size=1, max_size=50))
def test_f1_of_sums_is_the_harmonic_mean_of_precision_and_recall(
    items: list[tuple[int, int, int]],
) -> None:
    """2TP / (2TP + FP + FN), and 0 where there is neither a finding nor a report."""
    tp, fp, fn = (sum(column) for column in zip(*items, strict=True))
    expected = 0.0
    if tp:
        precision, recall = tp / (tp + fp), tp / (tp + fn)
        expected = 2 * precision * recall / (precision + recall)

    assert f1_of_sums(np.array([[tp, fp, fn]], dtype=float))[0] == pytest.approx(expected)


def test_paired_t_has_no_p_where_nothing_varies() -> None:
    """One pair, or the same difference everywhere, allows no t-test."""
    assert paired_t(np.array([1.0]), np.array([0.0])) is None
    assert paired_t(np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 2.0])) is None


def test_quantile_of_nothing_is_none() -> None:
    """No latency was measured: there is no p95, and it is not 0."""
    assert quantile(np.array([]), 0.95) is None
    assert quantile(np.arange(1.0, 101.0), 0.5) == pytest.approx(50.5)


# --- coverage of the bootstrap, by simulation


@pytest.mark.slow
@pytest.mark.parametrize(("n", "least"), [(60, 0.90), (200, 0.92), (500, 0.93)])
def test_f1_bootstrap_covers_the_true_difference(n: int, least: float) -> None:
    """Of 1500 seeded data sets, nearly 95 % of the intervals hold the true difference of F1."""
    cells = {
        "111": 180,
        "110": 45,
        "101": 30,
        "100": 45,
        "011": 50,
        "010": 25,
        "001": 35,
        "000": 590,
    }
    truth = 0.75 - 0.7058823529411765
    shares = np.array(list(cells.values())) / 1000
    kinds = f1_rows(dict.fromkeys(cells, 1))
    rng = np.random.default_rng(20260101)
    covered = 0
    for seed in range(1500):
        rows = np.repeat(kinds, rng.multinomial(n, shares), axis=0)
        interval = bootstrap(rows, f1_difference, seed, resamples=1000).interval
        covered += interval.lower <= truth <= interval.upper

    assert least <= covered / 1500 <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "up", "down"), [(50, 0.03, 0.01), (164, 0.06, 0.06), (1000, 0.06, 0.04)]
)
def test_paired_difference_covers_in_simulation(n: int, up: float, down: float) -> None:
    """Of 3000 seeded data sets, about 95 % or more of the intervals hold the true difference."""
    rng = np.random.default_rng(20260102)
    drawn = rng.multinomial(n, [up, down, 1 - up - down], size=3000)

    @cache
    def limits(gained: int, lost: int) -> Limits:
        return tango_interval(gained, lost, n)

    covered = sum(
        limits(gained, lost).lower <= up - down <= limits(gained, lost).upper
        for gained, lost, _ in drawn.tolist()
    )

    assert covered / 3000 >= 0.94
