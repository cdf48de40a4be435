"""Rules that look at single cases and at buckets of cases."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

from ftgate_ext.evidence import (
    POWER,
    Effect,
    Evidence,
    Problem,
    find_problem,
    point_reading,
    weigh,
)
from ftgate_ext.rules.difference import negative, orient
from ftgate_ext.rules.outcome import cannot_decide
from ftgate_ext.rules.routes import all_must_hold
from ftgate_ext.schema import Bucket, Comparison, Estimate, Outcome, RuleResult
from ftgate_ext.stats.multiplicity import holm
from ftgate_ext.stats.paired_binary import tango_interval, tango_z
from ftgate_ext.wording import percent, plain, points

if TYPE_CHECKING:
    from datetime import date

    from ftgate_ext.policy import Approval
    from ftgate_ext.policy_rules import NoRegression, PerBucket

NORMAL = NormalDist()
NAMED = 10
"""So many cases are named in a sentence."""


def apply_no_regression(
    rule: NoRegression, evidence: Evidence, approvals: list[Approval], today: date
) -> RuleResult:
    """No case that the other model gets right goes wrong, but for approved ones.

    With repeats, a case is right or wrong by the majority of its repeats.
    """
    asked = f"no case that {rule.against} gets right goes wrong, or each is approved by name"
    problem = find_problem(evidence, rule.task, rule.metric, rule.against)
    comparison = evidence.comparison(rule.task, rule.metric, rule.against)
    if problem or comparison is None:
        return cannot_decide(rule, asked, problem or Problem("not compared", "run the eval set"))
    if not comparison.counts:
        return cannot_decide(
            rule, asked,
            Problem(
                f"{rule.metric} is not a pass/fail metric", "name a metric that is 0 or 1 per case"
            ),
        )  # fmt: skip
    lost = comparison.lost_cases
    valid = [
        a for a in approvals if a.rule == rule.name and a.until >= today and {*a.cases} & {*lost}
    ]
    approved = {case for a in valid for case in a.cases}
    broken = [case for case in lost if case not in approved]
    missing = comparison.n_excluded + comparison.n_unpaired
    outcome: Outcome = "FAIL" if broken else "INCONCLUSIVE" if missing else "PASS"
    gained = comparison.counts["only_candidate" if comparison.higher_is_better else "only_baseline"]
    notes = [f"{', '.join(a.cases)} approved by {a.by} until {a.until}: {a.reason}" for a in valid]
    turned = orient(comparison)
    return RuleResult(
        name=rule.name, kind=rule.kind, evidence=rule.evidence, outcome=outcome, asked=asked,
        seen=f"{len(lost)} regressed, {gained} newly right, n={comparison.n_pairs}",
        sentence=_regressions(comparison, broken, missing)
        + (_chance(lost, gained, comparison.repeats) if broken else ""),
        next_step=_after_regressions(broken, outcome, comparison.repeats),
        task=comparison.task, metric=comparison.metric, against=comparison.baseline,
        estimate=comparison.difference, lower_one_sided=turned.low, upper_one_sided=turned.high,
        threshold=0.0, point_outcome="FAIL" if lost else "PASS", approved="; ".join(notes) or None,
        chance_unchanged_passes=0.5 ** (len(lost) + gained), level=1 - comparison.alpha_one_sided,
    )  # fmt: skip


def _regressions(comparison: Comparison, broken: list[str], missing: int) -> str:
    """What regressed, in one sentence; a suite that must be clean is not clean while cases lack."""
    n, baseline = comparison.n_pairs, comparison.baseline
    how = f", by the majority of {comparison.repeats} answers" if comparison.repeats > 1 else ""
    if broken:
        names = ", ".join(broken[:NAMED]) + (" ..." if len(broken) > NAMED else "")
        sentence = f"{len(broken)} of {n} cases regressed against {baseline}{how}: {names}."
    else:
        covered = len(comparison.lost_cases)
        sentence = f"None of {n} cases regressed against {baseline}"
        sentence += f" beyond {covered} approved" if covered else ""
        sentence += (
            f", but {missing} more have no answer to compare." if missing else f"{how}."
        )  # fmt: skip
    fell = comparison.pass_rate_drops
    if fell:
        names = ", ".join(
            f"{case} ({percent(b)} to {percent(a)})" for case, (a, b) in list(fell.items())[:NAMED]
        )
        sentence += f" Less often right than before, without losing the majority: {names}."
    return sentence


def _chance(lost: list[str], gained: int, repeats: int) -> str:
    """How often this many changed cases hold no loss when each goes either way by chance."""
    if repeats > 1 or not lost or not gained:
        return ""
    changed = len(lost) + gained
    return (
        f" {changed} cases changed, {gained} of them for the better; if each went either way by chance,"
        f" a suite like this would be clean in {percent(0.5**changed)} of runs."
    )


def _after_regressions(broken: list[str], outcome: Outcome, repeats: int) -> str | None:
    if broken:
        first = (
            "" if repeats > 1 else "Ask each case several times (`repeats: 5`) to tell a flaky case from a broken one; "
        )  # fmt: skip
        step = f"{first}mend them, or approve each by name in the policy."
        return step[0].upper() + step[1:]
    if outcome == "INCONCLUSIVE":
        return "Run the same command again: it asks only what is missing."
    return None


def apply_per_bucket(rule: PerBucket, evidence: Evidence) -> RuleResult:
    """No bucket loses more than the margin; harm is claimed after Holm's correction only."""
    asked = (
        f"{plain(rule.metric)} in no {rule.by} of {rule.min_cases} cases or more worse than {rule.against}"
        f" by more than {rule.margin_pt:g} pt"
    )
    problem = find_problem(evidence, rule.task, rule.metric, rule.against)
    comparison = evidence.comparison(rule.task, rule.metric, rule.against)
    if problem or comparison is None:
        return cannot_decide(rule, asked, problem or Problem("not compared", "run the eval set"))
    mine = [b for b in comparison.buckets if b.by == rule.by]
    judged = [b for b in mine if b.n >= rule.min_cases]
    if not judged:
        why = (
            f"no bucket has {rule.min_cases} cases; the largest of {len(mine)} has {max(b.n for b in mine)}"
            if mine
            else f"no row of {rule.task} says its {rule.by!r}"
        )
        return cannot_decide(rule, asked, Problem(why, "add cases, or lower min_cases"))
    margin = rule.margin_pt / 100
    harm = _harmed(judged, comparison, margin)
    parts = [_part(rule, b, comparison, is_harmed=b.bucket in harm) for b in judged]
    outcome = all_must_hold([part.outcome for part in parts])
    parts.sort(key=_value)
    alpha = comparison.alpha_one_sided
    return RuleResult(
        name=rule.name, kind=rule.kind, evidence=rule.evidence, outcome=outcome, asked=asked,
        seen=f"worst {parts[0].name} {points(_value(parts[0]))} ({len(judged)} buckets of {len(mine)} are large enough)",
        sentence=_bucket_sentence(rule, outcome, judged, harm, parts, alpha),
        next_step=_after_buckets(outcome, rule.evidence), task=rule.task, metric=rule.metric, against=rule.against,
        threshold=-margin, level=1 - alpha, parts=parts,
        point_outcome=all_must_hold([part.point_outcome for part in parts]),
    )  # fmt: skip


def _value(part: RuleResult) -> float:
    return part.estimate.value if part.estimate else 0.0


def _part(
    rule: PerBucket, bucket: Bucket, comparison: Comparison, *, is_harmed: bool
) -> RuleResult:
    """One bucket as a rule of its own: it fails only where Holm's correction leaves harm shown."""
    effect = _effect_of(bucket, comparison, -rule.margin_pt / 100)
    outcome = weigh(rule.evidence, effect)
    if rule.evidence != "point" and is_harmed:
        outcome = "FAIL"
    elif rule.evidence != "point" and outcome == "FAIL":
        outcome = "PASS" if rule.evidence == "screen" else "INCONCLUSIVE"
    return RuleResult(
        name=bucket.bucket, kind="bucket", evidence=rule.evidence, outcome=outcome, asked="",
        seen=f"{points(effect.value)}, n={bucket.n}", sentence="", task=rule.task, metric=rule.metric,
        against=rule.against, threshold=effect.threshold, level=1 - effect.alpha,
        estimate=Estimate(value=effect.value, n=bucket.n, method="difference in this bucket"),
        lower_one_sided=effect.low, upper_one_sided=effect.high, point_outcome=point_reading(effect),
    )  # fmt: skip


def _effect_of(bucket: Bucket, comparison: Comparison, threshold: float) -> Effect:
    """The difference in one bucket: pass/fail with Tango's limits, else with normal ones."""
    alpha = comparison.alpha_one_sided
    low, high = None, None
    if bucket.gained is not None and bucket.lost is not None:
        found = tango_interval(bucket.gained, bucket.lost, bucket.n, 1 - 2 * alpha)
        low, high = found.lower, found.upper
    elif bucket.standard_error is not None:
        reach = NORMAL.inv_cdf(1 - alpha) * bucket.standard_error
        low, high = bucket.difference - reach, bucket.difference + reach
    value = bucket.difference
    if not comparison.higher_is_better:
        value, low, high = -value, negative(high), negative(low)
    return Effect(value, low, high, threshold, bucket.n, alpha)


def _harmed(buckets: list[Bucket], comparison: Comparison, margin: float) -> list[str]:
    """Buckets whose loss beyond the margin is shown after Holm's correction."""
    known = [(b.bucket, p) for b in buckets if (p := _harm_p(b, comparison, margin)) is not None]
    if not known:
        return []
    adjusted = holm([p for _, p in known])
    return [
        name for (name, _), p in zip(known, adjusted, strict=True) if p < comparison.alpha_one_sided
    ]


def _harm_p(bucket: Bucket, comparison: Comparison, margin: float) -> float | None:
    """One-sided p of "the loss is no larger than the margin"."""
    if bucket.gained is not None and bucket.lost is not None:
        gained, lost = bucket.gained, bucket.lost
        if not comparison.higher_is_better:
            gained, lost = lost, gained
        return NORMAL.cdf(float(tango_z(gained, lost, bucket.n, -margin)))
    if not bucket.standard_error:
        return None
    value = bucket.difference if comparison.higher_is_better else -bucket.difference
    return NORMAL.cdf((value + margin) / bucket.standard_error)


def _bucket_sentence(
    rule: PerBucket, outcome: Outcome, judged: list[Bucket], harm: list[str], parts: list[RuleResult], alpha: float
) -> str:  # fmt: skip
    worst = parts[0]
    opening = f"worst of {len(judged)} buckets by {rule.by}: {worst.name} {points(_value(worst))}"
    if harm:
        return f"{opening}; a loss of more than {rule.margin_pt:g} pt is shown for {', '.join(harm)} (Holm over {len(judged)} buckets)."
    without = [part.name for part in parts if part.lower_one_sided is None]
    if outcome == "INCONCLUSIVE" and without:
        return f"{opening}; no limits can be given for {', '.join(without)}."
    if outcome == "INCONCLUSIVE":
        return f"{opening}; the buckets are too small to exclude a loss of {rule.margin_pt:g} pt in each."
    errors = [b.standard_error for b in judged if b.standard_error]
    if rule.evidence == "screen" and errors:
        reach = (NORMAL.inv_cdf(1 - alpha) + NORMAL.inv_cdf(POWER)) * max(errors)
        unseen = 100 * reach + rule.margin_pt
        return f"{opening}; no loss of more than {rule.margin_pt:g} pt is shown. In the least certain bucket a loss under {unseen:.0f} pt could have gone unseen."
    relation = "within" if outcome == "PASS" else "beyond"
    return f"{opening}; {relation} the allowance of {rule.margin_pt:g} pt."


def _after_buckets(outcome: Outcome, evidence: str) -> str | None:
    if outcome == "PASS":
        return None
    if outcome == "FAIL":
        return "Look at the failures of these buckets."
    if evidence == "screen":
        return "Add cases to the buckets without limits."
    return "Add cases to the small buckets, or ask for evidence `screen`."
