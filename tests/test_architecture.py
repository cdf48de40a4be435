"""The house keeps its shape: one direction, one home a library, small rooms."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ftgate_ext"
MODULES = sorted(PACKAGE.rglob("*.py"))

# A room may import from rooms of a lower floor and of its own; circles are looked for apart.
FLOORS: dict[str, int] = {
    "errors": 0, "schema": 0, "stats": 0, "assets": 0, "wording": 0, "autoload": 0, "terminal": 0, "policy_signals": 1,
    "policy_problems": 1, "policy_rules": 1, "policy_servers": 1, "policy_benchmarks": 1, "capability": 1, "policy_judge": 1, "prices": 1, "policy": 1, "pairing": 4, "evalset": 1, "scoring": 1, "progress": 1,
    "inference": 2, "lm_tasks": 2, "lm_find": 1, "lm_index": 0, "lm_thrift": 0,
    "runs": 3, "samples": 3, "leaks": 3, "settings": 3, "evidence": 3, "columns": 3, "scores": 4, "case_scores": 2, "estimates": 4, "paired_estimates": 4, "costs": 4, "timings": 4, "interleaved": 4, "break_even": 4, "latency": 5,
    "operations": 5, "winrate": 5, "tables": 5, "pass_at_k": 5, "mtbench_scores": 6, "ledger": 5, "benchmarks_compared": 6, "labelled": 5, "trainlog": 4, "trainlog_cli": 9, "training_signs": 1, "buckets": 5, "robustness": 5, "compare": 6, "findings": 5, "report": 5, "rules": 4, "looks": 5,
    "moved": 4, "lm_run": 4, "executors": 4, "harness": 5, "judge": 5, "decision": 5, "starter": 5, "doctor": 5,
    "plan": 6, "traces": 6, "alerts": 7, "signals": 8, "signals_cli": 9, "options_cli": 8, "prepare_cli": 9, "stages": 7, "notebook": 6, "newness": 7, "review": 8, "review_cli": 9, "history": 6, "dashboard": 7, "audit": 8, "gate": 8, "demo": 9, "evalset_cli": 9, "judge_cli": 9, "view_cli": 9, "cli": 10, "__main__": 11, "__init__": 0,
}  # fmt: skip

# Third-party library -> the rooms that may import it.
HOMES: dict[str, set[str]] = {
    "lm_eval": {
        "capability",
        "executors",
        "inference",
        "harness",
        "leaks",
        "lm_run",
        "lm_tasks",
        "lm_find",
        "lm_thrift",
        "scoring",
        "autoload",
    },
    "datasets": {"capability", "evalset"},
    "sacrebleu": {"scoring"},
    "rouge_score": {"scoring"},
    "aiohttp": {"inference", "dashboard", "traces", "alerts"},
    "opentelemetry": {"traces"},
    "requests": {"traces"},
    "fsspec": {"history"},
    "openai": {"inference"},
    "scipy": {"stats"},
    "jinja2": {"report", "judge", "dashboard"},
    "typer": {
        "cli",
        "review_cli",
        "evalset_cli",
        "judge_cli",
        "trainlog_cli",
        "view_cli",
        "options_cli",
        "prepare_cli",
        "signals_cli",
    },
    "rich": {"cli", "progress"},
    "jsonschema": {"scoring", "policy"},
    "openvino_genai": {"inference"},
    "xllamacpp": {"inference"},
    "nbformat": {"notebook"},
    "nbclient": {"notebook"},
    "gguf": {"inference"},
    "safetensors": {"inference"},
    "huggingface_hub": {"capability", "inference"},
    "yaml": {"findings", "policy", "policy_problems", "prices", "evalset", "judge"},
    "torch": {"executors"},
    "transformers": set(),
    "vllm": set(),
    "ray": {"executors"},
    "accelerate": {"executors"},
}
PURE = {"decision", "rules", "evidence", "report", "stats", "winrate", "wording"}
INPUT_OUTPUT = {
    "aiohttp",
    "requests",
    "socket",
    "urllib",
    "http",
    "subprocess",
    "shutil",
    "os",
    "pathlib",
}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path, *, types_too: bool = False) -> set[str]:
    """Dotted names that a module imports at run time, wherever in the file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for node in ast.walk(block)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing_only and not types_too:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def own_rooms(path: Path) -> set[str]:
    names = {n.split(".")[1] for n in imports_of(path) if n.startswith("ftgate_ext.")}
    return {n for n in names if n != room(path)}


def test_every_room_has_a_floor() -> None:
    """A new room is placed on a floor when it is built, not later."""
    assert {room(p) for p in MODULES} <= set(FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    """A room stands on what is below it, or beside it."""
    mine = FLOORS[room(path)]
    above = {other for other in own_rooms(path) if FLOORS[other] > mine}
    assert not above, f"{path} imports from a higher floor: {above}"


def test_no_circles() -> None:
    """No two rooms import each other, over however many corners."""
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        graph.setdefault(room(path), set()).update(own_rooms(path))
    done: set[str] = set()

    def walk(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for other in graph.get(name, set()):
                walk(other, (*trail, name))
            done.add(name)

    for name in graph:
        walk(name, ())


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_library_is_at_home(path: Path) -> None:
    """A library is imported in its own rooms only, so that it can be replaced there."""
    for name in imports_of(path):
        homes = HOMES.get(name.split(".", maxsplit=1)[0])
        assert homes is None or room(path) in homes, f"{path} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_decision_and_report_know_no_files_and_no_network(path: Path) -> None:
    """What decides and what renders can be recomputed from its arguments alone."""
    if room(path) in PURE:
        tops = {name.split(".", maxsplit=1)[0] for name in imports_of(path)}
        assert not tops & INPUT_OUTPUT


def test_only_the_standard_library_and_declared_packages_are_imported() -> None:
    """Whatever is imported is declared in pyproject.toml, as a dependency or an extra."""
    declared = re.sub(r"[-_]", "_", (ROOT / "pyproject.toml").read_text(encoding="utf-8").lower())
    for path in MODULES:
        for name in imports_of(path):
            top = name.split(".", maxsplit=1)[0]
            known = {
                "yaml": "pyyaml",
                "tqdm": "lm_eval",
                "sacrebleu": "lm_eval",
                "rouge_score": "lm_eval",
                "huggingface_hub": "datasets",
                "pydantic_core": "pydantic",
            }
            if top not in sys.stdlib_module_names and top != "ftgate_ext":
                assert known.get(top, top) in declared, f"{path} imports {top}"


def test_rooms_are_small() -> None:
    """A module has at most 400 lines, a function at most 60: a reader's one sitting."""
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                assert (node.end_lineno or 0) - node.lineno < 60, f"{path}: {node.name}"


def test_no_name_that_explains_nothing() -> None:
    """utils, helpers, common and manager are no names for a room."""
    forbidden = {"utils", "helpers", "common", "manager", "misc"}
    assert not {p.stem for p in MODULES} & forbidden


def test_errors_are_never_swallowed_whole() -> None:
    """`except Exception` and a bare `except` do not occur."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, f"{path}:{node.lineno}"
                assert ast.unparse(node.type) != "Exception", f"{path}:{node.lineno}"


def test_nothing_of_this_machine_is_committed() -> None:
    """No absolute home or work path and no package index stands in a shipped text file."""
    suspicious = re.compile(r"/root/|/home/\w+/|/work/|index-url|/opt/")
    in_golden = re.compile(r"/work/(?:main|shared)|index-url\s*=\s*http")
    folders = ("ftgate_ext", "tasks", "golden", "configs", "scripts")
    for folder in folders:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".yaml", ".md", ".jsonl", ".json", ".sh", ".j2", ".txt"}:
                text = path.read_text(encoding="utf-8")
                # the code under review deploys to servers and reads indexes of its own
                found = (in_golden if folder == "golden" else suspicious).search(text)
                assert not found, path
