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
from ftgate_ext.evalset import load_cases
from ftgate_ext.scoring.codereview import CATEGORIES, holds, parse_review
from ftgate_ext.scoring.conformance import score_format

GOLDEN = asset_dir("golden")
SETS = ("golden", "shadow", "regression", "safety", "format")
FIELDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "golden": {
        "id": str, "language": str, "purpose": str, "code": str, "verdict": str, "category": (str, type(None)),
        "also_accept": list, "severity": (str, type(None)), "lines": (list, type(None)),
        "comment": (str, type(None)), "tier": str, "cluster": str, "source": str,
    },
    "shadow": {"id": str, "language": str, "request": str, "tone": str, "source": str},
    "regression": {
        "id": str, "language": str, "purpose": str, "code": str, "used_to": str, "checks": list, "source": str,
    },
    "safety": {"id": str, "expect": str, "harm": str, "prompt": str, "source": str},
    "format": {"id": str, "prompt": str, "schema": dict, "example": object, "source": str},
}  # fmt: skip
CHECK_FIELDS = {
    "valid_review": set(), "verdict": {"value"}, "category": {"any_of"}, "line": {"first", "last"},
    "mentions": {"any_of"}, "not_mentions": {"any_of"}, "max_words": {"value"},
}  # fmt: skip
LANGUAGES = {"python", "javascript", "typescript", "go", "java", "sql", "shell", "rust", "c", "cpp"}
# Words of a name or a comment that would tell a model where to look.
HINTS = {
    "bug", "bugs", "buggy", "fixme", "todo", "xxx", "hack", "wrong", "wrongly", "incorrect", "incorrectly",
    "broken", "leak", "leaks", "leaked", "leaky", "vulnerable", "vulnerability", "unsafe", "insecure",
    "exploit", "exploitable", "fixed", "bad", "defect", "defective", "flaw", "flawed", "faulty", "mistake",
    "oops", "racy", "correct", "correctly", "secure", "safe", "safely", "good",
}  # fmt: skip


@cache
def rows_of(name: str) -> list[dict[str, Any]]:
    """The rows of a set, as the tasks load them."""
    return load_cases(GOLDEN / f"codereview_{name}.jsonl")


def every_row() -> list[tuple[str, dict[str, Any]]]:
    """(set, row) of all five sets."""
    return [(name, row) for name in SETS for row in rows_of(name)]


# --- rows


@pytest.mark.parametrize("name", SETS)
def test_rows_have_exactly_their_fields(name: str) -> None:
    """Every row has the fields of its set and no other, each of its type, none empty."""
    for row in rows_of(name):
        assert set(row) == set(FIELDS[name]), row["id"]
        for field, kind in FIELDS[name].items():
            assert isinstance(row[field], kind), (row["id"], field)
            assert row[field] != "", (row["id"], field)
        assert row["source"] == "authored", row["id"]


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
    """The card names the set, its number of rows, its limits and its licence."""
    card = (GOLDEN / f"codereview_{name}.md").read_text(encoding="utf-8")

    assert card.startswith(f"# Data card: codereview_{name}\n")
    assert re.search(rf"\*\*Rows\*\* {len(rows_of(name))}\b", card)
    for part in ("**Measures**", "**Known limits.**", "**Licence** Apache-2.0"):
        assert part in card or part.lower() in card.lower(), part


# --- labels


def test_golden_labels_are_consistent() -> None:
    """A defect has category, severity, lines and comment; clean code has none of them."""
    for row in rows_of("golden"):
        labels = [row[field] for field in ("category", "severity", "lines", "comment")]
        assert row["tier"] in ("easy", "medium", "hard"), row["id"]
        assert row["language"] in LANGUAGES, row["id"]
        if row["verdict"] == "clean":
            assert labels == [None] * 4, row["id"]
            assert row["also_accept"] == [], row["id"]
        else:
            assert row["verdict"] == "defect", row["id"]
            assert None not in labels, row["id"]
            assert row["severity"] in ("low", "medium", "high", "critical"), row["id"]
            assert {row["category"], *row["also_accept"]} <= set(CATEGORIES), row["id"]
            assert row["category"] not in row["also_accept"], row["id"]


def test_line_ranges_lie_inside_the_code() -> None:
    """The labelled lines exist, in order, and are not blank."""
    for row in rows_of("golden"):
        if row["lines"] is not None:
            code = row["code"].splitlines()
            first, last = row["lines"]
            assert 1 <= first <= last <= len(code), row["id"]
            assert all(line.strip() for line in code[first - 1 : last]), row["id"]


def test_two_thirds_of_the_golden_set_are_defects_of_all_categories() -> None:
    """Every category occurs, about equally often, so that no constant answer scores well."""
    rows = rows_of("golden")
    defects = Counter(row["category"] for row in rows if row["verdict"] == "defect")

    assert sum(defects.values()) == pytest.approx(2 / 3 * len(rows), abs=1)
    assert set(defects) == set(CATEGORIES)
    assert max(defects.values()) <= 2 * min(defects.values())


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
    """Rows of one cluster are the same task once with a defect and once without."""
    clusters: dict[str, list[str]] = {}
    for row in rows_of("golden"):
        clusters.setdefault(row["cluster"], []).append(row["verdict"])

    twins = [sorted(verdicts) for verdicts in clusters.values() if len(verdicts) > 1]

    assert twins == [["clean", "defect"]] * len(twins)
    assert twins


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


def test_format_examples_satisfy_their_schemas() -> None:
    """Each schema is valid, takes its example, and refuses a sentence and a number."""
    for row in rows_of("format"):
        Draft202012Validator.check_schema(row["schema"])
        scores = score_format(row, [json.dumps(row["example"])])
        assert scores == {"parses": 1, "conforms": 1, "unanswered": 0}, row["id"]
        for rubbish in ('"Sure, here is the JSON."', "7", "null", "[]", "{}"):
            assert score_format(row, [rubbish])["conforms"] == 0, (row["id"], rubbish)


def test_format_schemas_differ() -> None:
    """No shape is asked for twice."""
    schemas = [json.dumps(row["schema"], sort_keys=True) for row in rows_of("format")]

    assert len(set(schemas)) == len(schemas)


# --- hints and overlaps


def words(code: str) -> set[str]:
    """The words of names and comments: snake_case and camelCase are taken apart."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", code)
    return set(re.findall(r"[a-z]+", apart.replace("_", " ").lower()))


@pytest.mark.parametrize("name", ["golden", "regression"])
def test_code_gives_no_hints(name: str) -> None:
    """No name and no comment says whether there is a defect."""
    found = {row["id"]: words(row["code"]) & HINTS for row in rows_of(name)}

    assert {case: hints for case, hints in found.items() if hints} == {}


@pytest.mark.parametrize("name", ["golden", "regression"])
def test_purposes_give_no_hints(name: str) -> None:
    """The purpose says what the code is for, in one phrase, without a judgement."""
    for row in rows_of(name):
        # "a pool of fixed size" and "the correct total" judge nothing
        assert not words(row["purpose"]) & (HINTS - {"fixed", "correct"}), row["id"]
        assert "\n" not in row["purpose"], row["id"]


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


def overlap(one: set[tuple[str, ...]], other: set[tuple[str, ...]]) -> float:
    """The share of the smaller set that the other has too."""
    return len(one & other) / min(len(one), len(other))


def test_no_text_stands_in_two_sets() -> None:
    """Rows of different sets share less than half of their five-token runs."""
    all_grams = [(name, row["id"], grams(text_of(name, row))) for name, row in every_row()]

    near = [
        (a[1], b[1], round(overlap(a[2], b[2]), 2))
        for a, b in itertools.combinations(all_grams, 2)
        if a[0] != b[0] and overlap(a[2], b[2]) >= 0.5
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
