"""The gate's own error rates: what is planted is true on average, and the figures keep their promise."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from command import ftgate
from hypothesis import given
from hypothesis import strategies as st
from records import (
    METRIC,
    QUICK,
    TASK,
    as_scores,
    make_models,
    make_outcomes,
    make_pairs,
    make_policy,
    make_record,
    make_response,
)

from ftgate_ext.audit.draw import draw_cases
from ftgate_ext.audit.measures import draw_requests
from ftgate_ext.audit.needs import find_simulable
from ftgate_ext.audit.plant import Plant, level_of, plant_level, turn
from ftgate_ext.audit.simulate import Material, Redraw, simulate
from ftgate_ext.audit.stage import RunUnderAudit, audit_policy, audit_run, prepare
from ftgate_ext.audit.words import HELD, audit_table
from ftgate_ext.compare import compare_models
from ftgate_ext.schema import (
    Audit,
    AuditScenario,
    Decision,
    ModelCard,
    Qualification,
    RuleResult,
    RunError,
    RunManifest,
)
from ftgate_ext.settings import settings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.policy import Policy
    from ftgate_ext.runs import Record
    from ftgate_ext.schema import Judgment

NOTHING, BETTER = "nothing changed", "a clear improvement"
FIT = Qualification(
    judge_model="toy", fingerprint="f", fit=True, reasons=[], n_pairs=100, n_identical=0, n_unparsed=0
)  # fmt: skip


def the_run(
    policy: Policy,
    candidate: Sequence[Record],
    production: Sequence[Record] = (),
    judgments: Sequence[Judgment] = (),
    higher_is_better: dict[str, dict[str, bool]] | None = None,
    **others: Sequence[Record],
) -> RunUnderAudit:
    """A compared run in memory; a model without records takes no part."""
    roles = {"candidate": candidate, "production": production, **others}
    settings = settings_of(policy)
    records = make_models(higher_is_better, **{r: x for r, x in roles.items() if x})
    models = as_scores(records, settings.fields)
    found = compare_models(models, list(judgments), "toy", Path("runs/toy"), settings)
    return RunUnderAudit(policy, models, list(judgments), found, FIT, settings)


def binary_run(policy: Policy, n: int = 200, level: float = 0.8, differ: float = 0.1) -> RunUnderAudit:  # fmt: skip
    """Two models that are right in `level` of the cases, exactly one of them in a share `differ`."""
    both, one = round(n * (level - differ / 2)), round(n * differ / 2)
    rest = n - both - 2 * one
    candidate = [1] * both + [1] * one + [0] * one + [0] * rest
    production = [1] * both + [0] * one + [1] * one + [0] * rest
    return the_run(policy, make_outcomes(candidate), make_outcomes(production))


def material_of(run: RunUnderAudit, seed: int = 1, improvement_pt: float = 5.0) -> Material:
    """What the simulations start from."""
    simulable = find_simulable(run.policy, run.comparisons, run.qualification, date(2026, 6, 1))
    return prepare(run, simulable, seed, improvement_pt)


def audit(run: RunUnderAudit, simulations: int = 100, seed: int = 1) -> dict[str, AuditScenario]:
    """Scenario by name, in this process."""
    found = audit_policy(run, simulations, seed, processes=1)
    return {s.name: s for s in found.scenarios}


def decisions(run: RunUnderAudit, scenario: str, simulations: int = 40) -> list[Decision]:
    """The decisions of one scenario."""
    material = material_of(run)
    names = [s.name for s in material.scenarios]
    return [simulate(material, i)[names.index(scenario)] for i in range(simulations)]


def mean_estimate(found: list[Decision], rule: int = 0) -> float:
    return float(np.mean([value(d.rules[rule]) for d in found]))


def value(result: RuleResult) -> float:
    assert result.estimate is not None
    return result.estimate.value


def at_most(share: float, n: int) -> float:
    """The share with three Monte-Carlo errors on top, as a count."""
    return n * share + 3 * float(np.sqrt(n * share * (1 - share)))


PROVEN = {"kind": "superiority", "margin_pt": 0, "evidence": "proven"}
NOT_WORSE = {"kind": "non_inferiority", "margin_pt": 5, "evidence": "proven"}


# What the figures promise


def test_equal_models_are_rarely_called_better() -> None:
    """One superiority rule at its 95 % limit: GO in at most 5 % where nothing has changed."""
    found = audit(binary_run(make_policy(PROVEN)), simulations=400)[NOTHING]
    assert 0 < found.go <= at_most(0.05, 400)
    assert found.go + found.no_go + found.inconclusive == found.simulations == 400


def test_a_loss_of_the_margin_rarely_passes() -> None:
    """A true loss of exactly the margin passes a non-inferiority rule in at most 5 %."""
    found = audit(binary_run(make_policy(NOT_WORSE)), simulations=400)
    assert 0 < found["non_inferiority: true loss 5.0 pt"].go <= at_most(0.05, 400)
    assert found[NOTHING].go > 200


@pytest.mark.slow
@pytest.mark.parametrize("differ", [0.04, 0.1, 0.2])
def test_false_passes_keep_to_five_percent(differ: float) -> None:
    """At 4,000 simulations, for models that differ little and much."""
    run = binary_run(make_policy(PROVEN, NOT_WORSE), n=500, differ=differ)
    better = audit(binary_run(make_policy(PROVEN), n=500, differ=differ), 4000)[NOTHING].go
    lost = audit(run, 4000)["non_inferiority: true loss 5.0 pt"]
    passed = 4000 - lost.failed_rules.get("non_inferiority", 0) - lost.unsettled_rules["non_inferiority"]  # fmt: skip
    for count in (better, passed):
        assert 0.03 * 4000 < count <= at_most(0.05, 4000)


def test_twice_the_margin_is_stopped() -> None:
    """With 3,000 cases a loss of twice the margin is NO-GO nearly always."""
    found = audit(binary_run(make_policy(NOT_WORSE), n=3000))
    assert found["non_inferiority: true loss 10.0 pt"].no_go >= 97


def test_an_empty_improvement_is_no_change() -> None:
    """Where no rule asks for an improvement none is planted, and the same draws give the same counts."""
    found = audit(binary_run(make_policy(NOT_WORSE)))
    same = {"name", "planted"}
    assert found[BETTER].model_dump(exclude=same) == found[NOTHING].model_dump(exclude=same)
    assert "none is planted" in found[BETTER].planted


def test_the_same_seed_gives_the_same_audit() -> None:
    """And another seed another one."""
    run = binary_run(make_policy(PROVEN))
    assert audit(run, seed=3) == audit(run, seed=3)
    assert audit(run, seed=3) != audit(run, seed=4)


# What is planted is true on average


def test_an_improvement_is_true_on_average() -> None:
    """Five points on the metric of a superiority rule, by turning wrong cases right."""
    found = decisions(binary_run(make_policy(PROVEN), n=400), BETTER, 100)
    assert mean_estimate(found) == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize(("loss", "gain"), [("5.0", -0.05), ("10.0", -0.10)])
def test_a_loss_is_true_on_average(loss: str, gain: float) -> None:
    """Also where less is better: then more cases go the wrong way."""
    policy = make_policy(NOT_WORSE)
    values = [1, 0, 0, 0, 0] * 60, [0, 1, 0, 0, 0] * 60
    run = the_run(
        policy, make_outcomes(values[0]), make_outcomes(values[1]),
        higher_is_better={TASK: {METRIC: False}},
    )  # fmt: skip
    found = decisions(run, f"non_inferiority: true loss {loss} pt", 100)
    assert mean_estimate(found) == pytest.approx(-gain, abs=0.01)


def f1_records(n: int, shift: int) -> list[Record]:
    """Found, missed, false alarm and rightly silent, over and over, in two languages."""
    counts = [[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]]
    return [
        make_record(f"case-{i}", doc={"language": "go" if i % 3 else "sql"}, f1=counts[(i + shift) % 5])
        for i in range(n)
    ]  # fmt: skip


def test_f1_improves_on_average() -> None:
    """Missed findings are found and false alarms withdrawn until F1 is five points up."""
    policy = make_policy({**PROVEN, "metric": "f1"})
    run = the_run(policy, f1_records(500, 0), f1_records(500, 1))
    assert mean_estimate(decisions(run, BETTER)) == pytest.approx(0.05, abs=0.01)


def test_a_bucket_loses_alone() -> None:
    """The largest bucket loses its allowance while the others keep the improvement."""
    bucket = {"kind": "per_bucket", "metric": "f1", "by": "language", "margin_pt": 10}
    policy = make_policy({**PROVEN, "metric": "f1"}, bucket)
    run = the_run(policy, f1_records(600, 0), f1_records(600, 1))
    parts = [
        {part.name: value(part) for part in d.rules[1].parts}
        for d in decisions(run, "per_bucket: true loss 10.0 pt", 20)
    ]
    assert np.mean([p["go"] for p in parts]) == pytest.approx(-0.10, abs=0.02)
    assert np.mean([p["sql"] for p in parts]) == pytest.approx(0.05, abs=0.025)


def test_other_scores_move_within_their_range() -> None:
    """A mean of scores between 0 and 1 gains five points without leaving the range."""
    rng = np.random.default_rng(1)
    records = [make_outcomes(rng.beta(8, 2, 200).tolist()) for _ in range(2)]
    found = decisions(the_run(make_policy(PROVEN), *records), BETTER, 100)
    assert mean_estimate(found) == pytest.approx(0.05, abs=0.01)


def test_a_floor_is_missed_by_what_it_allows() -> None:
    """98 % allows 2 points: the planted level is 96 %."""
    run = binary_run(make_policy({"kind": "floor", "threshold": 0.98}), n=400, level=0.99, differ=0.01)  # fmt: skip
    found = decisions(run, "floor: true level 96.0 %", 100)
    assert mean_estimate(found) == pytest.approx(0.96, abs=0.004)


def test_one_case_breaks() -> None:
    """A suite that is clean passes, and with one case broken it fails, and names one case."""
    run = binary_run(make_policy({"kind": "no_regression"}), n=20, level=1.0, differ=0.0)
    found = audit(run)
    assert (found[NOTHING].go, found["no_regression: one case broken"].no_go) == (100, 100)
    (broken,) = decisions(run, "no_regression: one case broken", 1)
    assert "1 of 20 cases regressed" in broken.rules[0].sentence


def test_the_judge_prefers_the_better_model_in_60_percent() -> None:
    """And neither model where nothing has changed or the rule's own fault is planted."""
    verdicts = (
        ["candidate_better"] * 90 + ["baseline_better"] * 30 + ["tie"] * 60 + ["unparsed"] * 2
    )
    judgments = make_pairs(verdicts)  # type: ignore[arg-type]
    ones = make_outcomes([1] * 10)
    policy = make_policy({"kind": "win_rate"}, max_failed_share=0.2)
    run = the_run(policy, ones, ones, judgments)
    assert mean_estimate(decisions(run, BETTER)) == pytest.approx(0.10, abs=0.012)
    for name in (NOTHING, "win_rate: the judge prefers neither"):
        assert mean_estimate(decisions(run, name)) == pytest.approx(0.0, abs=0.012)


def test_ties_are_turned_where_losses_do_not_suffice() -> None:
    """With nine ties in ten, five points of losses are not enough for a win rate of 60 %."""
    judgments = make_pairs(["candidate_better"] * 5 + ["baseline_better"] * 5 + ["tie"] * 90)
    ones = make_outcomes([1] * 10)
    run = the_run(make_policy({"kind": "win_rate"}), ones, ones, judgments)
    assert mean_estimate(decisions(run, BETTER)) == pytest.approx(0.10, abs=0.012)


def priced(cost: float, latency: float, n: int = 120) -> list[Record]:
    """Records of a model with these means, a bit more or less from case to case."""
    return [
        make_record(
            f"case-{i}", response=make_response(cost_usd=cost * (0.8 + i % 5 / 10), latency_s=latency * (0.8 + i % 7 / 15)),
            passed=int(i % 4 > 0), f1=[i % 4 > 0, i % 5 == 0, i % 4 == 0],
        )
        for i in range(n)
    ]  # fmt: skip


def test_cost_exceeds_its_budget_by_a_tenth() -> None:
    """On average of candidate and production, whose requests are exchanged with their answers."""
    rule = {"kind": "budget", "quantity": "cost_usd_per_request", "maximum": 0.002}
    run = the_run(make_policy(rule), priced(0.001, 1.0), priced(0.003, 1.0))
    assert mean_estimate(decisions(run, NOTHING)) == pytest.approx(0.002, rel=0.02)
    assert mean_estimate(decisions(run, "budget: 10 % over")) == pytest.approx(0.0022, rel=0.02)


@pytest.mark.parametrize(
    ("rule", "scenario", "true"),
    [
        ({"task": TASK, "metric": METRIC, "minimum": 0.9}, "10 % short", 0.81),
        ({"task": TASK, "metric": "f1", "minimum": 0.9}, "10 % short", 0.81),
        ({"quantity": "cost_usd_per_request", "maximum": 0.5}, "10 % over", 0.55),
        ({"quantity": "latency_p50_s", "maximum": 1.0}, "10 % over", 1.1),
    ],
)
def test_ratios_are_missed_by_a_tenth(rule: dict[str, Any], scenario: str, true: float) -> None:
    """Of a metric, of cost and of latency, against a model that takes no part in the exchange."""
    policy = make_policy({"kind": "ratio", "against": "frontier"} | rule)
    run = the_run(policy, priced(0.001, 1.0), priced(0.0012, 1.1), frontier=priced(0.01, 2.0))
    found = decisions(run, f"ratio: {scenario}", 80)
    assert mean_estimate(found) == pytest.approx(true, rel=0.03)


def test_a_rule_of_several_routes_is_broken_on_all_of_them() -> None:
    """Each route loses one rule, and the candidate takes neither."""
    cheap = {
        "name": "cheap",
        "kind": "ratio",
        "quantity": "cost_usd_per_request",
        "against": "frontier",
        "maximum": 0.5,
    }
    good = {
        "name": "good",
        "kind": "ratio",
        "task": TASK,
        "metric": METRIC,
        "against": "frontier",
        "minimum": 0.7,
    }
    routes = [{"name": "a", "rules": [cheap]}, {"name": "b", "rules": [good]}]  # fmt: skip
    policy = make_policy({"name": "worth it", "kind": "any_route", "routes": routes})
    run = the_run(policy, priced(0.001, 1.0), priced(0.0012, 1.0), frontier=priced(0.01, 1.0))
    found = audit(run)
    assert found[NOTHING].go == 100
    assert found["worth it: no route holds"].go < 20


# How cases are drawn


def test_scores_and_requests_of_a_case_are_exchanged_together() -> None:
    """Whoever gets the other's answer gets its cost as well."""
    rules = [NOT_WORSE, {"kind": "budget", "quantity": "cost_usd_per_request", "maximum": 1}]
    sides = [
        [make_record(f"case-{i}", passed=right, response=make_response(cost_usd=right + 1.0)) for i in range(30)]
        for right in (1, 0)
    ]  # fmt: skip
    material = material_of(the_run(make_policy(*rules), *sides))
    redraw = Redraw(material, np.random.default_rng(1))
    scores = redraw._other((TASK, METRIC), "candidate").values[:, 0]
    assert 0 < scores.sum() < 30
    requests = draw_requests(material.world, redraw.draws, "candidate", {})
    np.testing.assert_array_equal(requests["cost_usd"], scores + 1)


def test_clusters_are_drawn_and_exchanged_whole() -> None:
    """All cases of a cluster come together, from one model, and a cluster drawn twice is two."""
    sides = [
        [make_record(f"case-{i}", doc={"cluster": str(i // 4)}, passed=right) for i in range(80)]
        for right in (1, 0)
    ]
    task = material_of(the_run(make_policy(NOT_WORSE), *sides)).world.tasks[TASK]
    draw = draw_cases(task, [METRIC], np.random.default_rng(1))
    assert draw.clusters is not None
    assert len(np.unique(draw.clusters)) == 20
    for cluster in range(20):
        inside = draw.clusters == cluster
        assert len(set(draw.rows[inside] // 4)) == len(set(draw.swapped[inside])) == 1
        assert inside.sum() == 4


def test_a_failed_request_stays_with_its_model() -> None:
    """Exchanged are answers: the share of failures does not wander to the model that had none."""
    candidate = make_outcomes([1, 0] * 50)
    production = make_outcomes([None, 1] * 50)
    policy = make_policy({"kind": "floor", "threshold": 0.5}, max_failed_share=0.9)
    redraw = Redraw(material_of(the_run(policy, candidate, production)), np.random.default_rng(1))
    assert redraw._other((TASK, METRIC), "candidate").is_scored.all()


# What cannot be simulated


def test_an_unfit_judge_dominates_and_is_set_aside() -> None:
    """Its rule is INCONCLUSIVE always; further rows count the other rules alone, and notes say why."""
    run = binary_run(make_policy(NOT_WORSE, {"kind": "win_rate"}), n=400)
    judge = FIT.model_copy(update={"fit": False, "reasons": ["Position bias."]})
    run = RunUnderAudit(run.policy, run.models, [], run.comparisons, judge, run.settings)
    found = audit_policy(run, 100, 1, processes=1)
    by_name = {s.name: s for s in found.scenarios}
    assert by_name[NOTHING].go == 0
    assert by_name[NOTHING].unsettled_rules["win_rate"] == 100
    assert by_name[f"{NOTHING}, {HELD}"].go > 80
    assert "win_rate" not in by_name[f"{NOTHING}, {HELD}"].unsettled_rules
    assert any("'win_rate' is INCONCLUSIVE in every simulation" in n and "not fit" in n for n in found.notes)  # fmt: skip
    assert not any(s.name.startswith("win_rate:") for s in found.scenarios)


def test_without_production_the_next_model_takes_its_place() -> None:
    """And a note says so."""
    run = the_run(
        make_policy({**NOT_WORSE, "against": "base"}), make_outcomes([1, 0] * 50), base=make_outcomes([0, 1] * 50)
    )  # fmt: skip
    found = audit_policy(run, 100, 1, processes=1)
    assert "base" in found.scenarios[0].planted
    assert any("no production model" in note for note in found.notes)


def test_what_production_was_not_asked_is_not_exchanged() -> None:
    """Its cases are drawn anew all the same, and a note says so."""
    policy = make_policy({"kind": "floor", "threshold": 0.5}, tasks=(TASK, "other"))
    other = make_outcomes([1] * 9, task="other")
    found = audit_policy(the_run(policy, make_outcomes([1, 0] * 50), other), 100, 1, processes=1)
    assert any("quiz: production was not asked" in note for note in found.notes)


def test_an_approved_rule_passes_and_is_named() -> None:
    """Somebody signed for it: it blocks in no scenario."""
    policy = make_policy(NOT_WORSE, approvals=[{"rule": "non_inferiority", "until": "2099-12-31"}])
    found = audit_policy(binary_run(policy), 100, 1, processes=1)
    assert found.scenarios[-1].go == 100
    assert any("Approved as whole rules" in note for note in found.notes)


def test_a_rule_that_nobody_passes_is_named() -> None:
    """Another model as good as production cannot keep a suite on which the two differ so often."""
    run = binary_run(make_policy({"kind": "no_regression"}), differ=0.4, level=0.5)
    assert any("'no_regression': fails even in" in n for n in audit_policy(run, 100, 1, processes=1).notes)  # fmt: skip


def test_nothing_to_simulate_is_one_line() -> None:
    """A policy whose only rule has no evidence cannot be audited."""
    policy = make_policy({"kind": "floor", "task": TASK, "metric": "absent", "threshold": 0.5})
    with pytest.raises(RunError, match="no rule of 'toy gate' has evidence that can be simulated"):
        audit_policy(binary_run(policy), 100, 1)


# Planting


@QUICK
@given(
    st.lists(st.sampled_from([0.0, 0.2, 0.6, 1.0]), min_size=5, max_size=40),
    st.floats(0.0, 1.0),
    st.booleans(),
)
def test_a_planted_level_is_the_wanted_one(
    scores: list[float], wanted: float, repeats: bool
) -> None:
    """In expectation, over all cases, whatever the scores."""
    pool = np.array(scores)[:, None]
    plant = plant_level(pool, wanted, is_pass_fail=repeats)
    everything = turn(pool, np.zeros(len(pool)), Plant(1.0, plant.is_up, plant.end, 0.0), is_pass_fail=repeats)  # fmt: skip
    expected = (1 - plant.share) * pool.mean() + plant.share * everything.mean()
    assert expected == pytest.approx(wanted, abs=1e-9)
    assert plant.level == pytest.approx(wanted, abs=1e-9)


@QUICK
@given(
    st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=3, max_size=30).filter(
        lambda rows: sum(row[0] for row in rows) > 0
    ),
    st.floats(-0.2, 0.2),
)
def test_a_planted_f1_is_the_wanted_one(rows: list[tuple[int, int, int]], change: float) -> None:
    """As far as there are errors to mend or findings to lose; findings never appear from nowhere."""
    pool = np.array(rows, dtype=float)
    plant = plant_level(pool, level_of(pool) + change, is_pass_fail=False)
    turned = turn(pool, np.zeros(len(pool)), Plant(1.0, plant.is_up, 0.0, 0.0), is_pass_fail=False)
    sums = (1 - plant.share) * pool.sum(axis=0) + plant.share * turned.sum(axis=0)
    assert level_of(sums[None, :]) == pytest.approx(plant.level)
    if plant.share < 1:
        assert plant.level == pytest.approx(level_of(pool) + change, abs=1e-9)
    np.testing.assert_array_equal(turned[:, [0, 2]].sum(axis=1), pool[:, [0, 2]].sum(axis=1))


def test_more_than_everything_cannot_be_planted() -> None:
    """A model that is right in 98 % cannot gain five points, and the scenario says how many it gains."""
    run = binary_run(make_policy(PROVEN), n=200, level=0.98, differ=0.02)
    planted = material_of(run).scenarios[1].planted
    assert "2.0 pt better" in planted
    assert "there is no more to change" in planted


# The command


def write_run(folder: Path, policy: Policy, *, models: Sequence[str] = ("candidate", "production")) -> Path:  # fmt: skip
    """A run folder of two models that differ in a tenth of 300 cases."""
    folder.mkdir()
    content = policy.model_dump(mode="json", exclude_none=True)
    (folder / "gate.yaml").write_text(json.dumps(content), encoding="utf-8")
    cards = [ModelCard(role=r, name=r, model="toy", endpoint="http://localhost:1/v1", hosting="here") for r in models]  # type: ignore[arg-type] # fmt: skip
    manifest = RunManifest(
        run_id="toy", policy_name=policy.name, policy_hash=policy.policy_hash, seed=1, concurrency=1,
        generation_hash=policy.generation_hash, created_at="2026-01-01T00:00:00+00:00", models=cards,
        versions={},
    )  # fmt: skip
    (folder / "run.json").write_text(manifest.model_dump_json(), encoding="utf-8")
    for number, role in enumerate(models):
        (folder / role).mkdir()
        stamp = "2026-01-01T00-00-00.000000"
        results = {"configs": {TASK: {}}, "higher_is_better": {TASK: {METRIC: True}}}
        (folder / role / f"results_{stamp}.json").write_text(json.dumps(results), encoding="utf-8")
        lines = [
            json.dumps({
                "doc_id": i, "doc": {"id": f"case-{i}"}, "target": "", "filter": "none",
                "arguments": {"gen_args_0": {"arg_0": "q"}}, "resps": [["a"]], "metrics": [METRIC],
                "doc_hash": str(i), "prompt_hash": str(i), METRIC: int(i % 5 > 0 and i % 20 != number + 1),
            })
            for i in range(300)
        ]  # fmt: skip
        samples = folder / role / f"samples_{TASK}_{stamp}.jsonl"
        samples.write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder that was compared and decided."""
    from ftgate_ext.stages import compare_run, decide_run

    folder = write_run(tmp_path_factory.mktemp("audit") / "run", make_policy(PROVEN, NOT_WORSE))
    compare_run(folder)
    decide_run(folder)
    return folder


def test_the_command_writes_what_one_process_finds(decided: Path) -> None:
    """audit.json is the same on all cores as in one process, and the table names every scenario."""
    done = ftgate("audit", str(decided), "--simulations", "100", "--seed", "7", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    written = Audit.model_validate_json((decided / "audit.json").read_text(encoding="utf-8"))
    assert written == audit_run(decided, simulations=100, seed=7, processes=1)
    assert all(s.name in done.stdout.replace("\n", " ") for s in written.scenarios)
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert audit_table(written) in done.stdout


def test_progress_is_told(decided: Path) -> None:
    """Every simulation is counted once."""
    told: list[int] = []
    audit_run(decided, simulations=110, processes=1, on_progress=told.append)
    assert sum(told) == 110


@pytest.mark.parametrize(("simulations", "improvement_pt"), [(99, 5.0), (100, 0.0), (100, 101.0)])
def test_what_makes_no_audit_is_refused(
    decided: Path, simulations: int, improvement_pt: float
) -> None:
    """Too few simulations, and an improvement that is none or more than everything."""
    words = f"{simulations} simulations of {improvement_pt:g} pt: expected at least 100"
    with pytest.raises(RunError, match=words):
        audit_run(decided, simulations=simulations, improvement_pt=improvement_pt)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("comparisons.json", "run `ftgate compare` first"),
        ("decision.json", "run `ftgate decide` first"),
        ("run.json", "run `ftgate run` first"),
        ("production", "production has no results yet"),
    ],
)
def test_an_unfinished_run_is_refused(
    decided: Path, tmp_path: Path, missing: str, words: str
) -> None:
    """The line names what is missing and the command that makes it."""
    folder = tmp_path / "run"
    shutil.copytree(decided, folder)
    path = folder / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(RunError, match=words):
        audit_run(folder)


def test_one_model_alone_is_refused(tmp_path: Path) -> None:
    """There is nobody to exchange it with."""
    folder = write_run(tmp_path / "run", make_policy(NOT_WORSE), models=("candidate",))
    with pytest.raises(RunError, match="models with results: candidate; an audit exchanges"):
        audit_run(folder)


def test_another_policy_must_be_about_the_same_run(decided: Path, tmp_path: Path) -> None:
    """Other rules may be audited, other eval sets may not."""
    other = tmp_path / "gate.yaml"
    for tasks, fits in (((TASK,), True), ((TASK, "more"), False)):
        content = make_policy(NOT_WORSE, tasks=tasks).model_dump(mode="json", exclude_none=True)
        other.write_text(json.dumps(content), encoding="utf-8")
        if fits:
            names = [s.name for s in audit_run(decided, other, 100, processes=1).scenarios]
            assert "superiority: nothing gained" not in names
        else:
            with pytest.raises(RunError, match="made with other models, eval sets or seed"):
                audit_run(decided, other, 100)
