"""The embedded engine: its HTTP side with a scripted process, and the whole with real weights."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from ftgate_ext.errors import RunError
from ftgate_ext.inference import engine
from ftgate_ext.inference.client import Endpoint, Request, ask_all
from ftgate_ext.inference.engine import RunningEngine, serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ftgate_ext.schema import Response

# Speaks the protocol of the model's process; the words of the last message say what happens.
SCRIPTED_PROCESS = """
import json, os, sys
log = open(sys.argv[1] + ".log", "a")
def say(**message):
    print(json.dumps(message), flush=True)
say(ready="fp_" + sys.argv[2])
for line in sys.stdin:
    log.write(line); log.flush()
    job = json.loads(line)
    if "cancel" in job:
        continue
    words = job["messages"][-1]["content"]
    if words == "die":
        os._exit(3)
    if words == "fail":
        say(fatal="RuntimeError: out of luck"); sys.exit(1)
    if words == "refuse":
        say(id=job["id"], status=400, error="messages: too long")
    if words.startswith("half"):
        say(id=job["id"], piece="ha")
        say(id=job["id"], status=503, error="The engine ran out of cache memory.")
    if words.startswith("echo"):
        for piece in (words[5:8], words[8:9]) if job["stream"] and len(words) > 8 else ():
            say(id=job["id"], piece=piece)
        say(id=job["id"], text=words[5:], finish_reason="stop", prompt_tokens=4, completion_tokens=1)
"""


def call(url: str, body: Any = None, *, timeout: float = 60) -> tuple[int, dict[str, Any]]:
    """One HTTP request -> status and decoded body. No body: GET; bytes are sent as they are."""
    raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, raw, {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=timeout) as reply:  # noqa: S310
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def chat(running: RunningEngine, words: str, **more: Any) -> tuple[int, dict[str, Any]]:
    """Ask the model `m`."""
    messages = [{"role": "user", "content": words}]
    body = {"model": "m", "messages": messages, "temperature": 0} | more
    return call(f"{running.base_url}/chat/completions", body)


def text_of(reply: tuple[int, dict[str, Any]]) -> str:
    status, body = reply
    assert status == 200, body
    text: str = body["choices"][0]["message"]["content"]
    return text


@pytest.fixture
def weights_file(tmp_path: Path) -> Path:
    """The head of a GGUF file that says it is of 16-bit floats."""
    path = tmp_path / "toy.gguf"
    path.write_bytes(b"GGUF" + b"general.file_type" + bytes([4, 0, 0, 0, 1, 0, 0, 0]))
    return path


@pytest.fixture
def scripted(
    tmp_path: Path, weights_file: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningEngine]:
    """An engine whose model process follows the script above."""
    (tmp_path / "scripted_process.py").write_text(SCRIPTED_PROCESS)
    monkeypatch.setattr(engine, "IMPORT_ROOT", tmp_path)
    monkeypatch.setattr(engine, "WORKER_MODULE", "scripted_process")
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda _: object())
    with serve({"m": weights_file, "other": weights_file}) as running:
        yield running


def test_models_are_listed_without_loading_any(scripted: RunningEngine, weights_file: Path) -> None:
    """GET /v1/models names what is served; a model's process starts with its first request."""
    status, body = call(f"{scripted.base_url}/models")
    assert status == 200
    assert [m["id"] for m in body["data"]] == ["m", "other"]
    assert not weights_file.with_name("toy.gguf.log").exists()


def test_an_answer_carries_model_usage_and_fingerprint(scripted: RunningEngine) -> None:
    """What the process says arrives as a chat completion."""
    status, body = chat(scripted, "echo hello")
    assert status == 200
    assert body["choices"][0]["message"]["content"] == "hello"
    assert (body["model"], body["system_fingerprint"]) == ("m", "fp_exact")
    assert body["usage"]["total_tokens"] == 5


@pytest.mark.parametrize(
    ("more", "status", "param"),
    [({"model": "nobody"}, 404, "model"), ({"n": 3}, 400, "n"), ({"tools": [1]}, 400, "tools")],
)
def test_what_is_not_served_is_an_openai_error(
    scripted: RunningEngine, more: dict[str, Any], status: int, param: str
) -> None:
    """An unknown model is a 404 and a parameter that cannot be obeyed a 400; neither is guessed."""
    code, body = chat(scripted, "echo x", **more)
    assert (code, body["error"]["param"]) == (status, param)


def test_other_paths_and_broken_bodies_get_json(scripted: RunningEngine) -> None:
    """Every error of the server is JSON in the same form."""
    assert call(f"{scripted.base_url}/nothing")[1]["error"]["message"].endswith("Not Found.")
    assert call(f"{scripted.base_url}/chat/completions")[0] == 405
    assert call(f"{scripted.base_url}/chat/completions", b"{oops")[0] == 400


def test_what_the_process_refuses_is_told(scripted: RunningEngine) -> None:
    """A prompt that is too long is a 400 with the process's own words."""
    status, body = chat(scripted, "refuse")
    assert (status, body["error"]["message"]) == (400, "messages: too long")


@pytest.mark.parametrize(("words", "told"), [("die", "ended with code 3"), ("fail", "out of luck")])
def test_a_process_that_ends_fails_its_requests_and_starts_again(
    scripted: RunningEngine, words: str, told: str
) -> None:
    """A crash is a 500 that says so, never an answer; the next request has a new process."""
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(chat, scripted, "wait for ever")
        time.sleep(0.3)
        status, body = chat(scripted, words)
        assert status == 500
        assert told in body["error"]["message"]
        assert waiting.result()[0] == 500
    assert text_of(chat(scripted, "echo again")) == "again"


def test_a_client_that_goes_is_cancelled(scripted: RunningEngine, weights_file: Path) -> None:
    """A closed connection takes its job out of the process and harms nobody else."""
    body = {"model": "m", "messages": [{"role": "user", "content": "wait"}]}
    with pytest.raises(OSError, match="timed out"):
        call(f"{scripted.base_url}/chat/completions", body, timeout=0.5)
    assert text_of(chat(scripted, "echo still here")) == "still here"
    log = weights_file.with_name("toy.gguf.log")
    deadline = time.monotonic() + 10
    while '"cancel": 1' not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert '"cancel": 1' in log.read_text()


def test_closing_ends_processes_and_frees_the_port(scripted: RunningEngine) -> None:
    """After close nothing listens, and closing twice is no error."""
    assert text_of(chat(scripted, "echo x")) == "x"
    scripted.close()
    with pytest.raises(urllib.error.URLError):
        call(f"{scripted.base_url}/models")
    scripted.close()


def test_a_taken_port_is_one_line(scripted: RunningEngine, weights_file: Path) -> None:
    """The error names the address."""
    port = int(scripted.base_url.rsplit(":", 1)[1].removesuffix("/v1"))
    with pytest.raises(RunError, match=f"127.0.0.1:{port}: cannot listen"):
        serve({"m": weights_file}, port=port)


def test_without_the_extra_the_error_says_what_to_install(
    weights_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's package is optional; its absence is one line."""
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(RunError, match=r'pip install "ftgate-ext\[demo\]"'):
        serve({"m": weights_file})


def test_the_command_line_reports_what_it_cannot_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is missing ends the command with code 2 and one line."""
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda _: object())
    assert engine.main(["--model", f"m={tmp_path / 'no.gguf'}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def ask_client(running: RunningEngine, words: str, **changes: Any) -> Response:
    """Ask the model `m` through the project's own client."""
    payload = {"messages": [{"role": "user", "content": words}], "max_tokens": 24, "temperature": 0}
    endpoint = Endpoint(running.base_url, "m", max_attempts=1, **changes)
    return ask_all(endpoint, [Request("a", "t", "p", payload)])[0]


@pytest.mark.parametrize("words", ["hello there", "hi", ""])
def test_a_streamed_answer_is_the_same(scripted: RunningEngine, words: str) -> None:
    """In pieces, in one, or with nothing to say: text, usage and fingerprint are as without streaming."""
    plain = ask_client(scripted, f"echo {words}")
    streamed = ask_client(scripted, f"echo {words}", stream=True)
    own = {"latency_s": None, "first_token_s": None, "finished_at": ""}
    assert plain.text == words
    assert streamed.model_copy(update=own) == plain.model_copy(update=own)
    assert (streamed.first_token_s is not None) == bool(words)


def test_an_error_before_the_stream_is_an_ordinary_one(scripted: RunningEngine) -> None:
    """What the process refuses at once has its status, also where a stream was asked for."""
    status, body = chat(scripted, "refuse", stream=True)
    assert (status, body["error"]["message"]) == (400, "messages: too long")


def test_an_error_within_the_stream_is_no_answer(scripted: RunningEngine) -> None:
    """An answer that cannot be finished is not taken for one."""
    response = ask_client(scripted, "half", stream=True)
    assert (response.status, response.text) == ("malformed", "")
    assert "ran out of cache memory" in (response.error or "")


# From here on: real weights.

SCHEMA = {
    "type": "object",
    "properties": {"color": {"enum": ["red", "green"]}, "count": {"type": "integer"}},
    "required": ["color", "count"],
    "additionalProperties": False,
}
QUESTIONS = [f"What is {n} plus {n + 1}? Explain in one sentence." for n in range(8)]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    """SmolLM2-135M-Instruct, converted once for this file's tests."""
    pytest.importorskip("openvino_genai")
    pytest.importorskip("gguf")
    from ftgate_ext.inference.weights import find_base_weights

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        with serve({"m": find_base_weights()}) as running:
            yield running


@pytest.mark.demo
def test_greedy_answers_do_not_depend_on_concurrency(real: RunningEngine) -> None:
    """The same eight questions, one at a time and all at once, give the same eight texts."""
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda q: text_of(chat(real, q, max_tokens=20)), QUESTIONS))
    alone = [text_of(chat(real, q, max_tokens=20)) for q in QUESTIONS[:4]]
    assert together[:4] == alone
    assert len(set(together)) > 4


@pytest.mark.demo
def test_usage_and_finish_reason_are_the_models_own(real: RunningEngine) -> None:
    """Tokens are counted, not estimated; the limit and the stop text end an answer as such."""
    status, body = chat(real, "Count: 1, 2, 3, 4, 5, 6, 7, 8. Say it again.", max_tokens=6)
    assert status == 200
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 6
    assert 40 < body["usage"]["prompt_tokens"] < 80
    whole = text_of(chat(real, QUESTIONS[0], max_tokens=16))
    stop = whole[len(whole) // 2 :][:3]
    _, body = chat(real, QUESTIONS[0], max_tokens=16, stop=[stop])
    assert body["choices"][0]["message"]["content"] == whole[: whole.index(stop)]
    assert body["choices"][0]["finish_reason"] == "stop"


@pytest.mark.demo
def test_a_json_schema_is_obeyed(real: RunningEngine) -> None:
    """The text satisfies the schema, which this model never does by itself."""
    form = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}
    answer = json.loads(text_of(chat(real, "A color?", response_format=form, max_tokens=60)))
    assert answer["color"] in {"red", "green"}
    assert isinstance(answer["count"], int)


@pytest.mark.demo
def test_a_bad_schema_or_prompt_harms_nobody_else(real: RunningEngine) -> None:
    """What the engine cannot do is a 400, also while other requests are in flight."""
    bad = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "nonsense"}}}
    with ThreadPoolExecutor(4) as pool:
        good = [pool.submit(chat, real, q, max_tokens=20) for q in QUESTIONS[:2]]
        refused = pool.submit(chat, real, "x", response_format=bad)
        too_long = pool.submit(chat, real, "word " * 9000)
        assert refused.result()[0] == 400
        assert "nonsense" in refused.result()[1]["error"]["message"]
        assert too_long.result()[0] == 400
        assert "context 8192" in too_long.result()[1]["error"]["message"]
        assert all(text_of(g.result()) for g in good)


@pytest.mark.demo
def test_a_seed_reproduces_a_sample(real: RunningEngine) -> None:
    """The same seed gives the same text, another seed another one."""
    first, second, other = (
        text_of(chat(real, "Tell me a story.", temperature=1, seed=s, max_tokens=12))
        for s in (1, 1, 2)
    )
    assert first == second != other


@pytest.mark.demo
def test_the_server_answers_while_the_model_works(real: RunningEngine) -> None:
    """The model list does not wait for a step of the model."""
    with ThreadPoolExecutor(8) as pool:
        busy = [pool.submit(chat, real, q * 8, max_tokens=8) for q in QUESTIONS[:4]]
        started = time.perf_counter()
        for _ in range(5):
            assert call(f"{real.base_url}/models")[0] == 200
        assert time.perf_counter() - started < 2
        assert all(b.result()[0] == 200 for b in busy)


@pytest.mark.demo
@pytest.mark.parametrize("stop", [[], ["plus", "sum of"]])
def test_a_real_stream_is_the_same_answer(real: RunningEngine, stop: list[str]) -> None:
    """Streamed or not, alone or with others: the same text and tokens, the first of them earlier."""
    payloads = [
        {"messages": [{"role": "user", "content": q}], "max_tokens": 24, "temperature": 0, "stop": stop}
        for q in QUESTIONS[:4]
    ]  # fmt: skip
    requests = [Request(str(i), "t", "p", payload) for i, payload in enumerate(payloads)]
    plain = ask_all(Endpoint(real.base_url, "m"), requests)
    streamed = ask_all(Endpoint(real.base_url, "m", stream=True), requests)
    assert [(r.text, r.status, r.output_tokens) for r in streamed] == [
        (r.text, r.status, r.output_tokens) for r in plain
    ]
    assert all(r.first_token_s is None for r in plain)
    assert all(0 < (r.first_token_s or 0) < (r.latency_s or 0) for r in streamed if r.text)
