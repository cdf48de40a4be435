"""What an eval set is, by its hash: the manifest, frozen versions and what differs between two.

`manifest.json` says what the sets of a folder are now; `versions.jsonl` beside it only ever grows.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ftgate_ext.assets import asset_dir
from ftgate_ext.evalset.rows import file_sha256, load_cases
from ftgate_ext.evalset.schema import first_problem
from ftgate_ext.schema import EvalSetError, Row

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST, VERSIONS = "manifest.json", "versions.jsonl"
UNFROZEN = "unfrozen"

STRATA = (
    "verdict", "language", "category", "severity", "tier", "form", "length", "expect", "harm", "framing",
    "tone", "completeness", "shape", "checks", "source", "label_source", "label_strength",
)  # fmt: skip
"""Fields whose values are counted, where rows have them."""
DESCRIPTIVE = {
    "comment",
    "source",
    "subtype",
    "tier",
    "length",
    "label_source",
    "label_strength",
    "used_to",
}
"""Fields that change neither what is asked nor how it is scored."""


class SetManifest(Row):
    """What one eval set is."""

    file: str
    sha256: str
    rows: int
    version: str
    """Semantic version under which these bytes were frozen, or `unfrozen`."""
    clusters: int | None
    """Number of different `cluster` values, where rows have them."""
    counts: dict[str, dict[str, int]]
    """Field -> value -> number of rows."""
    provenance: str
    licence: str


class Manifest(Row):
    """`manifest.json`: the eval sets of a folder."""

    generator: str
    generator_version: str
    seed: int | None
    sets: dict[str, SetManifest]


class FrozenVersion(Row):
    """One line of `versions.jsonl`."""

    set: str
    version: str
    sha256: str
    rows: int
    row_hashes: dict[str, str]
    """Id of a row -> first 16 hex digits of the sha256 of its content."""


def describe_set(
    file: str, rows: list[dict[str, Any]], sha256: str, version: str, provenance: str, licence: str
) -> SetManifest:
    """Say what a set is, with its rows counted by stratum."""
    counts = count_strata(rows)
    clusters = {str(row["cluster"]) for row in rows if row.get("cluster")}
    return SetManifest(
        file=file, sha256=sha256, rows=len(rows), version=version, clusters=len(clusters) or None,
        counts=counts, provenance=provenance, licence=licence,
    )  # fmt: skip


def count_strata(rows: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Field -> value -> number of rows, most frequent first, for the fields that rows have."""
    counts: dict[str, dict[str, int]] = {}
    for key in STRATA:
        tally = Counter(value for row in rows for value in _values(row, key))
        if tally:
            counts[key] = dict(sorted(tally.items(), key=lambda item: (-item[1], item[0])))
    return counts


def _values(row: dict[str, Any], key: str) -> list[str]:
    """The values of a stratum in a row; shapes and checks are read off what describes them."""
    if key == "shape":
        text_format = row.get("format")
        return [str(text_format["kind"])] if text_format else ["json"] if row.get("schema") else []
    if key == "checks":
        return sorted({str(check["kind"]) for check in row.get("checks") or []})
    return [str(row[key])] if row.get(key) is not None else []


def manifest_text(manifest: Manifest) -> str:
    """The bytes of manifest.json, equal for equal manifests."""
    return json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder; None where it has none.

    Raises:
        EvalSetError: It is broken.
    """
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise EvalSetError(
            f"{path}: {first_problem(error)}; build or freeze the sets again."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise EvalSetError(f"{path}: cannot be read ({error}).") from None


def read_versions(folder: Path) -> list[FrozenVersion]:
    """All frozen versions of a folder's sets, oldest first.

    Raises:
        EvalSetError: A line is broken.
    """
    path = folder / VERSIONS
    if not path.is_file():
        return []
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            found.append(FrozenVersion.model_validate_json(line))
        except ValidationError as error:
            raise EvalSetError(f"{path}:{number}: {first_problem(error)}.") from None
    return found


def frozen_as(versions: list[FrozenVersion], name: str, sha256: str) -> str:
    """The version under which these bytes were frozen, or `unfrozen`."""
    return next((v.version for v in versions if v.set == name and v.sha256 == sha256), UNFROZEN)


def check_shipped(file: Path, sha256: str) -> None:
    """Refuse a set of the package's own folder that is not what its manifest says.

    Raises:
        EvalSetError: The hash differs, or the folder has lost its manifest.
    """
    folder = asset_dir("golden").resolve()
    if file.resolve().parent != folder:
        return
    manifest = read_manifest(folder)
    if manifest is None:
        raise EvalSetError(
            f"{folder / MANIFEST}: not there, so {file.name} cannot be told from a changed copy; install ftgate again or set `local: true` on the eval set."
        )
    known = next((s for s in manifest.sets.values() if s.file == file.name), None)
    if known is not None and known.sha256 != sha256:
        raise EvalSetError(
            f"{file}: sha256 {sha256[:12]} is not {known.sha256[:12]} of {MANIFEST} (version {known.version}); restore the shipped file, or set `local: true` on the eval set if the change is yours."
        )


def row_hash(row: dict[str, Any]) -> str:
    """16 hex digits of the sha256 of a row's content."""
    text = json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def freeze(file: Path, version: str | None = None) -> FrozenVersion:
    """Give the present bytes of a set a version, in `versions.jsonl` and `manifest.json` beside it.

    Args:
        file: A JSONL file.
        version: major.minor.patch; left out, the next one that the change asks for: major when a
            case was removed or asks or scores differently, minor when cases were added, else patch.

    Returns:
        The frozen version; an older one when the bytes were frozen already.

    Raises:
        EvalSetError: The version is no semantic version, not above the last one, or the rows are
            broken.
    """
    rows = load_cases(file)
    folder, name, sha256 = file.resolve().parent, file.stem, file_sha256(file)
    versions = read_versions(folder)
    mine = [v for v in versions if v.set == name]
    same = next((v for v in mine if v.sha256 == sha256), None)
    if same is not None and version in {None, same.version}:
        _write_manifest(folder, file.name, rows, same)
        return same
    hashes = {row["id"]: row_hash(row) for row in rows}
    frozen = FrozenVersion(
        set=name, version=version or _next_version(mine, hashes), sha256=sha256, rows=len(rows),
        row_hashes=hashes,
    )  # fmt: skip
    if mine and _parts(frozen.version) <= _parts(mine[-1].version):
        raise EvalSetError(
            f"{file}: version {frozen.version} is not above {mine[-1].version}; versions only grow."
        )
    _parts(frozen.version)
    line = json.dumps(frozen.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":"))
    with (folder / VERSIONS).open("a", encoding="utf-8", newline="\n") as out:
        out.write(line + "\n")
    _write_manifest(folder, file.name, rows, frozen)
    return frozen


def _write_manifest(
    folder: Path, file: str, rows: list[dict[str, Any]], frozen: FrozenVersion
) -> None:
    manifest = read_manifest(folder) or Manifest(
        generator="ftgate evalset freeze", generator_version="1", seed=None, sets={}
    )
    old = manifest.sets.get(frozen.set)
    manifest.sets[frozen.set] = describe_set(
        file, rows, frozen.sha256, frozen.version,
        old.provenance if old else "not stated", old.licence if old else "not stated",
    )  # fmt: skip
    (folder / MANIFEST).write_text(manifest_text(manifest), encoding="utf-8", newline="\n")


def _parts(version: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d{1,6}\.\d{1,6}\.\d{1,6}", version):
        raise EvalSetError(f"version {version!r}; expected major.minor.patch such as 1.2.0.")
    return tuple(map(int, version.split(".")))


def _next_version(mine: list[FrozenVersion], hashes: dict[str, str]) -> str:
    """Without the old rows a changed row counts as one that asks differently."""
    if not mine:
        return "1.0.0"
    major, minor, patch = _parts(mine[-1].version)
    old = mine[-1].row_hashes
    if any(hashes.get(case) != known for case, known in old.items()):
        return f"{major + 1}.0.0"
    return f"{major}.{minor + 1}.0" if set(hashes) - set(old) else f"{major}.{minor}.{patch + 1}"
