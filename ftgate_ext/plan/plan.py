"""gate.yaml -> whether its sets can decide it at all, and what that will cost, before anything is spent.

Needs no network, no key and no running model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.plan.absent import missing_key, why_left_out
from ftgate_ext.plan.assumptions import EarlierRun, Spread
from ftgate_ext.plan.cost import plan_costs
from ftgate_ext.plan.judging import judging_notes
from ftgate_ext.plan.planned import MdeRow, Plan, PlannedRule
from ftgate_ext.plan.power import POWER, Claim
from ftgate_ext.plan.rules import Ground, effective_cases, plan_rule
from ftgate_ext.plan.sets import SizedSet, size_sets
from ftgate_ext.plan.verdicts import why_refused, why_weak
from ftgate_ext.policy import load_policy
from ftgate_ext.policy_benchmarks import describe_choices
from ftgate_ext.policy_problems import near
from ftgate_ext.policy_rules import AnyRoute, WinRate, metrics_of, plain_rules
from ftgate_ext.schema import LookUse, PolicyError
from ftgate_ext.settings import settings_of
from ftgate_ext.stats.planning import chance_all_pass, needed_each

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ftgate_ext.policy import Policy
    from ftgate_ext.policy_rules import PlainRule

COMMON_SIZES = (50, 200, 500, 1000)


def make_plan(policy_file: Path, from_run: Path | None = None, allowed: Sequence[str] = ()) -> Plan:
    """Plan a gate.

    Args:
        policy_file: A gate.yaml.
        from_run: An earlier run that was compared; its figures replace assumptions.
        allowed: Names of rules whose refusal is overridden.

    Raises:
        PolicyError: The policy is broken, or a name in `allowed` is no rule of it.
        EvalSetError: Data is broken, or neither here nor stated as `cases`.
        RunError: `from_run` holds no comparisons.
    """
    policy = load_policy(policy_file)
    rules = plain_rules(policy.rules)
    names = [rule.name for rule in rules]
    for name in allowed:
        if name not in names:
            raise PolicyError(f"--allow {name!r}: there is no such rule{near(name, names)}")
    earlier = EarlierRun(from_run) if from_run else None
    look = policy.looks
    last = LookUse(number=look.planned, planned=look.planned, boundary=look.boundary) if look else None  # fmt: skip
    ground = Ground(policy, size_sets(policy, policy_file), settings_of(policy, last), earlier)
    planned = [_judge_rule(rule, ground, rule.name in allowed) for rule in rules]
    by_name = {rule.name: rule for rule in planned}
    good = {rule.name: rule.chance_good for rule in planned if rule.chance_good is not None}
    costs = plan_costs(policy, ground.sets, earlier, folder=policy_file.parent)
    priced = [cost.usd for cost in costs if cost.usd is not None]
    parts = sum(_any_chance(rule, by_name, "chance_good") is not None for rule in policy.rules)
    return Plan(
        policy_name=policy.name, policy_hash=policy.policy_hash,
        from_run=str(from_run) if from_run else None,
        sets=[sized.planned() for sized in ground.sets.values()],
        rules=[_with_route(policy, rule) for rule in planned], mde_table=_mde_table(rules, ground),
        costs=costs, usd_known=sum(priced) if priced else None,
        chance_all_equal=_whole(policy, by_name, "chance_equal"),
        chance_all_good=_whole(policy, by_name, "chance_good"),
        left_out_of_product=[rule.name for rule in planned if rule.chance_good is None],
        weakest=min(good, key=lambda name: good[name]) if good else None,
        needed_each=needed_each(parts, POWER) if parts else None,
        corrections=_corrections(policy, ground),
        notes=[*_draws(rules, ground), *_notes(policy, rules, ground.sets)],
    )  # fmt: skip


def _judge_rule(rule: PlainRule, ground: Ground, is_allowed: bool) -> PlannedRule:
    if any(ground.sets[part.task].size_of(part.metric).n == 0 for part in metrics_of(rule)):
        planned = PlannedRule(name=rule.name, kind=rule.kind, evidence=rule.evidence, n=0)
    else:
        planned = plan_rule(rule, ground)
    refusal = why_refused(rule, planned, ground)
    return planned.model_copy(
        update={
            "refusal": refusal, "is_allowed": is_allowed and refusal is not None,
            "warning": None if refusal else why_weak(rule, planned),
        }
    )  # fmt: skip


def _with_route(policy: Policy, planned: PlannedRule) -> PlannedRule:
    for rule in policy.rules:
        for route in rule.routes if isinstance(rule, AnyRoute) else []:
            if any(inner.name == planned.name for inner in route.rules):
                return planned.model_copy(update={"any_of": rule.name, "route": route.name})
    return planned


# --- the gate as a whole


def _whole(policy: Policy, planned: dict[str, PlannedRule], which: str) -> float | None:
    """The chance that every rule passes, as if they were independent."""
    chances = [_any_chance(rule, planned, which) for rule in policy.rules]
    known = [chance for chance in chances if chance is not None]
    return chance_all_pass(known) if known else None


def _any_chance(
    rule: PlainRule | AnyRoute, planned: dict[str, PlannedRule], which: str
) -> float | None:
    """The chance of a rule; of one with routes, that any of them holds; None where nobody knows."""
    if not isinstance(rule, AnyRoute):
        return getattr(planned[rule.name], which)  # type: ignore[no-any-return]
    routes = []
    for route in rule.routes:
        inner = [getattr(planned[r.name], which) for r in route.rules]
        known = [chance for chance in inner if chance is not None]
        if known:
            routes.append(chance_all_pass(known))
    return 1 - chance_all_pass([1 - chance for chance in routes]) if routes else None


# --- what is said besides


def _corrections(policy: Policy, ground: Ground) -> list[str]:
    lines = []
    if policy.looks:
        planned, boundary = policy.looks.planned, policy.looks.boundary
        alphas = [
            settings_of(policy, LookUse(number=k, planned=planned, boundary=boundary))
            .alphas("*").one_sided
            for k in range(1, planned + 1)
        ]  # fmt: skip
        each = ", ".join(f"{alpha:.2g}" for alpha in alphas)
        lines.append(
            f"{planned} looks are planned ({boundary}): one-sided test levels {each} instead of 0.05. Figures here are those of the last look, with all cases in."
        )
    if policy.selection:
        tasks = ", ".join(policy.selection.tasks)
        alpha = ground.settings.alphas(policy.selection.tasks[0])
        lines.append(
            f"The candidate is the best of {policy.selection.checkpoints} checkpoints on {tasks}: test levels there are {alpha.one_sided:.2g} one-sided and {alpha.two_sided:.2g} two-sided."
        )
    return lines


def _notes(policy: Policy, rules: list[PlainRule], sets: dict[str, SizedSet]) -> list[str]:
    notes = []
    wanted: dict[str, list[str]] = {}
    for role in policy.roles:
        if missing := why_left_out(policy, role):
            against = [r.name for r in rules if getattr(r, "against", None) == role]
            open_rules = f" These rules would stay INCONCLUSIVE: {', '.join(against)}." if against else ""  # fmt: skip
            notes.append(f"{role} is left out: {missing}.{open_rules}")
        elif missing := missing_key(policy, policy.models[role]):
            wanted.setdefault(missing, []).append(role)
    if policy.judge and (missing := missing_key(policy, policy.judge)):
        wanted.setdefault(missing, []).append("judge")
    notes += [
        f"{spec.task}: clusters by {spec.cluster} are not counted, its rows are not here; they make it see less."
        for spec in policy.eval_sets
        if spec.cluster != "cluster" and not sets[spec.task].members
    ]
    needed = [f"Needed by {' and '.join(who)}: {missing}." for missing, who in wanted.items()]
    return [*describe_choices(policy), *notes, *judging_notes(policy, sets), *needed]


# --- the smallest effect by size


def _draws(rules: list[PlainRule], ground: Ground) -> list[str]:
    """What it costs to ask a part of a benchmark only, by the first rule on it."""
    told: dict[str, str] = {}
    for rule in rules:
        for part in metrics_of(rule):
            sized = ground.sets[part.task]
            n, whole = sized.n, sized.n_whole
            if part.task in told or sized.spec.sample is None or n >= whole:
                continue
            spread = ground.spread(part.task, part.metric, getattr(rule, "against", "production"))
            seen, all_seen = (_mde(spread, x, x, ground, part.task) for x in (n, whole))
            told[part.task] = (
                f"{part.task}: {n:,} of {whole:,} cases are drawn: sees {_points(seen)}; all {whole:,} cases would see {_points(all_seen)}."
            )
    return list(told.values())


def _points(mde: float | None) -> str:
    return "nothing" if mde is None else f"{100 * mde:.1f} pt"


def _mde_table(rules: list[PlainRule], ground: Ground) -> list[MdeRow]:
    """Common sizes with the spread of the first such rule, and every set with its own."""
    common: dict[str, Spread] = {}
    own: dict[tuple[str, int], dict[str, float | None]] = {}
    judge = ground.policy.judge
    for rule in rules:
        parts = [(part.task, part.metric) for part in metrics_of(rule)]
        if isinstance(rule, WinRate) and judge:
            parts = [(judge.task, "win_rate")]
        for task, metric in parts:
            sized = ground.sets[task]
            spread = ground.spread(task, metric, getattr(rule, "against", "production"))
            name = KIND_WORDS[spread.kind]
            common.setdefault(name, spread)
            size = sized.size_of(metric)
            if size.n:
                seen = _mde(spread, size.n, effective_cases(size, spread), ground, task)
                own.setdefault((task, size.n), {})[name] = seen
    rows = [
        MdeRow(n=n, mde={name: _mde(s, n, n, ground, "*") for name, s in common.items()})
        for n in COMMON_SIZES
    ]
    rows += [MdeRow(n=n, task=task, mde=mde) for (task, n), mde in own.items()]
    return sorted(rows, key=lambda row: (row.n, row.task or ""))


KIND_WORDS = {"binary": "pass/fail", "f1": "F1", "mean": "grades", "win_rate": "win rate"}


def _mde(spread: Spread, n: int, effective: float, ground: Ground, task: str) -> float | None:
    return Claim(spread, n, effective, 0.0, "significant", ground.settings.alphas(task)).mde
