"""Ledger, training log and threshold sweeps: the sections of a report on what a model can and learnt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Section, Table
from ftgate_ext.report.curves import Curve, draw_curve
from ftgate_ext.report.figures import short_hash
from ftgate_ext.report.ledger import view_ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.schema import Comparisons, ThresholdSweep, TrainLog, TrainRun

NONE = "none"
SERIES_WORDS = {
    "train_loss": "training loss",
    "valid_loss": "validation loss",
    "train_token_accuracy": "training token accuracy",
    "valid_token_accuracy": "validation token accuracy",
}
DRAWN = (
    ("loss", ("train_loss", "valid_loss")),
    ("token accuracy", ("train_token_accuracy", "valid_token_accuracy")),
)


@dataclass(frozen=True)
class Drawn:
    """A section with drawings."""

    section: Section = field(default_factory=Section)
    curves: list[Curve] = field(default_factory=list)


@dataclass(frozen=True)
class CapabilityView:
    """Three sections, each empty where there is nothing."""

    ledger: Section
    thresholds: Drawn
    training: Drawn


def view_capability(comparisons: Comparisons, log: TrainLog | None) -> CapabilityView:
    """Put ledger, sweeps and training log into words and drawings.

    Args:
        comparisons: From `compare`.
        log: From `ftgate trainlog`, where it was read.
    """
    return CapabilityView(view_ledger(comparisons), _thresholds(comparisons), _training(log))


# --- threshold sweeps


def _thresholds(comparisons: Comparisons) -> Drawn:
    sweeps = comparisons.sweeps
    if not sweeps:
        return Drawn()
    table = Table(
        caption="Scores against a threshold: each case is flagged whose score reaches it",
        columns=["Task", "Model", "Average precision", "Best F1", "at threshold", "Cases", "Positive", "Without a score"],
        rows=[_sweep(s) for s in sweeps],
        numeric=(2, 3, 4, 5, 6, 7),
        notes=[
            "Average precision is the area below the steps of the curve of precision over recall; a model that guesses has the share of positive cases. The best threshold was found on these very cases: on others it does worse."
        ],
    )  # fmt: skip
    curves = []
    for task in dict.fromkeys(s.task for s in sweeps):
        mine = [s for s in sweeps if s.task == task and s.points]
        lines: dict[str, Sequence[tuple[float, float]]] = {
            s.role: [(p.recall, p.precision) for p in s.points] for s in mine
        }
        label = f"Precision over recall of {', '.join(lines)}; the table has the figures"
        curve = draw_curve(f"{task}: precision over recall", lines, "recall", label, unit_square=True)  # fmt: skip
        curves += [curve] if curve else []
    return Drawn(Section([], [table]), curves)


def _sweep(sweep: ThresholdSweep) -> list[str]:
    head, tail = [sweep.task, sweep.role], [f"{sweep.n:,}", f"{sweep.n_positive:,}", f"{sweep.n_without_score:,}"]  # fmt: skip
    if sweep.average_precision is None or sweep.best_f1 is None:
        return [*head, f"none: {sweep.unavailable}", NONE, NONE, *tail]
    return [
        *head, f"{sweep.average_precision:.3f}", f"{sweep.best_f1:.3f}", f"{sweep.best_threshold:.4g}", *tail,
    ]  # fmt: skip


# --- training log


def _training(log: TrainLog | None) -> Drawn:
    if log is None:
        return Drawn()
    lines = [f"{run.source}: {sign}" for run in log.runs for sign in run.signs]
    table = Table(
        caption="Training log: where each series began, was best and ended",
        columns=["Log", "Series", "Values", "First", "Best", "at step", "Last", "at step", "sha256"],
        rows=[row for run in log.runs for row in _series(run)],
        numeric=(2, 3, 4, 5, 6, 7),
        notes=[
            "What the log says of the training itself; no rule looks at it. Training values are of single batches, as the log has them.",
            *(f"{run.source}: {run.n_not_numbers} values were no finite numbers and are left out." for run in log.runs if run.n_not_numbers),
        ],
    )  # fmt: skip
    return Drawn(Section(lines, [table]), [c for run in log.runs for c in _curves(run)])


def _series(run: TrainRun) -> list[list[str]]:
    rows = []
    for name, points in run.series.items():
        choose = min if name.endswith("loss") else max
        best = choose(points, key=lambda p: p.value)
        rows.append([
            run.source, SERIES_WORDS[name], f"{len(points):,}", f"{points[0].value:.4g}",
            f"{best.value:.4g}", f"{best.step:g}", f"{points[-1].value:.4g}", f"{points[-1].step:g}",
            short_hash(run.sha256),
        ])  # fmt: skip
    return rows


def _curves(run: TrainRun) -> list[Curve]:
    found = []
    for what, names in DRAWN:
        lines = {
            SERIES_WORDS[name]: [(p.step, p.value) for p in points]
            for name, points in run.series.items() if name in names
        }  # fmt: skip
        label = f"{what} by step: {', '.join(lines)}; the table has the figures"
        curve = draw_curve(f"{run.source}: {what}", lines, "step", label)
        found += [curve] if curve else []
    return found
