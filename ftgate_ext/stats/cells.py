"""Rows of scores -> the distinct rows and how often each occurs.

Most scores take few values: a million verdicts of two models are four cells. Whatever is computed
from sums over the cases can be computed from the cells, at a cost that does not grow with n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

BLOCK = 32_768
"""Rows looked at together: their columns fit into a core's cache."""
GRID_LEVELS = 1024
LARGEST_KEY = 2**62


@dataclass(frozen=True)
class Cells:
    """The distinct rows in lexicographic order, first column first, and the count of each."""

    rows: Array
    counts: Codes


@dataclass(frozen=True)
class _Coded:
    codes: Codes
    levels: Array
    """Code -> value."""


def find_cells(rows: Array, most: int) -> Cells | None:
    """Count the distinct rows, or give up as soon as there are more than `most`.

    Each column becomes an index into its levels, each row one integer, and these are counted: 20
    times as fast as sorting the rows themselves (`np.unique` with an axis).

    Args:
        rows: Shape (cases, columns), finite.
        most: Largest number of distinct rows that is of use.
    """
    found = []
    for start in range(0, len(rows), BLOCK):
        cells = _cells_of_block(rows[start : start + BLOCK])
        if len(cells.counts) > most:
            return None
        found.append(cells)
    merged = _merge(found)
    return merged if len(merged.counts) <= most else None


def order_of_rows(rows: Array) -> Codes:
    """Indices that sort the rows, first column first."""
    return np.lexsort(rows.T[::-1])


def _cells_of_block(block: Array) -> Cells:
    key, size = np.zeros(len(block), dtype=np.int64), 1
    coded: list[_Coded] = []
    for column in np.ascontiguousarray(block.T):
        one = _code(column)
        if size * len(one.levels) > LARGEST_KEY:
            return _merge([Cells(block, np.ones(len(block), dtype=np.int64))])
        if len(one.levels) > 1:
            key = one.codes if size == 1 else key * len(one.levels) + one.codes
        size *= len(one.levels)
        coded.append(one)
    if size <= 2 * len(block):
        tally = np.bincount(key, minlength=size)
        keys = np.flatnonzero(tally)
        counts = tally[keys]
    else:
        keys, counts = np.unique(key, return_counts=True)
    columns = []
    for one in reversed(coded):
        keys, code = np.divmod(keys, len(one.levels))
        columns.append(one.levels[code])
    return Cells(np.column_stack(columns[::-1]), counts)


def _code(column: Array) -> _Coded:
    """Levels of a column in ascending order: a grid of wholes or quarters where it is on one."""
    low, high = float(column.min()), float(column.max())
    if low == high:
        return _Coded(np.zeros(len(column), dtype=np.int64), np.array([low]))
    for steps in (1, 4):
        if (high - low) * steps < GRID_LEVELS:
            codes = ((column - low) * steps).astype(np.int64)
            levels = low + np.arange(int((high - low) * steps) + 1) / steps
            if np.array_equal(levels[codes], column):
                return _Coded(codes, levels)
    levels, codes = np.unique(column, return_inverse=True)
    return _Coded(codes, levels)


def _merge(found: list[Cells]) -> Cells:
    """Cells of all blocks together, equal ones added up."""
    rows = np.concatenate([cells.rows for cells in found])
    counts = np.concatenate([cells.counts for cells in found])
    order = order_of_rows(rows)
    rows, counts = rows[order], counts[order]
    first = np.concatenate([[True], (rows[1:] != rows[:-1]).any(axis=1)])
    return Cells(rows[first], np.add.reduceat(counts, np.flatnonzero(first)))
