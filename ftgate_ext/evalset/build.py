"""Sources and a seed -> the shipped sets, byte for byte the same everywhere, with their manifest."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftgate_ext.evalset.arrange import (
    CATEGORIES,
    LANGUAGE_SHARES,
    LEAST_PER_CATEGORY_SHARE,
    pick_golden_cases,
)
from ftgate_ext.evalset.cards import with_counts
from ftgate_ext.evalset.families import load_families
from ftgate_ext.evalset.schema import SETS, SetName, row_problem
from ftgate_ext.evalset.singles import TEXT, load_singles, pick_singles
from ftgate_ext.evalset.versions import (
    MANIFEST,
    Manifest,
    describe_set,
    frozen_as,
    manifest_text,
    read_versions,
)
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from pathlib import Path

    from ftgate_ext.evalset.cases import BuiltCase

SEED = 20
GENERATOR_VERSION = "1"
WANTED: dict[SetName, int] = {
    "golden": 1000, "shadow": 500, "regression": 50, "safety": 400, "format": 300,
}  # fmt: skip
LEAST_LANGUAGE_SHARE = {"javascript": 0.1}
LICENCE = "Apache-2.0"
PROVENANCE: dict[SetName, str] = {
    "golden": "authored for this project: families of right code with defects, in several vocabularies",
    "shadow": "authored for this project",
    "regression": "authored for this project",
    "safety": "authored for this project",
    "format": "authored for this project",
}


@dataclass(frozen=True)
class BuiltSets:
    """Files that a build writes, and what the sources had too little of."""

    files: dict[str, str]
    """Name of a file in the output folder -> its text."""
    rows: dict[SetName, int]
    lacking: list[str]

    def differing(self, folder: Path) -> list[str]:
        """Names of the files that are not in a folder as they were built."""
        return [name for name, text in self.files.items() if _text(folder / name) != text]

    def write(self, folder: Path) -> None:
        """Write all files."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.files.items():
            (folder / name).write_text(text, encoding="utf-8", newline="\n")


def set_file(name: SetName) -> str:
    """The file name of a shipped set."""
    return f"codereview_{name}.jsonl"


def build_sets(sources: Path, output: Path, seed: int = SEED) -> BuiltSets:
    """Build all sets in memory.

    Args:
        sources: Folder with golden/*.yaml, shadow/*.yaml, regression.yaml, safety.yaml, format.yaml.
        output: Folder whose frozen versions and data cards are carried on.
        seed: Decides which cases are picked, and their order.

    Raises:
        EvalSetError: The folder does not exist, or sources are broken; up to 20 problems are listed.
    """
    if not sources.is_dir():
        raise EvalSetError(f"{sources}: no folder of sources; name it with --sources.")
    versions = read_versions(output)
    files: dict[str, str] = {}
    counted: dict[SetName, int] = {}
    lacking: list[str] = []
    manifest = Manifest(
        generator="ftgate evalset build", generator_version=GENERATOR_VERSION, seed=seed, sets={}
    )
    for name in SETS:
        rows = set_rows(name, sources, seed)
        counted[name] = len(rows)
        lacking += _lacking(name, rows)
        if not rows:
            continue
        text = "".join(_line(row) for row in rows)
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        stem = set_file(name).removesuffix(".jsonl")
        described = describe_set(
            set_file(name),
            rows,
            sha256,
            frozen_as(versions, stem, sha256),
            PROVENANCE[name],
            LICENCE,
        )
        manifest.sets[stem] = described
        files[set_file(name)] = text
        card = _text(output / f"{stem}.md")
        if card is not None:
            files[f"{stem}.md"] = with_counts(card, described)
    files[MANIFEST] = manifest_text(manifest)
    return BuiltSets(files, counted, lacking)


def set_rows(name: SetName, sources: Path, seed: int) -> list[dict[str, Any]]:
    """The rows of one set; none where it has no sources.

    Raises:
        EvalSetError: Sources are broken.
    """
    if name == "golden":
        rows = [row for _, row in golden_cases(sources, seed)]
    else:
        rows = pick_singles(name, _single_rows(name, sources), WANTED[name], seed)
    for row in rows:
        problem = row_problem(name, row)
        if problem:
            raise EvalSetError(
                f"{sources}: {row['id']} of cluster {row.get('cluster')!r}: {problem}."
            )
    return rows


def golden_cases(sources: Path, seed: int) -> list[tuple[BuiltCase, dict[str, Any]]]:
    """The cases of the golden set with their rows; none where it has no sources.

    Raises:
        EvalSetError: Sources are broken.
    """
    if not (sources / "golden").is_dir():
        return []
    others: tuple[SetName, ...] = ("shadow", "regression")
    elsewhere = [str(row[TEXT[name]]) for name in others for row in _single_rows(name, sources)]
    return pick_golden_cases(load_families(sources / "golden"), WANTED["golden"], seed, elsewhere)


def _single_rows(name: SetName, sources: Path) -> list[dict[str, Any]]:
    one = sources / f"{name}.yaml"
    paths = [one] if one.is_file() else []
    paths += sorted((sources / name).glob("*.yaml"), key=lambda p: p.name)
    return load_singles(name, paths)


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(", ", ": ")) + "\n"


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _lacking(name: SetName, rows: list[dict[str, Any]]) -> list[str]:
    """What a set has less of than wanted, one line a stratum."""
    wanted = WANTED[name]
    marks: list[tuple[str, int, int]] = [("rows", len(rows), wanted)]
    if name == "golden":
        categories = Counter(row["category"] for row in rows)
        least = round(LEAST_PER_CATEGORY_SHARE * wanted)
        marks += [(f"defects of {c}", categories[c], least) for c in CATEGORIES]
        languages = Counter(row["language"] for row in rows)
        marks += [
            (f"rows in {x}", languages[x], round(LEAST_LANGUAGE_SHARE.get(x, 0.0) * wanted) or 1)
            for x in LANGUAGE_SHARES
        ]
    if name == "safety":
        sides = Counter(row["expect"] for row in rows)
        marks += [(f"rows to {side}", sides[side], wanted // 2) for side in ("refuse", "answer")]
    return [
        f"{name}: {found} {what}, {least - found} lacking (wanted {least})"
        for what, found, least in marks
        if found < least
    ]
