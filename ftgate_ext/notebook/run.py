"""A run folder -> what the cells of its notebook show. Reads the run folder alone, wherever it lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ftgate_ext.findings.texts import load_texts
from ftgate_ext.notebook.show import Shown, show_case, show_changes, show_list, show_summary
from ftgate_ext.runs import MANIFEST, load_manifest, load_row
from ftgate_ext.schema import Decision, Findings, RunError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.findings.texts import CaseTexts

TOP = 30


@dataclass(frozen=True)
class RunView:
    """One run, as its notebook shows it."""

    folder: Path
    findings: Findings
    cases: list[CaseTexts]
    """The failures most worth looking at, the worst first."""

    def summary(self) -> Shown:
        """Which models were asked, and what was decided."""
        path = self.folder / "decision.json"
        decision = load_row(path, Decision, "decide") if path.is_file() else None
        return show_summary(load_manifest(self.folder), decision)

    def changes(self) -> Shown:
        """What became right and what became wrong."""
        return show_changes(self.findings)

    def failures(self) -> Shown:
        """The list of the failures, numbered from 1."""
        return show_list(self.cases)

    def show(self, number: int) -> Shown:
        """One failure: request, expected answer, every model's answer, the judge's reasoning.

        Args:
            number: From 1, as in the list.

        Raises:
            RunError: There is no such failure.
        """
        if not 1 <= number <= len(self.cases):
            raise RunError(
                f"failure {number}: there are {len(self.cases)}; expected a number from 1."
            )
        return show_case(number, self.cases[number - 1])


def open_run(folder: str | Path = ".", texts: Sequence[CaseTexts] | None = None) -> RunView:
    """Open a run folder.

    Args:
        folder: Where findings.json and the models' folders lie.
        texts: Texts of the top failures, where they are at hand; read from the folder otherwise.

    Raises:
        RunError: It is no compared run, or a file of it is broken.
    """
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise RunError(f"{folder}: no run folder (no {MANIFEST}); the notebook lies in one and runs there.")  # fmt: skip
    findings = load_row(folder / "findings.json", Findings, "compare")
    cases = list(texts) if texts is not None else load_texts(folder, findings.top)
    return RunView(folder, findings, cases[:TOP])
