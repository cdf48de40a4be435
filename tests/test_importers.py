"""Importers: what each source's rows become, what is left out, and what bad rows say."""

from __future__ import annotations

import csv
import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
from command import ftgate
from hypothesis import given
from hypothesis import strategies as st
from public_data import FOLDER, needs_public_data
from records import QUICK

from ftgate_ext.evalset.importers import Group, ImportedRow, gather
from ftgate_ext.evalset.importers.aacr import read_aacr
from ftgate_ext.evalset.importers.bugsinpy import read_bugsinpy
from ftgate_ext.evalset.importers.choose import import_rows, write_imported
from ftgate_ext.evalset.importers.hub import read_hub
from ftgate_ext.evalset.importers.imported import make_group
from ftgate_ext.evalset.importers.kinds import category_of_change, in_words, is_test
from ftgate_ext.evalset.importers.patches import diff_text, read_patch, turned_round
from ftgate_ext.evalset.importers.quixbugs import read_quixbugs
from ftgate_ext.evalset.importers.real import PARTS, read_real
from ftgate_ext.evalset.importers.sven import read_sven
from ftgate_ext.evalset.importers.table import read_map, read_table
from ftgate_ext.evalset.rows import load_cases
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from pathlib import Path

FIX = """diff --git a/shop/cart.py b/shop/cart.py
index 1..2 100644
--- a/shop/cart.py
+++ b/shop/cart.py
@@ -3,4 +3,4 @@ def pages(items):
     size = 10
-    count = len(items) // size
+    count = -(-len(items) // size)
     return count
     # end
diff --git a/tests/test_cart.py b/tests/test_cart.py
--- a/tests/test_cart.py
+++ b/tests/test_cart.py
@@ -1 +1,2 @@
 import shop
+assert shop
"""
BUG = {
    "id": "bug-1", "project": "shop", "project_license": "MIT", "fixed_commit": "abc",
    "fix_shape": "modify", "fix_patch": FIX,
}  # fmt: skip
PAIR = {
    "func_name": "load", "func_src_before": "def load(p):\r\n    q = p\r\n    return open(q)\r\n",
    "func_src_after": "def load(p):\r\n    q = safe(p)\r\n    return open(q)\r\n",
    "line_changes": {"deleted": [{"line_no": 2}], "added": [{"line_no": 2}]},
    "vul_type": "cwe-022", "file_name": "a/load.py", "commit_link": "example.org/a/b/commit/1",
}  # fmt: skip
PROGRAM = {
    "id": "quixbugs-total", "buggy": 'def total(a):\n    return sum(a[1:])\n\n"""\nTotal\n\nOutput:\n    The sum\n"""\n',
    "fixed": '\ndef total(a):\n    return sum(a)\n\n"""\ndef total(a): ...\n"""\n',
}  # fmt: skip


def remark(line: int, label: str = "valid_issue", **fields: Any) -> dict[str, Any]:
    return {
        "path": "src/a.ts", "side": "right", "from_line": line, "to_line": line, "category": "Code Defect",
        "note": "May be null here.", "label": label, "is_ai_comment": True,
    } | fields  # fmt: skip


REQUEST = {
    "pr_url": "https://github.com/o/r/pull/1", "repo": "o/r",
    "files": [{"path": "src/a.ts", "diff": (
        "--- a/src/a.ts\n+++ b/src/a.ts\n@@ -1,2 +1,3 @@\n a\n+b\n c\n@@ -11,2 +12,2 @@\n d\n-e\n+f\n"
        "@@ -21 +22,2 @@\n g\n+h\n@@ -31 +33,2 @@\n i\n+j\n"
    )}],
    "comments": [
        remark(2), remark(2, category="Performance", is_ai_comment=False, note="Slow."),
        remark(13, "rejected_comment"), remark(23, category="Maintainability and Readability"),
        remark(900),
    ],
}  # fmt: skip


def write(path: Path, *rows: Any) -> Path:
    text = "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def rows_of(found: Any) -> list[ImportedRow]:
    return gather(found).rows


# --- diffs


def test_a_diff_turned_round_twice_is_the_same_diff() -> None:
    """Turning round swaps signs and counts, and puts what goes before what comes."""
    patch = read_patch(FIX)[0]
    once = turned_round(patch)
    assert "-    count = -(-len(items) // size)\n+    count = len(items) // size" in diff_text(
        [once]
    )
    assert turned_round(once) == patch


@QUICK
@given(st.lists(st.sampled_from([" a", "-b", "-c", "+d", "+e"]), min_size=1, max_size=12))
def test_any_block_survives_reading_and_turning(lines: list[str]) -> None:
    """What a diff shows is read back as it was, and two turns change nothing but the order of signs."""
    old, new = (sum(line[0] in signs for line in lines) for signs in (" -", " +"))
    text = "\n".join(["--- a/x", "+++ b/x", f"@@ -1,{old} +1,{new} @@", *lines])
    patches = read_patch(text)
    assert diff_text(patches) == text
    turned = turned_round(turned_round(patches[0]))
    assert turned_round(turned_round(turned)) == turned
    assert sorted(turned.hunks[0].lines) == sorted(lines)


def test_lines_that_look_like_a_head_belong_to_their_block() -> None:
    """A removed SQL comment `-- x` shows as `--- x`; the counts of the block say what it is."""
    patches = read_patch("--- a/q.sql\n+++ b/q.sql\n@@ -1,2 +1,1 @@\n--- x\n y\n")
    assert patches[0].hunks[0].removed == ["-- x"]


def test_a_block_that_is_cut_off_is_refused() -> None:
    """Half a diff is no case."""
    with pytest.raises(ValueError, match="cut off"):
        read_patch("--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n-b\n+c\n")


# --- words


@pytest.mark.parametrize(
    ("removed", "added", "category"),
    [
        (["x = a.b"], ["if a is not None:", "    x = a.b"], "null_handling"),
        (["go()"], ["try:", "    go()", "except OSError:", "    stop()"], "error_handling"),
        (["f = open(p)"], ["with open(p) as f:"], "resource_leak"),
        (["n += 1"], ["self.lock", "n += 1"], "concurrency"),
        (["while i < n:"], ["while i <= n:"], "boundary"),
        (["return a"], ["return b"], "logic"),
    ],
)
def test_the_category_of_a_change_follows_the_stated_rule(
    removed: list[str], added: list[str], category: str
) -> None:
    """The first rule that fits, on what the fix adds more often than it removes."""
    assert category_of_change(removed, added) == category


def test_a_fix_is_told_by_its_first_telling_place() -> None:
    """Imports and brackets say nothing."""
    hunks = [(["import os"], ["import sys"]), (["a = b(1)"], ["a = b(2)"])]
    assert in_words(hunks) == "The fix puts `a = b(2)` in the place of `a = b(1)`."
    assert in_words([([], ["import sys"])]) == "The fix adds `import sys`."
    assert is_test("src/tests/x.py")
    assert not is_test("src/contest.py")


# --- the four public sources


def test_bugsinpy_shows_the_fix_turned_round(tmp_path: Path) -> None:
    """Defective is what was there before the fix; changes of tests are not shown."""
    row = rows_of(read_bugsinpy(write(tmp_path / "bugsinpy_patches.jsonl", BUG)))[0]
    assert (row.verdict, row.form, row.language, row.licence) == ("defect", "diff", "python", "MIT")
    assert (row.lines, row.origin, row.label_source) == ([6, 6], "bug-1@abc", "imported")
    assert row.code.split("\n")[row.lines[0] - 1] == "+    count = len(items) // size"
    assert "test_cart" not in row.code
    assert (row.length, row.label_strength, row.twin) == ("short", "stated", None)


def test_bugsinpy_can_show_fixes_forwards(tmp_path: Path) -> None:
    """A share of the bugs is shown as the fix, and is clean."""
    file = write(tmp_path / "bugsinpy.jsonl", BUG)
    row = rows_of(read_bugsinpy(file, clean_share=1.0))[0]
    assert (row.verdict, row.category, row.lines) == ("clean", None, None)
    assert "+    count = -(-len(items) // size)" in row.code


def test_bugsinpy_reads_a_clone_and_leaves_out_empty_patches(tmp_path: Path) -> None:
    """The folders of the project's own repository will do."""
    for number, patch in (("1", FIX), ("2", "")):
        folder = tmp_path / "projects" / "shop" / "bugs" / number
        folder.mkdir(parents=True)
        (folder / "bug_patch.txt").write_text(patch, encoding="utf-8")
    found = gather(read_bugsinpy(tmp_path))
    assert [row.id for row in found.rows] == ["bugsinpy-shop-1"]
    assert found.left_out == {"the fix is an empty patch": 1}


def test_sven_gives_twins_with_lines_from_its_spans(tmp_path: Path) -> None:
    """Before is a defect of the category security, after is clean, and each names the other."""
    same = PAIR | {"func_src_after": PAIR["func_src_before"]}
    only_added = PAIR | {
        "func_name": "b", "func_src_before": "a\nb", "func_src_after": "a\nx\nb",
        "line_changes": {"deleted": [], "added": [{"line_no": 2}]},
    }  # fmt: skip
    found = gather(read_sven(write(tmp_path / "sven_pairs.jsonl.gz", PAIR, same, only_added)))
    by_code = {row.code: row for row in found.rows}
    bad = by_code["def load(p):\n    q = p\n    return open(q)"]
    good = by_code["def load(p):\n    q = safe(p)\n    return open(q)"]
    assert (bad.category, bad.subtype, bad.severity, bad.lines) == (
        "security",
        "cwe_022",
        "high",
        [2, 2],
    )
    assert (bad.twin, good.twin, good.verdict) == (good.id, bad.id, "clean")
    assert bad.cluster == good.cluster == "sven-example.org/a/b"
    assert by_code["a\nb"].lines == [2, 2]
    assert found.left_out == {"the two versions of the function are the same": 1}
    assert found.filled == {"severity": 2, "tier": 4}


def test_what_is_clean_in_one_pair_and_a_defect_in_another_is_left_out(tmp_path: Path) -> None:
    """A function that was mended twice contradicts itself."""
    again = PAIR | {
        "func_src_before": PAIR["func_src_after"], "func_src_after": "def load(p): ...",
        "commit_link": "example.org/a/b/commit/2",
    }  # fmt: skip
    found = gather(read_sven(write(tmp_path / "sven.jsonl", PAIR, again)))
    assert (len(found.rows), found.left_out) == (2, {"the same code as another row": 1})


def test_quixbugs_hides_what_tells_the_version(tmp_path: Path) -> None:
    """Descriptions and other right answers at the top level are cut off."""
    found = rows_of(read_quixbugs(write(tmp_path / "quixbugs.jsonl", PROGRAM)))
    bad, good = sorted(found, key=lambda row: row.id)
    assert (bad.code, bad.lines) == ("def total(a):\n    return sum(a[1:])", [2, 2])
    assert (good.code, good.verdict) == ("def total(a):\n    return sum(a)", "clean")
    assert bad.purpose == good.purpose == "total: The sum"
    assert (bad.twin, good.twin, bad.cluster) == (good.id, bad.id, good.cluster)


def test_quixbugs_reads_a_clone(tmp_path: Path) -> None:
    """A program without a mended one is a bad row."""
    for folder, key in (("python_programs", "buggy"), ("correct_python_programs", "fixed")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "total.py").write_text(PROGRAM[key], encoding="utf-8")
    (tmp_path / "python_programs" / "alone.py").write_text("a = 1\n", encoding="utf-8")
    found = gather(read_quixbugs(tmp_path))
    assert (len(found.rows), found.bad) == (2, 1)
    assert "correct_python_programs/alone.py" in found.problems[0]


def test_aacr_makes_a_case_of_a_commented_block(tmp_path: Path) -> None:
    """Valid comments make a defect, rejected ones alone a clean case, and readability none."""
    write(tmp_path / "aacr_with_diffs.jsonl.gz", REQUEST)
    write(tmp_path / "project_licences.json", {"o/r": "MIT License "})
    found = gather(read_aacr(tmp_path))
    defect, clean = sorted(found.rows, key=lambda row: row.verdict, reverse=True)
    assert (defect.verdict, clean.verdict) == ("defect", "clean")
    # What a person wrote gives the category; the guess from the other's words is accepted too.
    assert (defect.category, defect.also_accept) == ("performance", ["null_handling", "logic"])
    assert defect.comment == "Slow.\n\nMay be null here."
    assert defect.code.split("\n")[defect.lines[0] - 1] == "+b"
    assert "+f" in clean.code
    assert (defect.language, defect.licence) == ("typescript", "Apache-2.0 (comments), MIT (code)")
    assert found.left_out == {
        "a block with valid comments on maintainability only": 1,
        "a comment on lines outside of the diff": 1,
    }


# --- tables, hub


def test_a_csv_becomes_rows_by_its_map(tmp_path: Path) -> None:
    """Columns, constants and words for the verdict; what is missing is filled in and counted."""
    path = tmp_path / "own.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["snippet", "label", "where", "kind"])
        writer.writerow(["a = 1\nb = 2", "Buggy", "2", "Null handling"])
        writer.writerow(["c = 3", "ok", "", ""])
    mapping = read_map(
        ["code=snippet", "verdict=label", "lines=where", "category=kind", "language=:python"]
    )
    found = gather(read_table(path, mapping, "MIT"))
    bad, good = sorted(found.rows, key=lambda row: row.verdict, reverse=True)
    assert (bad.lines, bad.category, bad.language, bad.licence) == (
        [2, 2],
        "null_handling",
        "python",
        "MIT",
    )
    assert (good.verdict, good.category, good.form, good.source) == (
        "clean",
        None,
        "function",
        "own",
    )
    assert found.filled == {"subtype": 1, "severity": 1, "comment": 1, "tier": 2}


def test_rows_of_our_own_type_come_back_as_they_were(tmp_path: Path) -> None:
    """A set in our format needs no map."""
    whole = rows_of([make_group("x", {
        "id": "a", "language": "go", "purpose": "p", "form": "function", "code": "x\ny", "verdict": "defect",
        "category": "security", "also_accept": ["logic"], "subtype": "s", "severity": "low", "lines": [1, 2],
        "comment": "c", "tier": "hard", "cluster": "k", "source": "own", "origin": "o", "licence": "MIT",
    })])[0]  # fmt: skip
    file = write(tmp_path / "own.jsonl", whole.model_dump(mode="json"))
    assert rows_of(read_table(file, {})) == [whole]


def test_bad_rows_are_all_listed_before_it_stops(tmp_path: Path) -> None:
    """File, line, field, what was found and expected; --skip-bad imports the others."""
    good = {"code": "x = 1", "verdict": 0}
    file = write(
        tmp_path / "t.jsonl", good, {"verdict": 1}, "{", "[]", {"code": "y", "verdict": "maybe"},
        {"code": "y", "verdict": 1, "lines": [4, 9]}, {"code": "y", "verdict": 1, "category": "style"},
        {"code": "y", "verdict": 1, "lines": "here"}, {"code": "\ud800", "verdict": 1},
        *[{"code": "z", "verdict": "?"}] * 20,
    )  # fmt: skip
    found = gather(read_table(file, {}))
    assert (found.bad, len(found.problems), len(found.rows)) == (28, 20, 1)
    assert found.problems[0].startswith(f"{file}:2: code: missing")
    assert found.problems[3].startswith(f"{file}:5: verdict: found 'maybe'; expected one of")
    assert "category" in found.problems[5]
    with pytest.raises(EvalSetError, match=r"(?s)t.jsonl:2: .*and 8 more\n28 bad rows.*--skip-bad"):
        write_imported(found, tmp_path / "o.jsonl", 0, with_card=False, skip_bad=False)
    assert not (tmp_path / "o.jsonl").exists()
    write_imported(found, tmp_path / "o.jsonl", 0, with_card=False, skip_bad=True)
    assert len(load_cases(tmp_path / "o.jsonl")) == 1


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", b"code,verdict\nx\n", "fewer cells"),
        ("a.csv", b"code,verdict\nx,0,1\n", "more cells"),
    ],
)
def test_ragged_csv_rows_are_bad_rows(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    """A row must have as many cells as the head."""
    (tmp_path / name).write_bytes(content)
    assert told in gather(read_table(tmp_path / name, {})).problems[0]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", b"code,verdict\n\xff\xfe,0\n", "not UTF-8"),
        ("a.jsonl.gz", b"no gzip", "cannot be read"),
        ("none.jsonl", None, "no such file"),
    ],
)
def test_a_file_that_cannot_be_read_says_so(
    tmp_path: Path, name: str, content: bytes | None, told: str
) -> None:
    """One line, no traceback."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(EvalSetError, match=told):
        gather(read_table(tmp_path / name, {}))


@pytest.mark.parametrize("entry", ["code", "code=", "colour=x"])
def test_a_map_entry_that_is_none_is_refused(entry: str) -> None:
    """The message says what an entry looks like, and which fields there are."""
    with pytest.raises(EvalSetError, match="--map"):
        read_map([entry])


def test_a_data_set_folder_is_read_like_one_of_the_hub(tmp_path: Path) -> None:
    """Parquet in a local folder; the split is part of the name."""
    import datasets

    made = datasets.Dataset.from_dict({"func": ["a()", "b()"], "target": [1, 0]})
    (tmp_path / "own" / "data").mkdir(parents=True)
    made.to_parquet(str(tmp_path / "own" / "data" / "train-00000.parquet"))
    mapping = {"code": "func", "verdict": "target"}
    found = rows_of(read_hub(f"{tmp_path / 'own'}@train", mapping))
    assert {row.code: row.verdict for row in found} == {"a()": "defect", "b()": "clean"}
    assert {row.source for row in found} == {"own"}
    with pytest.raises(EvalSetError, match="cannot be loaded"):
        gather(read_hub(f"{tmp_path / 'own'}@nosuch", mapping))


# --- choosing


def case(name: str, code: str, *more: str) -> Group:
    made = make_group(name, *(
        {
            "id": f"{name}-{i}", "language": "python", "purpose": "p", "form": "function", "code": text,
            "verdict": "clean", "cluster": name, "source": "s", "origin": name, "licence": "MIT",
        }
        for i, text in enumerate((code, *more))
    ))  # fmt: skip
    assert isinstance(made, Group)
    return made


def test_the_choice_depends_on_the_seed_alone() -> None:
    """Not on the order of the file; and a longer list only adds to a shorter one."""
    cases = [case(f"c{i}", f"x = {i}") for i in range(300)]
    one = [row.id for row in gather(cases, 20, 1).rows]
    assert one == [row.id for row in gather(cases[::-1], 20, 1).rows]
    assert one == [row.id for row in gather(cases, 40, 1).rows][:20]
    assert one != [row.id for row in gather(cases, 20, 2).rows]
    assert gather(cases, 20, 1).available == 300


def test_twins_are_taken_together_or_not_at_all() -> None:
    """An odd limit leaves a place empty."""
    pairs = [case(f"c{i}", f"x = {i}", f"y = {i}") for i in range(9)]
    assert len(gather(pairs, 5).rows) == 4


def test_an_id_twice_is_a_bad_row() -> None:
    """With other code it cannot be the same case."""
    assert "found 'c-0' again" in gather([case("c", "x"), case("c", "y")]).problems[0]


# --- the command


def test_the_command_writes_a_set_that_loads(tmp_path: Path) -> None:
    """Rows carry source, licence and origin."""
    write(tmp_path / "sven_pairs.jsonl", PAIR)
    done = ftgate("evalset", "import", "sven", ".", "--output", "o.jsonl", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 of 2 rows: 1 defect, 1 clean." in done.stdout
    assert {row["licence"][:3] for row in load_cases(tmp_path / "o.jsonl")} == {"MIT"}


@pytest.mark.parametrize(
    ("kind", "source", "options", "told"),
    [
        ("real", ".", {}, "bugsinpy: no codereview_bugsinpy or"),
        ("real", ".", {"limit": 3}, "--limit"),
        ("nosuch", ".", {}, "no such kind"),
        ("sven", ".", {"mapping": ["code=x"]}, "--map: has no meaning for sven"),
        ("sven", "nowhere", {}, "no such file or folder"),
        ("hub", "@x", {}, "expected owner/name"),
    ],
)
def test_what_cannot_be_imported_is_one_line(
    kind: str, source: str, options: dict[str, Any], told: str
) -> None:
    """What was found, and what was expected."""
    with pytest.raises(EvalSetError, match=told):
        import_rows(kind, source, **options)


def test_wrong_use_writes_nothing(tmp_path: Path) -> None:
    """Exit code 2, no traceback."""
    done = ftgate("evalset", "import", "sven", "--output", "o.jsonl", cwd=tmp_path)
    assert done.returncode == 2
    assert "expected KIND SOURCE" in " ".join(done.stderr.split())
    assert not (tmp_path / "o.jsonl").exists()


# --- the real data


@needs_public_data
@pytest.mark.parametrize(
    ("kind", "folder", "defects", "clean", "left_out"),
    [
        ("bugsinpy", "codereview_bugsinpy", 499, 0, 2),
        ("sven", "codereview_sven", 797, 797, 6),
        ("quixbugs", "codereview_quixbugs", 40, 40, 0),
        ("aacr", "codereview_aacr_bench", 103, 43, 40),
    ],
)
def test_the_public_sources_give_their_known_counts(
    kind: str, folder: str, defects: int, clean: int, left_out: int
) -> None:
    """No bad row; what is left out has a reason: an empty patch, equal versions, the same code twice."""
    found = import_rows(kind, str(FOLDER / folder))
    verdicts = [row.verdict for row in found.rows]
    assert (verdicts.count("defect"), verdicts.count("clean"), found.bad) == (defects, clean, 0)
    assert sum(found.left_out.values()) == left_out


@needs_public_data
def test_the_real_set_has_its_documented_size() -> None:
    """300, 220, 40 and 140 rows, twins whole, ids unique, three in five a defect."""
    found = read_real(FOLDER)
    counts = {part.name: sum(r.source == part.name for r in found.rows) for part in PARTS}
    assert counts == {"bugsinpy": 300, "sven": 220, "quixbugs": 40, "aacr": 140}
    ids = {row.id for row in found.rows}
    assert len(ids) == 700
    assert all(row.twin in ids for row in found.rows if row.twin)
    assert sum(row.verdict == "defect" for row in found.rows) == 429
