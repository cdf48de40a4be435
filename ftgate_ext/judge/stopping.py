"""Judge pairs in a random order, and stop as soon as the win rate is decided.

Rounds of pairs in, judgments and a record out. The order follows from the seed and the pairs alone and
known answers are not asked again, so that a resumed run takes the same looks. Knows no endpoint.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftgate_ext.policy_rules import WinRate, plain_rules
from ftgate_ext.runs import load_rows, write_text
from ftgate_ext.schema import StoppingLook, StoppingRecord
from ftgate_ext.stats.early_stopping import betting_win_rate, repeated_win_rate
from ftgate_ext.winrate import SCORES, pair_verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from ftgate_ext.judge.pairwise import Look
    from ftgate_ext.policy import Policy
    from ftgate_ext.schema import Judgment, PairVerdict, Role, StoppingMethod
    from ftgate_ext.stats.limits import Limits

    Pair = list[Look]

STOPPING = "judge_stopping.jsonl"
ROUNDS = 40
"""In how many rounds at most a method that may look at any time gets the pairs."""
FEWEST_A_ROUND = 10
"""Pairs: smaller rounds leave a server idle between them."""
LEVEL = 0.95


@dataclass(frozen=True)
class StoppingPlan:
    """When judging may end before all pairs are judged."""

    method: StoppingMethod
    looks: int
    """How many `obrien_fleming` takes."""
    thresholds: tuple[float, ...]
    """The win rates that the limits must leave out."""
    seed: int


def stopping_plan(policy: Policy, baseline: Role) -> StoppingPlan | None:
    """What the policy says about the pairs against one model; None where all are to be judged."""
    judge = policy.judge
    if judge is None or judge.stopping == "none":
        return None
    thresholds = {0.5}
    rules = [
        r for r in plain_rules(policy.rules) if isinstance(r, WinRate) and r.against == baseline
    ]
    if rules:
        # A test against one half has a say in `significant`; the others look at their limit alone.
        halves = {0.5 for r in rules if r.evidence == "significant"}
        thresholds = {r.threshold for r in rules} | halves
    return StoppingPlan(judge.stopping, judge.looks, tuple(sorted(thresholds)), policy.run.seed)


def judge_until_decided(
    looks: Iterable[Look],
    judge_batch: Callable[[list[Look]], list[Judgment]],
    plan: StoppingPlan,
) -> tuple[list[Judgment], StoppingRecord]:
    """Judge round after round until the limits of the win rate leave out every threshold.

    Args:
        looks: All looks at the pairs against one model, both orders of each.
        judge_batch: Judges some looks; gets both orders of a pair together.
        plan: When to stop.

    Returns:
        The judgments, in the order of judging, and what was seen at each look.

    Raises:
        ValueError: No looks, or looks at pairs against several models.
    """
    pairs = shuffled_pairs(looks, plan.seed)
    kinds = {(pair[0].task, pair[0].baseline) for pair in pairs}
    if len(kinds) != 1:
        raise ValueError(f"looks at {len(kinds)} kinds of pairs: expected those against one model")
    task, baseline = kinds.pop()
    ends = _round_ends(len(pairs), plan)
    judgments: list[Judgment] = []
    taken: list[StoppingLook] = []
    decided, done = False, 0
    for number, end in enumerate(ends, start=1):
        judgments += judge_batch([look for pair in pairs[done:end] for look in pair])
        done = end
        taken.append(_look_at(judgments, number, done, len(ends), plan))
        decided = _leaves_out(taken[-1], plan.thresholds)
        if decided:
            break
    return judgments, StoppingRecord(
        task=task, baseline=baseline, method=plan.method, n_planned=len(pairs), n_judged=done,
        looks_planned=len(ends) if plan.method == "obrien_fleming" else None,
        thresholds=list(plan.thresholds), decided=decided, looks=taken,
    )  # fmt: skip


def judge_by_plan(
    looks: Sequence[Look], judge_batch: Callable[[list[Look]], list[Judgment]], policy: Policy
) -> tuple[list[Judgment], list[StoppingRecord]]:
    """Judge the pairs against each model in turn, as far as the policy wants it.

    Args:
        looks: Both orders of every pair, against one model or several.
        judge_batch: Judges some looks.
        policy: Says whether judging may stop early, and what is to be decided.

    Returns:
        All judgments; a record for each model whose pairs could be stopped.
    """
    judgments: list[Judgment] = []
    records = []
    for task, baseline in dict.fromkeys((look.task, look.baseline) for look in looks):
        mine = [look for look in looks if (look.task, look.baseline) == (task, baseline)]
        plan = stopping_plan(policy, baseline)
        if plan is None:
            judgments += judge_batch(mine)
            continue
        judged, record = judge_until_decided(mine, judge_batch, plan)
        judgments += judged
        records.append(record)
    return judgments, records


def write_stopping(run_dir: Path, records: Sequence[StoppingRecord]) -> None:
    """Write the records beside the judgments; no file where nothing could stop early."""
    if records:
        lines = (record.model_dump_json(exclude_none=True) + "\n" for record in records)
        write_text(run_dir / STOPPING, "".join(lines))
    else:
        (run_dir / STOPPING).unlink(missing_ok=True)


def load_stopping(run_dir: Path) -> list[StoppingRecord]:
    """Where judging ended early or could have; empty for a run in which all pairs were judged."""
    return load_rows(run_dir / STOPPING, StoppingRecord)


def shuffled_pairs(looks: Iterable[Look], seed: int) -> list[Pair]:
    """Looks, pair by pair, in an order that only the seed and the pairs' own texts decide."""
    pairs: dict[tuple[str, str, str], Pair] = {}
    for look in looks:
        pairs.setdefault((look.task, look.doc_hash, look.case_id), []).append(look)

    def place(item: tuple[tuple[str, str, str], Pair]) -> str:
        words = f"{seed}\0{item[1][0].baseline}\0" + "\0".join(item[0])
        return hashlib.sha256(words.encode(errors="replace")).hexdigest()

    return [pair for _, pair in sorted(pairs.items(), key=place)]


def _round_ends(n: int, plan: StoppingPlan) -> list[int]:
    """After how many pairs one looks."""
    if plan.method == "obrien_fleming":
        looks = min(plan.looks, n)
        return [math.ceil(n * k / looks) for k in range(1, looks + 1)]
    step = max(FEWEST_A_ROUND, math.ceil(n / ROUNDS))
    return [min(n, end) for end in range(step, n + step, step)]


def _look_at(
    judgments: Sequence[Judgment], number: int, done: int, looks: int, plan: StoppingPlan
) -> StoppingLook:
    verdicts = list(pair_verdicts(list(judgments)).values())
    counts = Counter(verdict for verdict in verdicts if verdict in SCORES)
    unparsed = len(verdicts) - counts.total()
    if not counts:
        return StoppingLook(number=number, n_judged=done, n_unparsed=unparsed)
    limits = _limits(counts, number, looks, plan)
    return StoppingLook(
        number=number, n_judged=done, n_unparsed=unparsed, win_rate=limits.value,
        lower=limits.lower, upper=limits.upper,
    )  # fmt: skip


def _limits(counts: Counter[PairVerdict], number: int, looks: int, plan: StoppingPlan) -> Limits:
    wins, losses = counts["candidate_better"], counts["baseline_better"]
    ties = counts["tie"] + counts["both_bad"]
    if plan.method == "obrien_fleming":
        return repeated_win_rate(wins, losses, ties, number, looks, LEVEL)
    return betting_win_rate(wins, losses, ties, LEVEL)


def _leaves_out(look: StoppingLook, thresholds: Sequence[float]) -> bool:
    if look.lower is None or look.upper is None:
        return False
    return all(not look.lower <= threshold <= look.upper for threshold in thresholds)
