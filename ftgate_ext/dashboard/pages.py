"""Views -> pages of HTML. Whatever was not written here is escaped, and no page may load anything.

The one page with a script carries it within, under its hash in the Content-Security-Policy; the
data of that page stand in a block that no browser executes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from jinja2.filters import do_mark_safe

from ftgate_ext.dashboard.facts import facts_of
from ftgate_ext.history.table import STATES
from ftgate_ext.report.figures import format_time
from ftgate_ext.report.text import clean_block

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.dashboard.case import CaseRow, CaseView
    from ftgate_ext.dashboard.listing import ListedCase
    from ftgate_ext.history import HistoryEntry

SCRIPTS = ("vendor/uPlot.iife.min.js", "templates/draw.js", "templates/tables.js", "templates/page.js")  # fmt: skip
CHART_STYLES = ("vendor/uPlot.min.css", "templates/page.css")
STYLES = ("templates/page.css",)
_DANGEROUS = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def render_index(data: dict[str, Any]) -> str:
    """The page of all runs."""
    return _render("index.html.j2", CHART_STYLES, SCRIPTS, data=_json_block(data), where=data["where"])  # fmt: skip


def render_run(
    entry: HistoryEntry,
    cases: list[tuple[ListedCase, str | None]],
    new: list[str],
    green: HistoryEntry | None,
    index_href: str,
    notes: list[str],
    tasks: Sequence[tuple[str, str]] = (),
) -> str:
    """The page of one run.

    Args:
        entry: The run.
        cases: What to look at, and where its page is; None where it was not written.
        new: Regressions that are new since the last green build.
        green: That build.
        index_href: Where the page of all runs is.
        notes: What was left out.
        tasks: Each task and where all its cases are listed; none in files.
    """
    groups: dict[str, list[Any]] = {}
    for fact in facts_of(entry):
        groups.setdefault(fact.group, []).append(fact)
    rules = groups.pop("Rules", [])
    return _render(
        "run.html.j2", STYLES, entry=entry, state=entry.verdict or STATES[entry.state],
        when=format_time(entry.created_at), groups=groups, has_rules=bool(rules), cases=cases, new=new,
        green=green, index_href=index_href, notes=notes, tasks=tasks,
    )  # fmt: skip


def render_cases(
    entry: HistoryEntry,
    task: str,
    rows: list[tuple[CaseRow, str]],
    paging: tuple[int, list[tuple[int, str]], int],
    index_href: str,
    run_href: str,
) -> str:
    """The list of all cases of a task: (this page, every page and where it is, cases in all)."""
    page, pages, n = paging
    roles = [m.role for m in entry.models if not m.absent]
    return _render(
        "cases.html.j2", STYLES, entry=entry, task=task, rows=rows, page=page, pages=pages, n=n, roles=roles,
        index_href=index_href, run_href=run_href,
    )  # fmt: skip


def render_case(entry: HistoryEntry, case: CaseView, index_href: str, run_href: str) -> str:
    """The page of one case of one run."""
    return _render(
        "case.html.j2", STYLES, entry=entry, case=case, when=format_time(entry.created_at),
        names={m.role: m.name for m in entry.models}, index_href=index_href, run_href=run_href,
    )  # fmt: skip


def render_message(title: str, text: str, index_href: str) -> str:
    """A page with one sentence."""
    return _render("message.html.j2", STYLES, title=title, text=text, index_href=index_href)


def content_security_policy(styles: tuple[str, ...], scripts: tuple[str, ...] = ()) -> str:
    """Nothing is loaded and only our own script runs: by the hashes of both."""
    allowed = f"script-src {_hash_of(scripts)}; " if scripts else ""
    return f"default-src 'none'; {allowed}style-src {_hash_of(styles)}; img-src data:; base-uri 'none'; form-action 'none'"  # fmt: skip


def _render(template: str, styles: tuple[str, ...], scripts: tuple[str, ...] = (), **values: Any) -> str:  # fmt: skip
    return _environment().get_template(template).render(
        policy=content_security_policy(styles, scripts), style=do_mark_safe(_text_of(styles)),
        script=do_mark_safe(_text_of(scripts)), **values,
    )  # fmt: skip


def _json_block(data: dict[str, Any]) -> Any:
    """JSON that cannot end the block it stands in."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return do_mark_safe(text.translate(_DANGEROUS))


@lru_cache(maxsize=8)
def _text_of(names: tuple[str, ...]) -> str:
    return "\n".join(_asset(name) for name in names)


@lru_cache(maxsize=8)
def _hash_of(names: tuple[str, ...]) -> str:
    digest = hashlib.sha256(_text_of(names).encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _asset(name: str) -> str:
    return (files("ftgate_ext.dashboard") / name).read_text(encoding="utf-8")


def _load_template(name: str) -> str:
    return _asset(f"templates/{name}")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(_load_template), autoescape=True, undefined=StrictUndefined,
        finalize=_finalize, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip


def _finalize(value: Any) -> Any:
    """Control characters go first: no browser needs them, and some turn the direction of writing."""
    return (
        clean_block(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
    )
