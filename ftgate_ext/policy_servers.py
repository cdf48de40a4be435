"""The part of gate.yaml on models: who answers, at what price, how fast they may be asked."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from ftgate_ext.schema import Price, Row

EMBEDDED = "embedded"
"""The endpoint of a model that the embedded engine serves."""

CHAT_BACKEND = "ftgate-chat"
"""The lm-eval model that asks chat endpoints; every other backend is lm-eval's own."""

SECRET_WORDS = {"key", "header", "headers", "password", "secret", "credentials"}
"""Words in the name of a model argument that holds a key: `api_key`, `header` ..."""

SECRET_TOKENS = {"token", "auth_token", "use_auth_token", "api_token", "access_token", "hf_token"}
"""Names with a token that is a key; `think_end_token` and the like are words of a model."""

SECRET_BEGINNINGS = ("sk-", "hf_", "bearer ")
"""How a key itself begins, under whatever name."""

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
    chat_template: bool = True
    """Put prompts into the tokenizer's chat template, for a backend of lm-eval; false for a base model without one."""
    resources: dict[str, float] = {}
    """What one shard of this model needs on a Ray cluster: num_cpus, num_gpus, or your own names."""

    @field_validator("model_args")
    @classmethod
    def _no_secrets(
        cls, value: dict[str, str | int | float | bool]
    ) -> dict[str, str | int | float | bool]:
        for name, argument in value.items():
            if not isinstance(argument, str):
                continue
            secret = set(name.lower().split("_")) & SECRET_WORDS or name.lower() in SECRET_TOKENS
            url = urlsplit(argument) if "://" in argument else None
            if secret or argument.lower().startswith(SECRET_BEGINNINGS):
                raise ValueError(
                    f"`{name}` would be written into the results; lm-eval's backends read their key from the environment (OPENAI_API_KEY, HF_TOKEN ...): leave it out"
                )
            if url and (url.username or url.password or url.query):
                raise ValueError(
                    f"`{name}` holds credentials or a query, which would be written into the results; leave them out"
                )
        return value

    @model_validator(mode="after")
    def _one_way_to_answer(self) -> ModelSpec:
        if self.backend == CHAT_BACKEND and self.model_args:
            raise ValueError(
                f"`model_args` are for lm-eval's own backends; {CHAT_BACKEND} takes `endpoint`, `model` and the fields of `run`"
            )
        if self.backend == CHAT_BACKEND and not self.chat_template:
            raise ValueError(
                f"`chat_template: false` is for lm-eval's own backends; behind {CHAT_BACKEND} the server has the template"
            )
        if self.backend != CHAT_BACKEND and self.endpoint is not None:
            raise ValueError(
                f"`endpoint` is for {CHAT_BACKEND}; a backend of lm-eval takes its base_url in `model_args`, or drop `backend: {self.backend}`"
            )
        return self

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
