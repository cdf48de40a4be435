"""The models of a comparison, one row each: price, cost, speed, tokens, quality, answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Table
from ftgate_ext.report.figures import (
    NOT_MEASURED,
    Scale,
    format_count,
    format_estimate,
    format_money,
    format_seconds,
    format_statuses,
    scale_of,
)
from ftgate_ext.wording import plain

if TYPE_CHECKING:
    from ftgate_ext.schema import Comparisons, Decision, Level, ModelCard, Operations, Role

PERFORMANCE = ["Cost per request", "Latency p50", "p95", "p99", "Tokens in", "Tokens out"]
SAFETY_METRICS = ("refusal_harmful", "refusal_benign")
FORMAT_METRICS = ("conforms", "parses", "valid_review")
SIDE_METRICS = frozenset({*SAFETY_METRICS, *FORMAT_METRICS, "answered"})
"""What a model must keep to, beside the task it is for."""
MATRIX_NOTE = "Cost per 1M tokens is what all requests cost over all their tokens, input and output together, at the mix of this run; the price is what the policy states."


def find_primary(decision: Decision, comparisons: Comparisons) -> tuple[str, str] | None:
    """(task, metric) that the report leads with.

    The first superiority rule names it; without one it is the first F1, else the first metric of a
    rule, else of all, that is not of safety or format: how a model refuses is not how good it is.
    """
    ruled = [(r.kind, r.task, r.metric) for r in decision.rules if r.task and r.metric]
    named = next(((task, metric) for kind, task, metric in ruled if kind == "superiority"), None)
    levels = [(level.task, level.metric) for level in comparisons.levels]
    f1 = next((pair for pair in levels if pair[1] == "f1"), None)
    measured = [(task, metric) for _, task, metric in ruled if (task, metric) in levels]
    main = (pair for pair in [*measured, *levels] if pair[1] not in SIDE_METRICS)
    return named or f1 or next(main, None)


def find_level(comparisons: Comparisons, task: str, metric: str, role: str) -> Level | None:
    """One model's own figure."""
    key = (task, metric, role)
    return next((x for x in comparisons.levels if (x.task, x.metric, x.role) == key), None)


def find_operations(comparisons: Comparisons, role: str, task: str = "*") -> Operations | None:
    """What it took one model to answer a task, or all of them."""
    return next((o for o in comparisons.operations if (o.role, o.task) == (role, task)), None)


def write_level(level: Level | None, scale: Scale) -> str:
    """A model's own figure in one cell, or why there is none."""
    if level is None:
        return NOT_MEASURED
    lacking = f"; {level.n_unscored} without an answer" if level.n_unscored else ""
    if level.estimate is None:
        why = f": {level.unavailable}" if level.unavailable else ""
        return f"{NOT_MEASURED}{why}{lacking}"
    return format_estimate(level.estimate, scale=scale, why=level.no_interval) + lacking


def write_price(card: ModelCard) -> str:
    """The price as the policy states it."""
    price = card.price
    dated = f", {price.listed} of {price.as_of}" if price.listed and price.as_of else ""
    if price.hourly_usd is not None:
        return f"{format_money(price.hourly_usd)} per hour{dated}"
    if price.input_usd_per_mtok is None or price.output_usd_per_mtok is None:
        return "not stated"
    prices = (format_money(price.input_usd_per_mtok), format_money(price.output_usd_per_mtok))
    return f"{prices[0]} in, {prices[1]} out per 1M tokens{dated}"


def write_performance(operations: Operations | None) -> list[str]:
    """The cells under `PERFORMANCE`."""
    if operations is None:
        return [NOT_MEASURED] * len(PERFORMANCE)
    return [
        format_money(operations.cost_usd_per_request),
        format_seconds(operations.latency_p50_s),
        format_seconds(operations.latency_p95_s),
        format_seconds(operations.latency_p99_s),
        format_count(operations.input_tokens),
        format_count(operations.output_tokens),
    ]


def tabulate_models(
    models: list[ModelCard], comparisons: Comparisons, primary: tuple[str, str] | None
) -> Table:
    """The comparison matrix: a column a model of the policy; one that took no part says why."""
    quality = f"{plain(primary[1])} on {primary[0]}" if primary else "quality"
    names = [
        "Model", "Answers", quality, "Cost per request", "Cost per 1M tokens", "Latency p50",
        "Latency p95", "Latency p99", "Tokens in", "Tokens out", "Hosting", "Backend", "Price",
    ]  # fmt: skip
    columns = [_model_column(card, comparisons, primary) for card in models]
    return Table(
        caption="Comparison matrix: all models of the policy",
        columns=["Property", *(card.role for card in models)],
        rows=[[name, *cells] for name, *cells in zip(names, *columns, strict=True)],
        notes=[MATRIX_NOTE],
        is_matrix=True,
    )


def _model_column(
    card: ModelCard, comparisons: Comparisons, primary: tuple[str, str] | None
) -> list[str]:
    operations = None if card.absent else find_operations(comparisons, card.role)
    if card.absent:
        answers, figure = f"absent: {card.absent}", NOT_MEASURED
    else:
        answers = format_statuses(operations) if operations else NOT_MEASURED
        figure = _primary_figure(card.role, comparisons, primary)
    cost, *speed = write_performance(operations)
    per_mtok = format_money(cost_per_mtok(operations) if operations else None)
    return [
        card.name, answers, figure, cost, per_mtok, *speed, card.hosting, card.backend, write_price(card),
    ]  # fmt: skip


def cost_per_mtok(operations: Operations) -> float | None:
    """US dollars per million tokens, input and output together, at the mix that was measured."""
    total, given, made = (
        operations.cost_usd_total, operations.input_tokens, operations.output_tokens
    )  # fmt: skip
    if total is None or given is None or made is None or not given + made:
        return None
    return 1e6 * total / (given + made)


def _primary_figure(role: Role, comparisons: Comparisons, primary: tuple[str, str] | None) -> str:
    if primary is None:
        return NOT_MEASURED
    level = find_level(comparisons, *primary, role)
    return write_level(level, scale_of(comparisons, *primary))


def tabulate_operations(comparisons: Comparisons) -> Table:
    """Cost, speed and answers of the models that have results, without their names."""
    rows = []
    for role in comparisons.roles:
        operations = find_operations(comparisons, role)
        answers = format_statuses(operations) if operations else NOT_MEASURED
        concurrency = format_count(operations.concurrency if operations else None)
        rows.append([role, answers, *write_performance(operations), concurrency])
    return Table(
        caption="Operations, over all tasks",
        columns=["Role", "Answers", *PERFORMANCE, "Concurrency"],
        rows=rows,
        numeric=(2, 3, 4, 5, 6, 7, 8),
    )
