"""The journal: what was answered is kept and used again, what was not is asked again."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from fake_server import FakeServer, Reply, on_prompt, slowed
from hypothesis import given, settings
from hypothesis import strategies as st

from ftgate_ext.inference import journal as journal_module
from ftgate_ext.inference.client import Endpoint, Request, ask_all
from ftgate_ext.inference.journal import Journal, read_responses, request_hash
from ftgate_ext.judge.pairwise import Judge, Look, judge_looks
from ftgate_ext.schema import Response, RunError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOBODY = 65534

pytestmark = pytest.mark.usefixtures("quick_retries")


def make_request(prompt: str, task: str = "quiz", occurrence: int = 0) -> Request:
    payload = {"messages": [{"role": "user", "content": prompt}]}
    return Request(prompt, task, prompt, payload, occurrence)


def make_response(**changes: Any) -> Response:
    fields: dict[str, Any] = {
        "case_id": "a", "task": "quiz", "prompt_hash": "p", "occurrence": 0, "request_hash": "r",
        "model_asked": "toy", "status": "ok", "text": "yes", "finished_at": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    return Response(**fields | changes)


def run(server: FakeServer, path: Path, *requests: Request, model: str = "toy") -> list[Response]:
    """Ask with a journal that may be used again, as one process would."""
    journal = Journal(path, reuse=True)
    try:
        return ask_all(Endpoint(server.base_url, model, max_attempts=1), requests, journal)
    finally:
        journal.close()


def asked(server: FakeServer) -> list[str]:
    return sorted(r.prompt for r in server.chats)


# Using answers again


def test_good_answers_are_not_asked_again(fake_server: FakeServer, tmp_path: Path) -> None:
    """The second run gets the very same responses without a request."""
    requests = [make_request(p) for p in "abc"]
    first = run(fake_server, tmp_path / "r.jsonl", *requests)
    second = run(fake_server, tmp_path / "r.jsonl", *requests)
    assert second == first
    assert asked(fake_server) == ["a", "b", "c"]
    assert sorted(read_responses(tmp_path / "r.jsonl"), key=lambda r: r.case_id) == first


@pytest.mark.parametrize("fault", ["500", "400", "html", "no choices"])
def test_failures_are_asked_again(fault: str, tmp_path: Path) -> None:
    """A request without an answer is asked by the next run, the others are not; the answer counts."""
    path, requests = tmp_path / "r.jsonl", [make_request(p) for p in ("fine", "poison")]
    with FakeServer(on_prompt("poison", fault)) as server:
        before = run(server, path, *requests)
    with FakeServer() as server:
        after = run(server, path, *requests)
        assert asked(server) == ["poison"]
        assert run(server, path, *requests) == after
        assert asked(server) == ["poison"]
    assert before[0] == after[0]
    assert (before[1].status in {"failed", "malformed"}, after[1].status) == (True, "ok")
    assert [r.case_id for r in read_responses(path)].count("poison") == 2


@pytest.mark.parametrize("fault", ["empty", "length", "content filter"])
def test_a_poor_answer_is_an_answer(fault: str, tmp_path: Path) -> None:
    """Nothing, half an answer or a refusal is what the model said: asking again would be cheating."""
    with FakeServer([fault, "good"]) as server:
        first = run(server, tmp_path / "r.jsonl", make_request("a"))
        assert run(server, tmp_path / "r.jsonl", make_request("a")) == first
        assert len(server.chats) == 1


def test_nothing_is_used_again_unasked(fake_server: FakeServer, tmp_path: Path) -> None:
    """Without `reuse` the old lines stay where they are and every request is asked."""
    for _ in range(2):
        journal = Journal(tmp_path / "r.jsonl", reuse=False)
        endpoint = Endpoint(fake_server.base_url, "toy")
        ask_all(endpoint, [make_request("a")], journal)
        journal.close()
    assert asked(fake_server) == ["a", "a"]
    assert len(read_responses(tmp_path / "r.jsonl")) == 2


def test_models_tasks_and_settings_never_mix(fake_server: FakeServer, tmp_path: Path) -> None:
    """The same prompt to another model, in another task, or with other settings is another request."""
    path = tmp_path / "r.jsonl"
    run(fake_server, path, make_request("a"))
    run(fake_server, path, make_request("a"), model="other")
    run(fake_server, path, make_request("a", task="exam"))
    warm = make_request("a")
    warm.payload["temperature"] = 1.0
    run(fake_server, path, warm)
    assert len(fake_server.chats) == 4
    assert len({r.request_hash for r in read_responses(path)}) == 4


def test_repeats_stay_apart(tmp_path: Path) -> None:
    """The second request with the same prompt gets its own answer, also from the journal."""
    requests = [make_request("a", occurrence=i) for i in range(3)]
    with FakeServer(lambda n, _body: Reply(str(n))) as server:
        first = run(server, tmp_path / "r.jsonl", *requests)
        assert run(server, tmp_path / "r.jsonl", *requests) == first
    assert sorted(r.text for r in first) == ["0", "1", "2"]


def test_cases_that_ask_the_very_same_stay_apart(tmp_path: Path) -> None:
    """Two cases with one prompt get two answers, and after a break each its own again."""
    requests = [replace(make_request("a"), case_id=case) for case in ("x", "y")]
    path = tmp_path / "r.jsonl"
    with FakeServer(lambda n, _body: Reply(str(n))) as server:
        run(server, path, requests[0])
        first = run(server, path, *requests)
        assert [(r.case_id, r.text) for r in first] == [("x", "0"), ("y", "1")]
        assert run(server, path, *requests[::-1]) == first[::-1]
        assert len(server.chats) == 2


def test_looks_of_a_judge_at_equal_answers_stay_apart(tmp_path: Path) -> None:
    """Two cases with the same question and the same answers: the judge is asked for both, and a round
    that was broken off in between ends like one that was not.
    """
    looks = [
        Look("quiz", "production", case, case, "Is it even?", "yes", "no", "candidate", 0)
        for case in ("x", "y")
    ]
    with FakeServer(lambda n, _body: Reply(f"verdict {n}")) as server:
        judge = Judge(Endpoint(server.base_url, "toy"), max_tokens=9, seed=1)
        path = tmp_path / "judge_responses.jsonl"
        for part in (looks[:1], looks, looks):
            judged = judge_looks(judge, part, path)
        assert len(server.chats) == 2
    assert [j.case_id for j in judged] == ["x", "y"]
    kept = {r.case_id: r.text for r in read_responses(path)}
    assert kept == {"x": "verdict 0", "y": "verdict 1"}
    assert [j.response.case_id for j in judged if j.response] == ["x", "y"]


TEXTS = st.text(max_size=8)


@given(TEXTS, TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=3))
def test_request_hash_ignores_the_order_of_keys_only(
    model: str, task: str, payload: dict[str, str]
) -> None:
    """The same request has the same hash however it was built; any other value has another."""
    same = dict(reversed(payload.items()))
    assert request_hash(model, task, payload) == request_hash(model, task, same)
    assert request_hash(model, task, payload) != request_hash(model + "x", task, payload)
    assert request_hash(model, task, payload) != request_hash(model, task + "x", payload)
    assert request_hash(model, task, payload) != request_hash(
        model, task, payload | {"new key!": "x"}
    )


# The file

FINITE = st.floats(min_value=0, allow_infinity=False)
RESPONSES = st.builds(
    Response,
    case_id=TEXTS, task=TEXTS, prompt_hash=TEXTS, request_hash=TEXTS, model_asked=TEXTS, finished_at=TEXTS,
    occurrence=st.integers(0, 9), text=st.text(max_size=60), error=st.none() | TEXTS, finish_reason=st.none() | TEXTS,
    status=st.sampled_from(["ok", "empty", "truncated", "malformed", "refused_by_provider", "failed"]),
    latency_s=st.none() | FINITE, cost_usd=st.none() | FINITE, attempts=st.integers(1, 9),
    input_tokens=st.none() | st.integers(0, 10**6), output_tokens=st.none() | st.integers(0, 10**6),
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.lists(RESPONSES, max_size=4))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, responses: list[Response]
) -> None:
    """Any responses come back from the file as they were, in order, one line each."""
    path = tmp_path_factory.mktemp("journal") / "r.jsonl"
    journal = Journal(path, reuse=True)
    for response in responses:
        journal.append(response)
    journal.close()
    assert read_responses(path) == responses
    assert path.read_bytes().count(b"\n") == len(responses)


def test_a_last_line_torn_anywhere_costs_itself_only(tmp_path: Path) -> None:
    """Wherever a kill cuts the last line, the lines before are read and new ones can follow."""
    whole = make_response(text='{"verdict": {"a": "ü😀"}}').model_dump_json(exclude_none=True)
    line, path = whole.encode(), tmp_path / "r.jsonl"
    for cut in range(1, len(line)):
        path.write_bytes(line + b"\n" + line[:cut])
        assert len(read_responses(path)) == 1, line[:cut]
    for cut in (1, line.index(b"}") + 1, len(line) - 1):
        path.write_bytes(line + b"\n" + line[:cut])
        journal = Journal(path, reuse=True)
        journal.append(make_response(case_id="b"))
        journal.close()
        assert [r.case_id for r in read_responses(path)] == ["a", "b"]


@pytest.mark.parametrize("in_the_middle", [True, False])
def test_blocks_that_never_reached_the_disk_are_passed_over(
    in_the_middle: bool, tmp_path: Path
) -> None:
    """After a power loss a file may hold zeros, alone or with the end of a line behind them."""
    line, path = make_response().model_dump_json(exclude_none=True).encode(), tmp_path / "r.jsonl"
    zeros = b"\0" * 4096 + (line[20:] + b"\n" if in_the_middle else b"")
    path.write_bytes(line + b"\n" + zeros)
    journal = Journal(path, reuse=True)
    journal.append(make_response(case_id="b"))
    journal.close()
    assert [r.case_id for r in read_responses(path)] == ["a", "b"]


def test_a_whole_last_line_without_its_end_counts(tmp_path: Path) -> None:
    """Cut off between the answer and the line break, nothing is lost."""
    path = tmp_path / "r.jsonl"
    path.write_text(make_response().model_dump_json(), encoding="utf-8")
    journal = Journal(path, reuse=True)
    assert journal.find("r", 0, "a") == make_response()
    journal.append(make_response(case_id="b"))
    journal.close()
    assert len(read_responses(path)) == 2


BROKEN = {
    "words": b"hello",
    "another type": b'{"id": "golden-0001"}',
    "unknown status": make_response().model_dump_json().replace('"ok"', '"fine"').encode(),
    "unknown key": make_response().model_dump_json().replace('"text"', '"texts"').encode(),
    "list": b"[1, 2]",
    "two on one line": make_response().model_dump_json().encode() * 2,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_line_is_named(name: str, tmp_path: Path) -> None:
    """A file that was edited, or is none of ours, is refused: file, line, what to do."""
    good, path = make_response().model_dump_json().encode(), tmp_path / "r.jsonl"
    path.write_bytes(b"\n".join([good, BROKEN[name], good, b""]))
    with pytest.raises(RunError, match=r"r\.jsonl:2: .*expected a response of ftgate") as caught:
        Journal(path, reuse=True)
    assert "\n" not in str(caught.value)
    Journal(path, reuse=False).close()  # the refused journal let go of the file


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    """A journal below a file: which file, why, what to do."""
    (tmp_path / "file").touch()
    with pytest.raises(
        RunError, match=r"r\.jsonl: cannot be written \(.+\); choose another folder"
    ):
        Journal(tmp_path / "file" / "r.jsonl", reuse=True)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("where", ["folder", "file"])
def test_what_may_not_be_written_is_one_line(where: str, tmp_path: Path) -> None:
    """A folder or a journal of somebody else: which file, why, what to do."""
    path = tmp_path / "r.jsonl"
    if where == "file":
        path.touch(0o644)
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.stat().st_mode & 0o55 != 0o55 and folder.stat().st_uid == 0:
            folder.chmod(0o755)
    os.seteuid(NOBODY)
    try:
        with pytest.raises(RunError, match=r"r\.jsonl: cannot be written \(Permission denied\)"):
            Journal(path, reuse=True)
    finally:
        os.seteuid(0)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the operating system refuse to make any file larger than `size`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_ends_the_run_and_keeps_what_was_written(
    fake_server: FakeServer, tmp_path: Path
) -> None:
    """A line that does not fit is one error; the lines before stay, and the rest is asked again."""
    path, requests = tmp_path / "r.jsonl", [make_request(p) for p in "abcdef"]
    with (
        largest_file(1000),
        pytest.raises(RunError, match=r"r\.jsonl: cannot be written \(.+\); make room and run"),
    ):
        run(fake_server, path, *requests)
    kept = len(read_responses(path))
    assert 0 < kept < len(requests)
    before = len(fake_server.chats)
    assert [r.status for r in run(fake_server, path, *requests)] == ["ok"] * 6
    assert len(fake_server.chats) - before == len(requests) - kept


def test_after_a_full_disk_the_file_ends_with_a_whole_line(tmp_path: Path) -> None:
    """The half line is taken back, and nothing more is written, even where a shorter one would fit."""
    path, long = tmp_path / "r.jsonl", make_response(text="long " * 400)
    journal = Journal(path, reuse=True)
    journal.append(make_response())
    whole = path.read_bytes()
    with largest_file(1000):
        for response in (long, make_response(case_id="b")):
            with pytest.raises(RunError, match=r"cannot be written \(.+\); make room and run"):
                journal.append(response)
        assert path.read_bytes() == whole
        journal.close()


def append_for_a_while(journal: Journal) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        journal.append(make_response())
        time.sleep(0.01)


def test_a_journal_that_somebody_deletes_is_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Lines for a file that is no longer there are not written into nothing until the end."""
    monkeypatch.setattr(journal_module, "SYNC_EVERY_S", 0.01)
    journal = Journal(tmp_path / "r.jsonl", reuse=True)
    journal.append(make_response())
    (tmp_path / "r.jsonl").unlink()
    with pytest.raises(RunError, match=r"cannot be written \(somebody deleted the file\)"):
        append_for_a_while(journal)
    journal.close()


# The disk


def test_lines_are_forced_to_the_disk_now_and_then_and_never_by_the_writer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A power loss costs the last moments only, and the event loop never waits for the disk."""
    synced: list[tuple[threading.Thread, int]] = []
    fsync = os.fsync

    def watch(descriptor: int) -> None:
        fsync(descriptor)
        synced.append((threading.current_thread(), os.fstat(descriptor).st_size))

    journal = Journal(tmp_path / "r.jsonl", reuse=True)
    monkeypatch.setattr(journal_module, "SYNC_EVERY_S", 0.01)
    monkeypatch.setattr(os, "fsync", watch)
    journal.append(make_response())
    size, deadline = (tmp_path / "r.jsonl").stat().st_size, time.monotonic() + 10
    while not synced and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.05)
    assert [n for _, n in synced] == [size]  # once: nothing new came since
    assert synced[0][0] is not threading.current_thread()
    journal.append(make_response(case_id="b"))
    journal.close()
    assert synced[-1][1] == (tmp_path / "r.jsonl").stat().st_size


@pytest.mark.parametrize("when", ["in between", "at the end"])
def test_a_disk_that_loses_lines_is_reported(
    when: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A line that the disk refuses only when it is forced is an error too, told once."""

    def fail(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    journal = Journal(tmp_path / "r.jsonl", reuse=True)
    monkeypatch.setattr(journal_module, "SYNC_EVERY_S", 0.01 if when == "in between" else 60)
    monkeypatch.setattr(os, "fsync", fail)
    journal.append(make_response())
    with pytest.raises(RunError, match=r"r\.jsonl: cannot be written \(Input/output error\)"):
        journal.close() if when == "at the end" else append_for_a_while(journal)
    journal.close()


# Many lines


def write_many(path: Path, n: int) -> None:
    line = make_response(text="word " * 160).model_dump_json(exclude_none=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(line.replace('"r"', f'"{i:064x}"') + "\n" for i in range(n))


def test_a_loaded_journal_holds_no_texts(tmp_path: Path) -> None:
    """Of answers of a kilobyte each, about a hundred bytes stay in memory, and all are found."""
    path, n = tmp_path / "r.jsonl", 5000
    write_many(path, n)
    tracemalloc.start()
    journal = Journal(path, reuse=True)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held / n < 250
    assert peak / n < 350
    for i in (0, 17, n - 1):
        found = journal.find(f"{i:064x}", 0, "a")
        assert found is not None
        assert (found.request_hash, found.text) == (f"{i:064x}", "word " * 160)
    for key, occurrence, case in ((n, 0, "a"), (0, 1, "a"), (0, 0, "b")):
        assert journal.find(f"{key:064x}", occurrence, case) is None
    journal.close()


LOAD = """
import sys, time
from pathlib import Path
from ftgate_ext.inference.journal import Journal
def peak_mb():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
before, started = peak_mb(), time.perf_counter()
journal = Journal(Path(sys.argv[1]), reuse=True)
print(time.perf_counter() - started, peak_mb() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
@pytest.mark.slow
def test_a_million_lines_are_loaded_in_seconds(tmp_path: Path) -> None:
    """1.1 GB of answers: well under a minute, well under 300 MB."""
    path = tmp_path / "r.jsonl"
    write_many(path, 1_000_000)
    with python(LOAD, str(path)) as process:
        took_s, mb = map(float, process.communicate()[0].split())
    sys.stdout.write(f"1,000,000 lines: {took_s:.1f} s, {mb:.0f} MB\n")
    assert took_s < 60
    assert 10 < mb < 300


# Several processes

HOLD = """
import sys
from pathlib import Path
from ftgate_ext.inference.journal import Journal
journal = Journal(Path(sys.argv[1]), reuse=True)
print("held", flush=True)
sys.stdin.read()
"""

ASK = """
import sys
from pathlib import Path
from ftgate_ext.inference.client import Endpoint, Request, ask_all
from ftgate_ext.inference.journal import Journal
path, url = sys.argv[1:]
requests = [
    Request(str(i), "quiz", str(i), {"messages": [{"role": "user", "content": str(i)}]}) for i in range(400)
]
journal = Journal(Path(path), reuse=True)
ask_all(Endpoint(url, "toy", concurrency=4), requests, journal, lambda response, known: print(".", end="", flush=True))
"""


def python(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def wait_until_idle(server: FakeServer) -> None:
    """Let the server read and answer what a dead client still sent."""
    seen = -1
    while server.in_flight or len(server.received) != seen:
        seen = len(server.received)
        time.sleep(0.05)


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    """Two processes never write the same journal; when the first has ended, the second may."""
    path = tmp_path / "r.jsonl"
    with python(HOLD, str(path)) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match=r"r\.jsonl: another ftgate process is writing this run"):
            Journal(path, reuse=True)
        first.communicate(b"")
    Journal(path, reuse=True).close()


def test_a_disk_without_locks_is_no_second_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where a file system cannot lock, the message says so and sends nobody to look for a process."""

    def refuse(*_arguments: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(journal_module.fcntl, "flock", refuse)
    with pytest.raises(
        RunError, match=r"r\.jsonl: cannot be locked \(No locks available\); choose"
    ):
        Journal(tmp_path / "r.jsonl", reuse=True)


def test_sigkill_loses_at_most_what_was_in_flight(tmp_path: Path) -> None:
    """A process killed in mid-run leaves every finished answer; the next one asks the rest only."""
    path, in_flight = tmp_path / "r.jsonl", 4
    with FakeServer(slowed("good", 0.01)) as server:
        with python(ASK, str(path), server.base_url) as process:
            assert process.stdout is not None
            finished = len(process.stdout.read(60))
            process.kill()
            process.communicate()
        assert process.returncode == -signal.SIGKILL
        wait_until_idle(server)
        served = len(server.chats)
        kept = read_responses(path)
        assert finished <= len(kept)
        assert served - in_flight <= len(kept) <= served < 400
        assert len({r.request_hash for r in kept}) == len(kept)
        server.script = "good"
        requests = [make_request(str(i)) for i in range(400)]
        responses = run(server, path, *requests)
        assert len(server.chats) - served == 400 - len(kept)
    assert [r.case_id for r in responses] == [str(i) for i in range(400)]
    assert {r.status for r in responses} == {"ok"}
