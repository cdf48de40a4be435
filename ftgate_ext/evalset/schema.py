"""The row types of the shipped eval sets, closed and checked. Knows no file."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from ftgate_ext.schema import Row

SetName = Literal["golden", "shadow", "regression", "safety", "format"]
SETS: tuple[SetName, ...] = ("golden", "shadow", "regression", "safety", "format")
"""The five shipped sets; the file of one is `codereview_<name>.jsonl`."""

Category = Literal[
    "logic", "boundary", "null_handling", "error_handling", "resource_leak",
    "concurrency", "security", "performance", "api_misuse", "data_loss",
]  # fmt: skip
Severity = Literal["low", "medium", "high", "critical"]
Tier = Literal["easy", "medium", "hard"]
Form = Literal["function", "diff"]
Length = Literal["short", "medium", "long"]
LabelStrength = Literal["proven", "stated", "agreed"]

SHORT_LINES, MEDIUM_LINES = 12, 24


def length_bucket(text: str) -> Length:
    """Short up to 12 lines, medium up to 24, long above."""
    lines = text.count("\n") + 1
    return "short" if lines <= SHORT_LINES else "medium" if lines <= MEDIUM_LINES else "long"


class GoldenRow(Row):
    """One case of the golden set: code or a diff, and what an expert says about it."""

    id: str = Field(min_length=1)
    language: str = Field(min_length=1)
    purpose: str = Field(min_length=1)
    """One neutral phrase: what the code is for."""
    form: Form
    """A function with its context, or a unified diff."""
    code: str = Field(min_length=1)
    verdict: Literal["defect", "clean"]
    category: Category | None
    subtype: str | None
    """Short kind of the defect, such as off_by_one."""
    also_accept: list[Category]
    """Other categories that an expert would also accept."""
    severity: Severity | None
    lines: list[int] | None
    """First and last line to change, from 1, in `code` as it is shown."""
    comment: str | None
    tier: Tier
    cluster: str = Field(min_length=1)
    """The family; its rows are similar and are resampled together."""
    twin: str | None
    """Id of the row with the same code and the other verdict."""
    length: Length
    source: str = Field(min_length=1)
    """template, authored, imported ..."""
    label_source: str = Field(min_length=1)
    """execution, construction, checked:node ..."""
    label_strength: LabelStrength

    @model_validator(mode="after")
    def _labels_agree(self) -> GoldenRow:
        labels = (self.category, self.subtype, self.severity, self.lines, self.comment)
        if self.verdict == "clean" and (any(x is not None for x in labels) or self.also_accept):
            raise ValueError("a clean row has no category, subtype, severity, lines or comment")
        if self.verdict == "defect" and any(x is None for x in labels):
            raise ValueError("a defect needs category, subtype, severity, lines and comment")
        if self.lines is not None:
            first, last = self.lines if len(self.lines) == 2 else (0, 0)
            if not 1 <= first <= last <= len(self.code.splitlines()):
                raise ValueError(f"lines {self.lines}; expected [first, last] inside the code")
        if self.category in self.also_accept:
            raise ValueError(f"also_accept repeats the category {self.category!r}")
        return self


class ShadowRow(Row):
    """One review request as a developer writes it, unlabelled."""

    id: str = Field(min_length=1)
    language: str = Field(min_length=1)
    request: str = Field(min_length=1)
    tone: str = Field(min_length=1)
    completeness: Literal["full", "partial", "no_code", "wrong_paste"]
    """How much of the code that the request is about stands in it."""
    length: Length
    topic: str = Field(min_length=1)
    source: str = Field(min_length=1)


class RegressionRow(Row):
    """One formerly wrong case with checks that a machine decides."""

    id: str = Field(min_length=1)
    language: str = Field(min_length=1)
    purpose: str = Field(min_length=1)
    code: str = Field(min_length=1)
    used_to: str = Field(min_length=1)
    """One sentence: what an earlier model got wrong."""
    checks: list[dict[str, Any]] = Field(min_length=1)
    source: str = Field(min_length=1)


class SafetyRow(Row):
    """One harmful request that must be refused, or a benign look-alike that must be answered."""

    id: str = Field(min_length=1)
    expect: Literal["refuse", "answer"]
    harm: str = Field(min_length=1)
    """The kind of harm asked for, or looked like."""
    framing: str = Field(min_length=1)
    """How it is asked: plain, role_play, injection_in_code ..."""
    pair: str = Field(min_length=1)
    """Shared by a harmful row and its look-alikes."""
    prompt: str = Field(min_length=1)
    source: str = Field(min_length=1)


class FormatRow(Row):
    """One request that demands an answer of a stated shape: a JSON Schema or a text format."""

    id: str = Field(min_length=1)
    prompt: str = Field(min_length=1)
    schema_: dict[str, Any] | None = Field(alias="schema")
    """JSON Schema 2020-12 of the answer; null where `format` says the shape."""
    format: dict[str, Any] | None
    """Kind and bounds of a shape that is not JSON."""
    base: str | None
    """The code that a demanded diff must apply to."""
    example: Any
    """An answer of that shape."""
    source: str = Field(min_length=1)

    @model_validator(mode="after")
    def _one_shape(self) -> FormatRow:
        if (self.schema_ is None) == (self.format is None):
            raise ValueError("expected either `schema` or `format`")
        return self


ROW_TYPES: dict[SetName, type[Row]] = {
    "golden": GoldenRow,
    "shadow": ShadowRow,
    "regression": RegressionRow,
    "safety": SafetyRow,
    "format": FormatRow,
}


def row_fields(name: SetName) -> list[str]:
    """The keys of a set's rows in the order in which they are written."""
    return [field.alias or key for key, field in ROW_TYPES[name].model_fields.items()]


def row_problem(name: SetName, row: dict[str, Any]) -> str | None:
    """What is wrong with a row of a set: `field: found, expected`; None where nothing is."""
    try:
        ROW_TYPES[name].model_validate(row)
    except ValidationError as error:
        return first_problem(error)
    return None


def first_problem(error: ValidationError) -> str:
    """The first of pydantic's findings in one line."""
    found = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in found["loc"]) or "row"
    shown = repr(found.get("input"))
    if len(shown) > 60 or found["type"] in {"missing", "value_error"}:
        shown = ""
    return f"{where}: {found['msg'].removeprefix('Value error, ')}{f', found {shown}' if shown else ''}"
