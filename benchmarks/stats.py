"""How fast four models are compared, and how that compares with scipy.stats.bootstrap.

    python benchmarks/stats.py [--full]

First: the candidate against three other models, four metrics each (F1, binary accuracy, a rubric
from 1 to 5, win rate), 10,000 resamples a comparison, from arrays of scores in memory to limits and p.
Then: the same figures from `scipy.stats.bootstrap(paired=True, method="percentile")` with 1000
resamples, in batches of about 160 MB, and the ratio of the times. `--full` adds what takes minutes.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from ftgate_ext.stats.f1 import f1_difference
from ftgate_ext.stats.resample import Statistic, bootstrap, mean_difference

if TYPE_CHECKING:
    from collections.abc import Callable

Array = NDArray[np.float64]

RUNS = 3
OTHERS = 3
RESAMPLES = 10_000
LIMIT_S = 1.0
LIMIT_CASES = 1_000_000
SCIPY_RESAMPLES = 1000
SCIPY_BATCH_VALUES = 20_000_000


@dataclass(frozen=True)
class Scores:
    """One model's scores, one row or value a case."""

    f1_counts: Array
    """Shape (cases, 3): true positives, false positives, false negatives."""
    passed: Array
    rubric: Array


@dataclass(frozen=True)
class Comparison:
    """What one bootstrap compares."""

    columns: list[Array]
    statistic: Statistic


def make_scores(n: int, models: int = 1 + OTHERS) -> list[Scores]:
    """Models that agree on about seven of eight cases, as models of one family do."""
    rng = np.random.default_rng(20260120)
    gold, easy = rng.random(n) < 0.3, rng.random(n)
    made = []
    for _ in range(models):
        passed = (easy + rng.normal(0, 0.1, n)) > 0.25
        reported = gold == passed
        counts = np.column_stack([gold & reported, ~gold & reported, gold & ~reported])
        rubric = np.clip(np.round(1 + 4 * easy + rng.normal(0, 0.5, n)), 1, 5)
        made.append(Scores(counts.astype(float), passed.astype(float), rubric))
    return made


def make_verdicts(n: int) -> list[Array]:
    """1, 1/2 or 0 a case for a win, a tie or a loss of the candidate against each other model."""
    rng = np.random.default_rng(20260121)
    return [rng.choice([1.0, 0.5, 0.0], size=n, p=[0.42, 0.2, 0.38]) for _ in range(OTHERS)]


def list_comparisons(scores: list[Scores], verdicts: list[Array]) -> list[Comparison]:
    """Four metrics against each other model."""
    candidate, one = scores[0], np.ones(len(verdicts[0]))
    listed = []
    for other, verdict in zip(scores[1:], verdicts, strict=True):
        columns = [*candidate.f1_counts.T, *other.f1_counts.T]
        listed += [
            Comparison(columns, f1_difference),
            Comparison([candidate.passed, other.passed, one], mean_difference),
            Comparison([candidate.rubric, other.rubric, one], mean_difference),
            Comparison([verdict, np.full_like(one, 0.5), one], mean_difference),
        ]
    return listed


def compare_all(comparisons: list[Comparison], resamples: int) -> None:
    """Ours: rows, distinct rows, resamples, limits and p."""
    for comparison in comparisons:
        bootstrap(np.column_stack(comparison.columns), comparison.statistic, 1, resamples)


def compare_all_with_scipy(comparisons: list[Comparison]) -> None:
    """Scipy's: resampled cases, percentile limits."""
    for comparison in comparisons:
        columns, statistic = comparison.columns, comparison.statistic

        def of_sums(*drawn: Array, axis: int, statistic: Statistic = statistic) -> Array:
            sums = np.stack([column.sum(axis=axis) for column in drawn], axis=-1)
            values = statistic(sums.reshape(-1, len(drawn)))
            return values.reshape(sums.shape[:-1])

        scipy_stats.bootstrap(
            columns, of_sums, paired=True, vectorized=True, method="percentile",
            n_resamples=SCIPY_RESAMPLES, batch=max(1, SCIPY_BATCH_VALUES // len(columns[0])),
        )  # fmt: skip


def median_s(work: Callable[[], object], runs: int = RUNS) -> float:
    """Median wall time."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def measure_comparisons() -> None:
    """All metrics of four models at three sizes."""
    print(f"12 comparisons of 4 models, {RESAMPLES} resamples each, median of {RUNS}")
    for n in (1_000, 100_000, LIMIT_CASES):
        comparisons = list_comparisons(make_scores(n), make_verdicts(n))
        taken = median_s(lambda: compare_all(comparisons, RESAMPLES))  # noqa: B023 - used at once
        limit = f"   limit {LIMIT_S:.0f} s" if n == LIMIT_CASES else ""
        print(f"  {n:>9,} cases   {taken:7.3f} s{limit}")


def measure_continuous(*, full: bool) -> None:
    """A metric without equal scores, where cases are drawn one by one or weighted."""
    print(f"1 comparison of continuous scores, {RESAMPLES} resamples")
    for n in (1_000, 10_000, 100_000, *([LIMIT_CASES] if full else [])):
        rng = np.random.default_rng(20260122)
        rows = np.column_stack([rng.gamma(2.0, size=(n, 2)), np.ones(n)])
        taken = median_s(lambda: bootstrap(rows, mean_difference, 1, RESAMPLES), runs=1)  # noqa: B023
        print(f"  {n:>9,} cases   {taken:7.3f} s")
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  peak memory of all of the above {peak_mb:,.0f} MB")


def measure_against_scipy(*, full: bool) -> None:
    """One pass/fail metric, and all twelve comparisons, in both ways."""
    print(f"against scipy.stats.bootstrap, {SCIPY_RESAMPLES} resamples, scipy once")
    for n in (1_000, 10_000, 100_000, *([LIMIT_CASES] if full else [])):
        comparisons = list_comparisons(make_scores(n), make_verdicts(n))
        parts = [("1 pass/fail metric", comparisons[1:2])]
        if n <= 10_000 or full:
            parts.append(("12 comparisons", comparisons))
        for name, part in parts:
            own = median_s(lambda: compare_all(part, SCIPY_RESAMPLES))  # noqa: B023
            scipys = median_s(lambda: compare_all_with_scipy(part), runs=1)  # noqa: B023
            print(f"  {n:>9,} cases   {name:<18}   {own:8.4f} s   scipy {scipys:8.2f} s   {scipys / own:7.0f} x")  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, add_help=True)
    parser.add_argument("--full", action="store_true", help="also what takes minutes")
    full = parser.parse_args().full
    measure_comparisons()
    measure_continuous(full=full)
    measure_against_scipy(full=full)


if __name__ == "__main__":
    main()
