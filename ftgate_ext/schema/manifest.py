"""`run.json`: what was asked of whom, with what."""

from __future__ import annotations

from pydantic import Field

from ftgate_ext.schema.price import Price
from ftgate_ext.schema.row import FORMAT_VERSION, Role, Row


class ServedModel(Row):
    """What the server said about itself when the run began."""

    endpoint: str
    model: str
    served_models: list[str]
    system_fingerprint: str | None = None


class EvalSetUse(Row):
    """Which data a task used."""

    task: str
    file: str
    sha256: str
    n_rows: int
    limit: int | None = None
    """Only the first so many rows were asked."""
    repeats: int = 1
    """How often each row was asked."""
    group: str | None = None
    """The group of tasks that the policy named, where it was one."""
    config_source: str

    @property
    def n_requests(self) -> int:
        """Requests to one model."""
        return (self.limit or self.n_rows) * self.repeats


class ModelCard(Row):
    """One model of the comparison as the policy describes it."""

    role: Role
    name: str
    model: str
    endpoint: str
    hosting: str
    price: Price = Price()
    absent: str | None = None
    """Why the model takes no part, for an optional one."""
    served: ServedModel | None = None


class RunManifest(Row):
    """`run.json`: what was asked of whom, with what."""

    format_version: int = FORMAT_VERSION
    run_id: str
    policy_name: str
    policy_hash: str
    generation_hash: str
    """Hash of the part of the policy that decides what is generated."""
    created_at: str
    finished_at: str | None = None
    """None while requests are unanswered: the same command asks them again."""
    models: list[ModelCard]
    eval_sets: list[EvalSetUse] = Field(default_factory=list)
    seed: int
    concurrency: int
    warnings: list[str] = Field(default_factory=list)
    """What was odd about the run, one sentence each: a server that changed its identity, say."""
    versions: dict[str, str]
