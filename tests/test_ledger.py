"""The forgetting ledger: what was gained and lost on every capability, and what is absent stays absent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK, make_record

from ftgate_ext.compare import compare_models
from ftgate_ext.evidence import Evidence, find_problem
from ftgate_ext.ledger import make_ledger
from ftgate_ext.policy import Policy, parse_policy
from ftgate_ext.report.ledger import view_ledger
from ftgate_ext.runs import ModelRecords
from ftgate_ext.scores import ModelScores, tabulate_records
from ftgate_ext.settings import Settings
from ftgate_ext.stats.pass_at_k import pass_at_k

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.schema import Comparisons

POLICY = """\
version: 1
name: ledger
models:
  candidate: {endpoint: http://localhost:1/v1, model: a}
  base: {endpoint: http://localhost:1/v1, model: b}
  production: {endpoint: http://localhost:1/v1, model: c}
eval_sets:
  - {task: mmlu, kind: capability}
  - {task: gsm8k, kind: capability}
  - {task: codereview_golden, kind: golden}
rules: [{name: kept, kind: non_inferiority, task: mmlu, metric: accuracy, against: base, margin_pt: 2}]
"""
METRIC = "exact_match,get_response"
SUBJECTS = ("anatomy", "law", "logic")
Right = dict[str, list[int]]


def scored(task: str, number: int, hit: int) -> Any:
    scores: Any = {METRIC: hit}
    return make_record(f"{task}-{number}", task=task, **scores)


def model(right: Right) -> ModelScores:
    """A model that has some cases of some subjects right: one list of 0 and 1 a subject."""
    from dataclasses import replace
    from pathlib import Path

    tasks = {f"mmlu_{s}_generative": hits for s, hits in right.items()}
    records = {
        task: [scored(task, i, hit) for i, hit in enumerate(hits)] for task, hits in tasks.items()
    }
    scores = tabulate_records(ModelRecords(Path(), records, {t: {"exact_match": True} for t in tasks}))  # fmt: skip
    return replace(scores, groups={"mmlu_generative": list(tasks)})


def compared(candidate: Right, base: Right) -> tuple[Policy, Comparisons]:
    from pathlib import Path

    models: Any = {"candidate": model(candidate), "base": model(base)}
    made = compare_models(models, [], "r", Path(), Settings(resamples=1000))
    made.unavailable = {"gsm8k": "gsm8k: its data cannot be loaded (ConnectionError: no route); put a copy there."}  # fmt: skip
    policy = parse_policy(POLICY, "gate.yaml")
    made.ledger = make_ledger(policy, made)
    return policy, made


ALL = dict.fromkeys(SUBJECTS, [1] * 20)


def test_losses_are_counted_by_subject_and_corrected() -> None:
    """Law is lost in 10 of 20 cases and shown to be; logic in one, which Holm leaves alone."""
    worse = ALL | {"law": [0] * 10 + [1] * 10, "logic": [0] + [1] * 19}
    _, made = compared(worse, ALL)
    entry = made.ledger[0]
    assert (entry.benchmark, entry.baseline, entry.n) == ("mmlu", "base", 60)
    assert (entry.gained, entry.lost) == (0, 11)
    assert entry.difference is not None
    assert entry.difference.value == pytest.approx(-11 / 60)
    assert [(s.subject, s.lost, s.is_lost) for s in entry.subjects] == [
        ("law", 10, True), ("logic", 1, False), ("anatomy", 0, False),
    ]  # fmt: skip
    law = entry.subjects[0]
    assert law.p is not None
    assert law.p_holm == pytest.approx(3 * law.p)


def test_gains_are_no_losses() -> None:
    """A subject that the candidate alone knows is gained, and never called lost."""
    _, made = compared(ALL, ALL | {"law": [0] * 20})
    entry = made.ledger[0]
    assert (entry.gained, entry.lost) == (20, 0)
    assert not any(s.is_lost for s in entry.subjects)
    assert entry.subjects[-1].subject == "law"


def test_absent_is_absent() -> None:
    """A benchmark without data, and a model that took no part, have a row with the reason and no figure."""
    policy, made = compared(ALL, ALL)
    rows = {(e.benchmark, e.baseline): e for e in made.ledger}
    assert set(rows) == {(b, r) for b in ("mmlu", "gsm8k") for r in ("base", "production")}
    assert "cannot be loaded" in (rows["gsm8k", "base"].absent or "")
    assert rows["mmlu", "production"].absent == "production took no part"
    assert rows["gsm8k", "base"].difference is None
    section = view_ledger(made)
    assert "1 could be compared" in section.lines[0]
    cells = [cell for row in section.tables[0].rows for cell in row]
    assert "absent" in cells
    assert any(
        "gsm8k against base is absent: gsm8k: its data" in x for x in section.tables[0].notes
    )
    assert len(section.tables) == 2  # all benchmarks, and mmlu by subject against base
    problem = find_problem(Evidence(made, None, 0.02), "gsm8k", "exact_match", "base")
    assert problem is not None
    assert problem.why.startswith("gsm8k: its data cannot be loaded (ConnectionError: no route)")
    assert policy.eval_sets[0].asked_for == "mmlu"


@QUICK
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=3, max_size=30))
def test_subjects_add_up_to_the_benchmark(cases: list[tuple[int, int]]) -> None:
    """Gained and lost over the subjects are those of the whole."""
    sides = [{s: [c[i] for c in cases[k::3]] for k, s in enumerate(SUBJECTS)} for i in (0, 1)]
    _, made = compared(*sides)
    entry = made.ledger[0]
    assert sum(s.gained or 0 for s in entry.subjects) == entry.gained
    assert sum(s.lost or 0 for s in entry.subjects) == entry.lost
    assert sum(s.n for s in entry.subjects) == entry.n == len(cases)


# --- pass@k


@pytest.mark.parametrize(
    ("n", "c", "k", "value"),
    [(10, 0, 5, 0.0), (10, 10, 1, 1.0), (5, 2, 1, 0.4), (5, 2, 3, 0.9), (4, 1, 2, 0.5), (200, 1, 100, 0.5)],
)  # fmt: skip
def test_pass_at_k_by_hand(n: int, c: int, k: int, value: float) -> None:
    """1 - C(n - c, k) / C(n, k), at values that can be counted by hand."""
    assert pass_at_k(n, c, k) == pytest.approx(value)


@QUICK
@given(st.integers(1, 12), st.data())
def test_pass_at_k_is_the_share_of_draws_with_a_hit(n: int, data: st.DataObject) -> None:
    """Of all k-subsets of n tries, the share that holds one of the c that passed; more tries, more hits."""
    from itertools import combinations

    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    draws = list(combinations(range(n), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(min(d) < c for d in draws) / len(draws))
    if k < n:
        assert pass_at_k(n, c, k) <= pass_at_k(n, c, k + 1)


@pytest.mark.parametrize(("n", "c", "k"), [(5, 2, 0), (5, 2, 6), (5, 6, 1), (5, -1, 1)])
def test_impossible_tries_are_refused(n: int, c: int, k: int) -> None:
    """More tries than there are, more passes than tries."""
    with pytest.raises(ValueError, match="expected"):
        pass_at_k(n, c, k)


def test_repeats_of_a_task_scored_passed_have_pass_at_k() -> None:
    """Five tries a case: pass@1 is the mean, pass@5 whether any passed; another metric has none."""
    from pathlib import Path

    def side(hits: Sequence[Sequence[int | None]]) -> ModelScores:
        records = [
            make_record(f"q{i}", passed=h) if h is not None else make_record(f"q{i}", status="failed", unanswered=1)
            for i, tries in enumerate(hits) for h in tries
        ]  # fmt: skip
        return tabulate_records(ModelRecords(Path(), {"code": records}, {"code": {"passed": True}}))

    mine = side([[1, 0, 0, 0, 0]] * 10 + [[0] * 5] * 9 + [[1, None, None, 0, 0]])
    other = side([[1] * 5] * 4 + [[0] * 5] * 16)
    models: Any = {"candidate": mine, "base": other}
    made = compare_models(models, [], "r", Path(), Settings(resamples=1000))
    levels = {x.metric: x for x in made.levels if x.role == "candidate"}
    assert set(levels) == {"passed", *(f"pass@{k}" for k in range(1, 6))}
    one, five = levels["pass@1"].estimate, levels["pass@5"]
    assert one is not None
    assert one.value == pytest.approx((10 * 0.2 + 1 / 3) / 20)
    assert five.estimate is not None
    assert (five.estimate.value, five.estimate.n, five.n_unscored) == (10 / 19, 19, 1)
    row = next(c for c in made.comparisons if c.metric == "pass@5")
    assert (row.n_pairs, row.n_excluded) == (19, 1)
    assert row.difference is not None
    assert row.difference.value == pytest.approx(10 / 19 - 4 / 19)
