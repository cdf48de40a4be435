"""Tests of the stage `judge`: examined first, asked no more than rules need, priced as a whole."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from answered_run import write_answered_run
from command import ftgate
from fake_server import FakeServer, Reply
from judges import SCORES, always, expert, prompt_of, read_prompt, verdict_text
from records import METRIC, TASK, make_comparisons, make_policy

from ftgate_ext.decision import decide
from ftgate_ext.gate import judge_policy
from ftgate_ext.judge.opponents import needed_opponents
from ftgate_ext.judge.stage import JUDGMENTS, QUALIFICATION, judge_run
from ftgate_ext.policy import load_policy
from ftgate_ext.report.judge import qualification_text, view_judge
from ftgate_ext.runs import load_row, load_rows
from ftgate_ext.schema import Judgment, Qualification
from ftgate_ext.stages import compare_run

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from ftgate_ext.schema import Role

ROLES: tuple[Role, ...] = ("candidate", "production", "frontier")
PRICE = {"input_usd_per_mtok": 10, "output_usd_per_mtok": 0}  # a call costs 0.001


def write_run(folder: Path, server: FakeServer, rules: list[dict[str, Any]], **judge: Any) -> Path:
    """Three models' answers to ten questions, one of them the same for all; judged by a server."""
    endpoint = {"endpoint": server.base_url, "price": PRICE, "qualification_limit": 20} | judge
    policy = make_policy(*rules, judge=endpoint)
    return write_answered_run(
        folder, policy, ROLES, [{"id": f"c{i}"} for i in range(10)],
        lambda role, i: "same" if i == 0 else f"{role} {i}",
    )  # fmt: skip


def prefer_candidate(_n: int, body: dict[str, Any]) -> Reply:
    """What a judge says about the run's own answers, in pairs or one by one."""
    prompt = prompt_of(body)
    if "answer A" not in prompt:
        mark = 5 if re.search(r"^\| candidate", prompt, re.MULTILINE) else 2
        return Reply(json.dumps({"reasoning": "r", "scores": dict.fromkeys(SCORES, mark)}))
    first = read_prompt(prompt).answer_a.startswith("candidate")
    return Reply(verdict_text("A_better" if first else "B_better", 5, 5))


def knowing(n: int, body: dict[str, Any]) -> Any:
    """Fit, and prefers the candidate."""
    return (expert(prefer_candidate) if "answer A" in prompt_of(body) else prefer_candidate)(n, body)  # fmt: skip


WIN_RATE = {"kind": "win_rate"}


def test_a_fit_judge_judges_and_everything_is_priced(tmp_path: Path) -> None:
    """Known pairs, traps, anchors, pairs and single answers: all calls, at the judge's price."""
    rubric = {"task": TASK, "repeats": 2, "noise_share": 0.5}
    with FakeServer(knowing) as server:
        run = write_run(tmp_path / "run", server, [WIN_RATE], anchors=3, rubric=rubric)
        assert judge_policy(run, quiet=True) == "Judge toy: fit to vote on 10 pairs."
        first = len(server.chats)
        judge_policy(run, quiet=True)
        assert len(server.chats) == first

    found = load_row(run / QUALIFICATION, Qualification, "judge")
    # 20 pairs and 11 traps in two orders, 3 anchors in two orders three times, 9 pairs, 50 scores
    expected = 2 * (20 + 11 + 3) + 2 * 3 + 2 * 9 + 2 * (10 * 2 + 5)
    assert (first, found.n_calls) == (expected, expected)
    assert found.cost_usd == pytest.approx(expected * 0.001)
    assert (found.n_pairs, found.n_identical, found.fit) == (10, 1, True)
    assert found.rubric_noise is not None
    assert found.rubric_noise.noise_sd == 0
    metrics = {c.metric: c for c in compare_run(run).comparisons if c.baseline == "production"}
    assert metrics["win_rate"].counts["wins"] == 9
    single = metrics["rubric_single"]
    assert single.difference is not None
    assert single.difference.value == pytest.approx(0.9 * 0.75)


def test_an_unfit_judge_is_not_asked_about_the_run(tmp_path: Path) -> None:
    """Its verdicts would only cost; the reason is the examination's, and no pair is judged."""
    with FakeServer(always("A_better")) as server:
        run = write_run(tmp_path / "run", server, [WIN_RATE])
        told = judge_policy(run, quiet=True)
        assert len(server.chats) == 2 * (20 + 11)

    assert told.startswith("Judge toy: NOT fit to vote. Traps: it preferred")
    assert load_rows(run / JUDGMENTS, Judgment) == []
    found = load_row(run / QUALIFICATION, Qualification, "judge")
    assert (found.fit, found.n_pairs) == (False, 0)
    assert any("not judged" in note for note in found.notes)


def test_the_rule_of_an_unfit_judge_says_why(today: date) -> None:
    """The decision's sentence holds the first reason: it stands on the first page."""
    unfit = Qualification(
        judge_model="toy", fingerprint="f", fit=False, reasons=["Traps: it preferred 3 of 22."],
        n_pairs=0, n_identical=0, n_unparsed=0,
    )  # fmt: skip
    (rule,) = decide(make_policy(WIN_RATE | {"against": "production"}), make_comparisons(), unfit, today).rules  # fmt: skip

    assert rule.outcome == "INCONCLUSIVE"
    assert "Traps: it preferred 3 of 22" in rule.sentence


def test_pairs_that_no_rule_needs_are_not_judged(tmp_path: Path) -> None:
    """The policy compares with production and frontier, the rules with production alone."""
    with FakeServer(knowing) as server:
        run = write_run(tmp_path / "run", server, [WIN_RATE])
        judge_policy(run, quiet=True)
        other = write_run(tmp_path / "other", server, [WIN_RATE | {"against": "frontier"}])
        judge_policy(other, quiet=True)

    judged = [{j.baseline for j in load_rows(f / JUDGMENTS, Judgment)} for f in (run, other)]
    assert judged == [{"production"}, {"production", "frontier"}]
    found = load_row(run / QUALIFICATION, Qualification, "judge")
    assert "Not judged against frontier: no rule needs it." in found.notes


@pytest.mark.parametrize(
    ("rules", "needed"),
    [
        ([{"kind": "superiority", "against": "production"}], ["production"]),
        ([{"kind": "win_rate", "against": "frontier"}], ["production", "frontier"]),
        ([{"kind": "superiority", "metric": "rubric_clarity", "against": "frontier"}], ["production", "frontier"]),
        ([{"kind": "superiority", "metric": METRIC, "against": "frontier"}], ["production"]),
    ],
)  # fmt: skip
def test_a_rule_needs_the_judge_for_its_own_opponent(
    rules: list[dict[str, Any]], needed: list[str]
) -> None:
    """Win rates and rubric metrics are the judge's; other metrics are not."""
    assert needed_opponents(make_policy(*rules)) == needed


def test_a_run_can_be_judged_from_recorded_verdicts(tmp_path: Path) -> None:
    """Judged once, the judgments of the run are a replay judge for another look at it: no server."""
    with FakeServer(knowing) as server:
        run = write_run(tmp_path / "run", server, [WIN_RATE])
        judge_policy(run, quiet=True)
        examination = (run / "judge_examination.jsonl").read_text(encoding="utf-8")
    recorded = tmp_path / "recorded.jsonl"
    recorded.write_text(examination + (run / JUDGMENTS).read_text("utf-8"), encoding="utf-8")
    before = load_rows(run / JUDGMENTS, Judgment)
    policy = load_policy(run / "gate.yaml")
    assert policy.judge is not None
    policy.judge.replay = "recorded.jsonl"

    found = judge_run(run, policy, None, policy_dir=tmp_path)

    assert found.fit, found.reasons
    assert found.n_calls == 0
    after = load_rows(run / JUDGMENTS, Judgment)
    assert [j.verdict for j in after] == [j.verdict for j in before]


def test_the_commands_judge_and_qualify_are_two(tmp_path: Path) -> None:
    """`ftgate judge RUN` as ever, with options before or behind; `ftgate judge qualify` beside it."""
    with FakeServer(knowing) as server:
        run = write_run(tmp_path / "run", server, [WIN_RATE])
        for args in (("judge", "run"), ("judge", "--quiet", "run"), ("judge", "run", "-q")):
            done = ftgate(*args, cwd=tmp_path)
            assert (done.returncode, done.stdout) == (0, "Judge toy: fit to vote on 10 pairs.\n"), done.stderr  # fmt: skip
        told = ftgate("judge", "qualify", run / "gate.yaml", "-q", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "toy may vote: it passed its examination." in told.stdout
    assert "Traps: each stood beside a real good answer" in told.stdout


def test_an_endpoint_without_schemas_is_asked_without_one(tmp_path: Path) -> None:
    """`response_format: text` sends none and reads as strictly; a fence is repaired and counted."""

    def fenced(n: int, body: dict[str, Any]) -> Any:
        assert "response_format" not in body
        reply = knowing(n, body)
        return Reply(f"```json\n{reply.text}\n```")

    with FakeServer(fenced) as server:
        run = write_run(tmp_path / "run", server, [WIN_RATE], response_format="text")
        judge_policy(run, quiet=True)
    found = load_row(run / QUALIFICATION, Qualification, "judge")
    assert found.fit
    assert found.n_repaired == found.n_calls


def test_the_page_says_it_in_plain_words(tmp_path: Path) -> None:
    """Whether it may vote, what it was asked, what it preferred, and what every figure is."""
    with FakeServer(always("A_better")) as server:
        run = write_run(tmp_path / "run", server, [WIN_RATE])
        judge_policy(run, quiet=True)
    found = load_row(run / QUALIFICATION, Qualification, "judge")

    view, text = view_judge(found), qualification_text(found)

    assert view.summary[0].startswith("toy may not vote.")
    traps = next(t for t in view.tables if t.caption.startswith("Traps"))
    assert traps.rows[0] == ["empty answer", "the trap", "the good answer", "FAIL"]
    for words in ("20 pairs of answers whose better one is known", "Does it prefer what it reads first?", "100.0%", "Traps: it preferred", "Cost: $0.062"):  # fmt: skip
        assert words in " ".join(text.split())
    assert max(len(line) for line in text.splitlines()) <= 110


@pytest.fixture
def today() -> date:
    """A day."""
    from datetime import date

    return date(2026, 1, 1)
