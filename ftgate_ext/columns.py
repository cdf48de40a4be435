"""Scores and measurements of one task as columns of numbers, one row a request.

Machine numbers in place of objects, so that a million cases fit. Knows records; no files, no statistics.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ftgate_ext.schema import Response

Array = np.ndarray[Any, Any]

NAN = float("nan")


@dataclass(frozen=True)
class Cases:
    """The distinct cases of one task of one model, in the order of the eval set."""

    hashes: list[str]
    """Per request, the hash of its row: requests with the same one are repeats of one case."""
    case_of: Array
    """Per request: its case."""
    first: Array
    """Per case: its first request."""

    def __len__(self) -> int:
        return len(self.first)

    @cached_property
    def index(self) -> dict[str, int]:
        """doc_hash -> case; made only where two models were not asked the same in the same order."""
        return {self.hashes[row]: case for case, row in enumerate(self.first.tolist())}


def index_cases(hashes: list[str]) -> Cases:
    """Number the cases as they first occur."""
    n = len(hashes)
    index = dict.fromkeys(hashes)
    if len(index) == n:  # no repeats: as a rule
        every = np.arange(n)
        return Cases(hashes, every, every)
    numbers = dict(zip(index, range(len(index)), strict=True))
    case_of = np.fromiter(map(numbers.__getitem__, hashes), np.int64, n)
    first = np.zeros(len(numbers), dtype=np.int64)
    first[case_of[::-1]] = np.arange(n)[::-1]
    return Cases(hashes, case_of, first)


@dataclass
class Column:
    """The scores of one metric, one row a request; [tp, fp, fn] makes three columns."""

    width: int = 0
    """1 or 3; 0 as long as no request is scored."""
    cells: array[float] = field(default_factory=lambda: array("d"))
    rows: array[int] = field(default_factory=lambda: array("q"))
    is_numeric: bool = True

    def add(self, row: int, value: Any) -> None:
        """Take in the score of a request; None is no score."""
        if value is None:
            return
        width = len(value) if isinstance(value, list) else 1
        if width != self.width:
            if self.width or width not in (1, 3):
                self.is_numeric = False
                return
            self.width = width
        try:
            if width == 1:
                self.cells.append(value)
            else:
                self.cells.extend(value)
        except TypeError:
            self.is_numeric = False
            return
        self.rows.append(row)

    def matrix(self, n: int) -> Array:
        """Shape (n, width): NaN where a request has no finite score."""
        width = max(self.width, 1)
        values = np.full((n, width), np.nan)
        if self.rows:
            values[np.frombuffer(self.rows, dtype=np.int64)] = np.frombuffer(self.cells).reshape(
                -1, width
            )
        values[~np.isfinite(values).all(axis=1)] = np.nan
        return values

    def moved(self, place: Mapping[int, int]) -> Column:
        """The scores of some rows at other places; rows without a place are left out."""
        chosen = [i for i, row in enumerate(self.rows) if row in place]
        cells = [c for i in chosen for c in self.cells[i * self.width : (i + 1) * self.width]]
        rows = array("q", [place[self.rows[i]] for i in chosen])
        return Column(self.width, array("d", cells), rows, self.is_numeric)


@dataclass
class Measured:
    """What the requests took, one entry a request that has a journal line."""

    rows: array[int] = field(default_factory=lambda: array("q"))
    statuses: list[str] = field(default_factory=list)
    endpoints: list[str | None] = field(default_factory=list)
    """Which of several servers answered."""
    latency_s: array[float] = field(default_factory=lambda: array("d"))
    first_token_s: array[float] = field(default_factory=lambda: array("d"))
    finished_s: array[float] = field(default_factory=lambda: array("d"))
    """When, in seconds since 1970."""
    cost_usd: array[float] = field(default_factory=lambda: array("d"))
    input_tokens: array[float] = field(default_factory=lambda: array("d"))
    cached_input_tokens: array[float] = field(default_factory=lambda: array("d"))
    output_tokens: array[float] = field(default_factory=lambda: array("d"))
    in_flight: array[float] = field(default_factory=lambda: array("d"))
    """Requests in flight when this one was sent, itself included."""
    tokens_estimated: array[float] = field(default_factory=lambda: array("d"))
    """1 where the tokens were estimated on our side, 0 where the server counted them."""
    attempts: int = 0

    def add(self, rows: Sequence[int], responses: Sequence[Response]) -> None:
        """Take in many responses at once, each with its row; NaN stands for what one does not say."""
        self.rows.extend(rows)
        self.statuses += [r.status for r in responses]
        self.endpoints += [r.endpoint for r in responses]
        self.finished_s.extend([_epoch_s(r.finished_at) for r in responses])
        table = np.array(list(map(_QUANTITIES, responses)), dtype=np.float64)  # None becomes NaN
        for name, cells in zip(_NAMES, table.T, strict=True):
            getattr(self, name).frombytes(cells.tobytes())
        self.attempts += sum([r.attempts for r in responses])

    def column(self, name: str) -> Array:
        """One measured quantity, one entry a request that has a journal line."""
        return np.frombuffer(getattr(self, name)) if self.rows else np.empty(0)

    def moved(self, place: Mapping[int, int]) -> Measured:
        """The requests of some rows at other places; `attempts` stay those of the whole."""
        chosen = [i for i, row in enumerate(self.rows) if row in place]
        left = Measured(
            array("q", [place[self.rows[i]] for i in chosen]), [self.statuses[i] for i in chosen],
            [self.endpoints[i] for i in chosen], attempts=self.attempts,
        )  # fmt: skip
        for name in MEASURED_COLUMNS:
            column = getattr(self, name)
            setattr(left, name, array("d", [column[i] for i in chosen]))
        return left


MEASURED_COLUMNS = (
    "latency_s", "first_token_s", "finished_s", "cost_usd", "input_tokens", "cached_input_tokens",
    "output_tokens", "in_flight", "tokens_estimated",
)  # fmt: skip


_NAMES = tuple(name for name in MEASURED_COLUMNS if name != "finished_s")
_QUANTITIES = attrgetter(*("concurrency" if n == "in_flight" else n for n in _NAMES))


def _epoch_s(stamp: str) -> float:
    """ISO 8601 -> seconds since 1970; NaN where it is no time."""
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return NAN
