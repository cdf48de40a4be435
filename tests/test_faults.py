"""Whole runs against a server that misbehaves: what the user sees, and what is in the files."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import pytest
from command import ftgate as typed
from command import ftgate_here as ftgate
from fake_server import FakeServer, Reply
from lm_eval.loggers import evaluation_tracker
from quiz import MODELS, answers, lines, load, number_of, right, samples, the_run, write_quiz

from ftgate_ext.evalset import loaded_sets
from ftgate_ext.inference import replicas
from ftgate_ext.inference.endpoint import Endpoint
from ftgate_ext.inference.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fake_server import Answer, Script
    from typing_extensions import Self

pytestmark = pytest.mark.usefixtures("quick_retries")

N = 20
BROKEN = 7
"""The question that a fault hits."""

# One request in twenty


class Fault(NamedTuple):
    """What the fault of one request must look like in the files."""

    status: str
    http_status: int | None = 200
    attempts: int = 1
    error: str | None = None
    """Why there is no answer to score; None where there is one, be it a bad one."""


FAULTS = {
    "429": Fault("failed", 429, 2, "HTTP 429: Too many requests"),
    "429 retry-after": Fault("failed", 429, 2, "HTTP 429: Too many requests"),
    "500": Fault("failed", 500, 2, "HTTP 500: The server had an error"),
    "400": Fault("failed", 400, 1, r"HTTP 400: This model's maximum context length is 10 tokens"),
    "reset": Fault("failed", None, 2, r"connection failed \(\w+\)"),
    "cut off": Fault("failed", None, 2, r"connection failed \(\w+\)"),
    "hang": Fault("failed", None, 2, r"no answer within 0\.1 s"),
    "trickle": Fault("failed", None, 2, r"no answer within 0\.1 s"),
    "html": Fault("malformed", 200, 2, "HTTP 200 without JSON: <html> <body>Bad gateway</body> </html>"),
    "truncated json": Fault("malformed", 200, 2, r'HTTP 200 without JSON: \{"id": "x", "choices".*'),
    "error body": Fault("malformed", 200, 2, 'HTTP 200 without choices: .*"out of memory".*'),
    "no choices": Fault("malformed", 200, 2, r'HTTP 200 without choices: \{"id": "x", "choices": \[\]\}'),
    "null content": Fault("empty"),
    "empty": Fault("empty"),
    "tool calls": Fault("empty"),
    "content filter": Fault("refused_by_provider"),
    "length": Fault("truncated"),
}  # fmt: skip
QUICK = "concurrency: 4, max_attempts: 2, timeout_s: 0.1"


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_one_request_in_twenty(name: str, tmp_path: Path) -> None:
    """Without an answer it is left out, counted, above the error budget, and asked again by the same
    command; with a bad answer it is wrong, and nothing is asked again.
    """
    fault = FAULTS[name]
    with FakeServer(answers({BROKEN: name}), models=MODELS) as server:
        write_quiz(tmp_path, server.base_url, N, QUICK)
        done = ftgate("gate", cwd=tmp_path)
        run, asked = the_run(tmp_path), len(server.chats)
        _check_files(run, fault)
        unanswered = "candidate on quiz: 1 of 20 requests have no answer.\n"
        assert (unanswered in done.stderr) == (fault.error is not None), done.stderr
        (rule,) = load(run / "decision.json")["rules"]
        if fault.error is None:
            assert (done.returncode, rule["outcome"], asked) == (0, "PASS", 2 * N), done.stderr
            return
        assert (done.returncode, rule["outcome"]) == (3, "INCONCLUSIVE")
        assert "1 of 20 cases (5.0%) have no answer, above the error budget" in rule["sentence"]
        server.script = answers()
        again = ftgate("gate", cwd=tmp_path)
        assert (again.returncode, len(server.chats) - asked) == (0, 1), again.stdout + again.stderr
    assert the_run(tmp_path) == run
    assert load(run / "comparisons.json")["comparisons"][0]["n_pairs"] == N


def _check_files(run: Path, fault: Fault) -> None:
    """Journal, samples and comparison after one fault."""
    case, unscored = f"q{BROKEN:04}", fault.error is not None
    journal = lines(run / "candidate" / "responses.jsonl")
    assert len(journal) == N
    (line,) = [row for row in journal if row["case_id"] == case]
    found = (line["status"], line.get("http_status"), line["attempts"])
    assert found == (fault.status, fault.http_status, fault.attempts)
    assert ("latency_s" in line, "error" in line) == (not unscored, unscored)
    if fault.error is not None:
        assert re.fullmatch(fault.error, line["error"]), line["error"]
    scores = {sample["doc"]["id"]: sample["exact_match"] for sample in samples(run / "candidate")}
    assert (len(scores), sum(scores.values()), scores[case]) == (N, N - 1, 0)
    (pair,) = load(run / "comparisons.json")["comparisons"]
    assert (pair["n_pairs"], pair["n_excluded"]) == (N - unscored, unscored)
    assert pair["candidate_estimate"]["value"] == pytest.approx(1 if unscored else 1 - 1 / N)
    whole = next(
        o for o in load(run / "comparisons.json")["operations"] if o["role"] == "candidate"
    )
    assert whole["statuses"] == {"ok": N - 1, fault.status: 1}


# The server


@pytest.mark.parametrize("name", ["429", "429 retry-after", "500"])
def test_a_burst_of_refusals_is_waited_out(name: str, tmp_path: Path) -> None:
    """The first twelve requests are refused: all are asked again, nothing is lost, the gate decides."""

    def script(n: int, body: dict[str, Any]) -> Answer:
        return name if n < 12 else answers()(n, body)

    with FakeServer(script, models=MODELS) as server:
        write_quiz(tmp_path, server.base_url, N, "concurrency: 4, max_attempts: 5")
        done = ftgate("gate", cwd=tmp_path)
        assert (done.returncode, len(server.chats)) == (0, 2 * N + 12), done.stdout + done.stderr
    journal = lines(the_run(tmp_path) / "candidate" / "responses.jsonl")
    assert {row["status"] for row in journal} == {"ok"}
    assert sum(row["attempts"] - 1 for row in journal) == 12


def test_a_server_that_restarts_is_waited_for_and_the_change_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Down in mid-run and back as another version: all is answered, and everybody is told."""
    monkeypatch.setattr(replicas, "BACK_WITHIN_S", 10)
    servers: list[FakeServer] = []

    def restart() -> None:
        servers[0].__exit__(None, None, None)
        time.sleep(0.2)
        newer = FakeServer(versioned("fp_new"), models=MODELS, port=servers[0].port)
        servers.append(newer.__enter__())

    restarting = threading.Thread(target=restart)

    def versioned(fingerprint: str) -> Script:
        def script(n: int, body: dict[str, Any]) -> Answer:
            if fingerprint == "fp_old" and n == 12:
                restarting.start()
            text = right(number_of(body))
            return Reply(text, delay_s=0.01, fields={"system_fingerprint": fingerprint})

        return script

    with FakeServer(versioned("fp_old"), models=MODELS) as server:
        servers.append(server)
        write_quiz(tmp_path, server.base_url, N)
        done = ftgate("gate", cwd=tmp_path)
    restarting.join()
    servers[1].__exit__(None, None, None)
    assert done.returncode == 0, done.stdout + done.stderr
    run = the_run(tmp_path)
    assert [s["doc"]["id"] for s in samples(run / "candidate")] == [f"q{i:04}" for i in range(N)]
    assert sum(len(s.chats) for s in servers) <= 2 * N + 4
    (warning,) = load(run / "run.json")["warnings"]
    assert warning.startswith("candidate: the server changed in mid-run: `system_fingerprint` was")
    counts = [int(n) for n in re.findall(r"'fp_\w+' in (\d+) answer", warning)]
    assert sum(counts) == N
    assert f"Warning: {warning}\n" in done.stderr
    assert load(run / "decision.json")["warnings"] == [warning]
    assert "The server changed" in done.stdout or "the server changed" in done.stdout


def test_a_server_that_lists_other_models_after_a_break_is_told(tmp_path: Path) -> None:
    """The resumed run says what is new, at its end and beside the decision, with the time."""
    with FakeServer(answers({3: "500"}), models=MODELS) as server:
        write_quiz(tmp_path, server.base_url, N)
        first = ftgate("gate", cwd=tmp_path)
        server.script, server.models = answers(), [*MODELS, "newer"]
        done = ftgate("gate", cwd=tmp_path)
    assert "Warning" not in first.stderr
    decision = load(the_run(tmp_path) / "decision.json")
    assert decision["verdict"] == "GO"
    for role, warning in zip(("candidate", "production"), decision["warnings"], strict=True):
        told = rf"{role}: when the run was resumed at 2\S+, the server now lists 'newer'; it may .+"
        assert re.fullmatch(told, warning)
        assert f"Warning: {warning}\n" in done.stderr


GONE = {
    "stopped": (None, r"gone for 0\.2 s \(.+\)"),
    "unloaded": (Reply(status=404, body={"error": {"message": "no such model"}}), "4 requests in a row failed, the last one with: HTTP 404: no such model"),
    "key withdrawn": ("401", "4 requests in a row failed, the last one with: HTTP 401: Incorrect API key provided"),
    "broken": ("500", "4 requests in a row failed, the last one with: HTTP 500: The server had an error"),
}  # fmt: skip


@pytest.mark.parametrize("name", GONE)
def test_an_endpoint_that_is_gone_ends_the_run_in_one_line(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing more is spent; what was answered is kept, and the same command asks the rest only."""
    monkeypatch.setattr(replicas, "BACK_WITHIN_S", 0.2)
    monkeypatch.setattr(replicas, "PROBE_EVERY_S", 0.05)
    fault, words = GONE[name]
    servers: list[FakeServer] = []

    def script(n: int, body: dict[str, Any]) -> Answer:
        if n == 10 and fault is None:
            threading.Thread(target=servers[0].__exit__, args=(None, None, None)).start()
        return answers()(n, body) if n < 10 or fault is None else fault

    with FakeServer(script, models=MODELS) as server:
        servers.append(server)
        write_quiz(tmp_path, server.base_url, N, "concurrency: 2, max_attempts: 1, stop_after: 4")
        done = ftgate("run", cwd=tmp_path)
    assert done.returncode == 3
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("ftgate: ")]
    journal = the_run(tmp_path) / "candidate" / "responses.jsonl"
    good = [row for row in lines(journal) if row["status"] == "ok"]
    assert re.search(words, line), line
    assert f"; {len(good)} of 20 answers are in runs/" in line
    assert line.endswith("To go on, run the same command again.")
    assert 10 <= len(good) <= 13
    with FakeServer(answers(), models=MODELS, port=server.port) as mended:
        again = ftgate("run", cwd=tmp_path)
        assert (again.returncode, len(mended.chats)) == (0, 2 * N - len(good)), again.stderr


def test_a_wrong_model_name_writes_nothing(tmp_path: Path) -> None:
    """The names that are served stand in one line; no request, no folder."""
    with FakeServer(answers(), models=("newer", "old")) as server:
        write_quiz(tmp_path, server.base_url, N)
        done = ftgate("gate", cwd=tmp_path)
        assert not server.chats
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"ftgate: {server.base_url}/models: the server does not serve model 'new'; it serves "
        "'newer', 'old'. Mend `model`.\n"
    )
    assert not (tmp_path / "runs").exists()


# The disk and the folder


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the operating system refuse to make any file larger than `size`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


FULL = {
    "answers": (20, 5000, r"candidate/responses\.jsonl: cannot be written \(.+\); make room and"),
    "results": (
        5,
        3800,
        r"candidate/results_.+\.json: lm-eval could not write it \(OSError\(.+\)\); check space",
    ),
    "samples": (
        40,
        22_000,
        r"candidate/samples_quiz_.+\.jsonl: lm-eval could not write it \(OSError\(.+\)\); check",
    ),
}


@pytest.mark.parametrize("what", FULL)
def test_a_full_disk_ends_the_run_in_one_line(what: str, tmp_path: Path) -> None:
    """Whatever does not fit is named, what fits is kept, and the same command asks the rest only."""
    # The results name every set that this process has loaded: those of other tests make them longer.
    loaded_sets.clear()
    n, size, words = FULL[what]
    with FakeServer(answers(), models=MODELS) as server:
        write_quiz(tmp_path, server.base_url, n, "concurrency: 2")
        with largest_file(size):
            done = ftgate("run", cwd=tmp_path)
        asked = len(server.chats)
        (line,) = [x for x in done.stderr.splitlines() if x.startswith("ftgate: ")]
        assert done.returncode == 2
        sizes = {p.name: p.stat().st_size for p in (the_run(tmp_path) / "candidate").iterdir()}
        assert re.search(words, line), (line, sizes)
        journal = the_run(tmp_path) / "candidate" / "responses.jsonl"
        kept = len(lines(journal))
        assert asked - 2 <= kept <= asked
        assert (kept == n) == (what != "answers")
        again = ftgate("run", cwd=tmp_path)
        assert again.returncode == 0, again.stderr
        assert len(server.chats) - asked == 2 * n - kept
    assert len(samples(the_run(tmp_path) / "candidate")) == n
    assert load(the_run(tmp_path) / "run.json")["finished_at"]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """Nothing is asked before the run folder is there."""
    (tmp_path / "runs").touch()
    with FakeServer(answers(), models=MODELS) as server:
        write_quiz(tmp_path, server.base_url, N)
        done = ftgate("run", cwd=tmp_path)
        assert not server.chats
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert re.search(r"ftgate: runs/.+: cannot be written \(.+\); choose another", done.stderr)


def test_a_journal_edited_by_hand_is_named_and_a_line_taken_out_is_asked_again(
    tmp_path: Path,
) -> None:
    """A line that is no response stops the run; without it, its request is asked and no other."""
    with FakeServer(answers({3: "500"}), models=MODELS) as server:
        write_quiz(tmp_path, server.base_url, N)
        ftgate("run", cwd=tmp_path)
        server.script, asked = answers(), len(server.chats)
        journal = the_run(tmp_path) / "candidate" / "responses.jsonl"
        whole = journal.read_text(encoding="utf-8").splitlines(keepends=True)
        journal.write_text("".join([*whole[:4], "corrected\n", *whole[5:]]), encoding="utf-8")
        done = ftgate("run", cwd=tmp_path)
        assert done.returncode == 2
        assert f"{journal.name}:5: line: invalid json" in done.stderr
        assert "Move the file away to ask everything again." in done.stderr
        assert len(server.chats) == asked
        journal.write_text("".join([*whole[:4], *whole[5:]]), encoding="utf-8")
        assert ftgate("run", cwd=tmp_path).returncode == 0
        failed = sum('"status":"failed"' in line for line in [*whole[:4], *whole[5:]])
        assert len(server.chats) - asked == 1 + failed


def test_an_answer_that_came_after_the_scoring_is_not_yet_scored(tmp_path: Path) -> None:
    """Killed between the last answer and the new results: nobody takes the old score of no answer
    for the score of the answer, and the same command scores it without asking again.
    """
    with FakeServer(answers({3: "500"}), models=MODELS) as server:
        write_quiz(tmp_path, server.base_url, N)
        ftgate("gate", cwd=tmp_path)
        run, asked = the_run(tmp_path), len(server.chats)
        old = {
            p: p.read_bytes() for p in (run / "candidate").iterdir() if p.name != "responses.jsonl"
        }
        manifest = (run / "run.json").read_bytes()
        server.script = answers()
        assert ftgate("run", cwd=tmp_path).returncode == 0
        for path in (run / "candidate").iterdir():
            if path.name != "responses.jsonl" and path not in old:
                path.unlink()
        (run / "run.json").write_bytes(manifest)
        assert ftgate("compare", str(run), cwd=tmp_path).returncode == 0
        (pair,) = load(run / "comparisons.json")["comparisons"]
        assert (pair["n_pairs"], pair["n_excluded"]) == (N - 1, 1)
        assert ftgate("gate", cwd=tmp_path).returncode == 0
        assert len(server.chats) - asked == 1
    (pair,) = load(run / "comparisons.json")["comparisons"]
    assert (pair["n_pairs"], pair["candidate_estimate"]["value"]) == (N, 1)


def test_a_second_command_on_the_same_run_is_refused(tmp_path: Path) -> None:
    """While one process writes a run, another one ends at once, in one line, and asks nothing."""
    with FakeServer(answers({3: "500"}), models=MODELS) as server:
        write_quiz(tmp_path, server.base_url, N)
        ftgate("run", cwd=tmp_path)
        asked, run = len(server.chats), the_run(tmp_path)
        first = Journal(run / "candidate" / "responses.jsonl", reuse=True)
        done = ftgate("run", "--quiet", cwd=tmp_path)
        first.close()
        assert len(server.chats) == asked
    assert done.returncode == 2
    assert done.stderr == (
        f"ftgate: runs/{run.name}/candidate/responses.jsonl: another ftgate process is writing "
        "this run; wait for it or stop it.\n"
    )


# The clock


def test_results_of_a_clock_that_was_set_back_are_the_newest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The second go ends what the first left open, though its files carry an earlier time."""

    class TwoHoursAgo(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) - timedelta(hours=2)

    with FakeServer(answers({3: "500"}), models=MODELS) as server:
        write_quiz(tmp_path, server.base_url, N)
        assert ftgate("gate", cwd=tmp_path).returncode == 3
        server.script, asked = answers(), len(server.chats)
        monkeypatch.setattr(evaluation_tracker, "datetime", TwoHoursAgo)
        again = ftgate("gate", cwd=tmp_path)
        assert (again.returncode, len(server.chats) - asked) == (0, 1), again.stdout
    (pair,) = load(the_run(tmp_path) / "comparisons.json")["comparisons"]
    assert (pair["n_pairs"], pair["candidate_estimate"]["value"]) == (N, 1)
    assert len(list((the_run(tmp_path) / "candidate").glob("results_*.json"))) == 2
    assert len(list((the_run(tmp_path) / "production").glob("results_*.json"))) == 1


JUMPING_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
/* The wall clock is an hour ahead or behind in turn, every 50 ms, around an offset. */
static int (*real)(clockid_t, struct timespec *);
int clock_gettime(clockid_t id, struct timespec *now) {
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(id, now);
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) {
        struct timespec steady;
        real(CLOCK_MONOTONIC, &steady);
        const char *offset = getenv("CLOCK_OFFSET_S");
        now->tv_sec += (steady.tv_nsec / 50000000 % 2 ? 3600 : -3600) + (offset ? atoll(offset) : 0);
    }
    return failed;
}
time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec, out->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="the jumping clock needs a C compiler")
@pytest.mark.parametrize("offset_s", [-20 * 3600, 20 * 3600], ids=["set back", "set forward"])
def test_a_clock_that_jumps_changes_nothing_that_is_measured(offset_s: int, tmp_path: Path) -> None:
    """An hour forth and back all the time, most of a day between two goes: latencies are those of the
    server, every question has one sample in its order, and the second go asks only what failed.
    """
    (tmp_path / "clock.c").write_text(JUMPING_CLOCK, encoding="utf-8")
    command = ["cc", "-shared", "-fPIC", "-o", "clock.so", "clock.c", "-ldl"]
    subprocess.run(command, cwd=tmp_path, check=True)
    clock = {"LD_PRELOAD": str(tmp_path / "clock.so")}
    script = "import time; a = time.time(); time.sleep(.05); print(abs(time.time() - a))"
    jumped = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | clock, capture_output=True, check=True
    )
    assert float(jumped.stdout) > 3000  # the clock does jump

    def script_of(faults: dict[int, Answer]) -> Script:
        return answers(faults, delay_s=0.05)

    with FakeServer(script_of({3: "500"}), models=MODELS) as server:
        write_quiz(tmp_path, server.base_url, N)
        first = typed("run", cwd=tmp_path, **clock)
        asked = len(server.chats)
        server.script = script_of({})
        second = typed("run", cwd=tmp_path, CLOCK_OFFSET_S=str(offset_s), **clock)
        assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
        assert len(server.chats) - asked == 1
    run = the_run(tmp_path)
    assert load(run / "run.json")["finished_at"]
    for role in ("candidate", "production"):
        latencies = [
            r["latency_s"] for r in lines(run / role / "responses.jsonl") if "latency_s" in r
        ]
        assert len(latencies) == N
        assert all(0.05 <= latency_s < 5 for latency_s in latencies)
        found = samples(run / role)
        assert [s["doc"]["id"] for s in found] == [f"q{i:04}" for i in range(N)]
        assert sum(s["exact_match"] for s in found) == N


# The user


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    """One sentence, exit code 130; everything answered is kept."""

    def script(n: int, body: dict[str, Any]) -> Answer:
        if n == 15:
            os.kill(os.getpid(), signal.SIGINT)
        return answers(delay_s=0.02)(n, body)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with FakeServer(script, models=MODELS) as server:
            write_quiz(tmp_path, server.base_url, N)
            done = ftgate("run", cwd=tmp_path)
            asked = len(server.chats)
            kept = len(lines(the_run(tmp_path) / "candidate" / "responses.jsonl"))
            server.script = answers()
            again = ftgate("run", cwd=tmp_path)
            assert (again.returncode, len(server.chats) - asked) == (0, 2 * N - kept)
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.returncode == 130
    stopped, sentence = done.stderr.splitlines()
    assert stopped.startswith("run: stopped at ")
    assert sentence == "ftgate: interrupted; run the same command again to resume."
    assert 15 - 4 <= kept <= 15


# The key


@pytest.mark.parametrize("key", ["EMPTY", "password"])
def test_a_key_that_is_a_word_stays_in_answers_and_leaves_messages(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Local servers take any word for a key: an answer may hold it, a message never does."""
    monkeypatch.setenv("FTGATE_API_KEY", key)
    endpoint = Endpoint("http://localhost:1/v1", "toy")
    assert endpoint.hide_key(f"if {key}:") == f"if {key}:"
    assert endpoint.quote(f"Bearer {key} is wrong".encode()) == "Bearer *** is wrong"


KEY = "sk-test/0123456789+abcdef"


def echo(body: Any, **fields: Any) -> Reply:
    headers = {"Retry-After": KEY, "X-Echo": KEY, "Set-Cookie": f"key={KEY}"}
    return Reply(body=body, headers=headers, **fields)


ECHOES: dict[str, Reply] = {
    "error": echo({"error": {"message": f"Incorrect API key provided: {KEY}"}}, status=400),
    "bare error": echo(f"Bearer {KEY} is wrong".encode(), status=500),
    "page": echo(f"<html>Authorization: Bearer {KEY}</html>".encode()),
    "body": echo({"error": {"headers": {"Authorization": f"Bearer {KEY}"}}}),
    "escaped": echo(json.dumps({"key": KEY}).replace("/", "\\/").encode()),
    "answer": Reply(f"no {KEY}", headers={"X-Echo": KEY}),
    "names": Reply(finish_reason=KEY, fields={"model": KEY, "system_fingerprint": f"fp-{KEY}"}),
}


def test_a_key_is_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A server that repeats the key wherever it can: not a byte of it in a file, a log or a message."""
    with FakeServer(answers(dict(enumerate(ECHOES.values()))), models=(*MODELS, KEY)) as server:
        write_quiz(tmp_path, server.base_url, N)
        done = ftgate("gate", cwd=tmp_path, FTGATE_API_KEY=KEY)
        assert any(KEY in chat.headers["Authorization"] for chat in server.chats)
        server.script = answers(dict.fromkeys(range(N), "401"))
        ftgate("gate", cwd=tmp_path, FTGATE_API_KEY=KEY)
    assert done.returncode == 3, done.stderr
    for text in (done.stdout, done.stderr, caplog.text):
        assert KEY not in text
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 10
    spelled = {KEY, KEY.replace("/", "\\/"), quote(KEY, safe="")}
    leaking = [p for p in written for s in spelled if s.encode() in p.read_bytes()]
    assert not leaking
    journal = lines(the_run(tmp_path) / "candidate" / "responses.jsonl")
    (answer,) = [row for row in journal if row["case_id"] == "q0005"]
    assert (answer["status"], answer["text"]) == ("ok", "no ***")
