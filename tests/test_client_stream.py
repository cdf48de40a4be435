"""Streamed answers: the same responses as without, and the time to the first token."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from asking import PER_TOKEN, ask, endpoint_of, make_request
from fake_server import GOOD, FakeServer, Reply
from hypothesis import given
from hypothesis import strategies as st

from ftgate_ext.inference.client import ask_all
from ftgate_ext.inference.stream import assemble

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ftgate_ext.inference.stream import Streamed
    from ftgate_ext.schema import Response

pytestmark = pytest.mark.usefixtures("quick_retries")


def stream(server: FakeServer, **changes: Any) -> Response:
    return ask(server, stream=True, **changes)[0]


def test_a_streamed_answer_is_the_same_answer(fake_server: FakeServer) -> None:
    """Text, usage, finish reason, model, fingerprint and cost are as they are without streaming."""
    plain, streamed = ask(fake_server, price=PER_TOKEN)[0], stream(fake_server, price=PER_TOKEN)
    own = {"latency_s": None, "first_token_s": None, "finished_at": ""}
    assert streamed.model_copy(update=own) == plain.model_copy(update=own)
    assert plain.text == GOOD
    body = fake_server.chats[1].body
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


def test_the_first_token_has_its_own_time() -> None:
    """Pieces 40 ms apart: the role comes first and is no token; the text begins with the second."""
    with FakeServer(Reply(delay_s=0.05, piece_delay_s=0.04)) as server:
        response = stream(server)
    first, whole = response.first_token_s or 0, response.latency_s or 0
    assert 0.05 + 2 * 0.04 <= first < whole
    assert whole >= 0.05 + 8 * 0.04


STREAMED = {
    "empty": ("empty", "stop"), "null content": ("empty", "stop"), "tool calls": ("empty", "tool_calls"),
    "content filter": ("refused_by_provider", "content_filter"), "length": ("truncated", "length"),
}  # fmt: skip


@pytest.mark.parametrize("fault", STREAMED)
def test_streamed_outcomes_are_the_same(fault: str) -> None:
    """Nothing, half an answer, tool calls or a refusal: as typed as without streaming."""
    with FakeServer(fault) as server:
        response = stream(server)
    assert (response.status, response.finish_reason) == STREAMED[fault]
    assert response.attempts == 1


@pytest.mark.parametrize("fault", ["cut off", "reset", "hang", "429", "500"])
def test_a_stream_that_breaks_off_is_asked_again(fault: str) -> None:
    """Half a stream is no answer: nothing of it stays, and the next attempt counts."""
    with FakeServer([fault, "good"]) as server:
        response = stream(server, timeout_s=0.3)
    assert (response.status, response.attempts, response.text) == ("ok", 2, GOOD)


def test_a_stream_that_trickles_ends_with_its_timeout() -> None:
    """A server that sends a little for ever is a server that does not answer in time."""
    with FakeServer(Reply(piece_delay_s=0.1)) as server:
        response = stream(server, timeout_s=0.25, max_attempts=2)
    assert (response.status, response.attempts) == ("failed", 2)
    assert (response.text, response.first_token_s, response.latency_s) == ("", None, None)
    assert response.error == "no answer within 0.25 s"


def test_plain_json_is_accepted() -> None:
    """A server that does not stream answers as it can; then there is no time of a first token."""
    with FakeServer(Reply(streams=False)) as server:
        response = stream(server)
    assert (response.status, response.text, response.first_token_s) == ("ok", GOOD, None)
    assert (response.input_tokens, response.output_tokens) == (100, 10)


def test_no_usage_in_a_stream_is_estimated() -> None:
    """Many servers leave usage out of a stream."""
    with FakeServer(Reply("x" * 40, usage=None)) as server:
        response = stream(server)
    assert (response.output_tokens, response.tokens_estimated) == (10, True)


def chunk(content: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    choice = {"delta": {} if content is None else {"content": content}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice], **more}).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
BROKEN: dict[str, tuple[list[bytes], str, str]] = {
    "error in mid-stream": ([chunk("yes"), b'data: {"error": {"message": "out of memory"}}\n\n'], "malformed", "out of memory"),
    "no JSON": ([chunk("yes"), b"data: <html>\n\n", DONE], "malformed", "<html>"),
    "a list": ([b"data: []\n\n", DONE], "malformed", "HTTP 200 without choices"),
    "text in parts": ([b'data: {"choices": [{"delta": {"content": [1]}}]}\n\n', DONE], "malformed", "HTTP 200 without choices"),
    "nothing but an end": ([DONE], "malformed", "HTTP 200 without choices"),
    "no end": ([chunk("yes"), chunk(" and")], "failed", "the stream ended before the answer did"),
    "nothing at all": ([], "failed", "the stream ended before the answer did"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_stream_is_no_answer(name: str) -> None:
    """An error among the events, no JSON, or no end: failed or malformed, with the reason."""
    events, status, words = BROKEN[name]
    with FakeServer(Reply(events=events)) as server:
        response = stream(server, max_attempts=2)
    assert (response.status, response.attempts, response.text) == (status, 2, "")
    assert words in (response.error or "")


def test_what_belongs_to_no_answer_is_passed_over() -> None:
    """Comments, other fields, events without choices and a missing blank do no harm."""
    events = [
        b": ping\r\n\r\n", b"event: message\n", b"id: 7\n", b'data: {"type": "ping"}\n\n', b"data:\n\n",
        chunk("yes").replace(b"data: ", b"data:").replace(b"\n", b"\r\n"), chunk(finish="stop"),
        b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}\n\n',
    ]  # fmt: skip
    with FakeServer(Reply(events=events)) as server:
        response = stream(server)
    assert (response.status, response.text, response.input_tokens) == ("ok", "yes", 3)


def test_thoughts_are_tokens_too() -> None:
    """A model that thinks first has sent its first token with its first thought."""
    thought = b'data: {"choices": [{"delta": {"reasoning_content": "hm"}}]}\n\n'
    events = [thought, chunk("yes"), chunk(finish="stop"), DONE]
    with FakeServer(Reply(events=events, piece_delay_s=0.05)) as server:
        response = stream(server)
    assert response.text == "yes"
    assert (response.first_token_s or 9) < 0.1 < (response.latency_s or 0)


TEXTS = st.lists(st.text(max_size=12), max_size=6)


def assembled(raw: bytes, cuts: list[int]) -> Streamed:
    """Assemble bytes that come in with these cuts."""
    at = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})

    async def chunks() -> AsyncIterator[bytes]:
        for start, end in pairwise(at):
            yield raw[start:end]

    return asyncio.run(assemble(chunks()))


@given(TEXTS, st.lists(st.integers(0, 5000), max_size=8))
def test_cuts_between_packets_do_not_matter(texts: list[str], cuts: list[int]) -> None:
    """However the network cuts a stream, between the bytes of a character too, the text is whole."""
    raw = b"".join([*(chunk(t) for t in texts), chunk(finish="stop"), DONE])
    streamed = assembled(raw, cuts)
    assert streamed.is_whole
    text = streamed.completion()["choices"][0]["message"]["content"]
    assert text == "".join(texts)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=4))
def test_no_bytes_whatsoever_stop_a_run(raw: bytes, cuts: list[int]) -> None:
    """Any bytes in place of a stream give an answer or none, and no exception."""
    streamed = assembled(b"data: " + raw, cuts)
    assert isinstance(streamed.completion(), dict)


def test_streams_at_once_do_not_mix() -> None:
    """Sixteen streams at a time: every text stands with its own request."""
    prompts = [f"question {i}" for i in range(48)]
    with FakeServer(lambda _n, body: Reply(body["messages"][-1]["content"] * 9)) as server:
        endpoint = endpoint_of(server, stream=True, concurrency=16)
        responses = ask_all(endpoint, [make_request(p) for p in prompts])
    assert [r.text for r in responses] == [p * 9 for p in prompts]
