"""LLMBar's recorded decisions (Zeng et al., ICLR 2024) -> known pairs and a recorded judge.

Two JSONL files, plain or gzipped: pairs with `subset, idx, input, output_1, output_2, label`, and decisions
with `subset, idx, evaluator, strategy, winner_orig, winner_swapped`, where winners name the output (1 or 2)
in both orders and null stands for an answer that could not be read.
"""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any, Literal

from ftgate_ext.judge.recorded import RecordedVerdict
from ftgate_ext.runs import write_text
from ftgate_ext.schema import JudgeVerdict, KnownPair, RunError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def import_llmbar(
    cases: Path, decisions: Path, subset: str, evaluator: str, strategy: str
) -> tuple[list[KnownPair], list[RecordedVerdict]]:
    """One judge's decisions on one subset, beside the human labels.

    Args:
        cases: The pairs.
        decisions: What the judges decided.
        subset: Such as `LLMBar/Natural` or `Processed/MT-Bench`.
        evaluator: Such as `GPT-4`.
        strategy: Of prompting, such as `Vanilla_NoRules`.

    Raises:
        RunError: A file cannot be read, or holds nothing of that name; what there is, is listed.
    """
    rows = list(_rows(decisions))
    mine = [r for r in rows if _name(r) == (subset, evaluator, strategy)]
    if not mine:
        there = _what_there_is(rows, subset, evaluator)
        raise RunError(
            f"{decisions}: nothing by {evaluator!r} with {strategy!r} on {subset!r}; there is: {there}."
        )
    wanted = {r["idx"] for r in mine}
    pairs = [_pair(r) for r in _rows(cases) if r["subset"] == subset and r["idx"] in wanted]
    verdicts = [verdict for row in mine for verdict in _verdicts(row)]
    return pairs, verdicts


def _what_there_is(rows: list[dict[str, Any]], subset: str, evaluator: str) -> str:
    """The strategies of this judge, or the judges on this subset, or the subsets."""
    names = [_name(row) for row in rows]
    strategies = {n[2] for n in names if n[:2] == (subset, evaluator)}
    judges = {n[1] for n in names if n[0] == subset}
    return ", ".join(sorted(strategies or judges or {n[0] for n in names}))


def write_llmbar(pairs: list[KnownPair], verdicts: list[RecordedVerdict], folder: Path) -> None:
    """Write `pairs.jsonl` and `verdicts.jsonl`, for `--pairs` and for `judge.replay`."""
    for name, rows in (("pairs.jsonl", pairs), ("verdicts.jsonl", verdicts)):
        text = "".join(row.model_dump_json(exclude_defaults=True) + "\n" for row in rows)
        write_text(folder / name, text)


def _name(row: dict[str, Any]) -> tuple[str, str, str]:
    return str(row["subset"]), str(row["evaluator"]), str(row["strategy"])


def _id(row: dict[str, Any]) -> str:
    return f"{row['subset']}#{row['idx']}"


def _pair(row: dict[str, Any]) -> KnownPair:
    return KnownPair(
        id=_id(row), question=row["input"], answer_a=row["output_1"], answer_b=row["output_2"],
        label="A_better" if row["label"] == 1 else "B_better", kind=row["subset"],
    )  # fmt: skip


def _verdicts(row: dict[str, Any]) -> list[RecordedVerdict]:
    """Winners name outputs; verdicts name positions."""
    as_given, exchanged = row["winner_orig"], row["winner_swapped"]
    return [
        _verdict(_id(row), "candidate", as_given, winner_of_a="1"),
        _verdict(_id(row), "baseline", exchanged, winner_of_a="2"),
    ]


def _verdict(
    case_id: str, first: Literal["candidate", "baseline"], winner: str | None, winner_of_a: str
) -> RecordedVerdict:
    if winner not in ("1", "2"):
        return RecordedVerdict(id=case_id, first=first, verdict="unparsed", problem="prose")
    verdict: JudgeVerdict = "A_better" if winner == winner_of_a else "B_better"
    return RecordedVerdict(id=case_id, first=first, verdict=verdict)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        raw = path.read_bytes()
        text = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (OSError, EOFError) as error:
        raise RunError(f"{path}: cannot be read ({error}); expected LLMBar's JSONL.") from None
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            row = json.loads(line)
            yield {"subset": row["subset"], "idx": row["idx"], **row}
        except (ValueError, KeyError, TypeError):
            raise RunError(f"{path}:{number}: no row with subset and idx; expected LLMBar's JSONL.") from None  # fmt: skip
