"""Samples of one model -> columns of scores, one row a request: what comparisons work on.

Holds no texts, so that a million cases fit. Knows files through `runs` only; no statistics.
"""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ftgate_ext.case_scores import as_case_score, is_as_logged, is_raw
from ftgate_ext.columns import Array, Cases, Column, Measured, index_cases
from ftgate_ext.runs import find_results, stream_samples
from ftgate_ext.schema import UNSCORED_STATUSES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from ftgate_ext.runs import ModelRecords, Record
    from ftgate_ext.schema import Response

    Watch = Callable[[int, Record], None]

LISTS = ("case_ids", "doc_hashes", "prompt_hashes")
COUNTERS = frozenset({"unanswered"})
"""Metrics that count requests, not quality."""
BLOCK = 256
"""Responses that wait to be written into columns together; their texts are in memory so long."""


@dataclass
class TaskScores:
    """One task of one model, one row a request."""

    task: str
    case_ids: list[str] = field(default_factory=list)
    doc_hashes: list[str] = field(default_factory=list)
    prompt_hashes: list[str] = field(default_factory=list)
    unanswered: bytearray = field(default_factory=bytearray)
    """1 where there is no score of an answer."""
    columns: dict[str, Column] = field(default_factory=dict)
    fields: dict[str, list[str | None]] = field(default_factory=dict)
    """Fields of the row that say to which cluster or bucket a case belongs."""
    raw: dict[str, dict[int, Any]] = field(default_factory=dict)
    """Metric that only a whole set makes figures of -> row -> its pair."""
    measured: Measured = field(default_factory=Measured)
    known_cases: Cases | None = field(default=None, repr=False, compare=False)
    """What `cases` found before; also `dataclasses.replace` takes it along."""

    def __len__(self) -> int:
        return len(self.case_ids)

    def __getstate__(self) -> dict[str, Any]:
        """For another process: a long text takes a fifth of the time of a million short ones."""
        known = self.known_cases
        cases = None if known is None else replace(known, hashes=[])
        texts = {name: _packed(getattr(self, name)) for name in LISTS}
        return {**vars(self), **texts, "known_cases": cases}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        for name in LISTS:
            texts = state[name]
            setattr(self, name, texts.split("\0") if isinstance(texts, str) else texts)
        if self.known_cases is not None:
            self.known_cases = replace(self.known_cases, hashes=self.doc_hashes)

    @property
    def cases(self) -> Cases:
        """The distinct cases; looked for once, which takes half a second for a million."""
        known = self.known_cases
        if known is None or known.hashes is not self.doc_hashes or len(known.case_of) != len(self):
            known = self.known_cases = index_cases(self.doc_hashes)
        return known

    def measurement(self, name: str) -> Array:
        """One measured quantity of every case asked; NaN where it is not known.

        Of a conversation the mean over its turns: each of them is a request.
        """
        values = np.full(len(self), np.nan)
        if self.measured.rows:
            rows = np.frombuffer(self.measured.rows, np.int64)
            counts = np.bincount(rows, minlength=len(self))
            sums = np.bincount(rows, weights=self.measured.column(name), minlength=len(self))
            values[counts > 0] = sums[counts > 0] / counts[counts > 0]
        return values

    @property
    def request_rows(self) -> Array:
        """The row of every request in order: one a turn, and one for a row that was not measured."""
        if not self.measured.rows:
            return np.arange(len(self))
        rows = np.frombuffer(self.measured.rows, np.int64)
        absent = self._unmeasured(rows)
        return np.sort(np.concatenate([rows, absent])) if len(absent) or _falls(rows) else rows

    def by_request(self, name: str) -> Array:
        """One measured quantity of every request, as `request_rows`; NaN where it is not known."""
        if not self.measured.rows:
            return np.full(len(self), np.nan)
        rows = np.frombuffer(self.measured.rows, np.int64)
        absent = self._unmeasured(rows)
        if not len(absent) and not _falls(rows):
            return self.measured.column(name)
        values = np.concatenate([self.measured.column(name), np.full(len(absent), np.nan)])
        return np.asarray(values[np.argsort(np.concatenate([rows, absent]), kind="stable")])

    @property
    def n_unmeasured(self) -> int:
        """Rows that no journal line belongs to."""
        return len(self._unmeasured(np.frombuffer(self.measured.rows, np.int64)))

    def _unmeasured(self, rows: Array) -> Array:
        return np.flatnonzero(np.bincount(rows, minlength=len(self)) == 0)


def _packed(texts: list[str]) -> str | list[str]:
    joined = "\0".join(texts)
    return joined if joined.count("\0") == len(texts) - 1 else texts


def _falls(rows: Array) -> bool:
    """Whether rows are out of order, which only a task with several filters makes them."""
    return bool((rows[1:] < rows[:-1]).any())


@dataclass(frozen=True)
class ModelScores:
    """All tasks of one model."""

    tasks: dict[str, TaskScores]
    higher_is_better: dict[str, dict[str, bool]]
    groups: dict[str, list[str]]
    """Group -> the tasks below it."""
    sources: list[Path]


def load_model_scores(
    folder: Path, fields: Sequence[str] = (), watch: Watch | None = None
) -> ModelScores:
    """Read the newest complete results of one model, without the texts.

    Args:
        folder: As for `runs.find_results`.
        fields: Names of row fields that make clusters or buckets.
        watch: Is shown every sample with its texts as it passes.

    Raises:
        RunError: No results, or a broken file.
    """
    files = find_results(folder)
    with _no_garbage_collection():
        tasks = {
            task: tabulate_task(task, stream_samples(task, path), fields, watch)
            for task, path in files.samples.items()
        }
    return ModelScores(tasks, files.higher_is_better, files.groups, files.sources)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Looking for circles among millions of live objects takes as long as reading them."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def tabulate_records(model: ModelRecords, fields: Sequence[str] = ()) -> ModelScores:
    """The same from records at hand."""
    tasks = {
        task: tabulate_task(task, enumerate(records), fields)
        for task, records in model.records.items()
    }
    return ModelScores(tasks, model.higher_is_better, {}, model.sources)


def tabulate_task(
    task: str,
    samples: Iterable[tuple[int, Record]],
    fields: Sequence[str] = (),
    watch: Watch | None = None,
) -> TaskScores:
    """Lines of a task -> columns; lines with the same number are filters of one request."""
    scores = TaskScores(task, fields={name: [] for name in fields})
    waiting: list[tuple[int, Response]] = []
    plain: dict[str, Column] = {}
    for row, record in samples:
        if watch:
            watch(row, record)
        failed = _was_scored_without(record)
        if row == len(scores.case_ids):
            _add_request(scores, record, failed=failed)
            if record.response is not None:
                waiting.append((row, record.response))
            waiting += [(row, response) for response in record.later]
            if len(waiting) >= BLOCK:
                scores.measured.add(*zip(*waiting, strict=True))
                waiting.clear()
        for metric, value in record.scores.items():
            column = plain.get(metric)
            if column is None:
                _add_score(scores, row, metric, value, plain, failed=failed)
            elif not failed:
                column.add(row, value)
    if waiting:
        scores.measured.add(*zip(*waiting, strict=True))
    scores.fields = {
        name: cells for name, cells in scores.fields.items() if any(c is not None for c in cells)
    }
    return scores


def _add_request(scores: TaskScores, record: Record, *, failed: bool) -> None:
    scores.case_ids.append(record.case_id)
    scores.doc_hashes.append(record.doc_hash)
    scores.prompt_hashes.append(record.prompt_hash)
    scores.unanswered.append(failed or bool(record.scores.get("unanswered")))
    for name, cells in scores.fields.items():
        value = record.doc.get(name)
        cells.append(None if value is None else sys.intern(str(value)))


def _add_score(
    scores: TaskScores,
    row: int,
    metric: str,
    value: Any,
    plain: dict[str, Column],
    *,
    failed: bool,
) -> None:
    """Take in one score; `plain` gets the column of a metric whose scores stay as they are logged."""
    name = metric.partition(",")[0]
    if name in COUNTERS:
        return
    if is_raw(name, value):
        scores.raw.setdefault(metric, {}).update({} if failed else {row: value})
        return
    column = scores.columns.setdefault(metric, Column())
    if is_as_logged(name):
        plain[metric] = column
    # A task that is not ours scored a missing answer as wrong.
    if value is not None and not failed:
        column.add(row, as_case_score(name, value))


def is_unanswered(record: Record) -> bool:
    """Whether there is no score of an answer: the request failed, or was answered after the scoring."""
    return bool(record.scores.get("unanswered")) or _was_scored_without(record)


def _was_scored_without(record: Record) -> bool:
    """Whether the samples were scored before there was an answer, as the journal knows."""
    response = record.response
    if response is None:
        return False
    is_late = bool(response.text) and not record.answer
    return is_late or response.status in UNSCORED_STATUSES


def share_lists(models: Iterable[ModelScores]) -> None:
    """Models that were asked the same in the same order hold the same lists.

    A quarter of the memory, and a million hashes are compared by their addresses.
    """
    known: dict[tuple[str, str], list[str]] = {}
    for model in models:
        for task, scores in model.tasks.items():
            for name in LISTS:
                mine = getattr(scores, name)
                first = known.setdefault((task, name), mine)
                if first is not mine and first == mine:
                    setattr(scores, name, first)
            if scores.known_cases is not None:  # equal hashes: the same cases
                scores.known_cases = replace(scores.known_cases, hashes=scores.doc_hashes)


def without_cases(model: ModelScores, leaked: dict[str, set[str]]) -> ModelScores:
    """The scores without the cases of some hashes: task -> `doc_hash`."""
    tasks = {
        task: _without(scores, leaked[task]) if leaked.get(task) else scores
        for task, scores in model.tasks.items()
    }
    return replace(model, tasks=tasks)


def _without(scores: TaskScores, hashes: set[str]) -> TaskScores:
    kept = [row for row, doc_hash in enumerate(scores.doc_hashes) if doc_hash not in hashes]
    place = {row: new for new, row in enumerate(kept)}
    left = TaskScores(scores.task)
    for name in LISTS:
        setattr(left, name, [getattr(scores, name)[row] for row in kept])
    left.unanswered = bytearray(scores.unanswered[row] for row in kept)
    left.fields = {name: [cells[row] for row in kept] for name, cells in scores.fields.items()}
    for metric, column in scores.columns.items():
        left.columns[metric] = column.moved(place)
    for metric, pairs in scores.raw.items():
        left.raw[metric] = {place[row]: pair for row, pair in pairs.items() if row in place}
    left.measured = scores.measured.moved(place)
    return left


def join_tasks(name: str, parts: Sequence[TaskScores]) -> TaskScores:
    """Several tasks as one, for a group; requests are not measured twice."""
    whole = TaskScores(name)
    names = dict.fromkeys(n for part in parts for n in part.fields)
    whole.fields = {n: [] for n in names}
    for part in parts:
        start = len(whole)
        whole.case_ids += part.case_ids
        # The same row in two tasks is two cases, not a repeat of one.
        whole.doc_hashes += [f"{part.task} {doc_hash}" for doc_hash in part.doc_hashes]
        whole.prompt_hashes += part.prompt_hashes
        whole.unanswered += part.unanswered
        for n, cells in whole.fields.items():
            cells.extend(part.fields.get(n, [None] * len(part)))
        for metric, column in part.columns.items():
            joined = whole.columns.setdefault(metric, Column(column.width))
            joined.is_numeric &= column.is_numeric and joined.width in (0, column.width)
            joined.width = joined.width or column.width
            joined.cells += column.cells
            joined.rows.extend(row + start for row in column.rows)
        for metric, pairs in part.raw.items():
            whole.raw.setdefault(metric, {}).update({r + start: p for r, p in pairs.items()})
    return whole
