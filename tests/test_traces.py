"""Runs as OpenTelemetry traces: what is told, what never is, and that no receiver can do harm."""

from __future__ import annotations

import base64
import json
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from command import ftgate_here
from receivers import Answered, Receiver
from traced_runs import ANSWER, ERROR, FINISHED, HARMFUL, HOSTILE, PROMPT, REASON, write_traced

from ftgate_ext.schema import RunError
from ftgate_ext.signals import tell_others
from ftgate_ext.traces import names, send
from ftgate_ext.traces.cases import attributes_of
from ftgate_ext.traces.send import endpoint_of
from ftgate_ext.traces.spans import to_ns
from ftgate_ext.traces.stage import trace_run

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = "traces: {content: true}"
ENVIRONMENT = (
    "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES", "OTEL_EXPORTER_OTLP_HEADERS",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sends anything to a collector of the machine that it runs on."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


def plain(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    """OTLP JSON's attributes as a dictionary."""
    found: dict[str, Any] = {}
    for pair in attributes:
        ((kind, value),) = pair["value"].items()
        if kind == "arrayValue":
            value = [item["stringValue"] for item in value["values"]]
        found[pair["key"]] = int(value) if kind == "intValue" else value
    return found


def traces_of(path: Path) -> list[list[dict[str, Any]]]:
    """The spans of each line, with plain attributes."""
    traces = []
    for line in path.read_text(encoding="utf-8").splitlines():
        (resource,) = json.loads(line)["resourceSpans"]
        (scope,) = resource["scopeSpans"]
        for span in scope["spans"]:
            span["attributes"] = plain(span["attributes"])
            for event in span.get("events", []):
                event["attributes"] = plain(event["attributes"])
        traces.append(scope["spans"])
    return traces


def trace_of(path: Path, role: str, case: str) -> list[dict[str, Any]]:
    """The one trace of a case of a model."""
    (found,) = [
        t
        for t in traces_of(path)
        if (t[0]["attributes"].get("ftgate.role"), t[0]["attributes"].get("ftgate.case_id"))
        == (role, case)
    ]
    return found


def test_a_request_is_a_span_under_its_case(tmp_path: Path) -> None:
    """One trace a case and model; the child has the conventions' names for what the journal says."""
    run = write_traced(tmp_path / "run")
    assert trace_run(run).file == str(run / "traces.jsonl")
    root, request = trace_of(run / "traces.jsonl", "candidate", "case-0")
    assert (root["name"], root["kind"], "parentSpanId" in root) == ("case codereview_regression (candidate)", 1, False)  # fmt: skip
    assert (request["name"], request["kind"]) == ("chat asked-candidate", 3)
    assert request["parentSpanId"] == root["spanId"]
    assert root["traceId"] == request["traceId"]
    assert (len(root["traceId"]), len(root["spanId"])) == (32, 16)
    end = to_ns(FINISHED)
    assert (int(request["startTimeUnixNano"]), int(request["endTimeUnixNano"])) == (end - 1_500_000_000, end)  # fmt: skip
    expected = {
        "eval_run_id": "run", "model": "reviewer-v0", "eval_set": "codereview_regression",
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai_compatible",
        "gen_ai.request.model": "asked-candidate", "gen_ai.response.model": "answered-candidate",
        "gen_ai.response.finish_reasons": ["stop"], "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10, "gen_ai.usage.cache_read.input_tokens": 7,
        "server.port": 1, "server.address": "localhost",
    }  # fmt: skip
    assert {key: request["attributes"].get(key) for key in expected} == expected
    assert len(request["attributes"]["prompt_id"]) == 64
    assert "error.type" not in request["attributes"]
    assert "status" not in request


def test_scores_and_verdicts_are_evaluation_events(tmp_path: Path) -> None:
    """Metrics, the judge's looks, rubric scores and the rules of the decision: one event each."""
    run = write_traced(tmp_path / "run")
    trace_run(run)
    _, request = trace_of(run / "traces.jsonl", "candidate", "case-0")
    assert {event["name"] for event in request["events"]} == {"gen_ai.evaluation.result"}
    told = [
        (a["gen_ai.evaluation.name"], a.get("gen_ai.evaluation.score.value"), a.get("gen_ai.evaluation.score.label"))
        for a in (event["attributes"] for event in request["events"])
    ]  # fmt: skip
    assert told == [
        ("passed", 1.0, None), ("f1", None, "1 found, 0 wrong, 2 missed"),
        ("preferred over production", None, "candidate_better"), ("preferred over production", None, "candidate_better"),
        ("rubric clarity", 4.0, None),
    ]  # fmt: skip
    (gate,) = [t[0] for t in traces_of(run / "traces.jsonl") if t[0]["name"] == "gate"]
    labels = {e["attributes"]["gen_ai.evaluation.name"]: e["attributes"]["gen_ai.evaluation.score.label"] for e in gate["events"]}  # fmt: skip
    assert labels == {"verdict": "GO", "rule better at the task": "PASS", "rule no regressions": "PASS"}  # fmt: skip


def test_the_judge_has_traces_of_its_own(tmp_path: Path) -> None:
    """It judges minutes later: within the case's trace it would look like its latency."""
    run = write_traced(tmp_path / "run")
    trace_run(run)
    (judged,) = [
        t
        for t in traces_of(run / "traces.jsonl")
        if t[0]["name"].startswith("judge") and t[0]["attributes"]["ftgate.case_id"] == "case-0"
    ]
    assert [span["name"] for span in judged] == [
        "judge codereview_regression",
        *["chat judge-1"] * 2,
    ]
    root, _ = trace_of(run / "traces.jsonl", "candidate", "case-0")
    assert judged[0]["links"] == [{"traceId": root["traceId"], "spanId": root["spanId"]}]
    assert len({span["spanId"] for span in judged}) == 3


def test_a_failed_request_is_an_error_without_its_text(tmp_path: Path) -> None:
    """The error's type is the HTTP status; the server's words may quote the prompt and stay out."""
    run = write_traced(tmp_path / "run")
    trace_run(run)
    root, request = trace_of(run / "traces.jsonl", "candidate", "case-1")
    assert request["attributes"]["error.type"] == "503"
    assert request["status"] == {"code": 2}
    assert root["status"] == {"code": 2}
    assert "events" not in request, "what has no score has no evaluation"


def test_no_text_leaves_without_permission(tmp_path: Path) -> None:
    """Neither prompts nor answers, judge's reasons or servers' messages stand in the file."""
    run = write_traced(tmp_path / "run")
    assert not trace_run(run).content
    written = (run / "traces.jsonl").read_text(encoding="utf-8")
    for text in (PROMPT, ANSWER, REASON, ERROR, HARMFUL):
        assert text not in written


def test_harmful_text_never_leaves(tmp_path: Path) -> None:
    """With permission ordinary cases have their texts; safety sets and cases to refuse do not."""
    run = write_traced(tmp_path / "run", CONTENT)
    assert trace_run(run).content
    written = (run / "traces.jsonl").read_text(encoding="utf-8")
    for text in (PROMPT, ANSWER, REASON, ERROR):
        assert text in written
    assert HARMFUL not in written
    _, request = trace_of(run / "traces.jsonl", "candidate", "case-0")
    assert json.loads(request["attributes"]["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "PROMPT-TEXT case-0"}]}
    ]
    (message,) = json.loads(request["attributes"]["gen_ai.output.messages"])
    assert (message["parts"][0]["content"], message["finish_reason"]) == ("ANSWER-TEXT case-0", "stop")  # fmt: skip


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    """Ids hang on run, model, set and case alone; another run has other ids."""
    run = write_traced(tmp_path / "run")
    first, second = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    trace_run(run, to=first)
    trace_run(run, to=second)
    assert first.read_bytes() == second.read_bytes()
    trace_run(write_traced(tmp_path / "other"), to=second)
    ids = [{s["spanId"] for t in traces_of(p) for s in t} for p in (first, second)]
    assert not ids[0] & ids[1]
    counted = Counter(s["spanId"] for t in traces_of(first) for s in t)
    assert max(counted.values()) == 1


def test_an_unfinished_run_has_the_requests_that_it_has(tmp_path: Path) -> None:
    """Without results there are no scores, and no text either: what a case is about is not known."""
    run = write_traced(tmp_path / "run", CONTENT)
    for name in ("judgments.jsonl", "decision.json", "rubric_scores.jsonl"):
        (run / name).unlink()
    for path in [*run.glob("*/results_*"), *run.glob("*/samples_*")]:
        path.unlink()
    done = trace_run(run)
    assert (done.spans, done.evaluations) == (20, 0)
    written = (run / "traces.jsonl").read_text(encoding="utf-8")
    assert ANSWER not in written
    assert HARMFUL not in written


def test_answers_that_nobody_timed_have_a_case_and_scores(tmp_path: Path) -> None:
    """A model of lm-eval's own backends has no journal: no request, no latency of zero."""
    run = write_traced(tmp_path / "run")
    (run / "candidate" / "responses.jsonl").unlink()
    trace_run(run)
    (root,) = trace_of(run / "traces.jsonl", "candidate", "case-0")
    assert [e["attributes"]["gen_ai.evaluation.name"] for e in root["events"]][:2] == [
        "passed",
        "f1",
    ]
    assert "gen_ai.usage.input_tokens" not in root["attributes"]


def test_half_a_character_does_not_stop_a_trace() -> None:
    """A lone surrogate cannot be encoded by any receiver; it is replaced."""
    assert attributes_of({"model": "half \ud800", "absent": None}) == {"model": "half ?"}


@pytest.mark.parametrize(
    ("given", "environment", "expected"),
    [
        ("http://c:4318", {}, "http://c:4318/v1/traces"),
        ("http://c:4318/", {}, "http://c:4318/v1/traces"),
        ("http://c/v1/traces", {}, "http://c/v1/traces"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c/api/otel"}, "http://c/api/otel/v1/traces"),
        (None, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/own"}, "http://c/own"),
        (None, {}, None),
    ],
)
def test_the_endpoint_follows_the_specification(
    given: str | None,
    environment: dict[str, str],
    expected: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A base URL gets the path of the signal; the signal's own variable is used as it is."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert endpoint_of(given) == expected


def test_no_url_is_one_sentence() -> None:
    """What is wrong is named, and not repeated: it may hold a key."""
    for bad in ("localhost:4318", "http://host:port", "http://[::1", "file:///etc"):
        with pytest.raises(RunError, match=r"^--endpoint: expected a URL such as"):
            endpoint_of(bad)


@pytest.mark.parametrize(
    ("endpoint", "provider"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://mine.openai.azure.com/openai", "azure.ai.openai"),
        ("https://us-central1-aiplatform.googleapis.com/v1", "gcp.vertex_ai"),
        ("http://10.0.0.1:8000/v1", "openai_compatible"),
        ("https://api.openai.com.evil.example/v1", "openai_compatible"),
    ],
)
def test_the_provider_is_what_the_address_tells(endpoint: str, provider: str) -> None:
    """A server that merely speaks the API is not called by a maker's name."""
    assert names.provider_of(endpoint) == provider


def test_every_name_is_one_of_the_pinned_conventions() -> None:
    """OpenTelemetry's own package knows every `gen_ai` name that is used, and the version."""
    incubating = pytest.importorskip("opentelemetry.semconv._incubating.attributes.gen_ai_attributes", exc_type=ImportError)  # fmt: skip
    from opentelemetry.semconv.schemas import Schemas

    known = {value for value in vars(incubating).values() if isinstance(value, str)}
    used = {v for v in vars(names).values() if isinstance(v, str) and v.startswith("gen_ai.")}
    assert used - known == {names.EVALUATION_EVENT}, "events stand in another list"
    assert names.SCHEMA_URL in {schema.value for schema in Schemas}


def test_every_line_is_otlp(tmp_path: Path) -> None:
    """The protocol's own types read every line; hexadecimal ids are what OTLP JSON changes."""
    trace_pb2 = pytest.importorskip("opentelemetry.proto.trace.v1.trace_pb2")
    from google.protobuf.json_format import ParseDict

    run = write_traced(tmp_path / "run", CONTENT)
    done = trace_run(run)
    n = 0
    for line in (run / "traces.jsonl").read_text(encoding="utf-8").splitlines():
        data = ParseDict(_as_protobuf_json(json.loads(line)), trace_pb2.TracesData())
        n += len(data.resource_spans[0].scope_spans[0].spans)
    assert n == done.spans == 27


def _as_protobuf_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_protobuf_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    ids = {"traceId", "spanId", "parentSpanId"}
    return {
        k: base64.b64encode(bytes.fromhex(v)).decode() if k in ids else _as_protobuf_json(v)
        for k, v in value.items()
    }


def test_a_receiver_gets_what_the_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every span arrives with its attributes, events and links, under the headers of the user."""
    service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20s3cret")
    monkeypatch.setattr(send, "SPANS_A_REQUEST", 10)
    run = write_traced(tmp_path / "run", CONTENT)
    with Receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        done = trace_run(run)
    assert (done.sent, done.problem, done.spans) == (27, None, 27)
    assert set(receiver.paths) == {"/v1/traces"}
    assert receiver.posted[0].headers["authorization"] == "Basic s3cret"
    arrived = {}
    for post in receiver.posted:
        request = service.ExportTraceServiceRequest.FromString(post.body)
        for resource in request.resource_spans:
            assert resource.resource.attributes[0].key == "service.name"
            for span in (s for scope in resource.scope_spans for s in scope.spans):
                arrived[span.span_id.hex()] = span
    spans = [s for t in traces_of(run / "traces.jsonl") for s in t]
    assert arrived.keys() == {s["spanId"] for s in spans}
    for span in spans:
        got = arrived[span["spanId"]]
        assert (got.trace_id.hex(), got.parent_span_id.hex(), got.name, got.kind) == (
            span["traceId"], span.get("parentSpanId", ""), span["name"], span["kind"],
        )  # fmt: skip
        assert (str(got.start_time_unix_nano), str(got.end_time_unix_nano)) == (span["startTimeUnixNano"], span["endTimeUnixNano"])  # fmt: skip
        assert {a.key for a in got.attributes} == set(span["attributes"])
        assert [e.name for e in got.events] == [e["name"] for e in span.get("events", [])]
        assert got.status.code == span.get("status", {}).get("code", 0)
    assert "s3cret" not in (run / "traces.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize("answer", [Answered(401), Answered(500), Answered(delay_s=3)])
def test_a_bad_receiver_is_one_sentence_in_bounded_time(
    answer: Answered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses, breaks or hangs: the file is whole, and the user reads one line without a key."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    monkeypatch.setattr(send, "TIMEOUT_S", 0.5)
    run = write_traced(tmp_path / "run")
    with Receiver(always=answer) as receiver:
        began = time.monotonic()
        done = trace_run(run, f"{receiver.url}/secret-path")
        assert time.monotonic() - began < 2.5
    assert done.sent is None
    assert done.problem is not None
    assert "\n" not in done.problem
    assert "secret-path" not in done.problem
    assert str(answer.status) in done.problem or "does not answer" in done.problem
    assert len(traces_of(run / "traces.jsonl")) == done.spans - 14


def test_without_the_extra_the_file_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sending needs the extra and says so; writing needs nothing."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    run = write_traced(tmp_path / "run")
    shown = ftgate_here("traces", str(run), "--endpoint", "http://127.0.0.1:9", "--json", cwd=tmp_path)  # fmt: skip
    assert shown.returncode == 2
    assert shown.stderr == "ftgate: sending traces needs pip install 'ftgate-ext[otel]'; nothing was sent.\n"  # fmt: skip
    assert json.loads(shown.stdout)["spans"] == 27
    assert (run / "traces.jsonl").is_file()


def test_a_broken_run_is_no_fault_of_the_receiver(tmp_path: Path) -> None:
    """A torn file of the run is an error that names it, and no half file of traces is left."""
    run = write_traced(tmp_path / "run")
    (path,) = (run / "candidate").glob("samples_codereview_safety*")
    path.write_text("{}\n")
    with pytest.raises(RunError, match="not a sample of lm-eval"):
        trace_run(run)
    assert not list(run.glob("*traces*"))


def test_nothing_here_breaks_a_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wrong at the end of `gate` is a line, one for each thing."""
    run = write_traced(tmp_path / "run", "alerts: {webhook_env: FTGATE_TEST_NOT_SET}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "no url")
    said: list[str] = []
    tell_others(run, run / "gate.yaml", said.append)
    assert said == [
        "Traces: OTEL_EXPORTER_OTLP_ENDPOINT: expected a URL such as http://localhost:4318.",
        "Alerts: FTGATE_TEST_NOT_SET: the environment variable with the webhook's URL is not set.",
    ]


def test_gate_writes_the_file_and_says_nothing(tmp_path: Path) -> None:
    """Where nobody listens the end of `gate` is silent, and the file is there."""
    run = write_traced(tmp_path / "run")
    said: list[str] = []
    tell_others(run, run / "gate.yaml", said.append)
    assert said == []
    assert traces_of(run / "traces.jsonl")


def test_a_hostile_name_stays_data(tmp_path: Path) -> None:
    """The id of a case arrives as it is; it is JSON that keeps it from doing anything."""
    run = write_traced(tmp_path / "run")
    trace_run(run)
    root, _ = trace_of(run / "traces.jsonl", "candidate", HOSTILE)
    assert root["name"] == "case codereview_regression (candidate)"
