"""Which alerts were told before: `alerts.jsonl` in the folder of runs, one line a key.

Appended to, never rewritten: two gates may end at once. Without the file everything is new again.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from ftgate_ext.schema import Row, RunError

if TYPE_CHECKING:
    from pathlib import Path

    from ftgate_ext.alerts.find import Alert

SEEN = "alerts.jsonl"
Channel = Literal["terminal", "webhook"]


class Told(Row):
    """One line: that something was told."""

    key: str
    run_id: str
    channel: Channel
    at: str
    """ISO 8601, UTC."""


def read_seen(folder: Path, channel: Channel) -> set[str]:
    """The keys that were told over this channel. What a chat got, was also seen in the terminal.

    A line that was cut off or edited is passed over: its alert is told again.

    Raises:
        RunError: The file is there and cannot be read.
    """
    path = folder / SEEN
    try:
        lines = path.read_bytes().splitlines() if path.is_file() else []
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); move it away.") from None
    found = set()
    for line in lines:
        try:
            told = Told.model_validate_json(line)
        except ValidationError:
            continue
        if channel in (told.channel, "terminal"):
            found.add(told.key)
    return found


def only_new(alerts: list[Alert], seen: set[str]) -> list[Alert]:
    """The alerts that were not told, with the items that were not."""
    found = []
    for alert in alerts:
        new = [i for i, key in enumerate(alert.keys) if key not in seen]
        if not new:
            continue
        one_each = len(alert.keys) == len(alert.items)
        items = [alert.items[i] for i in new] if one_each else alert.items
        keys = [alert.keys[i] for i in new]
        found.append(alert.model_copy(update={"items": items, "keys": keys}))
    return found


def note_seen(folder: Path, alerts: list[Alert], channel: Channel) -> None:
    """Remember that these were told.

    Raises:
        RunError: The folder cannot be written.
    """
    at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    rows = [
        Told(key=key, run_id=alert.run_id, channel=channel, at=at)
        for alert in alerts
        for key in alert.keys
    ]
    text = "".join(row.model_dump_json() + "\n" for row in rows)
    try:
        with (folder / SEEN).open("a", encoding="utf-8") as file:
            # The line break comes first: a line that was cut off must not swallow the next one.
            file.write("\n" + text if file.tell() else text)
    except OSError as error:
        raise RunError(
            f"{folder / SEEN}: cannot be written ({error.strerror}); the same will be told again."
        ) from None
