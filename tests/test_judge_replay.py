"""Tests of recorded verdicts: real judges' decisions through the whole pipeline, to the printed digit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from command import ftgate
from judges import verdict_text
from public_data import FOLDER, needs_public_data
from records import make_judgment, make_pair, make_policy

from ftgate_ext.errors import RunError
from ftgate_ext.gate import qualify_policy
from ftgate_ext.inference.client import Endpoint
from ftgate_ext.judge.llmbar import import_llmbar, write_llmbar
from ftgate_ext.judge.pairwise import Judge, Look, judge_looks
from ftgate_ext.judge.recorded import load_recorded

if TYPE_CHECKING:
    from pathlib import Path

LLMBAR = FOLDER / "llmbar"
CASES, DECISIONS = LLMBAR / "llmbar.jsonl.gz", LLMBAR / "evaluator_decisions_compact.jsonl.gz"

GATE = """\
version: 1
name: replay
models:
  candidate: {endpoint: "http://localhost:1/v1", model: a}
  production: {endpoint: "http://localhost:1/v1", model: b}
eval_sets: [{task: codereview_shadow, kind: shadow}]
judge: {model: JUDGE, replay: verdicts.jsonl, qualification: pairs.jsonl, task: codereview_shadow}
rules: [{name: preferred, kind: win_rate, against: production}]
"""

PUBLISHED = {
    # subset, judge, strategy: n, percent right as given, exchanged, in both, consistent, kappa of orders
    ("Processed/MT-Bench", "GPT-4", "Vanilla_NoRules"): (200, 79.5, 82.5, 74.5, 87.0, 0.740),
    ("LLMBar/Natural", "ChatGPT", "Swap"): (100, 77.0, 78.0, 72.0, 89.0, 0.775),
    ("LLMBar/Adversarial/Neighbor", "GPT-4", "Vanilla"): (134, 77.6, 79.9, 75.4, 93.3, 0.865),
}


@needs_public_data
@pytest.mark.parametrize("of", PUBLISHED, ids=" ".join)
def test_recorded_judges_are_what_was_published(tmp_path: Path, of: tuple[str, str, str]) -> None:
    """Import, replay and qualification give the printed shares and the kappa between orders."""
    subset, judge, strategy = of
    write_llmbar(*import_llmbar(CASES, DECISIONS, subset, judge, strategy), tmp_path)
    (tmp_path / "gate.yaml").write_text(GATE.replace("JUDGE", judge), encoding="utf-8")

    known = qualify_policy(tmp_path / "gate.yaml", quiet=True).model_dump()["known"]

    n, *shares, kappa = PUBLISHED[of]
    names = ("agreement_as_given", "agreement_exchanged", "right_in_both", "consistency")
    assert known["n_pairs"] == n
    assert [round(100 * known[name]["value"], 1) for name in names] == shares
    assert round(known["kappa_between_orders"]["value"], 3) == kappa
    if subset == "Processed/MT-Bench":
        assert round(known["kappa_as_given"]["value"], 3) == 0.590


@needs_public_data
def test_the_commands_replay_a_judge(tmp_path: Path) -> None:
    """`ftgate judge import-llmbar`, then `ftgate judge qualify`: the page of a judge of another day."""
    done = ftgate(
        "judge", "import-llmbar", CASES, DECISIONS, "--subset", "LLMBar/Natural", "--evaluator", "ChatGPT",
        "--strategy", "Swap", "--output", tmp_path, cwd=tmp_path,
    )  # fmt: skip
    assert "Wrote 100 pairs and 200 verdicts" in done.stdout, done.stderr
    (tmp_path / "gate.yaml").write_text(GATE.replace("JUDGE", "ChatGPT"), encoding="utf-8")

    told = ftgate("judge", "qualify", "gate.yaml", "--pairs", "pairs.jsonl", cwd=tmp_path)

    # Its kappa is 0.50: with 100 pairs the limit of 0.40 is out of reach.
    assert told.returncode == 3, told.stderr
    assert "ChatGPT may not vote" in told.stdout
    assert "and 0.40 is required" in told.stdout
    assert "89.0%" in told.stdout


@needs_public_data
def test_mean_accuracies() -> None:
    """81.0 and 78.7 percent over both orders, from whole decisions."""
    for (subset, judge, strategy), mean in {
        ("Processed/MT-Bench", "GPT-4", "Vanilla_NoRules"): 81.0,
        ("LLMBar/Adversarial/Neighbor", "GPT-4", "Vanilla"): 78.7,
    }.items():
        pairs, verdicts = import_llmbar(CASES, DECISIONS, subset, judge, strategy)
        labels = {p.id: p.label for p in pairs}
        turned = {"A_better": "B_better", "B_better": "A_better"}
        right = [
            labels[v.id] == (v.verdict if v.first == "candidate" else turned.get(v.verdict))
            for v in verdicts
        ]
        assert round(100 * sum(right) / len(right), 1) == mean


@needs_public_data
def test_what_is_not_there_is_named() -> None:
    """A judge that was not asked on this subset: one line that lists who was."""
    with pytest.raises(RunError, match=r"nothing by 'GPT-5' .* there is: .*GPT-4") as error:
        import_llmbar(CASES, DECISIONS, "LLMBar/Natural", "GPT-5", "Vanilla")
    assert "\n" not in str(error.value)


def look(first: Any = "candidate", **changes: Any) -> Look:
    """One look at one pair."""
    fields: dict[str, Any] = {
        "task": "quiz", "baseline": "production", "case_id": "c1", "doc_hash": "d", "question": "q",
        "candidate_answer": "mine", "baseline_answer": "theirs", "first": first, "round": 0,
    }  # fmt: skip
    return Look(**fields | changes)


def replay(path: Path, lines: list[dict[str, Any] | str], looks: list[Look]) -> list[Any]:
    """Verdicts of a file on some looks."""
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text(text, encoding="utf-8")
    judge = Judge(Endpoint("replay", "toy"), 200, 7, recorded=load_recorded(path))
    return judge_looks(judge, looks, path.with_name("journal.jsonl"))


def test_a_recorded_verdict_is_about_positions(tmp_path: Path) -> None:
    """A and B are whoever stood first and second; identical answers are ties as ever."""
    lines = [{"id": "c1", "first": first, "verdict": "A_better"} for first in ("candidate", "baseline")]  # fmt: skip
    looks = [look(), look("baseline"), look(baseline_answer="mine")]

    found = replay(tmp_path / "v.jsonl", lines, looks)

    assert [j.verdict for j in found] == ["candidate_better", "baseline_better", "tie"]
    assert not (tmp_path / "journal.jsonl").exists()


def test_what_was_not_recorded_failed(tmp_path: Path) -> None:
    """Another case, another opponent, another order, other texts: nothing is guessed."""
    lines = [{"id": "c1", "first": "candidate", "verdict": "tie", "baseline": "production", "pair_hash": look().pair_hash}]  # fmt: skip
    looks = [look(), look("baseline"), look(case_id="c2"), look(baseline="base"), look(candidate_answer="new")]  # fmt: skip

    found = replay(tmp_path / "v.jsonl", lines, looks)

    assert [j.verdict for j in found] == ["tie", *["failed"] * 4]
    assert {j.problem for j in found[1:]} == {"not_recorded"}


def test_judgments_of_an_earlier_run_can_be_replayed(tmp_path: Path) -> None:
    """`judgments.jsonl` is a file of recorded verdicts; verdicts, marks and problems come back."""
    mine = {"candidate": dict.fromkeys(("correctness", "clarity"), 5), "baseline": dict.fromkeys(("correctness", "clarity"), 2)}  # fmt: skip
    earlier = [
        j.model_copy(
            update={"case_id": "c1", "task": "quiz", "pair_hash": look().pair_hash, "scores": mine}
        )
        for j in make_pair("c1", "candidate_better", "tie")
    ]
    earlier += [make_judgment("c2", "unparsed").model_copy(update={"problem": "prose"})]
    lines = [j.model_dump_json(exclude_none=True) for j in earlier]

    found = replay(tmp_path / "v.jsonl", lines, [look(), look("baseline")])

    assert [(j.verdict, j.scores) for j in found] == [("candidate_better", mine), ("tie", mine)]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "not JSON"), ('{"id": "a"}', "first: field required"), ("[]", "line: input should be"),
        ('{"id": "a", "first": "candidate", "verdict": "A"}', "verdict: input should be"),
    ],
)  # fmt: skip
def test_a_broken_line_is_named(tmp_path: Path, line: str, told: str) -> None:
    """File, line, what was found, what was expected."""
    with pytest.raises(RunError) as error:
        replay(tmp_path / "v.jsonl", [verdict_line(), line], [])

    assert f"v.jsonl:2: {told}" in str(error.value)
    assert "expected id, first and verdict" in str(error.value)


def verdict_line() -> dict[str, Any]:
    """A good line."""
    return {"id": "c1", "first": "candidate", "verdict": json.loads(verdict_text("tie"))["verdict"]}


def test_a_replay_judge_needs_no_endpoint_but_pairs_alone() -> None:
    """A policy may leave the endpoint out; a rubric would need one."""
    policy = make_policy({"kind": "win_rate"}, judge={"endpoint": None, "replay": "v.jsonl"})
    assert policy.judge is not None
    assert policy.judge.replay == "v.jsonl"
    for judge in ({"endpoint": None}, {"replay": "v.jsonl", "rubric": {"task": "quiz"}}):
        with pytest.raises(ValueError, match="endpoint"):
            make_policy({"kind": "win_rate"}, judge=judge)
