"""Run folder -> one case with the answers of all models, their scores and the judge's verdicts.

Nothing here is trusted: what models, judges and eval sets wrote stays plain text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ftgate_ext.judge.rubric import RUBRIC_SCORES
from ftgate_ext.judge.stage import JUDGMENTS
from ftgate_ext.report.figures import format_money, format_seconds
from ftgate_ext.runs import find_results, load_rows, model_folders
from ftgate_ext.samples import Record, read_task, stream_samples
from ftgate_ext.schema import ROLES, Judgment, Role, RubricScore, RunError
from ftgate_ext.wording import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

BEGINNING_CHARS = 120
CaseKey = tuple[str, str]
"""Task and case id."""


@dataclass(frozen=True)
class CaseAnswer:
    """What one model answered."""

    role: Role
    text: str
    prompt: str
    scores: list[tuple[str, str]]
    request: list[tuple[str, str]]
    """What is known of the request: status, latency, tokens, cost, error."""


@dataclass
class CaseView:
    """One case, everything about it."""

    task: str
    case_id: str
    prompt: str = ""
    expected: str = ""
    answers: list[CaseAnswer] = field(default_factory=list)
    judgments: list[Judgment] = field(default_factory=list)
    rubrics: list[RubricScore] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What could not be read, and prompts that differ between models."""


def load_case(run_dir: Path, task: str, case_id: str) -> CaseView:
    """One case of a run.

    Raises:
        RunError: No model was asked such a case, or its file is broken.
    """
    found = load_cases(run_dir, [(task, case_id)])[(task, case_id)]
    if not found.answers:
        why = f" ({found.notes[0]})" if found.notes else ""
        raise RunError(f"{run_dir.name}: no case {case_id!r} in {task!r}{why}.")
    return found


def load_cases(run_dir: Path, wanted: Iterable[CaseKey]) -> dict[CaseKey, CaseView]:
    """Several cases of a run; every file is read once.

    A file that cannot be read is named in the notes of its cases.
    """
    views = {key: CaseView(task=key[0], case_id=key[1]) for key in wanted}
    for role, folder in model_folders(run_dir).items():
        try:
            _add_answers(views, role, find_results(folder).samples)
        except RunError as error:
            for view in views.values():
                view.notes.append(f"The answers of {role} cannot be read: {error}")
    _add_verdicts(views, run_dir)
    for view in views.values():
        _settle(view)
    return views


@dataclass(frozen=True)
class CaseRow:
    """One case in the list of a task."""

    case_id: str
    expected: str
    answers: dict[Role, tuple[str, str]]
    """Role -> how its answer begins, and its scores."""


def list_task(run_dir: Path, task: str) -> list[CaseRow]:
    """Every case of one task with the scores of all models, in the order of the eval set.

    Raises:
        RunError: No model was asked that task, or a file is broken.
    """
    rows: dict[str, CaseRow] = {}
    for role, folder in model_folders(run_dir).items():
        samples = find_results(folder).samples.get(task)
        for record in read_task(task, samples) if samples else ():
            expected = " ".join(record.target[:BEGINNING_CHARS].split())
            row = rows.setdefault(record.case_id, CaseRow(record.case_id, expected, {}))
            told = (f"{plain(name)} {_score(value)}" for name, value in record.scores.items())
            beginning = " ".join(record.answer[:BEGINNING_CHARS].split())
            row.answers.setdefault(role, (beginning or "no text", ", ".join(told)))
    if not rows:
        raise RunError(f"{run_dir.name}: no model was asked {task!r}.")
    return list(rows.values())


def _add_answers(views: dict[CaseKey, CaseView], role: Role, samples: Mapping[str, Path]) -> None:
    for task, path in samples.items():
        ids = {case for t, case in views if t == task}
        if not ids:
            continue
        records: dict[str, Record] = {}
        for _, record in stream_samples(task, path):
            if record.case_id in ids:  # one line a filter: the same answer with other scores
                first = records.setdefault(record.case_id, record)
                first.scores.update(record.scores)
        for case_id, record in records.items():
            view = views[task, case_id]
            view.prompt = view.prompt or record.prompt
            view.expected = view.expected or record.target
            view.answers.append(_answer(role, record))


def _answer(role: Role, record: Record) -> CaseAnswer:
    return CaseAnswer(
        role, record.answer, record.prompt,
        [(plain(name), _score(value)) for name, value in record.scores.items()],
        _request(record),
    )  # fmt: skip


def _score(value: Any) -> str:
    if isinstance(value, list) and len(value) == 3:  # an F1 counts these per case
        counts = zip(("hit", "false alarm", "missed"), value, strict=True)
        return (
            ", ".join(f"{n} {what}" for what, n in counts if n) or "nothing to find, none reported"
        )
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _request(record: Record) -> list[tuple[str, str]]:
    response = record.response
    if response is None:
        return [("request", "not measured")]
    rows = [("status", response.status), ("latency", format_seconds(response.latency_s))]
    if response.input_tokens is not None or response.output_tokens is not None:
        rows.append(("tokens in, out", f"{response.input_tokens}, {response.output_tokens}"))
    rows.append(("cost", format_money(response.cost_usd)))
    if response.finish_reason:
        rows.append(("finish", response.finish_reason))
    if response.error:
        rows.append(("error", response.error))
    return rows


def _add_verdicts(views: dict[CaseKey, CaseView], run_dir: Path) -> None:
    try:
        judgments = load_rows(run_dir / JUDGMENTS, Judgment)
        rubrics = load_rows(run_dir / RUBRIC_SCORES, RubricScore)
    except RunError as error:
        for view in views.values():
            view.notes.append(f"The judge's verdicts cannot be read: {error}")
        return
    for judgment in judgments:
        if (judgment.task, judgment.case_id) in views:
            views[judgment.task, judgment.case_id].judgments.append(judgment)
    for score in rubrics:
        if (score.task, score.case_id) in views:
            views[score.task, score.case_id].rubrics.append(score)


def _settle(view: CaseView) -> None:
    view.answers.sort(key=lambda a: ROLES.index(a.role))
    differing = [a.role for a in view.answers if a.prompt != view.prompt]
    if differing:
        view.notes.append(
            f"The prompt of {', '.join(differing)} was another text than the one shown."
        )
