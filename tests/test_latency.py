"""Tests of models measured in turn: the same requests, request by request, and what rests on them."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
from datetime import date, datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from command import ftgate
from fake_server import FakeServer, Reply, on_prompt
from hypothesis import given
from hypothesis import strategies as st
from records import (
    QUICK,
    as_scores,
    make_comparisons,
    make_models,
    make_operations,
    make_policy,
    make_record,
    make_response,
)

from ftgate_ext.compare import compare_models
from ftgate_ext.decision import decide
from ftgate_ext.inference.journal import read_responses, request_hash
from ftgate_ext.inference.payload import build_payload
from ftgate_ext.inference.turns import in_turn
from ftgate_ext.interleaved import Interleaved, load_interleaved
from ftgate_ext.latency import measure_latency
from ftgate_ext.policy import Policy
from ftgate_ext.runs import find_unfinished
from ftgate_ext.schema import EvalSetUse, LatencyRun, ModelCard, Response, RunError, RunManifest
from ftgate_ext.settings import Settings
from ftgate_ext.stats.quantile import quantile_ratio

if TYPE_CHECKING:
    from ftgate_ext.schema import Comparisons

MODELS = {"candidate": "new", "production": "old", "frontier": "big"}
GEN_KWARGS = {"until": ["\n\n"], "max_gen_toks": 40, "temperature": 0.0}
STAMP = "2026-11-21T04-03-02.000001"


def messages(case: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"question {case:03d}"}]


def policy_of(server: FakeServer, n: int = 4, **run: Any) -> Policy:
    """Three models on one server; n cases of each eval set."""
    return Policy.model_validate({
        "version": 1, "name": "timed",
        "models": {
            role: {"endpoint": server.base_url, "model": name} for role, name in MODELS.items()
        },
        "eval_sets": [{"task": "quiz", "kind": "golden"}, {"task": "exam", "kind": "format"}],
        "run": {"latency_cases": n, "max_attempts": 1, "stop_after": 5, **run},
        "rules": [{"name": "r", "kind": "budget", "quantity": "latency_p50_s", "maximum": 1}],
    })  # fmt: skip


def write_run(folder: Path, policy: Policy, cases: int = 12, **cards: Any) -> Path:
    """What `ftgate run` leaves behind: manifest, samples, results and journals."""
    roles = list(MODELS)
    manifest = RunManifest(
        run_id="r", policy_name="timed", policy_hash="p", generation_hash=policy.generation_hash,
        created_at="2026-11-21T04:00:00+00:00", finished_at="2026-11-21T04:01:00+00:00",
        models=[
            ModelCard(role=r, name=r, model=MODELS[r], endpoint="e", hosting="here", **cards.get(r, {}))  # type: ignore[arg-type]
            for r in roles
        ],
        eval_sets=[
            EvalSetUse(task=t, file="f", sha256="s", n_rows=cases, config_source="c") for t in ("quiz", "exam")
        ],
        seed=1, concurrency=4, versions={},
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(manifest.model_dump_json(), encoding="utf-8")
    for role in roles:
        _write_model(folder / role, MODELS[role], policy, cases)
    return folder


def _write_model(folder: Path, model: str, policy: Policy, cases: int) -> None:
    folder.mkdir()
    results = {"configs": {"quiz": {}, "exam": {}}, "higher_is_better": {}}
    (folder / f"results_{STAMP}.json").write_text(json.dumps(results), encoding="utf-8")
    journal = []
    for task in ("quiz", "exam"):
        lines = []
        for i in range(cases):
            prompt = json.dumps(messages(i))
            prompt_hash = hashlib.sha256(prompt.encode()).hexdigest()
            lines.append({
                "doc_id": i, "doc": {"id": f"{task}-{i:03d}"}, "target": "", "filter": "none", "metrics": ["acc"], "acc": 1.0,
                "arguments": {"gen_args_0": {"arg_0": [prompt], "arg_1": GEN_KWARGS}}, "resps": [["x"]],
                "doc_hash": f"{task}{i}", "prompt_hash": prompt_hash,
            })  # fmt: skip
            payload = build_payload(messages(i), GEN_KWARGS, 0, seed=policy.run.seed)
            key = request_hash(model, task, payload)
            journal.append(make_response(case_id=f"{task}-{i:03d}", task=task, prompt_hash=prompt_hash, request_hash=key))  # fmt: skip
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"samples_{task}_{STAMP}.jsonl").write_text(text, encoding="utf-8")
    rows = "".join(r.model_dump_json() + "\n" for r in journal)
    (folder / "responses.jsonl").write_text(rows, encoding="utf-8")


def measure(folder: Path, policy: Policy, concurrency: int = 1) -> LatencyRun:
    return measure_latency(folder, policy, None, concurrency, lambda _n: None, lambda *_: None)


@pytest.fixture
def server() -> Any:
    with FakeServer(models=list(MODELS.values())) as running:
        yield running


# --- asking in turn


def test_every_model_gets_the_requests_of_the_run_in_turn(
    tmp_path: Path, server: FakeServer
) -> None:
    """To the letter, one at a time, and nobody is always first."""
    policy = policy_of(server)
    run = measure(write_run(tmp_path / "R", policy), policy)

    assert run.n_cases == {"quiz": 4, "exam": 4}
    assert run.finished_at is not None
    assert server.most_in_flight == 1
    asked = [(c.body["model"], c.prompt) for c in server.chats]
    turns = [asked[i : i + 3] for i in range(0, len(asked), 3)]
    assert len(turns) == 8
    for turn in turns:
        assert {model for model, _ in turn} == set(MODELS.values())
        assert len({prompt for _, prompt in turn}) == 1
    firsts = Counter(turn[0][0] for turn in turns)
    assert min(firsts[m] for m in MODELS.values()) >= 2
    for chat in server.chats:
        body = {k: v for k, v in chat.body.items() if k != "model"}
        number = int(chat.prompt[-3:])
        assert body == build_payload(messages(number), GEN_KWARGS, 0, seed=policy.run.seed)


def test_what_is_written_has_no_texts(tmp_path: Path, server: FakeServer) -> None:
    """One response a request, with latency, tokens and the requests in flight."""
    policy = policy_of(server)
    folder = write_run(tmp_path / "R", policy)
    measure(folder, policy)

    for role in MODELS:
        rows = read_responses(folder / role / "latency.jsonl")
        assert len(rows) == 8
        assert all(r.text == "" and r.latency_s and r.input_tokens == 100 for r in rows)
        assert {r.concurrency for r in rows} == {1}
    found = load_interleaved(folder)
    assert found is not None
    assert set(found.responses["candidate"]) == set(found.responses["frontier"])
    assert len(found.of("candidate", "quiz")) == 4


def test_at_a_higher_concurrency_one_model_is_asked_at_a_time(tmp_path: Path) -> None:
    """Three requests in flight, all of the model whose turn it is."""
    with FakeServer(Reply(delay_s=0.05), models=list(MODELS.values())) as server:
        policy = policy_of(server, n=3)
        folder = write_run(tmp_path / "R", policy)
        measure(folder, policy, concurrency=3)

    assert server.most_in_flight == 3
    asked = [c.body["model"] for c in server.chats]
    blocks = [set(asked[i : i + 3]) for i in range(0, len(asked), 3)]
    assert all(len(block) == 1 for block in blocks)
    assert {r.concurrency for r in read_responses(folder / "frontier" / "latency.jsonl")} == {3}


def test_measuring_again_asks_only_what_is_missing_of_all_models(tmp_path: Path) -> None:
    """A case that one model failed is asked of all of them again, so that it stays a pair."""
    with FakeServer(models=list(MODELS.values())) as server:
        policy = policy_of(server)
        folder = write_run(tmp_path / "R", policy)
        measure(folder, policy)
        broken = server.chats[0].prompt
    for role in MODELS:
        (folder / role / "latency.jsonl").unlink()
    (folder / "latency.json").unlink()

    def script(n: int, body: dict[str, Any]) -> str:
        is_broken = body["messages"][-1]["content"] == broken and body["model"] == "old"
        return "500" if is_broken and n < 24 else "good"

    with FakeServer(script, models=list(MODELS.values())) as server:
        policy = policy_of(server)
        first = measure(folder, policy)
        before = len(server.chats)
        second = measure(folder, policy)
        third = measure(folder, policy)
        again = server.chats[before:]

    failed = sum(
        r.status == "failed" for r in read_responses(folder / "production" / "latency.jsonl")
    )
    assert first.finished_at is None
    assert failed >= 1
    assert {c.prompt for c in again} == {broken}
    assert {c.body["model"] for c in again} == set(MODELS.values())
    assert len(again) == 3 * failed
    assert second.finished_at is not None
    assert third == second


def test_another_concurrency_is_another_measurement(tmp_path: Path, server: FakeServer) -> None:
    """Refused in one line; without latency.json all is measured anew."""
    policy = policy_of(server)
    folder = write_run(tmp_path / "R", policy)
    measure(folder, policy)
    with pytest.raises(RunError, match="measured at concurrency 1, not 2; name the same, or delete that file"):  # fmt: skip
        measure(folder, policy, concurrency=2)

    (folder / "latency.json").unlink()
    measure(folder, policy, concurrency=2)
    assert {r.concurrency for r in read_responses(folder / "candidate" / "latency.jsonl")} == {2}


def test_only_requests_that_the_journal_knows_are_asked(tmp_path: Path, server: FakeServer) -> None:
    """What cannot be made again to the letter is left out; if that is everything, it is one line."""
    policy = policy_of(server, n=12)
    folder = write_run(tmp_path / "R", policy)
    journal = folder / "production" / "responses.jsonl"
    kept = journal.read_text(encoding="utf-8").splitlines(keepends=True)[:5]
    journal.write_text("".join(kept), encoding="utf-8")

    assert measure(folder, policy).n_cases == {"quiz": 5, "exam": 0}

    other = write_run(tmp_path / "S", policy)
    changed = policy_of(server, max_tokens=7)
    with pytest.raises(RunError, match="no request of the run can be made again"):
        measure(other, changed)


def test_who_cannot_take_turns_is_absent_with_a_reason(tmp_path: Path, server: FakeServer) -> None:
    """A backend of lm-eval, an optional model without its key; without any model it is one line."""
    policy = policy_of(server)
    cards = {"production": {"backend": "hf"}, "frontier": {"absent": "its key is not set"}}
    run = measure(write_run(tmp_path / "R", policy, **cards), policy)

    assert run.roles == ["candidate"]
    assert "hf answers in batches" in run.absent["production"]
    assert run.absent["frontier"] == "its key is not set"
    nobody = {role: {"absent": "no key"} for role in MODELS}
    with pytest.raises(RunError, match="no model's latency can be measured in turn"):
        measure(write_run(tmp_path / "S", policy, **nobody), policy)


def test_streamed_answers_time_the_first_token(tmp_path: Path) -> None:
    """Where the policy streams, the first token comes before the last."""
    with FakeServer(Reply(piece_delay_s=0.01), models=list(MODELS.values())) as server:
        policy = policy_of(server, n=2, stream=True)
        folder = write_run(tmp_path / "R", policy)
        run = measure(folder, policy)

    assert run.is_streamed
    for row in read_responses(folder / "candidate" / "latency.jsonl"):
        assert row.first_token_s is not None
        assert row.latency_s is not None
        assert 0 < row.first_token_s < row.latency_s


def test_a_model_that_is_gone_stops_the_measurement(tmp_path: Path) -> None:
    """After so many failures in a row, in one line; the others' answers are kept."""
    script = on_prompt("question", "500")
    with FakeServer(script, models=list(MODELS.values())) as server:
        policy = policy_of(server, stop_after=2)
        folder = write_run(tmp_path / "R", policy)
        with pytest.raises(RunError, match="2 requests in a row have no answer"):
            measure(folder, policy)
    assert read_responses(folder / "candidate" / "latency.jsonl")


def test_the_budget_holds_for_this_too(tmp_path: Path, server: FakeServer) -> None:
    """What the run itself cost counts: 24 requests a model at a tenth of a cent, 7.2 cents in all."""
    policy = policy_of(server, budget_usd=0.0724)
    for spec in policy.models.values():
        spec.price = spec.price.model_copy(update={"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 0.0})  # fmt: skip
    folder = write_run(tmp_path / "R", policy)
    with pytest.raises(RunError, match="the budget is spent"):
        measure(folder, policy)
    assert len(server.chats) == 4


def test_a_finished_run_is_resumed_until_it_is_measured(tmp_path: Path, server: FakeServer) -> None:
    """`ftgate run --latency` after `ftgate run` goes on with that run."""
    policy = policy_of(server)
    folder = write_run(tmp_path / "runs" / "R", policy)
    manifest = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    manifest["created_at"] = datetime.now(timezone.utc).isoformat()
    (folder / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    runs, key = tmp_path / "runs", policy.generation_hash

    assert find_unfinished(runs, key) is None
    assert find_unfinished(runs, key, until="latency") == folder
    measure(folder, policy)
    assert find_unfinished(runs, key, until="latency") is None


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_turns_are_fair(n: int) -> None:
    """Everybody stands equally often at every place, and before and after every other."""
    names: Any = list("abcd"[:n])
    orders = [in_turn(names, block) for block in range(2 * n)]

    for place in range(n):
        assert set(Counter(order[place] for order in orders).values()) == {2}
    followers = Counter(pair for order in orders for pair in itertools.pairwise(order))
    assert all(followers[b, a] == count for (a, b), count in followers.items())


# --- what rests on them


def timed(model: str, latencies: Any, **fields: Any) -> dict[tuple[str, str], Response]:
    return {
        ("quiz", f"c{i}"): make_response(case_id=f"c{i}", model_asked=model, latency_s=s, concurrency=1, **fields)
        for i, s in enumerate(latencies)
    }  # fmt: skip


RNG = np.random.default_rng(3)
BASE = RNG.lognormal(0, 0.5, 120)


def compared(responses: Any, **run: Any) -> Comparisons:
    """Two models of which the run itself says 9 s everywhere."""
    slow = [make_record(f"c{i}", passed=1, response=make_response(latency_s=9.0, concurrency=16)) for i in range(120)]  # fmt: skip
    made = LatencyRun(
        began_at="2026-11-21T04:00:00+00:00", concurrency=1, roles=list(responses), n_cases={"quiz": 120}, **run
    )  # fmt: skip
    models = as_scores(make_models(candidate=slow, production=slow))
    turns = Interleaved(made, responses)
    return compare_models(models, [], "r", Path("runs"), Settings(resamples=1000), turns)


def test_interleaved_latencies_stand_for_the_runs_own() -> None:
    """Paired, request by request; costs and failures stay those of the run."""
    mine, theirs = 0.8 * BASE * RNG.lognormal(0, 0.05, 120), BASE
    made = compared({"candidate": timed("new", mine), "production": timed("old", theirs)})

    whole = next(o for o in made.operations if (o.role, o.task) == ("candidate", "*"))
    assert whole.latency_p50_s == pytest.approx(np.median(mine))
    assert (whole.latency_from, whole.n_latency, whole.concurrency) == ("interleaved", 120, 1)
    assert whole.n_requests == 120
    found = next(r for r in made.ratios if r.quantity == "latency_p50_s")
    expected = quantile_ratio(mine, theirs, 0.5, 1234, 1000, paired=True)
    assert found.latency_from == "interleaved"
    assert found.ratio is not None
    assert found.ratio.estimate.lower == expected.limits.lower  # type: ignore[union-attr]
    assert "paired" in found.ratio.estimate.method
    alone = quantile_ratio(mine, theirs, 0.5, 1234, 1000)
    assert found.ratio.estimate.upper < alone.limits.upper  # type: ignore[union-attr,operator]


def test_a_model_that_took_no_turns_is_compared_by_the_run() -> None:
    """Seconds of different hours are not mixed in one ratio."""
    made = compared({"candidate": timed("new", BASE)}, absent={"production": "backend hf"})

    found = next(r for r in made.ratios if r.quantity == "latency_p50_s")
    assert found.latency_from == "run"
    assert found.ratio is not None
    assert found.ratio.estimate.value == pytest.approx(1)


def test_failed_turns_are_counted_and_stay_out() -> None:
    """No latency is made of them; a pair needs both."""
    theirs = timed("old", BASE)
    theirs["quiz", "c5"] = make_response("failed", case_id="c5")
    made = compared({"candidate": timed("new", BASE), "production": theirs})

    whole = next(o for o in made.operations if (o.role, o.task) == ("production", "*"))
    assert (whole.n_latency, whole.n_latency_failed) == (119, 1)
    found = next(r for r in made.ratios if r.quantity == "latency_p50_s")
    assert found.ratio is not None
    assert found.ratio.estimate.n == 119


@pytest.mark.parametrize(("failed", "outcome"), [(2, "PASS"), (3, "INCONCLUSIVE")])
def test_too_many_failed_turns_leave_latency_rules_open(failed: int, outcome: str) -> None:
    """Two of 102 are within the error budget of 2 %, three of 103 are not; cost rules do not mind."""
    fields: dict[str, Any] = {
        "n_latency": 100, "n_latency_failed": failed, "latency_from": "interleaved",
        "latency_p50_s": 0.5, "cost_usd_per_request": 0.001,
    }  # fmt: skip
    made = make_comparisons(make_operations(**fields))
    rules = [
        {"kind": "budget", "name": "fast", "quantity": "latency_p50_s", "maximum": 1, "evidence": "point"},
        {"kind": "budget", "name": "cheap", "quantity": "cost_usd_per_request", "maximum": 1, "evidence": "point"},
    ]  # fmt: skip
    fast, cheap = decide(make_policy(*rules), made, None, date(2026, 1, 1)).rules

    assert (fast.outcome, cheap.outcome) == (outcome, "PASS")
    if outcome != "PASS":
        assert "3 of 103 interleaved requests to candidate (2.9%) have no answer" in fast.sentence


def test_a_guessed_cost_decides_no_rule() -> None:
    """However far it is below the budget."""
    made = make_comparisons(make_operations(cost_usd_estimated=0.001, n_tokens_estimated=7))
    rule = {"kind": "budget", "quantity": "cost_usd_per_request", "maximum": 1, "evidence": "point"}
    (found,) = decide(make_policy(rule), made, None, date(2026, 1, 1)).rules

    assert found.outcome == "INCONCLUSIVE"
    assert "did not count the tokens of 7 requests" in found.sentence


@QUICK
@given(st.lists(st.floats(0.01, 50), min_size=1, max_size=30))
def test_speed_and_first_token_come_from_the_same_requests(latencies: list[float]) -> None:
    """Ten tokens each: the median speed is ten over the median latency, up to rounding of medians."""
    fields = {"first_token_s": 0.005}
    made = compared({"candidate": timed("new", latencies, **fields)})
    whole = next(o for o in made.operations if (o.role, o.task) == ("candidate", "*"))

    assert whole.first_token_p50_s == pytest.approx(0.005)
    assert whole.output_tokens_per_s == pytest.approx(np.median(10 / np.array(latencies)))


@pytest.mark.slow
def test_the_whole_command(tmp_path: Path) -> None:
    """`ftgate run --latency`, then compare: lm-eval's own samples give the very same requests."""
    with FakeServer(Reply(delay_s=0.02), models=["new", "old"]) as server:
        text = f"""\
version: 1
name: timed
models:
  candidate: {{endpoint: {server.base_url}, model: new, price: {{usd_per_hour: 2}}}}
  production: {{endpoint: {server.base_url}, model: old, price: {{listed: gpt-4.1}}}}
eval_sets:
  - {{task: codereview_golden, kind: golden, limit: 6, repeats: 2}}
  - {{task: codereview_format, kind: format, limit: 6}}
run: {{latency_cases: 3}}
rules: [{{name: fast, kind: ratio, quantity: latency_p50_s, maximum: 9, against: production, evidence: point}}]
"""
        (tmp_path / "gate.yaml").write_text(text, encoding="utf-8")
        done = ftgate("run", "--latency", "--run-dir", "R", "-q", cwd=tmp_path)
        asked = [(c.body["model"], c.prompt) for c in server.chats]
        assert done.returncode == 0, done.stderr
        assert ftgate("compare", "R", cwd=tmp_path).returncode == 0
        assert ftgate("decide", "R", cwd=tmp_path).returncode == 0

    assert len(asked) == 2 * 18 + 2 * 6
    report = ftgate("report", "R", cwd=tmp_path)
    assert report.returncode == 0, report.stderr
    said = (tmp_path / "R" / "report.md").read_text(encoding="utf-8")
    assert "measured interleaved at concurrency 1" in said
    assert "gpt-4.1" in (tmp_path / "R" / "prices.yaml").read_text(encoding="utf-8")
    comparisons = json.loads((tmp_path / "R" / "comparisons.json").read_text(encoding="utf-8"))
    assert comparisons["break_even"][0]["api"] == "production"
