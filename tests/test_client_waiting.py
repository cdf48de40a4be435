"""How long the client waits: for the next attempt, for a server that asks for it, for a budget."""

from __future__ import annotations

import random
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
from asking import ask, endpoint_of, make_request
from fake_server import FakeServer, Reply, slowed
from hypothesis import given
from hypothesis import strategies as st

from ftgate_ext.inference.client import ask_all
from ftgate_ext.inference.retry import backoff_s, retry_after_s

pytestmark = pytest.mark.usefixtures("quick_retries")


def test_retry_after_is_honoured() -> None:
    """A server that asks for a pause gets it."""
    busy = Reply(status=429, body={}, headers={"Retry-After": "0.3"})
    with FakeServer([busy, "good"]) as server:
        response = ask(server)[0]
    first, second = server.chats
    assert response.status == "ok"
    assert second.at - first.at >= 0.3


def test_retry_after_replaces_the_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """A date that has passed means now, however long our own backoff would be."""
    monkeypatch.setattr("ftgate_ext.inference.retry.MAX_BACKOFF_S", 30.0)
    past = Reply(status=503, body={}, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})
    with FakeServer([past, past, "good"]) as server:
        assert ask(server)[0].attempts == 3
    assert server.chats[-1].at - server.chats[0].at < 1.0  # backoff alone would be 1.5 s or more


RETRY_AFTER = {
    "7": 7.0, "0.5": 0.5, "0": 0.0, "-3": 0.0, "1e9": 120.0, "inf": 120.0,
    "": None, "nan": None, "soon": None, "Wed, 99 Foo 2015 07:28:00 GMT": None,
}  # fmt: skip


@pytest.mark.parametrize("header", RETRY_AFTER)
def test_retry_after_numbers(header: str) -> None:
    """Seconds are capped at two minutes; nonsense leaves the wait to our backoff."""
    assert retry_after_s(header) == RETRY_AFTER[header]


def test_retry_after_dates() -> None:
    """An HTTP date is the wait until then."""
    then = datetime.now(timezone.utc) + timedelta(seconds=30)
    wait_s = retry_after_s(format_datetime(then, usegmt=True))
    assert wait_s is not None
    assert 28 < wait_s <= 30


@given(st.integers(1, 5000))
def test_backoff_doubles_up_to_its_cap(attempt: int) -> None:
    """Full jitter: the wait is anything from 0 to min(cap, 0.5 * 2^attempt)."""
    assert 0 <= backoff_s(attempt) <= min(0.01, 0.5 * 2.0 ** min(attempt, 60))


def test_backoff_is_spread_over_the_whole_time() -> None:
    """Those that failed together do not come back together: both ends of the time are used."""
    waits = [backoff_s(9) for _ in range(400)]
    assert min(waits) < 0.001
    assert max(waits) > 0.009


def test_latency_is_time_in_flight_without_our_queue() -> None:
    """Four requests go through one slot one by one: their latencies add up to the whole time."""
    with FakeServer(slowed("good", 0.1)) as server:
        started = time.monotonic()
        responses = ask(server, "a", "b", "c", "d", concurrency=1)
        whole_s = time.monotonic() - started
    latencies = [r.latency_s or 0 for r in responses]
    assert min(latencies) >= 0.1
    assert sum(latencies) <= whole_s


def test_latency_is_of_the_last_attempt() -> None:
    """A slow failure before the answer is no latency of the answer."""
    with FakeServer([slowed("500", 0.2), "good"]) as server:
        started = time.monotonic()
        response = ask(server)[0]
    assert (response.latency_s or 9) + 0.2 <= time.monotonic() - started


def test_responses_keep_the_order_of_the_requests() -> None:
    """However the answers overtake each other, the list is in the order asked; 16 in flight at most."""
    chance = random.Random(7)

    def echo(_n: int, body: dict[str, Any]) -> Reply:
        return Reply(text=body["messages"][-1]["content"], delay_s=chance.uniform(0.001, 0.03))

    prompts = [f"question {i}" for i in range(96)]
    with FakeServer(echo) as server:
        seen: list[tuple[str, bool]] = []
        responses = ask_all(
            endpoint_of(server, concurrency=16), [make_request(p) for p in prompts],
            on_response=lambda response, known: seen.append((response.text, known)),
        )  # fmt: skip
    assert [r.text for r in responses] == prompts
    assert 2 <= server.most_in_flight <= 16
    assert sorted(seen) == sorted((p, False) for p in prompts)
    assert [text for text, _ in seen] != prompts  # they did overtake each other


# Budgets of a request


def test_a_request_has_a_budget_over_all_attempts() -> None:
    """Attempts end with the budget, however many are left, and the reason says so."""
    with FakeServer(slowed("500", 0.1)) as server:
        started = time.monotonic()
        response = ask(server, max_attempts=1000, request_budget_s=0.35)[0]
        whole_s = time.monotonic() - started
    assert response.status == "failed"
    assert 3 <= response.attempts <= 5
    assert whole_s < 0.7
    assert "HTTP 500" in (response.error or "") or "no answer within" in (response.error or "")


def test_an_attempt_ends_with_the_budget() -> None:
    """A server that hangs holds a request no longer than its budget, whatever an attempt may take."""
    with FakeServer("hang") as server:
        started = time.monotonic()
        response = ask(server, max_attempts=9, timeout_s=60, request_budget_s=0.2)[0]
        assert time.monotonic() - started < 1
    assert (response.status, response.attempts) == ("failed", 1)


def test_retry_after_is_capped_by_the_budget() -> None:
    """A server that wants to be left alone for longer than the budget is not waited for."""
    busy = Reply(status=503, body={}, headers={"Retry-After": "60"})
    with FakeServer(busy) as server:
        started = time.monotonic()
        response = ask(server, request_budget_s=2)[0]
        assert time.monotonic() - started < 1
    assert response.status == "failed"
    assert (response.error or "").endswith("; its 2 s (request_budget_s) are used up")


def test_a_pause_that_the_server_asks_for_is_for_all() -> None:
    """While a server wants to be left alone nothing else is sent there."""
    busy = Reply(status=429, body={}, headers={"Retry-After": "0.4"})
    with FakeServer(lambda n, _body: busy if n == 0 else slowed("good", 0.02)) as server:
        responses = ask(server, *"abcdefgh", concurrency=2)
    assert {r.status for r in responses} == {"ok"}
    first = server.chats[0].at
    assert not [c for c in server.chats if first + 0.05 < c.at < first + 0.4]


def test_requests_that_wait_do_not_hold_up_the_others() -> None:
    """A request that has to wait leaves its place to those that are new."""

    def script(_n: int, body: dict[str, Any]) -> Reply:
        slow = "slow" in body["messages"][-1]["content"]
        return Reply(status=409, body={}, headers={"Retry-After": "0.5"}) if slow else Reply()

    prompts = ["slow 1", "slow 2", *(f"quick {i}" for i in range(20))]
    seen: list[str] = []
    with FakeServer(script) as server:
        requests = [make_request(p) for p in prompts]
        ask_all(
            endpoint_of(server, max_attempts=2, concurrency=2), requests,
            on_response=lambda response, _known: seen.append(response.case_id),
        )  # fmt: skip
    assert {"slow 1", "slow 2"} == set(seen[-2:])
