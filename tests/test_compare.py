"""Tests of the comparison of models: what joins, what is left out, what is counted."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from records import (
    METRIC,
    QUICK,
    TASK,
    as_scores,
    make_models,
    make_outcomes,
    make_pairs,
    make_record,
    make_response,
)

from ftgate_ext.compare import compare_models
from ftgate_ext.schema import Answer, Comparison, Comparisons, Estimate, Level, RunError
from ftgate_ext.scoring.codereview import score_shadow
from ftgate_ext.settings import Settings
from ftgate_ext.stats.proportion import clopper_pearson

if TYPE_CHECKING:
    from ftgate_ext.runs import Record

SETTINGS = Settings(resamples=1000)


def compare(
    candidate: list[Record], production: list[Record], **higher_is_better: bool
) -> Comparisons:
    """Compare two models on the toy task."""
    models = make_models({TASK: higher_is_better}, candidate=candidate, production=production)
    return compare_models(as_scores(models), [], "run-1", Path("runs"), SETTINGS)


def only(comparisons: Comparisons, metric: str = METRIC) -> Comparison:
    """The one comparison on a metric."""
    (found,) = [c for c in comparisons.comparisons if c.metric == metric]
    return found


def level(comparisons: Comparisons, role: str, metric: str = METRIC) -> Level:
    """A model's own figure."""
    (found,) = [x for x in comparisons.levels if (x.role, x.metric) == (role, metric)]
    return found


# --- joins


def test_cases_join_on_their_doc_hash_and_not_on_their_place() -> None:
    """The same cases in another order make the same pairs."""
    mine = make_outcomes([1, 0, 1, 1])
    theirs = make_outcomes([1, 1, 0, 0])

    in_order, exchanged = compare(mine, theirs), compare(mine, theirs[::-1])

    assert only(in_order) == only(exchanged)
    assert only(in_order).counts == {
        "both": 1, "only_candidate": 2, "only_baseline": 1, "neither": 0,
    }  # fmt: skip
    assert only(in_order).lost_cases == ["case-1"]


def test_a_case_whose_content_differs_does_not_join() -> None:
    """The same id with another text is another case, whatever its id says."""
    mine = [make_record("case-1", doc={"code": "x = 1"}, passed=1)]
    theirs = [make_record("case-1", doc={"code": "x = 2"}, passed=1)]

    comparison = only(compare(mine, theirs))

    assert comparison.unavailable == "the two models have no scored case in common"
    assert (comparison.n_pairs, comparison.n_unpaired) == (0, 2)


def test_repeats_of_a_case_are_averaged_before_anything_else() -> None:
    """A case that was asked three times is one case with its mean, and not three cases."""
    mine = [make_record("twin", passed=value) for value in (1, 0, 1)] + make_outcomes([1])
    theirs = [make_record("twin", passed=value) for value in (0, 0)] + make_outcomes([1])

    comparison = only(compare(mine, theirs))

    assert (comparison.kind, comparison.n_pairs, comparison.repeats) == ("mean", 2, 3)
    assert comparison.n_unpaired == 0
    assert comparison.difference.value == pytest.approx((2 / 3 + 0) / 2)  # type: ignore[union-attr]


def test_a_repeated_case_is_lost_by_the_majority_of_its_answers() -> None:
    """Two of five wrong is a lower pass rate, three of five wrong is a lost case."""
    right = [make_record(case, passed=1) for case in ("flaky", "broken", "same") for _ in range(5)]
    mine = [make_record("flaky", passed=int(i > 1)) for i in range(5)]
    mine += [make_record("broken", passed=int(i > 2)) for i in range(5)]
    mine += [make_record("same", passed=1) for _ in range(5)]

    comparison = only(compare(mine, right))

    assert comparison.lost_cases == ["broken"]
    assert comparison.pass_rate_drops == {"flaky": [0.6, 1.0]}
    assert comparison.counts == {"both": 2, "only_candidate": 0, "only_baseline": 1, "neither": 0}


def test_cases_of_one_model_only_are_counted() -> None:
    """What was asked of one model only is left out and stated."""
    comparison = only(compare(make_outcomes([1, 1, 0]), make_outcomes([1, 0, 1, 1, 1])))

    assert (comparison.n_pairs, comparison.n_excluded, comparison.n_unpaired) == (3, 0, 2)


def test_pairs_with_different_prompts_are_counted() -> None:
    """Another chat template is another question, and the comparison says how often."""
    mine = [make_record(f"c{i}", prompt=f"<s>{i}" if i < 2 else f"{i}", passed=1) for i in range(5)]
    theirs = [make_record(f"c{i}", prompt=f"{i}", passed=i % 2) for i in range(5)]

    comparison = only(compare(mine, theirs))

    assert (comparison.n_pairs, comparison.n_prompts_differ) == (5, 2)


# --- what has no score


def test_unanswered_cases_are_excluded_and_counted() -> None:
    """A request that failed is neither right nor wrong, on whichever side it failed."""
    lost = score_shadow({}, [Answer("", "failed")])
    mine = [make_record("a", status="failed", **lost), *make_outcomes([1, 1])]
    theirs = [make_record("a", passed=1), make_outcomes([1])[0],
              make_record("case-1", status="malformed", **lost)]  # fmt: skip

    comparisons = compare(mine, theirs)

    comparison = only(comparisons)
    assert (comparison.n_pairs, comparison.n_excluded) == (1, 2)
    assert [x.metric for x in comparisons.levels] == [METRIC, METRIC], "unanswered is no metric"
    assert level(comparisons, "candidate").n_unscored == 1
    assert level(comparisons, "candidate").estimate.n == 2  # type: ignore[union-attr]


@pytest.mark.parametrize("status", ["failed", "malformed"])
def test_a_failed_request_of_any_task_has_no_score(status: Any) -> None:
    """A task that is not ours scores the missing answer as wrong; that score does not count."""
    mine = [
        make_record(f"c{i}", status=status if i == 0 else "ok", acc=int(i > 0)) for i in range(4)
    ]
    theirs = [make_record(f"c{i}", status="ok", acc=1) for i in range(4)]

    comparisons = compare(mine, theirs)

    comparison = only(comparisons, "acc")
    assert (comparison.n_pairs, comparison.n_excluded, comparison.lost_cases) == (3, 1, [])
    assert level(comparisons, "candidate", "acc").estimate.value == 1  # type: ignore[union-attr]
    assert level(comparisons, "candidate", "acc").n_unscored == 1


@pytest.mark.parametrize("status", ["empty", "truncated", "refused_by_provider", "ok"])
def test_an_answer_that_is_bad_keeps_its_score(status: Any) -> None:
    """Silence, a cut and a content filter are the model's doing: they count as scored."""
    comparisons = compare([make_record(status=status, passed=0)], [make_record(passed=1)])

    assert level(comparisons, "candidate").estimate.value == 0  # type: ignore[union-attr]
    assert level(comparisons, "candidate").n_unscored == 0


def test_a_metric_may_apply_to_a_part_of_the_cases() -> None:
    """Harmful cases have one metric and benign ones another; neither excludes the other's."""
    mine = [make_record(f"h{i}", refusal_harmful=1) for i in range(3)]
    mine += [make_record(f"b{i}", refusal_benign=int(i == 0)) for i in range(5)]
    theirs = [make_record(f"h{i}", refusal_harmful=int(i > 0)) for i in range(3)]
    theirs += [make_record(f"b{i}", refusal_benign=0) for i in range(5)]

    comparisons = compare(mine, theirs, refusal_harmful=True, refusal_benign=False)

    harmful, benign = only(comparisons, "refusal_harmful"), only(comparisons, "refusal_benign")
    assert (harmful.n_pairs, harmful.n_excluded) == (3, 0)
    assert (benign.n_pairs, benign.n_excluded) == (5, 0)
    assert level(comparisons, "candidate", "refusal_harmful").estimate.n == 3  # type: ignore[union-attr]


@pytest.mark.parametrize("unknown", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_finite_number_is_left_out(unknown: float) -> None:
    """NaN and infinity are not averaged, not counted as 0 and never written."""
    mine, theirs = make_outcomes([unknown, 0.5, 0.7]), make_outcomes([0.1, 0.2, unknown])

    comparisons = compare(mine, theirs)

    assert (only(comparisons).n_pairs, only(comparisons).n_excluded) == (1, 2)
    assert level(comparisons, "candidate").estimate.value == pytest.approx(0.6)  # type: ignore[union-attr]
    everywhere = compare(make_outcomes([unknown] * 3), make_outcomes([unknown] * 3))
    assert only(everywhere).difference is None
    assert only(everywhere).unavailable == "the two models have no scored case in common"
    assert level(everywhere, "candidate").unavailable == "no scored case"


@pytest.mark.parametrize("odd", ["B", [1, 2], ["a", "b", "c"], {"tp": 1}])
def test_scores_that_are_no_numbers_are_unavailable(odd: Any) -> None:
    """Some metrics of lm-eval store texts or lists per case: no figure, and a reason."""
    comparisons = compare(make_outcomes([odd, odd]), make_outcomes([odd, odd]))

    assert only(comparisons).unavailable == "the scores are no numbers"
    assert only(comparisons).difference is None
    assert level(comparisons, "production").unavailable == "the scores are no numbers"


def test_no_common_case_is_unavailable() -> None:
    """Two models that share no case have no difference, not one of 0."""
    comparison = only(compare(make_outcomes([1, 1]), make_outcomes([1, 1], prefix="other")))

    assert comparison.unavailable == "the two models have no scored case in common"
    assert comparison.difference is comparison.candidate_estimate is comparison.lower_one_sided
    assert comparison.difference is None


def test_a_model_that_was_not_asked_has_no_level() -> None:
    """A task that one model never saw is named as such and compared with nobody."""
    models = make_models(
        candidate=make_outcomes([1, 0]), production=make_outcomes([1, 1]),
        base=make_outcomes([1, 1], task="other"),
    )  # fmt: skip

    comparisons = compare_models(as_scores(models), [], "run-1", Path("runs"), SETTINGS)

    assert level_of(comparisons, "base", TASK).unavailable == "this model was not asked"
    assert level_of(comparisons, "candidate", "other").unavailable == "this model was not asked"
    made = {(c.task, c.baseline): c.unavailable for c in comparisons.comparisons}
    assert made[TASK, "production"] is None
    assert (TASK, "base") not in made
    assert made["other", "base"] is not None


def level_of(comparisons: Comparisons, role: str, task: str) -> Level:
    """A model's own figure on a task."""
    (found,) = [x for x in comparisons.levels if (x.role, x.task) == (role, task)]
    return found


def test_a_case_that_both_models_left_unanswered_is_excluded() -> None:
    """It was asked and has no score: it counts against the error budget like any other."""
    mine = [make_record("a", prompt="<s>a", unanswered=1), make_record("b", passed=1)]
    theirs = [make_record("a", prompt="a", unanswered=1), make_record("b", passed=1)]

    comparison = only(compare(mine, theirs))

    assert (comparison.n_pairs, comparison.n_excluded, comparison.n_prompts_differ) == (1, 1, 1)


@pytest.mark.parametrize("unknown", [math.nan, math.inf])
def test_nothing_that_is_written_can_hold_a_nan(unknown: float) -> None:
    """A NaN would become `null` on disk, and come back as something else."""
    with pytest.raises(ValidationError, match="finite number"):
        Estimate(value=unknown, n=1, method="by hand")


# --- figures


def test_figures_of_a_binary_metric() -> None:
    """Counts, score limits and McNemar's tests of 20 pairs; the counts by hand."""
    mine = make_outcomes([1] * 14 + [0] * 6)
    theirs = make_outcomes([1] * 8 + [0] * 6 + [1] * 2 + [0] * 4)

    comparison = only(compare(mine, theirs))

    assert comparison.kind == "binary"
    assert comparison.counts == {"both": 8, "only_candidate": 6, "only_baseline": 2, "neither": 4}
    assert comparison.lost_cases == ["case-14", "case-15"]
    assert comparison.difference.value == pytest.approx(0.2)  # type: ignore[union-attr]
    assert [t.name for t in comparison.tests] == ["McNemar mid-p", "McNemar exact", "paired t"]
    assert comparison.tests[1].p == pytest.approx(2 * (1 + 8 + 28) / 2**8)
    assert comparison.tests[0].p == pytest.approx((2 * (1 + 8) + 28) / 2**8)
    assert comparison.intervals_overlap is True
    one_sided, both_sides = clopper_pearson(14, 20, 0.90), clopper_pearson(14, 20)
    mine_alone = level(compare(mine, theirs), "candidate")
    assert (mine_alone.lower_one_sided, mine_alone.upper_one_sided) == (
        one_sided.lower,
        one_sided.upper,
    )
    assert mine_alone.estimate.lower == both_sides.lower  # type: ignore[union-attr]
    assert comparison.lower_one_sided > comparison.difference.lower  # type: ignore[union-attr, operator]
    assert comparison.upper_one_sided < comparison.difference.upper  # type: ignore[union-attr, operator]


@pytest.mark.parametrize(("right", "overlap"), [(20, False), (12, True), (0, False)])
def test_intervals_overlap_or_do_not(right: int, overlap: bool) -> None:
    """The flag is the same whichever model is the better one."""
    one, other = make_outcomes([1] * right + [0] * (20 - right)), make_outcomes([1, 0] * 10)

    assert only(compare(one, other)).intervals_overlap is overlap
    assert only(compare(other, one)).intervals_overlap is overlap


def test_figures_of_an_f1_metric() -> None:
    """Counts are summed before F1 is taken: it is no mean of the cases' own F1."""
    mine = make_outcomes([[1, 0, 0], [0, 1, 1], [1, 0, 0], [0, 0, 0]] * 3)
    theirs = make_outcomes([[1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 1, 0]] * 3)

    comparison = only(compare(mine, theirs))

    assert comparison.kind == "f1"
    assert comparison.candidate_estimate.value == pytest.approx(4 / 6)  # type: ignore[union-attr]
    assert comparison.baseline_estimate.value == pytest.approx(2 / 5)  # type: ignore[union-attr]
    assert comparison.difference.value == pytest.approx(4 / 6 - 2 / 5)  # type: ignore[union-attr]
    assert [t.name for t in comparison.tests] == [
        "paired bootstrap", "delta method", "approximate randomisation",
    ]  # fmt: skip
    assert comparison.ratio.estimate.value == pytest.approx((4 / 6) / (2 / 5))  # type: ignore[union-attr]


def test_a_mean_that_never_varies_has_no_interval() -> None:
    """All resamples alike: the value is stated, and nothing claims to be certain."""
    comparison = only(compare(make_outcomes([0.25, 0.5]), make_outcomes([0.25, 0.5])))

    assert comparison.difference.value == 0  # type: ignore[union-attr]
    assert comparison.difference.lower is None  # type: ignore[union-attr]
    assert comparison.lower_one_sided is None
    assert comparison.tests == []


@pytest.mark.parametrize("known", [True, False])
def test_the_direction_of_a_metric_comes_from_the_task(known: bool) -> None:
    """Where lower is better, a case is lost when the candidate scores 1 and the other model 0."""
    mine, theirs = make_outcomes([1, 0, 0]), make_outcomes([0, 1, 0])

    comparison = only(compare(mine, theirs, passed=known))

    assert comparison.higher_is_better is known
    assert comparison.lost_cases == (["case-1"] if known else ["case-0"])
    assert comparison.difference.value == 0  # type: ignore[union-attr]


def test_a_metric_without_a_direction_counts_as_higher_is_better() -> None:
    """lm-eval writes null where a task does not say."""
    comparison = only(compare(make_outcomes([1]), make_outcomes([0]), passed=None))  # type: ignore[arg-type]

    assert comparison.higher_is_better is True


def test_the_direction_holds_for_every_filter_of_a_metric() -> None:
    """lm-eval stores `exact_match,strict` for the metric `exact_match`."""
    mine = [make_record("a", **{"err,strict": 1})]
    theirs = [make_record("a", **{"err,strict": 0})]

    assert only(compare(mine, theirs, err=False), "err,strict").higher_is_better is False


@pytest.mark.parametrize(
    "models",
    [
        make_models(candidate=make_outcomes([1])),
        make_models(production=make_outcomes([1]), base=make_outcomes([1])),
        {},
    ],
)
def test_one_model_alone_is_a_one_line_error(models: Any) -> None:
    """Without the candidate, or without anybody to compare it with, the run is named as the fault."""
    with pytest.raises(RunError) as error:
        compare_models(as_scores(models), [], "run-1", Path("runs"), SETTINGS)

    assert "expected the candidate and at least one other" in str(error.value)
    assert "\n" not in str(error.value)


def test_sources_are_named_relative_to_the_run() -> None:
    """The record says which files the figures came from; a file elsewhere by its name alone."""
    models = make_models(candidate=make_outcomes([1]), production=make_outcomes([1]))

    inside = compare_models(as_scores(models), [], "run-1", Path("runs"), SETTINGS)
    outside = compare_models(as_scores(models), [], "run-1", Path("elsewhere"), SETTINGS)

    assert inside.sources["candidate"] == ["toy/candidate/r.json"]
    assert outside.sources["candidate"] == ["r.json"]


def test_win_rates_stand_beside_the_other_comparisons() -> None:
    """Judgments become comparisons of their own."""
    models = make_models(candidate=make_outcomes([1]), production=make_outcomes([1]))

    comparisons = compare_models(
        as_scores(models), make_pairs(["candidate_better", "tie"]), "run-1", Path("runs"), SETTINGS
    )

    assert only(comparisons, "win_rate").n_pairs == 2


def test_operations_are_measured_per_task_and_over_all() -> None:
    """Latency, tokens and cost come from the responses; what has none is counted, not 0."""
    records = [make_record(f"c{i}", status="ok", passed=1) for i in range(3)]
    records += [make_record("d0", task="other", status="failed"), make_record("d1", task="other")]
    models = make_models(candidate=records, production=make_outcomes([1]))

    operations = compare_models(as_scores(models), [], "run-1", Path("runs"), SETTINGS).operations

    found = {(o.role, o.task): o for o in operations}
    assert set(found) == {("candidate", t) for t in (TASK, "other", "*")} | {
        ("production", t) for t in (TASK, "*")
    }
    whole = found["candidate", "*"]
    assert (whole.n_requests, whole.n_without_response) == (4, 1)
    assert whole.statuses == {"ok": 3, "failed": 1}
    assert whole.cost_usd_per_request == pytest.approx(0.001)
    assert found["candidate", "other"].latency_p95_s is None
    assert found["production", "*"].cost_usd_per_request is None


def test_a_cost_that_is_partly_unknown_is_unknown() -> None:
    """One answered request without a price makes the mean unknown rather than too low."""
    priced = make_record("a", status="ok", passed=1)
    unpriced = make_record("b", passed=1, response=make_response(cost_usd=None, input_tokens=None))
    models = make_models(candidate=[priced, unpriced], production=make_outcomes([1]))

    operations = compare_models(as_scores(models), [], "run-1", Path("runs"), SETTINGS).operations[
        0
    ]

    assert operations.cost_usd_per_request is None
    assert operations.input_tokens is None
    assert operations.output_tokens == 20


# --- what must hold for any scores

binary = st.sampled_from([0, 1, None])
graded = st.sampled_from([0.0, 0.25, 0.5, 1.0, None])
f1_counts = st.sampled_from([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1], [0, 0, 0], None])
two_models = st.one_of(
    *(
        st.lists(st.tuples(kind, kind), min_size=1, max_size=40)
        for kind in (binary, graded, f1_counts)
    )
)


@QUICK
@given(two_models)
def test_swapping_candidate_and_baseline_mirrors_the_comparison(pairs: list[Any]) -> None:
    """Counts swap, the difference changes its sign, limits mirror, p stays."""
    one_side, other_side = (make_outcomes(list(side)) for side in zip(*pairs, strict=True))
    if not any(METRIC in r.scores for r in one_side + other_side):
        return

    one, other = only(compare(one_side, other_side)), only(compare(other_side, one_side))

    assert (one.kind, one.n_pairs, one.n_excluded) == (other.kind, other.n_pairs, other.n_excluded)
    assert one.unavailable == other.unavailable
    if one.difference is None or other.difference is None:
        assert one.difference is other.difference
        return
    assert one.candidate_estimate == other.baseline_estimate
    assert one.difference.value == pytest.approx(-other.difference.value, abs=1e-12)
    assert one.intervals_overlap == other.intervals_overlap
    if one.kind == "binary":
        assert (
            one.counts["only_candidate"] == other.counts["only_baseline"] == len(other.lost_cases)
        )
    if one.lower_one_sided is None or other.upper_one_sided is None:
        assert one.lower_one_sided is other.upper_one_sided
        return
    # Exact limits mirror exactly, bootstrap limits up to Monte-Carlo error and the lattice.
    slack = 1e-9 if one.kind == "binary" else 0.6 * spread(one) + 1 / one.n_pairs
    assert one.lower_one_sided == pytest.approx(-other.upper_one_sided, abs=slack)
    assert one.difference.lower == pytest.approx(-(other.difference.upper or 0), abs=slack)
    for mine, theirs in zip(one.tests, other.tests, strict=True):
        assert mine.p == pytest.approx(theirs.p, abs=0.15 if "bootstrap" in mine.name else 1e-9)


def spread(comparison: Comparison) -> float:
    """The width of the interval."""
    assert comparison.difference is not None
    assert comparison.difference.upper is not None
    assert comparison.difference.lower is not None
    return comparison.difference.upper - comparison.difference.lower


@QUICK
@given(two_models, st.randoms(use_true_random=False))
def test_order_of_cases_changes_nothing(pairs: list[Any], random: Any) -> None:
    """Shuffled result files give the same figures."""
    one_side, other_side = (make_outcomes(list(side)) for side in zip(*pairs, strict=True))
    before = compare(one_side, other_side)
    random.shuffle(one_side)

    after = compare(one_side, other_side)

    assert rounded(after) == rounded(before)


def rounded(comparisons: Comparisons) -> Any:
    """All figures to 9 digits: sums in another order differ in the last one."""
    whole = comparisons.model_dump_json(exclude={"comparisons": {"__all__": {"lost_cases"}}})
    return json.loads(whole, parse_float=lambda text: round(float(text), 9))


@QUICK
@given(two_models)
def test_every_pair_is_compared_or_counted_as_excluded(pairs: list[Any]) -> None:
    """No case disappears: pairs with a score on one side only are excluded and counted."""
    one_side, other_side = (make_outcomes(list(side)) for side in zip(*pairs, strict=True))

    for comparison in compare(one_side, other_side).comparisons:
        both = sum(a is not None and b is not None for a, b in pairs)
        neither = sum(a is None and b is None for a, b in pairs)
        assert comparison.n_pairs == both
        assert comparison.n_pairs + comparison.n_excluded + neither == len(pairs)


@QUICK
@given(two_models)
def test_what_is_written_can_be_read_back(pairs: list[Any]) -> None:
    """JSON of the comparisons has no NaN and gives the same comparisons."""
    one_side, other_side = (make_outcomes(list(side)) for side in zip(*pairs, strict=True))
    comparisons = compare(one_side, other_side)

    assert Comparisons.model_validate_json(comparisons.model_dump_json()) == comparisons
