"""The client against a real server that misbehaves: every request ends in a typed response."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from asking import PER_TOKEN, ask, endpoint_of, make_request, make_requests, one_line
from fake_server import FakeServer, Reply, on_prompt, slowed
from hypothesis import given, settings
from hypothesis import strategies as st

from ftgate_ext.inference.client import ask_all
from ftgate_ext.inference.journal import Journal, read_responses
from ftgate_ext.schema import Price, Response

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("quick_retries")


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
def test_tokens_that_the_server_does_not_count_are_estimated(usage: Any) -> None:
    """A quarter of the characters, and 4 for the message; marked, and no ground for a cost."""
    with FakeServer(Reply("x" * 41, usage=usage)) as server:
        response = ask(server, "12345678", price=PER_TOKEN)[0]
    assert (response.status, response.tokens_estimated) == ("ok", True)
    assert (response.input_tokens, response.output_tokens, response.cost_usd) == (6, 11, None)


def test_one_count_of_two_is_half_an_estimate() -> None:
    """What the server counts is taken, what it does not is estimated, and the whole is marked."""
    with FakeServer(Reply("x" * 40, usage={"prompt_tokens": 7})) as server:
        response = ask(server, price=PER_TOKEN)[0]
    assert (response.input_tokens, response.output_tokens) == (7, 10)
    assert (response.tokens_estimated, response.cost_usd) == (True, None)


@pytest.mark.parametrize("count", [-1, 10**400])
def test_a_count_that_cannot_be_is_none(count: int) -> None:
    """A number of tokens below 0 or beyond reason is not believed, and breaks nothing."""
    usage = {"prompt_tokens": count, "completion_tokens": 5}
    with FakeServer(Reply(usage=usage)) as server:
        response = ask(server, "12345678", price=PER_TOKEN)[0]
    assert (response.input_tokens, response.tokens_estimated) == (6, True)


def test_an_hour_of_the_machine_needs_no_tokens() -> None:
    """Where the machine is paid, estimated tokens do not make the cost an estimate."""
    with FakeServer(Reply(usage=None)) as server:
        response = ask(server, price=Price(usd_per_hour=3.6))[0]
    assert response.tokens_estimated
    assert response.cost_usd == pytest.approx(0.001 * (response.latency_s or 0), rel=1e-3)


def test_a_response_records_who_answered_and_how(fake_server: FakeServer) -> None:
    """Model, fingerprint, tokens, finish reason, status and the load stand in every response."""
    response = ask(fake_server, concurrency=3)[0]
    assert (response.model_asked, response.model_answered) == ("toy", "toy")
    assert (response.system_fingerprint, response.finish_reason) == ("fp_toy", "stop")
    assert (response.input_tokens, response.output_tokens) == (100, 10)
    assert not response.tokens_estimated
    assert (response.http_status, response.concurrency, response.endpoint) == (200, 1, None)
    assert response.first_token_s is None
    assert datetime.fromisoformat(response.finished_at).tzinfo is not None


def test_the_load_is_what_was_in_flight() -> None:
    """Six requests through three slots: never more than three at once, this one included."""
    with FakeServer(slowed("good", 0.05)) as server:
        responses = ask(server, *"abcdef", concurrency=3)
    assert [r.concurrency for r in responses[:3]] == [1, 2, 3]
    assert {r.concurrency for r in responses[3:]} <= {1, 2, 3}


@pytest.mark.parametrize(
    ("fault", "status"),
    [("500", 500), ("400", 400), ("html", 200), ("reset", None), ("hang", None)],
)
def test_the_last_http_status_is_recorded(fault: str, status: int | None) -> None:
    """The status of the last attempt, which is none where the connection failed."""
    with FakeServer(["429", fault]) as server:
        response = ask(server, max_attempts=2, timeout_s=0.2)[0]
    assert response.http_status == status


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


# What a large run may hold


def test_no_task_and_no_place_for_every_request() -> None:
    """However many are to be asked, so many coroutines live as may be in flight, and few retries wait."""
    alive: list[int] = []
    with FakeServer(lambda n, _body: "500" if n % 2 else "good") as server:
        ask_all(
            endpoint_of(server, concurrency=4, max_attempts=9, adaptive=False), make_requests(300),
            on_response=lambda _response, _known: alive.append(len(asyncio.all_tasks())),
        )  # fmt: skip
    assert max(alive) <= 4 + 6


def test_bodies_are_not_kept() -> None:
    """Forty answers with 400 KB of whatever beside the text: none of it outlives its request."""
    body = {
        "choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}],
        "logprobs": "x" * 400_000,
    }
    raw = json.dumps(body).encode()
    with FakeServer(Reply(body=raw)) as server:
        tracemalloc.start()
        try:
            responses = ask_all(endpoint_of(server, concurrency=2), make_requests(40))
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert len(responses) == 40
    assert kept < 3_000_000


def test_an_answer_is_in_the_journal_before_it_is_reported(
    fake_server: FakeServer, tmp_path: Path
) -> None:
    """Whoever kills the process after a report finds what was reported."""
    path, missing = tmp_path / "r.jsonl", list[str]()

    def report(response: Response, _known: bool) -> None:
        if response not in read_responses(path):
            missing.append(response.case_id)

    journal = Journal(path, reuse=True)
    ask_all(endpoint_of(fake_server, concurrency=4), make_requests(30), journal, report)
    journal.close()
    assert missing == []


# Cost


def test_cost_per_token(fake_server: FakeServer) -> None:
    """100 tokens in at 2 dollars and 10 out at 8 dollars per million are 0.00028 dollars."""
    response = ask(fake_server, price=PER_TOKEN)[0]
    assert response.cost_usd == pytest.approx(0.00028)


def test_cached_tokens_are_cheaper() -> None:
    """Of 100 tokens in, 60 come from the cache at a tenth of the price."""
    price = PER_TOKEN.model_copy(update={"cached_input_usd_per_mtok": 0.2})
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 60},
    }
    with FakeServer(Reply(usage=usage)) as server:
        response = ask(server, price=price)[0]
        dearer = ask(server, price=PER_TOKEN)[0]
    assert response.cached_input_tokens == 60
    assert response.cost_usd == pytest.approx((40 * 2.0 + 60 * 0.2 + 10 * 8.0) / 1e6)
    assert dearer.cost_usd == pytest.approx((100 * 2.0 + 10 * 8.0) / 1e6)


def test_cost_per_hour_is_the_share_of_the_machine() -> None:
    """A second in flight beside three others costs a quarter of a second of the machine."""
    with FakeServer(slowed("good", 0.05)) as server:
        responses = ask(server, *"abcd", price=Price(usd_per_hour=3.6), concurrency=4)
    for at_once, response in enumerate(responses, start=1):
        share = 0.001 * (response.latency_s or 0) / at_once
        assert response.cost_usd == pytest.approx(share, rel=1e-3)


def test_no_price_no_cost(fake_server: FakeServer) -> None:
    """Without a price the cost is unknown, which is not zero."""
    assert ask(fake_server)[0].cost_usd is None
