"""Which weights an lm-eval backend loads: fingerprints of local checkpoints and adapters."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from ftgate_ext.schema import RunError, WeightFile, Weights

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ftgate_ext.policy_servers import ModelSpec

WHOLE_UP_TO = 8 * 2**20
EDGE = 2**20
PATH_ARGS = ("pretrained", "peft", "delta", "tokenizer", "model", "model_path", "gguf_file")
"""Arguments of lm-eval's backends that may name a local path."""


def identify_weights(spec: ModelSpec) -> list[Weights]:
    """Fingerprints of all local paths among the arguments of a backend; none for hub names.

    Raises:
        RunError: A path that can be no hub name does not exist.
    """
    named = {name: str(spec.model_args[name]) for name in PATH_ARGS if name in spec.model_args}
    paths = dict.fromkeys([*named.values(), spec.model])
    for path in paths:
        if path.startswith(("/", "./", "../", "~")) and not Path(path).exists():
            raise RunError(
                f"model {spec.model!r}: {path} does not exist; name a checkpoint's folder or a model of the hub."
            )
    return [_identify(Path(path)) for path in paths if Path(path).exists()]


def _identify(path: Path) -> Weights:
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if _counts(p, path))
    root = path.parent if path.is_file() else path
    rows = [_fingerprint(file, root) for file in files]
    return Weights(path=str(path), files=rows, fingerprint=_sum_up(rows))


def _counts(path: Path, root: Path) -> bool:
    """Whether a file belongs to the weights: no hidden file, no cache."""
    inside = path.relative_to(root).parts
    return path.is_file() and not any(part.startswith((".", "__")) for part in inside)


def _fingerprint(path: Path, root: Path) -> WeightFile:
    size = path.stat().st_size
    whole = size <= WHOLE_UP_TO
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(WHOLE_UP_TO if whole else EDGE))
        if not whole:
            file.seek(-EDGE, 2)
            digest.update(file.read(EDGE))
    name = str(path.relative_to(root))
    return WeightFile(name=name, size_bytes=size, sha256=digest.hexdigest(), whole=whole)


def _sum_up(rows: Iterable[WeightFile]) -> str:
    lines = (f"{row.name} {row.size_bytes} {row.sha256}\n" for row in rows)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
