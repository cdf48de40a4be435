"""Labels of pairs by several experts -> how far they agree, and the pairs to talk about.

Nobody should ask more of a judge than labellers manage among themselves: their kappa is the ceiling.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from typing import TYPE_CHECKING

from ftgate_ext.evalset.agreement import (
    MOST_SHOWN,
    PairAgreement,
    kappa_of,
    kappa_words,
    plain_line,
)
from ftgate_ext.schema import EvalSetError, PairLabel, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

VERDICTS = ("candidate_better", "baseline_better", "tie", "both_bad")


class PairDisagreement(Row):
    """A pair that labellers see differently."""

    case_id: str
    baseline: str
    labels: list[PairLabel]


class PairLabelAgreement(Row):
    """What `ftgate evalset agreement` finds in labels of pairs."""

    labels: int
    pairs: int
    twice: int
    """Pairs with labels of two or more."""
    between: list[PairAgreement]
    disagreements: list[PairDisagreement]


def measure_pair_agreement(labels: Sequence[PairLabel]) -> PairLabelAgreement:
    """Cohen's kappa on the verdict for each two labellers, and where they differ.

    Raises:
        EvalSetError: There are no labels.
    """
    if not labels:
        raise EvalSetError(
            "no labels; label pairs first: ftgate label --pairs RUN --labeller NAME."
        )
    by_pair: dict[tuple[str, str, str], dict[str, PairLabel]] = defaultdict(dict)
    for label in labels:
        by_pair[label.baseline, label.case_id, label.pair_hash][label.labeller] = label
    common: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    differing = []
    for (baseline, case_id, _), said in sorted(by_pair.items()):
        for one, other in combinations(sorted(said), 2):
            common[one, other].append((said[one].verdict, said[other].verdict))
        told = [said[name] for name in sorted(said)]
        if len({label.verdict for label in told}) > 1:
            differing.append(PairDisagreement(case_id=case_id, baseline=baseline, labels=told))
    return PairLabelAgreement(
        labels=len(labels), pairs=len(by_pair), twice=sum(len(said) > 1 for said in by_pair.values()),
        between=[
            PairAgreement(
                labellers=names, cases=len(both), kappas=[kappa_of("verdict", VERDICTS, both)]
            )
            for names, both in sorted(common.items())
        ],
        disagreements=differing,
    )  # fmt: skip


def pair_agreement_text(found: PairLabelAgreement) -> str:
    """What `ftgate evalset agreement` prints of labels of pairs."""
    lines = [f"{found.labels} labels of {found.pairs} pairs, {found.twice} by two or more."]
    for pair in found.between:
        lines += ["", f"{' and '.join(pair.labellers)}, {pair.cases} pairs:"]
        lines += [kappa_words(one) for one in pair.kappas]
    if not found.between:
        lines.append("No two labellers have a pair in common: label with a higher --overlap.")
    if found.disagreements:
        lines += ["", f"{len(found.disagreements)} pairs that labellers see differently:"]
    for one in found.disagreements[:MOST_SHOWN]:
        said = ", ".join(f"{plain_line(x.labeller)} {x.verdict}" for x in one.labels)
        lines.append(f"  {plain_line(one.case_id)} against {one.baseline}: {said}")
    if len(found.disagreements) > MOST_SHOWN:
        lines.append(f"... and {len(found.disagreements) - MOST_SHOWN} more; --json lists all.")
    return "\n".join(lines)
