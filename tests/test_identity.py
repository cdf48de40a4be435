"""Was it one server all along: what is a change, what is none, and where it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK, make_response

from ftgate_ext.inference.identity import (
    identity_warnings,
    note_changes,
    note_resumption,
    resume_warnings,
)
from ftgate_ext.schema import ModelCard, Response, RunManifest, ServedModel

if TYPE_CHECKING:
    from pathlib import Path


def answers(*values: str | None, field: str = "system_fingerprint", **more: Any) -> list[Response]:
    """One answer a value, a second apart."""
    return [
        make_response(
            finished_at=f"2026-01-01T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}+00:00",
            **({field: value} | more),
        )
        for n, value in enumerate(values)
    ]


# What is a change


def test_a_server_set_up_anew_in_mid_run_is_told_with_counts_and_time() -> None:
    """From one answer on another fingerprint: how many answers of each, and since when."""
    (sentence,) = identity_warnings("toy", answers(*["fp_old"] * 120, *["fp_new"] * 80))
    assert sentence == (
        "the server changed in mid-run: `system_fingerprint` was 'fp_old' in 120 answers from "
        "2026-01-01T00:00:00+00:00 on, then 'fp_new' in 80 answers from 2026-01-01T00:02:00+00:00 on."
    )


def test_another_name_in_a_single_answer_is_told() -> None:
    """A model's name is never the number of an answer: one stranger is enough."""
    (sentence,) = identity_warnings("toy", answers("toy", "toy-v2", field="model_answered"))
    assert "`model` was 'toy' in 1 answer from" in sentence
    assert "then 'toy-v2' in 1 answer from 2026-01-01T00:00:01+00:00 on" in sentence


def test_versions_behind_one_address_are_told_apart_from_a_change() -> None:
    """Two fingerprints that take turns are two servers behind a balancer, not a restart."""
    (sentence,) = identity_warnings("toy", answers(*["fp_a", "fp_a", "fp_b"] * 20))
    assert sentence.startswith("several versions of the server answered in turn: ")
    assert "'fp_a' in 40 answers" in sentence
    assert "'fp_b' in 20 answers" in sentence


def test_replicas_that_differ_are_named_with_their_address() -> None:
    """Each endpoint keeps a name of its own: they do not serve the same."""
    one = answers(*["v1"] * 6, field="model_answered", endpoint="http://a/v1")
    two = answers(*["v2"] * 3, field="model_answered", endpoint="http://b/v1")
    (sentence,) = identity_warnings("toy", [*one, *two])
    assert (
        sentence
        == "the replicas differ in `model`: http://a/v1 'v1' (6 answers); http://b/v1 'v2' (3 answers)."
    )


def test_replicas_that_all_change_at_once_are_a_change() -> None:
    """Two endpoints that both go from one fingerprint to another: no difference between them."""
    before = [answers(*["fp_old"] * 5, endpoint=f"http://{x}/v1") for x in "ab"]
    after = [answers(*["fp_new"] * 5, endpoint=f"http://{x}/v1") for x in "ab"]
    (sentence,) = identity_warnings("toy", [r for rows in (*before, *after) for r in rows])
    assert sentence.startswith("the server changed in mid-run: ")
    assert "'fp_old' in 10 answers" in sentence


def test_answers_of_a_sibling_are_told() -> None:
    """A server that serves `new` and `old` and answers as `old` when asked for `new`."""
    asked = answers(*["old"] * 3, field="model_answered")
    (sentence,) = identity_warnings("new", asked, ["new", "old"])
    assert "'new' was asked" in sentence
    assert "'old' in 3 of 3" in sentence


# What is none


@pytest.mark.parametrize(
    "values",
    [
        ["fp"] * 50,
        [None] * 50,
        [f"fp_{n}" for n in range(50)],
        [f"fp_{n // 3}" for n in range(60)],
        [f"fp_{n}" for n in range(5000)],
        ["fp_a", "fp_b"],
    ],
    ids=["one", "none", "one an answer", "one a batch", "thousands", "two answers"],
)
def test_a_fingerprint_that_names_no_server_is_passed_over(values: list[str | None]) -> None:
    """One for all is no change; one an answer, or a few, is the number of an answer."""
    assert identity_warnings("toy", answers(*values)) == []


def test_a_dated_name_for_an_alias_is_no_change() -> None:
    """A provider answers `toy` as `toy-2026-01-01`, always, and does not list it beside `toy`."""
    dated = answers(*["toy-2026-01-01"] * 9, field="model_answered")
    assert identity_warnings("toy", dated, ["toy"]) == []


def test_requests_without_an_answer_say_nothing_of_the_server() -> None:
    """A proxy's error page may carry whatever it likes."""
    rows = answers("fp_a", "fp_a", "fp_a", "fp_a")
    rows += [make_response("malformed", system_fingerprint="proxy") for _ in range(9)]
    assert identity_warnings("toy", rows) == []


@QUICK
@given(st.lists(st.sampled_from(["failed", "ok", "empty"]), max_size=30), st.text(max_size=9))
def test_one_server_gives_no_warning(statuses: list[Any], name: str) -> None:
    """Whatever the outcomes, as long as name and fingerprint stay the same."""
    rows = [make_response(s, model_answered=name, system_fingerprint="fp") for s in statuses]
    assert identity_warnings("toy", rows, ["toy"]) == []


@QUICK
@given(st.text(min_size=1, max_size=200), st.integers(1, 40), st.integers(1, 40))
def test_what_a_server_calls_itself_cannot_do_anything(name: str, first: int, then: int) -> None:
    """Control characters are shown as such, and long names are cut."""
    rows = answers(*["toy"] * first, *[name + "\x1b[2J\n"] * then, field="model_answered")
    (sentence,) = identity_warnings("toy", rows)
    assert sentence.isprintable()
    assert len(sentence) < 600


# Between a run and its resumption


def served(*models: str) -> ServedModel:
    return ServedModel(endpoint="http://a/v1", model=models[0], served_models=list(models))


AT = "2026-01-02T10:00:00+00:00"


def test_a_server_that_lists_other_models_after_a_break_is_told() -> None:
    """What is gone and what is new, with the time of the resumption."""
    (sentence,) = resume_warnings(served("toy", "lora-1"), served("toy", "lora-2"), AT)
    assert sentence == (
        f"when the run was resumed at {AT}, the server no longer lists 'lora-1' and now lists "
        "'lora-2'; it may have been set up anew."
    )


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (served("toy", "other"), served("other", "toy")),
        (served(*(f"m{n}" for n in range(40))), served(*(f"m{n}" for n in range(44)))),
        (None, served("toy")),
        (served("toy"), None),
    ],
    ids=["order", "catalogue", "not known before", "not known now"],
)
def test_what_says_nothing_of_the_server_is_passed_over(
    before: ServedModel | None, now: ServedModel | None
) -> None:
    """The order of a list, and a provider's catalogue that grows every day."""
    assert resume_warnings(before, now, AT) == []


# In run.json


def manifest(*models: str, **changes: Any) -> RunManifest:
    card = ModelCard(
        role="candidate", name="toy", model="toy", endpoint="http://a/v1", hosting="here", served=served("toy", *models),
    )  # fmt: skip
    fields: dict[str, Any] = {
        "run_id": "r", "policy_name": "p", "policy_hash": "h", "generation_hash": "g", "models": [card],
        "created_at": AT, "seed": 1, "concurrency": 1, "versions": {},
    }  # fmt: skip
    return RunManifest(**fields | changes)


def test_warnings_of_resumptions_stay_and_those_of_the_journal_are_made_anew(
    tmp_path: Path,
) -> None:
    """Noted twice, a change is told once, with the counts of the last time."""
    begun = note_resumption(manifest("a"), manifest("b"), AT)
    assert [w.split(":")[0] for w in begun.warnings] == ["candidate"]
    (tmp_path / "candidate").mkdir()
    journal = tmp_path / "candidate" / "responses.jsonl"
    noted = begun
    for n in (5, 9):
        rows = answers(*["fp_a"] * 5, *["fp_b"] * n)
        journal.write_text("".join(r.model_dump_json() + "\n" for r in rows), encoding="utf-8")
        noted = note_changes(noted, tmp_path)
        resumption, change = noted.warnings
        assert resumption == begun.warnings[0]
        assert change.startswith("candidate: the server changed in mid-run: ")
        assert f"'fp_b' in {n} answers" in change
    assert noted.models == begun.models
