"""Rules on the difference between the candidate and another model."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ftgate_ext.evidence import Effect, Evidence, Problem, find_problem, is_cleared
from ftgate_ext.rules.outcome import Words, cannot_decide, judge_effect
from ftgate_ext.schema import Estimate
from ftgate_ext.wording import name_other, p_value, plain, points

if TYPE_CHECKING:
    from ftgate_ext.policy_rules import (
        EvidenceLevel,
        NonInferiority,
        PooledNonInferiority,
        Superiority,
        WinRate,
    )
    from ftgate_ext.schema import Comparison, Outcome, RuleResult


@dataclass(frozen=True)
class Oriented:
    """A comparison turned so that bigger is better for the candidate."""

    value: float
    low: float | None
    high: float | None
    is_significant: bool | None
    """Whether the deciding test rejects "no difference", and the candidate is ahead."""


def orient(comparison: Comparison) -> Oriented:
    """Turn a comparison so that bigger is better."""
    value = comparison.difference.value if comparison.difference else 0.0
    low, high = comparison.lower_one_sided, comparison.upper_one_sided
    if not comparison.higher_is_better:
        value, low, high = -value, negative(high), negative(low)
    test = comparison.tests[0] if comparison.tests else None
    significant = test is not None and test.p < comparison.alpha_two_sided and value > 0
    return Oriented(value, low, high, significant)


def negative(value: float | None) -> float | None:
    """The value with the opposite sign; no value stays none."""
    return None if value is None else -value


def effect_of(comparison: Comparison, threshold: float) -> Effect:
    """The difference of a comparison against a threshold."""
    turned = orient(comparison)
    return Effect(
        turned.value, turned.low, turned.high, threshold, comparison.n_pairs,
        comparison.alpha_one_sided, turned.is_significant,
        error_if_unchanged=_error_if_unchanged(comparison),
        step=1 / comparison.n_pairs if comparison.kind == "binary" else 0.0,
    )  # fmt: skip


def _error_if_unchanged(comparison: Comparison) -> float | None:
    """Standard error of the difference of two models that do not differ.

    Single pass/fail answers: sqrt(discordant cases) / n, since gains and losses balance.
    """
    if comparison.kind != "binary" or comparison.n_clusters is not None or not comparison.counts:
        return comparison.standard_error
    discordant = comparison.counts["only_candidate"] + comparison.counts["only_baseline"]
    return math.sqrt(discordant) / comparison.n_pairs or None


def _test(comparison: Comparison) -> str:
    if not comparison.tests:
        return "no test"
    return f"{comparison.tests[0].name} {p_value(comparison.tests[0].p)}"


def apply_superiority(rule: Superiority, evidence: Evidence) -> RuleResult:
    """Better than another model by at least the margin."""
    threshold = rule.margin_pt / 100
    asked = f"{plain(rule.metric)} at least {points(threshold)} above {rule.against}"
    if rule.evidence == "significant":
        asked += ", p < 0.05"
    problem = find_problem(evidence, rule.task, rule.metric, rule.against)
    comparison = evidence.comparison(rule.task, rule.metric, rule.against)
    if problem or comparison is None:
        return cannot_decide(rule, asked, problem or _absent())
    effect = effect_of(comparison, threshold)
    opening = (
        f"{plain(rule.metric)} {points(effect.value)} against {rule.against}, {_test(comparison)}"
    )
    words = Words(
        asked, opening,
        {
            "PASS": _passed(rule.evidence, effect, "better, as the rule demands", f"short of the {points(threshold)} that the rule demands"),
            "FAIL": f"short of the {points(threshold)} that the rule demands",
            "INCONCLUSIVE": f"neither shown nor excluded by {effect.n:,} cases",
        },
        points,
    )  # fmt: skip
    return judge_effect(rule, effect, words, **_origin(comparison))


def _passed(level: EvidenceLevel, effect: Effect, reached: str, short: str) -> str:
    """What a pass says: a screen passes what it cannot show to be short."""
    return reached if level != "screen" or is_cleared(effect) else f"not shown to be {short}"


def apply_non_inferiority(rule: NonInferiority, evidence: Evidence) -> RuleResult:
    """Not worse than another model by more than the margin."""
    asked = f"{plain(rule.metric)} not more than {rule.margin_pt:g} pt worse than {name_other(rule.against)}"
    if rule.margin_pt == 0:
        asked = f"{plain(rule.metric)} not worse than {name_other(rule.against)}"
    problem = find_problem(evidence, rule.task, rule.metric, rule.against)
    comparison = evidence.comparison(rule.task, rule.metric, rule.against)
    if problem or comparison is None:
        return cannot_decide(rule, asked, problem or _absent())
    # A test of "no difference" has no say here: an unchanged model must be able to pass.
    effect = replace(effect_of(comparison, -rule.margin_pt / 100), is_significant=None)
    turned = "" if comparison.higher_is_better else ", turned so that plus is better"
    opening = (
        f"{plain(rule.metric)} {points(effect.value)} against {name_other(rule.against)}{turned}"
    )
    words = Words(asked, opening, _loss_endings(rule.margin_pt, rule.evidence, effect), points)
    return judge_effect(rule, effect, words, **_origin(comparison))


def _loss_endings(margin_pt: float, level: EvidenceLevel, effect: Effect) -> dict[Outcome, str]:
    passed = f"a loss of more than {margin_pt:g} pt is excluded"
    failed = f"worse than the allowance of {margin_pt:g} pt"
    if level == "point":
        passed = f"within the allowance of {margin_pt:g} pt, as a bare figure"
    elif effect.low is not None and not is_cleared(effect):
        passed = f"no loss of more than {margin_pt:g} pt is shown; {effect.n:,} cases leave room for one of {abs(effect.low) * 100:.1f} pt"
    return {
        "PASS": passed, "FAIL": failed,
        "INCONCLUSIVE": f"a loss of more than {margin_pt:g} pt can be neither shown nor excluded with {effect.n:,} cases",
    }  # fmt: skip


def apply_pooled(rule: PooledNonInferiority, evidence: Evidence) -> RuleResult:
    """The mean of several benchmarks' differences, each weighing the same.

    Limits by the square-and-add method: the distances from each benchmark's value to its own limit,
    squared, added and divided by k^2 (Zou and Donner, Statistics in Medicine 27, 2008, 1693-1702).
    Metrics of one eval set are no independent benchmarks: their distances are added as they are.
    """
    names = ", ".join(b.task for b in rule.benchmarks)
    asked = f"mean of {names} not more than {rule.margin_pt:g} pt worse than {rule.against}"
    parts: list[Comparison] = []
    for benchmark in rule.benchmarks:
        problem = find_problem(evidence, benchmark.task, benchmark.metric, rule.against)
        comparison = evidence.comparison(benchmark.task, benchmark.metric, rule.against)
        if problem or comparison is None:
            found = problem or _absent()
            return cannot_decide(
                rule, asked, Problem(f"{benchmark.task}: {found.why}", found.next_step)
            )
        parts.append(comparison)
    effect = _pool(parts, -rule.margin_pt / 100)
    each = ", ".join(f"{c.task} {points(orient(c).value)}" for c in parts)
    words = Words(
        asked, f"mean {points(effect.value)} against {rule.against} over {each}",
        _loss_endings(rule.margin_pt, rule.evidence, effect), points,
    )  # fmt: skip
    estimate = Estimate(
        value=effect.value, n=effect.n, method=f"mean of {len(parts)} benchmarks, square-and-add limits"
    )  # fmt: skip
    missing = next((c.no_interval for c in parts if c.no_interval), None)
    return judge_effect(
        rule, effect, words, no_interval=missing, estimate=estimate, against=rule.against
    )


def _pool(parts: list[Comparison], threshold: float) -> Effect:
    turned = [orient(c) for c in parts]
    k = len(parts)
    value = sum(t.value for t in turned) / k
    low = _reach(parts, [None if t.low is None else t.value - t.low for t in turned])
    high = _reach(parts, [None if t.high is None else t.high - t.value for t in turned])
    return Effect(
        value, None if low is None else value - low / k, None if high is None else value + high / k,
        threshold, sum(c.n_pairs for c in parts), max(c.alpha_one_sided for c in parts),
    )  # fmt: skip


def _reach(parts: list[Comparison], distances: list[float | None]) -> float | None:
    """The root of the added squares over eval sets; None where a limit is missing."""
    by_task: dict[str, float] = {}
    for part, distance in zip(parts, distances, strict=True):
        if distance is None:
            return None
        by_task[part.task] = by_task.get(part.task, 0.0) + distance
    return math.hypot(*by_task.values())


def apply_win_rate(rule: WinRate, evidence: Evidence) -> RuleResult:
    """A fit judge prefers the candidate's answers."""
    asked = (
        f"judge prefers the candidate to {rule.against} in more than {rule.threshold:.0%} of pairs"
    )
    if rule.evidence == "significant":
        asked += ", p < 0.05"
    problem = find_problem(evidence, None, "win_rate", rule.against)
    comparison = evidence.comparison(None, "win_rate", rule.against)
    if problem or comparison is None:
        return cannot_decide(rule, asked, problem or _absent())
    effect = effect_of(comparison, rule.threshold - 0.5)
    c = comparison.counts
    opening = (
        f"win rate {effect.value + 0.5:.1%} against {rule.against}, {c['wins']} wins, {c['losses']} losses, "
        f"{c['ties']} ties, {c['both_bad']} both bad, {_test(comparison)}{_corrected(comparison, evidence)}"
    )
    words = Words(
        asked, opening,
        {
            "PASS": _passed(rule.evidence, effect, "preferred, as the rule demands", "less preferred than the rule demands"),
            "FAIL": "not preferred",
            "INCONCLUSIVE": f"neither shown nor excluded by {effect.n:,} pairs",
        },
        lambda difference: f"{difference + 0.5:.1%}", unit="pairs",
    )  # fmt: skip
    return judge_effect(rule, effect, words, **_origin(comparison))


def _corrected(comparison: Comparison, evidence: Evidence) -> str:
    """What the judge alone says, where human labels corrected it."""
    raw = evidence.comparison(comparison.task, "win_rate_raw", comparison.baseline)
    if raw is None or raw.difference is None:
        return ""
    return f", corrected by human labels (the judge alone {raw.difference.value + 0.5:.1%})"


def _origin(comparison: Comparison) -> dict[str, Any]:
    """Where the figure of a result comes from."""
    return {
        "task": comparison.task, "metric": comparison.metric, "against": comparison.baseline,
        "estimate": comparison.difference, "mde": comparison.mde, "no_interval": comparison.no_interval,
    }  # fmt: skip


def _absent() -> Problem:
    return Problem("this comparison was not made", "run the models and eval sets the rule names")
