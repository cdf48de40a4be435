"""`decision.json`: the verdict and all it rests on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ftgate_ext.schema.estimate import Estimate
from ftgate_ext.schema.row import FORMAT_VERSION, Role, Row

Outcome = Literal["PASS", "FAIL", "INCONCLUSIVE"]
VerdictName = Literal["GO", "NO-GO", "INCONCLUSIVE"]
EXIT_CODES: dict[VerdictName, int] = {"GO": 0, "NO-GO": 1, "INCONCLUSIVE": 3}


class RuleResult(Row):
    """What one rule of the policy asked, what was seen, and what follows."""

    name: str
    kind: str
    evidence: str
    outcome: Outcome
    asked: str
    seen: str
    sentence: str
    """The outcome in words for whoever signs."""
    next_step: str | None = None
    task: str | None = None
    metric: str | None = None
    against: Role | None = None
    estimate: Estimate | None = None
    lower_one_sided: float | None = None
    upper_one_sided: float | None = None
    threshold: float | None = None
    level: float | None = None
    """Confidence level of the one-sided limits."""
    point_outcome: Outcome | None = None
    """What the bare point estimate would say, whatever the evidence asked for."""
    chance_unchanged_passes: float | None = None
    """How often the point rule lets a model through that is no better and no worse (an absolute
    threshold: a model exactly at it)."""
    mde: float | None = None
    """Smallest true effect that this many cases show in 80 of 100 runs."""
    cases_needed: int | None = None
    """Total number of cases that would probably settle an INCONCLUSIVE rule."""
    approved: str | None = None
    """Who approved a failure, why and until when."""
    parts: list[RuleResult] = Field(default_factory=list)
    """The rules inside, for a rule with several routes or buckets."""


class Decision(Row):
    """`decision.json`: the verdict and all it rests on."""

    format_version: int = FORMAT_VERSION
    run_id: str
    policy_name: str
    policy_hash: str
    verdict: VerdictName
    exit_code: int
    point_verdict: VerdictName | None = None
    """What the same rules say when every one of them is read as a bare point rule."""
    rules: list[RuleResult]
    warnings: list[str] = Field(default_factory=list)


class AuditScenario(Row):
    """How often the policy reaches each verdict when the truth is known."""

    name: str
    planted: str
    """What is true in this scenario, in words."""
    simulations: int
    go: int
    no_go: int
    inconclusive: int
    failed_rules: dict[str, int] = Field(default_factory=dict)
    """Rule -> in how many simulations it said FAIL."""
    unsettled_rules: dict[str, int] = Field(default_factory=dict)
    """Rule -> in how many simulations it was INCONCLUSIVE."""


class Audit(Row):
    """`audit.json`: the gate's own error rates on a run's data."""

    format_version: int = FORMAT_VERSION
    run_id: str
    policy_hash: str
    seed: int
    resamples: int
    scenarios: list[AuditScenario]
    notes: list[str] = Field(default_factory=list)
    """What the simulation leaves as it is."""
