"""How many requests the client keeps in flight, and how many it sends in a minute."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from asking import endpoint_of, make_request, make_requests
from fake_server import FakeServer, Reply, slowed
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK

from ftgate_ext.inference.client import ask_all
from ftgate_ext.inference.pace import CUT, Pace, RateLimit

if TYPE_CHECKING:
    from collections.abc import Callable

    from fake_server import Received

pytestmark = pytest.mark.usefixtures("quick_retries")

# The limit on requests in flight

EVENTS = st.lists(
    st.tuples(st.sampled_from(["answered", "refused"]), st.floats(0, 100), st.integers(0, 70)),
    max_size=200,
)


@given(st.integers(1, 64), EVENTS)
def test_the_limit_stays_between_one_and_the_bound(
    bound: int, events: list[tuple[str, float, int]]
) -> None:
    """Whatever a server does, and however long it takes, one request may always be sent."""
    pace, now = Pace(bound), 0.0
    for kind, latency_s, number in events:
        now += 1
        if kind == "refused":
            pace.refused(now - 0.5, now, number)
        else:
            pace.answered(now - 0.5, now, latency_s, number)
        assert 1 <= pace.room <= bound


def play(pace: Pace, n: int, latency_of: Callable[[int], float], tokens: int = 10) -> int:
    """Let a server answer `n` requests with the latency that it has at the limit; the least limit."""
    least, now = pace.room, 1000.0
    for _ in range(n):
        latency_s = latency_of(pace.room)
        now += latency_s / pace.room
        pace.answered(now - latency_s, now, latency_s, tokens)
        least = min(least, pace.room)
    return least


@given(st.integers(1, 64), st.floats(0.001, 100), st.integers(1, 500))
def test_a_server_of_fixed_latency_is_never_throttled(
    bound: int, latency_s: float, tokens: int
) -> None:
    """Nothing rises, so nothing is cut."""
    assert play(Pace(bound), 500, lambda _room: latency_s, tokens) == bound


@given(st.integers(2, 64), st.floats(0.01, 10), st.floats(0.0, 0.5))
def test_a_batching_server_is_never_throttled(bound: int, alone_s: float, each: float) -> None:
    """Latency that grows with what we send at once, as it does from the start, is no rise."""
    pace = Pace(bound)
    assert play(pace, 500, lambda room: alone_s * (1 + each * room)) == bound


@QUICK
@given(st.lists(st.integers(1, 400), min_size=150, max_size=150))
def test_longer_and_shorter_answers_are_no_rise(lengths: list[int]) -> None:
    """A second for the prompt and 20 ms a token: the same server, however long its answers are."""
    pace, now = Pace(16), 0.0
    for tokens in sorted(lengths) + sorted(lengths, reverse=True):
        latency_s = 1 + 0.02 * tokens
        now += latency_s
        pace.answered(now - latency_s, now, latency_s, tokens)
        assert pace.room == 16


def test_a_refusal_cuts_once_for_all_in_flight() -> None:
    """Sixteen were sent together and twelve of them refused: the server works at four."""
    pace = Pace(16)
    for refused in range(12):
        pace.refused(sent_at=1.0, now=1.1, left=15 - refused)
    assert pace.room == 4


def test_one_refusal_leaves_most_of_the_limit() -> None:
    """A single 429 is a cut to 0.7; one that was sent before it changes nothing more."""
    pace = Pace(20)
    pace.refused(sent_at=1.0, now=1.1, left=19)
    assert pace.room == int(20 * CUT)
    pace.refused(sent_at=1.05, now=1.2, left=18)
    assert pace.room == int(20 * CUT)
    pace.refused(sent_at=1.15, now=1.3, left=13)
    assert pace.room == int(20 * CUT * CUT)


def test_answers_raise_the_limit_again() -> None:
    """One more a round of answers, up to the bound."""
    pace = Pace(8)
    pace.refused(sent_at=1.0, now=1.1, left=0)
    assert pace.room == 1
    play(pace, 400, lambda _room: 0.1)
    assert pace.room == 8


def test_clearly_risen_latency_is_answered_by_less_load() -> None:
    """A server that is slowed by its own load, after others came, is asked less until it is quick."""
    pace = Pace(16)
    assert play(pace, 100, lambda _room: 0.2) == 16
    play(pace, 400, lambda room: 0.1 * room)
    assert pace.room <= 6


def test_a_cut_that_does_not_help_is_taken_back() -> None:
    """A server that became slow for other reasons is not asked less for it."""
    pace = Pace(16)
    play(pace, 100, lambda _room: 0.2)
    least = play(pace, 400, lambda _room: 2.0)
    assert least == int(16 * CUT)
    assert pace.room == 16


def test_nothing_moves_where_the_policy_says_so() -> None:
    """With `adaptive: false` the limit is the bound."""
    pace = Pace(16, adaptive=False)
    pace.refused(sent_at=1.0, now=1.1, left=0)
    play(pace, 50, lambda _room: 0.1)
    play(pace, 50, lambda _room: 9.0)
    assert pace.room == 16


# Against a server


@pytest.mark.parametrize(
    "capacity",
    [pytest.param(1, marks=pytest.mark.slow), 4, pytest.param(11, marks=pytest.mark.slow)],
)
def test_a_server_that_takes_so_many_is_given_so_many(capacity: int) -> None:
    """Everything is answered, few are refused after the first burst, and the server is kept busy."""
    with FakeServer() as server:
        server.script = lambda _n, _body: (
            "429" if server.in_flight >= capacity else slowed("good", 0.01)
        )
        responses = ask_all(endpoint_of(server, concurrency=24), make_requests(240))
        refused = len(server.chats) - 240
    assert [r.status for r in responses] == ["ok"] * 240
    assert refused <= 24 - capacity + 12  # the first burst, and a probe now and then
    settled = [r.concurrency or 0 for r in responses[120:]]
    assert 0.8 * capacity <= sum(settled) / len(settled) <= capacity + 0.5
    assert max(r.attempts for r in responses) <= 4


@pytest.mark.slow
def test_a_server_that_slows_down_under_our_load_is_asked_less() -> None:
    """Alone it took 30 ms; with others on it, 12 ms for each request in flight: we go down, and stay."""
    with FakeServer() as server:
        server.script = lambda n, _body: slowed(
            "good", 0.03 if n < 60 else 0.012 * (server.in_flight + 1)
        )
        responses = ask_all(endpoint_of(server, concurrency=14), make_requests(260))
    before = [r.concurrency or 0 for r in responses[20:50]]
    after = [r.concurrency or 0 for r in responses[-60:-10]]
    assert sum(before) / len(before) > 13
    assert sum(after) / len(after) < 11


@pytest.mark.parametrize("retry_after", [None, "0.1"])
def test_a_burst_of_429_is_survived(retry_after: str | None) -> None:
    """For a while everything is refused; then everything is answered, and no attempt ran out."""
    busy = Reply(status=429, body={}, headers={"Retry-After": retry_after} if retry_after else {})
    with FakeServer() as server:
        until = time.monotonic() + 0.3
        server.script = lambda _n, _body: busy if time.monotonic() < until else "good"
        endpoint = endpoint_of(server, concurrency=16, max_attempts=8)
        responses = ask_all(endpoint, make_requests(200))
        refused = len(server.chats) - 200
    assert [r.status for r in responses] == ["ok"] * 200
    assert refused < 140


def test_without_adapting_the_bound_is_used() -> None:
    """`adaptive: false` sends as many as the policy says, whatever the server thinks of it."""
    with FakeServer() as server:
        server.script = lambda _n, _body: "429" if server.in_flight >= 8 else slowed("good", 0.02)
        ask_all(endpoint_of(server, concurrency=12, adaptive=False, max_attempts=99), make_requests(60))  # fmt: skip
        assert len(server.chats) > 60 + 20


# Rates


def most_within(chats: list[Received], seconds: float) -> int:
    times = [chat.at for chat in chats]
    return max(sum(start <= t < start + seconds for t in times) for start in times)


def test_requests_per_minute() -> None:
    """At 3000 a minute one leaves every 20 ms: 30 take 0.58 s, and never more than 11 within 0.2 s."""
    with FakeServer() as server:
        responses = ask_all(endpoint_of(server, requests_per_minute=3000), make_requests(30))
        took_s = server.chats[-1].at - server.chats[0].at
        assert most_within(server.chats, 0.2) <= 10 + 2
    assert {r.status for r in responses} == {"ok"}
    assert 0.55 < took_s < 0.8
    assert max(r.latency_s or 0 for r in responses) < 0.15  # the wait is no part of it


def test_attempts_count_towards_the_rate() -> None:
    """A request that is sent twice is two requests."""
    with FakeServer(lambda n, _body: "429" if n % 2 == 0 else "good") as server:
        ask_all(endpoint_of(server, requests_per_minute=3000, max_attempts=9), make_requests(8))
        sent = len(server.chats)
        assert server.chats[-1].at - server.chats[0].at >= (sent - 1) * 0.018


def test_tokens_per_minute() -> None:
    """110 tokens each, by the server's count, at 132,000 a minute: 20 at once, then 20 a second."""
    requests = [make_request(f"question {i} " + "x" * 400) for i in range(30)]
    with FakeServer() as server:
        ask_all(endpoint_of(server, tokens_per_minute=132_000), requests)
        took_s = server.chats[-1].at - server.chats[0].at
    assert 0.35 < took_s < 0.9


def test_tokens_are_counted_as_the_server_counts_them() -> None:
    """An answer of 10,000 tokens where 26 were expected: those that come after it wait for it."""
    usage = {"prompt_tokens": 9000, "completion_tokens": 1000}
    with FakeServer(Reply(usage=usage)) as server:
        endpoint = endpoint_of(server, tokens_per_minute=1_200_000, concurrency=1)
        ask_all(endpoint, make_requests(4))
        assert server.chats[-1].at - server.chats[0].at >= 0.45


@given(st.floats(1, 1e6), st.lists(st.floats(0.01, 5000), min_size=1, max_size=60))
def test_a_bucket_never_gives_more_than_its_rate(per_minute: float, units: list[float]) -> None:
    """By any moment no more has left than the rate allows, plus one burst and the last one taken."""
    bucket, sent = RateLimit(per_minute, 0.0, burst_s=1), 0.0
    burst = max(1.0, per_minute / 60)
    latest = 0.0
    for amount in units:
        at = bucket.take(amount, 0.0)
        assert at >= latest - 1e-6  # in the order in which they came
        latest = at
        sent += amount
        assert sent <= burst + at * per_minute / 60 + amount + 1e-6


@given(st.lists(st.tuples(st.floats(1, 1000), st.floats(-500, 500)), max_size=40))
def test_a_corrected_estimate_counts_as_what_it_was(uses: list[tuple[float, float]]) -> None:
    """What was reserved too much comes back; the bucket never holds more than it can."""
    bucket: Any = RateLimit(6000, 0.0, burst_s=1)
    for reserved, unused in uses:
        bucket.take(reserved, 0.0)
        bucket.give_back(unused)
        assert bucket._level <= 100
