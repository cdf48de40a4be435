"""Whose answers the judge preferred, one row a win rate: as it stands, corrected, at equal length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Plot, Section, Table, bounds_around, plot_interval
from ftgate_ext.report.figures import (
    NOT_MEASURED,
    format_interval,
    format_level,
    format_p,
    scale_of,
)
from ftgate_ext.wording import plain

if TYPE_CHECKING:
    from ftgate_ext.report.blocks import Bounds
    from ftgate_ext.report.figures import Scale
    from ftgate_ext.schema import Comparison, Comparisons, Qualification

NONE = "none"
EVEN = 0.5
COUNTS = ("wins", "losses", "ties", "both_bad")


def view_win_rates(comparisons: Comparisons, qualification: Qualification | None) -> Section:
    """All win rates in one table with drawings around one half; why there are none."""
    rates = [c for c in comparisons.comparisons if c.kind == "win_rate"]
    unfit = qualification is not None and not qualification.fit
    if not rates:
        why = "the judge may not vote" if unfit else "no pairs were judged"
        return Section([f"No win rate: {why}."])
    lines = []
    if unfit:
        lines.append("These win rates are no evidence: the judge is not qualified.")
    ends = [v for c in rates if (e := c.candidate_estimate) for v in (e.lower, e.upper) if v is not None]  # fmt: skip
    bounds = bounds_around([EVEN, *ends]) if ends else None
    columns = ["Against", "Figure", "Win rate", _head(rates), "p", "Pairs", "Won", "Lost", "Tied", "Both bad"]  # fmt: skip
    plots = [_plot(c, bounds) for c in rates]
    table = Table(
        caption="How often the judge preferred the candidate",
        columns=columns,
        rows=[_row(c, scale_of(comparisons, c.task, c.metric)) for c in rates],
        numeric=(2, 4, 5, 6, 7, 8, 9),
        plots=plots if any(plots) else [],
        plot_after=3,
        notes=list(dict.fromkeys(note for c in rates for note in c.notes)),
    )
    return Section(lines, [table])


def _head(rates: list[Comparison]) -> str:
    levels = {e.level for c in rates if (e := c.candidate_estimate) and e.level}
    return f"{format_level(levels.pop())} CI" if len(levels) == 1 else "Interval"


def _row(rate: Comparison, scale: Scale) -> list[str]:
    counts = [f"{rate.counts[name]:,}" if name in rate.counts else NONE for name in COUNTS]
    head = [rate.baseline, plain(rate.metric)]
    p = format_p(rate.tests[0].p) if rate.tests else NONE
    estimate = rate.candidate_estimate
    if estimate is None:
        why = f"{NOT_MEASURED}: {rate.unavailable}" if rate.unavailable else NOT_MEASURED
        return [*head, why, NONE, p, f"{rate.n_pairs:,}", *counts]
    interval = format_interval(estimate, scale=scale, why=rate.no_interval).partition("CI ")
    return [*head, scale.value(estimate.value), interval[2] or interval[0], p, f"{rate.n_pairs:,}", *counts]  # fmt: skip


def _plot(rate: Comparison, bounds: Bounds | None) -> Plot | None:
    """Around one half, where neither is preferred."""
    e = rate.candidate_estimate
    if bounds is None or e is None or e.lower is None or e.upper is None:
        return None
    label = f"{e.value:.1%}, {e.lower:.1%} to {e.upper:.1%}; the line is 50.0%"
    return plot_interval(bounds, (e.lower, e.value, e.upper), EVEN, "50.0%", label)
