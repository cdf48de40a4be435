"""What the judge showed -> whether it may vote, and why not. Knows no endpoint and no files."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ftgate_ext.judge.anchors import check_anchors
from ftgate_ext.judge.canaries import read_canaries
from ftgate_ext.judge.figures import ONE_SIDED, measure_known
from ftgate_ext.schema import Estimate, Judgment, Qualification
from ftgate_ext.settings import to_estimate
from ftgate_ext.stats.paired_binary import mcnemar_exact
from ftgate_ext.stats.proportion import clopper_pearson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.judge.examine import Examined
    from ftgate_ext.judge.known_pairs import KnownPairs
    from ftgate_ext.policy_judge import JudgeSpec
    from ftgate_ext.schema import CanaryResult, KnownPairFigures

ALPHA = 0.05
KNOWN_WORDS = " on pairs with a known better answer"


def qualify(
    judgments: list[Judgment],
    spec: JudgeSpec,
    examined: Examined | None = None,
    known: KnownPairs | None = None,
) -> Qualification:
    """Measure the judge on its own verdicts and on its examination.

    Args:
        judgments: All looks of one run, both orders of every pair; none before a run is judged.
        spec: The policy's thresholds.
        examined: The judge's answers to its examination, where there was one.
        known: The pairs that were asked there.

    Returns:
        Consistency: the share of pairs with the same verdict in both orders, with its exact
        interval. First-position share: of the pairs whose verdict went with the position, how many
        preferred the first answer both times, with the p of a fair coin. The judge is fit if it
        agrees with known labels and with itself as well as the policy asks, positions show no bias,
        few enough verdicts could not be read, no trap won, and its anchors did not drift.
    """
    everything = [*judgments, *(examined.all if examined else [])]
    counts = _Pairs(judgments)
    costs = [j.response.cost_usd for j in everything if j.response]
    found = Qualification(
        judge_model=spec.model, fingerprint=everything[0].fingerprint if everything else "",
        fit=False, reasons=[], family=spec.family,
        n_pairs=counts.n, n_identical=counts.identical, n_unparsed=counts.unparsed, n_failed=counts.failed,
        n_repaired=sum(j.repaired for j in everything), n_calls=len(costs),
        problems=dict(Counter(j.problem for j in everything if j.problem).most_common()),
        consistency=_share(counts.consistent, counts.readable),
        first_position_share=_share(counts.first, counts.first + counts.second),
        first_position_p=mcnemar_exact(counts.first, counts.second) if counts.first + counts.second else None,
        cost_usd=sum(c for c in costs if c is not None) if costs and None not in costs else None,
    )  # fmt: skip
    reasons: list[str] = []
    if examined is not None and known is not None:
        found.known = measure_known(known, examined.known, spec.family)
        found.canaries = read_canaries(examined.canaries)
        found.anchors = check_anchors(examined.anchors, examined.known, examined.again)
        reasons += examination_reasons(found, spec)
    if judgments or examined is None:
        reasons += counts.reasons(spec)
    return found.model_copy(update={"fit": not reasons, "reasons": reasons})


def examination_reasons(found: Qualification, spec: JudgeSpec) -> list[str]:
    """Why the judge failed its examination, the gravest first; none if it passed."""
    reasons = _canary_reasons(found.canaries)
    if found.known is not None:
        reasons += _known_reasons(found.known, spec)
    drift = found.anchors
    if drift is not None and drift.drifted:
        reasons.append(
            f"Drift: {drift.n_changed} of {drift.n_looks} anchor verdicts are other than at the qualification, {drift.n_changed_before} would be the judge's usual wavering (p = {drift.p:.3f}); it is not the same judge any more."
        )
    return reasons


def _canary_reasons(canaries: Sequence[CanaryResult]) -> list[str]:
    won = Counter(c.kind for c in canaries if c.won)
    reasons = []
    if won:
        kinds = ", ".join(won)
        reasons.append(
            f"Traps: it preferred {won.total()} of {len(canaries)} worthless or manipulating answers to a good one ({kinds})."
        )
    silent = sum("none" in c.outcomes for c in canaries)
    if silent * 2 > len(canaries):
        reasons.append(f"Traps: it gave no readable verdict on {silent} of {len(canaries)}.")
    return reasons


def _known_reasons(known: KnownPairFigures, spec: JudgeSpec) -> list[str]:
    reasons = []
    missing = known.n_unparsed + known.n_failed
    if known.n_pairs == 0:
        return ["It was asked about no pair whose better answer is known."]
    if missing > spec.max_unparsed_share * known.n_pairs:
        reasons.append(
            _budget_reason(missing, known.n_pairs, known.n_failed, " with a known better answer")
        )
    readable = known.n_pairs - missing
    if readable and (known.kappa_lower is None or known.kappa_lower < spec.min_kappa):
        right = known.agreement.value if known.agreement else 0.0
        reasons.append(
            f"Agreement: its verdict is the known one in {right:.0%} of {readable} pairs{_kappa_words(known)}, and {spec.min_kappa:.2f} is required."
        )
    first = next((b for b in known.biases if b.name == "first_position"), None)
    if first and first.estimate and first.p is not None and first.p < ALPHA:
        n, share = first.estimate.n, first.estimate.value
        reasons.append(_position_reason(round(n * share), n, KNOWN_WORDS))
    if known.consistency and readable:
        consistent = round(known.consistency.value * readable)
        reasons += _consistency_reasons(consistent, readable, spec, KNOWN_WORDS)
    return reasons


def _kappa_words(known: KnownPairFigures) -> str:
    if known.kappa is None:
        return "; beyond chance there is nothing to measure"
    if known.kappa_lower is None:
        return f"; Cohen's kappa is {known.kappa.value:.2f} without a lower limit"
    return f"; Cohen's kappa is {known.kappa.value:.2f}, its 95 % lower limit {known.kappa_lower:.2f}"  # fmt: skip


class _Pairs:
    """Both looks at each pair of a run, counted."""

    def __init__(self, judgments: Sequence[Judgment]) -> None:
        pairs: dict[tuple[str, ...], list[Judgment]] = {}
        for judgment in judgments:
            key = (judgment.task, judgment.baseline, judgment.doc_hash, judgment.case_id)
            pairs.setdefault(key, []).append(judgment)
        both = [p for p in pairs.values() if len(p) == 2]
        judged = [p for p in both if not p[0].identical]
        readable = [p for p in judged if not any(j.problem or _is_open(j) for j in p)]
        kinds = Counter(tuple(j.raw_verdict for j in p) for p in readable)
        self.n, self.identical, self.judged = len(both), len(both) - len(judged), len(judged)
        self.readable = len(readable)
        self.failed = sum(any(j.verdict == "failed" for j in p) for p in judged)
        self.unparsed = len(judged) - len(readable) - self.failed
        self.consistent = sum(p[0].verdict == p[1].verdict for p in readable)
        self.first, self.second = kinds["A_better", "A_better"], kinds["B_better", "B_better"]

    def reasons(self, spec: JudgeSpec) -> list[str]:
        """Why a judge with these verdicts may not vote."""
        reasons = []
        if self.first + self.second and mcnemar_exact(self.first, self.second) < ALPHA:
            reasons.append(_position_reason(self.first, self.first + self.second))
        if self.readable:
            reasons += _consistency_reasons(self.consistent, self.readable, spec)
        missing = self.unparsed + self.failed
        if self.judged == 0:
            reasons.append("It was asked about no pair.")
        elif missing > spec.max_unparsed_share * self.judged:
            reasons.append(_budget_reason(missing, self.judged, self.failed))
        return reasons


def _is_open(judgment: Judgment) -> bool:
    return judgment.verdict in ("unparsed", "failed")


def _share(k: int, n: int) -> Estimate | None:
    return to_estimate(clopper_pearson(k, n)) if n else None


def _position_reason(first: int, n: int, where: str = "") -> str:
    side, count = ("first", first) if 2 * first > n else ("second", n - first)
    return f"Position bias{where}: in {count} of the {n} pairs whose verdict went with the position it preferred the {side} answer, whoever wrote it."


def _consistency_reasons(consistent: int, n: int, spec: JudgeSpec, where: str = "") -> list[str]:
    lower = clopper_pearson(consistent, n, ONE_SIDED).lower
    if lower >= spec.min_consistency:
        return []
    return [
        f"Consistency{where}: {consistent} of {n} pairs were judged alike in both orders; the 95 % lower limit is {lower:.2f}, and {spec.min_consistency:.2f} is required."
    ]


def _budget_reason(missing: int, n: int, failed: int, which: str = "") -> str:
    requests = f" (of {failed} a request failed)" if failed else ""
    return f"{missing} of {n} pairs{which} have a verdict that could not be read{requests}."
