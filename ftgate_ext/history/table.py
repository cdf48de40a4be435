"""The history for a terminal, at most 100 columns wide, and as JSON for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftgate_ext.history.fingerprints import Fingerprint, difference, of_judge, of_task
from ftgate_ext.history.green import last_green, new_regressions
from ftgate_ext.report.figures import Scale, format_money, format_time
from ftgate_ext.report.tables import COLUMNS, NONE, lay_out
from ftgate_ext.report.text import clean_line, wrap_line
from ftgate_ext.schema import RunError, to_json
from ftgate_ext.wording import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.history.entry import HistoryEntry, PrimaryMetric
    from ftgate_ext.history.index import History

OTHERS = ("production", "frontier", "base")
"""Against which model the primary metric and the win rate are told: the first that is there."""
STATES = {"unfinished": "unfinished", "asked": "not compared", "compared": "not decided"}


def scale_of_metric(primary: PrimaryMetric) -> Scale:
    """Shares as percentages, other figures as they are."""
    return Scale(is_share=all(0 <= e.value <= 1 for e in primary.levels.values()))


def choose_lines(history: History, line: str | None, limit: int) -> dict[str, list[HistoryEntry]]:
    """Candidate line -> its newest runs, oldest first; the line of the newest run last.

    Args:
        history: All runs.
        line: Only the lines whose name holds this text.
        limit: How many runs of a line.

    Raises:
        RunError: No line has such a name.
    """
    lines: dict[str, list[HistoryEntry]] = {}
    for entry in history.entries:
        runs = lines.pop(entry.line, [])
        lines[entry.line] = [*runs, entry]
    if line is not None:
        named = [name for name in lines if line.casefold() in name.casefold()]
        if not named:
            raise RunError(
                f"{history.where}: no candidate line {line!r}; there are {', '.join(map(repr, lines)) or 'none'}."
            )
        lines = {name: lines[name] for name in named}
    return {name: runs[-limit:] for name, runs in lines.items()}


def history_table(history: History, line: str | None = None, limit: int = 20) -> str:
    """One table a candidate line, the newest run first."""
    if not history.entries:
        text = [f"{history.where}: no runs. `ftgate gate` makes one."]
        return "\n".join([*text, *_skipped(history)])
    blocks = [
        _line_block(name, runs, history.entries)
        for name, runs in choose_lines(history, line, limit).items()
    ]
    lines = [text for block in blocks for text in [*block, ""]]
    return "\n".join([*lines[:-1], *_skipped(history)])


def history_json(history: History, line: str | None = None, limit: int = 20) -> dict[str, Any]:
    """The same runs with all that the history knows of them."""
    chosen = choose_lines(history, line, limit)
    runs = [_run_json(e, history.entries) for entries in chosen.values() for e in entries]
    return {"where": history.where, "runs": runs, "skipped": history.skipped}


def _run_json(entry: HistoryEntry, entries: Sequence[HistoryEntry]) -> dict[str, Any]:
    green = last_green(entries, entry)
    return to_json(entry) | {
        "last_green": green.folder if green else None,
        "new_regressions": new_regressions(entry, green),
    }


def _line_block(name: str, runs: list[HistoryEntry], entries: Sequence[HistoryEntry]) -> list[str]:
    metrics = {plain(e.primary.metric) for e in runs if e.primary}
    metric = metrics.pop() if len(metrics) == 1 else "primary metric"
    letters, notes = _series_letters(runs)
    rows = [
        [format_time(e.created_at).removesuffix(" UTC"), _who(e), e.verdict or STATES[e.state], letters[e.folder],
         _primary(e), _win_rate(e), _cost(e), _new(e, entries)]
        for e in reversed(runs)
    ]  # fmt: skip
    columns = ["Began (UTC)", "Candidate, run", "Verdict", "Series", metric[:1].upper() + metric[1:],
               "Win rate", "Cost", "Regressed"]  # fmt: skip
    if len(set(letters.values())) == 1:
        columns, rows = _without(columns, 3), [_without(row, 3) for row in rows]
    table = lay_out(columns, rows, flexible=(1, len(columns) - 4))
    return [*wrap_line(name, COLUMNS), *table, *notes, *_green_line(runs[-1], entries)]


def _without(cells: list[str], column: int) -> list[str]:
    return [cell for i, cell in enumerate(cells) if i != column]


def _who(entry: HistoryEntry) -> str:
    candidate = entry.candidate
    return f"{candidate.name if candidate else 'no candidate'}\n{entry.folder}"


def _primary(entry: HistoryEntry) -> str:
    primary = entry.primary
    own = primary.levels.get("candidate") if primary else None
    if primary is None or own is None:
        return NONE
    scale = scale_of_metric(primary)
    found = next(((r, primary.differences[r]) for r in OTHERS if r in primary.differences), None)
    against = "" if found is None else f"\n{scale.difference(found[1].value)}"
    named = f" vs {found[0]}" if found and found[0] != "production" else ""
    return f"{scale.value(own.value)}{against}{named}"


def _win_rate(entry: HistoryEntry) -> str:
    if entry.judge is not None and not entry.judge.fit:
        return "judge\nunfit"
    rates = {w.baseline: w.estimate for w in entry.win_rates if w.estimate}
    found = next(((role, rates[role]) for role in OTHERS if role in rates), None)
    if found is None:
        return NONE
    named = f"\nvs {found[0]}" if found[0] != "production" else ""
    return f"{found[1].value:.1%}{named}"


def _cost(entry: HistoryEntry) -> str:
    serving = entry.serving_of("candidate")
    cost = serving.cost_usd_per_request if serving else None
    return format_money(cost.value) if cost else NONE


def _new(entry: HistoryEntry, entries: Sequence[HistoryEntry]) -> str:
    """How many cases regressed, and how many of them are new since the last green build."""
    if not entry.regressions:
        return NONE
    regressed = sum(len(row.cases) for row in entry.regressions)
    new = len(new_regressions(entry, last_green(entries, entry)))
    return f"{regressed}" if not regressed else f"{regressed}\n{new} new"


def comparison_print(entry: HistoryEntry) -> Fingerprint:
    """What the primary metric and the win rates of two runs must share to be compared."""
    tasks = [entry.primary.task] if entry.primary else []
    tasks += [w.task for w in entry.win_rates]
    found: Fingerprint = {}
    for task in dict.fromkeys(tasks):
        found |= of_task(entry, task)
    return found | (of_judge(entry) if entry.judge else {})


def _series_letters(runs: list[HistoryEntry]) -> tuple[dict[str, str], list[str]]:
    """Folder -> the letter of what its figures may be compared with, and why a letter is another."""
    letters: dict[str, str] = {}
    known: list[Fingerprint] = []
    notes: list[str] = []
    before: Fingerprint | None = None
    for entry in runs:
        mine = comparison_print(entry)
        if not mine:
            letters[entry.folder] = NONE
            continue
        if mine not in known:
            known.append(mine)
            if before is not None:
                why = difference(before, mine)
                notes += wrap_line(
                    f"Series {_letter(len(known) - 1)} is not comparable with {_letter(known.index(before))}: {why}.", COLUMNS
                )  # fmt: skip
        letters[entry.folder] = _letter(known.index(mine))
        before = mine
    return letters, notes


def _letter(number: int) -> str:
    """0 -> A, 25 -> Z, 26 -> AA."""
    rest, digit = divmod(number, 26)
    return (_letter(rest - 1) if rest else "") + chr(ord("A") + digit)


def _green_line(newest: HistoryEntry, entries: Sequence[HistoryEntry]) -> list[str]:
    green = newest if newest.verdict == "GO" else last_green(entries, newest)
    if green is None:
        return ["No green build of this line yet: every regressed case counts as new."]
    return wrap_line(f"Last green build: {green.folder} of {format_time(green.created_at)}.", COLUMNS)  # fmt: skip


def _skipped(history: History) -> list[str]:
    notes = list(history.skipped)
    notes += [problem for entry in history.entries for problem in entry.problems]
    if not notes:
        return []
    return ["", "Not read:", *(piece for note in notes for piece in wrap_line(clean_line(note), COLUMNS))]  # fmt: skip
