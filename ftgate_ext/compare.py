"""Records of several models -> comparisons: paired on the same cases, nothing unknown made a number.

Knows records and statistics; no rules, no thresholds.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ftgate_ext.operations import measure_operations
from ftgate_ext.schema import (
    ROLES,
    UNSCORED_STATUSES,
    Comparison,
    Comparisons,
    Estimate,
    Judgment,
    Level,
    Role,
    RunError,
    TestResult,
)
from ftgate_ext.settings import Settings, to_estimate
from ftgate_ext.stats.paired import (
    bootstrap,
    f1_difference,
    f1_of_sums,
    mean_difference,
    paired_t,
)
from ftgate_ext.stats.proportion import (
    clopper_pearson,
    mcnemar_exact,
    tango_interval,
)
from ftgate_ext.winrate import compare_win_rates

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ftgate_ext.runs import ModelRecords, Record

Kind = Literal["f1", "binary", "mean"]
COUNTERS = frozenset({"unanswered"})
"""Metrics that count requests, not quality."""


def compare_models(
    models: dict[Role, ModelRecords],
    judgments: list[Judgment],
    run_id: str,
    relative_to: Path,
    settings: Settings | None = None,
) -> Comparisons:
    """Compare the candidate with every other model on every metric of every task.

    Args:
        models: Role -> records; `candidate` among them.
        judgments: All verdicts of the judge, possibly none.
        run_id: For the record.
        relative_to: Folder that `sources` are named relative to.
        settings: Resamples, seed and level.

    Raises:
        RunError: No candidate, or nothing to compare it with.
    """
    settings = settings or Settings()
    if "candidate" not in models or len(models) < 2:
        found = ", ".join(models) or "none"
        raise RunError(
            f"models with results: {found}; expected the candidate and at least one other. Run them first."
        )
    roles = [r for r in ROLES if r in models]
    tasks = list(dict.fromkeys(t for r in roles for t in models[r].records))
    levels = [level for task in tasks for level in _levels(models, roles, task, settings)]
    pairs = [
        comparison
        for task in tasks for metric in _metrics(models, task) for role in roles
        if role != "candidate" and task in models[role].records
        for comparison in [_compare(models, task, metric, role, settings)]
    ]  # fmt: skip
    pairs += compare_win_rates(judgments, settings)
    operations = [o for r in roles for o in measure_operations(r, models[r])]
    sources: dict[str, list[str]] = {
        r: [_relative(p, relative_to) for p in models[r].sources] for r in roles
    }
    return Comparisons(
        run_id=run_id, roles=roles, levels=levels, comparisons=pairs, operations=operations,
        sources=sources, resamples=settings.resamples, seed=settings.seed,
    )  # fmt: skip


def _relative(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else path.name


def _metrics(models: dict[Role, ModelRecords], task: str) -> list[str]:
    names = dict.fromkeys(
        n for m in models.values() for r in m.records.get(task, []) for n in r.scores
    )
    return [n for n in names if n.split(",")[0] not in COUNTERS]


def score_of(record: Record, metric: str) -> Any:
    """A record's score, or None where there is none: not applicable, or the request failed."""
    if record.response is not None and record.response.status in UNSCORED_STATUSES:
        return None  # a task that is not ours scored the missing answer as wrong
    value = record.scores.get(metric)
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def is_unanswered(record: Record) -> bool:
    """Whether the request of this record failed."""
    failed = record.response is not None and record.response.status in UNSCORED_STATUSES
    return failed or bool(record.scores.get("unanswered"))


def _kind(values: list[Any]) -> Kind | None:
    if all(isinstance(v, list) and len(v) == 3 and _are_numbers(v) for v in values):
        return "f1"
    if not _are_numbers(values):
        return None
    return "binary" if all(v in (0, 1) for v in values) else "mean"


def _are_numbers(values: list[Any]) -> bool:
    return all(isinstance(v, (int, float)) for v in values)


def _levels(
    models: dict[Role, ModelRecords], roles: list[Role], task: str, settings: Settings
) -> list[Level]:
    levels = []
    for metric in _metrics(models, task):
        for role in roles:
            records = models[role].records.get(task)
            if records is None:
                levels.append(
                    Level(
                        task=task, metric=metric, role=role, unavailable="this model was not asked"
                    )
                )
                continue
            values = [v for r in records if (v := score_of(r, metric)) is not None]
            unscored = sum(is_unanswered(r) for r in records)
            levels.append(
                _level(
                    Level(task=task, metric=metric, role=role, n_unscored=unscored),
                    values,
                    settings,
                )
            )
    return levels


def _level(level: Level, values: list[Any], settings: Settings) -> Level:
    kind = _kind(values) if values else None
    if kind is None:
        why = "no scored case" if not values else "the scores are no numbers"
        return level.model_copy(update={"unavailable": why})
    if kind == "binary":
        limits = clopper_pearson(int(sum(values)), len(values), settings.level)
        one_sided = clopper_pearson(int(sum(values)), len(values), 0.90)
        return level.model_copy(
            update={
                "estimate": to_estimate(limits),
                "lower_one_sided": one_sided.lower,
                "upper_one_sided": one_sided.upper,
            }
        )
    rows = np.asarray(values, dtype=float).reshape(len(values), -1)
    if kind == "f1":
        result = bootstrap(rows, f1_of_sums, settings.seed, settings.resamples, settings.level)
    else:
        padded = np.column_stack([rows[:, 0], np.zeros(len(rows)), np.ones(len(rows))])
        result = bootstrap(
            padded, mean_difference, settings.seed, settings.resamples, settings.level
        )
    method = result.interval.method.removeprefix("paired ")
    estimate = to_estimate(result.interval, degenerate=result.degenerate, method=method)
    limits_known = (
        {}
        if result.degenerate
        else {"lower_one_sided": result.lower_one_sided, "upper_one_sided": result.upper_one_sided}
    )
    return level.model_copy(update={"estimate": estimate, **limits_known})


def pair_records(
    candidate: list[Record], baseline: list[Record]
) -> tuple[list[tuple[Record, Record]], int]:
    """Join two models' records on the case itself (`doc_hash`); also count the cases of one only."""
    keyed = [_keyed(candidate), _keyed(baseline)]
    common = [(record, keyed[1][key]) for key, record in keyed[0].items() if key in keyed[1]]
    return common, len(keyed[0]) + len(keyed[1]) - 2 * len(common)


def _keyed(records: list[Record]) -> dict[tuple[str, int], Record]:
    met: Counter[str] = Counter()
    keyed = {}
    for record in records:
        keyed[record.doc_hash, met[record.doc_hash]] = record
        met[record.doc_hash] += 1
    return keyed


def _compare(
    models: dict[Role, ModelRecords], task: str, metric: str, baseline: Role, settings: Settings
) -> Comparison:
    mine = models["candidate"].records.get(task, [])
    pairs, unpaired = pair_records(mine, models[baseline].records[task])
    scored = [
        (a, b)
        for a, b in pairs
        if score_of(a, metric) is not None and score_of(b, metric) is not None
    ]
    excluded = sum(
        is_unanswered(a) or is_unanswered(b) or (score_of(a, metric) is None) != (score_of(b, metric) is None)
        for a, b in pairs
    )  # fmt: skip
    left = [score_of(a, metric) for a, _ in scored]
    right = [score_of(b, metric) for _, b in scored]
    kind = _kind(left + right) if scored else None
    comparison = Comparison(
        task=task, metric=metric, kind=kind or "mean", baseline=baseline, n_pairs=len(scored), n_excluded=excluded,
        n_unpaired=unpaired, n_prompts_differ=sum(a.prompt_hash != b.prompt_hash for a, b in pairs),
        # lm-eval writes null where a task does not say
        higher_is_better=models["candidate"].higher_is_better.get(task, {}).get(metric.partition(",")[0]) is not False,
    )  # fmt: skip
    if kind is None:
        why = (
            "the two models have no scored case in common"
            if not scored
            else "the scores are no numbers"
        )
        return comparison.model_copy(update={"unavailable": why})
    if kind == "binary":
        return _compare_binary(
            comparison,
            scored,
            np.asarray(left, dtype=float),
            np.asarray(right, dtype=float),
            settings,
        )
    return _compare_bootstrapped(
        comparison, kind, np.asarray(left, dtype=float), np.asarray(right, dtype=float), settings
    )


def _compare_binary(
    comparison: Comparison,
    scored: list[tuple[Record, Record]],
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    settings: Settings,
) -> Comparison:
    n = len(left)
    gained, lost = int((left > right).sum()), int((left < right).sum())
    counts = {
        "both": int((left * right).sum()),
        "only_candidate": gained,
        "only_baseline": lost,
        "neither": int(((1 - left) * (1 - right)).sum()),
    }
    difference = tango_interval(gained, lost, n, settings.level)
    one_sided = tango_interval(gained, lost, n, 0.90)
    own = [clopper_pearson(int(side.sum()), n, settings.level) for side in (left, right)]
    tests = [
        TestResult(
            name="McNemar exact",
            p=mcnemar_exact(gained, lost),
            detail=f"{gained} gained, {lost} lost",
        )
    ]
    worse = right > left if comparison.higher_is_better else right < left
    lost_pairs = [a.case_id for (a, _), lost_it in zip(scored, worse, strict=True) if lost_it]
    return comparison.model_copy(
        update={
            "candidate_estimate": to_estimate(own[0]), "baseline_estimate": to_estimate(own[1]),
            "difference": to_estimate(difference), "lower_one_sided": one_sided.lower, "upper_one_sided": one_sided.upper,
            "tests": tests + _t_test(left, right), "counts": counts, "lost_cases": lost_pairs,
            "intervals_overlap": own[0].lower <= own[1].upper and own[1].lower <= own[0].upper,
        }
    )  # fmt: skip


def _t_test(left: NDArray[np.float64], right: NDArray[np.float64]) -> list[TestResult]:
    p = paired_t(left, right)
    return [] if p is None else [TestResult(name="paired t", p=p)]


def _compare_bootstrapped(
    comparison: Comparison,
    kind: Kind,
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    settings: Settings,
) -> Comparison:
    n = len(left)
    if kind == "f1":
        rows, statistic = np.column_stack([left, right]), f1_difference
        values = [float(f1_of_sums(side.sum(axis=0, keepdims=True))[0]) for side in (left, right)]
    else:
        rows, statistic = np.column_stack([left, right, np.ones(n)]), mean_difference
        values = [float(left.mean()), float(right.mean())]
    result = bootstrap(rows, statistic, settings.seed, settings.resamples, settings.level)
    own = [Estimate(value=value, n=n, method="point estimate on the pairs") for value in values]
    update: dict[str, Any] = {
        "candidate_estimate": own[0],
        "baseline_estimate": own[1],
        "difference": to_estimate(result.interval, degenerate=result.degenerate),
    }
    if not result.degenerate:
        tests = [TestResult(name="paired bootstrap", p=result.p)] + (
            _t_test(left, right) if kind == "mean" else []
        )
        update |= {
            "lower_one_sided": result.lower_one_sided,
            "upper_one_sided": result.upper_one_sided,
            "tests": tests,
        }
    return comparison.model_copy(update=update)
