"""Texts and labels -> can a classifier that understands nothing tell the labels? An AUC says so.

Hashed counts, L2 logistic regression, folds by cluster. Knows no rows and no files.
"""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ftgate_ext.evalset.near import tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Features = Literal["words", "characters"]

COLUMNS = 1 << 13
CHARACTER_GRAMS = (3, 4, 5)
PENALTY = 1.0
FOLDS = 5
MOST_CASES = 3000
"""Above this a seeded sample is measured: the regression solves a system of that size."""
RESAMPLES = 500


@dataclass(frozen=True)
class Auc:
    """Area under the ROC curve with limits from a bootstrap over clusters; n cases."""

    value: float
    lower: float
    upper: float
    n: int


def counts_matrix(texts: Sequence[str], features: Features) -> Floats:
    """Hashed counts, log(1 + count), rows of length 1: one row a text, `COLUMNS` columns."""
    matrix = np.zeros((len(texts), COLUMNS))
    for row, text in enumerate(texts):
        found = tokens(text) if features == "words" else _grams(text)
        for gram, count in Counter(found).items():
            matrix[row, zlib.crc32(gram.encode()) % COLUMNS] += count
    matrix = np.log1p(matrix)
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.asarray(matrix / np.where(norms == 0, 1, norms))


def _grams(text: str) -> list[str]:
    return [text[i : i + n] for n in CHARACTER_GRAMS for i in range(len(text) - n + 1)]


def cross_validated_scores(
    texts: Sequence[str], labels: Sequence[bool], clusters: Sequence[str], features: Features
) -> Floats | None:
    """Scores of every case by a model that has seen no case of its cluster.

    Returns:
        One log odds a case; None where a fold would lack a label.
    """
    matrix = counts_matrix(texts, features)
    truth = np.asarray(labels, dtype=float)
    fold = np.array([zlib.crc32(f"fold:{c}".encode()) % FOLDS for c in clusters])
    kernel = matrix @ matrix.T * 10.0 + 1.0  # the constant is the intercept, barely penalised
    scores = np.zeros(len(truth))
    for number in range(FOLDS):
        test = fold == number
        train = ~test
        if not test.any():
            continue
        if len(set(truth[train])) < 2:
            return None
        weights = _fit(kernel[np.ix_(train, train)], truth[train])
        scores[test] = kernel[np.ix_(test, train)] @ weights
    return scores


def _fit(kernel: Floats, truth: Floats, steps: int = 10) -> Floats:
    """Dual weights of L2 logistic regression by iteratively reweighted least squares.

    Minimises sum log(1 + exp(-y f)) + PENALTY / 2 |w|^2 with f = K a (Zhu and Hastie 2005). Each
    step solves its system by conjugate gradients: products with one matrix, no factorisation.
    """
    dual: Floats = np.zeros(len(truth))
    for _ in range(steps):
        odds = np.clip(kernel @ dual, -30, 30)
        share = 1 / (1 + np.exp(-odds))
        root = np.sqrt(np.maximum(share * (1 - share), 1e-6))
        target = root * odds + (truth - share) / root
        new = root * _solve(kernel, root, target, dual / root)
        moved = float(np.abs(new - dual).max())
        dual = new
        if moved < 1e-4:
            break
    return dual


def _solve(kernel: Floats, root: Floats, target: Floats, start: Floats) -> Floats:
    """Solve (PENALTY I + R K R) x = target, R diagonal, by conjugate gradients."""
    x: Floats = start.copy()
    residual = target - (PENALTY * x + root * (kernel @ (root * x)))
    direction = residual.copy()
    size = float(residual @ residual)
    enough = 1e-8 * float(target @ target)
    for _ in range(len(target)):
        if size <= enough:
            break
        image = PENALTY * direction + root * (kernel @ (root * direction))
        step = size / float(direction @ image)
        x += step * direction
        residual -= step * image
        before, size = size, float(residual @ residual)
        direction = residual + (size / before) * direction
    return x


def auc(
    scores: Floats, labels: Sequence[bool], clusters: Sequence[str], seed: int = 1
) -> Auc | None:
    """The chance that a case with the label scores above one without; ties count half.

    The limits are percentiles of a bootstrap that draws whole clusters.

    Returns:
        The area with its 95 % limits; None where a label does not occur.
    """
    truth = np.asarray(labels, dtype=bool)
    if truth.all() or not truth.any():
        return None
    names = sorted(set(clusters))
    place = {name: i for i, name in enumerate(names)}
    group = np.array([place[c] for c in clusters])
    rng = np.random.Generator(np.random.PCG64(seed))
    draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    weights = np.vstack([np.ones(len(truth)), draws[:, group]])
    areas = _weighted_auc(scores, truth, weights)
    usable = areas[1:][np.isfinite(areas[1:])]
    lower, upper = np.quantile(usable, [0.025, 0.975]) if len(usable) else (0.0, 1.0)
    return Auc(float(areas[0]), float(lower), float(upper), len(truth))


def _weighted_auc(scores: Floats, truth: NDArray[np.bool_], weights: Floats) -> Floats:
    """AUC under each row of case weights; NaN where a label has no weight."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0)
    weights, with_label = weights[:, order], truth[order]
    positive = np.add.reduceat(weights * with_label, starts, axis=1)  # a column a different score
    negative = np.add.reduceat(weights * ~with_label, starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    total = positive.sum(axis=1) * negative.sum(axis=1)
    won = (positive * (below + negative / 2)).sum(axis=1)
    return np.where(total > 0, won / np.where(total > 0, total, 1), np.nan)


def length_auc(texts: Sequence[str], labels: Sequence[bool], clusters: Sequence[str]) -> Auc | None:
    """The AUC of the length in characters alone, in whichever direction it tells more."""
    found = auc(np.array([float(len(t)) for t in texts]), labels, clusters)
    if found is None or found.value >= 0.5:
        return found
    return Auc(1 - found.value, 1 - found.upper, 1 - found.lower, found.n)


def shortcut_auc(
    texts: Sequence[str], labels: Sequence[bool], clusters: Sequence[str], features: Features
) -> Auc | None:
    """How well hashed counts of words or characters tell the labels of unseen clusters.

    Returns:
        The AUC; None where there are too few clusters or only one label.
    """
    if len(set(clusters)) < 2 * FOLDS:
        return None
    if len(texts) > MOST_CASES:
        keep = np.random.Generator(np.random.PCG64(1)).permutation(len(texts))[:MOST_CASES]
        texts, labels, clusters = ([x[i] for i in sorted(keep)] for x in (texts, labels, clusters))
    scores = cross_validated_scores(texts, labels, clusters, features)
    return None if scores is None else auc(scores, labels, clusters)


def telling_words(
    texts: Sequence[str], labels: Sequence[bool], most: int = 15
) -> list[tuple[str, float]]:
    """Words whose presence goes with the label most, as z values of a difference of two shares."""
    truth = np.asarray(labels, dtype=bool)
    with_label, without = Counter[str](), Counter[str]()
    for text, label in zip(texts, truth, strict=True):
        (with_label if label else without).update(set(tokens(text)))
    n_with, n_without = int(truth.sum()), int((~truth).sum())
    if not n_with or not n_without:
        return []
    found = []
    for word in set(with_label) | set(without):
        pooled = (with_label[word] + without[word]) / (n_with + n_without)
        spread = (pooled * (1 - pooled) * (1 / n_with + 1 / n_without)) ** 0.5
        if spread:
            found.append((word, (with_label[word] / n_with - without[word] / n_without) / spread))
    return sorted(found, key=lambda item: (-abs(item[1]), item[0]))[:most]
