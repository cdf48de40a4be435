"""Policy and sizes -> requests, tokens, dollars and hours, before anything is spent.

From an earlier run's figures per request where there is one; else bounds from prompts and limits.
"""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

from ftgate_ext.plan.absent import why_left_out
from ftgate_ext.plan.judge_calls import plan_judge_calls
from ftgate_ext.plan.per_request import PerRequest, as_measured, bound_request
from ftgate_ext.plan.planned import PlannedCost, PlannedPart
from ftgate_ext.policy_servers import EMBEDDED
from ftgate_ext.wording import money, percent

if TYPE_CHECKING:
    from pathlib import Path

    from ftgate_ext.plan.assumptions import EarlierRun
    from ftgate_ext.plan.judge_calls import JudgeCalls
    from ftgate_ext.plan.sets import SizedSet
    from ftgate_ext.policy import Policy
    from ftgate_ext.policy_judge import JudgeSpec
    from ftgate_ext.schema import Price, Role

    Batches = list[tuple[int, PerRequest]]


def plan_costs(
    policy: Policy,
    sets: dict[str, SizedSet],
    earlier: EarlierRun | None,
    today: date | None = None,
    folder: Path | None = None,
) -> list[PlannedCost]:
    """What asking every model, and the judge, will take.

    Args:
        policy: With prices, or without.
        sets: Sizes of its eval sets.
        earlier: Whose figures replace guesses.
        today: Prices may be old by then.
        folder: Of gate.yaml, to which the files that it names are relative.
    """
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
        calls = plan_judge_calls(policy, sets, earlier, folder)
        blank = _blank("judge", policy.judge.model, policy.judge.price, today)
        costs.append(_judge_cost(blank, policy.judge, calls, policy.run.concurrency))
    return costs


def _per_request(
    policy: Policy, sized: SizedSet, role: Role, earlier: EarlierRun | None
) -> PerRequest:
    measured = earlier.per_request(role, sized.spec.task) if earlier else None
    return as_measured(measured) if measured else bound_request(policy, sized)


def _blank(role: Role | Literal["judge"], model: str, price: Price, today: date) -> PlannedCost:
    return PlannedCost(
        role=role, model=model, price=_words(price), old_price=price.age_warning(today)
    )


def _judge_cost(
    blank: PlannedCost, judge: JudgeSpec, calls: list[JudgeCalls], concurrency: int
) -> PlannedCost:
    parts = [_part(judge, each, concurrency) for each in calls]
    whole = _sum_up(blank, [(c.calls, c.each) for c in calls], judge.price, concurrency)
    batched = [p.usd if p.usd_by_batch is None else p.usd_by_batch for p in parts]
    known = sum(usd for usd in batched if usd is not None)
    has_batches = any(p.usd_by_batch is not None for p in parts)
    return whole.model_copy(update={"parts": parts, "usd_by_batch": known if has_batches else None})


def _part(judge: JudgeSpec, calls: JudgeCalls, concurrency: int) -> PlannedPart:
    part = PlannedPart(
        what=calls.what, note=calls.note, **_figures([(calls.calls, calls.each)], judge.price, concurrency)
    )  # fmt: skip
    if calls.can_batch and judge.endpoint != EMBEDDED:
        return part
    return part.model_copy(update={"usd_by_batch": None})


def _sum_up(blank: PlannedCost, batches: Batches, price: Price, concurrency: int) -> PlannedCost:
    figures = _figures(batches, price, concurrency)
    return blank.model_copy(update={**figures, "concurrency": concurrency})


def _figures(batches: Batches, price: Price, concurrency: int) -> dict[str, Any]:
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
    return {
        "requests": requests, "input_tokens": round(input_tokens),
        "cached_input_tokens": round(cached_tokens), "output_tokens": round(output_tokens),
        "hours": hours, "usd": usd, "usd_by_batch": by_batch,
        "is_measured": all(each.is_measured for _, each in batches),
    }  # fmt: skip


def _words(price: Price) -> str:
    if price.hourly_usd is not None:
        busy = "" if price.utilisation == 1 else f", busy {percent(price.utilisation)} of it"
        return f"{money(price.hourly_usd)} an hour{busy}"
    if price.input_usd_per_mtok is None or price.output_usd_per_mtok is None:
        return "no price"
    dated = f", of {price.as_of}" if price.as_of else ""
    return f"{money(price.input_usd_per_mtok)} in, {money(price.output_usd_per_mtok)} out{dated}"
