"""Series of a training log -> signs of overfitting, in words. Rules of thumb, not tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ftgate_ext.schema import TrainPoint, TrainSeries

LEAST_POINTS = 3
"""Fewer validations show no turn."""
RISE = 0.02
"""A rise above the least validation loss by less than this share of it is taken for noise."""
GAP = 0.5
"""A training loss this far below the validation loss, as a share of the latter."""


def find_signs(series: Mapping[TrainSeries, Sequence[TrainPoint]]) -> list[str]:
    """Whether validation turned while training went on to fall, and how far the two lie apart.

    Args:
        series: By step.

    Returns:
        One sentence a sign; one that says so where there is nothing to compare.
    """
    train, valid = series.get("train_loss", ()), series.get("valid_loss", ())
    if not valid:
        return ["No validation loss in the log: whether the model overfits cannot be seen."]
    signs = [*_turn(train, valid), *_gap(train, valid), *_accuracy(series)]
    if len(valid) < LEAST_POINTS:
        signs.append(
            f"Only {len(valid)} validations: a rise of the validation loss could hardly be seen."
        )
    return signs or ["No sign of overfitting: the validation loss is at its least at the end."]


def _turn(train: Sequence[TrainPoint], valid: Sequence[TrainPoint]) -> list[str]:
    """The validation loss rises behind its least while the training loss falls."""
    best, last = min(valid, key=lambda p: p.value), valid[-1]
    if last.value <= best.value * (1 + RISE) or last.step == best.step:
        return []
    fell = _change(train, best.step)
    words = f"The validation loss rose from {best.value:.4g} at step {best.step:g} to {last.value:.4g} at step {last.step:g}"
    if fell is None:
        return [f"{words}; the training loss after that step is not in the log."]
    if fell < 0:
        return [
            f"{words} while the training loss fell by {-fell:.4g}: a sign of overfitting. The checkpoint near step {best.step:g} may be the better one."
        ]
    return [f"{words}, and the training loss did not fall either: training became unstable."]


def _change(points: Sequence[TrainPoint], since: float) -> float | None:
    """How a noisy series changed after a step: mean of its last third minus mean around the step."""
    after = [p.value for p in points if p.step >= since]
    if len(after) < LEAST_POINTS:
        return None
    third = max(1, len(after) // 3)
    return sum(after[-third:]) / third - sum(after[:third]) / third


def _gap(train: Sequence[TrainPoint], valid: Sequence[TrainPoint]) -> list[str]:
    near = [p.value for p in train if p.step <= valid[-1].step][-LEAST_POINTS:]
    if not near or valid[-1].value <= 0:
        return []
    loss = sum(near) / len(near)
    if loss >= (1 - GAP) * valid[-1].value:
        return []
    return [
        f"At the end the training loss ({loss:.4g}) is less than half of the validation loss ({valid[-1].value:.4g}): the model may know parts of its training data by heart."
    ]


def _accuracy(series: Mapping[TrainSeries, Sequence[TrainPoint]]) -> list[str]:
    valid = series.get("valid_token_accuracy", ())
    if len(valid) < LEAST_POINTS:
        return []
    best, last = max(valid, key=lambda p: p.value), valid[-1]
    if last.value >= best.value * (1 - RISE):
        return []
    return [
        f"Validation token accuracy fell from {best.value:.1%} at step {best.step:g} to {last.value:.1%}."
    ]
