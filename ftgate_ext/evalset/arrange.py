"""Cases of families -> the golden set: balanced, without near-duplicates, the same for a seed."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from ftgate_ext.evalset.cases import BuiltCase, cases_of
from ftgate_ext.evalset.near import NEAR, ShingleIndex, jaccard
from ftgate_ext.evalset.schema import Category, Form

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.evalset.families import Family

CATEGORIES: tuple[str, ...] = get_args(Category)
DEFECT_SHARE = 2 / 3
LEAST_PER_CATEGORY_SHARE = 0.05
"""Of the whole set: 50 defects of every category among 1000 rows."""
LANGUAGE_SHARES = {
    "python": 0.60, "javascript": 0.12, "sql": 0.08, "go": 0.07, "java": 0.07, "shell": 0.06,
}  # fmt: skip
OTHER_LANGUAGE_SHARE = 0.03
MOST_ALSO_ACCEPTED = 0.17
"""Share of the defects that may accept one and the same further category. With the tenth that is its
own, a constant answer then scores an F1 of about 0.2."""
TIER_SHARES = {"easy": 0.3, "medium": 0.4, "hard": 0.3}

MOST_SHARED = 0.5
"""Share of its runs of five tokens that a case may have in common with a text of another set."""

Place = tuple[str, int, Form]


@dataclass
class _Picked:
    """What is in the set so far."""

    cases: list[BuiltCase] = field(default_factory=list)
    by_family: dict[str, list[BuiltCase]] = field(default_factory=lambda: defaultdict(list))
    counts: Counter[str] = field(default_factory=Counter)

    def fits(self, case: BuiltCase, twin: BuiltCase | None = None) -> bool:
        """Whether a case is no near-duplicate of one of its family other than its twin."""
        return all(
            other is twin or jaccard(case.shingles, other.shingles) <= NEAR
            for other in self.by_family[case.family.family]
        )

    def add(self, case: BuiltCase) -> None:
        """Put a case in."""
        self.cases.append(case)
        self.by_family[case.family.family].append(case)
        if case.defect:
            self.counts.update(_strata(case))


def _strata(case: BuiltCase) -> list[str]:
    family = case.family
    return [
        family.language, family.tier, f"family {family.family}",
        f"skin {family.family} {case.skin_number}", f"{family.language} {_category(case)}",
        f"kind {family.family} {case.defect_number}",
        *(f"accepts {category}" for category in (case.defect.also_accept if case.defect else [])),
    ]  # fmt: skip


def _category(case: BuiltCase) -> str:
    return case.defect.category if case.defect else ""


def pick_golden(
    families: Sequence[Family], rows: int, seed: int, elsewhere: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The rows of the golden set, shuffled and numbered; see `pick_golden_cases`."""
    return [row for _, row in pick_golden_cases(families, rows, seed, elsewhere)]


def pick_golden_cases(
    families: Sequence[Family], rows: int, seed: int, elsewhere: Sequence[str] = ()
) -> list[tuple[BuiltCase, dict[str, Any]]]:
    """The cases of the golden set with their rows.

    Args:
        families: Where the cases come from.
        rows: How many are wanted; fewer come back where the families do not hold as many.
        seed: Decides which cases are picked, and their order.
        elsewhere: Texts of other sets; a case that shares much with one is not picked.
    """
    taken = ShingleIndex(elsewhere)
    every = [
        case
        for family in families
        for case in cases_of(family)
        if taken.overlap(case.shown.text) < MOST_SHARED
    ]
    every.sort(key=lambda c: c.order(seed))
    picked = _Picked()
    _pick_defects(picked, [c for c in every if c.defect], round(rows * DEFECT_SHARE))
    right = {c.place: c for c in every if c.defect is None}
    twins = _pick_twins(picked, right, rows - len(picked.cases))
    ordered = sorted(picked.cases, key=lambda c: c.order(seed + 1))
    ids = {id(case): f"golden-{n:04d}" for n, case in enumerate(ordered, start=1)}
    return [(case, _numbered(case, ids, twins)) for case in ordered]


def _numbered(case: BuiltCase, ids: dict[int, str], twins: dict[int, BuiltCase]) -> dict[str, Any]:
    row: dict[str, Any] = {"id": ids[id(case)]}
    for key, value in case.row().items():
        if key == "length":
            row["twin"] = ids[id(twins[id(case)])] if id(case) in twins else None
        row[key] = value
    return row


def _pick_defects(picked: _Picked, candidates: list[BuiltCase], wanted: int) -> None:
    """The category that is furthest behind takes the case that its strata need most."""
    left: dict[str, list[BuiltCase]] = {c: [] for c in CATEGORIES}
    for case in candidates:
        left[_category(case)].append(case)
    taken: Counter[str] = Counter()
    while len(picked.cases) < wanted:
        open_categories = [c for c in CATEGORIES if left[c]]
        if not open_categories:
            return
        category = min(open_categories, key=lambda c: taken[c])
        place = min(
            range(len(left[category])),
            key=lambda i: (*_need(picked.counts, left[category][i], wanted), i),
        )
        case = left[category].pop(place)
        if picked.fits(case):
            picked.add(case)
            taken[category] += 1


def _need(counts: Counter[str], case: BuiltCase, wanted: int) -> tuple[float, ...]:
    """Smaller is more wanted: a new skin first, then languages, kinds of defects and tiers behind."""
    family = case.family
    share = LANGUAGE_SHARES.get(family.language, OTHER_LANGUAGE_SHARE)
    language = counts[family.language] / (share * wanted)
    tier = counts[family.tier] / (TIER_SHARES[family.tier] * wanted)
    accepts = case.defect.also_accept if case.defect else []
    return (
        any(counts[f"accepts {c}"] >= MOST_ALSO_ACCEPTED * wanted for c in accepts),
        counts[f"skin {family.family} {case.skin_number}"] + (language >= 1),
        counts[f"kind {family.family} {case.defect_number}"],
        language + tier,
        counts[f"family {family.family}"],
    )


def _pick_twins(
    picked: _Picked, right: dict[Place, BuiltCase], wanted: int
) -> dict[int, BuiltCase]:
    """Right versions of picked defects, spread evenly over languages, categories and tiers.

    Returns:
        id() of a case -> its twin, both ways.
    """
    twins: dict[int, BuiltCase] = {}
    used: set[Place] = set()
    ordered = sorted(picked.cases, key=lambda c: (c.family.language, _category(c), c.family.tier))
    while wanted > 0:
        open_cases = [c for c in ordered if c.place not in used and c.place in right]
        open_cases = [c for c in open_cases if picked.fits(right[c.place], c)]
        if not open_cases:
            break
        n = min(wanted, len(open_cases))
        for i, case in enumerate(open_cases):
            clean = right[case.place]
            chosen = (i + 1) * n // len(open_cases) > i * n // len(open_cases)
            if chosen and case.place not in used and picked.fits(clean, case):
                picked.add(clean)
                used.add(case.place)
                twins |= {id(case): clean, id(clean): case}
                wanted -= 1
    return twins
