"""Judge the candidate's answers against other models', every pair in both orders.

Records in, judgments out. Knows the client and the protocol; no statistics beyond the seed.
"""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ftgate_ext.inference.client import Asker, Endpoint, Request, ask_all
from ftgate_ext.inference.journal import Journal
from ftgate_ext.judge.conversations import answer_text
from ftgate_ext.judge.protocol import (
    ResponseFormat,
    Verdict,
    fingerprint,
    pairwise_prompt,
    verdict_schema,
)
from ftgate_ext.judge.reading import FAILED, Reading, read_verdict
from ftgate_ext.runs import pair_records
from ftgate_ext.schema import (
    JudgeVerdict,
    Judgment,
    PairVerdict,
    Response,
    Role,
    VerdictProblem,
)
from ftgate_ext.scores import is_unanswered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ftgate_ext.inference.client import OnResponse
    from ftgate_ext.judge.recorded import Recorded
    from ftgate_ext.runs import Record

Side = Literal["candidate", "baseline"]


@dataclass(frozen=True)
class Judge:
    """A judge: whom to ask, and with what."""

    endpoint: Endpoint
    max_tokens: int
    seed: int
    max_reasoning_chars: int | None = None
    response_format: ResponseFormat = "json_schema"
    recorded: Recorded | None = None
    """Verdicts given earlier, instead of an endpoint that is asked."""
    ask: Asker = ask_all
    """How the endpoint is asked: one request at a time, or in batches."""

    @property
    def parameters(self) -> dict[str, object]:
        """What is sent besides the prompt."""
        verdict = verdict_schema(self.max_reasoning_chars)
        return self.parameters_for("verdict", verdict)

    def parameters_for(self, name: str, schema: dict[str, object]) -> dict[str, object]:
        """What is sent besides the prompt, with the schema where the endpoint enforces one."""
        form: dict[str, object] = {"type": self.response_format}
        if self.response_format == "json_schema":
            form["json_schema"] = {"name": name, "strict": True, "schema": schema}
        sent: dict[str, object] = {
            "temperature": 0, "seed": self.seed, "max_tokens": self.max_tokens,
        }  # fmt: skip
        return sent if self.response_format == "text" else sent | {"response_format": form}

    @property
    def fingerprint(self) -> str:
        """Changes whenever the judge is no longer the same instrument."""
        if self.recorded is not None:
            return fingerprint(self.endpoint.model, {"recorded": self.recorded.sha256})
        return fingerprint(self.endpoint.model, self.parameters)

    def answers(
        self,
        requests: Sequence[Request],
        journal_path: Path,
        on_response: OnResponse | None = None,
    ) -> list[Response]:
        """Ask what the journal does not hold; the responses in order.

        Args:
            requests: What to ask.
            journal_path: Where answers are found and kept; nobody else may write there meanwhile.
            on_response: Progress.
        """
        journal = Journal(journal_path, reuse=True)
        try:
            return self.ask(self.endpoint, requests, journal, on_response)
        finally:
            journal.close()


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
            Look(task, baseline, mine.case_id, mine.doc_hash, question_of(mine), answer_text(mine), answer_text(other), first, i)
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
        judge: The judge; one with recorded verdicts is not asked.
        looks: From `plan_looks`.
        journal_path: `judge_responses.jsonl` of the run.
        on_response: Progress.

    Returns:
        One judgment a look, in order. A verdict that cannot be read is `unparsed`, a request
        that failed is `failed`; neither is ever a tie.
    """
    if judge.recorded is not None:
        return [_recorded(judge, judge.recorded, look) for look in looks]
    asked = [look for look in looks if not look.identical]
    requests = [_request(judge, look) for look in asked]
    answers = iter(judge.answers(requests, journal_path, on_response))
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
    reading: Reading[Verdict] = read_verdict(response) if response else Reading(None)
    parsed = reading.verdict
    judgment = judgment_of(judge, look, parsed.verdict if parsed else None, reading.problem)
    return judgment.model_copy(
        update={
            "scores": _scores(parsed, look.first), "reasoning": parsed.reasoning if parsed else "",
            "repaired": reading.repaired,
            "response": response.model_copy(update={"text": ""}) if response else None,
        }
    )  # fmt: skip


def _recorded(judge: Judge, recorded: Recorded, look: Look) -> Judgment:
    found = None if look.identical else recorded.find(look)
    if found is None:
        return judgment_of(judge, look, None, None if look.identical else "not_recorded")
    judgment = judgment_of(judge, look, found.verdict, found.problem)
    mine, other = found.scores_A, found.scores_B
    if look.first == "baseline":
        mine, other = other, mine
    scores = {"candidate": mine, "baseline": other} if mine and other else {}
    return judgment.model_copy(update={"scores": scores, "reasoning": found.reasoning})


def judgment_of(
    judge: Judge, look: Look, verdict: JudgeVerdict | None, problem: VerdictProblem | None
) -> Judgment:
    """What was found at one look; without a verdict it is `unparsed`, or `failed` by its problem."""
    no_verdict: JudgeVerdict = "failed" if problem in FAILED else "unparsed"
    raw: JudgeVerdict = "tie" if look.identical else verdict or no_verdict
    return Judgment(
        task=look.task, case_id=look.case_id, doc_hash=look.doc_hash, baseline=look.baseline, first=look.first,
        round=look.round, judge_model=judge.endpoint.model, fingerprint=judge.fingerprint, pair_hash=look.pair_hash,
        identical=look.identical, raw_verdict=raw, verdict=verdict_of(raw, look.first), problem=problem,
        candidate_chars=len(look.candidate_answer), baseline_chars=len(look.baseline_answer),
    )  # fmt: skip


def verdict_of(raw: str, first: Side) -> PairVerdict:
    """The judge's A and B -> candidate and baseline."""
    if raw in ("tie", "both_bad", "unparsed", "failed"):
        return raw  # type: ignore[return-value]  # those that need no translation
    chose_first = raw == "A_better"
    return "candidate_better" if chose_first == (first == "candidate") else "baseline_better"


def _scores(parsed: Verdict | None, first: Side) -> dict[str, dict[str, int]]:
    if parsed is None:
        return {}
    sides = (parsed.scores_A.model_dump(), parsed.scores_B.model_dump())
    mine, other = sides if first == "candidate" else sides[::-1]
    return {"candidate": mine, "baseline": other}
