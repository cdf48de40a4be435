"""A judge that was asked before: recorded verdicts in, one a look out.

A line of the file is either a judgment of an earlier run (`judgments.jsonl`), or

    {"id": "q-17", "first": "candidate", "verdict": "A_better"}

with the id of the case or of the known pair, whose answer stood first (`candidate` is answer A of a known
pair), and what the judge said about A and B. Nothing is guessed: a look that is not in the file failed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError

from ftgate_ext.schema import (
    FtgateError,
    JudgeVerdict,
    Judgment,
    Role,
    Row,
    RunError,
    VerdictProblem,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ftgate_ext.judge.pairwise import Look

Key = tuple[str, str, str, str]
"""Task and opponent (or "*"), case, and whose answer stood first."""


class RecordedVerdict(Row):
    """What a judge said once about one pair in one order."""

    id: str
    first: Literal["candidate", "baseline"]
    verdict: JudgeVerdict
    task: str | None = None
    """The eval set, where cases of several have the same ids."""
    baseline: Role | None = None
    """The opponent, where a case was judged against several."""
    pair_hash: str | None = None
    """Of question and answers: a verdict on other texts does not count."""
    scores_A: dict[str, int] = Field(default_factory=dict)  # noqa: N815 - the judge's own words
    scores_B: dict[str, int] = Field(default_factory=dict)  # noqa: N815
    reasoning: str = ""
    problem: VerdictProblem | None = None


@dataclass(frozen=True)
class Recorded:
    """All recorded verdicts of one judge."""

    verdicts: dict[Key, RecordedVerdict]
    sha256: str

    def find(self, look: Look) -> RecordedVerdict | None:
        """The verdict on this very pair in this order."""
        for task, opponent in product((look.task, "*"), (look.baseline, "*")):
            found = self.verdicts.get((task, opponent, look.case_id, look.first))
            if found and found.pair_hash in (None, look.pair_hash):
                return found
        return None


def load_recorded(path: Path) -> Recorded:
    """Read recorded verdicts; where a look stands there twice, the later one counts.

    Raises:
        RunError: The file cannot be read, or a line is neither of the two forms.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); mend judge.replay.") from None
    verdicts: dict[Key, RecordedVerdict] = {}
    for number, line in enumerate(raw.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            found = _to_recorded(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise RunError(f"{path}:{number}: {_why(error)}; expected id, first and verdict, or a judgment of ftgate.") from None  # fmt: skip
        if found is not None:
            key = (found.task or "*", found.baseline or "*", found.id, found.first)
            verdicts[key] = found
    return Recorded(verdicts, hashlib.sha256(raw).hexdigest())


def _to_recorded(content: Any) -> RecordedVerdict | None:
    """A line as a recorded verdict; None for identical answers, which no judge has seen."""
    if not isinstance(content, dict) or "raw_verdict" not in content:
        return RecordedVerdict.model_validate(content)
    judgment = Judgment.model_validate(content)
    if judgment.identical:
        return None
    sides = (judgment.scores.get("candidate", {}), judgment.scores.get("baseline", {}))
    first, second = sides if judgment.first == "candidate" else sides[::-1]
    return RecordedVerdict(
        id=judgment.case_id, task=judgment.task, first=judgment.first, verdict=judgment.raw_verdict, baseline=judgment.baseline,
        pair_hash=judgment.pair_hash, scores_A=first, scores_B=second, reasoning=judgment.reasoning,
        problem=judgment.problem,
    )  # fmt: skip


def _why(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "line"
        return f"{where}: {first['msg'].lower()}"
    return "not JSON" if not isinstance(error, FtgateError) else str(error)
