"""Which eval cases stand in the training data, and which training data was searched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Section, Table
from ftgate_ext.report.figures import counted, listed, short_hash
from ftgate_ext.wording import percent, share

if TYPE_CHECKING:
    from ftgate_ext.schema import Leakage, LeakedCase, SetLeaks

NAMED_CASES = 20
WAYS = {
    "exact": "word for word", "normalised": "but for case and spaces", "ngram": "its 8-grams",
    "near": "nearly the same text", "reworded": "the same tokens in order",
}  # fmt: skip
NOT_SEARCHED = "Not checked: the policy names no training data, so nobody knows whether the candidate was trained on these cases. Name it in gate.yaml, or look with `ftgate evalset check`."


def view_leakage(leakage: Leakage | None) -> Section:
    """Leaked cases by eval set, the cases themselves, and the files that were searched."""
    if leakage is None:
        return Section([NOT_SEARCHED])
    n, of = sum(s.leaked for s in leakage.sets), sum(s.cases for s in leakage.sets)
    rows = counted(sum(f.rows for f in leakage.training), "training row")
    stand = "stands" if n == 1 else "stand"
    found = f"{n:,} of {of:,} cases {stand}" if n else f"None of {of:,} cases stands"
    line = f"{found} in the {rows} of {counted(len(leakage.training), 'file')}."
    ways = f"A case counts as leaked from {percent(leakage.containment)} of its 8-grams in one training row, from a similarity of {percent(leakage.near)}, or from {percent(leakage.reworded)} of its tokens in the same order."
    left_out = ["Leaked cases are left out of every figure and rule here."] if n else []
    tables = [_sets(leakage.sets), _cases(leakage.cases), _training(leakage)]
    return Section([line, *left_out, ways], [t for t in tables if t.rows])


def _sets(sets: list[SetLeaks]) -> Table:
    return Table(
        caption="Leaked cases by eval set",
        columns=["Eval set", "Cases", "Leaked", "How", "Found only as a whole"],
        rows=[
            [
                s.set, f"{s.cases:,}", f"{s.leaked:,}",
                ", ".join(f"{WAYS[way]} {n:,}" for way, n in s.ways.items() if n) or "none",
                f"{s.whole_only:,}",
            ]
            for s in sets
        ],
        numeric=(1, 2, 4),
    )  # fmt: skip


def _cases(cases: list[LeakedCase]) -> Table:
    shown = cases[:NAMED_CASES]
    more = len(cases) - len(shown)
    return Table(
        caption="Leaked cases",
        columns=["Eval set", "Case", "How", "Share", "Training rows", "Where"],
        rows=[
            [
                c.set, c.id, WAYS[c.way], share(c.score), f"{c.rows:,}",
                listed((f"{p.file}:{p.line}" for p in c.places), most=3),
            ]
            for c in shown
        ],
        numeric=(3, 4),
        notes=[f"And {more:,} more, in leakage.json."] if more else [],
    )  # fmt: skip


def _training(leakage: Leakage) -> Table:
    return Table(
        caption="Training data that was searched",
        columns=["File", "Rows", "sha256"],
        rows=[[f.file, f"{f.rows:,}", short_hash(f.sha256)] for f in leakage.training],
        numeric=(1,),
    )
