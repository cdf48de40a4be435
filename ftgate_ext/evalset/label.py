"""Experts say what a case is: which cases they are asked, and what they said.

Labels lie beside the set in `<set>.labels.jsonl`, a line each; the file only ever grows, and the last line of
a labeller about a case counts. Labellers never see the label that the set holds, nor the id, which may tell
it. Knows no terminal and no page.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import Field, ValidationError, model_validator

from ftgate_ext.evalset.label_lines import MAX_NAME, append_line, labeller_name, latest_labels
from ftgate_ext.evalset.rows import load_cases
from ftgate_ext.evalset.schema import Category, Severity, first_problem
from ftgate_ext.schema import EvalSetError, Row

if TYPE_CHECKING:
    from pathlib import Path

CATEGORIES: tuple[Category, ...] = get_args(Category)
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
MAX_COMMENT = 4000


class Label(Row):
    """What one labeller said about one case: a line of the labels file."""

    case: str = Field(min_length=1)
    """Id of the row."""
    code_sha256: str = Field(pattern="^[0-9a-f]{16}$")
    """First 16 hex digits of the sha256 of the code that was shown."""
    labeller: str = Field(min_length=1, max_length=MAX_NAME)
    verdict: Literal["defect", "clean"]
    category: Category | None = None
    severity: Severity | None = None
    lines: list[int] | None = None
    comment: str | None = Field(default=None, max_length=MAX_COMMENT)
    at: str
    """When, in UTC."""

    @model_validator(mode="after")
    def _whole(self) -> Label:
        if self.verdict == "clean" and (self.category or self.severity or self.lines):
            raise ValueError("a clean case has no category, severity or lines")
        if self.verdict == "defect" and self.category is None:
            raise ValueError("a defect needs a category")
        return self


class Labelling:
    """The labels of a set, and whom it asks what next."""

    def __init__(self, file: Path, labeller: str, overlap: float = 0.2) -> None:
        """Read the set and its labels so far.

        Args:
            file: The set: rows with `id` and `code`.
            labeller: Who labels; one line, at most 60 characters.
            overlap: Share of the cases that two label, 0 to 1. Which ones follows from the ids.

        Raises:
            EvalSetError: The set, its labels or an argument are not as they must be.
        """
        self.labeller = labeller_name("--labeller", labeller)
        if not 0 <= overlap <= 1:
            raise EvalSetError(f"--overlap {overlap}: expected a share from 0 to 1.")
        self.labels_file = file.with_name(f"{file.stem}.labels.jsonl")
        self._overlap = overlap
        self._cases = {case["id"]: case for case in load_cases(file, ("code",))}
        odd = [id_ for id_, case in self._cases.items() if not isinstance(case["code"], str)]
        if odd:
            raise EvalSetError(f"{file}: case {odd[0]!r}: `code` is no text.")

    def remaining(self) -> list[dict[str, Any]]:
        """The cases to ask this labeller, those that wait for a second label first."""
        said: dict[str, set[str]] = defaultdict(set)
        if self.labels_file.is_file():
            for label in read_labels([self.labels_file]):
                case = self._cases.get(label.case)
                if case is not None and code_hash(case["code"]) == label.code_sha256:
                    said[label.case].add(label.labeller)
        waiting = []
        for name, case in self._cases.items():
            wanted = 2 if _share("two", name) < self._overlap else 1
            if self.labeller not in said[name] and len(said[name]) < wanted:
                # Another order for everyone: two who work at once seldom take the same case.
                waiting.append((not said[name], _share(self.labeller, name), case))
        return [case for _, _, case in sorted(waiting, key=lambda w: w[:2])]

    def case_of(self, key: str) -> dict[str, Any] | None:
        """The case of an opaque key, if there is one."""
        return next((c for name, c in self._cases.items() if opaque_key(name) == key), None)

    def save(self, case: dict[str, Any], answer: dict[str, Any]) -> Label:
        """Append one label.

        Args:
            case: The row.
            answer: verdict, category, severity, lines and comment, as `Label` has them.

        Raises:
            ValueError: The answer is none; the message says why in one line.
            EvalSetError: The labels file cannot be written.
        """
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            label = Label(
                case=case["id"], code_sha256=code_hash(case["code"]), labeller=self.labeller,
                at=now, **answer,
            )  # fmt: skip
        except ValidationError as error:
            raise ValueError(first_problem(error)) from None
        line = json.dumps(label.model_dump(mode="json"), ensure_ascii=False)
        append_line(self.labels_file, line)
        return label


def read_labels(files: list[Path]) -> list[Label]:
    """The labels of some files, the last of each labeller about each case.

    Raises:
        EvalSetError: A file cannot be read, or lines are no labels; up to 20 are listed.
    """
    return latest_labels(files, Label, lambda label: (label.case, label.labeller))


def read_answer(told: dict[str, str], code: str) -> dict[str, Any]:
    """What a labeller typed -> the fields of a label.

    Args:
        told: verdict, and for a defect category, severity, lines (`3-5`, `3` or nothing); comment.
        code: What was shown; lines must lie in it.

    Raises:
        ValueError: One line that says what was found and expected.
    """
    verdict = told.get("verdict", "")
    if verdict not in {"defect", "clean"}:
        raise ValueError(f"verdict: found {verdict[:20]!r}; expected defect or clean.")
    comment = told.get("comment", "").strip() or None
    if comment and len(comment) > MAX_COMMENT:
        raise ValueError(f"comment: {len(comment)} characters; expected at most {MAX_COMMENT}.")
    if verdict == "clean":
        return {"verdict": verdict, "comment": comment}
    category, severity = told.get("category", ""), told.get("severity", "")
    if category not in CATEGORIES:
        raise ValueError(
            f"category: found {category[:20]!r}; expected one of {', '.join(CATEGORIES)}."
        )
    if severity not in SEVERITIES:
        raise ValueError(
            f"severity: found {severity[:20]!r}; expected one of {', '.join(SEVERITIES)}."
        )
    return {
        "verdict": verdict, "category": category, "severity": severity,
        "lines": _read_lines(told.get("lines", ""), len(code.splitlines())), "comment": comment,
    }  # fmt: skip


def _read_lines(text: str, count: int) -> list[int] | None:
    if not text.strip():
        return None
    found = re.fullmatch(r"\s*(\d{1,6})\s*(?:[-, ]\s*(\d{1,6}))?\s*", text, re.ASCII)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= first <= last <= count:
        raise ValueError(
            f"lines: found {text[:20]!r}; expected 3 or 3-5, from 1 to {count}, or nothing."
        )
    return [first, last]


def code_hash(code: str) -> str:
    """What tells whether a case still shows the code that was labelled."""
    return hashlib.sha256(code.encode(errors="replace")).hexdigest()[:16]


def opaque_key(case: str) -> str:
    """A name for a case that does not tell its id."""
    return hashlib.sha256(f"key:{case}".encode(errors="replace")).hexdigest()[:16]


def _share(salt: str, case: str) -> float:
    """A number from 0 to 1 that looks random and is always the same for the same words."""
    digest = hashlib.sha256(f"{salt}:{case}".encode(errors="replace")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
