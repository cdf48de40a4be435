"""Labels by execution: each proof runs apart, and what does not come out as it must is named."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml
from test_evalset_families import family

from ftgate_ext.assets import asset_dir
from ftgate_ext.evalset.build import SEED, set_rows
from ftgate_ext.evalset.verify import Proof, run_proofs, verify_set, verify_sources

if TYPE_CHECKING:
    from pathlib import Path


def run_plainly(program: str, stdin: str, seconds: float) -> str:
    """The sandbox's place taken by a bare interpreter: for code of these tests only."""
    return subprocess.run(
        [sys.executable, "-I", "-c", program], input=stdin, capture_output=True, text=True,
        timeout=seconds, check=False,
    ).stdout  # fmt: skip


def outcome(code: str, test: str) -> str:
    [found] = run_proofs([Proof("x", code, test, must_pass=True)], run_plainly)
    return found


@pytest.mark.parametrize(
    ("code", "test", "expected"),
    [
        ("x = 1", "assert x == 1", "passed"),
        ("x = 1", "assert x == 2", "failed"),
        ("x = 1", "raise SystemExit(0)", "failed"),
        ("x = ", "assert True", "broken"),
        ("import nowhere", "assert True", "broken"),
        ("import os", "os._exit(0)", "died"),
        ("x = 1", "print('0 passed')\nassert False", "failed"),
        ("from dataclasses import dataclass\n@dataclass\nclass A:\n    b: 'int' = 1", "assert A().b == 1", "passed"),
    ],
)  # fmt: skip
def test_outcomes(code: str, test: str, expected: str) -> None:
    """Only a test that ran to its end has passed, whatever the code prints or exits with."""
    assert outcome(code, test) == expected


def test_a_test_that_hangs_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads and sleeping children do not outlive it."""
    monkeypatch.setattr("ftgate_ext.evalset.verify.SECONDS", 0.3)
    assert outcome("import time", "time.sleep(60)") == "timeout"


def test_proofs_do_not_see_one_another() -> None:
    """Names, imported modules and files of one are not there for the next."""
    proofs = [
        Proof("a", "import json\njson.dumps = None\nopen('left', 'w').close()", "pass", must_pass=True),
        Proof("b", "import json, os", "assert json.dumps(1) == '1'\nassert os.listdir() == []", must_pass=True),
    ]  # fmt: skip
    assert run_proofs(proofs, run_plainly) == ["passed", "passed"]


def test_what_a_dead_batch_leaves_is_run_again() -> None:
    """A sandbox that dies takes no other proof with it; what never ends well has no outcome."""
    proofs = [Proof(str(i), f"x = {i}", "pass", must_pass=True) for i in range(70)]

    def run(program: str, stdin: str, seconds: float) -> str:
        pairs = json.loads(stdin)["pairs"]
        if any(code == "x = 7" for code, _ in pairs):
            return "0 passed\n" if len(pairs) > 1 else ""
        return run_plainly(program, stdin, seconds)

    found = run_proofs(proofs, run)
    assert found.count("passed") == 69
    assert found[7] == "no outcome"


def write(folder: Path, **changes: object) -> Path:
    (folder / "golden").mkdir(exist_ok=True)
    (folder / "golden" / "a.yaml").write_text(yaml.safe_dump([family(**changes)]), encoding="utf-8")
    return folder


def test_right_code_passes_and_every_defect_fails(tmp_path: Path) -> None:
    """Two skins, each right once and wrong twice."""
    found = verify_sources(write(tmp_path), run_plainly)
    assert (found.proofs, found.failures) == (6, [])
    assert found.outcomes == {"passed": 2, "failed": 4}


def test_a_label_that_does_not_hold_is_named(tmp_path: Path) -> None:
    """A test that sees nothing, and right code that fails."""
    found = verify_sources(write(tmp_path, test="assert True"), run_plainly)
    assert len(found.failures) == 4
    assert (
        found.failures[0] == "sum_up, skin 0, with overwritten: passed; expected the test to fail"
    )
    found = verify_sources(write(tmp_path, test="assert False"), run_plainly)
    assert found.failures == [
        f"sum_up, skin {n}, right: failed; expected the test to pass" for n in (0, 1)
    ]


def test_a_built_set_is_proven_row_by_row(tmp_path: Path) -> None:
    """A row that is not what the sources give is a failure, not passed over."""
    sources = write(tmp_path)
    rows = set_rows("golden", sources, SEED)
    file = tmp_path / "set.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = verify_set(file, sources, run_plainly)
    assert (found.cases, found.failures) == (len(rows), [])
    rows[0]["purpose"] = "Another."
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert verify_set(file, sources, run_plainly).failures == [
        f"{rows[0]['id']}: not what the sources give; build the set again"
    ]


@pytest.mark.slow
def test_every_shipped_label_by_execution_is_proven() -> None:
    """All Python rows of the golden set, in the sandbox; zero failures."""
    folder = asset_dir("golden")
    found = verify_set(folder / "codereview_golden.jsonl", folder / "sources")
    assert found.failures == []
    assert found.cases > 500
