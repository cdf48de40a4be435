"""`ftgate alerts`: what is new in a run, told to whoever should know."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ftgate_ext.alerts.find import Alert, find_alerts
from ftgate_ext.alerts.seen import Channel, note_seen, only_new, read_seen
from ftgate_ext.alerts.webhook import post, webhook_url
from ftgate_ext.alerts.wording import alerts_markdown, alerts_text, slack_payload
from ftgate_ext.policy import load_policy
from ftgate_ext.policy_signals import AlertsSpec
from ftgate_ext.runs import POLICY_COPY
from ftgate_ext.schema import Row, RunError

SUMMARY = "GITHUB_STEP_SUMMARY"
"""GitHub's variable with the file that a job's summary is written to."""


class Alerted(Row):
    """What became of the alerts of a run."""

    run_id: str | None = None
    new: list[Alert]
    n_known: int
    """Alerts that were told before, wholly."""
    delivered: bool | None = None
    """By the webhook; None where none is named, or nothing is new."""
    payload: dict[str, Any] | None = None
    """What a webhook gets; only of a dry run."""
    problems: list[str] = []
    """What could not be told, one sentence each."""


def alert_run(
    run_dir: Path,
    webhook_env: str | None = None,
    policy_file: Path | None = None,
    *,
    dry_run: bool = False,
    again: bool = False,
) -> Alerted:
    """Find what is new, tell it, and remember that it was told.

    Args:
        run_dir: A decided run.
        webhook_env: Name of the variable with the URL; the policy's when left out.
        policy_file: Other rules than the run's own.
        dry_run: Tell nobody and remember nothing.
        again: Also what was told before.

    Raises:
        RunError: The run is not decided, or the webhook is named and its URL is not there. What
            cannot be delivered is told in `problems`, and is new the next time.
    """
    policy = load_policy(policy_file or run_dir / POLICY_COPY)
    spec = policy.alerts or AlertsSpec()
    name = webhook_env or spec.webhook_env
    url = webhook_url(name) if name and not dry_run else None
    folder = run_dir.resolve().parent
    channel: Channel = "webhook" if name else "terminal"
    found = find_alerts(run_dir, policy, spec.about)
    new = found if again else only_new(found, read_seen(folder, channel))
    done = Alerted(
        run_id=found[0].run_id if found else None, new=new, n_known=len(found) - len(new)
    )
    if not new:
        return done
    if dry_run:
        return done.model_copy(update={"payload": slack_payload(new)})
    problems, delivered = _write_summary(new), None
    if url and name:
        try:
            post(url, slack_payload(new), name)
            delivered = True
        except RunError as error:
            problems.append(str(error))
            delivered = False
    try:
        note_seen(folder, new, "terminal" if delivered is False else channel)
    except RunError as error:
        problems.append(str(error))
    return done.model_copy(update={"delivered": delivered, "problems": problems})


def _write_summary(alerts: list[Alert]) -> list[str]:
    """Add to the summary of a GitHub job; what went wrong with it."""
    place = os.environ.get(SUMMARY)
    if not place:
        return []
    try:
        with Path(place).open("a", encoding="utf-8", errors="replace") as file:
            file.write(alerts_markdown(alerts))
    except OSError as error:
        return [f"{SUMMARY}: cannot be written ({error.strerror})."]
    return []


def alerted_text(done: Alerted) -> str:
    """What is new, as plain lines."""
    known = f" ({done.n_known} told before; --again repeats them)" if done.n_known else ""
    if not done.new:
        return f"No new alerts{known}."
    lines = [alerts_text(done.new)]
    lines += ["Delivered to the webhook."] if done.delivered else []
    return "\n".join(lines)
