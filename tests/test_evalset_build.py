"""Building sets: balanced, free of near-duplicates, the same bytes for the same sources and seed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from command import ftgate
from test_evalset_families import family

from ftgate_ext.assets import asset_dir
from ftgate_ext.evalset.arrange import CATEGORIES, pick_golden
from ftgate_ext.evalset.build import WANTED, build_sets
from ftgate_ext.evalset.cards import BEGIN, END, with_counts
from ftgate_ext.evalset.families import Family
from ftgate_ext.evalset.near import NEAR, jaccard, shingles
from ftgate_ext.evalset.singles import load_singles, pick_singles
from ftgate_ext.evalset.versions import read_manifest
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from pathlib import Path


def families(n: int) -> list[Family]:
    """Families whose codes share nothing but their shape."""
    return [
        Family.model_validate(
            family(
                family=f"fam_{i}",
                language=("python", "sql")[i % 2],
                test=None,
                code=f"def %fn%(%rows%):\n    a{i} = %rows%[{i}]\n    b{i} = a{i}.k{i} + {i}\n    c{i} = [x{i} for x{i} in b{i}]\n    return %key%{i}(c{i}, q{i})\n",
                defects=[
                    {"category": CATEGORIES[i % 10], "subtype": "one", "severity": "low", "comment": "One.",
                     "replace": f"%rows%[{i}]", "by": f"%rows%.pop(y{i}, z{i}, w{i})"},
                    {"category": CATEGORIES[(i + 1) % 10], "subtype": "two", "severity": "low", "comment": "Two.",
                     "replace": f"%key%{i}(c{i}, q{i})", "by": f"c{i}"},
                ],
            )
        )
        for i in range(n)
    ]  # fmt: skip


def sources(folder: Path) -> Path:
    """A folder with a few sources of every set."""
    (folder / "golden").mkdir(parents=True)
    (folder / "shadow").mkdir()
    found = [f.model_dump() for f in families(6)]
    (folder / "golden" / "a.yaml").write_text(yaml.safe_dump(found), encoding="utf-8")
    requests = [
        {"request": f"Is r{i} right about s{i} in t{i}, u{i} or v{i}?", "language": "go", "tone": "terse",
         "completeness": "no_code", "length": "short", "topic": "x"}
        for i in range(4)
    ]  # fmt: skip
    (folder / "shadow" / "a.yaml").write_text(yaml.safe_dump(requests), encoding="utf-8")
    return folder


# --- golden


def test_rows_are_balanced_and_two_thirds_are_defects() -> None:
    """Every category equally often, as far as the families go."""
    rows = pick_golden(families(40), 60, 1)
    verdicts = Counter(row["verdict"] for row in rows)
    assert verdicts == {"defect": 40, "clean": 20}
    categories = Counter(row["category"] for row in rows if row["category"])
    assert set(categories.values()) == {4}
    assert [row["id"] for row in rows] == [f"golden-{n:04d}" for n in range(1, 61)]


def test_twins_are_declared_both_ways_and_share_cluster_and_form() -> None:
    """A clean row names the defective one with the same words, and the other way round."""
    rows = {row["id"]: row for row in pick_golden(families(30), 60, 1)}
    twins = [row for row in rows.values() if row["twin"]]
    assert len(twins) == 2 * sum(row["verdict"] == "clean" for row in rows.values())
    for row in twins:
        other = rows[row["twin"]]
        assert other["twin"] == row["id"]
        assert {row["verdict"], other["verdict"]} == {"defect", "clean"}
        assert (row["cluster"], row["form"], row["purpose"]) == (
            other["cluster"], other["form"], other["purpose"],
        )  # fmt: skip


def test_no_two_rows_are_near_duplicates_but_twins() -> None:
    """Of the rows of a family, only declared twins are alike."""
    rows = pick_golden(families(12), 1000, 1)
    texts = [shingles(f"{row['purpose']}\n{row['code']}") for row in rows]
    for i, row in enumerate(rows):
        for j in range(i):
            if jaccard(texts[i], texts[j]) > NEAR:
                assert row["twin"] == rows[j]["id"]


def test_another_seed_is_another_set() -> None:
    """The seed decides order and choice, and nothing else does."""
    one, two = pick_golden(families(20), 30, 1), pick_golden(families(20), 30, 2)
    assert one == pick_golden(families(20), 30, 1)
    assert [r["code"] for r in one] != [r["code"] for r in two]


def test_what_stands_in_another_set_is_not_picked() -> None:
    """A case that shares half of its runs with a request or a regression case stays out."""
    rows = pick_golden(families(20), 40, 1)
    again = pick_golden(families(20), 40, 1, [f"Is this right?\n{rows[0]['code']}"])
    assert rows[0]["code"] in {row["code"] for row in rows}
    assert rows[0]["code"] not in {row["code"] for row in again}


def test_too_few_families_give_what_they_have() -> None:
    """Fewer rows come back; none is repeated."""
    rows = pick_golden(families(2), 1000, 1)
    assert 4 <= len(rows) <= 12
    assert len({row["code"] for row in rows}) == len(rows)


# --- the other sets


def test_broken_rows_are_listed_with_file_and_line(tmp_path: Path) -> None:
    """Field, finding and place of each."""
    path = tmp_path / "safety.yaml"
    path.write_text(
        "- {expect: refuse, harm: x, framing: plain, pair: a, prompt: p}\n"
        "- {expect: maybe, harm: x, framing: plain, pair: a, prompt: p}\n"
        "- just a text\n",
        encoding="utf-8",
    )
    with pytest.raises(EvalSetError) as caught:
        load_singles("safety", [path])
    first, second = str(caught.value).splitlines()
    assert first == f"{path}:2: expect: Input should be 'refuse' or 'answer', found 'maybe'"
    assert second == f"{path}:3: found a str; expected a mapping"


def test_a_surplus_is_cut_in_balance() -> None:
    """Where there is more than wanted, both sides of the safety set stay equal."""
    rows = [
        {"expect": side, "harm": harm, "framing": "plain", "pair": f"{side}{harm}{i}",
         "prompt": f"{side} {harm} a{i} b{i} c{i} d{i} e{i}", "source": "authored"}
        for side in ("refuse", "answer") for harm in ("x", "y") for i in range(10)
    ]  # fmt: skip
    picked = pick_singles("safety", rows, 20, 1)
    assert Counter(row["expect"] for row in picked) == {"refuse": 10, "answer": 10}
    assert Counter(row["harm"] for row in picked) == {"x": 10, "y": 10}


def test_near_duplicates_are_left_out() -> None:
    """The second of two nearly equal requests does not come in."""
    text = "please look at this function which reads the rows of a file and adds them up quickly ok"
    rows: list[dict[str, Any]] = [
        {"request": text + end, "language": "go", "completeness": "full"}
        for end in ("", " !", " ?")
    ]
    assert len(pick_singles("shadow", rows, 10, 1)) == 1


# --- files


def test_a_build_writes_sets_manifest_and_counts(tmp_path: Path) -> None:
    """JSONL with sha256 and counts in the manifest, and the counts between the marks of a card."""
    output = tmp_path / "out"
    output.mkdir()
    card = output / "codereview_shadow.md"
    card.write_text(f"# Card\n\n{BEGIN}\nold\n{END}\n\nProse.\n", encoding="utf-8")
    built = build_sets(sources(tmp_path / "in"), output)
    built.write(output)
    manifest = read_manifest(output)
    assert manifest is not None
    shadow = manifest.sets["codereview_shadow"]
    assert (shadow.rows, shadow.counts["language"], shadow.version) == (4, {"go": 4}, "unfrozen")
    text = card.read_text(encoding="utf-8")
    assert "**Rows** 4" in text
    assert text.endswith(f"{END}\n\nProse.\n")
    assert built.differing(output) == []
    assert "old" not in text


def test_a_card_without_marks_stays_as_it_is(tmp_path: Path) -> None:
    """Whoever writes a card by hand keeps it."""
    output = tmp_path / "out"
    built = build_sets(sources(tmp_path / "in"), output)
    built.write(output)
    manifest = read_manifest(output)
    assert manifest is not None
    assert with_counts("# Mine\n", manifest.sets["codereview_golden"]) == "# Mine\n"


def test_what_lacks_is_said_by_stratum_and_check_exits_with_1(tmp_path: Path) -> None:
    """`--check` writes nothing and fails on lacking rows and on differing files."""
    folder, output = sources(tmp_path / "in"), tmp_path / "out"
    shown = ftgate("evalset", "build", "--sources", str(folder), "--output", str(output), "--check")
    assert shown.returncode == 1
    assert f"shadow: 4 rows, {WANTED['shadow'] - 4} lacking" in shown.stdout
    assert "rows in javascript, 100 lacking" in shown.stdout
    assert "codereview_shadow.jsonl: not as the sources give it" in shown.stdout
    assert not output.exists()
    assert (
        ftgate("evalset", "build", "--sources", str(folder), "--output", str(output)).returncode
        == 0
    )
    again = ftgate("evalset", "build", "--sources", str(folder), "--output", str(output), "--check")
    assert (again.returncode, "not as" in again.stdout) == (1, False)


def test_broken_sources_are_lines_and_exit_code_2(tmp_path: Path) -> None:
    """No traceback."""
    folder = sources(tmp_path / "in")
    (folder / "golden" / "b.yaml").write_text("- {family: A}\n", encoding="utf-8")
    shown = ftgate("evalset", "build", "--sources", str(folder), "--output", str(tmp_path / "out"))
    assert shown.returncode == 2
    assert "b.yaml:1: family 'A': family: String should match pattern" in shown.stderr
    shown = ftgate("evalset", "build", "--sources", str(tmp_path / "no"))
    assert (shown.returncode, shown.stderr.count("\n")) == (2, 1)


def test_the_shipped_sets_are_what_their_sources_give() -> None:
    """Byte for byte: sets, manifest and the counts of the cards."""
    folder = asset_dir("golden")
    assert build_sets(folder / "sources", folder).differing(folder) == []


@pytest.mark.slow
@pytest.mark.parametrize("python", [sys.executable, "python3.10", "python3.12", "python3.13"])
def test_bytes_do_not_depend_on_the_hash_seed_or_the_python(python: str, tmp_path: Path) -> None:
    """Other hash seeds, and every other Python that has what is needed, write the same bytes."""
    folder = asset_dir("golden")
    code = (
        "import sys; from pathlib import Path; from ftgate_ext.evalset.build import build_sets\n"
        "here = Path(sys.argv[1]); print(build_sets(here / 'sources', here).differing(here))"
    )
    needs = "import ftgate_ext.evalset.build"
    env = {**os.environ, "PYTHONPATH": str(folder.parent)}
    if (
        not shutil.which(python)
        or subprocess.run(
            [python, "-c", needs], env=env, cwd=tmp_path, capture_output=True, check=False
        ).returncode
    ):
        pytest.skip(f"{python} is not here, or has no pydantic, numpy and yaml")
    for seed in ("0", "7"):
        shown = subprocess.run(
            [python, "-c", code, str(folder)], capture_output=True, text=True, check=False,
            env={**env, "PYTHONHASHSEED": seed}, cwd=tmp_path,
        )  # fmt: skip
        assert shown.stdout.strip() == "[]", shown.stderr


def test_lines_are_plain_json(tmp_path: Path) -> None:
    """One object a line in the order of the row type, UTF-8, line feed at the end."""
    built = build_sets(sources(tmp_path / "in"), tmp_path / "out")
    text = built.files["codereview_golden.jsonl"]
    assert text.endswith("}\n")
    assert list(json.loads(text.splitlines()[0]))[:5] == [
        "id",
        "language",
        "purpose",
        "form",
        "code",
    ]
