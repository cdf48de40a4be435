"""HumanEval answers -> passed or not, each run in the sandbox and never in this process."""

from __future__ import annotations

import ast
import re
from typing import Any

from ftgate_ext.schema import is_unscored
from ftgate_ext.scoring.sandbox import Limits
from ftgate_ext.scoring.sandbox_check import check_program

LIMITS = Limits(wall_s=15, cpu_s=10, memory_mb=1024)
"""One problem's tests; the longest canonical solution needs a second or two on a slow core."""

_FENCE = re.compile(r"```[ \t]*([\w+-]*)[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)


def program_of(doc: dict[str, Any], answer: str) -> str:
    """The program that an answer stands for.

    A fenced block that defines the function counts as a whole, behind what the problem gives
    before it (imports, helper functions); else the text continues the problem's own beginning.
    Prose after the code is cut off where the code stops being Python.
    """
    prompt, name = doc["prompt"], doc["entry_point"]
    blocks = [
        m.group(2)
        for m in _FENCE.finditer(answer)
        if m.group(1).lower() in ("", "python", "py", "python3")
    ]
    candidates = [b for b in blocks if _defines(b, name)] or blocks[:1] or [answer]
    code = candidates[0]
    if not _defines(code, name):
        return _longest_program(prompt, code)
    before = prompt[: prompt.index(f"def {name}")]
    return _longest_program(before, code[_start_of_code(code) :] if not blocks else code)


def _defines(code: str, name: str) -> bool:
    return re.search(rf"^(?:async )?def {re.escape(name)}\b", code, re.MULTILINE) is not None


def _start_of_code(text: str) -> int:
    found = re.search(r"^(?:from |import |def |async def |class |@)", text, re.MULTILINE)
    return found.start() if found else 0


def _longest_program(before: str, text: str) -> str:
    """`before` and as many lines of `text` as make a program."""
    lines = text.splitlines(keepends=True)
    for end in range(len(lines), 0, -1):
        program = before + "".join(lines[:end])
        try:
            ast.parse(program)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        return program
    return before + text


def score_humaneval(doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
    """Score one problem (lm-eval's `process_results`).

    Returns:
        passed: 0 or 1, whether the program passes the problem's tests in the sandbox;
        unanswered: 1 alone where the request failed.

    Raises:
        SandboxUnavailable: This machine cannot isolate a program.
    """
    answer = results[0]
    if is_unscored(answer):
        return {"unanswered": 1}
    test = f"{doc['test']}\ncheck({doc['entry_point']})\n"
    result = check_program(program_of(doc, answer), test, limits=LIMITS)
    return {"passed": int(result.passed), "unanswered": 0}
