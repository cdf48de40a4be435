"""The part of gate.yaml on models: who answers, at what price, how fast they may be asked."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from ftgate_ext.schema import Price, Row

EMBEDDED = "embedded"
"""The endpoint of a model that the embedded engine serves."""

CHAT_BACKEND = "ftgate-chat"
"""The lm-eval model that asks chat endpoints; every other backend is lm-eval's own."""

SAY_NOTHING_OF_ANSWERS = (
    "price", "hosting", "name", "optional", "family", "resources", "requests_per_minute",
    "tokens_per_minute",
)  # fmt: skip
"""Fields of a model that do not change what it answers: they may change within a run."""


class ServerSpec(Row):
    """A model behind an OpenAI-compatible endpoint, or several replicas of one model."""

    endpoint: str | list[str] | None = None
    """Base URL (ending in /v1), a list of base URLs that serve the same model, or `embedded` for the demo engine."""
    model: str
    """The name to ask the endpoint for."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key. Keys never stand in this file."""
    price: Price = Price()
    requests_per_minute: float | None = Field(default=None, gt=0)
    """Limit of the endpoint; asked no faster than that."""
    tokens_per_minute: float | None = Field(default=None, gt=0)
    """Limit of the endpoint on input and output tokens together."""
    family: str | None = None
    """Whose model it is descended from (gpt, claude, llama, phi ...): a judge prefers its own kind."""

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, value: str | list[str] | None) -> str | list[str] | None:
        if value is None or value == EMBEDDED:
            return value
        if isinstance(value, str):
            return _base_url(value)
        urls = [_base_url(url) for url in value]
        if not urls or len(set(urls)) < len(urls):
            raise ValueError("expected a list of different base URLs")
        return urls

    @model_validator(mode="after")
    def _somewhere(self) -> ServerSpec:
        if self.endpoint is None and getattr(self, "backend", CHAT_BACKEND) == CHAT_BACKEND:
            raise ValueError("`endpoint` is missing; expected a base URL or `embedded`")
        return self

    @property
    def endpoints(self) -> list[str]:
        """All base URLs; none for a model that lm-eval loads itself."""
        if self.endpoint is None:
            return []
        return [self.endpoint] if isinstance(self.endpoint, str) else self.endpoint


def _base_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ValueError(f"{value!r} is no http(s) URL; expected http://host:port/v1 or `embedded`")
    if parts.username or parts.password or parts.query:
        raise ValueError("credentials and queries do not belong into a URL; use api_key_env")
    return value.rstrip("/")


class ModelSpec(ServerSpec):
    """One model of the comparison."""

    name: str | None = None
    """What reports call it; the model's name when left out."""
    hosting: str = "not stated"
    """Where it runs, in words for the report."""
    optional: bool = False
    """Leave the model out, and say so, when its key is not set; else that is an error."""
    backend: str = CHAT_BACKEND
    """The lm-eval model that answers: ftgate-chat asks `endpoint`; hf, vllm, local-completions ... take `model_args`."""
    model_args: dict[str, str | int | float | bool] = {}
    """What lm-eval's --model_args says, for a backend of its own."""
    resources: dict[str, float] = {}
    """What one shard of this model needs on a Ray cluster: num_cpus, num_gpus, or your own names."""

    @property
    def address(self) -> str:
        """Where it is asked, in words."""
        return ", ".join(self.endpoints) or f"lm-eval backend {self.backend}"


class RunSpec(Row):
    """How to generate."""

    output: str = "runs"
    """Folder of run folders, relative to the working directory."""
    concurrency: int = Field(default=16, ge=1, le=1024)
    """Most requests in flight to one model."""
    adaptive: bool = True
    """Go below `concurrency` while a server says that it is overloaded or slows down, and back up."""
    timeout_s: float = Field(default=300, gt=0)
    """Seconds that one attempt may take."""
    max_attempts: int = Field(default=5, ge=1)
    request_budget_s: float = Field(default=1800, gt=0)
    """Seconds that all attempts of one request may take, waiting included."""
    budget_s: float | None = Field(default=None, gt=0)
    """Seconds that asking one model may take; then the run stops, and the same command goes on."""
    budget_usd: float | None = Field(default=None, gt=0)
    """US dollars that the run may spend; then it stops, and nothing more is asked."""
    stop_after: int = Field(default=20, ge=1)
    """Failed requests in a row after which an endpoint counts as gone and is asked no more."""
    stream: bool = False
    """Stream answers, to measure the time to the first token."""
    max_failed_share: float = Field(default=0.02, ge=0, le=1)
    """Error budget: above this share of unanswered requests a rule is INCONCLUSIVE."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Cap on the new tokens of every request; each task's own limit when left out."""
    seed: int = 1234
    resamples: int = Field(default=10_000, ge=1000)
    latency_cases: int = Field(default=50, ge=1)
    """Cases of each eval set that `ftgate run --latency` asks every model, one by one in turn."""
