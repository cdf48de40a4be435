"""How a judge is asked in batches: what the user wishes -> what stands in for `ask_all`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftgate_ext.errors import FtgateError
from ftgate_ext.policy_servers import EMBEDDED
from ftgate_ext.schema import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ftgate_ext.inference.batch import BatchRetry
    from ftgate_ext.inference.client import Asker, OnResponse
    from ftgate_ext.inference.endpoint import Endpoint, Request
    from ftgate_ext.inference.journal import Journal
    from ftgate_ext.policy import Policy
    from ftgate_ext.schema import Response

BATCHES = "judge_batches.jsonl"


@dataclass(frozen=True)
class BatchWish:
    """The options of `ftgate judge RUN --batch`."""

    retry: BatchRetry = "batch"
    poll_s: float = 60


def wish(retry: str, poll_s: float) -> BatchWish:
    """The options as typed.

    Raises:
        FtgateError: `retry` is neither of the two ways.
    """
    if retry == "batch":
        return BatchWish("batch", poll_s)
    if retry == "direct":
        return BatchWish("direct", poll_s)
    raise FtgateError(f"--batch-retry {retry!r}: expected batch or direct.")


def refuse_embedded(policy: Policy) -> None:
    """Say so before the engine is started.

    Raises:
        RunError: The judge is one that has no Batch API for certain.
    """
    spec = policy.judge
    if spec is not None and spec.replay is None and spec.endpoint == EMBEDDED:
        raise RunError("--batch: the embedded engine has no Batch API; judge without --batch.")


def batch_asker(
    policy: Policy, run_dir: Path, wanted: BatchWish, tell: Callable[[str], None]
) -> Asker:
    """What asks a judge in batches, with the ledger of batches in the run folder.

    Args:
        policy: With a `judge`.
        run_dir: The run that is judged.
        wanted: Retries and polling.
        tell: Told how far batches are.
    """
    if policy.judge is not None and policy.judge.stopping == "e_process":
        tell("judge: `e_process` looks up to 40 times, and waits for a batch each time; obrien_fleming with few looks suits batches better.")  # fmt: skip

    def ask(
        endpoint: Endpoint,
        requests: Sequence[Request],
        journal: Journal | None,
        on_response: OnResponse | None,
    ) -> list[Response]:
        from ftgate_ext.inference.batch import BatchOptions, ask_in_batches

        options = BatchOptions(run_dir / BATCHES, wanted.retry, wanted.poll_s, tell)
        return ask_in_batches(endpoint, requests, journal, on_response, options)

    return ask
