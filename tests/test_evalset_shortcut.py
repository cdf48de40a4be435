"""Shortcut classifiers: they see a planted cue, and nothing where there is none."""

from __future__ import annotations

import random

import numpy as np
import pytest

from ftgate_ext.evalset.shortcut import (
    auc,
    counts_matrix,
    cross_validated_scores,
    length_auc,
    shortcut_auc,
    telling_words,
)


def sample(cue: float, n: int = 200) -> tuple[list[str], list[bool], list[str]]:
    """Texts of random words, two a cluster, in which the label shows in a word with chance `cue`."""
    rng = random.Random(7)
    labels = [rng.random() < 0.6 for _ in range(n)]
    texts = []
    for label in labels:
        words = rng.choices([f"w{i}" for i in range(60)], k=25)
        if rng.random() < cue:
            words.append("telltale" if label else "harmless")
        texts.append(" ".join(words))
    return texts, labels, [f"c{i // 2}" for i in range(n)]


@pytest.mark.parametrize("features", ["words", "characters"])
def test_a_planted_word_is_seen(features: str) -> None:
    """A word that stands in nine of ten texts of its label gives an AUC far over the limit."""
    found = shortcut_auc(*sample(0.9), features)  # type: ignore[arg-type]
    assert found is not None
    assert found.value > 0.9
    assert found.lower > 0.85


@pytest.mark.parametrize("features", ["words", "characters"])
def test_random_words_tell_nothing(features: str) -> None:
    """Without a cue the limits of the AUC hold 0.5."""
    found = shortcut_auc(*sample(0.0), features)  # type: ignore[arg-type]
    assert found is not None
    assert found.lower < 0.5 < found.upper or abs(found.value - 0.5) < 0.08


def test_a_cluster_is_never_learnt_and_tested_at_once() -> None:
    """What only the cluster shares cannot be used: labels equal within clusters stay unseen."""
    rng = random.Random(3)
    names = [f"c{i}" for i in range(60)]
    label_of = {name: rng.random() < 0.5 for name in names}
    clusters = [name for name in names for _ in range(4)]
    texts = [f"{name} {name} x{rng.randrange(9)}" for name in clusters]
    found = shortcut_auc(texts, [label_of[c] for c in clusters], clusters, "words")
    assert found is not None
    assert found.value < 0.65


def test_auc_of_a_worked_example() -> None:
    """Positives 0.8, 0.4 and negatives 0.4, 0.1: three and a half of four pairs are in order."""
    found = auc(np.array([0.8, 0.4, 0.4, 0.1]), [True, True, False, False], list("abcd"))
    assert found is not None
    assert found.value == 3.5 / 4
    assert found.lower <= found.value <= found.upper


def test_one_label_alone_has_no_auc() -> None:
    """Where a label does not occur there is no figure, and no 0.5 in its place."""
    assert auc(np.array([0.1, 0.2]), [True, True], ["a", "b"]) is None
    assert shortcut_auc(["a"] * 30, [True] * 30, [str(i) for i in range(30)], "words") is None
    assert (
        cross_validated_scores(["a b"] * 30, [True] * 30, [str(i) for i in range(30)], "words")
        is None
    )


def test_too_few_clusters_have_no_auc() -> None:
    """With fewer than two clusters a fold nothing is measured."""
    texts, labels, _ = sample(0.5, 40)
    assert shortcut_auc(texts, labels, ["same"] * 40, "words") is None


def test_length_counts_in_either_direction() -> None:
    """Shorter defects are as telling as longer ones."""
    texts = ["x" * (10 + i % 7) for i in range(50)] + ["x" * (30 + i % 7) for i in range(50)]
    clusters = [str(i) for i in range(100)]
    for labels in ([True] * 50 + [False] * 50, [False] * 50 + [True] * 50):
        found = length_auc(texts, labels, clusters)
        assert found is not None
        assert found.value == 1


def test_counts_are_the_same_everywhere() -> None:
    """Hashing is CRC-32, rows have length 1, and an empty text is all zeros."""
    matrix = counts_matrix(["a a b", ""], "words")
    assert np.count_nonzero(matrix[0]) == 2
    assert np.linalg.norm(matrix[0]) == pytest.approx(1)
    assert not matrix[1].any()


def test_telling_words_are_named_with_their_direction() -> None:
    """The planted words lead the list, plus for the label and minus for its absence."""
    texts, labels, _ = sample(0.9)
    found = dict(telling_words(texts, labels, 2))
    assert found["telltale"] > 5
    assert found["harmless"] < -5
