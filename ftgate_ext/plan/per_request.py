"""What one request takes: guessed from prompts and limits, where no earlier run has measured it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftgate_ext.plan.assumptions import Measured
    from ftgate_ext.plan.sets import SizedSet
    from ftgate_ext.policy import Policy

CHARS_PER_TOKEN = 4
GUESSED_PROMPT_TOKENS = 500
"""Of a set whose data is not here."""
GUESSED_ANSWER_TOKENS = 512
"""The client's own limit, where a task states none."""
GUESSED_TOKENS_PER_S = 50
"""How fast one request's answer grows: what hours rest on before anything was measured."""


@dataclass(frozen=True)
class PerRequest:
    """What one request takes on average, or at most."""

    input_tokens: float
    output_tokens: float
    latency_s: float
    is_measured: bool
    cached_tokens: float = 0.0
    busy_s: float | None = None
    """As an earlier run measured it with its own number of requests in flight."""

    def seconds(self, concurrency: int) -> float:
        """What one request adds to the time that all of them take."""
        return self.latency_s / concurrency if self.busy_s is None else self.busy_s


def as_measured(measured: Measured) -> PerRequest:
    """An earlier run's own figures."""
    return PerRequest(
        measured.input_tokens, measured.output_tokens, measured.latency_s, is_measured=True,
        cached_tokens=measured.cached_tokens, busy_s=measured.busy_s,
    )  # fmt: skip


def at_most(prompt: float, answer: float) -> PerRequest:
    """So many tokens in, and as many out as are allowed."""
    return PerRequest(prompt, answer, answer / GUESSED_TOKENS_PER_S, is_measured=False)


def bound_request(policy: Policy, sized: SizedSet) -> PerRequest:
    """A guess at the prompt, and the longest answer that is allowed."""
    cap = policy.run.max_tokens
    if not sized.members:
        answer: float = cap or GUESSED_ANSWER_TOKENS
        return at_most(GUESSED_PROMPT_TOKENS, answer)
    total = sum(m.n for m in sized.members)
    prompt = sum(m.n * m.prompt_chars for m in sized.members) / total / CHARS_PER_TOKEN
    limits = [(m.n, m.max_tokens or GUESSED_ANSWER_TOKENS) for m in sized.members]
    answer = sum(n * min(limit, cap or limit) for n, limit in limits) / total
    return at_most(prompt, answer)
