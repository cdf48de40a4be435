"""Traces and evaluations in a real Arize Phoenix: sent, and queried back over its own API.

Runs where FTGATE_PHOENIX_PYTHON names a Python that has arize-phoenix, or `phoenix` is on the PATH.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from http import HTTPStatus
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from traced_runs import HARMFUL, write_traced

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow
PROJECT = "code review gate"
START_S = 120


def _server() -> list[str]:
    python = os.environ.get("FTGATE_PHOENIX_PYTHON")
    if python:
        return [python, "-m", "phoenix.server.main", "serve"]
    found = shutil.which("phoenix")
    return [found, "serve"] if found else []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a server with an empty database."""
    command = _server()
    if not command:
        pytest.skip("no Phoenix: set FTGATE_PHOENIX_PYTHON, or put `phoenix` on the PATH")
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    folder, port = tmp_path_factory.mktemp("phoenix"), _free_port()
    environment = {
        **os.environ, "PHOENIX_PORT": str(port), "PHOENIX_GRPC_PORT": str(_free_port()), "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_WORKING_DIR": str(folder), "PHOENIX_TELEMETRY_ENABLED": "false",
    }  # fmt: skip
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(server, url, folder / "log")
            yield url
        finally:
            server.terminate()
            server.wait(20)


def _wait_for(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and server.poll() is None:
        try:
            answered = _status(url, "/healthz")
        except OSError:
            answered = 0
        if answered == HTTPStatus.OK:
            return
        time.sleep(0.3)
    pytest.fail(f"Phoenix did not start: {log.read_text(errors='replace')[-2000:]}")


def _ask(base: str, path: str) -> tuple[int, bytes]:
    connection = HTTPConnection(base.removeprefix("http://"), timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _status(base: str, path: str) -> int:
    return _ask(base, path)[0]


def _rows(base: str, path: str) -> list[dict[str, Any]]:
    """What the API lists; nothing where there is no such project yet."""
    status, body = _ask(base, path)
    return list(json.loads(body)["data"]) if status == HTTPStatus.OK else []


def _spans(base: str, n: int) -> list[dict[str, Any]]:
    """All spans of the project, once there are `n`: Phoenix takes them in a queue."""
    found: list[dict[str, Any]] = []
    until = time.monotonic() + 30
    while time.monotonic() < until:
        found = _rows(base, f"/v1/projects/{quote(PROJECT)}/spans?limit=1000")
        if len(found) >= n:
            break
        time.sleep(0.3)
    return found


def _traces(run: Path, base: str, cwd: Path) -> dict[str, Any]:
    """`ftgate traces` as a user types it."""
    command = [sys.executable, "-m", "ftgate_ext", "traces", str(run), "--endpoint", base, "--annotate", "--json"]  # fmt: skip
    shown = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )
    assert shown.returncode == 0, shown.stderr
    return dict(json.loads(shown.stdout))


def test_traces_and_evaluations_are_queried_back(phoenix: str, tmp_path: Path) -> None:
    """Phoenix has the spans as LLM calls under their cases, their events, and scores as annotations."""
    run = write_traced(tmp_path / "run", "traces: {content: true}")
    done = _traces(run, phoenix, tmp_path)
    assert (done["sent"], done["spans"], done["problem"]) == (27, 27, None)
    spans = _spans(phoenix, 27)
    assert len(spans) == 27
    (request,) = [
        s
        for s in spans
        if s["name"] == "chat asked-candidate" and s["attributes"]["ftgate.case_id"] == "case-0"
    ]
    assert request["span_kind"] == "LLM"
    attributes = request["attributes"]
    assert (attributes["eval_run_id"], attributes["eval_set"], attributes["model"]) == ("run", "codereview_regression", "reviewer-v0")  # fmt: skip
    assert attributes["llm.token_count.prompt"] == 100, "Phoenix reads the conventions' names"
    (root,) = [s for s in spans if s["context"]["span_id"] == request["parent_id"]]
    assert (root["span_kind"], root["parent_id"]) == ("CHAIN", None)
    assert root["context"]["trace_id"] == request["context"]["trace_id"]
    events = [e for e in request["events"] if e["name"] == "gen_ai.evaluation.result"]
    assert "preferred over production" in {e["attributes"]["gen_ai.evaluation.name"] for e in events}  # fmt: skip
    (failed,) = [
        s
        for s in spans
        if s["name"] == "chat asked-production" and s["attributes"]["ftgate.case_id"] == "case-1"
    ]
    assert failed["status_code"] == "ERROR"
    assert HARMFUL not in json.dumps(spans)
    told = _annotations(phoenix, request["context"]["span_id"])
    assert told["passed"]["score"] == 1.0
    assert told["preferred over production"]["label"] == "candidate_better"


def test_sending_twice_does_not_double(phoenix: str, tmp_path: Path) -> None:
    """The same run again has the same spans and annotations."""
    run = write_traced(tmp_path / "run")
    _traces(run, phoenix, tmp_path)
    before = _spans(phoenix, 27)
    _traces(run, phoenix, tmp_path)
    time.sleep(2)
    after = _spans(phoenix, 27)
    assert len(after) == len(before) == 27
    span_id = next(s["context"]["span_id"] for s in after if s["name"] == "gate")
    told = _rows(phoenix, _annotations_path(span_id))
    assert len(told) == len({a["name"] for a in told}) == 3


def _annotations_path(span_id: str) -> str:
    return f"/v1/projects/{quote(PROJECT)}/span_annotations?span_ids={span_id}&limit=100"


def _annotations(base: str, span_id: str) -> dict[str, Any]:
    """Name -> what Phoenix holds of it, once it is there."""
    found: list[dict[str, Any]] = []
    until = time.monotonic() + 30
    while time.monotonic() < until and not found:
        found = _rows(base, _annotations_path(span_id))
        time.sleep(0.3)
    return {a["name"]: a["result"] for a in found}
