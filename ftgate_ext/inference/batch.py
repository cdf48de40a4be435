"""Ask through OpenAI's Batch API, at a part of the price and within a day.

The same in and out as `client.ask_all`: requests and a journal in, one `Response` a request out. A process
that is killed at any moment goes on where it was: what is in the journal is not asked, what is in a batch
is waited for, and a batch whose name was lost is looked for at the server.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ftgate_ext.inference.answers import answered_response, estimate_prompt, failed_response
from ftgate_ext.inference.attempt import CANNOT_HEAL, Attempt
from ftgate_ext.inference.batch_api import BatchApi
from ftgate_ext.inference.batch_ledger import BatchLedger, Flight
from ftgate_ext.inference.batch_lines import (
    attempt_of,
    custom_id,
    failed_attempt,
    in_a_batch,
    request_files,
)
from ftgate_ext.inference.client import OnResponse, ask_all
from ftgate_ext.inference.journal import request_hash
from ftgate_ext.schema import Response, RunError, RunStopped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ftgate_ext.inference.batch_api import BatchState
    from ftgate_ext.inference.endpoint import Endpoint, Request
    from ftgate_ext.inference.journal import Journal

BatchRetry = Literal["batch", "direct"]

MOST_REQUESTS = 50_000
MOST_TIMES = 3
"""In how many batches a request is sent before it counts as failed."""
FIRST_POLL_S = 1.0
POLL_GROWTH = 1.5
LONGEST_POLL_S = 60.0
QUEUE_FULL = "token_limit_exceeded"
"""Code of a batch that is refused because too many tokens of the account wait already."""


@dataclass(frozen=True)
class BatchOptions:
    """How batches are sent and watched."""

    ledger: Path
    """Where batches under way are noted."""
    retry: BatchRetry = "batch"
    """How a request is asked again that failed in a batch: in a further one, or at once at the full price."""
    poll_s: float = LONGEST_POLL_S
    """Longest time between two looks at a batch."""
    tell: Callable[[str], None] | None = None
    """Told how far batches are, one line each time something changed."""


@dataclass(eq=False)
class _Open:
    """A request without an answer, and everyone who waits for it."""

    request: Request
    key: str
    places: list[int]
    sent: int = 0


def ask_in_batches(
    endpoint: Endpoint,
    requests: Sequence[Request],
    journal: Journal | None,
    on_response: OnResponse | None,
    options: BatchOptions,
) -> list[Response]:
    """Ask everything that the journal does not hold in batches; the responses in order.

    Answers carry no latency, and a cost with the batch discount of the price. A request that fails for
    good becomes a `failed` or `malformed` response, as it does without batches.

    Args:
        endpoint: Whom to ask.
        requests: What to ask.
        journal: Where answers are found and kept.
        on_response: Progress.
        options: Ledger, retries and polling.

    Raises:
        RunError: The endpoint has no Batch API, refuses the key or the batch, or the batch may cost more
            than the budget.
        RunStopped: There is no answer, no room or no time left. What was answered is in the journal,
            and what is under way in the ledger: the same call goes on.
    """
    return _BatchCall(endpoint, requests, journal, on_response, options).run()


class _BatchCall:
    """One call of `ask_in_batches`: what is open, and what is under way."""

    def __init__(
        self,
        endpoint: Endpoint,
        requests: Sequence[Request],
        journal: Journal | None,
        on_response: OnResponse | None,
        options: BatchOptions,
    ) -> None:
        self._endpoint, self._journal, self._on_response = endpoint, journal, on_response
        self._options = options
        self._ledger = BatchLedger(options.ledger, endpoint.base_url)
        self._answers: list[Response | None] = [None] * len(requests)
        self._open: dict[str, _Open] = {}
        self._flying: list[Flight] = []
        self._most = MOST_REQUESTS
        self._spent_usd = 0.0
        self._began = time.monotonic()
        for place, request in enumerate(requests):
            self._take(place, request)

    def _take(self, place: int, request: Request) -> None:
        """Answer a request from the journal, or keep it open."""
        key = request_hash(self._endpoint.model, request.task, request.payload)
        find = self._journal.find if self._journal else None
        known = find(key, request.occurrence, request.case_id) if find else None
        if known is not None:
            self._answer([place], known, known=True)
            return
        name = custom_id(key, request)
        self._open.setdefault(name, _Open(request, key, [])).places.append(place)

    def run(self) -> list[Response]:
        """Ask everything; the responses in order."""
        if self._open:
            self._api = BatchApi(self._endpoint)
            try:
                self._resume()
                while self._open:
                    self._send()
                    self._wait()
            finally:
                self._api.close()
        return [answer for answer in self._answers if answer is not None]

    def _resume(self) -> None:
        """Find the batches again that an earlier process left under way."""
        for flight in self._ledger.open_flights():
            if not flight.requests & self._open.keys():
                continue
            if flight.batch is None:
                found = self._api.find(flight.key, flight.planned_at)
                if found is None:
                    self._ledger.note_read(flight.key, "never created")
                    continue
                flight.batch = found.id
                self._ledger.note_created(flight.key, found.id)
            self._say(f"batch {flight.batch}: under way since an earlier start, not sent again")
            self._flying.append(flight)

    def _send(self) -> None:
        """Send what is in no batch: in new ones, or directly where it failed in one."""
        flying = frozenset[str]().union(*(flight.requests for flight in self._flying))
        waiting = {name: one for name, one in self._open.items() if name not in flying}
        if self._options.retry == "direct":
            again = {name: one for name, one in waiting.items() if one.sent}
            self._ask_directly(again)
            waiting = {name: one for name, one in waiting.items() if not one.sent}
        if waiting:
            self._expect_budget()
        files = {name: one.request for name, one in waiting.items()}
        for lines in request_files(self._endpoint.model, files, self._most):
            self._create(lines)

    def _create(self, lines: dict[str, bytes]) -> None:
        flight = self._ledger.plan(uuid.uuid4().hex, list(lines))
        file_id = self._api.upload(b"".join(lines.values()), f"ftgate_{flight.key}.jsonl")
        created = self._api.create(file_id, flight.key, flight.planned_at)
        self._ledger.note_created(flight.key, created.id)
        flight.batch = created.id
        self._say(f"batch {created.id}: {len(lines):,} requests sent; it may take up to 24 hours")
        self._flying.append(flight)

    def _ask_directly(self, again: dict[str, _Open]) -> None:
        if not again:
            return
        self._say(f"{len(again):,} requests failed in a batch and are asked directly")
        requests = [one.request for one in again.values()]
        responses = ask_all(self._endpoint, requests, self._journal)
        for name, response in zip(again, responses, strict=True):
            self._close(name, response, kept=True)

    def _wait(self) -> None:
        """Wait until every batch under way has ended, and read the results of each at once."""
        n_sent, n_refused = len(self._flying), 0
        wait_s = min(FIRST_POLL_S, self._options.poll_s)
        while self._flying:
            for flight in list(self._flying):
                state = self._api.look(str(flight.batch))
                self._tell(flight, state)
                if state.is_over:
                    n_refused += self._land(flight, state)
            if self._flying:
                self._expect_time(wait_s)
                time.sleep(wait_s)
                wait_s = min(wait_s * POLL_GROWTH, self._options.poll_s)
        if n_sent and n_refused == n_sent:
            self._send_less()

    def _send_less(self) -> None:
        """Every batch was too much for the account's queue: send half as many requests at a time."""
        largest = min(self._most, len(self._open))
        if largest <= 1:
            raise RunStopped(
                f"{self._endpoint.base_url}: the account's queue of batches is full; run the same command again when other batches have ended."
            )
        self._most = -(-largest // 2)
        self._say(
            f"the account's queue is too short; going on with {self._most:,} requests a batch"
        )

    def _land(self, flight: Flight, state: BatchState) -> bool:
        """Take a batch's results in; whether it was refused for want of room."""
        if state.status == "failed" and state.code != QUEUE_FULL:
            self._ledger.note_read(flight.key, state.status)
            raise RunError(
                f"{self._endpoint.base_url}: batch {state.id} was refused: {self._endpoint.quote(state.problem.encode())}; mend the judge's part of gate.yaml or judge without --batch."
            )
        if state.status != "failed":
            for name in flight.requests & self._open.keys():
                self._open[name].sent += 1
            self._read(flight, state)
        if self._journal:
            self._journal.sync()  # else a power loss may leave a batch that was read without answers
        self._ledger.note_read(flight.key, state.status)
        self._flying.remove(flight)
        if state.status == "cancelled":
            raise RunStopped(
                f"{self._endpoint.base_url}: batch {state.id} was cancelled; its finished answers are kept. To ask the others, run the same command again."
            )
        return state.status == "failed"

    def _read(self, flight: Flight, state: BatchState) -> None:
        for file_id in state.files:
            for line in self._api.read(file_id):
                name = line.get("custom_id")
                if isinstance(name, str) and name in flight.requests and name in self._open:
                    self._take_line(name, attempt_of(self._endpoint, line))
        for name in flight.requests & self._open.keys():
            if self._open[name].sent >= MOST_TIMES:
                lost = failed_attempt(
                    self._endpoint, "moment", f"no answer in {MOST_TIMES} batches"
                )
                self._take_line(name, lost)

    def _take_line(self, name: str, attempt: Attempt) -> None:
        one = self._open[name]
        if attempt.completion is not None:
            response, usd = answered_response(
                self._endpoint, one.request, one.key, attempt, one.sent
            )
            self._spent_usd += (usd or 0) * (1 - self._endpoint.price.batch_discount)
            self._close(name, in_a_batch(self._endpoint, response))
        elif attempt.blame in CANNOT_HEAL or one.sent >= MOST_TIMES:
            failed = failed_response(
                self._endpoint, one.request, one.key, attempt, one.sent, attempt.why
            )
            self._close(name, failed.model_copy(update={"concurrency": None}))

    def _close(self, name: str, response: Response, *, kept: bool = False) -> None:
        one = self._open.pop(name)
        if self._journal and not kept:
            self._journal.append(response)
        self._answer(one.places, response, known=False)

    def _answer(self, places: list[int], response: Response, *, known: bool) -> None:
        for place in places:
            self._answers[place] = response
            if self._on_response:
                self._on_response(response, known)

    def _expect_budget(self) -> None:
        """Refuse what may exceed the budget, with what is under way: no batch is stopped half-way.

        Raises:
            RunError: It may.
        """
        limit, price = self._endpoint.budget_usd, self._endpoint.price
        if limit is None or not price.is_per_token:
            return
        most = 0.0
        for one in self._open.values():
            payload = one.request.payload
            tokens = payload.get("max_tokens") or payload.get("max_completion_tokens") or 0
            most += price.token_usd(estimate_prompt(payload), tokens) or 0.0
        most = self._spent_usd + most * (1 - price.batch_discount)
        if most > limit:
            raise RunError(
                f"{self._endpoint.base_url}: the batch may cost up to ${most:.4g}, more than the budget of ${limit:g} (budget_usd), and cannot be stopped half-way; raise it, or judge without --batch."
            )

    def _expect_time(self, wait_s: float) -> None:
        limit = self._endpoint.budget_s
        if limit is not None and time.monotonic() - self._began + wait_s > limit:
            raise RunStopped(
                f"{self._endpoint.base_url}: the budget of {limit:g} s (budget_s) is used up; the batches go on at the server. Run the same command again to fetch their answers."
            )

    def _tell(self, flight: Flight, state: BatchState) -> None:
        failed = f", {state.n_failed:,} failed" if state.n_failed else ""
        done = f"{state.n_done:,} of {state.n_total:,} requests answered{failed}"
        line = f"batch {state.id}: {state.status.replace('_', ' ')}, {done}"
        if line != flight.told:
            flight.told = line
            self._say(line)

    def _say(self, line: str) -> None:
        if self._options.tell:
            self._options.tell(line)
