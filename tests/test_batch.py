"""Tests of asking through the Batch API: same answers as directly, nothing lost, nothing paid twice."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from fake_batch_server import FakeBatchServer, Fault
from fake_server import FAULTS, FakeServer, Reply

from ftgate_ext.inference import batch, batch_lines
from ftgate_ext.inference.batch import BatchOptions, ask_in_batches
from ftgate_ext.inference.batch_ledger import BatchLedger
from ftgate_ext.inference.batch_lines import custom_id, request_files
from ftgate_ext.inference.client import Endpoint, Request, ask_all
from ftgate_ext.inference.journal import Journal, read_responses
from ftgate_ext.schema import Price, Response, RunError

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("openai", reason="the extra `batch` is not installed")
pytestmark = pytest.mark.usefixtures("quick_retries")

PRICE = Price(input_usd_per_mtok=2, output_usd_per_mtok=8, batch_discount=0.5)
POLL_S = 0.01


def requests(n: int) -> list[Request]:
    return [
        Request(
            case_id=f"c{i}", task="t", prompt_hash=str(i),
            payload={"messages": [{"role": "user", "content": f"question {i}"}], "max_tokens": 50},
        )
        for i in range(n)
    ]  # fmt: skip


def echo(_n: int, body: dict[str, Any]) -> Reply:
    return Reply(f"to {body['messages'][-1]['content']}")


def endpoint(server: FakeServer, **more: Any) -> Endpoint:
    return Endpoint(server.base_url, "toy", price=PRICE, **more)


def ask(
    folder: Path, server: FakeServer, n: int = 20, retry: Any = "batch", **more: Any
) -> list[Response]:
    """Ask `n` questions in batches, with journal and ledger in the folder."""
    folder.mkdir(exist_ok=True)
    options = BatchOptions(folder / "batches.jsonl", retry, POLL_S)
    journal = Journal(folder / "responses.jsonl", reuse=True)
    try:
        return ask_in_batches(endpoint(server, **more), requests(n), journal, None, options)
    finally:
        journal.close()


def fails_at(*numbers: int, fault: str = "500", times: int = 1) -> Any:
    """A script in which some questions fail so many times before they are answered."""
    left = dict.fromkeys((f"question {i}" for i in numbers), times)

    def script(n: int, body: dict[str, Any]) -> Reply:
        question = body["messages"][-1]["content"]
        if left.get(question, 0):
            left[question] -= 1
            return FAULTS[fault]
        return echo(n, body)

    return script


def test_a_batch_gives_the_answers_of_direct_requests_at_half_the_price(tmp_path: Path) -> None:
    """Same responses in the same order but for latency, and for the price with its discount."""
    with FakeBatchServer(echo) as server:
        direct = ask_all(endpoint(server), requests(20))
        before = len(server.chats)
        batched = ask(tmp_path, server)
        assert len(server.chats) == before
        assert ask(tmp_path, server) == batched
        assert (len(server.batches), len(server.chats)) == (1, before)

    of_the_moment = {"latency_s", "finished_at", "concurrency", "cost_usd"}
    assert [r.model_dump(exclude=of_the_moment) for r in batched] == [
        r.model_dump(exclude=of_the_moment) for r in direct
    ]
    assert {r.latency_s for r in batched} == {None}
    # 100 tokens in, 10 out
    assert direct[0].cost_usd == pytest.approx((100 * 2 + 10 * 8) / 1e6)
    assert batched[0].cost_usd == pytest.approx((100 * 2 + 10 * 8) / 1e6 / 2)
    kept = read_responses(tmp_path / "responses.jsonl")
    assert sorted(kept, key=lambda r: int(r.case_id[1:])) == batched


def test_failed_lines_are_asked_again_in_a_further_batch(tmp_path: Path) -> None:
    """One line in twenty fails; only those are sent again, and say so in their attempts."""
    with FakeBatchServer(fails_at(3, 23)) as server:
        answers = ask(tmp_path, server, n=40)
        sizes = [len(b.lines) for b in server.batches.values()]

    assert sizes == [40, 2]
    assert {r.status for r in answers} == {"ok"}
    assert [r.case_id for r in answers if r.attempts == 2] == ["c3", "c23"]
    assert server.executed.total() == 40


def test_failed_lines_can_be_asked_directly(tmp_path: Path) -> None:
    """With `direct` they cost the full price and do not wait for another batch."""
    with FakeBatchServer(fails_at(3)) as server:
        answers = ask(tmp_path, server, retry="direct")
        assert (len(server.batches), len(server.chats)) == (1, 1)

    assert [r.status for r in answers] == ["ok"] * 20
    assert answers[3].cost_usd == pytest.approx(2 * (answers[4].cost_usd or 0))


@pytest.mark.parametrize(
    ("fault", "status", "batches"),
    [("500", "failed", 3), ("400", "failed", 1), ("no choices", "malformed", 3)],
)
def test_what_fails_for_good_is_a_failed_response(
    tmp_path: Path, fault: str, status: str, batches: int
) -> None:
    """Three batches for what may heal, one for what cannot; the others are not touched."""
    with FakeBatchServer(fails_at(5, fault=fault, times=99)) as server:
        answers = ask(tmp_path, server)
        assert len(server.batches) == batches

    assert [r.status for r in answers].count("ok") == 19
    assert answers[5].status == status
    assert answers[5].error
    assert answers[5].cost_usd is None


def test_an_expired_batch_keeps_what_was_finished(tmp_path: Path) -> None:
    """The finished lines are paid and kept, the others go into a new batch."""
    with FakeBatchServer(echo, expires_after=[12]) as server:
        answers = ask(tmp_path, server)
        assert [len(b.lines) for b in server.batches.values()] == [20, 8]

    assert {r.status for r in answers} == {"ok"}
    assert set(server.executed.values()) == {1}


def test_limits_split_the_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither too many requests nor too many bytes are in one file, and every answer finds its place."""
    (file,) = request_files("toy", {"0" * 32: requests(1)[0]}, 1)
    size = len(file["0" * 32])
    monkeypatch.setattr(batch_lines, "MOST_BYTES", 4 * size)
    with FakeBatchServer(echo) as server:
        answers = ask(tmp_path / "bytes", server, n=10)
        assert [len(b.lines) for b in server.batches.values()] == [4, 4, 2]
    assert [r.text for r in answers] == [f"to question {i}" for i in range(10)]

    monkeypatch.setattr(batch, "MOST_REQUESTS", 3)
    with FakeBatchServer(echo) as server:
        ask(tmp_path / "requests", server, n=10)
        assert [len(b.lines) for b in server.batches.values()] == [3, 3, 3, 1]


def test_a_full_queue_is_sent_less_at_a_time(tmp_path: Path) -> None:
    """A batch that the account's limit refuses is halved until it fits; nothing is asked twice."""
    with FakeBatchServer(echo, queue=6) as server:
        answers = ask(tmp_path, server)

    assert {r.status for r in answers} == {"ok"}
    assert set(server.executed.values()) == {1}
    refused = [len(b.lines) for b in server.batches.values() if b.status == "failed"]
    assert refused[0] == 20


@pytest.mark.parametrize("faults", [["lost"], ["500", "lost"]])
def test_a_lost_answer_creates_no_second_batch(tmp_path: Path, faults: list[Fault]) -> None:
    """The server created the batch and answered 500: it is found by its name among others' batches."""
    with FakeBatchServer(echo, create_faults=["", "", *faults]) as server:
        for other in ("one", "two"):
            ask(tmp_path / other, server, n=2)
        answers = ask(tmp_path / "mine", server)
        assert len(server.batches) == 3

    assert {r.status for r in answers} == {"ok"}


def test_a_crash_between_creating_and_noting_is_healed(tmp_path: Path) -> None:
    """A ledger that only says `planned` leads to the batch at the server, if there is one."""
    (tmp_path / "mine").mkdir()
    with FakeBatchServer(echo) as server:
        ledger = BatchLedger(tmp_path / "mine" / "batches.jsonl", server.base_url)
        ask(tmp_path / "first", server)
        made = json.loads((tmp_path / "first" / "batches.jsonl").read_text().splitlines()[0])
        server.batches["batch_0"].metadata["ftgate_key"] = "lost"
        ledger.plan("lost", made["requests"])
        ledger.plan("never created", made["requests"])
        ask(tmp_path / "mine", server)
        assert len(server.batches) == 1

    assert set(server.executed.values()) == {1}
    assert ledger.open_flights() == []


def test_a_wrong_key_is_one_line_without_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server repeats the key in its refusal; the message and the files do not."""
    monkeypatch.setenv("JUDGE_KEY", "sk-secret-secret")
    with (
        FakeBatchServer(echo, key="another") as server,
        pytest.raises(RunError, match=r"HTTP 401: Incorrect API key provided.*mend `api_key_env`") as told,
    ):  # fmt: skip
        ask(tmp_path, server, api_key_env="JUDGE_KEY")

    assert "sk-secret" not in str(told.value)
    assert all("sk-secret" not in f.read_text() for f in tmp_path.iterdir())


def test_an_endpoint_without_batches_is_one_line(tmp_path: Path) -> None:
    """A server that only chats: the way out is named, and nothing is asked."""
    with (
        FakeServer(echo) as server,
        pytest.raises(RunError, match=r"no Batch API.*without --batch"),
    ):
        ask(tmp_path, server)
    assert server.chats == []


def test_without_the_package_it_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library is an extra; what is in the journal needs none."""
    with FakeBatchServer(echo) as server:
        ask(tmp_path, server)
        monkeypatch.setitem(sys.modules, "openai", None)
        assert len(ask(tmp_path, server)) == 20
        with pytest.raises(RunError, match=r"pip install 'ftgate-ext\[batch\]'"):
            ask(tmp_path, server, n=21)


def test_a_batch_of_another_project_is_not_sent_again(tmp_path: Path) -> None:
    """A batch under way that the server does not know: one line, and nothing is paid a second time."""
    with FakeBatchServer(echo) as server:
        with pytest.raises(RunError, match="batches go on"):
            ask(tmp_path, server, budget_s=1e-6)
        mine = server.batches.pop("batch_0")
        with pytest.raises(RunError, match=r"batch batch_0 is not known there; use the key"):
            ask(tmp_path, server)
        server.batches["batch_0"] = mine
        assert len(ask(tmp_path, server)) == 20

    assert set(server.executed.values()) == {1}


def test_a_refused_batch_says_why(tmp_path: Path) -> None:
    """The validation's first problem, with its line; the next start does not wait for that batch."""
    with FakeBatchServer(echo, refused="The model is not supported") as server:
        for _ in range(2):
            with pytest.raises(RunError, match="was refused: line 1: The model is not supported"):
                ask(tmp_path, server)
        server.refused = None
        assert len(ask(tmp_path, server)) == 20


def test_a_cancelled_batch_keeps_its_answers(tmp_path: Path) -> None:
    """Somebody cancels it: one line, and the same command asks only the rest."""
    with FakeBatchServer(echo) as server:
        server.on_step = lambda step: server.cancel("batch_0") if step == "created" else None
        with pytest.raises(RunError, match=r"was cancelled.*same command"):
            ask(tmp_path, server)
        server.on_step = lambda _step: None
        assert {r.status for r in ask(tmp_path, server)} == {"ok"}

    assert [len(b.lines) for b in server.batches.values()] == [20, 10]
    assert set(server.executed.values()) == {1}


def test_a_batch_that_may_exceed_the_budget_is_not_sent(tmp_path: Path) -> None:
    """It cannot be stopped half-way, so its upper bound counts."""
    with FakeBatchServer(echo) as server:
        with pytest.raises(RunError, match=r"may cost up to \$0.004.* budget of \$0.001"):
            ask(tmp_path, server, budget_usd=0.001)
        assert server.batches == {}
        assert len(ask(tmp_path, server, budget_usd=0.01)) == 20


def test_the_time_budget_leaves_the_batch_under_way(tmp_path: Path) -> None:
    """When it is used up the command ends; the same command fetches what the server went on with."""
    with FakeBatchServer(echo) as server:
        with pytest.raises(RunError, match="batches go on at the server"):
            ask(tmp_path, server, budget_s=1e-6)
        assert len(ask(tmp_path, server)) == 20
        assert len(server.batches) == 1


def test_names_of_requests_are_stable_and_tell_cases_apart() -> None:
    """Two cases that ask the very same are two lines of a batch."""
    (one,) = requests(1)
    other = Request("c2", one.task, one.prompt_hash, one.payload)
    again = Request(one.case_id, one.task, one.prompt_hash, one.payload, occurrence=1)

    assert custom_id("k", one) == custom_id("k", requests(1)[0])
    assert len({custom_id("k", r) for r in (one, other, again)}) == 3
