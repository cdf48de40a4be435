"""The wire format: what a request may say, and that nothing in it is passed over in silence."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftgate_ext.inference.chat_api import (
    Answer,
    ChatError,
    ChunkWriter,
    completion_body,
    parse_chat_request,
)
from ftgate_ext.inference.stream import assemble

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def parse(**more: Any) -> Any:
    return parse_chat_request(json.dumps(ASK | more).encode())


def test_a_plain_request_gets_the_protocols_defaults() -> None:
    """What is left out, or null, has the value that OpenAI documents."""
    request = parse(temperature=None, stop=None)
    assert (request.temperature, request.top_p, request.seed) == (1.0, 1.0, None)
    assert (request.stop, request.json_schema) == ([], None)
    assert request.messages == [{"role": "user", "content": "hi"}]


def test_every_parameter_reaches_the_job() -> None:
    """The engine's process gets what was asked, the model's name left out."""
    schema = {"type": "object"}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    job = parse(
        max_tokens=5, max_completion_tokens=7, temperature=0, top_p=0.5, seed=-1, stop="#",
        response_format=form, user="u", n=1, stream=True, stream_options={"include_usage": True},
    ).job()  # fmt: skip
    assert json.loads(job.pop("json_schema")) == schema
    assert job == {
        "messages": ASK["messages"], "max_tokens": 7, "temperature": 0.0, "top_p": 0.5,
        "seed": (1 << 63) - 1, "stop": ["#"], "stream": True,
    }  # fmt: skip


def test_text_parts_are_joined_and_half_characters_replaced() -> None:
    """Content may come in parts; a lone surrogate cannot reach a tokenizer."""
    parts = [{"type": "text", "text": "a\ud800"}, {"type": "text", "text": "b"}]
    assert parse(messages=[{"role": "user", "content": parts}]).messages[0]["content"] == "a?b"


def test_json_object_is_a_schema_too() -> None:
    """The older form of response_format is obeyed."""
    assert parse(response_format={"type": "json_object"}).json_schema == '{"type": "object"}'


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": []}, "stream_options"),
        ({"stream_options": {"include_usage": 1}}, "stream_options"),
        ({"logprobs": True}, "logprobs"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"guided_json": {}}, "guided_json"),
        ({"model": 3}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": ["hi"]}, "messages"),
        ({"messages": [{"role": "robot", "content": "hi"}]}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"seed": 1 << 64}, "seed"),
        ({"stop": [""]}, "stop"),
        ({"stop": {"a": 1}}, "stop"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": "json"}, "response_format"),
    ],
)
def test_what_cannot_be_obeyed_is_refused(more: dict[str, Any], param: str) -> None:
    """A 400 that names the parameter, in the form that OpenAI's clients read."""
    with pytest.raises(ChatError) as caught:
        parse(**more)
    error = caught.value.body()["error"]
    assert caught.value.status == 400
    assert error["type"] == "invalid_request_error"
    assert error["param"].partition(".")[0] == param
    assert param in error["message"]


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_request_is_refused(raw: bytes) -> None:
    """Whatever the bytes are, the answer is a 400."""
    with pytest.raises(ChatError, match="The body is not"):
        parse_chat_request(raw)


def test_a_completion_has_what_clients_read() -> None:
    """Usage adds up, and model, fingerprint and finish reason are there."""
    body = completion_body(parse(), Answer("yes", "length", 7, 3, "fp_x"))
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "yes"}
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    assert (body["model"], body["system_fingerprint"]) == ("m", "fp_x")
    assert body["id"] != completion_body(parse(), Answer("yes", "stop", 7, 3, "fp_x"))["id"]


@given(st.lists(st.text(min_size=1, max_size=9), max_size=5), st.booleans())
def test_a_stream_is_read_as_the_completion_that_it_is(pieces: list[str], usage: bool) -> None:
    """What the engine writes in pieces, the client puts together again; usage where it was asked for."""
    request = parse(stream=True, stream_options={"include_usage": usage})
    answer, writer = Answer("".join(pieces), "length", 7, 3, "fp_x"), ChunkWriter(request)
    events = [writer.piece(text, first=i == 0) for i, text in enumerate(pieces)]

    async def packets() -> AsyncIterator[bytes]:
        for event in [*events, writer.ending(answer)]:
            yield event

    streamed = asyncio.run(assemble(packets()))
    body, plain = streamed.completion(), completion_body(request, answer)
    assert streamed.is_whole
    assert body["choices"][0]["message"]["content"] == answer.text
    assert body["choices"][0]["finish_reason"] == "length"
    assert (body["model"], body["system_fingerprint"]) == ("m", "fp_x")
    assert body["usage"] == (plain["usage"] if usage else None)
