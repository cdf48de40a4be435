"""What a report is made of: plain strings in tables and facts, and intervals to draw."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MARGIN = 0.08
"""Empty share of a drawing on either side."""


@dataclass(frozen=True)
class Fact:
    """A term and what there is to say about it."""

    term: str
    text: str


@dataclass(frozen=True)
class KeyFinding:
    """A topic and the sentences on it."""

    topic: str
    sentences: list[str]


@dataclass(frozen=True)
class Step:
    """Something to do, and the command that does it."""

    text: str
    command: str | None = None


@dataclass(frozen=True)
class Plot:
    """An interval, its value and a reference line, as horizontal positions from 0 to 100."""

    lower: float
    value: float
    upper: float
    reference: float
    reference_text: str
    label: str
    """What a reader who does not see the drawing is told."""
    limits_text: str = ""
    """The limits in numbers, below a large drawing."""

    @property
    def anchor(self) -> str:
        """Where the text of the reference line starts so that it stays inside the drawing."""
        edge = 25
        if self.reference < edge:
            return "start"
        return "end" if self.reference > 100 - edge else "middle"


@dataclass(frozen=True)
class Bounds:
    """The values at the left and the right end of a drawing."""

    low: float
    high: float

    def position(self, value: float) -> float:
        """0 to 100, left to right."""
        width = self.high - self.low
        return 50.0 if width == 0 else round(100 * (value - self.low) / width, 2)


def bounds_around(values: Sequence[float]) -> Bounds:
    """Bounds that hold all values, with a margin."""
    low, high = min(values), max(values)
    margin = MARGIN * (high - low)
    return Bounds(low - margin, high + margin)


def plot_interval(
    bounds: Bounds,
    interval: tuple[float, float, float],
    reference: float,
    reference_text: str,
    label: str,
    limits_text: str = "",
) -> Plot:
    """Place (lower, value, upper) and the reference line between the bounds."""
    lower, value, upper = (bounds.position(v) for v in interval)
    return Plot(lower, value, upper, bounds.position(reference), reference_text, label, limits_text)


@dataclass(frozen=True)
class Table:
    """Rows of plain strings under a caption; the first column names the row."""

    caption: str
    columns: list[str]
    rows: list[list[str]]
    numeric: tuple[int, ...] = ()
    """Columns whose cells are aligned to the right."""
    plots: list[Plot | None] = field(default_factory=list)
    """One drawing a row, or none at all."""
    plot_after: int = 0
    """The column that the drawings stand behind."""
    outcomes: tuple[int, ...] = ()
    """The columns that hold outcomes of rules, to be shown as such."""
    notes: list[str] = field(default_factory=list)
    """What there is to know about the rows, below them."""
    is_folded: bool = False
    """Long and rarely read: the page shows the caption and opens on demand."""
