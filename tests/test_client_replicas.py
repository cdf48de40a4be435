"""Several servers of one model: who is asked, who is taken out, and who comes back."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from asking import KEY, closed_port, endpoint_of, make_request, make_requests
from fake_server import FakeServer, Reply, on_prompt, slowed

from ftgate_ext.inference import replicas
from ftgate_ext.inference.client import Endpoint, ask_all
from ftgate_ext.schema import Response, RunError

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.usefixtures("quick_retries")


def ask_both(first: FakeServer, second: FakeServer, n: int = 60, **changes: Any) -> list[Response]:
    fields: dict[str, Any] = {"concurrency": 8} | changes
    return ask_all(endpoint_of(first, second, **fields), make_requests(n))


def answered_by(responses: Sequence[Response]) -> Counter[str | None]:
    return Counter(r.endpoint for r in responses)


def test_replicas_share_the_load() -> None:
    """Equal servers get equal shares, each response says whose it is, and the bound is for both."""
    with FakeServer(slowed("good", 0.02)) as one, FakeServer(slowed("good", 0.02)) as two:
        responses = ask_both(one, two, n=80)
    assert answered_by(responses) == {one.base_url: len(one.chats), two.base_url: len(two.chats)}
    assert 35 <= len(one.chats) <= 45
    assert max(r.concurrency or 0 for r in responses) == 8
    assert one.most_in_flight + two.most_in_flight <= 10


def test_the_least_loaded_is_asked_first() -> None:
    """A server that is four times as fast gets most of the requests."""
    with FakeServer(slowed("good", 0.02)) as quick, FakeServer(slowed("good", 0.08)) as slow:
        ask_both(quick, slow, n=100)
        assert len(quick.chats) > 2.5 * len(slow.chats)


def test_each_replica_gets_its_own_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of one host does not travel to another."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    endpoint = Endpoint("https://api.openai.com/v1", "toy", more_urls=("http://localhost:1/v1",))
    assert endpoint.headers() == {"Authorization": f"Bearer {KEY}"}
    assert endpoint.headers("http://localhost:1/v1") == {}


def test_a_replica_that_is_down_from_the_start_costs_nothing(fake_server: FakeServer) -> None:
    """Its requests go to the other one, even where each has one attempt only."""
    down = f"http://127.0.0.1:{closed_port()}/v1"
    endpoint = Endpoint(down, "toy", more_urls=(fake_server.base_url,), max_attempts=1)
    responses = ask_all(endpoint, make_requests(30))
    assert [r.status for r in responses] == ["ok"] * 30
    assert answered_by(responses) == {fake_server.base_url: 30}


def test_a_replica_that_dies_in_mid_run_loses_nothing() -> None:
    """What was in flight there goes to the other one, even where each has one attempt only."""
    with FakeServer(slowed("good", 0.02)) as stays, FakeServer(slowed("good", 0.05)) as dies:
        threading.Timer(0.12, dies.stop).start()
        responses = ask_both(dies, stays, n=150, max_attempts=1)
    assert [r.status for r in responses] == ["ok"] * 150
    assert 0 < answered_by(responses)[dies.base_url] < 75
    assert max(r.attempts for r in responses) <= 3


@pytest.mark.parametrize("fault", ["500", "reset", "hang"])
def test_a_replica_that_fails_is_taken_out(fault: str) -> None:
    """After a few failures it is left alone; no request fails of it, not even with one attempt."""
    with FakeServer(fault) as ill, FakeServer(slowed("good", 0.02)) as well:
        timeout_s = 0.6 if fault == "hang" else 30
        responses = ask_both(ill, well, n=100, max_attempts=1, timeout_s=timeout_s)
        assert [r.status for r in responses] == ["ok"] * 100
        assert len(ill.chats) <= replicas.OUT_AFTER + 8


def test_a_replica_that_recovers_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is probed after a while, and then has its share again."""
    monkeypatch.setattr(replicas, "PROBE_AFTER_S", 0.05)
    with FakeServer(slowed("good", 0.02)) as well:
        ill = FakeServer(lambda n, _body: "500" if n < 3 else slowed("good", 0.02))
        with ill:
            responses = ask_both(ill, well, n=120, concurrency=4)
    assert [r.status for r in responses] == ["ok"] * 120
    assert answered_by(responses)[ill.base_url] > 10


def test_a_replica_is_probed_before_it_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """While its list of models is broken no request goes there."""
    monkeypatch.setattr(replicas, "PROBE_AFTER_S", 0.05)
    broken = Reply(status=500, body={})
    with (
        FakeServer("500", models_reply=broken) as ill,
        FakeServer(slowed("good", 0.02)) as well,
    ):
        ask_both(ill, well, n=80)
        assert len(ill.chats) <= replicas.OUT_AFTER + 4
        assert len(ill.received) > len(ill.chats)


def test_one_poisoned_request_takes_no_replica_out() -> None:
    """A request that every server fails ends as failed; its attempts are its own, and bounded."""
    poison = on_prompt("poison", "500", slowed("good", 0.01))
    with FakeServer(poison) as one, FakeServer(poison) as two:
        requests = [make_request("poison"), *make_requests(60)]
        endpoint = endpoint_of(one, two, concurrency=4)
        responses = ask_all(endpoint, requests)
        assert all(r.path.endswith("/chat/completions") for r in one.received + two.received)
    assert [r.status for r in responses] == ["failed"] + ["ok"] * 60
    assert 3 <= responses[0].attempts <= 3 + 3


def test_a_request_goes_to_another_replica_than_the_one_that_failed_it() -> None:
    """Also where that one is the less loaded: the busy one may still answer."""
    with (
        FakeServer(on_prompt("hard", "500")) as weak,
        FakeServer(on_prompt("long", slowed("good", 0.3))) as strong,
    ):
        requests = [make_request(p) for p in ("easy", "long", "hard")]
        endpoint = endpoint_of(weak, strong, concurrency=2, max_attempts=1)
        responses = ask_all(endpoint, requests)
    assert [r.status for r in responses] == ["ok"] * 3
    assert [r.endpoint for r in responses] == [weak.base_url, strong.base_url, strong.base_url]
    assert responses[2].attempts == 2


def test_an_overloaded_replica_leaves_work_to_the_other() -> None:
    """A server that takes two at once is given two; the rest goes to the one with room."""
    with FakeServer() as small, FakeServer(slowed("good", 0.03)) as large:
        small.script = lambda _n, _body: "429" if small.in_flight >= 2 else slowed("good", 0.03)
        responses = ask_both(small, large, n=120, concurrency=12)
        refused = len(small.chats) - answered_by(responses)[small.base_url]
    assert [r.status for r in responses] == ["ok"] * 120
    assert answered_by(responses)[small.base_url] >= 9
    assert refused <= 20


def test_all_replicas_gone_is_one_line() -> None:
    """Both are named, with what was seen of each."""
    urls = tuple(f"http://127.0.0.1:{closed_port()}/v1" for _ in range(2))
    started = time.monotonic()
    with pytest.raises(RunError) as caught:
        ask_all(Endpoint(urls[0], "toy", more_urls=urls[1:]), make_requests(50))
    assert time.monotonic() - started < 2
    for url in urls:
        assert f"{url}: no answer (ClientConnectorError)" in str(caught.value)
