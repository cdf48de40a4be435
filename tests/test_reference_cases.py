"""Tests of the published cases: every figure of theirs is ours, and a wrong figure is noticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from run_reference_cases import CATEGORIES, Check, answer_case, checks_of, examine, main, miss_of

FILE = Path(__file__).with_name("reference") / "stats_cases.json"
CASES: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
BY_ID = {case["id"]: case for case in CASES}
KAPPA = BY_ID["kappa_2x2"]


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_every_published_figure_is_ours(case: dict[str, Any]) -> None:
    """Public functions of the statistics answer the case within its tolerance."""
    assert examine(case)[1] == []


def test_every_case_says_where_it_comes_from() -> None:
    """48 cases with different ids, an input, an expectation and a source each."""
    assert len(BY_ID) == len(CASES) == 48
    for case in CASES:
        assert set(case) == {"id", "category", "input", "expect", "source"}
        assert case["category"] in CATEGORIES
        assert case["expect"]
        assert case["source"]


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_a_wrong_figure_is_a_miss(case: dict[str, Any]) -> None:
    """Any expected value that is not the right one is noticed."""
    answers = answer_case(case)
    for check in checks_of(case):
        if check.mode != "info":
            wrong = (
                f"not {check.value}" if isinstance(check.value, str) else (check.value or 1) * -7
            )
            assert miss_of(Check(check.path, wrong, check.mode, check.tolerance), answers)


def test_all_forms_of_a_case_mean_the_same() -> None:
    """Checks, expectations and bare questions are answered alike."""
    checks = [
        {"path": c.path, "value": c.value, "mode": c.mode, "tol": c.tolerance}
        for c in checks_of(KAPPA)
    ]
    plain = {key: KAPPA[key] for key in ("id", "category", "input")}
    asked = plain | {"answer_paths": list(KAPPA["expect"])}

    assert examine(plain | {"checks": checks}) == examine(KAPPA)
    assert examine(asked) == examine(KAPPA)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"category": "astrology"}, "category 'astrology' is not known"),
        ({"input": {}}, "KeyError"),
        ({"input": {"table": [[1, 2]]}}, "expected a square"),
        ({"expect": {"/kapa": [0.4, "abs", 0.1]}}, "/kapa: no answer"),
        ({"expect": {"/kappa": [0.5, "abs", 0.01]}}, "/kappa: found"),
        ({"expect": {"/kappa": [0.4, "near", 0.01]}}, "mode 'near' is not known"),
        ({"expect": {}}, "nothing is expected"),
    ],
)
def test_what_cannot_be_answered_is_a_miss(change: dict[str, Any], message: str) -> None:
    """Unknown categories, bad inputs and unanswered paths are misses with a reason."""
    misses = examine(KAPPA | change)[1]

    assert len(misses) == 1
    assert message in misses[0]


def test_tolerances_are_absolute_relative_or_none() -> None:
    """Abs and rel bound the distance, equal takes no other type, info takes anything."""
    answers = {"/x": 102.0, "/none": None, "/true": True}

    assert miss_of(Check("/x", 100.0, "abs", 2.0), answers) is None
    assert miss_of(Check("/x", 100.0, "abs", 1.0), answers)
    assert miss_of(Check("/x", 100.0, "rel", 0.02), answers) is None
    assert miss_of(Check("/x", 100.0, "rel", 0.01), answers)
    assert miss_of(Check("/none", None, "abs", 0.0), answers) is None
    assert miss_of(Check("/none", 1.0, "abs", 9.0), answers)
    assert miss_of(Check("/true", 1, "equal", 0.0), answers)
    assert miss_of(Check("/absent", 1, "info", 0.0), answers) is None


def test_the_command_writes_answers_and_counts_misses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line a case, a summary, the answers in a file, and exit code 1 where anything is missed."""
    wrong = KAPPA | {"id": "wrong", "expect": {"/kappa": [0.9, "abs", 0.01]}}
    cases, out = tmp_path / "cases.json", tmp_path / "answers.json"
    cases.write_text(json.dumps({"cases": [KAPPA, wrong]}), encoding="utf-8")

    assert main([str(cases), "--answers", str(out)]) == 1

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "kappa_2x2  ok"
    assert lines[1].startswith("wrong  MISS  /kappa: found 0.39999")
    assert lines[2] == "1 of 2 cases ok, 8 values answered"
    answers = json.loads(out.read_text(encoding="utf-8"))
    assert answers["wrong"]["/kappa"] == pytest.approx(0.4)
    assert set(answers["kappa_2x2"]) == set(KAPPA["expect"])


def test_a_file_that_is_all_right_exits_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    """The published cases themselves."""
    assert main([str(FILE)]) == 0
    assert "48 of 48 cases ok" in capsys.readouterr().out
