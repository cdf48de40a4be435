"""Judge the candidate's answers against other models', every pair in both orders.

Records in, judgments out. Knows the client and the protocol; no statistics beyond the seed.
"""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ftgate_ext.inference.client import Endpoint, Request, ask_all
from ftgate_ext.inference.journal import Journal
from ftgate_ext.judge.protocol import (
    Verdict,
    fingerprint,
    pairwise_prompt,
    parse_verdict,
    verdict_schema,
)
from ftgate_ext.runs import pair_records
from ftgate_ext.schema import Judgment, PairVerdict, Response, Role
from ftgate_ext.scores import is_unanswered

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ftgate_ext.runs import Record

Side = Literal["candidate", "baseline"]


@dataclass(frozen=True)
class Judge:
    """A judge: whom to ask, and with what."""

    endpoint: Endpoint
    max_tokens: int
    seed: int
    max_reasoning_chars: int | None = None

    @property
    def parameters(self) -> dict[str, object]:
        """What is sent besides the prompt."""
        verdict = verdict_schema(self.max_reasoning_chars)
        schema = {"name": "verdict", "strict": True, "schema": verdict}
        return {
            "temperature": 0, "seed": self.seed, "max_tokens": self.max_tokens,
            "response_format": {"type": "json_schema", "json_schema": schema},
        }  # fmt: skip

    @property
    def fingerprint(self) -> str:
        """Changes whenever the judge is no longer the same instrument."""
        return fingerprint(self.endpoint.model, self.parameters)


@dataclass(frozen=True)
class Look:
    """One pair in one order."""

    task: str
    baseline: Role
    case_id: str
    doc_hash: str
    question: str
    candidate_answer: str
    baseline_answer: str
    first: Side
    round: int

    @property
    def identical(self) -> bool:
        """Whether both answers are the same text but for white space at the ends."""
        return self.candidate_answer.strip() == self.baseline_answer.strip()

    @property
    def pair_hash(self) -> str:
        """sha256 of what is compared."""
        texts = [self.question, self.candidate_answer, self.baseline_answer]
        return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def plan_looks(
    task: str,
    baseline: Role,
    candidate_records: list[Record],
    baseline_records: list[Record],
    question_of: Callable[[Record], str],
    seed: int,
    limit: int | None = None,
) -> list[Look]:
    """Every pair in both orders; which order comes first is drawn per case from the seed.

    Pairs in which a request failed are left out: there is nothing to compare.
    """
    pairs = pair_records(candidate_records, baseline_records)
    answered = [(a, b) for a, b in pairs if not is_unanswered(a) and not is_unanswered(b)]
    looks = []
    for mine, other in answered[:limit]:
        orders: list[Side] = ["candidate", "baseline"]
        random.Random(f"{seed}:{baseline}:{mine.doc_hash}").shuffle(orders)
        looks += [
            Look(task, baseline, mine.case_id, mine.doc_hash, question_of(mine), mine.answer, other.answer, first, i)
            for i, first in enumerate(orders)
        ]  # fmt: skip
    return looks


def judge_looks(
    judge: Judge,
    looks: list[Look],
    journal_path: Path,
    on_response: Callable[[Response, bool], None] | None = None,
) -> list[Judgment]:
    """Ask the judge; identical answers are ties without a call, known answers are not asked again.

    Args:
        judge: The judge.
        looks: From `plan_looks`.
        journal_path: `judge_responses.jsonl` of the run.
        on_response: Progress.

    Returns:
        One judgment a look, in order. A verdict that cannot be read is `unparsed`, never a tie.
    """
    asked = [look for look in looks if not look.identical]
    journal = Journal(journal_path, reuse=True)
    try:
        responses = ask_all(
            judge.endpoint, [_request(judge, look) for look in asked], journal, on_response
        )
    finally:
        journal.close()
    answers = iter(responses)
    return [_judgment(judge, look, None if look.identical else next(answers)) for look in looks]


def _request(judge: Judge, look: Look) -> Request:
    answers = (look.candidate_answer, look.baseline_answer)
    first, second = answers if look.first == "candidate" else answers[::-1]
    prompt = pairwise_prompt(look.question, first, second)
    return Request(
        case_id=look.case_id, task=f"judge:{look.task}:{look.baseline}:{look.round}",
        prompt_hash=hashlib.sha256(prompt.encode()).hexdigest(),
        payload={"messages": [{"role": "user", "content": prompt}], **judge.parameters},
    )  # fmt: skip


def _judgment(judge: Judge, look: Look, response: Response | None) -> Judgment:
    parsed = parse_verdict(response.text) if response and response.status == "ok" else None
    raw = "tie" if look.identical else parsed.verdict if parsed else "unparsed"
    return Judgment(
        task=look.task, case_id=look.case_id, doc_hash=look.doc_hash, baseline=look.baseline, first=look.first,
        round=look.round, judge_model=judge.endpoint.model, fingerprint=judge.fingerprint, pair_hash=look.pair_hash,
        identical=look.identical, raw_verdict=raw, verdict=verdict_of(raw, look.first),
        scores=_scores(parsed, look.first), reasoning=parsed.reasoning if parsed else "",
        response=response.model_copy(update={"text": ""}) if response else None,
    )  # fmt: skip


def verdict_of(raw: str, first: Side) -> PairVerdict:
    """The judge's A and B -> candidate and baseline."""
    if raw in ("tie", "both_bad", "unparsed"):
        return raw  # type: ignore[return-value]  # the three that need no translation
    chose_first = raw == "A_better"
    return "candidate_better" if chose_first == (first == "candidate") else "baseline_better"


def _scores(parsed: Verdict | None, first: Side) -> dict[str, dict[str, int]]:
    if parsed is None:
        return {}
    sides = (parsed.scores_A.model_dump(), parsed.scores_B.model_dump())
    mine, other = sides if first == "candidate" else sides[::-1]
    return {"candidate": mine, "baseline": other}
