"""What lm-eval logs for one case -> one number a case, where it logs what only a whole set makes one of.

lm-eval's BLEU, chrF and TER log [reference, answer], its perplexities a log-likelihood and a length. A
model's figure here is the mean over cases, so that cases can be paired: sentence-level scores, and for
perplexities the negative log-likelihood a token, word or byte, which is the logarithm of a perplexity.
"""

from __future__ import annotations

import math
from typing import Any

from ftgate_ext.scoring.texts import CORPUS_METRICS, sentence_score

PERPLEXITIES = frozenset({"perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte"})
"""Lower is better; what a case has is their logarithm."""
RAW_METRICS = frozenset({"labels", "scored"})
"""Pairs from which only a whole set makes figures (module `labelled`)."""


def as_case_score(metric: str, value: Any) -> Any:
    """The score of one case; whatever is no such special value stays as it is.

    Args:
        metric: Its name, without a filter.
        value: As the samples file has it.
    """
    if metric in PERPLEXITIES:
        return _log_perplexity(metric, value)
    if metric in CORPUS_METRICS and _is_pair(value) and isinstance(value[1], (str, list)):
        answer = value[1] if isinstance(value[1], list) else [value[1]]
        return sentence_score(metric, [value[0]], answer) if answer else value
    return value


def is_as_logged(metric: str) -> bool:
    """Whether every score of a metric, named without a filter, stays as the samples file has it."""
    return metric not in PERPLEXITIES | RAW_METRICS and metric not in CORPUS_METRICS


def is_raw(metric: str, value: Any) -> bool:
    """Whether a value is a pair for `labelled`."""
    return metric in RAW_METRICS and _is_pair(value)


def _is_pair(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2


def _log_perplexity(metric: str, value: Any) -> Any:
    if _is_pair(value):
        likelihood, length = value
        if not length:
            return None
        nats = -float(likelihood) / float(length)
        return nats / math.log(2) if metric == "bits_per_byte" else nats
    return -value if isinstance(value, (int, float)) and value <= 0 else value


def perplexity_note(metric: str, candidate: float, other: float) -> str | None:
    """How to read a difference of logarithms; None for every other metric.

    Args:
        metric: As in a comparison, a filter possibly behind a comma.
        candidate: Its mean.
        other: The other model's.
    """
    name = metric.partition(",")[0]
    if name not in PERPLEXITIES or name == "bits_per_byte":
        return None
    return (
        f"As perplexities: candidate {math.exp(candidate):.4g}, other {math.exp(other):.4g}; what is "
        "compared is their logarithm case by case, so 1 point is 1 % of a perplexity."
    )
