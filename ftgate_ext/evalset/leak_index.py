"""Texts of eval cases -> an index through which training rows stream. Knows no files.

A word that no case has gets the number 0, and a run of eight words with such a word can be no case's:
most of a training row is dismissed by array arithmetic before a string is compared. The index is
exact: unlike MinHash of the cases it overlooks nothing above the thresholds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

import numpy as np

from ftgate_ext.evalset.near import SHINGLE_TOKENS, jaccard, shingles, tokens
from ftgate_ext.evalset.plain_words import plain_text, plain_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ftgate_ext.schema import LeakWay

    Ids = NDArray[np.int64]
    Grams = NDArray[np.uint64]

GRAM_WORDS = 8
FEWEST_GRAMS = 8
"""Cases with fewer 8-grams (under 15 words) are found whole only."""
MOST_SHARING_CASES = 20
"""An 8-gram that more cases of one set share is the set's own boilerplate."""
CANDIDATE_SHARE = 0.1
"""From this share of its 8-grams on, a case is compared with the row itself."""
NEAR_SHARE = 0.25
"""Near and reworded cases share so many grams that are no boilerplate: an instruction alone is none."""
_FACTOR = 0x9E3779B97F4A7C15
_FILTER_BITS = 22


@dataclass(frozen=True)
class EvalText:
    """What of a case is looked for: its code, request, prompt or question."""

    set: str
    id: str
    text: str
    doc_hash: str | None = None


@dataclass(frozen=True)
class Thresholds:
    """From when on a case counts as leaked."""

    containment: float = 0.6
    near: float = 0.7
    reworded: float = 0.85
    boilerplate: float = 0.01
    """8-grams that more than this share of the training rows hold do not count."""


@dataclass(frozen=True)
class Hit:
    """One case in one training row."""

    row: int
    case: int
    way: LeakWay
    score: float


@dataclass(frozen=True)
class LeakIndex:
    """The cases, ready for training rows."""

    cases: list[EvalText]
    vocabulary: dict[str, int]
    """Word -> number, from 1."""
    grams: Grams
    """Hashes of the cases' 8-grams, sorted."""
    starts: Ids
    """Per gram, and one more: where its cases begin in `holders`."""
    holders: Ids
    n_grams: Ids
    """Per case."""
    whole: dict[str, list[int]]
    """Words of a case that is too short for 8-grams -> its cases."""
    present: NDArray[np.bool_]
    """Quick look: whether any gram begins with these bits."""
    boilerplate: NDArray[np.bool_]
    """Per gram: too many training rows hold it."""
    n_own: Ids = field(default_factory=lambda: np.zeros(0, np.int64))
    """Per case: 8-grams that are no boilerplate."""


def build_index(cases: Sequence[EvalText]) -> LeakIndex:
    """Index the cases' texts; nothing is boilerplate yet."""
    vocabulary: dict[str, int] = {}
    found: list[Grams] = []
    whole: dict[str, list[int]] = {}
    for number, case in enumerate(cases):
        words = plain_words(case.text)
        for word in words:
            vocabulary.setdefault(word, len(vocabulary) + 1)
        if len(words) < GRAM_WORDS:
            whole.setdefault(" ".join(words), []).append(number)
            words = []
        ids = np.fromiter((vocabulary[w] for w in words), np.int64, len(words))
        found.append(np.unique(gram_hashes(ids)))
    whole.pop("", None)
    kept = _without_set_boilerplate(cases, found)
    grams, holders, starts = _postings(kept)
    present = np.zeros(1 << _FILTER_BITS, dtype=np.bool_)
    present[_leading_bits(grams)] = True
    n = np.array([len(k) for k in kept], dtype=np.int64)
    none = np.zeros(len(grams), dtype=np.bool_)
    return LeakIndex(list(cases), vocabulary, grams, starts, holders, n, whole, present, none, n)


def gram_hashes(ids: Ids) -> Grams:
    """64-bit hashes of all runs of eight word numbers, in order; empty for fewer words."""
    n = len(ids) - GRAM_WORDS + 1
    if n <= 0:
        return np.zeros(0, dtype=np.uint64)
    # Numbers of words are small; spread them over 64 bits before they are added up.
    mixed = ids.astype(np.uint64) * np.uint64(_FACTOR)
    mixed ^= mixed >> np.uint64(29)
    total = np.zeros(n, dtype=np.uint64)
    for position in range(GRAM_WORDS):
        total *= np.uint64(0xBF58476D1CE4E5B9)
        total += mixed[position : position + n]
    hashed: Grams = total ^ (total >> np.uint64(31))
    return hashed


def _without_set_boilerplate(cases: Sequence[EvalText], found: list[Grams]) -> list[Grams]:
    """Drop what many cases of a set share, but leave every case its four rarest grams."""
    shared: dict[str, Counter[int]] = {}
    for case, grams in zip(cases, found, strict=True):
        shared.setdefault(case.set, Counter()).update(grams.tolist())
    kept = []
    for case, grams in zip(cases, found, strict=True):
        holders = np.array([shared[case.set][g] for g in grams.tolist()], dtype=np.int64)
        own = holders <= MOST_SHARING_CASES
        own[np.argsort(holders, kind="stable")[:4]] = True
        kept.append(grams[own])
    return kept


def _postings(kept: list[Grams]) -> tuple[Grams, Ids, Ids]:
    """Distinct grams, the cases that hold them in gram order, and where each gram's begin."""
    all_grams = np.concatenate([*kept, np.zeros(0, np.uint64)])
    owners = np.repeat(np.arange(len(kept)), [len(k) for k in kept])
    order = np.argsort(all_grams, kind="stable")
    grams, first = np.unique(all_grams[order], return_index=True)
    return grams, owners[order], np.append(first, len(order)).astype(np.int64)


def _leading_bits(grams: Grams) -> Ids:
    bits: Ids = (grams >> np.uint64(64 - _FILTER_BITS)).astype(np.int64)
    return bits


class RowsInWords:
    """Training rows as numbers of words, row after row, ready to be looked up."""

    def __init__(self, index: LeakIndex) -> None:
        self.index = index
        self.texts: list[tuple[str, ...]] = []
        self.whole: list[tuple[int, int]] = []
        """Row and case where a short message is a short case."""
        self._ids: list[int] = []
        self._lengths: list[int] = []

    def add(self, texts: tuple[str, ...]) -> None:
        """Append a row of one or more messages."""
        before, look_up = len(self._ids), self.index.vocabulary.get
        for text in texts:
            words = plain_words(text)
            if len(words) < GRAM_WORDS:
                for case in self.index.whole.get(" ".join(words), ()):
                    self.whole.append((len(self.texts), case))
            self._ids += [look_up(word, 0) for word in words]
            self._ids.append(0)  # no run of words goes from one message into the next
        self._lengths.append(len(self._ids) - before)
        self.texts.append(texts)

    def known_grams(self) -> tuple[Ids, Ids]:
        """Row and position in `index.grams` of every 8-gram of a row that a case has; each once."""
        index = self.index
        ids = np.array(self._ids, dtype=np.int64)
        hashes = gram_hashes(ids)
        strange = np.concatenate([[0], np.cumsum(ids == 0)])
        at = np.flatnonzero(strange[GRAM_WORDS:] == strange[: len(hashes)])
        at = at[index.present[_leading_bits(hashes[at])]]
        where = np.searchsorted(index.grams, hashes[at])
        inside = where < len(index.grams)
        at, where = at[inside], where[inside]
        same = index.grams[where] == hashes[at]
        rows = np.searchsorted(np.cumsum(self._lengths), at[same], side="right")
        pairs = np.unique(rows * np.int64(max(1, len(index.grams))) + where[same])
        return np.divmod(pairs, max(1, len(index.grams)))


def candidates(index: LeakIndex, rows: Ids, grams: Ids) -> tuple[Ids, Ids, NDArray[np.float64]]:
    """Pairs of row and case worth a closer look, with the share of the case's own grams.

    Args:
        index: The cases.
        rows: From `RowsInWords.known_grams`.
        grams: Likewise.
    """
    n = index.starts[grams + 1] - index.starts[grams]
    before = np.cumsum(n) - n
    at = np.arange(int(n.sum())) - np.repeat(before, n) + np.repeat(index.starts[grams], n)
    pairs = np.repeat(rows, n) * len(index.cases) + index.holders[at]
    distinct, which = np.unique(pairs, return_inverse=True)
    held = np.bincount(which, minlength=len(distinct))
    own = np.bincount(which, ~np.repeat(index.boilerplate[grams], n), minlength=len(distinct))
    row, case = np.divmod(distinct, len(index.cases))
    share = own / np.maximum(index.n_own[case], 1)
    share[index.n_own[case] < FEWEST_GRAMS] = 0.0
    worth = ((share >= CANDIDATE_SHARE) & (own >= 2)) | (held == index.n_grams[case])
    return row[worth], case[worth], share[worth]


def find_hits(index: LeakIndex, rows: RowsInWords, thresholds: Thresholds) -> list[Hit]:
    """The cases that stand in the rows, each pair once and in the strongest way."""
    hits = [_whole_hit(index, rows, row, case) for row, case in dict.fromkeys(rows.whole)]
    words: dict[int, str] = {}
    row_numbers, case_numbers, shares = candidates(index, *rows.known_grams())
    for row, case, share in zip(
        row_numbers.tolist(), case_numbers.tolist(), shares.tolist(), strict=True
    ):
        texts, text = rows.texts[row], index.cases[case].text
        if row not in words:
            words[row] = "\n".join(f" {' '.join(plain_words(t))} " for t in texts)
        if any(text.strip() in t for t in texts):
            hits.append(Hit(row, case, "exact", 1.0))
        elif f" {' '.join(plain_words(text))} " in words[row]:
            hits.append(Hit(row, case, "normalised", 1.0))
        elif share >= thresholds.containment:
            hits.append(Hit(row, case, "ngram", share))
        elif share >= NEAR_SHARE:
            likeness = max((compare(text, t) for t in texts), key=lambda found: found.jaccard)
            if likeness.jaccard >= thresholds.near:
                hits.append(Hit(row, case, "near", likeness.jaccard))
            elif (aligned := likeness.aligned()) >= thresholds.reworded:
                hits.append(Hit(row, case, "reworded", aligned))
    return sorted(hits, key=lambda hit: (hit.row, hit.case))


def _whole_hit(index: LeakIndex, rows: RowsInWords, row: int, case: int) -> Hit:
    same = index.cases[case].text.strip() in {text.strip() for text in rows.texts[row]}
    return Hit(row, case, "exact" if same else "normalised", 1.0)


@dataclass(frozen=True)
class Likeness:
    """A case, and the stretch of a text that is as long and most like it."""

    case: list[str]
    """Tokens, signs included, without comments and line numbers."""
    stretch: list[str]
    jaccard: float
    """Jaccard similarity of their runs of five tokens."""

    def aligned(self) -> float:
        """Share of the tokens that stand in both in the same order (Ratcliff and Metzener 1988).

        A renamed identifier breaks five shingles wherever it stands, but one token only.
        """
        return SequenceMatcher(None, self.case, self.stretch, autojunk=False).ratio()


def compare(case: str, text: str) -> Likeness:
    """Find the case's likeness in a text; instructions around it do not lower the similarity."""
    wanted, found = tokens(plain_text(case)), tokens(plain_text(text))
    have = shingles(" ".join(wanted))
    if len(found) > len(wanted):
        runs = len(found) - SHINGLE_TOKENS + 1
        near = [shingles(" ".join(found[i : i + SHINGLE_TOKENS])) <= have for i in range(runs)]
        sums = np.concatenate([[0], np.cumsum(near)])
        width = max(1, len(wanted) - SHINGLE_TOKENS + 1)
        at = int(np.argmax(sums[width:] - sums[:-width]))
        found = found[at : at + len(wanted)]
    return Likeness(wanted, found, jaccard(have, shingles(" ".join(found))))
