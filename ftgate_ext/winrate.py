"""Judgments -> win rates: both orders of a pair make one verdict, ties stay in."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ftgate_ext.schema import Comparison, Judgment, PairVerdict, Role, TestResult
from ftgate_ext.settings import Settings, to_estimate
from ftgate_ext.stats.paired import bootstrap, mean_difference
from ftgate_ext.stats.proportion import Limits, mcnemar_exact, tango_interval

PairKey = tuple[str, Role, tuple[str, str]]
"""Task, baseline, and the case by its hash and its id: two rows may hold the same text."""


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
    """The candidate's win rate on every task and against every model that was judged."""
    verdicts = pair_verdicts(judgments)
    groups = dict.fromkeys((task, baseline) for task, baseline, _ in verdicts)
    return [
        _win_rate(
            task,
            baseline,
            [v for (t, b, _), v in verdicts.items() if (t, b) == (task, baseline)],
            settings,
        )
        for task, baseline in groups
    ]


def _win_rate(
    task: str, baseline: Role, verdicts: list[PairVerdict], settings: Settings
) -> Comparison:
    counts = Counter(verdicts)
    scores = {"candidate_better": 1.0, "tie": 0.5, "both_bad": 0.5, "baseline_better": 0.0}
    values = np.array([scores[v] for v in verdicts if v != "unparsed"])
    comparison = Comparison(
        task=task, metric="win_rate", kind="win_rate", baseline=baseline, n_pairs=len(values), n_excluded=counts["unparsed"],
        counts={"wins": counts["candidate_better"], "losses": counts["baseline_better"], "ties": counts["tie"], "both_bad": counts["both_bad"], "unparsed": counts["unparsed"]},
    )  # fmt: skip
    if len(values) == 0:
        return comparison.model_copy(update={"unavailable": "no pair has a verdict"})
    n = len(values)
    result = bootstrap(
        np.column_stack([values, np.full(n, 0.5), np.ones(n)]),
        mean_difference,
        settings.seed,
        settings.resamples,
        settings.level,
    )
    if result.degenerate:  # all wins, all losses or all ties: the score limits of wins minus losses
        sides = [
            tango_interval(counts["candidate_better"], counts["baseline_better"], n, level)
            for level in (settings.level, 0.90)
        ]
        halves = [
            Limits(s.value / 2, s.lower / 2, s.upper / 2, s.level, n, s.method) for s in sides
        ]
        difference, low, high = to_estimate(halves[0]), halves[1].lower, halves[1].upper
    else:
        difference, low, high = (
            to_estimate(result.interval),
            result.lower_one_sided,
            result.upper_one_sided,
        )
    rate = difference.model_copy(
        update={
            "value": difference.value + 0.5,
            "lower": (difference.lower or 0) + 0.5,
            "upper": (difference.upper or 0) + 0.5,
        }
    )
    test = TestResult(
        name="sign test",
        p=mcnemar_exact(counts["candidate_better"], counts["baseline_better"]),
        detail="wins against losses",
    )
    return comparison.model_copy(
        update={
            "candidate_estimate": rate,
            "difference": difference,
            "lower_one_sided": low,
            "upper_one_sided": high,
            "tests": [test],
        }
    )
