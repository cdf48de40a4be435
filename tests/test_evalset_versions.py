"""Manifest, frozen versions and differences between two states of a set."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from command import ftgate

import ftgate_ext.evalset.versions as versions_module
from ftgate_ext.evalset.changes import compare_states, read_state
from ftgate_ext.evalset.rows import file_sha256
from ftgate_ext.evalset.versions import check_shipped, freeze, read_manifest, read_versions
from ftgate_ext.policy import EvalSet
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [{"id": f"q-{i}", "code": f"x = {i}", "verdict": "clean", "comment": "c"} for i in range(5)]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def changed(at: int, **fields: Any) -> list[dict[str, Any]]:
    return [row | fields if i == at else row for i, row in enumerate(ROWS)]


# --- freeze


def test_the_first_version_is_1_0_0_and_stands_in_the_manifest(tmp_path: Path) -> None:
    """Manifest and versions lie beside the set."""
    file = write(tmp_path / "own.jsonl", ROWS)
    frozen = freeze(file)
    manifest = read_manifest(tmp_path)
    assert (frozen.version, frozen.rows, frozen.sha256) == ("1.0.0", 5, file_sha256(file))
    assert manifest is not None
    assert manifest.sets["own"].version == "1.0.0"
    assert manifest.sets["own"].counts["verdict"] == {"clean": 5}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([*ROWS, {"id": "q-9", "code": "y", "verdict": "clean"}], "1.1.0"),
        (ROWS[:4], "2.0.0"),
        (changed(1, verdict="defect"), "2.0.0"),
        (ROWS[::-1], "1.0.1"),
    ],
)
def test_the_next_version_follows_from_the_change(
    tmp_path: Path, rows: list[dict[str, Any]], expected: str
) -> None:
    """Changed or removed cases are major, added ones minor, another order a patch."""
    file = write(tmp_path / "own.jsonl", ROWS)
    freeze(file)
    write(file, rows)
    assert freeze(file).version == expected


def test_versions_only_grow(tmp_path: Path) -> None:
    """What was frozen is never rewritten, and a smaller number is refused."""
    file = write(tmp_path / "own.jsonl", ROWS)
    freeze(file, "2.0.0")
    first = (tmp_path / "versions.jsonl").read_text()
    assert freeze(file).version == "2.0.0"
    write(file, ROWS[:3])
    for version, found in (("1.9.0", "is not above 2.0.0"), ("2.0", "expected major.minor.patch")):
        with pytest.raises(EvalSetError, match=found):
            freeze(file, version)
    freeze(file)
    assert (tmp_path / "versions.jsonl").read_text().startswith(first)
    assert [v.version for v in read_versions(tmp_path)] == ["2.0.0", "3.0.0"]


def test_a_broken_versions_file_is_named_with_its_line(tmp_path: Path) -> None:
    """File, line and field."""
    (tmp_path / "versions.jsonl").write_text('{"set": "x"}\n', encoding="utf-8")
    with pytest.raises(EvalSetError, match=r"versions.jsonl:1: version: Field required"):
        read_versions(tmp_path)
    (tmp_path / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(EvalSetError, match=r"manifest.json: row: Invalid JSON"):
        read_manifest(tmp_path)


# --- what a run refuses


def test_a_shipped_set_must_be_what_its_manifest_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed file, and a lost manifest, are refused; other folders are nobody's business."""
    monkeypatch.setattr(versions_module, "asset_dir", lambda _: tmp_path)
    file = write(tmp_path / "own.jsonl", ROWS)
    with pytest.raises(EvalSetError, match=r"manifest.json: not there"):
        check_shipped(file, file_sha256(file))
    freeze(file)
    check_shipped(file, file_sha256(file))
    with pytest.raises(EvalSetError, match=r"is not .* of manifest.json \(version 1.0.0\)"):
        check_shipped(file, "0" * 64)
    elsewhere = tmp_path / "else"
    elsewhere.mkdir()
    check_shipped(write(elsewhere / "own.jsonl", ROWS), "0" * 64)


def test_a_policy_may_call_a_changed_set_local(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`local: true` on the eval set lets the run use it; without it the run does not begin."""
    from ftgate_ext.lm_tasks import find_tasks, use_of

    monkeypatch.setattr(versions_module, "asset_dir", lambda _: tmp_path)
    file = write(tmp_path / "own.jsonl", ROWS)
    freeze(file)
    write(file, changed(1, code="y"))
    (tmp_path / "own.yaml").write_text(
        "task: own\ncustom_dataset: !function ftgate_ext.evalset.load_task_data\n"
        "dataset_kwargs: {file: own.jsonl}\ntest_split: test\noutput_type: generate_until\n"
        'doc_to_text: "{{ code }}"\ndoc_to_target: "{{ verdict }}"\n'
        "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n",
        encoding="utf-8",
    )
    tasks = find_tasks(["own"], [tmp_path])
    assert use_of(tasks, EvalSet(task="own", kind="golden", local=True))[0].n_rows == 5
    with pytest.raises(EvalSetError, match="set `local: true` on the eval set"):
        use_of(tasks, EvalSet(task="own", kind="golden"))


# --- diff


def test_changes_are_told_by_row_and_field(tmp_path: Path) -> None:
    """Added, removed and changed ids, with the fields."""
    old = write(tmp_path / "old.jsonl", ROWS)
    new = write(tmp_path / "new.jsonl", [*changed(1, code="y", comment="d")[1:], {"id": "q-9"}])
    found = compare_states(read_state(old.name, tmp_path), read_state(new.name, tmp_path))
    assert (found.added, found.removed) == (["q-9"], ["q-0"])
    assert found.changed == {"q-1": ["code", "comment"]}
    assert not found.reordered
    assert not found.same_bytes


def test_a_frozen_version_is_compared_by_its_hashes(tmp_path: Path) -> None:
    """Fields are told where the old bytes are still there, and `?` where only hashes are known."""
    file = write(tmp_path / "own.jsonl", ROWS)
    freeze(file)
    same = compare_states(read_state("own@1.0.0", tmp_path), read_state("own.jsonl", tmp_path))
    assert same.same_bytes
    write(file, changed(2, verdict="defect"))
    found = compare_states(read_state("own@1.0.0", tmp_path), read_state("own.jsonl", tmp_path))
    assert found.changed == {"q-2": ["?"]}
    with pytest.raises(EvalSetError, match=r"no such frozen version; known of 'own': 1.0.0"):
        read_state("own@9.0.0", tmp_path)


def run_folder(runs: Path, name: str, sha256: str) -> None:
    from ftgate_ext.schema import EvalSetUse, RunManifest

    use = EvalSetUse(task="own", file="own.jsonl", sha256=sha256, n_rows=5, config_source="x")
    folder = runs / name
    folder.mkdir(parents=True)
    manifest = RunManifest(
        run_id=name, policy_name="p", policy_hash="x", generation_hash="x", models=[], seed=1,
        created_at="2026-01-01T00:00:00+00:00", eval_sets=[use], concurrency=1, versions={},
    )  # fmt: skip
    (folder / "run.json").write_text(manifest.model_dump_json(), encoding="utf-8")


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (changed(1, code="y"), "1 of its cases ask or score differently now, 0 are gone"),
        ([*ROWS, {"id": "q-9"}], "its cases stand as they were, 1 have come since"),
        (changed(1, comment="d"), "only descriptions or the order changed"),
    ],
)
def test_runs_on_the_old_state_are_named(
    tmp_path: Path, rows: list[dict[str, Any]], reason: str
) -> None:
    """A run whose run.json has the old sha256 is outdated, another is not."""
    old, new = write(tmp_path / "old.jsonl", ROWS), write(tmp_path / "new.jsonl", rows)
    run_folder(tmp_path / "runs", "a", file_sha256(old))
    run_folder(tmp_path / "runs", "b", file_sha256(new))
    states = [read_state(file.name, tmp_path) for file in (old, new)]
    [found] = compare_states(*states, tmp_path / "runs").outdated
    assert (found.run, found.task) == ("a", "own")
    assert reason in found.reason


def test_the_commands_print_one_line_errors_and_json(tmp_path: Path) -> None:
    """`freeze` and `diff` on the command line."""
    write(tmp_path / "own.jsonl", ROWS)
    assert "own@1.0.0: 5 rows" in ftgate("evalset", "freeze", "own.jsonl", cwd=tmp_path).stdout
    write(tmp_path / "own.jsonl", ROWS[1:])
    shown = ftgate("evalset", "diff", "own@1.0.0", "own.jsonl", "--json", cwd=tmp_path)
    assert json.loads(shown.stdout)["removed"] == ["q-0"]
    assert (
        "0 added, 1 removed, 0 changed"
        in ftgate("evalset", "diff", "own@1.0.0", "own.jsonl", cwd=tmp_path).stdout
    )
    shown = ftgate("evalset", "diff", "own.jsonl", "none.jsonl", cwd=tmp_path)
    assert (shown.returncode, shown.stderr.count("\n")) == (2, 1)
    shown = ftgate("evalset", "diff", "own@1.0.0", "own.jsonl", "--runs", ".", cwd=tmp_path)
    assert (shown.returncode, "no run folders" in shown.stderr) == (2, True)
