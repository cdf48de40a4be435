"""Results of the rules -> what to do: recommendations in words, next steps with commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Step
from ftgate_ext.report.figures import counted, end_sentence, listed
from ftgate_ext.report.rules import ORDER, oriented_value, rests_on_approval

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
    open_rules = [r for r in decision.rules if r.outcome != "PASS"]
    steps = [
        *_missing_answers(comparisons),
        *_regressions(open_rules),
        *_training(open_rules, comparisons),
        *_more_evidence(open_rules, comparisons, manifest),
        *_judge(open_rules, comparisons, qualification),
        *_others(open_rules),
        *_absent_models(manifest),
    ]
    return [*steps, *_last_steps(decision)]


def _missing_answers(comparisons: Comparisons) -> list[Step]:
    missing = sum(o.statuses.get("failed", 0) for o in comparisons.operations if o.task == "*")
    if not missing:
        return []
    requests = counted(missing, "request")
    return [Step(f"Have {requests} without an answer asked again: only these are.", RESUME)]


def _regressions(rules: list[RuleResult]) -> list[Step]:
    return [
        Step(
            f"Mend the regressed cases of {r.task}, or approve each by name under `approvals` in "
            f"gate.yaml. {r.sentence}"
        )
        for r in rules
        if r.kind == "no_regression" and r.outcome == "FAIL"
    ]


def _is_short(rule: RuleResult, comparisons: Comparisons) -> bool:
    """Whether the figure itself misses the threshold, so that more cases would hardly help."""
    value = oriented_value(rule, comparisons)
    reached = value is not None and rule.threshold is not None and value >= rule.threshold
    return rule.outcome == "FAIL" or not reached


def _has_cases(rule: RuleResult) -> bool:
    return rule.estimate is not None and rule.task is not None and rule.kind != "no_regression"


def _training(rules: list[RuleResult], comparisons: Comparisons) -> list[Step]:
    tasks = [
        r.task
        for r in rules
        if r.task and r.kind != "win_rate" and _has_cases(r) and _is_short(r, comparisons)
    ]
    if not tasks:
        return []
    names = listed(dict.fromkeys(tasks))
    return [Step(f"Train for the failures on {names}: section (e) shows them.")]


def _more_evidence(
    rules: list[RuleResult], comparisons: Comparisons, manifest: RunManifest
) -> list[Step]:
    """One step for every task whose cases do not decide a rule that they could."""
    uses = {use.task: use for use in manifest.eval_sets}
    wanting: dict[str, list[RuleResult]] = {}
    for rule in rules:
        if rule.task and _has_cases(rule) and not _is_short(rule, comparisons):
            wanting.setdefault(rule.task, []).append(rule)
    return [_more_cases(task, mine, uses.get(task)) for task, mine in wanting.items()]


def _more_cases(task: str, rules: list[RuleResult], use: EvalSetUse | None) -> Step:
    undecided = listed(f"{r.name} (n = {r.estimate.n})" for r in rules if r.estimate)
    if use and use.limit is not None and use.limit < use.n_rows:
        return Step(
            f"Raise or drop the limit of {task} in gate.yaml: {use.limit} of {use.n_rows} rows were "
            f"used, too few to decide: {undecided}."
        )
    return Step(f"Add cases to {task}: all of them were used, too few to decide: {undecided}.")


def _judge(
    rules: list[RuleResult], comparisons: Comparisons, qualification: Qualification | None
) -> list[Step]:
    mine = [r for r in rules if r.kind == "win_rate"]
    lost = [r for r in mine if r.estimate and _is_short(r, comparisons)]
    if lost:
        others = listed(r.against or "the other" for r in lost)
        return [Step(f"Read in judgments.jsonl why the judge does not prefer it to {others}.")]
    if all(r.estimate for r in mine):
        return []
    if qualification is None:
        return [Step("Have a judge compare the answers in pairs, then decide again.", RESUME)]
    if qualification.fit:
        return [_own_advice(r) for r in mine if r.estimate is None]
    return [
        Step(
            f"Name another judge than {qualification.judge_model} in gate.yaml. The models are not "
            "asked again.",
            RESUME,
        )
    ]


def _others(rules: list[RuleResult]) -> list[Step]:
    """Budgets, and rules without evidence other than the judge's: what the rule itself says."""
    return [_own_advice(r) for r in rules if r.estimate is None and r.kind != "win_rate"]


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
