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
    warnings: list[str] = []
    """Which of several servers did not answer, one sentence each."""


class EvalSetUse(Row):
    """Which data a task used."""

    task: str
    file: str
    sha256: str
    n_rows: int
    limit: int | None = None
    """Only so many rows were asked: the first ones, or a draw."""
    drawn: bool = False
    """The rows asked are a draw by the run's seed, not the first ones."""
    fewshot: int | None = None
    """Worked examples before each question, where the policy says."""
    data: str | None = None
    """Folder with local copies of benchmarks, where the policy names one."""
    unavailable: str | None = None
    """Why nothing of it could be asked; its rules are INCONCLUSIVE then."""
    repeats: int = 1
    """How often each row was asked."""
    turns: int = 1
    """Messages of the user in each conversation; every one is a request of its own."""
    group: str | None = None
    """The group of tasks that the policy named, where it was one."""
    config_source: str

    @property
    def n_requests(self) -> int:
        """Requests to one model."""
        if self.unavailable:
            return 0
        return (self.limit or self.n_rows) * self.repeats


class WeightFile(Row):
    """One file of a checkpoint."""

    name: str
    """Path within the checkpoint's folder."""
    size_bytes: int
    sha256: str
    """Of the whole file, or of its first and last mebibyte where `whole` is false."""
    whole: bool


class Weights(Row):
    """Which weights a backend loaded from a local path: enough to notice that they were swapped."""

    path: str
    files: list[WeightFile]
    fingerprint: str
    """sha256 over names, sizes and sums of all files. Where a file is not `whole`, a change in its middle that keeps its size goes unseen."""


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
    backend: str = "ftgate-chat"
    """The lm-eval model that answers."""
    model_args: dict[str, str | int | float | bool] = {}
    """What an lm-eval backend of its own was called with."""
    weights: list[Weights] = Field(default_factory=list)
    """Local checkpoints and adapters that the backend loads."""


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
