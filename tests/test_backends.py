"""lm-eval's own models as backends of a policy: refused early, scored as usual, honest about the rest."""

from __future__ import annotations

import importlib.util
import json
from typing import TYPE_CHECKING, Any

import pytest
from fake_server import FakeServer, Reply
from sums import write_sums

from ftgate_ext.doctor import check_policy
from ftgate_ext.executors.backends import OneLine, check_backend
from ftgate_ext.executors.weights import EDGE, WHOLE_UP_TO, identify_weights
from ftgate_ext.gate import run_policy
from ftgate_ext.policy import load_policy, parse_policy
from ftgate_ext.policy_servers import ModelSpec
from ftgate_ext.runs import load_manifest, load_model_records
from ftgate_ext.schema import PolicyError, RunError
from ftgate_ext.stages import compare_run, decide_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = 4
POLICY = """\
version: 1
name: backends
models:
  candidate: {{backend: local-chat-completions, model: toy, model_args: {{base_url: "{url}/chat/completions", max_retries: 1}}}}
  production: {{endpoint: {url}, model: toy}}
eval_sets:
  - {{task: sums, kind: golden}}
  - {{task: products, kind: golden}}
task_paths: [tasks]
run: {{max_attempts: 1, max_tokens: 16, resamples: 1000}}
rules:
  - {{name: kept, kind: non_inferiority, task: sums, metric: exact_match, margin_pt: 5}}
  - {{name: cheap, kind: budget, quantity: cost_usd_per_request, maximum: 1}}
  - {{name: fast, kind: budget, quantity: latency_p95_s, maximum: 60}}
"""


def answer(_n: int, body: dict[str, Any]) -> Reply:
    number = str(body["messages"][-1]["content"]).split()[1].removesuffix("?")
    return Reply(text=number if int(number) % 2 else "no idea")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(answer) as running:
        yield running


@pytest.fixture
def gate(tmp_path: Path, server: FakeServer) -> Path:
    """A policy whose candidate answers through lm-eval's own client."""
    write_sums(tmp_path, ROWS, max_gen_toks=40)
    path = tmp_path / "gate.yaml"
    path.write_text(POLICY.format(url=server.base_url), encoding="utf-8")
    return path


# Before anything is loaded

REFUSED = {
    "backend: hf, model_args: {api_key: abc}": "`api_key` would be written into the results",
    "backend: hf, model_args: {auth_token: abc}": "`auth_token` would be written",
    "backend: hf, model_args: {revision: hf_abcdefgh}": "`revision` would be written",
    'backend: local-completions, model_args: {base_url: "http://u:p@h/v1"}': "holds credentials or a query",
    'backend: local-completions, model_args: {base_url: "http://h/v1?key=1"}': "holds credentials or a query",
    'backend: hf, endpoint: "http://h/v1"': "`endpoint` is for ftgate-chat",
    'endpoint: "http://h/v1", model_args: {a: 1}': "`model_args` are for lm-eval's own backends",
    'endpoint: "http://h/v1", chat_template: false': "is for lm-eval's own backends",
}  # fmt: skip


@pytest.mark.parametrize("model", REFUSED)
def test_a_model_that_makes_no_sense_is_refused(model: str) -> None:
    """Keys, and fields of the other kind of backend, are one line with the place in the file."""
    text = POLICY.format(url="http://h/v1").replace(
        "  production: {endpoint: http://h/v1, model: toy}",
        f"  production: {{model: toy, {model}}}",
    )
    with pytest.raises(PolicyError, match=r"gate\.yaml:\d+: models\.production") as caught:
        parse_policy(text, "gate.yaml")
    assert REFUSED[model] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_words_of_a_model_are_no_secrets() -> None:
    """`think_end_token` and the like are arguments of lm-eval's models that hold no key."""
    args: dict[str, str | int | float | bool] = {
        "add_bos_token": True, "think_end_token": "</think>", "tokenizer": "x", "batch_size": "auto",
    }  # fmt: skip
    assert ModelSpec(model="m", backend="hf", model_args=args).model_args == args


def test_an_unknown_backend_has_near_names() -> None:
    """A slip of the finger is met with the name that was meant."""
    with pytest.raises(
        PolicyError, match=r"no backend 'local-completion'; did you mean 'local-completions'"
    ):
        check_backend(ModelSpec(model="m", backend="local-completion"))


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vllm is installed here")
def test_a_missing_package_names_the_extra() -> None:
    """Before anything is loaded: which package, and how to get it."""
    with pytest.raises(RunError, match=r"needs vllm, .*pip install 'ftgate-ext\[vllm\]'"):
        check_backend(ModelSpec(model="m", backend="vllm"))


def test_check_says_what_a_backend_will_not_measure(gate: Path) -> None:
    """`ftgate check` names the backend, what is missing with it, and its silence on failures."""
    lines = list(check_policy(gate))
    assert any("lm-eval backend local-chat-completions; latency, tokens" in x for x in lines)
    assert any("warning: lm-eval's local-chat-completions reports no failures" in x for x in lines)


# A run


def test_a_backend_of_lm_eval_scores_like_the_client(gate: Path, server: FakeServer) -> None:
    """The same answers get the same scores; latency and tokens are absent, and the cap on new tokens holds."""
    folder = run_policy(gate, gate.parent / "run", quiet=True)
    own, chat = (load_model_records(folder / role).records for role in ("candidate", "production"))
    for task in ("sums", "products"):
        assert [r.scores for r in own[task]] == [r.scores for r in chat[task]]
        assert [r.answer for r in own[task]] == [r.answer for r in chat[task]]
        assert all(r.response is None for r in own[task])
    assert {r.body["max_tokens"] for r in server.chats} == {16}
    manifest = load_manifest(folder)
    card = manifest.models[0]
    assert (card.backend, card.model_args["model"]) == ("local-chat-completions", "toy")
    assert manifest.finished_at is not None
    assert "reports no failures" in manifest.warnings[0]


def test_rules_on_cost_and_latency_are_inconclusive(gate: Path) -> None:
    """What a backend does not measure cannot be within a budget: the reason says why."""
    folder = run_policy(gate, gate.parent / "run", quiet=True)
    compare_run(folder)
    outcomes = {r.name: r for r in decide_run(folder).rules}
    for name in ("cheap", "fast"):
        assert outcomes[name].outcome == "INCONCLUSIVE"
        assert "cost and latency of candidate were not measured" in outcomes[name].sentence
    report = json.loads((folder / "comparisons.json").read_text())
    mine = [o for o in report["operations"] if o["role"] == "candidate" and o["task"] == "*"]
    assert (mine[0]["latency_p50_s"], mine[0]["cost_usd_per_request"]) == (None, None)


def test_a_failing_backend_is_one_line_and_done_sets_stay_done(
    gate: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """lm-eval gives up on one request: the other model goes on, and the next run asks that set alone."""
    # The candidate asks first: both its sets come before anything of the other model.
    broken = {"it": True}

    def script(n: int, body: dict[str, Any]) -> Reply:
        product = "products" in str(body["messages"][-1]["content"])
        if broken["it"] and product and n <= ROWS:
            return Reply(status=400, body={"error": {"message": "no"}})
        return answer(n, body)

    server.script = script
    folder = run_policy(gate, gate.parent / "run")
    said = capsys.readouterr().err
    (line,) = [x for x in said.splitlines() if "lm-eval failed" in x]
    assert line.startswith("candidate: candidate on products: lm-eval failed (")
    assert f"candidate on products: {ROWS} of {ROWS} requests have no answer." in said
    assert load_manifest(folder).finished_at is None
    assert set(load_model_records(folder / "production").records) == {"sums", "products"}
    broken["it"] = False
    before = len(server.chats)
    run_policy(gate, folder, quiet=True)
    assert [r.prompt.split()[0] for r in server.chats[before:]] == ["products"] * ROWS
    assert load_manifest(folder).finished_at is not None


def test_errors_hold_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a package below lm-eval puts into its error, keys of the environment are masked."""
    monkeypatch.setenv("SOME_API_KEY", "sk-very-secret")
    with pytest.raises(RunError, match=r"here: lm-eval failed \(ValueError at .+: bad key \*\*\* !") as caught, OneLine("here"):  # fmt: skip
        raise ValueError("bad key\nsk-very-secret !")
    assert "\n" not in str(caught.value)


def test_interrupts_are_no_failures_of_lm_eval() -> None:
    """Ctrl-C ends the command; errors for users keep their words."""
    with pytest.raises(KeyboardInterrupt), OneLine("here"):
        raise KeyboardInterrupt
    with pytest.raises(RunError, match=r"^as it is$"), OneLine("here"):
        raise RunError("as it is")


# Weights


def write_checkpoint(folder: Path, size: int = 100) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(size))
    (folder / ".cache").mkdir()
    (folder / ".cache" / "lock").write_text("x")
    return folder


def test_weights_are_told_apart_by_every_byte_of_small_files(tmp_path: Path) -> None:
    """A config that changes by a character is another checkpoint; caches do not count."""
    folder = write_checkpoint(tmp_path / "ckpt")
    spec = ModelSpec(model=str(folder), backend="hf")
    (first,) = identify_weights(spec)
    assert [f.name for f in first.files] == ["config.json", "model.safetensors"]
    assert all(f.whole for f in first.files)
    (folder / ".cache" / "lock").write_text("y")
    assert identify_weights(spec) == [first]
    (folder / "config.json").write_text("[]")
    assert identify_weights(spec)[0].fingerprint != first.fingerprint


@pytest.mark.parametrize(("at", "seen"), [(0, True), (EDGE + 10, False), (-1, True)])
def test_large_files_are_known_by_size_and_edges(at: int, seen: bool, tmp_path: Path) -> None:
    """Of a large file the first and last mebibyte are read; it says itself that it is not whole."""
    folder = write_checkpoint(tmp_path / "ckpt", WHOLE_UP_TO + 1)
    spec = ModelSpec(model="m", backend="hf", model_args={"pretrained": str(folder)})
    (before,) = identify_weights(spec)
    assert [f.whole for f in before.files] == [True, False]
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(at, 2 if at < 0 else 0)
        file.write(b"x")
    assert (identify_weights(spec) != [before]) is seen


def test_hub_names_have_no_local_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of the hub is left to lm-eval; a path that is not there is one line."""
    monkeypatch.chdir(tmp_path)
    assert identify_weights(ModelSpec(model="org/name", backend="hf")) == []
    with pytest.raises(RunError, match=r"\./nowhere does not exist; name a checkpoint's folder"):
        identify_weights(ModelSpec(model="./nowhere", backend="hf"))


def test_swapped_weights_do_not_go_on_in_the_same_run(gate: Path, server: FakeServer) -> None:
    """A checkpoint that was overwritten between two commands is another model."""
    weights = write_checkpoint(gate.parent / "ckpt")
    text = gate.read_text().replace("max_retries: 1}", f'max_retries: 1, tokenizer: "{weights}"}}')
    gate.write_text(text)
    assert load_policy(gate).models["candidate"].model_args["tokenizer"] == str(weights)
    folder = run_policy(gate, gate.parent / "run", quiet=True)
    (weights / "config.json").write_text("[1]")
    before = len(server.chats)
    with pytest.raises(RunError, match=r"the weights of candidate have changed since"):
        run_policy(gate, folder, quiet=True)
    assert len(server.chats) == before


def test_a_replica_that_is_down_is_a_warning_while_another_serves(
    gate: Path, server: FakeServer
) -> None:
    """`ftgate check` names the servers that answer and those that do not; with none left it fails."""
    dead = "http://127.0.0.1:9/v1"
    text = gate.read_text()
    url = f"endpoint: {server.base_url}"
    gate.write_text(text.replace(url, f"endpoint: [{dead}, {server.base_url}]"))
    lines = list(check_policy(gate))
    assert f"production toy: served by {server.base_url}" in lines
    assert f"production toy: served by {dead}" not in lines
    assert any(x.startswith(f"production toy: warning: {dead}") for x in lines)
    gate.write_text(text.replace(url, f"endpoint: [{dead}, http://127.0.0.1:10/v1]"))
    with pytest.raises(RunError, match=r"production: http://127\.0\.0\.1:9/v1"):
        list(check_policy(gate))
