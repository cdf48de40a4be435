"""What a model answered, and how it came about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ftgate_ext.schema.row import Row

if TYPE_CHECKING:
    from typing_extensions import Self

ResponseStatus = Literal["ok", "empty", "truncated", "malformed", "refused_by_provider", "failed"]
# The model gave no answer that could be scored: nobody may call that wrong.
UNSCORED_STATUSES: frozenset[str] = frozenset({"failed", "malformed"})


class Answer(str):
    """A model's text that remembers how it came about.

    lm-eval hands answers to scorers as plain strings; this one carries its status along, so that a
    request that failed can be told from a model that said nothing. No model can write one.
    """

    __slots__ = ("status",)
    status: ResponseStatus

    def __new__(cls, text: str, status: ResponseStatus = "ok") -> Self:
        """Make an answer of `text`; lm-eval casts targets to the type of an answer, hence `ok`."""
        answer = super().__new__(cls, text)
        answer.status = status
        return answer


def is_unscored(answer: str) -> bool:
    """Whether there is no answer to score, through no fault of the model."""
    return isinstance(answer, Answer) and answer.status in UNSCORED_STATUSES


class Response(Row):
    """What one model answered to one request, and what it cost: one line of `responses.jsonl`."""

    case_id: str
    """The row's `id`, or its position where it has none."""
    task: str
    prompt_hash: str
    """sha256 of the prompt as lm-eval logs it; joins this line to `samples_*.jsonl`."""
    occurrence: int
    """0 for the first request with this prompt, 1 for the second: repeats stay apart."""
    turn: int | None = None
    """Which turn of a conversation, from 0; None for a single question."""
    request_hash: str
    """sha256 of model and full payload: the key under which an answer may be used again."""
    model_asked: str
    model_answered: str | None = None
    """The name that the server put into its answer."""
    system_fingerprint: str | None = None
    status: ResponseStatus
    text: str = ""
    latency_s: float | None = None
    """Seconds in flight of the last attempt, without waiting in our own queue."""
    first_token_s: float | None = None
    """Seconds to the first token of the last attempt; only where the answer was streamed."""
    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    """Of the input tokens, those that the server had in its cache."""
    output_tokens: int | None = None
    finish_reason: str | None = None
    attempts: int = 1
    tokens_estimated: bool = False
    """The server gave no usage: the tokens were estimated on our side from the length of the texts."""
    concurrency: int | None = None
    """How many requests to this model were in flight when the last attempt was sent, this one included."""
    endpoint: str | None = None
    """Which of several endpoints answered."""
    http_status: int | None = None
    """HTTP status of the last attempt; none where the connection failed."""
    cost_usd: float | None = None
    error: str | None = None
    """Why there is no answer, in one line without secrets."""
    finished_at: str
    """ISO 8601, UTC."""
