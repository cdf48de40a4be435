"""A planned rule -> why it cannot decide at its size (refusal), or that it hardly can (warning)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ftgate_ext.evidence import JUDGED
from ftgate_ext.plan.measured import why_overspent, why_unbounded
from ftgate_ext.plan.power import POWER
from ftgate_ext.plan.threshold import why_impossible
from ftgate_ext.policy_rules import (
    Budget,
    Ceiling,
    Floor,
    NonInferiority,
    NoRegression,
    PerBucket,
    Ratio,
    Superiority,
    WinRate,
    metrics_of,
)
from ftgate_ext.stats.paired_binary import mcnemar_mid_p, tango_interval
from ftgate_ext.wording import percent

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftgate_ext.plan.assumptions import Spread
    from ftgate_ext.plan.planned import PlannedRule
    from ftgate_ext.plan.rules import Ground
    from ftgate_ext.policy_rules import PlainRule
    from ftgate_ext.settings import Alphas

FEWEST_CLUSTERS = 8
FEWEST_F1_CASES = 8
FALSE_PASS = 0.2
"""A point rule or a screen that passes a model twice the margin worse more often than this is weak."""
SELDOM_FLAKY = 0.95
"""A suite that passes an equal model less often cries wolf."""
SEARCHED = 10**6


def why_refused(rule: PlainRule, planned: PlannedRule, ground: Ground) -> str | None:
    """Why a rule cannot pass, or cannot fail, at the size of its set; None where it can do both."""
    if missing := _no_metric(rule, ground):
        return missing
    if isinstance(rule, (Floor, Ceiling)):
        alphas = ground.settings.alphas(rule.task)
        found = why_impossible(rule, ground.sets[rule.task], alphas)
        return found or _too_few_clusters(rule, ground)
    if isinstance(rule, Budget) and (overspent := why_overspent(rule, ground.policy)):
        return overspent
    if isinstance(rule, Budget) or (isinstance(rule, Ratio) and rule.quantity):
        return why_unbounded(rule, ground.requests)
    if isinstance(rule, PerBucket) and planned.n == 0:
        return _no_bucket(rule, ground)
    return _too_few_clusters(rule, ground) or _too_few_changes(rule, planned, ground)


def _no_metric(rule: PlainRule, ground: Ground) -> str | None:
    for part in metrics_of(rule):
        sized = ground.sets[part.task]
        missing = sized.lacks(part.metric)
        if missing and not part.metric.startswith(JUDGED):
            return missing
        if sized.size_of(part.metric).n == 0:
            return f"no case of {part.task} has the metric {part.metric}"
    return None


def _no_bucket(rule: PerBucket, ground: Ground) -> str:
    sizes = ground.sets[rule.task].bucket_sizes(rule.metric, rule.by) or {}
    if not sizes:
        return f"no row of {rule.task} says its {rule.by!r}"
    return f"no bucket by {rule.by} has {rule.min_cases} cases; the largest of {len(sizes)} has {max(sizes.values())}"


def _too_few_clusters(rule: PlainRule, ground: Ground) -> str | None:
    if rule.evidence == "point":
        return None
    for part in metrics_of(rule):
        clusters = ground.sets[part.task].size_of(part.metric).clusters
        if 0 < len(clusters) < FEWEST_CLUSTERS:
            return f"the cases of {part.task} come in {len(clusters)} clusters; there is no interval below {FEWEST_CLUSTERS}"
    return None


def _too_few_changes(rule: PlainRule, planned: PlannedRule, ground: Ground) -> str | None:
    """Not even all cases on which the models differ, all in one direction, would decide."""
    if not isinstance(rule, (Superiority, NonInferiority, WinRate)) or not planned.n:
        return None
    if rule.evidence == "point":
        return None
    if isinstance(rule, WinRate):
        task = ground.policy.judge.task if ground.policy.judge else ""
        spread = ground.spread(task, "win_rate", rule.against)
    else:
        task, spread = rule.task, ground.spread(rule.task, rule.metric, rule.against)
    if spread.kind == "f1" and planned.n < FEWEST_F1_CASES:
        return f"an F1 has no interval below {FEWEST_F1_CASES} cases; the set has {planned.n}"
    settles = _settling(rule, spread, ground.settings.alphas(task))
    if settles is None or settles(planned.n):
        return None
    least = _least(settles)
    changed = _changes(spread, planned.n)
    what = "wins or losses" if isinstance(rule, WinRate) else "discordant"
    which = "lost it would not fail" if rule.evidence == "screen" else "in its favour it would not pass"  # fmt: skip
    enough = f"; {least:,} {planned.n_of} are the least" if least else ""
    return f"of {planned.n:,} {planned.n_of} about {changed} will be {what}: even with all of them {which}{enough}"


def _settling(
    rule: Superiority | NonInferiority | WinRate, spread: Spread, alphas: Alphas
) -> Callable[[int], bool] | None:
    """Size -> whether all changes in one direction decide the rule; None where a normal plan does."""
    if rule.evidence == "significant":
        return lambda n: mcnemar_mid_p(_changes(spread, n), 0) < alphas.two_sided
    if spread.kind not in ("binary", "win_rate"):
        return None
    threshold = _threshold(rule) * (2 if spread.kind == "win_rate" else 1)
    level = 1 - 2 * alphas.one_sided
    if rule.evidence == "proven":
        return lambda n: tango_interval(_changes(spread, n), 0, n, level).lower > threshold
    return lambda n: tango_interval(0, _changes(spread, n), n, level).upper < threshold


def _changes(spread: Spread, n: int) -> int:
    """How many of n cases are expected to differ."""
    return math.floor(spread.discordance * n + 0.5)


def _threshold(rule: Superiority | NonInferiority | WinRate) -> float:
    if isinstance(rule, WinRate):
        return rule.threshold - 0.5
    return -rule.margin_pt / 100 if isinstance(rule, NonInferiority) else rule.margin_pt / 100


def _least(settles: Callable[[int], bool]) -> int | None:
    """The smallest size that settles and does not stop doing so at twice the size."""
    high = 1
    while not (settles(high) and settles(2 * high)):
        high *= 2
        if high > SEARCHED:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if settles(middle) else (middle, high)
    return high


# --- hardly able to decide


def why_weak(rule: PlainRule, planned: PlannedRule) -> str | None:
    """What an under-powered rule cannot see, in plain words, and what would do."""
    if isinstance(rule, NoRegression):
        return _flaky(planned)
    good, worse = planned.chance_good, planned.chance_worse
    if good is None:
        return None
    is_loose = rule.evidence in ("point", "screen") and worse is not None and worse > FALSE_PASS
    if good >= POWER and not is_loose:
        return None
    parts = [_seen(rule, planned)]
    if is_loose and worse is not None:
        parts.append(f"passes a model {_worse_by(rule)} in {percent(worse)} of runs")
    if planned.chance_equal is not None and rule.evidence == "point" and not isinstance(rule, (Floor, Ceiling, Superiority)):  # fmt: skip
        parts.append(f"blocks one that is just as good in {percent(1 - planned.chance_equal)}")
    if good < POWER and not isinstance(rule, NonInferiority):
        parts.append(f"passes a good one in {percent(good)} of runs")
    elif good < POWER and rule.evidence != "point":
        parts.append(f"passes an unchanged one in {percent(good)} of runs")
    parts.append(_remedy(rule, planned))
    return "; ".join(part for part in parts if part)


def _seen(rule: PlainRule, planned: PlannedRule) -> str:
    if isinstance(rule, (Floor, Ceiling)) or (isinstance(rule, Ratio) and rule.quantity):
        return ""
    if planned.mde is None:
        return "can see nothing smaller than all cases that differ"
    asks = f"; the rule asks about {100 * planned.asks:.2g} pt" if planned.asks else ""
    return f"can see {100 * planned.mde:.1f} pt at best{asks}"


def _worse_by(rule: PlainRule) -> str:
    if isinstance(rule, (Floor, Ceiling)):
        return f"at {100 * max(0, 1 - 2 * (1 - rule.threshold)):.3g} %" if isinstance(rule, Floor) else f"at {200 * rule.threshold:.3g} %"  # fmt: skip
    if isinstance(rule, Ratio) and rule.quantity:
        return "10 % slower"
    if isinstance(rule, Ratio) and (rule.minimum or 0) < 1:
        return f"at {percent(2 * (rule.minimum or 0) - 1)} of {rule.against}'s"
    margin = getattr(rule, "margin_pt", 0)
    return f"{2 * margin or 2:g} pt worse"


def _remedy(rule: PlainRule, planned: PlannedRule) -> str:
    if getattr(rule, "margin_pt", None) == 0 and isinstance(rule, NonInferiority):
        return "no number of cases mends a margin of 0: give one"
    if planned.n_enough is None:
        return "no number of cases would do"
    proven = " and evidence `proven`" if rule.evidence == "point" else ""
    if planned.n is not None and planned.n_enough <= planned.n:
        return "evidence `proven` would do at this size" if proven else ""
    each = f" {planned.enough_for}" if planned.enough_for and not isinstance(rule, NoRegression) else ""  # fmt: skip
    return f"{planned.n_enough:,} {planned.n_of}{each}{proven} would do"


def _flaky(planned: PlannedRule) -> str | None:
    equal = planned.chance_equal or 0.0
    parts = []
    if equal < SELDOM_FLAKY:
        parts.append(
            f"fails a model that is just as good in {percent(1 - equal)} of runs; `repeats: 5` tells flaky cases from broken ones"
        )
    if planned.mde is not None and planned.n_enough and planned.n and planned.n < planned.n_enough:
        parts.append(
            f"sees breakage only where it hits {100 * planned.mde:.1f} % of cases; {planned.n_enough:,} cases would see 1 %"
        )
    return "; ".join(parts) or None
