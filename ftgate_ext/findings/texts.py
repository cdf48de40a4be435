"""The texts of chosen cases out of a run folder: request, expected answer, all models' answers, the judge's words.

Lines without a wanted hash are never parsed, so that a few cases of a large run are found at once.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from ftgate_ext.findings.by_judge import LABELS
from ftgate_ext.findings.collect import answer_hash, expected_of
from ftgate_ext.judge.stage import JUDGMENTS
from ftgate_ext.runs import find_results, load_rows, model_folders
from ftgate_ext.schema import FailureLabel, Judgment, RunError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ftgate_ext.schema import Role, TopFailure

_DOC_HASH = re.compile(rb'"doc_hash":\s*"([^"\\]{1,200})"')


@dataclass(frozen=True)
class JudgeWord:
    """What the judge said of a case."""

    about: str
    verdict: str
    reasoning: str


@dataclass(frozen=True)
class CaseTexts:
    """One case with everything that was written about it. Nothing in it is to be trusted."""

    failure: TopFailure
    request: str = ""
    expected: str = ""
    answers: dict[Role, str] = field(default_factory=dict)
    """Of repeats the first; models that were not asked are not there."""
    judge: list[JudgeWord] = field(default_factory=list)


def load_texts(run_dir: Path, failures: Iterable[TopFailure]) -> list[CaseTexts]:
    """The texts of some cases, in their order.

    Args:
        run_dir: A run folder, wherever it lies.
        failures: From `findings.json`.

    Raises:
        RunError: A line of a samples file is broken, or a model has results of several models.
    """
    cases = {(f.task, f.doc_hash): CaseTexts(f) for f in failures}
    wanted = {doc_hash.encode(): doc_hash for _, doc_hash in cases}
    for role, folder in model_folders(run_dir).items():
        for task, path in find_results(folder).samples.items():
            if any(task == of for of, _ in cases):
                _read(path, task, role, cases, wanted)
    _add_judge(run_dir, cases)
    return list(cases.values())


def _read(
    path: Path,
    task: str,
    role: Role,
    cases: dict[tuple[str, str], CaseTexts],
    wanted: dict[bytes, str],
) -> None:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            # A model may have written the same words: every occurrence is looked at.
            if not any(found in wanted for found in _DOC_HASH.findall(line)):
                continue
            try:
                sample = from_json(line)
                case = cases.get((task, sample["doc_hash"]))
                if case is None or role in case.answers:
                    continue
                request, answer = _request_of(sample["arguments"]), _first(sample["resps"])
                doc = sample["doc"] if isinstance(sample["doc"], dict) else {}
                expected = expected_of(doc, str(sample["target"]))
            except (ValueError, KeyError, TypeError) as error:
                raise RunError(
                    f"{path}:{number}: not a sample of lm-eval ({type(error).__name__}: {error}); run that model again."
                ) from None
            case.answers[role] = answer
            if not case.request:
                cases[task, case.failure.doc_hash] = CaseTexts(
                    case.failure, request, expected, case.answers, case.judge
                )


def _request_of(arguments: Any) -> str:
    """The last message of a chat, or the whole prompt; lm-eval logs a chat as JSON in a list."""
    first = arguments["gen_args_0"]["arg_0"]
    text = str(first[0] if isinstance(first, list) else first)
    try:
        return str(json.loads(text)[-1]["content"]) if text.startswith("[") else text
    except (ValueError, KeyError, TypeError, IndexError):
        return text


def _first(resps: Any) -> str:
    while isinstance(resps, list):
        resps = resps[0] if resps else ""
    return str(resps)


def _add_judge(run_dir: Path, cases: dict[tuple[str, str], CaseTexts]) -> None:
    """Verdicts on pairs in both orders, and what the judge said of a failure that no rule sorts."""
    for j in load_rows(run_dir / JUDGMENTS, Judgment):
        case = cases.get((j.task, j.doc_hash))
        if case is not None and j.reasoning:
            order = "candidate first" if j.first == "candidate" else f"{j.baseline} first"
            case.judge.append(JudgeWord(f"pair with {j.baseline}, {order}", j.verdict, j.reasoning))
    for label in load_rows(run_dir / LABELS, FailureLabel):
        case = cases.get((label.task, label.doc_hash))
        answer = case.answers.get(label.role) if case else None
        if case and answer is not None and answer_hash(answer) == label.answer_hash:
            said = label.category or "no category"
            case.judge.append(JudgeWord(f"failure of {label.role}", said, label.reasoning))
