"""What importers yield -> the rows of a set: chosen by a seed, in its order, with what went wrong."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ftgate_ext.evalset.importers.imported import BadRow, Found, Group, ImportedRow, LeftOut
from ftgate_ext.evalset.importers.sifted import Sifted
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from ftgate_ext.schema import Row


@dataclass
class Imported(Sifted):
    """What was read, and the rows that were chosen of it."""

    rows: list[ImportedRow] = field(default_factory=list)
    filled: Counter[str] = field(default_factory=Counter)
    """Field that the source does not state -> in how many of the chosen rows."""

    def in_words(self) -> list[str]:
        """What a user should know about the rows, in lines."""
        verdicts = Counter(row.verdict for row in self.rows)
        told = ", ".join(f"{n} {verdict}" for verdict, n in sorted(verdicts.items(), reverse=True))
        lines = [f"{len(self.rows)} of {self.available} rows: {told}."]
        lines += self.left_out_in_words()
        if self.filled:
            told = ", ".join(f"{key} in {n}" for key, n in sorted(self.filled.items()))
            lines.append(f"not stated by the source and filled in: {told}.")
        return [*lines, *self.bad_in_words()]


def gather(
    found: Iterable[Found],
    limit: int | None = None,
    seed: int = 0,
    fits: Callable[[Group], bool] = lambda _: True,
) -> Imported:
    """Choose rows, whole cases at a time, in an order that depends on seed and ids alone.

    Args:
        found: What an importer yields; read once, and held no longer than `limit` needs.
        limit: Rows at most; a pair of twins that no longer fits is passed over.
        seed: Of the order, and so of the choice.
        fits: Which cases may be chosen at all.
    """
    imported = Imported()
    seen = _Seen()
    kept: list[tuple[str, Group]] = []
    for one in found:
        group = seen.check(one) if isinstance(one, Group) else one
        if not isinstance(group, Group):
            imported.pass_over(group)
        elif fits(group):
            imported.available += len(group.rows)
            kept.append((_rank(seed, group), group))
            if limit is not None and len(kept) > 4 * limit + 64:
                kept = _first(kept)[: limit + 2]
    for _, group in _first(kept):
        if limit is None or len(imported.rows) + len(group.rows) <= limit:
            imported.rows += group.rows
            imported.filled.update(group.filled)
    return imported


class _Seen:
    """Ids and codes of the rows so far: neither may come twice."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._codes: set[bytes] = set()

    def check(self, group: Group) -> Found:
        where = group.rows[0].origin
        codes = {hashlib.sha256(row.code.encode()).digest() for row in group.rows}
        if codes & self._codes or len(codes) < len(group.rows):
            return LeftOut(where, "the same code as another row")
        ids = {row.id for row in group.rows}
        if repeated := ids & self._ids:
            return BadRow(where, f"id: found {min(repeated)!r} again; expected an id of its own.")
        self._ids |= ids
        self._codes |= codes
        return group


def _rank(seed: int, group: Group) -> str:
    return hashlib.sha256(f"{seed}:{group.rows[0].id}".encode()).hexdigest()


def _first(kept: list[tuple[str, Group]]) -> list[tuple[str, Group]]:
    return sorted(kept, key=lambda pair: pair[0])


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Write a set; a file is there whole or not at all.

    Raises:
        EvalSetError: There are no rows, or the file cannot be written.
    """
    if not rows:
        raise EvalSetError(f"{path}: no rows to write; the source gave none.")
    unfinished = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:
            for row in rows:
                file.write(json.dumps(row.model_dump(mode="json"), ensure_ascii=False) + "\n")
        unfinished.replace(path)
    except OSError as error:
        raise EvalSetError(f"{path}: cannot be written ({error.strerror}).") from None
