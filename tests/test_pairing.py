"""Tests of pairing: repeats become cases, two models' cases join, clusters and groups are known."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import METRIC, QUICK, TASK, as_scores, make_models, make_record

from ftgate_ext.compare import compare_models
from ftgate_ext.pairing import (
    average_repeats,
    join_cases,
    kind_of,
    number_clusters,
    pair_scores,
)
from ftgate_ext.scores import (
    ModelScores,
    TaskScores,
    join_tasks,
    share_lists,
    tabulate_task,
    without_cases,
)
from ftgate_ext.settings import Settings
from ftgate_ext.timings import number_cases, number_requests

if TYPE_CHECKING:
    from ftgate_ext.pairing import CaseScores
    from ftgate_ext.runs import Record
    from ftgate_ext.schema import Comparison, Comparisons, Level

SETTINGS = Settings(resamples=1000)


def tabulate(records: list[Record]) -> TaskScores:
    """The columns of one task."""
    return tabulate_task(TASK, enumerate(records), ("cluster",))


def repeats(case: str, *values: Any, **fields: Any) -> list[Record]:
    """Requests of one case: a score each, None for a request that failed."""
    return [
        make_record(case, status="failed", **fields)
        if value is None
        else make_record(case, status="ok", passed=value, **fields)
        for value in values
    ]


def averaged(*records: Record) -> CaseScores:
    """The cases of one model."""
    scores = tabulate(list(records))
    return average_repeats(scores, scores.cases, METRIC)


def compare(
    candidate: list[Record], production: list[Record], settings: Settings = SETTINGS, **directions: bool
) -> Comparisons:  # fmt: skip
    """Compare two models on the toy task."""
    models = make_models({TASK: directions}, candidate=candidate, production=production)
    return compare_models(as_scores(models, settings.fields), [], "run-1", Path("runs"), settings)


def only(made: Comparisons, task: str = TASK) -> Comparison:
    """The comparison on the one metric of a task."""
    (found,) = [c for c in made.comparisons if c.task == task and "@" not in c.metric]
    return found


def level(made: Comparisons, role: str = "candidate") -> Level:
    """A model's own figure."""
    (found,) = [x for x in made.levels if x.role == role and "@" not in x.metric]
    return found


# --- cases, found once


def scores_of(*cases: str) -> TaskScores:
    """One request a letter; the letter is its case."""
    return tabulate([make_record(case, passed=1) for case in cases])


def test_cases_are_found_again_where_rows_changed() -> None:
    """What was found before holds for the same rows only: not without leaked cases, not for a group."""
    scores = scores_of(*"abacd")
    assert scores.cases is scores.cases
    assert replace(scores, columns={}).cases is scores.cases

    leaked = {TASK: {scores.doc_hashes[0]}}
    left = without_cases(ModelScores({TASK: scores}, {}, {}, []), leaked).tasks[TASK]
    assert left.cases.case_of.tolist() == [0, 1, 2]
    assert list(left.cases.index) == left.doc_hashes
    assert len(join_tasks("both", [scores, scores_of(*"ab")]).cases) == 4

    scores.case_ids.append("e")
    scores.doc_hashes.append("e")
    assert scores.cases.case_of.tolist() == [0, 1, 0, 2, 3, 4]


@pytest.mark.parametrize("odd", ["plain", "\0", "", "\n", "\ud800"])
@pytest.mark.parametrize("n", [0, 1, 3])
def test_another_process_gets_the_same_scores(odd: str, n: int) -> None:
    """Whatever stands in an id; the cases need not be found again."""
    scores = tabulate([make_record("case", passed=1)._replace(case_id=odd, doc_hash=odd)] * n)
    cases = scores.cases

    back: TaskScores = pickle.loads(pickle.dumps(scores))  # noqa: S301 (our own)

    assert back == scores
    assert back.known_cases is not None
    assert back.known_cases.case_of.tolist() == cases.case_of.tolist()
    assert back.cases is back.known_cases


def test_models_asked_the_same_share_their_lists() -> None:
    """Equal lists are one; a list in another order stays its own."""
    mine, same, turned = scores_of(*"abb"), scores_of(*"abb"), scores_of(*"bab")
    assert len(same.cases) == len(turned.cases) == 2
    share_lists(ModelScores({TASK: s}, {}, {}, []) for s in (mine, same, turned))

    assert same.doc_hashes is mine.doc_hashes
    assert turned.doc_hashes is not mine.doc_hashes
    assert same.cases.case_of.tolist() == [0, 1, 1]
    assert turned.cases.case_of.tolist() == [0, 1, 0]


@QUICK
@given(st.lists(st.lists(st.sampled_from("abcde"), max_size=6), max_size=3), st.randoms())
def test_requests_are_numbered_by_case(tasks: list[list[str]], random: Any) -> None:
    """As their cases first occur among the chosen rows; a case of two tasks is two."""
    parts = [scores_of(*cases) for cases in tasks]
    chosen = [sorted(random.sample(range(len(p)), random.randint(0, len(p)))) for p in parts]
    for rows in (chosen, [list(range(len(p))) for p in parts]):
        keys = [(i, tasks[i][row]) for i, part in enumerate(rows) for row in part]
        numbers = {key: n for n, key in enumerate(dict.fromkeys(keys))}
        found = number_cases(
            [(p.cases, np.array(r, np.int64)) for p, r in zip(parts, rows, strict=True)]
        )
        if len(numbers) == len(keys):
            assert found is None
        else:
            assert found is not None
            assert found.tolist() == [numbers[key] for key in keys]
    whole = number_requests(parts)
    assert (whole is None) == (found is None)


# --- repeats


def test_cases_stand_in_the_order_of_their_first_request() -> None:
    """Requests of one case need not follow each other."""
    records = [
        make_record(c, passed=v) for c, v in [("b", 1), ("a", 0), ("b", 0), ("a", 0), ("c", 1)]
    ]
    cases = tabulate(records).cases

    assert cases.case_of.tolist() == [0, 1, 0, 1, 2]
    assert cases.first.tolist() == [0, 1, 4]
    assert averaged(*records).values[:, 0].tolist() == [0.5, 0, 1]
    assert averaged(*records).repeats == 2


@pytest.mark.parametrize(
    ("values", "mean", "failed"),
    [
        ((1, 1, 0, 0, 0), 0.4, 0),
        ((1, 1, 0, None, None), 2 / 3, 2),
        ((1, 1, None, None, None), None, 0),
        ((None, None, None), None, 0),
        ((1, None), 1.0, 1),
        ((1, math.nan, math.nan), None, 0),
        ((0, 1, math.inf), 0.5, 1),
    ],
)
def test_a_case_needs_a_score_for_half_of_its_requests(
    values: tuple[Any, ...], mean: float | None, failed: int
) -> None:
    """Two of five may fail, and are counted; three of five leave no answer to go by."""
    found = averaged(*repeats("a", *values))

    assert found.unanswered.tolist() == [mean is None]
    assert found.is_scored.tolist() == [mean is not None]
    assert found.failed is not None
    assert found.failed.tolist() == [failed]
    if mean is not None:
        assert found.values[0, 0] == pytest.approx(mean)


def test_a_metric_that_does_not_apply_is_not_unanswered() -> None:
    """A benign request has no score for harmful ones, and nothing is wrong with that."""
    found = averaged(
        make_record("a", status="ok", other=1), make_record("b", status="ok", passed=1)
    )

    assert found.unanswered.tolist() == [False, False]
    assert found.is_scored.tolist() == [False, True]


@pytest.mark.parametrize(
    ("values", "is_pass_fail"),
    [((0, 1, 1), True), ((True, False), True), ((0.0, 1.0), True), ((0.5, 1), False), ((2, 1), False), ((None,), True)],
)  # fmt: skip
def test_pass_fail_is_known_by_every_single_score(
    values: tuple[Any, ...], is_pass_fail: bool
) -> None:
    """An average of 0.5 is pass/fail if it comes from 0 and 1, and a rating if it was given."""
    assert averaged(*repeats("a", *values)).is_pass_fail is is_pass_fail


def test_counts_of_f1_are_averaged_column_by_column() -> None:
    """Two answers to one case make half counts; a case of three columns is of kind f1."""
    found = averaged(*repeats("a", [1, 0, 0], [0, 1, 1]), *repeats("b", [2, 0, 0], [2, 1, 0]))

    assert found.values.tolist() == [[0.5, 0.5, 0.5], [2, 0.5, 0]]
    assert kind_of(3, is_binary=False) == "f1"
    assert (kind_of(1, is_binary=True), kind_of(1, is_binary=False)) == ("binary", "mean")


scores_of_case = st.lists(st.sampled_from([0, 1, None, math.nan]), min_size=1, max_size=6)


@QUICK
@given(st.lists(scores_of_case, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_every_request_is_scored_failed_or_lost(cases: list[list[Any]], random: Any) -> None:
    """Whatever the order of the requests, no case and no failure disappears."""
    records = [r for i, values in enumerate(cases) for r in repeats(f"c{i}", *values)]
    random.shuffle(records)
    scores = tabulate(records)
    found, index = average_repeats(scores, scores.cases, METRIC), scores.cases.index

    assert (found.is_scored ^ found.unanswered).all()
    for i, values in enumerate(cases):
        row = index[make_record(f"c{i}").doc_hash]
        good = [v for v in values if v is not None and not math.isnan(v)]
        assert found.is_scored[row] == (bool(good) and 2 * len(good) >= len(values))
        if found.is_scored[row]:
            assert found.values[row, 0] == pytest.approx(np.mean(good))
            assert found.failed is not None
            assert found.failed[row] == len(values) - len(good)


# --- joins


def test_a_join_says_what_does_not_pair() -> None:
    """Cases of one model only are counted, and so are prompts that differ."""
    mine = tabulate([make_record("a"), make_record("b", prompt="another"), make_record("c")])
    theirs = tabulate([make_record("d"), make_record("b"), make_record("a")])

    join = join_cases(mine, mine.cases, theirs, theirs.cases)

    assert (join.left.tolist(), join.right.tolist()) == ([0, 1], [2, 1])
    assert (join.n_unpaired, join.n_prompts_differ) == (2, 1)


def test_the_same_order_is_joined_like_any_other() -> None:
    """Sets in the same order take a shorter way to the same join, prompts compared all the same."""
    mine = [make_record(c, passed=1) for c in "abca"]
    theirs = [make_record(c, prompt="" if c == "b" else None, passed=0) for c in "abca"]
    order = [2, 0, 1, 3]

    straight = only(compare(mine, theirs))
    crossed = only(compare(mine, [theirs[i] for i in order]))

    assert straight == crossed
    assert (straight.n_pairs, straight.n_prompts_differ, straight.repeats) == (3, 1, 2)


def test_partly_overlapping_cases_pair_where_they_overlap() -> None:
    """Half of the cases in common: half pairs, the rest unpaired, and nothing invented."""
    mine = [make_record(f"c{i}", passed=1) for i in range(20)]
    theirs = [make_record(f"c{i}", passed=0) for i in range(10, 30)]

    found = only(compare(mine, theirs))

    assert (found.n_pairs, found.n_unpaired, found.n_excluded) == (10, 20, 0)


def test_a_score_of_one_model_only_is_left_out_and_counted() -> None:
    """Whether it failed, was no number or was never given."""
    mine = repeats("a", 1) + repeats("b", None) + repeats("c", math.nan) + [make_record("d", status="ok", other=1)]  # fmt: skip
    theirs = [r for c in "abcd" for r in repeats(c, 1)]
    a, b = tabulate(mine), tabulate(theirs)
    join = join_cases(a, a.cases, b, b.cases)

    pairs = pair_scores(join, averaged(*mine), averaged(*theirs))

    assert (len(pairs.left), pairs.n_excluded, pairs.kind) == (1, 3, "binary")


def test_a_score_that_is_no_number_counts_as_unscored() -> None:
    """A floor is not reached on the half of the cases whose score could be computed."""
    mine = [make_record(f"c{i}", passed=1 if i % 2 else math.nan) for i in range(20)]

    made = compare(mine, mine)

    assert level(made).estimate is not None
    assert level(made).estimate.n == 10  # type: ignore[union-attr]
    assert level(made).n_unscored == 10
    assert only(made).n_excluded == 10


def test_failed_repeats_of_pairs_are_counted() -> None:
    """Of both models, on the cases that still have an answer of each."""
    mine = repeats("a", 1, 1, None) + repeats("b", None, None, 1) + repeats("c", 1, 1, 1)
    theirs = repeats("a", 1, None, 1) + repeats("b", 1, 1, 1) + repeats("c", 0, 0, 0)

    found = only(compare(mine, theirs))

    assert (found.n_pairs, found.n_excluded, found.n_failed_repeats) == (2, 1, 2)
    assert level(compare(mine, theirs)).n_failed_repeats == 1
    assert level(compare(mine, theirs)).n_unscored == 1, "cases, not requests"


@pytest.mark.parametrize("higher", [True, False])
def test_half_of_the_repeats_is_no_majority(higher: bool) -> None:
    """Right twice of four times is not right, whichever way the metric points."""
    right, wrong = (1, 0) if higher else (0, 1)
    mine = repeats("a", right, right, wrong, wrong) + repeats("b", right, right, right, wrong)
    theirs = [r for c in "ab" for r in repeats(c, right, right, right, right)]

    found = only(compare(mine, theirs, passed=higher))

    assert found.lost_cases == ["a"]
    assert list(found.pass_rate_drops) == ["b"]


# --- clusters


@pytest.mark.parametrize(
    ("labels", "numbers"),
    [
        (None, None),
        (["x", "y", "z"], None),
        (["x", "y", "x"], [0, 1, 0]),
        (["x", None, "x", None], [0, 1, 0, 2]),
        ([None, None], None),
        (["x", "x"], [0, 0]),
    ],
)
def test_clusters_are_numbered_where_cases_share_one(
    labels: list[str | None] | None, numbers: list[int] | None
) -> None:
    """A case without a label stands alone; where all do there are no clusters."""
    found = number_clusters(labels, np.arange(len(labels or [1, 2])))

    assert (None if found is None else found.tolist()) == numbers


def clustered(outcome: Any, clusters: int, size: int, field: str = "cluster") -> list[Record]:
    """Cases in clusters of one size."""
    return [
        make_record(f"c{i}", doc={field: f"g{i % clusters}"}, passed=outcome(i))
        for i in range(clusters * size)
    ]


@pytest.mark.parametrize(
    ("clusters", "method"),
    [(5, None), (7, None), (8, "sign flip of clusters"), (19, "sign flip of clusters"), (20, "t of clusters (CR1)")],
)  # fmt: skip
@pytest.mark.parametrize("scores", ["pass/fail", "graded"])
def test_the_number_of_clusters_chooses_the_test(
    clusters: int, method: str | None, scores: str
) -> None:
    """Under 8 there is no interval, under 20 signs are exchanged, from 20 on CR1 and t."""
    part = 1.0 if scores == "pass/fail" else 0.7
    theirs = clustered(lambda i: part * (i % 3 > 0), clusters, 10)
    mine = clustered(lambda i: part * (i % 7 > 1), clusters, 10)

    found = only(compare(mine, theirs))

    assert found.n_clusters == clusters
    assert [t.name for t in found.tests] == ([method] if method else [])
    if method is None:
        assert found.no_interval == f"{clusters} clusters; at least 8 are needed"
        assert found.lower_one_sided is found.upper_one_sided is None
    else:
        assert found.lower_one_sided < found.difference.value < found.upper_one_sided  # type: ignore[union-attr, operator]


def test_cases_of_one_cluster_are_one_case() -> None:
    """All in one cluster: no interval, though there are a hundred cases."""
    found = only(compare(clustered(lambda _: 1, 1, 100), clustered(lambda i: i % 2, 1, 100)))

    assert (found.n_clusters, found.no_interval) == (1, "1 cluster; at least 8 are needed")
    assert level(compare(clustered(lambda _: 1, 1, 100), clustered(lambda _: 1, 1, 100))).lower_one_sided is None  # fmt: skip


@pytest.mark.parametrize(("clusters", "is_known"), [(7, False), (8, True), (30, True)])
def test_clusters_without_any_change_count_as_one_pair_each(clusters: int, is_known: bool) -> None:
    """Ten copies of a case prove no more than the case: Tango's limits at G pairs."""
    same = clustered(lambda i: i % 2, clusters, 10)

    found = only(compare(same, same))

    assert (found.lower_one_sided is not None) is is_known
    if is_known:
        reach = 1.6448536**2 / (clusters + 1.6448536**2)
        assert found.lower_one_sided == pytest.approx(-reach)
        assert found.upper_one_sided == pytest.approx(reach)


def test_the_cluster_field_is_the_one_that_the_policy_names() -> None:
    """Another field of the row, for this task only."""
    mine = clustered(lambda i: i % 3 > 0, 10, 4, field="repo")
    named = replace(SETTINGS, cluster_fields={TASK: "repo"})
    elsewhere = replace(SETTINGS, cluster_fields={"other": "repo"})

    assert only(compare(mine, mine, named)).n_clusters == 10
    assert only(compare(mine, mine, elsewhere)).n_clusters is None
    assert only(compare(mine, mine)).n_clusters is None
    assert replace(SETTINGS, cluster_fields={"*": "repo"}).cluster_field(TASK) == "repo"


# --- groups


def test_a_group_of_tasks_is_compared_as_one() -> None:
    """Its cases are those of its tasks, in its tasks' clusters, and requests are not measured twice."""

    def records(wrong: int) -> list[Record]:
        return [
            make_record(f"{task}-{i}", task=task, status="ok", doc={"cluster": i // 2}, err=int(i < wrong))
            for task in ("one", "two") for i in range(20)
        ]  # fmt: skip

    models = make_models(
        {t: {"err": False} for t in ("one", "two")}, candidate=records(3), production=records(5)
    )
    scores = {
        role: replace(model, groups={"both": ["one", "two"]})
        for role, model in as_scores(models).items()
    }

    made = compare_models(scores, [], "run-1", Path("runs"), SETTINGS)

    group = only(made, "both")
    assert (group.n_pairs, group.n_clusters, group.higher_is_better) == (40, 10, False)
    assert group.difference is not None
    assert group.difference.value == pytest.approx(-0.1)
    assert group.counts["only_baseline"] == 4
    assert only(made, "one").n_pairs == 20
    assert made.groups == {"both": ["one", "two"]}
    assert {o.task for o in made.operations} == {"one", "two", "*"}
    (whole,) = [o for o in made.operations if (o.role, o.task) == ("candidate", "*")]
    assert whole.n_requests == 40
