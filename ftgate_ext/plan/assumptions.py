"""What a plan takes for granted: from an earlier run's comparisons where there is one, else defaults.

Every assumption comes with the words that say so. Knows files through `runs` only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ftgate_ext.runs import COMPARISONS, load_row, load_rows
from ftgate_ext.schema import Comparisons
from ftgate_ext.stats.planning import f1_standard_error
from ftgate_ext.wording import percent

if TYPE_CHECKING:
    from pathlib import Path

    from ftgate_ext.policy_rules import Quantity
    from ftgate_ext.schema import Bound, Comparison, Grade, Judgment, Role, RubricScore

DISCORDANCE = 0.10
"""Share of cases on which two versions of a model differ: 3 % to 20 % are common."""
F1_LEVEL = 0.70
F1_PREVALENCE = 0.50
F1_DISAGREEMENT = 0.15
"""Larger than of pass/fail: a finding in the wrong category is two changes."""
TIES = 0.20
RUBRIC = "rubric"
"""Begins the name of every metric that is a judge's grade."""
MTBENCH_SCORE = "mtbench_score"
"""The same, of grades from 1 to 10."""
RUBRIC_SD = 0.22
"""Of the differences of grades from 1 to 5, as shares: 0.87 of 4 steps."""
FLIP_RATE = 0.01
"""How often a model gets a case wrong that it can do."""
CLUSTER_CORRELATION = 0.10
LATENCY_LOG_SD = 0.6
"""Spread of one request's latency on the log scale."""
EQUAL_LEVEL = 0.80
"""Assumed level of a metric, where a ratio needs one."""

Kind = Literal["binary", "f1", "mean", "win_rate"]


@dataclass(frozen=True)
class Spread:
    """How far the figure of one case varies: a standard error is sd / sqrt(cases)."""

    kind: Kind
    discordance: float
    """Pass/fail: share of cases where exactly one model is right. F1: share where they disagree.
    Win rate: share without ties."""
    words: str
    sd: float | None = None
    """Of f1 and mean; pass/fail and win rates follow from the discordance."""
    has_clusters: bool = False
    """Whether `sd` already holds what clusters do to the standard error."""

    def standard_error(self, n: float, effect: float = 0.0) -> float:
        """Of a difference (of a win rate) over n independent cases at this true effect."""
        if self.sd is not None:
            return self.sd / math.sqrt(n)
        share = self.discordance / 4 if self.kind == "win_rate" else self.discordance
        return math.sqrt(max(share, abs(effect)) - effect * effect) / math.sqrt(n)


@dataclass(frozen=True)
class Measured:
    """Means over the requests of an earlier run."""

    input_tokens: float
    output_tokens: float
    latency_s: float
    cached_tokens: float = 0.0
    busy_s: float | None = None
    """Seconds in which a request keeps the server busy, shared with those in flight beside it."""


class EarlierRun:
    """The comparisons and judgments of an earlier run."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.comparisons = load_row(run_dir / COMPARISONS, Comparisons, "compare")

    def comparison(self, task: str | None, metric: str, against: Role) -> Comparison | None:
        """The comparison with `against` if it has figures; any task where `task` is None."""
        for found in self.comparisons.comparisons:
            same = found.metric == metric and found.baseline == against
            if same and task in (None, found.task) and not found.unavailable:
                return found
        return None

    def level(self, task: str, metric: str, role: Role) -> float | None:
        """A model's own figure."""
        for found in self.comparisons.levels:
            if (found.task, found.metric, found.role) == (task, metric, role) and found.estimate:
                return found.estimate.value
        return None

    def quantity(self, quantity: Quantity, against: Role | None) -> Bound | None:
        """Cost or latency of the candidate, or as a multiple of another model's."""
        if against is not None:
            key = (quantity, against)
            ratios = self.comparisons.ratios
            return next((r.ratio for r in ratios if (r.quantity, r.baseline) == key), None)
        for operations in self.comparisons.operations:
            if (operations.role, operations.task) == ("candidate", "*"):
                return operations.bounds.get(quantity)
        return None

    def per_request(self, role: Role, task: str) -> Measured | None:
        """What one request of a task took a model, where all of it was measured."""
        for found in self.comparisons.operations:
            if (found.role, found.task) != (role, task) or not found.n_requests:
                continue
            known = (found.input_tokens, found.output_tokens, found.latency_p50_s)
            if None not in known:
                asked, answered, latency = (float(x) for x in known if x is not None)
                n, cached = found.n_requests, found.cached_input_tokens or 0
                speed = found.requests_per_hour
                busy_s = 3600 / speed if speed else None
                return Measured(asked / n, answered / n, latency, cached / n, busy_s)
        return None

    def per_judge_call(
        self, model: str, name: str, kind: type[Judgment | RubricScore | Grade]
    ) -> Measured | None:
        """What one call of this judge took, of those whose rows lie in a file of the run."""
        rows = [
            (r.input_tokens, r.output_tokens, r.latency_s)
            for said in load_rows(self.run_dir / name, kind)
            if said.judge_model == model and (r := said.response) is not None
        ]
        whole = [row for row in rows if None not in row]
        if not whole:
            return None
        sums = [sum(float(row[i] or 0) for row in whole) / len(whole) for i in range(3)]
        return Measured(*sums)


def assume_spread(
    task: str | None,
    metric: str,
    against: Role,
    *,
    is_f1: bool,
    prevalence: float | None,
    earlier: EarlierRun | None,
) -> Spread:
    """The spread of a comparison: measured by an earlier run, else a default that says so."""
    found = earlier.comparison(task, metric, against) if earlier else None
    measured = _measured_spread(found) if found else None
    if measured is not None:
        return measured
    missing = "assumed" if earlier is None else "assumed: the earlier run has no such comparison"
    if metric == "win_rate":
        return Spread("win_rate", 1 - TIES, f"{percent(TIES)} ties ({missing})")
    if metric.startswith((RUBRIC, MTBENCH_SCORE)):
        return Spread("mean", RUBRIC_SD**2, f"standard deviation {100 * RUBRIC_SD:.0f} pt per case ({missing})", RUBRIC_SD)  # fmt: skip
    if is_f1:
        return _assumed_f1(prevalence, missing)
    return Spread("binary", DISCORDANCE, f"{percent(DISCORDANCE)} discordant ({missing})")


def _assumed_f1(prevalence: float | None, missing: str) -> Spread:
    share = F1_PREVALENCE if prevalence is None else min(max(prevalence, 0.05), 0.95)
    found = missing if prevalence is None else "counted"
    # No more can disagree than twice the errors that this F1 allows.
    disagreement = min(F1_DISAGREEMENT, 4 * share * (1 - F1_LEVEL))
    words = f"F1 {F1_LEVEL:.2f} and {percent(disagreement)} disagreement ({missing}), {percent(share)} positives ({found})"
    return Spread("f1", disagreement, words, f1_standard_error(1, F1_LEVEL, share, disagreement))


def _measured_spread(found: Comparison) -> Spread | None:
    """What the earlier run saw; a share that was not seen at all is taken as one case."""
    n, counts = found.n_pairs, found.counts
    if n == 0:
        return None
    seen = f"earlier run, n = {n:,}"
    if found.kind == "win_rate":
        decided = max(counts.get("wins", 0) + counts.get("losses", 0), 1) / n
        return Spread("win_rate", decided, f"{percent(1 - decided)} ties ({seen})")
    if found.kind == "binary" and found.n_clusters is None:
        share = max(counts.get("only_candidate", 0) + counts.get("only_baseline", 0), 1) / n
        return Spread("binary", share, f"{percent(share)} discordant ({seen})")
    if not found.standard_error:
        return None
    sd = found.standard_error * math.sqrt(n)
    words = f"standard deviation {100 * sd:.0f} pt per case ({seen})"
    # Every case may differ a little: as many are taken to disagree as would explain the spread.
    return Spread(found.kind, min(1.0, sd * sd), words, sd, found.n_clusters is not None)
