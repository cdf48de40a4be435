"""Judgments -> win rates and rubric means: both orders of a pair make one verdict, ties stay in."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ftgate_ext.estimates import estimate_level, reaches
from ftgate_ext.paired_estimates import FEW_CASES, Difference, estimate_difference, estimate_ratio
from ftgate_ext.schema import (
    NO_VERDICT,
    Comparison,
    Estimate,
    Judgment,
    PairVerdict,
    Role,
    TestResult,
)
from ftgate_ext.settings import Alphas, Settings, to_estimate
from ftgate_ext.stats.early_stopping import (
    betting_p,
    betting_win_rate,
    look_alpha,
    repeated_win_rate,
)
from ftgate_ext.stats.limits import Limits, NoLimits
from ftgate_ext.stats.paired_binary import mcnemar_mid_p, tango_interval
from ftgate_ext.stats.power import mde_win_rate
from ftgate_ext.stats.preference import win_rate
from ftgate_ext.stats.resample import bootstrap, mean_difference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.schema import RubricScore, StoppingRecord

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
SINGLE_RUBRIC = "rubric_single"
"""The same of answers that were scored by themselves, not in pairs."""


def pair_verdicts(judgments: list[Judgment]) -> dict[PairKey, PairVerdict]:
    """Both looks at a pair -> its verdict: inconsistent over the two orders is a tie.

    A pair of which a request failed is `failed`; one with an unparsed verdict is `unparsed`, and so
    is one that was judged in one order only.
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
        elif "failed" in seen:
            verdicts[key] = "failed"
        elif "unparsed" in seen or len(rounds) < 2:
            verdicts[key] = "unparsed"
        else:
            verdicts[key] = seen.pop() if len(seen) == 1 else "tie"
    return verdicts


def compare_win_rates(
    judgments: list[Judgment], settings: Settings, stopped: Sequence[StoppingRecord] = ()
) -> list[Comparison]:
    """The candidate's win rate and rubric means on every task and against every model judged."""
    verdicts = pair_verdicts(judgments)
    records = {(record.task, record.baseline): record for record in stopped}
    found = []
    for task, baseline in dict.fromkeys((task, baseline) for task, baseline, _ in verdicts):
        mine = [v for (t, b, _), v in verdicts.items() if (t, b) == (task, baseline)]
        looks = [j for j in judgments if (j.task, j.baseline) == (task, baseline)]
        found += [
            compare_verdicts(task, baseline, mine, settings, records.get((task, baseline))),
            *_rubrics(task, baseline, looks, settings),
        ]
    return found


def compare_verdicts(
    task: str,
    baseline: Role,
    verdicts: list[PairVerdict],
    settings: Settings,
    stopped: StoppingRecord | None = None,
) -> Comparison:
    """A win scores 1, a tie or two bad answers one half; no verdict is left out.

    Where judging could stop early, limits and test levels are those of the look at which it ended.
    """
    counts = Counter(verdicts)
    wins, losses = counts["candidate_better"], counts["baseline_better"]
    n_excluded = counts["unparsed"] + counts["failed"]
    n = len(verdicts) - n_excluded
    alphas = alphas_of_look(settings.alphas(task), stopped)
    comparison = Comparison(
        task=task, metric="win_rate", kind="win_rate", baseline=baseline, n_pairs=n, n_excluded=n_excluded,
        alpha_one_sided=alphas.one_sided, alpha_two_sided=alphas.two_sided,
        counts={"wins": wins, "losses": losses, "ties": counts["tie"], "both_bad": counts["both_bad"], "unparsed": counts["unparsed"], "failed": counts["failed"]},
        notes=[stopped.words] if stopped else [],
    )  # fmt: skip
    if n == 0:
        return comparison.model_copy(update={"unavailable": "no pair has a verdict"})
    if stopped:
        found = _difference_at_look(counts, n, stopped, settings, alphas)
    else:
        found = _difference(counts, n, settings, alphas)
    sign_test = TestResult(
        name="sign test (mid-p)", p=mcnemar_mid_p(wins, losses), detail="wins against losses"
    )
    tests = found.tests if stopped and stopped.method == "e_process" else [sign_test, *found.tests]
    return comparison.model_copy(
        update={
            "candidate_estimate": _around_half(found.estimate), "difference": found.estimate,
            "lower_one_sided": found.lower, "upper_one_sided": found.upper,
            "tests": tests, "standard_error": found.standard_error,
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
    error = _standard_error(wins, losses, n)
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


def alphas_of_look(alphas: Alphas, stopped: StoppingRecord | None) -> Alphas:
    """Test levels of the planned look at which judging ended; a bet needs no correction."""
    if stopped is None or not stopped.looks_planned or not stopped.looks:
        return alphas
    look, looks = stopped.look, stopped.looks_planned
    return Alphas(
        look_alpha(look, looks, alphas.one_sided, 1), look_alpha(look, looks, alphas.two_sided, 2)
    )


def _difference_at_look(
    counts: Counter[PairVerdict], n: int, stopped: StoppingRecord, settings: Settings, alphas: Alphas
) -> Difference:  # fmt: skip
    """The win rate minus one half, with the limits that judging watched while it went on."""
    wins, losses = counts["candidate_better"], counts["baseline_better"]
    ties = n - wins - losses
    tests = []
    if stopped.method == "e_process":
        shown, deciding = (betting_win_rate(wins, losses, ties, x) for x in (settings.level, alphas.level))  # fmt: skip
        tests = [TestResult(name="betting", p=betting_p(wins, losses, ties), detail="holds at any time")]  # fmt: skip
    else:
        look, looks = stopped.look, stopped.looks_planned or 1
        shown = repeated_win_rate(wins, losses, ties, look, looks, settings.level)
        deciding = win_rate(wins, losses, ties, level=alphas.level).limits
    mde = mde_win_rate(n, ties / n) if ties < n else None
    moved = replace(shown, value=shown.value - 0.5, lower=shown.lower - 0.5, upper=shown.upper - 0.5)  # fmt: skip
    return Difference(
        to_estimate(moved), deciding.lower - 0.5, deciding.upper - 0.5, tests,
        _standard_error(wins, losses, n), mde=mde,
    )  # fmt: skip


def _standard_error(wins: int, losses: int, n: int) -> float | None:
    spread = (wins + losses - (wins - losses) ** 2 / n) / (4 * n * max(n - 1, 1))
    return float(np.sqrt(spread)) or None


def _rubrics(
    task: str, baseline: Role, judgments: list[Judgment], settings: Settings
) -> list[Comparison]:
    """Rubric scores of both models, averaged over both looks, from 1..5 to 0..1: (x - 1) / 4."""
    by_case: dict[tuple[str, str], list[Judgment]] = {}
    for judgment in judgments:
        if judgment.scores and judgment.verdict not in NO_VERDICT:
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


def compare_rubrics(scores: Sequence[RubricScore], settings: Settings) -> list[Comparison]:
    """Answers that were scored by themselves: candidate against every other model, case by case.

    Repeats are averaged per case first; the scores of the noise check are not part of the mean. The
    names begin like those of scores in pairs, so that they too need a fit judge, and go on differently.
    """
    counted = [s for s in scores if not s.is_noise_check]
    cells: dict[tuple[str, Role], dict[tuple[str, str], list[RubricScore]]] = {}
    for score in counted:
        of_case = cells.setdefault((score.task, score.role), {})
        of_case.setdefault((score.doc_hash, score.case_id), []).append(score)
    found = []
    for (task, role), theirs in cells.items():
        mine = cells.get((task, "candidate"))
        if role == "candidate" or mine is None:
            continue
        asked = [case for case in mine if case in theirs]
        whole = [c for c in asked if all(s.scores for s in [*mine[c], *theirs[c]])]
        sides = [[_score_means(of_case[c]) for c in whole] for of_case in (mine, theirs)]
        found += _single_rubrics(task, role, sides, len(asked) - len(whole), settings)
    return found


def _score_means(scores: list[RubricScore]) -> dict[str, float]:
    """Criterion -> mean of the repeats, 1 to 5 brought to 0 to 1."""
    return {c: float(np.mean([(s.scores[c] - 1) / 4 for s in scores])) for c in scores[0].scores}


def _single_rubrics(
    task: str, role: Role, sides: list[list[dict[str, float]]], n_excluded: int, settings: Settings
) -> list[Comparison]:
    mine, theirs = sides
    if not mine:
        return []
    left, right = (np.array([list(means.values()) for means in side]) for side in (mine, theirs))
    names = [SINGLE_RUBRIC, *(f"{SINGLE_RUBRIC}_{criterion}" for criterion in mine[0])]
    columns = [(left.mean(axis=1), right.mean(axis=1)), *zip(left.T, right.T, strict=True)]
    return [
        _rubric(task, name, role, a[:, None], b[:, None], n_excluded, settings)
        for name, (a, b) in zip(names, columns, strict=True)
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
