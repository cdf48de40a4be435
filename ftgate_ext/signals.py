"""What `gate` tells others at its end. The decision stands: nothing in here can break or change it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.alerts.stage import alert_run, alerted_text
from ftgate_ext.policy import load_policy
from ftgate_ext.schema import FtgateError
from ftgate_ext.traces.stage import trace_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def tell_others(run_dir: Path, policy_file: Path, say: Callable[[str], None]) -> None:
    """Write and send traces; send alerts where the policy names any.

    Args:
        run_dir: A decided run.
        policy_file: Its policy.
        say: Gets one line for whatever went wrong, and the alerts.
    """
    try:
        traced = trace_run(run_dir, policy_file=policy_file)
        if traced.problem:
            say(f"Traces: {traced.problem}")
    except FtgateError as error:
        say(f"Traces: {error}")
    try:
        if load_policy(policy_file).alerts is None:
            return
        done = alert_run(run_dir, policy_file=policy_file)
        if done.new:
            say(alerted_text(done))
        for problem in done.problems:
            say(f"Alerts: {problem}")
    except FtgateError as error:
        say(f"Alerts: {error}")
