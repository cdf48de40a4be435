"""What all types on disk share, and the roles of models."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

FORMAT_VERSION = 1

Role = Literal["candidate", "production", "base", "frontier"]
ROLES: tuple[Role, ...] = ("candidate", "production", "base", "frontier")


class Row(BaseModel):
    """What all types on disk share: closed, no NaN, attribute docstrings are the documentation."""

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        defer_build=True,
        protected_namespaces=(),
    )


def to_json(row: Row) -> dict[str, Any]:
    """Return `row` as plain JSON values."""
    return row.model_dump(mode="json")
