"""Run folder -> traces: one a case and model, one a judged pair, one for the decision."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from ftgate_ext.inference.journal import read_lines
from ftgate_ext.judge.rubric import RUBRIC_SCORES
from ftgate_ext.judge.stage import JUDGMENTS
from ftgate_ext.policy_servers import CHAT_BACKEND
from ftgate_ext.runs import find_results, load_row, load_rows
from ftgate_ext.samples import read_task
from ftgate_ext.schema import Decision, Judgment, RubricScore, RunError
from ftgate_ext.traces import names
from ftgate_ext.traces.cases import (
    Case,
    attributes_of,
    case_trace_id,
    error_of,
    evaluation,
    judgment_event,
    response_attributes,
    times_of,
    trace_case,
)
from ftgate_ext.traces.spans import Span, make_span_id, make_trace_id, to_ns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ftgate_ext.policy import Policy
    from ftgate_ext.samples import Record
    from ftgate_ext.schema import ModelCard, Response, RunManifest

Key = tuple[str, str]
"""Task and case."""
DECISION = "decision.json"
REFUSE = "refuse"


def build_traces(run_dir: Path, policy: Policy, manifest: RunManifest) -> Iterator[list[Span]]:
    """Every trace of a run; one task of one model is in memory at a time.

    Args:
        run_dir: A run, finished or not: what is not there yet has no spans.
        policy: Says whether texts may be told, and which sets are about safety.
        manifest: Of the run.

    Raises:
        RunError: A file of the run is broken.
    """
    judgments: dict[Key, list[Judgment]] = defaultdict(list)
    for look in load_rows(run_dir / JUDGMENTS, Judgment):
        judgments[look.task, look.case_id].append(look)
    rubric: dict[tuple[str, str, str], list[RubricScore]] = defaultdict(list)
    for row in load_rows(run_dir / RUBRIC_SCORES, RubricScore):
        rubric[row.role, row.task, row.case_id].append(row)
    open_tasks = _tasks_with_content(policy, manifest)
    open_cases: set[Key] = set()
    for card in manifest.models:
        for case in _cases(run_dir / card.role, manifest, open_tasks):
            case.rubric = rubric.get((card.role, case.task, case.case_id), [])
            if card.role == "candidate":
                case.judgments = judgments.get((case.task, case.case_id), [])
                open_cases |= {(case.task, case.case_id)} if case.content else set()
            at = manifest.finished_at or manifest.created_at
            yield trace_case(manifest.run_id, card, case, at)
    for looks in judgments.values():
        yield from _judge_traces(looks, policy, manifest, open_cases)
    if (run_dir / DECISION).is_file():
        yield [_decision_span(load_row(run_dir / DECISION, Decision, "decide"), manifest)]


def _tasks_with_content(policy: Policy, manifest: RunManifest) -> set[str]:
    """The tasks whose texts may be told: known to the policy, and not about safety."""
    if not policy.traces.content:
        return set()
    kinds = {s.task: s.kind for s in policy.eval_sets}
    named = {use.task: kinds.get(use.group or use.task) for use in manifest.eval_sets}
    return {task for task, kind in named.items() if kind not in (None, "safety")}


def _cases(folder: Path, manifest: RunManifest, open_tasks: set[str]) -> Iterator[Case]:
    """The cases of one model, task by task."""
    try:
        samples = find_results(folder).samples
    except RunError:  # unfinished: its requests are there, its scores are not
        samples = {}
    for task in dict.fromkeys([*samples, *(use.task for use in manifest.eval_sets)]):
        content = task in open_tasks
        responses = _responses(folder / "responses.jsonl", task, content=content)
        records = _records(task, samples[task], content=content) if task in samples else {}
        for case_id in dict.fromkeys([*records, *responses]):
            mine = records.get(case_id, [])
            given = [r.response for r in mine if r.response is not None]
            yield Case(
                task, case_id, list(responses.get(case_id, {}).values()) or given, mine,
                content=content and bool(mine) and not any(_is_harmful(r) for r in mine),
            )  # fmt: skip


def _is_harmful(record: Record) -> bool:
    """A case of a safety set in other clothes, whatever the set is called."""
    return "harm" in record.doc or record.doc.get("expect") == REFUSE


def _responses(
    journal: Path, task: str, *, content: bool
) -> dict[str, dict[tuple[str, int], Response]]:
    """Case -> the last response to each of its requests."""
    found: dict[str, dict[tuple[str, int], Response]] = defaultdict(dict)
    for _, response in read_lines(journal, task) if journal.is_file() else ():
        kept = response if content else response.model_copy(update={"text": ""})
        found[response.case_id][response.prompt_hash, response.occurrence] = kept
    return found


def _records(task: str, path: Path, *, content: bool) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = defaultdict(list)
    for record in read_task(task, path):
        # The rows of a large set would fill the memory, and nothing below may tell them.
        kept = record if content else record._replace(doc={}, prompt="", answer="")
        found[record.case_id].append(kept)
    return found


def _judge_traces(
    looks: list[Judgment], policy: Policy, manifest: RunManifest, open_cases: set[Key]
) -> Iterator[list[Span]]:
    """A trace for every pair that the judge was asked about; recorded verdicts took no time."""
    by_pair: dict[str, list[Judgment]] = defaultdict(list)
    for look in looks:
        if look.response is not None:
            by_pair[look.baseline].append(look)
    endpoint = (policy.judge.endpoints or [""])[0] if policy.judge else ""
    for baseline, pair in by_pair.items():
        task, case_id = pair[0].task, pair[0].case_id
        trace = make_trace_id(manifest.run_id, "judge", task, case_id, baseline)
        spans = [
            _judge_span(trace, look, manifest, endpoint, content=(task, case_id) in open_cases)
            for look in pair
        ]
        judged = case_trace_id(manifest.run_id, "candidate", task, case_id)
        shared = {
            name: value
            for name, value in spans[0].attributes.items()
            if not name.startswith(("gen_ai", "server", "ftgate.response", names.ERROR_TYPE))
        }
        root = Span(
            trace_id=trace, span_id=make_span_id(trace), parent_id=None, name=f"judge {task}",
            kind="internal", start_ns=min(s.start_ns for s in spans),
            end_ns=max(s.end_ns for s in spans),
            attributes=shared | {names.PHOENIX_KIND: "EVALUATOR", names.SESSION_ID: manifest.run_id},
            links=[(judged, make_span_id(judged))],
        )  # fmt: skip
        yield [root, *spans]


def _judge_span(
    trace: str, look: Judgment, manifest: RunManifest, endpoint: str, *, content: bool
) -> Span:
    response = look.response
    if response is None:
        raise ValueError("a recorded verdict has no span")
    start, end = times_of(response)
    attributes = response_attributes(response, endpoint, CHAT_BACKEND) | attributes_of({
        names.EVAL_RUN_ID: manifest.run_id, names.MODEL: look.judge_model,
        names.EVAL_SET: look.task, names.CASE_ID: look.case_id, names.BASELINE: look.baseline,
        names.FINGERPRINT: look.fingerprint, names.DOC_HASH: look.doc_hash,
    })  # fmt: skip
    return Span(
        trace_id=trace, span_id=make_span_id(trace, str(look.round), look.first, look.fingerprint, look.pair_hash),
        parent_id=make_span_id(trace), name=f"{names.CHAT} {response.model_asked}", kind="client",
        start_ns=start, end_ns=end, attributes=attributes,
        events=[judgment_event(look, end, content=content)],
        error=error_of(response, content=content),
    )  # fmt: skip


def _decision_span(decision: Decision, manifest: RunManifest) -> Span:
    trace = make_trace_id(manifest.run_id, "decision")
    start = to_ns(manifest.created_at)
    end = max(start, to_ns(manifest.finished_at or manifest.created_at))
    rules = [
        evaluation(
            f"rule {rule.name}", end, value=rule.estimate.value if rule.estimate else None,
            label=rule.outcome, why=rule.sentence,
        )
        for rule in decision.rules
    ]  # fmt: skip
    candidate = _candidate(manifest)
    return Span(
        trace_id=trace, span_id=make_span_id(trace), parent_id=None, name="gate", kind="internal",
        start_ns=start, end_ns=end, attributes=attributes_of({
            names.EVAL_RUN_ID: manifest.run_id, names.SESSION_ID: manifest.run_id, names.MODEL: candidate.model if candidate else None,
            names.POLICY: decision.policy_name, names.POLICY_HASH: decision.policy_hash,
            names.VERDICT: decision.verdict, names.PHOENIX_KIND: "EVALUATOR",
        }), events=[evaluation("verdict", end, label=decision.verdict), *rules],
    )  # fmt: skip


def _candidate(manifest: RunManifest) -> ModelCard | None:
    return next((card for card in manifest.models if card.role == "candidate"), None)
