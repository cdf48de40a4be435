"""Paired cases -> failures by input length, subtype, difficulty, source, language and error type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ftgate_ext.estimates import estimate_level
from ftgate_ext.findings.collect import FIELDS, MOST_VALUES
from ftgate_ext.findings.pairs import correct, difference_of
from ftgate_ext.schema import BucketRate, BucketTable

if TYPE_CHECKING:
    from ftgate_ext.findings.pairs import CasePairs
    from ftgate_ext.pairing import Kind
    from ftgate_ext.schema import Estimate
    from ftgate_ext.settings import Settings

Array = np.ndarray[Any, Any]

LENGTH = "input length"
BY = (LENGTH, *(name for name in FIELDS if name != "severity"))
LENGTH_BUCKETS = 4
LEAST_CASES = 10
"""Smaller buckets are summed."""
SMALLER = "smaller ones"
MOST_MEMBERS = 1000


@dataclass(frozen=True)
class _Bucket:
    name: str
    mask: Array
    members: tuple[str, ...] = ()


def tabulate_buckets(found: CasePairs, settings: Settings) -> list[BucketTable]:
    """One table a property; p values are corrected for all buckets of the task together.

    A property that all cases share, or that no row states, has no rows and says why.
    """
    tables = []
    for by in BY:
        buckets = _lengths(found) if by == LENGTH else _of_field(found, by)
        table = BucketTable(task=found.task, metric=found.metric, reference=found.reference, by=by)
        if isinstance(buckets, str):
            tables.append(table.model_copy(update={"absent": buckets}))
            continue
        rows = [_rate(found, bucket, settings) for bucket in buckets]
        tables.append(table.model_copy(update={"rows": rows}))
    adjusted = iter(correct([row.p for table in tables for row in table.rows]))
    tested = sum(row.p is not None for table in tables for row in table.rows)
    for table in tables:
        table.rows = [row.model_copy(update={"p_holm": next(adjusted)}) for row in table.rows]
        table.n_tested = tested
    return tables


def _of_field(found: CasePairs, by: str) -> list[_Bucket] | str:
    values = found.mine.failures.fields.get(by)
    if values is None or not values.names:
        return f"no row says it (fields {', '.join(FIELDS[by])})"
    if len(values.names) > MOST_VALUES:
        return f"more than {MOST_VALUES:,} different values"
    codes = np.frombuffer(values.codes, np.int32)[found.rows]
    names = list(values.names)
    sizes = np.bincount(codes[codes >= 0], minlength=len(names))
    present = [(int(n), i) for i, n in enumerate(sizes) if n]
    if len(present) < 2:
        return f"all cases are {names[present[0][1]]}" if present else "no compared case says it"
    present.sort(key=lambda x: (-x[0], names[x[1]]))
    large = [i for n, i in present if n >= LEAST_CASES]
    small = [i for n, i in present if n < LEAST_CASES]
    if not large:
        return f"none of its {len(small):,} values has {LEAST_CASES} cases"
    buckets = [_Bucket(names[i], codes == i) for i in large]
    if small:
        told = tuple(names[i] for i in small[:MOST_MEMBERS])
        buckets.append(_Bucket(SMALLER, np.isin(codes, small), told))
    return buckets


def _lengths(found: CasePairs) -> list[_Bucket] | str:
    """Quarters of the cases by the length of their prompts; fewer parts where they would be small."""
    chars = np.frombuffer(found.mine.failures.chars, np.int32)[found.rows]
    parts = min(LENGTH_BUCKETS, len(chars) // LEAST_CASES)
    if parts < 2:
        return f"{len(chars)} cases are too few for two buckets of {LEAST_CASES}"
    cuts = np.unique(np.quantile(chars, np.arange(1, parts) / parts, method="lower"))
    cuts = cuts[cuts < chars.max()]
    if not len(cuts):
        return f"all prompts have {int(chars.max()):,} characters"
    place = np.searchsorted(cuts, chars, side="left")
    buckets = []
    for i in np.unique(place):
        inside = place == i
        if inside.sum() < LEAST_CASES:  # many prompts of one length
            return f"the lengths of the {len(chars)} prompts make no two buckets of {LEAST_CASES}"
        low, high = int(chars[inside].min()), int(chars[inside].max())
        buckets.append(_Bucket(f"{low:,} to {high:,} characters", inside))
    return buckets


def _rate(found: CasePairs, bucket: _Bucket, settings: Settings) -> BucketRate:
    inside, repeats = bucket.mask, found.pairs.repeats
    mine, other = 1 - found.share[inside], 1 - found.reference_share[inside]
    clusters = None if found.clusters is None else found.clusters[inside]
    if clusters is not None and len(np.unique(clusters)) == len(clusters):
        clusters = None
    difference = difference_of(mine, other, clusters, settings, found.task, repeats=repeats)
    masks = found.masks()
    return BucketRate(
        bucket=bucket.name, n=int(inside.sum()),
        failed=_level(mine, clusters, settings, found.task, repeats),
        reference_failed=_level(other, clusters, settings, found.task, repeats),
        difference=difference.estimate, no_interval=difference.no_interval,
        p=difference.tests[0].p if difference.tests else None, members=list(bucket.members),
        fixed=int((masks["fixed"] & inside).sum()), broken=int((masks["broken"] & inside).sum()),
    )  # fmt: skip


def _level(
    values: Array, clusters: Array | None, settings: Settings, task: str, repeats: int
) -> Estimate:
    kind: Kind = "binary" if repeats == 1 else "mean"
    return estimate_level(
        kind, values[:, None], clusters, settings, settings.alphas(task), is_pass_fail=True
    ).estimate  # fmt: skip
