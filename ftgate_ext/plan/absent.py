"""Which models take no part in a gate, for want of a key. Asks the environment, and nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.inference.endpoints import endpoint_of
from ftgate_ext.policy_servers import EMBEDDED
from ftgate_ext.schema import RunError

if TYPE_CHECKING:
    from ftgate_ext.policy import Policy
    from ftgate_ext.policy_servers import ServerSpec
    from ftgate_ext.schema import Role


def why_left_out(policy: Policy, role: Role) -> str | None:
    """Why an optional model takes no part; None for one that does."""
    spec = policy.models.get(role)
    return missing_key(policy, spec) if spec is not None and spec.optional else None


def missing_key(policy: Policy, spec: ServerSpec) -> str | None:
    """Which key is not set, in the words of the run; None where nothing is missing."""
    if spec.endpoint == EMBEDDED:
        return None
    try:
        endpoint_of(spec, policy.run, None).headers()
    except RunError as error:
        return str(error).rstrip(".")
    return None


def taking_part(policy: Policy) -> list[Role]:
    """The models that will be asked."""
    return [role for role in policy.roles if not why_left_out(policy, role)]
