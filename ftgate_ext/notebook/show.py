"""What a cell shows, as HTML and as plain text. Whatever a model or a user wrote stands escaped inside <pre> or <td>.

Notebooks also set formulas and may obey terminal sequences in plain text: texts have no control characters, and
stand where formulas are not set.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from ftgate_ext.report.failures import name_category
from ftgate_ext.report.text import clean_block, clean_line
from ftgate_ext.schema import ROLES
from ftgate_ext.wording import plain, points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.findings.texts import CaseTexts
    from ftgate_ext.schema import Decision, Findings, RunManifest

WITHHELD = "(not shown: a harmful request and its answers)"
MAX_CHARS = 6000
CHANGES = {"broken": "regression", "flaky": "flaky", "still_wrong": "still wrong"}
NO_TYPESETTING = 'class="tex2jax_ignore mathjax_ignore"'
PRE = 'style="white-space:pre-wrap;overflow-wrap:anywhere;text-align:left;margin:0"'


@dataclass(frozen=True)
class Shown:
    """The output of a cell."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return self.html

    def __repr__(self) -> str:
        """What a terminal shows."""
        return self.text


def show_summary(manifest: RunManifest, decision: Decision | None) -> Shown:
    """Models and verdict."""
    models = [
        [card.role, card.name, f"took no part: {card.absent}" if card.absent else "asked"]
        for card in manifest.models
    ]
    verdict = (
        f"{decision.verdict}: {decision.policy_name}" if decision
        else "No decision yet; `ftgate decide` makes one."
    )  # fmt: skip
    return _page(f"Run {manifest.run_id}", [verdict], ["Role", "Model", "Part"], models)


def show_changes(findings: Findings) -> Shown:
    """One row a deciding metric; what could not be compared says why."""
    rows = [
        [c.task, plain(c.metric), c.reference, f"{c.n:,}", *(str(c.counts.get(k, "not known")) for k in ("fixed", "broken", "still_wrong", "flaky")),
         points(c.net.value) if c.net else f"not known: {c.unavailable}", _span(c.net.lower, c.net.upper) if c.net else ""]
        for c in findings.changes
    ]  # fmt: skip
    columns = ["Task", "Metric", "Against", "n", "Fixed", "Broken", "Still wrong", "Flaky", "Net", "95 % CI"]  # fmt: skip
    lines = list(findings.absent) or ([] if rows else ["Nothing was compared."])
    return _page("What changed", lines, columns, rows)


def _span(lower: float | None, upper: float | None) -> str:
    return (
        "no interval" if lower is None or upper is None else f"{points(lower)} to {points(upper)}"
    )


def show_list(cases: Sequence[CaseTexts]) -> Shown:
    """The numbered failures."""
    rows = [
        [str(number), case.failure.case_id, case.failure.task, CHANGES[case.failure.change],
         name_category(case.failure.category or "no category"), case.failure.severity or "not stated"]
        for number, case in enumerate(cases, start=1)
    ]  # fmt: skip
    columns = ["Number", "Case", "Task", "Change", "Failure", "Severity"]
    lines = [] if rows else ["There is no failure to show: nothing was compared, or nothing is wrong."]  # fmt: skip
    return _page(f"Top {len(rows)} failures" if rows else "Failures", lines, columns, rows)


def show_case(number: int, case: CaseTexts) -> Shown:
    """One failure with all its texts, the models' answers side by side."""
    failure = case.failure
    kind = name_category(failure.category or "no category")
    title = f"{number}. Case {failure.case_id} of {failure.task}: {CHANGES[failure.change]}, {kind}"
    if failure.is_withheld:
        return _page(title, [WITHHELD], [], [])
    blocks = [("Input", case.request), ("Expected", case.expected or "(nothing stated)")]
    html = "".join(f"<h4>{name}</h4>{_pre(text)}" for name, text in blocks)
    roles = [role for role in ROLES if role in case.answers]
    head = "".join(f'<th style="text-align:left">{role}</th>' for role in roles)
    cells = "".join(f'<td style="vertical-align:top">{_pre(case.answers[r])}</td>' for r in roles)
    html += f"<h4>Answers</h4><table><thead><tr>{head}</tr></thead><tbody><tr>{cells}</tr></tbody></table>"
    said = [f"{word.about}: {word.verdict}. {word.reasoning}" for word in case.judge]
    html += (
        f"<h4>The judge</h4>{_pre(chr(10).join(said) or 'The judge said nothing of this case.')}"
    )
    blocks += [(f"Answer of {role}", case.answers[role]) for role in roles]
    blocks += [("The judge", line) for line in said]
    text = "\n".join(line for name, words in blocks for line in (f"{name}:", *_barred(words)))
    return Shown(f"<div {NO_TYPESETTING}><h3>{escape(clean_line(title))}</h3>{html}</div>", f"{clean_line(title)}\n{text}")  # fmt: skip


def _pre(text: str) -> str:
    return f"<pre {PRE}>{escape(_cut(text))}</pre>"


def _cut(text: str) -> str:
    more = f"\n({len(text) - MAX_CHARS:,} more characters)" if len(text) > MAX_CHARS else ""
    return (clean_block(text[:MAX_CHARS]) or "(empty)") + more


def _barred(text: str) -> list[str]:
    """Lines behind a bar: no answer can pass for a heading of ours."""
    return [f"| {line}" for line in _cut(text).split("\n")]


def _page(title: str, lines: Sequence[str], columns: list[str], rows: list[list[str]]) -> Shown:
    """A heading, sentences and a table; no table where there are no rows."""
    title, lines = clean_line(title), [clean_line(line) for line in lines]
    html = f"<h3>{escape(title)}</h3>" + "".join(f"<p>{escape(line)}</p>" for line in lines)
    text = "\n".join([title, *lines])
    if rows:
        cells = [[clean_line(cell) for cell in row] for row in rows]
        head = "".join(f'<th style="text-align:left">{escape(c)}</th>' for c in columns)
        body = "".join(
            "<tr>" + "".join(f'<td style="text-align:left">{escape(c)}</td>' for c in row) + "</tr>"
            for row in cells
        )
        html += f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        text += "\n" + "\n".join(" | ".join(row) for row in [columns, *cells])
    return Shown(f"<div {NO_TYPESETTING}>{html}</div>", text)
