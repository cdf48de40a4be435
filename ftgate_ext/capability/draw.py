"""Which cases of a large benchmark are asked: a seeded draw, stratified by its tasks."""

from __future__ import annotations

import random


def allocate(sizes: dict[str, int], wanted: int) -> dict[str, int]:
    """How many cases of each task: proportional to its size, at least one, `wanted` in all.

    Largest remainders decide who gets the cases that are left over; a task is never asked more
    than it has.

    Args:
        sizes: Task -> number of its cases.
        wanted: Cases in all; more than there are means all of them.

    Raises:
        ValueError: Fewer cases are wanted than there are tasks: some would not be asked at all.
    """
    total = sum(sizes.values())
    if wanted >= total:
        return dict(sizes)
    if wanted < len(sizes):
        raise ValueError(f"{wanted} cases of {len(sizes)} tasks; at least one of each is needed")
    exact = {task: size * wanted / total for task, size in sizes.items()}
    given = {task: max(1, int(share)) for task, share in exact.items()}
    by_remainder = sorted(exact, key=lambda task: (given[task] - exact[task], task))
    for task in by_remainder * 2:
        left = wanted - sum(given.values())
        if left == 0:
            break
        if left > 0 and given[task] < sizes[task]:
            given[task] += 1
    largest = sorted(given, key=lambda task: (-given[task], task))
    while sum(given.values()) > wanted:  # tasks so small that their one case is above their share
        task = next(t for t in largest if given[t] == max(given.values()))
        given[task] -= 1
    return given


def drawn_rows(task: str, n_rows: int, wanted: int, seed: int) -> list[int]:
    """Positions of the cases drawn of one task, in ascending order.

    A larger draw with the same seed holds the smaller one: cases can be added to a run.
    """
    order = list(range(n_rows))
    random.Random(f"{seed}:{task}").shuffle(order)
    return sorted(order[:wanted])
