"""Planning the judge: every part of its work, counted as the stages ask it, and priced."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from command import ftgate_here
from fake_server import FakeServer, Reply
from judges import SCORES, expert_verdict, verdict_text
from records import METRIC, TASK, make_policy

from ftgate_ext.judge.known_pairs import shipped_pairs
from ftgate_ext.plan import make_plan
from ftgate_ext.plan.cost import plan_costs
from ftgate_ext.plan.judge_calls import plan_judge_calls
from ftgate_ext.plan.judging import judging_notes
from ftgate_ext.plan.sets import SizedSet
from ftgate_ext.report.plan import plan_text
from ftgate_ext.schema import PolicyError, RunError

if TYPE_CHECKING:
    from pathlib import Path

    from ftgate_ext.plan.planned import PlannedCost
    from ftgate_ext.policy import Policy

N = 12
POLICY = """\
version: 1
name: talk
models:
  candidate: {{endpoint: {url}, model: new}}
  base: {{endpoint: {url}, model: old}}
  frontier: {{endpoint: {url}, model: big}}
data: data
eval_sets: [{{task: mtbench, kind: capability}}]
judge:
  {{endpoint: {url}, model: judge, task: mtbench, against: [base, frontier], qualification_limit: 12, anchors: 3,
    rubric: {{task: mtbench, repeats: 2, noise_share: 0.25}}, price: {{input_usd_per_mtok: 10, output_usd_per_mtok: 0}}}}
sort_failures: 5
run: {{concurrency: 2, max_attempts: 1, resamples: 1000, max_tokens: 32}}
rules:
  - {{name: talks, kind: non_inferiority, task: mtbench, metric: mtbench_score, against: base, margin_pt: 5, evidence: point}}
  - {{name: preferred, kind: win_rate, against: base, evidence: point}}
"""
KINDS = {
    "pairs against base": "pair", "examination before use": "pair", "anchors": "pair",
    "rubric scores": "rubric", "MT-Bench grades": "grade", "failures to be sorted": "failure",
}  # fmt: skip


def write_talk(folder: Path, url: str) -> Path:
    """Twelve questions of two turns, every third with a reference."""
    (folder / "data" / "mtbench").mkdir(parents=True)
    rows = [
        {"question_id": i, "category": "writing", "turns": [f"Say {i}.", f"Now say {i} twice."], "reference": [] if i % 3 else ["one", "two"]}
        for i in range(N)
    ]  # fmt: skip
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "data" / "mtbench" / "question.jsonl").write_text(lines, encoding="utf-8")
    (folder / "gate.yaml").write_text(POLICY.format(url=url), encoding="utf-8")
    return folder / "gate.yaml"


def kind_of(prompt: str) -> str:
    """What a prompt to the judge is about."""
    if prompt.startswith("You sort a failed answer"):
        return "failure"
    if "answer to grade" in prompt:
        return "grade"
    return "pair" if "answer B" in prompt else "rubric"


def reply(_n: int, body: dict[str, Any]) -> Reply:
    """Models echo; the judge knows the shipped pairs and prefers `old`."""
    prompt = str(body["messages"][-1]["content"])
    if body["model"] != "judge":
        return Reply(f"{body['model']} says: {prompt}")
    kind = kind_of(prompt)
    if kind == "pair":
        first = "A_better" if prompt.find("old says") < prompt.find("new says") else "B_better"
        return Reply(expert_verdict(prompt) or verdict_text(first))
    said: dict[str, dict[str, Any]] = {
        "grade": {"score": 7}, "rubric": {"scores": dict.fromkeys(SCORES, 3)},
        "failure": {"category": "ignored instruction"},
    }  # fmt: skip
    return Reply(json.dumps({"reasoning": "r"} | said[kind]))


def test_the_plan_counts_what_the_judge_is_asked(tmp_path: Path) -> None:
    """Pairs, examination, anchors, scores, grades and failures: a whole run asks exactly the plan's calls."""
    with FakeServer(reply, models=("new", "old", "big", "judge")) as server:
        path = write_talk(tmp_path, server.base_url)
        planned = make_plan(path)
        done = ftgate_here("gate", "--run-dir", "run", "-q", cwd=tmp_path)
        assert done.returncode in (0, 1), done.stdout + done.stderr
        asked = Counter(
            kind_of(r.prompt) if r.body["model"] == "judge" else r.body["model"]
            for r in server.chats
        )

    *models, judge = planned.costs
    assert [cost.requests for cost in models] == [asked[m] for m in ("new", "old", "big")]
    assert judge.requests == sum(asked[kind] for kind in set(KINDS.values()))
    parts = {part.what: part.requests for part in judge.parts}
    # 12 pairs; as many known ones, 11 traps and 3 pairs once more; 3 anchors: each in both orders.
    assert parts == {
        "pairs against base": 2 * N, "examination before use": 2 * (12 + 11 + 3), "anchors": 2 * 3,
        "rubric scores": 2 * (2 * N + 3), "MT-Bench grades": 3 * 2 * N, "failures to be sorted": 5,
    }  # fmt: skip
    by_kind: Counter[str] = Counter()
    for what, calls in parts.items():
        by_kind[KINDS[what]] += calls
    assert by_kind == {kind: asked[kind] for kind in set(KINDS.values())}
    assert not judge.is_measured
    assert any("not asked about frontier" in note for note in planned.notes)

    again = make_plan(path, tmp_path / "run").costs[-1]
    assert {part.what: part.requests for part in again.parts} == parts
    assert {p.what for p in again.parts if not p.is_measured} == {"failures to be sorted"}
    assert {(p.input_tokens or 0) / p.requests for p in again.parts if p.is_measured} == {100}


def judged_by(policy: Policy, cases: int = 40, **sets: Any) -> PlannedCost:
    """The judge's cost, on sets whose rows are nowhere."""
    return plan_costs(policy, sized(policy, cases, **sets), None)[-1]


def sized(policy: Policy, cases: int = 40, **changes: Any) -> dict[str, SizedSet]:
    """Every set of a policy at this size."""
    return {
        s.task: SizedSet(s.model_copy(update={"cases": cases} | changes), [])
        for s in policy.eval_sets
    }


WIN_RATE = {"kind": "win_rate"}


def test_only_opponents_that_a_rule_needs_are_planned() -> None:
    """Production always; the frontier where a rule asks for the judge's word on it."""
    for against, expected in (("production", ["production"]), ("frontier", ["production", "frontier"])):  # fmt: skip
        policy = make_policy(WIN_RATE | {"against": against})
        found = [p.what for p in judged_by(policy).parts if p.what.startswith("pairs")]
        assert found == [f"pairs against {role}" for role in expected]
        said = any("not asked about frontier" in n for n in judging_notes(policy, sized(policy)))
        assert said is (against == "production")


def test_all_known_pairs_are_planned_without_a_limit() -> None:
    """120 of them and every trap twice, in both orders; where the answers are kept is said."""
    policy = make_policy(WIN_RATE, judge={"endpoint": "https://api.example.com/v1", "anchors": 20})
    _, examined, anchors = judged_by(policy).parts

    assert examined.requests == 2 * (len(shipped_pairs().pairs) + 22 + 20)
    assert anchors.requests == 2 * 20
    assert "22 traps" in (examined.note or "")
    assert "later runs find the answers" in (examined.note or "")
    here = judged_by(make_policy(WIN_RATE, judge={"anchors": 20})).parts[1]
    assert "in every run, because it answers on this machine" in (here.note or "")


def test_a_teams_own_pairs_are_counted(tmp_path: Path) -> None:
    """From the file that the policy names; a missing one is an error, not nothing."""
    pairs = shipped_pairs().pairs[:30]
    lines = "".join(p.model_dump_json(exclude_none=True) + "\n" for p in pairs)
    (tmp_path / "own.jsonl").write_text(lines, encoding="utf-8")
    policy = make_policy(WIN_RATE, judge={"qualification": "own.jsonl"})

    examined = plan_judge_calls(policy, sized(policy), None, tmp_path)[1]
    assert examined.calls == 2 * (30 + 22)
    with pytest.raises(RunError, match=r"own\.jsonl: no such file"):
        plan_judge_calls(policy, sized(policy), None, tmp_path / "elsewhere")


def test_batches_cost_half_but_for_what_is_never_batched() -> None:
    """Sorting failures is asked one by one; the engine on this machine and hours have no batches."""
    tokens = {"input_usd_per_mtok": 2, "output_usd_per_mtok": 8, "batch_discount": 0.5}
    policy = make_policy(WIN_RATE, judge={"price": tokens}, sort_failures=10)
    judge = judged_by(policy)
    *batched, alone = judge.parts

    assert (alone.what, alone.usd_by_batch) == ("failures to be sorted", None)
    assert judge.usd == pytest.approx(sum(p.usd or 0 for p in judge.parts))
    assert judge.usd_by_batch == pytest.approx(sum(p.usd or 0 for p in batched) / 2 + (alone.usd or 0))  # fmt: skip
    assert [p.usd_by_batch for p in batched] == [pytest.approx((p.usd or 0) / 2) for p in batched]
    for other in ({"price": {"usd_per_hour": 1}}, {"price": tokens, "endpoint": "embedded"}):
        assert judged_by(make_policy(WIN_RATE, judge=other)).usd_by_batch is None


def test_failures_are_planned_up_to_the_limit_and_the_answers(tmp_path: Path) -> None:
    """At most `sort_failures`, and no more than there are answers; none where it is 0."""
    for most, calls in ((0, []), (25, [25]), (500, [4 * 40])):
        policy = make_policy(WIN_RATE, sort_failures=most)
        found = [p.requests for p in judged_by(policy).parts if p.what.startswith("failures")]
        assert found == calls
    policy = make_policy(WIN_RATE, sort_failures=5, taxonomy="own.yaml")
    with pytest.raises(PolicyError, match=r"own\.yaml: no such file"):
        plan_judge_calls(policy, sized(policy), None, tmp_path)


def test_a_rubric_is_planned_with_repeats_noise_and_limit() -> None:
    """Of the candidate and of those that it is compared with."""
    rubric = {"task": TASK, "repeats": 3, "noise_share": 0.2, "limit": 20}
    found = judged_by(make_policy(WIN_RATE, judge={"rubric": rubric})).parts[-1]

    assert (found.what, found.requests) == ("rubric scores", 2 * (20 * 3 + 4))
    assert "20 answers to" in (found.note or "")
    assert "each 3 times, and 20 % of them once more" in (found.note or "")


def test_mtbench_without_its_questions_has_two_turns() -> None:
    """Of every model, for models and judge alike."""
    policy = make_policy(WIN_RATE, tasks=["mtbench"])
    costs = plan_costs(policy, sized(policy, 80), None)

    assert costs[0].requests == 160
    grades = costs[-1].parts[-1]
    assert (grades.what, grades.requests) == ("MT-Bench grades", 4 * 2 * 80)
    assert "2 turns each" in (grades.note or "")


def test_recorded_verdicts_cost_nothing() -> None:
    """Nobody is asked, and the plan says so."""
    policy = make_policy(WIN_RATE, judge={"replay": "said.jsonl"}, sort_failures=10)

    assert (judged_by(policy).requests, judged_by(policy).parts) == (0, [])
    assert judging_notes(policy, sized(policy)) == [
        "judge: its verdicts were given earlier; nobody is asked."
    ]


def test_the_parts_stand_below_the_judge(tmp_path: Path) -> None:
    """A line each with its dollars, what they rest on, and the price by batch."""
    path = write_talk(tmp_path, "https://api.example.com/v1")
    text = plan_text(make_plan(path))
    flat = " ".join(text.split())

    assert max(map(len, text.splitlines())) <= 100
    for what in KINDS:
        assert f"- {what.split()[0]}" in text
    assert "judge, MT-Bench grades: every turn of 12 conversations of each of candidate, base, frontier." in flat  # fmt: skip
    assert "`ftgate judge RUN --batch`" in flat
    assert "(failures to be sorted at the full price)" in flat
    assert METRIC not in flat
