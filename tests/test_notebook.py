"""The notebook on a run's failures: what it shows, that nothing in it runs, and that it runs again anywhere."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest
from command import ftgate_here
from compared_run import HOSTILE, write_compared_run
from records import make_pair

from ftgate_ext.notebook import open_run, write_notebook
from ftgate_ext.notebook.write import NOTEBOOK
from ftgate_ext.runs import load_row
from ftgate_ext.schema import Findings, RunError
from ftgate_ext.stages import report_run

if TYPE_CHECKING:
    from pathlib import Path

has_jupyter = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("nbformat", "nbclient", "ipykernel")),
    reason="needs ftgate-ext[notebook]",
)
KNOWN_TAGS = {"div", "h3", "h4", "p", "pre", "table", "thead", "tbody", "tr", "th", "td"}


class _Elements(HTMLParser):
    """Collects elements and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.inside: list[str] = []
        self.loose: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.inside.pop() == tag

    def handle_data(self, data: str) -> None:
        if "pre" not in self.inside:
            self.loose.append(data)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compared run of three models with a judge's words on one case."""
    roles = ("candidate", "production", "base")
    folder = write_compared_run(tmp_path_factory.mktemp("made") / "run", roles=roles, golden=80)
    top = load_row(folder / "findings.json", Findings, "compare").top[3]
    looks = make_pair(top.case_id, "baseline_better", "tie", task=top.task)
    rows = [j.model_copy(update={"doc_hash": top.doc_hash, "reasoning": f"because {HOSTILE}"}) for j in looks]  # fmt: skip
    (folder / "judgments.jsonl").write_text("".join(r.model_dump_json() + "\n" for r in rows))
    write_notebook(folder)
    return folder


def cells_of(path: Path) -> list[dict[str, Any]]:
    """The code cells of a notebook."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in content["cells"] if cell["cell_type"] == "code"]


def outputs_of(path: Path) -> list[dict[str, str]]:
    """What its cells show."""
    return [output["data"] for cell in cells_of(path) for output in cell["outputs"]]


def test_thirty_failures_stand_with_all_their_texts(run: Path) -> None:
    """30 of 42 regressions, the guarded one and the harmful one on top; input, expected, every model side by side, the judge."""
    shown = outputs_of(run / NOTEBOOK)[3:]
    assert len(shown) == len(load_row(run / "findings.json", Findings, "compare").top) == 30
    first = open_run(run).cases[0]
    assert first.failure.case_id in {"suite-0", "safety-0"}
    judged = shown[3]["text/html"]
    for words in (
        "Input",
        "Expected",
        "candidate",
        "production",
        "base",
        "baseline_better",
        "because",
    ):
        assert words in judged
    assert "The judge said nothing of this case." in shown[6]["text/html"]


def test_nothing_that_a_model_wrote_is_markup(run: Path) -> None:
    """Only our own elements and attributes; texts stand in <pre>, where no formula is set; no control character."""
    for data in outputs_of(run / NOTEBOOK):
        seen = _Elements(data["text/html"])
        assert seen.tags <= KNOWN_TAGS
        assert seen.attributes <= {"style", "class"}
        assert not any("javascript" in text for text in seen.loose)
        assert "\x1b" not in data["text/plain"]
        assert "\u202e" not in data["text/plain"] + data["text/html"]


def test_answers_to_harmful_requests_are_withheld(run: Path) -> None:
    """Neither the request nor an answer stands anywhere in the file."""
    text = (run / NOTEBOOK).read_text(encoding="utf-8")
    assert "POISON" not in text
    assert "how to poison" not in text
    assert "(not shown: a harmful request and its answers)" in text


def test_the_file_is_the_same_every_time_and_names_no_folder(run: Path) -> None:
    """No time of day, no path of this machine."""
    before = (run / NOTEBOOK).read_bytes()
    write_notebook(run)
    assert (run / NOTEBOOK).read_bytes() == before
    assert str(run).encode() not in before


@has_jupyter
def test_it_is_a_valid_notebook(run: Path) -> None:
    """Jupyter's own schema takes it."""
    import nbformat

    notebook = nbformat.read(run / NOTEBOOK, as_version=4)
    nbformat.validate(notebook)


@has_jupyter
@pytest.mark.slow
def test_a_kernel_shows_what_was_written_without_one_also_after_a_move(run: Path, tmp_path: Path) -> None:  # fmt: skip
    """The cells run from the moved folder alone, and their outputs are those of the file."""
    written = outputs_of(run / NOTEBOOK)
    moved = tmp_path / "elsewhere"
    shutil.copytree(run, moved)
    write_notebook(moved, execute=True)
    assert outputs_of(moved / NOTEBOOK) == written
    assert len(written) == 3 + 30


def test_the_report_writes_it_and_a_command_rewrites_it(run: Path, tmp_path: Path) -> None:
    """`ftgate report` leaves a notebook; `ftgate notebook` makes it anew."""
    folder = tmp_path / "copy"
    shutil.copytree(run, folder)
    (folder / NOTEBOOK).unlink()
    report_run(folder)
    made = (folder / NOTEBOOK).read_bytes()
    (folder / NOTEBOOK).write_text("{}")
    done = ftgate_here("notebook", str(folder), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / NOTEBOOK).read_bytes() == made


def test_a_run_without_much_says_what_is_absent(tmp_path: Path) -> None:
    """No decision, no golden set, other models than production: sentences, no empty table."""
    folder = write_compared_run(tmp_path / "run", roles=("candidate", "base"), golden=0, decide=False)  # fmt: skip
    write_notebook(folder)
    summary, changes = (data["text/plain"] for data in outputs_of(folder / NOTEBOOK)[:2])
    assert "No decision yet" in summary
    assert "Production was not asked: changes are against base." in changes
    findings = load_row(folder / "findings.json", Findings, "compare")
    assert findings.confusion == []
    (folder / "findings.json").write_text(Findings(findings=[]).model_dump_json())
    write_notebook(folder)
    shown = outputs_of(folder / NOTEBOOK)
    assert len(shown) == 3
    assert "There is no failure to show" in shown[2]["text/plain"]
    assert "<table>" not in shown[2]["text/html"]


def test_what_is_no_run_says_so(tmp_path: Path, run: Path) -> None:
    """One line: where, and what is expected."""
    with pytest.raises(RunError, match="no run folder"):
        open_run(tmp_path)
    with pytest.raises(RunError, match="expected a number from 1"):
        open_run(run).show(0)
