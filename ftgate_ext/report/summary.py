"""What a manager reads first: the verdict in one sentence, what decided it, the key findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Fact, KeyFinding
from ftgate_ext.report.costs import describe_break_even
from ftgate_ext.report.figures import (
    NOT_MEASURED,
    counted,
    end_sentence,
    format_estimate,
    format_seconds,
    format_time,
    listed,
    p_equals,
    scale_of,
    short_hash,
)
from ftgate_ext.report.latency import write_concurrency
from ftgate_ext.report.models import (
    FORMAT_METRICS,
    SAFETY_METRICS,
    find_level,
    find_operations,
    write_level,
)
from ftgate_ext.report.operations import describe_ratio, write_quantity
from ftgate_ext.wording import plain

if TYPE_CHECKING:
    from ftgate_ext.report.figures import Scale
    from ftgate_ext.schema import (
        Comparison,
        Comparisons,
        Decision,
        Level,
        ModelCard,
        Operations,
        Qualification,
        Role,
        RuleResult,
        RunManifest,
    )


def write_headline(decision: Decision, candidate: str, approved: int) -> str:
    """The verdict in one sentence; `approved` rules hold only by an approval."""
    n = len(decision.rules)
    failed = sum(r.outcome == "FAIL" for r in decision.rules)
    undecided = sum(r.outcome == "INCONCLUSIVE" for r in decision.rules)
    if decision.verdict == "GO":
        by_hand = f", {approved} of them only by an approval" if approved else ""
        return f"{candidate} may ship: {n} of {n} rules hold{by_hand}."
    if decision.verdict == "NO-GO":
        besides = f", and {undecided} cannot be decided" if undecided else ""
        return f"{candidate} must not ship: {failed} of {n} rules failed{besides}."
    return (
        f"Nobody can say yet whether {candidate} may ship: no rule failed, "
        f"but for {undecided} of {n} rules the evidence is not enough. Until then it does not ship."
    )


def summarise_run(manifest: RunManifest, decision: Decision) -> list[Fact]:
    """Which models, when, under which policy."""
    present = [f"{card.role} {card.name}" for card in manifest.models if not card.absent]
    absent = [f"{card.role} {card.name}" for card in manifest.models if card.absent]
    began, finished = format_time(manifest.created_at), format_time(manifest.finished_at)
    when = began if began == finished else f"{began} to {finished}"
    return [
        Fact("Compared", "; ".join(present)),
        *([Fact("Took no part", "; ".join(absent))] if absent else []),
        *_bare_verdict(decision),
        Fact("When", when),
        Fact("Policy", f"{decision.policy_name} ({short_hash(decision.policy_hash)})"),
        Fact("Run", decision.run_id),
    ]


def _bare_verdict(decision: Decision) -> list[Fact]:
    point, verdict = decision.point_verdict, decision.verdict
    if point is None:
        return []
    relation = "the same" if point == verdict else f"{point}, not {verdict}"
    return [
        Fact("Read as bare figures", f"{relation}; section (c) sets both readings side by side")
    ]


def say_by_how_much(
    comparisons: Comparisons, qualification: Qualification | None, primary: tuple[str, str] | None
) -> list[str]:
    """For the first page: the candidate against what is live, in quality, preference, cost and speed."""
    others = [role for role in comparisons.roles if role != "candidate"]
    if primary is None or not others:
        return []
    other = "production" if "production" in others else others[0]
    quality = _difference(comparisons, *primary, other)
    lines = [end_sentence(f"{plain(primary[1])} on {primary[0]} {quality}")]
    rate = _find(comparisons, None, "win_rate", other)
    if rate and rate.candidate_estimate and qualification and qualification.fit:
        scale = scale_of(comparisons, rate.task, rate.metric)
        lines.append(f"Win rate against {other} {format_estimate(rate.candidate_estimate, scale=scale)}.")  # fmt: skip
    ratios = [describe_ratio(comparisons, q, other) for q in ("cost_usd_per_request", "latency_p95_s")]  # fmt: skip
    return [*lines, *(f"Against {other}: {ratio}." for ratio in ratios if ratio)]


def find_key_findings(
    comparisons: Comparisons,
    decision: Decision,
    qualification: Qualification | None,
    models: list[ModelCard],
    primary: tuple[str, str] | None,
) -> list[KeyFinding]:
    """The findings that matter for the decision, each with its interval and n."""
    safety = _own_figures(comparisons, SAFETY_METRICS, ("production", "base"))
    form = _own_figures(comparisons, FORMAT_METRICS, ("production",))
    return [
        KeyFinding("Task quality", _quality(comparisons, primary)),
        KeyFinding("Judge", _preference(comparisons, qualification)),
        KeyFinding("Regressions", _regressions(comparisons, decision.rules)),
        *_kept(decision.rules),
        KeyFinding("Safety", safety or ["Not measured: no safety metric in this run."]),
        KeyFinding("Format", form or ["Not measured: no format metric in this run."]),
        KeyFinding("Cost and latency", _cost(comparisons)),
        KeyFinding("Frontier", _frontier(comparisons, models, primary)),
    ]


def _quality(comparisons: Comparisons, primary: tuple[str, str] | None) -> list[str]:
    if primary is None:
        return ["Not measured: no eval set of the task itself has a score."]
    task, metric = primary
    others = [role for role in comparisons.roles if role != "candidate"]
    other = "production" if "production" in others else next(iter(others), None)
    scale = scale_of(comparisons, task, metric)
    own = write_level(find_level(comparisons, task, metric, "candidate"), scale)
    text = f"{plain(metric)} on {task}: candidate {own}"
    if other is None:
        return [end_sentence(text), "There is no model to compare with."]
    theirs = write_level(find_level(comparisons, task, metric, other), scale)
    difference = _difference(comparisons, task, metric, other)
    visible = _visible(_find(comparisons, task, metric, other), scale)
    return [end_sentence(f"{text}; {other} {theirs}"), f"Candidate {difference}.", *visible]


def _visible(comparison: Comparison | None, scale: Scale) -> list[str]:
    """What a set could have seen, where it saw nothing."""
    if comparison is None or comparison.mde is None or not comparison.tests:
        return []
    if comparison.tests[0].p < comparison.alpha_two_sided:
        return []
    mde = scale.difference(comparison.mde).lstrip("+")
    return [f"A true difference under {mde} mostly goes unseen with so many cases."]


def _find(comparisons: Comparisons, task: str | None, metric: str, role: Role) -> Comparison | None:
    return next(
        (
            c
            for c in comparisons.comparisons
            if c.metric == metric and c.baseline == role and task in (None, c.task)
        ),
        None,
    )


def _difference(comparisons: Comparisons, task: str, metric: str, other: Role) -> str:
    """'against base +1.0 pt (95 % CI ..., n = 60), p = 0.300'."""
    comparison = _find(comparisons, task, metric, other)
    if comparison is None or comparison.difference is None:
        why = comparison.unavailable if comparison else "the comparison was not made"
        return f"against {other} {NOT_MEASURED}: {why}"
    scale = scale_of(comparisons, task, metric)
    figure = format_estimate(comparison.difference, scale=scale, difference=True)
    return f"against {other} {figure}{_main_p(comparison)}"


def _main_p(comparison: Comparison) -> str:
    return f", {p_equals(comparison.tests[0].p)}" if comparison.tests else ""


def _preference(comparisons: Comparisons, qualification: Qualification | None) -> list[str]:
    if qualification is None:
        return ["No pairs were judged, so there is no win rate."]
    if not qualification.fit:
        verdict = f"{qualification.judge_model} was disqualified: its win rate is no evidence."
        return [verdict, *qualification.reasons]
    rates = [c for c in comparisons.comparisons if c.kind == "win_rate"]
    sentences = [_win_rate(c, comparisons) for c in rates]
    sentences += [
        f"Mean rubric score, 1 to 5 brought to 0 to 1: candidate {_difference(comparisons, c.task, c.metric, c.baseline)}."
        for c in comparisons.comparisons
        if c.metric == "rubric" and c.difference
    ]
    return sentences or [f"{qualification.judge_model} is qualified, but there is no win rate."]


def _win_rate(comparison: Comparison, comparisons: Comparisons) -> str:
    name = plain(comparison.metric)
    name = name[:1].upper() + name[1:]
    if comparison.candidate_estimate is None:
        return f"{name} against {comparison.baseline} {NOT_MEASURED}: {comparison.unavailable}."
    scale = scale_of(comparisons, comparison.task, comparison.metric)
    figure = format_estimate(comparison.candidate_estimate, scale=scale)
    told = f"{name} against {comparison.baseline} {figure}{_main_p(comparison)}."
    return " ".join([told, *(comparison.notes if comparison.metric != "win_rate_raw" else [])])


def _regressions(comparisons: Comparisons, rules: list[RuleResult]) -> list[str]:
    asked = [r for r in rules if r.kind == "no_regression"]
    if asked:
        approvals = [f"Approved: {end_sentence(r.approved)}" for r in asked if r.approved]
        return [r.sentence for r in asked] + approvals
    comparison = _find(comparisons, None, "passed", "production")
    if comparison is None:
        return ["Not measured: no rule asks for regressions."]
    lost = comparison.lost_cases
    names = f": {listed(lost)}" if lost else ""
    count = f"{len(lost)} of {counted(comparison.n_pairs, 'case')} regressed against production"
    return [f"{count}{names}.", "No rule of the policy asks for it."]


def _kept(rules: list[RuleResult]) -> list[KeyFinding]:
    """What the rules on benchmarks and buckets found; safety has a topic of its own."""
    kinds = ("non_inferiority", "pooled_non_inferiority", "per_bucket")
    mine = [r for r in rules if r.kind in kinds and r.metric not in SAFETY_METRICS]
    sentences = [f"{r.name}, {r.outcome}: {end_sentence(r.sentence)}" for r in mine]
    return [KeyFinding("Kept skills", sentences)] if sentences else []


def _own_figures(
    comparisons: Comparisons, metrics: tuple[str, ...], others: tuple[Role, ...]
) -> list[str]:
    """The candidate's figures, each with its differences to the others."""
    return [
        _own_figure(comparisons, level, others)
        for level in comparisons.levels
        if level.role == "candidate" and level.metric in metrics
    ]


def _own_figure(comparisons: Comparisons, level: Level, others: tuple[Role, ...]) -> str:
    task, metric = level.task, level.metric
    made = [c for role in others if (c := _find(comparisons, task, metric, role))]
    turned = " (lower is better)" if any(not c.higher_is_better for c in made) else ""
    own = write_level(level, scale_of(comparisons, task, metric))
    differences = [_difference(comparisons, task, metric, c.baseline) for c in made]
    return end_sentence("; ".join([f"{plain(metric)}{turned} {own}", *differences]))


def _cost(comparisons: Comparisons) -> list[str]:
    sentences = []
    for role in comparisons.roles:
        operations = find_operations(comparisons, role)
        if operations is None or not operations.n_requests:
            sentences.append(f"{role.capitalize()}: {NOT_MEASURED}.")
            continue
        sentences.append(
            f"{role.capitalize()}: {write_quantity(operations, 'cost_usd_per_request')} per request, "
            f"latency p50 {format_seconds(operations.latency_p50_s)}, "
            f"p95 {write_quantity(operations, 'latency_p95_s')}; "
            f"{counted(operations.n_requests, 'request')}, {_measured_at(operations)}."
        )
    return sentences


def _measured_at(operations: Operations) -> str:
    """How many requests were in flight, and whether the models took turns."""
    if operations.latency_from == "interleaved":
        return f"latency measured interleaved at concurrency {write_concurrency(operations)}"
    return f"in flight {write_concurrency(operations)}"


def _frontier(
    comparisons: Comparisons, models: list[ModelCard], primary: tuple[str, str] | None
) -> list[str]:
    card = next((m for m in models if m.role == "frontier"), None)
    if card is None:
        return ["The policy names no frontier model."]
    if card.absent:
        return [
            f"{card.name} took no part: {end_sentence(card.absent)}",
            "Nothing here says how the candidate compares with it.",
            "Nor is there a break-even volume: how many tokens its requests take is not known.",
        ]
    if primary is None or "frontier" not in comparisons.roles:
        return [f"{card.name} was asked, but has no results."]
    level = find_level(comparisons, *primary, "frontier")
    theirs = write_level(level, scale_of(comparisons, *primary))
    difference = _difference(comparisons, *primary, "frontier")
    ratios = [
        describe_ratio(comparisons, quantity, "frontier")
        for quantity in ("cost_usd_per_request", "latency_p95_s")
    ]
    return [
        f"{card.name}: {plain(primary[1])} {theirs}.",
        f"Candidate {difference}.",
        *(f"Candidate against frontier: {ratio}." for ratio in ratios if ratio),
        *describe_break_even(comparisons, "frontier"),
    ]
