"""Training files -> what a team should know before it pays for a fine-tune. Knows no model.

Streams the rows; about 250 bytes a row stay in memory. Near-duplicates share a band of their MinHash
signatures and are then compared exactly, after lines that many rows share (instructions) are gone.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ftgate_ext.evalset.blocks import blocks_of, sample_blocks, work_through
from ftgate_ext.evalset.chat_rows import ChatRow, read_block, row_at
from ftgate_ext.evalset.hygiene_report import (
    MAX_LISTED,
    MAX_PRIVATE,
    HygieneCheck,
    HygieneReport,
    PrivateFinding,
    TokenCount,
)
from ftgate_ext.evalset.near import jaccard
from ftgate_ext.evalset.plain_words import unframed
from ftgate_ext.evalset.training_corpus import Corpus, Twin, gather, near_twins
from ftgate_ext.evalset.training_facts import GatherFacts, near_shingles

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SAMPLE_BYTES = 8_000_000
SHARED_LINE = 0.05
"""A line that more than this share of the rows has is boilerplate."""
FEWEST_SHARING_ROWS = 20
FAULTS = ("roles", "no assistant", "empty content", "too long")


@dataclass(frozen=True)
class HygieneLimits:
    """Above these something is serious."""

    near: float = 0.8
    max_tokens: int = 8192
    """Rows above it are listed: trainers cut them off."""
    max_duplicate_share: float = 0.05
    max_class_share: float = 0.9
    """Largest share of one label."""
    max_synthetic_share: float = 1.0


@dataclass(frozen=True)
class Prices:
    """What a training costs."""

    usd_per_mtok: float | None = None
    epochs: int = 1


def check_training(
    train: Sequence[Path],
    valid: Sequence[Path] = (),
    limits: HygieneLimits | None = None,
    prices: Prices | None = None,
    processes: int | None = None,
) -> HygieneReport:
    """Check the rows of training files, and their overlap with validation files.

    Raises:
        EvalSetError: A file is missing, or rows are broken: the first 20 are listed.
    """
    limits, prices = limits or HygieneLimits(), prices or Prices()
    train, valid = list(dict.fromkeys(train)), list(dict.fromkeys(valid))
    files = [*train, *(f for f in valid if f not in train)]
    boilerplate = _shared_lines(train)
    work = GatherFacts(limits.max_tokens, boilerplate)
    corpus = gather(work_through(blocks_of(files), work, processes), files, len(train))
    if any(f in train for f in valid):  # the same file on both sides: all of it overlaps
        corpus.same_file = [str(f) for f in valid if f in train]
    twins = near_twins(corpus)
    twins = [t for t in twins if _similarity(corpus, t, boilerplate) > limits.near]
    checks = [
        *_duplicates(corpus, twins, limits),
        *_overlap(corpus, twins),
        *_conflicts(corpus),
        *_faults(corpus),
        *_private(corpus),
        *_balance(corpus, limits),
    ]
    return HygieneReport(
        train=[str(f) for f in train], valid=[str(f) for f in valid],
        rows=corpus.n_train, valid_rows=len(corpus) - corpus.n_train, checks=checks,
        labels=dict(corpus.label_counts().most_common()), sources=dict(corpus.sources.most_common()),
        synthetic_share=corpus.synthetic / corpus.stated if corpus.stated else None,
        stated_rows=corpus.stated, tokens=_tokens(corpus, prices),
        private=[
            PrivateFinding(file=str(file), line=line, kind=t.kind, secret=t.is_secret, masked=t.masked)
            for file, line, t in corpus.private[:MAX_PRIVATE]
        ],
    )  # fmt: skip


def _shared_lines(files: Sequence[Path]) -> frozenset[str]:
    """Lines that more than 5 % of a sample of the rows have."""
    counts: Counter[str] = Counter()
    rows = 0
    for block in sample_blocks(files, SAMPLE_BYTES, probes=64):
        for row in read_block(block):
            if isinstance(row, ChatRow):
                rows += 1
                texts = (unframed(m.content) for m in row.messages)
                counts.update({line.strip() for text in texts for line in text.splitlines()})
    least = max(SHARED_LINE * rows, FEWEST_SHARING_ROWS)
    return frozenset(line for line, n in counts.items() if n > least)


def _similarity(corpus: Corpus, twin: Twin, boilerplate: frozenset[str]) -> float:
    one, other = (
        near_shingles(row_at(*corpus.place(row)).messages, boilerplate) for row in (twin.first, twin.second)
    )  # fmt: skip
    return jaccard(one, other)


def _check(
    name: str, rows: int, of: int, examples: list[str], *, serious: bool, limit: str = "none may"
) -> HygieneCheck:
    return HygieneCheck(
        name=name, rows=rows, share=rows / of if of else 0.0, serious=serious and rows > 0, limit=limit,
        examples=examples[:MAX_LISTED],
    )  # fmt: skip


def _duplicates(corpus: Corpus, twins: list[Twin], limits: HygieneLimits) -> list[HygieneCheck]:
    n = corpus.n_train
    exact, same = _first_of(corpus.exact[:n]), _first_of(corpus.same[:n])
    is_exact = exact != np.arange(n)
    is_same = (same != np.arange(n)) & ~is_exact
    near = sorted({t.second: t for t in twins if t.second < n}.values(), key=lambda t: t.second)
    share = (int(is_exact.sum()) + int(is_same.sum()) + len(near)) / n
    worse = share > limits.max_duplicate_share
    limit = f"together at most {limits.max_duplicate_share:.0%}"
    checks = []
    for name, repeated, first in (("exact", is_exact, exact), ("reformatted", is_same, same)):
        shown = [
            f"{corpus.where(row)} as {corpus.where(int(first[row]))}"
            for row in np.flatnonzero(repeated)[:MAX_LISTED].tolist()
        ]
        rows = int(repeated.sum())
        checks.append(_check(f"duplicates, {name}", rows, n, shown, serious=worse, limit=limit))
    shown = [f"{corpus.where(t.second)} like {corpus.where(t.first)}" for t in near[:MAX_LISTED]]
    return [*checks, _check("duplicates, near", len(near), n, shown, serious=worse, limit=limit)]


def _first_of(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Per row: the first row with the same hash."""
    _, first, which = np.unique(hashes, return_index=True, return_inverse=True)
    return np.asarray(first[which], dtype=np.int64)


def _overlap(corpus: Corpus, twins: list[Twin]) -> list[HygieneCheck]:
    """Validation rows whose prompt, or nearly whose text, is trained on."""
    if corpus.same_file:
        text = f"{corpus.same_file[0]} is both --train and --valid"
        return [
            _check("overlap with --valid", corpus.n_train, corpus.n_train, [text], serious=True)
        ]
    n, of = corpus.n_train, len(corpus) - corpus.n_train
    if not of:
        return []
    both = {t.second: t.first for t in twins if t.first < n <= t.second}
    for keys in (corpus.prompts, corpus.same):
        first = _first_of(keys)
        rows = np.flatnonzero((first < n) & (keys != 0))
        both |= {row: int(first[row]) for row in rows[rows >= n].tolist()}
    shown = [
        f"{corpus.where(row)} is in {corpus.where(both[row])}" for row in sorted(both)[:MAX_LISTED]
    ]
    return [_check("overlap with --valid", len(both), of, shown, serious=bool(both))]


def _conflicts(corpus: Corpus) -> list[HygieneCheck]:
    """Prompts with several answers: labels that differ contradict, longer answers may both be right."""
    n = corpus.n_train
    prompts = corpus.prompts[:n]
    _, first, which, counts = np.unique(
        prompts, return_index=True, return_inverse=True, return_counts=True
    )
    repeated = np.flatnonzero((counts[which] > 1) & (prompts != 0))
    groups: dict[int, list[int]] = {}
    for row in repeated.tolist():
        groups.setdefault(int(first[which[row]]), []).append(row)
    contradicting, several = [], []
    for rows in groups.values():
        labels = {int(corpus.labels[r]) for r in rows} - {-1}
        if len(labels) > 1:
            contradicting.append(rows)
        elif len({int(corpus.same[r]) for r in rows}) > 1:
            several.append(rows)
    return [
        _check("label conflicts", sum(map(len, contradicting)), n, [_answers(corpus, r) for r in contradicting], serious=bool(contradicting)),
        _check("same prompt, other wording of the answer", sum(map(len, several)), n, [_answers(corpus, r) for r in several], serious=False, limit="no limit"),
    ]  # fmt: skip


def _answers(corpus: Corpus, rows: list[int]) -> str:
    names = [corpus.label_name(row) or "(text)" for row in rows[:5]]
    return "; ".join(
        f"{corpus.where(row)} {name}" for row, name in zip(rows[:5], names, strict=True)
    )


def _faults(corpus: Corpus) -> list[HygieneCheck]:
    checks = []
    for name in FAULTS:
        found = [f for f in corpus.faults if f.check == name]
        rows = len({(f.file, f.line) for f in found})
        shown = [f"{f.file}:{f.line}: {f.detail}" for f in found]
        worse = bool(found) and name != "too long"
        limit = "no limit" if name == "too long" else "none may"
        checks.append(_check(name, rows, len(corpus), shown, serious=worse, limit=limit))
    return checks


def _private(corpus: Corpus) -> list[HygieneCheck]:
    checks = []
    for name, is_secret in (("secrets", True), ("personal data", False)):
        found = [spot for spot in corpus.private if spot.thing.is_secret == is_secret]
        rows = len({(spot.file, spot.line) for spot in found})
        shown = [f"{s.file}:{s.line}: {s.thing.kind} {s.thing.masked}" for s in found]
        limit = "none may" if is_secret else "no limit"
        worse = is_secret and bool(found)
        checks.append(_check(name, rows, len(corpus), shown, serious=worse, limit=limit))
    return checks


def _balance(corpus: Corpus, limits: HygieneLimits) -> list[HygieneCheck]:
    labels, checks = corpus.label_counts(), []
    if labels:
        (name, most), of = labels.most_common(1)[0], sum(labels.values())
        worse = most / of > limits.max_class_share
        limit = f"at most {limits.max_class_share:.0%}"
        shown = [f"{value}: {n} rows" for value, n in labels.most_common(MAX_LISTED)]
        checks.append(
            _check(f"largest class ({name})", most, of, shown, serious=worse, limit=limit)
        )
    if corpus.stated:
        worse = corpus.synthetic / corpus.stated > limits.max_synthetic_share
        limit = f"at most {limits.max_synthetic_share:.0%}"
        shown = [f"{source}: {n} rows" for source, n in corpus.sources.most_common(MAX_LISTED)]
        checks.append(_check("synthetic", corpus.synthetic, corpus.stated, shown, serious=worse, limit=limit))  # fmt: skip
    return checks


def _tokens(corpus: Corpus, prices: Prices) -> TokenCount:
    counts = corpus.tokens[: corpus.n_train]
    total = int(counts.sum())
    billed = total * prices.epochs
    cost = None if prices.usd_per_mtok is None else billed * prices.usd_per_mtok / 1e6
    return TokenCount(
        total=total, trained=int(corpus.trained[: corpus.n_train].sum()),
        median=float(np.median(counts)), p95=float(np.quantile(counts, 0.95)), longest=int(counts.max()),
        epochs=prices.epochs, billed=billed, usd_per_mtok=prices.usd_per_mtok, cost_usd=cost,
    )  # fmt: skip
