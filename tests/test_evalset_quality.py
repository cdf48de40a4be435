"""The quality report: what breaks a limit is found, counted and ends with exit code 1."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from command import ftgate

from ftgate_ext.evalset.hints import hints_in_code, hints_in_purpose
from ftgate_ext.evalset.label import code_hash
from ftgate_ext.evalset.labels import agreement_of
from ftgate_ext.evalset.quality import measure_sets
from ftgate_ext.evalset.quality_words import quality_text
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from pathlib import Path


def golden(n: int = 120, cue: str = "") -> list[dict[str, Any]]:
    """Random code, two rows a cluster; defects hold `cue`."""
    rng = random.Random(4)
    rows = []
    for i in range(n):
        defect = rng.random() < 0.6
        words = " ".join(rng.choices([f"v{k}" for k in range(300)], k=30))
        rows.append({
            "id": f"golden-{i:04d}", "language": "python", "purpose": "Adds.", "code": f"{words} {cue * defect}",
            "verdict": "defect" if defect else "clean", "category": "logic" if defect else None,
            "cluster": f"c{i // 2}", "twin": None,
        })  # fmt: skip
    return rows


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def problems(path: Path) -> str:
    return "\n".join(measure_sets([path]).problems)


def test_a_set_without_faults_has_no_problems(tmp_path: Path) -> None:
    """Every figure inside its limit, and the text says so."""
    report = measure_sets([write(tmp_path / "g.jsonl", golden())])
    assert report.problems == []
    text = quality_text(report)
    assert "g.jsonl: 120 rows in 60 clusters" in text
    assert "Every figure is inside its limit." in text


def test_a_telltale_word_breaks_the_limit(tmp_path: Path) -> None:
    """Words and characters both see it, and the word is named."""
    report = measure_sets([write(tmp_path / "g.jsonl", golden(cue="zonk(y)"))])
    assert any("AUC of words on all is" in p for p in report.problems)
    assert any("AUC of characters on all is" in p for p in report.problems)
    assert any(word.startswith("zonk") for word in report.sets[0].telling)
    assert "OVER THE LIMIT" in quality_text(report)


def test_length_alone_breaks_the_limit(tmp_path: Path) -> None:
    """Defects that are longer by a little always."""
    rows = golden()
    for row in rows:
        row["code"] = " ".join(row["code"].split()[: 24 if row["verdict"] == "defect" else 20])
    assert "AUC of length on all" in problems(write(tmp_path / "g.jsonl", rows))


def test_a_copy_outside_twins_breaks_the_limit(tmp_path: Path) -> None:
    """A declared twin may be alike; another row may not."""
    rows = golden()
    rows[0]["code"] = rows[1]["code"]
    rows[0]["twin"], rows[1]["twin"] = rows[1]["id"], rows[0]["id"]
    assert "near-duplicates" not in problems(write(tmp_path / "g.jsonl", rows))
    rows[7]["code"] = rows[1]["code"]
    assert "2 near-duplicates outside twins" in problems(write(tmp_path / "g.jsonl", rows))


def test_twins_share_a_cluster(tmp_path: Path) -> None:
    """Twins in different clusters would be resampled as if they knew nothing of each other."""
    rows = golden()
    rows[0]["twin"] = rows[9]["id"]
    assert "1 twins in different clusters, the first golden-0000" in problems(
        write(tmp_path / "g.jsonl", rows)
    )


def test_a_row_in_two_sets_is_named(tmp_path: Path) -> None:
    """Sets must not overlap."""
    rows = golden()
    shadow = [{"id": "shadow-0001", "request": f"Adds. {rows[3]['code']}"}]
    report = measure_sets([
        write(tmp_path / "g.jsonl", rows), write(tmp_path / "s.jsonl", shadow),
    ])  # fmt: skip
    assert [n.first for n in report.near_across_sets] == ["g:golden-0003"]
    assert any("between sets" in p for p in report.problems)


def test_hints_are_found_in_names_and_comments_not_in_library_calls(tmp_path: Path) -> None:
    """snake_case and camelCase are taken apart; yaml.safe_load is a library's name."""
    assert hints_in_code("def fixBuggyTotal(): pass") == {"buggy"}
    assert hints_in_code("x = 1  # TODO") == {"todo"}
    assert hints_in_code("yaml.safe_load(text); crypto.timingSafeEqual(a, b)") == set()
    assert hints_in_code("safe_total = 1") == {"safe"}
    assert hints_in_purpose("Runs a pool of fixed size.") == set()
    assert hints_in_purpose("Shows a bug.") == {"bug"}
    rows = golden()
    rows[5]["code"] += " broken_total"
    assert "1 rows with hints, the first golden-0005 (broken)" in problems(
        write(tmp_path / "g.jsonl", rows)
    )


def test_languages_with_100_cases_are_measured_apart(tmp_path: Path) -> None:
    """A small language is part of the whole only."""
    rows = golden(260)
    for i, row in enumerate(rows):
        row["language"] = "python" if i < 150 else "go" if i < 250 else "sql"
    report = measure_sets([write(tmp_path / "g.jsonl", rows)])
    assert list(dict.fromkeys(s.cases for s in report.sets[0].shortcuts)) == ["all", "python", "go"]


def test_sets_without_labels_are_measured_as_far_as_it_goes(tmp_path: Path) -> None:
    """Requests have lengths and near-duplicates; a verdict that is not there has no AUC."""
    report = measure_sets([write(tmp_path / "s.jsonl", [{"id": "s-1", "request": "a\nb"}])])
    assert report.sets[0].shortcuts == []
    assert report.sets[0].lengths.lines_max == 2
    assert report.problems == []


# --- double labels


def label(case: str, verdict: str, code_sha256: str = "0" * 16) -> dict[str, Any]:
    """One line of what `ftgate evalset label` writes."""
    return {
        "case": case, "code_sha256": code_sha256, "labeller": "b", "verdict": verdict,
        "category": "logic" if verdict == "defect" else None, "at": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip


def test_double_labels_are_compared_with_those_of_the_set(tmp_path: Path) -> None:
    """Share and kappa of the verdict, the category where both see a defect; stale labels are counted."""
    rows = golden(40)
    file = write(tmp_path / "g.jsonl", rows)
    assert agreement_of(file, rows) is None
    (tmp_path / "labels").mkdir()
    labels = [
        label(row["id"], row["verdict"], code_sha256=code_hash(row["code"])) for row in rows[:20]
    ]
    other = "clean" if rows[0]["verdict"] == "defect" else "defect"
    labels[0] = label(rows[0]["id"], other, code_sha256=code_hash(rows[0]["code"]))
    labels[1]["code_sha256"] = "0" * 16
    write(tmp_path / "labels" / "b.jsonl", [*labels, label("other-1", "clean")])
    found = agreement_of(file, rows)
    assert found is not None
    assert (found.cases, found.outdated, found.labellers) == (19, 1, ["b"])
    assert found.verdict_share == pytest.approx(18 / 19)
    assert found.verdict_kappa is not None
    assert 0.5 < found.verdict_kappa < 1
    assert found.category_share == 1
    assert found.disagreements == [rows[0]["id"]]


def test_a_broken_label_is_named_with_its_line(tmp_path: Path) -> None:
    """File and line."""
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "b.jsonl").write_text('{"id": "x"}\n', encoding="utf-8")
    with pytest.raises(EvalSetError, match=r"b.jsonl:1: "):
        agreement_of(tmp_path / "g.jsonl", golden(2))


def test_the_command_exits_with_1_over_a_limit(tmp_path: Path) -> None:
    """And with 0 and JSON where all is well."""
    shown = ftgate("evalset", "report", str(write(tmp_path / "g.jsonl", golden())), "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["problems"] == []
    shown = ftgate("evalset", "report", str(write(tmp_path / "g.jsonl", golden(cue="zonk(y)"))))
    assert shown.returncode == 1
    shown = ftgate("evalset", "report", str(tmp_path / "none.jsonl"))
    assert (shown.returncode, shown.stderr.count("\n")) == (2, 1)
