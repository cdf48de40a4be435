"""Tests of the examination: known pairs, agreement, biases, anchors, and whether the judge may vote."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fake_server import FakeServer, Reply, on_prompt
from judges import always, expert, gullible, prompt_of, read_prompt, verdict_text
from records import make_policy

from ftgate_ext.errors import PolicyError, RunError
from ftgate_ext.inference.client import Endpoint
from ftgate_ext.judge.anchors import check_anchors
from ftgate_ext.judge.examine import Examination, examine
from ftgate_ext.judge.figures import measure_known
from ftgate_ext.judge.known_pairs import (
    KNOWN,
    KnownPairs,
    known_looks,
    load_known_pairs,
    shipped_pairs,
)
from ftgate_ext.judge.pairwise import Judge, judge_looks, judgment_of
from ftgate_ext.judge.qualification import qualify
from ftgate_ext.policy import load_policy
from ftgate_ext.schema import KnownPair, Qualification
from ftgate_ext.stats.agreement import cohens_kappa
from ftgate_ext.stats.clustered_kappa import clustered_kappa
from ftgate_ext.stats.limits import NoLimits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ftgate_ext.policy_judge import JudgeSpec
    from ftgate_ext.schema import JudgeVerdict, Judgment, KnownLabel

JUDGE = Judge(Endpoint("http://localhost:1/v1", "toy"), max_tokens=200, seed=7)
SHIPPED = shipped_pairs()


def spec(**changes: Any) -> JudgeSpec:
    """The judge of a policy."""
    judge = make_policy({"kind": "win_rate"}, judge=changes).judge
    assert judge is not None
    return judge


def pair(number: int, label: KnownLabel = "A_better", **changes: Any) -> KnownPair:
    """One known pair with answers of equal length."""
    fields = {"question": f"q{number}", "answer_a": f"one {number}", "answer_b": f"two {number}"}
    return KnownPair(**{"id": f"p{number}", "label": label, **fields, **changes})


def judged(pairs: list[KnownPair], say: Callable[[KnownPair, str], JudgeVerdict]) -> list[Judgment]:
    """What a judge says about known pairs; `say` gets the pair and whose answer stands first."""
    return [
        judgment_of(JUDGE, look, say(by_id, look.first), None)
        for by_id in pairs
        for look in known_looks([by_id], 7)
    ]


def measure(pairs: list[KnownPair], say: Callable[[KnownPair, str], JudgeVerdict], **more: Any) -> Any:  # fmt: skip
    """The figures of a judge on known pairs."""
    return measure_known(KnownPairs("toy.jsonl", "00", pairs), judged(pairs, say), **more)


def right(known: KnownPair, first: str) -> JudgeVerdict:
    """The label, in the order that is shown."""
    turned = {"A_better": "B_better", "B_better": "A_better"}
    return known.label if first == "candidate" else turned.get(known.label, known.label)  # type: ignore[return-value]


# --- figures


def test_a_perfect_judge_has_kappa_one_with_a_lower_limit() -> None:
    """No error leaves no standard error; the limit is that of 40 groups that all agree."""
    pairs = [pair(i, ("A_better", "B_better")[i % 2]) for i in range(40)]
    found = measure(pairs, right)

    assert found.agreement.value == found.kappa.value == found.consistency.value == 1
    least = 0.05 ** (1 / 40)
    assert found.kappa_lower == pytest.approx((least - 0.5) / 0.5)


def test_agreement_counts_both_orders_as_one_verdict() -> None:
    """Right in one order only is a tie, and a tie is not the label."""
    pairs = [pair(i) for i in range(10)]
    found = measure(pairs, lambda _p, _first: "A_better")

    assert found.agreement.value == 0
    assert (found.agreement_as_given.value, found.agreement_exchanged.value) == (1, 0)
    assert (found.right_in_both.value, found.consistency.value) == (0, 0)
    first = next(b for b in found.biases if b.name == "first_position")
    assert (first.estimate.value, first.estimate.n) == (1, 10)


def test_kappa_of_a_table_is_cohens() -> None:
    """One verdict a pair and no groups: the textbook's kappa and its analytic limits."""
    labels: list[KnownLabel] = ["A_better"] * 25 + ["B_better"] * 25
    said = ["A_better"] * 20 + ["B_better"] * 5 + ["A_better"] * 10 + ["B_better"] * 15
    pairs = [pair(i, label) for i, label in enumerate(labels)]
    by_id = {p.id: verdict for p, verdict in zip(pairs, said, strict=True)}

    def say(known: KnownPair, first: str) -> JudgeVerdict:
        return right(known.model_copy(update={"label": by_id[known.id]}), first)

    found = measure(pairs, say)
    whole = cohens_kappa([[20, 5], [10, 15]])
    assert not isinstance(whole, NoLimits)
    assert found.kappa.value == pytest.approx(0.4)
    assert found.kappa.lower == pytest.approx(whole.limits.lower)


def test_groups_widen_the_limits_of_kappa() -> None:
    """Ten pairs of one question that stand or fall together are one piece of evidence, not ten."""
    rng = random.Random(5)
    labels = [rng.randrange(2) for _ in range(30)]
    wrong = [rng.random() < 0.25 for _ in range(30)]
    one = [label for label in labels for _ in range(10)]
    two = [1 - x if bad else x for x, bad in zip(labels, wrong, strict=True) for _ in range(10)]

    alone = clustered_kappa(one, two, 2, range(300))
    grouped = clustered_kappa(one, two, 2, [i // 10 for i in range(300)])

    assert not isinstance(alone, NoLimits)
    assert not isinstance(grouped, NoLimits)
    assert grouped.limits.value == alone.limits.value
    assert grouped.standard_error == pytest.approx(alone.standard_error * 10**0.5, rel=0.15)


def test_length_and_form_show_at_equal_quality() -> None:
    """A judge that takes the longer of two equal answers, and one that misses short good ones."""
    ties = [
        pair(i, "tie", answer_a="- **short**", answer_b="much longer than that") for i in range(8)
    ]
    clear = [pair(i + 50, "A_better", answer_a="short", answer_b="much longer") for i in range(8)]
    clear += [pair(i + 70, "A_better", answer_a="much longer", answer_b="short") for i in range(8)]

    def longer(known: KnownPair, first: str) -> JudgeVerdict:
        shown = known.model_copy(update={"label": "A_better" if len(known.answer_a) > len(known.answer_b) else "B_better"})  # fmt: skip
        return right(shown, first)

    biases = {b.name: b for b in measure(ties + clear, longer).biases}
    assert biases["longer_at_equal_quality"].estimate.value == 1
    assert biases["longer_at_equal_quality"].p == pytest.approx(2 / 2**8)
    assert biases["formatted"].estimate.value == 0
    assert biases["longer_gains"].estimate.value == 1
    assert biases["first_position"].estimate is None


def test_kindness_to_ones_own_family_is_counted_where_the_label_disagrees() -> None:
    """Preferring one's own where it is better is no bias."""
    kin = {"author_a": "Toy", "author_b": "other"}
    pairs = [pair(i, "A_better", **kin) for i in range(5)]
    pairs += [pair(i + 10, "B_better", **kin) for i in range(6)]
    pairs += [pair(i + 20, "tie", **kin) for i in range(2)]

    found = measure(pairs, lambda p, f: right(p.model_copy(update={"label": "A_better"}), f), family="toy")  # fmt: skip

    own = next(b for b in found.biases if b.name == "own_family")
    assert (own.estimate.value, own.estimate.n) == (1, 8)
    assert next(b for b in measure(pairs, right).biases if b.name == "own_family").estimate is None


def test_pairs_without_a_verdict_are_counted_and_left_out() -> None:
    """An unreadable verdict and a failed request are two things, and neither is an error of judgment."""
    pairs = [pair(i) for i in range(10)]
    looks = judged(pairs, right)
    looks[0] = looks[0].model_copy(update={"verdict": "unparsed", "raw_verdict": "unparsed"})
    looks[5] = looks[5].model_copy(update={"verdict": "failed", "raw_verdict": "failed"})

    found = measure_known(KnownPairs("toy.jsonl", "00", pairs), looks)

    assert (found.n_pairs, found.n_unparsed, found.n_failed) == (10, 1, 1)
    assert (found.agreement.n, found.agreement.value) == (8, 1)  # type: ignore[union-attr]


# --- the whole examination, before a server


def examined(tmp_path: Path, script: Any, n: int = 40, **changes: Any) -> Qualification:
    """The qualification of a judge behind a server."""
    known = SHIPPED.first(n)
    with FakeServer(script) as server:
        judge = Judge(
            Endpoint(server.base_url, "toy", max_attempts=1, stop_after=10_000),
            max_tokens=200,
            seed=7,
        )
        examination = Examination(judge, known, times=1, n_anchors=0)
        answers = examine(examination, tmp_path / "journal.jsonl")
    return qualify([], spec(**changes), answers, known)


def test_a_judge_that_knows_is_fit(tmp_path: Path) -> None:
    """It passes everything, and every call is counted."""
    found = examined(tmp_path, expert(), 120)

    assert found.fit, found.reasons
    assert found.known is not None
    assert (found.known.n_pairs, found.known.n_groups) == (120, 40)
    assert found.known.agreement is not None
    assert found.known.agreement.value == 1
    assert found.known.grade_kappa is not None
    assert found.known.grade_kappa.value > 0.9
    assert found.n_calls == 240 + 22


@pytest.mark.parametrize(
    ("script", "reasons"),
    [
        (always("A_better"), ["Traps", "Agreement", "Position bias", "Consistency"]),
        (always("tie"), ["Agreement"]),
        (gullible(), ["Traps"]),
        ("empty", ["Traps: it gave no readable", "40 of 40"]),
        (Reply("A is better."), ["Traps: it gave no readable", "40 of 40"]),
    ],
    ids=["always first", "always a tie", "gullible", "silent", "prose"],
)
def test_a_bad_judge_is_unfit_for_the_right_reasons(
    tmp_path: Path, script: Any, reasons: list[str]
) -> None:
    """Each reason says what was seen; a judge that is bad in one way is blamed for that alone."""
    found = examined(tmp_path, script)

    assert not found.fit
    assert len(found.reasons) == len(reasons)
    assert all(told.startswith(word) for told, word in zip(found.reasons, reasons, strict=True))


def test_every_kind_of_bad_answer_is_counted_by_itself(tmp_path: Path) -> None:
    """Prose, two verdicts, an unknown one, wrong marks, silence, cuts, refusals and failures."""
    bad = {
        "prose": Reply("well"), "two_verdicts": Reply(verdict_text("tie") * 2), "unknown_verdict": Reply(verdict_text("C")),
        "score_out_of_range": Reply(verdict_text("tie", 9, 9)), "wrong_shape": Reply('{"x": 1}'), "empty": "empty",
        "truncated": "length", "refused": "content filter", "failed": "400",
    }  # fmt: skip
    replies = list(bad.values())
    found = examined(tmp_path, lambda n, _body: replies[n % len(replies)], 27)

    assert set(found.problems) == set(bad)
    assert sum(found.problems.values()) == 54 + 22
    assert found.known is not None
    assert found.known.n_failed > 0
    assert not found.fit


def test_the_error_budget_is_the_policys(tmp_path: Path) -> None:
    """One unreadable pair in forty is within five percent, and outside of one percent."""
    fault = on_prompt(_marker(SHIPPED.pairs[3]), "empty", "good")

    def script(n: int, body: dict[str, Any]) -> Any:
        return "empty" if fault(n, body) == "empty" else expert()(n, body)  # type: ignore[operator]

    assert examined(tmp_path / "a", script).fit
    strict = examined(tmp_path / "b", script, max_unparsed_share=0.01)
    assert any(reason.startswith(("1 of 40", "2 of 40")) for reason in strict.reasons)  # fmt: skip


def _marker(known: KnownPair) -> str:
    return known.answer_b.split("\n", maxsplit=1)[0]


def test_an_examination_is_paid_once(tmp_path: Path) -> None:
    """A second time every answer is in the journal; another judge has another one."""
    with FakeServer(expert()) as server:
        judge = Judge(Endpoint(server.base_url, "toy"), max_tokens=200, seed=7)
        examination = Examination(judge, SHIPPED.first(5), times=1, n_anchors=2)
        first = examine(examination, tmp_path / "journal.jsonl")
        calls = len(server.chats)
        again = examine(examination, tmp_path / "journal.jsonl")

        assert calls == len(server.chats) == 2 * (5 + 11 + 2)
        assert first == again
    elsewhere = Judge(Endpoint("https://api.example.com/v1", "toy"), max_tokens=200, seed=7)
    places = {
        Examination(j, k, 1, 0).journal().name
        for j in (elsewhere, Judge(elsewhere.endpoint, 201, 7), Judge(Endpoint("https://other.example.com/v1", "toy"), 200, 7))
        for k in (SHIPPED, KnownPairs("mine.jsonl", "ff", SHIPPED.pairs))
    }  # fmt: skip
    assert len(places) == 6


def test_a_judge_on_this_machine_is_examined_in_every_run(tmp_path: Path) -> None:
    """What answers on a local port may be another model tomorrow: its answers stay in the run."""
    examination = Examination(JUDGE, SHIPPED, 1, 0)

    assert examination.is_local
    assert examination.journal(tmp_path).parent == tmp_path


# --- anchors


def test_a_judge_that_changed_is_seen(tmp_path: Path) -> None:
    """The qualification's answers are known; a run later somebody else answers under the name."""
    now = {"script": expert()}

    def today(n: int, body: dict[str, Any]) -> Any:
        return now["script"](n, body)

    with FakeServer(today) as server:
        judge = Judge(Endpoint(server.base_url, "toy"), max_tokens=200, seed=7)
        examination = Examination(judge, SHIPPED.first(40), times=1, n_anchors=20)

        def run(name: str) -> Qualification:
            answers = examine(examination, tmp_path / "journal.jsonl", tmp_path / name)
            return qualify([], spec(), answers, examination.known)

        same = run("first")
        now["script"] = always("tie")
        other = run("second")

    assert same.anchors is not None
    assert (same.anchors.n_looks, same.anchors.n_changed, same.anchors.drifted) == (40, 0, False)
    assert same.fit
    assert other.anchors is not None
    assert other.anchors.drifted
    assert [reason.partition(":")[0] for reason in other.reasons] == ["Drift"]


@pytest.mark.parametrize(
    ("changed", "wavered", "drifted"),
    [(0, 0, False), (4, 0, False), (5, 0, True), (5, 5, False), (10, 3, True), (3, 10, False)],
)
def test_drift_is_more_than_the_usual_wavering(changed: int, wavered: int, drifted: bool) -> None:
    """Exact, one-sided: five changes against none are 1 in 32; as many as ever are none at all."""
    pairs = [pair(i) for i in range(20)]
    then = judged(pairs, right)
    flip = {"raw_verdict": "tie", "verdict": "tie"}
    now = [j.model_copy(update=flip) if i < changed else j for i, j in enumerate(then)]
    again = [j.model_copy(update=flip) if i >= 40 - wavered else j for i, j in enumerate(then)]

    found = check_anchors(now, then, again)

    assert found is not None
    assert (found.n_changed, found.n_changed_before, found.drifted) == (changed, wavered, drifted)
    if (changed, wavered) == (5, 0):
        assert found.p == pytest.approx(1 / 32)


# --- files, policies


def write_pairs(path: Path, *rows: dict[str, Any] | str) -> Path:
    """A file of pairs, with whatever else is given as a line."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


ROW = {"id": "a", "question": "q", "answer_a": "x", "answer_b": "y", "label": "tie"}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "holds no pair"),
        (["{"], ":1: not JSON"),
        ([ROW, ROW], ":2: id 'a' stands there twice"),
        ([ROW | {"label": "A"}], ":1: label: input should be"),
        ([ROW | {"answer_b": " x "}], ":1: pair: both answers are the same text"),
        ([ROW, {"id": "b"}], ":2: question: field required"),
    ],
)
def test_a_broken_file_of_pairs_is_one_line(tmp_path: Path, rows: list[Any], told: str) -> None:
    """File, line, what was found, what was expected."""
    path = write_pairs(tmp_path / "pairs.jsonl", *rows)

    with pytest.raises(RunError) as error:
        load_known_pairs(path)

    assert told in str(error.value)
    assert "expected id, question, answer_a, answer_b and label" in str(error.value)


POLICY = """\
version: 1
name: kin
models:
  candidate: {endpoint: "http://localhost:1/v1", model: a, family: llama}
  production: {endpoint: "http://localhost:1/v1", model: b, family: qwen}
  base: {endpoint: "http://localhost:1/v1", model: c, family: GPT}
eval_sets: [{task: quiz, kind: shadow}]
judge: {endpoint: "http://localhost:1/v1", model: j, task: quiz, family: FAMILY, against: [production]}
rules: [{name: preferred, kind: win_rate, against: production}]
"""


@pytest.mark.parametrize("family", ["llama", " Qwen "])
def test_a_judge_of_a_competitors_family_is_refused(tmp_path: Path, family: str) -> None:
    """One line that says who is related, unless the policy allows it."""
    path = tmp_path / "gate.yaml"
    path.write_text(POLICY.replace("FAMILY", family), encoding="utf-8")

    with pytest.raises(PolicyError, match=r"judge 'j' is of the same family .*allow_same_family") as error:  # fmt: skip
        load_policy(path)

    assert "\n" not in str(error.value)
    path.write_text(POLICY.replace("FAMILY", f"{family}, allow_same_family: true"), encoding="utf-8")  # fmt: skip
    assert load_policy(path).judge is not None


def test_the_family_of_a_model_that_is_not_judged_does_not_matter(tmp_path: Path) -> None:
    """The base takes no part in the pairs."""
    path = tmp_path / "gate.yaml"
    path.write_text(POLICY.replace("FAMILY", "gpt"), encoding="utf-8")

    assert load_policy(path).judge is not None


# --- the shipped pairs


def test_every_look_at_a_known_pair_shows_both_answers(tmp_path: Path) -> None:
    """What is asked of the judge is the pair as it stands in the file, in both orders."""
    seen = []

    def watch(_n: int, body: dict[str, Any]) -> Reply:
        seen.append(read_prompt(prompt_of(body)))
        return Reply(verdict_text("tie"))

    with FakeServer(watch) as server:
        judge = Judge(Endpoint(server.base_url, "toy", concurrency=1), max_tokens=200, seed=7)
        looks = known_looks(SHIPPED.pairs[:1], 7)
        judgments = judge_looks(judge, looks, tmp_path / "journal.jsonl")

    one = SHIPPED.pairs[0]
    assert {(s.answer_a, s.answer_b) for s in seen} == {(one.answer_a, one.answer_b), (one.answer_b, one.answer_a)}  # fmt: skip
    assert {j.task for j in judgments} == {KNOWN}


@pytest.mark.slow
def test_limits_of_kappa_cover_with_groups() -> None:
    """40 questions of three pairs, errors that come in groups: 95 % limits hold the true kappa in 93 to 98 %."""
    rng = np.random.default_rng(4)

    def draw(groups: int) -> tuple[Any, Any, Any]:
        label = rng.integers(0, 2, (groups, 3))
        hard = rng.random((groups, 1)) < 0.3
        wrong = rng.random((groups, 3)) < np.where(hard, 0.5, 0.05)
        names = np.repeat(np.arange(groups), 3)
        return label.ravel(), np.where(wrong, 1 - label, label).ravel(), names

    true = 1 - 2 * (0.3 * 0.5 + 0.7 * 0.05)
    hits = []
    for _ in range(1000):
        one, two, names = draw(40)
        found = clustered_kappa(one, two, 2, names.tolist())
        assert not isinstance(found, NoLimits)
        hits.append(found.limits.lower <= true <= found.limits.upper)
    assert 0.93 <= np.mean(hits) <= 0.98
