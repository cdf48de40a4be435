"""Alerts: what is worth one, told once, to a webhook that may be down and may not leak."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from command import ftgate_here
from hypothesis import given
from hypothesis import strategies as st
from receivers import Answered, Receiver
from records import QUICK
from run_folders import write_run
from traced_runs import POLICY

from ftgate_ext.alerts import webhook
from ftgate_ext.alerts.find import Alert
from ftgate_ext.alerts.stage import alert_run
from ftgate_ext.alerts.wording import alerts_markdown, alerts_text, slack_payload
from ftgate_ext.policy import parse_policy
from ftgate_ext.schema import (
    AnchorCheck,
    PolicyError,
    Qualification,
    RunError,
)
from ftgate_ext.signals import tell_others

if TYPE_CHECKING:
    from pathlib import Path

    from ftgate_ext.schema import Row

HOOK = "FTGATE_TEST_WEBHOOK"
ALERTS = f"alerts: {{webhook_env: {HOOK}}}"
HOSTILE = "x` <!channel> *b* @all \x1b[31m\u202e[a](http://evil.example)<script>"


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait between attempts, no collector and no CI of the machine that tests run on."""
    monkeypatch.setattr(webhook, "BACKOFF_S", 0.01)
    for name in ("GITHUB_STEP_SUMMARY", "OTEL_EXPORTER_OTLP_ENDPOINT", HOOK):
        monkeypatch.delenv(name, raising=False)


def write(runs: Path, number: int, more: str = "", **made: Any) -> Path:
    """A decided run with its policy, in a folder of runs."""
    run = write_run(runs / f"run-{number}", number=number, **made)
    (run / "gate.yaml").write_text(POLICY.format(more=more), encoding="utf-8")
    return run


def change(path: Path, kind: type[Row], **changes: Any) -> None:
    """Change fields of a file of a run."""
    row = kind.model_validate_json(path.read_text(encoding="utf-8"))
    path.write_text(row.model_copy(update=changes).model_dump_json(), encoding="utf-8")


def kinds(run: Path, **more: Any) -> list[str]:
    return [alert.kind for alert in alert_run(run, **more).new]


def test_a_run_like_the_green_one_before_is_silent(tmp_path: Path) -> None:
    """The same cases regressed at the last GO: nothing is new, and nobody is told."""
    write(tmp_path, 0, regressed=["a"])
    run = write(tmp_path, 1, regressed=["a"])
    assert alert_run(run).new == []
    assert ftgate_here("alerts", str(run), cwd=tmp_path).returncode == 0


def test_new_regressions_since_the_last_green_build(tmp_path: Path) -> None:
    """Only what was whole at the last GO counts, and the verdict that changed is told as well."""
    write(tmp_path, 0, regressed=["a"])
    run = write(tmp_path, 1, regressed=["a", "b"], verdict="NO-GO")
    verdict, regression = alert_run(run).new
    assert verdict.kind == "verdict"
    assert verdict.title == "code review gate: NO-GO, after GO in run run-0"
    assert verdict.items == ["INCONCLUSIVE better at the task", "FAIL no regressions"]
    assert regression.title == "code review gate: 1 regressed case since the last green build run-0"
    assert regression.items == ["codereview_regression: b"]


def test_told_once_a_regression_is_not_told_again(tmp_path: Path) -> None:
    """Neither the same run nor the next one with the same case: a new case is told alone."""
    write(tmp_path, 0)
    first = write(tmp_path, 1, regressed=["b"], verdict="NO-GO")
    assert kinds(first) == ["verdict", "regression"]
    assert kinds(first) == []
    assert kinds(first, again=True) == ["verdict", "regression"]
    second = write(tmp_path, 2, regressed=["b", "c"], verdict="NO-GO")
    (alert,) = alert_run(second).new
    assert alert.items == ["codereview_regression: c"], "no change of the verdict, and b is known"
    write(tmp_path, 3)
    assert alert_run(write(tmp_path, 4, regressed=["b"])).new[0].items == ["codereview_regression: b"]  # fmt: skip


def test_a_judge_that_drifted_and_budgets_that_are_used_up(tmp_path: Path) -> None:
    """The anchors of the judge, and shares of requests and pairs without an answer."""
    run = write(tmp_path, 0)
    anchors = AnchorCheck(n_looks=40, n_changed=9, n_changed_before=1, p=0.004, drifted=True)
    change(run / "judge.json", Qualification, anchors=anchors, n_failed=30)
    content = json.loads((run / "comparisons.json").read_text())
    content["operations"][0]["statuses"] = {"ok": 760, "failed": 30, "malformed": 10}
    (run / "comparisons.json").write_text(json.dumps(content))
    assert [alert.title for alert in alert_run(run).new] == [
        "The judge judge-1 drifted: 9 of 40 verdicts on its anchors changed (p = 0.004)",
        "Error budget used up: 40 of 800 requests have no answer (candidate, 5.0%); 2 % allowed",
        "Error budget used up: 30 of 120 pairs have no verdict (judge, 25.0%); 5 % allowed",
    ]


def test_the_policy_says_what_is_worth_an_alert(tmp_path: Path) -> None:
    """`about` names the kinds; a URL where a name belongs is refused and not repeated."""
    write(tmp_path, 0)
    run = write(tmp_path, 1, "alerts: {about: [verdict]}", regressed=["b"], verdict="NO-GO")
    assert kinds(run) == ["verdict"]
    bad = POLICY.format(more="alerts: {webhook_env: 'https://hooks.example/T0/s3cret'}")
    with pytest.raises(PolicyError, match="expected the name of an environment variable") as found:
        parse_policy(bad, "gate.yaml")
    assert "s3cret" not in str(found.value)


def test_an_undecided_run_names_the_stage(tmp_path: Path) -> None:
    """Nothing can be said of half a run."""
    run = write(tmp_path, 0, until="compared")
    with pytest.raises(RunError, match=r"decision\.json: not there; run `ftgate decide` first"):
        alert_run(run)


def test_a_webhook_gets_slacks_blocks_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One POST with text and blocks; the second command sends nothing and exits with 0."""
    write(tmp_path, 0)
    run = write(tmp_path, 1, ALERTS, regressed=["b"], verdict="NO-GO")
    with Receiver() as receiver:
        monkeypatch.setenv(HOOK, f"{receiver.url}/services/T0/s3cret")
        shown = ftgate_here("alerts", str(run), "--json", cwd=tmp_path)
        again = ftgate_here("alerts", str(run), cwd=tmp_path)
    assert (shown.returncode, again.returncode, len(receiver.posted)) == (1, 0, 1)
    assert json.loads(shown.stdout)["delivered"] is True
    payload = receiver.posted[0].json
    assert payload["text"].startswith("ftgate: 2 alerts in run run-1\n")
    assert [block["type"] for block in payload["blocks"]] == ["header", "section", "section"]
    assert "• `codereview_regression: b`" in payload["blocks"][2]["text"]["text"]
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"s3cret" not in path.read_bytes(), path
    assert "s3cret" not in shown.stdout + shown.stderr


def test_what_only_the_terminal_saw_a_webhook_still_gets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Whoever adds a webhook later misses nothing."""
    write(tmp_path, 0)
    run = write(tmp_path, 1, regressed=["b"], verdict="NO-GO")
    assert kinds(run) == ["verdict", "regression"]
    with Receiver() as receiver:
        monkeypatch.setenv(HOOK, receiver.url)
        assert kinds(run, webhook_env=HOOK) == ["verdict", "regression"]
        assert kinds(run) == []
    assert len(receiver.posted) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_webhook_is_asked_again(status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """After 429 and 5xx, with the patience that it asks for."""
    write(tmp_path, 0)
    run = write(tmp_path, 1, ALERTS, regressed=["b"], verdict="NO-GO")
    monkeypatch.setattr(webhook, "MAX_WAIT_S", 0.2)
    busy = Answered(status, {"Retry-After": "3600"})
    with Receiver(busy) as receiver:
        monkeypatch.setenv(HOOK, receiver.url)
        began = time.monotonic()
        done = alert_run(run)
        assert 0.2 <= time.monotonic() - began < 2
    assert (done.delivered, len(receiver.posted)) == (True, 2)


@pytest.mark.parametrize(("answer", "n"), [(Answered(404), 1), (Answered(302, {"Location": "/else"}), 1), (Answered(500), 4)])  # fmt: skip
def test_a_refused_alert_is_new_the_next_time(
    answer: Answered, n: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody took is not forgotten; no redirect is followed, and nothing is asked forever."""
    write(tmp_path, 0)
    run = write(tmp_path, 1, ALERTS, regressed=["b"], verdict="NO-GO")
    with Receiver(always=answer) as receiver:
        monkeypatch.setenv(HOOK, f"{receiver.url}/s3cret")
        shown = ftgate_here("alerts", str(run), cwd=tmp_path)
    assert (shown.returncode, len(receiver.posted)) == (2, n)
    assert "ALERT regression" in shown.stdout, "the terminal shows them all the same"
    assert f"answered HTTP {answer.status}" in shown.stderr
    assert "s3cret" not in shown.stderr
    with Receiver() as receiver:
        monkeypatch.setenv(HOOK, receiver.url)
        assert kinds(run) == ["verdict", "regression"]


def test_a_webhook_that_is_down_does_not_break_a_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """The end of `gate` shows the alerts and one line, and no exception."""
    write(tmp_path, 0)
    run = write(tmp_path, 1, ALERTS, regressed=["b"], verdict="NO-GO")
    monkeypatch.setenv(HOOK, "http://127.0.0.1:9/s3cret")
    said: list[str] = []
    tell_others(run, run / "gate.yaml", said.append)
    assert said[0].startswith("ALERT verdict: code review gate: NO-GO")
    assert said[1] == f"Alerts: the webhook of {HOOK} does not answer (4 attempts); it will be tried again next time."  # fmt: skip


def test_a_dry_run_tells_nobody(tmp_path: Path) -> None:
    """It prints the payload, needs no URL, and the alerts are as new as before."""
    write(tmp_path, 0)
    run = write(tmp_path, 1, ALERTS, regressed=["b"], verdict="NO-GO")
    shown = ftgate_here("alerts", str(run), "--dry-run", cwd=tmp_path)
    assert shown.returncode == 1
    assert set(json.loads(shown.stdout)) == {"text", "blocks"}
    assert not (tmp_path / "alerts.jsonl").exists()


def test_the_summary_of_a_ci_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GitHub's file gets a section of Markdown behind what is there, once."""
    write(tmp_path, 0)
    run = write(tmp_path, 1, regressed=["b|<b>"], verdict="NO-GO")
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    alert_run(run)
    alert_run(run)
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("before\n### ftgate alerts\n")
    assert text.count("codereview_regression: b\\|&lt;b>") == 1


def test_torn_lines_of_the_state_are_told_again(tmp_path: Path) -> None:
    """A crash in the middle of a line costs a repeated alert, never a lost one."""
    write(tmp_path, 0)
    run = write(tmp_path, 1, regressed=["b"], verdict="NO-GO")
    alert_run(run)
    state = tmp_path / "alerts.jsonl"
    state.write_bytes(state.read_bytes()[:-20])
    assert kinds(run) == ["regression"]
    assert kinds(run) == []


def alert(*items: str, title: str = "title") -> Alert:
    return Alert(kind="regression", run_id="run", title=title, items=list(items), keys=["k"])


def test_a_hostile_name_mentions_and_links_nobody() -> None:
    """No mention, link, formatting, control character or HTML of a case id comes through."""
    payload = json.dumps(slack_payload([alert(HOSTILE, title=HOSTILE)]), ensure_ascii=False)
    for bad in ("<!channel>", "<script>", "\x1b", "\u202e", "\\u001b"):
        assert bad not in payload
    (section,) = [b["text"]["text"] for b in slack_payload([alert(HOSTILE)])["blocks"][1:]]
    _, item = section.split("\n")
    assert item.startswith("• `")
    assert item.count("`") == 2, "what is within code is neither a mention nor a link"
    assert "@all" not in slack_payload([alert(title=HOSTILE)])["text"]
    assert "<script" not in alerts_markdown([alert(HOSTILE)])
    assert "\x1b" not in alerts_text([alert(HOSTILE)])


@QUICK
@given(st.lists(st.lists(st.text(max_size=300), max_size=40), min_size=1, max_size=60), st.text(max_size=500))  # fmt: skip
def test_a_payload_keeps_within_slacks_limits(items: list[list[str]], title: str) -> None:
    """50 blocks, 150 characters of a header, 3,000 of a section, whatever the names are."""
    payload = slack_payload([alert(*names, title=title) for names in items])
    assert len(payload["blocks"]) <= 50
    assert len(payload["blocks"][0]["text"]["text"]) <= 150
    for block in payload["blocks"][1:]:
        assert 0 < len(block["text"]["text"]) <= 3000
        assert "<" not in block["text"]["text"]


def test_the_decision_does_not_depend_on_whom_it_is_told() -> None:
    """Adding alerts or traces to a policy leaves its hash as it is."""
    plain = parse_policy(POLICY.format(more=""), "gate.yaml")
    more = parse_policy(POLICY.format(more=f"{ALERTS}\ntraces: {{content: true}}"), "gate.yaml")
    assert plain.policy_hash == more.policy_hash


def test_the_command_exits_with_two_where_the_variable_is_not_set(tmp_path: Path) -> None:
    """Wrong use is one line, before anything is told."""
    run = write(tmp_path, 0)
    shown = ftgate_here(
        "alerts", str(run), "--webhook-env", "FTGATE_NO_SUCH_VARIABLE", cwd=tmp_path
    )
    assert shown.returncode == 2
    assert shown.stderr == "ftgate: FTGATE_NO_SUCH_VARIABLE: the environment variable with the webhook's URL is not set.\n"  # fmt: skip
