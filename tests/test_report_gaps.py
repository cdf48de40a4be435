"""What is absent is named with its reason; it is never an empty drawing, and never a zero."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from command import ftgate_here
from reports import (
    Page,
    audit,
    card,
    comparison,
    comparisons,
    decision,
    level,
    manifest,
    material,
    operations,
    qualification,
    rule,
    text_of_markdown,
)

from ftgate_ext.report import ReportInput, render_html, render_markdown
from ftgate_ext.report.view import build_view
from ftgate_ext.runs import write_row
from ftgate_ext.schema import Findings, Leakage, LeakedCase, SetLeaks, TrainingFile
from ftgate_ext.schema.leakage import LeakPlace

if TYPE_CHECKING:
    from pathlib import Path

OPEN: dict[str, Any] = {
    "estimate": None, "lower_one_sided": None, "upper_one_sided": None, "seen": "no evidence",
    "sentence": "Cannot be decided: there is nothing.",
}  # fmt: skip
UNMEASURED: dict[str, Any] = dict.fromkeys(
    ("latency_p50_s", "latency_p95_s", "latency_p99_s", "input_tokens", "output_tokens", "cost_usd_per_request")
)  # fmt: skip


def half_a_run() -> ReportInput:
    """Five requests of production failed, and the run was stopped."""
    return material(
        manifest=manifest(finished_at=None),
        comparisons=comparisons(
            comparisons=[comparison(n_pairs=35, n_excluded=5)],
            operations=[operations("candidate", statuses={"ok": 40}), operations("production", statuses={"ok": 35, "failed": 5})],
        ),
    )  # fmt: skip


def one_model() -> ReportInput:
    """Production could not be reached."""
    cards = [
        card("candidate", "tuned"),
        card("production", "live", absent="no server answers there"),
    ]
    return material(
        manifest=manifest(models=cards),
        comparisons=comparisons(
            roles=["candidate"], levels=[level("candidate")], comparisons=[], operations=[operations("candidate")]
        ),
        decision=decision(rule("better", "INCONCLUSIVE", **OPEN), verdict="INCONCLUSIVE", code=3),
        qualification=None,
    )  # fmt: skip


def no_judge() -> ReportInput:
    """A win rate is asked for, and nobody judged."""
    asked = rule("liked", "INCONCLUSIVE", kind="win_rate", task=None, metric="win_rate", **OPEN)
    return material(qualification=None, decision=decision(asked, verdict="INCONCLUSIVE", code=3))


def no_golden_set() -> ReportInput:
    """Only safety was measured."""
    levels = [level(role, "refusal_harmful", 0.9, "safety") for role in ("candidate", "production")]
    made = comparison(task="safety", metric="refusal_harmful", kind="binary")
    return material(
        comparisons=comparisons(
            levels=levels, comparisons=[made], unavailable={"golden": "the file is not there"}
        ),
        decision=decision(rule("safe", "FAIL", kind="floor", task="safety", metric="refusal_harmful", against=None)),
    )  # fmt: skip


def no_buckets() -> ReportInput:
    """No bucket is large enough to be judged."""
    asked = rule("by language", "INCONCLUSIVE", kind="per_bucket", parts=[], **(OPEN | {"seen": "no bucket of 30 cases"}))  # fmt: skip
    return material(decision=decision(asked, verdict="INCONCLUSIVE", code=3))


def nothing_measured() -> ReportInput:
    """Answers without latency, tokens and cost."""
    bare = [operations(role, **UNMEASURED) for role in ("candidate", "production")]
    return material(
        comparisons=comparisons(levels=[], comparisons=[], operations=bare),
        findings=Findings(findings=[]), qualification=None,
    )  # fmt: skip


WANTED = [
    (half_a_run, [
        "the run was not finished", "What production would have answered to 5 requests that failed.", "not finished",
        "35 ok, 5 failed", "Have 5 requests without an answer asked again",
    ]),
    (one_model, [
        "Whether it is better than any other model: no other model was asked.",
        "How it compares with live (production), which took no part.", "absent: no server answers there",
        "There is no model to compare with.", "Whether this holds: better.",
    ]),
    (no_judge, [
        "Whose answers people would prefer: no pairs were judged.", "No win rate: no pairs were judged.",
        "none: no pairs were judged", "Have a judge compare the answers in pairs",
    ]),
    (no_golden_set, [
        "Not measured: no eval set of the task itself has a score.", "golden was not asked: The file is not there.",
    ]),
    (no_buckets, ["no bucket of 30 cases", "Whether this holds: by language."]),
    (nothing_measured, [
        "How good any model is: no eval set has a score.", "What a request costs at: candidate, production.",
        "latency p50 not measured",
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("made", "wanted"), WANTED, ids=lambda x: getattr(x, "__name__", ""))
def test_what_is_absent_is_named_with_its_reason(made: Any, wanted: list[str]) -> None:
    """In both forms, on the first page where it bears on the decision."""
    source = made()
    for text in (Page(render_html(source)).text, text_of_markdown(render_markdown(source))):
        for words in wanted:
            assert words in text


@pytest.mark.parametrize("made", [made for made, _ in WANTED], ids=lambda x: x.__name__)
def test_nothing_is_empty_and_nothing_unknown_is_zero(made: Any) -> None:
    """No table without rows, no drawing without an interval, no `None`, `nan` or zero dollars."""
    html = render_html(made())
    for table in re.findall(r"<table.*?</table>", html, re.DOTALL):
        assert "<td" in table
    for drawing in re.findall(r'<svg class="plot.*?</svg>', html, re.DOTALL):
        assert 'class="interval"' in drawing
        assert "<circle" in drawing or "<path" in drawing
    for text in (Page(html).text, text_of_markdown(render_markdown(made()))):
        assert not re.search(r"\bNone\b(?! of\b)|\bnan\b|\binf\b|\$0(?!\.)|(?<![\d.])0 s\b", text)


def leakage(leaked: int = 1) -> Leakage:
    cases = [
        LeakedCase(
            set="golden", id=f"golden-{i:04}", way="near", score=0.8123, rows=2,
            places=[LeakPlace(file="train.jsonl", line=17, way="near", score=0.8123)],
        )
        for i in range(leaked)
    ]  # fmt: skip
    return Leakage(
        training=[TrainingFile(file="train.jsonl", sha256="ab" * 32, rows=8120)], containment=0.5, near=0.8,
        reworded=0.7, boilerplate_grams=0, sampled_rows=8120, cases=cases,
        sets=[SetLeaks(set="golden", cases=60, leaked=leaked, ways={"near": leaked}, whole_only=3)],
    )  # fmt: skip


def test_leaked_cases_stand_with_their_places() -> None:
    """How many of how many, which ones, how, where, and which training data was searched."""
    section = build_view(material(leakage=leakage())).leakage
    assert section.lines[0] == "1 of 60 cases stands in the 8,120 training rows of 1 file."
    sets, cases, training = section.tables
    assert sets.rows == [["golden", "60", "1", "nearly the same text 1", "3"]]
    assert cases.rows == [["golden", "golden-0000", "nearly the same text", "81.2%", "2", "train.jsonl:17"]]  # fmt: skip
    assert training.rows == [["train.jsonl", "8,120", "abababababab"]]


def test_no_leak_is_said_and_no_search_is_too() -> None:
    """None found is not the same as not looked."""
    clean = build_view(material(leakage=leakage(0)))
    assert clean.leakage.lines[0].startswith("None of 60 cases stands in")
    assert not any("trained on" in line for line in clean.first.unknowns)
    unsearched = build_view(material())
    assert "Not checked" in unsearched.leakage.lines[0]
    assert any("trained on eval cases: not checked" in line for line in unsearched.first.unknowns)


def test_a_long_list_of_leaks_is_cut_and_says_so() -> None:
    """Twenty stand in the report, all of them in leakage.json."""
    table = build_view(material(leakage=leakage(23))).leakage.tables[1]
    assert len(table.rows) == 20
    assert table.notes == ["And 3 more, in leakage.json."]


def test_every_approval_is_listed_needed_or_not() -> None:
    """Those inside routes too; a report without any says so."""
    inner = rule("cheap", approved="FAIL approved by B. Boss until 2026-02-01: known")
    rules = [
        rule("kept", kind="no_regression", approved="a approved by A. Boss"),
        rule("worth it", kind="any_route", estimate=None, parts=[rule("r", kind="route", parts=[inner])]),
    ]  # fmt: skip
    (table,) = build_view(material(decision=decision(*rules))).approvals.tables
    assert [(row[0], row[3]) for row in table.rows] == [("kept", "no"), ("cheap", "yes")]
    assert "Nobody approved anything" in render_markdown(material())


def test_the_first_page_answers_five_questions() -> None:
    """What was decided, why, by how much, what is not known, what to do next: in this order."""
    answered = [operations(role, statuses={"ok": 40}) for role in ("candidate", "production")]
    source = material(audit=audit(), leakage=leakage(0), comparisons=comparisons(operations=answered))  # fmt: skip
    page = render_markdown(source).split("## Key Findings")[0]
    heads = ["must not ship", "What decided it:", "By how much:", "What to do next:"]
    assert [page.index(head) for head in heads] == sorted(page.index(head) for head in heads)
    assert "Task F1 on golden against production +4.4 pt (95 % CI -1.2 pt to +9.8 pt" in page
    assert "What is not known:" not in page
    assert "What is not known:" in render_markdown(material())


def test_a_judge_that_may_not_vote_leaves_a_gap() -> None:
    """Its win rates are no figure for the first page."""
    rate = comparison(
        task="shadow",
        metric="win_rate",
        kind="win_rate",
        candidate_estimate=comparison().difference,
    )
    made = comparisons(comparisons=[comparison(), rate])
    fit = build_view(material(comparisons=made))
    unfit = build_view(material(comparisons=made, qualification=qualification(fit=False, reasons=["Biased."])))  # fmt: skip
    assert any(line.startswith("Win rate against production") for line in fit.first.by_how_much)
    assert not any(line.startswith("Win rate") for line in unfit.first.by_how_much)
    assert "no evidence" in unfit.win_rates.lines[0]
    assert any("judge-1 may not vote" in line for line in unfit.first.unknowns)


def test_the_command_names_what_is_missing_and_what_makes_it(tmp_path: Path) -> None:
    """A folder without a run, a run that was not compared, one that was not decided, a broken file."""
    source = material()
    stages = [
        ("run.json", source.manifest, "ftgate run"), ("findings.json", source.findings, "ftgate compare"),
        ("comparisons.json", source.comparisons, "ftgate compare"), ("decision.json", source.decision, "ftgate decide"),
    ]  # fmt: skip
    for name, row, command in stages:
        failed = ftgate_here("report", str(tmp_path), cwd=tmp_path)
        assert failed.returncode == 2
        assert command in failed.stderr
        assert len(failed.stderr.strip().splitlines()) == 1
        write_row(tmp_path / name, row)
    made = ftgate_here("report", str(tmp_path), cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert json.loads((tmp_path / "decision.json").read_text())["verdict"] == "NO-GO"
    assert "NO-GO" in (tmp_path / "report.md").read_text(encoding="utf-8")
