"""Comparisons -> the forgetting ledger: what the candidate gained and lost on every capability.

One entry a benchmark and other model, with its subjects where it is a group of tasks. What is absent
has an entry that says so. Knows the types on disk and the policy; no scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.capability.variants import BENCHMARKS, benchmark_of
from ftgate_ext.policy_rules import metrics_of, plain_rules
from ftgate_ext.schema import Comparison, Comparisons, Estimate, LedgerEntry, LedgerSubject, Role
from ftgate_ext.stats.multiplicity import holm

if TYPE_CHECKING:
    from ftgate_ext.policy import EvalSet, Policy

AGAINST: tuple[Role, ...] = ("base", "production")
ALPHA = 0.05
HIGHER, LOWER = "higher", "lower"
NOT_COMPARED = "not compared"
GRADED, NOT_GRADED = "mtbench_score", "no judge that is fit to vote has graded it"


def make_ledger(policy: Policy, comparisons: Comparisons) -> list[LedgerEntry]:
    """The ledger of a run.

    Args:
        policy: Its eval sets of kind `capability` are the benchmarks.
        comparisons: Of the run, those of judged metrics included.
    """
    roles = [role for role in AGAINST if role in policy.models]
    return [
        _entry(spec, role, policy, comparisons)
        for spec in policy.eval_sets if spec.kind == "capability"
        for role in roles
    ]  # fmt: skip


def headline_metric(spec: EvalSet, policy: Policy, comparisons: Comparisons) -> str:
    """The metric of a benchmark's row: the published one, else what a rule looks at, else the first."""
    known = benchmark_of(spec.task)
    if known is not None:
        benchmark = BENCHMARKS[known]
        for variant in (benchmark.generative, benchmark.loglikelihood):
            if variant is not None and variant.task == spec.task:
                return variant.metric
    named = [m.metric for rule in plain_rules(policy.rules) for m in metrics_of(rule) if m.task == spec.task]  # fmt: skip
    made = [c.metric for c in comparisons.comparisons if c.task == spec.task]
    return (named or made or [""])[0]


def _entry(spec: EvalSet, role: Role, policy: Policy, comparisons: Comparisons) -> LedgerEntry:
    metric = headline_metric(spec, policy, comparisons)
    name = spec.asked_for or benchmark_of(spec.task) or spec.task
    entry = LedgerEntry(task=spec.task, benchmark=name, metric=metric, baseline=role)
    found = _find(comparisons, spec.task, metric, role)
    if found is None or found.difference is None:
        why = comparisons.unavailable.get(spec.task) or (found.unavailable if found else None)
        return entry.model_copy(update={"absent": why or _why_absent(metric, role, comparisons)})
    gained, lost = _changes(found)
    return entry.model_copy(
        update={
            "n": found.n_pairs, "candidate": found.candidate_estimate, "other": found.baseline_estimate,
            "difference": found.difference, "gained": gained, "lost": lost,
            "p": found.tests[0].p if found.tests else None,
            "higher_is_better": found.higher_is_better,
            "subjects": _subjects(found, comparisons),
        }
    )  # fmt: skip


def _find(comparisons: Comparisons, task: str, metric: str, role: Role) -> Comparison | None:
    key = (task, metric, role)
    return next((c for c in comparisons.comparisons if (c.task, c.metric, c.baseline) == key), None)


def _why_absent(metric: str, role: Role, comparisons: Comparisons) -> str:
    if role not in comparisons.roles:
        return f"{role} took no part"
    return NOT_GRADED if metric == GRADED else NOT_COMPARED


def _changes(found: Comparison) -> tuple[int | None, int | None]:
    """Cases gained and lost; None where the comparison does not count them."""
    counts = found.counts
    if "only_candidate" in counts:
        pair = counts["only_candidate"], counts["only_baseline"]
    elif HIGHER in counts:
        pair = counts[HIGHER], counts[LOWER]
    else:
        return None, None
    return pair if found.higher_is_better else pair[::-1]


def _subjects(whole: Comparison, comparisons: Comparisons) -> list[LedgerSubject]:
    """The tasks of a group, or the buckets of a benchmark by category, largest loss first."""
    leaves = comparisons.groups.get(whole.task, [])
    parts = [c for leaf in leaves if (c := _find(comparisons, leaf, whole.metric, whole.baseline))]
    subjects = [_subject(part, _short(part.task, whole.task)) for part in parts] or [
        LedgerSubject(
            subject=b.bucket, n=b.n, gained=b.gained, lost=b.lost,
            difference=Estimate(value=b.difference, n=b.n, method="mean of a category"),
        )
        for b in whole.buckets if b.by == "category"
    ]  # fmt: skip
    sign = 1 if whole.higher_is_better else -1
    tested = [s for s in subjects if s.p is not None]
    adjusted = holm([s.p or 0.0 for s in tested]) if tested else ()
    for subject, p in zip(tested, adjusted, strict=True):
        subject.p_holm = float(p)
        subject.is_lost = bool(p < ALPHA) and _turned(subject, sign) < 0
    return sorted(subjects, key=lambda s: (_turned(s, sign), s.subject))


def _turned(subject: LedgerSubject, sign: int) -> float:
    """The difference, so that a loss is below 0."""
    return sign * subject.difference.value if subject.difference else 0.0


def _subject(part: Comparison, name: str) -> LedgerSubject:
    gained, lost = _changes(part)
    return LedgerSubject(
        subject=name, n=part.n_pairs, difference=part.difference, gained=gained, lost=lost,
        p=part.tests[0].p if part.tests else None,
    )  # fmt: skip


def _short(task: str, group: str) -> str:
    """`mmlu_anatomy_generative` of `mmlu_generative` -> `anatomy`."""
    stem, _, ending = group.partition("_")
    name = task.removeprefix(f"{stem}_")
    return name.removesuffix(f"_{ending}") if ending else name
