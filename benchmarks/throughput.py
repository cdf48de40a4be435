r"""Throughput of a real model through `ftgate run`, against a bare client that asks the same.

    python benchmarks/throughput.py [--rounds 3] [--cases 24] [--url URL --model NAME]

Both ask the same engine the same prompts with the same limits and concurrency, in turns that begin
with the other one each time. The time is that from the first request to the last answer, which
`ftgate run` notes in its journal. Target: 0.95 of the bare client's output tokens a second, by the
best round of each. Without --url the embedded engine serves SmolLM2-135M on this machine's cores.

Against vLLM on a GPU (not run here: no GPU), with vLLM in an environment of its own:

    vllm serve HuggingFaceTB/SmolLM2-1.7B-Instruct --port 8000
    python benchmarks/throughput.py --url http://127.0.0.1:8000/v1 \
        --model HuggingFaceTB/SmolLM2-1.7B-Instruct --cases 1000 --concurrency 64 --keep vllm
    vllm bench serve --backend openai-chat --endpoint /v1/chat/completions --port 8000 \
        --model HuggingFaceTB/SmolLM2-1.7B-Instruct --dataset-name custom \
        --dataset-path vllm/custom.jsonl --custom-output-len 48 --skip-chat-template \
        --disable-shuffle --num-prompts 1000 --max-concurrency 64 --temperature 0

`custom.jsonl` holds the prompts that `ftgate run` asked. Compare vLLM's "Output token throughput" with
the tokens a second printed here. vLLM's prefix cache must be as warm for both: run each twice.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from client import prepare

from ftgate_ext.inference.endpoints import BASE, embedded_engine
from ftgate_ext.inference.journal import read_responses

TARGET = 0.95
MAX_TOKENS = 48
POLICY = """\
version: 1
name: throughput
models:
  candidate: {{endpoint: {url}, model: {model}}}
eval_sets:
  - {{task: speed, kind: golden, limit: {cases}}}
task_paths: [.]
run: {{concurrency: {concurrency}, max_tokens: {max_tokens}, output: {output}}}
rules:
  - {{name: r, kind: floor, task: speed, metric: valid_review, threshold: 0.5}}
"""


@dataclass(frozen=True)
class Asked:
    """Who is asked, and how much."""

    url: str
    model: str
    cases: int
    concurrency: int
    folder: Path


@dataclass(frozen=True)
class Round:
    """What one client got in one round."""

    tokens: int
    seconds: float

    @property
    def tokens_per_s(self) -> float:
        """Output tokens a second while requests were under way."""
        return self.tokens / self.seconds


def through_ftgate(asked: Asked, number: int) -> Round:
    """One `ftgate run`, timed by its own journal."""
    policy = POLICY.format(
        url=asked.url, model=asked.model, cases=asked.cases, concurrency=asked.concurrency,
        max_tokens=MAX_TOKENS, output=f"runs{number}",
    )  # fmt: skip
    (asked.folder / "gate.yaml").write_text(policy, encoding="utf-8")
    command = [sys.executable, "-m", "ftgate_ext", "run", "gate.yaml", "--quiet"]
    subprocess.run(command, cwd=asked.folder, check=True, stdout=subprocess.DEVNULL)
    (journal,) = asked.folder.glob(f"runs{number}/*/candidate/responses.jsonl")
    responses = read_responses(journal)
    if len(responses) != asked.cases or any(r.latency_s is None for r in responses):
        raise RuntimeError(f"{journal}: some of {asked.cases} requests have no answer")
    ends = [datetime.fromisoformat(r.finished_at) for r in responses]
    begins = [
        end - timedelta(seconds=r.latency_s or 0) for end, r in zip(ends, responses, strict=True)
    ]
    tokens = sum(r.output_tokens or 0 for r in responses)
    return Round(tokens, (max(ends) - min(begins)).total_seconds())


def write_prompts(asked: Asked) -> None:
    """The messages of the first round, for the bare client and for `vllm bench serve`."""
    (samples,) = asked.folder.glob("runs0/*/candidate/samples_speed_*.jsonl")
    rows = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    chats = [json.loads(row["arguments"]["gen_args_0"]["arg_0"][0]) for row in rows]
    texts = "".join(json.dumps({"prompt": chat[-1]["content"]}) + "\n" for chat in chats)
    (asked.folder / "custom.jsonl").write_text(texts, encoding="utf-8")
    prompts = "".join(json.dumps(chat[-1]["content"]) + "\n" for chat in chats)
    (asked.folder / "prompts.jsonl").write_text(prompts, encoding="utf-8")


def through_bare_client(asked: Asked) -> Round:
    """One round of the aiohttp loop."""
    script = str(Path(__file__).with_name("contestants.py"))
    command = [
        sys.executable, script, "aiohttp", asked.url, asked.model, str(asked.concurrency), str(asked.folder),
    ]  # fmt: skip
    environment = {**os.environ, "CONTESTANT_MAX_TOKENS": str(MAX_TOKENS)}
    subprocess.run(command, cwd=asked.folder, check=True, env=environment)
    return Round(**json.loads((asked.folder / "usage.json").read_text(encoding="utf-8")))


def compare(asked: Asked, rounds: int) -> float:
    """All rounds; the ratio of the best ones."""
    prepare(asked.folder, asked.cases)
    through_ftgate(asked, 0)  # the model is loaded, and the prompts become known
    write_prompts(asked)
    found: dict[str, list[Round]] = {"ftgate run": [], "bare client": []}
    print(f"{'round':<6} {'client':<12} tokens  seconds  tokens/s")
    for number in range(1, rounds + 1):
        names = list(found) if number % 2 else list(reversed(found))
        for name in names:
            bare = name == "bare client"
            got = through_bare_client(asked) if bare else through_ftgate(asked, number)
            found[name].append(got)
            print(f"{number:<6} {name:<12} {got.tokens:6} {got.seconds:8.2f} {got.tokens_per_s:9.2f}", flush=True)  # fmt: skip
    best = {name: max(got.tokens_per_s for got in of_one) for name, of_one in found.items()}
    return best["ftgate run"] / best["bare client"]


def main() -> int:
    """Measure and print; 1 if the target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--url", help="base URL of a server that runs already, ending in /v1")
    parser.add_argument("--model", default=BASE)
    parser.add_argument("--keep", type=Path, help="folder for the prompts and runs")
    given = parser.parse_args()
    with ExitStack() as stack:
        url = given.url or stack.enter_context(embedded_engine([given.model])) or ""
        folder = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        asked = Asked(url, given.model, given.cases, given.concurrency, folder.resolve())
        ratio = compare(asked, given.rounds)
    verdict = "ok" if ratio >= TARGET else "MISSED"
    print(f"{verdict}: ftgate run gives {ratio:.3f} of the bare client's tokens/s; target {TARGET}")
    return int(ratio < TARGET)


if __name__ == "__main__":
    sys.exit(main())
