"""A run whose models are served elsewhere now: an endpoint died, and another one took its place.

A run belongs to the addresses that it began with, because two checkpoints are often served under
one name. Only a person can say that the model behind a new address is the same; this room takes
that word and writes it down.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ftgate_ext.policy import Policy, load_policy
from ftgate_ext.runs import MANIFEST, POLICY_COPY, load_manifest, write_row, write_text
from ftgate_ext.schema import Role, RunError

if TYPE_CHECKING:
    from pathlib import Path


def move_run(run_dir: Path, policy_file: Path) -> list[str]:
    """Take the addresses of `policy_file` into a run; the next `ftgate run` goes on there.

    Args:
        run_dir: A run folder.
        policy_file: The gate.yaml of the run with other endpoints, and with nothing else that
            decides what is generated changed.

    Returns:
        One sentence for every model that moved; they also stand in the run's warnings.

    Raises:
        RunError: No run folder, or more than addresses has changed.
    """
    if not (run_dir / MANIFEST).is_file():
        raise RunError(f"{run_dir}: no run folder (no {MANIFEST}); name one.")
    manifest, policy = load_manifest(run_dir), load_policy(policy_file)
    before = load_policy(run_dir / POLICY_COPY)
    if before.hash_elsewhere != policy.hash_elsewhere:
        raise RunError(
            f"{policy_file}: differs from the policy of {run_dir} in more than addresses (models, eval sets or seed); start a run of its own."
        )
    today = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC"
    said = [
        f"{role} moved from {before.models[role].address} to {policy.models[role].address} on {today}; somebody vouches that it is the same model."
        for role in policy.roles
        if _moved(role, before, policy)
    ]
    if not said:
        return []
    write_row(
        run_dir / MANIFEST,
        manifest.model_copy(
            update={
                "generation_hash": policy.generation_hash, "policy_hash": policy.policy_hash,
                "warnings": [*manifest.warnings, *said],
            }
        ),
    )  # fmt: skip
    write_text(run_dir / POLICY_COPY, policy_file.read_text(encoding="utf-8"))
    return said


def _moved(role: Role, before: Policy, now: Policy) -> bool:
    return before.models[role].endpoints != now.models[role].endpoints
