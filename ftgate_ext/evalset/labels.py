"""Second labels beside an eval set -> how far they agree with the set's own.

`labels/*.jsonl` beside the set holds what labellers said, as `ftgate evalset label` writes it. Labels of
other sets are passed over, labels of code that has changed since are counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftgate_ext.evalset.label import Label, code_hash, read_labels
from ftgate_ext.schema import Row

if TYPE_CHECKING:
    from pathlib import Path

LABELS = "labels"


class Agreement(Row):
    """How far independent labels agree with those of a set."""

    labellers: list[str]
    cases: int
    """Rows with at least one second label."""
    verdict_share: float
    verdict_kappa: float | None
    """Cohen's kappa of the verdict; None where it cannot be computed."""
    category_share: float
    """Of the defects that both see: the second category is the first or an accepted one."""
    outdated: int
    """Labels whose input has changed."""
    disagreements: list[str]
    """Ids, at most 20."""


def agreement_of(file: Path, rows: list[dict[str, Any]]) -> Agreement | None:
    """Compare the labels beside a set with its own; None where there are none.

    Raises:
        EvalSetError: A line of a label file is broken.
    """
    known = {row["id"]: row for row in rows if row.get("verdict")}
    pairs, outdated = [], 0
    for label in read_labels(sorted((file.parent / LABELS).glob("*.jsonl"))):
        row = known.get(label.case)
        if row is not None and label.code_sha256 == code_hash(row["code"]):
            pairs.append((row, label))
        elif row is not None:
            outdated += 1
    if not pairs:
        return None
    same = [row["verdict"] == label.verdict for row, label in pairs]
    both = [(r, x) for r, x in pairs if r["verdict"] == x.verdict == "defect"]
    right = [x.category in {r["category"], *(r.get("also_accept") or [])} for r, x in both]
    return Agreement(
        labellers=sorted({label.labeller for _, label in pairs}), cases=len({row["id"] for row, _ in pairs}),
        verdict_share=sum(same) / len(same), verdict_kappa=_kappa(pairs),
        category_share=sum(right) / len(right) if right else 0.0, outdated=outdated,
        disagreements=[row["id"] for (row, _), equal in zip(pairs, same, strict=True) if not equal][:20],
    )  # fmt: skip


def _kappa(pairs: list[tuple[dict[str, Any], Label]]) -> float | None:
    from ftgate_ext.stats.agreement import cohens_kappa
    from ftgate_ext.stats.limits import NoLimits

    sides = ("defect", "clean")
    table = [
        [sum(r["verdict"] == a and x.verdict == b for r, x in pairs) for b in sides] for a in sides
    ]
    try:
        found = cohens_kappa(table)
    except ValueError:
        return None
    return found.value if isinstance(found, NoLimits) else found.limits.value
