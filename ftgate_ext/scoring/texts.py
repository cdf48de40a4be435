"""Scores of a written answer against a reference, named by task YAMLs as `!function` metrics.

Each takes what lm-eval hands to a metric, `references` and `predictions` of one case, and gives one
number a case: cases can then be paired. Of several references the best counts. Statistics that exist
for a whole corpus only (BLEU of a corpus, say) cannot be paired case by case, so here a case has its
sentence-level score and a model the mean of them; `sentence_score` does the same for lm-eval's own
`bleu`, `chrf` and `ter`, whose samples hold the texts.
"""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_FENCE = re.compile(r"\A\s*```\w*\n(.*?)\n?```\s*\Z", re.DOTALL)

OUT_OF_100 = 100.0
"""sacrebleu gives percentages; everything else here is a share."""
GRADED = frozenset({
    "token_f1", "rouge1", "rouge2", "rouge_l", "sentence_bleu", "sentence_chrf", "labels", "scored",
})  # fmt: skip
"""Metrics here that are no plain 0 or 1."""
CORPUS_METRICS = frozenset({"bleu", "chrf", "chrf++", "ter"})
"""lm-eval's metrics whose samples hold [reference, answer] in place of a score."""


def normal_words(text: str) -> list[str]:
    """Words without case, punctuation and English articles, as SQuAD's evaluation compares them."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def token_f1(references: Sequence[Any], predictions: Sequence[str], **_options: Any) -> float:
    """F1 of the words that answer and reference share (Rajpurkar et al. 2016), after `normal_words`."""
    return _best(_token_f1, references, predictions)


def _token_f1(reference: str, answer: str) -> float:
    wanted, said = normal_words(reference), normal_words(answer)
    if not wanted or not said:
        return float(wanted == said)
    shared = sum((Counter(wanted) & Counter(said)).values())
    return 2 * shared / (len(wanted) + len(said))


def normal_match(references: Sequence[Any], predictions: Sequence[str], **_options: Any) -> float:
    """1 where answer and reference are the same words after `normal_words`, else 0."""
    return _best(lambda r, a: float(normal_words(r) == normal_words(a)), references, predictions)


def rouge1(references: Sequence[Any], predictions: Sequence[str], **_options: Any) -> float:
    """ROUGE-1 (Lin 2004): F1 of single words, stemmed."""
    return _rouge("rouge1", references, predictions)


def rouge2(references: Sequence[Any], predictions: Sequence[str], **_options: Any) -> float:
    """ROUGE-2: F1 of pairs of words, stemmed."""
    return _rouge("rouge2", references, predictions)


def rouge_l(references: Sequence[Any], predictions: Sequence[str], **_options: Any) -> float:
    """ROUGE-L: F1 of the longest common subsequence of words, stemmed, sentence by sentence (Lsum)."""
    return _rouge("rougeLsum", references, predictions)


def _rouge(kind: str, references: Sequence[Any], predictions: Sequence[str]) -> float:
    scorer = _rouge_scorer(kind)
    return _best(lambda r, a: float(scorer.score(r, a)[kind].fmeasure), references, predictions)


@lru_cache(maxsize=4)
def _rouge_scorer(kind: str) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([kind], use_stemmer=True)


def sentence_bleu(references: Sequence[Any], predictions: Sequence[str], **_options: Any) -> float:
    """Sentence-level BLEU with exponential smoothing and effective order (sacrebleu), 0 to 1."""
    return sentence_score("bleu", references, predictions)


def sentence_chrf(references: Sequence[Any], predictions: Sequence[str], **_options: Any) -> float:
    """Sentence-level chrF (sacrebleu), 0 to 1."""
    return sentence_score("chrf", references, predictions)


def sentence_score(metric: str, references: Sequence[Any], predictions: Sequence[str]) -> float:
    """The sentence-level score of one case, as a share; for TER it may lie above 1, and less is better.

    Args:
        metric: Of `CORPUS_METRICS`.
        references: Of the case.
        predictions: The answer, alone.
    """
    score = _sentence_metric(metric).sentence_score(str(predictions[0]), _texts(references))
    return float(score.score) / OUT_OF_100


@lru_cache(maxsize=4)
def _sentence_metric(metric: str) -> Any:
    import sacrebleu

    if metric == "bleu":
        return sacrebleu.BLEU(effective_order=True)
    if metric == "ter":
        return sacrebleu.TER()
    return sacrebleu.CHRF(word_order=2 if metric == "chrf++" else 0)


def _texts(references: Sequence[Any]) -> list[str]:
    """References as texts; lm-eval packs those of a case with several into a list of its own."""
    flat: list[str] = []
    for reference in references:
        flat += [str(r) for r in reference] if isinstance(reference, (list, tuple)) else [str(reference)]  # fmt: skip
    return flat


def _best(
    score: Callable[[str, str], float], references: Sequence[Any], predictions: Sequence[str]
) -> float:
    return max(score(reference, str(predictions[0])) for reference in _texts(references))


# --- labels and scores, which only a whole set turns into figures


def labels(
    references: Sequence[Any], predictions: Sequence[str], **_options: Any
) -> list[list[str]]:
    """The right labels and those of the answer, for precision, recall and F1, micro and macro.

    References are labels, or one JSON list of them. An answer is a JSON list, or labels between
    commas, semicolons or line breaks; case and white space do not count.
    """
    return [read_labels(_texts(references)), read_labels([str(predictions[0])])]


def read_labels(texts: Sequence[str]) -> list[str]:
    """Labels in texts, each once, in lower case."""
    found: dict[str, None] = {}
    for text in texts:
        fence = _FENCE.match(text)
        for label in _listed(fence[1] if fence else text):
            if clean := " ".join(label.lower().split()).strip("-*. \"'"):
                found.setdefault(clean)
    return list(found)


def _listed(text: str) -> list[str]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return re.split(r"[,;\n]", text)
    if isinstance(value, list):
        return [str(item) for item in value if isinstance(item, (str, int, float))]
    return [value] if isinstance(value, str) else re.split(r"[,;\n]", text)


def scored(
    references: Sequence[Any], predictions: Sequence[str], **_options: Any
) -> list[float | None]:
    """The number in an answer and whether the case is positive, for a sweep over thresholds.

    The reference is 1, true or yes for a positive case. An answer without a number has no score.
    """
    found = _NUMBER.search(str(predictions[0]))
    is_positive = str(_texts(references)[0]).strip().lower() in ("1", "1.0", "true", "yes")
    return [float(found[0]) if found else None, float(is_positive)]


def last(items: Sequence[Any]) -> float:
    """For lm-eval's own results file, where such a metric has no figure of its own: how many cases."""
    return float(len(items))
