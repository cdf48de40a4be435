"""Near-duplicates: shingles, Jaccard similarity and MinHash."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK

from ftgate_ext.evalset.near import (
    BANDS,
    PERMUTATIONS,
    ShingleIndex,
    jaccard,
    minhash,
    near_pairs,
    shingles,
)

WORDS = st.lists(
    st.sampled_from(["alpha", "beta", "gamma", "delta", "eps", "zeta", "eta", "theta"]), max_size=30
)


def test_layout_and_case_do_not_count() -> None:
    """Two texts with the same tokens are the same."""
    assert shingles("if a:\n    Return(b)") == shingles("IF a : return ( B )")


def test_a_short_text_is_one_run() -> None:
    """Fewer tokens than a run has still make a text that equals only itself."""
    assert len(shingles("a b")) == 1
    assert jaccard(shingles("a b"), shingles("a c")) == 0


def test_jaccard_of_a_worked_example() -> None:
    """Seven tokens make three runs; a new last token leaves two of four."""
    one, other = shingles("a b c d e f g"), shingles("a b c d e f h")
    assert jaccard(one, other) == 2 / 4


@given(WORDS, WORDS)
@QUICK
def test_jaccard_is_symmetric_and_one_for_equals(one: list[str], other: list[str]) -> None:
    """It lies in [0, 1], does not know first from second, and is 1 for a text and itself."""
    a, b = shingles(" ".join(one)), shingles(" ".join(other))
    assert jaccard(a, b) == jaccard(b, a)
    assert 0 <= jaccard(a, b) <= 1
    assert jaccard(a, a) == 1


def test_minhash_estimates_the_similarity() -> None:
    """The share of equal values is near the Jaccard similarity (Broder 1997)."""
    words = [f"w{i}" for i in range(300)]
    other = words[:240] + [f"v{i}" for i in range(60)]
    one, two = shingles(" ".join(words)), shingles(" ".join(other))
    estimate = float(np.mean(minhash(one) == minhash(two)))
    assert estimate == pytest.approx(jaccard(one, two), abs=4 * (0.25 / PERMUTATIONS) ** 0.5)


def test_signatures_are_the_same_everywhere() -> None:
    """A signature is a fixed function of the text: no hash seed, no order of a set."""
    assert minhash(shingles("alpha beta gamma delta eps zeta"))[:3].tolist() == [
        1550103836,
        764445487,
        275815539,
    ]


def test_every_planted_pair_is_found_and_no_other() -> None:
    """50 near copies among 400 unrelated texts; unrelated texts are not reported."""
    rng = random.Random(5)
    texts = [" ".join(rng.choices([f"t{i}" for i in range(500)], k=120)) for _ in range(400)]
    planted = set()
    for i in range(50):
        words = texts[i].split()
        words[rng.randrange(20, 100)] = "changed"
        planted.add((i, len(texts)))
        texts.append(" ".join(words))
    found = {(pair.first, pair.second) for pair in near_pairs(texts)}
    assert found == planted


def test_overlap_is_the_share_of_the_smaller_text() -> None:
    """A snippet inside a long request counts whole."""
    index = ShingleIndex(["x y z a b c d e f g h i j", "q r s t u v w"])
    assert index.overlap("a b c d e f") == 1
    assert index.overlap("1 2 3 4 5 6") == 0


def test_bands_hardly_miss_a_pair_above_the_mark() -> None:
    """1 - (1 - s^4)^32 at s = 0.8 leaves less than one in ten million."""
    assert (1 - 0.8 ** (PERMUTATIONS // BANDS)) ** BANDS < 1e-7
