"""What is asked of a server before anything is spent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asking import ask, closed_port, endpoint_of, make_request, one_line
from fake_server import FakeServer, Reply

from ftgate_ext.inference.client import Endpoint, ask_all, check_endpoint
from ftgate_ext.schema import Response, RunError

pytestmark = pytest.mark.usefixtures("quick_retries")


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


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{closed}/v1", "localhost:8000/v1", "http://localhost:port/v1"]
)
def test_a_server_that_is_down_is_one_line(url: str) -> None:
    """Nobody listens, or the address is none: one line, before anything was asked and at a request."""
    url = url.format(closed=closed_port())
    endpoint = Endpoint(url, "toy", max_attempts=2)
    with pytest.raises(RunError, match=r"no answer \(\w+\); expected an OpenAI-compatible server"):
        check_endpoint(endpoint)
    with pytest.raises(RunError, match=r"gone for 0\.2 s .*no answer \(\w+\)") as caught:
        ask_all(endpoint, [make_request()])
    assert one_line(caught.value).startswith(url)


# Several servers of one model


def test_a_replica_that_is_down_is_a_warning(fake_server: FakeServer) -> None:
    """One server of two suffices to begin; what is wrong with the other is recorded."""
    down = f"http://127.0.0.1:{closed_port()}/v1"
    served = check_endpoint(Endpoint(down, "toy", more_urls=(fake_server.base_url,)))
    assert served.served_models == ["toy"]
    assert served.endpoint == f"{down}, {fake_server.base_url}"
    (warning,) = served.warnings
    assert one_line(warning).startswith(f"{down}/models: no answer (")


def test_all_replicas_down_is_an_error() -> None:
    """With no server left there is nothing to ask."""
    urls = [f"http://127.0.0.1:{closed_port()}/v1" for _ in range(2)]
    with pytest.raises(RunError, match=r"no answer \(ClientConnectorError\)"):
        check_endpoint(Endpoint(urls[0], "toy", more_urls=(urls[1],)))


@pytest.mark.parametrize("first", [True, False])
def test_replicas_of_different_models_are_an_error(first: bool, fake_server: FakeServer) -> None:
    """A server of another model is no replica, whichever of them stands first."""
    with FakeServer(models=["big"]) as other:
        servers = [other, fake_server] if first else [fake_server, other]
        with pytest.raises(RunError, match="does not serve model 'toy'; it serves 'big'") as caught:
            check_endpoint(endpoint_of(*servers))
        assert one_line(caught.value).startswith(f"{other.base_url}/models: ")


def test_a_replica_that_refuses_the_key_is_an_error(fake_server: FakeServer) -> None:
    """A key that one of them does not take would lose its share of the requests."""
    with (
        FakeServer(models_reply=Reply(status=401, body={})) as other,
        pytest.raises(RunError, match="refuses the key"),
    ):
        check_endpoint(endpoint_of(fake_server, other))
