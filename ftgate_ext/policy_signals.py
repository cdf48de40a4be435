"""The part of gate.yaml on what a run tells others: traces and alerts. Neither decides anything."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from ftgate_ext.schema import Row

AlertKind = Literal["regression", "judge_drift", "error_budget", "verdict"]
ALERT_KINDS: tuple[AlertKind, ...] = ("verdict", "regression", "judge_drift", "error_budget")


class TracesSpec(Row):
    """What traces may tell."""

    content: bool = False
    """Put prompts and answers into traces; those of safety sets stay out whatever is said here."""


class AlertsSpec(Row):
    """Whom to tell what at the end of `gate`."""

    webhook_env: str | None = None
    """Name of the environment variable with the webhook's URL, which is a secret."""
    about: list[AlertKind] = Field(default=list(ALERT_KINDS), min_length=1)
    """What is worth an alert."""

    @field_validator("webhook_env")
    @classmethod
    def _is_a_name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z_]\w*", value, re.ASCII):
            raise ValueError("expected the name of an environment variable, not the URL itself")
        return value
