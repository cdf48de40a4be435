"""Tests of the win rate at equal length: planted effects, symmetry, and a public leaderboard."""

from __future__ import annotations

import csv
import gzip
import json
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from public_data import FOLDER, needs_public_data
from records import QUICK
from scipy import optimize, special, stats

from ftgate_ext.stats.length_control import (
    RIDGE,
    LengthControlledRate,
    length_controlled_value,
    length_controlled_win_rate,
)
from ftgate_ext.stats.limits import NoLimits


def drawn_pairs(
    n: int, seed: int, lead: float = 0.0, length_effect: float = 0.62, longer_by: float = 0.6
) -> tuple[np.ndarray, np.ndarray]:
    """Verdicts of a judge that likes long answers, one in five a tie, and lengths in sd."""
    rng = np.random.default_rng(seed)
    d = rng.normal(longer_by, 1, n)
    won = rng.random(n) < special.expit(lead + length_effect * np.tanh(d))
    return np.where(rng.random(n) < 0.2, 0.5, won.astype(float)), d


def measured(found: LengthControlledRate | NoLimits) -> LengthControlledRate:
    """The rate; fails where there is none."""
    assert isinstance(found, LengthControlledRate), found
    return found


def test_a_model_that_only_writes_more_gains_nothing() -> None:
    """Judged 54 % for length alone: at equal length one half is inside, and length is seen."""
    wins, d = drawn_pairs(4000, 1)
    found = measured(length_controlled_win_rate(wins, d, 1, 500))
    assert wins.mean() > 0.53
    assert found.limits.lower < 0.5 < found.limits.upper
    assert found.length_effect_limits[0] > 0
    assert found.mean_difference == pytest.approx(0.6, abs=0.05)


def test_a_model_that_is_better_stays_better() -> None:
    """A lead of 0.4 in log odds among decided pairs, diluted by ties, survives shorter answers."""
    wins, d = drawn_pairs(4000, 2, lead=0.4, longer_by=-0.5)
    found = measured(length_controlled_win_rate(wins, d, 1, 500))
    assert found.limits.value > wins.mean() + 0.02
    assert found.limits.value == pytest.approx(0.5 + 0.8 * (special.expit(0.4) - 0.5), abs=0.02)
    assert found.p < 0.01
    assert found.lower_one_sided > 0.5


def test_the_fit_is_the_maximum_of_its_likelihood() -> None:
    """Against a general optimiser on the same penalised likelihood."""
    wins, d = drawn_pairs(300, 3)
    x = np.tanh(d / d.std(ddof=1))

    def loss(at: np.ndarray) -> float:
        eta = at[0] + at[1] * x
        return float((np.logaddexp(0, eta) - wins * eta).sum() + RIDGE * (at**2).sum() / 2)

    best = optimize.minimize(loss, np.zeros(2), tol=1e-12).x
    assert length_controlled_value(wins, d) == pytest.approx(special.expit(best[0]), abs=1e-6)


@QUICK
@given(st.integers(0, 10_000), st.floats(0.01, 1000))
def test_exchanging_the_models_turns_the_rate_round(seed: int, unit: float) -> None:
    """Sign-symmetric, and the unit of length does not matter."""
    wins, d = drawn_pairs(60, seed)
    turned = length_controlled_value(1 - wins, -d * unit)
    assert length_controlled_value(wins, d) + turned == pytest.approx(1, abs=1e-9)


def test_order_and_seed_make_the_result() -> None:
    """The same seed gives the same limits in whatever order the pairs come."""
    wins, d = drawn_pairs(200, 4)
    order = np.random.default_rng(0).permutation(200)
    one = length_controlled_win_rate(wins, d, 7, 300)
    assert one == length_controlled_win_rate(wins[order], d[order], 7, 300)
    assert one != length_controlled_win_rate(wins, d, 8, 300)


def test_length_that_says_nothing_changes_nothing() -> None:
    """Without a length effect the rate is the raw one, and its limits are hardly wider."""
    wins, d = drawn_pairs(2000, 5, lead=0.3, length_effect=0.0, longer_by=0.0)
    found = measured(length_controlled_win_rate(wins, d, 1, 500))
    assert found.limits.value == pytest.approx(wins.mean(), abs=0.01)
    assert found.standard_error == pytest.approx(wins.std() / np.sqrt(2000), rel=0.15)


@pytest.mark.parametrize(
    ("wins", "lengths", "why"),
    [
        ([1, 0] * 20, [3.0] * 40, "nothing to control for"),
        ([1, 0] * 50, list(range(5, 105)), "not shorter in 100 of 100 pairs and not longer in 0"),
        ([1] * 40, list(range(-20, 20)), "40 wins and 0 losses"),
        ([0.5] * 40, list(range(-20, 20)), "0 wins and 0 losses"),
    ],
)
def test_what_cannot_be_controlled_for_has_no_rate(
    wins: list[float], lengths: list[float], why: str
) -> None:
    """Where equal length was never seen, or nothing is decided, there is no figure."""
    found = length_controlled_win_rate(wins, lengths, 1, 100)
    assert isinstance(found, NoLimits)
    assert why in found.why


def test_a_resample_that_one_model_wins_whole_stays_finite() -> None:
    """Ten losses among many wins: some resamples hold nearly none, and none of them is infinite."""
    rng = np.random.default_rng(6)
    wins = np.r_[np.ones(30), np.zeros(10)]
    found = measured(length_controlled_win_rate(wins, rng.normal(0, 1, 40), 1, 1000))
    assert 0.5 < found.limits.lower < found.limits.upper < 1
    assert np.isfinite(found.standard_error)


@pytest.mark.parametrize(
    ("wins", "lengths"), [([], []), ([1.0], [1.0, 2.0]), ([1.2, 0], [1, 2]), ([1, 0], [1, np.nan])]
)
def test_bad_arguments_are_named(wins: list[float], lengths: list[float]) -> None:
    """Empty, of different lengths, outside [0, 1] or not finite."""
    with pytest.raises(ValueError, match=r"preferences|length"):
        length_controlled_win_rate(wins, lengths, 1)


@needs_public_data
def test_alpacaeval_moves_in_the_same_direction_and_ranks_alike() -> None:
    """Nine models of AlpacaEval 2, against the published length-controlled win rates.

    Theirs has terms for single questions, fitted over all models of the leaderboard, and a penalty;
    ours has none. Where both lengths overlap it is within 2 points; where a model nearly always
    writes less, ours is an extrapolation and refused as a figure.
    """
    folder = FOLDER / "alpaca_eval"
    with (folder / "leaderboard_weighted_alpaca_eval_gpt4_turbo.csv").open() as file:
        published = {row[""]: float(row["length_controlled_winrate"]) for row in csv.DictReader(file)}  # fmt: skip
    pairs: dict[str, list[tuple[float, int]]] = defaultdict(list)
    with gzip.open(folder / "annotations_compact.jsonl.gz", "rt") as file:
        for row in map(json.loads, file):
            pairs[row["leaderboard_name"]].append((row["preference"] - 1, row["len_2"] - row["len_1"]))  # fmt: skip
    names = sorted(pairs)
    assert len(names) == 9
    arrays = {name: np.array(pairs[name]).T for name in names}
    ours = {name: 100 * length_controlled_value(*arrays[name]) for name in names}
    raw = {name: 100 * arrays[name][0].mean() for name in names}
    for name in names:
        assert (ours[name] > raw[name]) == (published[name] > raw[name])
    theirs = [published[name] for name in names]
    assert stats.spearmanr([ours[name] for name in names], theirs)[0] > 0.95
    close = [n for n in names if abs(ours[n] - published[n]) < 2]
    given = [n for n in names if isinstance(length_controlled_win_rate(arrays[n][0], arrays[n][1], 1, 100), LengthControlledRate)]  # fmt: skip
    assert set(given) - set(close) <= {"NullModel"}
    assert len(given) == 5
