"""Tests of estimates: which method for which score, at which level, and when there is none."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import (
    METRIC,
    QUICK,
    TASK,
    as_scores,
    make_models,
    make_pairs,
    make_policy,
    make_qualification,
    make_record,
)

from ftgate_ext.compare import compare_models
from ftgate_ext.decision import decide
from ftgate_ext.estimates import estimate_level
from ftgate_ext.paired_estimates import estimate_difference, estimate_ratio
from ftgate_ext.schema import Comparison, Comparisons, Level, LookUse
from ftgate_ext.settings import Alphas, Settings, settings_of
from ftgate_ext.stats.f1 import f1_delta
from ftgate_ext.stats.limits import NoLimits
from ftgate_ext.stats.paired_binary import tango_interval
from ftgate_ext.stats.proportion import clopper_pearson
from ftgate_ext.winrate import compare_verdicts

if TYPE_CHECKING:
    from ftgate_ext.pairing import Kind
    from ftgate_ext.runs import Record
    from ftgate_ext.schema import PairVerdict

SETTINGS = Settings(resamples=1000)
USUAL = Alphas()
TODAY = date(2026, 6, 1)


def compare(
    candidate: list[Record], production: list[Record], settings: Settings = SETTINGS
) -> Comparisons:
    """Compare two models on the toy task."""
    models = make_models(candidate=candidate, production=production)
    return compare_models(as_scores(models, settings.fields), [], "run-1", Path("runs"), settings)


def answers(values: list[Any], repeats: int = 1, clusters: int | None = None) -> list[Record]:
    """One case a value; each value is the score of all its repeats, or a tuple of them."""
    return [
        make_record(f"c{i}", doc={"cluster": i % clusters} if clusters else None, passed=score)
        for i, value in enumerate(values)
        for score in (value if isinstance(value, tuple) else (value,) * repeats)
    ]


def only(made: Comparisons) -> Comparison:
    """The one comparison; pass@k of repeats stands behind it."""
    (found,) = [c for c in made.comparisons if "@" not in c.metric]
    return found


def level(made: Comparisons) -> Level:
    """The candidate's own figure."""
    (found,) = [x for x in made.levels if x.role == "candidate" and "@" not in x.metric]
    return found


def limits(found: Comparison | Level) -> tuple[float | None, float | None]:
    """The limits that decide."""
    return found.lower_one_sided, found.upper_one_sided


# --- methods


GRADED = [0.1, 0.4, 0.9, 0.3, 0.7]
COUNTS = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize(
    ("mine", "theirs", "repeats", "kind", "test"),
    [
        ([1, 0, 1, 1] * 20, [1, 1, 0, 1] * 20, 1, "binary", "McNemar mid-p"),
        ([(1, 0, 1), (1, 1, 1), (0, 0, 1)] * 20, [(1, 1, 1), (0, 1, 1), (0, 0, 0)] * 20, 1, "mean", "paired t"),
        ([(1, 0, 1)] * 5 + [1] * 60, [1] * 65, 3, "mean", "sign test (mid-p)"),
        (GRADED * 5, GRADED[::-1] * 5, 1, "mean", "sign flip"),
        (GRADED * 6, GRADED[::-1] * 6, 1, "mean", "paired t"),
        (COUNTS * 10, COUNTS[1:] * 12 + COUNTS, 1, "f1", "paired bootstrap"),
    ],
)  # fmt: skip
def test_the_kind_of_score_chooses_the_test(
    mine: list[Any], theirs: list[Any], repeats: int, kind: str, test: str
) -> None:
    """The first test decides; the estimate names how its interval was made."""
    found = only(compare(answers(mine, repeats), answers(theirs, repeats)))

    assert (found.kind, found.tests[0].name) == (kind, test)
    assert found.difference is not None
    assert found.difference.method
    assert found.difference.lower < found.difference.value < found.difference.upper  # type: ignore[operator]
    assert found.standard_error


def test_repeats_that_agree_decide_like_single_answers() -> None:
    """Asked five times with the same answers: the limits of asking once, not narrower ones."""
    mine, theirs = [1] * 90 + [0] * 10, [1] * 92 + [0] * 8
    once, often = (compare(answers(mine, k), answers(theirs, k)) for k in (1, 5))

    assert only(often).kind == "mean"
    assert limits(only(often)) == limits(only(once))
    assert limits(level(often)) == limits(level(once))
    assert only(often).tests[0].p == only(once).tests[0].p


def test_few_flaky_cases_prove_no_more_than_none() -> None:
    """One answer in 250 wrong does not prove a rate of 98 %, which 50 of 50 cases cannot prove."""
    perfect = compare(answers([1] * 50, 5), answers([1] * 50, 5))
    flaky = compare(answers([(1, 1, 0, 1, 1)] + [1] * 49, 5), answers([1] * 50, 5))

    assert limits(level(perfect)) == (clopper_pearson(50, 50, 0.9).lower, 1.0)
    assert level(flaky).lower_one_sided == clopper_pearson(49, 50, 0.9).lower
    assert only(flaky).lower_one_sided == tango_interval(0, 1, 50, 0.9).lower
    assert only(perfect).lower_one_sided == tango_interval(0, 0, 50, 0.9).lower


def test_many_changed_cases_profit_from_repeats() -> None:
    """With 100 flaky cases of 200, five answers each give narrower limits than one."""
    rng = np.random.default_rng(3)
    rates = np.where(np.arange(200) < 100, 0.5, 1.0)
    mine, theirs = (
        [tuple(int(x) for x in rng.random(5) < rate) for rate in rates] for _ in range(2)
    )
    once = compare(answers([v[0] for v in mine]), answers([v[0] for v in theirs]))
    often = compare(answers(mine), answers(theirs))

    widths = [x.upper_one_sided - x.lower_one_sided for x in (only(often), only(once))]  # type: ignore[operator]
    assert widths[0] < 0.6 * widths[1]


def test_one_lost_case_in_clusters_proves_no_more_than_one_without() -> None:
    """The spread between 20 clusters with one lost case is too small to be believed."""
    lost = [0] + [1] * 199
    alone = only(compare(answers(lost), answers([1] * 200)))
    together = only(compare(answers(lost, clusters=20), answers([1] * 200, clusters=20)))

    assert together.n_clusters == 20
    assert together.lower_one_sided is not None
    assert alone.lower_one_sided is not None
    assert together.lower_one_sided <= alone.lower_one_sided
    assert together.difference is not None
    assert together.difference.lower is not None
    assert together.difference.lower <= together.lower_one_sided


@QUICK
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=8, max_size=80), st.integers(8, 25))  # fmt: skip
def test_clusters_never_make_pass_fail_limits_narrower_than_their_worth(
    pairs: list[tuple[int, int]], clusters: int
) -> None:
    """Limits hold the difference, have a width, and stay within -1 and 1."""
    left, right = (np.array(side, dtype=float)[:, None] for side in zip(*pairs, strict=True))
    numbers = np.arange(len(pairs)) % clusters
    found = estimate_difference(
        "binary", left, right, numbers, SETTINGS, USUAL, is_pass_fail=True
    )  # fmt: skip

    if found.lower is None or found.upper is None:
        assert found.no_interval
        return
    assert -1 <= found.lower < found.upper <= 1
    assert found.lower <= found.estimate.value <= found.upper
    naive = tango_interval(
        int((left > right).sum()), int((left < right).sum()), len(pairs), USUAL.level
    )
    assert found.upper - found.lower >= (naive.upper - naive.lower) * 0.9


# --- F1


def test_f1_of_nothing_is_no_figure() -> None:
    """Nothing to find and nothing reported: not an F1 of 0 that fails a floor."""
    nothing = answers([[0, 0, 0]] * 30)
    some = answers([[1, 0, 0]] * 30)

    for made in (compare(nothing, nothing), compare(nothing, some)):
        assert level(made).estimate is None
        assert (
            level(made).unavailable == "there is no F1: nothing to find, and nothing was reported"
        )
        assert only(made).unavailable == level(made).unavailable
    missed = compare(answers([[0, 0, 1]] * 30), some)
    assert level(missed).estimate.value == 0  # type: ignore[union-attr]


def test_f1_of_nothing_in_one_bucket_of_clusters_is_no_error() -> None:
    """A small bucket without a finding has a difference of 0 and no error to build limits on."""

    def records(flip: int) -> list[Record]:
        return [
            make_record(
                f"c{i}", doc={"cluster": i // 2, "language": "go" if i < 40 else "rust"},
                passed=[int(i % 3 == flip), 0, int(i % 3 != flip)] if i < 40 else [0, 0, 0],
            )
            for i in range(80)
        ]  # fmt: skip

    chosen = replace(SETTINGS, buckets={(TASK, METRIC): ["language"]})

    found = {b.bucket: b for b in only(compare(records(0), records(1), chosen)).buckets}

    assert found["go"].standard_error
    assert (found["rust"].difference, found["rust"].standard_error) == (0, None)


def test_f1_in_clusters_is_tested_by_influence() -> None:
    """Sums of influences over clusters, with the ratio and its limits from the same clusters."""
    mine, theirs = answers(COUNTS * 20, clusters=20), answers((COUNTS[2:] + COUNTS[:2]) * 20, clusters=20)  # fmt: skip

    found = only(compare(mine, theirs))

    assert found.tests[0].name == "F1 by influence, clusters"
    assert (found.n_clusters, found.kind) == (20, "f1")
    assert found.ratio is not None


# --- levels of looks and selection


def alphas(**fields: Any) -> Alphas:
    """Test levels of the toy task."""
    return Settings(**fields).alphas(TASK)


def z_of(alpha: float) -> float:
    """The one-sided z of a test level."""
    return -NormalDist().inv_cdf(alpha)


@pytest.mark.parametrize(
    ("boundary", "planned", "constant"),
    [
        ("pocock", 2, 1.875), ("pocock", 3, 1.992), ("pocock", 5, 2.122),
        ("obrien_fleming", 2, 1.678), ("obrien_fleming", 3, 1.710), ("obrien_fleming", 5, 1.751),
    ],
)  # fmt: skip
def test_planned_looks_use_the_published_boundaries(
    boundary: Literal["pocock", "obrien_fleming"], planned: int, constant: float
) -> None:
    """One-sided 5 %: Pocock's z at every look, O'Brien and Fleming's times sqrt(K / k)."""
    for number in range(1, planned + 1):
        look = LookUse(number=number, planned=planned, boundary=boundary)
        factor = math.sqrt(planned / number) if boundary == "obrien_fleming" else 1
        assert z_of(alphas(look=look).one_sided) == pytest.approx(constant * factor, abs=2e-3 * factor)  # fmt: skip


def test_unplanned_looks_change_no_level() -> None:
    """They cannot be repaired afterwards: the decision says what they cost."""
    assert alphas(look=LookUse(number=4)) == alphas() == Alphas(0.05, 0.05)
    assert USUAL.level == pytest.approx(0.9)


def test_the_best_of_several_is_tested_at_a_share_of_the_level() -> None:
    """0.05 / K on the sets where it was chosen, and 0.05 on all others; looks multiply."""
    chosen = Settings(selected_from={TASK: 10})
    look = LookUse(number=1, planned=2, boundary="pocock")

    assert chosen.alphas(TASK) == Alphas(0.005, 0.005)
    assert chosen.alphas("other") == chosen.alphas("*") == Alphas()
    both = alphas(look=look, selected_from={TASK: 10})
    assert both.one_sided == pytest.approx(alphas(look=look).one_sided / 10)


@pytest.mark.parametrize("planned", [10, 15, 20])
@pytest.mark.parametrize("kind", ["binary", "graded", "few graded", "f1", "clusters"])
def test_the_first_of_many_looks_ends_in_no_error(planned: int, kind: str) -> None:
    """O'Brien and Fleming's first z is over 5: limits are very wide, or there are none."""
    look = LookUse(number=1, planned=planned, boundary="obrien_fleming")
    values: dict[str, list[Any]] = {
        "binary": [1, 0, 1, 1] * 20, "graded": GRADED * 16, "few graded": GRADED * 3, "f1": COUNTS * 20,
        "clusters": [1, 0, 1, 1] * 20,
    }  # fmt: skip
    clusters = 10 if kind == "clusters" else None
    theirs = [values[kind][1], *values[kind][:-1]]
    usual, strict = (
        only(
            compare(answers(values[kind], clusters=clusters), answers(theirs, clusters=clusters), s)
        )
        for s in (SETTINGS, replace(SETTINGS, look=look))
    )

    assert strict.alpha_one_sided >= 1e-9
    if strict.lower_one_sided is None:
        assert strict.no_interval
    else:
        assert strict.lower_one_sided < usual.lower_one_sided  # type: ignore[operator]
        assert strict.upper_one_sided > usual.upper_one_sided  # type: ignore[operator]


def test_resamples_that_do_not_reach_a_level_make_no_limit() -> None:
    """At 0.0005 half of 1000 resamples lies beyond: F1 then has the limits of its influence."""
    mine, theirs = answers(COUNTS * 30), answers((COUNTS[1:] + COUNTS[:1]) * 30)
    chosen = replace(SETTINGS, selected_from={TASK: 100})
    left, right = (np.array(x * 30, dtype=float) for x in (COUNTS, COUNTS[1:] + COUNTS[:1]))

    found, by_influence = only(compare(mine, theirs, chosen)), f1_delta(left, right, 1 - 2 * 0.0005)

    assert not isinstance(by_influence, NoLimits)
    assert limits(found) == (by_influence.limits.lower, by_influence.limits.upper)
    own, usual = level(compare(mine, theirs, chosen)), level(compare(mine, theirs))
    assert own.lower_one_sided < usual.lower_one_sided  # type: ignore[operator]


@pytest.mark.parametrize(
    "policy",
    [
        {"looks": {"planned": 3, "boundary": "pocock"}},
        {"looks": {"planned": 3}},
        {"selection": {"checkpoints": 8, "tasks": [TASK]}},
    ],
)
@pytest.mark.parametrize("values", [[1, 0, 1, 1, 1] * 20, GRADED * 20, COUNTS * 25])
def test_corrections_of_the_policy_widen_all_limits(
    policy: dict[str, Any], values: list[Any]
) -> None:
    """Of differences, levels and ratios; the two-sided interval that is shown stays at 95 %."""
    plain = make_policy({"kind": "superiority"})
    corrected = make_policy({"kind": "superiority"}, **policy)
    looks = corrected.looks
    look = LookUse(number=2, planned=looks.planned, boundary=looks.boundary) if looks else None
    theirs = [values[1], *values[:-1]]

    before, after = (
        compare(answers(values), answers(theirs), settings_of(p, at))
        for p, at in ((plain, None), (corrected, look))
    )

    for one, other in ((only(before), only(after)), (level(before), level(after))):
        assert other.alpha_one_sided < 0.05
        assert other.lower_one_sided < one.lower_one_sided  # type: ignore[operator]
        assert other.upper_one_sided > one.upper_one_sided  # type: ignore[operator]
    assert only(after).difference == only(before).difference
    ratios = [only(x).ratio for x in (before, after)]
    assert ratios[0] is not None
    assert ratios[1] is not None
    assert ratios[1].lower_one_sided < ratios[0].lower_one_sided  # type: ignore[operator]
    found = decide(corrected, after, None, TODAY)
    assert found.rules[0].level == pytest.approx(1 - only(after).alpha_one_sided)
    assert len(found.warnings) == 1


# --- ratios


def test_a_ratio_is_that_of_the_means() -> None:
    """0.6 of 0.8, with Fieller's limits around it."""
    left, right = (np.array(v, dtype=float)[:, None] for v in ([1] * 60 + [0] * 40, [1] * 80 + [0] * 20))  # fmt: skip

    found = estimate_ratio("binary", left, right, None, SETTINGS, USUAL)

    assert found is not None
    assert found.estimate.value == pytest.approx(0.75)
    assert found.lower_one_sided < 0.75 < found.upper_one_sided  # type: ignore[operator]
    assert found.estimate.lower < found.lower_one_sided  # type: ignore[operator]


@pytest.mark.parametrize(
    ("kind", "left", "right"),
    [
        ("binary", [1, 1, 1], [0, 0, 0]),
        ("mean", [0.5], [0.5]),
        ("f1", [[1, 0, 0]] * 3, [[0, 0, 0]] * 3),
        ("f1", [[0, 0, 0]] * 3, [[1, 0, 0]] * 3),
    ],
)
def test_nothing_can_be_divided_by_nothing(kind: Kind, left: list[Any], right: list[Any]) -> None:
    """The other model scores 0, there is one case, or there is no F1."""
    a, b = (np.array(x, dtype=float).reshape(len(x), -1) for x in (left, right))

    assert estimate_ratio(kind, a, b, None, SETTINGS, USUAL) is None


def test_a_denominator_near_zero_has_a_ratio_without_limits() -> None:
    """1 of 40: its mean cannot be told from 0, and the reason is kept."""
    left, right = (np.array(v, dtype=float)[:, None] for v in ([1] * 20 + [0] * 20, [1] + [0] * 39))

    found = estimate_ratio("binary", left, right, None, SETTINGS, USUAL)

    assert found is not None
    assert found.estimate.value == pytest.approx(20)
    assert found.lower_one_sided is None
    assert "cannot be told from 0" in (found.no_interval or "")


# --- win rates


def verdicts(wins: int, losses: int, ties: int = 0) -> Comparison:
    """The win rate over so many pairs."""
    listed: list[PairVerdict] = ["candidate_better"] * wins
    listed += ["baseline_better"] * losses
    listed += ["tie"] * ties
    return compare_verdicts(TASK, "production", listed, SETTINGS)


@pytest.mark.parametrize(
    ("wins", "losses", "ties", "method"),
    [
        (6, 1, 0, "Tango"), (40, 4, 20, "Tango"), (4, 40, 0, "Tango"), (20, 10, 0, "bootstrap"),
        (15, 14, 0, "Tango"), (5, 5, 20, "bootstrap"), (0, 0, 50, "Tango"), (1, 0, 0, "Tango"),
    ],
)  # fmt: skip
def test_few_verdicts_are_not_resampled(wins: int, losses: int, ties: int, method: str) -> None:
    """Under 5 wins or losses, or 30 pairs, the score limits of both decide."""
    found = verdicts(wins, losses, ties)

    assert found.difference is not None
    assert method in found.difference.method
    assert found.lower_one_sided < found.difference.value <= found.upper_one_sided  # type: ignore[operator]


def test_seven_pairs_prove_no_preference() -> None:
    """6 of 7: resampling puts the 95 % limit above one half, the sign test's p is 0.07."""
    made = Comparisons(
        run_id="r", roles=["candidate", "production"], levels=[], comparisons=[verdicts(6, 1)],
        operations=[], sources={}, resamples=1000, seed=1,
    )  # fmt: skip
    rule = {"kind": "win_rate", "threshold": 0.55, "evidence": "proven"}

    (found,) = decide(make_policy(rule), made, make_qualification(), TODAY).rules

    assert found.outcome == "INCONCLUSIVE"


def test_rubric_means_have_a_ratio() -> None:
    """Scores from 1 to 5 are turned to 0..1 first, which makes "95 % of the other" mean something."""

    def judged(pair: int) -> list[Any]:
        scores = {"candidate": {"clarity": 4}, "baseline": {"clarity": 3 + pair % 3}}
        looks = make_pairs(["tie"])
        return [
            look.model_copy(
                update={"case_id": f"p{pair}", "doc_hash": f"h{pair}", "scores": scores}
            )
            for look in looks
        ]

    models = make_models(candidate=answers([1]), production=answers([1]))
    judgments = [look for pair in range(30) for look in judged(pair)]

    made = compare_models(as_scores(models), judgments, "r", Path("runs"), SETTINGS)

    (found,) = [c for c in made.comparisons if c.metric == "rubric_clarity"]
    assert found.ratio is not None
    assert found.ratio.estimate.value == pytest.approx(0.75 / 0.75)
    assert found.ratio.lower_one_sided < 1 < found.ratio.upper_one_sided  # type: ignore[operator]


# --- hardly any evidence

TINY: dict[str, tuple[list[Any], list[Any], int, int | None]] = {
    f"{name}, {n} {how}": ([mine] * n, [theirs] * n, repeats, clusters)
    for name, mine, theirs, repeats, clusters in (
        ("pass/fail", 1, 0, 1, None), ("repeated", 1, 0, 3, None), ("graded", 0.9, 0.2, 1, None),
        ("f1", [1, 0, 0], [0, 0, 1], 1, None), ("one cluster", 1, 0, 1, 1),
    )
    for n in (1, 2, 3)
    for how, theirs in (("apart", theirs), ("alike", mine))
}  # fmt: skip
GATE = make_policy(*(
    {"kind": kind, "name": f"{kind} {evidence}", "evidence": evidence} | fields
    for kind, fields in (
        ("superiority", {}), ("non_inferiority", {"margin_pt": 5}), ("floor", {"threshold": 0.95}),
        ("ratio", {"task": TASK, "metric": METRIC, "against": "production", "minimum": 0.95}),
    )
    for evidence in ("significant", "proven")
    if (kind, evidence) not in {("non_inferiority", "significant"), ("floor", "significant"), ("ratio", "significant")}
))  # fmt: skip


@pytest.mark.parametrize("name", TINY)
def test_one_to_three_cases_prove_nothing(name: str) -> None:
    """Every kind of metric: no interval of width zero, no pass, and a reason that is one line."""
    mine, theirs, repeats, clusters = TINY[name]

    made = compare(answers(mine, repeats, clusters), answers(theirs, repeats, clusters))

    for found in (only(made), level(made)):
        low, high = limits(found)
        assert (low is None) == (high is None)
        if low is None or high is None:
            assert found.no_interval
            assert "\n" not in found.no_interval
        else:
            assert low < high
    for result in decide(GATE, made, None, TODAY).rules:
        assert result.outcome in {"INCONCLUSIVE", "FAIL"}, result.sentence
        assert "\n" not in result.sentence


@pytest.mark.parametrize("score", [1, 0, 0.5, [1, 0, 0], [0, 1, 1]])
@pytest.mark.parametrize("repeats", [1, 3])
def test_models_that_agree_everywhere_are_not_ahead(score: Any, repeats: int) -> None:
    """All ties on 40 cases: never a significant or proven lead, and never a width of zero."""
    same = answers([score] * 40, repeats)

    made = compare(same, same)

    low, high = limits(only(made))
    assert (low is None and high is None) or (low is not None and high is not None and low < high)
    outcomes = {r.name: r.outcome for r in decide(GATE, made, None, TODAY).rules}
    assert outcomes["superiority significant"] == "INCONCLUSIVE"
    assert outcomes["superiority proven"] == "INCONCLUSIVE"


def test_no_case_at_all_is_no_evidence() -> None:
    """A task without records, and one whose scores are all missing."""
    empty = compare([make_record("a", status="failed")], [make_record("a", passed=1)])
    apart = compare(answers([1, 1]), [make_record("x", passed=1)])

    assert level(empty).unavailable == "no scored case"
    for made in (empty, apart):
        assert only(made).unavailable == "the two models have no scored case in common"
        outcomes = {r.name: r.outcome for r in decide(GATE, made, None, TODAY).rules}
        assert set(outcomes.values()) == {"INCONCLUSIVE"}


@pytest.mark.parametrize("kind", ["mean", "f1", "binary"])
def test_levels_of_one_case_are_typed(kind: Kind) -> None:
    """One case has exact limits if it is pass/fail, and none otherwise."""
    values = np.array([[1.0, 0.0, 0.0]] if kind == "f1" else [[1.0]])

    found = estimate_level(kind, values, None, SETTINGS, USUAL)

    assert found.estimate.value == 1
    if kind == "binary":
        assert found.lower_one_sided == pytest.approx(0.05)
        assert found.upper_one_sided == 1
    else:
        assert found.lower_one_sided is None
        assert found.no_interval == f"1 case; at least {8 if kind == 'f1' else 2} are needed"
