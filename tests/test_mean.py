"""Tests of means: published numbers, the sign-flip test by brute force, then any data."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from records import QUICK
from scipy import stats as reference

from ftgate_ext.stats import flips
from ftgate_ext.stats.limits import NoLimits
from ftgate_ext.stats.mean import (
    ClusterStandardErrors,
    MeanTest,
    VarianceComponents,
    average_repeats,
    cluster_standard_errors,
    cluster_t,
    paired_t,
    sign_flip,
    variance_components,
    welch_p,
)

SLEEP = (
    np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]),
    np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]),
)
"""Hours of sleep gained with two drugs (Student 1908; R: sleep)."""
UNEVEN = (
    [0.5, 0.25, 0.75, -1, 0.5, 0, 1, 0.75, 0.5, 0.25, -0.25, 0, 0.5, 1, 0.25, 0.5, -0.5, 0.25, 0.75, 0],
    [0, 0, 0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 5, 6, 6, 6, 7, 7, 8, 8],
)  # fmt: skip
"""Values, and their nine clusters of one to four."""
FOUR = (
    [0.1, 0.2, 0.15, -0.3, -0.2, -0.25, 0.4, 0.5, 0.45, 0.0, 0.1, -0.05],
    [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3],
)

scores = st.sampled_from([-1.0, -0.5, -0.3, 0.0, 0.1, 0.2, 0.5, 1.0])
pairs = st.lists(st.tuples(scores, scores), min_size=2, max_size=40).map(np.array)
grouped = st.lists(st.tuples(scores, st.integers(0, 9)), min_size=8, max_size=40).filter(
    lambda rows: len({cluster for _, cluster in rows}) >= 8
)
levels = st.sampled_from([0.8, 0.9, 0.95])


def shown(outcome: MeanTest | NoLimits) -> MeanTest:
    """The test itself, where there should be one."""
    assert isinstance(outcome, MeanTest), outcome
    return outcome


def refused(outcome: object) -> NoLimits:
    """The reason, where there should be no test."""
    assert isinstance(outcome, NoLimits), outcome
    return outcome


# --- published numbers


def test_paired_t_of_students_data() -> None:
    """R: t.test(extra ~ group, data = sleep, paired = TRUE) prints p = 0.002833 and these limits."""
    test = shown(paired_t(*SLEEP))

    assert test.limits.value == pytest.approx(-1.58, abs=1e-12)
    assert test.limits.value / test.standard_error == pytest.approx(-4.0621277, abs=1e-7)
    assert test.df == 9
    assert test.p == pytest.approx(0.00283289, abs=1e-8)
    found = (test.limits.lower, test.limits.upper)
    assert found == pytest.approx((-2.4598858, -0.7001142), abs=1e-7)


def test_unpaired_welch_misses_students_finding() -> None:
    """R: t.test(extra ~ group, data = sleep) prints p = 0.07939: pairing is what finds it."""
    assert welch_p(*SLEEP) == pytest.approx(0.0793941401873583, abs=1e-12)


def test_sign_flip_of_students_data_is_exact() -> None:
    """Nine differences point one way and one is 0: 4 of 1024 flips are as extreme."""
    test = shown(sign_flip(SLEEP[0] - SLEEP[1]))

    assert test.p == 0.00390625
    assert test.df is None
    assert test.limits.upper < 0
    assert test.limits.method == "sign-flip, all 1024 flips of 10 values"


def test_sign_flip_of_darwins_plants() -> None:
    """Fisher 1935, The Design of Experiments, 21: 1726 of 32768 flips, p = 0.0527, of Darwin's maize."""
    darwin = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48])

    test = shown(sign_flip(darwin))

    assert test.p == 1726 / 32768
    assert test.limits.lower <= 0


def test_cluster_t_agrees_with_statsmodels() -> None:
    """OLS(y, 1).fit(cov_type="cluster", use_t=True) of statsmodels 0.15, nine uneven clusters."""
    test = shown(cluster_t(*UNEVEN))

    assert test.standard_error == pytest.approx(0.12968712349342937, rel=1e-12)
    assert test.p == pytest.approx(0.049436878013331395, rel=1e-9)
    assert test.df == 8
    expected = (0.3, 0.000940956941418436, 0.5990590430585814)
    limits = test.limits
    assert (limits.value, limits.lower, limits.upper) == pytest.approx(expected, abs=1e-9)


def test_standard_errors_with_and_without_clusters() -> None:
    """CR1 and CR0 by statsmodels 0.15; Miller 2024, arXiv:2411.00640, as the double sum it prints."""
    errors = cluster_standard_errors(*FOUR)

    assert isinstance(errors, ClusterStandardErrors)
    assert errors.cr1 == pytest.approx(0.14553540997144152, rel=1e-12)
    assert errors.cr0 == pytest.approx(0.12603736218545145, rel=1e-12)
    values, names = np.array(FOUR[0]), FOUR[1]
    assert errors.naive == pytest.approx(values.std(ddof=1) / math.sqrt(12), rel=1e-12)
    products = sum(
        (values[i] - values.mean()) * (values[j] - values.mean())
        for i, j in itertools.permutations(range(12), 2)
        if names[i] == names[j]
    )
    assert errors.miller == pytest.approx(math.sqrt(errors.naive**2 + products / 144), rel=1e-12)
    assert (errors.mean, errors.clusters, errors.df) == (pytest.approx(1.1 / 12), 4, 3)
    assert errors.design_effect == pytest.approx((errors.cr1 / errors.naive) ** 2)
    limits = shown(cluster_t(*FOUR, min_clusters=4)).limits
    assert (limits.lower, limits.upper) == pytest.approx((-0.37149196, 0.55482529), abs=1e-8)


def test_variance_of_repeated_runs() -> None:
    """One-way random effects of four cases run three times, by hand: 5/9 of the spread is noise."""
    found = variance_components([[1, 1, 0], [0, 0, 0], [1, 1, 1], [1, 0, 1]])

    assert isinstance(found, VarianceComponents)
    assert found.mean == pytest.approx(7 / 12)
    assert found.mean_square_between == pytest.approx(19 / 36)
    assert found.mean_square_within == pytest.approx(1 / 6)
    assert found.case_variance == pytest.approx(13 / 108)
    assert found.standard_error == pytest.approx(0.20971762320196524)
    assert found.naive_standard_error == pytest.approx(0.1486470975026408)
    assert (found.cases, found.runs) == (4, 12)


@pytest.mark.parametrize(
    ("between", "within", "once", "five_times"),
    [(0.1, 0.3, 0.0224, 0.0118), (0.3, 0.1, 0.0224, 0.0214)],
)
def test_repeats_help_only_where_runs_differ(
    between: float, within: float, once: float, five_times: float
) -> None:
    """Of 200 cases: five runs halve the standard error of a noisy model and spare a stable one 4 %."""
    plan = VarianceComponents(
        mean=0.5, mean_square_between=1.0, mean_square_within=within**2, case_variance=between**2,
        standard_error=0.1, naive_standard_error=0.1, cases=200, runs=400,
    )  # fmt: skip

    assert plan.standard_error_with(1) == pytest.approx(once, abs=5e-5)
    assert plan.standard_error_with(5) == pytest.approx(five_times, abs=5e-5)
    assert plan.standard_error_with(1, cases=800) == pytest.approx(once / 2, abs=5e-5)
    with pytest.raises(ValueError, match="repeats=0"):
        plan.standard_error_with(0)


# --- the sign-flip test by brute force


def p_by_hand(values: list[float], names: list[int], mean: float) -> float:
    """The share of all flips of the cluster sums that are as far from `mean` as what was seen."""
    sums: dict[int, float] = {}
    for value, name in zip(values, names, strict=True):
        sums[name] = sums.get(name, 0.0) + value - mean
    signs = np.array(list(itertools.product([1, -1], repeat=len(sums))))
    flipped = abs(signs @ np.array(list(sums.values())))
    return float((flipped >= abs(sum(sums.values())) - 1e-9).mean())


@QUICK
@given(grouped, levels)
def test_sign_flip_limits_are_the_means_that_brute_force_does_not_reject(
    rows: list[tuple[float, int]], level: float
) -> None:
    """Inside the limits p exceeds 1 - level, outside it does not, and for 0 it is the one given."""
    values, names = [value for value, _ in rows], [name for _, name in rows]
    outcome = sign_flip(values, names, level)
    assume(isinstance(outcome, MeanTest))
    test = shown(outcome)

    assert test.p == pytest.approx(p_by_hand(values, names, 0), abs=1e-12)
    lower, upper = test.limits.lower, test.limits.upper
    width = upper - lower
    for inside in (lower + 1e-6 * width, test.limits.value, upper - 1e-6 * width):
        assert p_by_hand(values, names, inside) > 1 - level
    for outside in (lower - 1e-6 * width, upper + 1e-6 * width, lower - width):
        assert p_by_hand(values, names, outside) <= 1 - level + 1e-12


@QUICK
@given(st.lists(scores, min_size=6, max_size=30), levels, st.integers(0, 5))
def test_sign_flip_excludes_0_where_its_p_is_small(
    values: list[float], level: float, seed: int
) -> None:
    """The limits and the p never disagree, whether all flips are listed or some are drawn."""
    outcome = sign_flip(values, None, level, seed, flips=1000)
    assume(isinstance(outcome, MeanTest))
    test = shown(outcome)

    assert 0 < test.p <= 1
    assert test.limits.lower < test.limits.upper
    assert test.limits.lower - 1e-12 <= test.limits.value <= test.limits.upper + 1e-12
    excluded = not test.limits.lower <= 0 <= test.limits.upper
    assert excluded == (test.p <= 1 - level + 1e-12)


@QUICK
@given(st.lists(st.integers(-1000, 1000).map(lambda x: x / 1000), min_size=6, max_size=12))
def test_sign_flip_p_is_that_of_scipy(values: list[float]) -> None:
    """`scipy.stats.permutation_test` over all flips finds the same p."""
    outcome = sign_flip(values)
    assume(isinstance(outcome, MeanTest))

    expected = reference.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert shown(outcome).p == pytest.approx(float(expected.pvalue), abs=1e-12)


def test_drawn_flips_agree_with_all_flips(monkeypatch: pytest.MonkeyPatch) -> None:
    """100,000 drawn flips of 14 values find the p and the limits of all 16,384, nearly."""
    values = np.random.default_rng(7).normal(0.5, 1, size=14)
    exact = shown(sign_flip(values))
    drawn = shown(sign_flip(values, seed=3, flips=16_383))
    many = np.concatenate([values, np.zeros(3)])
    by_list, by_draw = shown(sign_flip(many, flips=2**17)), shown(sign_flip(many))

    assert drawn.limits.method == "sign-flip, 16383 random flips of 14 values"
    assert drawn.p == pytest.approx(exact.p, abs=0.008)
    assert drawn.limits.lower == pytest.approx(exact.limits.lower, abs=0.05)
    assert by_draw.p == pytest.approx(by_list.p, abs=0.003)
    assert by_draw.limits.upper == pytest.approx(by_list.limits.upper, abs=0.02)
    monkeypatch.setattr(flips, "CHUNK_CELLS", 100_000)
    assert shown(sign_flip(many)).limits.lower == pytest.approx(by_draw.limits.lower, abs=0.02)


def test_sign_flip_is_seeded_and_blind_to_order() -> None:
    """Same seed, same figures, whatever the order of cases; another seed moves them a little."""
    rng = np.random.default_rng(1)
    values, names = rng.normal(0.2, 1, size=90), np.repeat(np.arange(30), 3)
    order = rng.permutation(90)

    one = shown(sign_flip(values, names, flips=5000))
    shuffled = shown(sign_flip(values[order], names[order], flips=5000))
    other = shown(sign_flip(values, names, flips=5000, seed=1))

    assert one == shown(sign_flip(values, names, flips=5000))
    assert shuffled.p == one.p
    assert shuffled.limits.lower == pytest.approx(one.limits.lower, abs=1e-12)
    assert other.limits.lower != one.limits.lower
    assert other.limits.lower == pytest.approx(one.limits.lower, abs=0.1)


# --- any data


@QUICK
@given(pairs, levels)
def test_paired_t_is_that_of_scipy(rows: np.ndarray[Any, Any], level: float) -> None:
    """p, standard error and limits of `scipy.stats.ttest_rel`, or all differences are equal."""
    candidate, baseline = rows.T
    outcome = paired_t(candidate, baseline, level)
    if isinstance(outcome, NoLimits):
        assert np.ptp(candidate - baseline) < 1e-12
        assert outcome.value == pytest.approx(float((candidate - baseline).mean()))
        return
    expected = reference.ttest_rel(candidate, baseline)
    interval = expected.confidence_interval(level)

    assert outcome.p == pytest.approx(float(expected.pvalue), rel=1e-9)
    found = (outcome.limits.lower, outcome.limits.upper)
    assert found == pytest.approx((float(interval.low), float(interval.high)), rel=1e-9, abs=1e-12)
    assert outcome.df == expected.df


@QUICK
@given(pairs.filter(lambda rows: len(rows) >= 8), levels)
def test_clusters_of_one_case_are_no_clusters(rows: np.ndarray[Any, Any], level: float) -> None:
    """With every case for itself the cluster-robust t-test is the plain one."""
    candidate, baseline = rows.T
    plain = paired_t(candidate, baseline, level)
    clustered = cluster_t(candidate - baseline, [f"case-{i}" for i in range(len(rows))], level)
    assume(isinstance(plain, MeanTest))

    one, other = shown(plain), shown(clustered)
    assert other.p == pytest.approx(one.p, rel=1e-9)
    assert other.df == one.df
    assert other.standard_error == pytest.approx(one.standard_error, rel=1e-9)
    assert other.limits.upper == pytest.approx(one.limits.upper, rel=1e-9, abs=1e-12)


@QUICK
@given(grouped, levels)
def test_exchanging_the_models_mirrors_limits_and_keeps_p(
    rows: list[tuple[float, int]], level: float
) -> None:
    """Turning all differences round turns the limits round, and no p cares."""
    values, names = np.array([value for value, _ in rows]), [name for _, name in rows]
    for method in (
        lambda x: paired_t(x, np.zeros_like(x), level),
        lambda x: cluster_t(x, names, level),
        lambda x: sign_flip(x, names, level),
    ):
        outcome, turned = method(values), method(-values)
        if isinstance(outcome, NoLimits):
            assert refused(turned).why == outcome.why
            continue
        one, other = shown(outcome), shown(turned)
        mirrored = (-other.limits.value, -other.limits.upper, -other.limits.lower)
        found = (one.limits.value, one.limits.lower, one.limits.upper)
        assert found == pytest.approx(mirrored, abs=1e-12)
        assert one.p == pytest.approx(other.p, rel=1e-9)


@QUICK
@given(grouped, st.randoms(use_true_random=False))
def test_order_of_cases_is_irrelevant(rows: list[tuple[float, int]], random: Any) -> None:
    """Shuffled cases give the same figures."""
    shuffled = list(rows)
    random.shuffle(shuffled)
    for method in (cluster_t, sign_flip):
        outcome = method([x for x, _ in rows], [name for _, name in rows])
        other = method([x for x, _ in shuffled], [name for _, name in shuffled])
        if isinstance(outcome, NoLimits):
            assert refused(other).why == outcome.why
            continue
        assert shown(other).p == pytest.approx(outcome.p, rel=1e-9)
        assert shown(other).limits.lower == pytest.approx(outcome.limits.lower, abs=1e-12)
        assert shown(other).standard_error == pytest.approx(outcome.standard_error, rel=1e-9)


@QUICK
@given(grouped)
def test_higher_confidence_is_wider_and_holds_the_estimate(rows: list[tuple[float, int]]) -> None:
    """Limits at 95 % hold those at 80 %, and both hold the mean."""
    values, names = [value for value, _ in rows], [name for _, name in rows]
    for method in (cluster_t, sign_flip):
        wide, narrow = method(values, names, 0.95), method(values, names, 0.80)
        if isinstance(wide, NoLimits) or isinstance(narrow, NoLimits):
            continue
        assert wide.limits.lower <= narrow.limits.lower <= narrow.limits.value
        assert narrow.limits.value <= narrow.limits.upper <= wide.limits.upper


@QUICK
@given(pairs, st.floats(-5, 5))
def test_adding_the_same_to_both_models_changes_nothing(
    rows: np.ndarray[Any, Any], shift: float
) -> None:
    """Only differences count."""
    plain, shifted = paired_t(*rows.T), paired_t(*(rows.T + shift))
    if isinstance(plain, NoLimits):
        assert refused(shifted).why == plain.why
    else:
        assert shown(shifted).p == pytest.approx(plain.p, rel=1e-6)


@QUICK
@given(pairs)
def test_welch_is_that_of_scipy(rows: np.ndarray[Any, Any]) -> None:
    """`scipy.stats.ttest_ind(equal_var=False)`, of samples that need not be as large."""
    a, b = rows[:, 0], rows[: max(2, len(rows) // 2), 1]
    assume(np.ptp(a) > 0)
    assume(np.ptp(b) > 0)

    expected = float(reference.ttest_ind(a, b, equal_var=False).pvalue)
    assert welch_p(a, b) == pytest.approx(expected, rel=1e-9)


@QUICK
@given(st.lists(st.lists(scores, min_size=1, max_size=5), min_size=2, max_size=12))
def test_variance_components_add_up(cases: list[list[float]]) -> None:
    """The sums of squares between and within cases are the whole, also of uneven repeats."""
    found = variance_components(cases)
    every = np.concatenate(cases)
    if isinstance(found, NoLimits):
        assert len(every) == len(cases)
        return
    n, total = found.cases, found.runs
    parts = (n - 1) * found.mean_square_between + (total - n) * found.mean_square_within
    assert parts == pytest.approx(float(((every - every.mean()) ** 2).sum()), abs=1e-9)
    means = [float(np.mean(case)) for case in cases]
    assert found.mean == pytest.approx(float(np.mean(means)), abs=1e-12)
    assert found.case_variance >= 0


# --- repeats


def test_repeats_are_averaged_per_case_in_first_seen_order() -> None:
    """A case that was run three times counts once."""
    found = average_repeats([1.0, 0.0, 0.5, 0.0, 1.0], ["b", "a", "b", "b", "c"])

    assert found.cases == ("b", "a", "c")
    assert found.means.tolist() == pytest.approx([0.5, 0.0, 1.0])
    assert found.runs.tolist() == [3, 1, 1]


def test_cases_may_be_named_by_anything() -> None:
    """Numbers, pairs and text are names; 1 and "1" are two cases."""
    assert average_repeats([1, 2, 3], [1, "1", 1]).means.tolist() == [2, 2]
    assert average_repeats([1, 2, 3], [("t", 1), ("t", 2), ("t", 1)]).runs.tolist() == [2, 1]
    assert average_repeats([1, 2, 3], np.array([7, 8, 7])).cases == (7, 8)


# --- what cannot be estimated


def test_one_case_has_a_value_and_no_limits() -> None:
    """A single difference says how large it is, and nothing about how sure that is."""
    assert paired_t([0.75], [0.25]) == NoLimits(0.5, 1, "1 case; at least 2 are needed")
    assert refused(cluster_t([0.5], ["a"])).why == "1 cluster; at least 8 are needed"
    assert refused(sign_flip([0.5])).why == "1 value; at least 6 are needed"
    assert refused(cluster_standard_errors([0.5], ["a"])).value == 0.5
    assert refused(variance_components([[1, 0]])).value == 0.5
    assert welch_p([1.0], [1.0, 2.0]) is None


@pytest.mark.parametrize("shift", [0.0, 0.1, -1 / 3])
def test_equal_differences_have_no_limits(shift: float) -> None:
    """All ties, or the same gain everywhere: no width, also where rounding leaves one."""
    baseline = np.linspace(0.1, 0.9, 12)
    candidate, names = baseline + shift, list(range(12))

    assert refused(paired_t(candidate, baseline)).why == "all 12 differences are equal"
    for outcome in (
        cluster_t(candidate - baseline, names),
        sign_flip(candidate - baseline),
        sign_flip(candidate - baseline, names),
        cluster_standard_errors(candidate - baseline, names),
    ):
        assert "equal" in refused(outcome).why
        assert outcome.value == pytest.approx(shift, abs=1e-12)


def test_clusters_with_equal_means_have_no_limits() -> None:
    """What varies within clusters only says nothing about other clusters."""
    values, names = np.tile([0.0, 1.0], 9), np.repeat(np.arange(9), 2)

    for outcome in (cluster_t(values, names), sign_flip(values, names)):
        assert "equal" in refused(outcome).why
        assert outcome.value == 0.5


@pytest.mark.parametrize("clusters", [1, 2, 4, 7])
def test_few_clusters_have_no_limits(clusters: int) -> None:
    """Under 8 clusters there is a mean and no test, by either method."""
    values, names = np.arange(56.0), np.arange(56) % clusters

    unit = "cluster" if clusters == 1 else "clusters"
    expected = f"{clusters} {unit}; at least 8 are needed"
    for method in (cluster_t, sign_flip):
        assert refused(method(values, names)) == NoLimits(27.5, 56, expected)
    assert isinstance(cluster_t(np.arange(56.0), np.arange(56) % 8), MeanTest)
    assert isinstance(sign_flip(np.arange(56.0) ** 2, np.arange(56) % 8), MeanTest)


def test_few_values_cannot_reach_a_high_level() -> None:
    """Six values have 2 / 64 as their smallest p: 95 % can be reached, 99 % cannot."""
    values = np.array([0.5, 0.1, 0.2, 0.9, 0.3, 0.4])

    assert shown(sign_flip(values)).p == 1 / 32
    assert refused(sign_flip(values[:5])).why == "5 values; at least 6 are needed"
    assert refused(sign_flip(values, level=0.99)).why == "6 values; at least 8 are needed"


def test_too_few_flips_for_the_tails_have_no_limits() -> None:
    """Where no drawn flip but the trivial one reaches into the tails, there is no limit there."""
    values, level = np.random.default_rng(0).normal(size=12), 0.999

    outcomes = [sign_flip(values, None, level, seed, flips=1000) for seed in range(20)]

    assert any(isinstance(outcome, NoLimits) for outcome in outcomes)
    for outcome in outcomes:
        if isinstance(outcome, MeanTest):
            assert np.isfinite([outcome.limits.lower, outcome.limits.upper]).all()


def test_repeats_that_never_repeat_have_no_components() -> None:
    """One run a case cannot tell noise from difficulty."""
    assert "10 cases, 10 runs" in refused(variance_components([[x] for x in range(10)])).why


def test_equal_samples_have_no_welch_p() -> None:
    """Two samples of constants have no spread to compare with."""
    assert welch_p([0.1] * 3, [0.2] * 3) is None
    assert welch_p([0.1] * 3, [0.2, 0.3, 0.4]) is not None


def test_values_that_cancel_within_clusters_have_errors_of_their_own() -> None:
    """Clusters may also make a mean more certain: CR0 and CR1 fall below the naive error."""
    values, names = [1, -1, 0.9, -1, 1, -1.1], [0, 0, 1, 1, 2, 2]

    errors = cluster_standard_errors(values, names)

    assert isinstance(errors, ClusterStandardErrors)
    assert 0 < errors.cr0 < errors.cr1 < errors.naive
    assert errors.cr0 < errors.miller < errors.naive
    assert errors.design_effect < 1


# --- what is refused


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [1.0, math.inf], [[1.0], [2.0]]])
def test_values_that_are_none_are_refused(values: list[float]) -> None:
    """No cases, NaN, and tables instead of lists are errors and not figures."""
    names = range(len(values))
    for method in (
        lambda: paired_t(values, values), lambda: cluster_t(values, names),
        lambda: sign_flip(values), lambda: sign_flip(values, names),
        lambda: welch_p(values, [1.0, 2.0]), lambda: average_repeats(values, names),
        lambda: cluster_standard_errors(values, names), lambda: variance_components([values]),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="expected"):
            method()


def test_lists_that_do_not_fit_are_refused() -> None:
    """One score more, one name less: which case is which?"""
    with pytest.raises(ValueError, match="candidate has 3 scores, baseline 2"):
        paired_t([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="1 names for 2 values"):
        cluster_t([1, 2], ["a"])
    with pytest.raises(ValueError, match="1 names for 2 values"):
        average_repeats([1, 2], ["a"])
    with pytest.raises(ValueError, match="expected at least 1 case"):
        variance_components([])


@pytest.mark.parametrize("name", [None, math.nan])
def test_unknown_clusters_are_refused(name: float | None) -> None:
    """A case without a cluster is no cluster of its own."""
    for method in (cluster_t, sign_flip, average_repeats, cluster_standard_errors):
        with pytest.raises(ValueError, match="None or NaN"):
            method([1.0, 2.0], ["a", name])


@pytest.mark.parametrize("level", [0, 1, 95, math.nan])
def test_impossible_levels_are_refused(level: float) -> None:
    """A level of 95 instead of 0.95 is an error."""
    values = np.arange(10.0)
    for method in (paired_t, cluster_t, sign_flip):
        with pytest.raises(ValueError, match="level="):
            method(values, values**2, level)


def test_too_few_flips_are_refused() -> None:
    """Under 1000 flips the limits would depend on the seed."""
    with pytest.raises(ValueError, match="flips=999"):
        sign_flip(np.arange(30.0), flips=999)
