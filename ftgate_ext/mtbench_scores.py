"""Grades of conversations -> each model's MT-Bench score, and the paired differences.

A question's score is the mean of the grades of its turns (Zheng et al. 2023, "Judging LLM-as-a-judge
with MT-Bench and Chatbot Arena"), brought from 1..10 to 0..1 as (x - 1) / 9, so that margins in points
mean the same as elsewhere: 2 pt are 0.18 of a grade. A question with a grade that cannot be read has
none, and is counted. Knows arrays, settings and the types on disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ftgate_ext.buckets import compare_bucket
from ftgate_ext.estimates import estimate_level
from ftgate_ext.paired_estimates import estimate_difference, estimate_ratio
from ftgate_ext.pairing import PairedScores
from ftgate_ext.schema import ROLES, Bucket, Comparison, Level

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.schema import Grade, Role
    from ftgate_ext.settings import Settings

Array = np.ndarray[Any, Any]
Key = tuple[str, str]
"""Hash and id of a question."""

METRIC = "mtbench_score"
BY = "category"
LOWEST, HIGHEST = 1, 10


def question_scores(grades: Sequence[Grade]) -> dict[Key, float | None]:
    """Question -> mean grade of its turns, 1 to 10; None where a turn has no grade."""
    turns: dict[Key, dict[int, Grade]] = {}
    for grade in grades:
        turns.setdefault((grade.doc_hash, grade.case_id), {})[grade.turn] = grade
    found: dict[Key, float | None] = {}
    for key, by_turn in turns.items():
        known = [g.score for g in by_turn.values() if g.score is not None]
        whole = len(known) == next(iter(by_turn.values())).turns
        found[key] = sum(known) / len(known) if whole else None
    return found


def to_share(score: float) -> float:
    """1 to 10 -> 0 to 1."""
    return (score - LOWEST) / (HIGHEST - LOWEST)


def grade_levels(grades: Sequence[Grade], settings: Settings) -> list[Level]:
    """Every model's own score on every task that was graded."""
    return [
        _level(task, role, mine, settings)
        for task in dict.fromkeys(g.task for g in grades)
        for role in ROLES
        if (mine := [g for g in grades if (g.task, g.role) == (task, role)])
    ]


def _level(task: str, role: Role, grades: Sequence[Grade], settings: Settings) -> Level:
    scores = question_scores(grades)
    known = [to_share(s) for s in scores.values() if s is not None]
    level = Level(task=task, metric=METRIC, role=role, n_unscored=len(scores) - len(known))
    if not known:
        return level.model_copy(update={"unavailable": "no question has a readable grade"})
    values = np.array(known)[:, None]
    found = estimate_level("mean", values, None, settings, settings.alphas(task))
    return level.model_copy(update=dict(found))


def compare_grades(grades: Sequence[Grade], settings: Settings) -> list[Comparison]:
    """The candidate's score minus every other model's, on the same questions."""
    found = []
    for task in dict.fromkeys(g.task for g in grades):
        mine = [g for g in grades if (g.task, g.role) == (task, "candidate")]
        others = [
            r
            for r in ROLES
            if r != "candidate" and any((g.task, g.role) == (task, r) for g in grades)
        ]
        for role in others if mine else []:
            theirs = [g for g in grades if (g.task, g.role) == (task, role)]
            found.append(_compare(task, role, mine, theirs, settings))
    return found


def _compare(
    task: str, role: Role, mine: Sequence[Grade], theirs: Sequence[Grade], settings: Settings
) -> Comparison:
    left, right = question_scores(mine), question_scores(theirs)
    asked = [key for key in left if key in right]
    whole = [key for key in asked if left[key] is not None and right[key] is not None]
    alphas = settings.alphas(task)
    comparison = Comparison(
        task=task, metric=METRIC, kind="mean", baseline=role, n_pairs=len(whole),
        n_excluded=len(asked) - len(whole), n_unpaired=len(left) + len(right) - 2 * len(asked),
        alpha_one_sided=alphas.one_sided, alpha_two_sided=alphas.two_sided,
    )  # fmt: skip
    if not whole:
        return comparison.model_copy(
            update={"unavailable": "no question has grades of both models"}
        )
    a, b = (np.array([[to_share(s[k] or 0.0)] for k in whole]) for s in (left, right))
    found = estimate_difference("mean", a, b, None, settings, alphas)
    own = [estimate_level("mean", x, None, settings, alphas).estimate for x in (a, b)]
    return comparison.model_copy(
        update={
            "candidate_estimate": own[0], "baseline_estimate": own[1], "difference": found.estimate,
            "lower_one_sided": found.lower, "upper_one_sided": found.upper, "tests": found.tests,
            "no_interval": found.no_interval, "standard_error": found.standard_error, "mde": found.mde,
            "ratio": estimate_ratio("mean", a, b, None, settings, alphas),
            "counts": {"higher": int((a > b).sum()), "lower": int((a < b).sum()), "equal": int((a == b).sum())},
            "notes": [_words(role, left, right, whole)],
            "buckets": _by_category(mine, whole, a, b, settings),
        }
    )  # fmt: skip


def _words(
    role: Role, left: dict[Key, float | None], right: dict[Key, float | None], whole: list[Key]
) -> str:
    mine, theirs = (float(np.mean([s[k] or 0.0 for k in whole])) for s in (left, right))
    return f"MT-Bench grades from 1 to 10 are brought to 0 to 1, as (x - 1) / 9; as graded: candidate {mine:.2f}, {role} {theirs:.2f} over {len(whole)} questions."


def _by_category(
    grades: Sequence[Grade], whole: list[Key], a: Array, b: Array, settings: Settings
) -> list[Bucket]:
    category = {(g.doc_hash, g.case_id): g.category for g in grades}
    labels = np.array([category[key] for key in whole], dtype=object)
    found = []
    for name in sorted({label for label in labels if label}):
        inside = np.flatnonzero(labels == name)
        part = PairedScores("mean", a[inside], b[inside], inside, 1, is_pass_fail=False, n_excluded=0)  # fmt: skip
        found.append(compare_bucket(BY, name, part, None, settings))
    return found
