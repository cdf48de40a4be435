"""What rules may look at, when it is unusable, and how the three levels of evidence weigh it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftgate_ext.policy import Rule
    from ftgate_ext.schema import (
        Comparison,
        Comparisons,
        Level,
        Operations,
        Outcome,
        Qualification,
    )


@dataclass(frozen=True)
class Evidence:
    """All that rules may look at."""

    comparisons: Comparisons
    qualification: Qualification | None
    max_failed_share: float

    def comparison(self, task: str | None, metric: str, against: str) -> Comparison | None:
        """The comparison with `against`; any task where `task` is None."""
        return next(
            (c for c in self.comparisons.comparisons if c.metric == metric and c.baseline == against and task in (None, c.task)),
            None,
        )  # fmt: skip

    def level(self, task: str, metric: str) -> Level | None:
        """The candidate's own figure."""
        return next(
            (
                x
                for x in self.comparisons.levels
                if (x.task, x.metric, x.role) == (task, metric, "candidate")
            ),
            None,
        )

    def operations(self) -> Operations | None:
        """What all requests to the candidate took."""
        return next(
            (o for o in self.comparisons.operations if (o.role, o.task) == ("candidate", "*")), None
        )


def why_unusable(comparison: Comparison | None, evidence: Evidence) -> tuple[str, str] | None:
    """Why a comparison may not decide, and what to do about it."""
    if comparison is None:
        return "this comparison was not made", "run the models and eval sets that the rule names"
    if comparison.unavailable:
        return comparison.unavailable, "see the run's responses.jsonl for what went wrong"
    missing = comparison.n_excluded + comparison.n_unpaired
    asked = comparison.n_pairs + missing
    if missing > evidence.max_failed_share * asked:
        what = "have no answer" if not comparison.n_unpaired else "lack an answer of one model"
        return (
            f"{missing} of {asked} cases ({missing / asked:.1%}) {what}, above the error budget of {evidence.max_failed_share:.1%}",
            "run the same command again: it asks only what is missing",
        )
    return None


def oriented_difference(comparison: Comparison) -> tuple[float, float | None, float | None]:
    """(difference, lower, upper), turned so that bigger is better for the candidate."""
    value = comparison.difference.value if comparison.difference else 0.0
    low, high = comparison.lower_one_sided, comparison.upper_one_sided
    if comparison.higher_is_better:
        return value, low, high
    return -value, None if high is None else -high, None if low is None else -low


def weigh(
    rule: Rule,
    value: float,
    low: float | None,
    high: float | None,
    threshold: float,
    *,
    strict: bool,
    significant: bool = True,
) -> Outcome:
    """The three levels of evidence, on an effect oriented so that bigger is better.

    Args:
        rule: For its evidence level.
        value: Point estimate.
        low: One-sided 95 % lower limit, None if there is none.
        high: One-sided 95 % upper limit.
        threshold: What the effect must reach.
        strict: Whether the limit must lie above the threshold, not on it.
        significant: Whether the stated test rejects "no difference" in the right direction.
    """
    met = value >= threshold
    if rule.evidence == "point":
        return "PASS" if met else "FAIL"
    if low is None or high is None:
        return "INCONCLUSIVE"
    if high < threshold:
        return "FAIL"
    if rule.evidence == "significant":
        return "PASS" if met and significant else "INCONCLUSIVE"
    return "PASS" if (low > threshold if strict else low >= threshold) else "INCONCLUSIVE"
