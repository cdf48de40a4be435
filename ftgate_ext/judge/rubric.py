"""Single answers -> scores from 1 to 5, and how far the judge agrees with itself on them."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftgate_ext.inference.client import Request
from ftgate_ext.judge.conversations import answer_text, question_text
from ftgate_ext.judge.figures import weighted_kappa
from ftgate_ext.judge.protocol import fingerprint, rubric_prompt, rubric_schema
from ftgate_ext.judge.reading import read_rubric
from ftgate_ext.schema import Response, Role, RubricNoise, RubricScore
from ftgate_ext.scores import is_unanswered
from ftgate_ext.stats.limits import NoLimits
from ftgate_ext.stats.repeats import variance_components

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ftgate_ext.judge.pairwise import Judge
    from ftgate_ext.policy_judge import RubricSpec
    from ftgate_ext.runs import Record

RUBRIC_SCORES = "rubric_scores.jsonl"


@dataclass(frozen=True)
class Scoring:
    """One answer to be scored once."""

    record: Record
    role: Role
    repeat: int
    is_noise_check: bool = False


def plan_scorings(records: dict[Role, list[Record]], spec: RubricSpec, seed: int) -> list[Scoring]:
    """Every answer `repeats` times, and a random part of them once more.

    Args:
        records: Role -> the answers of the rubric's task; failed requests are left out.
        spec: Repeats, share of the noise check, limit.
        seed: Draws the noise check.
    """
    scorings = []
    for role, mine in records.items():
        answered = [r for r in mine if not is_unanswered(r)][: spec.limit]
        scorings += [Scoring(r, role, k) for r in answered for k in range(spec.repeats)]
        drawn = random.Random(f"{seed}:{role}").sample(answered, round(spec.noise_share * len(answered)))  # fmt: skip
        scorings += [Scoring(r, role, spec.repeats, is_noise_check=True) for r in drawn]
    return scorings


def score_answers(
    judge: Judge,
    scorings: Sequence[Scoring],
    journal_path: Path,
    on_response: Callable[[Response, bool], None] | None = None,
) -> list[RubricScore]:
    """Ask for the scores; one row a scoring, in order, readable or not."""
    parameters = judge.parameters_for("scores", rubric_schema(judge.max_reasoning_chars))
    mark = fingerprint(judge.endpoint.model, parameters, "rubric")
    requests = [_request(s, parameters) for s in scorings]
    responses = judge.answers(requests, journal_path, on_response)
    return [_score(judge, s, r, mark) for s, r in zip(scorings, responses, strict=True)]


def _request(scoring: Scoring, parameters: dict[str, object]) -> Request:
    record = scoring.record
    prompt = rubric_prompt(question_text(record), answer_text(record))
    return Request(
        case_id=record.case_id, task=f"rubric:{record.task}:{scoring.role}",
        prompt_hash=hashlib.sha256(prompt.encode()).hexdigest(), occurrence=scoring.repeat,
        payload={"messages": [{"role": "user", "content": prompt}], **parameters},
    )  # fmt: skip


def _score(judge: Judge, scoring: Scoring, response: Response, mark: str) -> RubricScore:
    reading = read_rubric(response)
    record = scoring.record
    return RubricScore(
        task=record.task, role=scoring.role, case_id=record.case_id, doc_hash=record.doc_hash,
        repeat=scoring.repeat, is_noise_check=scoring.is_noise_check, judge_model=judge.endpoint.model,
        fingerprint=mark, scores=reading.verdict.scores.model_dump() if reading.verdict else {},
        reasoning=reading.verdict.reasoning if reading.verdict else "", problem=reading.problem,
        repaired=reading.repaired, response=response.model_copy(update={"text": ""}),
    )  # fmt: skip


def rubric_noise(scores: Sequence[RubricScore]) -> RubricNoise | None:
    """The judge's own noise, from the answers that it scored once more.

    The spread of two scorings of one answer is the judge's; the rest is between answers (one-way
    analysis of variance). Kappa is quadratically weighted, over all criteria together, with limits
    that take the criteria of one answer as one group.

    Args:
        scores: All rows of a run.
    """
    by_answer: dict[tuple[str, str, str, str], dict[bool, RubricScore]] = {}
    for score in scores:
        if score.scores and (score.repeat == 0 or score.is_noise_check):
            key = (score.task, score.role, score.doc_hash, score.case_id)
            by_answer.setdefault(key, {})[score.is_noise_check] = score
    twice = {key: found for key, found in by_answer.items() if len(found) == 2}
    if not twice:
        return None
    means = [[sum(s.scores.values()) / len(s.scores) for s in pair.values()] for pair in twice.values()]  # fmt: skip
    parts = variance_components(means)
    rows = [
        (pair[False].scores[c], pair[True].scores[c], "\0".join(key))
        for key, pair in twice.items()
        for c in pair[False].scores
    ]
    if isinstance(parts, NoLimits):
        return RubricNoise(n_answers=len(twice), noise_sd=None, icc=None, kappa=weighted_kappa(rows))  # fmt: skip
    within, between = parts.mean_square_within, parts.case_variance
    icc = between / (between + within) if between + within > 0 else None
    return RubricNoise(
        n_answers=len(twice), noise_sd=within**0.5, icc=icc, kappa=weighted_kappa(rows)
    )
