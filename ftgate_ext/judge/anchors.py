"""The judge lock: a few known pairs are judged again in every run, to see a judge that has changed.

A name is no promise: behind the same model name, prompt and parameters another judge may answer next month.
A judge also wavers by itself, which is why the same looks are asked twice at the qualification.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.judge.known_pairs import known_looks
from ftgate_ext.schema import AnchorCheck
from ftgate_ext.stats.paired_binary import mcnemar_one_sided

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.judge.pairwise import Look
    from ftgate_ext.schema import Judgment, KnownPair

ANCHORS = "anchors"
"""Stands as the task of looks at anchors; their answers never come from the cache of an earlier run."""
ALPHA = 0.05


def anchor_looks(pairs: Sequence[KnownPair], n: int, seed: int, task: str) -> list[Look]:
    """Both orders of the first `n` pairs."""
    return known_looks(list(pairs[:n]), seed, task)


def check_anchors(
    now: Sequence[Judgment], then: Sequence[Judgment], again: Sequence[Judgment]
) -> AnchorCheck | None:
    """Whether more verdicts changed than the judge's own wavering explains.

    McNemar's exact test, one-sided, over looks: changed since the qualification, against changed
    between the two times that the qualification asked.

    Args:
        now: Of this run.
        then: The qualification's verdicts on the same pairs (and others).
        again: The same once more, at the qualification.

    Returns:
        None where nothing can be compared.
    """
    first, second = _by_look(then), _by_look(again)
    keys = [key for key in _by_look(now) if key in first and key in second]
    if not keys:
        return None
    today = _by_look(now)
    changed = {key: today[key] != first[key] for key in keys}
    before = {key: second[key] != first[key] for key in keys}
    new = sum(changed[k] and not before[k] for k in keys)
    gone = sum(before[k] and not changed[k] for k in keys)
    p = mcnemar_one_sided(gone, new)
    return AnchorCheck(
        n_looks=len(keys), n_changed=sum(changed.values()), n_changed_before=sum(before.values()),
        p=p, drifted=new > gone and p < ALPHA,
    )  # fmt: skip


def _by_look(judgments: Sequence[Judgment]) -> dict[tuple[str, str], str]:
    """Failed requests say nothing about the judge; an unreadable verdict does."""
    return {
        (j.case_id, j.first): j.raw_verdict for j in judgments if j.raw_verdict != "failed"
    }  # fmt: skip
