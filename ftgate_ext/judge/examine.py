"""Ask the judge what it is examined with: known pairs, traps, and the anchors twice.

Judge and pairs in, judgments out. Answers are kept in the user's cache folder under the judge's
fingerprint, its address and the pairs, so that an examination is paid once. What answers on this machine
under some name may be another model tomorrow and costs little: it is examined in every run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ftgate_ext.inference.weights import default_cache_dir
from ftgate_ext.judge.anchors import ANCHORS, anchor_looks
from ftgate_ext.judge.canaries import CANARY, canary_looks
from ftgate_ext.judge.known_pairs import AGAIN, KNOWN, known_looks
from ftgate_ext.judge.pairwise import judge_looks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ftgate_ext.inference.client import Endpoint
    from ftgate_ext.judge.known_pairs import KnownPairs
    from ftgate_ext.judge.pairwise import Judge, Look
    from ftgate_ext.policy_judge import JudgeSpec
    from ftgate_ext.schema import Judgment, Response

CACHE = "judge"
"""Folder of examinations in the user's cache folder."""
RESPONSES = "judge_examination_responses.jsonl"
"""The same in the run folder, for a judge on this machine."""
THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104 - compared, not bound
TIMES = 2
"""How many good answers every trap is tried against."""


def is_local(endpoint: Endpoint) -> bool:
    """Whether an endpoint is on this machine, where another model may answer tomorrow."""
    return any(urlsplit(url).hostname in THIS_MACHINE for url in endpoint.urls)


@dataclass(frozen=True)
class Examination:
    """What is asked of the judge before it may vote, and in what."""

    judge: Judge
    known: KnownPairs
    times: int
    n_anchors: int
    kinds: int | None = None
    """Only the first so many kinds of traps."""

    def looks(self) -> list[Look]:
        """Everything that is asked once for a fingerprint."""
        pairs, seed = self.known.pairs, self.judge.seed
        looks = known_looks(pairs, seed)
        if self.judge.recorded is not None:  # nobody can be asked about a trap any more
            return looks
        traps = canary_looks(pairs, self.times, self.kinds)
        return looks + traps + anchor_looks(pairs, self.n_anchors, seed, AGAIN)

    def anchors(self) -> list[Look]:
        """What is asked anew in every run."""
        if self.judge.recorded is not None:
            return []
        return anchor_looks(self.known.pairs, self.n_anchors, self.judge.seed, ANCHORS)

    @property
    def is_local(self) -> bool:
        """Whether the judge answers on this machine."""
        return is_local(self.judge.endpoint)

    def journal(self, run_dir: Path | None = None) -> Path:
        """Where the answers are kept: another judge, address or file of pairs has another place."""
        if self.is_local and run_dir is not None:
            return run_dir / RESPONSES
        whole = "\0".join([self.judge.fingerprint, *self.judge.endpoint.urls, self.known.sha256])
        name = hashlib.sha256(whole.encode()).hexdigest()[:16]
        return default_cache_dir() / CACHE / f"{name}.jsonl"


def plan_examination(judge: Judge, spec: JudgeSpec, known: KnownPairs) -> Examination:
    """What the policy wants to be asked."""
    limit = spec.qualification_limit
    times = 1 if limit is not None else TIMES
    return Examination(judge, known.first(limit), times, spec.anchors, limit)


@dataclass(frozen=True)
class Examined:
    """The judge's answers to its examination."""

    known: list[Judgment]
    again: list[Judgment]
    canaries: list[Judgment]
    anchors: list[Judgment]

    @property
    def all(self) -> list[Judgment]:
        """Every judgment, for counting and pricing."""
        return [*self.known, *self.again, *self.canaries, *self.anchors]


def examine(
    examination: Examination,
    journal: Path,
    anchor_journal: Path | None = None,
    on_response: Callable[[Response, bool], None] | None = None,
) -> Examined:
    """Ask what is not yet known of this judge.

    Args:
        examination: From `plan_examination`.
        journal: Where answers are kept; good ones that are there are not asked again.
        anchor_journal: Of the run whose anchors are asked; no anchors when left out.
        on_response: Progress.
    """
    judge = examination.judge
    judgments = judge_looks(judge, examination.looks(), journal, on_response)
    anchors = examination.anchors() if anchor_journal else []
    anchored = judge_looks(judge, anchors, anchor_journal, on_response) if anchors and anchor_journal else []  # fmt: skip
    return Examined(
        known=[j for j in judgments if j.task == KNOWN],
        again=[j for j in judgments if j.task == AGAIN],
        canaries=[j for j in judgments if j.task.startswith(CANARY)],
        anchors=anchored,
    )
