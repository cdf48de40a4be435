"""Results of the rules -> what to do: recommendations in words, next steps with commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Step
from ftgate_ext.report.figures import counted, end_sentence, listed
from ftgate_ext.report.readings import rests_on_approval
from ftgate_ext.report.rules import ORDER
from ftgate_ext.report.units import find_comparison, oriented_value, unit_of
from ftgate_ext.rules.outcome import OUT_OF_REACH

if TYPE_CHECKING:
    from ftgate_ext.schema import (
        Comparisons,
        Decision,
        EvalSetUse,
        Qualification,
        RuleResult,
        RunManifest,
    )

CHECK = "ftgate check gate.yaml"
GATE = "ftgate gate gate.yaml"
RESUME = "ftgate gate gate.yaml --run-dir RUN"
FIRST_STEPS = 3
"""So many steps stand on the first page."""


def recommend(decision: Decision, comparisons: Comparisons, candidate: str) -> list[str]:
    """Ship or not, and what each rule that does not hold asks for."""
    lines = [_verdict_advice(decision, candidate)]
    for rule in sorted(decision.rules, key=lambda rule: ORDER[rule.outcome]):
        if rule.outcome != "PASS":
            advice = end_sentence(rule.next_step or "See the detailed analysis")
            lines.append(f"{rule.outcome}, {rule.name}: {advice}")
        elif rests_on_approval(rule, comparisons):
            lines.append(f"{rule.name} rests on an approval: {end_sentence(rule.approved or '')}")
    return lines


def _verdict_advice(decision: Decision, candidate: str) -> str:
    failed = [r.name for r in decision.rules if r.outcome == "FAIL"]
    undecided = [r.name for r in decision.rules if r.outcome == "INCONCLUSIVE"]
    if decision.verdict == "GO":
        return f"Ship {candidate}."
    if decision.verdict == "NO-GO":
        return f"Do not ship {candidate}. Mend what failed first: {listed(failed)}."
    return f"Do not ship {candidate} yet. Gather the evidence that is missing: {listed(undecided)}."


def plan_next_steps(
    decision: Decision,
    comparisons: Comparisons,
    manifest: RunManifest,
    qualification: Qualification | None,
) -> list[Step]:
    """Concrete steps in the order in which they should be taken; RUN is the run folder."""
    topics: dict[str, list[RuleResult]] = {}
    for rule in decision.rules:
        if rule.outcome != "PASS":
            topics.setdefault(_topic(rule, comparisons), []).append(rule)
    steps = [
        *_missing_answers(comparisons),
        *_regressions(topics.get("regressions", []), comparisons),
        *_training(topics.get("training", [])),
        *_more_evidence(topics.get("more cases", []), comparisons, manifest),
        *_judge(topics.get("judge", []), comparisons, qualification),
        *(_own_advice(rule) for rule in topics.get("own advice", [])),
        *_absent_models(manifest),
    ]
    return [*steps, *_last_steps(decision)]


def begin_with(decision: Decision, steps: list[Step], candidate: str) -> list[str]:
    """What to do next, for the first page: whether to ship, and the first concrete steps."""
    concrete = [step.text for step in steps if step.command not in (CHECK, GATE)]
    opening = [] if decision.verdict == "GO" else [_verdict_advice(decision, candidate)]
    return [*opening, *concrete[:FIRST_STEPS]]


def _topic(rule: RuleResult, comparisons: Comparisons) -> str:
    """Which step takes care of a rule that does not hold; each is in exactly one."""
    if rule.kind == "no_regression" and rule.outcome == "FAIL":
        return "regressions"
    on_cases = rule.estimate is not None and rule.task is not None
    if rule.kind == "win_rate" and (not on_cases or _is_short(rule, comparisons)):
        return "judge"
    if not on_cases or rule.kind in ("no_regression", "per_bucket"):
        return "own advice"
    if _is_short(rule, comparisons):
        return "training"
    n = rule.estimate.n if rule.estimate else 0
    is_hopeless = rule.cases_needed is not None and rule.cases_needed > OUT_OF_REACH * n
    return "own advice" if is_hopeless else "more cases"


def _missing_answers(comparisons: Comparisons) -> list[Step]:
    missing = sum(o.statuses.get("failed", 0) for o in comparisons.operations if o.task == "*")
    if not missing:
        return []
    requests = counted(missing, "request")
    return [Step(f"Have {requests} without an answer asked again: only these are.", RESUME)]


def _regressions(rules: list[RuleResult], comparisons: Comparisons) -> list[Step]:
    return [
        Step(
            f"Mend the regressed cases of {r.task}, or approve each by name under `approvals` in "
            f"gate.yaml: {_regressed(r, comparisons)}"
        )
        for r in rules
    ]


def _regressed(rule: RuleResult, comparisons: Comparisons) -> str:
    """The cases by name, or the rule's sentence where they are not at hand."""
    comparison = find_comparison(rule, comparisons)
    if comparison is None or not comparison.lost_cases:
        return rule.sentence
    return f"{listed(comparison.lost_cases)}."


def _is_short(rule: RuleResult, comparisons: Comparisons) -> bool:
    """Whether the figure itself misses the threshold, so that more cases would hardly help."""
    value = oriented_value(rule, comparisons)
    reached = value is not None and rule.threshold is not None and value >= rule.threshold
    return rule.outcome == "FAIL" or not reached


def _training(rules: list[RuleResult]) -> list[Step]:
    if not rules:
        return []
    tasks = listed(dict.fromkeys(rule.task or "" for rule in rules))
    names = listed(rule.name for rule in rules)
    return [Step(f"Train for the failures on {tasks}, which section (g) shows: {names}.")]


def _more_evidence(
    rules: list[RuleResult], comparisons: Comparisons, manifest: RunManifest
) -> list[Step]:
    """One step for every task whose cases do not decide a rule that they could."""
    uses: dict[str, list[EvalSetUse]] = {}
    for use in manifest.eval_sets:
        for name in {use.task, use.group or use.task}:
            uses.setdefault(name, []).append(use)
    wanting: dict[str, list[RuleResult]] = {}
    for rule in rules:
        wanting.setdefault(rule.task or "", []).append(rule)
    return [
        _more_cases(task, mine, uses.get(task, []), comparisons) for task, mine in wanting.items()
    ]


def _more_cases(
    task: str, rules: list[RuleResult], uses: list[EvalSetUse], comparisons: Comparisons
) -> Step:
    """`uses`: of the task, or of all tasks of the group."""
    undecided = listed(_wanting(rule, comparisons) for rule in rules)
    needed = max((rule.cases_needed or 0 for rule in rules), default=0)
    n_rows = sum(use.n_rows for use in uses)
    n_used = sum(use.n_rows if use.limit is None else min(use.limit, use.n_rows) for use in uses)
    if n_used < n_rows:
        key = "sample" if any(use.drawn for use in uses) else "limit"
        besides = " and add cases" if needed > n_rows else ""
        return Step(
            f"Raise or drop the {key} of {task} in gate.yaml{besides}: {n_used:,} of {n_rows:,} rows were "
            f"used, too few to decide: {undecided}."
        )
    return Step(f"Add cases to {task}: all of them were used, too few to decide: {undecided}.")


def _wanting(rule: RuleResult, comparisons: Comparisons) -> str:
    """'better (n = 40, about 3,400 cases in all needed)'."""
    n = rule.estimate.n if rule.estimate else 0
    needed = ""
    if rule.cases_needed is not None:
        things = unit_of(rule, comparisons).things
        needed = f", about {rule.cases_needed:,} {things} in all needed"
    return f"{rule.name} (n = {n}{needed})"


def _judge(
    mine: list[RuleResult], comparisons: Comparisons, qualification: Qualification | None
) -> list[Step]:
    if not mine:
        return []
    lost = [r for r in mine if r.estimate and _is_short(r, comparisons)]
    if lost:
        others = listed(r.against or "the other" for r in lost)
        return [Step(f"Read in judgments.jsonl why the judge does not prefer it to {others}.")]
    if qualification is None:
        return [Step("Have a judge compare the answers in pairs, then decide again.", RESUME)]
    if qualification.fit:
        return [_own_advice(r) for r in mine]
    return [
        Step(
            f"Name another judge than {qualification.judge_model} in gate.yaml. The models are not "
            "asked again.",
            RESUME,
        )
    ]


def _own_advice(rule: RuleResult) -> Step:
    return Step(f"{rule.name}: {end_sentence(rule.next_step or rule.sentence)}")


def _absent_models(manifest: RunManifest) -> list[Step]:
    return [
        Step(
            f"To have {card.name} in the comparison, mend what kept it out: {end_sentence(card.absent)}"
        )
        for card in manifest.models
        if card.absent
    ]


def _last_steps(decision: Decision) -> list[Step]:
    if decision.verdict == "GO":
        return [
            Step("Sign below and ship."),
            Step(
                "Keep the run folder: the decision can be made again from its files.",
                "ftgate decide RUN",
            ),
        ]
    return [
        Step("Check the changed policy before anything is spent.", CHECK),
        Step("Run the gate again. Only exit code 0 ships.", GATE),
    ]
