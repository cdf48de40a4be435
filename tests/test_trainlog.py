"""Training logs: every form in which loss and token accuracy come, and signs of overfitting."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import QUICK

from ftgate_ext.report.capability import view_capability
from ftgate_ext.report.curves import draw_curve
from ftgate_ext.runs import MANIFEST
from ftgate_ext.schema import Comparisons, RunError, TrainPoint
from ftgate_ext.training_signs import find_signs
from ftgate_ext.trainlog import describe, read_log, write_trainlog

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HISTORY: list[dict[str, Any]] = [
    {"epoch": 0.5, "step": 10, "loss": 2.0, "grad_norm": 1.2, "learning_rate": 2e-5, "mean_token_accuracy": 0.55},
    {"epoch": 0.5, "step": 10, "eval_loss": 1.9, "eval_mean_token_accuracy": 0.56, "eval_runtime": 3.1},
    {"epoch": 1.0, "step": 20, "loss": 1.5, "mean_token_accuracy": 0.62},
    {"epoch": 1.0, "step": 20, "eval_loss": 1.6, "eval_mean_token_accuracy": 0.61},
    {"epoch": 1.0, "step": 20, "train_runtime": 99.0, "train_loss": 1.75},
]  # fmt: skip
CSV = """\
step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy,full_valid_loss,full_valid_mean_token_accuracy
1,2.5,0.40,2.6,0.41,,
2,2.0,0.50,2.4,0.45,2.3,0.47
3,1.5,0.60,,,,
"""


def series(run: Any, name: str) -> list[tuple[float, float]]:
    return [(p.step, p.value) for p in run.series[name]]


def test_a_trainer_state(tmp_path: Path) -> None:
    """trainer_state.json: training and validation apart; the mean of the whole run is no point."""
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps({"best_metric": None, "log_history": HISTORY}))
    run = read_log(path)
    assert run.kind == "trainer_state"
    assert series(run, "train_loss") == [(10, 2.0), (20, 1.5)]
    assert series(run, "valid_loss") == [(10, 1.9), (20, 1.6)]
    assert series(run, "train_token_accuracy") == [(10, 0.55), (20, 0.62)]
    assert series(run, "valid_token_accuracy") == [(10, 0.56), (20, 0.61)]


def test_a_printed_log(tmp_path: Path) -> None:
    """Lines as the Trainer prints them, with a progress bar around and the epoch as the only place."""
    path = tmp_path / "train.log"
    path.write_text(
        "Loading...\n 10%|#  | 1/10 {'loss': 2.5, 'learning_rate': 1e-05, 'epoch': 0.1}\n"
        '{"eval_loss": 2.25, "epoch": 0.1}\n{broken\n'
        "{'loss': '1.75', 'epoch': '0.2'}\n{'loss': nan, 'epoch': 0.3}\n{'loss': float('inf')}\n"
    )
    run = read_log(path)
    assert run.kind == "hf_log"
    assert series(run, "train_loss") == [(0.1, 2.5), (0.2, 1.75)]
    assert series(run, "valid_loss") == [(0.1, 2.25)]


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_result_file_of_openai(tmp_path: Path, *, is_packed: bool) -> None:
    """The CSV as it is and in the API's base64; validation on the whole set wins over one batch."""
    path = tmp_path / "step_metrics.csv"
    path.write_bytes(base64.b64encode(CSV.encode()) if is_packed else CSV.encode())
    run = read_log(path)
    assert run.kind == "openai_csv"
    assert series(run, "train_loss") == [(1, 2.5), (2, 2.0), (3, 1.5)]
    assert series(run, "valid_loss") == [(2, 2.3)]
    assert series(run, "valid_token_accuracy") == [(2, 0.47)]
    assert series(run, "train_token_accuracy")[-1] == (3, 0.6)


@pytest.mark.parametrize("content", ["", "hello", "{}", "a,b\n1,2\n", "[1, 2]", "\x00\xff", "[" * 5000])  # fmt: skip
def test_what_is_no_training_log_is_one_line(tmp_path: Path, content: str) -> None:
    """The file, and what was expected."""
    path = tmp_path / "x.log"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(RunError, match="no loss and no token accuracy found; expected") as error:
        read_log(path)
    assert "\n" not in str(error.value)


def test_nothing_in_a_log_is_executed(tmp_path: Path) -> None:
    """A line that is a Python expression stays text."""
    path = tmp_path / "train.log"
    path.write_text("{'loss': __import__('os').mkdir('gone')}\n{'loss': 1.0, 'step': 1}\n")
    assert series(read_log(path), "train_loss") == [(1, 1.0)]
    assert not (tmp_path / "gone").exists()


@QUICK
@given(st.lists(st.one_of(st.floats(), st.text(max_size=5), st.none(), st.booleans()), max_size=12))
def test_values_that_are_no_numbers_are_counted(values: list[Any]) -> None:
    """Whatever stands where a loss should: only finite numbers become points."""
    import tempfile
    from pathlib import Path as RealPath

    with tempfile.TemporaryDirectory() as folder:
        path = RealPath(folder) / "trainer_state.json"
        rows = [{"step": i, "loss": v} for i, v in enumerate(values)] + [{"step": 99, "loss": 1.0}]
        path.write_text(json.dumps({"log_history": rows}))
        run = read_log(path)
    there = [v for v in values if v not in (None, "")]
    assert len(run.series["train_loss"]) - 1 + run.n_not_numbers == len(there)


# --- signs


def points(*values: float) -> list[TrainPoint]:
    return [TrainPoint(step=10 * i, value=v) for i, v in enumerate(values)]


def signs(train: Sequence[float], valid: Sequence[float]) -> str:
    return " ".join(find_signs({"train_loss": points(*train), "valid_loss": points(*valid)}))


def test_validation_that_rises_while_training_falls_is_said() -> None:
    """The turn is named with its step, and the checkpoint that may be the better one."""
    said = signs([2.5, 2.0, 1.6, 1.3, 1.2, 1.1], [2.4, 2.0, 1.8, 1.9, 2.0, 2.1])
    assert "rose from 1.8 at step 20 to 2.1 at step 50 while the training loss fell" in said
    assert "a sign of overfitting" in said
    assert "step 20 may be the better one" in said


def test_a_healthy_log_has_no_sign() -> None:
    """Both fall: nothing to worry about, and that is said; noise of 1 % is no turn."""
    assert signs([2.5, 2.0, 1.6, 1.5], [2.4, 2.0, 1.8, 1.81]).startswith("No sign of overfitting")


def test_other_troubles_have_other_words() -> None:
    """Both rise: unstable. No validation: nothing can be seen. A large gap: learnt by heart."""
    assert "unstable" in signs([2.0, 1.5, 1.6, 2.5, 3.0, 3.1], [2.0, 1.6, 1.7, 2.2, 2.9, 3.0])
    assert "cannot be seen" in " ".join(find_signs({"train_loss": points(2.0, 1.0)}))
    assert "by heart" in signs([2.0, 0.5, 0.3, 0.2], [2.0, 1.9, 1.8, 1.75])
    assert "Only 2 validations" in signs([2.0, 1.9, 1.8], [2.0, 1.9])


# --- beside the results


def test_the_report_shows_curves_and_signs(tmp_path: Path) -> None:
    """trainlog.json in the run folder; table, sentences and a drawing from it; no run, no file."""
    (tmp_path / "a.json").write_text(json.dumps({"log_history": HISTORY}))
    with pytest.raises(RunError, match="no run folder"):
        write_trainlog([tmp_path / "a.json"], tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / MANIFEST).write_text("{}")
    log = write_trainlog([tmp_path / "a.json"], tmp_path / "run")
    assert (tmp_path / "run" / "trainlog.json").is_file()
    assert describe(log)[0].startswith("a.json (trainer_state): train_loss 2 to 1.5")
    empty = Comparisons(run_id="r", roles=["candidate"], levels=[], comparisons=[], operations=[], sources={}, resamples=1000, seed=1)  # fmt: skip
    view = view_capability(empty, log)
    assert [c.caption for c in view.training.curves] == ["a.json: loss", "a.json: token accuracy"]
    assert len(view.training.section.tables[0].rows) == 4
    assert view.ledger.tables == []
    assert view_capability(empty, None).training.section.tables == []


def test_a_curve_stays_within_its_drawing() -> None:
    """Every point lies inside; one point is no curve."""
    curve = draw_curve("c", {"x": [(0, 1e9), (1, -5.0), (2, 0.0)]}, "step", "label")
    assert curve is not None
    xy = [tuple(map(float, p.split(","))) for p in curve.lines[0].points.split()]
    assert all(0 <= x <= 340 and 0 <= y <= 130 for x, y in xy)
    assert draw_curve("c", {"x": [(0, 1)]}, "step", "label") is None
