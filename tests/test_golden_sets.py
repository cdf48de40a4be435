"""Tests of the five eval sets that are shipped: rows, labels, hints, overlaps and data cards."""

from __future__ import annotations

import importlib.util
import itertools
import json
import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ftgate_ext.assets import asset_dir
from ftgate_ext.evalset import file_sha256, load_cases
from ftgate_ext.evalset.cards import counts_block
from ftgate_ext.evalset.quality import measure_sets
from ftgate_ext.evalset.schema import SETS, SetName, row_fields, row_problem
from ftgate_ext.evalset.versions import check_shipped, read_manifest
from ftgate_ext.scoring.codereview import CATEGORIES, holds, parse_review
from ftgate_ext.scoring.conformance import score_format

GOLDEN = asset_dir("golden")
SIZES = {"golden": 1000, "shadow": 500, "regression": 50, "safety": 400, "format": 300}
CHECK_FIELDS = {
    "valid_review": set(), "verdict": {"value"}, "category": {"any_of"}, "line": {"first", "last"},
    "mentions": {"any_of"}, "not_mentions": {"any_of"}, "max_words": {"value"},
}  # fmt: skip
LANGUAGES = {"python", "javascript", "go", "java", "sql", "shell"}


@cache
def rows_of(name: str) -> list[dict[str, Any]]:
    """The rows of a set, as the tasks load them."""
    return load_cases(GOLDEN / f"codereview_{name}.jsonl")


def every_row() -> list[tuple[str, dict[str, Any]]]:
    """(set, row) of all five sets."""
    return [(name, row) for name in SETS for row in rows_of(name)]


# --- rows


@pytest.mark.parametrize("name", SETS)
def test_rows_have_exactly_their_fields(name: SetName) -> None:
    """Every set has its size, and every row the fields of its type in their order, of their types."""
    assert len(rows_of(name)) == SIZES[name]
    for row in rows_of(name):
        assert row_problem(name, row) is None, row["id"]
        assert list(row) == row_fields(name), row["id"]


@pytest.mark.parametrize("name", SETS)
def test_ids_are_the_sets_name_and_a_number(name: str) -> None:
    """Ids are unique over all sets: golden-0001, golden-0002 and so on, in file order."""
    ids = [row["id"] for row in rows_of(name)]

    assert ids == [f"{name}-{number:04d}" for number in range(1, len(ids) + 1)]


@pytest.mark.parametrize("name", SETS)
def test_files_are_plain_json_lines(name: str) -> None:
    """UTF-8 without a byte order mark or a carriage return, one object a line, a line end at the end."""
    raw = (GOLDEN / f"codereview_{name}.jsonl").read_bytes()

    assert raw.endswith(b"}\n")
    assert b"\r" not in raw
    assert not raw.startswith(b"\xef\xbb\xbf")
    assert all(json.loads(line) for line in raw.decode("utf-8").splitlines())


@pytest.mark.parametrize("name", SETS)
def test_every_set_has_a_data_card(name: str) -> None:
    """The card names the set, its counts as the manifest has them, its limits and its licence."""
    card = (GOLDEN / f"codereview_{name}.md").read_text(encoding="utf-8")
    manifest = read_manifest(GOLDEN)
    assert manifest is not None

    assert card.startswith(f"# Data card: codereview_{name}\n")
    assert counts_block(manifest.sets[f"codereview_{name}"]) in card
    assert f"**Rows** {SIZES[name]}" in card
    for part in ("**Measures**", "**Known limits.**", "**Licence** Apache-2.0"):
        assert part in card, part


def test_the_manifest_is_that_of_the_files() -> None:
    """The sha256 of every shipped set stands in the manifest, and `run` accepts it."""
    manifest = read_manifest(GOLDEN)
    assert manifest is not None
    assert set(manifest.sets) == {f"codereview_{name}" for name in SETS}
    for described in manifest.sets.values():
        file = GOLDEN / described.file
        assert described.sha256 == file_sha256(file)
        check_shipped(file, file_sha256(file))


# --- labels


def test_golden_labels_say_what_they_rest_on() -> None:
    """Python labels are proven by execution; others say how they were checked."""
    for row in rows_of("golden"):
        assert row["language"] in LANGUAGES, row["id"]
        proven = row["label_source"] == "execution"
        assert proven == (row["label_strength"] == "proven"), row["id"]
        assert proven or row["label_source"].startswith(("checked:", "construction")), row["id"]
    python = [row["label_strength"] for row in rows_of("golden") if row["language"] == "python"]
    assert python.count("proven") / len(python) > 0.95


def test_languages_are_represented() -> None:
    """Python most, JavaScript at least 100, and at least 50 of each other language."""
    languages = Counter(row["language"] for row in rows_of("golden"))
    assert languages["python"] > 500
    assert languages["javascript"] >= 100
    assert min(languages[name] for name in LANGUAGES) >= 50


def test_line_ranges_lie_inside_the_code() -> None:
    """The labelled lines exist, in order, and begin and end with text."""
    for row in rows_of("golden"):
        if row["lines"] is not None:
            code = row["code"].splitlines()
            first, last = row["lines"]
            assert 1 <= first <= last <= len(code), row["id"]
            assert code[first - 1].strip(), row["id"]
            assert code[last - 1].strip(), row["id"]


def test_two_thirds_of_the_golden_set_are_defects_of_all_categories() -> None:
    """Every category has at least 50, about equally often, so that no constant answer scores well."""
    rows = rows_of("golden")
    defects = Counter(row["category"] for row in rows if row["verdict"] == "defect")

    assert sum(defects.values()) == pytest.approx(2 / 3 * len(rows), abs=1)
    assert set(defects) == set(CATEGORIES)
    assert min(defects.values()) >= 50
    assert max(defects.values()) <= 1.5 * min(defects.values())


@pytest.mark.parametrize("name", ["golden", "safety"])
def test_the_first_rows_are_representative(name: str) -> None:
    """A limit takes the first rows: both labels are among the first ten, none leads to the end."""
    label = {"golden": "verdict", "safety": "expect"}[name]
    rows = rows_of(name)
    whole = Counter(row[label] for row in rows)
    first = Counter(row[label] for row in rows[: len(rows) // 3])

    assert len({row[label] for row in rows[:10]}) == 2
    for value, count in whole.items():
        assert first[value] / (len(rows) // 3) == pytest.approx(count / len(rows), abs=0.2)


def test_twins_differ_in_their_verdict() -> None:
    """A twin is the same task in the same words and form, once with a defect and once without."""
    rows = {row["id"]: row for row in rows_of("golden")}
    twins = [(row, rows[row["twin"]]) for row in rows.values() if row["twin"]]

    assert len(twins) > 300
    for one, other in twins:
        assert other["twin"] == one["id"]
        assert {one["verdict"], other["verdict"]} == {"defect", "clean"}
        for key in ("cluster", "purpose", "form", "language"):
            assert one[key] == other[key], one["id"]


def test_no_cluster_dominates() -> None:
    """There are many families, and none has more than 2 % of the rows."""
    clusters = Counter(row["cluster"] for row in rows_of("golden"))
    assert len(clusters) >= 150
    assert max(clusters.values()) <= 20


def test_shipped_sets_are_inside_every_limit_of_the_report() -> None:
    """No near-duplicates, no shortcuts, no hints: what `ftgate evalset report` prints."""
    report = measure_sets([GOLDEN / f"codereview_{name}.jsonl" for name in SETS])
    assert report.problems == []


def test_regression_checks_are_known_and_can_be_met() -> None:
    """Checks have their fields, point into the code, and some answer meets all of a row."""
    for row in rows_of("regression"):
        assert row["checks"], row["id"]
        for check in row["checks"]:
            assert set(check) == {"kind"} | CHECK_FIELDS[check["kind"]], row["id"]
            if check["kind"] == "line":
                assert 1 <= check["first"] <= check["last"] <= len(row["code"].splitlines()), row[
                    "id"
                ]
            if check["kind"] == "category":
                assert set(check["any_of"]) <= set(CATEGORIES), row["id"]
            if check["kind"] == "verdict":
                assert check["value"] in ("defect", "clean"), row["id"]
        answer = ideal_answer(row["checks"])
        assert all(holds(check, answer, *parse_review(answer)) for check in row["checks"]), row[
            "id"
        ]


def ideal_answer(checks: list[dict[str, Any]]) -> str:
    """A review made from the checks themselves."""
    by_kind = {check["kind"]: check for check in checks}
    verdict = by_kind.get("verdict", {}).get("value", "defect")
    answer: dict[str, Any] = dict.fromkeys(("category", "line", "severity", "comment"))
    if verdict == "defect":
        answer = {
            "category": by_kind.get("category", {}).get("any_of", ["logic"])[0],
            "line": by_kind.get("line", {}).get("first", 1),
            "severity": "high",
            "comment": " ".join(by_kind.get("mentions", {}).get("any_of", ["Look again."])),
        }
    return json.dumps({"verdict": verdict} | answer)


def test_no_constant_answer_passes_the_regression_suite() -> None:
    """Neither "always clean" nor "always a defect in line 1" passes half of it."""
    for answer in (ideal_answer([{"kind": "verdict", "value": v}]) for v in ("clean", "defect")):
        passed = [
            all(holds(check, answer, *parse_review(answer)) for check in row["checks"])
            for row in rows_of("regression")
        ]
        assert sum(passed) < len(passed) / 2


def test_safety_is_balanced_in_every_category() -> None:
    """Half must be refused and half answered, and every kind of harm has a look-alike."""
    rows = rows_of("safety")
    sides: dict[str, set[str]] = {}
    for row in rows:
        assert row["expect"] in ("refuse", "answer"), row["id"]
        sides.setdefault(row["harm"], set()).add(row["expect"])

    assert Counter(row["expect"] for row in rows)["refuse"] == len(rows) / 2
    assert all(side == {"refuse", "answer"} for side in sides.values())


def test_format_examples_satisfy_their_shapes() -> None:
    """Each schema is valid; each example conforms; a sentence and an empty value do not."""
    for row in rows_of("format"):
        if row["schema"] is not None:
            Draft202012Validator.check_schema(row["schema"])
            good = json.dumps(row["example"])
        else:
            good = row["example"]
        assert score_format(row, [good])["conforms"] == 1, row["id"]
        rubbish = ('"Sure, here is the JSON."', "7", "null", "[]", "{}", "Sure, here it is.")
        taken = [text for text in rubbish if score_format(row, [text])["conforms"]]
        assert taken in ([], ["7"]), row["id"]  # a bare number may be what is asked for


def test_format_shapes_are_many() -> None:
    """At least 60 schemas, and shapes that are not JSON."""
    schemas = {json.dumps(r["schema"], sort_keys=True) for r in rows_of("format") if r["schema"]}
    kinds = {row["format"]["kind"] for row in rows_of("format") if row["format"]}

    assert len(schemas) >= 60
    assert {"unified_diff", "markdown_table", "one_line"} <= kinds


# --- overlaps


def text_of(name: str, row: dict[str, Any]) -> str:
    """What a row asks about."""
    field = {"golden": "code", "regression": "code", "shadow": "request"}.get(name, "prompt")
    return str(row[field])


def tokens(text: str) -> list[str]:
    """Words, numbers and signs; layout and case do not count."""
    return re.findall(r"\w+|[^\w\s]", text.lower())


def grams(text: str, n: int = 5) -> set[tuple[str, ...]]:
    """All runs of n tokens; the whole text where it is shorter."""
    found = tokens(text)
    return {tuple(found[i : i + n]) for i in range(max(1, len(found) - n + 1))}


def test_no_text_stands_in_two_sets() -> None:
    """Rows of different sets share less than half of their five-token runs."""
    all_grams = [(name, row["id"], grams(text_of(name, row))) for name, row in every_row()]
    holders: dict[tuple[str, ...], list[int]] = {}
    for place, (_, _, found) in enumerate(all_grams):
        for gram in found:
            holders.setdefault(gram, []).append(place)
    shared: Counter[tuple[int, int]] = Counter()
    for places in holders.values():
        shared.update(
            (i, j)
            for i, j in itertools.combinations(places, 2)
            if all_grams[i][0] != all_grams[j][0]
        )

    near = [
        (all_grams[i][1], all_grams[j][1])
        for (i, j), n in shared.items()
        if n >= 0.5 * min(len(all_grams[i][2]), len(all_grams[j][2]))
    ]

    assert near == []


@pytest.mark.parametrize("name", SETS)
def test_no_text_stands_twice_in_a_set(name: str) -> None:
    """Not even with another layout."""
    texts = [" ".join(tokens(text_of(name, row))) for row in rows_of(name)]

    assert len(set(texts)) == len(texts)


@cache
def training_codes() -> list[str]:
    """The code of all rows that the demo's adapters are trained on."""
    path = Path(__file__).resolve().parent.parent / "scripts" / "demo_training_rows.py"
    found = importlib.util.spec_from_file_location("demo_training_rows", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module
    found.loader.exec_module(module)
    return [row["code"] for row in module.build_rows()]


@pytest.mark.parametrize("name", ["golden", "regression"])
def test_the_demo_is_not_trained_on_what_it_is_tested_on(name: str) -> None:
    """No code of the set is among the training rows, whole or to half of its five-token runs."""
    trained = {" ".join(tokens(code)) for code in training_codes()}
    trained_grams = [grams(code) for code in training_codes()]

    assert len(training_codes()) > 300
    for row in rows_of(name):
        assert " ".join(tokens(row["code"])) not in trained, row["id"]
        mine = grams(row["code"])
        nearest = max(len(mine & theirs) / len(mine) for theirs in trained_grams)
        assert nearest < 0.5, (row["id"], nearest)


def test_the_demo_is_not_trained_on_shadow_code() -> None:
    """The same holds for the code inside the shadow requests."""
    trained_grams = [grams(code) for code in training_codes()]
    for row in rows_of("shadow"):
        for code in re.findall(r"```\w*\n(.*?)```", row["request"], re.DOTALL):
            mine = grams(code)
            nearest = max(len(mine & theirs) / len(mine) for theirs in trained_grams)
            assert nearest < 0.5, (row["id"], nearest)
