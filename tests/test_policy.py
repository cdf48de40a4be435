"""gate.yaml: every mistake is one line that names file and line; hashes say what has changed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ftgate_ext.assets import asset_dir
from ftgate_ext.policy import Policy, load_policy, parse_policy, policy_json_schema
from ftgate_ext.schema import PolicyError

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cret-0123456789"  # noqa: S105 - no key of anything

POLICY = """\
version: 1
name: a gate   # with a comment
models:
  candidate:
    endpoint: http://localhost:8000/v1
    model: new
    price: {usd_per_hour: 2.5}
  production: {endpoint: http://localhost:8001/v1, model: old}
eval_sets:
  - {task: golden, kind: golden}
  - task: shadow
    kind: shadow
    limit: 10
judge: {endpoint: http://localhost:8002/v1, model: judge, task: shadow}
run:
  seed: 7
rules:
  - name: better
    kind: superiority
    task: golden
    metric: f1
    margin_pt: 1
  - {name: liked, kind: win_rate}
  - name: cheap
    kind: budget
    quantity: latency_p95_s
    maximum: 2
approvals:
  - rule: better
    by: me
    reason: known
    until: 2026-12-31
"""


def parse(text: str) -> Policy:
    return parse_policy(text, "gate.yaml")


def problem_of(text: str) -> str:
    with pytest.raises(PolicyError) as caught:
        parse(text)
    message = str(caught.value)
    assert "\n" not in message
    return message


# name -> (text of the good policy, what stands there instead, line, words of the message)
MISTAKES: dict[str, tuple[str, str, int, str]] = {
    # YAML
    "tab": ("run:\n", "\trun:\n", 15, "not valid YAML (found character '\\t' that cannot start any token); mend the line."),
    "open bracket": ("kind: golden}", "kind: golden", 11, "not valid YAML ("),
    "control character": ("seed: 7", "seed: \x00", 16, "not valid YAML (unacceptable character #x0000"),
    "unknown alias": ("seed: 7", "seed: *seed", 16, "not valid YAML (found undefined alias"),
    "Python object": ("seed: 7", "seed: !!python/name:os.system", 16, "not valid YAML (could not determine a constructor"),
    "key twice": ("  seed: 7\n", "  seed: 7\n  seed: 8\n", 17, "key 'seed' stands there twice, and YAML would drop the first; keep one."),
    "block twice": ("approvals:\n", "rules:\n", 28, "key 'rules' stands there twice"),
    # keys
    "spelling mistake": ("  seed: 7", "  sed: 7", 16, "unknown key 'sed' in run; did you mean 'seed'?"),
    "spelling mistake at the top": ("run:\n", "runs:\n", 15, "unknown key 'runs' in gate.yaml; did you mean 'run'?"),
    "spelling mistake in a rule": ("    margin_pt: 1", "    margin: 1", 22, "unknown key 'margin' in rules.0; did you mean 'margin_pt'?"),
    "spelling mistake in a model": ("    model: new", "    model: new\n    prize: 1", 7, "unknown key 'prize' in models.candidate; did you mean 'price'?"),
    "key of another rule": ("    maximum: 2", "    maximum: 2\n    margin_pt: 1", 28, "unknown key 'margin_pt' in rules.2; expected one of evidence, kind, maximum, name, quantity"),
    "key in the file": ("    model: new", f"    model: new\n    api_key: {SECRET}", 7, "unknown key 'api_key' in models.candidate; did you mean 'api_key_env'?"),
    "unknown role": ("  production: {", "  staging: {", 8, "models.staging: input should be 'candidate', 'production', 'base' or 'frontier'"),
    "number as key": ("  seed: 7", "  1: 7", 16, "run.1: found '7'; keys should be strings"),
    "missing key": ("    model: new\n", "", 4, "models.candidate.model: field required"),
    "missing metric": ("    metric: f1\n", "", 18, "rules.0.metric: field required"),
    "missing version": ("version: 1\n", "", 1, "version: field required"),
    # values
    "wrong type": ("  seed: 7", "  seed: many", 16, "run.seed: found 'many'; input should be a valid integer"),
    "list for a mapping": ("  seed: 7", "  - seed", 15, "run: "),
    "another version": ("version: 1", "version: 2", 1, "version: found '2'; input should be 1"),
    "unknown kind of rule": ("    kind: superiority", "    kind: superior", 18, "rules.0: input tag 'superior' found using 'kind' does not match any of the expected tags: 'superiority', "),
    "rule without a kind": ("    kind: superiority\n", "", 18, "rules.0: unable to extract tag using discriminator 'kind'"),
    "unknown kind of set": ("kind: golden}", "kind: gold}", 10, "eval_sets.0.kind: found 'gold'; input should be 'golden', 'shadow', "),
    "no cases": ("limit: 10", "limit: 0", 13, "eval_sets.1.limit: found '0'; input should be greater than or equal to 1"),
    "not a number": ("margin_pt: 1", "margin_pt: .nan", 22, "rules.0.margin_pt: found '.nan'; input should be a finite number"),
    "endless": ("maximum: 2", "maximum: .inf", 27, "rules.2.maximum: found '.inf'; input should be a finite number"),
    "no such day": ("2026-12-31", "2026-02-30", 32, "approvals.0.until: found '2026-02-30'; input should be a valid date"),
    "no day": ("2026-12-31", "soon", 32, "approvals.0.until: found 'soon'; input should be a valid date"),
    "no URL": ("http://localhost:8000/v1", "localhost:8000", 5, "models.candidate.endpoint: 'localhost:8000' is no http(s) URL; expected http://host:port/v1 or `embedded`"),
    "key in the URL": ("http://localhost:8000/v1", f"http://me:{SECRET}@localhost:8000/v1", 5, "models.candidate.endpoint: found 'http://***@localhost:8000/v1'; credentials and queries do not belong into a URL; use api_key_env"),
    "key in the query": ("http://localhost:8000/v1", f"http://localhost:8000/v1?api_key={SECRET}", 5, "models.candidate.endpoint: found 'http://localhost:8000/v1?***'; credentials and queries do not belong"),
    "key in another URL": ("http://localhost:8000/v1", f"ftp://me:{SECRET}@localhost/v1", 5, "models.candidate.endpoint: 'ftp://***@localhost/v1' is no http(s) URL"),
    "two prices": ("{usd_per_hour: 2.5}", "{usd_per_hour: 2.5, input_usd_per_mtok: 1, output_usd_per_mtok: 1}", 7, "models.candidate.price: give one of: listed, prices per token, usd_per_hour, usd_per_gpu_hour; not several"),
    "half a price": ("{usd_per_hour: 2.5}", "{input_usd_per_mtok: 1}", 7, "models.candidate.price: input_usd_per_mtok and output_usd_per_mtok go together"),
    # what does not fit together
    "no candidate": ("  candidate:\n", "  base:\n", 1, "models: no `candidate`; a gate needs one"),
    "unknown task in a rule": ("    task: golden\n", "    task: goldn\n", 18, "rule 'better': task 'goldn' is not among eval_sets; did you mean 'golden'?"),
    "unknown model in a rule": ("    margin_pt: 1", "    against: base", 18, "rule 'better': there is no model 'base'; models: candidate, production"),
    "unknown task of the judge": ("task: shadow}", "task: shado}", 14, "judge.task 'shado' is not among eval_sets; did you mean 'shadow'?"),
    "win rate without a judge": ("judge: {endpoint: http://localhost:8002/v1, model: judge, task: shadow}\n", "", 22, "rule 'liked': no judge compares with 'production'; add it to judge.against"),
    "approval of no rule": ("  - rule: better", "  - rule: beter", 29, "approvals: there is no rule 'beter'; did you mean 'better'?"),
    "rule name twice": ("{name: liked, ", "{name: better, ", 18, "rules: name 'better' stands there twice; each may stand once"),
    "task twice": ("  - task: shadow\n", "  - task: golden\n", 10, "eval_sets: task 'golden' stands there twice; each may stand once"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(name: str) -> None:
    """File, line, what was found, what was expected; a key that stands there is not shown."""
    good, bad, line, words = MISTAKES[name]
    assert POLICY.count(good) == 1
    message = problem_of(POLICY.replace(good, bad))
    assert message.startswith(f"gate.yaml:{line}: {words}"), message
    assert SECRET not in message


@pytest.mark.parametrize("text", ["", "# nothing\n", "[]", "hello", "- a\n- b\n", "7"])
def test_a_file_that_is_no_policy_is_one_line(text: str) -> None:
    """The message says what a policy is made of."""
    expected = "gate.yaml:1: expected a mapping with version, name, models, eval_sets and rules."
    assert problem_of(text) == expected


def test_the_number_of_further_mistakes_is_told() -> None:
    """The first mistake in full, the others counted."""
    text = POLICY.replace("seed: 7", "seed: x").replace("maximum: 2", "maximum: y")
    assert problem_of(text).endswith("(1 more after this one)")


def test_an_unknown_key_goes_first() -> None:
    """A spelling mistake explains the missing key that it causes."""
    message = problem_of(POLICY.replace("    model: new", "    modell: new"))
    assert message.startswith("gate.yaml:6: unknown key 'modell' in models.candidate; did you mean")


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    """Missing, a folder, or not UTF-8: which file, and why."""
    missing, latin = tmp_path / "gate.yaml", tmp_path / "latin.yaml"
    latin.write_bytes(POLICY.replace("a gate", "ein Tor für alle").encode("latin-1"))
    for path, words in (
        (missing, r"gate\.yaml: no such file; `ftgate init` writes one\."),
        (tmp_path, r"cannot be read \(.*directory.*\)\."),
        (latin, r"latin\.yaml: cannot be read \('utf-8' codec can't decode byte 0xfc"),
    ):
        with pytest.raises(PolicyError, match=words) as caught:
            load_policy(path)
        assert "\n" not in str(caught.value)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(POLICY)), st.integers(0, 40), st.text(max_size=6))
def test_no_edit_whatsoever_ends_in_a_traceback(at: int, length: int, put: str) -> None:
    """Any change to the text gives a policy or one line that starts with file and line."""
    text = POLICY[:at] + put + POLICY[at + length :]
    problem = "gate.yaml:1: none"
    try:
        parse(text)
    except PolicyError as error:
        problem = str(error)
    assert re.fullmatch(r"gate\.yaml:\d+: .+", problem), problem


# What is accepted


def test_a_good_policy_holds_what_it_says() -> None:
    """Defaults are filled in; roles have their fixed order; a date is a date."""
    policy = parse(POLICY)
    assert policy.roles == ["candidate", "production"]
    assert [rule.evidence for rule in policy.rules] == ["significant", "significant", "point"]
    assert policy.approvals[0].until.isoformat() == "2026-12-31"
    assert (policy.run.seed, policy.run.concurrency, policy.judge and policy.judge.against) == (
        7,
        16,
        ["production"],
    )


def test_a_name_may_look_like_a_date() -> None:
    """YAML makes dates of such words; a release named by its day stays a word."""
    policy = parse(
        POLICY.replace("a gate ", "2026-11-21 ").replace("model: new", "model: 2026-02-30")
    )
    assert (policy.name, policy.models["candidate"].model) == ("2026-11-21", "2026-02-30")


def test_the_end_of_an_endpoint_does_not_matter() -> None:
    """A slash at the end is no part of the address; `embedded` is no address."""
    policy = parse(
        POLICY.replace("8000/v1", "8000/v1/").replace("http://localhost:8001/v1", "embedded")
    )
    assert policy.models["candidate"].endpoint == "http://localhost:8000/v1"
    assert policy.models["production"].endpoint == "embedded"


@pytest.mark.parametrize(
    "path", [p for p in sorted(asset_dir("configs").glob("*.yaml")) if p.stem != "prices"], ids=lambda p: p.stem
)  # fmt: skip
def test_every_policy_of_the_package_loads(path: Path) -> None:
    """What users copy is valid, and says with which schema an editor can check it."""
    policy = load_policy(path)
    assert {"candidate", "production"} <= set(policy.models)


def test_the_price_list_fits_into_a_policy() -> None:
    """prices.yaml is to be copied from: its entries, without the cached price, are prices."""
    listed = yaml.safe_load((asset_dir("configs") / "prices.yaml").read_text(encoding="utf-8"))
    for entry in listed["models"].values():
        entry.pop("cached_input_usd_per_mtok")
        content = yaml.safe_load(POLICY)
        content["models"]["candidate"]["price"] = entry
        assert Policy.model_validate(content).models["candidate"].price.output_usd_per_mtok


def test_the_published_schema_is_up_to_date() -> None:
    """configs/gate.schema.json is what `python -m ftgate_ext.policy` prints."""
    published = json.loads((asset_dir("configs") / "gate.schema.json").read_text(encoding="utf-8"))
    assert published == policy_json_schema()


def test_every_key_of_the_schema_of_a_rule_is_explained() -> None:
    """Attribute docstrings reach the schema, where editors show them."""
    margin = policy_json_schema()["$defs"]["NonInferiority"]["properties"]["margin_pt"]
    assert (
        margin["description"]
        == "Percentage points that the candidate may lose; 0 only with evidence `point`."
    )


# Hashes


def shuffled(value: Any, order: st.DataObject) -> Any:
    """The same content with the keys of every mapping in another order."""
    if isinstance(value, dict):
        keys = order.draw(st.permutations(list(value)))
        return {key: shuffled(value[key], order) for key in keys}
    return [shuffled(v, order) for v in value] if isinstance(value, list) else value


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from([True, False, None]), st.integers(20, 200), st.booleans())
def test_hashes_are_independent_of_layout_and_comments(
    order: st.DataObject, flow: bool | None, width: int, comments: bool
) -> None:
    """Order of keys, flow or block style, quotes, comments and line lengths change no hash."""
    content = shuffled(yaml.safe_load(POLICY), order)
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=flow, width=width)
    if comments:
        text = "# a comment\n" + text + "\n# another\n"
    policy, original = parse(text), parse(POLICY)
    assert policy.policy_hash == original.policy_hash
    assert policy.generation_hash == original.generation_hash


def test_spelling_out_a_default_changes_no_hash() -> None:
    """Left out or written down, it is the same policy."""
    text = POLICY.replace("  seed: 7\n", "  seed: 7\n  concurrency: 16\n")
    assert parse(text).policy_hash == parse(POLICY).policy_hash


# change -> whether other answers must be generated
CHANGES: dict[str, tuple[str, str, bool]] = {
    "margin": ("margin_pt: 1", "margin_pt: 2", False),
    "rule": ("  - {name: liked, kind: win_rate}\n", "", False),
    "approval": ("reason: known", "reason: accepted", False),
    "price": ("{usd_per_hour: 2.5}", "{usd_per_hour: 3}", False),
    "name of the policy": ("name: a gate", "name: the gate", False),
    "name of a model": ("    model: new", "    model: new\n    name: New", False),
    "hosting": ("    model: new", "    model: new\n    hosting: here", False),
    "judge": ("model: judge", "model: better-judge", False),
    "concurrency": ("  seed: 7", "  seed: 7\n  concurrency: 4", False),
    "timeout": ("  seed: 7", "  seed: 7\n  timeout_s: 9", False),
    "model": ("    model: new", "    model: newer", True),
    "endpoint": ("localhost:8001", "localhost:8003", True),
    "limit": ("limit: 10", "limit: 11", False),
    "eval set": ("  - {task: golden, kind: golden}\n", "  - {task: golden, kind: golden}\n  - {task: more, kind: safety}\n", True),
    "repeats": ("    limit: 10", "    limit: 10\n    repeats: 3", True),
    "seed": ("seed: 7", "seed: 8", True),
    "task folder": ("judge: {", "task_paths: [mine]\njudge: {", True),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_hashes_say_what_has_changed(name: str) -> None:
    """Every change is another policy; only what decides answers makes them be generated again."""
    before, after, generated = CHANGES[name]
    assert POLICY.count(before) == 1
    old, new = parse(POLICY), parse(POLICY.replace(before, after))
    assert new.policy_hash != old.policy_hash
    assert (new.generation_hash != old.generation_hash) is generated
