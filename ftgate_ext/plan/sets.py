"""Policy -> how many cases every eval set and every metric will have, counted from the rows.

Downloads nothing: where the data is not at hand, `cases` of the policy counts. Knows no statistics.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftgate_ext.capability.draw import allocate, drawn_rows
from ftgate_ext.capability.local_data import is_local
from ftgate_ext.capability.tasks import LOCAL_FORMATS, NotLoadedError, build_tasks
from ftgate_ext.inference.payload import TURNS_FROM
from ftgate_ext.labelled import LABELS
from ftgate_ext.lm_tasks import find_tasks
from ftgate_ext.pass_at_k import PASSED, read_k
from ftgate_ext.plan.planned import PlannedSet
from ftgate_ext.schema import EvalSetError
from ftgate_ext.scoring.mtbench import MTBENCH
from ftgate_ext.scoring.mtbench import TURNS as MTBENCH_TURNS
from ftgate_ext.stats.labels import STATISTICS
from ftgate_ext.wording import DRESSES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lm_eval.api.task import Task
    from lm_eval.tasks import TaskManager

    from ftgate_ext.policy import EvalSet, Policy

METRIC_ROWS: dict[str, tuple[str, str]] = {
    f"{what}_{side}": ("expect", expected)
    for what in ("refusal", "partial_refusal", "compliance")
    for side, expected in (("harmful", "refuse"), ("benign", "answer"))
}
"""Metric -> the field and value of the rows that it applies to; every other applies to all."""
POSITIVE_ROWS: dict[str, tuple[str, str]] = {
    "f1": ("verdict", "defect"),
    "defect_f1": ("verdict", "defect"),
}
"""F1 metric -> the field and value of the rows that hold something to be found."""
F1_AGGREGATION = "corpus_f1"
SAMPLED_PROMPTS = 50
"""Prompts rendered to guess at their length."""

Labels = list[str]


@dataclass(frozen=True)
class MemberTask:
    """One lm-eval task of an eval set, with the `n` rows that are asked: the first, or a draw."""

    task: Task
    n: int
    rows: list[int] | None = None
    """Positions of the rows, where they are a draw."""

    @property
    def n_whole(self) -> int:
        """All rows that there are."""
        return len(self.task.eval_docs)

    def labels(self, field_name: str) -> list[str | None] | None:
        """A field of every row as text; None where rows have no such field."""
        rows = self.task.eval_docs
        names = getattr(rows, "column_names", None)
        if names is not None and field_name not in names:
            return None
        cells = rows[field_name] if names is not None else [row.get(field_name) for row in rows]
        every = list(cells)
        kept = every[: self.n] if self.rows is None else [every[i] for i in self.rows]
        found = [None if cell is None else str(cell) for cell in kept]
        return found if any(cell is not None for cell in found) else None

    def docs(self) -> Iterator[Mapping[str, Any]]:
        """The rows that are asked."""
        rows = range(self.n) if self.rows is None else self.rows
        return (self.task.eval_docs[i] for i in rows)

    @property
    def metrics(self) -> list[str]:
        """What the task scores, without the counters of requests."""
        return [str(m["metric"]) for m in self.task.config.metric_list or []]

    def has_f1(self, metric: str) -> bool:
        """Whether the metric is an F1 over all cases, not a mean."""
        return any(
            m["metric"] == metric and getattr(m.get("aggregation"), "__name__", "") == F1_AGGREGATION
            for m in self.task.config.metric_list or []
        )  # fmt: skip

    @cached_property
    def prompt_chars(self) -> float:
        """Mean length of the prompts, from evenly spaced ones; examples count as long as questions."""
        step = max(1, self.n // SAMPLED_PROMPTS)
        chosen = range(0, self.n, step)
        texts = [str(self.task.doc_to_text(self.task.eval_docs[i])) for i in chosen]
        shots = int(self.task.config.num_fewshot or 0)
        return (1 + shots) * sum(map(len, texts)) / len(texts)

    @property
    def turns(self) -> int:
        """Messages of the user in a conversation."""
        column = (self.task.config.generation_kwargs or {}).get(TURNS_FROM)
        return max(len(turns) for turns in self.task.eval_docs[column]) if column else 1

    @property
    def max_tokens(self) -> int | None:
        """The task's own limit on new tokens; 1 where it only ranks given answers."""
        if self.task.config.output_type != "generate_until":
            return 1
        settings = self.task.config.generation_kwargs or {}
        limit = settings.get("max_gen_toks") or settings.get("max_tokens")
        return int(limit) if limit else None


@dataclass(frozen=True)
class Size:
    """How many cases a metric will have."""

    n: int
    clusters: list[int] = field(default_factory=list)
    """Size of each group of cases that belong together; empty where every case stands alone."""
    is_counted: bool = True

    def effective(self, correlation: float) -> float:
        """Independent cases that carry as much: n / (1 + (m - 1) icc), m the size seen by a case."""
        if not self.clusters:
            return float(self.n)
        size = sum(m * m for m in self.clusters) / self.n
        return self.n / (1 + (size - 1) * correlation)


def _rows_of(metric: str) -> list[tuple[str, str]]:
    """The fields and values of the rows that a metric applies to; of a perturbation, one row a case."""
    name, _, dress = metric.partition(",")
    asked = [METRIC_ROWS[name]] if name in METRIC_ROWS else []
    return [*asked, ("perturbation", "none")] if dress in DRESSES else asked


@dataclass(frozen=True)
class SizedSet:
    """An eval set of the policy, with its rows where they are at hand."""

    spec: EvalSet
    members: list[MemberTask]
    """Empty where the data is not here."""

    @property
    def n(self) -> int:
        """Cases, each counted once."""
        if self.members:
            return sum(member.n for member in self.members)
        return _limited(self.spec.cases or 0, self.spec.limit or self.spec.sample)

    @property
    def n_whole(self) -> int:
        """Cases that there are, asked or not."""
        if self.members:
            return sum(member.n_whole for member in self.members)
        return self.spec.cases or 0

    @property
    def requests(self) -> int:
        """What one model is asked."""
        unknown = MTBENCH_TURNS if self.spec.task == MTBENCH else 1
        turns = max((member.turns for member in self.members), default=unknown)
        return self.n * self.spec.repeats * turns

    def lacks(self, metric: str) -> str | None:
        """Why the set has no such metric, or None where it has, or nobody knows."""
        name = metric.partition(",")[0]
        known = dict.fromkeys(m for member in self.members for m in member.metrics)
        if not known or name in known or self._derives(name, list(known)):
            return None
        own = [m for m in known if m != "unanswered"]
        return f"{self.spec.task} has no metric {metric!r}; it has {', '.join(own)}"

    def _derives(self, name: str, known: list[str]) -> bool:
        """Whether `compare` or `judge` makes this metric of what the task scores."""
        if (k := read_k(name)) is not None:
            return PASSED in known and 1 <= k <= self.spec.repeats > 1
        return name in STATISTICS and LABELS in known

    def has_f1(self, metric: str) -> bool:
        """Whether the metric is an F1 over all cases; by its name where the task is not here."""
        if not self.members:
            return metric in POSITIVE_ROWS
        return any(member.has_f1(metric.partition(",")[0]) for member in self.members)

    def size_of(self, metric: str) -> Size:
        """The cases that a metric applies to."""
        if not self.members:
            return Size(self.n, is_counted=False)
        rows = [row for row in self._rows(metric, self.spec.cluster) if row.applies]
        sizes = Counter(row.label if row.label is not None else row.index for row in rows)
        clusters = list(sizes.values()) if any(m > 1 for m in sizes.values()) else []
        return Size(len(rows), clusters)

    def bucket_sizes(self, metric: str, by: str) -> dict[str, int] | None:
        """Value of a row field -> cases that the metric applies to; None where rows are not here."""
        if not self.members:
            return None
        labels = [row.label for row in self._rows(metric, by) if row.applies]
        return dict(Counter(label for label in labels if label is not None))

    def positive_share(self, metric: str) -> float | None:
        """Share of the rows in which an F1 metric has something to find."""
        name, wanted = POSITIVE_ROWS.get(metric, (None, None))
        if name is None or not self.members:
            return None
        labels = [row.label for row in self._rows(metric, name) if row.applies]
        return sum(label == wanted for label in labels) / len(labels) if any(labels) else None

    def _rows(self, metric: str, field_name: str) -> Iterator[_Row]:
        wanted = _rows_of(metric)
        index = 0
        for member in self.members:
            none: list[str | None] = [None] * member.n
            marks = [(member.labels(name) or none, value) for name, value in wanted]
            labels = member.labels(field_name) or none
            for row, label in enumerate(labels):
                applies = all(column[row] == value for column, value in marks)
                yield _Row(index, label, applies)
                index += 1

    def planned(self) -> PlannedSet:
        """For the plan."""
        size = self.size_of("")
        return PlannedSet(
            task=self.spec.task, n=self.n, is_counted=bool(self.members), repeats=self.spec.repeats,
            n_clusters=len(size.clusters) or None,
        )  # fmt: skip


@dataclass(frozen=True)
class _Row:
    index: int
    label: str | None
    applies: bool


def size_sets(policy: Policy, policy_file: Path) -> dict[str, SizedSet]:
    """Every eval set of a policy with its size.

    Raises:
        EvalSetError: Data that is here is broken, or data is not here and `cases` is not stated.
    """
    data = policy_file.parent / policy.data if policy.data else None
    local = [s.task for s in policy.eval_sets if data and is_local(s.task, data)]
    tasks = find_tasks(local, [policy_file.parent / p for p in policy.task_paths])
    return {
        spec.task: _size_set(spec, tasks, data if spec.task in local else None, policy.run.seed)
        for spec in policy.eval_sets
    }


def _size_set(spec: EvalSet, tasks: TaskManager, data: Path | None, seed: int) -> SizedSet:
    members: list[MemberTask] = []
    if data or _is_at_hand(spec.task, tasks):
        try:
            built = build_tasks(tasks, spec.task, data, spec.fewshot)
            members = _members(spec, built, seed)
        except NotLoadedError as error:
            if spec.cases is None:
                raise _uncountable(spec, f"cannot be loaded here ({_first_line(error)})") from None
    if not members and spec.cases is None:
        raise _uncountable(spec, "is not here to be counted, and a plan downloads nothing")
    return SizedSet(spec, members)


def _members(spec: EvalSet, built: dict[str, Task], seed: int) -> list[MemberTask]:
    """The tasks with the rows that are asked of each."""
    sizes = {name: len(task.eval_docs) for name, task in built.items()}
    if spec.sample is None:
        return [MemberTask(task, _limited(sizes[name], spec.limit)) for name, task in built.items()]
    try:
        drawn = allocate(sizes, spec.sample)
    except ValueError as error:
        raise EvalSetError(f"{spec.task}: `sample` asks for {error}.") from None
    return [
        MemberTask(task, drawn[name], drawn_rows(name, sizes[name], drawn[name], seed))
        for name, task in built.items()
    ]


def _uncountable(spec: EvalSet, why: str) -> EvalSetError:
    return EvalSetError(
        f"eval set {spec.task!r}: its data {why}; state `cases: N` beside the task in eval_sets, or mend `task` or `task_paths`."
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _limited(n: int, limit: int | None) -> int:
    return min(n, limit) if limit else n


def _is_at_hand(name: str, tasks: TaskManager) -> bool:
    """Whether a task of our folders or of `task_paths`, or all of a group, have files of their own."""
    entry = tasks.task_index.get(name)
    if entry is None or entry.cfg is None:
        return False
    return _has_files(entry.cfg, tasks)


def _has_files(settings: Mapping[str, Any], tasks: TaskManager) -> bool:
    if "custom_dataset" in settings or settings.get("dataset_path") in LOCAL_FORMATS:
        return True
    members = settings.get("task")
    if "group" in settings and isinstance(members, list):
        return all(
            _has_files(member, tasks) if isinstance(member, dict) else _is_at_hand(member, tasks)
            for member in members
        )
    path = settings.get("dataset_path")
    return isinstance(path, str) and Path(path).is_dir()
