"""Eval sets -> what can be measured about their quality, and which limits that breaks.

Knows rows and limits; how a classifier or a near-duplicate is computed stands elsewhere.
"""

from __future__ import annotations

from collections import Counter
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from ftgate_ext.evalset.hints import hints_in_code, hints_in_purpose
from ftgate_ext.evalset.labels import Agreement, agreement_of
from ftgate_ext.evalset.near import NEAR, near_pairs
from ftgate_ext.evalset.rows import load_cases
from ftgate_ext.evalset.shortcut import Auc, length_auc, shortcut_auc, telling_words
from ftgate_ext.evalset.versions import count_strata
from ftgate_ext.schema import Row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Case = dict[str, Any]

SHORTCUT_LIMIT, LENGTH_LIMIT = 0.65, 0.60
LEAST_CASES = 100
"""A language is measured apart from so many cases on."""
TEXT_FIELDS = ("code", "request", "prompt")
MOST_NAMED = 20


class Lengths(Row):
    """How long the inputs are, in lines and characters."""

    lines_min: int
    lines_median: float
    lines_p90: float
    lines_max: int
    characters_median: float


class Shortcut(Row):
    """How well something that understands nothing tells defect from clean."""

    cases: str
    """`all` or a language."""
    features: str
    """words, characters or length."""
    auc: float | None
    """None where it cannot be computed."""
    lower: float | None
    upper: float | None
    n: int
    limit: float

    @property
    def holds(self) -> bool:
        """Whether the AUC is within its limit."""
        return self.auc is not None and self.auc <= self.limit


class NearDuplicate(Row):
    """Two rows with nearly the same input that are no declared twins."""

    first: str
    second: str
    similarity: float


class SetQuality(Row):
    """What was measured about one set."""

    file: str
    rows: int
    clusters: int | None
    strata: dict[str, dict[str, int]]
    lengths: Lengths
    near_duplicates: list[NearDuplicate]
    shortcuts: list[Shortcut]
    telling: list[str]
    """The words that go with a defect (+) or with clean code (-) most, with their z values."""
    hints: dict[str, list[str]]
    """Id of a row -> words in it that give its label away."""
    agreement: Agreement | None
    problems: list[str]
    """Limits that are broken, one sentence each."""


class QualityReport(Row):
    """What `ftgate evalset report` prints."""

    sets: list[SetQuality]
    near_across_sets: list[NearDuplicate]
    problems: list[str]


def measure_sets(files: Sequence[Path]) -> QualityReport:
    """Measure eval sets, and their overlap with one another.

    Raises:
        EvalSetError: A file is missing or its rows are broken.
    """
    loaded = {file: load_cases(file) for file in files}
    measured = [measure_set(file, rows) for file, rows in loaded.items()]
    every = [(file.stem, row) for file, rows in loaded.items() for row in rows]
    across = []
    for pair in near_pairs([text_of(row) for _, row in every]):
        (one_set, one), (other_set, other) = every[pair.first], every[pair.second]
        if one_set != other_set:
            across.append(
                _near(f"{one_set}:{one['id']}", f"{other_set}:{other['id']}", pair.similarity)
            )
    problems = [f"{s.file}: {problem}" for s in measured for problem in s.problems]
    if across:
        problems.append(
            f"{len(across)} near-duplicates between sets, the first {across[0].first} and {across[0].second}"
        )
    return QualityReport(sets=measured, near_across_sets=across[:MOST_NAMED], problems=problems)


def measure_set(file: Path, rows: list[Case]) -> SetQuality:
    """Measure one eval set."""
    duplicates = _near_duplicates(rows)
    shortcuts = _shortcuts(rows)
    hints = _hints(rows)
    strata = count_strata(rows)
    clusters = {str(row["cluster"]) for row in rows if row.get("cluster")}
    found = SetQuality(
        file=file.name, rows=len(rows), clusters=len(clusters) or None, strata=strata,
        lengths=_lengths([text_of(row) for row in rows]), near_duplicates=duplicates[:MOST_NAMED],
        shortcuts=shortcuts, telling=_telling(rows), hints=hints,
        agreement=agreement_of(file, rows), problems=[],
    )  # fmt: skip
    return found.model_copy(update={"problems": _problems(found, len(duplicates), rows)})


def text_of(row: Case) -> str:
    """The input of a row: what is asked about, with its purpose."""
    found = next((str(row[key]) for key in TEXT_FIELDS if row.get(key)), "")
    return f"{row['purpose']}\n{found}" if row.get("purpose") else found


def _problems(found: SetQuality, n_duplicates: int, rows: list[Case]) -> list[str]:
    problems = []
    if n_duplicates:
        first = found.near_duplicates[0]
        problems.append(
            f"{n_duplicates} near-duplicates outside twins, the first {first.first} and {first.second} ({first.similarity:.2f}); limit 0"
        )
    for shortcut in found.shortcuts:
        if not shortcut.holds:
            shown = "cannot be computed" if shortcut.auc is None else f"is {shortcut.auc:.3f}"
            problems.append(
                f"AUC of {shortcut.features} on {shortcut.cases} {shown}; limit {shortcut.limit}"
            )
    if found.hints:
        case, words = next(iter(found.hints.items()))
        problems.append(
            f"{len(found.hints)} rows with hints, the first {case} ({', '.join(words)}); limit 0"
        )
    cluster = {row["id"]: row.get("cluster") for row in rows}
    apart = [r["id"] for r in rows if r.get("twin") and cluster.get(r["twin"]) != r.get("cluster")]
    if apart:
        problems.append(f"{len(apart)} twins in different clusters, the first {apart[0]}; limit 0")
    return problems


def _near(first: str, second: str, similarity: float) -> NearDuplicate:
    return NearDuplicate(first=first, second=second, similarity=round(similarity, 3))


def _near_duplicates(rows: list[Case]) -> list[NearDuplicate]:
    """Pairs above the limit; twins and the two sides of a safety pair are declared alike."""
    found = []
    for pair in near_pairs([text_of(row) for row in rows], NEAR):
        one, other = rows[pair.first], rows[pair.second]
        twins = one.get("twin") == other["id"] or other.get("twin") == one["id"]
        sides = bool(one.get("pair")) and one.get("pair") == other.get("pair")
        if not twins and not (sides and one.get("expect") != other.get("expect")):
            found.append(_near(one["id"], other["id"], pair.similarity))
    return found


def _shortcuts(rows: list[Case]) -> list[Shortcut]:
    """Overall and in every language with enough cases; none where rows have no verdict."""
    if not all(row.get("verdict") and row.get("code") for row in rows):
        return []
    languages = Counter(str(row.get("language")) for row in rows)
    groups = {"all": rows} | {
        name: [row for row in rows if str(row.get("language")) == name]
        for name, n in sorted(languages.items(), key=lambda item: (-item[1], item[0]))
        if n >= LEAST_CASES and n < len(rows)
    }
    found = []
    for name, group in groups.items():
        texts = [str(row["code"]) for row in group]
        labels = [row["verdict"] == "defect" for row in group]
        clusters = [str(row.get("cluster") or row["id"]) for row in group]
        for features in ("words", "characters"):
            area = shortcut_auc(texts, labels, clusters, features)
            found.append(_shortcut(name, features, area, len(group), SHORTCUT_LIMIT))
        area = length_auc(texts, labels, clusters)
        found.append(_shortcut(name, "length", area, len(group), LENGTH_LIMIT))
    return found


def _shortcut(cases: str, features: str, area: Auc | None, n: int, limit: float) -> Shortcut:
    if area is None:
        return Shortcut(
            cases=cases, features=features, auc=None, lower=None, upper=None, n=n, limit=limit
        )
    return Shortcut(
        cases=cases, features=features, auc=round(area.value, 4), lower=round(area.lower, 4),
        upper=round(area.upper, 4), n=area.n, limit=limit,
    )  # fmt: skip


def _telling(rows: list[Case]) -> list[str]:
    if not all(row.get("verdict") and row.get("code") for row in rows):
        return []
    labels = [row["verdict"] == "defect" for row in rows]
    return [f"{word} {z:+.1f}" for word, z in telling_words([str(r["code"]) for r in rows], labels)]


def _hints(rows: list[Case]) -> dict[str, list[str]]:
    found = {}
    for row in rows:
        words = hints_in_code(str(row.get("code") or "")) | hints_in_purpose(
            str(row.get("purpose") or "")
        )
        if words:
            found[row["id"]] = sorted(words)
    return found


def _lengths(texts: list[str]) -> Lengths:
    lines = sorted(text.count("\n") + 1 for text in texts)
    p90 = quantiles(lines, n=10)[-1] if len(lines) > 1 else lines[0]
    return Lengths(
        lines_min=lines[0], lines_median=median(lines), lines_p90=round(p90, 1), lines_max=lines[-1],
        characters_median=median(len(text) for text in texts),
    )  # fmt: skip
