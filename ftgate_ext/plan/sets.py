"""Policy -> how many cases every eval set and every metric will have, counted from the rows.

Downloads nothing: where the data is not at hand, `cases` of the policy counts. Knows no statistics.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftgate_ext.lm_tasks import find_tasks
from ftgate_ext.plan.planned import PlannedSet
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lm_eval.api.task import Task
    from lm_eval.tasks import TaskManager

    from ftgate_ext.policy import EvalSet, Policy

METRIC_ROWS: dict[str, tuple[str, str]] = {
    "refusal_harmful": ("expect", "refuse"),
    "refusal_benign": ("expect", "answer"),
}
"""Metric -> the field and value of the rows that it applies to; every other applies to all."""
POSITIVE_ROWS: dict[str, tuple[str, str]] = {
    "f1": ("verdict", "defect"),
    "defect_f1": ("verdict", "defect"),
}
"""F1 metric -> the field and value of the rows that hold something to be found."""
F1_AGGREGATION = "corpus_f1"
LOCAL_FORMATS = frozenset({"json", "csv", "text", "parquet", "arrow"})
SAMPLED_PROMPTS = 50
"""Prompts rendered to guess at their length."""

Labels = list[str]


@dataclass(frozen=True)
class MemberTask:
    """One lm-eval task of an eval set, with its first `n` rows."""

    task: Task
    n: int

    def labels(self, field_name: str) -> list[str | None] | None:
        """A field of every row as text; None where rows have no such field."""
        rows = self.task.eval_docs
        names = getattr(rows, "column_names", None)
        if names is not None and field_name not in names:
            return None
        cells = rows[field_name] if names is not None else [row.get(field_name) for row in rows]
        found = [None if cell is None else str(cell) for cell in list(cells)[: self.n]]
        return found if any(cell is not None for cell in found) else None

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
        return _limited(self.spec.cases or 0, self.spec.limit)

    @property
    def requests(self) -> int:
        """What one model is asked."""
        return self.n * self.spec.repeats

    def lacks(self, metric: str) -> str | None:
        """Why the set has no such metric, or None where it has, or nobody knows."""
        name = metric.partition(",")[0]
        known = dict.fromkeys(m for member in self.members for m in member.metrics)
        if not known or name in known:
            return None
        own = [m for m in known if m != "unanswered"]
        return f"{self.spec.task} has no metric {metric!r}; it has {', '.join(own)}"

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
        filter_field, wanted = METRIC_ROWS.get(metric.partition(",")[0], ("", None))
        index = 0
        for member in self.members:
            none = [None] * member.n
            marks = member.labels(filter_field) if wanted else none
            labels = member.labels(field_name) or none
            for mark, label in zip(marks or none, labels, strict=True):
                yield _Row(index, label, mark == wanted)
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
    tasks = find_tasks([], [policy_file.parent / p for p in policy.task_paths])
    return {spec.task: _size_set(spec, tasks) for spec in policy.eval_sets}


def _size_set(spec: EvalSet, tasks: TaskManager) -> SizedSet:
    members: list[MemberTask] = []
    if _is_at_hand(spec.task, tasks):
        try:
            built = tasks.load([spec.task])["tasks"].values()
            members = [
                MemberTask(task, _limited(len(task.eval_docs), spec.limit)) for task in built
            ]
        except (OSError, ImportError, LookupError) as error:
            if spec.cases is None:
                raise _uncountable(spec, f"cannot be loaded here ({_first_line(error)})") from None
    if not members and spec.cases is None:
        raise _uncountable(spec, "is not here to be counted, and a plan downloads nothing")
    return SizedSet(spec, members)


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
