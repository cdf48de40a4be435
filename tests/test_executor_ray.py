"""`--executor ray`: the same records as a local run, whatever dies on the way. Needs the extra `ray`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from fake_server import FakeServer, Reply

from ftgate_ext.runs import load_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Ray leaves sockets and processes to the collector
]

ROWS = 6
TASK = """\
task: {name}
custom_dataset: !function ftgate_ext.evalset.load_task_data
dataset_kwargs: {{file: {name}.jsonl}}
test_split: test
num_fewshot: 0
output_type: {kind}
doc_to_text: "{{{{ question }}}}"
doc_to_target: "{{{{ answer }}}}"
{more}
metric_list:
  - {{metric: {metric}, aggregation: mean, higher_is_better: true}}
"""
POLICY = """\
version: 1
name: over Ray
models:
  candidate: {{endpoint: {url}, model: new, resources: {{num_cpus: 1}}}}
  production: {{endpoint: {url}, model: old, resources: {{num_cpus: 1}}}}
  base: {{backend: dummy, model: dummy, chat_template: false, resources: {{num_cpus: 1}}}}
eval_sets:
  - {{task: sums, kind: golden}}
  - {{task: products, kind: golden}}
task_paths: [tasks]
run: {{concurrency: 2, max_attempts: 1}}
rules:
  - {{name: good, kind: floor, task: sums, metric: exact_match, threshold: 0.5}}
"""
TIMINGS = {"finished_at", "latency_s", "first_token_s", "concurrency"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tasks of one's own beside a policy: nothing of it is in the package."""
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    for name in ("sums", "products"):
        rows = [{"id": f"{name}-{i}", "question": f"{name} {i}?", "answer": f"{i}"} for i in range(ROWS)]  # fmt: skip
        (tasks / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        more = "generation_kwargs: {until: [], max_gen_toks: 8}"
        text = TASK.format(name=name, kind="generate_until", metric="exact_match", more=more)
        (tasks / f"{name}.yaml").write_text(text)
    return tmp_path


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head that computes nothing and two nodes with a core each, on this machine."""
    from ray.cluster_utils import Cluster

    small = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
    made.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    made.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    made.wait_for_nodes()
    yield made
    made.shutdown()


def answer(_n: int, body: dict[str, Any]) -> Reply:
    """Each question has its own answer, half of them right for the new model only."""
    question = str(body["messages"][-1]["content"])
    number = question.split()[1].removesuffix("?")
    right = body["model"] == "new" or int(number) % 2
    return Reply(text=number if right else "no idea", delay_s=0.4)


def write_policy(folder: Path, url: str) -> None:
    (folder / "gate.yaml").write_text(POLICY.format(url=url), encoding="utf-8")


def start(folder: Path, run_dir: str, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ftgate_ext", "run", "gate.yaml", "--run-dir", run_dir]
    return subprocess.Popen(
        [*command, *options], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, env=dict(os.environ),
    )  # fmt: skip


def over_ray(folder: Path, run_dir: str, cluster: Any) -> subprocess.Popen[str]:
    return start(folder, run_dir, "--executor", "ray", "--ray-address", cluster.address)


def ended(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def samples(run_dir: Path) -> dict[str, list[dict[str, Any]]]:
    """Model and task -> the rows of lm-eval's samples file."""
    return {
        f"{path.parent.name} {path.name.split('_2')[0]}": [json.loads(x) for x in path.open()]
        for path in sorted(run_dir.glob("*/samples_*.jsonl"))
    }


def journal(run_dir: Path) -> list[dict[str, Any]]:
    """All journal lines without what a clock says, in a fixed order."""
    lines = [json.loads(x) for path in run_dir.glob("*/responses.jsonl") for x in path.open()]
    bare = [{k: v for k, v in line.items() if k not in TIMINGS} for line in lines]
    return sorted(bare, key=lambda line: json.dumps(line, sort_keys=True))


def wait_until(true: Any, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.05)


def test_a_killed_node_changes_no_record(folder: Path, cluster: Any) -> None:
    """A node dies with a shard on it: the shard runs again elsewhere, and all records are those of a local run."""
    with FakeServer(answer, models=("new", "old")) as server:
        write_policy(folder, server.base_url)
        ended(start(folder, "local"))
        n_local = len(server.chats)
        process = over_ray(folder, "ray", cluster)
        wait_until(lambda: {r.body["model"] for r in server.chats[n_local:]} == {"new", "old"})
        victim = next(iter(cluster.worker_nodes))
        cluster.remove_node(victim, allow_graceful=False)
        said = ended(process)
        asked_again = len(server.chats) - n_local - n_local
    assert load_manifest(folder / "ray").finished_at is not None, said
    assert asked_again > 0, "the killed node was idle"
    assert samples(folder / "ray") == samples(folder / "local")
    assert journal(folder / "ray") == journal(folder / "local")


def test_a_killed_driver_keeps_what_was_done(folder: Path, cluster: Any) -> None:
    """The same command again asks only the shards that had not come back."""
    with FakeServer(answer, models=("new", "old")) as server:
        write_policy(folder, server.base_url)
        process = over_ray(folder, "ray", cluster)
        kept = folder / "ray"
        wait_until(lambda: any(kept.glob("candidate/results_*.json")))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        before = {path: path.read_bytes() for path in kept.glob("*/samples_*.jsonl")}
        answered = {(x["model_asked"], x["task"]) for x in journal(kept)}
        asked = len(server.chats)
        time.sleep(3)  # requests of tasks that outlive their driver for a moment
        asked = len(server.chats)
        said = ended(over_ray(folder, "ray", cluster))
        again = [(r.body["model"], r.prompt.split()[0]) for r in server.chats[asked:]]
    assert load_manifest(kept).finished_at is not None, said
    assert before
    assert all(path.read_bytes() == content for path, content in before.items())
    assert not answered & set(again)
    assert len(journal(kept)) == 2 * 2 * ROWS


def test_what_no_node_has_is_said_at_once(folder: Path, cluster: Any) -> None:
    """A model that asks for a GPU on a cluster without one is one line, not an endless wait."""
    with FakeServer(answer, models=("new", "old")) as server:
        write_policy(folder, server.base_url)
        policy = folder / "gate.yaml"
        policy.write_text(policy.read_text().replace("num_cpus: 1", "num_gpus: 1", 1))
        process = over_ray(folder, "ray", cluster)
        said, _ = process.communicate(timeout=120)
        assert not server.chats
    assert process.returncode == 2
    assert "asks for GPU 1, but no node has that" in said
