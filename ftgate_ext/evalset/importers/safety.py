"""Public sets of harmful requests -> rows of the safety type, and the task that asks them.

AdvBench, HarmBench and StrongREJECT hold harmful requests only; XSTest holds harmless look-alikes
too. What is read, as CSV or JSONL, by the columns that these sets have:

    advbench      goal or Behavior
    harmbench     Behavior; ContextString goes before it, as HarmBench's own runner does
    strongreject  forbidden_prompt, category
    xstest        prompt, type, label
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from ftgate_ext.assets import asset_dir
from ftgate_ext.evalset.importers.imported import BadRow, LeftOut
from ftgate_ext.evalset.importers.reading import Unreadable, objects_of
from ftgate_ext.evalset.importers.sifted import Sifted
from ftgate_ext.evalset.importers.table import CSV_ENDINGS, csv_rows
from ftgate_ext.evalset.schema import SafetyRow, first_problem
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SAFETY_KINDS = ("advbench", "harmbench", "strongreject", "xstest")
REQUEST_COLUMNS = {
    "advbench": ("goal", "Behavior"),
    "harmbench": ("Behavior",),
    "strongreject": ("forbidden_prompt",),
    "xstest": ("prompt",),
}
ID_COLUMNS = {"advbench": ("BehaviorID",), "harmbench": ("BehaviorID",), "xstest": ("id",)}
HARM_COLUMNS = ("SemanticCategory", "Category", "category", "type")
XSTEST_LABELS = {"safe": "answer", "unsafe": "refuse"}
NO_HARM = "unspecified"


class ImportedSafetyRow(SafetyRow):
    """A safety row from elsewhere: it keeps where it comes from."""

    origin: str = Field(min_length=1)
    """What the source calls this request: its id, or its place in the file."""


@dataclass
class ImportedSafety(Sifted):
    """What was read, and the rows that were chosen of it."""

    rows: list[ImportedSafetyRow] = field(default_factory=list)

    def in_words(self) -> list[str]:
        """What a user should know about the rows, in lines."""
        expected = Counter(row.expect for row in self.rows)
        harms = len({row.harm for row in self.rows})
        told = f"{expected['refuse']} to refuse, {expected['answer']} to answer"
        lines = [f"{len(self.rows)} of {self.available} rows: {told}; {harms} kinds of harm."]
        return [*lines, *self.left_out_in_words(), *self.bad_in_words()]


def import_safety(
    kind: str, source: Path, limit: int | None = None, seed: int = 0
) -> ImportedSafety:
    """The rows of a public safety set, in an order that depends on seed and ids alone.

    Args:
        kind: One of `SAFETY_KINDS`.
        source: CSV, TSV or JSONL.
        limit: Rows at most.
        seed: Of order and choice.

    Raises:
        EvalSetError: The file cannot be read.
    """
    imported, seen = ImportedSafety(), set[str]()
    rows: dict[str, ImportedSafetyRow] = {}
    for where, found in _objects(source):
        row = BadRow(where, found.problem) if isinstance(found, Unreadable) else _row(kind, found, where)  # fmt: skip
        if isinstance(row, ImportedSafetyRow):
            row = _met_before(row, where, rows, seen)
        if isinstance(row, ImportedSafetyRow):
            rows[row.id] = row
        else:
            imported.pass_over(row)
    imported.available = len(rows)
    ranked = sorted(rows.values(), key=lambda row: _rank(seed, row.id))
    imported.rows = ranked[:limit]
    return imported


def _objects(source: Path) -> Iterator[tuple[str, dict[str, Any] | Unreadable]]:
    return csv_rows(source) if source.suffix.lower() in CSV_ENDINGS else objects_of(source)


def _met_before(
    row: ImportedSafetyRow, where: str, rows: Mapping[str, ImportedSafetyRow], seen: set[str]
) -> ImportedSafetyRow | BadRow | LeftOut:
    words = " ".join(row.prompt.lower().split())
    if words in seen:
        return LeftOut(where, "the same request as another row")
    if row.id in rows:
        return BadRow(where, f"id: found {row.id!r} again; expected an id of its own.")
    seen.add(words)
    return row


def _rank(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def _row(kind: str, found: dict[str, Any], where: str) -> ImportedSafetyRow | BadRow | LeftOut:
    request = _first(found, REQUEST_COLUMNS[kind])
    if request is None:
        wanted = " or ".join(REQUEST_COLUMNS[kind])
        return BadRow(where, f"no {wanted}; found {', '.join(map(str, found))[:80] or 'nothing'}.")
    if found.get("FunctionalCategory") == "copyright":
        return LeftOut(where, "asks for a protected text, which is no refusal test")
    expect = "refuse"
    if kind == "xstest":
        label = str(found.get("label") or "").strip().lower()
        if label not in XSTEST_LABELS:
            return BadRow(where, f"label: found {label[:20]!r}; expected safe or unsafe.")
        expect = XSTEST_LABELS[label]
    context = str(found.get("ContextString") or "").strip()
    prompt = f"{context}\n\n---\n\n{request}" if context else request
    own = _first(found, ID_COLUMNS.get(kind, ()))
    name = f"{kind}-{_slug(own.removeprefix(f'{kind}_')) if own else _rank(0, prompt)[:10]}"
    try:
        return ImportedSafetyRow.model_validate({
            "id": name, "expect": expect, "harm": _harm(found), "framing": "context" if context else "plain",
            "pair": name, "prompt": prompt, "source": kind, "origin": own or where.rpartition("/")[2],
        })  # fmt: skip
    except ValidationError as error:
        return BadRow(where, first_problem(error))


def _first(found: Mapping[str, Any], columns: tuple[str, ...]) -> str | None:
    """The first of some columns that says something."""
    told = (str(found[c]).strip() for c in columns if found.get(c) is not None)
    return next((text for text in told if text), None)


def _harm(found: Mapping[str, Any]) -> str:
    told = _first(found, HARM_COLUMNS)
    return _slug(told.removeprefix("contrast_")) if told else NO_HARM


def _slug(text: str) -> str:
    return re.sub(r"[^\w.-]+", "_", text.strip()).strip("_").lower() or NO_HARM


def write_task(data: Path) -> Path | None:
    """The task that asks an imported set, beside its file; None where a file stands there already.

    Returns:
        The YAML, named as the set; so is the task.

    Raises:
        EvalSetError: It cannot be written.
    """
    path = data.with_suffix(".yaml")
    if path.exists():
        return None
    shipped = asset_dir("tasks") / "codereview_safety" / "codereview_safety.yaml"
    text = shipped.read_text(encoding="utf-8").split("\n", 1)[1]  # without its first comment
    text = re.sub(r"(?m)^task: .*$", f"task: {task_name(data)}", text)
    text = re.sub(r"(?m)^  file: .*$", f"  file: {data.name}", text)
    try:
        path.write_text(
            f"# Imported requests; refusals are scored as in codereview_safety.\n{text}"
        )
    except OSError as error:
        raise EvalSetError(f"{path}: cannot be written ({error.strerror}).") from None
    return path


def task_name(data: Path) -> str:
    """The name of the task of an imported set."""
    return re.sub(r"\W+", "_", data.stem)
