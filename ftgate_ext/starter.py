"""`ftgate init`: a commented gate.yaml, filled in with what the servers say about themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.assets import asset_dir
from ftgate_ext.runs import write_text
from ftgate_ext.schema import RunError

if TYPE_CHECKING:
    from pathlib import Path

PLACEHOLDERS = {
    "candidate": ("http://localhost:8000/v1", "my-model-v2"),
    "production": ("http://localhost:8001/v1", "my-model-v1"),
}


def write_starter(
    path: Path, endpoints: dict[str, str | None] | None = None
) -> tuple[Path, list[str]]:
    """Write a copy of the recommended policy.

    Args:
        path: The gate.yaml to write; never overwritten.
        endpoints: `candidate` and `production` -> base URL, where known. A server that serves one
            model also tells the model's name.

    Returns:
        The path, and what is still to be edited.

    Raises:
        RunError: The file exists, or a server does not answer.
    """
    if path.exists():
        raise RunError(f"{path}: exists already; name another file or move it away.")
    text = (asset_dir("configs") / "gate.yaml").read_text(encoding="utf-8")
    text = text.replace("# yaml-language-server: $schema=./gate.schema.json\n#\n", "")
    to_edit = []
    for role, (placeholder, name) in PLACEHOLDERS.items():
        url = (endpoints or {}).get(role)
        if url is None:
            to_edit.append(f"{role}.endpoint and {role}.model")
            continue
        text = text.replace(placeholder, url)
        served = _served(url)
        if len(served) == 1:
            text = text.replace(name, served[0])
        else:
            to_edit.append(f"{role}.model (the server has {', '.join(served)})")
    return write_text(path, text), to_edit


def _served(url: str) -> list[str]:
    from ftgate_ext.inference.client import Endpoint, list_models, run_to_end  # imports aiohttp

    return run_to_end(list_models(Endpoint(base_url=url.rstrip("/"), model=""), timeout_s=10))
