"""What asking costs beside the model: `python benchmarks/client.py [--quick] [--only NAME ...]`.

A server that answers after a fixed time L, on a core of its own, is asked N questions with C in
flight; the ideal is N x L / C. For `ftgate run` (journal, telemetry, retries and scoring on), lm-eval's
own chat model, the openai SDK and a bare aiohttp loop this prints, best of several runs each:

    requests   from the first request at the server to its last answer, over the ideal
    command    wall time of the whole command, over the ideal
    first      seconds from the start of the command to its first request at the server
    CPU        processor milliseconds a request while requests were under way
    memory     peak resident memory of the command

Exit code 1 if `ftgate run` misses a target. lm-eval's command line reads 14,000 task files first,
so it is measured once, and not at all with --quick.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from latency_server import MODEL, LatencyServer, Settings, capacity, latency_server

from ftgate_ext.assets import asset_dir
from ftgate_ext.evalset import load_cases

if TYPE_CHECKING:
    from collections.abc import Sequence

CASES = 1000
MANY = 4000
CAPACITY_FACTOR = 10
FIRST_REQUEST_LIMIT_S = 2.0
COMMAND_LIMIT = 2.0
MEMORY_LIMIT_MB = 250.0
GROWTH_LIMIT_KB = 20.0
"""Memory that a further case may cost: its row, prompt, answer, response and sample."""
TASK = """\
include: {golden}
task: speed
dataset_kwargs: {{file: speed.jsonl}}
"""
POLICY = """\
version: 1
name: speed
models:
  candidate: {{endpoint: {url}, model: {model}}}
eval_sets:
  - {{task: speed, kind: golden}}
task_paths: [.]
run: {{concurrency: {concurrency}}}
rules:
  - {{name: r, kind: floor, task: speed, metric: valid_review, threshold: 0.5}}
"""


@dataclass(frozen=True)
class Load:
    """How the server is asked."""

    latency_s: float
    concurrency: int
    request_limit: float | None = None
    """Target of the request phase over the ideal."""
    cases: int = CASES

    @property
    def ideal_s(self) -> float:
        """Seconds that a client without any cost would take."""
        return self.cases * self.latency_s / self.concurrency

    def __str__(self) -> str:
        return f"{self.cases} x {self.latency_s * 1000:.0f} ms / {self.concurrency}"


LOADS = (Load(0.1, 50, 1.05), Load(0.2, 50), Load(0.02, 16, 1.12))
FOR_MEMORY = Load(0.02, 50, cases=MANY)


@dataclass(frozen=True)
class Cost:
    """What one command took."""

    request_phase_s: float
    command_s: float
    first_request_s: float
    cpu_ms_a_request: float
    memory_mb: float

    @classmethod
    def best(cls, costs: list[Cost]) -> Cost:
        """The least of each: whatever disturbs a run makes it dearer."""
        rows = [tuple(vars(cost).values()) for cost in costs]
        return cls(*(min(column) for column in zip(*rows, strict=True)))


def prepare(folder: Path, cases: int) -> None:
    """The golden set made `cases` rows long, as a task and as plain prompts; no prompt stands twice."""
    golden = itertools.cycle(load_cases(asset_dir("golden") / "codereview_golden.jsonl"))
    rows = [
        {**case, "id": f"speed-{n}", "purpose": f"{case['purpose']} (no. {n})"}
        for n, case in zip(range(cases), golden, strict=False)
    ]
    path = asset_dir("tasks") / "codereview_golden" / "codereview_golden.yaml"
    (folder / "speed.yaml").write_text(TASK.format(golden=path), encoding="utf-8")
    _write_lines(folder / "speed.jsonl", rows)
    _write_lines(folder / "prompts.jsonl", [f"{row['purpose']}\n{row['code']}" for row in rows])


def _write_lines(path: Path, rows: Sequence[object]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def command_of(name: str, url: str, load: Load, folder: Path) -> list[str]:
    """The command line of a contestant."""
    if name == "ftgate run":
        policy = POLICY.format(url=url, model=MODEL, concurrency=load.concurrency)
        (folder / "gate.yaml").write_text(policy, encoding="utf-8")
        return [sys.executable, "-m", "ftgate_ext", "run", "gate.yaml"]
    if name == "lm_eval command":
        model = f"model={MODEL},base_url={url}/chat/completions,num_concurrent={load.concurrency},tokenized_requests=False"
        return [
            sys.executable, "-m", "lm_eval", "run", "--model", "local-chat-completions",
            "--model_args", model, "--tasks", "speed", "--include_path", str(folder),
            "--apply_chat_template", "--output_path", str(folder / "lm_eval"), "--log_samples",
        ]  # fmt: skip
    script = str(Path(__file__).with_name("contestants.py"))
    return [sys.executable, script, name, url, MODEL, str(load.concurrency), str(folder)]


def measure(name: str, server: LatencyServer, load: Load) -> Cost:
    """Run one contestant once.

    Raises:
        RuntimeError: It failed, or did not ask every case exactly once.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(folder, load.cases)
        command = command_of(name, server.base_url, load, folder)
        own = {} if name == "ftgate run" else {"FTGATE_NO_AUTOLOAD": "1"}
        log = folder / "log"
        server.watch(Settings(load.latency_s))
        with log.open("wb") as output:
            started = time.monotonic()
            process = subprocess.Popen(
                command, cwd=folder, env={**os.environ, **own}, stdout=output, stderr=output
            )
            server.watch(Settings(load.latency_s, process.pid, load.cases))
            _, status, used = os.wait4(process.pid, 0)
            command_s = time.monotonic() - started
        seen = server.seen()
        if status or seen.requests != load.cases:
            text = log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{name}: status {status}, {seen.requests} requests\n{text}")
    return Cost(
        seen.last_answer_at - seen.first_request_at, command_s, seen.first_request_at - started,
        (seen.cpu_at_last_s - seen.cpu_at_first_s) / load.cases * 1000, used.ru_maxrss / 1024,
    )  # fmt: skip


def measure_all(names: list[str], server: LatencyServer, load: Load, runs: int) -> dict[str, Cost]:
    """All contestants in turn, several times over, so that a busy minute hits all of them."""
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    for _ in range(runs):
        for name in names:
            costs[name].append(measure(name, server, load))
    return {name: Cost.best(of_one) for name, of_one in costs.items()}


def show(load: Load, costs: dict[str, Cost]) -> None:
    """One table."""
    print(f"\n{load}: ideal {load.ideal_s:.2f} s")
    print(f"  {'':<16} requests  command   first      CPU    memory")
    for name, cost in costs.items():
        print(
            f"  {name:<16} {cost.request_phase_s / load.ideal_s:8.3f} {cost.command_s / load.ideal_s:8.2f} {cost.first_request_s:6.2f} s {cost.cpu_ms_a_request:5.2f} ms {cost.memory_mb:6.0f} MB",
            flush=True,
        )


def verdicts(found: dict[Load, Cost]) -> list[tuple[str, float, float]]:
    """Each target of `ftgate run`: what it is, what was found, the limit."""
    checked = []
    for load in LOADS:
        cost, ideal_s = found[load], load.ideal_s
        if load.request_limit:
            checked.append((f"request phase, {load}", cost.request_phase_s / ideal_s, load.request_limit))  # fmt: skip
    first = found[LOADS[0]]
    grown_kb = (found[FOR_MEMORY].memory_mb - first.memory_mb) * 1024 / (MANY - CASES)
    return [
        *checked,
        (f"whole command, {LOADS[0]}", first.command_s / LOADS[0].ideal_s, COMMAND_LIMIT),
        ("first request, s", first.first_request_s, FIRST_REQUEST_LIMIT_S),
        (f"peak memory at {CASES} cases, MB", first.memory_mb, MEMORY_LIMIT_MB),
        (f"memory a further case, {CASES} to {MANY}, KB", grown_kb, GROWTH_LIMIT_KB),
    ]


def main() -> int:
    """Measure, print, and say which targets were missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two runs each instead of five")
    parser.add_argument("--only", nargs="*", default=[], help="these contestants beside ftgate run")
    arguments = parser.parse_args()
    names = ["ftgate run", "lm-eval", "openai", "aiohttp"]
    names = [n for n in names if n == "ftgate run" or not arguments.only or n in arguments.only]
    if "openai" in names and importlib.util.find_spec("openai") is None:
        names.remove("openai")
        print("openai: not installed, left out; `pip install openai` adds it")
    runs = 2 if arguments.quick else 5
    found: dict[Load, Cost] = {}
    with latency_server() as server:
        needed = CAPACITY_FACTOR * max(load.concurrency / load.latency_s for load in LOADS)
        able = capacity(server, needed)
        print(f"{os.cpu_count()} cores; server: {able:,.0f} requests/s; needed: {needed:,.0f}")
        print(
            f"load of this machine before the measurement: {os.getloadavg()[0]:.1f} (idle: 0 to 1)"
        )
        if able < needed:
            print("The server is too slow on this machine to measure a client against.")
            return 1
        for load in LOADS:
            costs = measure_all(names, server, load, runs)
            if load is LOADS[0] and not (arguments.quick or arguments.only):
                costs["lm_eval command"] = measure("lm_eval command", server, load)
            found[load] = costs["ftgate run"]
            show(load, costs)
            floor = costs.get("aiohttp")
            if floor and floor.request_phase_s / load.ideal_s > (load.request_limit or 2.0):
                print(
                    "  The bare loop misses the target too: this machine was busy with other work."
                )
        costs = measure_all(["ftgate run"], server, FOR_MEMORY, 1)
        found[FOR_MEMORY] = costs["ftgate run"]
        show(FOR_MEMORY, costs)
    print("\nTargets of ftgate run")
    missed = 0
    for what, value, limit in verdicts(found):
        missed += value > limit
        print(
            f"  {'ok    ' if value <= limit else 'MISSED'} {what:<44} {value:8.3f}  limit {limit}"
        )
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
