"""Tests of a judge against labels: textbook tables, other programs' figures, then any data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from records import QUICK

from ftgate_ext.stats.agreement import (
    Kappa,
    PredictionPoweredMean,
    cohens_kappa,
    ppi_mean,
    ppi_plus_plus_mean,
    rogan_gladen,
)
from ftgate_ext.stats.limits import Limits, NoLimits

RATINGS = [[44, 5, 1], [7, 20, 3], [9, 5, 6]]
# Labels and judgments of 50 cases, judgments of 450 others.
HUMAN = [1.0] * 30 + [0.0] * 20
JUDGE = [1.0] * 26 + [0.0] * 4 + [1.0] * 5 + [0.0] * 15
REST = [1.0] * 290 + [0.0] * 160

tables = st.integers(2, 5).flatmap(
    lambda k: st.lists(st.lists(st.integers(0, 20), min_size=k, max_size=k), min_size=k, max_size=k)
).filter(lambda table: sum(map(sum, table)) > 0)  # fmt: skip
schemes = st.sampled_from([None, "linear", "quadratic"])
scores = st.sampled_from([0.0, 0.5, 1.0])
labelled = st.lists(st.tuples(scores, scores), min_size=2, max_size=60)
unlabelled = st.lists(scores, min_size=1, max_size=200)


def kappa_of(*arguments: object, **named: object) -> Kappa:
    """Kappa, where there must be one."""
    found = cohens_kappa(*arguments, **named)  # type: ignore[arg-type]
    assert isinstance(found, Kappa)
    return found


def powered(found: PredictionPoweredMean | NoLimits) -> PredictionPoweredMean:
    """The mean, where there must be one."""
    assert isinstance(found, PredictionPoweredMean)
    return found


# --- kappa


def test_kappa_of_the_textbook() -> None:
    """The grant readers of the encyclopedia: 0.4; error and limits as statsmodels has them."""
    found = kappa_of([[20, 5], [10, 15]])

    assert (found.observed, found.expected) == pytest.approx((0.7, 0.5))
    assert found.limits.value == pytest.approx(0.4)
    assert found.standard_error == pytest.approx(0.12699606293110033, abs=1e-12)
    limits = (found.limits.lower, found.limits.upper)
    assert limits == pytest.approx((0.151092290476661, 0.6489077095233389), abs=1e-9)


@pytest.mark.parametrize(
    ("weights", "kappa", "error"),
    [
        (None, 0.49152542372881347, 0.07212745929334068),
        ("linear", 0.4736842105263158, 0.0769789098703061),
        ("quadratic", 0.4545454545454546, 0.09397969777572605),
    ],
)
def test_weighted_kappa_is_that_of_statsmodels(
    weights: str | None, kappa: float, error: float
) -> None:
    """Three ratings, both schemes of weights (statsmodels 0.15, cohens_kappa)."""
    found = kappa_of(RATINGS, weights)

    assert (found.limits.value, found.standard_error) == pytest.approx((kappa, error), abs=1e-12)


@QUICK
@given(tables, schemes)
def test_kappa_is_symmetric_and_at_most_one(table: list[list[int]], weights: str | None) -> None:
    """Swapping the raters changes nothing; kappa lies inside limits of some width."""
    one, other = cohens_kappa(table, weights), cohens_kappa(np.transpose(table), weights)  # type: ignore[arg-type]

    assert type(one) is type(other)
    if isinstance(one, Kappa) and isinstance(other, Kappa):
        assert one.limits.value == pytest.approx(other.limits.value)
        assert one.standard_error == pytest.approx(other.standard_error)
        assert one.limits.lower < one.limits.value < one.limits.upper <= 1


@QUICK
@given(tables, schemes)
def test_more_of_the_same_narrows_kappa(table: list[list[int]], weights: str | None) -> None:
    """Four times the cases: the same kappa, half the standard error."""
    one, more = cohens_kappa(table, weights), cohens_kappa(4 * np.array(table), weights)  # type: ignore[arg-type]
    assume(isinstance(one, Kappa))
    assert isinstance(one, Kappa)
    assert isinstance(more, Kappa)

    assert more.limits.value == pytest.approx(one.limits.value)
    assert more.standard_error == pytest.approx(one.standard_error / 2)


@pytest.mark.parametrize(
    ("table", "value", "why"),
    [
        ([[5, 0], [0, 5]], 1.0, "standard error is 0"),
        ([[5, 0], [0, 0]], None, "one category only"),
    ],
)
def test_kappa_without_limits(table: list[list[int]], value: float | None, why: str) -> None:
    """Perfect agreement has no width, and one category has no kappa: both are said."""
    found = cohens_kappa(table)

    assert isinstance(found, NoLimits)
    assert found.value == value
    assert why in found.why


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[1, 2]], "expected a square"),
        ([[1]], "expected a square of 2"),
        ([[1, -1], [0, 1]], "expected counts"),
        ([[1, 0.5], [0, 1]], "expected counts"),
        ([[0, 0], [0, 0]], "empty"),
    ],
)
def test_what_is_no_table_is_refused(table: list[list[float]], message: str) -> None:
    """Tables that are not square, hold no counts or are empty are errors."""
    with pytest.raises(ValueError, match=message):
        cohens_kappa(table)


def test_unknown_weights_are_refused() -> None:
    """There are linear and quadratic weights, and none."""
    with pytest.raises(ValueError, match="weights='cubic'"):
        cohens_kappa(RATINGS, "cubic")  # type: ignore[arg-type]


# --- prediction-powered means


def test_prediction_powered_means_are_those_of_ppi_py() -> None:
    """50 labels and 450 judgments: the figures of ppi_py 0.2.3, with and without power tuning."""
    plain, tuned = powered(ppi_mean(HUMAN, JUDGE, REST)), powered(ppi_plus_plus_mean(HUMAN, JUDGE, REST))  # fmt: skip

    assert (plain.limits.value, plain.limits.lower, plain.limits.upper) == pytest.approx(
        (0.62444444, 0.49892729, 0.74996159), abs=1e-8
    )
    assert (tuned.limits.value, tuned.limits.lower, tuned.limits.upper) == pytest.approx(
        (0.61413829, 0.50461503, 0.72366155), abs=1e-8
    )
    assert plain.tuning == 1
    assert 0 < tuned.tuning < 1
    assert plain.human_only == tuned.human_only == 0.6


@QUICK
@given(labelled, unlabelled)
def test_tuning_never_loses_to_the_labels_alone(
    pairs: list[tuple[float, float]], rest: list[float]
) -> None:
    """The mean lies inside its limits, and relabelling 1 - x mirrors them."""
    human, judge = (np.array(column) for column in zip(*pairs, strict=True))
    found = ppi_plus_plus_mean(human, judge, rest)
    mirrored = ppi_plus_plus_mean(1 - human, 1 - judge, 1 - np.array(rest))
    assume(isinstance(found, PredictionPoweredMean))
    one, other = powered(found), powered(mirrored)

    assert one.limits.lower < one.limits.value < one.limits.upper
    assert other.limits.lower == pytest.approx(1 - one.limits.upper)
    assert 0 <= one.tuning <= 1
    assert other.tuning == pytest.approx(one.tuning)


def test_a_judge_that_knows_nothing_is_not_believed() -> None:
    """A constant judge leaves the labels alone, ddof 0 and normal, as they were."""
    found = powered(ppi_plus_plus_mean(HUMAN, [0.5] * 50, [0.5] * 450))

    assert found.tuning == 0
    assert found.limits.value == found.human_only
    assert found.standard_error == pytest.approx(np.std(HUMAN) / np.sqrt(50))


@pytest.mark.parametrize(
    ("human", "judge", "why"),
    [([1.0], [0.0], "at least 2"), ([1.0, 0.0], [1.0, 0.0], "cannot bound it")],
)
def test_a_judge_that_never_errs_has_no_limits(
    human: list[float], judge: list[float], why: str
) -> None:
    """A single label, and labels that all agree with the judge, do not bound its error."""
    found = ppi_mean(human, judge, REST)

    assert isinstance(found, NoLimits)
    assert why in found.why


def test_bad_labels_are_refused() -> None:
    """Labels come in pairs with judgments, and all are finite numbers."""
    with pytest.raises(ValueError, match="expected pairs"):
        ppi_mean([1.0], [1.0, 0.0], REST)
    with pytest.raises(ValueError, match="judged_unlabelled"):
        ppi_plus_plus_mean(HUMAN, JUDGE, [])
    with pytest.raises(ValueError, match="finite"):
        ppi_mean([float("nan")] * 2, [1.0, 0.0], REST)
    with pytest.raises(ValueError, match="level=2"):
        ppi_mean(HUMAN, JUDGE, REST, level=2)


# --- Rogan and Gladen


@pytest.mark.parametrize(
    ("inputs", "expected", "tolerance"),
    [
        ((0.4, 1000, 0.7, 200, 0.9, 200), (1 / 6, 0.05635072484160894, 0.2627330257859588), 1e-9),
        ((0.78, 1000, 0.7, 250, 0.9, 250), (0.8, 0.7338, 0.8720), 5e-5),
    ],
)
def test_rogan_gladen_has_the_limits_of_lee(
    inputs: tuple[float, int, float, int, float, int],
    expected: tuple[float, float, float],
    tolerance: float,
) -> None:
    """Two settings of Lee et al. (arXiv 2511.21140), computed by their own program."""
    found = rogan_gladen(*inputs)

    assert isinstance(found, Limits)
    assert (found.value, found.lower, found.upper) == pytest.approx(expected, abs=tolerance)


@QUICK
@given(
    st.integers(0, 500), st.integers(60, 100), st.integers(60, 100), st.sampled_from([0.9, 0.95])
)
def test_a_corrected_rate_is_a_rate(called: int, right0: int, right1: int, level: float) -> None:
    """Limits lie in [0, 1] and mirror when positive and negative change places."""
    p, q0, q1 = called / 500, right0 / 100, right1 / 100
    one = rogan_gladen(p, 500, q0, 100, q1, 100, level)
    other = rogan_gladen(1 - p, 500, q1, 100, q0, 100, level)

    assert type(one) is type(other)
    if isinstance(one, Limits) and isinstance(other, Limits):
        assert 0 <= one.lower < one.upper <= 1
        assert 0 <= one.value <= 1
        assert (other.lower, other.upper) == pytest.approx((1 - one.upper, 1 - one.lower))


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        ((0.4, 1000, 0.4, 200, 0.6, 200), "no better than chance"),
        ((0.4, 1000, 1.0, 1, 0.001, 1000), "cannot tell the judge from chance"),
        ((0.0, 10_000, 0.5, 100_000, 0.99, 100_000), "do not fit"),
    ],
)
def test_a_judge_beyond_repair_has_no_rate(
    inputs: tuple[float, int, float, int, float, int], why: str
) -> None:
    """A judge at chance level, or one whose rate contradicts its error rates, corrects nothing."""
    found = rogan_gladen(*inputs)

    assert isinstance(found, NoLimits)
    assert why in found.why


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((1.4, 10, 0.9, 10, 0.9, 10), "judged_rate holds 1.4"),
        ((0.4, 10, float("nan"), 10, 0.9, 10), "specificity holds nan"),
        ((0.4, 10, 0.9, 0, 0.9, 10), "negatives=0"),
    ],
)
def test_bad_rates_are_refused(
    inputs: tuple[float, int, float, int, float, int], message: str
) -> None:
    """Shares lie in [0, 1] and are shares of something."""
    with pytest.raises(ValueError, match=message):
        rogan_gladen(*inputs)


@pytest.mark.slow
def test_corrections_cover_where_the_judge_alone_does_not() -> None:
    """A judge 85 % right with a bias: tuned means and corrected rates cover about 95 % of the time."""
    rng = np.random.default_rng(10)
    hits, trials, truth = np.zeros(2), 2000, 0.5
    for _ in range(trials):
        human = (rng.random(1100) < truth).astype(float)
        judge = np.where(rng.random(1100) < np.where(human == 1, 0.9, 0.8), human, 1 - human)
        tuned = powered(ppi_plus_plus_mean(human[:100], judge[:100], judge[100:])).limits
        known0, known1 = judge[:100][human[:100] == 0], judge[:100][human[:100] == 1]
        rate = rogan_gladen(judge[100:].mean(), 1000, 1 - known0.mean(), len(known0), known1.mean(), len(known1))  # fmt: skip
        assert isinstance(rate, Limits)
        hits += [tuned.lower <= truth <= tuned.upper, rate.lower <= truth <= rate.upper]
    assert (hits / trials > 0.925).all(), hits / trials
