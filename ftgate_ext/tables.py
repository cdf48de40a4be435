"""Scores of the models of a run -> tables a task, with what is computed from each of them once.

Knows scores; no statistics but the means over repeats.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ftgate_ext.pairing import CaseScores, average_repeats, number_clusters
from ftgate_ext.pass_at_k import pass_at_k_scores, read_k, tries_named
from ftgate_ext.schema import Role
from ftgate_ext.scores import TaskScores, join_tasks

if TYPE_CHECKING:
    from ftgate_ext.columns import Cases
    from ftgate_ext.scores import ModelScores
    from ftgate_ext.settings import Settings

Array = np.ndarray[Any, Any]


@dataclass
class Table:
    """One task of one model, with what is computed from it once."""

    scores: TaskScores
    by_metric: dict[str, CaseScores] = field(default_factory=dict)

    @property
    def cases(self) -> Cases:
        """The distinct cases."""
        return self.scores.cases

    def metric(self, name: str) -> CaseScores:
        """Scores per case; none of them known where the task has no such metric."""
        if name not in self.by_metric:
            k = read_k(name)
            found = average_repeats(self.scores, self.cases, name) if k is None else pass_at_k_scores(self.scores, self.cases, k)  # fmt: skip
            self.by_metric[name] = found
        return self.by_metric[name]

    def is_numeric(self, name: str) -> bool:
        """Whether the scores of a metric are numbers, as far as there are any."""
        column = self.scores.columns.get(name)
        return column is None or column.is_numeric


Tables = dict[Role, dict[str, Table]]


def make_tables(model: ModelScores) -> dict[str, Table]:
    """Every task, then every group of tasks as one."""
    whole = dict(model.tasks)
    for group, leaves in model.groups.items():
        whole[group] = join_tasks(group, [model.tasks[leaf] for leaf in leaves])
    return {task: Table(scores) for task, scores in whole.items()}


def directions(
    models: dict[Role, ModelScores], tasks: list[str]
) -> dict[str, dict[str, bool | None]]:
    """Task -> metric -> whether more is better, as the candidate's results say."""
    mine = models["candidate"]
    known: dict[str, dict[str, bool | None]] = {
        t: {**mine.higher_is_better.get(t, {})} for t in tasks
    }
    for group, leaves in mine.groups.items():
        known[group] = {k: v for leaf in leaves for k, v in known.get(leaf, {}).items()}
    return known


def is_better_high(better: dict[str, dict[str, bool | None]], task: str, metric: str) -> bool:
    """Whether more of a metric is better."""
    # lm-eval writes null where a task does not say
    return better[task].get(metric.partition(",")[0]) is not False


def metrics_in(tables: Tables, task: str) -> list[str]:
    """Every metric of a task, with pass@k behind the others where cases were asked repeatedly."""
    mine = [by_task[task] for by_task in tables.values() if task in by_task]
    named = dict.fromkeys(name for table in mine for name in table.scores.columns)
    tried = dict.fromkeys(name for table in mine for name in tries_named(table.scores, table.cases))
    return [*named, *tried]


def clusters_of(table: Table, requests: Array, settings: Settings) -> Array | None:
    """Per case of the chosen requests the number of its cluster; None where none share one."""
    labels = table.scores.fields.get(settings.cluster_field(table.scores.task))
    return number_clusters(labels, requests)
