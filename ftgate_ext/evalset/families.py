"""YAML sources -> families of cases: one piece of code, its vocabularies and its defects.

A family is a template with %blanks%. A skin fills the blanks; a defect replaces one piece of the
code by another. Knows nothing about which cases are picked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import Field, ValidationError, field_validator

from ftgate_ext.evalset.rows import raise_problems
from ftgate_ext.evalset.schema import Category, Severity, Tier, first_problem
from ftgate_ext.schema import EvalSetError, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

Skin = dict[str, str]

_BLANK = re.compile(r"%([A-Za-z_][A-Za-z0-9_]+)%")
_ARTICLE = re.compile(r"\b([Aa])n? %([A-Za-z_][A-Za-z0-9_]*)%")
_SOUNDS_LIKE_A_VOWEL = re.compile(
    r"(?!one\b|once|eu|uni|use|usual|usage|url|ut)[aeiou]|hour|honest|heir"
)
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Defect(Row):
    """One way in which the code of a family can be wrong."""

    category: Category
    subtype: str = Field(min_length=1)
    also_accept: list[Category] = []
    severity: Severity
    replace: str = Field(min_length=1)
    """Text that stands exactly once in the code."""
    by: str
    comment: str = Field(min_length=1)


class Family(Row):
    """A template of right code with its vocabularies, defects and proof."""

    family: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    language: str = Field(min_length=1)
    tier: Tier
    purpose: str = Field(min_length=1)
    code: str = Field(min_length=1)
    earlier: str | None = None
    """What stood there before the change under review."""
    test: str | None = None
    """Python statements that pass on the code and fail on every defect."""
    checked: str | None = None
    """Where a label was tried out by its author, such as node or sqlite3."""
    skins: list[Skin] = Field(min_length=1)
    defects: list[Defect] = Field(min_length=1)

    @field_validator("skins", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        """Numbers and dates that YAML read from a vocabulary are words; true and null are not."""
        if not isinstance(value, list) or not all(isinstance(skin, dict) for skin in value):
            return value
        return [
            {k: v if isinstance(v, bool) or v is None else str(v) for k, v in skin.items()}
            for skin in value
        ]

    def texts(self) -> dict[str, str]:
        """Every template of the family, by the field that it stands in."""
        found = {"purpose": self.purpose, "code": self.code}
        found |= {"earlier": self.earlier} if self.earlier else {}
        found |= {"test": self.test} if self.test else {}
        for n, defect in enumerate(self.defects):
            found[f"defects[{n}].by"] = defect.by
            found[f"defects[{n}].comment"] = defect.comment
        return found


def fill(template: str, skin: Skin) -> str:
    """Put a skin's words into the blanks of a template."""
    if not skin:
        return template
    words = "|".join(sorted(map(re.escape, skin), key=len, reverse=True))
    return re.sub(f"%({words})%", lambda found: skin[found[1]], template)


def fill_sentence(template: str, skin: Skin) -> str:
    """The same for a sentence: one line, with `a` or `an` as the word after it wants it."""

    def article(found: re.Match[str]) -> str:
        word = skin.get(found[2], "x").lower()
        wants_n = _SOUNDS_LIKE_A_VOWEL.match(word) is not None
        return f"{found[1]}{'n' if wants_n else ''} %{found[2]}%"

    return " ".join(fill(_ARTICLE.sub(article, template), skin).split())


def defective_template(family: Family, defect: Defect) -> str:
    """The code of a family with a defect, blanks unfilled."""
    return family.code.replace(defect.replace, defect.by)


def load_items(path: Path) -> list[tuple[int, Any]]:
    """(line, item) of every item of the list in a YAML file.

    Raises:
        EvalSetError: It cannot be read or holds no list.
    """
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        items = loader.construct_document(node) if node is not None else []
    except (OSError, UnicodeDecodeError) as error:
        raise EvalSetError(f"{path}: cannot be read ({error}).") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be parsed"
        raise EvalSetError(f"{path}{at}: not valid YAML ({problem}); mend the line.") from None
    if not isinstance(items, list):
        raise EvalSetError(f"{path}: found a {type(items).__name__}; expected a list.")
    lines = [child.start_mark.line + 1 for child in node.value] if node is not None else []
    return list(zip(lines, items, strict=True))


def items_of(paths: Iterable[Path], problems: list[str]) -> Iterator[tuple[Path, int, Any]]:
    """Every item of some files with file and line; a file that cannot be read joins the problems."""
    for path in paths:
        try:
            items = load_items(path)
        except EvalSetError as error:
            problems.append(str(error))
            continue
        for line, item in items:
            yield path, line, item


def load_families(folder: Path) -> list[Family]:
    """Read all families of a folder of YAML files.

    Raises:
        EvalSetError: Files or families are broken; up to 20 problems are listed, each with file,
            line, family and field.
    """
    families: list[Family] = []
    problems: list[str] = []
    names: dict[str, str] = {}
    paths = sorted(folder.glob("*.yaml"), key=lambda p: p.name)
    for path, line, item in items_of(paths, problems):
        name = item.get("family") if isinstance(item, dict) else None
        where = f"{path}:{line}: family {name!r}"
        try:
            family = Family.model_validate(item)
        except ValidationError as error:
            problems.append(f"{where}: {first_problem(error)}")
            continue
        found = list(_family_problems(family))
        first = names.setdefault(family.family, f"{path.name}:{line}")
        if first != f"{path.name}:{line}":
            found.append(f"family: stands already in {first}; give each its own name")
        problems += [f"{where}: {problem}" for problem in found]
        families.append(family)
    raise_problems(problems)
    if not families:
        raise EvalSetError(f"{folder}: no families; expected YAML files with lists of families.")
    return families


def _family_problems(family: Family) -> Iterator[str]:
    """What pydantic cannot see: blanks without a word, replacements that do not fit."""
    if family.test is not None and family.language != "python":
        yield f"test: found one for {family.language}; expected null outside Python"
    keys = set(family.skins[0])
    for n, skin in enumerate(family.skins[1:], start=1):
        if set(skin) != keys:
            odd = sorted(set(skin) ^ keys)
            yield f"skins[{n}]: blank {odd[0]!r} has a word in some skins only"
    for field, text in family.texts().items():
        for blank in _BLANK.findall(text):
            if blank not in keys:
                yield f"{field}: blank %{blank}% has no word in the skins"
    yield from _defect_problems(family)


def _defect_problems(family: Family) -> Iterator[str]:
    for n, defect in enumerate(family.defects):
        times = family.code.count(defect.replace)
        if times != 1:
            yield f"defects[{n}].replace: stands {times} times in `code`; expected once"
        elif defect.by == defect.replace:
            yield f"defects[{n}].by: equals `replace`; expected another text"
        if defect.category in defect.also_accept:
            yield f"defects[{n}].also_accept: repeats the category {defect.category!r}"
