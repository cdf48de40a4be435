"""A journal is found through the beginnings of its lines; whatever is odd in it changes nothing."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftgate_ext.inference.journal import read_lines
from ftgate_ext.inference.journal_index import Answers
from ftgate_ext.schema import Response, RunError

TASKS, PROMPTS = ("quiz", 'the "other"'), ("p", "q")
TEXTS = ("", "yes", "}", '"occurrence":7,"request_hash":', '{"a": 1}', 'é\u2028"\\')


def line_of(
    task: str, prompt: str, occurrence: int = 0, turn: int | None = None, text: str = "yes"
) -> bytes:
    response = Response(
        case_id=f"case {text}", task=task, prompt_hash=prompt, occurrence=occurrence, turn=turn,
        request_hash="r", model_asked="toy", status="ok", text=text,
        finished_at="2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    return response.model_dump_json(exclude_none=True).encode()


whole_lines = st.builds(
    line_of, st.sampled_from(TASKS), st.sampled_from(PROMPTS), st.integers(0, 1),
    st.sampled_from([None, 0, 1]), st.sampled_from(TEXTS),
)  # fmt: skip
torn_lines = st.builds(
    lambda line, share: line[: max(1, int(share * len(line)))], whole_lines, st.floats(0, 0.99)
)
lines = st.one_of(whole_lines, whole_lines, whole_lines, torn_lines, st.just(b""), st.just(b"\0" * 9))  # fmt: skip


def last_of_each(path: Path, task: str) -> dict[tuple[str, int, int], Response]:
    """Every line read to its end: the plain and slow way."""
    return {(r.prompt_hash, r.occurrence, r.turn or 0): r for _, r in read_lines(path, task)}


@given(st.lists(lines, max_size=12), st.booleans())
def test_every_request_has_its_last_response(journal: list[bytes], ends: bool) -> None:
    """As if every line were read to its end, torn lines and zeros of a lost block among them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "responses.jsonl"
        path.write_bytes(b"\n".join(journal) + (b"\n" if ends else b""))
        for task in TASKS:
            wanted = last_of_each(path, task)
            with closing(Answers(path, task)) as answers:
                found = {
                    key: answers.get(*key)
                    for key in ((p, o, t) for p in PROMPTS for o in (0, 1) for t in (0, 1))
                }
            assert {k: r for k, r in found.items() if r} == wanted


def test_a_line_torn_where_it_seems_to_end_counts_as_torn(tmp_path: Path) -> None:
    """Cut behind a brace within the text, it begins well and ends well, and is no response."""
    path = tmp_path / "responses.jsonl"
    good, later = line_of("quiz", "p", text="first"), line_of("quiz", "p", text="{}")
    cut = later[: later.index(b'"text":"{}') + len(b'"text":"{}')]
    path.write_bytes(good + b"\n" + cut + b"\n")
    with closing(Answers(path, "quiz")) as answers:
        found = answers.get("p", 0)
    assert found is not None
    assert found.text == "first"


def test_an_edited_line_is_an_error_with_its_number(tmp_path: Path) -> None:
    """A status that ftgate does not know is no crash's doing."""
    path = tmp_path / "responses.jsonl"
    edited = line_of("quiz", "q").replace(b'"status":"ok"', b'"status":"fine"')
    path.write_bytes(line_of("quiz", "p") + b"\n" + edited + b"\n")
    with closing(Answers(path, "quiz")) as answers:
        assert answers.get("p", 0) is not None
        with pytest.raises(RunError, match=r"responses\.jsonl:2: status: "):
            answers.get("q", 0)


def test_a_journal_of_another_hand_is_read_too(tmp_path: Path) -> None:
    """Spaces between keys, and keys in another order, are JSON all the same."""
    path = tmp_path / "responses.jsonl"
    spaced = line_of("quiz", "p").replace(b'","', b'", "').replace(b'":', b'": ')
    turned = (
        b'{"status":"ok","model_asked":"toy","request_hash":"r","occurrence":1,"prompt_hash":"p",'
        b'"task":"quiz","case_id":"a","finished_at":"2026-01-01T00:00:00+00:00"}'
    )
    path.write_bytes(spaced + b"\n" + turned + b"\n")
    with closing(Answers(path, "quiz")) as answers:
        assert answers.get("p", 0) == last_of_each(path, "quiz")["p", 0, 0]
        assert answers.get("p", 1) is not None
        assert answers.get("p", 2) is None
