"""Known pairs -> what moved the verdicts that should not count: position, length, form, kinship."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ftgate_ext.schema import BiasFigure, BiasName
from ftgate_ext.settings import to_estimate
from ftgate_ext.stats.paired_binary import mcnemar_exact
from ftgate_ext.stats.proportion import clopper_pearson, newcombe_independent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ftgate_ext.judge.figures import ExaminedPair
    from ftgate_ext.schema import KnownPair

CLEARLY_LONGER = 1.1
"""Lengths closer than that count as equal."""
_MARKDOWN = re.compile(r"^\s*(?:[-*]|\d+\.)\s|\*\*|^#{1,6}\s|^```", re.MULTILINE)

A, B = "candidate_better", "baseline_better"


def find_biases(read: Sequence[ExaminedPair], family: str | None) -> list[BiasFigure]:
    """Every bias that the pairs can show; one without a pair to show it has no figure.

    Args:
        read: Pairs with a verdict in both orders.
        family: The judge's.
    """
    ties = [p for p in read if p.pair.label == "tie"]
    return [
        _first_position(read),
        _preference("longer_at_equal_quality", ties, _longer),
        _longer_gains(read),
        _preference("formatted", ties, _formatted),
        _own_family(read, family),
    ]


def _first_position(read: Sequence[ExaminedPair]) -> BiasFigure:
    """Of the pairs whose verdict went with the position: how many went to the first."""
    seen: list[tuple[str, str]] = [(p.as_given.verdict, p.exchanged.verdict) for p in read]
    return _share("first_position", seen.count((A, B)), seen.count((B, A)))


def _preference(
    name: BiasName, pairs: Sequence[ExaminedPair], side_of: Callable[[KnownPair], str | None]
) -> BiasFigure:
    """Of equally good answers of which one has a trait: how often that one was preferred."""
    preferred = [
        (p.verdict, side) for p in pairs if (side := side_of(p.pair)) and p.verdict in (A, B)
    ]
    with_it = sum(verdict == side for verdict, side in preferred)
    return _share(name, with_it, len(preferred) - with_it)


def _share(name: BiasName, one: int, other: int) -> BiasFigure:
    if one + other == 0:
        return BiasFigure(name=name, estimate=None)
    estimate = to_estimate(clopper_pearson(one, one + other))
    return BiasFigure(name=name, estimate=estimate, p=mcnemar_exact(one, other))


def _longer(pair: KnownPair) -> str | None:
    a, b = len(pair.answer_a), len(pair.answer_b)
    if max(a, b) < CLEARLY_LONGER * min(a, b):
        return None
    return A if a > b else B


def _formatted(pair: KnownPair) -> str | None:
    a, b = (bool(_MARKDOWN.search(text)) for text in (pair.answer_a, pair.answer_b))
    return None if a == b else A if a else B


def _longer_gains(read: Sequence[ExaminedPair]) -> BiasFigure:
    """Agreement where the better answer is the longer one, minus agreement where it is the shorter."""
    hits: dict[bool, list[bool]] = {True: [], False: []}
    for p in read:
        longer = _longer(p.pair)
        if p.label in (A, B) and longer:
            hits[longer == p.label].append(p.verdict == p.label)
    long, short = hits[True], hits[False]
    if not long or not short:
        return BiasFigure(name="longer_gains", estimate=None)
    limits = newcombe_independent(sum(long), len(long), sum(short), len(short))
    return BiasFigure(name="longer_gains", estimate=to_estimate(limits))


def _own_family(read: Sequence[ExaminedPair], family: str | None) -> BiasFigure:
    """Where judge and label disagree about an answer of the judge's family: who was too kind to it.

    A preference that the label shares is no bias: only disagreements count.
    """
    mine = (family or "").strip().casefold()
    too_kind = too_strict = 0
    for p in read:
        authors = [(name or "").strip().casefold() for name in (p.pair.author_a, p.pair.author_b)]
        if not mine or not all(authors) or authors.count(mine) != 1:
            continue
        own, worth = (A if authors[0] == mine else B), {p.verdict, p.label}
        if len(worth) == 1:
            continue
        gain = _worth(p.verdict, own) - _worth(p.label, own)
        too_kind += gain > 0
        too_strict += gain < 0
    return _share("own_family", too_kind, too_strict)


def _worth(verdict: str, own: str) -> float:
    return 1.0 if verdict == own else 0.0 if verdict in (A, B) else 0.5
