"""Tests of early stopping: limits that hold for all looks, and judging that ends when decided."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fake_server import FakeServer, Reply
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK, TASK, make_judgment, make_policy, make_record
from scipy import special

from ftgate_ext.inference.client import Endpoint
from ftgate_ext.judge.pairwise import Judge, Look, judge_looks, plan_looks
from ftgate_ext.judge.stopping import (
    FEWEST_A_ROUND,
    StoppingPlan,
    judge_by_plan,
    judge_until_decided,
    load_stopping,
    shuffled_pairs,
    stopping_plan,
    write_stopping,
)
from ftgate_ext.plan import make_plan
from ftgate_ext.settings import Settings
from ftgate_ext.stats.early_stopping import (
    anytime_p,
    anytime_z,
    betting_p,
    betting_win_rate,
    expected_betting_share,
    expected_share,
    log_capital_above,
    look_alpha,
    repeated_win_rate,
)
from ftgate_ext.stats.preference import win_rate
from ftgate_ext.stats.sequential import betting_test, boundaries
from ftgate_ext.winrate import compare_win_rates

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ftgate_ext.schema import Judgment, PairVerdict

PLAN = StoppingPlan("obrien_fleming", 5, (0.5,), seed=7)
BET = StoppingPlan("e_process", 5, (0.5,), seed=7)
SCORES = dict.fromkeys(("correctness", "completeness", "format", "clarity"), 3)
VERDICT = {"reasoning": "r", "scores_A": SCORES, "scores_B": SCORES}
counts = st.integers(0, 60)


# --- the statistics


def test_the_levels_of_five_looks_are_the_published_ones() -> None:
    """O'Brien and Fleming 1979, five looks, two-sided 5 %: 4.562, 3.226, 2.634, 2.281, 2.040."""
    z = [-float(special.ndtri(look_alpha(k, 5) / 2)) for k in range(1, 6)]
    assert z == pytest.approx([4.562, 3.226, 2.634, 2.281, 2.040], abs=1e-3)
    assert z == pytest.approx(boundaries(5, "obrien_fleming", 0.05, 2).tolist())


def test_a_single_look_is_the_usual_interval() -> None:
    """Nothing is corrected for where nothing was looked at before."""
    once, usual = repeated_win_rate(60, 40, 20, 1, 1), win_rate(60, 40, 20).limits
    assert (once.lower, once.upper) == pytest.approx((usual.lower, usual.upper))


@QUICK
@given(counts, counts, counts)
def test_the_capital_of_counts_is_that_of_any_order(wins: int, losses: int, ties: int) -> None:
    """The same bets as the running test, whatever came first."""
    values = [1.0] * wins + [0.0] * losses + [0.5] * ties
    if not values:
        return
    random.Random(wins + 61 * losses).shuffle(values)
    running = betting_test(values)
    assert log_capital_above(wins, losses, ties, 0.5) == pytest.approx(np.log(running.above[-1]))
    assert log_capital_above(losses, wins, ties, 0.5) == pytest.approx(np.log(running.below[-1]))


@QUICK
@given(counts, counts, counts)
def test_limits_leave_out_one_half_where_the_bet_against_it_is_won(
    wins: int, losses: int, ties: int
) -> None:
    """A p below 0.05 and limits say the same; exchanging the models mirrors them."""
    if wins + losses + ties == 0:
        return
    found, mirrored = betting_win_rate(wins, losses, ties), betting_win_rate(losses, wins, ties)
    assert (found.lower, found.upper) == pytest.approx((1 - mirrored.upper, 1 - mirrored.lower))
    assert 0 <= found.lower <= found.value <= found.upper <= 1
    p = betting_p(wins, losses, ties)
    if abs(p - 0.05) > 1e-6:
        assert (p < 0.05) == (not found.lower <= 0.5 <= found.upper)


def test_limits_that_hold_at_any_time_are_wider_than_those_of_one_look() -> None:
    """Of 400 pairs: 1.3 times and more."""
    bet, usual = betting_win_rate(220, 140, 40), win_rate(220, 140, 40).limits
    assert bet.upper - bet.lower > 1.3 * (usual.upper - usual.lower)
    assert anytime_z(1.0) > 2.9
    assert anytime_z(0.2) > anytime_z(1.0)
    assert anytime_p(anytime_z(0.4, 0.01), 0.4) == pytest.approx(0.01, rel=1e-3)
    assert anytime_p(0.0, 1.0) == 1.0


def test_five_looks_are_expected_to_need_two_thirds_at_55_percent() -> None:
    """1000 pairs, one in five a tie: 99 % of the calls where nothing differs, 69 % and 40 % else."""
    share = [
        expected_share(5, (p - 0.5) / np.sqrt((0.8 - (2 * p - 1) ** 2) / 4000))
        for p in (0.5, 0.55, 0.6)
    ]
    assert share == pytest.approx([0.993, 0.692, 0.399], abs=0.002)
    bets = [expected_betting_share(1000, p, 0.2, 40) for p in (0.5, 0.55, 0.6)]
    assert bets == pytest.approx([0.985, 0.663, 0.198], abs=0.015)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: look_alpha(6, 5), "look=6"), (lambda: betting_win_rate(0, 0, 0), "at least 1 pair"),
        (lambda: anytime_z(0.0), "share"), (lambda: expected_betting_share(10, 0.9, 0.5, 5), "rate=0.9"),
        (lambda: log_capital_above(1, 1, 1, 1.0), "null"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(call: Callable[[], Any], told: str) -> None:
    """One line each."""
    with pytest.raises(ValueError, match=told):
        call()


# --- judging in rounds


def looks_of(n: int, baseline: str = "production") -> list[Look]:
    """Both looks at n pairs."""
    return [
        Look(TASK, baseline, f"case-{i}", f"hash-{i}", f"q {i}", f"new {i}", f"old {i}", first, r)  # type: ignore[arg-type]
        for i in range(n)
        for r, first in enumerate(("candidate", "baseline"))
    ]


class Judged:
    """Gives every pair the same verdict in both orders, and keeps what it was asked."""

    def __init__(self, verdict_of: Callable[[int], PairVerdict]) -> None:
        self.verdict_of = verdict_of
        self.batches: list[list[Look]] = []

    def __call__(self, looks: list[Look]) -> list[Judgment]:
        self.batches.append(looks)
        return [
            make_judgment(
                look.case_id, self.verdict_of(int(look.case_id.split("-")[1])), round_=look.round,
                first=look.first, baseline=look.baseline,
            )
            for look in looks
        ]  # fmt: skip


def wins_of(share: float, seed: int = 0) -> Callable[[int], PairVerdict]:
    """A candidate that wins this share of the pairs."""
    return lambda i: "candidate_better" if random.Random(f"{seed}:{i}").random() < share else "baseline_better"  # fmt: skip


def test_judging_ends_when_the_win_rate_is_decided() -> None:
    """At 68 % the second of five looks is enough; both orders of a pair come together."""
    judge = Judged(wins_of(0.68))
    judgments, record = judge_until_decided(looks_of(300), judge, PLAN)
    assert (record.decided, record.look, record.n_judged, record.n_planned) == (True, 2, 120, 300)
    assert len(judgments) == 240
    assert [len(batch) for batch in judge.batches] == [120, 120]
    for batch in judge.batches:
        assert len({look.case_id for look in batch}) == 60
    assert record.looks[-1].lower is not None
    assert record.looks[-1].lower > 0.5
    assert "120 of 300 pairs judged in random order, decided at look 2 of 5" in record.words
    assert "the other 180 are left out by chance" in record.words


@pytest.mark.parametrize("plan", [PLAN, BET], ids=lambda p: p.method)
def test_an_open_race_is_judged_to_its_end(plan: StoppingPlan) -> None:
    """Half wins, half losses: all pairs, and the record says it was not decided."""
    judge = Judged(lambda i: "candidate_better" if i % 2 else "baseline_better")
    judgments, record = judge_until_decided(looks_of(101), judge, plan)
    assert (record.decided, record.n_judged, len(judgments)) == (False, 101, 202)
    assert "left out" not in record.words


def test_a_bet_ends_within_a_few_rounds_where_everything_is_won() -> None:
    """Twenty wins in a row are enough, whenever one looks."""
    _, record = judge_until_decided(looks_of(400), Judged(lambda _: "candidate_better"), BET)
    assert record.decided
    assert record.n_judged == 2 * FEWEST_A_ROUND
    assert record.looks_planned is None


def test_the_order_is_random_and_always_the_same() -> None:
    """It follows from seed and pairs, not from the order of the rows, and differs by seed."""
    looks = looks_of(80)
    order = [pair[0].case_id for pair in shuffled_pairs(looks, 7)]
    assert order == [pair[0].case_id for pair in shuffled_pairs(looks[::-1], 7)]
    assert order != [pair[0].case_id for pair in shuffled_pairs(looks, 8)]
    assert order != sorted(order)
    assert {len(pair) for pair in shuffled_pairs(looks, 7)} == {2}


def test_unreadable_verdicts_are_no_ties() -> None:
    """They are counted, and neither decide nor delay as ties would."""
    judge = Judged(lambda i: "unparsed" if i % 3 == 0 else "candidate_better")
    _, record = judge_until_decided(looks_of(150), judge, PLAN)
    assert record.looks[0].n_unparsed > 0
    assert record.looks[0].win_rate == 1.0
    nothing = judge_until_decided(looks_of(10), Judged(lambda _: "unparsed"), PLAN)[1]
    assert not nothing.decided
    assert nothing.looks[-1].win_rate is None


def test_a_threshold_above_one_half_is_watched_too() -> None:
    """Better than one half is soon clear; better than 70 % is not, at 71 %."""
    judge = Judged(wins_of(0.71))
    plan = StoppingPlan("obrien_fleming", 5, (0.5, 0.7), seed=7)
    assert judge_until_decided(looks_of(300), judge, plan)[1].look == 5


@pytest.mark.parametrize(
    ("rules", "thresholds"),
    [
        ([], (0.5,)),
        ([{"threshold": 0.55, "evidence": "proven"}], (0.55,)),
        ([{"threshold": 0.55, "evidence": "significant"}], (0.5, 0.55)),
        ([{"against": "frontier"}], (0.5,)),
    ],
)
def test_the_rules_say_what_is_to_be_decided(
    rules: list[dict[str, Any]], thresholds: tuple[float, ...]
) -> None:
    """Their thresholds, and one half where a test has a say."""
    filler = {"kind": "floor", "threshold": 0.1}
    policy = make_policy(
        *({"kind": "win_rate", **rule} for rule in rules), filler, judge={"stopping": "e_process"}
    )
    plan = stopping_plan(policy, "production")
    assert plan is not None
    assert plan.thresholds == thresholds
    assert stopping_plan(make_policy(filler), "production") is None


def test_each_opponent_is_judged_by_itself(tmp_path: Path) -> None:
    """One is decided early, the other is not; the records survive the disk, and an old one goes."""
    policy = make_policy({"kind": "win_rate"}, judge={"stopping": "obrien_fleming"})

    def judge(looks: list[Look]) -> list[Judgment]:
        share = 0.9 if looks[0].baseline == "production" else 0.5
        return Judged(wins_of(share))(looks)

    looks = looks_of(100) + looks_of(100, "frontier")
    judgments, records = judge_by_plan(looks, judge, policy)
    assert [(r.baseline, r.decided) for r in records] == [("production", True), ("frontier", False)]
    assert len(judgments) == 2 * sum(r.n_judged for r in records)
    write_stopping(tmp_path, records)
    assert load_stopping(tmp_path) == records
    write_stopping(tmp_path, [])
    assert load_stopping(tmp_path) == []
    assert not list(tmp_path.iterdir())


def test_without_early_stopping_all_pairs_are_judged_at_once() -> None:
    """In the order of the rows, in one batch an opponent."""
    judge = Judged(wins_of(0.9))
    judgments, records = judge_by_plan(looks_of(50), judge, make_policy({"kind": "win_rate"}))
    assert (len(judgments), records, len(judge.batches)) == (100, [], 1)


def test_compare_uses_the_limits_of_the_look_at_which_judging_ended() -> None:
    """The interval that was watched is the one in the report, and levels are those of that look."""
    judgments, record = judge_until_decided(looks_of(300), Judged(wins_of(0.68)), PLAN)
    (row,) = compare_win_rates(judgments, Settings(resamples=1000), [record])
    assert row.difference is not None
    ends = (row.difference.lower or 0, row.difference.upper or 0)
    watched = (record.looks[-1].lower or 0, record.looks[-1].upper or 0)
    assert ends == pytest.approx([x - 0.5 for x in watched])
    assert row.alpha_one_sided == pytest.approx(look_alpha(2, 5, 0.05, 1))
    assert row.alpha_two_sided == pytest.approx(look_alpha(2, 5, 0.05, 2))
    assert row.lower_one_sided is not None
    assert row.lower_one_sided > 0
    assert row.notes == [record.words]


def test_compare_uses_the_bet_where_judging_was_a_bet() -> None:
    """Its p and its limits hold whenever one stops; their levels need no correction."""
    judgments, record = judge_until_decided(looks_of(300), Judged(wins_of(0.75)), BET)
    (row,) = compare_win_rates(judgments, Settings(resamples=1000), [record])
    assert [test.name for test in row.tests] == ["betting"]
    assert row.tests[0].p < 0.05
    assert (row.alpha_one_sided, row.alpha_two_sided) == (0.05, 0.05)
    assert row.difference is not None
    assert row.difference.method == "betting, holds at any time"


def test_a_resumed_run_takes_the_same_looks_and_asks_nothing_twice(tmp_path: Path) -> None:
    """A real client, a journal on disk: the second run makes no request and ends the same way."""
    mine, theirs = (
        [make_record(f"c{i}", answer=f"{name} {i}") for i in range(60)] for name in ("new", "old")
    )
    looks = plan_looks(TASK, "production", mine, theirs, lambda r: r.prompt, 7)

    def answer(_: int, body: dict[str, Any]) -> Reply:
        prompt = body["messages"][-1]["content"]
        first = prompt.rindex("new ") < prompt.rindex("old ")
        return Reply(json.dumps(VERDICT | {"verdict": "A_better" if first else "B_better"}))

    with FakeServer(answer, ["judge"]) as server:
        judge = Judge(Endpoint(server.base_url, "judge"), 200, 7)

        def run() -> Any:
            return judge_until_decided(
                looks, lambda some: judge_looks(judge, some, tmp_path / "j.jsonl"), PLAN
            )

        judgments, record = run()
        asked = len(server.chats)
        again, same = run()
        assert len(server.chats) == asked == 2 * record.n_judged
    assert record == same
    assert record.decided
    assert record.n_judged < 60
    assert [j.verdict for j in judgments] == [j.verdict for j in again]


# --- the plan


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("none", ["1,000 calls for the 500 pairs", "`judge.stopping: obrien_fleming` would need about 993"]),
        ("obrien_fleming", ["at most. With 5 looks, about 993", "516 at a true win rate of 60 %"]),
        ("e_process", ["at most. With a bet after each round"]),
    ],
)  # fmt: skip
def test_the_plan_says_how_many_calls_to_expect(
    tmp_path: Path, method: str, told: list[str]
) -> None:
    """Before anything is spent: at most, and at true win rates of 50, 55 and 60 %."""
    server = {"endpoint": "http://localhost:1/v1", "model": "toy"}
    policy = tmp_path / "gate.yaml"
    policy.write_text(json.dumps({
        "version": 1, "name": "p", "models": {"candidate": server, "production": server},
        "eval_sets": [{"task": "codereview_shadow", "kind": "shadow", "cases": 500}],
        "judge": server | {"task": "codereview_shadow", "stopping": method},
        "rules": [{"name": "preferred", "kind": "win_rate"}],
    }), encoding="utf-8")  # fmt: skip
    (note,) = [note for note in make_plan(policy).notes if note.startswith("judge:")]
    assert all(words in note for words in told)
