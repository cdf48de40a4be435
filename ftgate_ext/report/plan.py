"""A plan -> plain text for a terminal of 100 columns. Knows types only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.report.figures import counted, listed, short_hash
from ftgate_ext.report.tables import COLUMNS, NONE, lay_out
from ftgate_ext.report.text import wrap_line
from ftgate_ext.wording import money

if TYPE_CHECKING:
    from ftgate_ext.plan.planned import Plan, PlannedCost, PlannedPart, PlannedRule

RULE_COLUMNS = [
    "", "Rule", "Evidence", "n", "Sees", "Equal", "At limit", "Worse", "Good", "Enough",
]  # fmt: skip
LEGEND = (
    "Sees: the smallest true difference that shows in 80 of 100 runs (two-sided 5 %). Then the chance "
    "to PASS of a candidate that is equal to the model it is compared with; exactly at the rule's own "
    "limit; worse by twice the margin (by 2 pt or 10 % where the margin is 0); clearly good: 5 pt better, "
    "60 % wins, 99.5 % where 98 % is the floor, no loss where the rule only forbids one. Enough: the n "
    "at which the good one passes 80 times in 100 (point rules and screens: as `proven`; a regression "
    "suite: that sees 1 % of cases broken)."
)


def plan_text(plan: Plan) -> str:
    """The whole plan: rules, what is weak, the gate as a whole, sizes, cost, and what to do next."""
    blocks = [
        _opening(plan), _whole(plan), _rules(plan), wrap_line(LEGEND, COLUMNS), _weak(plan),
        _assumptions(plan), _sizes(plan), _costs(plan), _next(plan),
    ]  # fmt: skip
    return "\n\n".join("\n".join(block) for block in blocks if block)


def refusal_line(rule: PlannedRule) -> str:
    """One line on a rule that cannot decide at its size."""
    return f"{rule.name}: {rule.refusal}. To accept that: --allow {rule.name!r}"


def _opening(plan: Plan) -> list[str]:
    grounds = (
        f"Spread and cost from the run {plan.from_run} where it has them."
        if plan.from_run
        else "Spread and cost are assumptions; `--from RUN` takes them from an earlier run."
    )
    lines = wrap_line(
        f"Plan of {plan.policy_name!r} (policy {short_hash(plan.policy_hash)}). Nothing is asked, nothing is spent. {grounds}",
        COLUMNS,
    )
    for correction in plan.corrections:
        lines += wrap_line(correction, COLUMNS)
    return lines


# --- the rules


def _rules(plan: Plan) -> list[str]:
    rows, before = [], None
    for rule in plan.rules:
        if rule.any_of and (before is None or before.any_of != rule.any_of):
            rows.append(_heading(f"{rule.any_of}, any of:"))
        if rule.route and (before is None or before.route != rule.route):
            rows.append(_heading(f"- {rule.route}:"))
        before = rule
        rows.append(_rule_row(rule))
    return lay_out(RULE_COLUMNS, rows, flexible=(1,), right=tuple(range(3, len(RULE_COLUMNS))))


def _heading(text: str) -> list[str]:
    return ["", text, *[""] * (len(RULE_COLUMNS) - 2)]


def _rule_row(rule: PlannedRule) -> list[str]:
    mark = "!" if rule.refusal else "*" if rule.warning else ""
    chances = [rule.chance_equal, rule.chance_at_limit, rule.chance_worse, rule.chance_good]
    return [
        mark, rule.name, rule.evidence, _count(rule.n), _seen(rule),
        *map(_chance, chances), _count(rule.n_enough),
    ]  # fmt: skip


def _seen(rule: PlannedRule) -> str:
    if rule.mde is None:
        return NONE
    unit = "%" if rule.n_of == "requests" or rule.kind == "no_regression" else "pt"
    return f"{100 * rule.mde:.1f} {unit}"


def _count(n: int | None) -> str:
    return NONE if n is None else f"{n:,}"


def _chance(chance: float | None) -> str:
    if chance is None:
        return NONE
    if chance < 0.01:
        return "<1 %"
    if chance > 0.99:
        return ">99 %"
    return f"{100 * chance:.0f} %"


def _assumptions(plan: Plan) -> list[str]:
    """Each assumption once, with the rules that rest on it."""
    by_words: dict[str, list[str]] = {}
    for rule in plan.rules:
        for words in (rule.assumption, rule.note):
            if words:
                by_words.setdefault(words, []).append(rule.name)
    lines = [_item(f"{words}: {listed(names)}") for words, names in by_words.items()]
    return ["Assumed and known:", *(line for item in lines for line in item)] if lines else []


def _item(text: str) -> list[str]:
    first, *rest = wrap_line(text, COLUMNS - 2)
    return [f"- {first}", *(f"  {line}" for line in rest)]


# --- what it comes to


def _weak(plan: Plan) -> list[str]:
    refused = [
        _item(f"{r.name}: {'allowed, but ' if r.is_allowed else ''}{r.refusal}")
        for r in plan.rules
        if r.refusal
    ]
    weak = [_item(f"{r.name}: {r.warning}") for r in plan.rules if r.warning]
    lines = []
    if refused:
        lines += ["Cannot decide at this size (!):", *(x for item in refused for x in item)]
    if weak:
        lines += ["Hardly can (*):", *(line for item in weak for line in item)]
    return lines or ["Every rule can decide at the size of its set."]


def _whole(plan: Plan) -> list[str]:
    if plan.chance_all_good is None or plan.chance_all_equal is None:
        return []
    hardly = sum(rule.warning is not None for rule in plan.rules)
    cannot = sum(rule.refusal is not None for rule in plan.rules)
    text = (
        f"Of {counted(len(plan.rules), 'rule')} {cannot} cannot decide at this size (!) and {hardly} hardly can (*). "
        f"The whole gate: a candidate that is good everywhere passes every rule in {_small(plan.chance_all_good)} of runs, "
        f"one that differs in nothing in {_small(plan.chance_all_equal)} (product of the chances, as if rules were independent)."
    )
    weakest = next((r for r in plan.rules if r.name == plan.weakest), None)
    if weakest and plan.needed_each is not None:
        text += (
            f" Weakest: {weakest.name} ({_chance(weakest.chance_good)}). For 80 % each part would need "
            f"{_small(plan.needed_each)}."
        )
    if plan.left_out_of_product:
        text += f" Taken to hold: {listed(plan.left_out_of_product)}."
    return wrap_line(text, COLUMNS)


def _small(chance: float) -> str:
    if chance < 0.001:
        return "less than 0.1 %"
    return f"{100 * chance:.1f} %" if chance < 0.995 else "more than 99 %"


def _sizes(plan: Plan) -> list[str]:
    names = list(dict.fromkeys(name for row in plan.mde_table for name in row.mde))
    if not names:
        return []
    rows = [
        [f"{row.n:,}", row.task or "", *(_mde_cell(row.mde, name) for name in names)]
        for row in plan.mde_table
    ]
    table = lay_out(["n", "Eval set", *names], rows, flexible=(1,), right=(0, *range(2, 2 + len(names))))  # fmt: skip
    title = "Smallest difference seen in 80 of 100 runs; common sizes with the spread of the first such rule:"  # fmt: skip
    return [title, *table]


def _mde_cell(mde: dict[str, float | None], name: str) -> str:
    if name not in mde:
        return ""
    found = mde[name]
    return NONE if found is None else f"{100 * found:.1f} pt"


# --- cost


def _costs(plan: Plan) -> list[str]:
    rows = [row for cost in plan.costs for row in [_cost_row(cost), *map(_part_row, cost.parts)]]
    columns = ["Cost", "Model", "Requests", "Tokens in", "Tokens out", "Dollars", "Hours", "Price"]
    table = lay_out(columns, rows, flexible=(1, 7), right=(2, 3, 4, 5, 6))
    taking_part = [cost for cost in plan.costs if cost.left_out is None]
    unpriced = [cost.role for cost in taking_part if cost.usd is None]
    text = "Nothing here has a price."
    if plan.usd_known is not None:
        text = f"Together {money(plan.usd_known)}; prices are per million tokens or per hour."
    if unpriced and plan.usd_known is not None:
        text += f" Without a price: {listed(unpriced)}."
    at_once = {cost.concurrency for cost in taking_part if cost.concurrency}
    if at_once:
        text += f" Hours: with {' or '.join(map(str, sorted(at_once)))} requests in flight."
    judge = next((c for c in taking_part if c.role == "judge"), None)
    text += _by_batch(judge) if judge else ""
    if not all(cost.is_measured for cost in taking_part):
        text += (
            " Guesses (~): prompts at 4 characters a token; answers as long as the task or run.max_tokens "
            "allows, the judge's as long as judge.max_tokens, an upper bound; 500 tokens in and 512 out where the data is not here; hours at 50 tokens "
            "a second and request."
        )
    old = [f"{c.role}: {c.old_price}." for c in taking_part if c.old_price]
    asked = [f"judge, {p.what}: {p.note}." for p in (judge.parts if judge else []) if p.note]
    notes = [line for note in [*plan.notes, *asked, *old] for line in _item(note)]
    return [*table, *wrap_line(text, COLUMNS), *notes]


def _by_batch(judge: PlannedCost) -> str:
    """What the judge would cost through the API's batches; nothing where there are none."""
    if judge.usd_by_batch is None or judge.usd is None or judge.usd_by_batch == judge.usd:
        return ""
    alone = [part.what for part in judge.parts if part.usd_by_batch is None]
    but = f" ({listed(alone)} at the full price)" if alone else ""
    return f" The judge at the API's batch price (`ftgate judge RUN --batch`): {money(judge.usd_by_batch)} instead of {money(judge.usd)}{but}."


def _part_row(part: PlannedPart) -> list[str]:
    about = "" if part.is_measured else "~"
    dollars = NONE if part.usd is None else f"{about}{money(part.usd)}"
    return [
        "", f"- {part.what}", f"{part.requests:,}", _about(about, part.input_tokens),
        _about(about, part.output_tokens), dollars, _hours(about, part.hours), "",
    ]  # fmt: skip


def _cost_row(cost: PlannedCost) -> list[str]:
    if cost.left_out:
        return [cost.role, cost.model, "left out", *[""] * 5]
    about = "" if cost.is_measured else "~"
    dollars = "no price" if cost.usd is None else f"{about}{money(cost.usd)}"
    return [
        cost.role, cost.model, f"{cost.requests:,}", _about(about, cost.input_tokens),
        _about(about, cost.output_tokens), dollars, _hours(about, cost.hours), cost.price,
    ]  # fmt: skip


def _about(mark: str, tokens: int | None) -> str:
    if tokens is None:
        return NONE
    for size, unit in ((1_000_000, "M"), (1000, "k")):
        if tokens >= size:
            return f"{mark}{tokens / size:.3g}{unit}"
    return f"{mark}{tokens}"


def _hours(mark: str, hours: float | None) -> str:
    if hours is None:
        return NONE
    return "<0.1" if hours < 0.1 else f"{mark}{hours:.1f}"


# --- what to do


def _next(plan: Plan) -> list[str]:
    steps = [*_growth(plan), *_margins(plan)]
    refused = plan.refused
    if refused:
        rules = counted(len(refused), "rule")
        steps.append(
            f"{rules} cannot decide: mend the set or the rule, or allow it by name (`--allow NAME`)."
        )
    if not steps:
        steps.append("`ftgate check` tries servers and keys, then `ftgate gate` runs it.")
    return ["Next:", *(line for step in steps for line in _item(step))]


def _growth(plan: Plan) -> list[str]:
    """Which sets are too small, and how large they would have to be for all their rules."""
    wanted: dict[tuple[str, str], tuple[int, int]] = {}
    for rule in plan.rules:
        weak = rule.warning or rule.refusal
        if not (weak and rule.n_enough and rule.task and rule.n is not None):
            continue
        if rule.n_enough <= rule.n:
            continue
        part = _part(rule, plan)
        before = wanted.get((rule.task, part), (rule.n, 0))[1]
        wanted[rule.task, part] = (rule.n, max(before, rule.n_enough))
    if not wanted:
        return []
    grown = [
        f"{task}{f' ({part})' if part else ''} {have:,} to {need:,}"
        for (task, part), (have, need) in wanted.items()
    ]
    return [f"Add cases: {'; '.join(grown)}. Sets that cannot grow: pool them, or ask for `screen` and say so."]  # fmt: skip


def _part(rule: PlannedRule, plan: Plan) -> str:
    """Which cases of its set a rule looks at, where these are not all."""
    if rule.kind == "per_bucket":
        return "each bucket"
    whole = next((s.n for s in plan.sets if s.task == rule.task), None)
    return "" if rule.n_of == "pairs" or rule.n == whole else rule.metric or ""


def _margins(plan: Plan) -> list[str]:
    """Rules that a margin would mend, with the one that this size can prove."""
    lines = [
        f"{rule.name}: {rule.n:,} cases can prove a margin of {100 * rule.provable_margin:.1f} pt"
        for rule in plan.rules
        if (rule.warning or rule.refusal) and rule.provable_margin and rule.n
    ]
    return [f"Or another margin: {'; '.join(lines)}."] if lines else []
