"""Files of lines -> blocks of lines, worked on by all cores, outcomes in the order of the files.

Knows no rows. A block is a range of bytes: text is read where it is used and never sent about.
"""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

T = TypeVar("T")

BLOCK_BYTES = 4_000_000
IN_PARALLEL_ABOVE_BYTES = 12_000_000
"""Below this size, starting processes costs more than it saves."""
MAX_LISTED = 20


@dataclass(frozen=True)
class Block:
    """The lines of a file that begin in `start` <= byte < `end`."""

    file: Path
    start: int
    end: int


@dataclass(frozen=True)
class Worked(Generic[T]):
    """What became of one block."""

    lines: int
    """How many lines began in it, bad ones included."""
    problems: list[tuple[int, str]]
    """Line of the block (from 1) and what is wrong with it; at most 20."""
    found: T


@dataclass(frozen=True)
class Placed(Generic[T]):
    """What became of one block, and where it stands."""

    file: Path
    lines_before: int
    """Lines of the file before the block: line 1 of the block is line `lines_before` + 1."""
    lines: int
    found: T


def blocks_of(files: Sequence[Path], size: int | None = None) -> list[Block]:
    """Cut files into blocks of `size` bytes, 4 MB when left out.

    Raises:
        EvalSetError: A file is missing, empty or no file; one line for each.
    """
    problems, blocks = [], []
    size = size or BLOCK_BYTES
    for file in files:
        if not file.is_file():
            problems.append(
                f"{file}: no such file; expected training rows, one JSON object a line."
            )
            continue
        length = file.stat().st_size
        if not length:
            problems.append(f"{file}: no rows; expected one JSON object a line.")
        blocks += [Block(file, at, min(at + size, length)) for at in range(0, length, size)]
    if problems:
        raise EvalSetError("\n".join(problems[:MAX_LISTED]))
    return blocks


def sample_blocks(files: Sequence[Path], budget: int, probes: int = 256) -> list[Block]:
    """Everything where it fits into `budget` bytes; else evenly spread pieces of that size."""
    whole = blocks_of(files, max(1, budget // probes))
    if sum(block.end - block.start for block in whole) <= budget:
        return blocks_of(files)
    step = len(whole) / probes
    return [whole[int((i + 0.5) * step)] for i in range(probes)]


def lines_of(block: Block) -> Iterator[tuple[int, bytes]]:
    """The block's lines with the byte at which each begins.

    Raises:
        EvalSetError: The file cannot be read.
    """
    try:
        with block.file.open("rb") as file:
            if block.start:
                file.seek(block.start - 1)
                file.readline()  # the end of a line that began in an earlier block
            at = file.tell()
            while at < block.end and (line := file.readline()):
                yield at, line
                at += len(line)
    except OSError as error:
        raise EvalSetError(f"{block.file}: cannot be read ({error.strerror}).") from None


def work_through(
    blocks: Sequence[Block], work: Callable[[Block], Worked[T]], processes: int | None = None
) -> Iterator[Placed[T]]:
    """Do the same work on every block, in several processes where there is much to do.

    Args:
        blocks: In the order in which outcomes shall come.
        work: Can be pickled: it is sent to every process once.
        processes: All cores when left out; 1 stays in this process.

    Raises:
        EvalSetError: Lines are bad: the first 20 of them, after which nothing further is read.
    """
    size = sum(block.end - block.start for block in blocks)
    cores = processes or (os.cpu_count() or 1 if size > IN_PARALLEL_ABOVE_BYTES else 1)
    problems: list[str] = []
    before: dict[Path, int] = {}
    with ExitStack() as stack:
        outcomes: Iterator[Worked[T]]
        if cores == 1:
            outcomes = map(work, blocks)
        else:
            context = multiprocessing.get_context("spawn")
            pool = ProcessPoolExecutor(cores, context, _install, (work,))
            stack.callback(pool.shutdown, cancel_futures=True)
            outcomes = pool.map(_run, blocks)
        for block, outcome in zip(blocks, outcomes, strict=True):
            start = before.get(block.file, 0)
            before[block.file] = start + outcome.lines
            problems += [f"{block.file}:{start + n}: {text}" for n, text in outcome.problems]
            if len(problems) >= MAX_LISTED:
                break
            if not problems:
                yield Placed(block.file, start, outcome.lines, outcome.found)
    if problems:
        raise EvalSetError("\n".join(problems[:MAX_LISTED]))


_installed: list[Callable[[Block], Worked[Any]]] = []


def _install(work: Callable[[Block], Worked[Any]]) -> None:
    _installed[:] = [work]


def _run(block: Block) -> Worked[Any]:
    return _installed[0](block)
