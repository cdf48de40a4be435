"""Scores of several models -> comparisons: paired on the same cases, nothing unknown made a number.

Knows scores and statistics; no rules, no thresholds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ftgate_ext.break_even import find_break_evens
from ftgate_ext.buckets import compare_buckets, count_lost, count_outcomes
from ftgate_ext.case_scores import perplexity_note
from ftgate_ext.costs import reprice
from ftgate_ext.estimates import estimate_level
from ftgate_ext.interleaved import LATENCIES
from ftgate_ext.judge.correction import BesideJudge, compare_judged
from ftgate_ext.labelled import label_figures, sweep_scores
from ftgate_ext.operations import compare_operations, measure_operations
from ftgate_ext.paired_estimates import estimate_difference, estimate_ratio
from ftgate_ext.pairing import (
    Join,
    Kind,
    PairedScores,
    join_cases,
    kind_of,
    pair_scores,
)
from ftgate_ext.pass_at_k import read_k
from ftgate_ext.robustness import compare_perturbed, measure_consistency
from ftgate_ext.schema import (
    ROLES,
    Comparison,
    Comparisons,
    Estimate,
    Judgment,
    Level,
    Role,
    RunError,
)
from ftgate_ext.scores import TaskScores
from ftgate_ext.settings import Alphas, Settings
from ftgate_ext.stats.f1 import f1_of_sums
from ftgate_ext.tables import (
    Table,
    Tables,
    clusters_of,
    directions,
    is_better_high,
    make_tables,
    metrics_in,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ftgate_ext.interleaved import Interleaved
    from ftgate_ext.scores import ModelScores

Array = np.ndarray[Any, Any]

NO_F1 = "there is no F1: nothing to find, and nothing was reported"


def compare_models(
    models: dict[Role, ModelScores],
    judgments: list[Judgment],
    run_id: str,
    relative_to: Path,
    settings: Settings | None = None,
    interleaved: Interleaved | None = None,
    beside: BesideJudge | None = None,
) -> Comparisons:
    """Compare the candidate with every other model on every metric of every task and group.

    Args:
        models: Role -> scores; `candidate` among them.
        judgments: All verdicts of the judge, possibly none.
        run_id: For the record.
        relative_to: Folder that `sources` are named relative to.
        settings: Resamples, seed, level, clusters, buckets, corrections and prices.
        interleaved: Latencies of models asked in turn, where they were.
        beside: Human labels on judged pairs, and where judging ended early.

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
    tables: Tables = {r: make_tables(models[r]) for r in roles}
    tasks = list(dict.fromkeys(t for r in roles for t in tables[r]))
    better = directions(models, tasks)
    levels = [level for task in tasks for level in _levels(tables, task, better, settings)]
    pairs = [
        comparison
        for task in tasks for role in roles if role != "candidate" and task in tables[role]
        for comparison in _compare_task(tables, task, role, better, settings)
    ]  # fmt: skip
    own, between = label_figures(tables, settings)
    levels, pairs = levels + own, pairs + between
    pairs += compare_judged(judgments, beside or BesideJudge(), models["candidate"], settings)
    return Comparisons(
        run_id=run_id, roles=roles, groups=models["candidate"].groups, levels=levels, comparisons=pairs,
        sweeps=sweep_scores(tables), **_operations(models, roles, settings, interleaved),
        **_against_themselves(tables, list(models["candidate"].groups), better, settings),
        look=settings.look, selected_from=settings.selected_from,
        sources={r: _sources(r, models[r], relative_to, interleaved) for r in roles},
        resamples=settings.resamples, seed=settings.seed,
    )  # fmt: skip


def _operations(
    models: dict[Role, ModelScores],
    roles: list[Role],
    settings: Settings,
    interleaved: Interleaved | None,
) -> dict[str, Any]:
    """Fields of Comparisons: what the answers took, and what that costs."""
    measured = {r: reprice(models[r], settings.prices.get(r)).tasks for r in roles}
    own = [o for r in roles for o in measure_operations(r, measured[r], settings, interleaved)]
    return {
        "operations": own, "prices": settings.prices,
        "ratios": [x for r in roles[1:] for x in compare_operations(measured, r, settings, interleaved)],
        "break_even": find_break_evens(settings.prices, own),
        "latency_run": interleaved.run if interleaved else None,
    }  # fmt: skip


def _sources(
    role: Role, model: ModelScores, folder: Path, interleaved: Interleaved | None
) -> list[str]:
    """The files that a model's figures come from, with that of its interleaved latencies."""
    timed = [f"{role}/{LATENCIES}"] if interleaved and role in interleaved.responses else []
    return [_relative(path, folder) for path in model.sources] + timed


def _relative(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else path.name


def _against_themselves(
    tables: Tables, groups: list[str], better: dict[str, dict[str, bool | None]], settings: Settings
) -> dict[str, Any]:
    """Every model on perturbed cases and over repeats; a group has none beside its tasks'."""
    perturbed, consistency = [], []
    for role, by_task in tables.items():
        for task, table in by_task.items():
            if task in groups:
                continue
            names = {
                m: is_better_high(better, task, m)
                for m in metrics_in(tables, task)
                if read_k(m) is None
            }
            perturbed += compare_perturbed(role, table, names, settings, compare_pairs)
            consistency += measure_consistency(role, table, list(names), settings)
    return {"perturbed": perturbed, "consistency": consistency}


# --- each model by itself


def _levels(
    tables: Tables, task: str, better: dict[str, dict[str, bool | None]], settings: Settings
) -> list[Level]:
    return [
        _level(
            tables[role].get(task),
            Level(
                task=task, metric=metric, role=role,
                higher_is_better=is_better_high(better, task, metric),
                alpha_one_sided=settings.alphas(task).one_sided,
            ),
            settings,
        )
        for metric in metrics_in(tables, task) for role in tables
    ]  # fmt: skip


def _level(table: Table | None, level: Level, settings: Settings) -> Level:
    if table is None:
        return level.model_copy(update={"unavailable": "this model was not asked"})
    level = level.model_copy(update={"n_unscored": sum(table.scores.unanswered)})
    if not table.is_numeric(level.metric):
        return level.model_copy(update={"unavailable": "the scores are no numbers"})
    scores = table.metric(level.metric)
    level = level.model_copy(update={"n_unscored": int(scores.unanswered.sum())})
    if not scores.is_scored.any():
        return level.model_copy(update={"unavailable": "no scored case"})
    kept = scores.is_scored
    kind = kind_of(scores.values.shape[1], is_binary=scores.is_pass_fail and scores.repeats == 1)
    if kind == "f1" and not scores.values[kept].any():
        return level.model_copy(update={"unavailable": NO_F1})
    clusters = clusters_of(table, table.cases.first[kept], settings)
    bound = estimate_level(
        kind, scores.values[kept], clusters, settings, settings.alphas(level.task),
        is_pass_fail=scores.is_pass_fail,
    )  # fmt: skip
    shape = {
        "repeats": scores.repeats,
        "n_failed_repeats": 0 if scores.failed is None else int(scores.failed.sum()),
        "n_clusters": None if clusters is None else len(np.unique(clusters)),
    }
    return level.model_copy(update=dict(bound) | shape)


# --- two models on the same cases


def _compare_task(
    tables: Tables,
    task: str,
    baseline: Role,
    better: dict[str, dict[str, bool | None]],
    settings: Settings,
) -> list[Comparison]:
    other = tables[baseline][task]
    mine = tables["candidate"].get(task) or Table(TaskScores(task))
    join = join_cases(mine.scores, mine.cases, other.scores, other.cases)
    return [
        _compare_metric(
            mine, other, join,
            Comparison(
                task=task, metric=metric, kind="mean", baseline=baseline, n_pairs=0, n_excluded=0,
                n_unpaired=join.n_unpaired, n_prompts_differ=join.n_prompts_differ,
                higher_is_better=is_better_high(better, task, metric),
            ),
            settings,
        )
        for metric in metrics_in(tables, task)
    ]  # fmt: skip


def _compare_metric(
    mine: Table, other: Table, join: Join, comparison: Comparison, settings: Settings
) -> Comparison:
    if not all(table.is_numeric(comparison.metric) for table in (mine, other)):
        return comparison.model_copy(update={"unavailable": "the scores are no numbers"})
    pairs = pair_scores(join, mine.metric(comparison.metric), other.metric(comparison.metric))
    comparison = comparison.model_copy(
        update={
            "n_pairs": len(pairs.left), "n_excluded": pairs.n_excluded,
            "n_failed_repeats": pairs.n_failed_repeats,
        }
    )  # fmt: skip
    if pairs.kind is None:
        why = "the two models have no scored case in common"
        return comparison.model_copy(update={"unavailable": why})
    if pairs.kind == "f1" and not (pairs.left.any() and pairs.right.any()):
        return comparison.model_copy(update={"unavailable": NO_F1})
    clusters = clusters_of(mine, pairs.requests, settings)
    filled = compare_pairs(pairs, clusters, comparison, settings)
    note = perplexity_note(
        comparison.metric, float(pairs.left[:, 0].mean()), float(pairs.right[:, 0].mean())
    )
    filled.notes += [note] if note else []
    update: dict[str, Any] = {}
    if pairs.is_pass_fail:
        ids = [mine.scores.case_ids[i] for i in pairs.requests.tolist()]
        update |= count_outcomes(pairs, ids, higher_is_better=comparison.higher_is_better)
    by = settings.buckets.get((comparison.task, comparison.metric), [])
    if update.get("lost_cases") and by:
        labels = {name: mine.scores.fields.get(name) for name in by}
        update["lost_by"] = count_lost(update["lost_cases"], mine.scores.case_ids, labels)
    update["buckets"] = [
        bucket
        for name in by
        for bucket in compare_buckets(mine.scores.fields.get(name), pairs, clusters, name, settings)
    ]
    return filled.model_copy(update=update)


def compare_pairs(
    pairs: PairedScores,
    clusters: Array | None,
    comparison: Comparison,
    settings: Settings,
    *,
    in_full: bool = True,
) -> Comparison:
    """Fill in the figures of a comparison.

    Args:
        pairs: Scores of at least one case.
        clusters: Per case, or None.
        comparison: Task, metric and models.
        settings: Resamples, seed, level and corrections.
        in_full: Also what does not decide a difference: ratio, own intervals, further tests.
    """
    kind = pairs.kind
    if kind is None:
        raise ValueError("no scored pair: expected at least one")
    alphas = settings.alphas(comparison.task)
    found = estimate_difference(
        kind, pairs.left, pairs.right, clusters, settings, alphas,
        is_pass_fail=pairs.is_pass_fail, extra_tests=in_full,
    )  # fmt: skip
    update: dict[str, Any] = {
        "kind": kind, "n_pairs": len(pairs.left), "repeats": pairs.repeats,
        "n_clusters": None if clusters is None else len(np.unique(clusters)),
        "difference": found.estimate, "lower_one_sided": found.lower,
        "upper_one_sided": found.upper, "tests": found.tests,
        "standard_error": found.standard_error, "mde": found.mde,
        "no_interval": found.no_interval, "alpha_one_sided": alphas.one_sided,
        "alpha_two_sided": alphas.two_sided,
    }  # fmt: skip
    if in_full:
        update |= _own_figures(kind, pairs, clusters, settings, alphas)
    return comparison.model_copy(update=update)


def _own_figures(
    kind: Kind, pairs: PairedScores, clusters: Array | None, settings: Settings, alphas: Alphas
) -> dict[str, Any]:
    """Both models on the pairs, whether their intervals overlap, and their ratio."""
    ratio = estimate_ratio(kind, pairs.left, pairs.right, clusters, settings, alphas)
    sides = (pairs.left, pairs.right)
    if kind == "f1":
        values = [float(f1_of_sums(side.sum(axis=0, keepdims=True))[0]) for side in sides]
        own = [Estimate(value=v, n=len(pairs.left), method="F1 of the pairs") for v in values]
        return {"candidate_estimate": own[0], "baseline_estimate": own[1], "ratio": ratio}
    own = [
        estimate_level(
            kind, side, clusters, settings, alphas, is_pass_fail=pairs.is_pass_fail
        ).estimate
        for side in sides
    ]
    return {
        "candidate_estimate": own[0], "baseline_estimate": own[1], "ratio": ratio,
        "intervals_overlap": _overlap(own[0], own[1]),
    }  # fmt: skip


def _overlap(mine: Estimate, other: Estimate) -> bool | None:
    ends = (mine.lower, mine.upper, other.lower, other.upper)
    if any(end is None for end in ends):
        return None
    low, high, other_low, other_high = (float(end) for end in ends if end is not None)
    return low <= other_high and other_low <= high
