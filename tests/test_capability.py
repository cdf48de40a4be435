"""Benchmarks: which variant is asked, on which data, and which cases of it."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from public_data import FOLDER, needs_public_data
from records import QUICK

from ftgate_ext.capability import hub
from ftgate_ext.capability.draw import allocate, drawn_rows
from ftgate_ext.capability.tasks import build_tasks, leaf_tasks
from ftgate_ext.capability.variants import BENCHMARKS, benchmark_of, choose_variant
from ftgate_ext.capability.words import describe_uses
from ftgate_ext.lm_tasks import describe_eval_sets, find_tasks, use_of
from ftgate_ext.plan import make_plan
from ftgate_ext.policy import EvalSet, load_policy, parse_policy
from ftgate_ext.policy_benchmarks import describe_choices
from ftgate_ext.schema import EvalSetError, EvalSetUse, PolicyError

if TYPE_CHECKING:
    from pathlib import Path

SIZES = st.dictionaries(
    st.text(min_size=1, max_size=3), st.integers(1, 400), min_size=1, max_size=9
)


# --- the variant


def test_a_chat_endpoint_makes_every_model_generative() -> None:
    """One chat endpoint gives no log-likelihoods, so all models are asked to write their answer."""
    choice = choose_variant("mmlu", ["frontier"])
    assert (choice.task, choice.metric, choice.fewshot) == (
        "mmlu_generative",
        "exact_match,get_response",
        5,
    )
    assert "frontier is a chat endpoint" in choice.why


def test_local_models_are_asked_by_log_likelihood() -> None:
    """Where every model is loaded here, the published variant is asked."""
    choice = choose_variant("mmlu", [])
    assert (choice.task, choice.metric) == ("mmlu", "acc")
    assert "every model is loaded here" in choice.why


def test_a_benchmark_with_one_variant_needs_no_choice() -> None:
    """GSM8K is generative for everybody, and nothing is said about it."""
    for roles in ([], ["candidate"]):
        choice = choose_variant("gsm8k", roles)
        assert (choice.task, choice.why) == ("gsm8k", "")


def test_mixing_is_refused() -> None:
    """Log-likelihoods for some models and texts for others cannot be compared."""
    with pytest.raises(
        ValueError, match="frontier is a chat endpoint, which gives no log-likelihoods"
    ):
        choose_variant("mmlu", ["frontier"], "loglikelihood")
    with pytest.raises(ValueError, match="gsm8k: has no loglikelihood variant; use generative"):
        choose_variant("gsm8k", [], "loglikelihood")


def test_the_generative_variant_can_be_insisted_on() -> None:
    """Local models are asked to write, too, where the policy says so."""
    assert choose_variant("mmlu", [], "generative").task == "mmlu_generative"


def test_every_variant_is_found_again() -> None:
    """A task of lm-eval leads back to its benchmark."""
    for name, benchmark in BENCHMARKS.items():
        for variant in (benchmark.generative, benchmark.loglikelihood):
            assert variant is None or benchmark_of(variant.task) == name
    assert benchmark_of("codereview_golden") is None


# --- the policy


POLICY = """\
version: 1
name: capability
models:
  candidate: {{endpoint: http://localhost:1/v1, model: a}}
  base: {base}
eval_sets:
  - {{task: {task}, kind: capability, sample: 60{more}}}
rules:
  - {{name: kept, kind: non_inferiority, task: mmlu, metric: accuracy, against: base, margin_pt: 2}}
  - name: pooled
    kind: pooled_non_inferiority
    benchmarks: [{{task: mmlu, metric: accuracy}}, {{task: mmlu, metric: other}}]
    against: base
    margin_pt: 2
"""
CHAT = "{endpoint: http://localhost:2/v1, model: b}"


def policy_text(task: str = "mmlu", base: str = CHAT, more: str = "") -> str:
    return POLICY.format(task=task, base=base, more=more)


def test_the_policy_names_the_benchmark_and_lm_eval_its_task() -> None:
    """`mmlu` and `accuracy` become the task and the metric of the variant, in rules of every kind."""
    policy = parse_policy(policy_text(), "gate.yaml")
    eval_set = policy.eval_sets[0]
    assert (eval_set.task, eval_set.asked_for, eval_set.fewshot) == ("mmlu_generative", "mmlu", 5)
    plain, pooled = policy.rules
    assert (plain.task, plain.metric) == ("mmlu_generative", "exact_match,get_response")  # type: ignore[union-attr]
    assert pooled.benchmarks[0].task == "mmlu_generative"  # type: ignore[union-attr]


def test_the_number_of_examples_can_be_said() -> None:
    """What the policy says about examples wins over the benchmark's own number."""
    assert parse_policy(policy_text(more=", fewshot: 0"), "gate.yaml").eval_sets[0].fewshot == 0


def test_a_task_of_lm_eval_stays_what_it_is() -> None:
    """`mmlu_generative` by its own name is asked as lm-eval has it."""
    text = policy_text("mmlu_generative").replace("task: mmlu,", "task: mmlu_generative,")
    eval_set = parse_policy(text, "gate.yaml").eval_sets[0]
    assert (eval_set.task, eval_set.asked_for, eval_set.fewshot) == ("mmlu_generative", None, None)


def test_the_group_stands_for_its_members() -> None:
    """`ftgate_capability` is four benchmarks, each with what the entry says."""
    policy = parse_policy(policy_text("ftgate_capability"), "gate.yaml")
    assert [e.asked_for for e in policy.eval_sets] == ["mmlu", "gsm8k", "humaneval", "mtbench"]
    assert {e.sample for e in policy.eval_sets} == {60}


def test_an_impossible_variant_names_its_line() -> None:
    """The mistake is one line with the place, the model and what to do."""
    with pytest.raises(
        PolicyError, match=r"^gate.yaml:7: mmlu: variant loglikelihood, but candidate is a chat"
    ):
        parse_policy(policy_text(more=", variant: loglikelihood"), "gate.yaml")


def test_first_cases_and_a_draw_exclude_each_other() -> None:
    """`limit` and `sample` both say which cases are asked."""
    with pytest.raises(PolicyError, match="keep one"):
        parse_policy(policy_text(more=", limit: 5"), "gate.yaml")


# --- the draw


@QUICK
@given(SIZES, st.integers(1, 2000))
def test_a_draw_is_proportional(sizes: dict[str, int], wanted: int) -> None:
    """All of the wanted cases, at least one of each task, none more than there are."""
    if wanted < len(sizes):
        with pytest.raises(ValueError, match="at least one of each"):
            allocate(sizes, wanted)
        return
    given_ = allocate(sizes, wanted)
    assert sum(given_.values()) == min(wanted, sum(sizes.values()))
    assert all(1 <= given_[task] <= size for task, size in sizes.items())


def test_shares_follow_sizes() -> None:
    """A task twice as large gets twice as many cases; the remainder goes to the largest fraction."""
    assert allocate({"a": 100, "b": 200, "c": 300}, 60) == {"a": 10, "b": 20, "c": 30}
    assert allocate({"a": 1, "b": 1, "c": 998}, 10) == {"a": 1, "b": 1, "c": 8}


@QUICK
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 5))
def test_a_larger_draw_holds_the_smaller(n: int, wanted: int, more: int) -> None:
    """Cases can be added to a run: those asked already are asked again by nobody."""
    small, large = drawn_rows("t", n, wanted, 7), drawn_rows("t", n, wanted + more, 7)
    assert set(small) <= set(large)
    assert small == sorted(set(small))
    assert len(small) == min(wanted, n)


def test_another_seed_draws_others() -> None:
    """The draw depends on the run's seed and on the task, and on nothing else."""
    assert drawn_rows("t", 1000, 20, 1) == drawn_rows("t", 1000, 20, 1)
    assert drawn_rows("t", 1000, 20, 1) != drawn_rows("t", 1000, 20, 2)
    assert drawn_rows("t", 1000, 20, 1) != drawn_rows("u", 1000, 20, 1)


# --- local data


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")


SUMS = [{"question": f"What is {n} + 1?", "answer": f"#### {n + 1}"} for n in range(8)]


def test_lm_evals_own_task_stands_on_local_data(tmp_path: Path) -> None:
    """gsm8k keeps its name, its prompt and its five examples; only its data comes from the folder."""
    write_rows(tmp_path / "gsm8k" / "test.jsonl", SUMS[:3])
    write_rows(tmp_path / "gsm8k" / "train.jsonl.gz", SUMS)
    tasks = find_tasks(["gsm8k"], [])
    task = build_tasks(tasks, "gsm8k", tmp_path)["gsm8k"]
    assert [doc["question"] for doc in task.eval_docs] == [row["question"] for row in SUMS[:3]]
    assert task.config.num_fewshot == 5
    assert task.doc_to_text(SUMS[0]) == "Question: What is 0 + 1?\nAnswer:"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"question": "q"}], r"test.jsonl:1: no 'answer'; expected a row of gsm8k"),
        (None, r"gsm8k: no file for the test split; expected test.jsonl"),
        ("{broken", r"test.jsonl:1: cannot be read \(.*\); expected JSONL"),
    ],
)
def test_broken_local_data_is_one_line(tmp_path: Path, rows: Any, words: str) -> None:
    """The file, the line and what was expected."""
    (tmp_path / "gsm8k").mkdir()
    if isinstance(rows, str):
        (tmp_path / "gsm8k" / "test.jsonl").write_text(rows)
    elif rows:
        write_rows(tmp_path / "gsm8k" / "test.jsonl", rows)
    with pytest.raises(EvalSetError, match=words):
        build_tasks(find_tasks(["gsm8k"], []), "gsm8k", tmp_path)


def test_a_benchmark_that_is_not_at_hand_keeps_nobody_back(tmp_path: Path) -> None:
    """It is listed with the reason and no requests; the others are asked."""
    for split in ("test", "train"):
        write_rows(tmp_path / "data" / "gsm8k" / f"{split}.jsonl", SUMS)
    (tmp_path / "data" / "humaneval").mkdir()
    (tmp_path / "gate.yaml").write_text(
        policy_text("gsm8k")
        .replace("task: mmlu", "task: gsm8k")
        .replace("sample: 60}", "sample: 4}\n  - {task: humaneval, kind: capability}")
        + "data: data\n"
    )
    _, uses = describe_eval_sets(load_policy(tmp_path / "gate.yaml"), tmp_path / "gate.yaml")
    assert [(u.task, u.n_requests, u.drawn) for u in uses] == [
        ("gsm8k", 4, True),
        ("humaneval_sandboxed", 0, False),
    ]
    assert "no file for the test split" in (uses[1].unavailable or "")


def mmlu_rows(*subjects: str, n: int = 6) -> list[dict[str, Any]]:
    return [
        {"subject": s, "question": f"{s} {i}?", "choices": ["a", "b", "c", "d"], "answer": i % 4}
        for s in subjects for i in range(n)
    ]  # fmt: skip


def test_a_missing_subject_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    """The group is asked without it; a file with no subject of the group is not at hand at all."""
    tasks = find_tasks(["mmlu_generative"], [])
    known = [leaf.removeprefix("mmlu_").removesuffix("_generative") for leaf in leaf_tasks(tasks, "mmlu_generative")]  # fmt: skip
    for split in ("test", "dev"):
        write_rows(tmp_path / "mmlu" / f"{split}.jsonl", mmlu_rows(*known[1:], n=5))
    uses = use_of(tasks, EvalSet(task="mmlu_generative", kind="capability", sample=112), tmp_path)
    assert sum(u.n_requests for u in uses) == 112
    (missing,) = [u for u in uses if u.unavailable]
    assert (missing.task, missing.group) == (f"mmlu_{known[0]}_generative", "mmlu_generative")
    first, second = describe_uses(uses)
    assert first.startswith("eval set mmlu_generative: 112 of 280 cases drawn over 56 tasks")
    assert f"goes on without mmlu_{known[0]}_generative (test.jsonl has no rows" in second
    (tmp_path / "mmlu" / "test.jsonl").write_text(json.dumps(mmlu_rows("alchemy")[0]) + "\n")
    with pytest.raises(EvalSetError, match="no rows of any of its tasks"):
        build_tasks(tasks, "mmlu_generative", tmp_path)


def test_what_cannot_be_loaded_is_a_warning_and_not_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No copy and no hub: said within seconds, with the remedy; a task's missing module likewise."""
    monkeypatch.setattr(hub, "answers", lambda _url: False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(EvalSetError) as error:
        build_tasks(find_tasks(["gsm8k"], []), "gsm8k")
    assert str(error.value).startswith("gsm8k: its data cannot be loaded (no copy here, and the hub does not answer); put a copy")  # fmt: skip
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "broken.yaml").write_text("task: broken\ncustom_dataset: !function ftgate_ext.no_such_module.load\n")  # fmt: skip
    with pytest.raises(EvalSetError, match=r"broken: cannot be loaded \(ImportError"):
        build_tasks(find_tasks(["broken"], [tmp_path / "broken"]), "broken")


def test_a_bug_in_a_loader_is_let_through(tmp_path: Path) -> None:
    """Only what a data set's loader may raise is a missing benchmark; anything else is a mistake."""
    (tmp_path / "buggy.py").write_text("def load(**_):\n    raise ZeroDivisionError\n")
    (tmp_path / "buggy.yaml").write_text(
        "task: buggy\ncustom_dataset: !function buggy.load\ntest_split: test\ndoc_to_text: x\n"
    )
    with pytest.raises(ZeroDivisionError):
        build_tasks(find_tasks(["buggy"], [tmp_path]), "buggy")


def test_the_hub_is_asked_once_and_briefly() -> None:
    """A closed port is no hub, whatever answers is one, and a process asks once."""
    import socket

    from fake_server import FakeServer

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert not hub.answers(f"http://127.0.0.1:{closed.getsockname()[1]}/")
    with FakeServer() as server:
        url = server.base_url.removesuffix("/v1") + "/nothing"
        assert hub.answers(url)  # 404 is an answer
    assert hub.answers(url)


def test_the_choice_is_told() -> None:
    """One sentence a benchmark that has variants; none for the others."""
    (said,) = describe_choices(parse_policy(policy_text(), "gate.yaml"))
    assert said.startswith("mmlu: asked as mmlu_generative of every model, because candidate is a chat")  # fmt: skip


def test_lines_on_what_is_asked() -> None:
    """Examples, repeats and turns stand in the line of the eval set."""
    use = EvalSetUse(task="t", file="f", sha256="", n_rows=2000, limit=20, drawn=True, fewshot=1, repeats=3, turns=2, config_source="")  # fmt: skip
    assert describe_uses([use]) == [
        "eval set t: 20 of 2,000 cases drawn, 1 worked example, each asked 3 times, 2 turns each, at the temperature that a row states, else 0"
    ]


def test_the_plan_says_what_a_draw_costs(tmp_path: Path) -> None:
    """The size of the draw decides what the rule sees; the note has both sizes and the choice."""
    rows = [{"question": f"What is {n} + 1?", "answer": f"#### {n + 1}"} for n in range(1319)]
    for split in ("test", "train"):
        write_rows(tmp_path / "data" / "gsm8k" / f"{split}.jsonl", rows)
    text = policy_text("gsm8k").replace("task: mmlu", "task: gsm8k")
    (tmp_path / "gate.yaml").write_text(text.replace("sample: 60", "sample: 500") + "data: data\n")
    plan = make_plan(tmp_path / "gate.yaml", allowed=["kept", "pooled"])
    assert plan.sets[0].n == 500
    assert "gsm8k: 500 of 1,319 cases are drawn: sees 4.0 pt; all 1,319 cases would see 2.4 pt." in plan.notes  # fmt: skip


@needs_public_data
def test_mmlu_is_drawn_over_its_subjects() -> None:
    """57 subjects of lm-eval's own group, each on its own rows, with its own five examples."""
    tasks = find_tasks(["mmlu_generative"], [])
    built = build_tasks(tasks, "mmlu_generative", FOLDER, 5)
    assert len(built) == 57
    assert sum(len(task.eval_docs) for task in built.values()) == 14_042
    anatomy = built["mmlu_anatomy_generative"]
    assert {doc["subject"] for doc in anatomy.eval_docs} == {"anatomy"}
    assert len(anatomy.fewshot_docs()) == 5
    assert leaf_tasks(tasks, "mmlu_generative") == list(built)
