"""Policy and sizes -> how many calls to the judge to expect, where judging may stop early."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ftgate_ext.judge.opponents import needed_opponents
from ftgate_ext.judge.stopping import ROUNDS
from ftgate_ext.plan.absent import taking_part
from ftgate_ext.plan.assumptions import TIES
from ftgate_ext.plan.judge_calls import ORDERS
from ftgate_ext.stats.early_stopping import expected_betting_share, expected_share
from ftgate_ext.wording import percent

if TYPE_CHECKING:
    from ftgate_ext.plan.sets import SizedSet
    from ftgate_ext.policy import Policy
    from ftgate_ext.policy_judge import JudgeSpec

SUPPOSED_RATES = (0.5, 0.55, 0.6)


def judging_notes(policy: Policy, sets: dict[str, SizedSet]) -> list[str]:
    """What judging takes at most, and what it is expected to take; nothing without a judge."""
    judge = policy.judge
    if judge is None or judge.task not in sets:
        return []
    if judge.replay is not None:
        return ["judge: its verdicts were given earlier; nobody is asked."]
    needed, there = needed_opponents(policy), taking_part(policy)
    idle = [role for role in judge.against if role in there and role not in needed]
    told = [f"judge: not asked about {role}: no rule needs its word on it." for role in idle]
    if not any(role in there for role in needed):
        return told
    return [*told, *_pair_notes(judge, sets)]


def _pair_notes(judge: JudgeSpec, sets: dict[str, SizedSet]) -> list[str]:
    n = min(judge.limit or sets[judge.task].n, sets[judge.task].n)
    if n < 1:
        return []
    calls = ORDERS * n
    against = (
        f"judge: {calls:,} calls for the {n:,} pairs against each model, each pair in both orders"
    )
    if judge.stopping == "none":
        looks = [round(calls * expected_share(5, drift_of(n, rate))) for rate in SUPPOSED_RATES]
        return [f"{against}. `judge.stopping: obrien_fleming` would need about {_by_rate(looks)}."]
    expected = [round(calls * share_needed(judge, n, rate)) for rate in SUPPOSED_RATES]
    way = f"{judge.looks} looks" if judge.stopping == "obrien_fleming" else "a bet after each round"
    return [
        f"{against}, at most. With {way}, about {_by_rate(expected)} ({percent(TIES)} ties; against one half)."
    ]


def share_needed(judge: JudgeSpec, n: int, rate: float) -> float:
    """Which share of the pairs judging is expected to need at a true win rate."""
    if judge.stopping == "obrien_fleming":
        return expected_share(min(judge.looks, n), drift_of(n, rate))
    if judge.stopping == "e_process":
        return expected_betting_share(n, rate, TIES, min(ROUNDS, n))
    return 1.0


def drift_of(n: int, rate: float) -> float:
    """The expected z of n pairs against a win rate of one half."""
    spread = (1 - TIES - (2 * rate - 1) ** 2) / 4
    return (rate - 0.5) / math.sqrt(spread / n)


def _by_rate(calls: list[int]) -> str:
    told = [
        f"{n:,} at a true win rate of {percent(r)}"
        for n, r in zip(calls, SUPPOSED_RATES, strict=True)
    ]
    return f"{', '.join(told[:-1])} and {told[-1]}"
