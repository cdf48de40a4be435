"""`ftgate run --latency`: the models of a run asked again in turn, request by request.

In: a run folder with results. Out: `latency.json` and `<role>/latency.jsonl`, responses without
their texts. Knows no statistics.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from heapq import nsmallest
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from ftgate_ext.inference.client import run_to_end
from ftgate_ext.inference.endpoint import Request
from ftgate_ext.inference.endpoints import endpoint_of
from ftgate_ext.inference.journal import Journal, read_lines, request_hash
from ftgate_ext.inference.payload import build_payload, chat_messages, stops_of
from ftgate_ext.inference.turns import Turns, is_timed
from ftgate_ext.interleaved import LATENCIES, load_interleaved
from ftgate_ext.policy_servers import CHAT_BACKEND
from ftgate_ext.runs import LATENCY_RUN, find_results, load_manifest, model_folders, write_row
from ftgate_ext.schema import LatencyRun, RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ftgate_ext.policy import Policy
    from ftgate_ext.schema import EvalSetUse, Response, Role, RunManifest

    OnResponse = Callable[[Role, Response, bool], None]

JOURNAL = "responses.jsonl"
SPARE = 4
"""So many times more cases are looked at than needed: not every request can be made again."""

Round = dict["Role", Request]
"""One case: the request to each model."""


@dataclass(frozen=True)
class _Case:
    """What lm-eval logged of one case."""

    task: str
    case_id: str
    doc_hash: str
    prompt_hash: str
    prompt: str
    is_chat: bool
    gen_kwargs: dict[str, Any]

    def request(self, policy: Policy) -> Request:
        """The request as the run sent it."""
        payload = build_payload(
            chat_messages(self.prompt, is_chat=self.is_chat), self.gen_kwargs, 0,
            seed=policy.run.seed, max_tokens=policy.run.max_tokens,
        )  # fmt: skip
        stops = stops_of(self.gen_kwargs)
        return Request(self.case_id, self.task, self.prompt_hash, payload, stop=stops)


def measure_latency(
    run_dir: Path,
    policy: Policy,
    embedded_url: str | None,
    concurrency: int,
    on_start: Callable[[int], None],
    on_response: OnResponse,
) -> LatencyRun:
    """Ask every model of a run some of its cases again, in turn; what is measured is not asked again.

    The requests are those of the run to the letter: a request counts only if its hash stands in the
    model's journal. A case that one model has not answered is asked of all models again, so that
    what stands side by side was measured side by side.

    Args:
        run_dir: A run with results.
        policy: Of the run; `run.latency_cases` of each eval set are asked.
        embedded_url: Base URL of the embedded engine, where a model uses it.
        concurrency: Requests in flight to the model whose turn it is.
        on_start: Told how many requests there will be.
        on_response: Called with the role, every response, and False: nothing is reused.

    Raises:
        RunError: Nothing can be measured, the run was measured at another concurrency, a server is
            gone, or a file cannot be written.
    """
    manifest = load_manifest(run_dir)
    roles, absent = _who_takes_part(manifest, run_dir)
    if not roles:
        reasons = "; ".join(f"{role}: {why}" for role, why in absent.items())
        raise RunError(f"{run_dir}: no model's latency can be measured in turn ({reasons}).")
    run = _open(run_dir, roles, absent, concurrency, is_streamed=policy.run.stream)
    rounds = choose_rounds(run_dir, policy, manifest, roles)
    counts = [use.task for use in manifest.eval_sets]
    run.n_cases = {t: sum(r[roles[0]].task == t for r in rounds) for t in dict.fromkeys(counts)}
    write_row(run_dir / LATENCY_RUN, run)
    missing = _unmeasured(run_dir, rounds)
    on_start(len(missing) * len(roles))
    if missing:
        _ask(run_dir, policy, embedded_url, run, missing, on_response)
    if not _unmeasured(run_dir, rounds):
        run.finished_at = run.finished_at or _now()
        write_row(run_dir / LATENCY_RUN, run)
    return run


def _who_takes_part(manifest: RunManifest, run_dir: Path) -> tuple[list[Role], dict[Role, str]]:
    folders, absent = model_folders(run_dir), {}
    for card in manifest.models:
        if card.absent is not None:
            absent[card.role] = card.absent
        elif card.backend != CHAT_BACKEND:
            absent[card.role] = f"lm-eval's backend {card.backend} answers in batches, not one request at a time"  # fmt: skip
        elif card.role not in folders:
            absent[card.role] = "it has no results yet"
    return [card.role for card in manifest.models if card.role not in absent], absent


def _open(
    run_dir: Path,
    roles: list[Role],
    absent: dict[Role, str],
    concurrency: int,
    *,
    is_streamed: bool,
) -> LatencyRun:
    """The measurement to go on with, or a new one."""
    earlier = load_interleaved(run_dir)
    if earlier is None:
        for role in roles:  # of a measurement whose latency.json was taken away
            (run_dir / role / LATENCIES).unlink(missing_ok=True)
        return LatencyRun(
            began_at=_now(), concurrency=concurrency, is_streamed=is_streamed, roles=roles,
            absent=absent, n_cases={},
        )  # fmt: skip
    run = earlier.run
    if run.concurrency != concurrency:
        raise RunError(
            f"{run_dir / LATENCY_RUN}: measured at concurrency {run.concurrency}, not {concurrency}; name the same, or delete that file to measure anew."
        )
    if (run.roles, run.is_streamed) != (roles, is_streamed):
        raise RunError(
            f"{run_dir / LATENCY_RUN}: measured with other models ({', '.join(run.roles)}) or another run.stream; delete that file to measure anew."
        )
    return run


def choose_rounds(
    run_dir: Path, policy: Policy, manifest: RunManifest, roles: list[Role]
) -> list[Round]:
    """The requests of `run.latency_cases` random cases of each eval set, the same for every model.

    The choice depends on the seed and the cases alone, so that it is the same when resumed.

    Raises:
        RunError: No request of the run can be made again.
    """
    n = policy.run.latency_cases
    chosen: list[Round] = []
    for members in _entries(manifest.eval_sets):
        by_role = {role: _cases_of(run_dir / role, members, policy.run.seed, SPARE * n) for role in roles}  # fmt: skip
        shared = [key for key in by_role[roles[0]] if all(key in by_role[r] for r in roles)]
        chosen += [{r: by_role[r][key].request(policy) for r in roles} for key in shared]
    sent = {role: _sent(run_dir / role, policy.models[role].model, role, chosen) for role in roles}
    known = [r for i, r in enumerate(chosen) if all(i in sent[role] for role in roles)]
    kept: list[Round] = []
    for members in _entries(manifest.eval_sets):
        tasks = {use.task for use in members}
        kept += [r for r in known if r[roles[0]].task in tasks][:n]
    if not kept:
        raise RunError(
            f"{run_dir}: no request of the run can be made again as it was sent; run it again with this ftgate."
        )
    return kept


def _entries(uses: list[EvalSetUse]) -> list[list[EvalSetUse]]:
    """The tasks of each entry of `eval_sets`: a group of tasks is one."""
    found: dict[str, list[EvalSetUse]] = {}
    for use in uses:
        found.setdefault(use.group or use.task, []).append(use)
    return list(found.values())


def _cases_of(
    folder: Path, members: list[EvalSetUse], seed: int, n: int
) -> dict[tuple[str, str], _Case]:
    """Of an entry n random cases by task and `doc_hash`, in random order."""
    samples = find_results(folder).samples
    cases = (
        case
        for use in members
        if use.task in samples
        for case in _read_cases(use.task, samples[use.task])
    )

    def lot(case: _Case) -> bytes:
        return hashlib.sha256(f"{seed}:{case.task}:{case.doc_hash}".encode()).digest()

    return {(c.task, c.doc_hash): c for c in nsmallest(n, cases, key=lot)}


def _read_cases(task: str, path: Path) -> Iterator[_Case]:
    """The cases of a samples file, each once: not its repeats, nor further filters."""
    seen: set[str] = set()
    with path.open("rb") as file:
        for line in file:
            sample = from_json(line)
            doc, first = sample["doc"], sample["arguments"].get("gen_args_0", {})
            prompt, gen_kwargs = first.get("arg_0"), first.get("arg_1")
            names = {sample["doc_hash"], sample["prompt_hash"]}
            name = str(
                doc.get("id", sample["doc_id"]) if isinstance(doc, dict) else sample["doc_id"]
            )
            if not isinstance(gen_kwargs, dict) or names & seen or f"id {name}" in seen:
                continue
            seen |= names | {f"id {name}"}
            is_chat = isinstance(prompt, list)
            yield _Case(
                task, name, sample["doc_hash"], sample["prompt_hash"],
                str(prompt[0] if is_chat else prompt), is_chat, gen_kwargs,
            )  # fmt: skip


def _sent(folder: Path, model: str, role: Role, rounds: list[Round]) -> set[int]:
    """Which rounds hold a request that the model's journal knows."""
    wanted = {
        request_hash(model, r[role].task, r[role].payload): i for i, r in enumerate(rounds)
    }  # fmt: skip
    journal = folder / JOURNAL
    lines = read_lines(journal) if journal.is_file() else ()
    return {wanted[r.request_hash] for _, r in lines if r.request_hash in wanted}


def _unmeasured(run_dir: Path, rounds: list[Round]) -> list[Round]:
    """The rounds in which a model has no timed answer yet."""
    found = load_interleaved(run_dir)
    responses = found.responses if found else {}

    def is_measured(role: Role, request: Request) -> bool:
        response = responses.get(role, {}).get((request.task, request.case_id))
        return response is not None and is_timed(response)

    return [r for r in rounds if not all(is_measured(role, x) for role, x in r.items())]


def _ask(
    run_dir: Path,
    policy: Policy,
    embedded_url: str | None,
    run: LatencyRun,
    rounds: list[Round],
    on_response: OnResponse,
) -> None:
    endpoints = {r: endpoint_of(policy.models[r], policy.run, embedded_url) for r in run.roles}
    left = None
    if policy.run.budget_usd is not None:
        left = max(0.0, policy.run.budget_usd - _spent_usd(run_dir, run.roles))
    turns = Turns(endpoints, run.concurrency, left)
    with ExitStack() as stack:
        journals = {}
        for role in run.roles:
            journals[role] = Journal(run_dir / role / LATENCIES, reuse=False)
            stack.callback(journals[role].close)

        def note(role: Role, response: Response) -> None:
            journals[role].append(response.model_copy(update={"text": ""}))
            on_response(role, response, False)

        run_to_end(turns.ask(rounds, note))


def _spent_usd(run_dir: Path, roles: list[Role]) -> float:
    """What the run and this measurement have cost so far, as far as that is known."""
    paths = [run_dir / role / name for role in roles for name in (JOURNAL, LATENCIES)]
    return sum(r.cost_usd or 0.0 for p in paths if p.is_file() for _, r in read_lines(p))


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
