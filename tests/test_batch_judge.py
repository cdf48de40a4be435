"""`ftgate judge RUN --batch`: the verdicts of the direct way, whatever happens in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from command import ftgate_here
from fake_batch_server import FakeBatchServer
from fake_server import FAULTS, Answer, FakeServer
from judges import prompt_of
from records import TASK
from test_judge_stage import PRICE, WIN_RATE, knowing, write_run

from ftgate_ext.inference.journal import read_responses
from ftgate_ext.judge.stage import JUDGMENTS, QUALIFICATION
from ftgate_ext.runs import load_row, load_rows
from ftgate_ext.schema import Judgment, Qualification

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("openai", reason="the extra `batch` is not installed")

RUBRIC = {"task": TASK, "repeats": 2, "noise_share": 0.5}
BATCH = ("--batch", "--batch-poll", "0.02")
OF_THE_MOMENT = {"response"}


def judge(run: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return ftgate_here("judge", str(run), *options, cwd=run.parent)


def verdicts(run: Path) -> list[dict[str, Any]]:
    return [j.model_dump(exclude=OF_THE_MOMENT) for j in load_rows(run / JUDGMENTS, Judgment)]


def qualification(run: Path) -> Qualification:
    return load_row(run / QUALIFICATION, Qualification, "judge")


def directly(folder: Path, **more: Any) -> Path:
    """The same run, judged request by request."""
    with FakeServer(knowing) as server:
        run = write_run(folder, server, [WIN_RATE], **more)
        assert judge(run, "--quiet").returncode == 0
    return run


def test_batches_give_the_same_verdicts_at_half_the_price(tmp_path: Path) -> None:
    """Examination, pairs and rubric: three batches, no chat, one line each time something changed."""
    direct = directly(tmp_path / "direct", rubric=RUBRIC)
    with FakeBatchServer(knowing) as server:
        run = write_run(tmp_path / "batch", server, [WIN_RATE], rubric=RUBRIC)
        done = judge(run, *BATCH)
        assert (len(server.batches), server.chats) == (3, [])
        assert set(server.executed.values()) == {1}
        again = judge(run, *BATCH)
        assert len(server.batches) == 3

    assert done.stdout == again.stdout == "Judge toy: fit to vote on 10 pairs.\n"
    assert "batch batch_1: in progress, 0 of 18 requests answered" in done.stderr
    assert "batch batch_1: completed, 18 of 18 requests answered" in done.stderr
    assert verdicts(run) == verdicts(direct)
    assert qualification(run).cost_usd == pytest.approx((qualification(direct).cost_usd or 0) / 2)
    before, after = qualification(direct).model_dump(), qualification(run).model_dump()
    assert before | {"cost_usd": 0} == after | {"cost_usd": 0}


@pytest.mark.parametrize("retry", ["batch", "direct"])
def test_a_batch_in_which_lines_fail_is_completed(tmp_path: Path, retry: str) -> None:
    """5 % of the lines fail once; they are asked again, and the verdicts are those of the direct way."""
    seen: set[str] = set()

    def failing(n: int, body: dict[str, Any]) -> Answer:
        prompt = prompt_of(body)
        if n % 20 == 7 and prompt not in seen:
            seen.add(prompt)
            return FAULTS["500"]
        return knowing(n, body)

    direct = directly(tmp_path / "direct")
    with FakeBatchServer(failing) as server:
        run = write_run(tmp_path / "batch", server, [WIN_RATE])
        assert judge(run, *BATCH, "--batch-retry", retry, "--quiet").returncode == 0
        n_direct = len(server.chats)

    assert len(seen) == 4
    assert n_direct == (4 if retry == "direct" else 0)
    assert verdicts(run) == verdicts(direct)
    assert max(server.executed.values()) == 1


def test_looks_are_batches_where_judging_may_stop_early(tmp_path: Path) -> None:
    """Every look is one batch of its pairs, and the last ones are never sent."""
    with FakeBatchServer(knowing) as server:
        stopping = {"stopping": "obrien_fleming", "looks": 2}
        run = write_run(tmp_path / "batch", server, [WIN_RATE], **stopping)
        assert judge(run, *BATCH, "--quiet").returncode == 0
        n_lines = sum(len(batch.lines) for batch in server.batches.values())

    judged = len(load_rows(run / JUDGMENTS, Judgment))
    identical = sum(j.identical for j in load_rows(run / JUDGMENTS, Judgment))
    assert n_lines == 2 * (20 + 11) + judged - identical


@pytest.mark.parametrize(
    "moment",
    [
        "created",
        pytest.param("uploaded", marks=pytest.mark.slow),
        pytest.param("looked", marks=pytest.mark.slow),
        pytest.param("looked four times", marks=pytest.mark.slow),
        pytest.param("created twice", marks=pytest.mark.slow),
    ],
)
def test_a_kill_at_any_moment_costs_nothing(tmp_path: Path, moment: str) -> None:
    """SIGKILL while the server is asked, then the same command: every line is paid exactly once."""
    word, *times = moment.split(" ", 1)
    left = {"": 1, "twice": 2, "four times": 4}["".join(times)]
    with FakeBatchServer(knowing) as server:
        run = write_run(tmp_path / "batch", server, [WIN_RATE])
        command = [sys.executable, "-m", "ftgate_ext", "judge", str(run), *BATCH, "--quiet"]
        process = subprocess.Popen(command, cwd=tmp_path)

        def kill(step: str) -> None:
            nonlocal left
            left -= step == word
            if left == 0:
                os.kill(process.pid, signal.SIGKILL)

        server.on_step = kill
        assert process.wait(60) == -signal.SIGKILL
        server.on_step = lambda _step: None
        done = judge(run, *BATCH)
        assert len(server.batches) == 2

    assert done.stdout == "Judge toy: fit to vote on 10 pairs.\n"
    assert set(server.executed.values()) == {1}
    kept = [r for path in run.glob("judge_*responses.jsonl") for r in read_responses(path)]
    assert len(kept) == server.executed.total() == 2 * (20 + 11) + 18
    assert verdicts(run) == verdicts(directly(tmp_path / "direct"))


def test_what_has_no_batches_is_told_in_one_line(tmp_path: Path) -> None:
    """An endpoint that only chats, the embedded engine, and a way of retrying that does not exist."""
    with FakeServer(knowing) as server:
        run = write_run(tmp_path / "run", server, [WIN_RATE])
        plain = judge(run, *BATCH)
    engine = {"endpoint": "embedded", "model": "smollm2-135m"}
    embedded = judge(write_run(tmp_path / "embedded", server, [WIN_RATE], **engine), *BATCH)
    wrong = judge(run, *BATCH, "--batch-retry", "never")

    assert [p.returncode for p in (plain, embedded, wrong)] == [2, 2, 2]
    assert "no Batch API" in plain.stderr
    assert plain.stderr.count("\n") == 1
    assert wrong.stderr == "ftgate: --batch-retry 'never': expected batch or direct.\n"
    assert (
        embedded.stderr
        == "ftgate: --batch: the embedded engine has no Batch API; judge without --batch.\n"
    )


def test_the_price_of_a_batch_is_the_policy_s(tmp_path: Path) -> None:
    """Another discount than the usual half."""
    with FakeBatchServer(knowing) as server:
        run = write_run(
            tmp_path / "run", server, [WIN_RATE], price=PRICE | {"batch_discount": 0.25}
        )
        judge(run, *BATCH, "--quiet")
    found = qualification(run)
    assert found.cost_usd == pytest.approx(found.n_calls * 0.001 * 0.75)
