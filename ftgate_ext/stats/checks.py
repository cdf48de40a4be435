"""Arguments -> the same arguments, or one line that says what is wrong with them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def finite_values(values: ArrayLike, name: str) -> Array:
    """One list of numbers as an array of floats.

    Raises:
        ValueError: Not one-dimensional, empty, or with a NaN or an infinity.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}: expected one list of at least 1 number")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds {array[~np.isfinite(array)][0]}: expected finite numbers")
    return array


def shares(values: ArrayLike, name: str) -> Array:
    """One list of numbers in [0, 1] as an array of floats.

    Raises:
        ValueError: As `finite_values`, or a number outside [0, 1].
    """
    array = finite_values(values, name)
    outside = array[(array < 0) | (array > 1)]
    if outside.size:
        raise ValueError(f"{name} holds {outside[0]}: expected numbers from 0 to 1")
    return array


def check_open_share(value: float, name: str) -> None:
    """A level, an alpha or a quantile lies strictly between 0 and 1.

    Raises:
        ValueError: It does not, or is NaN.
    """
    if not 0 < value < 1:
        raise ValueError(f"{name}={value}: expected a number between 0 and 1, both excluded")
