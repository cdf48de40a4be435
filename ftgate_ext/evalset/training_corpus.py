"""Facts of blocks -> arrays over all training rows, and the pairs of rows that may be near-duplicates."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ftgate_ext.evalset.blocks import Placed
    from ftgate_ext.evalset.private import PrivateThing
    from ftgate_ext.evalset.training_facts import TrainingFacts

MAX_KEPT = 100_000
"""Faults and private things that are remembered."""
MAX_PAIRS = 300_000
"""Pairs of rows that are compared exactly; those that share most bands come first."""


class PlacedFault(NamedTuple):
    """A fault and its line of the file."""

    file: Path
    line: int
    check: str
    detail: str


class PlacedThing(NamedTuple):
    """Something private and its line of the file."""

    file: Path
    line: int
    thing: PrivateThing


class Twin(NamedTuple):
    """Two rows that may be near-duplicates; the second stands later."""

    first: int
    second: int


@dataclass
class Corpus:
    """All rows, those of the training files first."""

    files: list[Path]
    n_train: int
    file_of: NDArray[np.int64]
    lines: NDArray[np.int64]
    offsets: NDArray[np.int64]
    exact: NDArray[np.uint64]
    same: NDArray[np.uint64]
    prompts: NDArray[np.uint64]
    labels: NDArray[np.int64]
    """Position in `label_names`; -1 where the answer is no label."""
    label_names: list[str]
    tokens: NDArray[np.int64]
    trained: NDArray[np.int64]
    bands: NDArray[np.uint32]
    faults: list[PlacedFault]
    private: list[PlacedThing]
    sources: Counter[str] = field(default_factory=Counter)
    synthetic: int = 0
    stated: int = 0
    same_file: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.lines)

    def place(self, row: int) -> tuple[Path, int]:
        """File and byte at which a row begins."""
        return self.files[self.file_of[row]], int(self.offsets[row])

    def where(self, row: int) -> str:
        """file:line of a row."""
        return f"{self.files[self.file_of[row]]}:{self.lines[row]}"

    def label_name(self, row: int) -> str | None:
        """The label of a row, where its answer is one."""
        return self.label_names[self.labels[row]] if self.labels[row] >= 0 else None

    def label_counts(self) -> Counter[str]:
        """Label -> training rows."""
        known = self.labels[: self.n_train]
        counts = np.bincount(known[known >= 0], minlength=len(self.label_names))
        pairs = zip(self.label_names, counts.tolist(), strict=True)
        return Counter({name: n for name, n in pairs if n})


def gather(
    placed: Iterable[Placed[TrainingFacts]], files: Sequence[Path], n_train_files: int
) -> Corpus:
    """Put the facts of all blocks together; origin and labels are counted in the training files."""
    columns: dict[str, list[NDArray[Any]]] = {}
    numbers = {file: i for i, file in enumerate(files)}
    names: dict[str, int] = {}
    faults: list[PlacedFault] = []
    private: list[PlacedThing] = []
    sources: Counter[str] = Counter()
    synthetic = stated = n_train = 0
    for block in placed:
        facts, file = block.found, block.file
        codes = [
            -1 if name is None else names.setdefault(name, len(names)) for name in facts.labels
        ]
        for key, values, kind in (
            ("file_of", [numbers[file]] * len(facts.lines), np.int64),
            ("lines", facts.lines, np.int64), ("offsets", facts.offsets, np.int64),
            ("exact", facts.exact, np.uint64), ("same", facts.same, np.uint64),
            ("prompts", facts.prompts, np.uint64), ("labels", codes, np.int64),
            ("tokens", facts.tokens, np.int64), ("trained", facts.trained, np.int64),
        ):  # fmt: skip
            columns.setdefault(key, []).append(np.array(values, dtype=kind))
        columns["lines"][-1] += block.lines_before
        columns.setdefault("bands", []).append(facts.bands)
        room = MAX_KEPT - len(faults), MAX_KEPT - len(private)
        before = block.lines_before
        faults += [
            PlacedFault(file, before + line, *rest) for line, *rest in facts.faults[: room[0]]
        ]
        private += [PlacedThing(file, before + line, t) for line, t in facts.private[: room[1]]]
        if numbers[file] < n_train_files:
            n_train += len(facts.lines)
            sources += facts.sources
            synthetic += facts.synthetic
            stated += facts.stated
    arrays: dict[str, Any] = {key: np.concatenate(parts) for key, parts in columns.items()}
    return Corpus(
        files=list(files), n_train=n_train, label_names=list(names), faults=faults, private=private,
        sources=sources, synthetic=synthetic, stated=stated, **arrays,
    )  # fmt: skip


def near_twins(corpus: Corpus) -> list[Twin]:
    """Pairs of rows that share bands of their signatures, apart from those that are the same anyway.

    In every band a row is paired with the first and with the previous row of the same number: in a
    group of n rows 2n pairs instead of n squared, and a later member still finds one of the group.
    """
    _, distinct = np.unique(corpus.same, return_index=True)
    distinct = np.sort(distinct)  # the first of equal rows stands for all of them
    found: list[NDArray[np.int64]] = []
    for band in corpus.bands[distinct].T:
        order = np.argsort(band, kind="stable")
        keys = band[order]
        starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
        first = np.repeat(starts, np.diff(np.append(starts, len(keys))))
        later = np.flatnonzero(first != np.arange(len(keys)))
        earlier = order[np.concatenate([first[later], later - 1])]
        pairs = distinct[earlier] * len(corpus) + distinct[order[np.tile(later, 2)]]
        found.append(np.unique(pairs))  # a band counts once
    both, shared = np.unique(np.concatenate(found), return_counts=True)
    best = np.sort(np.argsort(-shared, kind="stable")[:MAX_PAIRS])
    first, second = np.divmod(both[best], len(corpus))
    return [Twin(a, b) for a, b in zip(first.tolist(), second.tolist(), strict=True)]
