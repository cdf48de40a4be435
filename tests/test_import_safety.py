"""Public safety sets from local files: what their rows become, and that they run as tasks."""

from __future__ import annotations

import csv
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from command import ftgate
from hypothesis import given
from hypothesis import strategies as st
from public_data import FOLDER, needs_public_data
from records import QUICK

from ftgate_ext.evalset.importers.safety import import_safety, task_name, write_task
from ftgate_ext.evalset.rows import load_cases
from ftgate_ext.evalset.schema import row_problem
from ftgate_ext.schema import EvalSetError

if TYPE_CHECKING:
    from pathlib import Path

PUBLIC = {
    "advbench": ("safety_behaviors/advbench_behaviors.csv", 520, 0, 1),
    "harmbench": ("safety_behaviors/harmbench_text_standard.csv", 200, 0, 6),
    "strongreject": ("safety_behaviors/strongreject_dataset.csv", 313, 0, 6),
    "xstest": ("safety_xstest/xstest_prompts.csv", 200, 250, 12),
}


def table(path: Path, *rows: dict[str, Any]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@needs_public_data
@pytest.mark.parametrize("kind", PUBLIC)
def test_the_public_sets_come_over_whole(kind: str) -> None:
    """Every request once, harmful or harmless as its source says, sound as rows of the safety type."""
    file, harmful, benign, harms = PUBLIC[kind]
    found = import_safety(kind, FOLDER / file)
    expected = Counter(row.expect for row in found.rows)

    assert (expected["refuse"], expected["answer"]) == (harmful, benign)
    assert (found.bad, found.left_out) == (0, Counter())
    assert len({row.harm for row in found.rows}) == harms
    assert len({row.id for row in found.rows}) == harmful + benign
    for row in found.rows:
        assert row_problem("safety", row.model_dump(exclude={"origin"})) is None


@needs_public_data
def test_limit_and_seed_choose_the_same_rows_again() -> None:
    """The same seed, the same rows; a smaller limit is the beginning of a larger one."""
    file = FOLDER / PUBLIC["harmbench"][0]
    ids = [[r.id for r in import_safety("harmbench", file, limit, seed).rows]
           for limit, seed in ((20, 1), (20, 1), (5, 1), (20, 2))]  # fmt: skip

    assert ids[0] == ids[1]
    assert ids[0][:5] == ids[2]
    assert ids[0] != ids[3]


def test_columns_of_the_original_files_are_known(tmp_path: Path) -> None:
    """AdvBench as its authors write it, HarmBench with a context and with a protected text."""
    adv = import_safety(
        "advbench", table(tmp_path / "a.csv", {"goal": "Ask so.", "target": "Sure"})
    )
    harm = import_safety("harmbench", table(
        tmp_path / "h.csv",
        {"Behavior": "Use it.", "FunctionalCategory": "contextual", "SemanticCategory": "Illegal Acts", "ContextString": "A text.", "BehaviorID": "one"},
        {"Behavior": "Sing it.", "FunctionalCategory": "copyright", "SemanticCategory": "copyright", "ContextString": "", "BehaviorID": "two"},
    ))  # fmt: skip

    assert (adv.rows[0].prompt, adv.rows[0].harm, adv.rows[0].framing) == ("Ask so.", "unspecified", "plain")  # fmt: skip
    assert harm.rows[0].prompt == "A text.\n\n---\n\nUse it."
    assert (harm.rows[0].id, harm.rows[0].harm, harm.rows[0].framing) == ("harmbench-one", "illegal_acts", "context")  # fmt: skip
    assert sum(harm.left_out.values()) == 1


def test_json_lines_are_read_too(tmp_path: Path) -> None:
    """The same rows as JSONL give the same set."""
    rows = [{"category": "Hate", "forbidden_prompt": f"Say {i}."} for i in range(3)]
    lines = tmp_path / "s.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    as_csv = import_safety("strongreject", table(tmp_path / "s.csv", *rows))

    assert [r.id for r in import_safety("strongreject", lines).rows] == [r.id for r in as_csv.rows]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"prompt": "Ask.", "label": "maybe", "id": "1"}, "label: found 'maybe'"),
        ({"prompt": " ", "label": "safe", "id": "1"}, "no prompt"),
        ({"question": "Ask.", "label": "safe", "id": "1"}, "no prompt; found question"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, row: dict[str, str], problem: str) -> None:
    """A row that says no request or no label is bad, with its place; nothing is guessed."""
    found = import_safety("xstest", table(tmp_path / "x.csv", row))

    assert (found.bad, found.rows) == (1, [])
    assert problem in found.problems[0]
    with pytest.raises(EvalSetError, match=r"x\.csv:2"):
        found.refuse_bad()


def test_the_same_request_comes_once(tmp_path: Path) -> None:
    """Case and spaces make no new request; the same id on another request is an error."""
    rows = [{"id": i, "prompt": p, "label": "safe"} for i, p in (("1", "Ask me."), ("2", "ask  ME."), ("1", "Else."))]  # fmt: skip
    found = import_safety("xstest", table(tmp_path / "x.csv", *rows))

    assert len(found.rows) == 1
    assert found.left_out == {"the same request as another row": 1}
    assert "expected an id of its own" in found.problems[0]


@QUICK
@given(st.lists(st.dictionaries(st.sampled_from(["goal", "Behavior", "BehaviorID", "Category"]), st.text()), max_size=5))  # fmt: skip
def test_no_row_of_a_file_is_lost_without_a_word(tmp_path_factory: Any, rows: Any) -> None:
    """Whatever stands in the file, every row is taken, left out, or bad."""
    path = tmp_path_factory.mktemp("adv") / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    found = import_safety("advbench", path)

    assert found.available + found.bad + sum(found.left_out.values()) == len(rows)


def test_the_command_writes_a_set_and_its_task(tmp_path: Path) -> None:
    """`evalset import` says what it wrote; a task that stands there is never overwritten."""
    source = table(tmp_path / "a.csv", *({"goal": f"Ask {i}.", "target": ""} for i in range(3)))
    output = tmp_path / "mine" / "my-set.jsonl"
    first = ftgate("evalset", "import", "advbench", str(source), "-o", str(output))
    second = ftgate("evalset", "import", "advbench", str(source), "-o", str(output))

    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert "{task: my_set, kind: safety}" in first.stdout
    assert "left as it was" in second.stdout
    assert len(load_cases(output, ("prompt", "expect", "harm"))) == 3


def test_an_imported_set_is_a_task_of_lm_eval(tmp_path: Path) -> None:
    """lm-eval finds the task by its name, asks its rows, and scores them as the shipped safety set."""
    from lm_eval.tasks import TaskManager

    source = table(tmp_path / "x.csv", {"id": "7", "prompt": "May I ask?", "label": "safe", "type": "homonyms"})  # fmt: skip
    data = tmp_path / "safety_mine.jsonl"
    data.write_text(import_safety("xstest", source).rows[0].model_dump_json() + "\n", "utf-8")
    assert write_task(data) == data.with_suffix(".yaml")

    task = TaskManager(include_path=str(tmp_path), include_defaults=False).load([task_name(data)])
    made = task["tasks"]["safety_mine"]
    doc = made.test_docs()[0]
    assert made.doc_to_text(doc) == "May I ask?"
    assert made.process_results(doc, ["I can't help with that."])["refusal_benign"] == 1
