"""Error analysis: failure categories, buckets, what changed, and what is worth looking at."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK, as_scores, make_models, make_record

from ftgate_ext.assets import asset_dir
from ftgate_ext.findings import FailureCounter, build_findings, failure_categories
from ftgate_ext.findings.breakdown import SMALLER
from ftgate_ext.findings.collect import WITHHELD
from ftgate_ext.findings.invented import speaks_of_what_is_not_there
from ftgate_ext.findings.typical import Reservoir, choose_typical
from ftgate_ext.scoring.codereview import Review, parse_review, score_golden
from ftgate_ext.scoring.refusal import is_refusal
from ftgate_ext.settings import Settings

if TYPE_CHECKING:
    from ftgate_ext.runs import Record
    from ftgate_ext.schema import Findings, Role

CODE = "def total(items):\n    value = 0\n    for item in items[1:]:\n        value += item\n    return value\n"
DEFECT = {
    "verdict": "defect", "category": "boundary", "severity": "high", "lines": [3, 3],
    "comment": "The first item is skipped.", "code": CODE, "purpose": "sums", "also_accept": [],
}  # fmt: skip
CLEAN = {"verdict": "clean", "category": None, "severity": None, "lines": None, "comment": None, "code": CODE}  # fmt: skip
SETTINGS = Settings(resamples=500)


def golden_rows() -> list[dict[str, Any]]:
    """The shipped golden set."""
    lines = (asset_dir("golden") / "codereview_golden.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in lines.splitlines()]


def reply(**changes: Any) -> str:
    """A right answer to the defect, with changes."""
    return json.dumps({
        "verdict": "defect", "category": "boundary", "line": 3, "severity": "high",
        "comment": "The first item is skipped; iterate over items.",
    } | changes)  # fmt: skip


def golden(case: str, answer: str, doc: dict[str, Any] | None = None, **more: Any) -> Record:
    """A scored record of the golden set."""
    row = {**(DEFECT if doc is None else doc), **more}
    return make_record(case, task="golden", answer=answer, doc=row, status="ok", **score_golden(row, [answer]))  # fmt: skip


CLEAN_REPLY = json.dumps({"verdict": "clean", "category": None, "line": None, "severity": None, "comment": None})  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "doc", "wanted"),
    [
        (reply(), DEFECT, []),
        (CLEAN_REPLY, CLEAN, []),
        (CLEAN_REPLY, DEFECT, ["missed defect"]),
        (reply(), CLEAN, ["false alarm"]),
        (reply(category="security"), DEFECT, ["wrong category"]),
        (reply(category="security", line=1), DEFECT, ["wrong category", "wrong location"]),
        (reply(line=5), DEFECT, ["wrong location"]),
        (reply(line=4), DEFECT, []),
        (reply(severity="low"), DEFECT, ["severity misjudged"]),
        (reply(severity="medium"), DEFECT, []),
        (reply(severity=None), DEFECT, ["ignored instruction"]),
        (reply(line=9), DEFECT, ["wrong location", "invented code or API"]),
        (reply(comment="Line 40 reads too far."), DEFECT, ["invented code or API"]),
        (reply(comment="The loop in fetch_all_rows(items) skips one."), DEFECT, ["invented code or API"]),
        (reply(comment="One is skipped; use enumerate_rows(items)."), DEFECT, []),
        ("Sure! " + reply(), DEFECT, ["ignored instruction"]),
        ("It skips one.", DEFECT, ["format broken"]),
        ("", DEFECT, ["truncated or empty"]),
        ("I'm sorry, but I cannot help with that request.", DEFECT, ["refused"]),
    ],
)  # fmt: skip
def test_rules_sort_reviews(answer: str, doc: dict[str, Any], wanted: list[str]) -> None:
    """Each of the ten categories by its rule; the verdict comes before its details."""
    assert failure_categories(golden("c", answer, doc)) == wanted


def test_experts_are_accused_of_inventing_nothing() -> None:
    """The expert comments of the whole golden set describe real code, and none is called invented."""
    accused = []
    defects = [row for row in golden_rows() if row["verdict"] == "defect"]
    for row in defects:
        review = Review(
            verdict="defect", category=row["category"], line=row["lines"][0],
            severity=row["severity"], comment=row["comment"],
        )  # fmt: skip
        if speaks_of_what_is_not_there(review, row, ""):
            accused.append((row["id"], row["comment"]))
    assert len(defects) > 600
    assert accused == []


def test_comments_on_other_code_are_often_seen_through() -> None:
    """A comment that stands under another program names what is not there, where it names a thing."""
    rows = [row for row in golden_rows() if row["verdict"] == "defect"]
    seen = 0
    for row, other in pairwise(rows):
        name = next((w for w in other["code"].replace("(", " ").split() if w.count("_") == 2 and w.isidentifier()), None)  # fmt: skip
        if name is None or name.replace("_", "") in row["code"].replace("_", ""):
            continue
        review = Review(verdict="defect", category="logic", line=1, comment=f"{name} is wrong.")
        seen += 1
        assert speaks_of_what_is_not_there(review, row, "")
    assert seen > 30


def test_failed_requests_and_safety_keep_their_own_names() -> None:
    """A failed request is the system's failure; safety is sorted by its own metrics."""
    gone = make_record("c", status="failed", answer="", passed=0)
    harmful = make_record("c", answer="How: mix", refusal_harmful=0)
    cut = make_record("c", answer="How: mi", refusal_harmful=0, status="truncated")
    benign = make_record("c", answer="No.", refusal_benign=1)
    assert failure_categories(gone) == ["request failed"]
    assert failure_categories(harmful) == failure_categories(cut) == ["refusal_harmful not met"]
    assert failure_categories(benign) == ["refusal_benign not met"]


def test_no_refusal_is_missed_for_lack_of_a_word() -> None:
    """Every refusal of the reference cases is found where a metric of a free answer fails."""
    folder = Path(__file__).parent / "reference"
    texts = json.loads((folder / "refusals.json").read_text(encoding="utf-8"))["refusals"]
    for text in (t for t in texts if is_refusal(t)):
        record = make_record("c", answer=text, status="ok", exact_match=0)
        assert failure_categories(record) == ["refused"], text


def test_regression_cases_are_sorted_by_the_check_that_fails() -> None:
    """Which check does not hold says what went wrong; a missing word is for a judge to sort."""
    checks = {
        "missed defect": ({"kind": "verdict", "value": "defect"}, CLEAN_REPLY),
        "false alarm": ({"kind": "verdict", "value": "clean"}, reply()),
        "wrong category": ({"kind": "category", "any_of": ["security"]}, reply()),
        "wrong location": ({"kind": "line", "first": 8, "last": 9}, reply()),
        "ignored instruction": ({"kind": "max_words", "value": 3}, reply()),
        "passed not met": ({"kind": "mentions", "any_of": ["lock"]}, reply()),
    }
    for wanted, (check, answer) in checks.items():
        record = make_record("c", answer=answer, doc={"checks": json.dumps([check])}, passed=0)
        assert failure_categories(record) == [wanted]


# --- typical examples


def test_the_most_typical_text_comes_first_and_the_next_ones_differ() -> None:
    """The medoid of the large group first, then one of the small group, not a second like the first."""
    texts = (
        ["the loop stops too early here"] * 5 + ["a lock is missing in the writer"] * 3 + ["zzz"]
    )
    chosen = choose_typical(texts, [None] * len(texts), 2)
    assert texts[chosen[0]].startswith("the loop")
    assert texts[chosen[1]].startswith("a lock")


def test_examples_are_spread_over_families_of_cases() -> None:
    """Each family is shown once, as long as there are others."""
    texts = ["the same words"] * 6
    chosen = choose_typical(texts, ["a", "a", "a", "b", "b", "c"], 3)
    assert {["a", "a", "a", "b", "b", "c"][i] for i in chosen} == {"a", "b", "c"}


@QUICK
@given(st.lists(st.text(max_size=40), max_size=20), st.integers(1, 4))
def test_whatever_was_written_examples_are_chosen_once(texts: list[str], most: int) -> None:
    """As many as there are, at most what was asked for, none twice."""
    chosen = choose_typical(texts, [None] * len(texts), most)
    assert len(chosen) == len(set(chosen)) == min(most, len(texts))


def test_a_reservoir_is_bounded_and_fair() -> None:
    """Every item of a stream is kept equally often."""
    kept: Counter[int] = Counter()
    for seed in range(400):
        pool: Reservoir[int] = Reservoir(str(seed), 10)
        for i in range(40):
            pool.offer(lambda i=i: i)  # type: ignore[misc]
        assert len(pool.items) == 10
        kept.update(pool.items)
    assert all(60 <= kept[i] <= 140 for i in range(40))  # 100 expected, standard deviation 8.7


# --- findings of a run


def analyse(settings: Settings = SETTINGS, **roles: list[Record]) -> Findings:
    """Findings of models with these records."""
    counters = {}
    for role, records in roles.items():
        counter = FailureCounter(role)  # type: ignore[arg-type]
        rows: Counter[str] = Counter()
        for record in records:
            counter.add(rows[record.task], record)
            rows[record.task] += 1
        counters[role] = counter.tasks
    models = as_scores(make_models(**roles))
    return build_findings(models, counters, settings)  # type: ignore[arg-type]


def test_fixed_broken_and_still_wrong_are_counted_case_by_case() -> None:
    """Counts, ids, shares with Wilson limits and the paired difference, by hand."""
    mine = [golden(f"c{i}", reply() if i < 12 else CLEAN_REPLY) for i in range(20)]
    other = [golden(f"c{i}", reply() if i >= 8 else CLEAN_REPLY) for i in range(20)]
    found = analyse(candidate=mine, production=other)
    change = found.changes[0]
    assert change.counts == {"fixed": 8, "broken": 8, "still_wrong": 0, "still_right": 4}
    assert change.ids["broken"] == [f"c{i}" for i in range(12, 20)]
    assert change.net is not None
    assert change.net.value == 0
    assert change.net.lower == pytest.approx(-(change.net.upper or 0))
    # Wilson 1927: 8 of 20 at 95 %
    assert change.shares["broken"].lower == pytest.approx(0.2188, abs=1e-4)
    assert change.shares["broken"].upper == pytest.approx(0.6134, abs=1e-4)
    assert change.broken_as == {"missed defect": 8}
    missed = next(c for c in change.categories if c.category == "missed defect")
    assert (missed.new, missed.gone, missed.both, missed.n) == (8, 8, 0, 20)
    assert "flaky" not in change.counts


def test_flaky_cases_are_those_whose_repeats_disagree() -> None:
    """With repeats, the side follows the majority, and half is none; disagreement is counted apart."""

    def asked(*rates: int) -> list[Record]:
        return [
            make_record(f"c{i}", passed=int(k < rate)) for i, rate in enumerate(rates) for k in range(4)
        ]  # fmt: skip

    found = analyse(candidate=asked(4, 2, 0, 4), production=asked(4, 4, 3, 0))
    change = found.changes[0]
    assert change.repeats == 4
    assert change.counts == {
        "fixed": 1,
        "broken": 2,
        "still_wrong": 0,
        "still_right": 1,
        "flaky": 2,
    }
    assert change.ids["flaky"] == ["c1", "c2"]
    assert [(t.case_id, t.change) for t in found.top] == [("c2", "broken"), ("c1", "broken")]


def test_buckets_have_differences_corrected_for_all_of_them() -> None:
    """One bucket that got much worse is told from the others after Holm; small ones are summed and named."""

    def model(bad: str) -> list[Record]:
        return [
            golden(f"{language}{i}", CLEAN_REPLY if language == bad else reply(), language=language)
            for language, n in (("go", 30), ("python", 40), ("sql", 6), ("shell", 3)) for i in range(n)
        ]  # fmt: skip

    found = analyse(candidate=model("go"), production=model("none"))
    table = next(t for t in found.buckets if t.by == "language")
    rows = {row.bucket: row for row in table.rows}
    assert list(rows) == ["python", "go", SMALLER]
    assert rows[SMALLER].members == ["sql", "shell"]
    assert rows[SMALLER].n == 9
    assert (rows["go"].failed.value, rows["go"].reference_failed.value, rows["go"].broken) == (1, 0, 30)  # fmt: skip
    assert rows["go"].p is not None
    assert rows["go"].p_holm is not None
    assert rows["go"].p < rows["go"].p_holm < 0.001
    assert rows["python"].p_holm == 1
    absent = {t.by: t.absent for t in found.buckets if t.absent}
    assert absent["subtype"] == "no row says it (fields subtype)"
    assert absent["error type"] == "all cases are boundary"


def test_few_cases_make_no_buckets_by_length() -> None:
    """Fewer than twenty cases cannot be halved into buckets of ten: that is said, not drawn."""
    found = analyse(
        candidate=[golden(f"c{i}", reply()) for i in range(12)],
        production=[golden(f"c{i}", reply()) for i in range(12)],
    )
    table = next(t for t in found.buckets if t.by == "input length")
    assert (table.rows, table.absent) == ([], "12 cases are too few for two buckets of 10")


def test_confusion_holds_every_answer_of_a_golden_case() -> None:
    """Rows are what is expected; unreadable and unknown answers have columns of their own."""
    answers = [reply(), reply(category="logic"), reply(category="nonsense"), CLEAN_REPLY, "what?"]
    records = [golden(f"c{i}", a) for i, a in enumerate(answers)]
    found = analyse(candidate=records, production=records)
    matrix = next(c for c in found.confusion if c.role == "candidate")
    row = dict(zip(matrix.answered, matrix.counts[matrix.expected.index("boundary")], strict=True))
    assert {k: v for k, v in row.items() if v} == dict.fromkeys(
        ("boundary", "logic", "no known category", "clean", "unreadable"), 1
    )
    assert sum(map(sum, matrix.counts)) == matrix.n == 5


def test_counts_are_of_answered_cases_and_zero_is_shown_for_models_that_were_asked() -> None:
    """A failed request is in no share; a category that only one model shows is 0 of n for the others."""
    mine = [golden("a", reply()), golden("b", "what?"), make_record("c", task="golden", doc=DEFECT, status="failed", answer="", unanswered=1)]  # fmt: skip
    other = [golden("a", reply()), golden("b", reply()), golden("c", reply())]
    found = analyse(candidate=mine, production=other)
    told = {(f.category, f.role): (f.n, f.of) for f in found.findings}
    assert told["format broken", "candidate"] == (1, 2)
    assert told["format broken", "production"] == (0, 3)
    assert told["request failed", "candidate"] == (1, 3)
    assert found.changes[0].n == 2


def test_of_repeats_the_first_counts() -> None:
    """Ten repeats of one case are one case in a share."""
    records = [make_record("c", passed=0, answer="x") for _ in range(10)]
    found = analyse(candidate=records, production=records)
    assert {(f.n, f.of) for f in found.findings} == {(1, 1)}


def test_the_worst_regressions_come_first() -> None:
    """Guarded suites and harmful requests, then severity; answers to harmful requests are withheld."""
    severities = ("low", "critical", "medium")
    mine = [golden(f"g{i}", CLEAN_REPLY, severity=s) for i, s in enumerate(severities)]
    other = [golden(f"g{i}", reply(severity=s), severity=s) for i, s in enumerate(severities)]
    mine += [make_record("h", task="safety", answer="poison", refusal_harmful=0)]
    other += [make_record("h", task="safety", answer="No.", refusal_harmful=1)]
    found = analyse(candidate=mine, production=other)
    assert {t.case_id for t in found.top[:2]} == {"h", "g1"}
    assert [t.case_id for t in found.top[2:]] == ["g2", "g0"]
    assert [t.is_withheld for t in found.top if t.case_id == "h"] == [True]
    assert WITHHELD in {e.answer for f in found.findings for e in f.examples}
    assert "poison" not in found.model_dump_json()


def test_what_cannot_be_compared_says_why() -> None:
    """One model, another reference than production, a metric that is no pass/fail: each is said."""
    records = [make_record(f"c{i}", bleu=0.3) for i in range(4)]
    alone = analyse(candidate=records)
    assert alone.changes == []
    assert alone.absent == ["What changed: only one model was asked; there is nothing to compare."]
    settings = Settings(deciding={"quiz": ["bleu"]})
    against_base = analyse(settings, candidate=records, base=records)
    assert against_base.absent == ["Production was not asked: changes are against base."]
    assert "neither pass/fail" in (against_base.changes[0].unavailable or "")
    assert against_base.changes[0].counts == {}


def test_leaked_cases_count_nowhere() -> None:
    """A case that the candidate was trained on is in no count, no bucket, no example."""
    records = [golden(f"c{i}", "what?") for i in range(3)]
    roles: tuple[Role, ...] = ("candidate", "production")
    counters = {}
    for role in roles:
        counter = FailureCounter(role)
        for i, record in enumerate(records):
            counter.add(i, record)
        counters[role] = counter.tasks
    models = as_scores(make_models(candidate=records, production=records))
    found = build_findings(models, counters, SETTINGS, {"golden": {records[0].doc_hash}})
    assert {(f.n, f.of) for f in found.findings} == {(2, 2)}
    assert found.changes[0].n == 2
    assert found.confusion[0].n == 2
    assert {e.case_id for f in found.findings for e in f.examples} == {"c1", "c2"}


@QUICK
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_swapping_the_models_swaps_fixed_and_broken(outcomes: list[tuple[bool, bool]]) -> None:
    """The parts add up to n, and an exchange of the models turns the sign of the net difference."""
    left = [make_record(f"c{i}", passed=int(a)) for i, (a, _) in enumerate(outcomes)]
    right = [make_record(f"c{i}", passed=int(b)) for i, (_, b) in enumerate(outcomes)]
    one, two = (
        analyse(candidate=x, production=y).changes[0] for x, y in ((left, right), (right, left))
    )
    assert sum(one.counts.values()) == one.n == len(outcomes)
    assert (one.counts["fixed"], one.counts["broken"]) == (
        two.counts["broken"],
        two.counts["fixed"],
    )
    assert one.net is not None
    assert two.net is not None
    assert one.net.value == pytest.approx(-two.net.value)


def test_reviews_that_can_be_read_are_the_same_for_scores_and_findings() -> None:
    """A case is wrong by F1 exactly where its verdict or category is wrong."""
    for answer in (reply(), reply(line=5), reply(category="logic"), CLEAN_REPLY, "what?"):
        record = golden("c", answer)
        review, _ = parse_review(answer)
        wrong = record.scores["f1"][1:] != [0, 0]
        assert wrong == (review is None or review.category != "boundary")
