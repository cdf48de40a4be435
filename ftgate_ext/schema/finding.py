"""`findings.json`: what went wrong, by failure category."""

from __future__ import annotations

from ftgate_ext.schema.row import FORMAT_VERSION, Role, Row


class Example(Row):
    """One failure, to look at."""

    case_id: str
    role: Role
    expected: str
    answer: str


class Finding(Row):
    """An error bucket: how many cases of one model fell into it, with examples."""

    task: str
    category: str
    role: Role
    n: int
    of: int
    examples: list[Example]


class Findings(Row):
    """`findings.json`: what went wrong, by failure category."""

    format_version: int = FORMAT_VERSION
    findings: list[Finding]
