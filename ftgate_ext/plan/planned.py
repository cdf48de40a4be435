"""What `ftgate plan` says: every type of its JSON. Knows no policy, no files, no statistics."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftgate_ext.schema import Role, Row


class PlannedSet(Row):
    """One eval set at the size that the gate will see."""

    task: str
    n: int
    """Cases; repeats of a case count once."""
    is_counted: bool
    """Counted from the rows; else taken from `cases` of the policy."""
    repeats: int
    n_clusters: int | None = None
    """Groups of cases that belong together; None where every case stands alone or none was counted."""


class PlannedRule(Row):
    """What one rule can see at the size of its set, before anything is asked."""

    name: str
    kind: str
    evidence: str
    task: str | None = None
    metric: str | None = None
    any_of: str | None = None
    """The `any_route` that it stands in."""
    route: str | None = None
    """The route in there."""
    n: int | None = None
    """Cases, pairs or requests that it will look at; None where nobody knows."""
    n_of: str = "cases"
    assumption: str | None = None
    """What the figures rest on, and where it comes from."""
    alpha: float | None = None
    """Test level, after corrections: two-sided for `significant`, else one-sided."""
    mde: float | None = None
    """Smallest true effect seen in 80 of 100 runs, as a share."""
    asks: float | None = None
    """The effect that the rule is about, as a share: what `mde` should be compared with."""
    chance_equal: float | None = None
    """Chance to PASS where nothing differs; a floor: at the production model's own level."""
    chance_at_limit: float | None = None
    """Chance to PASS at a true effect equal to the rule's own threshold."""
    chance_worse: float | None = None
    """Chance to PASS for a model twice the margin worse (2 pt worse where the margin is 0)."""
    chance_good: float | None = None
    """Chance to PASS for a clearly good candidate."""
    n_enough: int | None = None
    """Size at which a good candidate passes 80 times in 100."""
    enough_for: str | None = None
    """What `n_enough` is enough for, in words."""
    provable_margin: float | None = None
    """The allowance for a loss that an unchanged model is proven to keep, 80 times in 100."""
    note: str | None = None
    """What there is to know besides, or why there are no chances."""
    warning: str | None = None
    refusal: str | None = None
    """Why the rule cannot pass, or cannot fail, at this size."""
    is_allowed: bool = False
    """Whether a refusal was overridden by name."""


class MdeRow(Row):
    """The smallest effect that so many cases see, by what is measured."""

    n: int
    task: str | None = None
    """The eval set that has this size; None for a size to compare with."""
    mde: dict[str, float | None]
    """What is measured, with its assumption -> smallest true effect as a share."""


class PlannedPart(Row):
    """One thing that the judge is asked about, and what that will take at most."""

    what: str
    requests: int
    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    output_tokens: int | None = None
    usd: float | None = None
    """None where there is no price, never zero."""
    usd_by_batch: float | None = None
    """The same through the API's batch price; None for what is never asked in a batch."""
    hours: float | None = None
    is_measured: bool = False
    note: str | None = None
    """What the number of requests rests on."""


class PlannedCost(Row):
    """What asking one model, or the judge, will take."""

    role: Role | Literal["judge"]
    model: str
    left_out: str | None = None
    """Why it takes no part."""
    requests: int = 0
    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    """Of the input tokens, as many as the server had in its cache in the earlier run."""
    output_tokens: int | None = None
    usd: float | None = None
    """None where there is no price, never zero."""
    usd_by_batch: float | None = None
    """The same through the API's batch price; only where tokens are paid."""
    hours: float | None = None
    concurrency: int | None = None
    """Requests in flight that `hours` rest on."""
    is_measured: bool = False
    """Whether tokens and hours are an earlier run's per request; else guesses."""
    parts: list[PlannedPart] = Field(default_factory=list)
    """Of the judge: what it is asked about. They add up to the figures here."""
    price: str = "no price"
    old_price: str | None = None
    """That the price is more than a year old."""


class Plan(Row):
    """Whether the sets of a policy can decide it, and what that will cost."""

    policy_name: str
    policy_hash: str
    from_run: str | None = None
    sets: list[PlannedSet]
    rules: list[PlannedRule]
    mde_table: list[MdeRow]
    costs: list[PlannedCost]
    usd_known: float | None = None
    """Sum of what has a price."""
    chance_all_equal: float | None = None
    """Chance that a model without any true difference passes every rule."""
    chance_all_good: float | None = None
    """Chance that a clearly good candidate passes every rule."""
    left_out_of_product: list[str] = Field(default_factory=list)
    """Rules without a chance; the product takes them to hold."""
    weakest: str | None = None
    """The rule that a good candidate passes least often."""
    needed_each: float | None = None
    """Power that every rule needs for a good candidate to pass all of them in 80 of 100 runs."""
    corrections: list[str] = Field(default_factory=list)
    """How looks and a selection among checkpoints change the test levels."""
    notes: list[str] = Field(default_factory=list)

    @property
    def refused(self) -> list[PlannedRule]:
        """The rules that cannot pass or cannot fail, and that nobody allowed."""
        return [r for r in self.rules if r.refusal and not r.is_allowed]
