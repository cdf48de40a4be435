"""What capability benchmarks add to a run's comparisons: grades, what was not at hand, the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.judge.grades import GRADES
from ftgate_ext.ledger import make_ledger
from ftgate_ext.mtbench_scores import compare_grades, grade_levels
from ftgate_ext.runs import load_rows
from ftgate_ext.schema import Grade

if TYPE_CHECKING:
    from pathlib import Path

    from ftgate_ext.policy import Policy
    from ftgate_ext.schema import Comparisons, RunManifest
    from ftgate_ext.settings import Settings


def add_grades(
    comparisons: Comparisons, folder: Path, settings: Settings, leaked: dict[str, set[str]]
) -> None:
    """Add the MT-Bench scores that the judge gave, without the questions that leaked.

    Args:
        comparisons: Added to.
        folder: Where `mtbench_scores.jsonl` may lie.
        settings: Resamples, seed and level.
        leaked: Task -> hashes of cases that are left out.
    """
    grades = [
        g for g in load_rows(folder / GRADES, Grade) if g.doc_hash not in leaked.get(g.task, set())
    ]
    comparisons.levels += grade_levels(grades, settings)
    comparisons.comparisons += compare_grades(grades, settings)


def add_ledger(comparisons: Comparisons, manifest: RunManifest, policy: Policy) -> None:
    """Say what could not be asked, and add the forgetting ledger.

    Args:
        comparisons: Added to; complete but for these.
        manifest: Of the run.
        policy: Of the run.
    """
    comparisons.unavailable = {
        use.task: use.unavailable for use in manifest.eval_sets if use.unavailable
    }
    comparisons.ledger = make_ledger(policy, comparisons)
