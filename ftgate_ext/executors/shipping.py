"""What a shard needs on another machine, as bytes: task folders, local data, known answers. No keys."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ftgate_ext import __version__
from ftgate_ext.schema import EvalSetUse, Role, RunError

if TYPE_CHECKING:
    from ftgate_ext.policy import Policy

MOST_BYTES = 200 * 2**20

Folder = dict[str, bytes]
"""Path within a folder -> content."""


@dataclass(frozen=True)
class Job:
    """One shard as it travels."""

    policy: Policy
    role: Role
    name: str
    uses: list[EvalSetUse]
    known: list[str] = field(default_factory=list)
    """Journal lines of answers that are not asked for again."""
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Done:
    """What came of it."""

    files: Folder = field(default_factory=dict)
    """lm-eval's results and samples."""
    responses: list[str] = field(default_factory=list)
    """New journal lines."""
    problem: str | None = None
    """Why there are no files, in one line."""
    node: str = ""


def decisive_versions() -> dict[str, str]:
    """Versions that must be the same everywhere: they decide prompts and scores."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"ftgate_ext": __version__, "lm_eval": version("lm_eval"), "python": python}


def pack_folders(policy: Policy, policy_file: Path) -> dict[str, Folder]:
    """The folders of `task_paths` and `data` that are named relative to the policy.

    An absolute path is taken to be shared by all nodes, and is not shipped.

    Raises:
        RunError: They are too large to be shipped.
    """
    named = [*policy.task_paths, *([policy.data] if policy.data else [])]
    packed: dict[str, Folder] = {}
    size = 0
    for name in named:
        if Path(name).is_absolute():
            continue
        folder = policy_file.parent / name
        packed[name] = {}
        for path in sorted(p for p in folder.rglob("*") if _travels(p, folder)):
            size += path.stat().st_size
            if size > MOST_BYTES:
                raise RunError(
                    f"{folder}: more than {MOST_BYTES // 2**20} MiB to ship to the nodes; put it on a path that all nodes share and name that absolutely."
                )
            packed[name][str(path.relative_to(folder))] = path.read_bytes()
    return packed


def _travels(path: Path, root: Path) -> bool:
    parts = path.relative_to(root).parts
    return path.is_file() and not any(part.startswith((".", "__pycache__")) for part in parts)


def unpack_folders(packed: dict[str, Folder], policy: Policy, root: Path) -> Policy:
    """Write the folders below `root`; the policy then names them there.

    Args:
        packed: From `pack_folders`.
        policy: Whose `task_paths` and `data` are to be changed.
        root: An empty folder.
    """
    places = {name: str(root / f"folder{n}") for n, name in enumerate(packed)}
    for name, files in packed.items():
        Path(places[name]).mkdir(parents=True)
        for inside, content in files.items():
            path = Path(places[name]) / inside
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    paths = [places.get(name, name) for name in policy.task_paths]
    data = places.get(policy.data, policy.data) if policy.data else None
    return policy.model_copy(update={"task_paths": paths, "data": data})
