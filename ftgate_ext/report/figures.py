"""Numbers -> words, the same in Markdown, HTML and the terminal. What is unknown says so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ftgate_ext import wording
from ftgate_ext.wording import money, points

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ftgate_ext.schema import Comparisons, Estimate, Operations

NOT_MEASURED = "not measured"
HASH_CHARS = 12
LEAST_P = 0.001


@dataclass(frozen=True)
class Scale:
    """How the values of one metric are written: shares as percentages, others as they are."""

    is_share: bool = True

    def value(self, value: float) -> str:
        """A value: '62.5%', or '3.14' where it is no share."""
        return f"{value:.1%}" if self.is_share else f"{value:.3g}"

    def difference(self, value: float) -> str:
        """A signed difference: '+4.4 pt', or '+1.20' where it is no share."""
        return points(value) if self.is_share else f"{value:+.3g}"


def scale_of(comparisons: Comparisons, task: str, metric: str) -> Scale:
    """The scale of a metric: shares lie between 0 and 1, for every model; their limits may not."""
    estimates = [
        level.estimate
        for level in comparisons.levels
        if (level.task, level.metric) == (task, metric) and level.estimate
    ]
    return Scale(is_share=all(0 <= e.value <= 1 for e in estimates))


def format_interval(
    estimate: Estimate, *, scale: Scale, difference: bool = False, why: str | None = None
) -> str:
    """'95 % CI 1.0% to 8.1%', or 'no interval' and why."""
    if estimate.lower is None or estimate.upper is None:
        return f"no interval: {why}" if why else "no interval"
    write = scale.difference if difference else scale.value
    level = f"{format_level(estimate.level)} " if estimate.level else ""
    return f"{level}CI {write(estimate.lower)} to {write(estimate.upper)}"


def format_level(level: float | None) -> str:
    """'95 %', or '98.33 %' where looks or a selection are paid for."""
    percent = f"{100 * (0.95 if level is None else level):.2f}".rstrip("0").rstrip(".")
    return f"{percent} %"


def format_estimate(
    estimate: Estimate, *, scale: Scale, difference: bool = False, why: str | None = None
) -> str:
    """'2.5% (95 % CI 0.0% to 8.1%, n = 60)'; `why` there is no interval, where there is none."""
    write = scale.difference if difference else scale.value
    interval = format_interval(estimate, scale=scale, difference=difference, why=why)
    return f"{write(estimate.value)} ({interval}, n = {estimate.n})"


def format_p(p: float) -> str:
    """'0.948', or '< 0.001'."""
    return f"< {LEAST_P}" if p < LEAST_P else f"{p:.3f}"


def p_equals(p: float) -> str:
    """'p = 0.948', or 'p < 0.001', as in the rules' sentences."""
    return wording.p_value(p)


def format_seconds(seconds: float | None) -> str:
    """Seconds as in the rules' sentences."""
    return NOT_MEASURED if seconds is None else wording.seconds(seconds)


def format_money(usd: float | None) -> str:
    """Three significant digits, never in scientific notation."""
    return NOT_MEASURED if usd is None else money(usd)


def format_count(count: int | None) -> str:
    """A number of things, with separators of thousands."""
    return NOT_MEASURED if count is None else f"{count:,}"


def format_statuses(operations: Operations) -> str:
    """'118 ok, 4 failed': what became of the requests."""
    counts = [f"{n} {status}" for status, n in sorted(operations.statuses.items(), key=_by_count)]
    if operations.n_without_response:
        counts.append(f"{operations.n_without_response} without a journal line")
    return ", ".join(counts) or NOT_MEASURED


def _by_count(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def format_time(stamp: str | None) -> str:
    """ISO 8601 -> '2026-11-21 04:03 UTC'; anything else stays as it is."""
    if stamp is None:
        return "not finished"
    try:
        return f"{datetime.fromisoformat(stamp):%Y-%m-%d %H:%M %Z}".strip()
    except ValueError:
        return stamp


def short_hash(value: str) -> str:
    """The beginning of a hash."""
    return value[:HASH_CHARS]


def counted(n: int, thing: str) -> str:
    """'1 rule', '3 rules'."""
    return f"{n:,} {thing}" + ("" if n == 1 else "s")


def listed(names: Iterable[str], most: int = 10) -> str:
    """'a, b, c and 4 more'."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def end_sentence(text: str) -> str:
    """The text with a full stop at its end, and a capital at its beginning if that is a word."""
    text = text.strip()
    if text.partition(" ")[0].isalpha():
        text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."
