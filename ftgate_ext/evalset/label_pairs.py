"""Experts compare two answers blind: which pairs they are asked, and what they said.

Labels lie in one file, a line each; it only ever grows, and the last line of a labeller about a pair
counts. Labellers see a question and two answers in an order drawn for each of them, and never whose they
are. Knows no run, no terminal and no page.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from ftgate_ext.evalset.blind import digest, is_candidate_first, read_verdict
from ftgate_ext.evalset.importers.reading import objects_of
from ftgate_ext.evalset.label_lines import append_line, labeller_name, latest_labels
from ftgate_ext.evalset.schema import first_problem
from ftgate_ext.schema import EvalSetError, HumanVerdict, PairLabel, Role

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Side = Literal["candidate", "baseline"]

CHOICES = ("first", "second", "tie", "both_bad")
"""What a labeller may say: the first answer is better, the second, neither, neither will do."""


@dataclass(frozen=True)
class DrawnPair:
    """A pair that was drawn to be labelled."""

    task: str
    baseline: Role
    case_id: str
    doc_hash: str
    pair_hash: str
    question: str
    candidate_answer: str
    baseline_answer: str
    chance: float | None = None
    stratum: str | None = None

    @property
    def key(self) -> str:
        """A name that tells neither the case nor the models."""
        return digest("key", self.baseline, self.case_id, self.pair_hash)[:16]

    def shown_first(self, labeller: str) -> Side:
        """Whose answer this labeller sees first; looks random and never changes."""
        return "candidate" if is_candidate_first(labeller, self.key) else "baseline"

    def answers(self, labeller: str) -> tuple[str, str]:
        """Both answers in the order in which this labeller sees them."""
        mine, other = self.candidate_answer, self.baseline_answer
        return (mine, other) if self.shown_first(labeller) == "candidate" else (other, mine)


class PairLabelling:
    """The labels of some pairs, and whom it asks what next."""

    def __init__(
        self, pairs: Sequence[DrawnPair], labels_file: Path, labeller: str, overlap: float = 0.2
    ) -> None:
        """Take the pairs and read the labels so far.

        Args:
            pairs: Drawn at random from those that the judge sees.
            labels_file: Where labels are, or will be.
            labeller: Who labels; one line, at most 60 characters.
            overlap: Share of the pairs that two label, 0 to 1. Which ones follows from the pairs.

        Raises:
            EvalSetError: An argument is not as it must be, or the file holds what is no label.
        """
        self.labeller = labeller_name("--labeller", labeller)
        if not 0 <= overlap <= 1:
            raise EvalSetError(f"--overlap {overlap}: expected a share from 0 to 1.")
        self.labels_file = labels_file
        self._overlap = overlap
        self._pairs = {pair.key: pair for pair in pairs}
        self.remaining()

    def remaining(self) -> list[DrawnPair]:
        """The pairs to ask this labeller, those that wait for a second label first."""
        said: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        if self.labels_file.is_file():
            for label in read_pair_labels([self.labels_file]):
                said[label.baseline, label.case_id, label.pair_hash].add(label.labeller)
        waiting = []
        for key, pair in self._pairs.items():
            others = said[pair.baseline, pair.case_id, pair.pair_hash]
            wanted = 2 if _share("two", key) < self._overlap else 1
            if self.labeller not in others and len(others) < wanted:
                # Another order for everyone: two who work at once seldom take the same pair.
                waiting.append((not others, _share(self.labeller, key), pair))
        return [pair for _, _, pair in sorted(waiting, key=lambda w: w[:2])]

    def case_of(self, key: str) -> DrawnPair | None:
        """The pair of an opaque key, if there is one."""
        return self._pairs.get(key)

    def save(self, pair: DrawnPair, answer: dict[str, Any]) -> PairLabel:
        """Append one label.

        Args:
            pair: What was shown.
            answer: verdict, one of `CHOICES`, and note.

        Raises:
            ValueError: The answer is none; the message says why in one line.
            EvalSetError: The labels file cannot be written.
        """
        first = pair.shown_first(self.labeller)
        try:
            label = PairLabel(
                task=pair.task, baseline=pair.baseline, case_id=pair.case_id, doc_hash=pair.doc_hash,
                pair_hash=pair.pair_hash, labeller=self.labeller, shown_first=first,
                verdict=_verdict(answer["verdict"], first), note=answer.get("note"),
                chance=pair.chance, stratum=pair.stratum,
                at=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            )  # fmt: skip
        except ValidationError as error:
            raise ValueError(first_problem(error)) from None
        append_line(self.labels_file, label.model_dump_json(exclude_none=True))
        return label


def read_pair_labels(files: Sequence[Path]) -> list[PairLabel]:
    """The labels of some files, the last of each labeller about each pair of answers.

    Raises:
        EvalSetError: A file cannot be read, or lines are no labels; up to 20 are listed.
    """
    return latest_labels(
        files, PairLabel,
        lambda label: (label.task, label.baseline, label.case_id, label.pair_hash, label.labeller),
    )  # fmt: skip


def are_pair_labels(file: Path) -> bool:
    """Whether a file of labels is about pairs; its first line says so."""
    found = next((found for _, found in objects_of(file)), None)
    return isinstance(found, dict) and "pair_hash" in found


def read_choice(told: dict[str, str]) -> dict[str, Any]:
    """What a labeller typed -> verdict and note.

    Args:
        told: verdict, one of `CHOICES`; note.

    Raises:
        ValueError: One line that says what was found and expected.
    """
    return read_verdict(told, CHOICES)


def _verdict(choice: str, first: Side) -> HumanVerdict:
    """First and second as the labeller saw them -> candidate and baseline."""
    if choice == "tie":
        return "tie"
    if choice == "both_bad":
        return "both_bad"
    return (
        "candidate_better" if (choice == "first") == (first == "candidate") else "baseline_better"
    )


def _share(salt: str, key: str) -> float:
    """A number from 0 to 1 that looks random and is always the same for the same words."""
    return int(digest("share", salt, key)[:12], 16) / 2**48
