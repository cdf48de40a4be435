"""The samples files of lm-eval, and the journal beside them -> records: case, response and scores.

Knows files and joins; no statistics, no rules.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import from_json

from ftgate_ext.inference.journal_index import Answers
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
    records: dict[str, Record] = {}
    for key, record in stream_samples(task, path):
        if key in records:
            records[key].scores.update(record.scores)
        else:
            records[key] = record
    yield from records.values()


def stream_samples(task: str, path: Path) -> Iterator[tuple[str, Record]]:
    """Every line of a samples file with the key of its case: one line a case and filter.

    Raises:
        RunError: A line is not what lm-eval writes.
    """
    met: Counter[str] = Counter()
    seen: set[str] = set()
    with path.open("rb") as file, closing(Answers(_journal_beside(path, task), task)) as responses:
        # Lines of bytes: a text may hold U+2028 and the like, at which text lines would be cut.
        for number, line in enumerate(file, start=1):
            try:
                sample = from_json(line, cache_strings="keys")
                key = str(sample["doc_id"])
                prompt_hash = sample["prompt_hash"]
                response = responses.get(prompt_hash, met[prompt_hash])
                later = responses.later_turns(response)
                record = _to_record(task, sample, response, later)
                if key not in seen:  # another filter reads the same answers
                    seen.add(key)
                    met[prompt_hash] += _count(sample["resps"])
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise RunError(
                    f"{path}:{number}: not a sample of lm-eval ({type(error).__name__}: {error}); run that model again."
                ) from None
            yield key, record


def _to_record(
    task: str, sample: dict[str, Any], response: Response | None, later: tuple[Response, ...]
) -> Record:
    suffix = "" if sample["filter"] == "none" else f",{sample['filter']}"
    doc = sample["doc"] if isinstance(sample["doc"], dict) else {"doc": sample["doc"]}
    return Record(
        task=task, case_id=str(doc.get("id", sample["doc_id"])), doc_hash=sample["doc_hash"],
        prompt_hash=sample["prompt_hash"], doc=doc, prompt=_prompt_text(sample["arguments"]),
        target=str(sample["target"]), answer=_first_text(sample["resps"]),
        scores={name + suffix: sample[name] for name in sample["metrics"]}, response=response,
        later=later,
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
    if isinstance(resps, list) and len(resps) == 1:
        return _count(resps[0])
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
