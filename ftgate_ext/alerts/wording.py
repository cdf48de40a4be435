"""Alerts -> what a chat, a CI summary and a terminal show. Names are not ours: none may do anything."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ftgate_ext.report.text import escape_markdown
from ftgate_ext.terminal import clean_line

if TYPE_CHECKING:
    from ftgate_ext.alerts.find import Alert

NAMED = 20
"""So many items of an alert are named."""
MAX_NAME_CHARS = 80
MAX_TITLE_CHARS = 300
_FORMATTING = re.compile(r"(?<!\w)[*_~`]|[*_~`](?!\w)|@")
"""A formatting sign only counts at the edge of a word; a mention begins with @."""
_MORE = "and {} more"
HEAD_CHARS, SECTION_CHARS, BLOCKS = 150, 3000, 45
"""Slack's limits: a header's text, a section's text, and fewer blocks than it allows."""


def slack_payload(alerts: list[Alert]) -> dict[str, Any]:
    """The body of a webhook, as Slack takes it and others that copied it do."""
    n = len(alerts)
    head = (
        f"ftgate: {n} alert{'' if n == 1 else 's'} in run {_cut(alerts[0].run_id, MAX_NAME_CHARS)}"
    )
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": head[:HEAD_CHARS]}}
    ]
    blocks += [
        {"type": "section", "text": {"type": "mrkdwn", "text": _section(alert)}}
        for alert in alerts[:BLOCKS]
    ]
    lines = [head, *(_slack(alert.title, MAX_TITLE_CHARS) for alert in alerts)]
    return {"text": "\n".join(lines), "blocks": blocks}


def _section(alert: Alert) -> str:
    lines = [f"*{_slack(alert.title, MAX_TITLE_CHARS)}*"]
    room = SECTION_CHARS - len(lines[0]) - len(_MORE.format(len(alert.items)))
    for item in alert.items[:NAMED]:
        line = f"• {_code(item)}"
        room -= len(line) + 2
        if room < 0:
            break
        lines.append(line)
    return "\n".join([*lines, *_more(alert, len(lines) - 1)])


def _more(alert: Alert, shown: int = NAMED) -> list[str]:
    left = len(alert.items) - shown
    return [_MORE.format(left)] if left > 0 else []


def _cut(text: str, chars: int) -> str:
    text = clean_line(text)
    return text if len(text) <= chars else f"{text[: chars - 3]}..."


def _slack(text: str, chars: int) -> str:
    """Text without Slack's links, mentions and formatting: its own rules for `&`, `<` and `>`."""
    text = _cut(text, chars)
    for sign, spare in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, spare)
    return _FORMATTING.sub("\u200b\\g<0>\u200b", text)


def _code(text: str) -> str:
    """A name as code, in which nothing is formatted and nobody is mentioned."""
    text = _cut(text, MAX_NAME_CHARS).replace("`", "'")
    for sign, spare in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, spare)
    return f"`{text or '-'}`"


def alerts_markdown(alerts: list[Alert]) -> str:
    """A section for the summary of a CI job."""
    lines = ["### ftgate alerts", ""]
    for alert in alerts:
        lines.append(f"- **{escape_markdown(_cut(alert.title, MAX_TITLE_CHARS))}**")
        names = [escape_markdown(_cut(item, MAX_NAME_CHARS)) for item in alert.items[:NAMED]]
        lines += [f"  - {name}" for name in [*names, *_more(alert)]]
    return "\n".join([*lines, ""]) + "\n"


def alerts_text(alerts: list[Alert]) -> str:
    """Plain lines for a terminal or the log of a CI job."""
    lines = []
    for alert in alerts:
        lines.append(f"ALERT {alert.kind}: {_cut(alert.title, MAX_TITLE_CHARS)}")
        lines += [f"  {_cut(item, MAX_NAME_CHARS)}" for item in alert.items[:NAMED]]
        lines += [f"  {more}" for more in _more(alert)]
    return "\n".join(lines)
