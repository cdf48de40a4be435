"""Blind review of the worst regressions: what a reviewer sees, what it means, and where it flows back."""

from __future__ import annotations

import http.client
import json
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
import yaml
from command import ftgate_here
from compared_run import GOLDEN, HOSTILE, PRODUCTION_NAME, SUITE, write_compared_run

from ftgate_ext.evalset.label_page import LabelServer
from ftgate_ext.report.reviews import propose_approvals, propose_labels, sheet_of, who_checked
from ftgate_ext.review import (
    ReviewSheet,
    case_as_text,
    read_review,
    review_form,
    review_in_terminal,
    review_run,
    review_sheet,
    verdict_of,
)
from ftgate_ext.runs import load_row, load_rows
from ftgate_ext.schema import CaseReview, Decision, EvalSetError, Findings, RunError
from ftgate_ext.stages import report_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compared run, which tests copy."""
    return write_compared_run(tmp_path_factory.mktemp("made") / "run")


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A run of one's own: its files are linked, but for those that are written."""
    folder = tmp_path / "run"
    folder.mkdir()
    for path in made.iterdir():
        if path.name != "review.jsonl":
            (folder / path.name).symlink_to(path, target_is_directory=path.is_dir())
    return folder


def answers(*lines: str) -> Any:
    """What a reviewer types, line by line; then the input ends."""
    left = iter(lines)

    def ask(_question: str) -> str:
        try:
            return next(left)
        except StopIteration:
            raise EOFError from None

    return ask


def test_the_twenty_worst_are_asked_about_and_harmful_ones_only_on_demand(run: Path) -> None:
    """22 cases got worse: the guarded one is among the 20, the harmful one is withheld unless wanted."""
    sheet, withheld = review_sheet(run, "ann")
    assert (len(sheet.remaining()), withheld) == (19, 1)
    ids = {case.texts.failure.case_id for case in sheet.remaining()}
    assert "suite-0" in ids
    assert "safety-0" not in ids
    everything, none = review_sheet(run, "ann", harmful=True)
    assert (len(everything.remaining()), none) == (20, 0)


def test_nothing_tells_whose_answer_is_whose(run: Path) -> None:
    """The order is drawn anew for every reviewer and case; no role, name or id is shown."""
    orders = set()
    for who in ("ann", "bob"):
        sheet, _ = review_sheet(run, who)
        for case in sheet.remaining():
            orders.add((who, case.shown_first(who)))
            text = case_as_text(case, who, 3)
            shown = text.replace(case.texts.request, "")
            assert "candidate" not in text
            assert "production" not in text
            assert PRODUCTION_NAME not in text
            assert f"\n{case.texts.failure.case_id}" not in shown
    assert len(orders) == 4


def test_a_terminal_obeys_nothing_of_what_is_shown(run: Path) -> None:
    """Control characters are gone, and every line of a text stands behind a bar."""
    sheet, _ = review_sheet(run, "ann")
    case = next(c for c in sheet.remaining() if c.texts.failure.task == GOLDEN)
    text = case_as_text(case, "ann", 1)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert all(
        line.startswith("| ") or line == "" or line.endswith((":", "---")) for line in text.split("\n")
    )  # fmt: skip


@pytest.mark.parametrize(
    ("choice", "first", "wanted"),
    [
        ("first_wrong", "candidate", "regression_confirmed"),
        ("second_wrong", "candidate", "reversed"),
        ("first_wrong", "reference", "reversed"),
        ("second_wrong", "reference", "regression_confirmed"),
        ("label_wrong", "reference", "label_wrong"),
        ("both_fine", "candidate", "both_fine"),
        ("not_sure", "candidate", "not_sure"),
    ],
)
def test_what_a_choice_means_follows_from_the_order(choice: str, first: Any, wanted: str) -> None:
    """A regression is confirmed where the answer that is called wrong is the candidate's."""
    assert verdict_of(choice, first) == wanted


def test_reviews_are_saved_at_once_and_the_same_command_goes_on(run: Path) -> None:
    """Bad input is asked again, a skipped case comes later, the end of input ends it."""
    said: list[str] = []
    told = review_run(
        run, "ann", harmful=False, port=None, tell=said.append,
        ask=answers("what?", "b", "looks the same", "s", "n", "", "l", "x" * 4001, "l", ""),
    )  # fmt: skip
    rows = load_rows(run / "review.jsonl", CaseReview)
    assert [r.verdict for r in rows] == ["both_fine", "not_sure", "label_wrong"]
    assert rows[0].note == "looks the same"
    assert "3 cases reviewed" in told
    assert "1 cases with harmful requests are left out" in said[0]
    assert any("4001 characters" in line for line in said)
    sheet, _ = review_sheet(run, "ann")
    assert len(sheet.remaining()) == 16
    assert len(review_sheet(run, "bob")[0].remaining()) == 19


def test_a_changed_answer_is_reviewed_again(run: Path, made: Path) -> None:
    """A review belongs to the two answers that were shown."""
    sheet, _ = review_sheet(run, "ann")
    case = sheet.remaining()[0]
    sheet.save(case, {"verdict": "both_fine"})
    assert case not in sheet.remaining()
    other = ReviewSheet([type(case)(case.texts, "another", case.reference)], run / "review.jsonl", "ann")  # fmt: skip
    assert len(other.remaining()) == 1
    assert not (made / "review.jsonl").exists()


def test_reviews_flow_back_as_proposals_only(run: Path) -> None:
    """The report shows them beside the cases, proposes labels and approvals, and changes nothing."""
    sheet, _ = review_sheet(run, "ann")
    suite = next(c for c in sheet.remaining() if c.texts.failure.task == SUITE)
    golden = next(c for c in sheet.remaining() if c.texts.failure.task == GOLDEN)
    sheet.save(suite, {"verdict": "both_fine", "note": '"]: {evil: yes}\n- rule: x'})
    sheet.save(golden, {"verdict": "label_wrong", "note": f"line 9 {HOSTILE}"})
    before = (run / "gate.yaml").read_text(encoding="utf-8")
    reviews = load_rows(run / "review.jsonl", CaseReview)
    decision = load_row(run / "decision.json", Decision, "decide")
    lines = yaml.safe_load(propose_approvals(reviews, decision))
    assert lines == {
        "approvals": [
            {"rule": "no regressions", "cases": ["suite-0"], "by": "ann", "reason": "blind review: both fine", "until": "YYYY-MM-DD"}
        ]
    }  # fmt: skip
    assert propose_labels(reviews)[0].startswith(f"golden, case {golden.texts.failure.case_id}: the label is wrong, says ann")  # fmt: skip
    findings = load_row(run / "findings.json", Findings, "compare")
    assert who_checked(findings, reviews).startswith("2 of the 20 worst regressions were checked blind by ann")  # fmt: skip
    markdown, page = report_run(run)
    for path in (markdown, page):
        text = path.read_text(encoding="utf-8")
        assert "Proposals for the eval set" in text
        assert "both fine, ann" in text
    assert 'rule: "no regressions"' in markdown.read_text(encoding="utf-8")
    assert "<script>window" not in page.read_text(encoding="utf-8")
    assert (run / "gate.yaml").read_text(encoding="utf-8") == before


def test_an_approval_needs_every_reviewer(run: Path) -> None:
    """Where one calls it a regression, nothing is proposed."""
    decision = load_row(run / "decision.json", Decision, "decide")
    for who, choice in (("ann", "both_fine"), ("bob", None)):
        sheet, _ = review_sheet(run, who)
        suite = next(c for c in sheet.remaining() if c.texts.failure.task == SUITE)
        wrong = "first_wrong" if suite.shown_first(who) == "candidate" else "second_wrong"
        sheet.save(suite, {"verdict": choice or wrong})
    reviews = load_rows(run / "review.jsonl", CaseReview)
    assert {r.verdict for r in reviews} == {"both_fine", "regression_confirmed"}
    assert propose_approvals(reviews, decision) == ""


@pytest.fixture
def server(run: Path) -> Iterator[LabelServer]:
    sheet, _ = review_sheet(run, "ann")
    with LabelServer(sheet, 0, review_form("ann")) as made:  # type: ignore[arg-type]
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def ask_page(server: LabelServer, body: dict[str, str] | None = None) -> tuple[int, str]:
    """What the page answers to a reviewer."""
    connection = http.client.HTTPConnection("127.0.0.1", int(server.server_address[1]), timeout=5)
    try:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST" if body else "GET", f"/{server.token}/", urlencode(body or {}), form)  # fmt: skip
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_the_page_is_blind_and_escaped_and_saves(server: LabelServer, run: Path) -> None:
    """No answer makes an element, nothing tells whose it is, and a review is saved at once."""
    status, page = ask_page(server)
    assert status == 200
    assert "<script" not in page
    assert "<img" not in page
    assert "candidate" not in page
    assert "production" not in page
    key = page.split('name="key" value="')[1][:16]
    assert ask_page(server, {"key": key, "verdict": "nonsense"})[0] == 422
    assert ask_page(server, {"key": key, "verdict": "not_sure", "note": "n"})[0] == 303
    assert [r.note for r in load_rows(run / "review.jsonl", CaseReview)] == ["n"]


def test_what_cannot_be_reviewed_says_why(run: Path, tmp_path: Path) -> None:
    """No run, a name that is none, no regression: one line each."""
    with pytest.raises(RunError, match=r"no run folder"):
        review_sheet(tmp_path, "ann")
    with pytest.raises(EvalSetError, match="expected a name"):
        review_sheet(run, " ")
    with pytest.raises(ValueError, match=r"expected one of first_wrong"):
        read_review({"verdict": "first"})
    findings = load_row(run / "findings.json", Findings, "compare")
    (run / "findings.json").unlink()
    (run / "findings.json").write_text(Findings(findings=[], absent=["Only one model was asked."]).model_dump_json())  # fmt: skip
    done = ftgate_here("review", str(run), "--reviewer", "ann", cwd=tmp_path)
    assert done.returncode == 2
    assert "there is no regression to review: Only one model was asked." in done.stderr
    assert len(sheet_of(findings)) == 20


def test_a_torn_line_is_passed_over(run: Path) -> None:
    """A crash in the middle of a line loses that review only."""
    sheet, _ = review_sheet(run, "ann")
    first, second = sheet.remaining()[:2]
    sheet.save(first, {"verdict": "both_fine"})
    with (run / "review.jsonl").open("a") as file:
        file.write('{"task": "gol')
    sheet.save(second, {"verdict": "not_sure"})
    assert len(review_sheet(run, "ann")[0].remaining()) == 17
    assert json.loads((run / "review.jsonl").read_text().splitlines()[-1])["verdict"] == "not_sure"


def test_the_terminal_says_when_nothing_is_left(run: Path) -> None:
    """After the last case, and where all that is left was skipped."""
    sheet, _ = review_sheet(run, "ann")
    said: list[str] = []
    assert review_in_terminal(sheet, answers(*["b", ""] * 18, "s"), said.append) == 18
    assert said[-1] == "Nothing left to review; 18 reviewed now, 1 skipped."
