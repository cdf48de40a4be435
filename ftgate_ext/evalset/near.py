"""Texts -> near-duplicates: token shingles, Jaccard similarity, MinHash. Knows no rows."""

from __future__ import annotations

import re
import zlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

Shingles = frozenset[int]
"""32-bit hashes of all runs of `SHINGLE_TOKENS` tokens."""

SHINGLE_TOKENS = 5
NEAR = 0.8
"""Above this Jaccard similarity two inputs are near-duplicates."""
PERMUTATIONS, BANDS = 128, 32
"""A pair of similarity 0.8 shares one of 32 bands of 4 values with probability 1 - 5e-8."""
_PRIME = (1 << 61) - 1
_EMPTY = np.iinfo(np.uint32).max
_TOKEN = re.compile(r"\w+|[^\w\s]")


def tokens(text: str) -> list[str]:
    """Words, numbers and signs in lower case; layout does not count."""
    return _TOKEN.findall(text.lower())


def shingles(text: str, n: int = SHINGLE_TOKENS) -> Shingles:
    """Hashes (CRC-32, the same everywhere) of all runs of n tokens; a shorter text is one run."""
    found = tokens(text)
    runs = range(max(1, len(found) - n + 1))
    return frozenset(zlib.crc32("\x1f".join(found[i : i + n]).encode()) for i in runs)


def jaccard(one: Shingles, other: Shingles) -> float:
    """|A and B| / |A or B|."""
    both = len(one & other)
    return both / (len(one) + len(other) - both)


class ShingleIndex:
    """Texts that others must not overlap with."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._sizes: list[int] = []
        self._holders: dict[int, list[int]] = defaultdict(list)
        for place, text in enumerate(texts):
            found = shingles(text)
            self._sizes.append(len(found))
            for shingle in found:
                self._holders[shingle].append(place)

    def overlap(self, text: str) -> float:
        """The largest share of the smaller text's runs that one of the texts has in common."""
        mine = shingles(text)
        shared = Counter(place for shingle in mine for place in self._holders.get(shingle, ()))
        shares = (n / min(len(mine), self._sizes[place]) for place, n in shared.items())
        return max(shares, default=0.0)


@dataclass(frozen=True)
class NearPair:
    """Two texts, by position, and their similarity."""

    first: int
    second: int
    similarity: float


def minhash(found: Shingles, seed: int = 1) -> NDArray[np.uint32]:
    """MinHash signature (Broder 1997): the share of equal values estimates the Jaccard similarity.

    Args:
        found: Shingles of one text.
        seed: Of the hash functions h(x) = (a x + b) mod p; equal for all texts that are compared.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    # Below 2**29, so that a x + b stays within 64 bits for 32-bit x.
    a = rng.integers(1, 1 << 29, PERMUTATIONS, dtype=np.uint64)
    b = rng.integers(0, 1 << 60, PERMUTATIONS, dtype=np.uint64)
    values = np.fromiter(sorted(found), dtype=np.uint64, count=len(found))
    hashed = (values[:, None] * a + b) % np.uint64(_PRIME)
    mixed = (hashed ^ (hashed >> np.uint64(29))) & np.uint64(_EMPTY)
    return np.asarray(mixed.min(axis=0), dtype=np.uint32)


def near_pairs(texts: Sequence[str], above: float = NEAR) -> list[NearPair]:
    """All pairs of texts whose similarity is above a mark.

    Candidates share a band of their MinHash signatures; their Jaccard similarity is then computed
    exactly, so nothing is reported by chance.
    """
    sets = [shingles(text) for text in texts]
    seen: dict[tuple[int, bytes], list[int]] = {}
    candidates: set[tuple[int, int]] = set()
    for position, found in enumerate(sets):
        signature = minhash(found)
        for band in _bands(signature):
            for other in seen.setdefault(band, []):
                candidates.add((other, position))
            seen[band].append(position)
    pairs = (NearPair(i, j, jaccard(sets[i], sets[j])) for i, j in sorted(candidates))
    return [pair for pair in pairs if pair.similarity > above]


def _bands(signature: NDArray[np.uint32]) -> Iterator[tuple[int, bytes]]:
    for number, band in enumerate(signature.reshape(BANDS, -1)):
        yield number, band.tobytes()
