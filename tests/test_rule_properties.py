"""Tests of what must hold for every kind of rule, from records to the decision."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from records import (
    METRIC,
    QUICK,
    TASK,
    as_scores,
    make_models,
    make_pairs,
    make_policy,
    make_qualification,
    make_record,
    make_response,
)

from ftgate_ext.compare import compare_models
from ftgate_ext.decision import decide
from ftgate_ext.settings import settings_of

if TYPE_CHECKING:
    from ftgate_ext.policy import Policy
    from ftgate_ext.runs import ModelRecords, Record
    from ftgate_ext.schema import Comparisons, PairVerdict, Role, RuleResult

TODAY = date(2026, 6, 1)
FIT = make_qualification()

LANGUAGES = ("go", "rust")
OTHER = "arc"
EVIDENCE = ("point", "significant", "proven", "screen")
KIND_FIELDS: dict[str, dict[str, Any]] = {
    "superiority": {"margin_pt": 2},
    "non_inferiority": {"margin_pt": 10},
    "pooled_non_inferiority": {
        "margin_pt": 10,
        "benchmarks": [{"task": TASK, "metric": METRIC}, {"task": OTHER, "metric": METRIC}],
    },
    "per_bucket": {"margin_pt": 10, "by": "language", "min_cases": 5},
    "floor": {"threshold": 0.6},
    "ceiling": {"metric": "refused", "threshold": 0.4},
    "win_rate": {},
    "budget": {"quantity": "latency_p50_s", "maximum": 0.6},
    "ratio": {"task": TASK, "metric": METRIC, "against": "production", "minimum": 0.9},
}  # fmt: skip
RULES: list[dict[str, Any]] = [
    {"kind": kind, "evidence": evidence, "name": f"{kind} {evidence}"} | fields
    for kind, fields in KIND_FIELDS.items() for evidence in EVIDENCE
]  # fmt: skip
RULES += [
    {"kind": "no_regression"},
    {"kind": "ratio", "name": "cheap", "quantity": "cost_usd_per_request", "against": "production", "maximum": 1.2},
    {"kind": "non_inferiority", "name": "refused", "metric": "refused", "margin_pt": 10},
    {"kind": "any_route", "routes": [
        {"name": "good", "rules": [{"kind": "floor", "name": "r1", "task": TASK, "metric": METRIC, "threshold": 0.7}]},
        {"name": "better", "rules": [
            {"kind": "superiority", "name": "r2", "task": TASK, "metric": METRIC},
            {"kind": "budget", "name": "r3", "quantity": "cost_usd_per_request", "maximum": 0.002},
        ]},
    ]},
]  # fmt: skip
GATE = make_policy(*RULES, tasks=(TASK, OTHER))
STRICT = make_policy(*RULES, tasks=(TASK, OTHER), max_failed_share=0)
RANK = {"FAIL": 0, "INCONCLUSIVE": 1, "PASS": 2}

Case = tuple[int, int, int]
"""Whether it was passed, whether it was refused, and tenths of a second."""
case = st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(3, 9))
two_models = st.lists(st.tuples(case, case), min_size=1, max_size=50)
verdicts: st.SearchStrategy[list[PairVerdict]] = st.lists(
    st.sampled_from(["candidate_better", "baseline_better", "tie", "both_bad"]), max_size=12
)
SMALL = settings(QUICK, max_examples=20)


def answer(i: int, found: Case | None) -> list[Record]:
    """A case of both eval sets; None is a request that failed."""
    doc = {"language": LANGUAGES[i % 2]}
    if found is None:
        return [make_record(f"case-{i}", task=t, doc=doc, status="failed") for t in (TASK, OTHER)]
    passed, refused, tenths = found
    took = make_response(latency_s=tenths / 10, cost_usd=tenths / 5000)
    return [
        make_record(f"case-{i}", task=t, doc=doc, response=took, passed=passed, refused=refused)
        for t in (TASK, OTHER)
    ]


def answers(cases: list[Case] | list[Case | None]) -> list[Record]:
    """All answers of one model."""
    return [record for i, found in enumerate(cases) for record in answer(i, found)]


def compare(
    candidate: list[Record], production: list[Record], judged: list[PairVerdict]
) -> Comparisons:
    """From records to comparisons."""
    better = {task: {METRIC: True, "refused": False} for task in (TASK, OTHER)}
    models: dict[Role, ModelRecords] = make_models(
        better, candidate=candidate, production=production
    )  # fmt: skip
    chosen = settings_of(GATE)
    scores = as_scores(models, chosen.fields)
    return compare_models(scores, make_pairs(judged), "run-1", Path("runs"), chosen)


def outcomes_of(made: Comparisons, policy: Policy = GATE) -> dict[str, RuleResult]:
    """Rule -> result, the rules inside routes too."""
    results = decide(policy, made, FIT, TODAY).rules
    inside = [
        rule for r in results if r.kind == "any_route" for way in r.parts for rule in way.parts
    ]
    return {r.name: r for r in [*results, *inside]}


@SMALL
@given(two_models, verdicts, st.randoms(use_true_random=False))
def test_the_order_of_cases_decides_nothing(
    pairs: list[tuple[Case, Case]], judged: list[PairVerdict], random: Any
) -> None:
    """Shuffled files give the same outcomes and the same sentences, but for the last digit."""
    mine, theirs = answers([a for a, _ in pairs]), answers([b for _, b in pairs])
    before = outcomes_of(compare(mine, theirs, judged))
    random.shuffle(mine)
    random.shuffle(theirs)

    after = outcomes_of(compare(mine, theirs, judged))

    digits = re.compile(r"[\d, -]+")
    for name, result in before.items():
        assert after[name].outcome == result.outcome
        assert digits.sub("", after[name].sentence) == digits.sub("", result.sentence)


@SMALL
@given(two_models, verdicts)
def test_exchanged_models_mirror_each_other(
    pairs: list[tuple[Case, Case]], judged: list[PairVerdict]
) -> None:
    """Who is shown to lose more than the margin makes the other one shown to be better by it."""
    mine, theirs = answers([a for a, _ in pairs]), answers([b for _, b in pairs])
    mirror = {"candidate_better": "baseline_better", "baseline_better": "candidate_better"}
    turned: list[PairVerdict] = [mirror.get(v, v) for v in judged]  # type: ignore[misc]
    policy = make_policy(
        {"kind": "non_inferiority", "name": "kept", "margin_pt": 10},
        {"kind": "superiority", "name": "ahead", "margin_pt": 10, "evidence": "proven"},
        {"kind": "win_rate", "name": "preferred", "evidence": "proven"},
        {"kind": "win_rate", "name": "liked", "evidence": "screen"},
    )

    one = outcomes_of(compare(mine, theirs, judged), policy)
    other = outcomes_of(compare(theirs, mine, turned), policy)

    for here, there in ((one, other), (other, one)):
        assert (here["kept"].outcome == "FAIL") == (there["ahead"].outcome == "PASS")
        assert not (here["preferred"].outcome == there["preferred"].outcome == "PASS")
        if here["preferred"].outcome == "PASS":
            assert there["liked"].outcome == "FAIL"


@SMALL
@given(two_models, verdicts, st.data())
def test_one_worse_case_never_turns_fail_into_pass(
    pairs: list[tuple[Case, Case]], judged: list[PairVerdict], data: st.DataObject
) -> None:
    """Wrong instead of right, refused instead of answered, slower and dearer."""
    mine, theirs = [a for a, _ in pairs], answers([b for _, b in pairs])
    changed = data.draw(st.sampled_from(range(len(mine))))
    worse = list(mine)
    worse[changed] = (0, 1, 9)
    assume(worse != mine)
    less: list[PairVerdict] = ["baseline_better", *judged[1:]] if judged else judged

    before = outcomes_of(compare(answers(mine), theirs, judged))
    after = outcomes_of(compare(answers(worse), theirs, less))

    rescued = [n for n in before if (before[n].outcome, after[n].outcome) == ("FAIL", "PASS")]
    assert rescued == []


@SMALL
@given(two_models, verdicts, st.data())
def test_removed_evidence_never_makes_a_pass(
    pairs: list[tuple[Case, Case]], judged: list[PairVerdict], data: st.DataObject
) -> None:
    """Whatever is taken out of the comparisons, no rule passes that did not pass before."""
    whole = compare(answers([a for a, _ in pairs]), answers([b for _, b in pairs]), judged)
    parts = ("levels", "comparisons", "operations", "ratios")
    kept = {
        name: [row for row in getattr(whole, name) if data.draw(st.booleans())] for name in parts
    }
    judge = data.draw(st.sampled_from([FIT, None, make_qualification("Weak.")]))

    before = outcomes_of(whole)
    results = decide(GATE, whole.model_copy(update=kept), judge, TODAY).rules

    made = [r.name for r in results if r.outcome == "PASS" and before[r.name].outcome != "PASS"]
    assert made == []


@SMALL
@given(two_models, verdicts, st.data())
def test_unanswered_cases_never_make_a_pass(
    pairs: list[tuple[Case, Case]], judged: list[PairVerdict], data: st.DataObject
) -> None:
    """Without an error budget a request that failed opens every rule that looked at it."""
    mine: list[Case | None] = [a for a, _ in pairs]
    for i in data.draw(st.sets(st.sampled_from(range(len(mine))), min_size=1)):
        mine[i] = None
    theirs = answers([b for _, b in pairs])

    found = outcomes_of(compare(answers(mine), theirs, judged), STRICT)

    passed = {name for name, result in found.items() if result.outcome == "PASS"}
    assert passed <= {f"win_rate {evidence}" for evidence in EVIDENCE}
    # The judge judges what there is: its own rules look at its own pairs.


@SMALL
@given(two_models, verdicts)
def test_every_result_is_one_line_that_says_what_to_do(
    pairs: list[tuple[Case, Case]], judged: list[PairVerdict]
) -> None:
    """Sentences are lines, what did not pass has a next step, nothing is NaN or of zero width."""
    made = compare(answers([a for a, _ in pairs]), answers([b for _, b in pairs]), judged)

    for result in outcomes_of(made).values():
        assert "\n" not in result.sentence
        assert result.sentence.endswith(".")
        assert (result.next_step is None) == (result.outcome == "PASS")
        ends = (result.lower_one_sided, result.upper_one_sided)
        if (
            None not in ends and result.kind != "budget"
        ):  # equal latencies are a lump, not certainty
            assert ends[0] < ends[1], result.sentence  # type: ignore[operator]
