"""Eval cases and training files -> which cases stand in the training data. Knows no model, no policy.

Two passes. The first reads a sample and finds boilerplate: 8-grams that more than 1 % of the distinct
training rows hold, such as the instruction of a prompt template. The second streams all rows through
an index over the cases; memory depends on the cases, not on the rows.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ftgate_ext.assets import asset_dir
from ftgate_ext.evalset.blocks import (
    MAX_LISTED,
    Block,
    Worked,
    blocks_of,
    sample_blocks,
    work_through,
)
from ftgate_ext.evalset.chat_rows import BadRow, ChatRow, UnreadableRowError, read_block
from ftgate_ext.evalset.leak_index import (
    FEWEST_GRAMS,
    EvalText,
    Hit,
    LeakIndex,
    RowsInWords,
    Thresholds,
    build_index,
    find_hits,
)
from ftgate_ext.evalset.plain_words import plain_words
from ftgate_ext.schema import (
    EvalSetError,
    Leakage,
    LeakedCase,
    LeakPlace,
    LeakWay,
    SetLeaks,
    TrainingFile,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

FIELDS = ("code", "request", "prompt", "question", "text")
"""Where the text of a case stands: the first of these that its row has."""
WAYS: tuple[LeakWay, ...] = ("exact", "normalised", "ngram", "near", "reworded")
MAX_PLACES = 5
SAMPLE_BYTES = 32_000_000
FEWEST_SHARING_ROWS = 20
"""Fewer rows than this are no template, however small the file."""


def shipped_texts() -> list[EvalText]:
    """The texts of all cases of the shipped sets."""
    files = sorted(asset_dir("golden").glob("codereview_*.jsonl"))
    return [text for file in files for text in load_texts(file)]


def load_texts(file: Path, column: str | None = None) -> list[EvalText]:
    """Read what shall be looked for from an eval set, or from the rows of a benchmark.

    Args:
        file: JSONL; rows without `id` or `task_id` are called by their line.
        column: The field with the text; the first of `FIELDS` that a row has when left out.

    Raises:
        EvalSetError: The file cannot be read, or rows have no text; the first 20 are listed.
    """
    problems, texts = [], []
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise EvalSetError(f"{file}: cannot be read ({error.strerror}).") from None
    for number, line in enumerate(lines, start=1):
        try:
            texts.append(_eval_text(file, number, line, column))
        except ValueError as error:  # broken JSON and wrong UTF-8 are ValueErrors too
            problems.append(f"{file}:{number}: {error}")
    if problems or not texts:
        raise EvalSetError("\n".join(problems[:MAX_LISTED]) or f"{file}: no rows.")
    return texts


def _eval_text(file: Path, number: int, line: bytes, column: str | None) -> EvalText:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise UnreadableRowError(f"found a JSON {type(row).__name__}; expected an object.")
    name = column or next((f for f in FIELDS if f in row), None)
    if name is None:
        raise UnreadableRowError(f"found none of {', '.join(FIELDS)}; name the field with --field.")
    if not isinstance(row.get(name), str) or not row[name].strip():
        raise UnreadableRowError(f"{name}: found {repr(row.get(name))[:60]}; expected text.")
    case_id = str(row.get("id", row.get("task_id", f"line {number}")))
    return EvalText(file.stem, "".join(c for c in case_id if c.isprintable()), row[name])


def find_leakage(
    cases: Sequence[EvalText],
    training: Sequence[Path],
    thresholds: Thresholds | None = None,
    processes: int | None = None,
) -> Leakage:
    """Look for eval cases in training files.

    Args:
        cases: What to look for; only this text of a case is compared.
        training: JSONL files, see `chat_rows`.
        thresholds: From when on a case counts as leaked.
        processes: All cores when left out; the outcome does not depend on it.

    Raises:
        EvalSetError: A file is missing, or training rows are broken: the first 20 are listed.
    """
    limits = thresholds or Thresholds()
    training = list(dict.fromkeys(training))
    index, sampled = _with_boilerplate(build_index(cases), training, limits, processes)
    rows: dict[Path, int] = dict.fromkeys(training, 0)
    leaks: dict[int, _Leak] = {}
    blocks = blocks_of(list(rows))
    for placed in work_through(blocks, _LookForCases(index, limits), processes):
        rows[placed.file] += placed.lines
        for hit in placed.found:
            leak = leaks.setdefault(hit.case, _Leak())
            leak.add(str(placed.file), placed.lines_before + hit.row, hit)
    return Leakage(
        training=[TrainingFile(file=str(f), sha256=_sha256(f), rows=n) for f, n in rows.items()],
        containment=limits.containment, near=limits.near, reworded=limits.reworded,
        boilerplate_grams=int(index.boilerplate.sum()), sampled_rows=sampled,
        sets=_by_set(index, leaks),
        cases=[leaks[number].of(index.cases[number]) for number in sorted(leaks)],
    )  # fmt: skip


@dataclass
class _Leak:
    """What is known of one case so far."""

    rows: int = 0
    places: list[LeakPlace] = field(default_factory=list)

    def add(self, file: str, line: int, hit: Hit) -> None:
        self.rows += 1
        place = LeakPlace(file=file, line=line, way=hit.way, score=round(hit.score, 4))
        # Stable: of equals, the first ones of the files stay.
        ranked = sorted([*self.places, place], key=lambda p: (WAYS.index(p.way), -p.score))
        self.places = ranked[:MAX_PLACES]

    def of(self, case: EvalText) -> LeakedCase:
        best = self.places[0]
        return LeakedCase(
            set=case.set, id=case.id, doc_hash=case.doc_hash, way=best.way, score=best.score,
            rows=self.rows, places=self.places,
        )  # fmt: skip


@dataclass(frozen=True)
class _LookForCases:
    """The second pass: the cases in the rows of one block; `Hit.row` is the line, from 1."""

    index: LeakIndex
    thresholds: Thresholds

    def __call__(self, block: Block) -> Worked[list[Hit]]:
        read = _read(block, self.index)
        hits = find_hits(self.index, read.rows, self.thresholds)
        placed = [dataclasses.replace(hit, row=read.numbers[hit.row]) for hit in hits]
        return Worked(read.lines, read.problems, placed)


@dataclass(frozen=True)
class _GramsOfRows:
    """Which 8-grams the rows of a block hold."""

    row_hashes: list[bytes]
    rows: NDArray[np.int64]
    grams: NDArray[np.int64]


@dataclass(frozen=True)
class _CountGrams:
    """The first pass, on one block."""

    index: LeakIndex

    def __call__(self, block: Block) -> Worked[_GramsOfRows]:
        read = _read(block, self.index)
        hashes = [
            hashlib.blake2b(" ".join(w for t in texts for w in plain_words(t)).encode()).digest()
            for texts in read.rows.texts
        ]
        held = read.rows.known_grams()
        return Worked(read.lines, read.problems, _GramsOfRows(hashes, *held))


def _with_boilerplate(
    index: LeakIndex, training: Sequence[Path], limits: Thresholds, processes: int | None
) -> tuple[LeakIndex, int]:
    """The index with its boilerplate marked, and how many distinct rows were looked at.

    A row that stands there several times counts once: a case that leaked a hundred times is a leak.
    """
    counts = np.zeros(len(index.grams), dtype=np.int64)
    seen: set[bytes] = set()
    for placed in work_through(
        sample_blocks(training, SAMPLE_BYTES), _CountGrams(index), processes
    ):
        found = placed.found
        new = np.zeros(len(found.row_hashes), dtype=np.bool_)
        for row, digest in enumerate(found.row_hashes):
            new[row] = digest not in seen
            seen.add(digest)
        counts += np.bincount(found.grams[new[found.rows]], minlength=len(counts))
    boilerplate = counts > max(limits.boilerplate * len(seen), FEWEST_SHARING_ROWS)
    gram_of = np.repeat(np.arange(len(index.grams)), np.diff(index.starts))
    own = np.bincount(index.holders[~boilerplate[gram_of]], minlength=len(index.cases))
    return dataclasses.replace(index, boilerplate=boilerplate, n_own=own), len(seen)


@dataclass(frozen=True)
class _Read:
    rows: RowsInWords
    numbers: list[int]
    """Per row: its line of the block."""
    lines: int
    problems: list[tuple[int, str]]


def _read(block: Block, index: LeakIndex) -> _Read:
    rows, numbers, lines = RowsInWords(index), list[int](), 0
    problems: list[tuple[int, str]] = []
    for row in read_block(block):
        lines = row.line
        if isinstance(row, ChatRow):
            rows.add(tuple(m.content for m in row.messages))
            numbers.append(row.line)
        elif isinstance(row, BadRow) and len(problems) < MAX_LISTED:
            problems.append((row.line, row.problem))
    return _Read(rows, numbers, lines, problems)


def _by_set(index: LeakIndex, leaks: dict[int, _Leak]) -> list[SetLeaks]:
    sets: dict[str, dict[str, Any]] = {}
    for number, case in enumerate(index.cases):
        counted = sets.setdefault(
            case.set, {"cases": 0, "leaked": 0, "whole_only": 0, "ways": dict.fromkeys(WAYS, 0)}
        )
        counted["cases"] += 1
        counted["whole_only"] += int(index.n_own[number] < FEWEST_GRAMS)
        if number in leaks:
            counted["leaked"] += 1
            counted["ways"][leaks[number].places[0].way] += 1
    return [SetLeaks(set=name, **counted) for name, counted in sets.items()]


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while piece := opened.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
