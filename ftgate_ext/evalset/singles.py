"""YAML sources whose items are rows already -> the shadow, regression, safety and format sets."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ftgate_ext.evalset.families import items_of
from ftgate_ext.evalset.near import NEAR, Shingles, jaccard, shingles
from ftgate_ext.evalset.rows import raise_problems
from ftgate_ext.evalset.schema import SetName, row_fields, row_problem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

OPTIONAL: dict[SetName, tuple[str, ...]] = {"format": ("schema", "format", "base")}
"""Keys that a source may leave out; the row then has null."""
SPREAD: dict[SetName, tuple[str, ...]] = {
    "shadow": ("language", "completeness"),
    "regression": ("language",),
    "safety": ("expect", "harm"),
    "format": (),
}
"""What to keep in balance where the sources hold more than is wanted."""
TEXT: dict[SetName, str] = {
    "golden": "code", "shadow": "request", "regression": "code", "safety": "prompt", "format": "prompt",
}  # fmt: skip
"""The field that a row asks about."""


def load_singles(name: SetName, paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Read the sources of a set.

    Raises:
        EvalSetError: Files or rows are broken; up to 20 problems are listed with file and line.
    """
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    for path, line, item in items_of(paths, problems):
        if not isinstance(item, dict):
            problems.append(f"{path}:{line}: found a {type(item).__name__}; expected a mapping")
            continue
        row = {"id": "x", "source": "authored"} | dict.fromkeys(OPTIONAL.get(name, ())) | item
        problem = row_problem(name, row)
        if problem:
            problems.append(f"{path}:{line}: {problem}")
        else:
            rows.append({key: row[key] for key in row_fields(name)})
    raise_problems(problems)
    return rows


@dataclass
class _Spread:
    """What is picked so far, by stratum and by text."""

    name: SetName
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    texts: dict[str, list[Shingles]] = field(default_factory=lambda: defaultdict(list))

    def is_new(self, row: dict[str, Any]) -> bool:
        """Whether no near-duplicate is picked; the rows of a safety pair may be alike."""
        mine, pair = shingles(str(row[TEXT[self.name]])), str(row.get("pair"))
        others = [
            o for key, sets in self.texts.items() for o in sets if key != pair or pair == "None"
        ]
        if any(jaccard(mine, other) > NEAR for other in others):
            return False
        self.texts[pair].append(mine)
        return True

    def behind(self, row: dict[str, Any], totals: Counter[tuple[str, str]]) -> float:
        """How much of the row's strata is picked, as a share of what there is; small is wanted."""
        keys = [(key, str(row[key])) for key in SPREAD[self.name]]
        return sum(self.counts[key] / totals[key] for key in keys)

    def add(self, row: dict[str, Any]) -> None:
        """Count a row as picked."""
        self.counts.update((key, str(row[key])) for key in SPREAD[self.name])


def pick_singles(
    name: SetName, rows: list[dict[str, Any]], wanted: int, seed: int
) -> list[dict[str, Any]]:
    """The rows of a set, shuffled and numbered, near-duplicates left out.

    Args:
        name: The set.
        rows: All rows of its sources.
        wanted: How many; fewer come back where there are fewer.
        seed: Decides the order, and which rows are picked where there are more.
    """
    spread = _Spread(name)
    left = [row for row in sorted(rows, key=lambda r: _order(r, seed)) if spread.is_new(row)]
    picked = left
    if len(left) > wanted:
        totals = Counter((key, str(row[key])) for row in left for key in SPREAD[name])
        picked = []
        while len(picked) < wanted:
            at = min(range(len(left)), key=lambda i: (spread.behind(left[i], totals), i))
            spread.add(left[at])
            picked.append(left.pop(at))
        picked.sort(key=lambda r: _order(r, seed))
    return [row | {"id": f"{name}-{n:04d}"} for n, row in enumerate(picked, start=1)]


def _order(row: dict[str, Any], seed: int) -> str:
    text = json.dumps(row, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(f"{seed}:{text}".encode()).hexdigest()
