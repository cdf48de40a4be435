"""What requests cost, how that was computed, and from which volume on an own machine is cheaper."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Table
from ftgate_ext.report.figures import (
    NOT_MEASURED,
    counted,
    end_sentence,
    format_count,
    format_level,
    format_money,
)
from ftgate_ext.report.models import find_operations
from ftgate_ext.wording import money, percent

if TYPE_CHECKING:
    from ftgate_ext.schema import (
        BreakEven,
        Comparisons,
        Operations,
        Price,
        Role,
        RunManifest,
    )


def tabulate_costs(comparisons: Comparisons) -> list[Table]:
    """How the cost of a request is distributed, and in words what it was computed from."""
    found = [(role, find_operations(comparisons, role)) for role in comparisons.roles]
    if not any(o and (o.cost_usd_total is not None or o.cost_usd_estimated) for _, o in found):
        return []
    return [
        Table(
            caption="Cost of a request, over all tasks",
            columns=["Role", "Mean", "Median", "p95", "Most", "Total", "Tokens in", "of these cached", "Tokens out"],
            rows=[_cost_row(role, o) for role, o in found],
            numeric=tuple(range(1, 9)),
            notes=[
                f"{role.capitalize()}: {end_sentence(describe_cost(o, comparisons.prices.get(role)))}"
                for role, o in found
                if o
            ],
        )
    ]  # fmt: skip


def _cost_row(role: Role, o: Operations | None) -> list[str]:
    if o is None:
        return [role, *[NOT_MEASURED] * 8]
    mean = format_money(o.cost_usd_per_request)
    if o.cost_usd_per_request is None and o.cost_usd_estimated is not None:
        mean = f"about {money(o.cost_usd_estimated)}, a guess"
    rest = (o.cost_usd_p50, o.cost_usd_p95, o.cost_usd_max, o.cost_usd_total)
    tokens = (o.input_tokens, o.cached_input_tokens, o.output_tokens)
    mark = " (some estimated)" if o.n_tokens_estimated else ""
    counts = [format_count(n) for n in tokens]
    return [role, mean, *map(format_money, rest), counts[0] + mark, counts[1], counts[2] + mark]


def describe_cost(operations: Operations, price: Price | None) -> str:
    """How a model's costs were computed, or why there are none."""
    if operations.cost_usd_per_request is None:
        return _why_no_cost(operations, price)
    method = operations.cost_method
    if price is None or method in (None, "recorded"):
        return "cost as the journal recorded it when the requests were asked"
    if method == "tokens":
        return f"tokens as the server counted them, {describe_price(price)}{_of_cache(operations, price)}"
    paid = describe_price(price)
    idle = _idle(price)
    if method == "declared_throughput":
        return (
            f"{paid}, over the declared {price.requests_per_hour or 0:,.0f} requests an hour{idle}"
        )
    speed = operations.requests_per_hour
    served = f"; it answered {speed:,.0f} requests an hour while it had any" if speed else ""
    return f"{paid}, each moment shared among the requests then in flight{idle}{served}. More in flight may serve more, at a lower cost"


def _why_no_cost(operations: Operations, price: Price | None) -> str:
    if operations.cost_usd_estimated is not None:
        n = counted(operations.n_tokens_estimated, "request")
        return f"the server did not count the tokens of {n}; the guess takes 4 characters for a token, and no rule looks at it"
    if price is None or not price.is_known:
        return "no cost: the policy states no price"
    if not operations.n_requests:
        return "no cost: its requests were not timed or counted"
    return "no cost: the server did not count the tokens of every request"


def describe_price(price: Price) -> str:
    """'$2.00 in and $8.00 out per 1M tokens (listed as gpt-4.1, 2025-04-14, OpenAI ...)'."""
    listed = f"listed as {price.listed}" if price.listed else None
    origin = ", ".join(part for part in (listed, price.as_of, price.source) if part)
    origin = f" ({origin})" if origin else ""
    if price.hourly_usd is None:
        figures = f"{format_money(price.input_usd_per_mtok)} in, {format_money(price.output_usd_per_mtok)} out per 1M tokens"
        if price.cached_input_usd_per_mtok is not None:
            figures += f", {money(price.cached_input_usd_per_mtok)} for cached input"
        return figures + origin
    gpus = ""
    if price.usd_per_gpu_hour is not None:
        gpus = f": {counted(price.gpus, 'GPU')} at {money(price.usd_per_gpu_hour)}"
    return f"{money(price.hourly_usd)} an hour of the machine{gpus}{origin}"


def _of_cache(operations: Operations, price: Price) -> str:
    if operations.cached_input_tokens is None:
        return "; the server does not say which of them came from its cache: all count in full"
    return "" if price.cached_input_usd_per_mtok is not None else "; no price for cached input is stated: it counts in full"  # fmt: skip


def _idle(price: Price) -> str:
    if price.utilisation == 1:
        return "; hours without work are not counted (utilisation 100 %)"
    return f"; the machine works in {percent(price.utilisation)} of the paid hours"


def warn_about_prices(comparisons: Comparisons, manifest: RunManifest) -> list[str]:
    """Prices that were old when the run began, and costs that rest on guessed tokens."""
    day = _day_of(manifest.created_at)
    prices = {card.role: card.price for card in manifest.models if not card.absent}
    prices |= comparisons.prices
    warnings = []
    for role, price in prices.items():
        if day and (warning := price.age_warning(day)):
            warnings.append(f"{role}: {warning}.")
    for role in comparisons.roles:
        operations = find_operations(comparisons, role)
        if operations and operations.n_tokens_estimated:
            n = counted(operations.n_tokens_estimated, "request")
            warnings.append(
                f"{role}: the tokens of {n} were estimated from the length of the texts, because the server did not count them. A cost per token made of them is a guess."
            )
    return warnings


def _day_of(stamp: str) -> date | None:
    try:
        return datetime.fromisoformat(stamp).date()
    except ValueError:
        return None


# --- own machine or API


def tabulate_break_even(comparisons: Comparisons) -> list[Table]:
    """From which volume on the candidate's machine is cheaper than each API."""
    if not comparisons.break_even:
        return []
    return [
        Table(
            caption="From which volume on the candidate's own machine is cheaper",
            columns=["Against", "API, a request", "Machine, an hour", "Cheaper above, requests a day", "A month", "It serves a day"],
            rows=[_break_even_row(found) for found in comparisons.break_even],
            numeric=(1, 2, 3, 4, 5),
            notes=[
                *(f"Against {found.api}: {_verdict(found)}" for found in comparisons.break_even),
                "Taken for granted: requests like those of the eval sets, answered equally well; a machine that is paid around the clock, whether it works or not; months of 30 days; no wages and no rebates. Each further machine pays from as many requests again."
            ],
        )
    ]  # fmt: skip


def _break_even_row(found: BreakEven) -> list[str]:
    cost = format_money(found.usd_per_request.value if found.usd_per_request else None)
    hour = format_money(found.usd_per_hour)
    if found.requests_per_hour is None:
        return [found.api, cost, hour, *["not known"] * 3]
    served = "not known" if found.capacity_per_hour is None else _volume(24 * found.capacity_per_hour)  # fmt: skip
    month = _volume(found.requests_per_month or 0.0)
    return [found.api, cost, hour, _with_limits(found), month, served]


def _with_limits(found: BreakEven) -> str:
    volume = found.requests_per_hour
    if volume is None:
        return "not known"
    text = _volume(24 * volume.value)
    if volume.lower is None or volume.upper is None:
        return f"{text} (no interval)"
    ends = f"{_volume(24 * volume.lower)} to {_volume(24 * volume.upper)}"
    return f"{text} ({format_level(volume.level)} CI {ends})"


def _volume(requests: float) -> str:
    """Three significant digits are enough for a volume."""
    return f"{float(f'{requests:.3g}'):,.0f}" if requests >= 10 else f"{requests:.2g}"


def _verdict(found: BreakEven) -> str:
    if found.capacity_per_hour is None:
        return end_sentence(found.unavailable or "")
    kind = "declared" if found.capacity_is_declared else "measured"
    if found.pays:
        unsure = " At the upper limit it could not." if found.pays_at_limits is False else ""
        return f"One machine can serve that ({kind} throughput).{unsure}"
    idle = f" and a utilisation of {percent(found.utilisation)}" if found.utilisation < 1 else ""
    needed = found.utilisation_needed
    if needed is not None and needed <= 1:
        return f"Not at this {kind} throughput{idle}: it would pay if the machine worked in {percent(needed)} of the paid hours or more."
    return f"Never at this {kind} throughput{idle}: that volume takes {found.machines or 0:,} machines, each of which is paid."


def describe_break_even(comparisons: Comparisons, api: Role) -> list[str]:
    """The break-even against one API in sentences; why there is none, where there is none."""
    found = next((b for b in comparisons.break_even if b.api == api), None)
    if found is None:
        mine = comparisons.prices.get("candidate")
        if mine is None or mine.hourly_usd is None:
            return ["No break-even volume: the candidate has no price by the hour."]
        return [f"No break-even volume: {api} has no price per token."]
    if found.requests_per_hour is None:
        return [f"No break-even volume: {end_sentence(found.unavailable or '')}"]
    machine = format_money(found.usd_per_hour)
    sentence = f"A machine at {machine} an hour is cheaper than {api} from {_with_limits(found)} requests a day on"
    return [end_sentence(sentence), _verdict(found)]
