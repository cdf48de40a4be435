"""The name of a kind of source -> its importer, and the rows that are chosen of what it yields."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from ftgate_ext.evalset.importers.gather import Imported, gather, write_rows
from ftgate_ext.evalset.importers.safety import (
    SAFETY_KINDS,
    ImportedSafety,
    import_safety,
    task_name,
    write_task,
)
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ftgate_ext.evalset.importers.imported import Found

Kind = Literal[
    "bugsinpy", "sven", "quixbugs", "aacr", "table", "hub", "git", "real",
    "advbench", "harmbench", "strongreject", "xstest",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
MAPPED, LICENSED = {"table", "hub"}, {"table", "hub", "git"}


def import_rows(
    kind: str,
    source: str,
    *,
    limit: int | None = None,
    seed: int = 0,
    mapping: Sequence[str] = (),
    licence: str | None = None,
) -> Imported | ImportedSafety:
    """The rows of a source.

    Args:
        kind: One of `KINDS`.
        source: A file or folder, or the name of a data set on the hub.
        limit: Rows at most.
        seed: Of choice and order.
        mapping: `field=column` entries, for a table and the hub.
        licence: Of the code, for a table, the hub and git.

    Raises:
        EvalSetError: The source cannot be read, or an argument does not fit the kind.
    """
    if kind not in KINDS:
        raise EvalSetError(
            f"import {kind!r}: no such kind of source; there are {', '.join(KINDS)}."
        )
    for given, option, kinds in ((mapping, "--map", MAPPED), (licence, "--licence", LICENSED)):
        if given and kind not in kinds:
            raise EvalSetError(
                f"{option}: has no meaning for {kind}; only for {', '.join(sorted(kinds))}."
            )
    if kind in SAFETY_KINDS:
        return import_safety(kind, Path(source), limit, seed)
    if kind == "real":
        if limit is not None:
            raise EvalSetError("--limit: has no meaning for real; its size is fixed.")
        from ftgate_ext.evalset.importers.real import read_real

        return read_real(Path(source), seed)
    return gather(_found(kind, source, mapping, licence or "not stated"), limit, seed)


def write_imported(
    found: Imported | ImportedSafety, output: Path, seed: int, *, with_card: bool, skip_bad: bool
) -> list[str]:
    """Write what was imported, a card beside it where asked, and say what it is.

    Raises:
        EvalSetError: Rows are bad and not to be skipped, there are none, or a file cannot be written.
    """
    if not skip_bad:
        found.refuse_bad()
    write_rows(found.rows, output)
    told = [*found.problems, *found.in_words(), f"Wrote {output}."]
    if isinstance(found, ImportedSafety):
        return [*told, _say_task(output)]
    if with_card:
        from ftgate_ext.evalset.importers.real import card_of

        card = output.with_suffix(".md")
        try:
            card.write_text(card_of(found, seed, output.name), encoding="utf-8")
        except OSError as error:
            raise EvalSetError(f"{card}: cannot be written ({error.strerror}).") from None
        told.append(f"Wrote {card}.")
    return told


def _say_task(output: Path) -> str:
    task = write_task(output)
    if task is None:
        return f"{output.with_suffix('.yaml')}: left as it was."
    entry = f"{{task: {task_name(output)}, kind: safety}}"
    return f"Wrote {task}: name its folder in task_paths, and add {entry} to eval_sets."


def _found(kind: str, source: str, mapping: Sequence[str], licence: str) -> Iterator[Found]:
    from ftgate_ext.evalset.importers.table import read_map, read_table

    if kind == "hub":
        from ftgate_ext.evalset.importers.hub import read_hub

        return read_hub(source, read_map(mapping), licence)
    if kind == "table":
        return read_table(Path(source), read_map(mapping), licence)
    if kind == "git":
        from ftgate_ext.evalset.importers.git import read_git

        return read_git(Path(source), licence)
    from ftgate_ext.evalset.importers.aacr import read_aacr
    from ftgate_ext.evalset.importers.bugsinpy import read_bugsinpy
    from ftgate_ext.evalset.importers.quixbugs import read_quixbugs
    from ftgate_ext.evalset.importers.sven import read_sven

    readers = {
        "bugsinpy": read_bugsinpy, "sven": read_sven, "quixbugs": read_quixbugs, "aacr": read_aacr,
    }  # fmt: skip
    return readers[kind](Path(source))
