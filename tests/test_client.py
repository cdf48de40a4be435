"""The client against a real server that misbehaves: every request ends in a typed response."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest
from fake_server import FakeServer, Reply, on_prompt, slowed
from hypothesis import given, settings
from hypothesis import strategies as st

from ftgate_ext.inference.client import (
    Endpoint,
    Request,
    _backoff_s,
    _retry_after_s,
    ask_all,
    check_endpoint,
)
from ftgate_ext.schema import Price, Response, RunError

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "sk-test-0123456789abcdef"
PER_TOKEN = Price(input_usd_per_mtok=2.0, output_usd_per_mtok=8.0)

pytestmark = pytest.mark.usefixtures("quick_retries")


def endpoint_of(server: FakeServer, **changes: Any) -> Endpoint:
    fields: dict[str, Any] = {"base_url": server.base_url, "model": "toy", "max_attempts": 3}
    return Endpoint(**fields | changes)


def make_request(prompt: str = "review this", **changes: Any) -> Request:
    payload = {"messages": [{"role": "user", "content": prompt}], "max_tokens": 16}
    return Request(case_id=prompt, task="quiz", prompt_hash=prompt, payload=payload, **changes)


def ask(server: FakeServer, *prompts: str, **changes: Any) -> list[Response]:
    requests = [make_request(p) for p in prompts or ("review this",)]
    return ask_all(endpoint_of(server, **changes), requests)


def one_line(error: BaseException | str | None) -> str:
    text = str(error)
    assert "\n" not in text
    assert text.isprintable()
    return text


# fault -> status, attempts out of 3, words of the error
OUTCOMES: dict[str, tuple[str, int, str | None]] = {
    "good": ("ok", 1, None),
    "slow": ("ok", 1, None),
    "429": ("failed", 3, "HTTP 429: Too many requests"),
    "500": ("failed", 3, "HTTP 500: The server had an error"),
    "400": ("failed", 1, "HTTP 400: This model's maximum context length is 10 tokens"),
    "401": ("failed", 1, "HTTP 401: Incorrect API key provided"),
    "reset": ("failed", 3, "connection failed ("),
    "cut off": ("failed", 3, "connection failed ("),
    "hang": ("failed", 3, "no answer within 0.2 s"),
    "html": ("malformed", 3, "HTTP 200 without JSON: <html> <body>Bad gateway</body> </html>"),
    "truncated json": ("malformed", 3, "HTTP 200 without JSON: "),
    "error body": ("malformed", 3, "HTTP 200 without choices: "),
    "no choices": ("malformed", 3, "HTTP 200 without choices: "),
    "null content": ("empty", 1, None),
    "empty": ("empty", 1, None),
    "tool calls": ("empty", 1, None),
    "content filter": ("refused_by_provider", 1, None),
    "length": ("truncated", 1, None),
}


@pytest.mark.parametrize("fault", OUTCOMES)
def test_every_fault_has_its_outcome(fault: str) -> None:
    """What the server does decides status and attempts; the reason is one line."""
    status, attempts, words = OUTCOMES[fault]
    with FakeServer(fault) as server:
        response = ask(server, timeout_s=0.2 if fault == "hang" else 30)[0]
    assert (response.status, response.attempts) == (status, attempts)
    assert len(server.chats) == attempts
    if words is None:
        assert response.error is None
        assert response.latency_s is not None
    else:
        assert one_line(response.error).startswith(words)
        assert (response.text, response.latency_s, response.cost_usd) == ("", None, None)


@pytest.mark.parametrize("fault", ["429", "429 retry-after", "500", "reset", "cut off", "html", "no choices"])  # fmt: skip
def test_a_fault_that_heals_costs_attempts_only(fault: str) -> None:
    """Two faults and then an answer: the answer counts, and nothing of the faults stays with it."""
    with FakeServer([fault, fault, "good"]) as server:
        response = ask(server)[0]
    assert (response.status, response.attempts, response.error) == ("ok", 3, None)


def test_one_broken_case_leaves_the_others_alone() -> None:
    """A case that the server never answers fails alone, in its own place."""
    with FakeServer(on_prompt("poison", "500")) as server:
        responses = ask(server, "first", "poison", "last")
    assert [r.status for r in responses] == ["ok", "failed", "ok"]
    assert [r.case_id for r in responses] == ["first", "poison", "last"]


MALFORMED = [
    None, 7, "text", [], {"choices": None}, {"choices": {}}, {"choices": [None]}, {"choices": ["text"]},
    {"choices": [{"message": None}]}, {"choices": [{"message": "text"}]}, {"choices": [{"text": "old API"}]},
    {"choices": [{"message": {"content": [{"type": "text", "text": "in parts"}]}}]},
    {"choices": [{"message": {"content": 7}}]},
]  # fmt: skip


@pytest.mark.parametrize("body", MALFORMED, ids=repr)
def test_an_answer_that_is_none_is_malformed(body: Any) -> None:
    """JSON that holds no chat message is nobody's answer, whatever its shape."""
    reply = Reply(body=b"null") if body is None else Reply(body=body)
    with FakeServer(reply) as server:
        response = ask(server, max_attempts=1)[0]
    assert response.status == "malformed"
    assert one_line(response.error).startswith("HTTP 200 without choices: ")


def test_json_that_nests_without_end_is_malformed() -> None:
    """A body made to exhaust the parser fails its own request and nothing else."""
    deep = b'{"choices":' + b"[" * 200_000
    with FakeServer(on_prompt("poison", Reply(body=deep))) as server:
        responses = ask(server, "poison", "good", max_attempts=1)
    assert [r.status for r in responses] == ["malformed", "ok"]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


def test_no_body_whatsoever_stops_a_run() -> None:
    """Any JSON in any place gives a response that can be written down and read again."""
    with FakeServer() as server:

        @settings(max_examples=60, deadline=None)
        @given(JSON_VALUES, JSON_VALUES, JSON_VALUES, JSON_VALUES)
        def check(content: Any, usage: Any, finish: Any, model: Any) -> None:
            choice = {"message": {"content": content}, "finish_reason": finish}
            server.script = Reply(body={"choices": [choice], "usage": usage, "model": model})
            response = ask(server, max_attempts=1, price=PER_TOKEN)[0]
            assert response.status == "malformed" or isinstance(content, str | None)
            assert Response.model_validate_json(response.model_dump_json()) == response

        check()


def test_half_a_character_becomes_a_question_mark() -> None:
    """An answer cut in the middle of an emoji is still an answer, and can be written to a file."""
    with FakeServer(Reply(text="fine \ud83d", finish_reason="length")) as server:
        response = ask(server)[0]
    assert (response.status, response.text) == ("truncated", "fine ?")
    assert response.model_dump_json().encode()


@pytest.mark.parametrize(
    "usage", [None, [], "many", {}, {"prompt_tokens": "12", "completion_tokens": True}]
)
def test_unknown_token_counts_stay_unknown(usage: Any) -> None:
    """A server that does not count gives an answer without tokens and without a cost, not zero."""
    with FakeServer(Reply(usage=usage)) as server:
        response = ask(server, price=PER_TOKEN)[0]
    assert response.status == "ok"
    assert (response.input_tokens, response.output_tokens, response.cost_usd) == (None, None, None)


def test_a_response_records_who_answered_and_how(fake_server: FakeServer) -> None:
    """Model, fingerprint, tokens, finish reason and the load stand in every response."""
    response = ask(fake_server, concurrency=3)[0]
    assert (response.model_asked, response.model_answered) == ("toy", "toy")
    assert (response.system_fingerprint, response.finish_reason) == ("fp_toy", "stop")
    assert (response.input_tokens, response.output_tokens, response.concurrency) == (100, 10, 3)
    assert datetime.fromisoformat(response.finished_at).tzinfo is not None


def test_only_what_the_request_says_is_sent(fake_server: FakeServer) -> None:
    """The payload travels as it is, with the model's name and nothing else."""
    request = make_request("hello")
    ask_all(endpoint_of(fake_server), [request])
    assert fake_server.chats[0].body == {"model": "toy", **request.payload}


def test_stop_sequences_are_cut_on_our_side_too() -> None:
    """Where the server ignores a stop sequence, the text ends before its first occurrence."""
    with FakeServer(Reply(text="one\n\ntwo###three")) as server:
        request = make_request(stop=["###", "\n\n", ""])
        response = ask_all(endpoint_of(server), [request])[0]
    assert response.text == "one"


def test_nothing_to_ask_is_no_error(fake_server: FakeServer) -> None:
    """No requests, no responses, no connection."""
    assert ask_all(endpoint_of(fake_server), []) == []
    assert fake_server.received == []


# Waiting


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
    monkeypatch.setattr("ftgate_ext.inference.client.MAX_BACKOFF_S", 30.0)
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
    assert _retry_after_s(header) == RETRY_AFTER[header]


def test_retry_after_dates() -> None:
    """An HTTP date is the wait until then."""
    then = datetime.now(timezone.utc) + timedelta(seconds=30)
    wait_s = _retry_after_s(format_datetime(then, usegmt=True))
    assert wait_s is not None
    assert 28 < wait_s <= 30


@given(st.integers(1, 60))
def test_backoff_doubles_up_to_its_cap(attempt: int) -> None:
    """The wait is between half and all of min(cap, 0.5 * 2^attempt)."""
    whole = min(0.01, 0.5 * 2.0**attempt)
    assert whole / 2 <= _backoff_s(attempt) <= whole


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


# Cost


def test_cost_per_token(fake_server: FakeServer) -> None:
    """100 tokens in at 2 dollars and 10 out at 8 dollars per million are 0.00028 dollars."""
    response = ask(fake_server, price=PER_TOKEN)[0]
    assert response.cost_usd == pytest.approx(0.00028)


def test_cost_per_hour_is_the_share_of_the_machine() -> None:
    """A second in flight with four slots costs a quarter of a second of the machine."""
    with FakeServer(slowed("good", 0.05)) as server:
        response = ask(server, price=Price(usd_per_hour=3.6), concurrency=4)[0]
    assert response.cost_usd == pytest.approx(0.001 * (response.latency_s or 0) / 4, rel=1e-3)


def test_no_price_no_cost(fake_server: FakeServer) -> None:
    """Without a price the cost is unknown, which is not zero."""
    assert ask(fake_server)[0].cost_usd is None


# Keys


def test_the_key_travels_in_its_header_only(
    fake_server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key of `api_key_env` is in Authorization and nowhere else, and in no response."""
    monkeypatch.setenv("MY_KEY", KEY)
    response = ask(fake_server, api_key_env="MY_KEY")[0]
    (chat,) = fake_server.chats
    assert chat.headers.pop("Authorization") == f"Bearer {KEY}"
    assert KEY not in str(chat)
    assert KEY not in response.model_dump_json()


def test_a_missing_key_variable_is_one_line(fake_server: FakeServer) -> None:
    """The message names the variable, and nothing was sent."""
    with pytest.raises(RunError, match="environment variable MY_KEY is not set; export") as caught:
        ask(fake_server, api_key_env="MY_KEY")
    one_line(caught.value)
    assert fake_server.received == []


def test_an_openai_key_never_goes_to_another_host(
    fake_server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OPENAI_API_KEY lies in many environments; a server that is not OpenAI does not get it."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    check_endpoint(endpoint_of(fake_server))
    assert ask(fake_server)[0].status == "ok"
    assert all("Authorization" not in r.headers for r in fake_server.received)
    assert KEY not in str(fake_server.received)


def test_other_hosts_get_the_key_made_for_them(
    fake_server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FTGATE_API_KEY is what a host of one's own gets without a word."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("FTGATE_API_KEY", "own")
    ask(fake_server)
    assert fake_server.chats[0].headers["Authorization"] == "Bearer own"


HOSTS = {
    "https://api.openai.com/v1": True, "https://eu.api.openai.com/v1": True, "https://API.OpenAI.com:443/v1": True,
    "https://notopenai.com/v1": False, "https://api.openai.com.example.org/v1": False,
    "http://localhost/openai.com/v1": False, "http://openai.com@localhost/v1": False,
}  # fmt: skip


@pytest.mark.parametrize("url", HOSTS)
def test_only_openai_itself_is_openai(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that only looks like OpenAI's gets no key."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert bool(Endpoint(url, "toy").headers()) is HOSTS[url]


def test_a_redirect_does_not_carry_the_key_along(
    fake_server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that sends us elsewhere does not get our key delivered there."""
    monkeypatch.setenv("FTGATE_API_KEY", KEY)
    there = fake_server.base_url.replace("127.0.0.1", "localhost") + "/chat/completions"
    with FakeServer(Reply(status=307, body={}, headers={"Location": there})) as server:
        ask(server, max_attempts=1)
    assert server.chats[0].headers["Authorization"] == f"Bearer {KEY}"
    assert KEY not in str(fake_server.received)


def test_blanks_around_a_key_are_no_part_of_it(
    fake_server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line break from reading the key out of a file does not end the run."""
    monkeypatch.setenv("FTGATE_API_KEY", f" {KEY}\r\n")
    assert ask(fake_server)[0].status == "ok"
    assert fake_server.chats[0].headers["Authorization"] == f"Bearer {KEY}"


def test_two_lines_are_no_key(fake_server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key with a line break inside is refused in one line that does not show it."""
    monkeypatch.setenv("MY_KEY", f"{KEY}\nX-Other: 1")
    with pytest.raises(RunError, match="variable MY_KEY holds a line break") as caught:
        ask(fake_server, api_key_env="MY_KEY")
    assert KEY not in one_line(caught.value)


@pytest.mark.parametrize("before", [0, 120, 190, 199])
@pytest.mark.parametrize("shape", ["json", "text"])
def test_a_server_that_quotes_the_key_is_not_quoted(
    shape: str, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No part of the key stands in the error, not even where the message is cut."""
    monkeypatch.setenv("MY_KEY", KEY)
    said = "x" * before + f" {KEY} is no key"
    body: Any = {"error": {"message": said}} if shape == "json" else said.encode()
    with FakeServer(
        Reply(status=401, body=body), models_reply=Reply(status=401, body=body)
    ) as server:
        endpoint = endpoint_of(server, api_key_env="MY_KEY")
        response = ask_all(endpoint, [make_request()])[0]
        with pytest.raises(RunError, match="the server refuses the key") as caught:
            check_endpoint(endpoint)
    for text in (one_line(response.error), one_line(caught.value)):
        assert "sk-" not in text
        assert text.startswith("HTTP 401: ") or "HTTP 401: " in text


# Before anything is spent


def test_a_server_that_serves_the_model_is_described(fake_server: FakeServer) -> None:
    """The names that a server lists are kept for the record of the run."""
    fake_server.models = ["other", "toy"]
    served = check_endpoint(endpoint_of(fake_server))
    assert served.served_models == ["other", "toy"]
    assert fake_server.chats == []


def test_the_check_works_inside_a_running_event_loop(fake_server: FakeServer) -> None:
    """In a notebook a loop already runs in the thread."""

    async def notebook_cell() -> list[Response]:
        check_endpoint(endpoint_of(fake_server))
        return ask(fake_server)

    assert asyncio.run(notebook_cell())[0].status == "ok"


UNUSABLE: dict[str, tuple[dict[str, Any], str]] = {
    "another model": ({"models": ["big", "small"]}, "does not serve model 'toy'; it serves 'big', 'small'"),
    "no model": ({"models": []}, "does not serve model 'toy'; it serves none"),
    "html": ({"models_reply": Reply(body=b"<html>")}, "HTTP 200 without a model list; expected an OpenAI-compatible"),
    "no list": ({"models_reply": Reply(body=[])}, "HTTP 200 without a model list"),
    "broken server": ({"models_reply": Reply(status=500, body={})}, "HTTP 500 without a model list"),
    "refused key": ({"models_reply": Reply(status=403, body={})}, "HTTP 403: .*; the server refuses the key"),
    "hanging": ({"models_reply": Reply(body={}, transport="hang")}, r"no answer \(TimeoutError\)"),
    "resetting": ({"models_reply": Reply(body={}, transport="reset")}, r"no answer \(\w+\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_server_is_one_line(name: str) -> None:
    """Unknown model, no model list, refused key or no answer: where, what, and what to do."""
    options, words = UNUSABLE[name]
    with FakeServer(**options) as server, pytest.raises(RunError, match=words) as caught:
        check_endpoint(endpoint_of(server), timeout_s=0.2 if name == "hanging" else 30)
    assert one_line(caught.value).startswith(f"{server.base_url}/models: ")


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


@pytest.mark.parametrize(
    "url", [closed_port, lambda: "localhost:8000/v1", lambda: "http://localhost:port/v1"]
)
def test_a_server_that_is_down_is_one_line(url: Callable[[], str]) -> None:
    """Nobody listens, or the address is none: one line, and at a request a failed response."""
    endpoint = Endpoint(url(), "toy", max_attempts=2)
    with pytest.raises(RunError, match=r"no answer \(\w+\); expected an OpenAI-compatible server"):
        check_endpoint(endpoint)
    response = ask_all(endpoint, [make_request()])[0]
    assert (response.status, response.attempts) == ("failed", 2)
    assert one_line(response.error).startswith("connection failed (")
