"""The part of gate.yaml on the judge: whom it judges, and what it must show before it may vote."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ftgate_ext.policy_servers import ServerSpec
from ftgate_ext.schema import Role, Row


class RubricSpec(Row):
    """Scores from 1 to 5 for single answers."""

    task: str
    """The eval set whose answers are scored."""
    repeats: int = Field(default=1, ge=1, le=20)
    """How often every answer is scored."""
    noise_share: float = Field(default=0.2, ge=0, le=1)
    """Share of the answers that are scored twice, to tell the judge's noise from a difference."""
    limit: int | None = Field(default=None, ge=1)


class JudgeSpec(ServerSpec):
    """The judge of pairwise comparisons, and what it must show before it may vote."""

    task: str
    """The eval set whose answers are compared in pairs."""
    against: list[Role] = ["production"]
    """Whose answers the candidate's are compared with."""
    limit: int | None = Field(default=None, ge=1)
    max_tokens: int = Field(default=1024, ge=16)
    max_reasoning_chars: int | None = Field(default=None, ge=1)
    """Bound on the reasoning, for engines whose schemas know maxLength (OpenAI's do not)."""
    response_format: Literal["json_schema", "json_object", "text"] = "json_schema"
    """What the endpoint can enforce: the verdict's schema, any JSON, or nothing."""
    replay: str | None = None
    """JSONL of verdicts that this judge gave earlier, relative to gate.yaml: nobody is asked."""
    rubric: RubricSpec | None = None
    min_consistency: float = Field(default=0.65, ge=0, le=1)
    """Share of pairs judged alike in both orders that its 95 % lower limit must reach."""
    max_unparsed_share: float = Field(default=0.05, ge=0, le=1)
    """Error budget: above this share of unreadable or failed verdicts the judge may not vote."""
    qualification: str | None = None
    """JSONL of pairs with known better answers, relative to gate.yaml; the shipped pairs when left out."""
    qualification_limit: int | None = Field(default=None, ge=1)
    """Ask only the first so many of these pairs, and as many traps."""
    min_kappa: float = Field(default=0.4, ge=-1, le=1)
    """Cohen's kappa with the labels that its 95 % lower limit must reach on the qualification pairs."""
    labels: str | None = None
    """JSONL of human labels on a random part of the judged pairs, relative to gate.yaml: corrects the win rate."""
    allow_same_family: bool = False
    """Let the judge vote on models of its own family."""
    stopping: Literal["none", "obrien_fleming", "e_process"] = "none"
    """Stop judging as soon as the win rate is decided: by planned looks, or by a bet that may be checked at any time."""
    looks: int = Field(default=5, ge=2, le=20)
    """How many looks `obrien_fleming` takes."""
    anchors: int = Field(default=0, ge=0)
    """Pairs of the qualification set that are judged again in every run, to see a judge that drifts."""

    @model_validator(mode="after")
    def _somewhere(self) -> JudgeSpec:
        if self.endpoint is None and self.replay is None:
            raise ValueError("`endpoint` is missing; expected a base URL or `embedded`")
        if self.replay is not None and self.rubric is not None:
            raise ValueError("`replay` holds verdicts on pairs; a rubric needs an endpoint")
        return self

    def relatives(self, families: dict[Role, str | None]) -> list[Role]:
        """The models among those judged that are of the judge's family, as far as it is known."""
        mine = _family(self.family)
        judged: list[Role] = ["candidate", *self.against]
        return [role for role in judged if mine and _family(families.get(role)) == mine]


def _family(name: str | None) -> str:
    return (name or "").strip().casefold()
