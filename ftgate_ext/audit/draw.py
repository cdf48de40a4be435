"""A world and a seed -> which cases are drawn, and in which of them the models are exchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ftgate_ext.audit.world import TaskWorld

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Draw:
    """The cases of one eval set in one simulation."""

    rows: Array
    """Cases of the world, with replacement."""
    swapped: Array
    """Per drawn case, whether candidate and partner are exchanged."""
    clusters: Array | None
    """Per drawn case; a cluster that was drawn twice is two clusters."""
    luck: dict[str, Array]
    """Metric -> a uniform number per drawn case: which of them a plant turns."""
    pick: float
    """A uniform number: which case breaks."""


def draw_cases(task: TaskWorld, metrics: list[str], rng: np.random.Generator) -> Draw:
    """As many cases, or clusters of cases, as there are.

    Cases of one cluster are exchanged together: what they have in common stays.
    """
    if task.clusters is None:
        n = len(task.case_ids)
        rows, swapped, clusters = rng.integers(0, n, n), rng.random(n) < 0.5, None
    else:
        picked = rng.integers(0, len(task.clusters), len(task.clusters))
        members = [task.clusters[i] for i in picked]
        sizes = np.array([len(rows) for rows in members])
        rows, clusters = np.concatenate(members), np.repeat(np.arange(len(members)), sizes)
        swapped = np.repeat(rng.random(len(members)) < 0.5, sizes)
    if not task.is_exchanged:
        swapped = np.zeros(len(rows), dtype=bool)
    luck = {metric: rng.random(len(rows)) for metric in metrics}
    return Draw(rows, swapped, clusters, luck, float(rng.random()))


def both_ways(cases: int) -> Draw:
    """Every case twice, exchanged and not: what the draws are taken from."""
    rows = np.tile(np.arange(cases), 2)
    return Draw(rows, np.repeat([False, True], cases), None, {}, 0.0)


def distinct_clusters(clusters: Array | None) -> Array | None:
    """None where no two cases share a cluster."""
    if clusters is None or len(np.unique(clusters)) == len(clusters):
        return None
    return clusters
