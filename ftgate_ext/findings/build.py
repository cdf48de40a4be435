"""All models' scores and failures -> findings: categories, confusion, buckets, what changed, what to look at."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ftgate_ext.findings.breakdown import tabulate_buckets
from ftgate_ext.findings.collect import ANSWERED, EXPECTED, NOT_GOLDEN, WITHHELD
from ftgate_ext.findings.pairs import CasePairs, Side, describe_change, pair_sides
from ftgate_ext.findings.sorting import HARMFUL, NOT_MET
from ftgate_ext.findings.taxonomy import REQUEST_FAILED
from ftgate_ext.findings.typical import Reservoir, choose_typical
from ftgate_ext.schema import ROLES, Change, Confusion, Finding, Findings, TopFailure
from ftgate_ext.settings import to_estimate
from ftgate_ext.stats.proportion import wilson

if TYPE_CHECKING:
    from ftgate_ext.findings.collect import Kept, TaskFailures
    from ftgate_ext.schema import BucketTable, ChangeKind, FailureSorting, Role
    from ftgate_ext.scores import ModelScores, TaskScores
    from ftgate_ext.settings import Settings

Array = np.ndarray[Any, Any]
Failures = dict[str, "TaskFailures"]
"""Task -> its failures, row by row as in the scores."""

TOP = 30
FLIPS = 10_000
"""Exchanged signs a bucket: dozens of buckets must not take minutes."""
LEFT_OUT = 255
"""Code of a request that does not count."""
KINDS: tuple[ChangeKind, ...] = ("broken", "flaky", "still_wrong")
SEVERITY_RANK = {"critical": 0, "high": 1, "medium": 2, "low": 3}


def build_findings(
    models: dict[Role, ModelScores],
    failures: dict[Role, Failures],
    settings: Settings,
    leaked: dict[str, set[str]] | None = None,
    taxonomy: str = "built in",
    sorting: FailureSorting | None = None,
) -> Findings:
    """Everything that `findings.json` says.

    Args:
        models: Role -> scores, of all cases.
        failures: Role -> what was collected while the same samples streamed by.
        settings: Deciding metrics, clusters, seed.
        leaked: Task -> hashes of cases left out because the candidate was trained on them.
        taxonomy: Where the categories come from.
        sorting: What the judge did about failures that no rule sorts.
    """
    kept = {
        role: _keep(models[role], failures[role], leaked or {}) for role in ROLES if role in models
    }
    found = Findings(
        findings=_findings(kept), taxonomy=taxonomy, sorting=sorting,
        confusion=[c for role, sides in kept.items() for c in _confusions(role, sides)],
    )  # fmt: skip
    reference = next((role for role in ROLES[1:] if role in kept), None)
    if "candidate" not in kept or reference is None:
        found.absent.append("What changed: only one model was asked; there is nothing to compare.")
        return found
    if reference != "production":
        found.absent.append(f"Production was not asked: changes are against {reference}.")
    quick = replace(settings, flips=FLIPS)
    pairs: list[CasePairs] = []
    for task in kept["candidate"]:
        changes, tables, paired = _compare_task(task, models["candidate"], kept, reference, quick)
        found.changes += changes
        found.buckets += tables
        pairs += paired
    missing = [task for task in kept[reference] if task not in kept["candidate"]]
    found.absent += [f"{task}: the candidate was not asked." for task in missing]
    found.top = _top(pairs, settings)
    return found


def _keep(model: ModelScores, failures: Failures, leaked: dict[str, set[str]]) -> dict[str, Side]:
    return {
        task: _without(Side(scores, failures[task]), leaked.get(task, set()))
        for task, scores in model.tasks.items()
        if task in failures
    }


def _without(side: Side, hashes: set[str]) -> Side:
    """Leaked cases count as not asked: no score, no failure, in no bucket."""
    if not hashes:
        return side
    gone = {row for row, doc_hash in enumerate(side.scores.doc_hashes) if doc_hash in hashes}
    if not gone:
        return side
    columns = {}
    for name, column in side.scores.columns.items():
        chosen = [i for i, row in enumerate(column.rows) if row not in gone]
        cells = column.cells[:0]
        for i in chosen:
            cells.extend(column.cells[i * column.width : (i + 1) * column.width])
        rows = column.rows[:0]
        rows.extend(column.rows[i] for i in chosen)
        columns[name] = replace(column, cells=cells, rows=rows)
    failures = replace(
        side.failures, codes=side.failures.codes[:], expected=side.failures.expected[:],
        kept={name: _without_cases(pool, hashes) for name, pool in side.failures.kept.items()},
    )  # fmt: skip
    for row in gone:
        failures.codes[row] = LEFT_OUT
        failures.expected[row] = NOT_GOLDEN
    return Side(replace(side.scores, columns=columns), failures)


def _without_cases(pool: Reservoir[Kept], hashes: set[str]) -> Reservoir[Kept]:
    left: Reservoir[Kept] = Reservoir("")
    left.items = [item for item in pool.items if item.doc_hash not in hashes]
    return left


# --- categories of each model


def _findings(kept: dict[Role, dict[str, Side]]) -> list[Finding]:
    """One finding per task, role and category that occurs for any model, the largest first."""
    tasks = dict.fromkeys(task for sides in kept.values() for task in sides)
    rows = []
    for task in tasks:
        asked = {role: sides[task] for role, sides in kept.items() if task in sides}
        counts = {role: _count(side) for role, side in asked.items()}
        total: Counter[str] = Counter()
        for of_role in counts.values():
            total.update({name: n for name, n in of_role.items() if name})
        also: Counter[str] = sum((side.failures.also for side in asked.values()), Counter())
        for name in dict.fromkeys([*(n for n, _ in total.most_common()), *also]):
            rows += [_finding(task, role, name, side, counts[role]) for role, side in asked.items()]
    return rows


def _count(side: Side) -> Counter[str]:
    """Category of the first answer to each case -> cases; '' for those without a failure."""
    first = side.cases.first
    codes = np.frombuffer(side.failures.codes, np.uint8)[first]
    names = side.failures.names
    return Counter({names[c]: int((codes == c).sum()) for c in np.unique(codes) if c != LEFT_OUT})


def _finding(task: str, role: Role, name: str, side: Side, counts: Counter[str]) -> Finding:
    of, n = _asked(name, side, counts), counts[name]
    kept = side.failures.kept[name].items if name in side.failures.kept else []
    once = list({item.example.case_id: item for item in kept}.values())
    typical = choose_typical(
        [_shown(k.example.answer, k.example.expected) for k in once], [k.group for k in once]
    )
    return Finding(
        task=task, category=name, role=role, n=n, of=of, also=side.failures.also[name],
        examples=[once[i].example for i in typical] if n else [],
        rate=to_estimate(wilson(n, of)) if of else None,
    )  # fmt: skip


def _asked(name: str, side: Side, counts: Counter[str]) -> int:
    """Of how many cases a category is a share: of those that could have fallen into it."""
    if name == REQUEST_FAILED:
        return counts.total()
    column = side.scores.columns.get(name.removesuffix(NOT_MET)) if name.endswith(NOT_MET) else None
    if column is None:
        return counts.total() - counts[REQUEST_FAILED]
    # Not every case of a task has every metric: harmful requests have one of their own.
    return int(np.isin(side.cases.first, column.rows).sum())


def _shown(answer: str, expected: str) -> str:
    """What failures are compared by; withheld answers are all alike."""
    return expected if answer == WITHHELD else f"{answer}\n{expected}"


def _confusions(role: Role, sides: dict[str, Side]) -> list[Confusion]:
    found = []
    for task, side in sides.items():
        first = side.cases.first
        wanted = np.frombuffer(side.failures.expected, np.uint8)[first]
        said = np.frombuffer(side.failures.answered, np.uint8)[first]
        golden = wanted != NOT_GOLDEN
        if not golden.any():
            continue
        failed = np.frombuffer(side.scores.unanswered, dtype=bool)[first]
        counts = np.zeros((len(EXPECTED), len(ANSWERED)), dtype=int)
        np.add.at(counts, (wanted[golden], said[golden]), 1)
        found.append(Confusion(
            task=task, role=role, expected=list(EXPECTED), answered=list(ANSWERED),
            counts=counts.tolist(), n=int(golden.sum()), n_unanswered=int(failed.sum()),
        ))  # fmt: skip
    return found


# --- two models


def _compare_task(
    task: str,
    candidate: ModelScores,
    kept: dict[Role, dict[str, Side]],
    reference: Role,
    settings: Settings,
) -> tuple[list[Change], list[BucketTable], list[CasePairs]]:
    """What changed on every deciding metric; buckets by the first of them."""
    mine, other = kept["candidate"][task], kept[reference].get(task)
    metrics = settings.deciding.get(task) or _deciding(mine.scores)
    changes: list[Change] = []
    tables: list[BucketTable] = []
    pairs: list[CasePairs] = []
    for metric in metrics:
        empty = Change(task=task, metric=metric, reference=reference)
        if other is None:
            why = f"{reference} was not asked"
            changes.append(empty.model_copy(update={"unavailable": why}))
            continue
        better = candidate.higher_is_better.get(task, {}).get(metric.partition(",")[0])
        found = pair_sides(mine, other, metric, reference, settings, higher=better is not False)
        if isinstance(found, str):
            changes.append(empty.model_copy(update={"unavailable": found}))
            continue
        changes.append(describe_change(found, settings))
        tables += [] if tables else tabulate_buckets(found, settings)
        pairs.append(found)
    return changes, tables, pairs


def _deciding(scores: TaskScores) -> list[str]:
    """Where no rule names a metric of the task: its F1, or its first pass/fail metric."""
    if "f1" in scores.columns and scores.columns["f1"].width == 3:
        return ["f1"]
    for name, column in scores.columns.items():
        if column.width == 1 and column.is_numeric and set(column.cells) <= {0.0, 1.0}:
            return [name]
    return []


def _top(pairs: list[CasePairs], settings: Settings) -> list[TopFailure]:
    """The candidate's failures in the order in which they are worth looking at.

    Regressions first, among them harmful requests answered anew and suites that must not regress, then by the
    severity that the eval set states and by how far the pass rate fell; then flaky cases, then cases that
    both models get wrong. What is alike is ordered by a hash: no set goes first by its name.
    """
    ranked: dict[tuple[str, str], tuple[tuple[Any, ...], TopFailure]] = {}
    for found in pairs:
        guarded = found.task in settings.guarded or found.metric == HARMFUL
        for kind, mask in zip(KINDS, _kinds(found), strict=True):
            for rank, failure in _best(found, kind, np.flatnonzero(mask), guarded=guarded):
                key = (failure.task, failure.doc_hash)
                if key not in ranked or rank < ranked[key][0]:
                    ranked[key] = (rank, failure)
    return [failure for _, failure in sorted(ranked.values(), key=lambda x: x[0])[:TOP]]


def _kinds(found: CasePairs) -> list[Array]:
    masks = found.masks()
    flaky = masks.get("flaky", np.zeros(len(found.rows), bool)) & (found.share < 1)
    flaky &= ~masks["broken"]
    return [masks["broken"], flaky, masks["still_wrong"] & ~flaky]


def _best(
    found: CasePairs, kind: ChangeKind, places: Array, *, guarded: bool
) -> list[tuple[tuple[Any, ...], TopFailure]]:
    """The first `TOP` of one kind of one task, with their ranks."""
    values = found.mine.failures.fields.get("severity")
    severities = [*values.names, None] if values else [None]
    codes = np.frombuffer(values.codes, np.int32)[found.rows[places]] if values else np.full(len(places), -1)  # fmt: skip
    steps = np.array([SEVERITY_RANK.get(str(name), 2) for name in severities])
    drops = found.reference_share[places] - found.share[places]
    order = np.lexsort((-drops, np.zeros(len(places)) if guarded else steps[codes]))[: 10 * TOP]
    ranked = []
    for i in order:
        failure = _failure(found, kind, int(places[i]), severities[codes[i]], float(drops[i]))
        step = 0 if guarded else int(steps[codes[i]])
        digest = hashlib.sha256(failure.doc_hash.encode()).hexdigest()
        ranked.append(((KINDS.index(kind), step, -failure.drop, digest), failure))
    return sorted(ranked, key=lambda x: x[0])[:TOP]


def _failure(
    found: CasePairs, kind: ChangeKind, place: int, severity: str | None, drop: float
) -> TopFailure:
    row = int(found.rows[place])
    scores, failures = found.mine.scores, found.mine.failures
    harmful = scores.columns.get(HARMFUL)
    return TopFailure(
        task=found.task, metric=found.metric, reference=found.reference, case_id=scores.case_ids[row],
        doc_hash=scores.doc_hashes[row], change=kind, category=failures.names[failures.codes[row]] or None,
        severity=severity, drop=round(drop, 9), is_withheld=harmful is not None and row in harmful.rows,
    )  # fmt: skip
