"""Tests of cost and latency: limits of one model's figures, and multiples of another model's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK, as_scores, make_models, make_record, make_response

from ftgate_ext.compare import compare_models
from ftgate_ext.operations import LATENCIES, compare_operations, measure_operations
from ftgate_ext.schema import LookUse
from ftgate_ext.settings import Settings
from ftgate_ext.stats.mean import paired_t
from ftgate_ext.stats.quantile import quantile_limits
from ftgate_ext.stats.ratio import fieller

if TYPE_CHECKING:
    from ftgate_ext.runs import Record
    from ftgate_ext.schema import OperationRatio, Operations

SETTINGS = Settings(resamples=1000)
COST = "cost_usd_per_request"
RNG = np.random.default_rng(11)
SLOW, FAST = (RNG.lognormal(0, 0.4, 120) * base for base in (1.0, 0.5))


def took(
    case: str, latency_s: float | None, cost_usd: float | None = 0.001, **fields: Any
) -> Record:
    """A case with its response; without latency it failed."""
    if latency_s is None:
        return make_record(case, status="failed", **fields)
    response = make_response(latency_s=latency_s, cost_usd=cost_usd)
    return make_record(case, response=response, passed=1, **fields)


def requests(latencies: Any, per_second: float | None = 0.002, **fields: Any) -> list[Record]:
    """One case a latency, each with a cost that goes with its time."""
    return [
        took(f"c{i}", s, None if per_second is None or s is None else s * per_second, **fields)
        for i, s in enumerate(latencies)
    ]


def ratios(candidate: list[Record], production: list[Record], settings: Settings = SETTINGS) -> dict[str, OperationRatio]:  # fmt: skip
    """Quantity -> the candidate's as a multiple of production's."""
    scores = as_scores(make_models(candidate=candidate, production=production))
    tasks = {role: model.tasks for role, model in scores.items()}
    found = compare_operations(tasks, "production", settings)
    return {ratio.quantity: ratio for ratio in found}


def measured(records: list[Record], settings: Settings = SETTINGS) -> Operations:
    """What all requests of one model took."""
    model = as_scores(make_models(candidate=records))["candidate"]
    return measure_operations("candidate", model.tasks, settings)[-1]


# --- one model


def test_limits_of_latency_are_order_statistics() -> None:
    """The one-sided limits that decide lie inside of the 95 % interval that is shown."""
    found = measured(requests(SLOW))

    for name, q in LATENCIES.items():
        bound, wide, narrow = found.bounds[name], quantile_limits(SLOW, q), quantile_limits(SLOW, q, 0.9)  # fmt: skip
        assert bound.estimate.value == getattr(found, name)
        assert (bound.estimate.lower, bound.estimate.upper) == (wide.lower, wide.upper)
        assert (bound.lower_one_sided, bound.upper_one_sided) == (narrow.lower, narrow.upper)
        assert (bound.estimate.n, bound.estimate.level) == (120, 0.95)
    assert found.bounds["latency_p50_s"].no_interval is None
    assert found.bounds["latency_p99_s"].upper_one_sided is None
    assert found.bounds["latency_p99_s"].no_interval == (
        "no upper limit of the 99% quantile exists at 120 requests"
    )


@pytest.mark.parametrize(("n", "exists"), [(58, False), (59, True)])
def test_a_p95_has_an_upper_limit_from_59_requests_on(n: int, exists: bool) -> None:
    """0.95^59 is the first power of 0.95 under 5 %."""
    bound = measured(requests(SLOW[:n])).bounds["latency_p95_s"]

    assert (bound.upper_one_sided is not None) is exists
    assert (bound.no_interval is None) is exists


def test_limits_of_cost_are_those_of_a_mean() -> None:
    """Student's t over the requests, at the two levels."""
    found, costs = measured(requests(SLOW)), SLOW * 0.002
    shown, deciding = (paired_t(costs, np.zeros(120), level) for level in (0.95, 0.9))

    bound = found.bounds[COST]
    assert found.cost_usd_per_request == pytest.approx(costs.mean())
    assert bound.estimate.upper == shown.limits.upper  # type: ignore[union-attr]
    assert bound.upper_one_sided == deciding.limits.upper  # type: ignore[union-attr]


def test_a_cost_that_never_varies_has_no_interval() -> None:
    """A flat price a request is stated, and no limit is made of it."""
    bound = measured([took(f"c{i}", 1.0 + i) for i in range(30)]).bounds[COST]

    assert bound.estimate.value == pytest.approx(0.001)
    assert (bound.lower_one_sided, bound.upper_one_sided) == (None, None)
    assert bound.no_interval == "all 30 differences are equal"


@pytest.mark.parametrize("n", [0, 1, 2])
def test_hardly_any_requests_have_hardly_any_limits(n: int) -> None:
    """None, one or two: figures as far as there are any, and no limit that cannot be."""
    found = measured([*requests(SLOW[:n]), make_record("x", passed=1)])

    assert found.n_requests == n
    assert found.n_without_response == 1
    assert (found.latency_p95_s is None) == (n == 0)
    assert (COST in found.bounds) == (n > 0)
    for name in LATENCIES:
        assert (name in found.bounds) == (n > 0)
        assert n == 0 or found.bounds[name].upper_one_sided is None


def test_limits_stand_at_the_whole_and_not_at_each_task() -> None:
    """Budgets are about all requests."""
    records = requests(SLOW) + [took(f"d{i}", s, task="other") for i, s in enumerate(FAST)]
    scores = as_scores(make_models(candidate=records))["candidate"]

    *tasks, whole = measure_operations("candidate", scores.tasks, SETTINGS)

    assert [o.task for o in tasks] == ["quiz", "other"]
    assert all(not o.bounds for o in tasks)
    assert whole.bounds["latency_p50_s"].estimate.n == 240


def test_planned_looks_widen_the_limits_of_cost_and_latency() -> None:
    """They look at growing data too; a selection among checkpoints says nothing about cost."""
    strict = replace(SETTINGS, look=LookUse(number=1, planned=3, boundary="pocock"))
    chosen = replace(SETTINGS, selected_from={"quiz": 10})
    usual, looked, selected = (
        measured(requests(SLOW), s).bounds for s in (SETTINGS, strict, chosen)
    )

    for name in (COST, "latency_p50_s"):
        assert looked[name].upper_one_sided > usual[name].upper_one_sided  # type: ignore[operator]
        assert looked[name].alpha_one_sided < 0.05
        assert selected[name] == usual[name]


# --- two models


def test_a_cost_ratio_is_that_of_the_totals() -> None:
    """Fieller's limits over the same requests; not the mean of ratios case by case."""
    mine, theirs = requests(FAST), requests(SLOW)

    found = ratios(mine, theirs)[COST].ratio

    expected = fieller(FAST * 0.002, SLOW * 0.002, 0.9)
    assert found is not None
    assert found.estimate.value == pytest.approx(FAST.sum() / SLOW.sum())
    assert found.lower_one_sided == pytest.approx(expected.lower)  # type: ignore[union-attr]
    assert found.upper_one_sided == pytest.approx(expected.upper)  # type: ignore[union-attr]
    assert found.estimate.n == 120


def test_a_latency_ratio_is_that_of_the_quantiles() -> None:
    """With limits around it, inside of the interval that is shown."""
    found = ratios(requests(FAST), requests(SLOW))

    for name, q in (("latency_p50_s", 0.5), ("latency_p95_s", 0.95)):
        bound = found[name].ratio
        assert bound is not None
        assert bound.estimate.value == pytest.approx(np.quantile(FAST, q) / np.quantile(SLOW, q))
        assert bound.estimate.lower <= bound.lower_one_sided < bound.estimate.value  # type: ignore[operator]
        assert bound.estimate.value < bound.upper_one_sided <= bound.estimate.upper  # type: ignore[operator]
    p99 = found["latency_p99_s"].ratio
    assert p99 is not None
    assert p99.lower_one_sided is None
    assert "at least 368 are needed" in (p99.no_interval or "")


def test_only_requests_that_both_answered_are_compared() -> None:
    """What one model failed, or was not asked, is left out for both."""
    theirs = requests(SLOW)
    mine = requests(FAST)[:100]
    mine[3] = took("c3", None)
    theirs[7] = took("c7", None)
    kept = [i for i in range(100) if i not in (3, 7)]

    found = ratios(mine, [*theirs, took("d", 50.0, 9.0)])[COST].ratio

    assert found is not None
    assert found.estimate.n == 98
    assert found.estimate.value == pytest.approx(FAST[kept].sum() / SLOW[kept].sum())


def test_the_order_of_requests_does_not_matter() -> None:
    """Requests are matched by their case."""
    mine, theirs = requests(FAST), requests(SLOW)

    assert ratios(mine, theirs)[COST].ratio.estimate.value == pytest.approx(  # type: ignore[union-attr]
        ratios(mine[::-1], theirs)[COST].ratio.estimate.value  # type: ignore[union-attr]
    )


def test_repeats_are_matched_one_to_one() -> None:
    """The k-th request of a case with the k-th of the other model; those beyond have no partner."""
    mine = [took(c, s, s) for c in ("a", "b") for s in (1.0, 2.0, 3.0)]
    theirs = [took(c, s, s) for c in ("b", "a") for s in (2.0, 4.0)]

    found = ratios(mine, theirs)[COST].ratio

    assert found is not None
    assert found.estimate.n == 4
    assert found.estimate.value == pytest.approx((1 + 2) / (2 + 4))


@pytest.mark.parametrize(
    ("mine", "theirs", "cost", "latency"),
    [
        ([make_record("a", passed=1)], requests(SLOW), "cost was not measured for both models", "latency was not measured for both models"),
        (requests(FAST), [make_record("x", passed=1)], "cost was not measured for both models", "latency was not measured for both models"),
        (requests(FAST, None), requests(SLOW), "cost was not measured for both models", None),
        (requests(FAST), requests(SLOW, 0.0), "the other model costs nothing", None),
        (requests(FAST), [took(f"x{i}", 1.0) for i in range(9)], "cost was not measured for both models", "latency was not measured for both models"),
    ],
)  # fmt: skip
def test_what_was_not_measured_for_both_is_no_ratio(
    mine: list[Record], theirs: list[Record], cost: str, latency: str | None
) -> None:
    """No journal, no price, nothing in common: a reason, and neither 0 nor infinity."""
    found = ratios(mine, theirs)

    assert (found[COST].unavailable, found[COST].ratio) == (cost, None)
    assert found["latency_p50_s"].unavailable == latency
    assert (found["latency_p50_s"].ratio is None) == (latency is not None)


def test_costs_in_one_proportion_have_no_limits() -> None:
    """Every request at a fifth of the price: the ratio is known, and nothing varies around it."""
    found = ratios(requests(SLOW, 0.001), requests(SLOW, 0.005))[COST].ratio

    assert found is not None
    assert found.estimate.value == pytest.approx(0.2)
    assert found.lower_one_sided is None
    assert found.no_interval


def test_a_level_that_resamples_do_not_reach_has_no_limits() -> None:
    """At the first of many looks the extremes of the resamples are no limits."""
    look = LookUse(number=1, planned=10, boundary="obrien_fleming")

    found = ratios(requests(FAST), requests(SLOW), replace(SETTINGS, look=look))[
        "latency_p50_s"
    ].ratio

    assert found is not None
    assert found.lower_one_sided is None
    assert "resamples do not reach" in (found.no_interval or "")
    nothing = ratios(requests([0.0] * 9), requests([0.0] * 9), replace(SETTINGS, look=look))
    assert nothing["latency_p50_s"].ratio is None


def test_every_model_is_compared_with_the_candidate() -> None:
    """Four quantities against each."""
    models = make_models(
        candidate=requests(FAST), production=requests(SLOW), frontier=requests(SLOW * 2)
    )

    made = compare_models(as_scores(models), [], "r", Path("runs"), SETTINGS).ratios

    assert [(r.quantity, r.baseline) for r in made] == [
        (quantity, role) for role in ("production", "frontier") for quantity in (COST, *LATENCIES)
    ]


seconds = st.floats(0.01, 100)


@QUICK
@given(st.lists(st.tuples(seconds, seconds), min_size=1, max_size=100))
def test_exchanged_models_have_the_inverse_ratio(pairs: list[tuple[float, float]]) -> None:
    """And limits that contain it, or none with a reason."""
    mine, theirs = (requests(side) for side in zip(*pairs, strict=True))
    one, other = ratios(mine, theirs), ratios(theirs, mine)

    for name, found in one.items():
        turned = other[name].ratio
        assert found.ratio is not None
        assert turned is not None
        assert found.ratio.estimate.value * turned.estimate.value == pytest.approx(1)
        low, high = found.ratio.lower_one_sided, found.ratio.upper_one_sided
        if low is None or high is None:
            assert found.ratio.no_interval
        else:
            assert low < high


def test_repeats_of_a_case_are_one_observation_of_its_cost() -> None:
    """Each request asked five times at the same cost has the limits of asking once."""
    mine, theirs = requests(FAST[:40]), requests(SLOW[:40])
    often = [[record for record in side for _ in range(5)] for side in (mine, theirs)]

    once, five = ratios(mine, theirs)[COST].ratio, ratios(often[0], often[1])[COST].ratio
    alone, repeated = (measured(x).bounds[COST] for x in (mine, often[0]))

    for one, other in ((once, five), (alone, repeated)):
        assert one is not None
        assert other is not None
        assert other.lower_one_sided == pytest.approx(one.lower_one_sided)
        assert other.upper_one_sided == pytest.approx(one.upper_one_sided)


def test_repeats_of_a_case_are_one_observation_of_its_latency() -> None:
    """Five answers in the same time say what one says: limits by the effective size, ratios by case."""
    mine, theirs = requests(FAST), requests(SLOW)
    often = [[record for record in side for _ in range(5)] for side in (mine, theirs)]
    once, five = measured(mine).bounds, measured(often[0]).bounds

    for name in ("latency_p50_s", "latency_p95_s"):
        width = once[name].estimate.upper - once[name].estimate.lower  # type: ignore[operator]
        wide = five[name].estimate.upper - five[name].estimate.lower  # type: ignore[operator]
        assert wide > 0.8 * width
        assert five[name].estimate.method == "order statistics at the effective size of 120 cases"
    assert five["latency_p99_s"].upper_one_sided is None
    assert (five["latency_p99_s"].no_interval or "").endswith("at 600 requests of 120 cases")

    alone = ratios(mine, theirs)["latency_p50_s"].ratio
    repeated = ratios(often[0], often[1])["latency_p50_s"].ratio
    assert alone is not None
    assert repeated is not None
    assert repeated.estimate.method.startswith("paired percentile bootstrap of 120 cases")
    narrow = repeated.upper_one_sided - repeated.lower_one_sided  # type: ignore[operator]
    assert narrow > 0.4 * (alone.upper_one_sided - alone.lower_one_sided)  # type: ignore[operator]


def test_concurrency_is_that_of_the_requests_that_were_timed() -> None:
    """Median and range; nothing where the journal does not say."""
    rows = [
        make_record(f"c{i}", passed=1, response=make_response(concurrency=c))
        for i, c in enumerate((1, 4, 4, 7))
    ]
    found = measured(rows)
    assert (found.concurrency_min, found.concurrency_median, found.concurrency) == (1, 4.0, 7)
    silent = measured([took("a", 1.0)])
    assert (silent.concurrency_min, silent.concurrency_median, silent.concurrency) == (None,) * 3
