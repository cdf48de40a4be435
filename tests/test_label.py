"""Labelling by experts: who is asked what, what is saved, the page's walls, and agreement."""

from __future__ import annotations

import http.client
import json
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from command import ftgate

from ftgate_ext.evalset.agreement import agreement_text, measure_agreement
from ftgate_ext.evalset.label import (
    Label,
    Labelling,
    code_hash,
    opaque_key,
    read_answer,
    read_labels,
)
from ftgate_ext.evalset.label_page import MAX_BODY_BYTES, LabelServer
from ftgate_ext.evalset.label_terminal import label_in_terminal, shown
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLEAN = {"verdict": "clean", "comment": None}
DEFECT = {
    "verdict": "defect",
    "category": "logic",
    "severity": "low",
    "lines": [1, 2],
    "comment": "c",
}


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    rows = [
        {
            "id": f"secret-defect-{i}", "language": "python", "form": "function", "purpose": "Adds <b>",
            "code": f"a = {i}\nb = '<script>\x1b[2J'", "verdict": "defect", "category": "data_loss",
            "comment": "stored comment",
        }
        for i in range(10)
    ]  # fmt: skip
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def answers(*lines: str) -> Any:
    left = iter(lines)

    def ask(_: str) -> str:
        try:
            return next(left)
        except StopIteration:
            raise EOFError from None

    return ask


# --- who is asked what


def test_labelling_goes_on_where_it_stopped(cases: Path) -> None:
    """Labels lie beside the set, and what was labelled is not asked again."""
    first = Labelling(cases, "ann", overlap=0)
    for case in first.remaining()[:4]:
        first.save(case, CLEAN)
    again = Labelling(cases, "ann", overlap=0)
    assert len(again.remaining()) == 6
    assert again.labels_file == cases.with_name("own.labels.jsonl")
    assert len(Labelling(cases, "bob", overlap=0).remaining()) == 6


def test_the_overlap_is_labelled_by_two_and_comes_first(cases: Path) -> None:
    """A case that waits for its second label comes before one that has none; a third is not asked."""
    ann, bob, eve = (Labelling(cases, name, overlap=1) for name in ("ann", "bob", "eve"))
    wanted = ann.remaining()[:3]
    for case in wanted:
        ann.save(case, CLEAN)
    assert {case["id"] for case in bob.remaining()[:3]} == {case["id"] for case in wanted}
    for case in wanted:
        bob.save(case, CLEAN)
    assert len(eve.remaining()) == 7


def test_a_case_whose_code_changed_is_asked_again(cases: Path) -> None:
    """The label was about other code."""
    ann = Labelling(cases, "ann", overlap=0)
    for case in ann.remaining():
        ann.save(case, CLEAN)
    cases.write_text(cases.read_text().replace("a = 3", "a = 33"), encoding="utf-8")
    assert [c["id"] for c in Labelling(cases, "ann").remaining()] == ["secret-defect-3"]


def test_a_line_that_was_cut_off_does_not_swallow_the_next(cases: Path) -> None:
    """It is named as a bad line; the new label stands in its own."""
    ann = Labelling(cases, "ann")
    ann.labels_file.write_text('{"case": "x', encoding="utf-8")
    ann.save({"id": "y", "code": "z"}, CLEAN)
    assert ann.labels_file.read_text(encoding="utf-8").count("\n") == 2
    with pytest.raises(EvalSetError, match=r"own.labels.jsonl:1: not valid JSON"):
        read_labels([ann.labels_file])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"verdict": "maybe"}, "verdict"), ({"category": ""}, "category"), ({"severity": "huge"}, "severity"),
        ({"lines": "2-1"}, "lines"), ({"lines": "3"}, "from 1 to 2"), ({"lines": "x"}, "lines"),
        ({"comment": "x" * 5000}, "comment"),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_says_why(changes: dict[str, str], told: str) -> None:
    """One line: what was found and expected."""
    whole = {"verdict": "defect", "category": "logic", "severity": "low", "lines": "1-2"}
    with pytest.raises(ValueError, match=told):
        read_answer(whole | changes, "a\nb")


# --- the terminal


def test_the_terminal_asks_saves_and_quits(cases: Path) -> None:
    """Letters and numbers choose; a wrong answer is asked again; q ends and keeps what there is."""
    ann = Labelling(cases, "ann")
    told: list[str] = []
    typed = answers("x", "d", "1", "high", "7", "c", "d", "1", "3", "1-2", "why", "c", "", "s", "q")
    assert label_in_terminal(ann, typed, told.append) == 2
    first, second = read_labels([ann.labels_file])
    assert (first.verdict, first.category, first.severity, first.lines, first.comment) == (
        "defect", "logic", "high", [1, 2], "why",
    )  # fmt: skip
    assert (second.verdict, second.comment) == ("clean", None)
    assert any("from 1 to 2" in line for line in told)


def test_what_is_shown_tells_neither_label_nor_id_and_moves_no_cursor(cases: Path) -> None:
    """Control characters of a case never reach the terminal."""
    text = shown(Labelling(cases, "ann").remaining()[0], 1)
    assert "\x1b" not in text
    assert not any(word in text for word in ("secret", "data_loss", "stored comment"))


def test_the_end_of_input_ends_the_labelling(cases: Path) -> None:
    """The command ends with 0 and says where the labels are."""
    done = ftgate("evalset", "label", str(cases), "--labeller", "ann")
    assert (done.returncode, done.stderr) == (0, "")
    assert "0 labelled now, 10 left" in done.stdout


@pytest.mark.parametrize("name", ["", " ", "x" * 61, "a\nb"])
def test_a_labeller_has_a_name(cases: Path, name: str) -> None:
    """One printable line of 1 to 60 characters."""
    with pytest.raises(EvalSetError, match="--labeller"):
        Labelling(cases, name)


# --- the page


@pytest.fixture
def server(cases: Path) -> Iterator[LabelServer]:
    with LabelServer(Labelling(cases, "ann", overlap=0)) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def ask(
    server: LabelServer,
    method: str = "GET",
    path: str | None = None,
    body: str | None = None,
    **headers: str,
) -> tuple[int, str, Any]:
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=5)  # type: ignore[misc]
    try:
        connection.request(method, path or f"/{server.token}/", body, headers)
        response = connection.getresponse()
        return response.status, response.read().decode(), response.headers
    finally:
        connection.close()


def test_the_page_shows_a_case_escaped_and_blind(server: LabelServer) -> None:
    """Nothing of a case is markup, and neither its id nor its label is in the page."""
    status, page, headers = ask(server)
    assert status == 200
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "Adds &lt;b&gt;" in page
    assert not any(word in page for word in ("secret", "stored comment"))
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert (headers["Referrer-Policy"], headers["Cache-Control"]) == ("no-referrer", "no-store")


def test_an_answer_is_saved_and_the_next_case_asked(server: LabelServer) -> None:
    """A wrong one comes back with its reason and what was typed."""
    case = server.labelling.remaining()[0]
    told = {
        "key": opaque_key(case["id"]),
        "verdict": "defect",
        "category": "logic",
        "severity": "low",
        "lines": "9",
        "comment": "<i>",
    }
    status, page, _ = ask(server, "POST", body=urlencode(told))
    assert status == 422
    assert "expected 3 or 3-5" in page
    assert "&lt;i&gt;</textarea>" in page
    status, _, headers = ask(server, "POST", body=urlencode(told | {"lines": "2"}))
    assert (status, headers["Location"]) == (303, f"/{server.token}/")
    assert [label.case for label in read_labels([server.labelling.labels_file])] == [case["id"]]
    assert "9 left" in ask(server)[1]


def test_a_skipped_case_is_not_asked_again_today(server: LabelServer) -> None:
    """Until nothing is left but what was skipped."""
    for case in server.labelling.remaining():
        body = urlencode({"key": opaque_key(case["id"]), "verdict": "skip"})
        assert ask(server, "POST", body=body)[0] == 303
    assert "10 skipped" in ask(server)[1]


def test_only_who_knows_the_token_is_answered(server: LabelServer) -> None:
    """Another path, another host name and another origin find nothing; the socket is local."""
    assert server.server_address[0] == "127.0.0.1"
    assert len(server.token) >= 32
    for path in ("/", "/wrong/", f"/{server.token}", f"/{server.token}/x"):
        assert ask(server, path=path)[:2] == (404, "")
    assert ask(server, Host="evil.example")[0] == 404
    assert ask(server, "POST", body="verdict=clean", Origin="http://evil.example")[0] == 404
    assert ask(server, "POST", body="x" * (MAX_BODY_BYTES + 1))[0] == 413
    assert not server.labelling.labels_file.exists()


def test_a_port_that_is_taken_is_one_line(server: LabelServer, cases: Path) -> None:
    """And says what to do."""
    with pytest.raises(EvalSetError, match="expected a free port"):
        LabelServer(Labelling(cases, "bob"), server.server_address[1])


# --- agreement


def label(case: str, who: str, verdict: str, category: str | None = None, **fields: Any) -> Label:
    severity = "low" if verdict == "defect" else None
    return Label.model_validate({
        "case": case, "code_sha256": code_hash(case), "labeller": who, "verdict": verdict,
        "category": category, "severity": severity, "at": "2025-01-01T00:00:00Z",
    } | fields)  # fmt: skip


def test_kappa_is_that_of_the_textbook() -> None:
    """Cohen's example with 20, 5, 10 and 15 of 50 cases: kappa 0.40, observed agreement 0.70."""
    table = (
        [("defect", "defect")] * 20
        + [("defect", "clean")] * 5
        + [("clean", "defect")] * 10
        + [("clean", "clean")] * 15
    )
    said = []
    for i, verdicts in enumerate(table):
        for who, verdict in zip(("ann", "bob"), verdicts, strict=True):
            said.append(label(f"c{i}", who, verdict, "logic" if verdict == "defect" else None))
    found = measure_agreement(said)
    verdict = found.pairs[0].kappas[0]
    assert verdict.kappa == pytest.approx(0.4)
    assert (verdict.observed, verdict.n, found.twice) == (0.7, 50, 50)
    assert verdict.lower is not None
    assert verdict.upper is not None
    assert verdict.lower < 0.4 < verdict.upper
    assert len(found.disagreements) == 15
    assert "ann and bob, 50 cases" in agreement_text(found)


def test_disagreements_name_what_differs() -> None:
    """Lines that overlap are the same place; a clean case has no category to differ in."""
    said = [
        label("a", "ann", "defect", "logic", lines=[1, 3]), label("a", "bob", "defect", "logic", lines=[3, 5]),
        label("b", "ann", "defect", "logic", lines=[1, 1]), label("b", "bob", "defect", "security", lines=[4, 4]),
        label("c", "ann", "defect", "logic"), label("c", "bob", "clean"), label("d", "ann", "clean"),
    ]  # fmt: skip
    found = measure_agreement(said)
    assert [(d.case, d.about) for d in found.disagreements] == [
        ("b", ["category", "lines"]), ("c", ["verdict"]),
    ]  # fmt: skip
    assert (found.cases, found.twice) == (4, 3)


def test_perfect_agreement_has_no_invented_interval() -> None:
    """One word for all cases gives no kappa, full agreement a kappa without an interval."""
    same = [label(f"c{i}", who, "clean") for i in range(5) for who in ("ann", "bob")]
    verdict, category = measure_agreement(same).pairs[0].kappas
    assert (verdict.kappa, verdict.lower, category.kappa) == (None, None, None)
    assert verdict.why
    both = same + [
        label(f"d{i}", who, "defect", "logic") for i in range(5) for who in ("ann", "bob")
    ]
    verdict = measure_agreement(both).pairs[0].kappas[0]
    assert (verdict.kappa, verdict.lower) == (1.0, None)
    assert "no interval" in agreement_text(measure_agreement(both))


def test_the_last_label_of_a_labeller_counts_and_other_code_is_not_compared(tmp_path: Path) -> None:
    """The file only grows; a label about other code is about another case."""
    said = [
        label("a", "ann", "clean"), label("a", "ann", "defect", "logic"),
        label("a", "bob", "clean", code_sha256="0" * 16),
    ]  # fmt: skip
    file = tmp_path / "l.jsonl"
    file.write_text("".join(x.model_dump_json() + "\n" for x in said), encoding="utf-8")
    found = measure_agreement(read_labels([file]))
    assert (found.labels, found.twice, found.pairs) == (2, 0, [])
    done = ftgate("evalset", "agreement", str(file))
    assert done.returncode == 0
    assert "No two labellers have a case in common" in done.stdout
