"""The report's section on errors: its figures are those of the evidence, and nothing in it runs."""

from __future__ import annotations

import re
import shutil
import time
from collections import Counter
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from compared_run import GOLDEN, HOSTILE, SUITE, write_compared_run

from ftgate_ext.findings.texts import load_texts
from ftgate_ext.newness import say_what_is_new
from ftgate_ext.report import ReportInput, render_html, render_markdown
from ftgate_ext.report.changes import draw_confusions
from ftgate_ext.report.errors import view_errors
from ftgate_ext.runs import load_manifest, load_row
from ftgate_ext.schema import CaseReview, Comparisons, Decision, FailureSorting, Findings
from ftgate_ext.stages import report_run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compared and decided run."""
    return write_compared_run(tmp_path_factory.mktemp("made") / "run")


def material(run: Path, findings: Findings, **more: object) -> ReportInput:
    """What a report is made of, with other findings."""
    return ReportInput(
        manifest=load_manifest(run), comparisons=load_row(run / "comparisons.json", Comparisons, "compare"),
        findings=findings, decision=load_row(run / "decision.json", Decision, "decide"), qualification=None,
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


def findings_of(run: Path) -> Findings:
    """As compare wrote them."""
    return load_row(run / "findings.json", Findings, "compare")


def test_broken_cases_are_those_that_the_rules_count(run: Path) -> None:
    """The suite's broken cases are the lost cases of the comparison, id by id."""
    change = next(c for c in findings_of(run).changes if c.task == SUITE)
    comparisons = load_row(run / "comparisons.json", Comparisons, "compare")
    lost = next(c for c in comparisons.comparisons if (c.task, c.metric) == (SUITE, "passed"))
    assert change.ids["broken"] == lost.lost_cases == ["suite-0"]
    assert change.counts["fixed"] == lost.counts["only_candidate"]
    assert change.net == lost.difference


def test_a_manager_reads_what_got_worse_first(run: Path) -> None:
    """How many, with n and interval; the kind; three examples; whether it is new; who checked."""
    findings = findings_of(run)
    comparisons = load_row(run / "comparisons.json", Comparisons, "compare")
    view = view_errors(findings, comparisons, texts=load_texts(run, findings.top))
    first = view.lines[0]
    assert first.startswith(f"{GOLDEN} (task F1, n = 40): the candidate broke 20 cases that production gets right (50.0%, 95 % CI 35.2% to 64.8%) and fixed 0")  # fmt: skip
    assert "The broken ones are: missed defect 20." in first
    assert any(line.startswith("Failures that became more frequent on golden: missed defect +50.0 pt") for line in view.lines)  # fmt: skip
    assert any("is not known: there is no earlier green build" in line for line in view.lines)
    assert view.lines[-1].startswith("Nobody has checked the 20 worst regressions yet")
    assert len(view.shown) == 3
    withheld = [case for case in view.shown if case.title.startswith("Case safety-0")]
    assert [case.answers for case in withheld] == [[]]


class _Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.handlers: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def everywhere(findings: Findings, text: str) -> Findings:
    """The findings with one text in every free place."""
    found = findings.model_copy(deep=True)
    found.absent, found.taxonomy = [text], text
    found.sorting = FailureSorting(skipped=text)
    for finding in found.findings:
        finding.task = finding.category = text
    for change in found.changes:
        change.task = change.metric = text
        change.broken_as = {text: 1}
        change.ids = {"broken": [text]}
        for category in change.categories:
            category.category = text
    for table in found.buckets:
        table.task = table.metric = table.by = text
        for row in table.rows:
            row.bucket, row.members = text, [text]
    for matrix in found.confusion:
        matrix.task = text
        matrix.expected, matrix.answered = [text] * len(matrix.expected), [text] * len(matrix.answered)  # fmt: skip
    for failure in found.top:
        failure.task = failure.metric = failure.case_id = failure.category = failure.severity = text
    return found


def test_nothing_in_the_section_is_markup(run: Path) -> None:
    """The same elements, whatever ids, categories, buckets, notes and answers are called."""
    pages = []
    for text in ("harmless", HOSTILE):
        findings = everywhere(findings_of(run), text)
        failure = findings.top[0]
        review = CaseReview(
            task=text, metric=text, reference="production", case_id=text, doc_hash=failure.doc_hash, pair_hash="p",
            reviewer=text[:60], verdict="label_wrong", shown_first="candidate", note=text, at=text,
        )  # fmt: skip
        texts = load_texts(run, findings_of(run).top)
        source = material(run, findings, texts=texts, reviews=[review], newness=text)
        pages.append(_Tags(render_html(source)))
        markdown = render_markdown(source)
        assert "<script>window" not in re.sub(
            r"(?ms)^(`{3,})text$.*?^\1$|`+[^`\n]*`+", "", markdown
        )
    assert pages[0].tags == pages[1].tags
    assert pages[1].handlers == []


def test_without_anything_to_analyse_nothing_empty_is_drawn(run: Path) -> None:
    """Sentences say what is absent; there is no table without rows and no drawing without cells."""
    findings = Findings(findings=[], absent=["What changed: only one model was asked; there is nothing to compare."])  # fmt: skip
    page = render_html(material(run, findings))
    section = page[page.index('id="errors"') : page.index("(h) Evidence")]
    assert "only one model was asked" in section
    assert "No failures were found" in section
    assert "<table" not in section.split("safety")[0]
    assert "<svg" not in section
    assert draw_confusions(findings) == []


def test_no_golden_set_has_no_matrix_and_says_so(tmp_path: Path) -> None:
    """A run of a suite and of harmful requests only."""
    folder = write_compared_run(tmp_path / "run", golden=0)
    findings = findings_of(folder)
    view = view_errors(findings, load_row(folder / "comparisons.json", Comparisons, "compare"))
    assert view.heat_maps == []
    assert any(note.startswith("There is no confusion matrix") for note in view.notes)
    assert any(note.startswith("No buckets of suite. Input length: 6 cases are too few") for note in view.notes)  # fmt: skip


def test_a_folder_without_samples_still_has_its_report(tmp_path: Path, run: Path) -> None:
    """Where only the small files were kept, examples are absent, and the report says why."""
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    for role in ("candidate", "production"):
        shutil.rmtree(folder / role)
    markdown, _ = report_run(folder)
    text = markdown.read_text(encoding="utf-8")
    assert "the models' samples are not in the run folder" in text
    assert "Three of the worst regressions" not in text


def test_what_is_new_is_said_against_the_last_green_build(tmp_path: Path, run: Path) -> None:
    """Nothing without earlier runs; with a green one, the cases that were right there are new."""
    alone = tmp_path / "alone" / "run"
    shutil.copytree(run, alone)
    assert say_what_is_new(alone) is None
    green = tmp_path / "alone" / "earlier"
    shutil.copytree(run, green)
    manifest = load_manifest(green).model_copy(
        update={"run_id": "earlier", "created_at": "2025-12-01T00:00:00+00:00"}
    )
    (green / "run.json").write_text(manifest.model_dump_json())
    decision = load_row(green / "decision.json", Decision, "decide")
    (green / "decision.json").write_text(decision.model_copy(update={"verdict": "GO", "exit_code": 0}).model_dump_json())  # fmt: skip
    told = say_what_is_new(alone)
    assert told is not None
    assert told.startswith("Nothing here is new")
    assert "earlier" in told


def test_the_section_is_made_in_time(run: Path) -> None:
    """The whole report of a run with forty failures, its texts read and its notebook written."""
    began = time.perf_counter()
    markdown, page = report_run(run)
    assert time.perf_counter() - began < 6  # 0.2 s on a quiet machine
    assert "Three of the worst regressions" in markdown.read_text(encoding="utf-8")
    assert page.stat().st_size < 2_000_000
