"""How sure an outcome is, and the two readings of every rule: the bare figure, and the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ftgate_ext.report.blocks import Fact, Table
from ftgate_ext.report.figures import counted, format_level, listed, p_equals
from ftgate_ext.report.units import find_comparison
from ftgate_ext.wording import DECLARED

if TYPE_CHECKING:
    from ftgate_ext.schema import Comparison, Comparisons, Decision, RuleResult

Group = Literal["shown", "counted", "routes", "bare", "screened", "open", "approved"]
NOT_STRICT = frozenset({"floor", "ceiling", "budget", "ratio"})
"""Kinds of rules whose limit may lie on the threshold."""
NO_PROOF = "no harm shown; that is no proof"


@dataclass(frozen=True)
class Sureness:
    """How sure an outcome is."""

    group: Group
    words: str
    """For a table."""
    plain: str
    """In a sentence for who never heard of an interval."""


def how_sure(rule: RuleResult, comparisons: Comparisons) -> Sureness:
    """What stands behind the outcome of a rule."""
    if rests_on_approval(rule, comparisons):
        return Sureness("approved", "by approval only", "Somebody took the responsibility for it.")
    if rule.kind in ("any_route", "route"):
        return Sureness("routes", "see its rules", ROUTES[rule.outcome])
    if rule.kind == "no_regression" and rule.point_outcome:
        return Sureness("counted", "counted case by case", COUNTED[rule.outcome])
    if rule.outcome == "INCONCLUSIVE":
        return _openness(rule)
    return _sureness_of_buckets(rule) if rule.kind == "per_bucket" else _sureness_of_limits(rule)


ROUTES = {
    "PASS": "One of its routes holds.",
    "FAIL": "None of its routes holds.",
    "INCONCLUSIVE": "None of its routes is shown to hold yet.",
}
COUNTED = {
    "PASS": "No case got worse.",
    "FAIL": "Cases that were right are wrong now.",
    "INCONCLUSIVE": "No case got worse, but some have no answer yet.",
}


def _sureness_of_limits(rule: RuleResult) -> Sureness:
    is_pass = rule.outcome == "PASS"
    if rule.estimate is not None and rule.estimate.method == DECLARED:
        plain = "meets" if is_pass else "misses"
        return Sureness("bare", DECLARED, f"The price that the policy declares {plain} the mark.")
    if _is_shown(rule):
        plain = "It meets the mark" if is_pass else "It misses the mark"
        return Sureness(
            "shown", f"shown at {format_level(rule.level)}", f"{plain}, beyond what chance explains."
        )  # fmt: skip
    if rule.evidence == "screen":
        return Sureness("screened", NO_PROOF, "No harm was found, which is no proof.")
    if rule.evidence == "significant" and rule.kind in ("superiority", "win_rate"):
        words = "a difference is shown, its size is not"
        return Sureness("shown", words, "It is better, and chance does not explain that.")
    plain = "meets" if is_pass else "misses"
    return Sureness(
        "bare", "bare figure only", f"The bare figure {plain} the mark; chance alone could explain it."
    )  # fmt: skip


def _sureness_of_buckets(rule: RuleResult) -> Sureness:
    level = format_level(rule.level)
    if rule.evidence == "point":
        plain = "meet" if rule.outcome == "PASS" else "do not all meet"
        return Sureness("bare", "bare figures only", f"The bare figures {plain} the mark.")
    if rule.outcome == "FAIL":
        words = f"shown at {level}, after Holm's correction"
        return Sureness("shown", words, "Part of the set got worse, beyond what chance explains.")
    if rule.evidence == "proven":
        return Sureness("shown", f"shown at {level} for every bucket", "No part of the set got worse.")  # fmt: skip
    return Sureness("screened", NO_PROOF, "No harm was found, which is no proof.")


def _openness(rule: RuleResult) -> Sureness:
    if rule.point_outcome is None:
        return Sureness("open", "nothing to judge by", "There is nothing to judge it by.")
    words, plain = ("met", "good") if rule.point_outcome == "PASS" else ("missed", "bad")
    return Sureness(
        "open", f"open: looks {words}, not shown",
        f"It looks {plain} so far, but chance alone could explain it.",
    )  # fmt: skip


def _is_shown(rule: RuleResult) -> bool:
    """Whether the limit on the side of the threshold lies beyond it."""
    low, high, threshold = rule.lower_one_sided, rule.upper_one_sided, rule.threshold
    if threshold is None:
        return False
    if rule.outcome == "FAIL":
        return high is not None and high < threshold
    return low is not None and (
        low > threshold or (rule.kind in NOT_STRICT and low == threshold)
    )  # fmt: skip


def rests_on_approval(rule: RuleResult, comparisons: Comparisons) -> bool:
    """Whether the rule passes only because somebody took the responsibility.

    An approval of single cases may stand there although none of them regressed.
    """
    if rule.outcome != "PASS" or rule.approved is None:
        return False
    comparison = find_comparison(rule, comparisons)
    return rule.kind != "no_regression" or comparison is None or bool(comparison.lost_cases)


HELD: list[tuple[Group, str, str]] = [
    ("shown", "Shown beyond chance", ""),
    ("counted", "Counted case by case", ""),
    ("routes", "Held by a route", ""),
    ("bare", "Passed on a bare figure", " (no evidence beyond the figure itself)"),
    ("screened", "Passed a screen only", " (harm was looked for and not shown, which is no proof)"),
]
"""What the rules that hold rest on, strongest first."""


def describe_sureness(decision: Decision, comparisons: Comparisons) -> list[Fact]:
    """What the rules that hold rest on: for the first page. Approvals stand apart."""
    passed = [(r.name, how_sure(r, comparisons).group) for r in decision.rules if r.outcome == "PASS"]  # fmt: skip
    return [
        Fact(term, f"{listed(names)}{meaning}")
        for group, term, meaning in HELD
        if (names := [name for name, of in passed if of == group])
    ]


# --- the two readings


@dataclass(frozen=True)
class Readings:
    """What the bare figures say, and what the evidence says, side by side."""

    lines: list[str]
    tables: list[Table]
    """One, or none where they agree."""


def compare_readings(decision: Decision, comparisons: Comparisons) -> Readings:
    """The rules on which the two readings differ, and the verdict of both."""
    differing = [r for r in decision.rules if r.point_outcome and r.point_outcome != r.outcome]
    rows = [
        [rule.name, rule.point_outcome or "", name_outcome(rule, comparisons), _why(rule, comparisons)]
        for rule in differing
    ]  # fmt: skip
    table = Table(
        caption="Rules on which the two readings differ",
        columns=["Rule", "The bare figure says", "The evidence says", "Why"],
        rows=rows,
        outcomes=(1, 2),
    )
    return Readings(_verdicts(decision, len(differing)), [table] if rows else [])


def _verdicts(decision: Decision, n_differing: int) -> list[str]:
    point, verdict = decision.point_verdict, decision.verdict
    if point is None:
        return ["The reading by bare figures was not recorded."]
    if not n_differing and point == verdict:
        return [f"Bare figures and evidence agree on every rule and on the verdict, {verdict}."]
    rules = counted(n_differing, "rule")
    if point == verdict:
        return [f"Both readings say {verdict}; they differ on {rules}."]
    return [
        f"By bare figures the verdict is {point}; by the evidence that the rules ask for it is {verdict}.",
        f"The bare reading takes each figure as if it were the truth. The evidence also asks how far chance moves it, and {rules} come out differently.",
    ]  # fmt: skip


def name_outcome(rule: RuleResult, comparisons: Comparisons) -> str:
    """The outcome, and whether it is somebody's word."""
    return f"{rule.outcome} (approved)" if rests_on_approval(rule, comparisons) else rule.outcome


WHY_KIND = {
    "no_regression": "No case regressed, but some cases have no answer to compare.",
}
WHY_ROUTES = {"PASS": "one does", "FAIL": "none does", "INCONCLUSIVE": "that is open"}
WHY = {
    ("FAIL", "INCONCLUSIVE"): "The figure misses the mark, but so few cases cannot tell it from one that meets it.",
    ("FAIL", "PASS"): "The figure misses the mark, but by no more than chance explains; the rule fails only where harm is shown.",
    ("PASS", "FAIL"): "The figure meets the mark, but harm is shown all the same.",
}  # fmt: skip


def _why(rule: RuleResult, comparisons: Comparisons) -> str:
    """One sentence on why a bare figure and the evidence part."""
    if rests_on_approval(rule, comparisons):
        return "The rule did not hold; somebody took the responsibility for it."
    if rule.kind == "any_route":
        bare = "a route holds" if rule.point_outcome == "PASS" else "no route holds"
        return f"On bare figures {bare}; by the evidence {WHY_ROUTES[rule.outcome]}."
    known = WHY_KIND.get(rule.kind) or WHY.get((rule.point_outcome or "", rule.outcome))
    return known or _why_open(rule, find_comparison(rule, comparisons))


def _why_open(rule: RuleResult, comparison: Comparison | None) -> str:
    if rule.kind != "per_bucket" and (rule.lower_one_sided is None or rule.upper_one_sided is None):
        return "The figure meets the mark, but nobody can say how far chance moves it: no limits."
    test = comparison.tests[0] if comparison and comparison.tests else None
    if (
        rule.evidence == "significant"
        and comparison
        and test
        and test.p >= comparison.alpha_two_sided
    ):
        return f"The figure meets the mark, but chance alone makes such differences too ({test.name}, {p_equals(test.p)})."
    return "The figure meets the mark, but its limits leave room for a true value that does not."
