"""Tests of the correction by human labels: the mean, the win rate it makes, and when there is none."""

from __future__ import annotations

import gzip
import json
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from public_data import FOLDER, needs_public_data
from records import (
    QUICK,
    TASK,
    as_scores,
    make_comparisons,
    make_models,
    make_outcomes,
    make_pair,
    make_pairs,
    make_policy,
    make_qualification,
    make_record,
)

from ftgate_ext.decision import decide
from ftgate_ext.judge.correction import (
    LENGTH_CONTROLLED,
    MIN_LABELS,
    RAW,
    ROGAN_GLADEN,
    BesideJudge,
    add_corrected_rates,
    compare_judged,
)
from ftgate_ext.report import ReportInput, render_html, render_markdown
from ftgate_ext.schema import (
    Comparison,
    Findings,
    PairLabel,
    RunError,
    RunManifest,
    StoppingLook,
    StoppingRecord,
)
from ftgate_ext.settings import Settings
from ftgate_ext.stats.agreement import PredictionPoweredMean, ppi_plus_plus_mean, rogan_gladen
from ftgate_ext.stats.labelled_mean import (
    CorrectedMean,
    corrected_difference,
    corrected_mean,
    rogan_gladen_win_rate,
)
from ftgate_ext.stats.limits import Limits, NoLimits
from ftgate_ext.winrate import compare_win_rates

if TYPE_CHECKING:
    from ftgate_ext.schema import Judgment, PairVerdict

SETTINGS = Settings(resamples=1000)


def worlds(n: int, seed: int, rate: float = 0.55) -> tuple[np.ndarray, np.ndarray]:
    """Humans, and a judge that is right on 90 % of the wins and 80 % of the losses."""
    rng = np.random.default_rng(seed)
    human = (rng.random(n) < rate).astype(float)
    right = rng.random(n) < np.where(human == 1, 0.9, 0.8)
    return human, np.where(right, human, 1 - human)


def measured(found: CorrectedMean | NoLimits) -> CorrectedMean:
    """The mean; fails where there is none."""
    assert isinstance(found, CorrectedMean), found
    return found


# --- the mean


def test_lee_et_al_2025() -> None:
    """The worked example of arXiv 2511.21140: 0.78 judged, 0.70 and 0.90 right, is 0.800."""
    found = rogan_gladen(0.78, 1000, 0.70, 250, 0.90, 250)
    assert isinstance(found, Limits)
    assert found.value == pytest.approx(0.800, abs=5e-4)
    assert (found.lower, found.upper) == pytest.approx((0.7338, 0.8720), abs=5e-5)


@pytest.mark.parametrize("n", [100, 400])
def test_equal_chances_are_the_published_estimator(n: int) -> None:
    """The same value as PPI++ to the rounding of its tuning, and nearly the same limits."""
    human, judge = worlds(2000, 1)
    ours = measured(corrected_mean(human[:n], judge[:n], judge[n:]))
    theirs = ppi_plus_plus_mean(human[:n], judge[:n], judge[n:])
    assert isinstance(theirs, PredictionPoweredMean)
    assert ours.limits.value == pytest.approx(theirs.limits.value, abs=0.002)
    assert ours.standard_error == pytest.approx(theirs.standard_error, rel=0.03)
    assert ours.human_only == pytest.approx(theirs.human_only)
    assert ours.judge_only == pytest.approx(judge.mean())


def test_scaled_chances_change_nothing() -> None:
    """Only their ratios count: who labelled half of what was drawn has lost nothing but labels."""
    human, judge = worlds(600, 2)
    even = measured(corrected_mean(human[:90], judge[:90], judge[90:]))
    scaled = measured(corrected_mean(human[:90], judge[:90], judge[90:], np.full(90, 0.07)))
    assert scaled.limits.lower == pytest.approx(even.limits.lower)
    assert scaled.standard_error == pytest.approx(even.standard_error)


def test_unequal_chances_are_weighed() -> None:
    """A stratum of easy wins is drawn eight times as often: unweighted is far off, weighted is not."""
    rng = np.random.default_rng(3)
    easy = np.arange(4000) < 1000
    human = (rng.random(4000) < np.where(easy, 0.9, 0.3)).astype(float)
    judge = np.where(rng.random(4000) < 0.75, human, 1 - human)
    chance = np.where(easy, 0.4, 0.05)
    drawn = rng.random(4000) < chance
    weighed = measured(corrected_mean(human[drawn], judge[drawn], judge[~drawn], chance[drawn]))
    plain = measured(corrected_mean(human[drawn], judge[drawn], judge[~drawn]))
    assert weighed.limits.lower < 0.45 < weighed.limits.upper
    assert plain.limits.lower > 0.45
    assert weighed.effective_labels < weighed.labels


def test_labels_of_everything_are_the_mean_of_the_labels() -> None:
    """With nothing left to guess, the judge has no say."""
    human, judge = worlds(200, 4)
    found = measured(corrected_mean(human, judge, [], np.ones(200)))
    assert found.limits.value == pytest.approx(human.mean())
    assert found.standard_error == pytest.approx(human.std() / np.sqrt(200), rel=0.02)


def test_known_scores_need_no_label() -> None:
    """Half of the pairs identical: half the distance from one half, and half the limits."""
    human, judge = worlds(400, 5)
    alone = measured(corrected_mean(human[:100], judge[:100], judge[100:]))
    mixed = measured(corrected_mean(human[:100], judge[:100], judge[100:], known=np.full(400, 0.5)))
    assert mixed.limits.value - 0.5 == pytest.approx((alone.limits.value - 0.5) / 2)
    assert mixed.standard_error < 0.56 * alone.standard_error


def test_so_many_labels_halve_the_limits() -> None:
    """The figure is kept when that many labels are there."""
    human, judge = worlds(6000, 6)
    found = measured(corrected_mean(human[:120], judge[:120], judge[120:]))
    n = found.labels_to_halve
    assert n is not None
    assert 480 < n < 600
    more = measured(corrected_mean(human[:n], judge[:n], judge[n:]))
    assert more.standard_error == pytest.approx(found.standard_error / 2, rel=0.1)


def test_labels_cannot_halve_what_pairs_make_wide() -> None:
    """Of 200 pairs 150 are labelled: even all labels would not halve the limits."""
    human, judge = worlds(200, 7)
    assert measured(corrected_mean(human[:150], judge[:150], judge[150:])).labels_to_halve is None


@pytest.mark.parametrize(
    ("human", "judge", "why"),
    [
        ([1, 0] * 4, [1, 0] * 4, "at least 10 are needed"),
        ([1, 0] * 20, [1, 0] * 20, "the judge's error does not vary"),
    ],
)
def test_what_labels_cannot_bound_has_no_limits(
    human: list[float], judge: list[float], why: str
) -> None:
    """Too few labels, or a judge that never errs on them: no interval of width zero."""
    found = corrected_mean(human, judge, [1, 0, 1])
    assert isinstance(found, NoLimits)
    assert why in found.why


@QUICK
@given(st.integers(0, 10_000), st.floats(-3, 3), st.floats(0.1, 10))
def test_shift_and_scale_pass_through(seed: int, shift: float, scale: float) -> None:
    """The mean moves with its scores; the limits stretch with them."""
    rng = np.random.default_rng(seed)
    human, judge = worlds(150, seed)
    human, judge = human + rng.normal(0, 0.1, 150), judge + rng.normal(0, 0.1, 150)
    one = measured(corrected_mean(human[:50], judge[:50], judge[50:]))
    moved_human, moved_judge = scale * human + shift, scale * judge + shift
    other = measured(corrected_mean(moved_human[:50], moved_judge[:50], moved_judge[50:]))
    assert other.limits.value == pytest.approx(scale * one.limits.value + shift, abs=1e-6)
    assert other.standard_error == pytest.approx(scale * one.standard_error, rel=1e-6)
    assert one.limits.lower < one.limits.value < one.limits.upper


def test_a_difference_of_two_models_is_corrected_case_by_case() -> None:
    """A judge that grades one model up: its difference is wrong, the corrected one is not."""
    rng = np.random.default_rng(8)
    quality = rng.normal(3, 0.5, (1000, 1))
    human = quality + rng.normal(0, 0.4, (1000, 2)) + [0.1, 0]
    judge = human + rng.normal(0, 0.3, (1000, 2)) + [0.3, 0]
    a, b = human[:150].T
    found = measured(
        corrected_difference(
            (a, b), (judge[:150, 0], judge[:150, 1]), (judge[150:, 0], judge[150:, 1])
        )
    )
    assert found.judge_only == pytest.approx(0.4, abs=0.05)
    assert found.limits.lower < 0.1 < found.limits.upper
    assert found.limits.upper < 0.25


def test_rogan_gladen_of_a_win_rate_without_ties_is_that_of_the_share() -> None:
    """Wins and losses mirror each other, so both corrections say the same."""
    human, judge = worlds(1000, 9)
    found = rogan_gladen_win_rate(human[:200], judge[:200], judge[200:])
    true = human[:200] == 1
    direct = rogan_gladen(
        float(judge.mean()), 1000, float((judge[:200] == 0)[~true].mean()), int((~true).sum()),
        float((judge[:200] == 1)[true].mean()), int(true.sum()),
    )  # fmt: skip
    assert isinstance(found, Limits)
    assert isinstance(direct, Limits)
    assert (found.value, found.lower, found.upper) == pytest.approx(
        (direct.value, direct.lower, direct.upper)
    )


@needs_public_data
@pytest.mark.parametrize(
    ("judge", "rate"), [("GPT-4", 0.368), ("ChatGPT", 0.662), ("PaLM2", 0.426)]
)
def test_labels_correct_real_judges_that_like_long_answers(judge: str, rate: float) -> None:
    """Recorded verdicts on LLMBar; the candidate is always the longer answer of the two.

    Humans prefer it in 27 % of 419 pairs, the judges far more often. 80 labels bring every judge's
    interval back to the humans' rate, in at least 93 of 100 draws.
    """
    folder, points = FOLDER / "llmbar", {"1": 1.0, "2": 0.0}
    with gzip.open(folder / "llmbar.jsonl.gz", "rt") as file:
        pairs = {(r["subset"], r["idx"]): r for r in map(json.loads, file)}
    with gzip.open(folder / "evaluator_decisions_compact.jsonl.gz", "rt") as file:
        decisions = [
            r for r in map(json.loads, file)
            if r["subset"].startswith("LLMBar/") and (r["evaluator"], r["strategy"]) == (judge, "Vanilla")
        ]  # fmt: skip
    human, judged = np.empty(len(decisions)), np.empty(len(decisions))
    for i, row in enumerate(decisions):
        pair = pairs[row["subset"], row["idx"]]
        turned = len(pair["output_1"]) <= len(pair["output_2"])
        looks = [points.get(row[key], 0.5) for key in ("winner_orig", "winner_swapped")]
        both = looks[0] if looks[0] == looks[1] else 0.5
        human[i], judged[i] = (abs(turned - x) for x in (points[str(row["label"])], both))
    assert (len(human), human.mean()) == (419, pytest.approx(0.270, abs=5e-4))
    assert judged.mean() == pytest.approx(rate, abs=5e-4)
    rng, inside = np.random.default_rng(1), 0
    for _ in range(200):
        order = rng.permutation(419)
        drawn, rest = order[:80], order[80:]
        limits = measured(corrected_mean(human[drawn], judged[drawn], judged[rest])).limits
        assert limits.upper < rate + 0.1
        inside += limits.lower <= human.mean() <= limits.upper
    assert inside >= 186


# --- the win rate of a run


def labels_for(
    judgments: list[Judgment], verdicts: dict[int, PairVerdict], **changes: Any
) -> list[PairLabel]:
    """A label for some pairs, by their number."""
    first = [j for j in judgments if j.round == 0]
    fields: dict[str, Any] = {"labeller": "ann", "shown_first": "candidate", "at": "2026-01-01"}
    return [
        PairLabel(**{
            "task": TASK, "baseline": "production", "case_id": first[i].case_id,
            "doc_hash": first[i].doc_hash, "pair_hash": first[i].pair_hash, "verdict": verdict,
        } | fields | changes)
        for i, verdict in verdicts.items()
    ]  # fmt: skip


def judged_world(n: int = 400, labelled: int = 80) -> tuple[list[Judgment], list[PairLabel]]:
    """A judge that says 62 % where humans say 50 %: it takes every fourth loss for a win."""
    human: list[PairVerdict] = ["candidate_better", "baseline_better"] * (n // 2)
    judged = [
        "candidate_better" if v == "baseline_better" and i % 8 == 1 else v
        for i, v in enumerate(human)
    ]  # fmt: skip
    judgments = make_pairs(judged)
    return judgments, labels_for(judgments, {i: human[i] for i in range(labelled)})


def corrected_rows(
    judgments: list[Judgment], labels: list[PairLabel], **beside: Any
) -> dict[str, Comparison]:
    """Metric -> row."""
    rows = compare_win_rates(judgments, SETTINGS, beside.get("stopped", ()))
    found = add_corrected_rates(rows, judgments, BesideJudge(labels, **beside), SETTINGS)
    assert len({row.metric for row in found}) == len(found)
    return {row.metric: row for row in found}


def test_enough_labels_correct_the_win_rate() -> None:
    """The deciding row is corrected, the judge's own and Rogan-Gladen's stand beside it."""
    rows = corrected_rows(*judged_world())
    rate, raw, other = rows["win_rate"], rows[RAW], rows[ROGAN_GLADEN]
    assert raw.candidate_estimate is not None
    assert raw.candidate_estimate.value == pytest.approx(0.625)
    for row in (rate, other):
        assert row.candidate_estimate is not None
        assert row.candidate_estimate.value == pytest.approx(0.5, abs=0.01)
    assert rate.tests[0].name == "PPI++"
    assert rate.tests[0].p > 0.5
    assert rate.lower_one_sided is not None
    assert rate.lower_one_sided < 0 < (rate.upper_one_sided or 0)
    assert rate.counts == raw.counts
    notes = " ".join(rate.notes)
    assert "80 human labels" in notes
    assert "62.5%" in notes
    assert "kappa 0.7" in notes
    assert "would halve" in notes


def test_few_labels_leave_the_raw_rate_and_say_so() -> None:
    """One label less than the minimum: nothing is corrected, and a note says what is missing."""
    judgments, labels = judged_world(labelled=MIN_LABELS - 1)
    rows = corrected_rows(judgments, labels)
    assert list(rows) == ["win_rate"]
    assert rows["win_rate"].difference == compare_win_rates(judgments, SETTINGS)[0].difference
    assert "29 labelled pairs, 30 are needed" in rows["win_rate"].notes[0]


def test_no_labels_change_nothing() -> None:
    """The rows are those of the judge."""
    judgments, _ = judged_world()
    assert add_corrected_rates(
        compare_win_rates(judgments, SETTINGS), judgments, BesideJudge(), SETTINGS
    ) == compare_win_rates(judgments, SETTINGS)


def test_labels_of_changed_answers_do_not_count() -> None:
    """A label is about two texts; other texts under the same case are another pair."""
    judgments, labels = judged_world()
    stale = [label.model_copy(update={"pair_hash": "old"}) for label in labels]
    rows = corrected_rows(judgments, stale)
    assert list(rows) == ["win_rate"]
    assert rows["win_rate"].notes == ["80 labels are of answers that have changed since: not used."]


def test_two_labellers_are_averaged_and_the_last_word_counts() -> None:
    """Bob sees half of the losses as ties; what ann said before she thought again is forgotten."""
    judgments, labels = judged_world()
    twice = dict.fromkeys(range(1, 80, 4), "tie")
    bob = labels_for(judgments, twice, labeller="bob")  # type: ignore[arg-type]  # verdicts
    before = labels_for(judgments, dict.fromkeys(range(80), "both_bad"), at="2025-12-31")
    found = corrected_rows(judgments, [*labels, *bob, *before])["win_rate"]
    alone = corrected_rows(judgments, labels)["win_rate"]
    assert found.candidate_estimate is not None
    assert alone.candidate_estimate is not None
    assert 0.04 < found.candidate_estimate.value - alone.candidate_estimate.value < 0.08


def test_identical_answers_are_ties_that_need_no_label() -> None:
    """They pull the corrected rate towards one half, without a label."""
    judgments, labels = judged_world()
    better = [label.model_copy(update={"verdict": "candidate_better"}) for label in labels[:40]]
    same = [j for i in range(400) for j in make_pair(f"same-{i}", "tie", "tie", identical=True)]
    alone = corrected_rows(judgments, [*better, *labels[40:]])["win_rate"].difference
    mixed = corrected_rows([*judgments, *same], [*better, *labels[40:]])["win_rate"].difference
    assert alone is not None
    assert mixed is not None
    assert mixed.value == pytest.approx(alone.value / 2)


def test_some_chances_and_some_not_are_refused() -> None:
    """A mixture cannot be weighed: one line says what to do."""
    judgments, labels = judged_world()
    labels[:10] = [
        x.model_copy(update={"chance": 0.2, "stratum": "python"}) for x in labels[:10]
    ]  # fmt: skip
    with pytest.raises(RunError, match="10 of 80 state `chance`"):
        corrected_rows(judgments, labels)


def test_unequal_chances_leave_rogan_gladen_out() -> None:
    """It knows no weights, so it gives no figure rather than a wrong one."""
    judgments, labels = judged_world()
    labels = [
        x.model_copy(update={"chance": 0.1 + 0.3 * (i % 4 == 0), "stratum": str(i % 4 == 0)})
        for i, x in enumerate(labels)
    ]  # fmt: skip
    rows = corrected_rows(judgments, labels)
    assert rows[ROGAN_GLADEN].unavailable == "labels were drawn with unequal chances"
    assert rows["win_rate"].tests[0].name == "PPI++"


def test_a_larger_draw_later_holds_the_smaller_one() -> None:
    """Chances of one stratum that grew are the same chance: no weights, the same figures."""
    judgments, labels = judged_world()
    grown = [x.model_copy(update={"chance": 0.1 if i < 40 else 0.2}) for i, x in enumerate(labels)]
    assert corrected_rows(judgments, grown)["win_rate"].difference == (
        corrected_rows(judgments, labels)["win_rate"].difference
    )


def test_buckets_with_enough_labels_are_corrected() -> None:
    """The field of a per-bucket rule makes them; too small ones are named."""
    judgments, labels = judged_world()
    records = [
        make_record(j.case_id, doc={"language": "python" if i < 350 else "go"})
        for i, j in enumerate(j for j in judgments if j.round == 0)
    ]  # fmt: skip
    hashes = {r.case_id: r.doc_hash for r in records}
    judgments = [j.model_copy(update={"doc_hash": hashes[j.case_id]}) for j in judgments]
    labels = [x.model_copy(update={"doc_hash": hashes[x.case_id]}) for x in labels]
    settings = Settings(resamples=1000, buckets={(TASK, "win_rate"): ["language"]})
    models = as_scores(make_models(candidate=records), settings.fields)
    rows = compare_judged(judgments, BesideJudge(labels), models["candidate"], settings)
    (bucket,) = rows[0].buckets
    assert (bucket.by, bucket.bucket, bucket.n) == ("language", "python", 350)
    assert abs(bucket.difference) < 0.03
    assert bucket.standard_error is not None
    assert "30 are needed: language go (0)" in rows[0].notes[-1]


def decided(rows: dict[str, Comparison]) -> tuple[str, str]:
    """Outcome and sentence of a win-rate rule."""
    policy = make_policy({"kind": "win_rate", "evidence": "significant"})
    evidence = make_comparisons(*rows.values())
    found = decide(policy, evidence, make_qualification(), date(2026, 1, 1))
    return found.rules[0].outcome, found.rules[0].sentence


def test_the_rule_uses_the_corrected_rate() -> None:
    """The judge alone would pass the candidate; corrected by labels it does not."""
    judgments, labels = judged_world()
    assert decided(corrected_rows(judgments, []))[0] == "PASS"
    outcome, sentence = decided(corrected_rows(judgments, labels))
    assert outcome == "INCONCLUSIVE"
    assert "corrected by human labels (the judge alone 62.5%)" in sentence


def test_the_report_tells_how_the_rate_was_corrected() -> None:
    """One line with both figures and the agreement; a hostile bucket name stays text."""
    rows = corrected_rows(*judged_world())
    rows["win_rate"].notes.append("Bucket <img src=x onerror=alert(1)>.")
    evidence = make_comparisons(*rows.values())
    policy = make_policy({"kind": "win_rate"})
    decision = decide(policy, evidence, make_qualification(), date(2026, 1, 1))
    manifest = RunManifest(
        run_id="run-1", policy_name="p", policy_hash=policy.policy_hash, seed=1, concurrency=1, models=[],
        generation_hash="g", created_at="2026-01-01T00:00:00+00:00", versions={},
    )  # fmt: skip
    material = ReportInput(
        manifest, evidence, Findings(findings=[]), decision, make_qualification()
    )
    page, text = render_html(material), render_markdown(material)
    assert "Win rate against production 50." in text
    assert "Corrected by 80 human labels: the judge alone says 62.5%" in text
    assert "Win rate by the judge alone against production 62.5%" in text
    assert "<img" not in page
    assert "<img" not in text.replace("\\<", "")


def stopped_at(look: int, method: str = "obrien_fleming") -> StoppingRecord:
    """Judging that ended at a look."""
    return StoppingRecord.model_validate({
        "task": TASK, "baseline": "production", "method": method, "n_planned": 1000, "n_judged": 400,
        "looks_planned": 5 if method == "obrien_fleming" else None, "thresholds": [0.5],
        "decided": True, "looks": [StoppingLook(number=look, n_judged=400)],
    })  # fmt: skip


@pytest.mark.parametrize("method", ["obrien_fleming", "e_process"])
def test_limits_after_an_early_stop_are_wider(method: str) -> None:
    """Corrected or not: the interval, and the limits and tests that decide."""
    judgments, labels = judged_world()
    stop = stopped_at(2, method)
    early, late = corrected_rows(judgments, labels, stopped=[stop]), corrected_rows(judgments, labels)  # fmt: skip
    for metric in ("win_rate", RAW):
        one, other = early[metric], late[metric]
        assert one.difference is not None
        assert other.difference is not None
        assert one.difference.value == pytest.approx(other.difference.value)
        assert (one.difference.upper or 0) > 1.02 * (other.difference.upper or 0)
        assert (one.upper_one_sided or 0) > 1.02 * (other.upper_one_sided or 0)
        assert "400 of 1000 pairs judged in random order" in one.notes[0]
    assert early["win_rate"].tests[0].p >= late["win_rate"].tests[0].p


# --- length


def test_win_rates_at_equal_length_stand_beside_the_raw_one() -> None:
    """Wherever the lengths of the answers are known."""
    rng = np.random.default_rng(1)
    verdicts: list[PairVerdict] = ["candidate_better", "baseline_better", "tie"] * 60
    judgments = [
        j.model_copy(update={"candidate_chars": 500 + extra, "baseline_chars": 480})
        for i, verdict in enumerate(verdicts)
        for extra in [int(rng.normal(20 + 60 * (verdict == "candidate_better"), 80))]
        for j in make_pair(f"pair-{i}", verdict, verdict)
    ]  # fmt: skip
    rows = corrected_rows(judgments, [])
    row = rows[LENGTH_CONTROLLED]
    assert rows["win_rate"].candidate_estimate is not None
    assert rows["win_rate"].candidate_estimate.value == 0.5
    assert row.candidate_estimate is not None
    assert row.candidate_estimate.value < 0.47
    assert "sd longer" in row.notes[0]


def test_lengths_nobody_wrote_down_make_no_row() -> None:
    """Judgments of older versions have none: no row, and no guess."""
    judgments, _ = judged_world()
    assert LENGTH_CONTROLLED not in corrected_rows(judgments, [])


def test_records_without_judgments_make_no_rows() -> None:
    """A run without a judge."""
    models = as_scores(make_models(candidate=make_outcomes([1, 0])))
    assert compare_judged([], BesideJudge(), models["candidate"], SETTINGS) == []
