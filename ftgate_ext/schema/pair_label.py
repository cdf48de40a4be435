"""What humans said about judged pairs: a line of `pair_labels.jsonl`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftgate_ext.schema.row import Role, Row

HumanVerdict = Literal["candidate_better", "baseline_better", "tie", "both_bad"]
MAX_NOTE = 4000


class PairLabel(Row):
    """One labeller's verdict on one pair of answers, given without knowing whose they are."""

    task: str
    baseline: Role
    case_id: str
    doc_hash: str
    pair_hash: str = Field(min_length=1)
    """Of question and both answers: a label holds as long as they stay the same."""
    labeller: str = Field(min_length=1, max_length=60)
    verdict: HumanVerdict
    shown_first: Literal["candidate", "baseline"]
    """Whose answer the labeller saw first."""
    chance: float | None = Field(default=None, gt=0, le=1)
    """Chance of this pair to be drawn for labelling; None where all had the same."""
    stratum: str | None = None
    """The part of the pairs that it was drawn from, where some parts were drawn more often."""
    note: str | None = Field(default=None, max_length=MAX_NOTE)
    at: str
    """When, in UTC."""
