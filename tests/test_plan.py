"""Planning: sizes, chances against published figures, refusals, cost, and the text at 100 columns."""

from __future__ import annotations

import json
import re
import socket
import sys
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK, make_policy

from ftgate_ext.cli import main
from ftgate_ext.plan import make_plan
from ftgate_ext.plan.assumptions import Spread
from ftgate_ext.plan.cost import plan_costs
from ftgate_ext.plan.power import Claim
from ftgate_ext.plan.sets import SizedSet
from ftgate_ext.plan.threshold import plan_threshold
from ftgate_ext.policy_rules import Floor
from ftgate_ext.report.plan import plan_text
from ftgate_ext.schema import (
    Bound,
    Comparison,
    Comparisons,
    Estimate,
    EvalSetError,
    Level,
    Operations,
    PolicyError,
    Price,
    RunError,
)
from ftgate_ext.settings import Alphas

if TYPE_CHECKING:
    from pathlib import Path

    from ftgate_ext.plan.planned import Plan, PlannedRule

SERVER = {"endpoint": "http://localhost:1/v1", "model": "toy"}
QUIZ = {"task": "quiz", "kind": "capability"}


def write_policy(folder: Path, *rules: dict[str, Any], **changes: Any) -> Path:
    """A gate.yaml of candidate and production on the set `quiz`, whose rows are nowhere."""
    filled = [
        {"name": rule["kind"]}
        | ({} if rule["kind"] in ("win_rate", "budget", "any_route") or "quantity" in rule else {"task": "quiz", "metric": "acc"})
        | rule
        for rule in rules
    ]  # fmt: skip
    content = {
        "version": 1, "name": "toy gate", "models": dict.fromkeys(("candidate", "production"), SERVER),
        "eval_sets": [QUIZ | {"cases": 200}], "rules": filled,
    } | changes  # fmt: skip
    path = folder / "gate.yaml"
    path.write_text(yaml.dump(json.loads(json.dumps(content)), sort_keys=False), encoding="utf-8")
    return path


def plan_one(folder: Path, rule: dict[str, Any], cases: int = 200, **changes: Any) -> PlannedRule:
    """The plan of the only rule, on so many cases."""
    sets = {"eval_sets": [QUIZ | {"cases": cases}]}
    return make_plan(write_policy(folder, rule, **sets | changes)).rules[0]


def write_task(folder: Path, rows: list[dict[str, Any]], name: str = "quiz") -> None:
    """An lm-eval task of our own loader with these rows, in `folder/tasks`."""
    tasks = folder / "tasks"
    tasks.mkdir(exist_ok=True)
    lines = [json.dumps({"id": f"c{i}", "prompt": "x" * 400} | row) for i, row in enumerate(rows)]
    (tasks / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tasks / f"{name}.yaml").write_text(
        f"task: {name}\ncustom_dataset: !function ftgate_ext.evalset.load_task_data\n"
        f"dataset_kwargs: {{file: {name}.jsonl}}\ntest_split: test\noutput_type: generate_until\n"
        "doc_to_text: '{{ prompt }}'\ndoc_to_target: ''\ngeneration_kwargs: {max_gen_toks: 100}\n"
        "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n",
        encoding="utf-8",
    )


def claim(n: int, discordance: float, threshold: float, evidence: Any, **changes: Any) -> Claim:
    """A claim on paired pass/fail."""
    spread = Spread("binary", discordance, "")
    return Claim(spread, n, changes.get("effective", n), threshold, evidence, Alphas())


def run_command(capsys: Any, monkeypatch: Any, *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors of `ftgate plan`, in this process."""
    monkeypatch.setattr(sys, "argv", ["ftgate", "plan", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out, shown.err


# --- chances, against measured figures


@pytest.mark.parametrize(("discordance", "cases"), [(0.05, 773), (0.10, 1546), (0.20, 3092)])
def test_cases_that_prove_no_two_point_drop(discordance: float, cases: int) -> None:
    """A 2 pt allowance needs 773, 1,546 or 3,092 cases, by the share of cases that differ."""
    found = claim(164, discordance, -0.02, "proven")
    assert found.n_for(0.0) == cases
    assert found.chance(0.0) == pytest.approx(0.2, abs=0.075)  # 14 to 25 % on 164 cases
    assert claim(cases, discordance, -0.02, "proven").chance(0.0) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(("discordance", "blocked"), [(0.06, 0.13), (0.12, 0.21), (0.20, 0.27)])
def test_a_point_rule_blocks_equal_models_and_passes_worse_ones(
    discordance: float, blocked: float
) -> None:
    """On 164 cases a bare 2 pt allowance is a coin: these shares were measured by simulation."""
    found = claim(164, discordance, -0.02, "point")
    assert 1 - found.chance(0.0) == pytest.approx(blocked, abs=0.015)
    assert 0.48 < found.chance(-0.02) < 0.57


def test_a_significant_gain_is_a_gain_of_the_candidate() -> None:
    """Published power of McNemar's mid-p at 1000 cases, 10 % discordant; half of alpha at no effect."""
    found = claim(1000, 0.10, 0.0, "significant")
    assert found.chance(0.02) == pytest.approx(0.52, abs=0.01)
    assert found.chance(0.0) == pytest.approx(0.025, abs=0.003)
    assert found.chance(-0.02) < 0.001


@pytest.mark.parametrize("evidence", ["point", "significant", "proven", "screen"])
@pytest.mark.parametrize("threshold", [-0.03, 0.0, 0.03])
def test_sums_over_tables_agree_with_the_normal_plan(evidence: str, threshold: float) -> None:
    """With many cases the exact chances and the normal ones are the same, for every evidence."""
    exact = claim(2000, 0.10, threshold, evidence)
    normal = claim(2000, 0.10, threshold, evidence, effective=2000.001)
    for effect in (-0.03, 0.0, 0.02, 0.05):
        assert exact.chance(effect) == pytest.approx(normal.chance(effect), abs=0.03)


@given(n=st.integers(10, 400), q=st.floats(0.02, 0.4), m=st.sampled_from([0.0, 0.02, 0.05]))
@QUICK
def test_more_evidence_passes_no_more_often(n: int, q: float, m: float) -> None:
    """A proof is harder than the bare figure, and a screen is easier, whatever the truth is."""
    for effect in (-m, 0.0, 0.02):
        chances = [claim(n, q, -m, e).chance(effect) for e in ("proven", "point", "screen")]
        assert chances == sorted(chances)


@pytest.mark.parametrize(
    ("n", "discordance", "mde"),
    [(164, 0.10, 0.069), (200, 0.05, 0.044), (500, 0.20, 0.056), (1000, 0.10, 0.028), (50, 0.15, 0.150)],
)  # fmt: skip
def test_smallest_effect_of_pass_fail(n: int, discordance: float, mde: float) -> None:
    """The table of smallest effects at 80 % power, two-sided 5 % (Connor 1987)."""
    assert claim(n, discordance, 0.0, "significant").mde == pytest.approx(mde, abs=0.0006)


def test_smallest_effect_beyond_the_assumed_changes() -> None:
    """Where all changes for the better would be missed, more cases must change: 15 pt of 50."""
    assert claim(50, 0.05, 0.0, "significant").mde == pytest.approx(0.15, abs=0.005)
    assert claim(3, 0.05, 0.0, "significant").mde is None


def test_format_floor(tmp_path: Path) -> None:
    """98 % on 300 cases: the bare figure passes 96 % now and then, the proof fails 99.5 % models."""
    point = plan_one(tmp_path, {"kind": "floor", "threshold": 0.98, "evidence": "point"}, 300)
    assert point.chance_at_limit == pytest.approx(0.61, abs=0.01)
    assert point.chance_worse == pytest.approx(0.043, abs=0.002)
    proven = plan_one(tmp_path, {"kind": "floor", "threshold": 0.98}, 300)
    assert proven.chance_good == pytest.approx(0.56, abs=0.01)
    assert (proven.chance_at_limit or 1) < 0.05
    assert 300 < (proven.n_enough or 0) < 500


def test_a_ceiling_is_a_floor_under_failures(tmp_path: Path) -> None:
    """At most 2 % of something is at least 98 % without it."""
    floor = plan_one(tmp_path, {"kind": "floor", "threshold": 0.98}, 300)
    ceiling = plan_one(tmp_path, {"kind": "ceiling", "threshold": 0.02}, 300)
    assert (ceiling.chance_good, ceiling.n_enough) == (floor.chance_good, floor.n_enough)
    assert "0.5 %" in (ceiling.assumption or "")


@pytest.mark.parametrize(("repeats", "fails"), [(1, 0.395), (5, 0.0005)])
def test_a_flaky_suite_cries_wolf(tmp_path: Path, repeats: int, fails: float) -> None:
    """50 cases that pass 99 % of the time: an identical model regresses in 39.5 % of runs."""
    sets = [QUIZ | {"cases": 50, "repeats": repeats}]
    found = plan_one(tmp_path, {"kind": "no_regression"}, eval_sets=sets)
    assert found.n == 50
    assert 1 - (found.chance_equal or 0) == pytest.approx(fails, abs=0.0005)
    assert ("repeats: 5" in (found.warning or "")) == (repeats == 1)


@pytest.mark.parametrize(("pairs", "mde"), [(50, 0.177), (200, 0.089), (1000, 0.040)])
def test_win_rate(tmp_path: Path, pairs: int, mde: float) -> None:
    """Smallest lead by number of pairs at 20 % ties; equal models are preferred 2.5 % of the time."""
    judge = SERVER | {"task": "quiz", "limit": pairs}
    found = plan_one(tmp_path, {"kind": "win_rate"}, 2000, judge=judge)
    assert (found.n, found.n_of) == (pairs, "pairs")
    assert found.mde == pytest.approx(mde, abs=0.001)
    assert found.chance_equal == pytest.approx(0.025, abs=0.001)
    point = plan_one(tmp_path, {"kind": "win_rate", "evidence": "point"}, 2000, judge=judge)
    assert point.chance_equal == pytest.approx(0.5)


@pytest.mark.parametrize(("requests", "passes"), [(50, 0.34), (200, 0.23), (500, 0.11), (1000, 0.05)])  # fmt: skip
def test_latency_ratio(tmp_path: Path, requests: int, passes: float) -> None:
    """A bare p95 ratio of 1 passes an equal model half the time, one 10 % slower less and less."""
    rule = {"kind": "ratio", "quantity": "latency_p95_s", "maximum": 1.0, "against": "production", "evidence": "point"}  # fmt: skip
    found = plan_one(tmp_path, rule, requests)
    assert found.chance_equal == pytest.approx(0.5)
    assert found.chance_worse == pytest.approx(passes, abs=0.015)


def test_pool_of_benchmarks_sees_more_than_each(tmp_path: Path) -> None:
    """The mean over two equal sets has a standard error smaller by the root of 2."""
    sets = [QUIZ | {"cases": 400}, QUIZ | {"task": "other", "cases": 400}]
    parts = [{"task": task, "metric": "acc"} for task in ("quiz", "other")]
    pool = {"kind": "pooled_non_inferiority", "benchmarks": parts, "margin_pt": 2, "name": "pool", "task": None, "metric": None}  # fmt: skip
    pool = {k: v for k, v in pool.items() if v is not None}
    path = write_policy(tmp_path, {"kind": "non_inferiority", "margin_pt": 2}, eval_sets=sets)
    content = yaml.safe_load(path.read_text())
    content["rules"].append(pool)
    path.write_text(yaml.dump(content))
    single, both = make_plan(path).rules
    assert (both.chance_equal or 0) > (single.chance_equal or 0) + 0.1
    assert both.mde == pytest.approx((single.mde or 0) / 2**0.5, rel=0.02)
    assert both.n == 800


# --- the gate as a whole, corrections


def test_whole_gate_multiplies(tmp_path: Path) -> None:
    """Two rules in a row and a route of two: products, and one minus the product of failures."""
    floor = {"kind": "floor", "threshold": 0.98, "evidence": "point"}
    inner = [
        {"kind": "floor", "task": "quiz", "metric": "acc", "threshold": 0.98, "evidence": "point", "name": name}
        for name in "xy"
    ]  # fmt: skip
    routes = {"kind": "any_route", "name": "either", "routes": [{"name": n, "rules": [r]} for n, r in zip("ab", inner, strict=True)]}  # fmt: skip
    budget = {"kind": "budget", "quantity": "cost_usd_per_request", "maximum": 1}
    found = make_plan(write_policy(tmp_path, floor | {"name": "first"}, routes, budget))
    good = found.rules[0].chance_good or 0
    assert found.chance_all_good == pytest.approx(good * (1 - (1 - good) ** 2))
    assert found.left_out_of_product == ["budget"]
    assert found.weakest in {"first", "x", "y"}
    assert found.needed_each == pytest.approx(0.8**0.5)
    assert [(r.any_of, r.route) for r in found.rules[1:3]] == [("either", "a"), ("either", "b")]


def test_looks_and_selection_correct_the_level(tmp_path: Path) -> None:
    """Planned looks and a choice among checkpoints lower the test level, and the plan says so."""
    rule = {"kind": "non_inferiority", "margin_pt": 5}
    plain = make_plan(write_policy(tmp_path, rule))
    looks = make_plan(write_policy(tmp_path, rule, looks={"planned": 3, "boundary": "pocock"}))
    chosen = make_plan(write_policy(tmp_path, rule, selection={"checkpoints": 5, "tasks": ["quiz"]}))  # fmt: skip
    levels = [p.rules[0].alpha for p in (plain, looks, chosen)]
    assert levels == [pytest.approx(0.05), pytest.approx(0.0232, abs=5e-4), pytest.approx(0.01)]
    chances = [p.rules[0].chance_equal or 0 for p in (plain, looks, chosen)]
    assert chances == sorted(chances, reverse=True)
    assert plain.corrections == []
    assert "3 looks are planned (pocock)" in looks.corrections[0]
    assert "best of 5 checkpoints on quiz" in chosen.corrections[0]


# --- refusals


REFUSED = {
    "floor": ({"kind": "floor", "threshold": 0.98}, 50, "at least 149 cases, every one of them right; the set has 50"),
    "floor of 1": ({"kind": "floor", "threshold": 1.0}, 50, "endless"),
    "floor of 0": ({"kind": "floor", "threshold": 0.0, "evidence": "point"}, 50, "cannot fail"),
    "screen that cannot fail": ({"kind": "floor", "threshold": 0.1, "evidence": "screen"}, 20, "29 are the least"),
    "p95": ({"kind": "budget", "quantity": "latency_p95_s", "maximum": 1, "evidence": "proven"}, 71, "upper limit from 72 requests on; there will be 71"),
    "p99 ratio": ({"kind": "ratio", "quantity": "latency_p99_s", "maximum": 1, "against": "production"}, 300, "from 368 requests"),
    "superiority": ({"kind": "superiority"}, 40, "about 4 will be discordant.*45 cases are the least"),
    "non-inferiority": ({"kind": "non_inferiority", "margin_pt": 2}, 15, "in its favour it would not pass"),
    "screen of a drop": ({"kind": "non_inferiority", "margin_pt": 5, "evidence": "screen"}, 8, "lost it would not fail"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_rule_that_cannot_decide_is_refused(tmp_path: Path, name: str) -> None:
    """Too few cases to pass, or to fail, whatever comes out: the reason names the least size."""
    rule, cases, why = REFUSED[name]
    found = plan_one(tmp_path, rule, cases)
    assert re.search(why, found.refusal or ""), found.refusal
    assert found.warning is None


@pytest.mark.parametrize(
    ("rule", "cases"),
    [
        ({"kind": "floor", "threshold": 0.98}, 149),
        ({"kind": "budget", "quantity": "latency_p95_s", "maximum": 1, "evidence": "proven"}, 72),
        ({"kind": "superiority"}, 45),
        ({"kind": "non_inferiority", "margin_pt": 0, "evidence": "point"}, 5),
        ({"kind": "no_regression"}, 5),
    ],
)
def test_a_rule_that_can_decide_is_not_refused(
    tmp_path: Path, rule: dict[str, Any], cases: int
) -> None:
    """One case more than too few, and point rules at any size."""
    assert plan_one(tmp_path, rule, cases).refusal is None


def test_weak_rules_say_what_would_do(tmp_path: Path) -> None:
    """In plain words: what it sees, what it asks, and how many cases would do."""
    found = plan_one(tmp_path, {"kind": "non_inferiority", "margin_pt": 2}, 164)
    assert found.warning == (
        "can see 6.9 pt at best; the rule asks about 2 pt; passes an unchanged one in 20 % of runs; "
        "1,546 cases would do"
    )
    flip = plan_one(tmp_path, {"kind": "non_inferiority", "margin_pt": 0, "evidence": "point"}, 200)
    assert "no number of cases mends a margin of 0" in (flip.warning or "")
    assert plan_one(tmp_path, {"kind": "non_inferiority", "margin_pt": 2}, 5000).warning is None


# --- sizes from rows


def rows_of(n: int, **fields: Any) -> list[dict[str, Any]]:
    """Rows with the same fields; a callable field gets the row's number."""
    return [{k: v(i) if callable(v) else v for k, v in fields.items()} for i in range(n)]


def test_rows_are_counted_and_limited(tmp_path: Path) -> None:
    """The data counts, not `cases`; a limit takes the first rows, and repeats are not cases."""
    write_task(tmp_path, rows_of(60))
    sets = [QUIZ | {"cases": 999, "limit": 40, "repeats": 3}]
    found = make_plan(write_policy(tmp_path, {"kind": "superiority"}, eval_sets=sets, task_paths=["tasks"]))  # fmt: skip
    assert (found.sets[0].n, found.sets[0].is_counted, found.rules[0].n) == (40, True, 40)
    assert found.costs[0].requests == 120
    assert (found.costs[0].input_tokens, found.costs[0].output_tokens) == (120 * 100, 120 * 100)


def test_a_metric_counts_only_its_own_rows() -> None:
    """Each refusal metric applies to its half of the safety set."""
    from ftgate_ext.assets import asset_dir

    found = make_plan(asset_dir("configs") / "gate.yaml")
    sizes = {rule.name: rule.n for rule in found.rules}
    assert sizes["still refuses harm"] == sizes["does not refuse the harmless"] == 200
    assert {s.task: s.n for s in found.sets}["codereview_safety"] == 400


def test_clusters_cost_cases(tmp_path: Path) -> None:
    """Cases of one pull request count for less; below eight clusters nothing can be proven."""
    rule = {"kind": "non_inferiority", "margin_pt": 10}
    policy = {"task_paths": ["tasks"], "eval_sets": [QUIZ]}
    write_task(tmp_path, rows_of(200))
    alone = make_plan(write_policy(tmp_path, rule, **policy))
    write_task(tmp_path, rows_of(200, cluster=lambda i: f"pr{i // 10}"))
    together = make_plan(write_policy(tmp_path, rule, **policy))
    assert (alone.sets[0].n_clusters, together.sets[0].n_clusters) == (None, 20)
    # Design effect 1 + 9 * 0.1: the standard error grows by its root.
    assert together.rules[0].mde == pytest.approx((alone.rules[0].mde or 0) * 1.9**0.5, rel=0.02)
    write_task(tmp_path, rows_of(200, cluster=lambda i: f"pr{i % 7}"))
    assert "7 clusters" in (make_plan(write_policy(tmp_path, rule, **policy)).rules[0].refusal or "")  # fmt: skip


def test_buckets_are_counted(tmp_path: Path) -> None:
    """Only buckets of min_cases are judged; without one the rule is refused."""
    write_task(tmp_path, rows_of(100, language=lambda i: "go" if i % 4 else "sql"))
    rule = {"kind": "per_bucket", "by": "language", "margin_pt": 5}
    policy = {"task_paths": ["tasks"], "eval_sets": [QUIZ]}
    some = make_plan(write_policy(tmp_path, rule | {"min_cases": 50}, **policy)).rules[0]
    assert (some.n, some.refusal) == (75, None)
    assert "1 of 2 buckets by language judged" in (some.note or "")
    none = make_plan(write_policy(tmp_path, rule | {"min_cases": 80}, **policy)).rules[0]
    assert none.refusal == "no bucket by language has 80 cases; the largest of 2 has 75"
    absent = make_plan(write_policy(tmp_path, rule | {"by": "team"}, **policy)).rules[0]
    assert absent.refusal == "no row of quiz says its 'team'"


def test_unknown_metric_of_a_known_task_is_refused(tmp_path: Path) -> None:
    """A misspelt metric can never pass; the reason names what there is."""
    write_task(tmp_path, rows_of(300))
    rule = {"kind": "superiority", "metric": "accuracy"}
    found = make_plan(write_policy(tmp_path, rule, eval_sets=[QUIZ], task_paths=["tasks"]))
    assert found.rules[0].refusal == "quiz has no metric 'accuracy'; it has acc"


# --- cost


def test_cost_by_the_token_and_by_the_hour(tmp_path: Path) -> None:
    """100 requests of 100 tokens in and 100 out: at $10 and $20 a million, and at $3.60 an hour."""
    write_task(tmp_path, rows_of(100))
    models = {
        "candidate": SERVER | {"price": {"usd_per_hour": 3.6}},
        "production": SERVER | {"price": {"input_usd_per_mtok": 10, "output_usd_per_mtok": 20}},
        "base": SERVER,
    }
    judge = SERVER | {"task": "quiz", "against": ["production", "base"], "limit": 60, "max_tokens": 50}  # fmt: skip
    rules = [{"kind": "superiority"}, {"kind": "win_rate", "against": "base"}]
    found = make_plan(write_policy(
        tmp_path, *rules, models=models, judge=judge, eval_sets=[QUIZ],
        task_paths=["tasks"], run={"concurrency": 10},
    ))  # fmt: skip
    mine, production, base, judged = found.costs
    assert mine.hours == pytest.approx(100 * 2 / 10 / 3600)
    assert mine.usd == pytest.approx(3.6 * 100 * 2 / 10 / 3600)
    assert production.usd == pytest.approx(0.1 + 0.2)
    assert (base.usd, base.price) == (None, "no price")
    pairs = judged.parts[:2]
    assert [part.what for part in pairs] == ["pairs against production", "pairs against base"]
    assert {(p.requests, p.output_tokens) for p in pairs} == {(60 * 2, 60 * 2 * 50)}
    assert (pairs[0].input_tokens or 0) > 120 * 300  # question, two answers, and the frame
    assert found.usd_known == pytest.approx((mine.usd or 0) + 0.3)
    assert "no price" in plan_text(found)


def test_all_fields_of_a_price_are_planned_with(tmp_path: Path) -> None:
    """A GPU that works half of the hours, a declared throughput, a listed price and its batches."""
    write_task(tmp_path, rows_of(100))
    models = {
        "candidate": SERVER | {"price": {"usd_per_gpu_hour": 1.8, "gpus": 2, "utilisation": 0.5}},
        "production": SERVER | {"price": {"usd_per_hour": 10, "requests_per_hour": 500}},
        "frontier": SERVER | {"price": {"listed": "gpt-4.1"}},
    }
    judge = SERVER | {
        "task": "quiz",
        "against": ["production"],
        "price": {"listed": "gpt-4.1-mini"},
    }
    found = make_plan(write_policy(
        tmp_path, {"kind": "superiority"}, models=models, judge=judge, eval_sets=[QUIZ],
        task_paths=["tasks"], run={"concurrency": 10},
    ))  # fmt: skip
    mine, production, frontier, judged = found.costs
    assert mine.usd == pytest.approx(2 * 3.6 * 100 * 2 / 10 / 3600)
    assert mine.price == "$3.60 an hour, busy 50 % of it"
    assert production.usd == pytest.approx(10 * 100 / 500)
    assert frontier.usd == pytest.approx(100 * (100 * 2 + 100 * 8) / 1e6)
    assert judged.usd_by_batch == pytest.approx((judged.usd or 0) / 2)
    assert (mine.usd_by_batch, mine.concurrency) == (None, 10)
    text = " ".join(plan_text(found).split())
    assert "with 10 requests in flight" in text
    assert "The judge at the API's batch price" in text
    assert "of 2025-04-14" in text


def test_an_old_price_is_said_in_the_plan() -> None:
    """With its age on the day of the plan; a young one is not mentioned."""
    policy = make_policy({"kind": "superiority"}, judge={"price": {"usd_per_hour": 1}})
    policy.models["frontier"].price = Price(
        input_usd_per_mtok=1, output_usd_per_mtok=1, as_of="2025-04-14", source="a page"
    )
    sized = {"quiz": SizedSet(policy.eval_sets[0], [])}
    for day, words in ((date(2027, 1, 2), "628 days old"), (date(2025, 6, 1), None)):
        costs = {c.role: c for c in plan_costs(policy, sized, None, day)}
        assert (costs["frontier"].old_price is not None) is (words is not None)
        assert words is None or words in (costs["frontier"].old_price or "")
        assert costs["candidate"].old_price is None


def test_an_optional_model_without_its_key_is_left_out(tmp_path: Path) -> None:
    """It costs nothing, and the rules that need it are named."""
    models = {"candidate": SERVER, "production": SERVER, "frontier": SERVER | {"optional": True, "api_key_env": "NO_SUCH_KEY"}}  # fmt: skip
    rule = {"kind": "ratio", "minimum": 0.95, "name": "near the frontier"}
    judge = SERVER | {"task": "quiz", "against": ["production", "frontier"]}
    found = make_plan(write_policy(tmp_path, rule, models=models, judge=judge))
    assert "NO_SUCH_KEY is not set" in (found.costs[2].left_out or "")
    judged = [part for part in found.costs[3].parts if part.what.startswith("pairs")]
    assert [(part.what, part.requests) for part in judged] == [("pairs against production", 400)]
    assert any("INCONCLUSIVE: near the frontier" in note for note in found.notes)


# --- an earlier run


def write_run(folder: Path) -> Path:
    """comparisons.json of a run in which 20 % of 400 cases differed and production had 80 %."""
    run = folder / "earlier"
    run.mkdir()
    level = Estimate(value=0.8, n=400, method="exact")
    cost = Estimate(value=0.002, lower=0.0018, upper=0.0022, level=0.95, n=400, method="t")
    operations = Operations(
        role="candidate", task="quiz", n_requests=400, statuses={"ok": 400}, latency_p50_s=2.0,
        input_tokens=40_000, output_tokens=8_000,
    )  # fmt: skip
    whole = operations.model_copy(update={"task": "*", "bounds": {"cost_usd_per_request": Bound(estimate=cost)}})  # fmt: skip
    counts = {"both": 280, "only_candidate": 40, "only_baseline": 40, "neither": 40}
    rows = Comparisons(
        run_id="earlier", roles=["candidate", "production"], operations=[operations, whole],
        levels=[Level(task="quiz", metric="acc", role="production", estimate=level)],
        comparisons=[
            Comparison(task="quiz", metric="acc", kind="binary", baseline="production", n_pairs=400, n_excluded=0, counts=counts),
            Comparison(task="quiz", metric="bleu", kind="mean", baseline="production", n_pairs=400, n_excluded=0, standard_error=0.01, n_clusters=40),
        ],
        sources={}, resamples=1000, seed=1,
    )  # fmt: skip
    (run / "comparisons.json").write_text(rows.model_dump_json(), encoding="utf-8")
    return run


@pytest.mark.parametrize(("cases", "power"), [(50, 0.19), (200, 0.34), (500, 0.68), (1000, 0.88), (2000, 0.99)])  # fmt: skip
def test_ratio_to_the_frontier(tmp_path: Path, cases: int, power: float) -> None:
    """Measured power to prove 95 % of an equal model's quality, accuracy 80 %, 20 % discordant."""
    rule = {"kind": "ratio", "minimum": 0.95, "against": "production", "evidence": "proven"}
    path = write_policy(tmp_path, rule, eval_sets=[QUIZ | {"cases": cases}])
    found = make_plan(path, write_run(tmp_path)).rules[0]
    assert found.chance_equal == pytest.approx(power, abs=0.035)
    assert found.chance_at_limit == pytest.approx(0.05, abs=0.001)
    assert "production at 80 % (earlier run)" in (found.assumption or "")


def test_an_earlier_run_replaces_assumptions(tmp_path: Path) -> None:
    """Discordance, spread, tokens, latency and cost come from its figures, each said to."""
    rules = [
        {"kind": "non_inferiority", "margin_pt": 2},
        {"kind": "non_inferiority", "margin_pt": 2, "metric": "bleu", "name": "bleu"},
        {"kind": "budget", "quantity": "cost_usd_per_request", "maximum": 0.0025},
        {"kind": "floor", "threshold": 0.75, "name": "floor"},
        {"kind": "no_regression"},
    ]
    models = {"candidate": SERVER | {"price": {"input_usd_per_mtok": 1, "output_usd_per_mtok": 10}}, "production": SERVER}  # fmt: skip
    found = make_plan(write_policy(tmp_path, *rules, models=models), write_run(tmp_path))
    loss, bleu, cost, floor, regression = found.rules
    assert loss.assumption == "20 % discordant (earlier run, n = 400)"
    assert loss.n_enough == 3092
    assert bleu.mde == pytest.approx(2.8 * 0.01 * 2**0.5, rel=0.01)  # half the cases
    assert (cost.chance_good or 0) > 0.99
    assert "earlier run" in (cost.assumption or "")
    assert "equal: 80 % (earlier run)" in (floor.assumption or "")
    assert regression.chance_equal == pytest.approx(0.9**200)
    mine, production = found.costs
    assert (mine.is_measured, production.is_measured) == (True, False)
    assert (mine.input_tokens, mine.output_tokens) == (20_000, 4_000)
    assert mine.usd == pytest.approx(0.02 + 0.04)
    assert mine.hours == pytest.approx(200 * 2 / 16 / 3600)


def test_a_run_that_was_not_compared_is_one_line(tmp_path: Path) -> None:
    """`--from` wants comparisons.json and says who makes it."""
    with pytest.raises(RunError, match=r"comparisons\.json.*ftgate compare"):
        make_plan(write_policy(tmp_path, {"kind": "superiority"}), tmp_path / "nowhere")


# --- without network, and bad input


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection can be made, and lm-eval's own thousands of tasks may not be looked through."""
    import lm_eval.tasks as lm_eval_tasks

    def refuse(*_arguments: Any) -> None:
        pytest.fail("a plan must not use the network")

    manager = lm_eval_tasks.TaskManager

    def own_folders(*, include_defaults: bool, **options: Any) -> Any:
        assert not include_defaults
        return manager(include_defaults=False, **options)

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(lm_eval_tasks, "TaskManager", own_folders)


def shipped(name: str) -> Plan:
    """The plan of one of the policies that travel with the package."""
    from ftgate_ext.assets import asset_dir

    return make_plan(asset_dir("configs") / f"{name}.yaml")


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["brief", "gate", "demo"])
def test_shipped_policies_plan_offline_and_fit_a_terminal(name: str) -> None:
    """Every shipped policy has a plan without network, key or model, of at most 100 columns."""
    found = shipped(name)
    text = plan_text(found)
    assert max(map(len, text.splitlines())) <= 100
    for rule in found.rules:
        assert rule.name in text or rule.name.split()[0] in text
    assert "The whole gate" in text
    assert "Next:" in text
    for size in (50, 200, 500, 1000):
        assert any(row.n == size for row in found.mde_table)


def test_the_letter_of_the_brief_is_a_lottery() -> None:
    """Read as plain rules the usual criteria pass few good candidates."""
    found = shipped("brief")
    assert (found.chance_all_good or 1) < 0.2
    rules = {rule.name: rule for rule in found.rules}
    assert rules["HumanEval kept"].n_enough == 1546
    assert rules["MMLU kept"].warning is None
    assert [c.role for c in found.costs] == ["candidate", "production", "base", "frontier", "judge"]


@pytest.mark.usefixtures("offline")
def test_a_set_without_data_and_without_cases(tmp_path: Path) -> None:
    """One line that says to state `cases`; nothing is downloaded to find out."""
    path = write_policy(tmp_path, {"kind": "superiority"}, eval_sets=[QUIZ])
    with pytest.raises(EvalSetError, match=r"'quiz'.*state `cases: N`"):
        make_plan(path)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "quiz.yaml").write_text("task: quiz\ndataset_path: some/hub_set\n")
    path = write_policy(tmp_path, {"kind": "superiority"}, eval_sets=[QUIZ], task_paths=["tasks"])
    with pytest.raises(EvalSetError, match="state `cases: N`"):
        make_plan(path)


def test_broken_rows_are_an_error(tmp_path: Path) -> None:
    """Data that is here and broken is no reason to trust `cases`."""
    write_task(tmp_path, rows_of(3, id="same"))
    path = write_policy(tmp_path, {"kind": "superiority"}, task_paths=["tasks"])
    with pytest.raises(EvalSetError, match="'same' is already in line 1"):
        make_plan(path)


def test_allow_must_name_a_rule(tmp_path: Path) -> None:
    """A misspelt name is an error, not a refusal left standing in silence."""
    path = write_policy(tmp_path, {"kind": "superiority"})
    with pytest.raises(PolicyError, match=r"--allow 'superioritty'.*did you mean 'superiority'"):
        make_plan(path, allowed=["superioritty"])


# --- the command


def test_refusals_print_the_plan_first_and_exit_with_2(
    tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    """The whole plan on stdout, one line a refused rule on stderr; `--allow` accepts by name."""
    rules = [{"kind": "floor", "threshold": 0.98, "name": "keeps the format"}, {"kind": "superiority"}]  # fmt: skip
    path = str(write_policy(tmp_path, *rules, eval_sets=[QUIZ | {"cases": 20}]))
    code, out, err = run_command(capsys, monkeypatch, path)
    assert code == 2
    assert "The whole gate" in out
    assert err.count("\n") == 2
    assert "ftgate: keeps the format: at least 98 % proven needs at least 149 cases" in err
    code, out, err = run_command(
        capsys, monkeypatch, path, "--allow", "keeps the format", "--allow", "superiority"
    )
    assert (code, err) == (0, "")
    assert "allowed, but" in out


def test_json_is_the_same_plan(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    """`--json` prints what the text is made from."""
    path = write_policy(tmp_path, {"kind": "superiority", "margin_pt": 1})
    code, out, _ = run_command(capsys, monkeypatch, str(path), "--json")
    assert code == 0
    assert json.loads(out) == make_plan(path).model_dump(mode="json")


def test_bad_input_is_one_line(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    """No policy, no data: exit code 2 and a single line."""
    for arguments in (["nowhere.yaml"], [str(write_policy(tmp_path, {"kind": "superiority"}, eval_sets=[QUIZ]))]):  # fmt: skip
        code, out, err = run_command(capsys, monkeypatch, *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)


def test_a_repeated_floor_is_planned_as_a_mean() -> None:
    """Averages of repeats are no longer passes and failures; clusters neither."""

    class Sized:
        class spec:  # noqa: N801
            repeats = 3

        def size_of(self, _metric: str) -> Any:
            from ftgate_ext.plan.sets import Size

            return Size(300)

        def has_f1(self, _metric: str) -> bool:
            return False

    rule = Floor(kind="floor", name="f", task="quiz", metric="acc", threshold=0.9)
    found = plan_threshold(rule, Sized(), Alphas(), None)  # type: ignore[arg-type]
    assert found.chance_at_limit == pytest.approx(0.05, abs=0.001)
