"""A run -> `error_analysis.ipynb` in its folder, with outputs.

The outputs are made here, by the same functions that the cells call, without a kernel: `ftgate report` stays
quick and needs no Jupyter, and the file is the same on every machine. `execute=True` runs the cells in a
kernel instead, where nbclient and ipykernel are installed (extra `notebook`). Cells use ftgate_ext and
files beside the notebook only, so that it runs again wherever the folder was moved.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from ftgate_ext.notebook.run import TOP, RunView, open_run
from ftgate_ext.runs import write_text
from ftgate_ext.schema import FtgateError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ftgate_ext.findings.texts import CaseTexts
    from ftgate_ext.notebook.show import Shown

NOTEBOOK = "error_analysis.ipynb"
EXECUTE_TIMEOUT_S = 120
OPEN = "from ftgate_ext.notebook import open_run\n\nrun = open_run()  # the folder of this notebook"

Cell = dict[str, Any]


def write_notebook(
    run_dir: Path, texts: Sequence[CaseTexts] | None = None, *, execute: bool = False
) -> Path:
    """Write the notebook of a compared run.

    Args:
        run_dir: The run folder.
        texts: Texts of its top failures, where they are at hand.
        execute: Run the cells in a kernel; otherwise outputs are made without one.

    Raises:
        RunError: The run was not compared, or a file of it is broken.
        FtgateError: `execute`, and there is no kernel, or a cell failed.
    """
    run = open_run(run_dir, texts)
    content = notebook_content(run)
    if execute:
        content = _execute(content, run_dir)
    return write_text(run_dir / NOTEBOOK, json.dumps(content, indent=1, ensure_ascii=True) + "\n")


def notebook_content(run: RunView) -> Cell:
    """The notebook as JSON of format 4.5, with outputs."""
    n = len(run.cases)
    cells = [
        _markdown(
            f"# Error analysis\n\nWhat changed between the candidate and the model in production, then the failures that are most worth looking at, at most {TOP}: "
            "regressions first, the worst on top. Every cell reads the files of this folder; run them again to see the same.\n\nAnswers of models are shown as text. Answers to harmful requests are withheld."
        ),
        _code(1, OPEN, None),
        _code(2, "run.summary()", run.summary),
        _code(3, "run.changes()", run.changes),
        _code(4, "run.failures()", run.failures),
    ]
    if n:
        cells.append(_markdown("## One by one\n\nInput, expected answer, the answers of all models side by side, and what the judge said."))  # fmt: skip
    cells += [_code(4 + i, f"run.show({i})", partial(run.show, i)) for i in range(1, n + 1)]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _markdown(text: str) -> Cell:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def _code(count: int, source: str, make: Callable[[], Shown] | None) -> Cell:
    outputs = []
    if make is not None:
        shown = make()
        data = {"text/html": shown.html, "text/plain": shown.text}
        outputs.append({"output_type": "execute_result", "execution_count": count, "metadata": {}, "data": data})  # fmt: skip
    return {
        "cell_type": "code", "execution_count": count, "metadata": {}, "outputs": outputs,
        "source": source,
    }  # fmt: skip


def _execute(content: Cell, run_dir: Path) -> Cell:
    try:
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError
    except ImportError:
        raise FtgateError("--execute: nbclient is not installed; `pip install ftgate-ext[notebook]`, or leave it out: the outputs are there without a kernel.") from None  # fmt: skip
    notebook = nbformat.from_dict(content)
    client = NotebookClient(
        notebook, timeout=EXECUTE_TIMEOUT_S, kernel_name="python3",
        resources={"metadata": {"path": str(run_dir)}},
    )  # fmt: skip
    try:
        client.execute()
    except (CellExecutionError, RuntimeError, LookupError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise FtgateError(f"{run_dir / NOTEBOOK}: could not be executed ({reason}); leave out --execute to write it without a kernel.") from None  # fmt: skip
    for cell in notebook["cells"]:
        cell["metadata"].pop("execution", None)  # times of day are no findings
    return dict(notebook)
