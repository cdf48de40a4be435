"""`judge_stopping.jsonl`: why judging ended where it did."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftgate_ext.schema.row import Role, Row

StoppingMethod = Literal["obrien_fleming", "e_process"]


class StoppingLook(Row):
    """What was seen at one look."""

    number: int
    n_judged: int
    """Pairs so far."""
    n_unparsed: int = 0
    win_rate: float | None = None
    """None where no pair has a verdict yet."""
    lower: float | None = None
    upper: float | None = None
    """At 95 %, all looks together."""


class StoppingRecord(Row):
    """How far the pairs against one model were judged. What was not judged is missing at random."""

    task: str
    baseline: Role
    method: StoppingMethod
    n_planned: int
    """Pairs there are."""
    n_judged: int
    looks_planned: int | None = None
    """None for a method that may look at any time."""
    thresholds: list[float]
    """The win rates that limits must leave out for the rules to be decided."""
    decided: bool
    """Whether they did; else all pairs were judged."""
    looks: list[StoppingLook] = Field(default_factory=list)

    @property
    def look(self) -> int:
        """The look at which judging ended."""
        return self.looks[-1].number if self.looks else 0

    @property
    def words(self) -> str:
        """One sentence for the report."""
        end = "decided" if self.decided else "not decided by then"
        taken = f"look {self.look}" + (f" of {self.looks_planned}" if self.looks_planned else "")
        method = "O'Brien-Fleming" if self.method == "obrien_fleming" else "betting"
        told = f"{self.n_judged} of {self.n_planned} pairs judged in random order, {end} at {taken} ({method}); limits hold for all looks together"
        left = self.n_planned - self.n_judged
        return told + (
            f"; the other {left} are left out by chance, not by choice." if left else "."
        )
