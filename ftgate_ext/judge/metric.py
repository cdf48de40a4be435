"""The judge as a metric of lm-eval: hooks that a task's YAML names.

    lm_eval --tasks codereview_shadow --metadata '{"opponent": "samples_codereview_shadow_X.jsonl", "judge": "judge.yaml"}'

The model that lm-eval asks plays the candidate; the opponent's answers are in a samples file of an earlier
run. Every pair is judged in both orders by the project's protocol, all at once when lm-eval aggregates.
Without an opponent the task only generates.

Imports little: lm-eval loads this with the task, judged or not.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from ftgate_ext.evalset.rows import load_task_data
from ftgate_ext.schema import RunError, is_unscored
from ftgate_ext.scoring.codereview import score_shadow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ftgate_ext.judge.metric_opponent import Opponent
    from ftgate_ext.samples import Record

LOG = logging.getLogger("lm_eval.ftgate.judge")
OPPONENT, JUDGE = "opponent", "judge"
OWN_METADATA = frozenset({"version", "config_source"})
"""What a task always has: with more, somebody runs lm-eval itself, and may want to know of the judge."""
METRICS = ("win_rate", "tie_rate", "both_bad_rate", "consistency", "unjudged")


class Pair(dict[str, Any]):
    """What lm-eval keeps of one case: empty until it was judged, then its verdict.

    A dict on disk; the two answers travel along without being written a second time.
    """

    mine: Record
    theirs: Record
    opponent: Opponent


_opponents: dict[str, Opponent] = {}
"""File of an eval set -> the opponent's answers to it. lm-eval's hooks know each other in no other way."""


def load_shadow_data(
    *, file: str, opponent: str | None = None, judge: str | None = None, **metadata: Any
) -> dict[str, Any]:
    """The rows of a task, as `load_task_data`; and, where metadata names them, opponent and judge.

    Args:
        file: JSONL file of the eval set.
        opponent: samples_*.jsonl of another model's run of this task.
        judge: YAML with the `judge` section of a gate.yaml, or a whole one.
        **metadata: Whatever else lm-eval passes on.

    Raises:
        RunError: One of the two is missing, or cannot be read; the judge does not answer.
    """
    _opponents.pop(file, None)
    if opponent is None and judge is None:
        if metadata.keys() - OWN_METADATA - {"required"}:
            LOG.warning('%s: no opponent named, so answers are only generated; --metadata \'{"opponent": "samples_X.jsonl", "judge": "judge.yaml"}\' has them judged in pairs.', file)  # fmt: skip
        return load_task_data(file=file, **metadata)
    if opponent is None or judge is None:
        missing, given = (OPPONENT, JUDGE) if opponent is None else (JUDGE, OPPONENT)
        raise RunError(f"--metadata: {given!r} without {missing!r}; name both, or neither.")
    from ftgate_ext.judge.metric_opponent import load_opponent

    rows = load_task_data(file=file, **metadata)
    _opponents[file] = load_opponent(opponent, judge)
    return rows


def score_pair(doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
    """What `score_shadow` notes, and the pair to be judged where there is an opponent."""
    scores = score_shadow(doc, results)
    if is_unscored(results[0]):
        return scores
    for opponent in _opponents.values():
        found = opponent.find(doc)
        if found is not None:
            pair = Pair()
            pair.mine, pair.theirs, pair.opponent = opponent.answered(found, results[0]), found, opponent  # fmt: skip
            return scores | dict.fromkeys(METRICS, pair)
    return scores


def win_rate(items: Sequence[Pair]) -> float:
    """Wins and half the ties and both_bad, of the pairs with a verdict."""
    return _mean({"candidate_better": 1.0, "tie": 0.5, "both_bad": 0.5}.get(v, 0.0) for v in _verdicts(items))  # fmt: skip


def tie_rate(items: Sequence[Pair]) -> float:
    """Share of ties among the pairs with a verdict; other verdicts in the two orders are a tie."""
    return _mean(float(verdict == "tie") for verdict in _verdicts(items))


def both_bad_rate(items: Sequence[Pair]) -> float:
    """Share of pairs with a verdict of which neither answer was of use."""
    return _mean(float(verdict == "both_bad") for verdict in _verdicts(items))


def consistency(items: Sequence[Pair]) -> float:
    """Share of the pairs that were judged alike in both orders; identical answers are left out."""
    judged = _judged(items)
    return _mean(float(item["consistent"]) for item in judged if item["consistent"] is not None)


def unjudged(items: Sequence[Pair]) -> int:
    """Pairs of which a verdict could not be read or a request failed: in no rate above."""
    return sum(item["verdict"] in ("unparsed", "failed") for item in _judged(items))


def _verdicts(items: Sequence[Pair]) -> list[str]:
    return [
        i["verdict"] for i in _judged(items) if i["verdict"] not in ("unparsed", "failed", None)
    ]


def _judged(items: Sequence[Pair]) -> Sequence[Pair]:
    """The pairs with their verdicts; judged once, whichever metric asks first."""
    if any(not item for item in items):
        from ftgate_ext.judge.metric_opponent import judge_pairs

        opponent = items[0].opponent
        found, lines = judge_pairs(opponent, [(item.mine, item.theirs) for item in items])
        for item, verdict in zip(items, found, strict=True):
            item.update(verdict)
        for line in lines:
            LOG.warning("%s", line)
    return items


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else float("nan")


def doc_key(doc: dict[str, Any]) -> str:
    """A row as text, the same whatever the order of its keys."""
    return json.dumps(doc, sort_keys=True, ensure_ascii=False, default=str)
