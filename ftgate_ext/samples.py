"""The samples files of lm-eval, and the journal beside them -> records: case, response and scores.

Knows files and joins; no statistics, no rules.
"""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import from_json

from ftgate_ext.inference.journal_index import READ_BYTES, Answers
from ftgate_ext.schema import Response, RunError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


class Record(NamedTuple):  # a million are made: a frozen dataclass takes four times as long
    """Case x response x scores of one model: what everything after generation works on."""

    task: str
    case_id: str
    doc_hash: str
    prompt_hash: str
    doc: dict[str, Any]
    prompt: str
    """What the user said: the last message, or the whole prompt where it is no chat."""
    target: str
    answer: str
    scores: dict[str, Any]
    """Metric -> number, or [tp, fp, fn] for an F1; a metric that could not be scored is not there."""
    response: Response | None
    """None where the model was not asked through ftgate-chat."""
    later: tuple[Response, ...] = ()
    """The responses to the further turns, where the case is a conversation."""


def read_task(task: str, path: Path) -> Iterator[Record]:
    """The records of one task: one a case, with the scores of all filters."""
    records: list[Record] = []
    for row, record in stream_samples(task, path):
        if row < len(records):
            records[row].scores.update(record.scores)
        else:
            records.append(record)
    yield from records


def stream_samples(task: str, path: Path) -> Iterator[tuple[int, Record]]:
    """Every line of a samples file with the number of its request: one line a request and filter.

    Requests are numbered as they first occur.

    Raises:
        RunError: A line is not what lm-eval writes.
    """
    met: dict[str, int] = {}
    rows: dict[Any, int] = {}
    with (
        path.open("rb", READ_BYTES) as file,
        closing(Answers(_journal_beside(path, task), task)) as responses,
    ):
        # Lines of bytes: a text may hold U+2028 and the like, at which text lines would be cut.
        for number, line in enumerate(file, start=1):
            try:
                sample = from_json(line, cache_strings="keys")
                n_rows = len(rows)
                row = rows.setdefault(sample["doc_id"], n_rows)
                prompt_hash = sample["prompt_hash"]
                occurrence = met.get(prompt_hash, 0)
                response = responses.get(prompt_hash, occurrence)
                later = (
                    responses.later_turns(response)
                    if response and response.turn is not None
                    else ()
                )
                record = _to_record(task, sample, response, later)
                if row == n_rows:  # another filter reads the same answers
                    met[prompt_hash] = occurrence + _count(sample["resps"])
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise RunError(
                    f"{path}:{number}: not a sample of lm-eval ({type(error).__name__}: {error}); run that model again."
                ) from None
            yield row, record


def _to_record(
    task: str, sample: dict[str, Any], response: Response | None, later: tuple[Response, ...]
) -> Record:
    suffix = "" if sample["filter"] == "none" else f",{sample['filter']}"
    doc = sample["doc"] if isinstance(sample["doc"], dict) else {"doc": sample["doc"]}
    return Record(  # in the order of the fields: names cost a third of this function
        task, str(doc.get("id", sample["doc_id"])), sample["doc_hash"], sample["prompt_hash"], doc,
        _prompt_text(sample["arguments"]), str(sample["target"]), _first_text(sample["resps"]),
        {name + suffix: sample[name] for name in sample["metrics"]}, response, later,
    )  # fmt: skip


def pair_records(
    candidate: Iterable[Record], baseline: Iterable[Record]
) -> list[tuple[Record, Record]]:
    """Join two models' records on the case itself (`doc_hash`); of repeats, the first."""
    other: dict[str, Record] = {}
    for record in baseline:
        other.setdefault(record.doc_hash, record)
    mine: dict[str, Record] = {}
    for record in candidate:
        mine.setdefault(record.doc_hash, record)
    return [(record, other[key]) for key, record in mine.items() if key in other]


def _prompt_text(arguments: Any) -> str:
    """lm-eval logs a chat as a one-element list with the messages as JSON."""
    first = arguments["gen_args_0"]["arg_0"]
    text = str(first[0] if isinstance(first, list) else first)
    if not text.startswith("["):
        return text
    try:
        return str(json.loads(text)[-1]["content"])
    except (ValueError, KeyError, TypeError, IndexError):
        return text


def _count(resps: Any) -> int:
    """How many answers a sample holds, in lists of whatever depth."""
    while isinstance(resps, list) and len(resps) == 1:
        resps = resps[0]
    return sum(_count(item) for item in resps) if isinstance(resps, list) else 1


def _first_text(resps: Any) -> str:
    while isinstance(resps, list):
        if not resps:
            return ""
        resps = resps[0]
    return str(resps)


def _journal_beside(samples: Path, task: str) -> Path | None:
    """The journal that the answers in a samples file came from, if there is one."""
    journal = samples.with_name("responses.jsonl")
    if journal.is_file():
        return journal
    # A bare lm_eval: the journal was opened when the model was made, shortly before the results.
    stamp = samples.stem.removeprefix(f"samples_{task}_")
    earlier = [
        p
        for p in samples.parent.glob("responses_*.jsonl")
        if p.stem.removeprefix("responses_") <= stamp
    ]
    return max(earlier, default=None)
