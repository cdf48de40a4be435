"""`ftgate run` killed with SIGKILL at any moment, and run again: nothing is lost, nothing asked twice."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from command import ftgate, ftgate_here
from fake_server import FakeServer, Reply
from quiz import MODELS, lines, load, number_of, right, write_quiz

from ftgate_ext.inference.journal import read_responses
from ftgate_ext.runs import load_model_records

if TYPE_CHECKING:
    from pathlib import Path

CONCURRENCY = 8
DELAY_S = 0.05
ROLES = {"new": "candidate", "old": "production"}
OF_THE_MOMENT = {"latency_s", "finished_at", "concurrency"}


class Kill(NamedTuple):
    """What a kill left behind, counted from the very beginning."""

    asked: int
    """Requests that reached the server."""
    kept: int
    """Answers in the journals."""
    in_flight: int
    """Requests that were in flight and are lost: sent, and in no journal."""


def script(_n: int, body: dict[str, Any]) -> Reply:
    """Every answer names its model and its question, so that none can pass for another."""
    number = number_of(body)
    text = right(number) if body["model"] == "new" else f"old says {right(number)} to {number}"
    return Reply(text, delay_s=DELAY_S)


def run_folder(folder: Path) -> Path | None:
    return next((path.parent for path in folder.glob("runs/*/run.json")), None)


def is_finished(folder: Path) -> bool:
    run = run_folder(folder)
    return run is not None and load(run / "run.json")["finished_at"] is not None


def kept_answers(folder: Path) -> list[tuple[str, int]]:
    """(model, question) of every answer in the journals."""
    run = run_folder(folder)
    journals = [run / role / "responses.jsonl" for role in ROLES.values()] if run else []
    found = [r for path in journals if path.is_file() for r in read_responses(path)]
    return [(response.model_asked, int(response.case_id[1:])) for response in found]


def wait_until_idle(server: FakeServer) -> None:
    """Let the server read and answer what a dead client still sent."""
    seen = -1
    while server.in_flight or len(server.received) != seen:
        seen = len(server.received)
        time.sleep(0.05)


def asked(server: FakeServer) -> list[tuple[str, int]]:
    """(model, question) of every request."""
    return [(chat.body["model"], number_of(chat.body)) for chat in server.chats]


class Moment(NamedTuple):
    """When a process is killed."""

    requests: int
    """After so many requests that no process before it made."""
    wait_s: float
    """And so many seconds."""


def run_until(folder: Path, server: FakeServer, moment: Moment, n: int) -> None:
    """Start the command and kill it at that moment, or after it asked the last of `n` requests."""
    target = min(len(set(asked(server))) + moment.requests, n)
    command = [sys.executable, "-m", "ftgate_ext", "run", "--quiet"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while len(set(asked(server))) < target and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(moment.wait_s)
        process.kill()
        process.communicate()
    wait_until_idle(server)


def run_with_kills(folder: Path, server: FakeServer, moments: list[Moment], n: int) -> list[Kill]:
    """Kill one process after the other; the next one goes on where the last one was."""
    kills: list[Kill] = []
    for moment in moments:
        before, known = len(server.chats), kept_answers(folder)
        run_until(folder, server, moment, n)
        again = set(known) & set(asked(server)[before:])
        assert not again, "an answer that the journal had was asked again"
        kept = kept_answers(folder)
        assert len(kept) == len(set(kept))
        lost = len(server.chats) - len(kept)
        kill = Kill(len(server.chats), len(kept), lost - sum(k.in_flight for k in kills))
        assert 0 <= kill.in_flight <= CONCURRENCY, kill
        kills.append(kill)
    return kills


def contents(folder: Path) -> dict[str, Any]:
    """All records and journal lines of a run, without what is of the moment."""
    run = run_folder(folder)
    assert run is not None
    found: dict[str, Any] = {}
    for role in ROLES.values():
        records = load_model_records(run / role).records["quiz"]
        found[role] = [
            (r.case_id, r.doc_hash, r.prompt_hash, r.prompt, r.answer, r.scores) for r in records
        ]
        found[f"{role} responses"] = sorted(
            (
                {name: value for name, value in row.items() if name not in OF_THE_MOMENT}
                for row in lines(run / role / "responses.jsonl")
            ),
            key=lambda row: row["case_id"],
        )
    return found


def check(tmp_path: Path, n: int, moments: list[Moment], *, in_this_process: bool) -> list[Kill]:
    """Kill, finish, and compare with a run that nobody disturbed."""
    with FakeServer(script, models=MODELS) as server:
        run = f"concurrency: {CONCURRENCY}"
        killed, calm = tmp_path / "killed", tmp_path / "calm"
        write_quiz(killed, server.base_url, n, run)
        kills = run_with_kills(killed, server, moments, 2 * n)
        if in_this_process:
            assert ftgate_here("run", "--quiet", cwd=killed).returncode == 0
        elif not is_finished(killed):
            assert ftgate("run", "--quiet", cwd=killed).returncode == 0
        lost = sum(kill.in_flight for kill in kills)
        assert len(server.chats) == 2 * n + lost
        twice = Counter(asked(server))
        assert len(twice) == 2 * n
        assert sum(times - 1 for times in twice.values()) == lost
        write_quiz(calm, server.base_url, n, run)
        assert ftgate_here("run", "--quiet", cwd=calm).returncode == 0
    assert is_finished(killed)
    assert len(list(killed.glob("runs/*/run.json"))) == 1
    after = contents(killed)
    assert [record[0] for record in after["candidate"]] == [f"q{i:04}" for i in range(n)]
    assert after == contents(calm)
    return kills


def test_a_run_killed_once_ends_like_one_that_was_not(tmp_path: Path) -> None:
    """Killed in the middle of the first model's questions: the second process asks the rest."""
    (kill,) = check(tmp_path, 40, [Moment(25, 0.01)], in_this_process=True)
    assert 25 - CONCURRENCY <= kill.kept < 40


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_killed_ten_times_ends_like_one_that_was_not(seed: int, tmp_path: Path) -> None:
    """200 requests, ten kills at random moments: at start-up, among the answers, while results are
    written. Prints the counts of every kill.
    """
    luck = random.Random(seed)
    moments = [Moment(luck.randint(1, 20), luck.uniform(0, 0.05)) for _ in range(8)]
    moments.insert(luck.randrange(9), Moment(0, luck.uniform(0, 3)))  # while it starts
    moments.append(Moment(200, luck.uniform(0, 0.25)))  # at the last answers, or at the results
    kills = check(tmp_path, 100, moments, in_this_process=False)
    say = sys.stdout.write
    say(f"\nseed {seed}: kill: requests at the server, answers kept, lost in flight\n")
    for number, kill in enumerate(kills, start=1):
        say(f"{number:2}: {kill.asked:3} {kill.kept:3} {kill.in_flight:2}\n")
    lost = sum(kill.in_flight for kill in kills)
    say(f"asked in all: {200 + lost} for 200 answers; {lost} asked twice, all lost in flight\n")
