"""Where the package's own task, golden and config folders lie, in a checkout and in a wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

AssetFolder = Literal["tasks", "golden", "configs"]


def asset_dir(name: AssetFolder) -> Path:
    """Return the absolute path of one of the folders that travel with the package.

    A wheel holds them inside the package, a checkout beside it.
    """
    package = Path(__file__).resolve().parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name
