"""Judgments -> win rates and rubric means: both orders of a pair make one verdict, ties stay in."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from ftgate_ext.estimates import (
    FEW_CASES,
    Difference,
    estimate_difference,
    estimate_level,
    estimate_ratio,
    reaches,
)
from ftgate_ext.schema import Comparison, Estimate, Judgment, PairVerdict, Role, TestResult
from ftgate_ext.settings import Alphas, Settings, to_estimate
from ftgate_ext.stats.limits import Limits, NoLimits
from ftgate_ext.stats.paired_binary import mcnemar_mid_p, tango_interval
from ftgate_ext.stats.power import mde_win_rate
from ftgate_ext.stats.resample import bootstrap, mean_difference

Array = np.ndarray[Any, Any]
PairKey = tuple[str, Role, tuple[str, str]]
"""Task, baseline, and the case by its hash and its id: two rows may hold the same text."""


SCORES: dict[PairVerdict, float] = {
    "candidate_better": 1.0, "tie": 0.5, "both_bad": 0.5, "baseline_better": 0.0,
}  # fmt: skip
FEW_VERDICTS = 5
"""Fewer wins or losses, and many resamples hold none at all."""
RUBRIC = "rubric"
"""Begins the name of every metric that is a judge's score from 1 to 5."""


def pair_verdicts(judgments: list[Judgment]) -> dict[PairKey, PairVerdict]:
    """Both looks at a pair -> its verdict: inconsistent over the two orders is a tie.

    A pair with an unparsed verdict is `unparsed`, and so is one that was judged in one order only.
    """
    looks: dict[PairKey, dict[int, Judgment]] = {}
    for judgment in judgments:
        case = (judgment.doc_hash, judgment.case_id)
        rounds = looks.setdefault((judgment.task, judgment.baseline, case), {})
        rounds[judgment.round] = judgment
    verdicts: dict[PairKey, PairVerdict] = {}
    for key, rounds in looks.items():
        seen = {j.verdict for j in rounds.values()}
        identical = any(j.identical for j in rounds.values())
        if identical:
            verdicts[key] = "tie"
        elif "unparsed" in seen or len(rounds) < 2:
            verdicts[key] = "unparsed"
        else:
            verdicts[key] = seen.pop() if len(seen) == 1 else "tie"
    return verdicts


def compare_win_rates(judgments: list[Judgment], settings: Settings) -> list[Comparison]:
    """The candidate's win rate and rubric means on every task and against every model judged."""
    verdicts = pair_verdicts(judgments)
    found = []
    for task, baseline in dict.fromkeys((task, baseline) for task, baseline, _ in verdicts):
        mine = [v for (t, b, _), v in verdicts.items() if (t, b) == (task, baseline)]
        looks = [j for j in judgments if (j.task, j.baseline) == (task, baseline)]
        found += [
            compare_verdicts(task, baseline, mine, settings),
            *_rubrics(task, baseline, looks, settings),
        ]
    return found


def compare_verdicts(
    task: str, baseline: Role, verdicts: list[PairVerdict], settings: Settings
) -> Comparison:
    """A win scores 1, a tie or two bad answers one half; an unparsed verdict is left out."""
    counts = Counter(verdicts)
    wins, losses = counts["candidate_better"], counts["baseline_better"]
    n = len(verdicts) - counts["unparsed"]
    alphas = settings.alphas(task)
    comparison = Comparison(
        task=task, metric="win_rate", kind="win_rate", baseline=baseline, n_pairs=n, n_excluded=counts["unparsed"],
        alpha_one_sided=alphas.one_sided, alpha_two_sided=alphas.two_sided,
        counts={"wins": wins, "losses": losses, "ties": counts["tie"], "both_bad": counts["both_bad"], "unparsed": counts["unparsed"]},
    )  # fmt: skip
    if n == 0:
        return comparison.model_copy(update={"unavailable": "no pair has a verdict"})
    found = _difference(counts, n, settings, alphas)
    sign_test = TestResult(
        name="sign test (mid-p)", p=mcnemar_mid_p(wins, losses), detail="wins against losses"
    )
    return comparison.model_copy(
        update={
            "candidate_estimate": _around_half(found.estimate), "difference": found.estimate,
            "lower_one_sided": found.lower, "upper_one_sided": found.upper,
            "tests": [sign_test, *found.tests], "standard_error": found.standard_error,
            "mde": found.mde,
        }
    )  # fmt: skip


def _around_half(difference: Estimate) -> Estimate:
    """A win rate minus one half -> the win rate."""
    ends = {"lower": difference.lower, "upper": difference.upper}
    moved = {name: None if end is None else end + 0.5 for name, end in ends.items()}
    return difference.model_copy(update={"value": difference.value + 0.5, **moved})


def _difference(
    counts: Counter[PairVerdict], n: int, settings: Settings, alphas: Alphas
) -> Difference:
    """The win rate minus one half, by bootstrap.

    Where few wins, few losses or few pairs leave nothing to draw from, by the score limits of both.
    """
    wins, losses = counts["candidate_better"], counts["baseline_better"]
    spread = (wins + losses - (wins - losses) ** 2 / n) / (4 * n * max(n - 1, 1))
    error = float(np.sqrt(spread)) or None
    ties = 1 - (wins + losses) / n
    mde = mde_win_rate(n, ties) if ties < 1 else None
    if min(wins, losses) >= FEW_VERDICTS and n >= FEW_CASES and reaches(alphas, settings):
        values = np.array([SCORES[v] for v in SCORES for _ in range(counts[v])])
        rows = np.column_stack([values, np.full(n, 0.5), np.ones(n)])
        result = bootstrap(
            rows, mean_difference, settings.seed, settings.resamples, settings.level,
            alpha=alphas.one_sided,
        )  # fmt: skip
        if not isinstance(result, NoLimits) and not result.degenerate:
            tests = [TestResult(name="bootstrap", p=result.p)]
            return Difference(
                to_estimate(result.interval), result.lower_one_sided, result.upper_one_sided,
                tests, error, mde=mde,
            )  # fmt: skip
    shown, deciding = (tango_interval(wins, losses, n, x) for x in (settings.level, alphas.level))
    half = Limits(
        shown.value / 2, shown.lower / 2, shown.upper / 2, shown.level, n, "Tango score, halved"
    )
    return Difference(to_estimate(half), deciding.lower / 2, deciding.upper / 2, [], error, mde=mde)


def _rubrics(
    task: str, baseline: Role, judgments: list[Judgment], settings: Settings
) -> list[Comparison]:
    """Rubric scores of both models, averaged over both looks, from 1..5 to 0..1: (x - 1) / 4."""
    by_case: dict[tuple[str, str], list[Judgment]] = {}
    for judgment in judgments:
        if judgment.scores and judgment.verdict != "unparsed":
            by_case.setdefault((judgment.doc_hash, judgment.case_id), []).append(judgment)
    whole = [looks for looks in by_case.values() if len(looks) == 2]
    criteria = list(
        dict.fromkeys(c for looks in whole for j in looks for c in j.scores["candidate"])
    )
    if not whole:
        return []
    sides = [
        np.array([[_mean_score(looks, side, c) for c in criteria] for looks in whole])
        for side in ("candidate", "baseline")
    ]
    columns = {RUBRIC: [side.mean(axis=1) for side in sides]}
    columns |= {f"{RUBRIC}_{c}": [side[:, i] for side in sides] for i, c in enumerate(criteria)}
    n_excluded = len({(j.doc_hash, j.case_id) for j in judgments if not j.identical}) - len(whole)
    return [
        _rubric(task, metric, baseline, left[:, None], right[:, None], n_excluded, settings)
        for metric, (left, right) in columns.items()
    ]


def _mean_score(looks: list[Judgment], side: str, criterion: str) -> float:
    return float(np.mean([(look.scores[side][criterion] - 1) / 4 for look in looks]))


def _rubric(
    task: str, metric: str, baseline: Role, left: Array, right: Array, n_excluded: int, settings: Settings
) -> Comparison:  # fmt: skip
    alphas = settings.alphas(task)
    found = estimate_difference("mean", left, right, None, settings, alphas)
    own = [estimate_level("mean", x, None, settings, alphas).estimate for x in (left, right)]
    return Comparison(
        task=task, metric=metric, kind="mean", baseline=baseline, n_pairs=len(left), n_excluded=n_excluded,
        alpha_one_sided=alphas.one_sided, alpha_two_sided=alphas.two_sided,
        candidate_estimate=own[0], baseline_estimate=own[1], difference=found.estimate,
        lower_one_sided=found.lower, upper_one_sided=found.upper, no_interval=found.no_interval,
        standard_error=found.standard_error, mde=found.mde, tests=found.tests,
        ratio=estimate_ratio("mean", left, right, None, settings, alphas),
    )  # fmt: skip
