"""When the client stops early: an endpoint that is gone, or a budget that is used up."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from asking import PER_TOKEN, endpoint_of, make_request, make_requests, one_line
from fake_server import FakeServer, Reply, on_prompt, slowed

from ftgate_ext.inference import replicas
from ftgate_ext.inference.client import Endpoint, ask_all
from ftgate_ext.inference.journal import Journal, read_responses
from ftgate_ext.schema import Price, Response, RunError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftgate_ext.inference.client import Request

pytestmark = pytest.mark.usefixtures("quick_retries")


def stopped(
    path: Path, endpoint: Endpoint, requests: list[Request]
) -> tuple[str, list[Response], float]:
    """Ask until the client stops: its words, what the journal holds then, and the seconds it took."""
    journal = Journal(path, reuse=True)
    started = time.monotonic()
    try:
        with pytest.raises(RunError) as caught:
            ask_all(endpoint, requests, journal)
    finally:
        journal.close()
    return one_line(caught.value), read_responses(path), time.monotonic() - started


def again(path: Path, endpoint: Endpoint, requests: list[Request]) -> list[Response]:
    """The same command again."""
    journal = Journal(path, reuse=True)
    try:
        return ask_all(endpoint, requests, journal)
    finally:
        journal.close()


# An endpoint that is gone

SERVE = """
import sys, time
sys.path.insert(0, sys.argv[1])
from fake_server import FakeServer, slowed
with FakeServer(slowed("good", 0.02), port=int(sys.argv[2])) as server:
    print(server.port, flush=True)
    time.sleep(60)
"""


@contextmanager
def server_process(port: int = 0) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server that can be killed."""
    here = str(Path(__file__).parent)
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, here, str(port)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        try:
            yield process, f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()


def test_a_server_that_is_killed_ends_the_run_in_seconds(tmp_path: Path) -> None:
    """Killed for good: one line soon, not after every request has tried; nothing of it is a failure."""
    path, requests = tmp_path / "r.jsonl", make_requests(2000)
    with server_process() as (process, url):
        threading.Timer(0.4, process.kill).start()
        endpoint = Endpoint(url, "toy", concurrency=8)
        said, kept, seconds = stopped(path, endpoint, requests)
    assert process.returncode == -signal.SIGKILL
    assert seconds < 0.4 + replicas.BACK_WITHIN_S + 2
    assert said.startswith(f"{url}, model 'toy': gone for 0.2 s ({url}: no answer (")
    assert 0 < len(kept) < 2000
    assert {r.status for r in kept} == {"ok"}
    assert f"; {len(kept)} of 2000 answers are in {path}. To go on, run the same command" in said


def test_a_server_that_restarts_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gone in mid-run and back a little later: every request is answered, and none used up attempts."""
    monkeypatch.setattr(replicas, "BACK_WITHIN_S", 10)
    requests = make_requests(120)
    with FakeServer(slowed("good", 0.02)) as first:
        port, endpoint = first.port, endpoint_of(first, concurrency=8)
        found: list[list[Response]] = []
        asking = threading.Thread(
            target=lambda: found.append(again(tmp_path / "r.jsonl", endpoint, requests))
        )
        asking.start()
        time.sleep(0.1)
    time.sleep(0.5)
    assert asking.is_alive()
    with FakeServer(slowed("good", 0.02), port=port) as second:
        asking.join(20)
    assert [r.status for r in found[0]] == ["ok"] * 120
    assert len(first.chats) >= 8
    assert len(second.chats) >= 80


def test_failures_in_a_row_end_the_run(tmp_path: Path) -> None:
    """A server that fails everything is asked no more after `stop_after` requests."""
    path = tmp_path / "r.jsonl"
    with FakeServer(lambda n, _body: "good" if n < 4 else "500") as server:
        endpoint = endpoint_of(server, max_attempts=2, concurrency=2, stop_after=5)
        said, kept, _ = stopped(path, endpoint, make_requests(500))
        assert len(server.chats) < 30
    assert "5 requests in a row failed, the last one with: HTTP 500: The server had an error; 4 of 500 answers are in" in said  # fmt: skip
    assert [r.status for r in kept].count("failed") == 5


@pytest.mark.parametrize("fault", ["html", "no choices", "401", "hang"])
def test_whatever_fails_everything_ends_the_run(fault: str, tmp_path: Path) -> None:
    """Broken answers, a refused key or a server that hangs: none of them is asked for long."""
    with FakeServer(fault) as server:
        endpoint = endpoint_of(server, max_attempts=1, timeout_s=0.05, stop_after=6)
        said, kept, _ = stopped(tmp_path / "r.jsonl", endpoint, make_requests(400))
    assert "6 requests in a row failed" in said
    assert all(r.status in {"failed", "malformed"} for r in kept)
    assert 6 <= len(kept) <= 6 + 16


def test_rejected_requests_end_nothing() -> None:
    """A 400 is the request's fault: any number of them, however many in a row, end alone."""
    script = on_prompt("question", "400")
    with FakeServer(script) as server:
        requests = [make_request("fine"), *make_requests(60)]
        responses = ask_all(endpoint_of(server, stop_after=5, concurrency=1), requests)
    assert [r.status for r in responses] == ["ok"] + ["failed"] * 60


def test_rejected_requests_end_the_run_where_nothing_else_comes(tmp_path: Path) -> None:
    """Where every first request is rejected it is not the requests that are wrong."""
    with FakeServer("400") as server:
        said, kept, _ = stopped(
            tmp_path / "r.jsonl", endpoint_of(server, stop_after=5), make_requests(300)
        )
    assert "5 requests in a row failed, the last one with: HTTP 400: This model's maximum" in said
    assert len(kept) == 5


def test_single_failures_end_nothing() -> None:
    """500 for good on 1 of 20: each fails alone, and the row is broken by every answer."""
    prompts = [f"{'poison' if i % 20 == 7 else 'fine'} {i}" for i in range(200)]
    with FakeServer(on_prompt("poison", "500")) as server:
        endpoint = endpoint_of(server, stop_after=3, concurrency=8)
        responses = ask_all(endpoint, [make_request(p) for p in prompts])
    assert [r.status for r in responses].count("failed") == 10
    assert all((r.status == "failed") == r.case_id.startswith("poison") for r in responses)


def test_one_request_that_breaks_connections_says_nothing_of_the_server() -> None:
    """It fails by itself, with the attempts that it has; nobody asks whether the server is still there."""
    with FakeServer(on_prompt("poison", "reset")) as server:
        requests = [*make_requests(10), make_request("poison")]
        responses = ask_all(endpoint_of(server, max_attempts=7), requests)
        assert len(server.received) == len(server.chats) == 10 + 7
    assert (responses[-1].status, responses[-1].attempts) == ("failed", 7)


def test_fewer_failures_than_the_limit_are_data() -> None:
    """A short run that fails as a whole gives its failed responses."""
    with FakeServer("500") as server:
        responses = ask_all(endpoint_of(server, max_attempts=1), make_requests(19))
    assert {r.status for r in responses} == {"failed"}


def test_what_was_kept_is_not_asked_again(tmp_path: Path) -> None:
    """After the server is back the same command asks what is missing, and nothing else."""
    path, requests = tmp_path / "r.jsonl", make_requests(40)
    with FakeServer(lambda n, _body: "good" if n < 10 else "500") as server:
        endpoint = endpoint_of(server, max_attempts=1, concurrency=2, stop_after=4)
        _, kept, _ = stopped(path, endpoint, requests)
        good = [r for r in kept if r.status == "ok"]
        server.script, before = "good", len(server.chats)
        responses = again(path, endpoint, requests)
        assert len(server.chats) - before == 40 - len(good)
    assert [r.status for r in responses] == ["ok"] * 40


def test_a_server_of_another_model_does_not_count_as_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the port of the server that went, a server of another model comes up: it is not asked."""
    monkeypatch.setattr(replicas, "BACK_WITHIN_S", 0.8)
    path, others = tmp_path / "r.jsonl", list[FakeServer]()
    with FakeServer(slowed("good", 0.02)) as first:

        def swap() -> None:
            first.stop()
            time.sleep(0.05)
            others.append(FakeServer(models=["big"], port=first.port))
            others[0].start()

        threading.Timer(0.1, swap).start()
        said, _, _ = stopped(path, endpoint_of(first, concurrency=8), make_requests(500))
    others[0].stop()
    assert "serves 'big' instead of 'toy'" in said
    assert others[0].chats == []


# Budgets of the whole call


def test_a_budget_of_seconds(tmp_path: Path) -> None:
    """Nothing is begun after the budget; what is in flight is finished and kept."""
    path, requests = tmp_path / "r.jsonl", make_requests(200)
    with FakeServer(slowed("good", 0.1)) as server:
        endpoint = endpoint_of(server, concurrency=4, budget_s=0.35)
        said, kept, seconds = stopped(path, endpoint, requests)
        assert len(kept) == len(server.chats)
    assert 0.35 <= seconds < 0.7
    assert {r.status for r in kept} == {"ok"}
    assert f"the budget of 0.35 s (budget_s) is used up; {len(kept)} of 200 answers are in {path}. To go on, run the same command again." in said  # fmt: skip


def test_a_budget_of_seconds_ends_every_wait(tmp_path: Path) -> None:
    """Requests that wait for their next attempt, or for a rate, do not outlive the budget."""
    busy = Reply(status=503, body={}, headers={"Retry-After": "60"})
    with FakeServer(busy) as server:
        endpoint = endpoint_of(server, budget_s=0.2)
        _, kept, seconds = stopped(tmp_path / "a.jsonl", endpoint, make_requests(50))
        assert (kept, seconds < 1) == ([], True)
    with FakeServer() as server:
        endpoint = endpoint_of(server, budget_s=0.2, requests_per_minute=1)
        _, kept, seconds = stopped(tmp_path / "b.jsonl", endpoint, make_requests(50))
        assert (len(kept), seconds < 1) == (1, True)


def test_a_budget_that_suffices_is_not_felt(fake_server: FakeServer) -> None:
    """The last answer comes within the budget: there is nothing to report."""
    endpoint = endpoint_of(fake_server, budget_s=60, budget_usd=5, price=PER_TOKEN)
    assert len(ask_all(endpoint, make_requests(20))) == 20


def test_a_budget_of_dollars(tmp_path: Path) -> None:
    """At 0.00028 dollars a request 0.0056 are 20 requests; the next command has its own budget."""
    path, requests = tmp_path / "r.jsonl", make_requests(50)
    with FakeServer() as server:
        endpoint = endpoint_of(server, price=PER_TOKEN, budget_usd=0.0056001, concurrency=4)
        said, kept, _ = stopped(path, endpoint, requests)
        assert len(kept) == len(server.chats) == 20
        assert sum(r.cost_usd or 0 for r in kept) <= 0.0056001
        assert f"the budget of $0.0056001 (budget_usd) is used up ($0.0056 spent); 20 of 50 answers are in {path}." in said  # fmt: skip
        stopped(path, endpoint, requests)
        assert [r.status for r in again(path, endpoint, requests)] == ["ok"] * 50
        assert len(server.chats) == 50


def test_one_dear_answer_does_not_end_the_run() -> None:
    """What is in flight at a high mean cost is waited for: the others are cheap, and all are asked."""
    dear = {"prompt_tokens": 40_000, "completion_tokens": 10}

    def script(n: int, _body: dict[str, Any]) -> Reply:
        return Reply(usage=dear) if n == 0 else Reply(delay_s=0.03)

    with FakeServer(script) as server:
        endpoint = endpoint_of(server, price=PER_TOKEN, budget_usd=0.2, concurrency=8)
        responses = ask_all(endpoint, make_requests(60))
    assert [r.status for r in responses] == ["ok"] * 60
    assert 0.08 < sum(r.cost_usd or 0 for r in responses) < 0.2


def test_estimated_tokens_count_towards_a_budget(tmp_path: Path) -> None:
    """A server that does not count tokens is not a free one."""
    with FakeServer(Reply("x" * 4000, usage=None)) as server:
        endpoint = endpoint_of(server, price=PER_TOKEN, budget_usd=0.05, concurrency=1)
        _, kept, _ = stopped(tmp_path / "r.jsonl", endpoint, make_requests(50))
    assert 5 <= len(kept) <= 7
    assert {r.cost_usd for r in kept} == {None}


def test_a_price_of_nothing_has_no_budget(fake_server: FakeServer) -> None:
    """A free model never uses a budget up."""
    free = Price(input_usd_per_mtok=0, output_usd_per_mtok=0)
    endpoint: dict[str, Any] = {"price": free, "budget_usd": 0.01}
    assert len(ask_all(endpoint_of(fake_server, **endpoint), make_requests(20))) == 20
