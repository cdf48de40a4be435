"""One case of one model -> its trace: a root for the case, a child for every request."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ftgate_ext.policy_servers import CHAT_BACKEND
from ftgate_ext.schema import UNSCORED_STATUSES
from ftgate_ext.traces import names
from ftgate_ext.traces.spans import (
    NS_PER_S,
    Attributes,
    Event,
    Span,
    Value,
    make_span_id,
    make_trace_id,
    to_ns,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.samples import Record
    from ftgate_ext.schema import Judgment, ModelCard, Response, RubricScore

MAX_TEXT_CHARS = 32_000
"""A longer prompt or answer is cut: receivers refuse large requests."""
HTTP_ERROR = 400


@dataclass
class Case:
    """Everything that a run knows about one case of one model."""

    task: str
    case_id: str
    responses: list[Response]
    records: list[Record]
    """One a repeat; none while the run is unfinished."""
    judgments: list[Judgment] = field(default_factory=list)
    rubric: list[RubricScore] = field(default_factory=list)
    content: bool = False
    """Prompt and answer may be told."""


def attributes_of(pairs: dict[str, Value | None]) -> Attributes:
    """The attributes that are known, their texts fit for any receiver."""
    return {
        name: _valid(value) if isinstance(value, str) else value
        for name, value in pairs.items()
        if value is not None
    }


def _valid(text: str) -> str:
    """Text without halves of characters, which no receiver can decode."""
    return text.encode("utf-8", "replace").decode()


def case_trace_id(run_id: str, role: str, task: str, case_id: str) -> str:
    """The id of the trace of one case of one model in one run."""
    return make_trace_id(run_id, role, task, case_id)


def trace_case(run_id: str, card: ModelCard, case: Case, otherwise_at: str) -> list[Span]:
    """The spans of one case of one model, the root first.

    Args:
        run_id: Of the run.
        card: The model.
        case: What is known.
        otherwise_at: ISO 8601: when the run was, for answers whose time nobody wrote down.
    """
    trace = case_trace_id(run_id, card.role, case.task, case.case_id)
    root_id = make_span_id(trace)
    shared = attributes_of({
        names.EVAL_RUN_ID: run_id, names.MODEL: card.model, names.EVAL_SET: case.task,
        names.ROLE: card.role, names.CASE_ID: case.case_id,
    })  # fmt: skip
    requests = [_request(trace, root_id, card, case, r, shared) for r in case.responses]
    start = min((s.start_ns for s in requests), default=to_ns(otherwise_at))
    end = max((s.end_ns for s in requests), default=start)
    first = case.records[0] if case.records else None
    prompt = first.prompt_hash if first else (requests and case.responses[0].prompt_hash) or None
    more = attributes_of({
        names.PROMPT_ID: prompt, names.DOC_HASH: first.doc_hash if first else None,
        names.PHOENIX_KIND: "CHAIN", names.SESSION_ID: run_id,
        names.INPUT_VALUE: cut(first.prompt) if first and case.content else None,
        names.OUTPUT_VALUE: cut(first.answer) if first and case.content else None,
    })  # fmt: skip
    failed = [s.error for s in requests if s.error is not None]
    root = Span(
        trace_id=trace, span_id=root_id, parent_id=None, name=f"case {case.task} ({card.role})", kind="internal",
        start_ns=start, end_ns=end, attributes=shared | more,
        events=[] if requests else evaluations(case, case.records, end),
        error=failed[0] if failed else None,
    )  # fmt: skip
    return [root, *requests]


def _request(
    trace: str, root_id: str, card: ModelCard, case: Case, response: Response, shared: Attributes
) -> Span:
    mine = [r for r in case.records if r.response and _is_same(r.response, response)]
    attributes = dict(shared) | response_attributes(response, card.endpoint, card.backend)
    if case.content:
        prompt = mine[0].prompt if mine else None
        attributes |= content_attributes(prompt, response)
    is_first = not case.responses or response is case.responses[0]
    start, end = times_of(response)
    return Span(
        trace_id=trace,
        span_id=make_span_id(trace, response.prompt_hash, str(response.occurrence)),
        parent_id=root_id, name=f"{names.CHAT} {_valid(response.model_asked)}", kind="client",
        start_ns=start, end_ns=end, attributes=attributes,
        events=evaluations(case, mine, end, with_judge=is_first),
        error=error_of(response, content=case.content),
    )  # fmt: skip


def _is_same(one: Response, other: Response) -> bool:
    return (one.prompt_hash, one.occurrence) == (other.prompt_hash, other.occurrence)


def times_of(response: Response) -> tuple[int, int]:
    """When a request was sent and when it was done; the same where its latency is not known."""
    end = to_ns(response.finished_at)
    return end - round((response.latency_s or 0.0) * NS_PER_S), end


def error_of(response: Response, *, content: bool) -> str | None:
    """Why there is no answer. A server may quote the prompt in its error: that is content."""
    if response.status not in UNSCORED_STATUSES:
        return None
    return _valid((content and response.error) or "")


def response_attributes(response: Response, endpoint: str, backend: str) -> Attributes:
    """What the conventions and we say about one request, without a word of what was said."""
    address = response.endpoint or endpoint.split(",", maxsplit=1)[0].strip()
    asked = backend == CHAT_BACKEND
    failed = response.status in UNSCORED_STATUSES
    status = response.http_status if (response.http_status or 0) >= HTTP_ERROR else None
    tokens: dict[str, Value | None] = {
        names.INPUT_TOKENS: response.input_tokens, names.OUTPUT_TOKENS: response.output_tokens,
        names.CACHED_INPUT_TOKENS: response.cached_input_tokens,
    }  # fmt: skip
    server: dict[str, Value | None] = dict(_server(address)) if asked else {}
    return attributes_of({
        names.OPERATION_NAME: names.CHAT,
        names.PROVIDER_NAME: names.provider_of(address, None if asked else backend),
        names.REQUEST_MODEL: response.model_asked, names.RESPONSE_MODEL: response.model_answered,
        names.FINISH_REASONS: [_valid(response.finish_reason)] if response.finish_reason else None,
        names.TIME_TO_FIRST_CHUNK: response.first_token_s,
        **tokens, **server,
        names.ERROR_TYPE: str(status or response.status) if failed else None,
        names.PROMPT_ID: response.prompt_hash, names.STATUS: response.status,
        names.OCCURRENCE: response.occurrence, names.ATTEMPTS: response.attempts,
        names.COST_USD: response.cost_usd,
        names.TOKENS_ESTIMATED: response.tokens_estimated or None,
    })  # fmt: skip


def _server(address: str) -> Attributes:
    url = urlsplit(address)
    if not url.hostname:
        return {}
    port = url.port or (443 if url.scheme == "https" else 80)
    return {names.SERVER_ADDRESS: url.hostname, names.SERVER_PORT: port}


def content_attributes(prompt: str | None, response: Response) -> Attributes:
    """Prompt and answer as the conventions write messages down: JSON in a text."""
    said = None if prompt is None else [_message("user", prompt)]
    answer = _message("assistant", response.text)
    answer["finish_reason"] = response.finish_reason or ""
    return attributes_of({
        names.INPUT_MESSAGES: json.dumps(said, ensure_ascii=False) if said else None,
        names.OUTPUT_MESSAGES: json.dumps([answer], ensure_ascii=False) if response.text else None,
    })  # fmt: skip


def _message(role: str, text: str) -> dict[str, object]:
    return {"role": role, "parts": [{"type": "text", "content": cut(text)}]}


def cut(text: str) -> str:
    """A text of bounded length that says what it lacks."""
    lacking = len(text) - MAX_TEXT_CHARS
    return text if lacking <= 0 else f"{text[:MAX_TEXT_CHARS]} ... ({lacking} more characters)"


def evaluations(
    case: Case, records: Sequence[Record], at_ns: int, *, with_judge: bool = True
) -> list[Event]:
    """Scores and verdicts as events; a metric that could not be scored has none."""
    found = [
        evaluation(metric, at_ns, value=_number(score), label=_counts(score))
        for record in records
        for metric, score in record.scores.items()
    ]
    if not with_judge:
        return found
    found += [judgment_event(look, at_ns, content=case.content) for look in case.judgments]
    for row in case.rubric:
        why = cut(row.reasoning) if case.content and row.reasoning else None
        found += [
            evaluation(f"rubric {name}", at_ns, value=float(score), why=why)
            for name, score in row.scores.items()
        ]
        if row.problem:
            found.append(evaluation("rubric", at_ns, error=row.problem))
    return found


def judgment_event(look: Judgment, at_ns: int, *, content: bool) -> Event:
    """What the judge said of a pair: the verdict for the models, not for its A and B."""
    why = cut(look.reasoning) if content and look.reasoning else None
    more = {names.BASELINE: look.baseline, names.FIRST: look.first, names.MODEL: look.judge_model}
    return evaluation(
        f"preferred over {look.baseline}", at_ns, label=look.verdict, why=why,
        error=look.problem, more=attributes_of({**more}),
    )  # fmt: skip


def evaluation(
    name: str,
    at_ns: int,
    *,
    value: float | None = None,
    label: str | None = None,
    why: str | None = None,
    error: str | None = None,
    more: Attributes | None = None,
) -> Event:
    """One `gen_ai.evaluation.result`."""
    attributes = attributes_of({
        names.EVALUATION_NAME: name, names.EVALUATION_VALUE: value, names.EVALUATION_LABEL: label,
        names.EVALUATION_EXPLANATION: why, names.ERROR_TYPE: error,
    })  # fmt: skip
    return Event(names.EVALUATION_EVENT, at_ns, attributes | (more or {}))


def _number(score: object) -> float | None:
    return float(score) if isinstance(score, (int, float)) else None


def _counts(score: object) -> str | None:
    """The case's part of an F1, which has no value of its own."""
    if isinstance(score, (list, tuple)) and len(score) == 3:
        found, wrong, missed = score
        return f"{found} found, {wrong} wrong, {missed} missed"
    return None
