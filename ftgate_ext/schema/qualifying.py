"""What a judge is examined with, and what it showed: parts of `judge.json`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ftgate_ext.schema.estimate import Estimate
from ftgate_ext.schema.row import Row

KnownLabel = Literal["A_better", "B_better", "tie", "both_bad"]

BiasName = Literal[
    "first_position", "longer_at_equal_quality", "longer_gains", "formatted", "own_family"
]


class KnownPair(Row):
    """Two answers of which the better one is known: one line of a file of pairs."""

    id: str = Field(min_length=1)
    question: str
    answer_a: str
    answer_b: str
    label: KnownLabel
    """What a careful human says, or what is so by construction."""
    group: str | None = None
    """Pairs of one question belong together: they are not independent."""
    kind: str = ""
    """What is wrong with the worse answer, or how two equal ones differ."""
    grade_a: int | None = Field(default=None, ge=1, le=5)
    grade_b: int | None = Field(default=None, ge=1, le=5)
    author_a: str | None = None
    """Family of the model that wrote the answer, where a model did."""
    author_b: str | None = None

    @model_validator(mode="after")
    def _answers_differ(self) -> KnownPair:
        if self.answer_a.strip() == self.answer_b.strip():
            raise ValueError("both answers are the same text; expected two different ones")
        return self


class BiasFigure(Row):
    """How far something that should not count moved the verdicts."""

    name: BiasName
    estimate: Estimate | None
    """A share of 0.5 means no preference; for `longer_gains` a difference, 0 meaning none."""
    p: float | None = None
    """Of no preference, exact."""


class KindAgreement(Row):
    """Agreement with the labels on one kind of pairs."""

    kind: str
    n: int
    n_right: int


class KnownPairFigures(Row):
    """The judge on pairs whose better answer is known. A pair's verdict is that of both orders."""

    source: str
    """Name of the file."""
    sha256: str
    n_pairs: int
    n_groups: int
    n_unparsed: int = 0
    n_failed: int = 0
    agreement: Estimate | None = None
    """Share of pairs with the label's verdict; inconsistent orders make a tie."""
    agreement_as_given: Estimate | None = None
    """With the answers in the order of the file."""
    agreement_exchanged: Estimate | None = None
    right_in_both: Estimate | None = None
    kappa: Estimate | None = None
    """Cohen's kappa of verdicts and labels."""
    kappa_lower: float | None = None
    """Its one-sided 95 % limit, which the policy's threshold is held against."""
    kappa_as_given: Estimate | None = None
    kappa_exchanged: Estimate | None = None
    kappa_between_orders: Estimate | None = None
    consistency: Estimate | None = None
    """Share of pairs with one and the same verdict in both orders."""
    grade_kappa: Estimate | None = None
    """Quadratically weighted kappa of correctness scores and the labels' grades."""
    score_kappa: Estimate | None = None
    """The same of the scores of one answer in both orders."""
    biases: list[BiasFigure] = Field(default_factory=list)
    by_kind: list[KindAgreement] = Field(default_factory=list)


class CanaryResult(Row):
    """A trap against a real good answer, in both orders."""

    kind: str
    case_id: str
    outcomes: list[Literal["canary", "good", "tie", "both_bad", "none"]]
    """Who was preferred with the canary first, and with the good answer first."""
    won: bool


class AnchorCheck(Row):
    """Pairs of the qualification judged again in this run."""

    n_looks: int
    n_changed: int
    """Looks whose verdict is another than at the qualification."""
    n_changed_before: int
    """Of the same looks, those that changed when they were asked twice at the qualification."""
    p: float
    """Exact, one-sided: as many changes or more if the judge were still the same."""
    drifted: bool


class RubricNoise(Row):
    """How far the judge agrees with itself on answers that it scored twice."""

    n_answers: int
    noise_sd: float | None
    """Standard deviation of one answer's score around its own mean, in steps of the 1 to 5 scale."""
    icc: float | None
    """Share of the spread of scores that is between answers."""
    kappa: Estimate | None
    """Quadratically weighted kappa of both scorings, all criteria together."""
