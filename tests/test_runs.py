"""Run folders: what lm-eval and we wrote is read back, joined, or refused in one line."""

from __future__ import annotations

import json
import resource
import threading
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from fake_server import FakeServer, on_prompt
from hypothesis import given, settings
from hypothesis import strategies as st

from ftgate_ext.assets import asset_dir
from ftgate_ext.evalset import load_cases
from ftgate_ext.harness import evaluate, open_run, run_models
from ftgate_ext.inference.lm import FtgateChat
from ftgate_ext.lm_tasks import find_tasks, use_of
from ftgate_ext.policy import EvalSet, load_policy
from ftgate_ext.runs import (
    ModelRecords,
    find_unfinished,
    load_manifest,
    load_model_records,
    load_row,
    load_rows,
    model_folders,
    write_row,
    write_text,
)
from ftgate_ext.schema import Judgment, Qualification, Response, RunError, RunManifest

if TYPE_CHECKING:
    from pathlib import Path

GOLDEN = "codereview_golden"


def problem(caught: pytest.ExceptionInfo[RunError]) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


# Folders that lm-eval wrote


@pytest.fixture(scope="module")
def poison() -> str:
    """The purpose of the third golden case, which the server never answers."""
    return str(load_cases(asset_dir("golden") / f"{GOLDEN}.jsonl")[2]["purpose"])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, poison: str) -> ModelRecords:
    """Six golden cases asked through ftgate-chat, one of them in vain, as read back."""
    output = tmp_path_factory.mktemp("output")
    with FakeServer(on_prompt(poison, "400")) as server:
        journal = str(output / "candidate" / "responses.jsonl")
        lm = FtgateChat(server.base_url, "toy", responses=journal)
        tasks = find_tasks([GOLDEN], [])
        evaluate(
            lm,
            "candidate",
            output,
            use_of(tasks, EvalSet(task=GOLDEN, kind="golden", limit=6)),
            tasks,
            1234,
        )
        lm.close()
    return load_model_records(output / "candidate")


def test_records_follow_the_eval_set(written: ModelRecords) -> None:
    """One record a case, in the order of the file, with the row itself and the expected answer."""
    cases = load_cases(asset_dir("golden") / f"{GOLDEN}.jsonl")[:6]
    records = written.records[GOLDEN]
    assert [r.case_id for r in records] == [c["id"] for c in cases]
    assert [r.doc["code"] for r in records] == [c["code"] for c in cases]
    assert [r.target for r in records] == [c["verdict"] for c in cases]
    assert len({r.doc_hash for r in records}) == 6


def test_records_hold_the_message_of_the_user(written: ModelRecords) -> None:
    """The prompt is what was said, not the JSON in which lm-eval logs a chat."""
    assert all(r.prompt.startswith("Review the code below.") for r in written.records[GOLDEN])


def test_records_join_their_responses(written: ModelRecords) -> None:
    """Each record has its own response, with the same text."""
    for record in written.records[GOLDEN]:
        assert record.response is not None
        assert record.response.case_id == record.case_id
        assert record.response.prompt_hash == record.prompt_hash
        assert record.response.text == record.answer


def test_a_failed_request_has_no_score(written: ModelRecords, poison: str) -> None:
    """It is there, with its response, and counts as unanswered only."""
    records = written.records[GOLDEN]
    (failed,) = [r for r in records if r.doc["purpose"] == poison]
    assert failed.scores == {"unanswered": 1}
    assert failed.response is not None
    assert failed.response.status == "failed"
    others = [r.scores for r in records if r is not failed]
    assert all(s["unanswered"] == 0 and len(s["f1"]) == 3 for s in others)


def test_the_direction_of_a_metric_comes_from_the_task(written: ModelRecords) -> None:
    """More F1 is better, more unanswered requests are worse."""
    better = written.higher_is_better[GOLDEN]
    assert (better["f1"], better["unanswered"]) == (True, False)


def test_the_files_are_named(written: ModelRecords) -> None:
    """The figures can be traced to the files that they came from."""
    assert [p.name.split("_20")[0] for p in written.sources] == ["results", f"samples_{GOLDEN}"]


def test_the_folder_above_is_as_good(written: ModelRecords) -> None:
    """`lm_eval --output_path DIR` makes a folder for the model; DIR may be given as well."""
    assert load_model_records(written.folder.parent).records == written.records


# Folders made by hand


def sample(doc_id: int, **changes: Any) -> dict[str, Any]:
    """A line of samples_*.jsonl."""
    chat = json.dumps([{"role": "user", "content": f"question {doc_id}"}])
    return {
        "doc_id": doc_id, "doc": {"id": f"case-{doc_id}"}, "target": "yes", "filter": "none", "metrics": ["acc"], "acc": 1,
        "arguments": {"gen_args_0": {"arg_0": [chat], "arg_1": {}}}, "resps": [["yes"]], "filtered_resps": ["yes"],
        "doc_hash": f"d{doc_id}", "prompt_hash": f"p{doc_id}", "target_hash": "t",
    } | changes  # fmt: skip


def write_results(folder: Path, stamp: str, **tasks: list[dict[str, Any]] | None) -> None:
    """Write results of lm-eval; a task whose samples are None has none."""
    folder.mkdir(parents=True, exist_ok=True)
    results = {
        "configs": {t: {} for t in tasks},
        "higher_is_better": {t: {"acc": True} for t in tasks},
    }
    (folder / f"results_{stamp}.json").write_text(json.dumps(results), encoding="utf-8")
    for task, samples in tasks.items():
        if samples is not None:
            lines = "".join(json.dumps(s, ensure_ascii=False) + "\n" for s in samples)
            (folder / f"samples_{task}_{stamp}.jsonl").write_text(lines, encoding="utf-8")


def make_response(prompt_hash: str, **changes: Any) -> Response:
    fields: dict[str, Any] = {
        "case_id": "a", "task": "quiz", "prompt_hash": prompt_hash, "occurrence": 0, "request_hash": "r",
        "model_asked": "toy", "status": "ok", "finished_at": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    return Response(**fields | changes)


def write_responses(path: Path, *responses: Response) -> None:
    path.write_text("".join(r.model_dump_json() + "\n" for r in responses), encoding="utf-8")


OLD, MIDDLE, NEW = (f"2026-01-0{day}T10-00-00.000001" for day in (1, 2, 3))


def test_the_newest_results_win_task_by_task(tmp_path: Path) -> None:
    """A task that was run again is read from its last run, the others from theirs."""
    write_results(tmp_path, OLD, quiz=[sample(0, acc=0)], exam=[sample(7, acc=0)])
    write_results(tmp_path, NEW, quiz=[sample(0, acc=1), sample(1)])
    read = load_model_records(tmp_path)
    assert [r.scores["acc"] for r in read.records["quiz"]] == [1, 1]
    assert [r.scores["acc"] for r in read.records["exam"]] == [0]
    assert {p.name for p in read.sources} == {
        f"results_{NEW}.json", f"samples_quiz_{NEW}.jsonl", f"samples_exam_{OLD}.jsonl",
    }  # fmt: skip


def test_results_cut_off_before_their_samples_do_not_count(tmp_path: Path) -> None:
    """lm-eval writes samples last; killed before that, the last complete results are read."""
    write_results(tmp_path, OLD, quiz=[sample(0, acc=0)])
    write_results(tmp_path, NEW, quiz=None)
    assert load_model_records(tmp_path).records["quiz"][0].scores == {"acc": 0}


def test_results_without_samples_are_refused(tmp_path: Path) -> None:
    """Without samples nothing can be paired: the message names the file and the flag."""
    write_results(tmp_path, NEW, exam=[sample(0)], quiz=None)
    words = rf"results_{NEW}\.json: no samples_quiz_{NEW}\.jsonl beside it; run lm_eval with --log_samples\."
    with pytest.raises(RunError, match=words) as caught:
        load_model_records(tmp_path)
    problem(caught)


def test_no_results_are_refused(tmp_path: Path) -> None:
    """An empty or missing folder says what was expected there."""
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(RunError, match=r"no results_\*\.json; expected a folder") as caught:
            load_model_records(folder)
        assert problem(caught).startswith(f"{folder}: ")


def test_two_models_are_never_mixed(tmp_path: Path) -> None:
    """A folder above two models is refused, and both are named."""
    write_results(tmp_path / "old_model", OLD, quiz=[sample(0)])
    write_results(tmp_path / "new_model", NEW, exam=[sample(0)])
    with pytest.raises(
        RunError, match=r"several models \(.*new_model, .*old_model\); name"
    ) as caught:
        load_model_records(tmp_path)
    problem(caught)


def test_several_filters_are_one_record(tmp_path: Path) -> None:
    """lm-eval writes a line for each filter; scores get the filter's name, other lines stay apart."""
    lines = [
        sample(i, filter=name, acc=acc)
        for name, acc in (("none", 0), ("strict", 1), ("flexible", 0.5))
        for i in (0, 1)
    ]
    write_results(tmp_path, NEW, quiz=lines)
    records = load_model_records(tmp_path).records["quiz"]
    assert [r.case_id for r in records] == ["case-0", "case-1"]
    assert records[1].scores == {"acc": 0, "acc,strict": 1, "acc,flexible": 0.5}


def test_responses_join_by_prompt_and_occurrence(tmp_path: Path) -> None:
    """The same prompt twice, with two samples each, takes occurrences 0 and 2; the last line counts."""
    twice: dict[str, Any] = {"prompt_hash": "p", "resps": [["one", "two"]]}
    write_results(tmp_path, NEW, quiz=[sample(0, **twice), sample(1), sample(2, **twice)])
    failed = make_response("p", occurrence=2, status="failed")
    answered = [make_response("p", occurrence=i, text=f"text {i}") for i in range(4)]
    other = make_response("p1", task="exam")
    write_responses(tmp_path / "responses.jsonl", failed, *answered, other)
    first, second, third = load_model_records(tmp_path).records["quiz"]
    assert first.response == answered[0]
    assert third.response == answered[2]
    assert second.response is None  # only another task asked this prompt
    assert (first.answer, third.answer) == ("one", "one")


def test_a_bare_lm_eval_has_its_responses_in_a_file_of_its_own(tmp_path: Path) -> None:
    """The journal that was opened last before the results is theirs; later ones are not."""
    write_results(tmp_path, MIDDLE, quiz=[sample(0)])
    for day, text in ((OLD, "too old"), ("2026-01-02T09-00-00.000001", "mine"), (NEW, "too new")):
        write_responses(tmp_path / f"responses_{day}.jsonl", make_response("p0", text=text))
    response = load_model_records(tmp_path).records["quiz"][0].response
    assert response is not None
    assert response.text == "mine"


def test_without_responses_there_is_no_latency(tmp_path: Path) -> None:
    """Results of another model class of lm-eval are read; what they do not know stays unknown."""
    write_results(tmp_path, NEW, quiz=[sample(0)])
    assert load_model_records(tmp_path).records["quiz"][0].response is None


def test_line_separators_inside_a_text_end_no_line(tmp_path: Path) -> None:
    """U+2028 and the like stand unescaped in lm-eval's files; they are part of the answer."""
    answer = "one\u2028two\u2029three\x85four\x0bfive"
    write_results(tmp_path, NEW, quiz=[sample(0, resps=[[answer]])])
    assert load_model_records(tmp_path).records["quiz"][0].answer == answer


ARGUMENTS: dict[str, tuple[Any, str]] = {
    "chat": (
        [json.dumps([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}])],
        "u",
    ),
    "plain": ("What is 2 + 2?", "What is 2 + 2?"),
    "a number": ("42", "42"),
    "a list that is no chat": ("[1, 2]", "[1, 2]"),
    "an empty list": ("[]", "[]"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_prompt_is_text(name: str, tmp_path: Path) -> None:
    """A chat gives its last message; a plain prompt stays as it is, even if it looks like JSON."""
    logged, prompt = ARGUMENTS[name]
    line = sample(
        0, arguments={"gen_args_0": {"arg_0": logged}}, doc="a text", resps=[[("yes", True)]]
    )
    write_results(tmp_path, NEW, quiz=[line])
    (record,) = load_model_records(tmp_path).records["quiz"]
    assert (record.prompt, record.doc, record.case_id) == (prompt, {"doc": "a text"}, "0")


BROKEN_SAMPLES = {
    "torn": '{"doc_id": 1, "doc', "list": "[1]", "number": "7", "not a sample": '{"id": "golden-0001"}',
    "no arguments": json.dumps(sample(1, arguments={})), "no metrics": json.dumps(sample(1, metrics=None)),
    "metric without a score": json.dumps(sample(1, metrics=["f1"])), "empty": "",
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN_SAMPLES)
def test_a_broken_sample_is_one_line(name: str, tmp_path: Path) -> None:
    """File, line and what to do, whatever the line looks like."""
    write_results(tmp_path, NEW, quiz=[sample(0)])
    path = tmp_path / f"samples_quiz_{NEW}.jsonl"
    path.write_text(path.read_text() + BROKEN_SAMPLES[name] + "\n", encoding="utf-8")
    with pytest.raises(
        RunError, match=r":2: not a sample of lm-eval \(.+\); run that model"
    ) as caught:
        load_model_records(tmp_path)
    assert problem(caught).startswith(str(path))


@pytest.mark.parametrize("content", ["", "{", "[]", "\xff"])
def test_broken_results_are_one_line(content: str, tmp_path: Path) -> None:
    """A results file that is no JSON object is named."""
    path = tmp_path / f"results_{NEW}.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(RunError, match=r"not readable as JSON|expected an object") as caught:
        load_model_records(tmp_path)
    assert problem(caught).startswith(str(path))


# A whole run

POLICY = """
version: 1
name: two cases
models:
  candidate: {{endpoint: "{url}", model: toy}}
eval_sets:
  - {{task: codereview_golden, kind: golden, limit: 2}}
  - {{task: codereview_shadow, kind: shadow, limit: 2}}
run: {{max_attempts: 1}}
rules:
  - {{name: good, kind: floor, task: codereview_golden, metric: f1, threshold: 0.5}}
"""


def run_policy(policy_file: Path, run_dir: Path) -> RunManifest:
    policy = load_policy(policy_file)
    return run_models(open_run(policy, policy_file, run_dir), policy)


KILLED = {
    "before the samples": lambda path: path.unlink(),
    "within a sample": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "between two samples": lambda path: path.write_bytes(path.read_bytes().splitlines(keepends=True)[0]),
    "within the results": lambda path: next(path.parent.glob("results_*")).write_bytes(b'{"results": '),
}  # fmt: skip


@pytest.mark.parametrize("moment", KILLED)
def test_a_run_killed_while_results_were_written_is_resumed(
    moment: str, fake_server: FakeServer, tmp_path: Path
) -> None:
    """The same command ends it without asking anything again, and reads the whole results."""
    policy_file, run_dir = tmp_path / "gate.yaml", tmp_path / "run"
    policy_file.write_text(POLICY.format(url=fake_server.base_url), encoding="utf-8")
    assert run_policy(policy_file, run_dir).finished_at is not None
    before = load_model_records(run_dir / "candidate").records
    (samples,) = (run_dir / "candidate").glob("samples_codereview_shadow_*.jsonl")
    KILLED[moment](samples)
    run_policy(policy_file, run_dir)
    assert load_model_records(run_dir / "candidate").records == before
    assert len(fake_server.chats) == 4
    assert model_folders(run_dir) == {"candidate": run_dir / "candidate"}
    run_policy(policy_file, run_dir)  # complete: nothing is written again
    assert len(list((run_dir / "candidate").glob("results_*.json"))) == 2


def make_manifest(**changes: Any) -> RunManifest:
    fields: dict[str, Any] = {
        "run_id": "r", "policy_name": "p", "policy_hash": "h", "generation_hash": "g", "models": [],
        "created_at": datetime.now(timezone.utc).isoformat(), "seed": 1, "concurrency": 1, "versions": {},
    }  # fmt: skip
    return RunManifest(**fields | changes)


def test_only_an_unfinished_run_of_the_same_policy_is_resumed(tmp_path: Path) -> None:
    """Finished, foreign, broken and old runs are passed over; the newest that fits is taken."""
    now = datetime.now(timezone.utc)
    old = (now - timedelta(days=1, minutes=1)).isoformat()
    for name, changes in {
        "1-fits": {}, "2-fits": {}, "3-finished": {"finished_at": now.isoformat()},
        "4-foreign": {"generation_hash": "other"}, "5-old": {"created_at": old},
    }.items():  # fmt: skip
        write_row(tmp_path / name / "run.json", make_manifest(run_id=name, **changes))
    write_text(tmp_path / "6-broken" / "run.json", "{")
    assert find_unfinished(tmp_path, "g") == tmp_path / "2-fits"
    assert find_unfinished(tmp_path, "nobody's") is None
    assert find_unfinished(tmp_path / "nowhere", "g") is None


# Our own files


def make_qualification(**changes: Any) -> Qualification:
    fields: dict[str, Any] = {
        "judge_model": "j", "fingerprint": "f", "fit": True, "reasons": [], "n_pairs": 1, "n_identical": 0, "n_unparsed": 0,
    }  # fmt: skip
    return Qualification(**fields | changes)


@settings(max_examples=30, deadline=None)
@given(
    st.text(max_size=20),
    st.lists(st.text(max_size=20), max_size=3),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_a_row_comes_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, name: str, reasons: list[str], cost: float
) -> None:
    """Any text and number survives the file."""
    row = make_qualification(judge_model=name, reasons=reasons, cost_usd=cost)
    path = write_row(tmp_path_factory.mktemp("row") / "judge.json", row)
    assert load_row(path, Qualification, "judge") == row


OTHER_VERSIONS: dict[str, tuple[dict[str, Any], str]] = {
    "newer format": ({"format_version": 2}, r"format_version 2; this ftgate reads 1\. Run `ftgate judge` again"),
    "no number": ({"format_version": "1.0"}, r"format_version '1\.0'; this ftgate reads 1"),
    "new field": ({"mood": "good"}, r"mood: extra inputs are not permitted; made by another version\? Run `ftgate judge` again"),
    "another type": ({"fit": "perhaps"}, r"fit: input should be a valid boolean, .*; made by another version\?"),
    "not a number": ({"cost_usd": float("nan")}, r"cost_usd: input should be a finite number; made by"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER_VERSIONS)
def test_a_file_of_another_version_is_one_line(name: str, tmp_path: Path) -> None:
    """It is refused, not guessed at: which field, and which stage writes it anew."""
    changes, words = OTHER_VERSIONS[name]
    content = make_qualification().model_dump() | changes
    path = write_text(tmp_path / "judge.json", json.dumps(content))
    with pytest.raises(RunError, match=words) as caught:
        load_row(path, Qualification, "judge")
    assert problem(caught).startswith(f"{path}: ")


def test_a_file_with_a_field_missing_is_one_line(tmp_path: Path) -> None:
    """The field is named."""
    path = write_text(tmp_path / "run.json", '{"run_id": "r"}')
    with pytest.raises(
        RunError, match=r"policy_name: field required; .* Run `ftgate run` again\."
    ) as caught:
        load_manifest(tmp_path)
    assert problem(caught).startswith(f"{path}: ")


def test_a_missing_file_names_its_stage(tmp_path: Path) -> None:
    """Stages may be called in the wrong order."""
    with pytest.raises(
        RunError, match=r"judge\.json: not there; run `ftgate judge` first\."
    ) as caught:
        load_row(tmp_path / "judge.json", Qualification, "judge")
    problem(caught)


def make_judgment(case_id: str) -> Judgment:
    return Judgment(
        task="t", case_id=case_id, doc_hash="d", baseline="production", first="candidate", round=0, judge_model="j",
        fingerprint="f", pair_hash="p", raw_verdict="tie", verdict="tie", response=make_response("p", text="{}"),
        scores={"candidate": {"clarity": 1}},
    )  # fmt: skip


def test_rows_pass_over_a_last_line_torn_anywhere(tmp_path: Path) -> None:
    """No file has no rows; a line that ends too early, even after a brace, is no row."""
    path = tmp_path / "judgments.jsonl"
    assert load_rows(path, Judgment) == []
    rows = [make_judgment("a"), make_judgment("b")]
    first, second = (row.model_dump_json().encode() for row in rows)
    braces = [at for at, byte in enumerate(second) if byte == ord("}")]
    for cut in {*range(0, len(second), 11), *(at + 1 for at in braces[:-1]), len(second) - 1}:
        path.write_bytes(first + b"\n" + second[:cut])
        assert load_rows(path, Judgment) == rows[:1], second[:cut]
    path.write_bytes(first + b"\n" + second)
    assert load_rows(path, Judgment) == rows


def test_a_broken_row_is_one_line(tmp_path: Path) -> None:
    """File, line, what to do."""
    line = make_judgment("a").model_dump_json()
    path = write_text(tmp_path / "judgments.jsonl", f"{line}\n{{}}\n{line}\n")
    with pytest.raises(
        RunError, match=r"judgments\.jsonl:2: field required; move the file away"
    ) as caught:
        load_rows(path, Judgment)
    problem(caught)


# Writing


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    """While a file is written again and again, a reader finds one whole text or the other."""
    path, texts = tmp_path / "report.md", ("a" * 300_000, "b" * 300_000)
    write_text(path, texts[0])

    def write_often() -> None:
        for n in range(60):
            write_text(path, texts[n % 2])

    writer = threading.Thread(target=write_often)
    writer.start()
    seen = set()
    while writer.is_alive():
        seen.add(path.read_text(encoding="utf-8"))
    writer.join()
    assert seen <= set(texts)
    assert [p.name for p in tmp_path.iterdir()] == ["report.md"]


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    """A full disk is one line; the old text stands, and no half file lies beside it."""
    path = write_text(tmp_path / "report.md", "old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(
            RunError, match=r"report\.md: cannot be written \(.+\); choose"
        ) as caught:
            write_text(path, "new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    problem(caught)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_a_folder_below_a_file_is_one_line(tmp_path: Path) -> None:
    """Folders are made where they are missing, and said where they cannot be."""
    assert write_text(tmp_path / "a" / "b" / "c.md", "text").read_text() == "text"
    with pytest.raises(
        RunError, match=r"d\.md: cannot be written \(.+\); choose another"
    ) as caught:
        write_text(tmp_path / "a" / "b" / "c.md" / "d.md", "text")
    problem(caught)
