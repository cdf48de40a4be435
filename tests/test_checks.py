"""Tests of the one-line refusals that all statistics share."""

from __future__ import annotations

import numpy as np
import pytest

from ftgate_ext.stats.checks import check_open_share, finite_values, shares


def test_numbers_become_one_array_of_floats() -> None:
    """Lists and integer arrays are taken as they are."""
    assert finite_values([1, 2], "values").dtype == np.float64
    assert shares(np.array([0, 1]), "values").tolist() == [0.0, 1.0]


@pytest.mark.parametrize("values", [[], [[1.0]], 1.0])
def test_what_is_no_list_is_refused(values: object) -> None:
    """The message names the argument and its shape."""
    with pytest.raises(ValueError, match=r"scores has shape \(.*\): expected one list"):
        finite_values(values, "scores")  # type: ignore[arg-type]


def test_the_first_bad_number_is_named() -> None:
    """NaN, infinity and shares outside [0, 1] are refused with what was found."""
    with pytest.raises(ValueError, match="scores holds nan"):
        finite_values([1.0, float("nan"), float("inf")], "scores")
    with pytest.raises(ValueError, match=r"scores holds -0\.5"):
        shares([0.5, -0.5, 2.0], "scores")


@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5, float("nan")])
def test_levels_lie_strictly_between_0_and_1(value: float) -> None:
    """The message names the argument and the value."""
    with pytest.raises(ValueError, match=f"level={value}"):
        check_open_share(value, "level")
