"""Runs that grow, repeat and group: cases are added, asked several times, and joined into groups."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from fake_server import FakeServer, Reply
from sums import write_sums

from ftgate_ext.gate import run_policy
from ftgate_ext.harness import open_run, run_models
from ftgate_ext.moved import move_run
from ftgate_ext.policy import Policy, load_policy
from ftgate_ext.schema import Comparisons, RunError
from ftgate_ext.stages import compare_run, decide_run

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 12
GATE = """\
version: 1
name: growing
models:
  candidate: {{endpoint: {url}, model: new}}
  production: {{endpoint: {url}, model: old}}
eval_sets:
  - {{task: {task}, kind: capability{options}}}
task_paths: [tasks]
run: {{concurrency: 4, max_attempts: 1, resamples: 1000}}
rules:
  - {{name: kept, kind: non_inferiority, task: {task}, metric: exact_match, margin_pt: 5}}
{more}"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tasks of one's own and a group of both."""
    tasks = write_sums(tmp_path, ROWS)
    group = "group: arithmetic\ntask: [sums, products]\naggregate_metric_list: [{metric: exact_match}]\n"
    (tasks / "arithmetic.yaml").write_text(group)
    return tmp_path


def write_gate(
    folder: Path, server: FakeServer, task: str = "sums", options: str = "", more: str = ""
) -> Policy:
    text = GATE.format(url=server.base_url, task=task, options=options, more=more)
    (folder / "gate.yaml").write_text(text)
    return load_policy(folder / "gate.yaml")


def run(folder: Path, policy: Policy, run_dir: Path) -> None:
    plan = open_run(policy, folder / "gate.yaml", run_dir)
    assert run_models(plan, policy).finished_at


def right(_n: int, body: dict[str, Any]) -> Reply:
    """Everybody knows all answers."""
    return Reply(body["messages"][-1]["content"].split()[1].rstrip("?"))


def test_more_cases_are_added_and_only_they_are_asked(folder: Path) -> None:
    """A larger limit on the same run folder: the answers that are there stay."""
    with FakeServer(right, models=("new", "old")) as server:
        run(folder, write_gate(folder, server, options=", limit: 5"), folder / "run")
        run(folder, write_gate(folder, server, options=", limit: 9"), folder / "run")

        assert len(server.chats) == 2 * 9
    assert compare_run(folder / "run").comparisons[0].n_pairs == 9


def test_cases_cannot_be_taken_out_of_a_run(folder: Path) -> None:
    """What was seen cannot be unseen: a smaller limit needs another folder."""
    with FakeServer(right, models=("new", "old")) as server:
        run(folder, write_gate(folder, server, options=", limit: 5"), folder / "run")
        policy = write_gate(folder, server, options=", limit: 4")

        with pytest.raises(RunError, match="has more cases of sums than `limit` now asks for"):
            open_run(policy, folder / "gate.yaml", folder / "run")


def test_planned_looks_are_counted_and_used_up(folder: Path) -> None:
    """Two looks planned: the first is strict, the second counts, the third is refused."""
    more = "looks: {planned: 2, boundary: pocock}\n"
    found: list[Comparisons] = []
    with FakeServer(right, models=("new", "old")) as server:
        for limit in (5, 9):
            policy = write_gate(folder, server, options=f", limit: {limit}", more=more)
            run(folder, policy, folder / "run")
            found += [compare_run(folder / "run", folder / "gate.yaml") for _ in range(2)]
        run(folder, write_gate(folder, server, options="", more=more), folder / "run")

        with pytest.raises(RunError, match="all 2 planned looks are used"):
            compare_run(folder / "run", folder / "gate.yaml")
    assert [c.look.number for c in found if c.look] == [1, 1, 2, 2], (
        "the same cases are no new look"
    )
    # Pocock, two looks, one-sided 5 %: z 1.875 at each
    assert found[0].comparisons[0].alpha_one_sided == pytest.approx(0.0304, abs=1e-4)


def test_repeats_ask_every_case_several_times(folder: Path) -> None:
    """Three answers a case, each asked for itself, averaged per case; the pass rate is told."""
    asked: dict[tuple[str, str], int] = {}

    def flaky(n: int, body: dict[str, Any]) -> Reply:
        prompt, model = body["messages"][-1]["content"], body["model"]
        met = asked[model, prompt] = asked.get((model, prompt), 0) + 1
        if model == "new" and (prompt == "sums 1?" or (prompt == "sums 2?" and met == 1)):
            return Reply("no idea")
        return right(n, body)

    with FakeServer(flaky, models=("new", "old")) as server:
        policy = write_gate(folder, server, options=", limit: 6, repeats: 3")
        run(folder, policy, folder / "run")

        assert len(server.chats) == 2 * 6 * 3
    (found,) = compare_run(folder / "run").comparisons
    assert (found.n_pairs, found.repeats, found.kind) == (6, 3, "mean")
    assert found.lost_cases == ["sums-1"]
    assert found.pass_rate_drops == {"sums-2": [pytest.approx(2 / 3), 1.0]}
    assert found.difference is not None
    assert found.difference.value == pytest.approx(-(1 + 1 / 3) / 6)


def test_a_group_of_tasks_is_compared_as_one(folder: Path) -> None:
    """The group's comparison joins the cases of its tasks, which are compared too."""
    with FakeServer(right, models=("new", "old")) as server:
        run(folder, write_gate(folder, server, task="arithmetic"), folder / "run")

    found = {c.task: c.n_pairs for c in compare_run(folder / "run").comparisons}
    assert found == {"sums": ROWS, "products": ROWS, "arithmetic": 2 * ROWS}


def test_cases_of_the_training_data_are_left_out_and_named(folder: Path) -> None:
    """Two of twelve cases were trained on: the verdict rests on ten, and says what all would say."""
    rows = [{"messages": [{"role": "user", "content": f"please solve this one for me today: sums {i}?"},
                          {"role": "assistant", "content": f"{i}"}]} for i in range(40, 60)]  # fmt: skip
    long = (
        "how many of the green marbles that lie in the third drawer of the old desk are left, sums"
    )
    data = [{"id": f"sums-{i}", "question": f"{long} {i}?", "answer": f"{i}"} for i in range(ROWS)]
    (folder / "tasks" / "sums.jsonl").write_text("".join(json.dumps(r) + "\n" for r in data))
    rows += [{"messages": [{"role": "user", "content": data[i]["question"]},
                           {"role": "assistant", "content": "x"}]} for i in (3, 7)]  # fmt: skip
    (folder / "train.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))

    def last_word(_n: int, body: dict[str, Any]) -> Reply:
        return Reply(body["messages"][-1]["content"].split()[-1].rstrip("?"))

    with FakeServer(last_word, models=("new", "old")) as server:
        write_gate(folder, server, more="training_data: [train.jsonl]\n")
        run_dir = run_policy(folder / "gate.yaml", folder / "run", quiet=True)
    (found,) = compare_run(run_dir).comparisons
    decision = decide_run(run_dir)

    leaked = {c["id"] for c in json.loads((run_dir / "leakage.json").read_text())["cases"]}
    assert {"sums-3", "sums-7"} <= leaked
    assert found.n_pairs == ROWS - len(leaked)
    whole = json.loads((run_dir / "comparisons_with_leaks.json").read_text())
    assert whole["comparisons"][0]["n_pairs"] == ROWS
    assert any("sums-3" in w and "With them the verdict would be" in w for w in decision.warnings)


def test_a_run_goes_on_at_another_address(folder: Path) -> None:
    """The server dies at half; the model is served elsewhere, and only what lacks is asked there."""

    def half(n: int, body: dict[str, Any]) -> Reply:
        return right(n, body) if n < 2 * 5 else Reply(status=400, body={"error": {"message": "no"}})

    with FakeServer(half, models=("new", "old")) as server:
        policy = write_gate(folder, server, options=", limit: 9")
        plan = open_run(policy, folder / "gate.yaml", folder / "run")
        assert run_models(plan, policy).finished_at is None
    with FakeServer(right, models=("new", "old")) as server:
        policy = write_gate(folder, server, options=", limit: 9")
        with pytest.raises(RunError, match="name another --run-dir"):
            open_run(policy, folder / "gate.yaml", folder / "run")
        said = move_run(folder / "run", folder / "gate.yaml")
        assert [line.split()[0] for line in said] == ["candidate", "production"]
        assert move_run(folder / "run", folder / "gate.yaml") == []
        run(folder, policy, folder / "run")
        assert len(server.chats) == 2 * 9 - 2 * 5
    compare_run(folder / "run")
    warnings = decide_run(folder / "run").warnings
    assert any("candidate moved from" in line for line in warnings)


def test_only_addresses_may_have_changed(folder: Path) -> None:
    """Another model, seed or eval set is another run."""
    with FakeServer(right, models=("new", "old")) as server:
        run(folder, write_gate(folder, server, options=", limit: 3"), folder / "run")
        write_gate(folder, server, options=", limit: 3, repeats: 2")
        with pytest.raises(RunError, match="in more than addresses"):
            move_run(folder / "run", folder / "gate.yaml")
