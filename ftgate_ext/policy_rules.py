"""The kinds of rules that a policy may hold. Knows no evidence, no models and no files."""

from __future__ import annotations

from typing import Annotated, Literal, Union

from pydantic import Field, model_validator

from ftgate_ext.schema import Role, Row

EvidenceLevel = Literal["point", "significant", "proven", "screen"]
Quantity = Literal["cost_usd_per_request", "latency_p50_s", "latency_p95_s", "latency_p99_s"]


class _Rule(Row):
    name: str
    """Unique name; approvals refer to it."""
    evidence: EvidenceLevel = "proven"
    """point: the figure itself; significant: and a test rejects chance; proven: its 95 % limit;
    screen: fails only where harm is shown."""


class _OnMetric(_Rule):
    task: str
    metric: str


class Superiority(_OnMetric):
    """The candidate is better than another model by at least a margin."""

    kind: Literal["superiority"]
    against: Role = "production"
    margin_pt: float = Field(default=0, ge=0)
    """Percentage points by which the candidate must be ahead."""
    evidence: EvidenceLevel = "significant"


class NonInferiority(_OnMetric):
    """The candidate is not worse than another model by more than a margin."""

    kind: Literal["non_inferiority"]
    against: Role = "production"
    margin_pt: float = Field(ge=0)
    """Percentage points that the candidate may lose; 0 only with evidence `point`."""

    @model_validator(mode="after")
    def _provable(self) -> NonInferiority:
        if self.margin_pt == 0 and self.evidence != "point":
            raise ValueError(
                "margin_pt 0 can be had as evidence `point` only: no number of cases proves an unchanged model exactly as good; give a margin"
            )
        return self


class Benchmark(Row):
    """One member of a pool."""

    task: str
    metric: str


class PooledNonInferiority(_Rule):
    """The mean over several benchmarks is not worse than another model's by more than a margin."""

    kind: Literal["pooled_non_inferiority"]
    benchmarks: list[Benchmark] = Field(min_length=2)
    """Each weighs the same, whatever its size."""
    against: Role = "production"
    margin_pt: float = Field(gt=0)


class PerBucket(_OnMetric):
    """In no bucket of an eval set the candidate is worse than another model by more than a margin."""

    kind: Literal["per_bucket"]
    by: str
    """The field of the row whose values make the buckets."""
    against: Role = "production"
    margin_pt: float = Field(ge=0)
    min_cases: int = Field(default=30, ge=2)
    """Smaller buckets are counted, not judged."""
    evidence: EvidenceLevel = "screen"

    @model_validator(mode="after")
    def _provable(self) -> PerBucket:
        if self.margin_pt == 0 and self.evidence == "proven":
            raise ValueError(
                "margin_pt 0 cannot be proven: no number of cases proves an unchanged model exactly as good; give a margin"
            )
        return self


class Floor(_OnMetric):
    """A metric of the candidate itself reaches a threshold."""

    kind: Literal["floor"]
    threshold: float = Field(ge=0, le=1)


class Ceiling(_OnMetric):
    """A metric of the candidate itself does not exceed a threshold."""

    kind: Literal["ceiling"]
    threshold: float = Field(ge=0, le=1)


class NoRegression(_OnMetric):
    """No case that the other model gets right goes wrong, or somebody approved it by name."""

    kind: Literal["no_regression"]
    against: Role = "production"
    evidence: Literal["point"] = "point"
    """Each regressed case counts; `repeats` of the eval set tell flaky cases from broken ones."""


class WinRate(_Rule):
    """A fit judge prefers the candidate's answers more often than chance."""

    kind: Literal["win_rate"]
    against: Role = "production"
    threshold: float = Field(default=0.5, ge=0, le=1)
    evidence: EvidenceLevel = "significant"


class Budget(_Rule):
    """One request to the candidate costs or takes at most so much."""

    kind: Literal["budget"]
    quantity: Quantity
    maximum: float = Field(gt=0)
    evidence: EvidenceLevel = "point"


class Ratio(_Rule):
    """The candidate's metric, cost or latency as a multiple of another model's."""

    kind: Literal["ratio"]
    against: Role = "frontier"
    task: str | None = None
    metric: str | None = None
    minimum: float | None = Field(default=None, gt=0)
    """Of a metric: candidate / other is at least this."""
    quantity: Quantity | None = None
    maximum: float | None = Field(default=None, gt=0)
    """Of a quantity: candidate / other is at most this; 0.2 is five times cheaper."""

    @model_validator(mode="after")
    def _one_way(self) -> Ratio:
        of_metric = (self.task, self.metric, self.minimum)
        of_quantity = (self.quantity, self.maximum)
        whole = None not in of_metric and not any(of_quantity)
        if not whole and (None in of_quantity or any(of_metric)):
            raise ValueError(
                "give task, metric and minimum (a quality ratio), or quantity and maximum (a cost or latency ratio)"
            )
        return self


PlainRule = Annotated[
    Union[  # noqa: UP007 - a runtime alias on Python 3.10
        Superiority, NonInferiority, PooledNonInferiority, PerBucket, Floor, Ceiling, NoRegression,
        WinRate, Budget, Ratio,
    ],
    Field(discriminator="kind"),
]  # fmt: skip


class Route(Row):
    """Rules that must all hold for this way to pass."""

    name: str
    rules: list[PlainRule] = Field(min_length=1)


class AnyRoute(Row):
    """At least one of several ways to pass: all rules of that way hold."""

    kind: Literal["any_route"]
    name: str
    """Unique name; approvals refer to it."""
    routes: list[Route] = Field(min_length=2)


Rule = Annotated[
    Union[  # noqa: UP007 - a runtime alias on Python 3.10
        Superiority, NonInferiority, PooledNonInferiority, PerBucket, Floor, Ceiling, NoRegression,
        WinRate, Budget, Ratio, AnyRoute,
    ],
    Field(discriminator="kind"),
]  # fmt: skip


def plain_rules(rules: list[Rule]) -> list[PlainRule]:
    """The rules with those inside routes in their place."""
    plain: list[PlainRule] = []
    for rule in rules:
        if isinstance(rule, AnyRoute):
            plain += [inner for route in rule.routes for inner in route.rules]
        else:
            plain.append(rule)
    return plain


def metrics_of(rule: PlainRule) -> list[Benchmark]:
    """The tasks and metrics that a rule looks at; none for judged and measured quantities."""
    if isinstance(rule, PooledNonInferiority):
        return rule.benchmarks
    if isinstance(rule, (WinRate, Budget)):
        return []
    if rule.task is None or rule.metric is None:
        return []
    return [Benchmark(task=rule.task, metric=rule.metric)]
