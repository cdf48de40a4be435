"""Tests of the shipped known pairs: counts, balance, and that nothing but their content tells which is better."""

from __future__ import annotations

import json
import re
from collections import Counter
from statistics import fmean
from typing import TYPE_CHECKING

import pytest

from ftgate_ext.assets import asset_dir
from ftgate_ext.judge.build import build_files
from ftgate_ext.judge.known_pairs import shipped_pairs

if TYPE_CHECKING:
    from ftgate_ext.schema import KnownPair

PAIRS = shipped_pairs().pairs
DECIDED = [p for p in PAIRS if p.label in ("A_better", "B_better")]
GOLDEN = asset_dir("golden")
MARKDOWN = re.compile(r"^\s*(?:[-*]|\d+\.)\s|\*\*", re.MULTILINE)


def test_the_files_are_what_their_source_gives() -> None:
    """Pairs, manifest and the table of the card, byte for byte."""
    for name, text in build_files(GOLDEN).items():
        assert (GOLDEN / "judge" / name).read_text(encoding="utf-8") == text, name


def test_there_are_120_pairs_with_20_ties() -> None:
    """Three pairs on each of 40 questions; some pairs where neither answer will do."""
    labels = Counter(p.label for p in PAIRS)

    assert len(PAIRS) == 120
    assert (labels["tie"], labels["both_bad"]) == (20, 9)
    assert set(Counter(p.group for p in PAIRS).values()) == {3}
    assert len({p.id for p in PAIRS}) == 120


def test_no_position_and_no_length_is_better() -> None:
    """The better answer stands first, and is the longer one, in half of the decided pairs."""
    first = sum(p.label == "A_better" for p in DECIDED)
    longer = sum((len(p.answer_a) > len(p.answer_b)) == (p.label == "A_better") for p in DECIDED)
    longer_first = sum(len(p.answer_a) > len(p.answer_b) for p in PAIRS)

    for count, n in ((first, len(DECIDED)), (longer, len(DECIDED)), (longer_first, len(PAIRS))):
        assert abs(count - n / 2) <= 3


def test_no_rule_on_length_finds_the_better_answer() -> None:
    """However one draws a line through lengths or their ratio, little more than half is right."""
    rows = [
        (len(p.answer_a), len(p.answer_b), p.label == "A_better") for p in DECIDED
    ]  # fmt: skip
    features = {
        "length": [(a, won) for a, b, won in rows] + [(b, not won) for a, b, won in rows],
        "ratio": [(a / b, won) for a, b, won in rows] + [(b / a, not won) for a, b, won in rows],
    }
    for values in features.values():
        cuts = sorted({value for value, _ in values})
        best = max(abs(fmean((v > cut) == won for v, won in values) - 0.5) for cut in cuts)
        assert best < 0.15


def test_no_form_is_better() -> None:
    """Lists and bold type stand in ties alone; code in backticks hardly anywhere else."""
    for p in DECIDED:
        assert not MARKDOWN.search(p.answer_a)
        assert not MARKDOWN.search(p.answer_b)
    ties = [p for p in PAIRS if p.label == "tie"]
    formatted = [bool(MARKDOWN.search(p.answer_a)) != bool(MARKDOWN.search(p.answer_b)) for p in ties]  # fmt: skip
    assert sum(formatted) == 8


def test_no_word_tells_good_from_bad() -> None:
    """No word of ten answers or more stands on one side only, but for those that the task is about."""
    counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for p in DECIDED:
        for text, is_a in ((p.answer_a, True), (p.answer_b, False)):
            words = set(re.findall(r"[a-z']{2,}", text.lower()))
            counts[is_a == (p.label == "A_better")].update(words)
    one_sided = [
        word
        for word in counts[True] | counts[False]
        if max(counts[True][word], counts[False][word]) >= 15
        and min(counts[True][word], counts[False][word]) == 0
    ]
    assert one_sided == []


@pytest.mark.parametrize("p", PAIRS, ids=lambda p: p.id)
def test_marks_fit_labels(p: KnownPair) -> None:
    """The better answer has the better mark, equal ones have equal ones, two bad ones have bad ones."""
    assert p.grade_a is not None
    assert p.grade_b is not None
    difference = p.grade_a - p.grade_b
    if p.label == "tie":
        assert difference == 0
    elif p.label == "both_bad":
        assert max(p.grade_a, p.grade_b) <= 2
    else:
        assert (difference > 0) == (p.label == "A_better")


def test_the_questions_show_the_code_of_the_golden_cases() -> None:
    """Their truth is known there; nothing of it stands in the question."""
    lines = (GOLDEN / "codereview_golden.jsonl").read_text(encoding="utf-8").splitlines()
    rows = {row["id"]: row for row in map(json.loads, lines)}
    for p in PAIRS:
        row = rows[p.group or ""]
        assert row["code"] in p.question
        assert not row["comment"] or row["comment"] not in p.question
    clean = {p.group for p in PAIRS if rows[p.group or ""]["verdict"] == "clean"}
    assert len(clean) == 5


def test_the_first_pairs_are_a_mixture() -> None:
    """A limit takes the first ones: they hold every label, on different questions."""
    first = PAIRS[:12]

    assert {p.label for p in first} == {"A_better", "B_better", "tie", "both_bad"}
    assert len({p.group for p in first}) >= 10
