"""Shards: what is open, how they travel, and that one asked elsewhere gives what one asked here gives."""

from __future__ import annotations

import importlib.util
import json
from typing import TYPE_CHECKING, Any

import pytest
from command import ftgate
from fake_server import FakeServer, Reply
from sums import write_sums

from ftgate_ext.errors import FtgateError
from ftgate_ext.executors import ranks
from ftgate_ext.executors.ray_tasks import run_on_ray, task_options
from ftgate_ext.executors.remote import run_job
from ftgate_ext.executors.shards import (
    Work,
    budget_left,
    count_unanswered,
    deliver,
    only_writer,
    open_shards,
    shards_of,
)
from ftgate_ext.executors.shipping import (
    Job,
    decisive_versions,
    pack_folders,
    unpack_folders,
)
from ftgate_ext.harness import open_run, run_models
from ftgate_ext.policy import Policy, load_policy
from ftgate_ext.policy_servers import ModelSpec
from ftgate_ext.runs import find_results
from ftgate_ext.schema import EvalSetUse, RunError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = 4
POLICY = """\
version: 1
name: shards
models:
  candidate: {{endpoint: {url}, model: toy, api_key_env: TOY_KEY, resources: {{num_cpus: 2, big: 1}}}}
eval_sets:
  - {{task: sums, kind: golden}}
  - {{task: products, kind: golden}}
task_paths: [tasks]
run: {{max_attempts: 1}}
rules:
  - {{name: good, kind: floor, task: sums, metric: exact_match, threshold: 0.5}}
"""
TIMINGS = {"finished_at", "latency_s", "first_token_s", "concurrency"}
KEY = "sk-a-key-of-the-node"


def answer(_n: int, body: dict[str, Any]) -> Reply:
    return Reply(text=str(body["messages"][-1]["content"]).split()[1].removesuffix("?"))


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(answer) as running:
        yield running


@pytest.fixture
def gate(tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOY_KEY", KEY)
    write_sums(tmp_path / "home", ROWS)
    path = tmp_path / "home" / "gate.yaml"
    path.write_text(POLICY.format(url=server.base_url), encoding="utf-8")
    return path


def use(task: str, n: int = ROWS, group: str | None = None) -> EvalSetUse:
    return EvalSetUse(task=task, file="", sha256="", n_rows=n, group=group, config_source="")


# Which shards there are


def test_a_group_is_one_shard() -> None:
    """The tasks of a group stay together: lm-eval joins them into one figure."""
    shards = shards_of("candidate", [use("a"), use("b", 2, "g"), use("c", 3, "g")])
    assert [(s.name, s.n_requests, str(s)) for s in shards] == [
        ("a", 4, "candidate on a"), ("g", 5, "candidate on g"),
    ]  # fmt: skip


def test_what_is_unavailable_is_no_open_shard(tmp_path: Path) -> None:
    """A benchmark that is not at hand asks for nothing."""
    lost = use("a").model_copy(update={"unavailable": "no data"})
    assert open_shards(tmp_path, "candidate", [lost]) == []
    assert count_unanswered(tmp_path, [lost, use("b")]) == {"a": 0, "b": ROWS}


def test_delivered_files_are_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    """A node whose clock is behind cannot hide the newer results behind older ones."""
    sample = {
        "doc_id": 0, "doc": {"id": "a"}, "target": "t", "filter": "none", "metrics": ["acc"], "acc": 0,
        "arguments": {"gen_args_0": {"arg_0": "q"}}, "resps": [["x"]], "doc_hash": "d", "prompt_hash": "p",
    }  # fmt: skip
    for stamp, acc in (("2099-01-01T00-00-00.000001", 0), ("2001-01-01T00-00-00.000001", 1)):
        files = {
            f"results_{stamp}.json": json.dumps({"configs": {"quiz": {}}}).encode(),
            f"samples_quiz_{stamp}.jsonl": json.dumps({**sample, "acc": acc}).encode(),
        }
        deliver(files, tmp_path)
    assert json.loads(find_results(tmp_path).samples["quiz"].read_text())["acc"] == 1
    assert not list(tmp_path.glob("*20[09][19]-01-01*"))


def test_a_run_has_one_writer(tmp_path: Path) -> None:
    """A second process is one line; when the first is gone the folder is free."""
    with only_writer(tmp_path), pytest.raises(RunError, match="another ftgate process"), only_writer(tmp_path):  # fmt: skip
        pass
    with only_writer(tmp_path):
        pass


def test_all_models_share_one_budget(gate: Path) -> None:
    """What one model has cost is gone for the next; with nothing left, nothing is asked."""
    policy = load_policy(gate)
    run = policy.run.model_copy(update={"budget_usd": 0.5})
    policy = policy.model_copy(update={"run": run})
    folder = gate.parent / "run"
    (folder / "candidate").mkdir(parents=True)
    line = {
        "case_id": "a", "task": "sums", "prompt_hash": "p", "occurrence": 0, "request_hash": "r", "model_asked": "toy",
        "status": "ok", "finished_at": "2026-01-01T00:00:00+00:00", "cost_usd": 0.2,
    }  # fmt: skip
    journal = folder / "candidate" / "responses.jsonl"
    journal.write_text(json.dumps(line) + "\n")
    assert budget_left(folder, policy).run.budget_usd == pytest.approx(0.3)
    journal.write_text((json.dumps(line) + "\n") * 3)
    with pytest.raises(RunError, match=r"\$0\.6000 are spent of the \$0\.5 of run\.budget_usd"):
        budget_left(folder, policy)


# How they travel


def test_folders_travel_whole_and_absolute_ones_stay(gate: Path, tmp_path: Path) -> None:
    """What is named relative to the policy is shipped byte by byte; an absolute path is shared."""
    policy = load_policy(gate).model_copy(update={"task_paths": ["tasks", str(tmp_path)]})
    (gate.parent / "tasks" / ".hidden").write_text("x")
    packed = pack_folders(policy, gate)
    assert sorted(packed["tasks"]) == ["products.jsonl", "products.yaml", "sums.jsonl", "sums.yaml"]
    moved = unpack_folders(packed, policy, tmp_path / "there")
    assert moved.task_paths == [str(tmp_path / "there" / "folder0"), str(tmp_path)]
    there = tmp_path / "there" / "folder0" / "sums.jsonl"
    assert there.read_bytes() == (gate.parent / "tasks" / "sums.jsonl").read_bytes()


def test_too_much_to_ship_is_one_line(gate: Path) -> None:
    """A folder of gigabytes belongs on a path that all nodes share."""
    with (gate.parent / "tasks" / "huge.bin").open("wb") as file:
        file.truncate(300 * 2**20)
    with pytest.raises(RunError, match=r"more than 200 MiB to ship .* name that absolutely"):
        pack_folders(load_policy(gate), gate)


def make_job(policy: Policy, gate: Path, name: str, **changes: Any) -> Job:
    uses = [
        u for u in open_run(policy, gate, gate.parent / "x").manifest.eval_sets if u.task == name
    ]
    fields: dict[str, Any] = {
        "policy": policy, "role": "candidate", "name": name, "uses": uses, "versions": decisive_versions(),
    }  # fmt: skip
    return Job(**fields | changes)


def lines(text: str) -> list[dict[str, Any]]:
    """Journal lines without what a clock says."""
    found = [json.loads(line) for line in text.splitlines()]
    return [{k: v for k, v in line.items() if k not in TIMINGS} for line in found]


def by_case(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: str(row["case_id"]))


def test_a_shard_asked_elsewhere_gives_the_same_records(
    gate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From bytes alone, without the folders of the run: samples and journal are those of a local run."""
    policy = load_policy(gate)
    run_models(open_run(policy, gate, gate.parent / "run"), policy)
    job = make_job(policy, gate, "products")
    packed = pack_folders(policy, gate)
    gate.parent.rename(tmp_path / "gone")
    monkeypatch.chdir(tmp_path)
    done = run_job(job, packed)
    assert done.problem is None
    local = tmp_path / "gone" / "run" / "candidate"
    (samples,) = [v for k, v in done.files.items() if k.startswith("samples_products")]
    assert samples == next(local.glob("samples_products_*")).read_bytes()
    mine = [x for x in lines((local / "responses.jsonl").read_text()) if x["task"] == "products"]
    assert by_case(lines("\n".join(done.responses))) == by_case(mine)


def test_known_answers_are_not_asked_again(gate: Path, server: FakeServer) -> None:
    """What the journal of the run holds travels along; only new lines come back."""
    policy = load_policy(gate)
    packed = pack_folders(policy, gate)
    first = run_job(make_job(policy, gate, "sums"), packed)
    assert len(first.responses) == len(server.chats) == ROWS
    again = run_job(make_job(policy, gate, "sums", known=first.responses[:3]), packed)
    assert len(server.chats) == ROWS + 1
    assert len(again.responses) == 1
    samples = [
        content
        for done in (first, again)
        for name, content in done.files.items()
        if name.startswith("samples_")
    ]
    assert samples[0] == samples[1]


def test_the_key_is_the_nodes_own(gate: Path, server: FakeServer) -> None:
    """The variable's name travels, its value does not; a node without it says so in one line."""
    import pickle

    policy = load_policy(gate)
    job, packed = make_job(policy, gate, "sums"), pack_folders(load_policy(gate), gate)
    assert KEY.encode() not in pickle.dumps((job, packed))
    run_job(job, packed)
    assert server.chats[0].headers["Authorization"] == f"Bearer {KEY}"
    with pytest.MonkeyPatch.context() as node:
        node.delenv("TOY_KEY")
        done = run_job(job, packed)
    assert done.problem is not None
    assert "environment variable TOY_KEY is not set" in done.problem
    assert not done.files


def test_other_data_on_a_node_is_refused(gate: Path, server: FakeServer) -> None:
    """A shard is scored on the data of the run or not at all."""
    policy = load_policy(gate)
    job, packed = make_job(policy, gate, "sums"), pack_folders(policy, gate)
    packed["tasks"]["sums.jsonl"] = packed["tasks"]["sums.jsonl"].replace(b"sums 0?", b"sums 9?")
    before = len(server.chats)
    done = run_job(job, packed)
    assert done.problem is not None
    assert "sums: its data here is not that of the run" in done.problem
    assert len(server.chats) == before


def test_another_version_on_a_node_is_refused(gate: Path) -> None:
    """Prompts and scores are made there: lm-eval and ftgate must be the same."""
    versions = {**decisive_versions(), "lm_eval": "0.0.1"}
    job = make_job(load_policy(gate), gate, "sums", versions=versions)
    done = run_job(job, {})
    assert done.problem is not None
    assert "but 0.0.1 where the run was started; install the same everywhere" in done.problem


# Ray, as far as it goes without Ray


def test_resources_become_options_of_a_task() -> None:
    """num_cpus and num_gpus are Ray's own; other names are resources of the cluster."""
    spec = ModelSpec(model="m", backend="hf", resources={"num_cpus": 4, "num_gpus": 0.5, "a100": 1})
    options = task_options(spec)
    assert (options["num_cpus"], options["num_gpus"], options["resources"]) == (4, 0.5, {"a100": 1})
    assert options["max_retries"] > 0
    assert options["retry_exceptions"] is False


def test_the_embedded_engine_is_not_asked_from_elsewhere(gate: Path) -> None:
    """Its address is this machine's loopback: other nodes would ask themselves."""
    policy = load_policy(gate)
    plan = open_run(policy, gate, gate.parent / "run")
    spec = policy.models["candidate"].model_copy(update={"endpoint": "embedded"})
    embedded = policy.model_copy(update={"models": {"candidate": spec}})
    with pytest.raises(RunError, match="the embedded engine answers on this machine only"):
        run_on_ray(Work(plan, embedded), gate, "auto")


# Several processes


def test_one_process_needs_no_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a launcher everything is said by the one process, whatever WORLD_SIZE another tool left."""
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert ranks.n_processes() == 1
    assert ranks.is_first()
    assert ranks.agree("x") == "x"


def test_several_machines_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """lm-eval numbers processes by machine: on two machines it would ask the same cases twice."""
    for name, value in {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert not ranks.is_first()
    with pytest.raises(FtgateError, match="on several machines"):
        ranks.agree(None)


# The command


def test_an_unknown_executor_is_one_line(gate: Path) -> None:
    """Nothing is asked; the two that there are, are named."""
    done = ftgate("run", "gate.yaml", "--executor", "slurm", cwd=gate.parent)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "ftgate: --executor 'slurm': expected local or ray.\n"


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="ray is installed here")
def test_a_missing_ray_names_the_extra(gate: Path) -> None:
    """One line with what to install; the run folder is there and the same command goes on."""
    done = ftgate("run", "gate.yaml", "--executor", "ray", cwd=gate.parent)
    assert done.returncode == 2
    assert "needs the package ray; pip install 'ftgate-ext[ray]'" in done.stderr
