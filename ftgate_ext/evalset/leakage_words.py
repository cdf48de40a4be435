"""What leaked, in a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftgate_ext.schema import Leakage

MAX_SHOWN = 50


def leakage_text(found: Leakage) -> str:
    """What `ftgate evalset leakage` prints."""
    rows = sum(file.rows for file in found.training)
    lines = [
        f"{rows:,} training rows of {len(found.training)} files against {sum(s.cases for s in found.sets):,} eval cases.",
        "",
        f"{'set':28} {'cases':>6} {'leaked':>7} {'exact':>6} {'normalised':>11} {'8-grams':>8} {'near':>5} {'reworded':>9} {'whole only':>11}",
    ]
    for one in found.sets:
        exact, normalised, ngram, near, reworded = one.ways.values()
        lines.append(
            f"{one.set:28} {one.cases:6} {one.leaked:7} {exact:6} {normalised:11} {ngram:8} {near:5} {reworded:9} {one.whole_only:11}"
        )
    lines.append("")
    if found.cases:
        lines.append(f"{'case':24} {'way':11} {'score':>5} {'rows':>5}  strongest row")
    for case in found.cases[:MAX_SHOWN]:
        at = case.places[0]
        lines.append(
            f"{case.id:24} {case.way:11} {case.score:5.2f} {case.rows:5}  {at.file}:{at.line}"
        )
    if len(found.cases) > MAX_SHOWN:
        lines.append(f"... and {len(found.cases) - MAX_SHOWN} more; --json lists all.")
    lines.append(
        f"8-grams: at least {found.containment:.0%} of the case's own; near: Jaccard of 5-token shingles at least {found.near:g}; reworded: {found.reworded:.0%} of its tokens in order. {found.boilerplate_grams} 8-grams are boilerplate of the training rows (counted in {found.sampled_rows:,}) and did not count."
    )
    return "\n".join(lines)
