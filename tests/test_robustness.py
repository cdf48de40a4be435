"""Robustness: perturbed programs are the same programs, and each model is set beside itself."""

from __future__ import annotations

import ast
import json
import random
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import QUICK, as_scores, make_models, make_policy, make_record

from ftgate_ext.assets import asset_dir
from ftgate_ext.audit.needs import find_simulable
from ftgate_ext.compare import compare_models
from ftgate_ext.decision import decide
from ftgate_ext.evalset import load_cases, load_perturbed_data
from ftgate_ext.evalset.perturb import PERTURBATIONS, PREFIX, REMARKS, Perturbation, perturb
from ftgate_ext.evalset.perturbed_set import DEMANDED, perturbed_rows
from ftgate_ext.report.robustness import view_robustness
from ftgate_ext.schema import Comparison, Comparisons, EvalSetError
from ftgate_ext.scoring.codereview import score_golden
from ftgate_ext.settings import Settings

if TYPE_CHECKING:
    from ftgate_ext.runs import Record

GOLDEN = asset_dir("golden") / "codereview_golden.jsonl"
CASES = load_cases(GOLDEN)
PYTHON = [c for c in CASES if c["language"] == "python" and c["form"] == "function"]
ROWS = perturbed_rows(CASES, 12)
TASK = "codereview_robust"
FIELDS = ("cluster", "base", "perturbation")


def lines_of(case: dict[str, Any]) -> tuple[int, int] | None:
    return tuple(case["lines"]) if case["lines"] else None


def marked(code: str, lines: tuple[int, int] | None) -> list[str]:
    """The words of the lines of a defect, without indentation and prefixes."""
    first, last = lines or (1, 0)
    shown = (line.strip().replace(PREFIX, "") for line in code.split("\n")[first - 1 : last])
    return [line for line in shown if line not in REMARKS]


# --- the same program in another dress


def check_same_program(kind: Perturbation, cases: list[dict[str, Any]]) -> int:
    """How many cases a perturbation fits; each keeps its syntax tree and the lines of its label."""
    fitting = 0
    for case in cases:
        made = perturb(kind, case["code"], lines_of(case))
        if made is None:
            continue
        fitting += 1
        before, after = ast.parse(case["code"]), ast.parse(made.code)
        if kind == "renamed":
            after = ast.parse(made.code.replace(PREFIX, ""))
        if kind == "surrounded":
            whole, own = ([ast.dump(node) for node in tree.body] for tree in (after, before))
            assert any(whole[i : i + len(own)] == own for i in range(len(whole)))
        else:
            assert ast.dump(before) == ast.dump(after)
        assert marked(made.code, made.lines) == marked(case["code"], lines_of(case)), case["id"]
    return fitting


@pytest.mark.parametrize("kind", DEMANDED)
def test_golden_programs_stay_what_they_are(kind: Perturbation) -> None:
    """Same syntax tree, but for names and what stands around; the label points at the same lines."""
    assert check_same_program(kind, PYTHON[::5]) >= 0.9 * len(PYTHON[::5])


@pytest.mark.slow
@pytest.mark.parametrize("kind", PERTURBATIONS)
def test_every_golden_program_stays_what_it_is(kind: Perturbation) -> None:
    """The same for all of them; none has comments to take away."""
    fitting = check_same_program(kind, PYTHON)

    assert fitting == 0 if kind == "uncommented" else fitting >= 0.9 * len(PYTHON)


def test_comments_that_were_added_can_be_taken_away() -> None:
    """Removal undoes addition, and the lines of the defect come back to where they were."""
    for case in PYTHON[::15]:
        added = perturb("commented", case["code"], lines_of(case))
        assert added is not None
        back = perturb("uncommented", added.code, added.lines)
        assert back is not None
        assert (back.code, back.lines) == (case["code"], lines_of(case))


TRICKY = '''
import os
total = 3

class Box:
    size = 1
    def grow(self, by=2):
        size = self.size  # ä: offsets count bytes
        for step in range(by): size += step; total_of = {step: size for step in range(2)}
        try:
            text = """
    four spaces inside a text
"""
        except ValueError as error:
            raise
        def inner(size=size, *, step=None):
            nonlocal text
            text = f"{size} {step}"
            return (lambda size: size + len(text))(step or 0)
        with open(os.devnull) as file:
            read = file.read()
        return inner(step=2), total, text, read, total_of

@staticmethod
def free(x):
    # nothing
    y = x  # yes
    return y
'''


@pytest.mark.parametrize("kind", PERTURBATIONS)
def test_programs_with_traps_behave_as_before(kind: Perturbation) -> None:
    """Closures, class attributes, texts over lines, nonlocal, f-strings and bytes beyond ASCII."""
    made = perturb(kind, TRICKY, (8, 9))
    assert made is not None
    results = []
    for code in (TRICKY, made.code):
        space: dict[str, Any] = {"__name__": "boxes"}
        exec(code, space)  # noqa: S102 - our own text
        results.append(space["Box"]().grow(3))
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("renamed", "def f(a):\n    return a"),
        ("renamed", "def f():\n    x = 1\n    return locals()"),
        ("reindented", "x = 1"),
        ("uncommented", "x = '# no comment'"),
        ("commented", "x = 1"),
        ("renamed", "def f(:"),
        ("reindented", "def f():\n\tx = '"),
    ],
)
def test_what_does_not_fit_is_left_out(kind: Perturbation, code: str) -> None:
    """A perturbation that changes nothing, or cannot be sure, is none."""
    assert perturb(kind, code, None) is None


@pytest.mark.slow
def test_renamed_programs_pass_and_fail_their_tests_as_before() -> None:
    """Every renamed and surrounded golden program is run: right code passes, defective code fails."""
    from ftgate_ext.evalset.build import SEED, golden_cases
    from ftgate_ext.evalset.families import fill
    from ftgate_ext.evalset.verify import FAILURES, Proof, run_in_sandbox, run_proofs
    from ftgate_ext.scoring.sandbox import SandboxUnavailable

    proofs = []
    for case, row in golden_cases(asset_dir("golden") / "sources", SEED):
        if row["language"] != "python" or row["form"] != "function" or case.family.test is None:
            continue
        for kind in ("renamed", "surrounded"):
            made = perturb(kind, row["code"], lines_of(row))
            if made is not None:
                test = fill(case.family.test, case.skin)
                proofs.append(
                    Proof(f"{row['id']} {kind}", made.code + "\n", test, case.defect is None)
                )
    try:
        outcomes = run_proofs(proofs, run_in_sandbox)
    except SandboxUnavailable as error:
        pytest.skip(str(error))

    wrong = [p.name for p, o in zip(proofs, outcomes, strict=True) if (o == "passed") is not p.must_pass]  # fmt: skip
    assert len(proofs) > 1000
    assert not wrong
    assert {o for p, o in zip(proofs, outcomes, strict=True) if not p.must_pass} <= FAILURES


# --- the rows of the task


def test_the_rows_are_whole_cases_and_the_same_again() -> None:
    """A case, then its dresses; ids are unique; whoever loads them gets the same."""
    assert perturbed_rows(CASES[::-1], 12) == ROWS
    assert len({row["id"] for row in ROWS}) == len(ROWS) == 12 * (1 + len(DEMANDED))
    for start in range(0, len(ROWS), 1 + len(DEMANDED)):
        whole = ROWS[start : start + 1 + len(DEMANDED)]
        assert {row["base"] for row in whole} == {whole[0]["base"]}
        assert [row["perturbation"] for row in whole] == ["none", *DEMANDED]


def test_lm_eval_asks_the_unperturbed_case_as_the_golden_set_does() -> None:
    """The same prompt for the case as it is, other words for the paraphrase, other code for the rest."""
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(asset_dir("tasks")), include_defaults=False)
    tasks = manager.load([TASK, "codereview_golden"])["tasks"]
    golden = {doc["id"]: doc for doc in tasks["codereview_golden"].test_docs()}
    ask = tasks[TASK].doc_to_text
    docs = tasks[TASK].test_docs().select(range(6))
    prompts = {doc["perturbation"]: ask(doc) for doc in docs}

    assert prompts["none"] == tasks["codereview_golden"].doc_to_text(golden[docs[0]["base"]])
    assert len(set(prompts.values())) == 6
    assert prompts["paraphrased"].partition("Purpose:")[2] == prompts["none"].partition("Purpose:")[2]  # fmt: skip


def test_a_set_without_python_is_an_error(tmp_path: Path) -> None:
    """No case to perturb: the message says what was expected."""
    file = tmp_path / "go.jsonl"
    file.write_text(json.dumps(next(c for c in CASES if c["language"] == "go")) + "\n", "utf-8")

    with pytest.raises(EvalSetError, match="no case can be perturbed"):
        load_perturbed_data(file=str(file), bases=5)


# --- a model against itself


def answered(right: Any, repeats: int = 1) -> list[Record]:
    """A verdict a row; `right(row)` says whether it is the right one."""
    records = []
    for row in ROWS * repeats:
        other = {"defect": "clean", "clean": "defect"}
        verdict = row["verdict"] if right(row) else other[row["verdict"]]
        answer = json.dumps({
            "verdict": verdict, "category": row["category"] or "logic", "line": (row["lines"] or [1])[0],
            "severity": "high", "comment": "So.",
        } if verdict == "defect" else {"verdict": "clean", "category": None, "line": None, "severity": None, "comment": None})  # fmt: skip
        records.append(make_record(row["id"], task=TASK, answer=answer, doc=row, **score_golden(row, [answer])))  # fmt: skip
    return records


def compared(mine: list[Record], theirs: list[Record] | None = None) -> Comparisons:
    models = make_models(candidate=mine, production=theirs or answered(lambda _: True))
    return compare_models(
        as_scores(models, FIELDS), [], "run-1", Path("runs/toy"), Settings(resamples=1000)
    )


def found(comparisons: Comparisons, metric: str, role: str = "candidate") -> Comparison:
    return next(c for c in comparisons.perturbed if (c.metric, c.candidate) == (metric, role))


def test_the_drop_is_that_of_the_perturbed_cases() -> None:
    """Wrong on 6 of 12 renamed cases: 50 points lost there, none elsewhere, a sixth of that over all."""
    halves = {base for i, base in enumerate(dict.fromkeys(row["base"] for row in ROWS)) if i % 2}
    comparisons = compared(
        answered(lambda r: r["perturbation"] != "renamed" or r["base"] in halves)
    )

    renamed = found(comparisons, "verdict_acc,renamed")
    assert renamed.n_pairs == 12
    assert renamed.difference is not None
    assert renamed.difference.value == pytest.approx(-0.5)
    assert len(renamed.lost_cases) == 6
    whole = found(comparisons, "verdict_acc,perturbed").difference
    assert whole is not None
    assert whole.value == pytest.approx(-0.5 / len(DEMANDED))
    for kind in set(DEMANDED) - {"renamed"}:
        other = found(comparisons, f"verdict_acc,{kind}").difference
        assert other is not None
        assert other.value == 0
    assert all(c.difference is None or c.difference.value == 0 for c in comparisons.perturbed if c.candidate == "production")  # fmt: skip


RULE = {"kind": "non_inferiority", "task": TASK, "metric": "verdict_acc,perturbed", "against": "candidate", "margin_pt": 20}  # fmt: skip


@pytest.mark.parametrize(("share", "outcome"), [(1.0, "PASS"), (0.0, "FAIL")])
def test_a_rule_against_itself(share: float, outcome: str) -> None:
    """`against: candidate` asks for the drop: none passes, all perturbed cases wrong fails."""
    right = random.Random(1)
    policy = make_policy(RULE, tasks=(TASK,))
    mine = answered(lambda r: r["perturbation"] == "none" or right.random() < share)
    result = decide(policy, compared(mine), None, date(2026, 1, 1)).rules[0]

    assert result.outcome == outcome, result.sentence
    assert "its own unperturbed answers" in result.asked


def test_an_audit_leaves_the_rule_as_it_is() -> None:
    """What a simulation cannot draw anew keeps its result there, and the audit runs."""
    policy = make_policy(RULE, tasks=(TASK,))
    found = find_simulable(policy, compared(answered(lambda _: True)), None, date(2026, 1, 1))

    assert found.rules == []
    assert found.held["non_inferiority"].outcome == "PASS"


def test_without_perturbed_cases_the_rule_is_open() -> None:
    """A task with no perturbed rows gives no evidence, and so no pass."""
    policy = make_policy(RULE | {"task": "quiz", "metric": "passed,perturbed"})
    models = make_models(candidate=[make_record(passed=1)], production=[make_record(passed=1)])
    comparisons = compare_models(as_scores(models, FIELDS), [], "run-1", Path("runs/toy"))

    assert decide(policy, comparisons, None, date(2026, 1, 1)).rules[0].outcome == "INCONCLUSIVE"


def test_missing_answers_are_counted_and_decide_nothing() -> None:
    """Half of the unperturbed answers missing: above the error budget, whatever the others say."""
    records = [
        make_record(r.case_id, task=TASK, doc=r.doc, unanswered=1) if r.doc["perturbation"] == "none" and i % 12 == 0 else r
        for i, r in enumerate(answered(lambda _: True))
    ]  # fmt: skip
    comparisons = compared(records)
    result = decide(make_policy(RULE, tasks=(TASK,)), comparisons, None, date(2026, 1, 1)).rules[0]

    assert found(comparisons, "verdict_acc,perturbed").n_excluded == 6
    assert result.outcome == "INCONCLUSIVE"


@settings(QUICK, max_examples=6)
@given(st.integers(0, 10_000))
def test_a_model_that_ignores_dresses_loses_nothing(seed: int) -> None:
    """The same verdict in every dress of a case: every difference is exactly 0, however wrong it is."""
    rng = np.random.default_rng(seed)
    right = {base: bool(rng.random() < 0.6) for base in dict.fromkeys(row["base"] for row in ROWS)}
    comparisons = compared(answered(lambda r: right[r["base"]]))

    for comparison in comparisons.perturbed:
        if comparison.metric.startswith("verdict_acc") and comparison.difference:
            assert comparison.difference.value == 0


# --- repeats


def test_repeats_that_agree_are_told_from_those_that_do_not() -> None:
    """A case counts as steady if all its repeats have the same score, right or wrong."""
    seen: dict[str, int] = {}

    def right(row: dict[str, Any]) -> bool:
        seen[row["id"]] = seen.get(row["id"], 0) + 1
        return row["perturbation"] != "renamed" or seen[row["id"]] != 2

    comparisons = compared(answered(right, repeats=3))
    mine = {c.metric: c for c in comparisons.consistency if c.role == "candidate"}["verdict_acc"]

    assert mine.repeats == 3
    assert mine.same.estimate.value == pytest.approx(1 - 12 / len(ROWS))
    assert compared(answered(lambda _: True)).consistency == []


def test_the_report_shows_drops_and_repeats() -> None:
    """A row a perturbation and model, and the share of cases that came out alike."""
    section = view_robustness(compared(answered(lambda r: r["perturbation"] != "renamed", 2)))
    table = next(t for t in section.tables if "verdict accuracy" in t.caption)

    assert len(table.rows) == 2 * (len(DEMANDED) + 1)
    assert table.rows[0][:5] == [
        "with variables renamed",
        "candidate",
        "0.0%",
        "100.0%",
        "-100.0 pt",
    ]
    assert "All alike" in section.tables[-1].columns
    assert view_robustness(Comparisons(run_id="r", roles=[], levels=[], comparisons=[], operations=[], sources={}, resamples=1, seed=1)).tables == []  # fmt: skip
