"""What a model costs, as gate.yaml states it and run.json records it."""

from __future__ import annotations

from pydantic import Field, model_validator

from ftgate_ext.schema.row import Row


class Price(Row):
    """What a model costs: per token at an API, or per hour on your own machine."""

    listed: str | None = None
    """Name of a model in the price list (configs/prices.yaml), instead of the figures."""
    as_of: str | None = None
    """Date of the price, ISO 8601: filled in from the price list."""
    source: str | None = None
    """Where the price is published: filled in from the price list."""
    input_usd_per_mtok: float | None = Field(default=None, ge=0)
    """US dollars per million input tokens."""
    cached_input_usd_per_mtok: float | None = Field(default=None, ge=0)
    """US dollars per million input tokens that the server had in its cache; the full price when left out."""
    output_usd_per_mtok: float | None = Field(default=None, ge=0)
    """US dollars per million output tokens."""
    batch_discount: float = Field(default=0.5, ge=0, le=1)
    """Share that the batch API takes off the price."""
    usd_per_hour: float | None = Field(default=None, ge=0)
    """US dollars per hour of the machine; shared among the requests in flight."""
    usd_per_gpu_hour: float | None = Field(default=None, ge=0)
    """US dollars per hour of one GPU, with `gpus`; instead of usd_per_hour."""
    gpus: int = Field(default=1, ge=1)
    utilisation: float = Field(default=1, gt=0, le=1)
    """Share of the paid hours in which the machine has requests to serve."""
    requests_per_hour: float | None = Field(default=None, gt=0)
    """Declared throughput of the machine; measured in the run when left out."""

    @model_validator(mode="after")
    def _one_way(self) -> Price:
        per_token = self.input_usd_per_mtok is not None or self.output_usd_per_mtok is not None
        ways = [
            self.listed is not None, per_token, self.usd_per_hour is not None, self.usd_per_gpu_hour is not None
        ]  # fmt: skip
        if sum(ways) > 1:
            raise ValueError(
                "give one of: listed, prices per token, usd_per_hour, usd_per_gpu_hour; not several"
            )
        if per_token and (self.input_usd_per_mtok is None or self.output_usd_per_mtok is None):
            raise ValueError("input_usd_per_mtok and output_usd_per_mtok go together")
        return self

    @property
    def hourly_usd(self) -> float | None:
        """US dollars per hour of the whole machine; None where tokens are paid."""
        if self.usd_per_gpu_hour is not None:
            return self.usd_per_gpu_hour * self.gpus
        return self.usd_per_hour
