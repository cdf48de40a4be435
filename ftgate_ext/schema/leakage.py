"""`leakage.json`: which eval cases stand in the training data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftgate_ext.schema.row import FORMAT_VERSION, Row

LeakWay = Literal["exact", "normalised", "ngram", "near", "reworded"]


class LeakPlace(Row):
    """One training row that holds a case."""

    file: str
    line: int
    way: LeakWay
    score: float
    """1 for exact and normalised, the share of the case's n-grams, the Jaccard similarity, or the share
    of its tokens in the same order."""


class LeakedCase(Row):
    """One eval case that stands in the training data."""

    set: str
    """The task, or the file of the set."""
    id: str
    doc_hash: str | None = None
    """lm-eval's hash of the case, where the set was built as a task."""
    way: LeakWay
    """The strongest way in which a training row holds it; exact is the strongest, reworded the weakest."""
    score: float
    rows: int
    """Training rows that hold it."""
    places: list[LeakPlace]
    """Up to five of them, strongest first."""


class SetLeaks(Row):
    """How much of one eval set leaked."""

    set: str
    cases: int
    leaked: int
    ways: dict[LeakWay, int]
    """Strongest way -> leaked cases."""
    whole_only: int
    """Cases with too few words of their own for n-grams: only the whole of them can be found."""


class TrainingFile(Row):
    """A file of training rows."""

    file: str
    sha256: str
    rows: int


class Leakage(Row):
    """`leakage.json`: which eval cases stand in the training data, and in which way."""

    format_version: int = FORMAT_VERSION
    training: list[TrainingFile]
    containment: float
    """Share of a case's word 8-grams in one training row from which it counts as leaked."""
    near: float
    """Jaccard similarity from which it counts as leaked."""
    reworded: float
    """Share of its tokens in the same order from which it counts as leaked."""
    boilerplate_grams: int
    """8-grams that did not count because too many training rows hold them."""
    sampled_rows: int
    """Training rows in which those were counted."""
    sets: list[SetLeaks]
    cases: list[LeakedCase] = Field(default_factory=list)

    def case_ids(self, task: str) -> set[str]:
        """Ids of the leaked cases of one task."""
        return {case.id for case in self.cases if case.set == task}

    def doc_hashes(self, task: str) -> set[str]:
        """lm-eval's hashes of the leaked cases of one task."""
        return {case.doc_hash for case in self.cases if case.set == task and case.doc_hash}
