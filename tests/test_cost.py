"""Tests of what requests cost: by tokens, by the hour, and from which volume a machine pays."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import (
    QUICK,
    as_scores,
    make_models,
    make_operations,
    make_policy,
    make_record,
    make_response,
)

from ftgate_ext.audit.measures import measure_budgets, measure_ratio
from ftgate_ext.break_even import find_break_even, find_break_evens
from ftgate_ext.compare import compare_models
from ftgate_ext.costs import declared_cost, reprice, share_time
from ftgate_ext.decision import decide
from ftgate_ext.operations import measure_operations
from ftgate_ext.plan.cost import plan_costs
from ftgate_ext.plan.rules import Ground, plan_rule
from ftgate_ext.plan.sets import SizedSet
from ftgate_ext.plan.verdicts import why_refused
from ftgate_ext.policy import Policy
from ftgate_ext.report.operations import describe_ratio, write_bound
from ftgate_ext.report.plots import plot_rule, share_axes
from ftgate_ext.report.readings import how_sure
from ftgate_ext.report.rules import view_rules
from ftgate_ext.schema import Bound, Comparisons, Estimate, Operations, Price
from ftgate_ext.settings import Settings, settings_of

if TYPE_CHECKING:
    from ftgate_ext.runs import Record
    from ftgate_ext.scores import ModelScores

EPOCH = datetime(2026, 1, 1, tzinfo=timezone.utc)
API = Price(input_usd_per_mtok=2, cached_input_usd_per_mtok=0.5, output_usd_per_mtok=8)


def record(case: str, began_s: float, took_s: float, **fields: Any) -> Record:
    """A request by when it was sent and how long it was in flight."""
    end = EPOCH + timedelta(seconds=began_s + took_s)
    response = make_response(latency_s=took_s, finished_at=end.isoformat(), **fields)
    return make_record(case, response=response, passed=1)


def priced(records: list[Record], price: Price | None) -> Operations:
    """What all requests cost at a price."""
    model: ModelScores = as_scores(make_models(candidate=records))["candidate"]
    settings = Settings(prices={} if price is None else {"candidate": price})
    return measure_operations("candidate", reprice(model, price).tasks, settings)[-1]


# --- per token


def test_tokens_cost_what_the_list_says() -> None:
    """1000 in of which 400 from the cache, 100 out: (600 x 2 + 400 x 0.5 + 100 x 8) / 10^6."""
    rows = [
        record(f"c{i}", i, 1, input_tokens=1000 * i, cached_input_tokens=400 * i, output_tokens=100 * i)
        for i in (1, 2, 3)
    ]  # fmt: skip
    found = priced(rows, API)

    assert found.cost_usd_per_request == pytest.approx(2 * 0.0022)
    assert found.cost_usd_p50 == pytest.approx(0.0044)
    assert (found.cost_usd_max, found.cost_usd_total) == (
        pytest.approx(0.0066),
        pytest.approx(0.0132),
    )
    assert found.cost_usd_p95 == pytest.approx(np.quantile([0.0022, 0.0044, 0.0066], 0.95))
    assert (found.cached_input_tokens, found.cost_method) == (2400, "tokens")


def test_a_mended_price_holds_for_all_requests() -> None:
    """The journal was written at another price, or at none."""
    rows = [record("a", 0, 1, cost_usd=9.0), record("b", 0, 1, cost_usd=None)]

    assert priced(rows, API).cost_usd_total == pytest.approx(2 * (100 * 2 + 10 * 8) / 1e6)
    assert priced(rows[:1], None).cost_usd_total == 9.0
    assert priced(rows[:1], None).cost_method == "recorded"
    assert priced(rows, None).cost_usd_total is None


def test_estimated_tokens_give_a_guess_and_no_cost() -> None:
    """A rule of thumb decides no rule; the report shows it as what it is."""
    rows = [record("a", 0, 1), record("b", 0, 1, tokens_estimated=True)]
    found = priced(rows, API)

    assert found.cost_usd_per_request is None
    assert found.cost_usd_estimated == pytest.approx((100 * 2 + 10 * 8) / 1e6)
    assert found.n_tokens_estimated == 1
    assert "cost_usd_per_request" not in found.bounds
    assert priced(rows, Price(usd_per_hour=1)).cost_usd_per_request is not None


def test_without_tokens_or_price_there_is_no_cost() -> None:
    """Neither zero nor the cost of the others."""
    rows = [record("a", 0, 1), record("b", 0, 1, output_tokens=None)]

    found = priced(rows, API)
    assert (found.cost_usd_per_request, found.cost_usd_max, found.cost_method) == (None, None, None)
    assert found.cost_usd_estimated is None


# --- by the hour


def test_a_moment_is_shared_among_those_in_flight() -> None:
    """Alone for 2 s and in company for 2 s: 3 s of the machine; the other one 1 s."""
    assert share_time(np.array([4.0, 4.0]), np.array([4.0, 2.0])).tolist() == [3.0, 1.0]
    assert share_time(np.array([1.0, 9.0]), np.array([1.0, 1.0])).tolist() == [1.0, 1.0]
    assert share_time(np.empty(0), np.empty(0)).tolist() == []


spans = st.lists(st.tuples(st.floats(0, 100), st.floats(0.001, 50)), min_size=1, max_size=40)


@QUICK
@given(spans)
def test_shares_add_up_to_the_time_that_the_machine_was_busy(rows: list[tuple[float, float]]) -> None:  # fmt: skip
    """Of no request more than it took, and of all together the union of their times."""
    began, took = np.array(rows).T
    held = share_time(began + took, took)
    busy, until = 0.0, -1.0
    for start, end in sorted(zip(began, began + took, strict=True)):
        busy += max(0.0, end - max(start, until))
        until = max(until, end)

    assert held.sum() == pytest.approx(busy)
    assert (held <= took + 1e-9).all()
    assert (held >= 0).all()


def test_a_machine_is_paid_for_the_time_it_was_busy() -> None:
    """Ten requests at once for 36 s, at $10 an hour: 10 cents, a cent each; a pause costs nothing."""
    rows = [record(f"a{i}", 0, 36) for i in range(10)]
    found = priced(rows, Price(usd_per_gpu_hour=2.5, gpus=4))

    assert found.cost_usd_total == pytest.approx(0.1)
    assert found.cost_usd_per_request == pytest.approx(0.01)
    assert found.requests_per_hour == pytest.approx(1000)
    assert found.cost_method == "machine_time"
    later = [record(f"b{i}", 5000, 36) for i in range(10)]
    assert priced(rows + later, Price(usd_per_hour=10)).cost_usd_total == pytest.approx(0.2)


def test_idle_hours_are_paid_too() -> None:
    """Used a quarter of the time, a request costs four times as much."""
    rows = [record(f"a{i}", 0, 36) for i in range(10)]
    full, quarter = (priced(rows, Price(usd_per_hour=10, utilisation=u)) for u in (1, 0.25))
    assert quarter.cost_usd_total == pytest.approx(4 * (full.cost_usd_total or 0))


def test_a_declared_throughput_stands_for_the_measured_one() -> None:
    """$10 over 500 requests an hour, at 50 %: 4 cents, whatever the run took."""
    rows = [record("a", 0, 36), make_record("b", status="failed")]
    found = priced(rows, Price(usd_per_hour=10, requests_per_hour=500, utilisation=0.5))

    assert found.cost_usd_total == pytest.approx(0.04)
    assert found.cost_method == "declared_throughput"


def test_each_of_several_endpoints_is_a_machine() -> None:
    """Two at a time on two machines hold both; on one they share it."""
    apart = [record("a", 0, 36, endpoint="x"), record("b", 0, 36, endpoint="y")]
    together = [record("a", 0, 36), record("b", 0, 36)]
    price = Price(usd_per_hour=10)

    assert priced(apart, price).cost_usd_total == pytest.approx(0.2)
    assert priced(together, price).cost_usd_total == pytest.approx(0.1)
    assert priced(apart, price).requests_per_hour == pytest.approx(100)


def test_costs_of_a_comparison_use_the_prices_of_the_policy() -> None:
    """The ratio too, and the comparison says which prices it used."""
    server = {"endpoint": "http://localhost:1/v1", "model": "toy"}
    policy = Policy.model_validate({
        "version": 1, "name": "g", "eval_sets": [{"task": "quiz", "kind": "golden"}],
        "models": {"candidate": server | {"price": {"usd_per_hour": 1}}, "frontier": server | {"price": API.model_dump(exclude_none=True)}},
        "rules": [{"name": "r", "kind": "floor", "task": "quiz", "metric": "passed", "threshold": 0.5}],
    })  # fmt: skip
    rows = [record(f"c{i}", 10 * i, 1 + i / 10) for i in range(20)]
    models = as_scores(make_models(candidate=rows, frontier=rows))

    made = compare_models(models, [], "r", Path("runs"), settings_of(policy))

    ratio = next(r for r in made.ratios if r.quantity == "cost_usd_per_request").ratio
    mean = np.mean([1 + i / 10 for i in range(20)]) / 3600
    assert ratio is not None
    assert ratio.estimate.value == pytest.approx(mean / ((100 * 2 + 10 * 8) / 1e6))
    assert made.prices["frontier"] == API
    assert [b.api for b in made.break_even] == ["frontier"]
    assert made.break_even[0].capacity_per_hour == pytest.approx(3600 / np.mean([1 + i / 10 for i in range(20)]))  # fmt: skip


# --- declared, not measured

DECLARED = Price(usd_per_hour=10, requests_per_hour=5000, utilisation=0.5)
"""0.4 cents a request."""


def decided(
    rule: dict[str, Any], prices: dict[str, Price | None], **fields: Any
) -> tuple[Any, Comparisons]:
    """What a rule on cost makes of 40 requests at these prices, and the comparison that it read."""
    policy = make_policy({"evidence": "proven"} | rule)
    for role in ("candidate", "frontier"):
        policy.models[role].price = prices.get(role) or Price()  # type: ignore[index]
    rows = [record(f"c{i}", 10 * i, 1 + i / 10, **fields) for i in range(40)]
    made = compare_models(as_scores(make_models(candidate=rows, frontier=rows)), [], "r", Path("runs"), settings_of(policy))  # fmt: skip
    return decide(policy, made, None, date(2026, 1, 1)).rules[0], made


BUDGET = {"kind": "budget", "quantity": "cost_usd_per_request"}
RATIO = {"kind": "ratio", "quantity": "cost_usd_per_request", "against": "frontier"}


@pytest.mark.parametrize(
    ("maximum", "outcome"), [(0.005, "PASS"), (0.004, "PASS"), (0.0039, "FAIL"), (0.001, "FAIL")]
)
@pytest.mark.parametrize("evidence", ["point", "significant", "proven"])
def test_a_declared_cost_decides_as_it_stands(maximum: float, outcome: str, evidence: str) -> None:
    """It has no sampling error; the record, the sentence and the report say that nothing was measured."""
    found, made = decided(BUDGET | {"maximum": maximum, "evidence": evidence}, {"candidate": DECLARED})  # fmt: skip

    assert found.outcome == outcome
    assert "(declared, not measured: no interval, n = 40)" in found.sentence
    bound = made.operations[1].bounds["cost_usd_per_request"]
    assert (bound.lower_one_sided, bound.upper_one_sided) == (0.004, 0.004)
    assert (bound.estimate.lower, bound.estimate.upper) == (None, None)
    assert bound.estimate.method == bound.no_interval == "declared, not measured"
    assert "no interval: declared, not measured" in write_bound(bound, "cost_usd_per_request")
    facts = {f.term: f.text for f in view_rules([found], made)[0].facts}
    assert "none: declared, not measured" in facts["Limits that decide"]
    assert facts["Method and tests"] == "declared, not measured"
    assert how_sure(found, made).words == "declared, not measured"
    assert plot_rule(found, made, share_axes([found], made)) is None


def test_measured_costs_that_happen_to_be_equal_stay_open() -> None:
    """The same tokens every time, or the same figure in the journal: no declaration, no limits."""
    for price in (API, None):
        found, _ = decided(BUDGET | {"maximum": 1.0}, {"candidate": price}, cost_usd=0.001)
        assert found.outcome == "INCONCLUSIVE"
        assert "all 40 differences are equal" in found.sentence


def test_a_price_of_nothing_is_declared_too() -> None:
    """Whatever is asked, it costs nothing."""
    for price in (Price(usd_per_hour=0), Price(input_usd_per_mtok=0, output_usd_per_mtok=0)):
        found, _ = decided(BUDGET | {"maximum": 0.001}, {"candidate": price})
        assert (found.outcome, found.estimate.value) == ("PASS", 0.0)
    assert declared_cost(Price(input_usd_per_mtok=0, cached_input_usd_per_mtok=1, output_usd_per_mtok=0)) is None  # fmt: skip
    assert declared_cost(Price(usd_per_hour=3)) is None


@pytest.mark.parametrize(("maximum", "outcome"), [(0.3, "PASS"), (0.2, "PASS"), (0.19, "FAIL")])
def test_a_ratio_of_two_declared_costs_decides_as_it_stands(maximum: float, outcome: str) -> None:
    """0.4 cents over 2 cents is a fifth, exactly."""
    prices = {"candidate": DECLARED, "frontier": Price(usd_per_hour=10, requests_per_hour=500)}
    found, made = decided(RATIO | {"maximum": maximum}, prices)

    assert found.outcome == outcome
    assert "declared, not measured: no interval" in found.sentence
    said = describe_ratio(made, "cost_usd_per_request", "frontier")
    assert said is not None
    assert "0.2 times the cost per request (no interval: declared, not measured" in said


def test_a_ratio_with_one_measured_cost_has_its_limits() -> None:
    """The other model's cost varies: what is declared is exact, the ratio is not."""
    found, made = decided(RATIO | {"maximum": 1.5}, {"candidate": DECLARED, "frontier": Price(usd_per_hour=10)})  # fmt: skip

    assert found.outcome == "PASS"
    assert "declared" not in found.sentence
    ratio = next(r for r in made.ratios if r.quantity == "cost_usd_per_request").ratio
    assert ratio is not None
    assert (ratio.lower_one_sided or 0) < ratio.estimate.value < (ratio.upper_one_sided or 0)


def test_the_audit_reads_declared_costs_as_the_gate_does() -> None:
    """Drawn again and again they stay what they are."""
    settings = Settings(prices={"candidate": DECLARED, "frontier": DECLARED})
    drawn = {"latency_s": np.ones(30), "cost_usd": np.full(30, 0.004)}
    budget = measure_budgets(make_operations(), drawn, ["cost_usd_per_request"], settings)
    ratio = measure_ratio("cost_usd_per_request", "frontier", drawn, drawn, settings).ratio

    assert budget.bounds["cost_usd_per_request"].upper_one_sided == 0.004
    assert ratio is not None
    assert ratio.upper_one_sided == 1.0
    measured = measure_budgets(make_operations(), drawn, ["cost_usd_per_request"], Settings())
    assert measured.bounds["cost_usd_per_request"].upper_one_sided is None


def test_a_plan_knows_a_declared_cost_before_the_run() -> None:
    """A budget below it is refused: nothing that is asked could change that."""
    policy = make_policy(*({"name": str(m), "maximum": m} | BUDGET for m in (0.004, 0.003)))
    policy.models["candidate"].price = DECLARED
    sets = {s.task: SizedSet(s.model_copy(update={"cases": 100}), []) for s in policy.eval_sets}
    ground = Ground(policy, sets, settings_of(policy), None)
    kept, broken = policy.rules
    assert "by the declared price" in (plan_rule(kept, ground).note or "")  # type: ignore[arg-type]
    refusals = [why_refused(r, plan_rule(r, ground), ground) for r in (kept, broken)]  # type: ignore[arg-type]
    assert refusals == [None, "by the declared price a request costs $0.00400, more than $0.00300"]
    assert plan_costs(policy, sets, None)[0].usd == pytest.approx(100 * 0.004)


# --- break-even


def api_at(cost: float, limits: tuple[float, float] | None = None) -> Operations:
    """The frontier at a cost per request."""
    low, high = limits or (None, None)
    estimate = Estimate(value=cost, lower=low, upper=high, level=0.95, n=100, method="t")
    return make_operations(
        role="frontier", cost_usd_per_request=cost,
        bounds={"cost_usd_per_request": Bound(estimate=estimate)},
    )  # fmt: skip


def machine(requests_per_hour: float | None) -> Operations:
    return make_operations(requests_per_hour=requests_per_hour)


def test_the_break_even_volume_by_hand() -> None:
    """$2 an hour against 0.1 cent a request: 2000 an hour, 48,000 a day, 1.44 million in 30 days."""
    prices = {"candidate": Price(usd_per_hour=2), "frontier": API}
    found = find_break_even(
        "frontier", prices, {"candidate": machine(2500), "frontier": api_at(0.001, (0.0008, 0.00125))}
    )  # fmt: skip

    volume = found.requests_per_hour
    assert volume is not None
    assert volume.value == pytest.approx(2000)
    assert (volume.lower, volume.upper) == (pytest.approx(1600), pytest.approx(2500))
    assert found.requests_per_day == pytest.approx(48_000)
    assert found.requests_per_month == pytest.approx(1_440_000)
    assert (found.pays, found.pays_at_limits, found.machines) == (True, True, 1)
    assert found.unavailable is None


def test_a_machine_that_cannot_serve_the_volume_never_pays() -> None:
    """2000 an hour are needed and 300 are served: seven machines, each of which is paid."""
    prices = {"candidate": Price(usd_per_hour=2), "frontier": API}
    found = find_break_even("frontier", prices, {"candidate": machine(300), "frontier": api_at(0.001)})  # fmt: skip

    assert (found.pays, found.machines) == (False, 7)
    assert 7 * 2 > 2000 * 0.001
    assert found.utilisation_needed == pytest.approx(2000 / 300)


def test_utilisation_counts_against_the_machine() -> None:
    """It could serve 2500 an hour, works half of the time, and would have to work 80 %."""
    prices = {"candidate": Price(usd_per_hour=2, utilisation=0.5), "frontier": API}
    found = find_break_even("frontier", prices, {"candidate": machine(2500), "frontier": api_at(0.001)})  # fmt: skip

    assert (found.pays, found.capacity_per_hour) == (False, 1250)
    assert found.utilisation_needed == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("prices", "operations", "why"),
    [
        ({"candidate": API, "frontier": API}, {}, "the candidate is not paid by the hour"),
        ({"frontier": API}, {}, "the candidate is not paid by the hour"),
        ({"candidate": Price(usd_per_hour=2)}, {}, "frontier is not paid per token"),
        ({"candidate": Price(usd_per_hour=2), "frontier": API}, {}, "the cost of frontier's requests was not measured"),
        ({"candidate": Price(usd_per_hour=2), "frontier": API}, {"frontier": api_at(0.0)}, "frontier's requests cost nothing"),
        ({"candidate": Price(usd_per_hour=2), "frontier": API}, {"frontier": api_at(0.001), "candidate": machine(None)}, "the throughput of the candidate was neither declared nor measured"),
    ],
)  # fmt: skip
def test_what_is_missing_is_the_reason(prices: Any, operations: Any, why: str) -> None:
    """No volume is made of what is not known, and no claim that a machine can serve it."""
    found = find_break_even("frontier", prices, operations)

    assert found.unavailable == why
    assert found.pays is None
    assert found.machines is None


def test_a_candidate_paid_per_token_has_no_break_even() -> None:
    """There is no machine to pay for."""
    assert find_break_evens({"candidate": API, "frontier": API}, [api_at(0.001)]) == []


@QUICK
@given(st.floats(0.01, 100), st.floats(1e-6, 1), st.floats(1, 1e6), st.floats(0.05, 1))
def test_above_the_volume_the_machine_is_cheaper(
    hourly: float, cost: float, speed: float, utilisation: float
) -> None:
    """At the volume both cost the same; it pays if and only if a busy machine's request is cheaper."""
    prices = {"candidate": Price(usd_per_hour=hourly, utilisation=utilisation), "frontier": API}
    found = find_break_even("frontier", prices, {"candidate": machine(speed), "frontier": api_at(cost)})  # fmt: skip

    assert found.requests_per_hour is not None
    assert found.requests_per_hour.value * cost == pytest.approx(hourly)
    own = hourly / (speed * utilisation)
    if abs(own - cost) > 1e-9 * cost:
        assert found.pays == (own < cost)
