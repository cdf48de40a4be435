"""Many failures of one kind -> the few that show best what the kind is.

Texts are compared by the cosine of their counts of three bytes in a row. Chosen is what covers the others best:
greedily, the text that adds most to the sum over all texts of the similarity to the nearest chosen one
(facility location; the greedy choice reaches 63 % of the best, Nemhauser, Wolsey and Fisher 1978,
Mathematical Programming 14, 265-294). The first one is the medoid; the next ones speak for what it does not.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
Array = np.ndarray[Any, Any]

RESERVOIR = 30
"""So many failures of a kind are kept to choose from, however many there are."""
CELLS = 509
"""Triples of bytes are counted modulo this prime."""
COMPARED_CHARS = 400


class Reservoir(Generic[T]):
    """A uniform random sample of a stream of unknown length (Vitter 1985, algorithm R)."""

    def __init__(self, seed: str, size: int = RESERVOIR) -> None:
        """Begin empty; the same seed and stream keep the same items."""
        self.items: list[T] = []
        self._draw = random.Random(seed)
        self._size = size
        self._seen = 0

    def offer(self, make: Callable[[], T]) -> None:
        """Let one more item pass; it is made only if it is kept."""
        self._seen += 1
        if len(self.items) < self._size:
            self.items.append(make())
            return
        place = self._draw.randrange(self._seen)
        if place < self._size:
            self.items[place] = make()


def choose_typical(texts: Sequence[str], groups: Sequence[str | None], most: int = 3) -> list[int]:
    """The places of the most typical texts, the medoid first.

    Args:
        texts: Failures of one kind.
        groups: Per text what it belongs to; each group is shown once, as long as there are others.
        most: How many to choose.
    """
    if not texts:
        return []
    counts = np.stack([_trigrams(text) for text in texts])
    alike = counts @ counts.T
    covered = np.zeros(len(texts))
    chosen: list[int] = []
    while len(chosen) < min(most, len(texts)):
        taken = {groups[i] for i in chosen}
        open_ = [i for i in range(len(texts)) if i not in chosen]
        fresh = [i for i in open_ if groups[i] is None or groups[i] not in taken]
        gains = np.maximum(alike[fresh or open_], covered).sum(axis=1)
        # Rounded: equally typical texts are taken in their order on every machine.
        best = (fresh or open_)[int(np.argmax(np.round(gains, 9)))]
        chosen.append(best)
        covered = np.maximum(covered, alike[best])
    return chosen


def _trigrams(text: str) -> Array:
    """Counts of three bytes in a row, of length 1; zeros for a text that is too short."""
    octets = text[:COMPARED_CHARS].lower().encode(errors="replace")
    b = np.frombuffer(octets, np.uint8).astype(np.int64)
    if len(b) < 3:
        return np.zeros(CELLS)
    codes = (b[:-2] * 65536 + b[1:-1] * 256 + b[2:]) % CELLS
    counts = np.bincount(codes, minlength=CELLS).astype(float)
    return np.asarray(counts / np.linalg.norm(counts))
