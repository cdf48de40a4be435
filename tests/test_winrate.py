"""Tests of the win rate: both looks at a pair make one verdict, ties stay in."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK, TASK, make_judgment, make_pair, make_pairs

from ftgate_ext.schema import NO_VERDICT, Comparison, PairVerdict
from ftgate_ext.settings import Settings
from ftgate_ext.winrate import compare_win_rates, pair_verdicts

if TYPE_CHECKING:
    from ftgate_ext.schema import Judgment

SETTINGS = Settings(resamples=1000)
VERDICTS: tuple[PairVerdict, ...] = get_args(PairVerdict)
READABLE: tuple[PairVerdict, ...] = tuple(v for v in VERDICTS if v not in NO_VERDICT)
MIRROR: dict[PairVerdict, PairVerdict] = {
    "candidate_better": "baseline_better", "baseline_better": "candidate_better",
    "tie": "tie", "both_bad": "both_bad", "unparsed": "unparsed", "failed": "failed",
}  # fmt: skip


def verdict_of(judgments: list[Judgment]) -> PairVerdict:
    """The verdict of the only pair."""
    (verdict,) = pair_verdicts(judgments).values()
    return verdict


def win_rate(judgments: list[Judgment]) -> Comparison:
    """The only win rate."""
    (comparison,) = compare_win_rates(judgments, SETTINGS)
    return comparison


# --- verdict of a pair


@pytest.mark.parametrize("verdict", READABLE)
def test_a_verdict_given_in_both_orders_is_the_verdict(verdict: PairVerdict) -> None:
    """The judge did not change its mind when the positions were exchanged."""
    assert verdict_of(make_pair("a", verdict, verdict)) == verdict


@pytest.mark.parametrize(
    ("in_order", "exchanged"), [(a, b) for a, b in itertools.product(READABLE, READABLE) if a != b]
)
def test_inconsistent_verdicts_are_a_tie(in_order: PairVerdict, exchanged: PairVerdict) -> None:
    """Any two verdicts that differ make a tie, `tie` and `both_bad` included."""
    assert verdict_of(make_pair("a", in_order, exchanged)) == "tie"


@pytest.mark.parametrize("other", VERDICTS)
def test_one_unparsed_look_makes_the_pair_unparsed(other: PairVerdict) -> None:
    """A verdict that could not be read is never a tie; a request that failed is another matter."""
    expected = "failed" if other == "failed" else "unparsed"
    assert verdict_of(make_pair("a", "unparsed", other)) == expected
    assert verdict_of(make_pair("a", other, "unparsed")) == expected


@pytest.mark.parametrize("other", VERDICTS)
def test_one_failed_request_makes_the_pair_failed(other: PairVerdict) -> None:
    """The judge did not fail to answer: nobody could ask it."""
    assert verdict_of(make_pair("a", "failed", other)) == "failed"
    assert verdict_of(make_pair("a", other, "failed")) == "failed"


@pytest.mark.parametrize("verdict", VERDICTS)
def test_one_order_alone_is_no_verdict(verdict: PairVerdict) -> None:
    """Without the exchanged look nobody knows what the position did."""
    expected = "failed" if verdict == "failed" else "unparsed"
    assert verdict_of([make_judgment("a", verdict)]) == expected


def test_identical_answers_are_a_tie() -> None:
    """The judge was not asked about the same text twice."""
    assert verdict_of(make_pair("a", "tie", "tie", identical=True)) == "tie"


def test_the_same_case_against_two_models_makes_two_pairs() -> None:
    """Verdicts are kept apart by task and by baseline."""
    judgments = make_pair("a", "candidate_better", "candidate_better")
    judgments += make_pair("a", "baseline_better", "baseline_better", baseline="frontier")
    judgments += make_pair("a", "tie", "tie", task="other")

    verdicts = pair_verdicts(judgments)

    assert sorted(verdicts.values()) == ["baseline_better", "candidate_better", "tie"]
    groups = [(c.task, c.baseline, c.n_pairs) for c in compare_win_rates(judgments, SETTINGS)]
    assert groups == [(TASK, "production", 1), (TASK, "frontier", 1), ("other", "production", 1)]


def test_two_rows_of_the_same_text_make_two_pairs() -> None:
    """A set that is not ours may hold a row twice; neither verdict replaces the other."""
    judgments = make_pair("a", "tie", "tie")
    judgments += [j.model_copy(update={"case_id": "again"}) for j in make_pair("a", "tie", "tie")]

    assert len(pair_verdicts(judgments)) == 2


def test_a_pair_judged_again_counts_once() -> None:
    """The later look at the same pair in the same round replaces the earlier one."""
    first, second = make_pair("a", "tie", "tie"), make_pair("a", "both_bad", "both_bad")

    assert verdict_of(first + second) == "both_bad"


# --- win rate


def test_ties_count_half_and_unparsed_pairs_are_left_out() -> None:
    """Twelve wins, four losses, two ties, two both bad: 14 of 20; five unreadable are counted."""
    verdicts: list[PairVerdict] = ["candidate_better"] * 12 + ["baseline_better"] * 4
    verdicts += ["tie"] * 2 + ["both_bad"] * 2 + ["unparsed"] * 3 + ["failed"] * 2

    comparison = win_rate(make_pairs(verdicts))

    assert comparison.candidate_estimate is not None
    assert comparison.candidate_estimate.value == pytest.approx(0.7)
    assert comparison.difference is not None
    assert comparison.difference.value == pytest.approx(0.2)
    assert (comparison.n_pairs, comparison.n_excluded) == (20, 5)
    assert comparison.counts == {
        "wins": 12, "losses": 4, "ties": 2, "both_bad": 2, "unparsed": 3, "failed": 2,
    }  # fmt: skip
    # 16 decided pairs, 4 or fewer on one side: 2 (1 + 16 + 120 + 560 + 1820) / 2^16
    assert comparison.tests[0].p == pytest.approx((2 * 2517 - 1820) / 2**16)


@pytest.mark.parametrize(
    ("verdict", "rate"),
    [("candidate_better", 1.0), ("baseline_better", 0.0), ("tie", 0.5), ("both_bad", 0.5)],
)
def test_unanimous_verdicts_still_have_an_interval(verdict: PairVerdict, rate: float) -> None:
    """A bootstrap would claim certainty after 20 equal verdicts; the limits do not."""
    comparison = win_rate(make_pairs([verdict] * 20))

    estimate = comparison.candidate_estimate
    assert estimate is not None
    assert estimate.lower is not None
    assert estimate.upper is not None
    assert estimate.value == rate
    assert 0 <= estimate.lower <= rate <= estimate.upper <= 1
    assert estimate.upper - estimate.lower > 0.05
    assert comparison.lower_one_sided is not None
    assert comparison.upper_one_sided is not None
    narrow = comparison.upper_one_sided - comparison.lower_one_sided
    assert 0 < narrow < estimate.upper - estimate.lower


def test_no_readable_verdict_is_no_win_rate() -> None:
    """Only unreadable verdicts: unavailable, not one half."""
    comparison = win_rate(make_pairs(["unparsed"] * 7))

    assert comparison.unavailable == "no pair has a verdict"
    assert comparison.candidate_estimate is None
    assert comparison.difference is None
    assert comparison.counts["unparsed"] == 7


def test_no_judgments_make_no_comparison() -> None:
    """Without a judge there is nothing to compare."""
    assert compare_win_rates([], SETTINGS) == []


verdict_lists = st.lists(st.sampled_from(VERDICTS), min_size=1, max_size=50)


@QUICK
@given(verdict_lists)
def test_mirrored_verdicts_mirror_the_win_rate(verdicts: list[PairVerdict]) -> None:
    """If every verdict were the other way round, the win rate would be one minus itself."""
    one = win_rate(make_pairs(verdicts))
    other = win_rate(make_pairs([MIRROR[v] for v in verdicts]))

    assert (one.unavailable, one.n_pairs) == (other.unavailable, other.n_pairs)
    if one.candidate_estimate and other.candidate_estimate:
        total = one.candidate_estimate.value + other.candidate_estimate.value
        assert total == pytest.approx(1)
        assert one.tests[0].p == pytest.approx(other.tests[0].p)
        assert one.counts["wins"] == other.counts["losses"]


@QUICK
@given(verdict_lists)
def test_every_pair_is_counted_once(verdicts: list[PairVerdict]) -> None:
    """Wins, losses, ties, both bad and unparsed add up to the pairs."""
    comparison = win_rate(make_pairs(verdicts))

    assert sum(comparison.counts.values()) == len(verdicts)
    assert comparison.n_pairs + comparison.n_excluded == len(verdicts)


@QUICK
@given(verdict_lists, st.randoms(use_true_random=False))
def test_order_of_judgments_changes_nothing(verdicts: list[PairVerdict], random: object) -> None:
    """The journal's order is chance, the figures are not."""
    judgments = make_pairs(verdicts)
    before = win_rate(judgments)
    random.shuffle(judgments)  # type: ignore[attr-defined]

    assert win_rate(judgments) == before


@QUICK
@given(verdict_lists)
def test_interval_contains_the_win_rate(verdicts: list[PairVerdict]) -> None:
    """Limits stand on both sides of the figure and stay within 0 and 1."""
    estimate = win_rate(make_pairs(verdicts)).candidate_estimate

    if estimate is not None:
        assert estimate.lower is not None
        assert estimate.upper is not None
        assert -1e-9 <= estimate.lower <= estimate.value + 1e-9
        assert estimate.value - 1e-9 <= estimate.upper <= 1 + 1e-9
