"""Sources of the golden set: broken families are named, good ones become cases with right lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ftgate_ext.evalset.cases import cases_of, changed_lines
from ftgate_ext.evalset.families import Family, fill, fill_sentence, load_families
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from pathlib import Path

CODE = """\
def %fn%(%rows%):
    total = 0
    for row in %rows%:
        total += row["%key%"]

    return total
"""


def family(**changes: Any) -> dict[str, Any]:
    """A family with two skins and two defects."""
    return {
        "family": "sum_up",
        "language": "python",
        "tier": "easy",
        "purpose": "Adds up the %key% of all %rows%.",
        "code": CODE,
        "test": "assert %fn%([{'%key%': 2}, {'%key%': 3}]) == 5",
        "skins": [
            {"fn": "weigh", "rows": "parcels", "key": "grams"},
            {"fn": "count_seats", "rows": "cars", "key": "seats"},
        ],
        "defects": [
            {
                "category": "logic", "subtype": "overwritten", "severity": "high", "also_accept": [],
                "replace": "total += row", "by": "total = row", "comment": "Only the last %key% counts; add up.",
            },
            {
                "category": "boundary", "subtype": "returns_early", "severity": "high", "also_accept": ["logic"],
                "replace": "\n\n    return total", "by": "\n\n        return total",
                "comment": "It returns after the first of the %rows%; return after the loop.",
            },
        ],
    } | changes  # fmt: skip


def write(folder: Path, *families: dict[str, Any], name: str = "a.yaml") -> Path:
    (folder / name).write_text(yaml.safe_dump(list(families), sort_keys=False), encoding="utf-8")
    return folder


def problems_of(folder: Path) -> list[str]:
    with pytest.raises(EvalSetError) as caught:
        load_families(folder)
    return str(caught.value).splitlines()


def test_skins_fill_all_texts(tmp_path: Path) -> None:
    """Code, purpose and comment speak the words of the skin."""
    [found] = load_families(write(tmp_path, family()))
    cases = list(cases_of(found))
    assert len(cases) == 2 * (2 + 1)
    assert cases[0].purpose == "Adds up the grams of all parcels."
    assert cases[0].program.startswith("def weigh(parcels):")
    assert cases[0].row()["comment"] == "Only the last grams counts; add up."
    assert not any("%" in case.program for case in cases)


def test_lines_are_those_of_the_resulting_code(tmp_path: Path) -> None:
    """A changed line is named; clean code has no lines."""
    [found] = load_families(write(tmp_path, family()))
    lines = [case.shown.lines for case in cases_of(found)][:3]
    assert lines == [(4, 4), (6, 6), None]


def test_a_deletion_is_found_at_the_lines_around_it() -> None:
    """Where something is missing, the lines before and after it count; blank ones do not."""
    assert changed_lines("a\nb\nc", "a\nc") == (1, 2)
    assert changed_lines("a\nb", "a") == (1, 1)
    assert changed_lines("a\nb", "b") == (1, 1)
    assert changed_lines("a\nx\n\n\nb", "a\n\n\nb") == (1, 1)
    assert changed_lines("a\nb\nc\nd", "a\nX\nY\nd") == (2, 3)


def test_literal_percent_signs_stay() -> None:
    """Only the blanks that a skin has words for are filled."""
    assert fill('"%d of %s" % (%a%, 5 % 2)', {"a": "seen"}) == '"%d of %s" % (seen, 5 % 2)'


def test_sentences_get_the_article_that_their_words_want() -> None:
    """`a` or `an` follows the word of the skin, and line breaks of the YAML are spaces."""
    words = {"x": "order", "y": "unit", "z": "box"}
    assert fill_sentence("An %z% of a %x%,\n  a %y%.", words) == "A box of an order, a unit."


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"tier": "huge"}, "tier: Input should be 'easy', 'medium' or 'hard'"),
        ({"langage": "python"}, "langage: Extra inputs are not permitted"),
        ({"code": CODE.replace("total = 0", "total = %zero%")}, "code: blank %zero% has no word"),
        ({"skins": [{"fn": "a", "rows": "b", "key": "c"}, {"fn": "a"}]}, "skins[1]: blank 'key'"),
        ({"skins": [{"fn": True, "rows": "b", "key": "c"}]}, "skins.0.fn: Input should be a valid string"),
        ({"language": "go"}, "test: found one for go"),
        ({"defects": [family()["defects"][0] | {"replace": "total"}]}, "defects[0].replace: stands 3 times"),
        ({"defects": [family()["defects"][0] | {"by": "total += row"}]}, "defects[0].by: equals"),
        ({"defects": [family()["defects"][0] | {"category": "style"}]}, "defects.0.category: Input should be"),
    ],
)  # fmt: skip
def test_a_broken_family_is_named_with_its_field(
    tmp_path: Path, change: dict[str, Any], expected: str
) -> None:
    """One line: file, line, family, field, what was found."""
    [problem] = problems_of(write(tmp_path, family(**change)))
    assert problem.startswith(f"{tmp_path / 'a.yaml'}:1: family 'sum_up': ")
    assert expected in problem


def test_all_broken_families_are_listed_up_to_twenty(tmp_path: Path) -> None:
    """The reader goes on after a broken family and after a broken file."""
    write(tmp_path, *(family(family=f"f{i}", tier="x") for i in range(24)))
    (tmp_path / "b.yaml").write_text("- family: [", encoding="utf-8")
    found = problems_of(tmp_path)
    assert len(found) == 21
    assert found[-1] == "... and 5 more"


def test_a_file_that_is_no_list_is_named(tmp_path: Path) -> None:
    """Not YAML, not a list, not there: one line each."""
    (tmp_path / "a.yaml").write_text("family: x\n", encoding="utf-8")
    assert "found a dict; expected a list" in problems_of(tmp_path)[0]
    (tmp_path / "a.yaml").write_text("- a: b: c\n", encoding="utf-8")
    assert re_line(problems_of(tmp_path)[0], tmp_path / "a.yaml")
    (tmp_path / "a.yaml").unlink()
    assert "no families" in problems_of(tmp_path)[0]


def re_line(problem: str, path: Path) -> bool:
    return problem.startswith(f"{path}:1: not valid YAML")


def test_a_name_that_stands_twice_is_named_with_both_places(tmp_path: Path) -> None:
    """Clusters must be told apart, over all files."""
    write(tmp_path, family())
    write(tmp_path, family(), name="b.yaml")
    assert "family: stands already in a.yaml:1" in problems_of(tmp_path)[0]


# --- diffs

EARLIER = """\
def %fn%(%rows%):
    return len(%rows%)
"""


def test_a_diff_shows_the_change_and_counts_its_own_lines() -> None:
    """The lines of the label are lines of the diff, and hold the defect."""
    found = Family.model_validate(family(earlier=EARLIER))
    cases = [case for case in cases_of(found) if case.shown.form == "diff"]
    assert {case.defect is None for case in cases} == {True, False}
    for case in cases:
        shown = case.shown.text.split("\n")
        assert shown[0].startswith("@@ -1,")
        if case.defect:
            assert case.shown.lines is not None
            first, last = case.shown.lines
            assert "total" in "\n".join(shown[first - 1 : last])
            assert shown[first - 1][0] in "+ "
    wrong = next(c for c in cases if c.defect and c.defect.subtype == "overwritten")
    assert wrong.shown.lines is not None
    assert wrong.shown.text.split("\n")[wrong.shown.lines[0] - 1] == '+        total = row["grams"]'


def test_a_defect_that_the_diff_does_not_touch_is_shown_as_a_function() -> None:
    """A change under review must contain what is wrong with it."""
    earlier = CODE.replace("total += row", "total = row").replace("total = 0", "total = 0.0")
    found = Family.model_validate(family(earlier=earlier))
    forms = {
        c.defect.subtype: c.shown.form for c in cases_of(found) if c.defect and c.skin_number == 0
    }
    assert forms == {"overwritten": "function", "returns_early": "diff"}


def test_twins_have_the_same_form() -> None:
    """For every form in which a defect is shown there is the right code in that form."""
    found = Family.model_validate(family(earlier=EARLIER))
    cases = list(cases_of(found))
    right = {case.place for case in cases if case.defect is None}
    assert {case.place for case in cases if case.defect} == right
