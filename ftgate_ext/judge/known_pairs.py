"""Pairs whose better answer is known: reading them, and the looks that a judge takes at them."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ftgate_ext.assets import asset_dir
from ftgate_ext.judge.pairwise import Look, Side
from ftgate_ext.schema import KnownPair, RunError

if TYPE_CHECKING:
    from pathlib import Path

KNOWN = "known pairs"
"""Stands as the task of every look at a known pair."""
AGAIN = "known pairs, again"
SHIPPED = ("judge", "pairs.jsonl")
LISTED = 5


@dataclass(frozen=True)
class KnownPairs:
    """A file of known pairs."""

    source: str
    sha256: str
    pairs: list[KnownPair]

    def first(self, limit: int | None) -> KnownPairs:
        """The first so many of them."""
        return KnownPairs(self.source, self.sha256, self.pairs[:limit])


def shipped_pairs() -> KnownPairs:
    """The 120 pairs that come with the package."""
    return load_known_pairs(asset_dir("golden").joinpath(*SHIPPED))


def load_known_pairs(path: Path) -> KnownPairs:
    """Read a file of pairs.

    Raises:
        RunError: It cannot be read, is empty, or a line is no pair; the first problems are listed.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); mend judge.qualification.") from None  # fmt: skip
    pairs, problems = [], []
    seen: set[str] = set()
    for number, line in enumerate(raw.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            pair = KnownPair.model_validate(json.loads(line))
            problem = f"id {pair.id!r} stands there twice" if pair.id in seen else ""
            seen.add(pair.id)
            pairs.append(pair)
        except ValidationError as error:
            first = error.errors()[0]
            problem = f"{'.'.join(map(str, first['loc'])) or 'pair'}: {first['msg'].removeprefix('Value error, ').lower()}"
        except (ValueError, RecursionError):
            problem = "not JSON"
        if problem:
            problems.append(f"{path}:{number}: {problem}")
    if problems or not pairs:
        told = "\n".join(problems[:LISTED]) or f"{path}: holds no pair"
        raise RunError(f"{told}; expected id, question, answer_a, answer_b and label, one JSON object a line.")  # fmt: skip
    return KnownPairs(path.name, hashlib.sha256(raw).hexdigest(), pairs)


def known_looks(pairs: list[KnownPair], seed: int, task: str = KNOWN) -> list[Look]:
    """Both orders of every pair; answer A plays the candidate, answer B the baseline."""
    looks = []
    for pair in pairs:
        orders: list[Side] = ["candidate", "baseline"]
        random.Random(f"{seed}:{pair.id}").shuffle(orders)
        case = hashlib.sha256(f"{pair.id}\0{pair.question}".encode("utf-8", "replace")).hexdigest()
        looks += [
            Look(task, "production", pair.id, case, pair.question, pair.answer_a, pair.answer_b, first, at)
            for at, first in enumerate(orders)
        ]  # fmt: skip
    return looks
