"""The history -> everything that the page of all runs shows, as plain JSON values."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeAlias

from ftgate_ext.dashboard.charts import charts_of, frontier_of
from ftgate_ext.dashboard.facts import WRITERS, Fact, Unit, facts_of, metric_unit, write_interval
from ftgate_ext.dashboard.matrix import matrix_of
from ftgate_ext.history.green import last_greens, new_regressions
from ftgate_ext.history.table import STATES, choose_lines
from ftgate_ext.report.figures import format_time
from ftgate_ext.wording import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ftgate_ext.history import History, HistoryEntry
    from ftgate_ext.schema import Estimate

Prints: TypeAlias = dict[tuple[tuple[str, str], ...], int]
"""Every fingerprint once -> its number on the page: hundreds of runs share a few of them."""


def page_data(
    history: History,
    run_href: Callable[[str], str],
    case_pages: dict[str, str] | None = None,
) -> dict[str, Any]:
    """What the page of all runs shows.

    Args:
        history: All runs.
        run_href: Run folder -> where its page is.
        case_pages: Key of a case (`case_key`) -> its file, where pages were written beforehand; the
            page asks a server for any case when left out.
    """
    lines = choose_lines(history, None, len(history.entries) or 1)
    prints: Prints = {}
    drawn = [_line(name, runs, run_href, prints) for name, runs in reversed(lines.items())]
    problems = [problem for entry in history.entries for problem in entry.problems]
    return {
        "where": history.where,
        "made": format_time(datetime.now(timezone.utc).isoformat()),
        "lines": drawn,
        "prints": [dict(key) for key in prints],
        "skipped": [*history.skipped, *problems],
        "cases": case_pages,
    }


def case_key(folder: str, task: str, case_id: str) -> str:
    """The key of a case of a run."""
    return f"{folder}\n{task}\n{case_id}"


def _line(
    name: str, entries: Sequence[HistoryEntry], run_href: Callable[[str], str], prints: Prints
) -> dict[str, Any]:
    greens = last_greens(entries)
    index = {id(entry): i for i, entry in enumerate(entries)}
    runs = [
        _run(entry, green, run_href, prints) | {"green": index[id(green)] if green else None}
        for entry, green in zip(entries, greens, strict=True)
    ]
    return {
        "name": name,
        "runs": runs,
        "charts": charts_of(entries),
        "frontier": frontier_of(entries),
        "matrix": matrix_of(entries),
    }


def _run(
    entry: HistoryEntry,
    green: HistoryEntry | None,
    run_href: Callable[[str], str],
    prints: Prints,
) -> dict[str, Any]:
    regressed = sum(len(row.cases) for row in entry.regressions) if entry.regressions else None
    return {
        "folder": entry.folder,
        "when": format_time(entry.created_at),
        "candidate": entry.candidate.name if entry.candidate else "no candidate",
        "verdict": entry.verdict,
        "state": STATES.get(entry.state, entry.verdict),
        "href": run_href(entry.folder),
        "regressed": regressed,
        "new": None if regressed is None else len(new_regressions(entry, green)),
        "headline": _headline(entry),
        "facts": [_fact(fact, prints) for fact in facts_of(entry)],
    }


def _fact(fact: Fact, prints: Prints) -> dict[str, Any]:
    """A row for the page: what is not there is left out, a fingerprint is its number."""
    row: dict[str, Any] = {"group": fact.group, "label": fact.label, "text": fact.text}
    if fact.value is not None and fact.fingerprint is not None:
        key = tuple(sorted(fact.fingerprint.items()))
        row |= {"value": fact.value, "unit": fact.unit, "print": prints.setdefault(key, len(prints))}  # fmt: skip
    return row


def _headline(entry: HistoryEntry) -> dict[str, list[str]]:
    """Column of the table of runs -> figure, interval and n; what is not known is left out."""
    found: list[tuple[str, Estimate, Unit]] = []
    primary, unit = entry.primary, metric_unit(entry)
    if primary and (own := primary.levels.get("candidate")):
        found.append((plain(primary.metric), own, unit))
    if primary and (difference := primary.differences.get("production")):
        found.append(
            ("change from production", difference, "points" if unit == "share" else "number")
        )
    rate = next((w for w in entry.win_rates if w.baseline == "production" and w.estimate), None)
    if rate and rate.estimate and entry.judge and entry.judge.fit:
        found.append(("win rate", rate.estimate, "share"))
    serving = entry.serving_of("candidate")
    if serving and serving.cost_usd_per_request:
        found.append(("cost per request", serving.cost_usd_per_request, "usd"))
    if serving and (p95 := serving.latencies.get("latency_p95_s")):
        found.append(("latency p95", p95, "s"))
    return {name: [WRITERS[u](e.value), *write_interval(e, u).split(", ")] for name, e, u in found}
