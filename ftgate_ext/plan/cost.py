"""Policy and sizes -> requests, tokens, dollars and hours, before anything is spent.

From an earlier run's figures per request where there is one; else bounds from prompts and limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, Literal

from ftgate_ext.inference.endpoints import endpoint_of
from ftgate_ext.judge.protocol import pairwise_prompt
from ftgate_ext.plan.planned import PlannedCost
from ftgate_ext.policy_servers import EMBEDDED
from ftgate_ext.schema import Role, RunError
from ftgate_ext.wording import money, percent

if TYPE_CHECKING:
    from ftgate_ext.plan.assumptions import EarlierRun
    from ftgate_ext.plan.sets import SizedSet
    from ftgate_ext.policy import Policy
    from ftgate_ext.policy_servers import ServerSpec
    from ftgate_ext.schema import Price

CHARS_PER_TOKEN = 4
GUESSED_PROMPT_TOKENS = 500
"""Of a set whose data is not here."""
GUESSED_ANSWER_TOKENS = 512
"""The client's own limit, where a task states none."""
GUESSED_TOKENS_PER_S = 50
"""How fast one request's answer grows: what hours rest on before anything was measured."""
ORDERS = 2


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


def plan_costs(
    policy: Policy,
    sets: dict[str, SizedSet],
    earlier: EarlierRun | None,
    today: date | None = None,
) -> list[PlannedCost]:
    """What asking every model, and the judge, will take; prices may be old on `today`."""
    costs = []
    today = today or datetime.now(timezone.utc).date()
    for role in policy.roles:
        spec = policy.models[role]
        blank = _blank(role, spec.name or spec.model, spec.price, today)
        missing = why_left_out(policy, role)
        if missing:
            costs.append(blank.model_copy(update={"left_out": missing}))
            continue
        batches = [(s.requests, _per_request(policy, s, role, earlier)) for s in sets.values()]
        costs.append(_sum_up(blank, batches, spec.price, policy.run.concurrency))
    if policy.judge:
        costs.append(_judge_cost(policy, sets, earlier, today))
    return costs


def why_left_out(policy: Policy, role: Role) -> str | None:
    """Why an optional model takes no part; None for one that does."""
    spec = policy.models.get(role)
    return missing_key(policy, spec) if spec is not None and spec.optional else None


def missing_key(policy: Policy, spec: ServerSpec) -> str | None:
    """Which key is not set, in the words of the run; None where nothing is missing."""
    if spec.endpoint == EMBEDDED:
        return None
    try:
        endpoint_of(spec, policy.run, None).headers()
    except RunError as error:
        return str(error).rstrip(".")
    return None


def _per_request(
    policy: Policy, sized: SizedSet, role: Role, earlier: EarlierRun | None
) -> PerRequest:
    measured = earlier.per_request(role, sized.spec.task) if earlier else None
    if measured:
        return PerRequest(
            measured.input_tokens, measured.output_tokens, measured.latency_s, is_measured=True,
            cached_tokens=measured.cached_tokens, busy_s=measured.busy_s,
        )  # fmt: skip
    return bound_request(policy, sized)


def bound_request(policy: Policy, sized: SizedSet) -> PerRequest:
    """A guess at the prompt, and the longest answer that is allowed."""
    cap = policy.run.max_tokens
    if not sized.members:
        answer: float = cap or GUESSED_ANSWER_TOKENS
        return _bounded(GUESSED_PROMPT_TOKENS, answer)
    total = sum(m.n for m in sized.members)
    prompt = sum(m.n * m.prompt_chars for m in sized.members) / total / CHARS_PER_TOKEN
    limits = [(m.n, m.max_tokens or GUESSED_ANSWER_TOKENS) for m in sized.members]
    answer = sum(n * min(limit, cap or limit) for n, limit in limits) / total
    return _bounded(prompt, answer)


def _bounded(prompt: float, answer: float) -> PerRequest:
    return PerRequest(prompt, answer, answer / GUESSED_TOKENS_PER_S, is_measured=False)


def _blank(role: Role | Literal["judge"], model: str, price: Price, today: date) -> PlannedCost:
    return PlannedCost(
        role=role, model=model, price=_words(price), old_price=price.age_warning(today)
    )


def _judge_cost(
    policy: Policy, sets: dict[str, SizedSet], earlier: EarlierRun | None, today: date
) -> PlannedCost:
    judge = policy.judge
    if judge is None:
        raise ValueError("judge: none; expected a policy with one")
    blank = _blank("judge", judge.model, judge.price, today)
    sized = sets[judge.task]
    opponents = [r for r in judge.against if r in policy.models and not why_left_out(policy, r)]
    calls = min(judge.limit or sized.n, sized.n) * ORDERS * len(opponents)
    measured = earlier.per_judgment(judge.model) if earlier else None
    if measured:
        batch = PerRequest(
            measured.input_tokens, measured.output_tokens, measured.latency_s, is_measured=True
        )
    else:
        task = bound_request(policy, sized)
        frame = len(pairwise_prompt("", "", "")) / CHARS_PER_TOKEN
        prompt = frame + task.input_tokens + 2 * task.output_tokens
        batch = _bounded(prompt, judge.max_tokens)
    return _sum_up(blank, [(calls, batch)], judge.price, policy.run.concurrency)


def _sum_up(
    blank: PlannedCost, batches: list[tuple[int, PerRequest]], price: Price, concurrency: int
) -> PlannedCost:
    requests = sum(n for n, _ in batches)
    input_tokens = sum(n * each.input_tokens for n, each in batches)
    cached_tokens = sum(n * each.cached_tokens for n, each in batches)
    output_tokens = sum(n * each.output_tokens for n, each in batches)
    hours = sum(n * each.seconds(concurrency) for n, each in batches) / 3600
    usd = price.token_usd(input_tokens, output_tokens, cached_tokens)
    by_batch = None if usd is None else usd * (1 - price.batch_discount)
    if price.hourly_usd is not None:
        busy = hours if price.requests_per_hour is None else requests / price.requests_per_hour
        usd = price.hourly_usd * busy / price.utilisation
    return blank.model_copy(
        update={
            "requests": requests, "input_tokens": round(input_tokens),
            "cached_input_tokens": round(cached_tokens), "output_tokens": round(output_tokens),
            "hours": hours, "concurrency": concurrency, "usd": usd, "usd_by_batch": by_batch,
            "is_measured": all(each.is_measured for _, each in batches),
        }
    )  # fmt: skip


def _words(price: Price) -> str:
    if price.hourly_usd is not None:
        busy = "" if price.utilisation == 1 else f", busy {percent(price.utilisation)} of it"
        return f"{money(price.hourly_usd)} an hour{busy}"
    if price.input_usd_per_mtok is None or price.output_usd_per_mtok is None:
        return "no price"
    dated = f", of {price.as_of}" if price.as_of else ""
    return f"{money(price.input_usd_per_mtok)} in, {money(price.output_usd_per_mtok)} out{dated}"
