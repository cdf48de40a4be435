"""The results of the rules, one by one: asked, seen, how sure, what the data can see, what next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Fact, Plot, Table
from ftgate_ext.report.figures import Scale, counted, format_level, p_equals, scale_of
from ftgate_ext.report.models import find_level, find_operations
from ftgate_ext.report.parts import tabulate_parts
from ftgate_ext.report.plots import plot_rule, share_axes
from ftgate_ext.report.readings import how_sure, name_outcome
from ftgate_ext.report.units import (
    NEGATED_KINDS,
    find_comparison,
    is_turned,
    turn,
    unit_of,
    write_span,
)
from ftgate_ext.wording import DECLARED, percent

if TYPE_CHECKING:
    from ftgate_ext.schema import Comparison, Comparisons, Outcome, RuleResult

ORDER: dict[Outcome, int] = {"FAIL": 0, "INCONCLUSIVE": 1, "PASS": 2}
USUAL_LEVEL = 0.95
POWER_NOTE = 'Power: "sees" is the smallest true difference that so many cases show in 80 of 100 runs (two-sided 5 %); "needs" is how many cases in all would settle an open rule, if its figure stays where it is.'
TESTED_KINDS = frozenset({"superiority", "non_inferiority", "win_rate"})


@dataclass(frozen=True)
class RuleView:
    """One rule as the report shows it."""

    name: str
    outcome: Outcome
    sureness: str
    """In a plain sentence."""
    sentence: str
    facts: list[Fact]
    plot: Plot | None
    tables: list[Table]
    """The rules inside."""


def view_rules(rules: list[RuleResult], comparisons: Comparisons) -> list[RuleView]:
    """Every rule in the policy's order; drawings of one kind share their axis."""
    axes = share_axes(rules, comparisons)
    return [
        RuleView(
            name=rule.name,
            outcome=rule.outcome,
            sureness=how_sure(rule, comparisons).plain,
            sentence=rule.sentence,
            facts=_facts(rule, comparisons),
            plot=plot_rule(rule, comparisons, axes),
            tables=tabulate_parts(rule, comparisons, axes),
        )
        for rule in rules
    ]


def tabulate_rules(rules: list[RuleResult], comparisons: Comparisons) -> Table:
    """All rules at a glance: one line and one drawing each."""
    axes = share_axes(rules, comparisons)
    plots = [plot_rule(rule, comparisons, axes) for rule in rules]
    columns = ["Rule", "Outcome", "Asked", "Seen", "Evidence", "Power"]
    return Table(
        caption="All rules of the policy",
        columns=columns,
        rows=[
            [
                r.name, name_outcome(r, comparisons), r.asked, r.seen,
                f"{r.evidence}: {how_sure(r, comparisons).words}", _power(r, comparisons),
            ]
            for r in rules
        ],
        outcomes=(1,),
        plots=plots if any(plots) else [],
        plot_after=columns.index("Seen"),
        notes=[POWER_NOTE],
    )  # fmt: skip


def _power(rule: RuleResult, comparisons: Comparisons) -> str:
    """The smallest effect that the cases show, and how many would settle an open rule."""
    parts = []
    if rule.mde is not None:
        parts.append(f"sees {_mde(rule, comparisons)}")
    elif _shows_nothing(rule, comparisons):
        parts.append("shows no difference: too few")
    if rule.cases_needed is not None:
        parts.append(f"needs about {rule.cases_needed:,} {unit_of(rule, comparisons).things}")
    return "; ".join(parts) or "not computed"


def _shows_nothing(rule: RuleResult, comparisons: Comparisons) -> bool:
    """Whether so few cases changed that even all for the better would mostly go unseen."""
    found = find_comparison(rule, comparisons)
    if found is None or rule.estimate is None or found.kind != "binary":
        return False
    return rule.mde is None and found.mde is None


def _mde(rule: RuleResult, comparisons: Comparisons) -> str:
    scale = Scale()
    if rule.task and rule.metric:
        scale = scale_of(comparisons, rule.task, rule.metric)
    return scale.difference(rule.mde or 0.0).lstrip("+")


def _facts(rule: RuleResult, comparisons: Comparisons) -> list[Fact]:
    """What applies to this rule, in a fixed order."""
    found = [
        ("Outcome", f"{name_outcome(rule, comparisons)}: {rule.sentence}"),
        ("How sure", how_sure(rule, comparisons).plain),
        ("Asked", rule.asked),
        ("Seen", rule.seen),
        ("Interval", _interval(rule, comparisons)),
        ("Limits that decide", _limits(rule, comparisons)),
        ("Evidence level", _evidence(rule)),
        ("Method and tests", _method(rule, comparisons)),
        ("n", _sample_size(rule, comparisons)),
        ("What this set can see", _visible(rule, comparisons)),
        ("As a bare point rule", _bare(rule)),
        *_what_next(rule, comparisons),
        ("Approval", rule.approved),
    ]
    return [Fact(term, text) for term, text in found if text]


def _interval(rule: RuleResult, comparisons: Comparisons) -> str | None:
    """The two-sided interval of what was measured."""
    if rule.estimate is None:
        return None
    turned = is_turned(rule, comparisons)
    estimate = turn(rule.estimate) if turned else rule.estimate
    span = write_span(estimate.lower, estimate.upper, unit_of(rule, comparisons).write)
    if span is None:
        return None
    write = unit_of(rule, comparisons).write
    text = f"{format_level(estimate.level)} CI {span} around {write(estimate.value)}"
    text += " of the difference" if rule.kind == "no_regression" else ""
    return f"{text}; the sign is turned so that plus is better" if turned else text


def _limits(rule: RuleResult, comparisons: Comparisons) -> str | None:
    """The one-sided limits at which the rule looks, and what it asks of them."""
    if rule.kind == "no_regression":
        return "none: regressed cases are counted" if rule.estimate else None
    if rule.threshold is None or rule.kind == "per_bucket":
        return None
    unit = unit_of(rule, comparisons)
    span = unit.span(rule.lower_one_sided, rule.upper_one_sided)
    asked = f"the rule asks for {unit.asked(rule.threshold)}"
    if rule.estimate is not None and rule.estimate.method == DECLARED:
        return f"none: {DECLARED}, the figure itself decides; {asked}"
    if span is None:
        return f"none: {_why_no_limits(rule, comparisons)}; {asked}"
    why = _why_no_limits(rule, comparisons) if _lacks_limit(rule) else ""
    wider = (rule.level or USUAL_LEVEL) > USUAL_LEVEL + 1e-9
    paid = ", above 95 % because looks or a selection are paid for" if wider else ""
    return f"{span}, one-sided {format_level(rule.level)} each{paid}{f' ({why})' if why else ''}; {asked}"


def _lacks_limit(rule: RuleResult) -> bool:
    return rule.lower_one_sided is None or rule.upper_one_sided is None


def _why_no_limits(rule: RuleResult, comparisons: Comparisons) -> str:
    """Why a limit is missing, as the comparison says."""
    reasons: list[str | None] = []
    comparison = find_comparison(rule, comparisons)
    if comparison:
        ratio = comparison.ratio
        reasons += [comparison.no_interval, ratio.no_interval if ratio else None]
    if rule.task and rule.metric:
        level = find_level(comparisons, rule.task, rule.metric, "candidate")
        reasons.append(level.no_interval if level else None)
    operations = find_operations(comparisons, "candidate")
    if operations and rule.kind == "budget" and (found := operations.bounds.get(rule.metric or "")):
        reasons.append(found.no_interval)
    ratios = [r for r in comparisons.ratios if (r.quantity, r.baseline) == (rule.metric, rule.against)]  # fmt: skip
    reasons += [r.ratio.no_interval for r in ratios if r.ratio]
    return next((reason for reason in reasons if reason), "no limit can be given")


def _evidence(rule: RuleResult) -> str:
    """The level of evidence in words."""
    if rule.kind == "no_regression":
        return "each regressed case counts, unless it is approved by name"
    level = format_level(rule.level)
    words = {
        "point": "point: the figure itself decides, however uncertain it is",
        "significant": "significant: the figure reaches the mark and a test rejects chance",
        "proven": f"proven: the one-sided {level} limit of the figure clears the mark",
        "screen": f"screen: fails only where harm is shown at {level}; a pass is no proof",
        "any": "one route whose rules all hold is enough; each of them names its own level",
    }
    return words.get(rule.evidence, rule.evidence)


def _method(rule: RuleResult, comparisons: Comparisons) -> str | None:
    """How the figure was estimated, and the tests; the first one decides."""
    method = rule.estimate.method if rule.estimate else None
    if method and method.startswith("no interval"):
        method = None
    comparison = find_comparison(rule, comparisons) if rule.kind in TESTED_KINDS else None
    tests = comparison.tests if comparison else []
    written = [f"{test.name} {p_equals(test.p)}" for test in tests]
    if len(written) > 1 and rule.evidence == "significant":
        written[0] += " (this one counts)"
    if written and rule.evidence != "significant":
        written[0] = f'tests of "no difference", which do not decide here: {written[0]}'
    return "; ".join([*([method] if method else []), *written]) or None


def _sample_size(rule: RuleResult, comparisons: Comparisons) -> str | None:
    """How many, in what is counted, with repeats, clusters and what is left out."""
    comparison = find_comparison(rule, comparisons)
    if rule.kind == "budget":
        operations = find_operations(comparisons, "candidate")
        if operations is None:
            return None
        n_asked, kind = operations.n_requests, "request"
        if (rule.metric or "").startswith("latency") and operations.latency_from == "interleaved":
            n_asked = (operations.n_latency or 0) + operations.n_latency_failed
            kind = "interleaved request"
        asked, answered = counted(n_asked, kind), rule.estimate.n if rule.estimate else n_asked
        return asked if answered == n_asked else f"{answered:,} answers to {asked}"
    n = comparison.n_pairs if comparison else rule.estimate.n if rule.estimate else None
    if n is None:
        return None
    things = unit_of(rule, comparisons).things
    return f"{n:,} {things if n != 1 else things[:-1]}{describe_sample(comparison)}"


def describe_sample(comparison: Comparison | None) -> str:
    """', in 120 clusters, 5 answers each, 2 left out': what n alone does not say."""
    if comparison is None:
        return ""
    left_out = comparison.n_excluded + comparison.n_unpaired
    parts = [
        f"in {counted(comparison.n_clusters, 'cluster')}" if comparison.n_clusters else "",
        f"{comparison.repeats} answers each" if comparison.repeats > 1 else "",
        f"{left_out} more left out" if left_out else "",
    ]
    return "".join(f", {part}" for part in parts if part)


def _visible(rule: RuleResult, comparisons: Comparisons) -> str | None:
    """The smallest true effect that so many cases show."""
    if _shows_nothing(rule, comparisons):
        return "no true difference: so few cases changed that even all for the better would mostly go unseen"  # fmt: skip
    if rule.mde is None:
        return None
    return (
        f"a true difference of {_mde(rule, comparisons)} or more, in 80 of 100 runs "
        "(two-sided 5 %); smaller ones mostly go unseen"
    )


def _bare(rule: RuleResult) -> str | None:
    """The bare figure's reading, and how often luck alone passes it."""
    if rule.point_outcome is None:
        return None
    chance = rule.chance_unchanged_passes
    is_count = rule.kind == "no_regression"
    if chance is None or (is_count and chance == 1):
        return rule.point_outcome
    if is_count:
        model = "where as many cases change by luck alone, a model that is no worse"
        return f"{rule.point_outcome}; {model} keeps them all {percent(chance)} of the time"
    absolute = rule.kind in NEGATED_KINDS or rule.kind in ("floor", "ratio")
    model = "a model exactly at the mark" if absolute else "a model that differs in nothing"
    return f"{rule.point_outcome}; {model} would pass this point rule {percent(chance)} of the time"


def _what_next(rule: RuleResult, comparisons: Comparisons) -> list[tuple[str, str | None]]:
    """How many cases would settle it, and the next step; once where that says both."""
    needed = rule.cases_needed
    if needed is None:
        return [("Next step", rule.next_step)]
    if rule.next_step and f"{needed:,}" in rule.next_step:
        return [("To settle it", rule.next_step)]
    things = unit_of(rule, comparisons).things
    settle = f"about {needed:,} {things} in all, if the figure stays where it is"
    return [("To settle it", settle), ("Next step", rule.next_step)]
