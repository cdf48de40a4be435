"""Whether the sets of a policy can decide it, and what that costs, before anything is spent."""

from __future__ import annotations

from ftgate_ext.plan.plan import make_plan

__all__ = ["make_plan"]
