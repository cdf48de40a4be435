"""Load and compare a run of four models: `python benchmarks/large_run.py [--cases 1000000]`.

Writes lm-eval's samples and ftgate's journals of four models into a temporary folder (about 1 GB a
million cases and model), then times `ftgate compare` on them and reads its peak memory. Targets at
4 x 1,000,000 records: 60 s and 4 GB.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROLES = ("candidate", "production", "base", "frontier")
TASK = "large"
STAMP = "2026-01-01T00-00-00.000000"
TARGET_S, TARGET_GB = 60.0, 4.0


def write_model(folder: Path, role: str, cases: int) -> Path:
    """One model's results: an exact-match score and an F1 a case, with a journal line each."""
    folder.mkdir(parents=True)
    draw = random.Random(role)
    results = {
        "configs": {TASK: {}},
        "higher_is_better": {TASK: {"exact_match": True, "f1": True}},
    }
    (folder / f"results_{STAMP}.json").write_text(json.dumps(results))
    counts = ([1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1], [0, 0, 0])
    with (
        (folder / f"samples_{TASK}_{STAMP}.jsonl").open("w") as samples,
        (folder / "responses.jsonl").open("w") as journal,
    ):
        for i in range(cases):
            digest = f"{i:064x}"
            answer = "The loop stops one element early; iterate to len(items)."
            sample = {
                "doc_id": i, "doc": {"id": f"case-{i}", "question": "x = items[len(items)]"},
                "target": "defect", "arguments": {"gen_args_0": {"arg_0": "Review: x = items[len(items)]"}},
                "resps": [[answer]], "filtered_resps": [answer], "filter": "none",
                "metrics": ["exact_match", "f1"], "doc_hash": digest, "prompt_hash": digest,
                "target_hash": digest, "exact_match": int(draw.random() < 0.7),
                "f1": draw.choice(counts),
            }  # fmt: skip
            response = {
                "case_id": f"case-{i}", "task": TASK, "prompt_hash": digest, "occurrence": 0,
                "request_hash": digest, "model_asked": role, "status": "ok", "text": answer,
                "latency_s": 0.4 + draw.random(), "input_tokens": 220, "output_tokens": 40,
                "finish_reason": "stop", "attempts": 1, "concurrency": 16,
                "cost_usd": 0.0005 + 0.0005 * draw.random(), "finished_at": "2026-01-01T00:00:00+00:00",
            }  # fmt: skip
            samples.write(json.dumps(sample) + "\n")
            journal.write(json.dumps(response) + "\n")
    return folder


def main() -> None:
    """Write the run, time the command, print both targets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000)
    cases = parser.parse_args().cases
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        start = time.perf_counter()
        pairs = [f"{role}={write_model(folder / role, role, cases)}" for role in ROLES]
        print(f"wrote 4 x {cases:,} records in {time.perf_counter() - start:.0f} s")
        command = [
            sys.executable, "-m", "ftgate_ext", "compare", *pairs, "--output", str(folder / "out"),
        ]  # fmt: skip
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        peak_gb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(
        f"load and compare: {seconds:.1f} s, {seconds / TARGET_S:.2f} of the target {TARGET_S:.0f} s"
    )
    print(
        f"peak memory: {peak_gb:.2f} GB, {peak_gb / TARGET_GB:.2f} of the target {TARGET_GB:.0f} GB"
    )


if __name__ == "__main__":
    main()
