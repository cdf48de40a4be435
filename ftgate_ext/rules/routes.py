"""Several ways to pass: one whose rules all hold is enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.schema import Outcome, RuleResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.policy_rules import AnyRoute


def join_routes(rule: AnyRoute, results: list[list[RuleResult]]) -> RuleResult:
    """PASS if one route holds, FAIL if none can, else INCONCLUSIVE.

    The chance to pass by luck is at most the sum over the routes.
    """
    outcomes = [all_must_hold([r.outcome for r in route]) for route in results]
    points = [all_must_hold([r.point_outcome for r in route]) for route in results]
    names = [route.name for route in rule.routes]
    outcome = _any(outcomes)
    states = [
        f"{name}: {_state(o, r)}" for name, o, r in zip(names, outcomes, results, strict=True)
    ]
    closest = min(range(len(results)), key=lambda i: _distance(results[i]))
    step = None
    if outcome != "PASS":
        open_steps = [f"{r.name}: {r.next_step}" for r in results[closest] if r.next_step]
        step = f"Closest is the route {names[closest]!r}. {open_steps[0] if open_steps else ''}".strip()
    return RuleResult(
        name=rule.name, kind=rule.kind, evidence="any", outcome=outcome,
        asked="one of: " + "; ".join(names), seen="; ".join(states),
        sentence=_sentence(outcome, names, outcomes, states), next_step=step,
        point_outcome=_any(points), parts=[
            RuleResult(
                name=name, kind="route", evidence="all", outcome=o, asked="all of its rules", seen=_state(o, r),
                sentence=f"{name}: {_state(o, r)}.", point_outcome=p, parts=r,
            )
            for name, o, p, r in zip(names, outcomes, points, results, strict=True)
        ],
    )  # fmt: skip


def all_must_hold(outcomes: Sequence[Outcome | None]) -> Outcome:
    """The outcome of rules that must all hold; one without an outcome is open."""
    if "FAIL" in outcomes:
        return "FAIL"
    return "PASS" if outcomes and all(o == "PASS" for o in outcomes) else "INCONCLUSIVE"


def _distance(results: list[RuleResult]) -> tuple[int, int]:
    """How far a route is from holding: rules that fail, then rules that are open."""
    outcomes = [r.outcome for r in results]
    return outcomes.count("FAIL"), outcomes.count("INCONCLUSIVE")


def _any(outcomes: list[Outcome]) -> Outcome:
    if "PASS" in outcomes:
        return "PASS"
    return "FAIL" if all(o == "FAIL" for o in outcomes) else "INCONCLUSIVE"


def _state(outcome: Outcome, results: list[RuleResult]) -> str:
    if outcome == "PASS":
        return "holds"
    wrong = [r.name for r in results if r.outcome == outcome]
    return f"{'fails at' if outcome == 'FAIL' else 'open:'} {', '.join(wrong)}"


def _sentence(
    outcome: Outcome, names: list[str], outcomes: list[Outcome], states: list[str]
) -> str:
    if outcome == "PASS":
        return f"Passed by the route {names[outcomes.index('PASS')]!r}."
    ending = "no route holds" if outcome == "FAIL" else "no route is shown to hold"
    return f"{'; '.join(states)}: {ending}."
