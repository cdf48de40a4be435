"""Manifest -> the tables of the data cards. The prose around them is written by hand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftgate_ext.evalset.versions import SetManifest

BEGIN, END = "<!-- counts: written by `ftgate evalset build` -->", "<!-- end of counts -->"
_LISTED = 30


def counts_block(described: SetManifest) -> str:
    """The counts of a set in Markdown, between two marks."""
    lines = [BEGIN, f"**Rows** {described.rows}"]
    if described.clusters:
        lines[-1] += f" in {described.clusters} clusters"
    lines[-1] += f"; version {described.version}; sha256 `{described.sha256[:16]}`."
    lines += ["", "| field | rows |", "|---|---|"]
    for field, counts in described.counts.items():
        shown = [f"{value} {n}" for value, n in list(counts.items())[:_LISTED]]
        if len(counts) > _LISTED:
            shown.append(f"and {len(counts) - _LISTED} more values")
        lines.append(f"| {field} | {', '.join(shown)} |")
    return "\n".join([*lines, END])


def with_counts(card: str, described: SetManifest) -> str:
    """A data card with its counts brought up to date; a card without marks stays as it is."""
    return re.sub(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}",
        lambda _: counts_block(described),
        card,
        flags=re.DOTALL,
    )
