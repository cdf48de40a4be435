"""Training rows of one block -> what hygiene must know of them: hashes, labels, tokens, faults."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ftgate_ext.evalset.blocks import MAX_LISTED, Block, Worked
from ftgate_ext.evalset.chat_rows import BadRow, ChatRow, Message, read_block
from ftgate_ext.evalset.near import BANDS, Shingles, minhash, shingles, tokens
from ftgate_ext.evalset.plain_words import unframed
from ftgate_ext.evalset.private import PrivateThing, private_things

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
LABEL_KEYS = ("verdict", "label", "class", "category")
LABEL_WORDS = 3
"""A plain answer of up to so many words is a label."""
MESSAGE_TOKENS = 4
"""What a message takes beside its text."""
_FENCED = re.compile(r"^\s*```\w*\n(.*?)\n```\s*$", re.DOTALL)
_GENERATED = re.compile(r"synth|generat|distil|augment|template|\bllm\b|\bgpt", re.IGNORECASE)


class RowFault(NamedTuple):
    """Something wrong with a row."""

    line: int
    check: str
    detail: str


class PrivateSpot(NamedTuple):
    """Something private, and the line of the block where it stands."""

    line: int
    thing: PrivateThing


@dataclass
class TrainingFacts:
    """What is known of the rows of one block; lists have one item a row."""

    lines: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    exact: list[int] = field(default_factory=list)
    """64-bit hash of the messages as they are."""
    same: list[int] = field(default_factory=list)
    """64-bit hash of the tokens: case, layout, line numbers and fences do not count."""
    prompts: list[int] = field(default_factory=list)
    """The same of what comes before the last answer; 0 where nothing does."""
    labels: list[str | None] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    trained: list[int] = field(default_factory=list)
    """Tokens of the assistant's turns, or of a plain text."""
    bands: NDArray[np.uint32] = field(default_factory=lambda: np.zeros((0, BANDS), np.uint32))
    """Shape (rows, bands): rows that are near-duplicates have one number or more in common."""
    faults: list[RowFault] = field(default_factory=list)
    private: list[PrivateSpot] = field(default_factory=list)
    sources: Counter[str] = field(default_factory=Counter)
    synthetic: int = 0
    stated: int = 0
    """Rows that say whether they are synthetic, or where they come from."""


@dataclass(frozen=True)
class GatherFacts:
    """The work on one block."""

    max_tokens: int
    boilerplate: frozenset[str] = frozenset()
    """Lines that many rows share; they do not count for near-duplicates."""

    def __call__(self, block: Block) -> Worked[TrainingFacts]:
        """Read a block."""
        facts, lines = TrainingFacts(), 0
        bands: list[NDArray[np.uint32]] = []
        problems: list[tuple[int, str]] = []
        for row in read_block(block):
            lines = row.line
            if isinstance(row, ChatRow):
                self._add(facts, row)
                bands.append(_band_keys(near_shingles(row.messages, self.boilerplate)))
            elif isinstance(row, BadRow) and len(problems) < MAX_LISTED:
                problems.append((row.line, row.problem))
        if bands:
            facts.bands = np.stack(bands)
        return Worked(lines, problems, facts)

    def _add(self, facts: TrainingFacts, row: ChatRow) -> None:
        found = [tokens(unframed(m.content)) for m in row.messages]
        sizes = [
            max(len(t), len(m.content.encode()) // 4) + MESSAGE_TOKENS
            for t, m in zip(found, row.messages, strict=True)
        ]
        last = _last_answer(row.messages)
        turns = [f"{m.role}\x1e{' '.join(t)}" for m, t in zip(row.messages, found, strict=True)]
        facts.lines.append(row.line)
        facts.offsets.append(row.offset)
        facts.exact.append(_hash64(repr(row.messages)))
        facts.same.append(_hash64("\x1d".join(turns)))
        facts.prompts.append(_hash64("\x1d".join(turns[:last])) if last else 0)
        label = label_of(row.messages[last].content) if last else None
        facts.labels.append(None if label is None else _showable(label))
        facts.tokens.append(sum(sizes))
        learnt = [m.role in {"assistant", "text"} for m in row.messages]
        facts.trained.append(
            sum(s for s, is_learnt in zip(sizes, learnt, strict=True) if is_learnt)
        )
        faults = role_faults(row.messages)
        if sum(sizes) > self.max_tokens:
            faults.append(("too long", f"about {sum(sizes)} tokens, more than {self.max_tokens}"))
        facts.faults += [RowFault(row.line, check, detail) for check, detail in faults]
        for message in row.messages:
            facts.private += [
                PrivateSpot(row.line, thing) for thing in private_things(message.content)
            ]
        _note_origin(facts, row.fields)


def _hash64(text: str) -> int:
    """A hash that is never 0."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") | 1


def _last_answer(messages: tuple[Message, ...]) -> int | None:
    """Position of the last turn of the assistant, where something comes before it."""
    places = [i for i, m in enumerate(messages) if m.role == "assistant" and i]
    return places[-1] if places else None


def near_shingles(messages: tuple[Message, ...], boilerplate: frozenset[str]) -> Shingles:
    """What rows are compared by: all turns but the system's, without lines that many rows share."""
    texts = [m.content for m in messages if m.role not in {"system", "developer"}]
    kept = [line for text in texts for line in unframed(text).splitlines()]
    return shingles("\n".join(line for line in kept if line.strip() not in boilerplate))


def _band_keys(found: Shingles) -> NDArray[np.uint32]:
    """One number a band of the MinHash signature: near-duplicates share one or more."""
    bands = minhash(found).reshape(BANDS, -1).astype(np.uint64)
    key = np.zeros(BANDS, dtype=np.uint64)
    for column in bands.T:
        key = (key ^ column) * np.uint64(0x9E3779B97F4A7C15)
    return np.asarray(key >> np.uint64(32), dtype=np.uint32)


def _showable(value: str) -> str:
    """Labels and sources are shown: nothing private may be among them, nor what steers a terminal."""
    printable = "".join(c for c in value if c.isprintable())
    return "(private)" if any(private_things(value)) else printable[:40]


def label_of(answer: str) -> str | None:
    """The label that an answer is: a field of a JSON object, or an answer of a few words."""
    fenced = _FENCED.match(answer)
    text = (fenced[1] if fenced else answer).strip()
    if text.startswith("{"):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
        labels = (value.get(key) for key in LABEL_KEYS if key in value)
        label = next((v for v in labels if isinstance(v, (str, bool, int))), None)
        return None if label is None else str(label).lower()
    words = text.rstrip(".!").lower().split()
    return " ".join(words) if 1 <= len(words) <= LABEL_WORDS else None


def role_faults(messages: tuple[Message, ...]) -> list[tuple[str, str]]:
    """What a trainer would refuse, or train on wrongly: check and detail."""
    if any(m.role == "text" for m in messages):
        return [] if messages[0].content.strip() else [("empty content", "`text` is empty")]
    faults = [
        (
            "roles",
            f"messages[{i}].role {m.role[:20]!r} is unknown; expected one of {', '.join(ROLES)}",
        )
        for i, m in enumerate(messages)
        if m.role not in ROLES
    ]
    empty = (i for i, m in enumerate(messages) if not m.content.strip() and not m.calls_tools)
    faults += [("empty content", f"messages[{i}] says nothing") for i in empty]
    if not any(m.role == "assistant" for m in messages):
        return [*faults, ("no assistant", "there is no turn of the assistant to learn from")]
    before = "start"
    for i, message in enumerate(messages):
        if message.role in ROLES and message.role not in _MAY_FOLLOW[before]:
            faults.append(("roles", f"messages[{i}]: {message.role} after {before}"))
        elif message.role in ROLES:
            before = message.role
    if messages[-1].role != "assistant":
        faults.append(
            ("roles", f"the last turn is of {messages[-1].role[:20]!r}; expected assistant")
        )
    return faults


_MAY_FOLLOW = {
    "start": {"system", "developer", "user"},
    "system": {"user", "developer"},
    "developer": {"user", "system"},
    "user": {"assistant"},
    "assistant": {"user", "tool", "function"},
    "tool": {"assistant", "tool"},
    "function": {"assistant", "function"},
}


def _note_origin(facts: TrainingFacts, fields: dict[str, Any]) -> None:
    meta = fields.get("metadata")
    fields = {**meta, **fields} if isinstance(meta, dict) else fields
    source, synthetic = fields.get("source"), fields.get("synthetic")
    if source is None and synthetic is None:
        return
    facts.stated += 1
    facts.sources[_showable(str(source)) if source is not None else "(not stated)"] += 1
    stated = synthetic if isinstance(synthetic, bool) else str(synthetic).lower() in {"1", "true", "yes"}  # fmt: skip
    guessed = synthetic is None and bool(_GENERATED.search(str(source)))
    facts.synthetic += int(stated or guessed)
