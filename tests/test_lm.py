"""`ftgate-chat` inside lm-eval: every request accounted for, failures told from wrong answers."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fake_server import FakeServer, Reply
from lm_eval.evaluator import simple_evaluate
from lm_eval.tasks import TaskManager

from ftgate_ext.assets import asset_dir
from ftgate_ext.evalset import Case, file_sha256, load_cases
from ftgate_ext.inference.journal import read_responses
from ftgate_ext.inference.lm import FtgateChat, _beside_results
from ftgate_ext.schema import RunError

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = "codereview_golden"
ASKED = list(range(6))
KEY = "sk-test-0123456789abcdef"

pytestmark = pytest.mark.usefixtures("quick_retries")


@pytest.fixture(scope="module")
def tasks() -> TaskManager:
    """lm-eval's view of our tasks and no others."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    return TaskManager(include_defaults=False, include_path=str(asset_dir("tasks")))


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """The golden cases that are asked."""
    rows = load_cases(asset_dir("golden") / f"{GOLDEN}.jsonl")
    return [rows[i] for i in ASKED]


def perfect(case: Case) -> str:
    """The expert's own review of a case."""
    keys = ("verdict", "category", "severity", "comment")
    line = case["lines"][0] if case["lines"] else None
    return json.dumps({key: case[key] for key in keys} | {"line": line})


def expert(
    cases: list[Case], **others: Reply | str
) -> Callable[[int, dict[str, Any]], Reply | str]:
    """A script that answers as the expert does, but gives some case ids something else."""

    def script(_n: int, body: dict[str, Any]) -> Reply | str:
        prompt = body["messages"][-1]["content"]
        case = next(c for c in cases if f"Purpose: {c['purpose']}\n" in prompt)
        return others.get(case["id"], Reply(perfect(case)))

    return script


def make_lm(server: FakeServer, path: Path | None = None, **options: Any) -> FtgateChat:
    responses = str(path / "responses.jsonl") if path else None
    return FtgateChat(server.base_url, "toy", responses=responses, **{"max_retries": 1, **options})


def evaluate(
    lm: FtgateChat, tasks: TaskManager, task: str = GOLDEN, **options: Any
) -> dict[str, Any]:
    """lm-eval's results and samples."""
    try:
        samples = {GOLDEN: ASKED} if task == GOLDEN else None
        results = simple_evaluate(
            model=lm, tasks=[task], task_manager=tasks, bootstrap_iters=0,
            **{"samples": samples, "apply_chat_template": True, **options},
        )  # fmt: skip
    finally:
        lm.close()
    assert results is not None
    return dict(results)


def write_task(folder: Path, yaml_text: str, rows: list[Case]) -> TaskManager:
    """A task of one's own, beside its data."""
    (folder / "own.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    head = (
        "task: own\ncustom_dataset: !function ftgate_ext.evalset.load_task_data\n"
        "dataset_kwargs: {file: own.jsonl}\ntest_split: test\nnum_fewshot: 0\n"
    )
    (folder / "own.yaml").write_text(head + yaml_text, encoding="utf-8")
    return TaskManager(include_defaults=False, include_path=str(folder))


# Scores


def test_the_expert_scores_one(tmp_path: Path, tasks: TaskManager, cases: list[Case]) -> None:
    """Right answers score 1 in every metric, and every request was answered."""
    with FakeServer(expert(cases)) as server:
        scores = evaluate(make_lm(server, tmp_path), tasks)["results"][GOLDEN]
    for metric in ("f1", "defect_f1", "verdict_acc", "located_acc", "valid_review"):
        assert scores[f"{metric},none"] == 1.0, metric
    assert scores["unanswered,none"] == 0


@pytest.mark.parametrize("fault", ["500", "html", "400"])
def test_a_failed_request_is_left_out_and_counted(
    fault: str, tmp_path: Path, tasks: TaskManager, cases: list[Case]
) -> None:
    """A case without an answer is not a wrong case: it is missing from every score but `unanswered`."""
    broken = next(c["id"] for c in cases if c["verdict"] == "defect")
    with FakeServer(expert(cases, **{broken: fault})) as server:
        results = evaluate(make_lm(server, tmp_path), tasks)
    scores = results["results"][GOLDEN]
    assert (scores["f1,none"], scores["verdict_acc,none"], scores["unanswered,none"]) == (
        1.0,
        1.0,
        1,
    )
    samples = {s["doc"]["id"]: s for s in results["samples"][GOLDEN]}
    assert samples[broken]["metrics"] == ["unanswered"]
    assert sum("f1" in s["metrics"] for s in samples.values()) == len(ASKED) - 1


@pytest.mark.parametrize(
    "fault", ["empty", "null content", "length", "content filter", "tool calls"]
)
def test_a_poor_answer_is_scored(
    fault: str, tmp_path: Path, tasks: TaskManager, cases: list[Case]
) -> None:
    """Nothing, half an answer or a refusal is an answer of the model, and a wrong one."""
    case = next(c for c in cases if c["verdict"] == "defect")
    with FakeServer(expert(cases, **{case["id"]: fault})) as server:
        results = evaluate(make_lm(server, tmp_path), tasks)
    sample = next(s for s in results["samples"][GOLDEN] if s["doc"]["id"] == case["id"])
    assert (sample["f1"], sample["verdict_acc"], sample["unanswered"]) == ([0, 0, 1], 0, 0)
    assert results["results"][GOLDEN]["f1,none"] < 1.0


# The journal beside the samples


@pytest.mark.parametrize("chat", [True, False])
def test_responses_join_samples_by_prompt_hash(
    chat: bool, tmp_path: Path, tasks: TaskManager, cases: list[Case]
) -> None:
    """Every sample has exactly one response with its prompt hash and case id, with its text."""
    with FakeServer(expert(cases)) as server:
        results = evaluate(make_lm(server, tmp_path), tasks, apply_chat_template=chat)
    responses = {r.prompt_hash: r for r in read_responses(tmp_path / "responses.jsonl")}
    samples = results["samples"][GOLDEN]
    assert set(responses) == {s["prompt_hash"] for s in samples}
    for sample in samples:
        response = responses[sample["prompt_hash"]]
        assert (response.case_id, response.task) == (sample["doc"]["id"], GOLDEN)
        assert response.text == sample["resps"][0][0]


def test_answers_are_used_again(tmp_path: Path, tasks: TaskManager, cases: list[Case]) -> None:
    """With `reuse` a second evaluation gives the same scores without a request."""
    with FakeServer(expert(cases)) as server:
        first = evaluate(make_lm(server, tmp_path, reuse=True), tasks)
        second = evaluate(make_lm(server, tmp_path, reuse=True), tasks)
        assert len(server.chats) == len(ASKED)
    assert first["results"] == second["results"]


REPEATED = """
doc_to_text: "{{question}}"
doc_to_target: "yes"
output_type: generate_until
repeats: 3
generation_kwargs: {until: ["a", "b", "c", "d", "e"], do_sample: true, temperature: 0.7, top_p: 0.9}
metric_list: [{metric: exact_match}]
"""


def test_repeats_are_told_apart(tmp_path: Path) -> None:
    """Three samples of one prompt are three occurrences, asked with three seeds."""
    tasks = write_task(tmp_path, REPEATED, [{"id": "own-1", "question": "Well?"}])
    with FakeServer(lambda _n, body: Reply(str(body["seed"]))) as server:
        results = evaluate(make_lm(server, tmp_path, seed=5), tasks, task="own")
    responses = read_responses(tmp_path / "responses.jsonl")
    assert sorted((r.occurrence, r.text) for r in responses) == [(0, "5"), (1, "6"), (2, "7")]
    assert results["samples"]["own"][0]["resps"] == [["5", "6", "7"]]


def test_the_same_prompt_in_two_cases_is_told_apart(tmp_path: Path) -> None:
    """Two rows with one text are asked twice; greedy requests all carry the same seed."""
    yaml_text = REPEATED.replace("repeats: 3\n", "").replace(
        "do_sample: true, temperature: 0.7", "temperature: 0"
    )
    rows = [{"id": f"own-{i}", "question": "Well?"} for i in (1, 2)]
    with FakeServer(lambda n, _body: Reply(str(n))) as server:
        evaluate(
            make_lm(server, tmp_path, num_concurrent=1),
            write_task(tmp_path, yaml_text, rows),
            task="own",
        )
        assert {r.body["seed"] for r in server.chats} == {1234}
    responses = read_responses(tmp_path / "responses.jsonl")
    assert [(r.case_id, r.occurrence, r.text) for r in responses] == [
        ("own-1", 0, "0"),
        ("own-2", 1, "1"),
    ]


# What is sent


def test_the_task_decides_what_is_sent(
    fake_server: FakeServer, tmp_path: Path, tasks: TaskManager
) -> None:
    """The golden task asks greedily, with its own token limit, our seed and no stop sequence."""
    evaluate(make_lm(fake_server, tmp_path), tasks, system_instruction="Be brief.")
    body = fake_server.chats[0].body
    assert [m["role"] for m in body.pop("messages")] == ["system", "user"]
    assert body == {"model": "toy", "max_tokens": 256, "temperature": 0, "seed": 1234}


def test_sampling_parameters_travel_and_stops_are_limited(tmp_path: Path) -> None:
    """OpenAI takes four stop sequences; the fifth is cut on our side."""
    tasks = write_task(tmp_path, REPEATED, [{"id": "own-1", "question": "Well?"}])
    with FakeServer(Reply("x then e and more")) as server:
        results = evaluate(make_lm(server, tmp_path, max_gen_toks=77), tasks, task="own")
    body = server.chats[0].body
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.7, 0.9, 77)
    assert body["stop"] == ["a", "b", "c", "d"]
    assert results["samples"]["own"][0]["resps"] == [["x th"] * 3]


def test_it_works_inside_a_running_event_loop(
    fake_server: FakeServer, tmp_path: Path, tasks: TaskManager
) -> None:
    """A notebook has a loop in its thread; making the model and evaluating both work there."""

    async def notebook_cell() -> dict[str, Any]:
        return evaluate(make_lm(fake_server, tmp_path), tasks)

    assert asyncio.run(notebook_cell())["results"][GOLDEN]["unanswered,none"] == 0


LONG_RUN = """
import signal, sys
# A shell that runs the tests in the background makes its children ignore the signal.
signal.signal(signal.SIGINT, signal.default_int_handler)
from lm_eval.api.instance import Instance
from ftgate_ext.inference.lm import FtgateChat
path, url = sys.argv[1:]
show = lambda response, known: print(".", end="", flush=True)
lm = FtgateChat(url, "toy", responses=path, num_concurrent=4, on_response=show)
asked = [Instance("generate_until", {"id": str(i)}, (str(i), {}), i, metadata=("quiz", i, 1)) for i in range(99)]
lm.generate_until(asked)
"""


def test_an_interrupt_ends_a_run_at_once(tmp_path: Path) -> None:
    """Ctrl-C does not wait for the requests that are still to be answered; finished ones are kept."""
    path = tmp_path / "responses.jsonl"
    with FakeServer(lambda n, _body: "good" if n < 8 else "hang") as server:
        process = subprocess.Popen(
            [sys.executable, "-c", LONG_RUN, str(path), server.base_url],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stdout.read(8) == b"........"
            process.send_signal(signal.SIGINT)
            errors = process.communicate(timeout=10)[1]
        finally:
            process.kill()
            process.communicate()
    assert b"KeyboardInterrupt" in errors
    assert len(read_responses(path)) == 8


# What is refused

REFUSED = {
    "a key": ({"api_key": KEY}, r"'api_key' would be written into the results; .*api_key_env"),
    "a header": ({"header": {"Authorization": KEY}}, r"'header' would be written into the results"),
    "a spelling mistake": ({"num_concurent": 4}, r"unknown argument 'num_concurent' of ftgate-chat; expected base_url"),
    "no concurrency": ({"num_concurrent": 0}, r"num_concurrent is 0; expected a number above 0"),
    "no attempts": ({"max_retries": 0}, r"max_retries is 0; expected a number above 0"),
    "words for numbers": ({"timeout": "long"}, r"timeout is 'long'; expected a number above 0"),
    "a missing key": ({"api_key_env": "MY_KEY"}, r"environment variable MY_KEY is not set"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_arguments_are_one_line(name: str, fake_server: FakeServer, tmp_path: Path) -> None:
    """An argument that is wrong, or would put a key into the results, is refused before anything."""
    options, words = REFUSED[name]
    with pytest.raises(RunError, match=words) as caught:
        make_lm(fake_server, tmp_path, **options)
    assert "\n" not in str(caught.value)
    assert KEY not in str(caught.value)
    assert (fake_server.received, list(tmp_path.iterdir())) == ([], [])


@pytest.mark.parametrize("url", ["http://me:{KEY}@localhost/v1", "http://localhost/v1?key={KEY}"])
def test_keys_in_a_url_are_refused(url: str) -> None:
    """The base URL is written into the results, so it may hold no key; the message shows none."""
    with pytest.raises(RunError, match="base_url holds credentials or a query") as caught:
        FtgateChat(url.format(KEY=KEY), "toy")
    assert KEY not in str(caught.value)


def test_an_unknown_model_leaves_no_file(fake_server: FakeServer, tmp_path: Path) -> None:
    """What is not served is said before anything is written."""
    with pytest.raises(RunError, match="does not serve model 'big'; it serves 'toy'"):
        FtgateChat(fake_server.base_url, "big", responses=str(tmp_path / "responses.jsonl"))
    assert list(tmp_path.iterdir()) == []


def test_log_likelihoods_are_refused_with_a_way_out(
    fake_server: FakeServer, tmp_path: Path
) -> None:
    """A multiple-choice task names itself and what to do instead."""
    yaml_text = 'doc_to_text: "{{q}}"\ndoc_to_choice: ["yes", "no"]\ndoc_to_target: 0\noutput_type: multiple_choice\n'
    tasks = write_task(tmp_path, yaml_text, [{"id": "own-1", "q": "Well?"}])
    with pytest.raises(
        RunError, match=r"^own: scored by log-likelihoods.*no generative.*backend: hf"
    ):
        evaluate(make_lm(fake_server, tmp_path), tasks, task="own")
    with pytest.raises(RunError, match="scored by log-likelihoods"):
        make_lm(fake_server).loglikelihood_rolling([])
    assert fake_server.chats == []


# What lm-eval writes down


def test_results_identify_model_and_data_and_hold_no_secret(
    fake_server: FakeServer, tmp_path: Path, tasks: TaskManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Endpoint, models, file names and the hash of the data are there; the key is nowhere."""
    monkeypatch.setenv("FTGATE_API_KEY", KEY)
    results = evaluate(make_lm(fake_server, tmp_path), tasks)
    config = results["config"]
    assert config["base_url"] == fake_server.base_url
    assert (config["model_asked"], config["served_models"]) == ("toy", ["toy"])
    assert config["responses_file"] == "responses.jsonl"
    data = asset_dir("golden") / f"{GOLDEN}.jsonl"
    used = next(u for source, u in config["eval_sets"].items() if source.endswith(f"{GOLDEN}.yaml"))
    rows = len(load_cases(data))
    assert used == {"file": data.name, "sha256": file_sha256(data), "n_rows": rows}
    assert fake_server.chats[0].headers["Authorization"] == f"Bearer {KEY}"
    assert KEY not in json.dumps(results, default=str)
    assert KEY not in (tmp_path / "responses.jsonl").read_text(encoding="utf-8")


def test_arguments_of_lm_eval_are_understood(fake_server: FakeServer) -> None:
    """`--model_args` as lm-eval parses it; a full chat URL and lm-eval's own options are no mistake."""
    line = f"base_url={fake_server.base_url}/chat/completions,model=toy,num_concurrent=2,timeout=9"
    lm = FtgateChat.create_from_arg_string(line, {"batch_size": 1, "device": None})
    assert lm.endpoint.base_url == fake_server.base_url
    assert (lm.endpoint.concurrency, lm.endpoint.timeout_s) == (2, 9.0)


OUTPUTS = {
    "lm_eval --output_path out": "out/my__model", "lm_eval --output_path=out --limit 4": "out/my__model",
    "lm_eval -o out/all.json": "out", "lm_eval --limit 4": None, "lm_eval --output_path": None,
}  # fmt: skip


@pytest.mark.parametrize("command", OUTPUTS)
def test_responses_lie_beside_the_results_of_a_bare_lm_eval(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """lm-eval does not tell its models where it writes, so its command line is read."""
    monkeypatch.setattr("sys.argv", command.split())
    path = _beside_results("my/model")
    folder = OUTPUTS[command]
    assert (path and path.parent) == (folder and Path(folder))
    if path:
        assert path.name.startswith("responses_20")
        assert path.suffix == ".jsonl"
        assert ":" not in path.name


@pytest.mark.parametrize(("cap", "sent"), [(None, 256), (96, 96), (1000, 256)])
def test_a_cap_on_new_tokens_holds_whatever_the_task_says(
    fake_server: FakeServer, tmp_path: Path, tasks: TaskManager, cap: int | None, sent: int
) -> None:
    """The policy's run.max_tokens lowers a task's own limit and never raises it."""
    evaluate(make_lm(fake_server, tmp_path, max_tokens=cap), tasks)
    assert {chat.body["max_tokens"] for chat in fake_server.chats} == {sent}
