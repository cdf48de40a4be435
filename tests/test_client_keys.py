"""Keys: from the environment to the right host, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest
from asking import KEY, ask, endpoint_of, make_request, one_line
from fake_server import FakeServer, Reply

from ftgate_ext.inference.client import Endpoint, ask_all, check_endpoint
from ftgate_ext.schema import RunError

pytestmark = pytest.mark.usefixtures("quick_retries")


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
