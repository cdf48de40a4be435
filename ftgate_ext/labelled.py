"""Label tasks and tasks with a score a row -> precision, recall, F1 and threshold sweeps.

Precision, recall and macro F1 belong to a whole set, not to a case: their limits come from the
bootstrap over cases, which keeps the labels of a case together. Repeats of a case are averaged first.
Knows scores, statistics and the types on disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ftgate_ext.estimates import FEWEST_CASES
from ftgate_ext.schema import Comparison, Level, TestResult, ThresholdPoint, ThresholdSweep
from ftgate_ext.settings import to_estimate
from ftgate_ext.stats.labels import STATISTICS, label_difference, label_statistic
from ftgate_ext.stats.limits import NoLimits
from ftgate_ext.stats.planning import mde_from_standard_error
from ftgate_ext.stats.resample import BootstrapResult, bootstrap
from ftgate_ext.stats.thresholds import sweep_thresholds

if TYPE_CHECKING:
    from ftgate_ext.schema import Role
    from ftgate_ext.scores import TaskScores
    from ftgate_ext.settings import Settings
    from ftgate_ext.stats.labels import Statistic
    from ftgate_ext.tables import Table, Tables

Array = np.ndarray[Any, Any]

LABELS, SCORED = "labels", "scored"
MOST_POINTS = 100
"""Points of a sweep that are kept; of more, evenly spread ones and the best."""
ALIKE = "all resamples alike"


def label_figures(tables: Tables, settings: Settings) -> tuple[list[Level], list[Comparison]]:
    """Levels and differences of every task with the metric `labels`."""
    levels: list[Level] = []
    pairs: list[Comparison] = []
    for task, metric in _raw_metrics(tables, LABELS):
        mine = {r: t[task] for r, t in tables.items() if task in t and metric in t[task].scores.raw}
        classes = sorted({label for t in mine.values() for gold, _ in t.scores.raw[metric].values() for label in gold})  # fmt: skip
        counts = {role: _count(table, metric, classes) for role, table in mine.items()}
        levels += [
            _level(role, task, _named(name, metric), label_statistic(name), counts[role], settings)
            for name in STATISTICS for role in mine
        ]  # fmt: skip
        pairs += [
            _compare(role, task, _named(name, metric), name, counts, settings)
            for role in mine if role != "candidate" and "candidate" in mine
            for name in STATISTICS
        ]  # fmt: skip
    return levels, pairs


def _raw_metrics(tables: Tables, name: str) -> list[tuple[str, str]]:
    """(task, metric) pairs; of a metric behind several filters, each."""
    found = [
        (task, metric)
        for by_task in tables.values() for task, table in by_task.items()
        for metric in table.scores.raw if metric.partition(",")[0] == name
    ]  # fmt: skip
    return list(dict.fromkeys(found))


def _named(name: str, metric: str) -> str:
    """The filter of the raw metric stays behind the name."""
    return name + metric[len(LABELS) :]


def _count(table: Table, metric: str, classes: list[str]) -> dict[str, Array]:
    """Hash of a case -> (tp, fp, fn) of each class and of all others, as a mean over its repeats."""
    place = {name: i for i, name in enumerate(classes)}
    rows: dict[str, list[Array]] = {}
    scores: TaskScores = table.scores
    for row, (gold, said) in scores.raw[metric].items():
        cells = np.zeros((len(classes) + 1, 3))
        for label in {*gold, *said}:
            column = 0 if label in gold and label in said else 1 if label in said else 2
            cells[place.get(label, len(classes)), column] += 1
        rows.setdefault(scores.doc_hashes[row], []).append(cells.ravel())
    return {key: np.mean(found, axis=0) for key, found in rows.items()}


def _level(
    role: Role, task: str, metric: str, statistic: Statistic, counts: dict[str, Array],
    settings: Settings,
) -> Level:  # fmt: skip
    alphas = settings.alphas(task)
    level = Level(task=task, metric=metric, role=role, alpha_one_sided=alphas.one_sided)
    if not counts:
        return level.model_copy(update={"unavailable": "no scored case"})
    rows = np.array(list(counts.values()))
    found = _bootstrap(rows, statistic, settings, alphas.one_sided)
    if isinstance(found, NoLimits):
        return level.model_copy(update={"estimate": to_estimate(found), "no_interval": found.why})
    method = found.interval.method.removeprefix("paired ")
    return level.model_copy(
        update={
            "estimate": to_estimate(found.interval, method=method),
            "lower_one_sided": found.lower_one_sided, "upper_one_sided": found.upper_one_sided,
        }
    )  # fmt: skip


def _bootstrap(
    rows: Array, statistic: Statistic, settings: Settings, alpha: float
) -> BootstrapResult | NoLimits:
    value = float(statistic(rows.sum(axis=0, keepdims=True))[0])
    if len(rows) < FEWEST_CASES:
        return NoLimits(value, len(rows), f"{len(rows)} cases; at least {FEWEST_CASES} are needed")
    found = bootstrap(
        rows, statistic, settings.seed, settings.resamples, settings.level, alpha=alpha
    )
    return NoLimits(value, len(rows), ALIKE) if found.degenerate else found


def _compare(
    role: Role, task: str, metric: str, name: str, counts: dict[Role, dict[str, Array]],
    settings: Settings,
) -> Comparison:  # fmt: skip
    mine, theirs = counts["candidate"], counts[role]
    shared = [key for key in mine if key in theirs]
    alphas = settings.alphas(task)
    row = Comparison(
        task=task, metric=metric, kind="mean", baseline=role, n_pairs=len(shared),
        n_excluded=len(mine) + len(theirs) - 2 * len(shared), alpha_one_sided=alphas.one_sided,
        alpha_two_sided=alphas.two_sided,
    )  # fmt: skip
    if not shared:
        return row.model_copy(
            update={"unavailable": "the two models have no scored case in common"}
        )
    left, right = (np.array([side[key] for key in shared]) for side in (mine, theirs))
    own = {
        field: to_estimate(NoLimits(float(label_statistic(name)(x.sum(axis=0, keepdims=True))[0]), len(x), "of the pairs"))
        for field, x in (("candidate_estimate", left), ("baseline_estimate", right))
    }  # fmt: skip
    found = _bootstrap(
        np.hstack([left, right]), label_difference(name, left.shape[1]), settings, alphas.one_sided
    )
    if isinstance(found, NoLimits):
        return row.model_copy(
            update={**own, "difference": to_estimate(found), "no_interval": found.why}
        )
    return row.model_copy(
        update={
            **own, "difference": to_estimate(found.interval), "standard_error": found.standard_error,
            "lower_one_sided": found.lower_one_sided, "upper_one_sided": found.upper_one_sided,
            "tests": [TestResult(name="paired bootstrap", p=found.p)],
            "mde": mde_from_standard_error(found.standard_error),
        }
    )  # fmt: skip


def sweep_scores(tables: Tables) -> list[ThresholdSweep]:
    """A sweep over thresholds of every model on every task with the metric `scored`."""
    return [
        _sweep(role, task, by_task[task].scores.raw[metric])
        for task, metric in _raw_metrics(tables, SCORED)
        for role, by_task in tables.items()
        if task in by_task and metric in by_task[task].scores.raw
    ]


def _sweep(role: Role, task: str, pairs: dict[int, Any]) -> ThresholdSweep:
    known = [(score, truth) for score, truth in pairs.values() if score is not None]
    row = ThresholdSweep(
        role=role, task=task, n=len(known), n_positive=sum(truth == 1 for _, truth in known),
        n_without_score=len(pairs) - len(known),
    )  # fmt: skip
    try:
        found = sweep_thresholds([s for s, _ in known], [t == 1 for _, t in known])
    except ValueError as error:
        return row.model_copy(update={"unavailable": str(error)})
    step = -(-len(found.points) // MOST_POINTS)
    kept = {*found.points[::step], found.points[-1], found.best}
    shown = [p for p in found.points if p in kept]
    return row.model_copy(
        update={
            "average_precision": found.average_precision, "best_threshold": found.best.threshold,
            "best_f1": found.best.f1,
            "points": [
                ThresholdPoint(threshold=p.threshold, precision=p.precision, recall=p.recall, f1=p.f1)
                for p in shown
            ],
        }
    )  # fmt: skip
