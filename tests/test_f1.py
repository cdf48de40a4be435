"""Tests of micro F1 of two models: a reference case, properties, and where there is no F1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK

from ftgate_ext.stats.f1 import f1_delta, f1_difference, f1_jackknife_se, f1_of_sums
from ftgate_ext.stats.limits import NoLimits
from ftgate_ext.stats.mean import MeanTest
from ftgate_ext.stats.resample import bootstrap, randomization_test

if TYPE_CHECKING:
    from ftgate_ext.stats.cells import Array

CASE: dict[str, Any] = next(
    case
    for case in json.loads(
        Path(__file__)
        .with_name("reference")
        .joinpath("worked_examples.json")
        .read_text(encoding="utf-8")
    )
    if case["what"] == "bootstrap_f1"
)


def counts(gold: Any, predicted: Any) -> Array:
    """Gold and predicted labels of the cases, 0 or 1 -> one row [tp, fp, fn] a case."""
    gold, predicted = np.asarray(gold), np.asarray(predicted)
    columns = [gold & predicted, (1 - gold) & predicted, gold & (1 - predicted)]
    return np.column_stack(columns).astype(float)


def thousand_pairs() -> tuple[Array, Array]:
    """The counts of both models in the reference case, from its cells (gold, candidate, baseline)."""
    cells = CASE["input"]["counts_by_gold_candidate_baseline"]
    labels = np.repeat(
        [[int(digit) for digit in cell] for cell in cells], list(cells.values()), axis=0
    )
    return counts(labels[:, 0], labels[:, 1]), counts(labels[:, 0], labels[:, 2])


# --- reference figures


def test_delta_method_gives_the_reference_figures() -> None:
    """1000 pairs: z and p of the delta method, which a bootstrap of 400,000 resamples confirms."""
    test = f1_delta(*thousand_pairs())

    assert isinstance(test, MeanTest)
    assert test.limits.value == pytest.approx(0.044117647058823484, abs=1e-12)
    assert test.standard_error == pytest.approx(0.02067321930122027, rel=1e-9)
    assert test.limits.value / test.standard_error == pytest.approx(2.134048230031564, rel=1e-9)
    assert test.p == pytest.approx(0.03283883300806681, rel=1e-9)
    assert [test.limits.lower, test.limits.upper] == pytest.approx(
        [0.0036761979006795457, 0.08495514786616766], abs=0.002
    )
    assert test.df is None


def test_jackknife_gives_the_reference_figure() -> None:
    """1000 pairs: the standard error when each case is left out in turn."""
    error = f1_jackknife_se(*thousand_pairs())

    assert error == pytest.approx(0.020699123654874314, rel=1e-6)


def test_f1_bootstrap_agrees_with_delta_method_and_jackknife() -> None:
    """1000 pairs: F1 to the last digit, limits and p within Monte-Carlo error."""
    candidate, baseline = thousand_pairs()
    expected = CASE["expected"]

    result = bootstrap(
        np.hstack([candidate, baseline]), f1_difference, 1, CASE["input"]["resamples"]
    )

    for side, name in ((candidate, "candidate"), (baseline, "baseline")):
        f1 = f1_of_sums(side.sum(axis=0)[None, :])[0]
        assert f1 == pytest.approx(expected[name], abs=1e-12)
    assert result.interval.value == pytest.approx(expected["value"], abs=1e-12)
    assert result.p == pytest.approx(expected["p"], abs=CASE["tolerance_p"])
    assert result.standard_error == pytest.approx(0.020720015290985962, abs=0.0005)
    found = [result.interval.lower, result.interval.upper, result.lower_one_sided]
    wanted = [expected[name] for name in ("lower", "upper", "lower_one_sided")]
    assert found == pytest.approx(wanted, abs=CASE["tolerance"])


def test_all_swaps_of_six_cases_are_counted() -> None:
    """Of the 64 swaps of six cases, 52 move F1 at least as far as what was seen."""
    labels = np.array([[1, 1, 0], [1, 1, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1], [1, 0, 1]])
    candidate, baseline = counts(*labels[:, [0, 1]].T), counts(*labels[:, [0, 2]].T)

    found = randomization_test(candidate, baseline, f1_difference, seed=1)

    assert found.exact
    assert found.difference == pytest.approx(0.75 - 4 / 7, abs=1e-12)
    assert found.p == pytest.approx(52 / 64, abs=1e-12)


def test_swaps_agree_with_the_delta_method() -> None:
    """1000 pairs: all swaps, by how many of each kind, and random ones give about the same p."""
    candidate, baseline = thousand_pairs()

    exact = randomization_test(candidate, baseline, f1_difference, seed=1)
    drawn = randomization_test(candidate, baseline, f1_difference, seed=1, resamples=4000)

    assert (exact.exact, drawn.exact) == (True, False)
    assert exact.p == pytest.approx(0.0328, abs=0.003)
    assert drawn.p == pytest.approx(exact.p, abs=4 * np.sqrt(0.033 / 4000))


# --- what holds for any counts

tallies = st.tuples(*[st.integers(0, 3)] * 3)
paired_tallies = st.lists(st.tuples(tallies, tallies), min_size=2, max_size=40).map(
    lambda pairs: tuple(np.array(side, dtype=float) for side in zip(*pairs, strict=True))
)


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


@QUICK
@given(paired_tallies, st.sampled_from([0.8, 0.95, 0.99]))
def test_limits_contain_the_estimate_and_mirror(pair: tuple[Array, Array], level: float) -> None:
    """Swapping the models mirrors the limits; they have a width, or there are none."""
    one, other = f1_delta(*pair, level), f1_delta(*pair[::-1], level)

    assert isinstance(one, MeanTest) == isinstance(other, MeanTest)
    if isinstance(one, MeanTest) and isinstance(other, MeanTest):
        assert -1 <= one.limits.lower <= one.limits.value <= one.limits.upper <= 1
        assert one.limits.lower < one.limits.upper
        assert one.limits.lower == pytest.approx(-other.limits.upper, abs=1e-12)
        assert (one.p, one.standard_error) == pytest.approx((other.p, other.standard_error))
        assert 0 < one.p <= 1


@QUICK
@given(paired_tallies, st.randoms(use_true_random=False))
def test_order_of_cases_is_irrelevant(pair: tuple[Array, Array], random: Any) -> None:
    """Shuffled cases have the same F1, limits and jackknife."""
    order = list(range(len(pair[0])))
    random.shuffle(order)
    shuffled = tuple(side[order] for side in pair)

    one, other = f1_delta(*pair), f1_delta(shuffled[0], shuffled[1])

    assert isinstance(one, MeanTest) == isinstance(other, MeanTest)
    if isinstance(one, MeanTest) and isinstance(other, MeanTest):
        assert one.p == pytest.approx(other.p, abs=1e-9)
    errors = f1_jackknife_se(*pair), f1_jackknife_se(shuffled[0], shuffled[1])
    assert errors[0] == pytest.approx(errors[1])


@QUICK
@given(paired_tallies)
def test_jackknife_is_that_of_a_plain_loop(pair: tuple[Array, Array]) -> None:
    """Each case left out in turn, F1 computed anew."""
    n, both = len(pair[0]), np.hstack(pair)
    sums = np.array([np.delete(both, i, axis=0).sum(axis=0) for i in range(n)])
    left_out = f1_difference(sums)
    expected = np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())

    found = f1_jackknife_se(*pair)

    if found is not None:
        assert found == pytest.approx(expected)
    else:
        undefined = (sums[:, :3].sum(axis=1) == 0).any() or (sums[:, 3:].sum(axis=1) == 0).any()
        assert undefined or expected == pytest.approx(0, abs=1e-9)


@QUICK
@given(paired_tallies)
def test_a_case_with_nothing_in_it_changes_no_f1(pair: tuple[Array, Array]) -> None:
    """Nothing to find and nothing reported: one case more, the same F1, standard error and p."""
    nothing = np.zeros((5, 3))

    one, other = f1_delta(*pair), f1_delta(*(np.vstack([side, nothing]) for side in pair))

    assert isinstance(one, MeanTest) == isinstance(other, MeanTest)
    if isinstance(one, MeanTest) and isinstance(other, MeanTest):
        n = len(pair[0])
        assert one.limits.value == pytest.approx(other.limits.value, abs=1e-12)
        # Only ddof = 1 knows about them: sum of squares / (n (n - 1)) times the same weights.
        ratio = np.sqrt(n / (n - 1) * (n + 4) / (n + 5))
        assert one.standard_error / other.standard_error == pytest.approx(ratio)


# --- clusters


def test_clusters_of_one_case_are_student_instead_of_normal() -> None:
    """Each case its own cluster: the same standard error, with G - 1 degrees of freedom."""
    pair = thousand_pairs()

    plain, clustered = f1_delta(*pair), f1_delta(*pair, clusters=np.arange(1000))

    assert isinstance(plain, MeanTest)
    assert isinstance(clustered, MeanTest)
    assert clustered.standard_error == pytest.approx(plain.standard_error, rel=1e-12)
    assert clustered.df == 999
    assert clustered.p == pytest.approx(plain.p, rel=0.02)
    assert clustered.p > plain.p


def test_copies_of_a_case_in_one_cluster_add_no_evidence() -> None:
    """Every case ten times, a cluster each: the figures of one copy; without clusters, far off."""
    pair = thousand_pairs()
    copies = [np.repeat(side, 10, axis=0) for side in pair]

    once = f1_delta(*pair, clusters=range(1000))
    clustered = f1_delta(copies[0], copies[1], clusters=[i // 10 for i in range(10_000)])
    naive = f1_delta(copies[0], copies[1])

    assert isinstance(once, MeanTest)
    assert isinstance(clustered, MeanTest)
    assert isinstance(naive, MeanTest)
    assert clustered.standard_error == pytest.approx(once.standard_error, rel=1e-9)
    assert clustered.p == pytest.approx(once.p, rel=1e-9)
    assert naive.standard_error < 0.35 * clustered.standard_error


def test_seven_clusters_bound_nothing() -> None:
    """Under 8 clusters there is a value and no interval."""
    pair = thousand_pairs()

    found = f1_delta(*pair, clusters=np.arange(1000) % 7)

    assert isinstance(found, NoLimits)
    assert found.value == pytest.approx(0.75 - 12 / 17)
    assert found.why == "7 clusters; at least 8 are needed"
    assert isinstance(f1_delta(*pair, clusters=np.arange(1000) % 8), MeanTest)


# --- no F1


@pytest.mark.parametrize("silent", ["candidate", "baseline"])
def test_f1_of_nothing_is_undefined_and_not_zero(silent: str) -> None:
    """Nothing to find and nothing reported by one model: no value, and the model is named."""
    found, nothing = np.array([[0.0, 1.0, 0.0]] * 20), np.zeros((20, 3))

    outcome = f1_delta(nothing, found) if silent == "candidate" else f1_delta(found, nothing)

    why = f"no finding and no report of the {silent}: F1 is undefined"
    assert outcome == NoLimits(None, 20, why)
    assert f1_jackknife_se(nothing, found) is None


def test_models_that_agree_everywhere_have_no_limits() -> None:
    """Identical answers: the difference is 0, and nothing says how near 0 another sample is."""
    candidate, _ = thousand_pairs()

    found = f1_delta(candidate, candidate)

    assert found == NoLimits(0.0, 1000, "the difference of F1 does not vary over 1000 cases")
    assert f1_jackknife_se(candidate, candidate) is None


def test_one_case_has_no_limits() -> None:
    """One case has F1, and nothing to compare it with."""
    one, other = np.array([[2.0, 1.0, 0.0]]), np.array([[1.0, 0.0, 1.0]])

    assert isinstance(f1_delta(one, other), NoLimits)
    assert f1_jackknife_se(one, other) is None


@pytest.mark.parametrize(
    ("candidate", "baseline", "message"),
    [
        (np.ones((5, 2)), np.ones((5, 3)), r"candidate has shape \(5, 2\): expected \(cases, 3\)"),
        (np.ones((5, 3)), np.ones((0, 3)), r"baseline has shape \(0, 3\)"),
        (np.ones((5, 3)), np.ones((4, 3)), "candidate has 5 cases, baseline 4"),
        (-np.ones((5, 3)), np.ones((5, 3)), "candidate holds -1.0: expected counts"),
        (np.ones((5, 3)), np.full((5, 3), np.nan), "baseline holds nan: expected counts"),
    ],
)
def test_counts_that_make_no_sense_are_refused(
    candidate: Array, baseline: Array, message: str
) -> None:
    """Wrong shapes, negative counts and NaN are errors, not figures."""
    for function in (f1_delta, f1_jackknife_se):
        with pytest.raises(ValueError, match=message):
            function(candidate, baseline)


def test_levels_outside_0_and_1_are_refused() -> None:
    """A level is a share."""
    with pytest.raises(ValueError, match="level=95"):
        f1_delta(*thousand_pairs(), level=95)
