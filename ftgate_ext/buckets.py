"""Paired scores -> what single cases and buckets of cases say: who is right where, what was lost.

Knows arrays, settings and the types on disk; no records, no rules.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ftgate_ext.paired_estimates import estimate_difference
from ftgate_ext.pairing import PairedScores
from ftgate_ext.schema import Bucket

if TYPE_CHECKING:
    from ftgate_ext.settings import Settings

Array = np.ndarray[Any, Any]


def count_outcomes(
    pairs: PairedScores, case_ids: list[str], *, higher_is_better: bool
) -> dict[str, Any]:
    """Pass/fail by the majority of a case's repeats: who is right where, and what was lost.

    Half of the repeats is no majority: such a case is not right.
    """
    a, b = pairs.left[:, 0], pairs.right[:, 0]
    left, right = (x > 0.5 if higher_is_better else x >= 0.5 for x in (a, b))
    lost = (right & ~left) if higher_is_better else (left & ~right)
    fell = (a < b if higher_is_better else a > b) & ~lost
    return {
        "counts": {
            "both": int((left & right).sum()), "only_candidate": int((left & ~right).sum()),
            "only_baseline": int((right & ~left).sum()), "neither": int((~left & ~right).sum()),
        },
        "lost_cases": [case_ids[i] for i in np.flatnonzero(lost)],
        "pass_rate_drops": {
            case_ids[i]: [float(a[i]), float(b[i])] for i in np.flatnonzero(fell)
        },
    }  # fmt: skip


def count_lost(
    lost: list[str], case_ids: list[str], labels: dict[str, list[str | None] | None]
) -> dict[str, dict[str, int]]:
    """How the lost cases spread over the values of fields.

    Args:
        lost: Ids of cases.
        case_ids: Per request of the candidate.
        labels: Field -> its value per request; None where no row has it.
    """
    kept = set(lost)
    found = {}
    for name, values in labels.items():
        if values is not None:
            of = {
                i: v for i, v in zip(case_ids, values, strict=True) if i in kept and v is not None
            }
            found[name] = dict(sorted(Counter(of.values()).items(), key=lambda x: (-x[1], x[0])))
    return found


def compare_buckets(
    labels: list[str | None] | None,
    pairs: PairedScores,
    clusters: Array | None,
    by: str,
    settings: Settings,
) -> list[Bucket]:
    """The difference in each bucket of an eval set.

    Args:
        labels: Per request of the candidate: its bucket; None where no row says it.
        pairs: Scores of the cases.
        clusters: Per case, or None.
        by: The field that makes the buckets.
        settings: Resamples, seed and level.
    """
    if labels is None:
        return []
    of_case = np.array([labels[i] for i in pairs.requests], dtype=object)
    found = []
    for name in sorted({label for label in of_case if label is not None}):
        inside = of_case == name
        part = PairedScores(
            pairs.kind, pairs.left[inside], pairs.right[inside], pairs.requests[inside],
            pairs.repeats, pairs.is_pass_fail, 0,
        )  # fmt: skip
        sub = clusters[inside] if clusters is not None else None
        found.append(compare_bucket(by, name, part, sub, settings))
    return found


def compare_bucket(
    by: str, name: str, part: PairedScores, clusters: Array | None, settings: Settings
) -> Bucket:
    """The difference in the cases of one bucket; clusters count only where cases share one."""
    if clusters is not None and len(np.unique(clusters)) == len(clusters):
        clusters = None
    difference = estimate_difference(
        part.kind or "mean", part.left, part.right, clusters, settings, settings.alphas(""),
        is_pass_fail=part.is_pass_fail, extra_tests=False,
    )  # fmt: skip
    bucket = Bucket(
        by=by, bucket=name, n=len(part.left), difference=difference.estimate.value,
        standard_error=difference.standard_error,
    )  # fmt: skip
    if part.kind != "f1":
        own = {"candidate": float(part.left.mean()), "baseline": float(part.right.mean())}
        bucket = bucket.model_copy(update=own)
    if part.kind != "binary" or clusters is not None:
        return bucket
    a, b = part.left[:, 0], part.right[:, 0]
    return bucket.model_copy(update={"gained": int((a > b).sum()), "lost": int((a < b).sum())})
