"""Tasks of a researcher's own, in YAML alone: from the run to the decision, and what a case's score is."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from command import ftgate_here
from fake_server import FakeServer, Reply
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK

from ftgate_ext.case_scores import as_case_score, perplexity_note
from ftgate_ext.scoring import texts
from ftgate_ext.stats.labels import STATISTICS, label_difference, label_statistic
from ftgate_ext.stats.thresholds import sweep_thresholds

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = Path(__file__).resolve().parent.parent / "docs" / "examples"
POLICY = """\
version: 1
name: research
models:
  candidate: {{endpoint: {url}, model: new}}
  production: {{endpoint: {url}, model: old}}
task_paths: [tasks]
eval_sets: [{{task: {task}, kind: golden}}]
run: {{concurrency: 4, resamples: 1000}}
rules: [{{name: better, kind: superiority, task: {task}, metric: {metric}, margin_pt: 1}}]
"""
TEXT = "the river rose after heavy rain and the old bridge was closed for two days"
WORDS = TEXT.split()


def run_task(
    folder: Path, name: str, metric: str, rows: list[dict[str, Any]],
    answer: Callable[[str, int], str], yaml: str | None = None,
) -> tuple[Any, dict[str, Any], Path]:  # fmt: skip
    """`run`, `compare`, `decide` and `report` of one task; returns the last command and comparisons."""
    (folder / "tasks").mkdir()
    if yaml is None:
        shutil.copy(EXAMPLES / f"{name}.yaml", folder / "tasks")
    else:
        (folder / "tasks" / f"{name}.yaml").write_text(yaml, encoding="utf-8")
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "tasks" / f"{name}.jsonl").write_text(lines, encoding="utf-8")

    def reply(_n: int, body: dict[str, Any]) -> Reply:
        prompt = str(body["messages"][-1]["content"])
        number = next(i for i, row in enumerate(rows) if row["text"] in prompt)
        return Reply(answer(body["model"], number))

    with FakeServer(reply, models=("new", "old")) as server:
        policy = POLICY.format(url=server.base_url, task=name, metric=metric)
        (folder / "gate.yaml").write_text(policy, encoding="utf-8")
        ran = ftgate_here("run", "--run-dir", "run", "-q", cwd=folder)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    compared = ftgate_here("compare", "run", cwd=folder)
    assert compared.returncode == 0, compared.stdout + compared.stderr
    decided = ftgate_here("decide", "run", cwd=folder)
    ftgate_here("report", "run", cwd=folder)
    return decided, json.loads((folder / "run" / "comparisons.json").read_text()), folder / "run"


def test_summaries_by_rouge(tmp_path: Path) -> None:
    """A summarisation task with ROUGE and BLEU goes from the YAML to GO, lower TER counting as better."""
    rows = [
        {"id": f"s{i}", "text": f"Text {i}: {' '.join(WORDS)}.", "summary": " ".join(WORDS[i % 5 : i % 5 + 7])}
        for i in range(40)
    ]  # fmt: skip

    def answer(model: str, i: int) -> str:
        good = rows[i]["summary"] if model == "new" else " ".join(WORDS[-(4 + i % 3) :])
        return good + (" again" if i % 4 == 0 else "")

    decided, made, _ = run_task(tmp_path, "summaries", "rouge_l", rows, answer)
    assert decided.returncode == 0, decided.stdout + decided.stderr
    by_metric = {c["metric"]: c for c in made["comparisons"]}
    assert set(by_metric) == {"rouge_l", "rouge1", "sentence_bleu", "bleu", "ter"}
    assert all(c["n_pairs"] == 40 and c["unavailable"] is None for c in by_metric.values())
    # lm-eval's own bleu logs the texts; a case's score is the same sentence-level one.
    assert by_metric["bleu"]["difference"] == by_metric["sentence_bleu"]["difference"]
    assert by_metric["ter"]["higher_is_better"] is False
    assert by_metric["ter"]["difference"]["value"] < 0 < by_metric["rouge_l"]["difference"]["value"]


def test_extraction_by_token_f1(tmp_path: Path) -> None:
    """An extraction task with token F1 goes from the YAML to a decision."""
    rows = [
        {"id": f"e{i}", "text": f"In year {i:03} Blue Harbor {i} Ltd was sold.", "answer": f"Blue Harbor {i} Ltd"}
        for i in range(30)
    ]  # fmt: skip

    def answer(model: str, i: int) -> str:
        return rows[i]["answer"] if model == "new" or i % 2 else "Blue Harbor"

    decided, made, _ = run_task(tmp_path, "extraction", "token_f1", rows, answer)
    assert decided.returncode == 0, decided.stdout + decided.stderr
    row = next(c for c in made["comparisons"] if c["metric"] == "token_f1")
    assert row["baseline_estimate"]["value"] == pytest.approx((1 + 2 / 3) / 2)


LABELS_YAML = """\
task: topics
custom_dataset: !function ftgate_ext.evalset.load_task_data
dataset_kwargs: {file: topics.jsonl}
test_split: test
output_type: generate_until
doc_to_text: "{{ text }}"
doc_to_target: "{{ TARGET }}"
generation_kwargs: {until: []}
metric_list:
  - {metric: !function ftgate_ext.scoring.texts.METRIC, aggregation: !function ftgate_ext.scoring.texts.last, higher_is_better: true}
"""


def test_labels_by_macro_f1(tmp_path: Path) -> None:
    """A label task has precision, recall and F1, micro and macro, each with limits, for rules to use."""
    rows = [
        {"id": f"t{i}", "text": f"Note {i:03}", "labels": [("a", "b", "c")[i % 3]] + ["d"] * (i % 4 == 0)}
        for i in range(36)
    ]  # fmt: skip

    def answer(model: str, i: int) -> str:
        if model == "new":
            return json.dumps(rows[i]["labels"])
        return "A" if i % 2 else ", ".join(rows[i]["labels"]) + ", other"

    yaml = LABELS_YAML.replace("TARGET", "labels | join(', ')").replace("METRIC", "labels")
    decided, made, _ = run_task(tmp_path, "topics", "f1_macro", rows, answer, yaml)
    assert decided.returncode == 0, decided.stdout + decided.stderr
    mine = {x["metric"]: x for x in made["levels"] if x["role"] == "candidate"}
    assert set(mine) == set(STATISTICS)
    assert {x["estimate"]["value"] for x in mine.values()} == {1.0}
    other = next(x for x in made["levels"] if (x["role"], x["metric"]) == ("production", "precision_micro"))  # fmt: skip
    assert other["lower_one_sided"] < other["estimate"]["value"] < other["upper_one_sided"]


def test_scores_are_swept_over_thresholds(tmp_path: Path) -> None:
    """Answers with a number have an average precision and a curve in the report; no number, no score."""
    rows = [{"id": f"t{i}", "text": f"Note {i:03}", "bad": int(i % 3 == 0)} for i in range(30)]

    def answer(model: str, i: int) -> str:
        if i == 7:
            return "no idea"
        right = 0.9 if rows[i]["bad"] else 0.1
        return f"Score: {right if model == 'new' or i % 2 else 1 - right}"

    yaml = LABELS_YAML.replace("TARGET", "bad").replace("METRIC", "scored")
    _, made, run = run_task(tmp_path, "topics", "scored", rows, answer, yaml)
    new, old = made["sweeps"]
    assert (new["average_precision"], new["best_f1"], new["best_threshold"]) == (1.0, 1.0, 0.9)
    assert old["average_precision"] < 0.8
    assert (new["n"], new["n_without_score"]) == (29, 1)
    assert "precision over recall" in (run / "report.html").read_text()


def test_a_list_of_references_is_refused(tmp_path: Path) -> None:
    """lm-eval would make 0 or 1 of ROUGE: said before anything is asked."""
    yaml = LABELS_YAML.replace("TARGET", "labels").replace("METRIC", "rouge_l").replace('"{{ labels }}"', "labels")  # fmt: skip
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "topics.yaml").write_text(yaml)
    (tmp_path / "tasks" / "topics.jsonl").write_text('{"id": "1", "text": "x", "labels": ["a", "b"]}\n')  # fmt: skip
    policy = POLICY.format(url="http://127.0.0.1:9/v1", task="topics", metric="rouge_l")
    (tmp_path / "gate.yaml").write_text(policy)
    done = ftgate_here("check", cwd=tmp_path)
    assert done.returncode == 2
    assert "lm-eval makes 0 or 1 for rouge_l" in done.stderr


# --- a case's score


def test_token_f1_of_squads_own_example() -> None:
    """Articles, case and punctuation do not count; shared words do, as often as both have them."""
    assert texts.token_f1(["the cat sat"], ["A Cat, sat!"]) == 1
    assert texts.token_f1(["a b c d"], ["b c x"]) == pytest.approx(2 * 2 / (3 + 3))
    assert (texts.token_f1([""], [""]), texts.token_f1(["x"], [""])) == (1, 0)


def test_rouge_of_lins_example() -> None:
    """Lin (2004): 'police killed the gunman' against '... kill ...' and 'the gunman kill police'."""
    reference = "police killed the gunman"
    assert texts.rouge_l([reference], ["police kill the gunman"]) == pytest.approx(1)  # stemmed
    assert texts.rouge_l([reference], ["the gunman kill police"]) == pytest.approx(0.5)
    assert texts.rouge2([reference], ["the gunman kill police"]) == pytest.approx(1 / 3)


def test_perplexities_are_compared_as_logarithms() -> None:
    """A log-likelihood is turned, so that less is better as lm-eval says; lengths are divided by."""
    assert as_case_score("perplexity", -3.0) == 3.0
    assert as_case_score("word_perplexity", [-12.0, 4]) == 3.0
    assert as_case_score("bits_per_byte", [-math.log(2) * 8, 4]) == pytest.approx(2)
    assert as_case_score("word_perplexity", [-1.0, 0]) is None
    assert as_case_score("acc", 1) == 1
    note = perplexity_note("word_perplexity,none", math.log(12), math.log(10))
    assert note is not None
    assert "candidate 12, other 10" in note


@pytest.mark.parametrize(
    ("text", "found"),
    [('["A ", "b", "a"]', ["a", "b"]), ("A, b; C", ["a", "b", "c"]), ("- x\n- y", ["x", "y"]),
     ('```json\n["p"]\n```', ["p"]), ("", []), ('"single"', ["single"])],
)  # fmt: skip
def test_labels_are_read_from_lists_of_any_kind(text: str, found: list[str]) -> None:
    """JSON, commas, semicolons, lines, fences."""
    assert texts.read_labels([text]) == found


# --- figures of a whole set


def test_macro_and_micro_by_hand() -> None:
    """Two labels: (tp 2, fp 1, fn 0) and (tp 1, fp 0, fn 3), and one that is never right (fp 1)."""
    sums = np.array([[2, 1, 0, 1, 0, 3, 0, 1, 0]], float)
    expected = {
        "precision_micro": 3 / 5, "recall_micro": 3 / 6, "f1_micro": 6 / 11,
        "precision_macro": (2 / 3 + 1) / 2, "recall_macro": (1 + 1 / 4) / 2,
        "f1_macro": (4 / 5 + 2 / 5) / 2,
    }  # fmt: skip
    for metric, value in expected.items():
        assert label_statistic(metric)(sums)[0] == pytest.approx(value)
        both = np.hstack([sums, sums])
        assert label_difference(metric, 9)(both)[0] == 0


@QUICK
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcx")), min_size=1, max_size=30)
)
def test_figures_agree_with_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    """Single labels: the same precision, recall and F1 as scikit-learn over the right labels."""
    sklearn = pytest.importorskip("sklearn.metrics")
    gold, said = zip(*pairs, strict=True)
    classes = sorted(set(gold))
    sums = np.zeros((1, 3 * (len(classes) + 1)))
    for right, given_ in pairs:
        for label in {right, given_}:
            at = classes.index(label) if label in classes else len(classes)
            column = 0 if right == given_ else 1 if label == given_ else 2
            sums[0, 3 * at + column] += 1
    found = sklearn.precision_recall_fscore_support(
        gold, said, labels=classes, average="macro", zero_division=0
    )
    mine = [label_statistic(f"{x}_macro")(sums)[0] for x in ("precision", "recall", "f1")]
    assert mine == pytest.approx(list(found[:3]))


@QUICK
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=40))
def test_average_precision_agrees_with_scikit_learn(cases: list[tuple[int, bool]]) -> None:
    """The area below the steps of the curve, ties included."""
    sklearn = pytest.importorskip("sklearn.metrics")
    scores, truths = zip(*cases, strict=True)
    if not any(truths):
        with pytest.raises(ValueError, match="no positive case"):
            sweep_thresholds(scores, truths)
        return
    found = sweep_thresholds(scores, truths)
    assert found.average_precision == pytest.approx(sklearn.average_precision_score(truths, scores))
    assert found.best.f1 == max(p.f1 for p in found.points)
    assert [p.recall for p in found.points] == sorted(p.recall for p in found.points)
