"""Leakage: eval cases in training data are found however they were reformatted, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from command import ftgate
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK
from training_rows import INSTRUCTION, chat, reformat, unrelated_rows, write_with_leaks
from typer.testing import CliRunner

from ftgate_ext.cli import app
from ftgate_ext.evalset.leak_index import EvalText, Thresholds, build_index, compare
from ftgate_ext.evalset.leakage import find_leakage, load_texts, shipped_texts
from ftgate_ext.evalset.leakage_words import leakage_text
from ftgate_ext.evalset.plain_words import plain_words
from ftgate_ext.schema import EvalSetError, Leakage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT = Path(__file__).resolve().parent.parent
CODE = """def settle(invoices, limit):
    # oldest first
    open_ones = [i for i in invoices if not i.paid]
    for invoice in sorted(open_ones, key=lambda i: i.due):
        if invoice.amount > limit:
            break
        limit -= invoice.amount
        invoice.paid = True
    return limit"""


def write(path: Path, rows: Iterable[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def leaks(
    tmp_path: Path, *texts: str, case: str = CODE, limits: Thresholds | None = None
) -> Leakage:
    """One case against 60 unrelated rows and rows with these texts after them."""
    rows = [*unrelated_rows(60), *(chat(text, "fine") for text in texts)]
    train = write(tmp_path / "train.jsonl", rows)
    return find_leakage([EvalText("set", "case", case)], [train], limits)


def ways(found: Leakage) -> list[tuple[str, int]]:
    return [(place.way, place.line) for case in found.cases for place in case.places]


def planted(path: Path, rows: int, snippets: int = 3) -> tuple[Leakage, list[tuple[str, str, Any]]]:
    """Plant 25 shipped cases; also id, way and place of each and how it was found."""
    cases = [t for t in shipped_texts() if len(plain_words(t.text)) >= 30]
    chosen = cases[:: len(cases) // 25][:25]
    plants = write_with_leaks(path, rows, [(c.id, c.text) for c in chosen], snippets=snippets)
    found = find_leakage(cases, [path])
    by_place = {(c.id, p.line): p for c in found.cases for p in c.places}
    return found, [(p.id, p.way, by_place.get((p.id, p.line))) for p in plants]


def check_planted(found: Leakage, plants: list[tuple[str, str, Any]]) -> None:
    for case_id, way, place in plants:
        if way == "exact":
            assert place, case_id
            assert place.way == "exact", case_id
        if way == "reformatted":
            assert place, case_id
            assert place.way in {"exact", "normalised"}, case_id
    lines = {p.line for _, _, p in plants if p}
    alarms = {p.line for case in found.cases for p in case.places} - lines
    assert not alarms, "rows in which nothing was planted"


def test_a_planted_leak_of_25_is_found(tmp_path: Path) -> None:
    """All exact and reformatted cases among 3,000 rows, most paraphrased ones, no false alarm."""
    found, plants = planted(tmp_path / "train.jsonl", 3000, snippets=1)
    check_planted(found, plants)
    paraphrased = [place for _, way, place in plants if way == "paraphrased"]
    assert sum(place is not None for place in paraphrased) >= 4


@pytest.mark.slow
def test_a_planted_leak_of_25_is_found_among_100_000_rows(tmp_path: Path) -> None:
    """At full size: all exact and reformatted cases, no false alarm."""
    found, plants = planted(tmp_path / "train.jsonl", 100_000)
    check_planted(found, plants)
    assert found.training[0].rows == 100_000


def test_the_strongest_way_is_named(tmp_path: Path) -> None:
    """Exact before normalised, n-grams, near and reworded, each with its row."""
    shorter = CODE.replace("    return limit", "")
    near = CODE.replace("break", "stop")
    reworded = near.replace("open_ones", "unpaid")
    spaced = CODE.replace("    ", "\t")
    found = leaks(tmp_path, reworded, near, shorter, spaced, CODE, limits=Thresholds(0.8, 0.8))
    assert ways(found) == [("exact", 65), ("normalised", 64), ("ngram", 63), ("near", 62), ("reworded", 61)]  # fmt: skip
    assert (found.cases[0].way, found.cases[0].rows) == ("exact", 5)


@pytest.mark.parametrize("how", range(5))
def test_reformatting_hides_nothing(how: int, tmp_path: Path) -> None:
    """Renumbered, re-indented, commented, on one line, inside JSON: all the same words."""
    case = CODE.replace("    # oldest first\n", "")  # on one line, a comment would swallow the rest
    assert ways(leaks(tmp_path, f"{INSTRUCTION}{reformat(case, how)}", case=case)) == [("normalised", 61)]  # fmt: skip


def test_changed_comments_hide_nothing(tmp_path: Path) -> None:
    """A comment that is gone, new or reworded does not make another case."""
    assert ways(leaks(tmp_path, CODE.replace("# oldest first", "# by date, see #12"))) == [("normalised", 61)]  # fmt: skip


@pytest.mark.parametrize("row", [
    {"prompt": CODE, "completion": "ok"}, {"text": f"Consider\n{CODE}\nwell"},
    {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": CODE}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": CODE}]}]},
])  # fmt: skip
def test_every_shape_of_a_row_is_searched(row: dict[str, Any], tmp_path: Path) -> None:
    """Prompt, completion, plain text, answers and typed parts."""
    train = write(tmp_path / "t.jsonl", [row])
    assert find_leakage([EvalText("s", "c", CODE)], [train]).cases[0].way == "exact"


def test_a_shared_instruction_is_no_leak(tmp_path: Path) -> None:
    """Cases that hold the instruction of the training rows' template leak by their own part only."""
    rows = [chat(INSTRUCTION + row.get("prompt", "x"), "ok") for row in unrelated_rows(400)]
    cases = [EvalText("s", str(i), INSTRUCTION + text) for i, text in enumerate((CODE, "Is 1 + 1 = 2?"))]  # fmt: skip
    train = write(tmp_path / "t.jsonl", rows)
    assert find_leakage(cases, [train]).cases == []
    write(train, [*rows, chat(INSTRUCTION + CODE, "ok")])
    assert find_leakage(cases, [train]).case_ids("s") == {"0"}


def test_an_often_repeated_leak_is_no_boilerplate(tmp_path: Path) -> None:
    """The same row a hundred times counts once when boilerplate is looked for."""
    found = leaks(tmp_path, *[CODE.replace("    return limit", "")] * 100)
    assert (found.cases[0].way, found.cases[0].rows, found.boilerplate_grams) == ("ngram", 100, 0)


def test_a_short_case_is_found_as_a_whole_message_only(tmp_path: Path) -> None:
    """A few common words inside a longer text are no leak."""
    assert leaks(tmp_path, "Please review this now, thank you", case="review this").cases == []
    assert ways(leaks(tmp_path, "Review THIS!", "review this", case="review this")) == [
        ("exact", 62), ("normalised", 61),
    ]  # fmt: skip


def test_the_outcome_does_not_depend_on_processes(tmp_path: Path, monkeypatch: Any) -> None:
    """One process or two, small blocks or large: the same report."""
    monkeypatch.setattr("ftgate_ext.evalset.blocks.BLOCK_BYTES", 3000)
    train = write(tmp_path / "t.jsonl", [*unrelated_rows(40, snippets=1), chat(CODE, "ok")])
    case = [EvalText("s", "c", CODE)]
    found = find_leakage(case, [train], processes=1)
    assert ways(found) == [("exact", 41)]
    assert found == find_leakage(case, [train], processes=2)


@QUICK
@given(st.integers(min_value=20, max_value=4000))
def test_every_line_is_in_one_block(size: int) -> None:
    """However a file is cut, its lines come once each and in order."""
    from ftgate_ext.evalset.blocks import blocks_of, lines_of

    here = Path(__file__)
    cut = [line for block in blocks_of([here], size) for _, line in lines_of(block)]
    assert b"".join(cut) == here.read_bytes()


def test_renaming_lowers_the_similarity_little() -> None:
    """The similarity of a case with itself among other text is 1, and falls with every change."""
    around = f"Please look.\n\n{CODE}\n\nThanks a lot, it is urgent."
    renamed = compare(CODE, around.replace("invoices", "bills"))
    assert compare(CODE, around).jaccard == 1
    assert 0.5 < renamed.jaccard < 1
    assert renamed.jaccard < renamed.aligned() < 1
    assert compare(CODE, "nothing of it").jaccard == 0


def test_boilerplate_of_a_set_keeps_every_case_findable() -> None:
    """A hundred cases with one text still have grams to be found by."""
    index = build_index([EvalText("s", str(i), f"{CODE} {i}") for i in range(100)])
    assert (index.n_grams >= 4).all()


BAD = {
    "empty": (b"\n", "empty line; expected a JSON object. Remove the line."),
    "words": (b"hello\n", "not valid JSON (Expecting value at column 1); mend the row."),
    "list": (b"[1]\n", "found a JSON list; expected `messages`, `prompt` and `completion`, or `text`."),
    "keys": (b'{"q": 1}\n', "found the keys q; expected `messages`, `prompt` and `completion`, or `text`."),
    "no list": (b'{"messages": "hi"}\n', "messages: found text; expected a list of role and content."),
    "no turn": (b'{"messages": ["hi"]}\n', "messages[0]: found text; expected an object."),
    "role": (b'{"messages": [{"content": "x"}]}\n', "messages[0].role: found null; expected a string."),
    "content": (b'{"messages": [{"role": "user", "content": 3}]}\n', "messages[0].content: found a number; expected text."),
    "prompt": (b'{"prompt": {}, "completion": ""}\n', "prompt: found an object; expected text."),
    "deep": (b"[" * 100_000 + b"\n", "nested too deeply; mend the row."),
    "bytes": (b'{"text": "\xfc"}\n', "not UTF-8 at byte 11 of the line; save the file as UTF-8."),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_training_row_is_one_line(name: str, tmp_path: Path) -> None:
    """File, line, what was found and what was expected."""
    line, said = BAD[name]
    train = tmp_path / "t.jsonl"
    train.write_bytes(b'{"text": "a"}\n' + line)
    with pytest.raises(EvalSetError) as caught:
        find_leakage([EvalText("s", "c", CODE)], [train])
    assert str(caught.value) == f"{train}:2: {said}"


def test_twenty_bad_rows_are_listed_before_it_stops(tmp_path: Path) -> None:
    """All over the file, with their lines, and no more than twenty."""
    train = tmp_path / "t.jsonl"
    train.write_text('{"text": "a"}\n7\n' * 40)
    with pytest.raises(EvalSetError) as caught:
        find_leakage([EvalText("s", "c", CODE)], [train])
    lines = str(caught.value).splitlines()
    assert [line.split(":")[1] for line in lines] == [str(n) for n in range(2, 42, 2)]


def test_a_benchmark_is_read_by_its_field(tmp_path: Path) -> None:
    """Rows without ids are named by their line; a row without text is named too."""
    rows = [{"question": CODE, "answer": "x"}, {"task_id": "t/1", "question": "How many?"}]
    file = write(tmp_path / "quiz.jsonl", rows)
    assert [(t.set, t.id) for t in load_texts(file)] == [("quiz", "line 1"), ("quiz", "t/1")]
    with pytest.raises(EvalSetError, match=r"quiz.jsonl:2: answer: found None; expected text"):
        load_texts(file, "answer")
    with pytest.raises(EvalSetError, match=r"nowhere: cannot be read"):
        load_texts(tmp_path / "nowhere")


def test_the_command_says_what_leaked(tmp_path: Path) -> None:
    """Exit code 0 without leaks, 1 with, 2 for wrong use; --json lists file and line."""
    clean = write(tmp_path / "clean.jsonl", unrelated_rows(20))
    cases = write(tmp_path / "own.jsonl", [{"id": "own-1", "code": CODE}])
    dirty = write(tmp_path / "dirty.jsonl", [chat("hi", "ho"), chat(CODE, "ok")])
    command = ["evalset", "leakage", "--set", str(cases), "--train", str(clean)]
    assert CliRunner().invoke(app, command).exit_code == 0
    shown = CliRunner().invoke(app, [*command, str(dirty), "--json"])
    found = Leakage.model_validate_json(shown.stdout)
    assert (shown.exit_code, found.cases[0].id, found.sets[0].ways["exact"]) == (1, "own-1", 1)
    assert f"{dirty}:2" in leakage_text(found)
    missing = ftgate("evalset", "leakage", "--train", "nowhere.jsonl", cwd=tmp_path)
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)


def leaking_policy(folder: Path, training: Sequence[str]) -> Path:
    content = yaml.safe_load((ROOT / "configs" / "gate.yaml").read_text())
    content |= {"training_data": list(training)}
    (folder / "gate.yaml").write_text(yaml.safe_dump(content))
    return folder / "gate.yaml"


def test_the_policy_names_training_data(tmp_path: Path) -> None:
    """`find_leaks` names leaked cases by the id and the hash that records have."""
    from ftgate_ext.leaks import doc_hash, find_leaks
    from ftgate_ext.lm_tasks import find_tasks
    from ftgate_ext.policy import load_policy
    from ftgate_ext.schema import PolicyError

    golden = load_texts(ROOT / "golden" / "codereview_golden.jsonl")[0]
    write(tmp_path / "train.jsonl", [chat(golden.text, "ok")])
    file = leaking_policy(tmp_path, ["train.jsonl"])
    found = find_leaks(load_policy(file), file)
    assert golden.id in found.case_ids("codereview_golden")
    task = find_tasks(["codereview_golden"], []).load(["codereview_golden"])["tasks"]
    doc = next(iter(task["codereview_golden"].eval_docs))
    assert doc_hash(doc) in found.doc_hashes("codereview_golden")
    assert found.case_ids("codereview_format") == set()
    with pytest.raises(PolicyError, match="no `training_data`"):
        find_leaks(load_policy(leaking_policy(tmp_path, [])), file)


def test_thresholds_are_limits(tmp_path: Path) -> None:
    """A case below both thresholds is none; lower thresholds find it."""
    half = "\n".join(CODE.splitlines()[:4])
    train = write(tmp_path / "t.jsonl", [chat(half, "ok")])
    cases = [EvalText("s", "c", CODE)]
    assert find_leakage(cases, [train]).cases == []
    assert find_leakage(cases, [train], Thresholds(0.3, 0.7)).cases[0].way == "ngram"
