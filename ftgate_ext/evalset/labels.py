"""Second labels beside an eval set -> how far they agree with the set's own.

`labels/*.jsonl` beside the set holds one object a line: `id`, `labeller`, `verdict`, `category`, and
`input_hash` where the label shall hold for exactly this input (see `input_hash`). Labels of other
sets and of inputs that have changed since are passed over and counted.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from ftgate_ext.schema import EvalSetError, Row

if TYPE_CHECKING:
    from collections.abc import Iterator
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


def input_hash(row: dict[str, Any]) -> str:
    """16 hex digits that change when what a labeller sees changes."""
    seen = json.dumps([row.get("purpose"), row.get("code")], ensure_ascii=False)
    return hashlib.sha256(seen.encode()).hexdigest()[:16]


def agreement_of(file: Path, rows: list[dict[str, Any]]) -> Agreement | None:
    """Compare the labels beside a set with its own; None where there are none.

    Raises:
        EvalSetError: A line of a label file is broken.
    """
    known = {row["id"]: row for row in rows if row.get("verdict")}
    pairs, outdated, labellers = [], 0, set()
    for label in _labels(file.parent / LABELS):
        row = known.get(label["id"])
        if row is None:
            continue
        if label.get("input_hash") not in {None, input_hash(row)}:
            outdated += 1
            continue
        labellers.add(str(label.get("labeller", "unnamed")))
        pairs.append((row, label))
    if not pairs:
        return None
    same = [row["verdict"] == label["verdict"] for row, label in pairs]
    both = [(r, x) for r, x in pairs if r["verdict"] == x["verdict"] == "defect"]
    right = [x.get("category") in {r["category"], *(r.get("also_accept") or [])} for r, x in both]
    return Agreement(
        labellers=sorted(labellers), cases=len({row["id"] for row, _ in pairs}),
        verdict_share=sum(same) / len(same), verdict_kappa=_kappa(pairs),
        category_share=sum(right) / len(right) if right else 0.0, outdated=outdated,
        disagreements=[row["id"] for (row, _), equal in zip(pairs, same, strict=True) if not equal][:20],
    )  # fmt: skip


def _kappa(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> float | None:
    from ftgate_ext.stats.agreement import cohens_kappa
    from ftgate_ext.stats.limits import NoLimits

    sides = ("defect", "clean")
    table = [
        [sum(r["verdict"] == a and x["verdict"] == b for r, x in pairs) for b in sides]
        for a in sides
    ]
    try:
        found = cohens_kappa(table)
    except ValueError:
        return None
    return found.value if isinstance(found, NoLimits) else found.limits.value


def _labels(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                label = json.loads(line)
            except json.JSONDecodeError as error:
                raise EvalSetError(f"{path}:{number}: not valid JSON ({error.msg}).") from None
            if not isinstance(label, dict) or not {"id", "verdict"} <= set(label):
                raise EvalSetError(f"{path}:{number}: expected an object with `id` and `verdict`.")
            yield label
