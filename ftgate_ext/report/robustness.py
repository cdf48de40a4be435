"""How much each model loses when only the looks of a case change, and how steady its repeats are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.report.blocks import Section, Table
from ftgate_ext.report.figures import Scale, format_estimate, format_p
from ftgate_ext.report.quality import head_interval, write_interval
from ftgate_ext.wording import DRESSES, plain

if TYPE_CHECKING:
    from ftgate_ext.schema import Comparison, Comparisons

NONE = "none"


def view_robustness(comparisons: Comparisons) -> Section:
    """A table a task and metric of perturbed cases, and one of repeats; nothing where there are none."""
    keys = dict.fromkeys((c.task, _name(c)) for c in comparisons.perturbed)
    tables = [_drops(task, name, comparisons) for task, name in keys]
    if comparisons.consistency:
        tables.append(_repeats(comparisons))
    lines = []
    if keys:
        lines.append(
            "Each model against itself: its answers to a case in another dress minus its answer to the case as it is. A loss is a minus where more of the metric is better."
        )
    return Section(lines, tables)


def _name(comparison: Comparison) -> str:
    return comparison.metric.partition(",")[0]


def _drops(task: str, name: str, comparisons: Comparisons) -> Table:
    mine = [c for c in comparisons.perturbed if (c.task, _name(c)) == (task, name)]
    turned = "" if mine[0].higher_is_better else " (lower is better)"
    ordered = sorted(mine, key=lambda c: list(DRESSES).index(_dress(c)) if _dress(c) in DRESSES else 0)  # fmt: skip
    return Table(
        caption=f"{task}: {plain(name)}{turned}, perturbed minus unperturbed",
        columns=["Perturbation", "Model", "Perturbed", "As it is", "Difference", head_interval(mine), "p", "n", "Left out"],
        rows=[_drop(c) for c in ordered],
        numeric=(2, 3, 4, 6, 7, 8),
        is_folded=name not in ("f1", "verdict_acc", "passed"),
    )  # fmt: skip


def _dress(comparison: Comparison) -> str:
    return comparison.metric.partition(",")[2]


def _drop(comparison: Comparison) -> list[str]:
    scale = Scale()
    dress = DRESSES.get(_dress(comparison), _dress(comparison))
    own = (comparison.candidate_estimate, comparison.baseline_estimate)
    values = [scale.value(e.value) if e else NONE for e in own]
    difference = comparison.difference
    return [
        dress, comparison.candidate, *values,
        scale.difference(difference.value) if difference else comparison.unavailable or NONE,
        write_interval(comparison, scale),
        format_p(comparison.tests[0].p) if comparison.tests else NONE,
        f"{comparison.n_pairs:,}", str(comparison.n_excluded + comparison.n_unpaired),
    ]  # fmt: skip


def _repeats(comparisons: Comparisons) -> Table:
    scale = Scale()
    return Table(
        caption="Repeats: the share of cases that came out alike every time they were asked",
        columns=["Eval set", "Metric", "Model", "Repeats", "All alike"],
        rows=[
            [c.task, plain(c.metric), c.role, str(c.repeats), format_estimate(c.same.estimate, scale=scale)]
            for c in comparisons.consistency
        ],
        numeric=(3,),
    )  # fmt: skip
