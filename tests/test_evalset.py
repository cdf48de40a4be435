"""Eval sets: whatever is wrong with a file is said in one line that names file and line."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftgate_ext.assets import asset_dir
from ftgate_ext.evalset import (
    file_sha256,
    load_cases,
    load_task_data,
    loaded_sets,
    resolve_data_file,
)
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from pathlib import Path

GOOD = '{"id": "a", "code": "x = 1", "verdict": "clean"}'


def write(folder: Path, *lines: str | bytes) -> Path:
    path = folder / "cases.jsonl"
    path.write_bytes(b"".join((x if isinstance(x, bytes) else x.encode()) + b"\n" for x in lines))
    return path


def problem_of(path: Path, *required: str) -> str:
    with pytest.raises(EvalSetError) as caught:
        load_cases(path, required)
    return str(caught.value).replace(str(path), path.name)


# second line of the file -> what is said about it
BAD_LINES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "cases.jsonl:2: empty line; expected a JSON object. Remove the line."),
    "blank": (" \t ", "cases.jsonl:2: empty line; expected a JSON object. Remove the line."),
    "words": ("hello", "cases.jsonl:2: not valid JSON (Expecting value at column 1); mend the row."),
    "cut off": ('{"id": "b"', "cases.jsonl:2: not valid JSON (Expecting ',' delimiter at column 11); mend the row."),
    "two rows": (GOOD + GOOD, "cases.jsonl:2: not valid JSON (Extra data at column 49); mend the row."),
    "list": ('["b"]', "cases.jsonl:2: found a JSON list; expected an object."),
    "no id": ('{"code": "x"}', "cases.jsonl:2: `id` is None; expected a unique string."),
    "number as id": ('{"id": 2}', "cases.jsonl:2: `id` is 2; expected a unique string."),
    "empty id": ('{"id": ""}', "cases.jsonl:2: `id` is ''; expected a unique string."),
    "same id": (GOOD, "cases.jsonl:2: id 'a' is already in line 1; give each row its own."),
    "missing key": ('{"id": "b"}', "cases.jsonl:2: case 'b' has no 'code'; add it."),
    "not UTF-8": (b'{"id": "b", "code": "\xfcber"}', "cases.jsonl:2: not UTF-8 at byte 22 of the line; save the file as UTF-8."),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_one_line(name: str, tmp_path: Path) -> None:
    """File, line, what was found and what was expected."""
    line, message = BAD_LINES[name]
    assert problem_of(write(tmp_path, GOOD, line), "code") == message


def test_the_line_is_right_far_into_a_large_file(tmp_path: Path) -> None:
    """A wrong byte behind many kilobytes is found in its own line."""
    rows = [json.dumps({"id": f"row-{i}", "code": "x" * 500}) for i in range(100)]
    message = problem_of(write(tmp_path, *rows, b"\xff"))
    assert message.startswith("cases.jsonl:101: not UTF-8 at byte 1 of the line")


def test_all_problems_are_listed_up_to_twenty(tmp_path: Path) -> None:
    """One pass shows what is to be mended, in file order, and how much more there is."""
    path = write(tmp_path, GOOD, *["broken"] * 25, GOOD)
    *listed, last = problem_of(path).splitlines()
    assert [line.split(":")[1] for line in listed] == [str(n) for n in range(2, 22)]
    assert last == "... and 6 more"


def test_exactly_twenty_problems_are_all_there_are(tmp_path: Path) -> None:
    """No "and 0 more"."""
    assert len(problem_of(write(tmp_path, *["broken"] * 20)).splitlines()) == 20


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    """The message names the file and where it is named."""
    message = "cases.jsonl: no such eval set; check the `file` of the task."
    assert problem_of(tmp_path / "cases.jsonl") == message


def test_a_folder_is_no_eval_set(tmp_path: Path) -> None:
    """A path that cannot be read says why."""
    (tmp_path / "cases.jsonl").mkdir()
    assert problem_of(tmp_path / "cases.jsonl").startswith("cases.jsonl: cannot be read (")


def test_an_empty_file_is_one_line(tmp_path: Path) -> None:
    """An eval set without rows would decide nothing."""
    message = "cases.jsonl: no rows; expected one JSON object a line."
    assert problem_of(write(tmp_path)) == message


def test_line_ends_of_windows_are_fine(tmp_path: Path) -> None:
    """A file saved on Windows holds the same rows."""
    path = write(tmp_path, GOOD + "\r", '{"id": "b"}\r')
    assert [c["id"] for c in load_cases(path)] == ["a", "b"]


CELLS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=12)
ROWS = st.lists(
    st.dictionaries(st.sampled_from(["code", "line", "x"]), CELLS), min_size=1, max_size=5
)


@settings(max_examples=50, deadline=None)
@given(ROWS, st.booleans())
def test_rows_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], ascii_only: bool
) -> None:
    """Any values, in file order, escaped or not: a line separator inside a text ends no row."""
    cases = [{"id": f"row-{i}", **row} for i, row in enumerate(rows)]
    lines = [json.dumps(c, ensure_ascii=ascii_only) for c in cases]
    assert load_cases(write(tmp_path_factory.mktemp("set"), *lines)) == cases


def test_the_hash_is_of_the_bytes(tmp_path: Path) -> None:
    """A changed character is another eval set."""
    path = write(tmp_path, GOOD)
    assert file_sha256(path) == hashlib.sha256(GOOD.encode() + b"\n").hexdigest()


# Where data is looked for


def test_data_lies_beside_the_yaml_or_in_the_package(tmp_path: Path) -> None:
    """A file beside the YAML goes before one of the same name in the package."""
    yaml_file = str(tmp_path / "task.yaml")
    packaged = asset_dir("golden") / "codereview_golden.jsonl"
    assert resolve_data_file("codereview_golden.jsonl", yaml_file) == packaged.resolve()
    assert resolve_data_file("codereview_golden.jsonl", None) == packaged.resolve()
    (tmp_path / "codereview_golden.jsonl").touch()
    assert resolve_data_file("codereview_golden.jsonl", yaml_file).parent == tmp_path.resolve()
    assert resolve_data_file(str(packaged), yaml_file) == packaged.resolve()


@pytest.mark.parametrize("source", ["{tmp}/tasks/task.yaml", "inline", None])
def test_the_working_directory_is_never_looked_at(
    source: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same YAML means the same data wherever the command is started."""
    (tmp_path / "here.jsonl").write_text(GOOD, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    config_source = source.format(tmp=tmp_path) if source else None
    with pytest.raises(
        EvalSetError, match=r"eval set 'here\.jsonl' not found; looked for "
    ) as caught:
        resolve_data_file("here.jsonl", config_source)
    assert str(caught.value).startswith(config_source or "inline task")
    assert str(tmp_path / "here.jsonl") not in str(caught.value)


def test_an_absolute_file_is_taken_as_it_is(tmp_path: Path) -> None:
    """A missing one is looked for nowhere else."""
    missing = str(tmp_path / "codereview_golden.jsonl")
    with pytest.raises(EvalSetError, match="looked for") as caught:
        resolve_data_file(missing, None)
    assert str(caught.value).endswith(f"looked for {missing}.")


# What lm-eval is given


def test_lm_eval_gets_every_row(tmp_path: Path) -> None:
    """The columns hold what the rows hold; a key that a row lacks is None there."""
    rows = [{"id": "a", "lines": [1, 2], "n": 1}, {"id": "b", "also": ["x"], "n": 2.5}]
    path = write(tmp_path, *map(json.dumps, rows))
    data = load_task_data(file=str(path), metadata={"version": 1})["test"]
    assert data[0] == {"id": "a", "lines": [1, 2], "n": 1.0, "also": None}
    assert data[1] == {"id": "b", "lines": None, "n": 2.5, "also": ["x"]}


def test_objects_and_mixed_values_become_json_text(tmp_path: Path) -> None:
    """A column has one type, so that what has none travels as JSON."""
    rows = [{"id": "a", "schema": {"type": "ü"}, "x": 1}, {"id": "b", "schema": None, "x": "one"}]
    path = write(tmp_path, *map(json.dumps, rows))
    data = load_task_data(file=str(path))["test"]
    assert (data["schema"][0], data["schema"][1]) == ('{"type": "ü"}', None)
    assert [json.loads(x) for x in data["x"]] == [1, "one"]


@pytest.mark.parametrize(
    "value", [2**70, "\ud800", [1, "one"]], ids=["huge", "half a character", "mixed list"]
)
def test_a_value_that_no_column_holds_is_one_line(value: Any, tmp_path: Path) -> None:
    """What Arrow cannot store is said in one line that names the file."""
    path = write(tmp_path, json.dumps({"id": "a", "x": value}))
    with pytest.raises(
        EvalSetError, match="a column holds values that do not fit together"
    ) as caught:
        load_task_data(file=str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_what_was_loaded_is_remembered(tmp_path: Path) -> None:
    """File, hash and number of rows are kept under the YAML that asked for them."""
    path, source = write(tmp_path, GOOD), str(tmp_path / "task.yaml")
    load_task_data(file="cases.jsonl", required=["verdict"], config_source=source)
    used = loaded_sets.pop(source)
    assert (used.file, used.sha256, used.n_rows) == (path.resolve(), file_sha256(path), 1)


@pytest.mark.parametrize(
    "path", sorted(asset_dir("golden").glob("codereview_*.jsonl")), ids=lambda p: p.stem
)
def test_every_set_of_the_package_loads(path: Path) -> None:
    """What travels with the package is as it demands of others."""
    assert len(load_task_data(file=path.name)["test"]) == len(load_cases(path)) >= 20
