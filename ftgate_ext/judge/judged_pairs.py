"""Judgments and human labels -> one row a pair: what the judge said, and what humans said of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ftgate_ext.winrate import SCORES, pair_verdicts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.schema import Comparison, Judgment, PairLabel, PairVerdict


@dataclass(frozen=True)
class JudgedPair:
    """One pair with a readable verdict, and what humans said of it."""

    doc_hash: str
    verdict: PairVerdict
    is_identical: bool
    longer_by: int | None
    """Candidate's answer minus the other's, in characters."""
    human: float | None
    """Mean of its labels, 1 a win of the candidate; None where nobody labelled it."""
    human_verdicts: tuple[PairVerdict, ...]
    chance: float | None

    @property
    def judged(self) -> float:
        """The judge's verdict as a number."""
        return SCORES[self.verdict]


def pairs_of(
    row: Comparison, judgments: Sequence[Judgment], labels: Sequence[PairLabel]
) -> tuple[list[JudgedPair], int]:
    """The readable pairs of a comparison, and how many labels are of answers that have changed."""
    mine = [j for j in judgments if (j.task, j.baseline) == (row.task, row.baseline)]
    said: dict[tuple[str, str], dict[str, PairLabel]] = {}
    about: list[PairLabel] = []
    for label in sorted(labels, key=lambda label: label.at):
        if (label.task, label.baseline) == (row.task, row.baseline):
            about.append(label)
            said.setdefault((label.doc_hash, label.case_id), {})[label.labeller] = label
    chances = _chances(about)
    pairs, outdated = [], 0
    first = {(j.doc_hash, j.case_id): j for j in reversed(mine)}
    for (_, _, case), verdict in pair_verdicts(mine).items():
        look = first[case]
        fresh = [x for x in said.get(case, {}).values() if x.pair_hash == look.pair_hash]
        outdated += len(said.get(case, {})) - len(fresh)
        if verdict not in SCORES:
            continue
        known = look.candidate_chars is not None and look.baseline_chars is not None
        pairs.append(JudgedPair(
            doc_hash=look.doc_hash, verdict=verdict, is_identical=look.identical,
            longer_by=(look.candidate_chars or 0) - (look.baseline_chars or 0) if known else None,
            human=float(np.mean([SCORES[x.verdict] for x in fresh])) if fresh else None,
            human_verdicts=tuple(x.verdict for x in fresh),
            chance=chances.get(fresh[0].stratum) if fresh else None,
        ))  # fmt: skip
    return pairs, outdated


def _chances(labels: Sequence[PairLabel]) -> dict[str | None, float]:
    """Stratum -> chance to be drawn. Where more was drawn later, the larger draw holds the smaller."""
    found: dict[str | None, float] = {}
    for label in labels:
        if label.chance is not None:
            found[label.stratum] = max(label.chance, found.get(label.stratum, 0.0))
    return found
