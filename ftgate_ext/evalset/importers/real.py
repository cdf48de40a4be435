"""Local copies of four public sources -> one golden set of 700 real cases, and a card that says what it is.

    bugsinpy  300 rows   fixes of one file: two in three turned round (defect), one forwards (clean)
    sven      220 rows   110 functions before and after the fix of a vulnerability
    quixbugs   40 rows   20 programs, defective and mended
    aacr      140 rows   commented blocks of pull requests, defect or clean as reviewers judged

Only cases of at most 200 lines are taken. The choice and the order depend on the seed alone. None of these
sources may be shipped with a product as it is: the set is built where the copies lie, and stays there.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ftgate_ext.evalset.importers.aacr import read_aacr
from ftgate_ext.evalset.importers.bugsinpy import read_bugsinpy
from ftgate_ext.evalset.importers.gather import Imported, gather
from ftgate_ext.evalset.importers.quixbugs import read_quixbugs
from ftgate_ext.evalset.importers.sven import read_sven
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ftgate_ext.evalset.importers.imported import Found, Group

MOST_LINES = 200


class Part(NamedTuple):
    """One source of the real set."""

    name: str
    read: Callable[[Path], Iterator[Found]]
    rows: int
    folders: tuple[str, ...]
    """Names that its copy may have."""


PARTS = (
    Part(
        "bugsinpy",
        partial(read_bugsinpy, clean_share=1 / 3),
        300,
        ("codereview_bugsinpy", "bugsinpy", "BugsInPy"),
    ),
    Part("sven", read_sven, 220, ("codereview_sven", "sven")),
    Part("quixbugs", read_quixbugs, 40, ("codereview_quixbugs", "quixbugs", "QuixBugs")),
    Part("aacr", read_aacr, 140, ("codereview_aacr_bench", "aacr_bench", "aacr-bench")),
)


def read_real(folder: Path, seed: int = 0) -> Imported:
    """The real golden set from a folder with the four copies.

    Raises:
        EvalSetError: A copy is missing, cannot be read, or holds fewer cases than the set takes.
    """
    places = {part.name: _place(folder, part) for part in PARTS}
    missing = [part for part in PARTS if places[part.name] is None]
    if missing:
        told = "; ".join(f"{part.name}: no {' or '.join(part.folders)}" for part in missing)
        raise EvalSetError(f"{folder}: {told}. Expected a copy of each source in this folder.")
    whole = Imported()
    for part in PARTS:
        place = places[part.name]
        assert place is not None  # noqa: S101 - said above
        found = gather(part.read(place), part.rows, seed, _fits)
        if len(found.rows) < part.rows and not found.bad:
            raise EvalSetError(f"{place}: {len(found.rows)} cases fit; the set takes {part.rows}.")
        whole.rows += found.rows
        whole.available += found.available
        whole.bad += found.bad
        whole.problems += found.problems
        whole.left_out += found.left_out
        whole.filled += found.filled
    whole.rows.sort(key=lambda row: hashlib.sha256(f"{seed}:{row.id}".encode()).hexdigest())
    return whole


def _place(folder: Path, part: Part) -> Path | None:
    return next((folder / name for name in part.folders if (folder / name).is_dir()), None)


def _fits(group: Group) -> bool:
    short = all(row.code.count("\n") < MOST_LINES for row in group.rows)
    # A change of several files is more than one defect to find.
    one_file = sum(line.startswith("--- ") for line in group.rows[0].code.split("\n")) <= 1
    return short and (group.rows[0].source != "bugsinpy" or one_file)


def card_of(imported: Imported, seed: int, file: str) -> str:
    """The data card of a real set, in Markdown."""
    lines = [
        f"# {file}", "",
        f"Built by `ftgate evalset import real` with seed {seed} from local copies of public sources.", "",
        "| source | rows | defect | clean | clusters |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for part in PARTS:
        rows = [row for row in imported.rows if row.source == part.name]
        defects = sum(row.verdict == "defect" for row in rows)
        clusters = len({row.cluster for row in rows})
        lines.append(
            f"| {part.name} | {len(rows)} | {defects} | {len(rows) - defects} | {clusters} |"
        )
    for title, values in (
        ("Categories", [row.category or "clean" for row in imported.rows]),
        ("Languages", [row.language for row in imported.rows]),
        ("Licences, as the sources state them", [row.licence for row in imported.rows]),
    ):
        counted = sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0]))
        lines += ["", f"## {title}", "", *(f"- {value}: {n}" for value, n in counted)]
    return "\n".join([*lines, "", "## How labels were made, and their limits", "", LIMITS, ""])


LIMITS = """\
- bugsinpy: the fix of a confirmed bug. Turned round it is the change under review and a defect; shown forwards it is
  clean. That a fix brings no other defect is assumed.
- sven, quixbugs: twins, defective and mended. That the mended one has no other defect is assumed.
- aacr: what annotators agreed on. A block is clean where all comments on it were rejected.
- Categories of bugsinpy and quixbugs, and of code defects in aacr, are guessed from words by a small rule;
  `also_accept` holds `logic` for them. Severity is stated by no source: high for security, medium for the rest.
- All of it was public for years: a model may have seen it. Compare two models on it; do not read its score alone.
- Nothing was taken out of the code: comments and names may hint at the verdict (`ftgate evalset report` counts).
- Code, commit messages and comments keep the licence of their project. Do not ship this file with a product."""
