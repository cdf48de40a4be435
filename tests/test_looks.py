"""Tests of looks: growing data may be looked at as often as was planned, and it is written down."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from records import TASK, make_models, make_outcomes, make_policy, make_record

from ftgate_ext.looks import LEDGER, note_look
from ftgate_ext.schema import LookLedger, LookUse, RunError
from ftgate_ext.scores import tabulate_records

if TYPE_CHECKING:
    from pathlib import Path

    from ftgate_ext.policy import Policy
    from ftgate_ext.runs import Record


def policy(planned: int | None = None, **looks: Any) -> Policy:
    """A policy that plans so many looks, or none."""
    plan: Any = {"looks": {"planned": planned} | looks} if planned else {}
    return make_policy({"kind": "superiority"}, **plan)


def look(
    run: Path, n: int, chosen: Policy | None = None, extra: list[Record] | None = None
) -> LookUse:
    """Compare the first so many cases."""
    records = make_outcomes([1] * n) + (extra or [])
    model = make_models(candidate=records)["candidate"]
    return note_look(run, tabulate_records(model), chosen or policy())


def ledger(run: Path) -> LookLedger:
    """What is written down."""
    return LookLedger.model_validate_json((run / LEDGER).read_text())


def test_the_first_look_is_written_down(tmp_path: Path) -> None:
    """Number, day and cases of every task."""
    found = look(tmp_path, 5)

    assert found == LookUse(number=1)
    (written,) = ledger(tmp_path).looks
    assert (written.number, written.n_cases) == (1, {TASK: 5})
    assert written.at.endswith("+00:00")


def test_the_same_cases_again_are_no_new_look(tmp_path: Path) -> None:
    """Whatever the order of the cases, the scores or the repeats: the data has not grown."""
    look(tmp_path, 5)
    before = (tmp_path / LEDGER).read_text()

    again = look(tmp_path, 5)
    model = make_models(candidate=[*make_outcomes([0] * 5)[::-1], *make_outcomes([1] * 5)])[
        "candidate"
    ]
    repeated = note_look(tmp_path, tabulate_records(model), policy())

    assert again.number == repeated.number == 1
    assert (tmp_path / LEDGER).read_text() == before


def test_more_cases_are_a_new_look(tmp_path: Path) -> None:
    """More rows of a task, or another task; each counts once."""
    numbers = [
        look(tmp_path, 5).number, look(tmp_path, 6).number, look(tmp_path, 6).number,
        look(tmp_path, 6, extra=[make_record("x", task="other")]).number,
    ]  # fmt: skip

    assert numbers == [1, 2, 2, 3]
    assert [x.n_cases for x in ledger(tmp_path).looks] == [{TASK: 5}, {TASK: 6}, {TASK: 6, "other": 1}]  # fmt: skip
    assert len({x.data_hash for x in ledger(tmp_path).looks}) == 3


def test_the_same_text_in_another_task_is_another_case(tmp_path: Path) -> None:
    """A row belongs to its eval set."""
    look(tmp_path, 2)
    moved = make_models(candidate=[make_record(f"case-{i}", task="other") for i in range(2)])

    assert note_look(tmp_path, tabulate_records(moved["candidate"]), policy()).number == 2


def test_planned_looks_carry_their_boundary(tmp_path: Path) -> None:
    """The number, of how many, and how the error is spread."""
    chosen = policy(3, boundary="pocock")

    assert look(tmp_path, 1, chosen) == LookUse(number=1, planned=3, boundary="pocock")
    assert look(tmp_path, 2, chosen) == LookUse(number=2, planned=3, boundary="pocock")
    assert look(tmp_path, 2, policy(4)).boundary == "obrien_fleming"


def test_more_looks_than_planned_are_refused_in_one_line(tmp_path: Path) -> None:
    """The ledger says how many there were, and is not changed by the attempt."""
    for n in (1, 2):
        look(tmp_path, n, policy(2))
    before = (tmp_path / LEDGER).read_text()

    with pytest.raises(RunError, match="all 2 planned looks are used") as caught:
        look(tmp_path, 3, policy(2))

    assert "\n" not in str(caught.value)
    assert str(tmp_path / LEDGER) in str(caught.value)
    assert (tmp_path / LEDGER).read_text() == before
    assert look(tmp_path, 2, policy(2)).number == 2, "the last look can be made again"


def test_looks_cannot_be_planned_after_they_were_made(tmp_path: Path) -> None:
    """A plan for two looks does not fit data that was looked at three times already."""
    for n in (1, 2, 3):
        look(tmp_path, n)

    with pytest.raises(RunError, match="all 2 planned looks are used"):
        look(tmp_path, 3, policy(2))
    assert look(tmp_path, 3, policy(3)).number == 3


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"looks": [{"number": 1}]})])
def test_a_broken_ledger_is_one_line(tmp_path: Path, text: str) -> None:
    """It is not begun anew in silence."""
    (tmp_path / LEDGER).write_text(text)

    with pytest.raises(RunError, match=r"looks\.json") as caught:
        look(tmp_path, 1)

    assert "\n" not in str(caught.value)


def test_an_empty_ledger_begins_at_one(tmp_path: Path) -> None:
    """As if there were none."""
    (tmp_path / LEDGER).write_text(LookLedger().model_dump_json())

    assert look(tmp_path, 1).number == 1
