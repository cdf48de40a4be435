"""Hygiene: what is wrong with training data is found, named by file and line, and never repeated."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from command import ftgate
from training_rows import INSTRUCTION, chat, unrelated_rows
from typer.testing import CliRunner

from ftgate_ext.cli import app
from ftgate_ext.evalset.chat_rows import Message, read_rows
from ftgate_ext.evalset.hygiene import HygieneLimits, Prices, check_training
from ftgate_ext.evalset.hygiene_report import HygieneReport, hygiene_text
from ftgate_ext.evalset.private import has_iban_digits, has_luhn_digit, private_things
from ftgate_ext.evalset.training_facts import label_of, role_faults
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ftgate_ext.evalset.hygiene_report import HygieneCheck

CODE = "def total(orders):\n    amounts = [o.amount for o in orders]\n    return sum(amounts) / len(orders)"
LONG = " ".join(f"word{i}" for i in range(60))


def write(path: Path, rows: Iterable[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def check(tmp_path: Path, *rows: Any, valid: Iterable[Any] = (), **limits: Any) -> HygieneReport:
    train = write(tmp_path / "train.jsonl", rows)
    beside = [write(tmp_path / "valid.jsonl", valid)] if valid else []
    return check_training([train], beside, HygieneLimits(**limits))


def named(found: HygieneReport, name: str) -> HygieneCheck:
    return next(c for c in found.checks if c.name.startswith(name))


def verdict(answer: str, asked: str = CODE) -> dict[str, Any]:
    return chat(asked, json.dumps({"verdict": answer}))


def test_clean_data_has_nothing_serious(tmp_path: Path) -> None:
    """Unrelated rows that share an instruction are neither duplicates nor conflicts."""
    found = check(tmp_path, *unrelated_rows(200, snippets=1))
    assert not found.is_serious
    assert {c.name: c.rows for c in found.checks if not c.name.startswith("largest")} == dict.fromkeys(
        ["duplicates, exact", "duplicates, reformatted", "duplicates, near", "label conflicts",
         "same prompt, other wording of the answer", "roles", "no assistant", "empty content", "too long",
         "secrets", "personal data"], 0,
    )  # fmt: skip


def test_duplicates_are_told_by_how_they_differ(tmp_path: Path) -> None:
    """Exact, reformatted and near are counted apart, each with the row that stood there before."""
    near = LONG.replace("word30", "other")
    found = check(
        tmp_path, chat(LONG, "yes"), chat(LONG, "yes"), chat(LONG.upper(), "Yes"), chat(near, "yes")
    )
    counts = [named(found, f"duplicates, {how}").rows for how in ("exact", "reformatted", "near")]
    assert counts == [1, 1, 1]
    assert named(found, "duplicates, near").examples == [
        f"{tmp_path}/train.jsonl:4 like {tmp_path}/train.jsonl:1"
    ]
    assert named(found, "duplicates, exact").serious  # three of four rows
    assert not named(check(tmp_path, chat(LONG, "y"), chat(near, "y"), near=0.95), "duplicates, near").rows  # fmt: skip


def test_an_instruction_that_all_share_makes_no_duplicates(tmp_path: Path) -> None:
    """Lines of a prompt template are not compared, however long they are."""
    rows = [chat(f"{INSTRUCTION}{INSTRUCTION.lower()}Case {i * 7}: {'xyz'[i % 3] * (i + 3)}", f"answer {i}") for i in range(40)]  # fmt: skip
    assert named(check(tmp_path, *rows), "duplicates, near").rows == 0


def test_one_prompt_with_two_labels_is_a_conflict(tmp_path: Path) -> None:
    """Labels that differ contradict; a twin that differs by one sign is another prompt."""
    twin = CODE.replace("/", "*")
    found = check(tmp_path, verdict("clean"), verdict("defect"), verdict("clean", twin))
    conflict = named(found, "label conflicts")
    assert (conflict.rows, conflict.serious) == (2, True)
    assert conflict.examples == [f"{tmp_path}/train.jsonl:1 clean; {tmp_path}/train.jsonl:2 defect"]


def test_two_wordings_of_an_answer_are_no_conflict(tmp_path: Path) -> None:
    """Longer answers to one prompt are counted, and may both be right."""
    found = check(tmp_path, chat(CODE, "It divides by zero for no orders."), chat(CODE, "Fails on an empty list of orders."))  # fmt: skip
    assert not named(found, "label conflicts").rows
    assert named(found, "same prompt").rows == 2
    assert not named(found, "same prompt").serious


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ('{"verdict": "Defect", "line": 3}', "defect"), ('```json\n{"label": 1}\n```', "1"), ("Clean.", "clean"),
        ('{"other": 1}', None), ("{broken", None), ("a sentence of five words", None), ("", None),
    ],
)  # fmt: skip
def test_a_label_is_a_field_or_a_few_words(answer: str, label: str | None) -> None:
    assert label_of(answer) == label


def test_a_label_cannot_steer_a_terminal(tmp_path: Path) -> None:
    """What a training row says is shown without control characters."""
    assert check(tmp_path, chat("a", "\x1b[2Jclean")).labels == {"[2jclean": 1}


def test_class_balance_is_shown(tmp_path: Path) -> None:
    """The largest class, and serious above its limit."""
    rows = [verdict("clean", f"{CODE}\n# {i}") for i in range(8)] + [verdict("defect", LONG)] * 2
    found = check(tmp_path, *rows, max_class_share=0.7)
    largest = named(found, "largest class (clean)")
    assert (found.labels, largest.rows, largest.serious) == ({"clean": 8, "defect": 2}, 8, True)


@pytest.mark.parametrize("row", [
    chat(CODE, "yes"), chat(CODE, "another answer to the same prompt"), chat(f"```python\n{CODE}\n```", "yes"),
    chat(LONG.replace("word30", "other"), "fine"),
])  # fmt: skip
def test_overlap_with_validation_is_serious(row: dict[str, Any], tmp_path: Path) -> None:
    """The same row, the same prompt, reformatted, or a near-duplicate."""
    rows = [chat("Something else entirely.", "no"), row]
    found = check(tmp_path, chat(LONG, "fine"), chat(CODE, "yes"), valid=rows)
    overlap = named(found, "overlap")
    assert (overlap.rows, overlap.share, overlap.serious) == (1, 0.5, True)
    assert overlap.examples[0].startswith(f"{tmp_path}/valid.jsonl:2 is in {tmp_path}/train.jsonl:")


def test_the_same_file_on_both_sides_overlaps_whole(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", [chat("a", "b")])
    assert named(check_training([train], [train]), "overlap").share == 1


ROLES = {
    "no assistant": (["user"], ["no assistant"]),
    "nothing": ([], ["no assistant"]),
    "two users": (["user", "user", "assistant"], ["roles"]),
    "assistant first": (["assistant", "user", "assistant"], ["roles"]),
    "late system": (["user", "system", "assistant"], ["roles"]),
    "user last": (["user", "assistant", "user"], ["roles"]),
    "unknown": (["human", "assistant"], ["roles", "roles"]),
    "fine": (["system", "user", "assistant", "user", "assistant"], []),
    "tools": (["user", "assistant", "tool", "tool", "assistant"], []),
}


@pytest.mark.parametrize("name", ROLES)
def test_roles_have_an_order(name: str) -> None:
    """System first, user and assistant in turn, the assistant last."""
    roles, faults = ROLES[name]
    assert [check for check, _ in role_faults(tuple(Message(r, "x") for r in roles))] == faults


def test_empty_and_long_rows_are_listed(tmp_path: Path) -> None:
    """Empty content is serious unless the turn calls a tool; length is a matter of the limit."""
    calls = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    tool = [{"role": "tool", "content": "4"}, {"role": "assistant", "content": "four"}]
    called = {"messages": [{"role": "user", "content": "2+2"}, calls, *tool]}
    found = check(tmp_path, chat("hi", "  "), chat(LONG, "x"), called, max_tokens=40)
    assert named(found, "empty").examples == [f"{tmp_path}/train.jsonl:1: messages[1] says nothing"]
    assert named(found, "too long").examples[0].startswith(f"{tmp_path}/train.jsonl:2: about")
    assert named(found, "empty").serious
    assert not named(found, "too long").serious


def secret(*parts: str) -> str:
    """Put together here, so that no scanner of this file takes it for a real one."""
    return "".join(parts)


PRIVATE = {
    "private key": (secret("-----BEGIN RSA PRI", "VATE KEY-----"), True),
    "AWS key": (secret("AKIA", "IOSFODNN7EXAMPLE"), True),
    "GitHub token": (secret("ghp_", "16C7e42F292c6912E7710c838347Ae178B4a"), True),
    "GitLab token": (secret("glpat-", "Zx81kQpTn3bVw5yRd7Ls"), True),
    "API key": (secret("sk-", "proj-4bTq9LzW1xYp7VnR2mKc8Dh"), True),
    "payment key": (secret("sk_live_", "4eC39HqLyjWDarjtT1zdp7dc"), True),
    "Slack token": (secret("xoxb-", "2048120481-a8Bd71kQ"), True),
    "Google key": (secret("AIza", "SyD4-8h3Kq0Lw9Zx7Vb2Nn5Mm1Pp6Rr4Tt8"), True),
    "package or hub token": (secret("hf_", "aBcDeFgHiJkLmNoPqRsTuVwXyZ012345"), True),
    "JWT": (secret("eyJhbGciOiJIUzI1NiJ9", ".eyJzdWIiOiIxMjM0In0", ".dozjgNryP4J3jVmN"), True),
    "password in a URL": (secret("postgres://app:", "hunter2@db.internal/x"), True),
    "key in an assignment": (secret('api_key = "', 'Zq81kPw93nTb57yRd2Ls"'), True),
    "e-mail address": ("jane.doe@corp-mail.de", False),
    "phone number": ("+49 89 1234 5678", False),
    "card number": ("4111 1111 1111 1111", False),
    "IBAN": ("DE89 3704 0044 0532 0130 00", False),
}


@pytest.mark.parametrize("kind", PRIVATE)
def test_private_things_are_found_and_masked(kind: str) -> None:
    """One finding of the right kind, of which at most two characters are shown."""
    value, is_secret = PRIVATE[kind]
    (found,) = private_things(f"Here it is: {value}\nand more text")
    assert (found.kind, found.is_secret) == (kind, is_secret)
    assert value[:5] not in found.masked
    assert value[-5:] not in found.masked


@pytest.mark.parametrize("text", [
    "someone@example.com wrote to git@github.com", "postgres://user:${PASSWORD}@host/db", "https://x.org:8080/a@b",
    "4111 1111 1111 1112", "DE88 3704 0044 0532 0130 00", "+1", "1 + 2345678901 + 3", "sk-learn-is-a-library-name-too",
    "0000 0000 0000 0000", 'token = "aaaaaaaaaaaaaaaaaaaaaaaa"', "commit 4f1c9a0b2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f7a",
    "version 4.111111111111111", "@decorator\ndef f(a): ...", "x = total[4242424242424241]",
])  # fmt: skip
def test_what_only_looks_private_is_left_alone(text: str) -> None:
    """Examples, place-holders and wrong check digits."""
    assert list(private_things(text)) == []


def test_check_digits() -> None:
    """Published examples: ISO/IEC 7812-1 Annex B (Luhn), ISO 13616 (IBAN)."""
    assert has_luhn_digit("49927398716") or has_luhn_digit("49927398716")
    assert not has_luhn_digit("49927398717")
    assert has_iban_digits("GB82 WEST 1234 5698 7654 32")
    assert not has_iban_digits("GB82 WEST 1234 5698 7654 33")


def test_the_report_never_repeats_a_secret(tmp_path: Path) -> None:
    """Secrets are serious, personal data is counted, and neither is in the text or the JSON."""
    key, mail = PRIVATE["AWS key"][0], PRIVATE["e-mail address"][0]
    found = check(tmp_path, chat("a", "b"), chat(f"use {key}", f"ask {mail}"))
    assert (named(found, "secrets").serious, named(found, "personal data").serious) == (True, False)
    assert [(p.line, p.kind) for p in found.private] == [(2, "AWS key"), (2, "e-mail address")]
    shown = hygiene_text(found) + found.model_dump_json()
    assert key[:6] not in shown
    assert mail[:6] not in shown


def test_synthetic_share_is_of_the_rows_that_say(tmp_path: Path) -> None:
    """`synthetic` counts; where only a `source` stands, its name tells."""
    rows = [
        {"text": "a", "synthetic": True}, {"text": "b", "synthetic": False}, {"text": "c", "source": "gpt distilled"},
        {"text": "d", "source": "tickets"}, {"text": "e"}, {"text": "f", "metadata": {"source": "tickets"}},
    ]  # fmt: skip
    found = check(tmp_path, *rows, max_synthetic_share=0.3)
    assert (found.synthetic_share, found.stated_rows) == (0.4, 5)
    assert found.sources == {"(not stated)": 2, "tickets": 2, "gpt distilled": 1}
    assert named(found, "synthetic").serious


def test_tokens_and_cost(tmp_path: Path) -> None:
    """Tokens times epochs times the price; answers are counted apart."""
    train = write(tmp_path / "t.jsonl", [chat("one two three", "four")] * 3)
    found = check_training([train], prices=Prices(25.0, 2)).tokens
    assert (found.total, found.trained, found.billed) == (36, 15, 72)
    assert found.cost_usd == pytest.approx(72 * 25 / 1e6)


def test_rows_are_streamed_with_their_lines(tmp_path: Path) -> None:
    """Good rows come as they are read; bad ones are listed at the end."""
    one, other = (
        write(tmp_path / "a.jsonl", [chat("a", "b")]),
        write(tmp_path / "b.jsonl", [{"text": "c"}, 3]),
    )
    rows = read_rows([one, other])
    assert [(next(rows)[0].name, next(rows)[1].messages[0].role)] == [("a.jsonl", "text")]
    with pytest.raises(EvalSetError, match=r"b.jsonl:2: found a JSON int"):
        next(rows)


def test_processes_do_not_matter(tmp_path: Path) -> None:
    """One process or two: the same report."""
    train = write(tmp_path / "t.jsonl", [*unrelated_rows(30), chat(CODE, "a"), chat(CODE, "a")])
    assert check_training([train], processes=1) == check_training([train, train], processes=2)


def test_the_command_exits_with_what_it_found(tmp_path: Path) -> None:
    """0 for clean data, 1 for something serious, 2 for wrong use."""
    clean = write(tmp_path / "clean.jsonl", unrelated_rows(10, snippets=1))
    bad = write(tmp_path / "bad.jsonl", [verdict("clean"), verdict("defect")])
    command = ["evalset", "hygiene", "--train", str(clean)]
    assert CliRunner().invoke(app, command).exit_code == 0
    shown = CliRunner().invoke(app, [*command, str(bad), "--json", "--price-per-mtok", "8"])
    assert shown.exit_code == 1
    assert HygieneReport.model_validate_json(shown.stdout).is_serious
    bad.write_text("x\n")
    broken = ftgate(*command, str(bad))
    assert (broken.returncode, broken.stderr.count("\n")) == (2, 1)
