"""What a model costs, as gate.yaml states it and run.json records it."""

from __future__ import annotations

from datetime import date

from pydantic import Field, field_validator, model_validator

from ftgate_ext.schema.row import Row

OLD_AFTER_DAYS = 365
"""Older list prices are warned about."""


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

    @field_validator("as_of")
    @classmethod
    def _is_date(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError:
            raise ValueError(f"{value!r} is no date; expected one like 2025-04-14") from None

    @model_validator(mode="after")
    def _one_way(self) -> Price:
        per_token = self.input_usd_per_mtok is not None or self.output_usd_per_mtok is not None
        # Figures beside `listed` come from the price list, which dates them.
        unfilled = self.listed is not None and self.as_of is None
        ways = [
            unfilled, per_token, self.usd_per_hour is not None, self.usd_per_gpu_hour is not None
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

    @property
    def is_per_token(self) -> bool:
        """Whether tokens are paid."""
        return self.input_usd_per_mtok is not None and self.output_usd_per_mtok is not None

    @property
    def is_known(self) -> bool:
        """Whether there is any figure to compute a cost from."""
        return self.is_per_token or self.hourly_usd is not None

    def token_usd(
        self, input_tokens: float, output_tokens: float, cached: float = 0
    ) -> float | None:
        """US dollars of so many tokens, `cached` of the input ones from the server's cache.

        Returns:
            None where tokens are not what is paid.
        """  # fmt: skip
        if self.input_usd_per_mtok is None or self.output_usd_per_mtok is None:
            return None
        full = self.input_usd_per_mtok
        less = full if self.cached_input_usd_per_mtok is None else self.cached_input_usd_per_mtok
        # A server that counts more cached tokens than it was sent is not believed.
        held = min(max(cached, 0), input_tokens)
        fresh = input_tokens - held
        return (fresh * full + held * less + output_tokens * self.output_usd_per_mtok) / 1e6

    def age_warning(self, day: date) -> str | None:
        """That the price is more than a year old on this day, in words; None where it is not."""
        if self.as_of is None:
            return None
        days = (day - date.fromisoformat(self.as_of)).days
        if days <= OLD_AFTER_DAYS:
            return None
        name = f"the listed price of {self.listed}" if self.listed else "the price"
        where = f" ({self.source})" if self.source else ""
        return f"{name} is of {self.as_of}, {days:,} days old{where}; look it up again and date it anew in a prices.yaml beside gate.yaml"
