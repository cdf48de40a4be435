"""Scores of several models -> the cases of each eval set side by side, ready to be drawn anew.

Knows arrays and hashes; no rules, no statistics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ftgate_ext.columns import Cases, Column
from ftgate_ext.pairing import CaseScores, average_repeats, number_clusters
from ftgate_ext.schema import ROLES, Role
from ftgate_ext.scores import TaskScores, join_tasks

if TYPE_CHECKING:
    from ftgate_ext.audit.needs import Needs
    from ftgate_ext.schema import PairVerdict
    from ftgate_ext.scores import ModelScores
    from ftgate_ext.settings import Settings
    from ftgate_ext.winrate import PairKey

Array = np.ndarray[Any, Any]
MEASURES = ("latency_s", "cost_usd")


@dataclass(frozen=True)
class TaskWorld:
    """One eval set: the candidate's cases that its partner was asked too, a row each."""

    case_ids: list[str]
    asked: dict[Role, Array]
    """Model -> per case, whether it was asked."""
    is_exchanged: bool
    """Whether the partner was asked this eval set at all."""
    scores: dict[tuple[str, Role], CaseScores]
    """Metric and model -> scores, NaN where there is none."""
    labels: dict[str, Array]
    """Field of the row -> per case its value, or None: buckets."""
    clusters: list[Array] | None
    """The cases of each cluster; None where every case stands alone."""
    measures: dict[tuple[str, Role], Array]
    """Latency and cost of each request, shape (cases, repeats), NaN where it is not known."""


@dataclass(frozen=True)
class World:
    """All that is drawn anew in a simulation."""

    partner: Role
    """Whose answers are exchanged with the candidate's."""
    tasks: dict[str, TaskWorld]
    measured: list[str]
    """The eval sets whose requests make up cost and latency."""
    verdicts: dict[Role, tuple[str, dict[PairVerdict, int]]]
    """Model -> eval set and how often the judge said what."""


def build_world(
    models: dict[Role, ModelScores],
    verdicts: dict[PairKey, PairVerdict],
    partner: Role,
    needs: Needs,
    settings: Settings,
) -> World:
    """Lay out what a policy reads.

    Args:
        models: Role -> scores.
        verdicts: Of the judge, one a pair.
        partner: Whose answers are exchanged with the candidate's.
        needs: What the rules read.
        settings: Which fields make clusters.
    """
    whole = {role: _with_groups(model) for role, model in models.items()}
    measured = list(models["candidate"].tasks) if needs.measures else []
    names = list(dict.fromkeys([*needs.tasks, *measured]))
    tasks = {
        name: _lay_out({r: t[name] for r, t in whole.items() if name in t}, partner, needs, settings)
        for name in names
    }  # fmt: skip
    judged: dict[Role, tuple[str, dict[PairVerdict, int]]] = {}
    for task, role, _ in verdicts:
        if role in needs.win_rates:
            judged.setdefault(role, (task, {}))
    for (task, role, _), verdict in verdicts.items():
        if role in judged and judged[role][0] == task:
            counts = judged[role][1]
            counts[verdict] = counts.get(verdict, 0) + 1
    return World(partner, tasks, measured, judged)


def _with_groups(model: ModelScores) -> dict[str, TaskScores]:
    groups = {
        group: join_tasks(group, [model.tasks[leaf] for leaf in leaves])
        for group, leaves in model.groups.items()
    }
    return {**model.tasks, **groups}


def _lay_out(
    models: dict[Role, TaskScores], partner: Role, needs: Needs, settings: Settings
) -> TaskWorld:
    mine = models["candidate"]
    found = {role: scores.cases for role, scores in models.items()}
    hashes = [
        h for h in found["candidate"].index if partner not in found or h in found[partner].index
    ]
    rows = {
        role: np.array([cases.index.get(h, -1) for h in hashes], dtype=np.int64)
        for role, cases in found.items()
    }  # fmt: skip
    first = found["candidate"].first[rows["candidate"]]
    metrics = {n.metric for n in needs.comparisons if n.task == mine.task}
    metrics |= {metric for task, metric in needs.levels if task == mine.task}
    fields = {name for n in needs.comparisons if n.task == mine.task for name in n.by}
    labels = {name: np.array(mine.fields[name], dtype=object)[first] for name in sorted(fields & mine.fields.keys())}  # fmt: skip
    codes = number_clusters(mine.fields.get(settings.cluster_field(mine.task)), first)
    return TaskWorld(
        case_ids=[mine.case_ids[i] for i in first],
        asked={role: where >= 0 for role, where in rows.items()},
        is_exchanged=partner in models,
        scores={
            (metric, role): _align(average_repeats(models[role], found[role], metric), rows[role])
            for metric in sorted(metrics) for role in ROLES
            if role in models and models[role].columns.get(metric, Column()).rows
        },
        labels=labels,
        clusters=None if codes is None else _members(codes),
        measures=_align_measures(models, found, rows) if needs.measures else {},
    )  # fmt: skip


def _members(codes: Array) -> list[Array]:
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(codes))[:-1])


def _align(scores: CaseScores, rows: Array) -> CaseScores:
    """Scores in the order of the world; a case that was not asked has none."""
    asked = rows >= 0
    values = np.where(asked[:, None], scores.values[rows], np.nan)
    failed = asked & scores.unanswered[rows]
    return CaseScores(values, failed, scores.repeats, scores.is_pass_fail)


def _align_measures(
    models: dict[Role, TaskScores], found: dict[Role, Cases], rows: dict[Role, Array]
) -> dict[tuple[str, Role], Array]:
    width = max(int(np.bincount(found[r].case_of).max(initial=1)) for r in models)
    aligned = {}
    for role, scores in models.items():
        case_of, asked = found[role].case_of, rows[role] >= 0
        order = np.argsort(case_of, kind="stable")
        counts = np.bincount(case_of, minlength=len(found[role]))
        slot = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        for name in MEASURES:
            table = np.full((len(counts), width), np.nan)
            table[case_of[order], slot] = scores.measurement(name)[order]
            aligned[name, role] = np.where(asked[:, None], table[rows[role]], np.nan)
    return aligned
