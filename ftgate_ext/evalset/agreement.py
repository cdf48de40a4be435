"""Labels of experts -> how far they agree, and the cases to adjudicate. Knows no set."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from typing import TYPE_CHECKING, Literal

from ftgate_ext.evalset.label import CATEGORIES, Label
from ftgate_ext.schema import EvalSetError, Row
from ftgate_ext.stats.agreement import cohens_kappa
from ftgate_ext.stats.limits import NoLimits

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_SHOWN = 50
VERDICTS = ("defect", "clean")


class Kappa(Row):
    """Cohen's kappa of two labellers on one question."""

    about: Literal["verdict", "category"]
    kappa: float | None
    lower: float | None
    upper: float | None
    observed: float
    """Share of the cases in which they say the same."""
    n: int
    why: str | None
    """Why there is no kappa or no interval."""


class PairAgreement(Row):
    """How far two labellers agree."""

    labellers: tuple[str, str]
    cases: int
    kappas: list[Kappa]


class Disagreement(Row):
    """A case to adjudicate."""

    case: str
    about: list[str]
    """verdict, category, severity or lines."""
    labels: list[Label]


class Agreement(Row):
    """What `ftgate evalset agreement` finds."""

    labels: int
    cases: int
    twice: int
    """Cases with labels of two or more."""
    pairs: list[PairAgreement]
    disagreements: list[Disagreement]


def measure_agreement(labels: Sequence[Label]) -> Agreement:
    """Cohen's kappa on verdict and category for each two labellers, and where they differ.

    Category is asked of the verdict too: `clean` is one of its values. Labels of a case whose code has
    changed between them are not compared.

    Raises:
        EvalSetError: There are no labels.
    """
    if not labels:
        raise EvalSetError(
            "no labels; label a set first: ftgate evalset label FILE --labeller NAME."
        )
    by_case: dict[tuple[str, str], dict[str, Label]] = defaultdict(dict)
    for label in labels:
        by_case[label.case, label.code_sha256][label.labeller] = label
    common: dict[tuple[str, str], list[tuple[Label, Label]]] = defaultdict(list)
    disagreements = []
    for (case, _), said in sorted(by_case.items()):
        for one, other in combinations(sorted(said), 2):
            common[one, other].append((said[one], said[other]))
        told = [said[name] for name in sorted(said)]
        about = _differing(told)
        if about:
            disagreements.append(Disagreement(case=case, about=about, labels=told))
    return Agreement(
        labels=len(labels), cases=len({label.case for label in labels}),
        twice=sum(len(said) > 1 for said in by_case.values()),
        pairs=[
            PairAgreement(labellers=names, cases=len(both), kappas=[
                kappa_of("verdict", VERDICTS, [(a.verdict, b.verdict) for a, b in both]),
                kappa_of(
                    "category", (*CATEGORIES, "clean"),
                    [(a.category or "clean", b.category or "clean") for a, b in both],
                ),
            ])
            for names, both in sorted(common.items())
        ],
        disagreements=disagreements,
    )  # fmt: skip


def _differing(said: Sequence[Label]) -> list[str]:
    if len({label.verdict for label in said}) > 1:
        return ["verdict"]
    found = [
        field
        for field in ("category", "severity")
        if len({getattr(label, field) for label in said}) > 1
    ]
    # Lines that overlap mean the same place.
    spans = [label.lines for label in said if label.lines]
    apart = any(a[1] < b[0] or b[1] < a[0] for a, b in combinations(spans, 2))
    return [*found, *(["lines"] if apart else [])]


def kappa_of(
    about: Literal["verdict", "category"], values: Sequence[str], both: Sequence[tuple[str, str]]
) -> Kappa:
    """Kappa over the values that are in use; says why where there is none."""
    used = [value for value in values if any(value in pair for pair in both)]
    # One value in use is a table of one cell; a second, empty one lets kappa say so itself.
    names = used if len(used) > 1 else list(values[:2]) if used[0] in values[:2] else [*used, ""]
    table = [[sum(pair == (a, b) for pair in both) for b in names] for a in names]
    observed = sum(a == b for a, b in both) / len(both)
    found = cohens_kappa(table)
    if isinstance(found, NoLimits):
        return Kappa(
            about=about, kappa=found.value, lower=None, upper=None, observed=observed, n=found.n,
            why=found.why,
        )  # fmt: skip
    limits = found.limits
    return Kappa(
        about=about, kappa=limits.value, lower=limits.lower, upper=limits.upper, observed=observed,
        n=limits.n, why=None,
    )  # fmt: skip


def kappa_words(one: Kappa) -> str:
    """One kappa as a line."""
    kappa = "none" if one.kappa is None else f"{one.kappa:.2f}"
    interval = (
        f"no interval: {one.why}" if one.lower is None or one.upper is None
        else f"95 % interval {one.lower:.2f} to {one.upper:.2f}"
    )  # fmt: skip
    return f"  {one.about:9} kappa {kappa} ({interval}), the same in {one.observed:.0%}"


def agreement_text(found: Agreement) -> str:
    """What `ftgate evalset agreement` prints."""
    lines = [f"{found.labels} labels of {found.cases} cases, {found.twice} by two or more."]
    for pair in found.pairs:
        lines += ["", f"{' and '.join(pair.labellers)}, {pair.cases} cases:"]
        lines += [kappa_words(one) for one in pair.kappas]
    if not found.pairs:
        lines.append("No two labellers have a case in common: label with a higher --overlap.")
    if found.disagreements:
        lines += ["", f"{len(found.disagreements)} cases to adjudicate:"]
    for case in found.disagreements[:MOST_SHOWN]:
        lines.append(f"  {plain_line(case.case)}: {', '.join(case.about)}")
        lines += [f"    {plain_line(label.labeller)}: {_told(label)}" for label in case.labels]
    if len(found.disagreements) > MOST_SHOWN:
        lines.append(f"... and {len(found.disagreements) - MOST_SHOWN} more; --json lists all.")
    return "\n".join(lines)


def _told(label: Label) -> str:
    place = f"lines {label.lines[0]}-{label.lines[1]}" if label.lines else None
    comment = plain_line(label.comment) if label.comment else None
    return ", ".join(
        p for p in (label.verdict, label.category, label.severity, place, comment) if p
    )


def plain_line(text: str) -> str:
    """One line without anything that a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in text)[:200]
