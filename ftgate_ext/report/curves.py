"""Series of points -> lines in a small drawing, as positions; the templates only draw them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Bounds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 340, 130
DASHES = ("", "6 4", "2 3", "9 3 2 3")
"""Lines are told apart by their dashes, in whatever colours the page has."""
MOST_POINTS = 200


@dataclass(frozen=True)
class Line:
    """One series as the points of an SVG polyline."""

    name: str
    points: str
    dashes: str
    end: tuple[float, float]
    """Where its last point lies."""


@dataclass(frozen=True)
class Curve:
    """Lines over one pair of axes."""

    caption: str
    lines: list[Line]
    x_ends: tuple[str, str]
    y_ends: tuple[str, str]
    """The least and the largest value."""
    x_name: str
    label: str
    """What a reader who does not see the drawing is told."""


def draw_curve(
    caption: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    x_name: str,
    label: str,
    *,
    unit_square: bool = False,
) -> Curve | None:
    """Place series into one drawing; None where there is nothing to draw.

    Args:
        caption: What is drawn.
        series: Name -> (x, y) in order.
        x_name: What stands on the horizontal axis.
        label: The drawing in words.
        unit_square: Both axes go from 0 to 1; else from the least to the largest value.
    """
    points = [p for each in series.values() for p in each]
    if len(points) < 2:
        return None
    xs, ys = [x for x, _ in points], [y for _, y in points]
    across, up = Bounds(min(xs), max(xs)), Bounds(min(ys), max(ys))
    if unit_square:
        across, up = Bounds(0.0, 1.0), Bounds(0.0, 1.0)
    lines = [
        _line(name, each, DASHES[i % len(DASHES)], across, up)
        for i, (name, each) in enumerate(series.items()) if each
    ]  # fmt: skip
    return Curve(
        caption, lines, (f"{across.low:.4g}", f"{across.high:.4g}"),
        (f"{up.low:.3g}", f"{up.high:.3g}"), x_name, label,
    )  # fmt: skip


def _line(
    name: str, points: Sequence[tuple[float, float]], dashes: str, across: Bounds, up: Bounds
) -> Line:
    step = -(-len(points) // MOST_POINTS)
    kept = [*points[::step], points[-1]]
    placed = [
        (round(across.position(x) * WIDTH / 100, 1), round(HEIGHT - up.position(y) * HEIGHT / 100, 1))
        for x, y in kept
    ]  # fmt: skip
    return Line(name, " ".join(f"{x:g},{y:g}" for x, y in placed), dashes, placed[-1])
