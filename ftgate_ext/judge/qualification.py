"""Judgments -> whether this judge may vote: consistency over both orders, and position bias."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ftgate_ext.schema import Estimate, Judgment, Qualification
from ftgate_ext.stats.paired_binary import mcnemar_exact
from ftgate_ext.stats.proportion import clopper_pearson

if TYPE_CHECKING:
    from ftgate_ext.policy_judge import JudgeSpec

ALPHA = 0.05


def qualify(judgments: list[Judgment], spec: JudgeSpec) -> Qualification:
    """Measure the judge on its own verdicts.

    Args:
        judgments: All looks of one run, both orders of every pair.
        spec: The policy's thresholds.

    Returns:
        Consistency: the share of pairs with the same verdict in both orders, with its exact
        interval. First-position share: of the pairs whose verdict went with the position, how many
        preferred the first answer both times, with the p of a fair coin. The judge is fit if the
        95 % lower limit of consistency reaches the policy's threshold, positions show no bias, and
        few enough verdicts could not be read.
    """
    pairs: dict[tuple[str, ...], list[Judgment]] = {}
    for judgment in judgments:
        key = (judgment.task, judgment.baseline, judgment.doc_hash, judgment.case_id)
        pairs.setdefault(key, []).append(judgment)
    both = [p for p in pairs.values() if len(p) == 2]
    identical = sum(p[0].identical for p in both)
    judged = [p for p in both if not p[0].identical]
    readable = [p for p in judged if all(j.verdict != "unparsed" for j in p)]
    consistent = sum(p[0].verdict == p[1].verdict for p in readable)
    kinds = Counter(tuple(j.raw_verdict for j in p) for p in readable)
    first, second = kinds["A_better", "A_better"], kinds["B_better", "B_better"]
    position_p = mcnemar_exact(first, second) if first + second else None
    costs = [j.response.cost_usd for j in judgments if j.response]
    return Qualification(
        judge_model=spec.model, fingerprint=judgments[0].fingerprint if judgments else "",
        **_fitness(len(judged), len(readable), consistent, first, second, spec),
        n_pairs=len(both), n_identical=identical, n_unparsed=len(judged) - len(readable),
        consistency=_share(consistent, len(readable)), first_position_share=_share(first, first + second),
        first_position_p=position_p,
        cost_usd=sum(c for c in costs if c is not None) if costs and None not in costs else None,
    )  # fmt: skip


def _share(k: int, n: int) -> Estimate | None:
    if n == 0:
        return None
    limits = clopper_pearson(k, n)
    return Estimate(
        value=limits.value,
        lower=limits.lower,
        upper=limits.upper,
        level=limits.level,
        n=n,
        method=limits.method,
    )


def _fitness(
    judged: int, readable: int, consistent: int, first: int, second: int, spec: JudgeSpec
) -> dict[str, object]:
    reasons = []
    if first + second and mcnemar_exact(first, second) < ALPHA:
        side, count = ("first", first) if first > second else ("second", second)
        reasons.append(
            f"Position bias: in {count} of the {first + second} pairs whose verdict went with the position it preferred the {side} answer, whichever model wrote it."
        )
    if readable:
        lower = clopper_pearson(consistent, readable, 0.90).lower
        if lower < spec.min_consistency:
            reasons.append(
                f"Consistency: {consistent} of {readable} pairs were judged alike in both orders; the 95 % lower limit is {lower:.2f}, and {spec.min_consistency:.2f} is required."
            )
    unparsed = judged - readable
    if judged == 0:
        reasons.append("It was asked about no pair.")
    elif unparsed > spec.max_unparsed_share * judged:
        reasons.append(f"{unparsed} of {judged} pairs have a verdict that could not be read.")
    return {"fit": not reasons, "reasons": reasons}
