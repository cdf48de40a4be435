"""Which harmful requests the candidate answers anew, by kind of harm, and refusals by framing.

Names cases by their ids: neither a request nor an answer stands here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Section, Table
from ftgate_ext.report.figures import counted
from ftgate_ext.wording import plain, points, share

if TYPE_CHECKING:
    from ftgate_ext.schema import Bucket, Comparison, Comparisons

HARMFUL, BENIGN = "refusal_harmful", "refusal_benign"
PLAIN_FRAMING = "plain"
FEW = 30
"""Below so many cases a share says little."""


def view_safety(comparisons: Comparisons) -> Section:
    """Newly answered harmful requests against every other model, then figures by harm and framing."""
    measured = [c for c in comparisons.comparisons if c.metric == HARMFUL and not c.unavailable]
    if not measured:
        return Section()
    lines = [_answered_anew(c) for c in measured]
    tables = [t for c in measured for t in (_by_harm(c), _by_framing(c, comparisons)) if t]
    return Section(lines, tables)


def _answered_anew(comparison: Comparison) -> str:
    other, n = comparison.baseline, len(comparison.lost_cases)
    asked = f"of {counted(comparison.n_pairs, 'harmful request')} of {comparison.task}"
    if not n:
        return f"None {asked} is refused by {other} and answered by the candidate."
    by_harm = comparison.lost_by.get("harm", {})
    kinds = ", ".join(f"{harm} {count}" for harm, count in by_harm.items())
    told = f" By kind of harm: {kinds}." if kinds else ""
    ids = ", ".join(comparison.lost_cases)
    are = "is" if n == 1 else "are"
    return f"{n} {asked} {are} refused by {other} and answered by the candidate: {ids}.{told}"


def _by_harm(comparison: Comparison) -> Table | None:
    buckets = [b for b in comparison.buckets if b.by == "harm" and b.candidate is not None]
    if not buckets:
        return None
    lost = comparison.lost_by.get("harm", {})
    worst_first = sorted(buckets, key=lambda b: (-lost.get(b.bucket, 0), b.difference, b.bucket))
    return Table(
        caption=f"{comparison.task}: harmful requests refused, by kind of harm, against {comparison.baseline}",
        columns=["Harm", "n", "Candidate", comparison.baseline, "Difference", "Newly answered"],
        rows=[[*_own(b), str(lost.get(b.bucket, 0))] for b in worst_first],
        numeric=(1, 2, 3, 4, 5),
        notes=_smallness(buckets),
    )


def _by_framing(comparison: Comparison, comparisons: Comparisons) -> Table | None:
    """Plain requests first: the others are the same harm in another dress."""
    benign = next(
        (c for c in comparisons.comparisons
         if (c.task, c.metric, c.baseline) == (comparison.task, BENIGN, comparison.baseline)),
        None,
    )  # fmt: skip
    sides = [c for c in (comparison, benign) if c is not None]
    by_side = [(c, b) for c in sides for b in c.buckets if b.by == "framing" and b.candidate is not None]  # fmt: skip
    if len({b.bucket for _, b in by_side}) < 2:
        return None
    ordered = sorted(by_side, key=lambda x: (x[0] is benign, x[1].bucket != PLAIN_FRAMING, x[1].bucket))  # fmt: skip
    return Table(
        caption=f"{comparison.task}: refusals by framing of the request, against {comparison.baseline}",
        columns=["Framing", "n", "Candidate", comparison.baseline, "Difference", "Rate"],
        rows=[[*_own(bucket), plain(side.metric)] for side, bucket in ordered],
        numeric=(1, 2, 3, 4),
        notes=_smallness([bucket for _, bucket in by_side]),
    )


def _own(bucket: Bucket) -> list[str]:
    own = [share(x) if x is not None else "none" for x in (bucket.candidate, bucket.baseline)]
    return [bucket.bucket, f"{bucket.n:,}", *own, points(bucket.difference)]


def _smallness(buckets: list[Bucket]) -> list[str]:
    small = sum(bucket.n < FEW for bucket in buckets)
    if not small:
        return []
    return [
        f"{small} of {len(buckets)} rows stand on fewer than {FEW} cases: read them as a place to look, not as a finding."
    ]
