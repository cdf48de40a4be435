"""A judge's verdicts -> as many drawn anew, with a true win rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ftgate_ext.schema import NO_VERDICT

if TYPE_CHECKING:
    from ftgate_ext.schema import PairVerdict


def draw_verdicts(
    counts: dict[PairVerdict, int], rng: np.random.Generator
) -> dict[PairVerdict, int]:
    """As many pairs, drawn with replacement, each exchanged or not: wins and losses are as likely."""
    n = sum(counts.values())
    decided = (counts.get("candidate_better", 0) + counts.get("baseline_better", 0)) / 2
    others: list[PairVerdict] = ["tie", "both_bad", "unparsed", "failed"]
    names: list[PairVerdict] = ["candidate_better", "baseline_better", *others]
    chances = np.array([decided, decided, *(counts.get(v, 0) for v in others)]) / n
    return dict(zip(names, map(int, rng.multinomial(n, chances)), strict=True))


def plant_rate(
    drawn: dict[PairVerdict, int], counts: dict[PairVerdict, int], rate: float, seed: int
) -> dict[PairVerdict, int]:
    """Turn losses into wins until the true rate is reached, then ties as well."""
    planted, rng = dict(drawn), np.random.default_rng(seed)
    n = sum(count for verdict, count in counts.items() if verdict not in NO_VERDICT)
    wanted = (rate - 0.5) * n
    decided = counts.get("candidate_better", 0) + counts.get("baseline_better", 0)
    losses, level = decided / 2, counts.get("tie", 0) + counts.get("both_bad", 0)
    from_losses = min(1.0, wanted / losses) if losses else 0.0
    rest = wanted - from_losses * losses
    from_level = min(1.0, 2 * rest / level) if level and rest > 0 else 0.0
    shares: list[tuple[PairVerdict, float]] = [
        ("baseline_better", from_losses), ("tie", from_level), ("both_bad", from_level)
    ]  # fmt: skip
    for verdict, share in shares:
        turned = int(rng.binomial(planted[verdict], share)) if share > 0 else 0
        planted[verdict] -= turned
        planted["candidate_better"] += turned
    return planted
