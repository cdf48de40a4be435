"""What a report is made of: plain strings in tables and facts, and intervals to draw."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ftgate_ext.schema import Outcome

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
class Section:
    """Sentences and tables on one matter; nothing at all where it was not measured."""

    lines: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


@dataclass(frozen=True)
class Step:
    """Something to do, and the command that does it."""

    text: str
    command: str | None = None


@dataclass(frozen=True)
class Tick:
    """A mark on an axis."""

    position: float
    text: str


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
    outcome: Outcome | None = None
    """Makes the shape of the value's mark, for a rule."""
    word: str = ""
    """The outcome in words; an approved one is told apart."""
    title: str = ""
    """Of what the drawing is."""
    ticks: list[Tick] = field(default_factory=list)
    """Of a large drawing's axis."""

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


def ticks_of(bounds: Bounds, write: Callable[[float], str], most: int = 5) -> list[Tick]:
    """Marks at round values between the bounds: steps of 1, 2 or 5 times a power of ten."""
    width = bounds.high - bounds.low
    if width <= 0:
        return []
    magnitude: float = 10.0 ** math.floor(math.log10(width / most))
    step = next(magnitude * k for k in (1, 2, 5, 10) if width / (magnitude * k) <= most)
    first, last = math.ceil(bounds.low / step), math.floor(bounds.high / step)
    values = [round(k * step, 12) for k in range(first, last + 1)]
    return [Tick(bounds.position(v), write(v)) for v in values]


def plot_interval(
    bounds: Bounds,
    interval: tuple[float, float, float],
    reference: float,
    reference_text: str,
    label: str,
) -> Plot:
    """Place (lower, value, upper) and the reference line between the bounds."""
    lower, value, upper = (bounds.position(v) for v in interval)
    return Plot(lower, value, upper, bounds.position(reference), reference_text, label)


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
    is_matrix: bool = False
    """A thing a column, so that sorting the rows means nothing."""
    is_folded: bool = False
    """Long and rarely read: the page shows the caption and opens on demand."""
