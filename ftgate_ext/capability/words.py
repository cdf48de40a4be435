"""What is asked of every eval set, in one line each: a group of 57 tasks is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ftgate_ext.schema import EvalSetUse

HASH_CHARS = 12
MOST_NAMED = 3


def describe_uses(uses: Iterable[EvalSetUse]) -> list[str]:
    """A line for each eval set that can be asked, and a warning for each that cannot.

    Args:
        uses: As `describe_eval_sets` gives them.
    """
    entries: dict[str, list[EvalSetUse]] = {}
    for use in uses:
        entries.setdefault(use.group or use.task, []).append(use)
    return [line for name, members in entries.items() for line in _lines(name, members)]


def _lines(name: str, members: list[EvalSetUse]) -> list[str]:
    there = [use for use in members if not use.unavailable]
    absent = [use for use in members if use.unavailable]
    if not there:
        why = (absent[0].unavailable or "").rstrip(".")
        return [f"warning: eval set {name}: not at hand, so its rules will be INCONCLUSIVE ({why})"]
    lines = [f"eval set {name}: {_size(there)}{_origin(there)}"]
    if absent:
        named = [f"{u.task} ({(u.unavailable or '').rstrip('.')})" for u in absent[:MOST_NAMED]]
        more = f" and {len(absent) - MOST_NAMED} more" if len(absent) > MOST_NAMED else ""
        lines.append(f"warning: eval set {name}: goes on without {', '.join(named)}{more}")
    return lines


def _size(members: list[EvalSetUse]) -> str:
    asked = sum(use.limit or use.n_rows for use in members)
    whole = sum(use.n_rows for use in members)
    first = members[0]
    drawn = " drawn" if first.drawn and asked < whole else ""
    words = f"{asked:,} of {whole:,} cases{drawn}"
    if len(members) > 1:
        words += f" over {len(members)} tasks"
    if first.fewshot is not None:
        words += f", {first.fewshot} worked example{'s' if first.fewshot != 1 else ''}"
    if first.repeats > 1:
        words += f", each asked {first.repeats} times"
    if first.turns > 1:
        words += f", {first.turns} turns each, at the temperature that a row states, else 0"
    return words


def _origin(members: list[EvalSetUse]) -> str:
    """The hash of the data, where all of it is one file."""
    hashes = {use.sha256 for use in members}
    (only,) = hashes if len(hashes) == 1 else ("",)
    return f", sha256 {only[:HASH_CHARS]}" if only else ""
