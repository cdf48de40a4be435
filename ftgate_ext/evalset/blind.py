"""Two answers put to somebody blind: names that tell nothing, an order for each of them, what may be said.

Knows no run, no terminal and no page.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_NOTE = 4000


def digest(*words: str) -> str:
    """sha256 of some words, as hex digits."""
    return hashlib.sha256("\0".join(words).encode(errors="replace")).hexdigest()


def is_candidate_first(asked: str, key: str) -> bool:
    """Whether this person sees the candidate's answer first; looks random and never changes."""
    return int(digest("order", asked, key)[:8], 16) % 2 == 1


def read_verdict(told: dict[str, str], choices: Sequence[str]) -> dict[str, Any]:
    """What somebody typed -> verdict and note.

    Args:
        told: verdict, one of the choices; note.
        choices: What may be said.

    Raises:
        ValueError: One line that says what was found and expected.
    """
    verdict = told.get("verdict", "")
    if verdict not in choices:
        raise ValueError(f"verdict: found {verdict[:20]!r}; expected one of {', '.join(choices)}.")
    note = told.get("note", "").strip() or None
    if note and len(note) > MAX_NOTE:
        raise ValueError(f"note: {len(note)} characters; expected at most {MAX_NOTE}.")
    return {"verdict": verdict, "note": note}
