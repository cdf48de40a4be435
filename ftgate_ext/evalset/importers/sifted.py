"""What came of the rows that an importer read: how many are bad, which are left out, and who stops for it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ftgate_ext.evalset.importers.imported import BadRow
from ftgate_ext.evalset.rows import MAX_LISTED
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from ftgate_ext.evalset.importers.imported import LeftOut


@dataclass
class Sifted:
    """What was read, without the rows that were chosen of it."""

    available: int = 0
    """Rows that could have been chosen."""
    bad: int = 0
    problems: list[str] = field(default_factory=list)
    """The first bad rows, a line each."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Why sound rows make no case -> how many."""

    def pass_over(self, row: BadRow | LeftOut) -> None:
        """Count a row that is not imported."""
        if not isinstance(row, BadRow):
            self.left_out[row.reason] += 1
            return
        self.bad += 1
        if self.bad <= MAX_LISTED:
            self.problems.append(f"{row.where}: {row.problem}")

    def refuse_bad(self) -> None:
        """Stop where rows are bad.

        Raises:
            EvalSetError: They are; up to 20 are listed.
        """
        if self.bad:
            more = [f"... and {self.bad - MAX_LISTED} more"] if self.bad > MAX_LISTED else []
            rest = f"{self.bad} bad rows; mend them, or import the other {self.available} with --skip-bad."
            raise EvalSetError("\n".join([*self.problems, *more, rest]))

    def left_out_in_words(self) -> list[str]:
        """Why sound rows make no case, a line a reason."""
        return [f"left out: {n} x {reason}" for reason, n in sorted(self.left_out.items())]

    def bad_in_words(self) -> list[str]:
        """How many rows were skipped, in a line where there are any."""
        return [f"{self.bad} bad rows were skipped."] if self.bad else []
