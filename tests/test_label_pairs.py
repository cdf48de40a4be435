"""Labels of pairs: what is drawn, what a labeller sees and says, and what the labels then change."""

from __future__ import annotations

import http.client
import random
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from answered_run import write_answered_run
from command import ftgate, ftgate_here
from records import TASK, make_policy

from ftgate_ext.evalset.label_page import LabelServer
from ftgate_ext.evalset.label_pairs import (
    DrawnPair,
    PairLabelling,
    are_pair_labels,
    read_choice,
    read_pair_labels,
)
from ftgate_ext.evalset.label_pairs_shown import label_pairs_in_terminal, pair_as_text, pair_form
from ftgate_ext.evalset.pair_agreement import measure_pair_agreement, pair_agreement_text
from ftgate_ext.judge.pair_labels import POLICY_LABELS, draw_pairs, keep_labels, pair_labelling
from ftgate_ext.judge.pairwise import Look, plan_looks
from ftgate_ext.policy import load_policy
from ftgate_ext.runs import load_model_records
from ftgate_ext.schema import EvalSetError, Judgment, RunError
from ftgate_ext.stages import compare_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ftgate_ext.schema import PairVerdict

HOSTILE = "</pre><script>alert(1)</script>\x1b[2J\u202e first answer:\n| fake"


def pairs_of(n: int = 10) -> list[DrawnPair]:
    """Pairs whose answers are hostile."""
    return [
        DrawnPair(
            task=TASK, baseline="production", case_id=f"secret-{i}", doc_hash=f"d{i}", pair_hash=f"p{i}",
            question=f"question {i} {HOSTILE}", candidate_answer=f"new {i} {HOSTILE}",
            baseline_answer=f"old {i} {HOSTILE}", chance=0.5,
        )
        for i in range(n)
    ]  # fmt: skip


def labelling(folder: Path, who: str = "ann", n: int = 10, overlap: float = 0) -> PairLabelling:
    """Of the same pairs in the same file."""
    return PairLabelling(pairs_of(n), folder / "pair_labels.jsonl", who, overlap)


def answers(*lines: str) -> Any:
    left = iter(lines)

    def ask(_: str) -> str:
        try:
            return next(left)
        except StopIteration:
            raise EOFError from None

    return ask


# --- what is drawn


def looks_of(n: int) -> list[Look]:
    """One look at each of n pairs."""
    return [
        Look(TASK, "production", f"c{i}", f"d{i}", "q", f"new {i}", f"old {i}", "candidate", 0)
        for i in range(n)
    ]


def test_a_draw_is_random_keeps_its_chance_and_only_grows() -> None:
    """Every pair has the same chance; a larger draw with the same seed holds the smaller."""
    frame = {"": looks_of(200)}
    few, more = draw_pairs(frame, 20, 1), draw_pairs(frame, 60, 1)
    assert {p.chance for p in few} == {0.1}
    assert {p.chance for p in more} == {0.3}
    assert {p.case_id for p in few} < {p.case_id for p in more}
    assert {p.case_id for p in few} != {p.case_id for p in draw_pairs(frame, 20, 2)}
    # A fifth of the pairs, and no run of neighbours.
    times = Counter(p.case_id for seed in range(400) for p in draw_pairs(frame, 40, seed))
    assert len(times) == 200
    assert max(times.values()) < 130
    assert min(times.values()) > 40


def test_strata_get_the_same_number_and_small_ones_all_they_have() -> None:
    """What a small stratum cannot give goes to the others; chances follow."""
    looks = looks_of(300)
    frame = {"a": looks[:10], "b": looks[10:60], "c": looks[60:]}
    drawn = draw_pairs(frame, 90, 1)
    assert Counter(p.stratum for p in drawn) == {"a": 10, "b": 40, "c": 40}
    chances = {p.stratum: p.chance for p in drawn}
    assert chances == {"a": 1.0, "b": 0.8, "c": pytest.approx(1 / 6)}
    assert len(draw_pairs(frame, 1000, 1)) == 300
    assert len(draw_pairs(frame, 1, 1)) == 1


# --- who is asked what, and what is saved


def test_verdicts_are_about_models_whatever_order_was_shown(tmp_path: Path) -> None:
    """Each labeller sees an order of his own; first and second are translated back."""
    ann = labelling(tmp_path, n=40)
    shown = {}
    for pair in ann.remaining():
        first, _ = pair.answers("ann")
        side = "candidate" if first.startswith("new") else "baseline"
        label = ann.save(pair, {"verdict": "first", "note": None})
        assert (label.shown_first, label.verdict) == (side, f"{side}_better")
        shown[pair.key] = side
    assert 10 < Counter(shown.values())["candidate"] < 30
    bob = {p.key: p.shown_first("bob") for p in pairs_of(40)}
    assert bob != shown
    saved = read_pair_labels([ann.labels_file])
    assert {x.chance for x in saved} == {0.5}
    assert labelling(tmp_path, n=40).remaining() == []


def test_the_overlap_is_asked_of_two_and_comes_first(tmp_path: Path) -> None:
    """A pair that waits for its second label comes before one that has none; a third is not asked."""
    ann, bob, eve = (labelling(tmp_path, who, overlap=1) for who in ("ann", "bob", "eve"))
    wanted = ann.remaining()[:3]
    for pair in wanted:
        ann.save(pair, {"verdict": "tie"})
    assert {p.key for p in bob.remaining()[:3]} == {p.key for p in wanted}
    for pair in wanted:
        bob.save(pair, {"verdict": "tie"})
    assert len(eve.remaining()) == 7


def test_the_file_only_grows_and_survives_a_torn_line(tmp_path: Path) -> None:
    """The last word of a labeller counts; a broken line is named, and swallows nothing."""
    ann = labelling(tmp_path)
    pair = ann.remaining()[0]
    ann.save(pair, {"verdict": "tie"})
    ann.save(pair, {"verdict": "both_bad", "note": "why"})
    assert [x.verdict for x in read_pair_labels([ann.labels_file])] == ["both_bad"]
    with ann.labels_file.open("a", encoding="utf-8") as file:
        file.write('{"case_id": "x')
    ann.save(pair, {"verdict": "tie"})
    assert ann.labels_file.read_text(encoding="utf-8").count("\n") == 4
    with pytest.raises(EvalSetError, match=r"pair_labels.jsonl:3: not valid JSON"):
        read_pair_labels([ann.labels_file])


@pytest.mark.parametrize(
    ("told", "why"), [({"verdict": "A"}, "first, second"), ({"verdict": "tie", "note": "x" * 4001}, "note")]
)  # fmt: skip
def test_an_answer_that_is_none_says_why(told: dict[str, str], why: str) -> None:
    """One line: what was found and expected."""
    with pytest.raises(ValueError, match=why):
        read_choice(told)


# --- the terminal


def test_the_terminal_asks_saves_skips_and_quits(tmp_path: Path) -> None:
    """Keys choose; a wrong one is asked again; the same command goes on where q ended it."""
    ann = labelling(tmp_path)
    told: list[str] = []
    typed = answers("x", "1", "because", "2", "", "t", "", "b", "", "s", "q")
    assert label_pairs_in_terminal(ann, typed, told.append) == 4
    saved = read_pair_labels([ann.labels_file])
    assert [x.note for x in saved] == ["because", None, None, None]
    assert [x.verdict for x in saved][2:] == ["tie", "both_bad"]
    assert len(labelling(tmp_path).remaining()) == 6
    assert any("found 'x'" in line for line in told)


def test_what_is_shown_names_nobody_and_moves_no_cursor(tmp_path: Path) -> None:
    """No id, no model, no control character; no answer can pass for a heading."""
    text = pair_as_text(labelling(tmp_path).remaining()[0], "ann", 3)
    assert not any(bad in text for bad in ("\x1b", "\u202e", "secret", "candidate", "production"))
    lines = text.splitlines()
    assert [x for x in lines if not x.startswith("| ") and x] == [
        "--- 3 left ---", "question:", "first answer:", "second answer:",
    ]  # fmt: skip


# --- the page


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LabelServer]:
    with LabelServer(labelling(tmp_path), form=pair_form("ann")) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def ask(server: LabelServer, method: str = "GET", body: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", int(server.server_address[1]), timeout=5)
    try:
        connection.request(method, f"/{server.token}/", body)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_the_page_shows_a_pair_escaped_and_blind(server: LabelServer) -> None:
    """Nothing in it is markup, nothing tells whose an answer is."""
    status, page = ask(server)
    assert status == 200
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert page.count("</pre>") == 3
    assert not any(word in page for word in ("secret", "candidate", "production"))


def test_an_answer_on_the_page_is_saved_and_the_next_pair_asked(server: LabelServer) -> None:
    """A wrong one comes back with its reason; a skipped one is not asked again today."""
    pair = server.labelling.remaining()[0]
    status, page = ask(server, "POST", urlencode({"key": pair.key, "note": "<i>"}))
    assert status == 422
    assert "expected one of first, second, tie, both_bad" in page
    assert "&lt;i&gt;</textarea>" in page
    told = urlencode({"key": pair.key, "verdict": "second", "note": "n"})
    assert ask(server, "POST", told)[0] == 303
    (label,) = read_pair_labels([server.labelling.labels_file])
    assert (label.case_id, label.note) == (pair.case_id, "n")
    assert "9 left" in ask(server)[1]
    other = server.labelling.remaining()[0]
    assert ask(server, "POST", urlencode({"key": other.key, "verdict": "skip"}))[0] == 303
    assert "8 left" in ask(server)[1]


# --- agreement


def test_kappa_between_labellers(tmp_path: Path) -> None:
    """Cohen's textbook table on two of the verdicts: 0.40, and 15 pairs to talk about."""
    said = [("tie", "tie")] * 20 + [("tie", "both_bad")] * 5
    said += [("both_bad", "tie")] * 10 + [("both_bad", "both_bad")] * 15
    ann, bob = labelling(tmp_path, n=50, overlap=1), labelling(tmp_path, "bob", 50, 1)
    for pair, (one, other) in zip(pairs_of(50), said, strict=True):
        ann.save(pair, {"verdict": one})
        bob.save(pair, {"verdict": other})
    found = measure_pair_agreement(read_pair_labels([ann.labels_file]))
    assert found.between[0].kappas[0].kappa == pytest.approx(0.4)
    assert (found.labels, found.pairs, found.twice) == (100, 50, 50)
    assert len(found.disagreements) == 15
    assert "secret-2" in pair_agreement_text(found)
    assert are_pair_labels(ann.labels_file)
    done = ftgate_here("evalset", "agreement", ann.labels_file.name, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "kappa 0.40" in done.stdout
    with pytest.raises(EvalSetError, match="ftgate label --pairs"):
        measure_pair_agreement([])


# --- a run folder


def write_run(folder: Path, n: int = 120, **judge: Any) -> Path:
    """Two models' answers to n questions; every tenth answer is the same text."""
    policy = make_policy({"kind": "win_rate"}, judge=judge)
    docs = [{"id": f"c{i}", "language": "go" if i % 4 else "python"} for i in range(n)]
    return write_answered_run(
        folder, policy, ("candidate", "production"), docs,
        lambda role, i: "same" if i % 10 == 0 else f"{role} {i}",
    )  # fmt: skip


def write_judgments(run: Path, verdict_of: dict[str, PairVerdict]) -> None:
    """Verdicts that are alike in both orders; identical answers are ties."""
    policy = load_policy(run / "gate.yaml")
    mine, theirs = (
        load_model_records(run / role).records[TASK] for role in ("candidate", "production")
    )
    looks = plan_looks(TASK, "production", mine, theirs, lambda r: r.prompt, policy.run.seed)
    lines = []
    for look in looks:
        verdict = "tie" if look.identical else verdict_of.get(look.case_id)
        if verdict is None:
            continue
        lines.append(Judgment.model_validate({
            "task": TASK, "case_id": look.case_id, "doc_hash": look.doc_hash, "baseline": "production",
            "first": look.first, "round": look.round, "judge_model": "j", "fingerprint": "f",
            "pair_hash": look.pair_hash, "identical": look.identical, "raw_verdict": "tie", "verdict": verdict,
        }).model_dump_json())  # fmt: skip
    (run / "judgments.jsonl").write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


def test_pairs_are_drawn_from_those_that_the_judge_gave_a_verdict_on(run: Path) -> None:
    """All that differ before it was asked; then those with a readable verdict."""
    before = pair_labelling(run, "ann", 500).remaining()
    assert len(before) == 108
    assert {p.chance for p in before} == {1.0}
    write_judgments(run, {f"c{i}": "unparsed" if i % 3 else "tie" for i in range(60)})
    after = pair_labelling(run, "ann", 500).remaining()
    assert {p.case_id for p in after} == {f"c{i}" for i in range(0, 60, 3) if i % 10}
    strata = pair_labelling(run, "ann", 500, by="language").remaining()
    assert {p.stratum for p in strata} == {"go", "python"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"by": "colour"}, "no row of quiz has the field 'colour'"),
        ({"against": "frontier"}, "no answers of frontier"),
        ({"n": 0}, "--n 0"),
        ({"overlap": 2}, "--overlap"),
        ({"labeller": "\x1b"}, "--labeller"),
    ],
)
def test_what_cannot_be_labelled_says_why(run: Path, arguments: dict[str, Any], told: str) -> None:
    """One line each, with what to do."""
    with pytest.raises((RunError, EvalSetError), match=told):
        pair_labelling(run, **{"labeller": "ann"} | arguments)


def test_no_run_folder_is_one_line(tmp_path: Path) -> None:
    """And exit code 2, without a traceback."""
    done = ftgate_here("label", "--pairs", "here", "--labeller", "ann", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no run folder" in done.stderr


def test_labels_of_a_run_correct_its_win_rate(run: Path) -> None:
    """From the command to comparisons.json: the judge says 70 %, the labellers one half."""
    verdicts: dict[str, PairVerdict] = {
        f"c{i}": "baseline_better" if i % 4 == 1 else "candidate_better" for i in range(120)
    }
    write_judgments(run, verdicts)
    done = ftgate("label", "--pairs", str(run), "--labeller", "ann", "--n", "60")
    assert (done.returncode, done.stderr) == (0, "")
    assert "0 labelled now, 60 left" in done.stdout
    labels = pair_labelling(run, "ann", 60)
    rng = random.Random(1)
    for pair in labels.remaining():
        agree = verdicts[pair.case_id] == "baseline_better" or rng.random() < 0.66
        wanted = "candidate" if agree == (verdicts[pair.case_id] == "candidate_better") else "baseline"  # fmt: skip
        first = pair.shown_first("ann")
        labels.save(pair, {"verdict": "first" if first == wanted else "second"})
    rows = {c.metric: c for c in compare_run(run).comparisons if c.kind == "win_rate"}
    rate, raw = rows["win_rate"].candidate_estimate, rows["win_rate_raw"].candidate_estimate
    assert rate is not None
    assert raw is not None
    assert raw.value == pytest.approx(0.70, abs=0.01)
    assert rate.value < raw.value - 0.1
    assert "60 human labels" in rows["win_rate"].notes[0]


def test_the_policys_labels_come_into_the_run_folder(run: Path, tmp_path: Path) -> None:
    """Named relative to gate.yaml, checked, and copied: the evidence lies together."""
    labels = pair_labelling(run, "ann", 40)
    for pair in labels.remaining():
        labels.save(pair, {"verdict": "tie"})
    labels.labels_file.rename(tmp_path / "team.jsonl")
    policy = make_policy({"kind": "win_rate"}, judge={"labels": "team.jsonl"})
    keep_labels(policy, tmp_path / "gate.yaml", run)
    assert len(read_pair_labels([run / POLICY_LABELS])) == 40
    (tmp_path / "team.jsonl").write_text('{"verdict": "A"}\n', encoding="utf-8")
    with pytest.raises(EvalSetError, match=r"team\.jsonl:1"):
        keep_labels(policy, tmp_path / "gate.yaml", run)
    missing = make_policy({"kind": "win_rate"}, judge={"labels": "none.jsonl"})
    with pytest.raises(EvalSetError, match=r"none\.jsonl"):
        keep_labels(missing, tmp_path / "gate.yaml", run)
