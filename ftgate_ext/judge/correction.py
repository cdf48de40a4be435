"""Judgments, and human labels on some of the pairs -> win rates beside the judge's own.

Corrected by labels (PPI++), the same by Rogan-Gladen for comparison, and at equal length. Knows arrays,
settings and the types on disk; no files, no rules.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ftgate_ext.judge.judged_pairs import JudgedPair, pairs_of
from ftgate_ext.schema import Bucket, Comparison, Estimate, RunError, TestResult
from ftgate_ext.settings import Settings, to_estimate
from ftgate_ext.stats.agreement import Kappa, cohens_kappa
from ftgate_ext.stats.early_stopping import anytime_p, anytime_z
from ftgate_ext.stats.labelled_mean import CorrectedMean, corrected_mean, rogan_gladen_win_rate
from ftgate_ext.stats.length_control import length_controlled_win_rate
from ftgate_ext.stats.limits import Limits, NoLimits
from ftgate_ext.stats.planning import mde_from_standard_error
from ftgate_ext.winrate import SCORES, compare_win_rates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftgate_ext.schema import Judgment, PairLabel, Role, StoppingRecord
    from ftgate_ext.scores import ModelScores

MIN_LABELS = 30
"""Labels that a corrected win rate takes, and that of a bucket: with fewer, limits cover too seldom."""
MOST_REFITS = 2000
"""Resamples of the regression on length: each is a fit of its own."""
WIN_RATE, RAW = "win_rate", "win_rate_raw"
ROGAN_GLADEN, LENGTH_CONTROLLED = "win_rate_rogan_gladen", "win_rate_length_controlled"


@dataclass(frozen=True)
class BesideJudge:
    """What there is about judged pairs besides the judge's verdicts."""

    labels: Sequence[PairLabel] = ()
    stopped: Sequence[StoppingRecord] = ()
    buckets: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    """(task, field of the row) -> hash of a case -> its bucket."""

    def stop_of(self, task: str, baseline: Role) -> StoppingRecord | None:
        """Where judging the pairs against one model ended, if it could end early."""
        return next((s for s in self.stopped if (s.task, s.baseline) == (task, baseline)), None)


def compare_judged(
    judgments: list[Judgment], beside: BesideJudge, candidate: ModelScores, settings: Settings
) -> list[Comparison]:
    """Everything that a judge's verdicts say, corrected where labels allow it.

    Args:
        judgments: All looks, possibly none.
        beside: Labels, and where judging ended.
        candidate: Its rows say to which bucket a case belongs.
        settings: Level, seed, resamples, and the buckets that rules of the policy name.
    """
    buckets = {
        (task, by): {h: b for h, b in zip(scores.doc_hashes, scores.fields[by], strict=True) if b}
        for (task, _), fields in settings.buckets.items() for by in fields
        if (scores := candidate.tasks.get(task)) and by in scores.fields
    }  # fmt: skip
    rows = compare_win_rates(judgments, settings, beside.stopped)
    return add_corrected_rates(rows, judgments, replace(beside, buckets=buckets), settings)


def add_corrected_rates(
    rows: Sequence[Comparison],
    judgments: Sequence[Judgment],
    beside: BesideJudge,
    settings: Settings,
) -> list[Comparison]:
    """The judge's win rates, with corrected ones in their place and others beside them.

    Args:
        rows: Of `compare_win_rates`, on these judgments.
        judgments: All looks.
        beside: Labels, where judging ended, buckets.
        settings: Level, seed and resamples.

    Returns:
        `win_rate` is corrected by labels where there are `MIN_LABELS` or more, and the judge's own is
        then `win_rate_raw`; with fewer labels a note says so. Other rows follow.

    Raises:
        RunError: Some labels state their chance to be drawn, others do not.
    """
    found = []
    for row in rows:
        if row.metric != WIN_RATE or row.unavailable:
            found.append(row)
            continue
        pairs, outdated = pairs_of(row, judgments, beside.labels)
        found += _with_labels(row, pairs, outdated, beside, settings)
        found += _at_equal_length(row, pairs, settings)
    return found


# --- labels


def _with_labels(
    row: Comparison, pairs: list[JudgedPair], outdated: int, beside: BesideJudge, settings: Settings
) -> list[Comparison]:
    labelled = [p for p in pairs if p.human is not None and not p.is_identical]
    stale = [f"{outdated} labels are of answers that have changed since: not used."] * bool(outdated)  # fmt: skip
    if not labelled:
        return [row.model_copy(update={"notes": [*row.notes, *stale]})]
    if len(labelled) < MIN_LABELS:
        few = f"Not corrected: {len(labelled)} labelled pairs, {MIN_LABELS} are needed; this is the judge's own rate."
        return [row.model_copy(update={"notes": [*row.notes, few, *stale]})]
    _check_chances(row, labelled)
    found = corrected(pairs, settings.level)
    if isinstance(found, NoLimits):
        why = f"Not corrected: {found.why}. This is the judge's own rate."
        return [row.model_copy(update={"notes": [*row.notes, why, *stale]})]
    stop = beside.stop_of(row.task, row.baseline)
    changed = _corrected_row(row, found, stop)
    buckets, told = _corrected_buckets(row, pairs, beside)
    notes = [*row.notes, *_words(found, row, labelled), *told, *stale]
    changed = changed.model_copy(update={"notes": notes, "buckets": buckets})
    return [changed, row.model_copy(update={"metric": RAW}), _rogan_gladen(row, pairs, settings)]


def _check_chances(row: Comparison, labelled: list[JudgedPair]) -> None:
    given = sum(p.chance is not None for p in labelled)
    if 0 < given < len(labelled):
        raise RunError(
            f"pair labels of {row.task} against {row.baseline}: {given} of {len(labelled)} state `chance`, the others do not; expected all or none. Add it, or label with `ftgate label --pairs`."
        )


def corrected(pairs: Sequence[JudgedPair], level: float) -> CorrectedMean | NoLimits:
    """The win rate that the labellers would have given to all pairs."""
    asked = [p for p in pairs if not p.is_identical]
    labelled = [p for p in asked if p.human is not None]
    chances = [p.chance for p in labelled if p.chance is not None]
    return corrected_mean(
        [p.human for p in labelled if p.human is not None], [p.judged for p in labelled],
        [p.judged for p in asked if p.human is None], chances or None,
        # Identical answers are a tie by definition: nobody has to label them.
        [p.judged for p in pairs if p.is_identical], level,
    )  # fmt: skip


def _corrected_row(
    row: Comparison, found: CorrectedMean, stop: StoppingRecord | None
) -> Comparison:
    """The row with the corrected rate; limits as wide as looks and early stopping ask for."""
    shown, error = found.limits, found.standard_error
    level, p = shown.level, found.p(0.5)
    halves = [found.half_width(1 - row.alpha_one_sided * 2), (shown.upper - shown.lower) / 2]
    if stop and stop.looks_planned:
        halves[1] = found.half_width(1 - row.alpha_two_sided)
    elif stop:
        share = stop.n_judged / stop.n_planned
        halves = [anytime_z(share, alpha) * error for alpha in (2 * row.alpha_one_sided, 1 - level)]
        p = anytime_p((shown.value - 0.5) / error, share)
    away = shown.value - 0.5
    deciding, wide = halves
    around = {
        "value": away, "lower": max(-0.5, away - wide), "upper": min(0.5, away + wide),
        "level": level, "n": shown.n, "method": shown.method,
    }  # fmt: skip
    difference = Estimate(**around)
    rate = difference.model_copy(
        update={name: around[name] + 0.5 for name in ("value", "lower", "upper")}  # type: ignore[operator]  # numbers
    )
    return row.model_copy(
        update={
            "candidate_estimate": rate, "difference": difference, "standard_error": error,
            "lower_one_sided": max(-0.5, away - deciding), "upper_one_sided": min(0.5, away + deciding),
            "tests": [TestResult(name="PPI++", p=p, detail=f"{found.labels} labels")],
            "mde": mde_from_standard_error(error),
        }
    )  # fmt: skip


def _words(found: CorrectedMean, row: Comparison, labelled: list[JudgedPair]) -> list[str]:
    raw = row.candidate_estimate.value if row.candidate_estimate else found.judge_only
    told = [
        f"Corrected by {found.labels} human labels: the judge alone says {raw:.1%}, the labels alone {found.human_only:.1%}."
    ]
    if isinstance(kappa := _kappa(labelled), Kappa):
        limits = kappa.limits
        told.append(
            f"Judge and labels agree with kappa {limits.value:.2f} ({limits.lower:.2f} to {limits.upper:.2f}), the same in {kappa.observed:.0%}."
        )
    if found.labels_to_halve:
        told.append(f"{found.labels_to_halve} labels would halve the interval.")
    else:
        told.append("No number of labels on these pairs would halve the interval: judge more pairs.")  # fmt: skip
    return told


def _kappa(labelled: list[JudgedPair]) -> Kappa | NoLimits:
    """Agreement of the judge with each label: candidate, other or neither."""
    table = np.zeros((3, 3))
    for pair in labelled:
        for verdict in pair.human_verdicts:
            table[int(2 * SCORES[verdict]), int(2 * pair.judged)] += 1
    return cohens_kappa(table)


def _corrected_buckets(
    row: Comparison, pairs: list[JudgedPair], beside: BesideJudge
) -> tuple[list[Bucket], list[str]]:
    """The corrected rate minus one half in each bucket with enough labels; words on the others."""
    found, short = [], []
    for (task, by), bucket_of in beside.buckets.items():
        if task != row.task:
            continue
        names = Counter(bucket_of[p.doc_hash] for p in pairs if p.doc_hash in bucket_of)
        for name in sorted(names):
            mine = [p for p in pairs if bucket_of.get(p.doc_hash) == name]
            labels = sum(p.human is not None and not p.is_identical for p in mine)
            rate = corrected(mine, 0.95) if labels >= MIN_LABELS else None
            if not isinstance(rate, CorrectedMean):
                short.append(f"{by} {name} ({labels})")
                continue
            found.append(Bucket(
                by=by, bucket=name, n=len(mine), difference=rate.limits.value - 0.5,
                standard_error=rate.standard_error,
            ))  # fmt: skip
    few = f"Too few labels to correct these buckets, {MIN_LABELS} are needed: {', '.join(short)}."
    return found, [few] * bool(short)


def _rogan_gladen(row: Comparison, pairs: list[JudgedPair], settings: Settings) -> Comparison:
    """For comparison: wider than PPI++ in every setting tried."""
    asked = [p for p in pairs if not p.is_identical]
    labelled = [p for p in asked if p.human is not None]
    blank = _blank(row, ROGAN_GLADEN)
    if len({p.chance for p in labelled}) > 1:
        return blank.model_copy(update={"unavailable": "labels were drawn with unequal chances"})
    limits = rogan_gladen_win_rate(
        [p.human for p in labelled if p.human is not None], [p.judged for p in labelled],
        [p.judged for p in asked if p.human is None], settings.level,
    )  # fmt: skip
    if isinstance(limits, NoLimits):
        return blank.model_copy(update={"unavailable": limits.why})
    # Identical answers are ties that nobody errs about.
    share = len(asked) / len(pairs)
    value, lower, upper = (
        0.5 + share * (x - 0.5) for x in (limits.value, limits.lower, limits.upper)
    )
    mixed = Limits(value, lower, upper, limits.level, len(pairs), limits.method)
    return blank.model_copy(update=_estimates(mixed))


# --- length


def _at_equal_length(
    row: Comparison, pairs: list[JudgedPair], settings: Settings
) -> list[Comparison]:
    known = [p for p in pairs if p.longer_by is not None]
    if not known:
        return []
    blank = _blank(row, LENGTH_CONTROLLED)
    found = length_controlled_win_rate(
        [p.judged for p in known], [p.longer_by or 0 for p in known], settings.seed,
        max(100, min(settings.resamples, MOST_REFITS)), settings.level, 0.05,
    )  # fmt: skip
    if isinstance(found, NoLimits):
        return [blank.model_copy(update={"unavailable": found.why, "n_pairs": len(known)})]
    low, high = found.length_effect_limits
    told = f"The candidate's answers are {abs(found.mean_difference):.2f} sd {'longer' if found.mean_difference > 0 else 'shorter'}; length moves the judge's log odds by {found.length_effect:+.2f} ({low:+.2f} to {high:+.2f})."
    return [
        blank.model_copy(
            update={
                **_estimates(found.limits), "n_pairs": len(known), "notes": [told],
                "lower_one_sided": found.lower_one_sided - 0.5, "upper_one_sided": found.upper_one_sided - 0.5,
                "tests": [TestResult(name="refitted bootstrap", p=found.p)],
                "standard_error": found.standard_error,
            }
        )
    ]  # fmt: skip


def _blank(row: Comparison, metric: str) -> Comparison:
    """A further row on the same pairs, without figures yet."""
    return Comparison(
        task=row.task, metric=metric, kind="win_rate", baseline=row.baseline,
        n_pairs=row.n_pairs, n_excluded=row.n_excluded,
    )  # fmt: skip


def _estimates(limits: Limits) -> dict[str, Estimate]:
    rate = to_estimate(limits)
    moved = {"value": limits.value - 0.5, "lower": limits.lower - 0.5, "upper": limits.upper - 0.5}
    return {"candidate_estimate": rate, "difference": rate.model_copy(update=moved)}
