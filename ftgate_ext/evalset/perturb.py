"""Python code under review -> the same code in another dress, with the lines of its defect.

Nothing here changes what a program does: the indented, commented and surrounded code has the syntax
tree of the original, and the renamed one differs in the names of local variables alone. Knows no file.
"""

from __future__ import annotations

import ast
import builtins
import io
import tokenize
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Callable

Perturbation = Literal[
    "renamed", "reindented", "uncommented", "commented", "surrounded", "paraphrased"
]
PERTURBATIONS: tuple[Perturbation, ...] = get_args(Perturbation)
UNPERTURBED = "none"

PREFIX = "my_"
REMARKS = ("# Part of the service.", "# Called from other modules.", "# Kept in one place.")
BEFORE = ("def _module_name():", '    return __name__.rpartition(".")[2]', "", "")
AFTER = ("", "", "def _describe():", '    return f"module {_module_name()}"')
AFTER_ALONE = ("", "", "def _describe():", '    return "module"')
LOOKS_AT_NAMES = frozenset({"locals", "vars", "eval", "exec", "dir", "globals"})
"""Calls that can see what a local variable is called."""


@dataclass(frozen=True)
class Perturbed:
    """Code in another dress."""

    code: str
    lines: tuple[int, int] | None
    """First and last line of the defect, from 1."""


Lines = tuple[int, int] | None


def perturb(kind: Perturbation, code: str, lines: Lines) -> Perturbed | None:
    """The code in another dress; None where this one does not fit it or would change nothing.

    Args:
        kind: Which one. `paraphrased` leaves the code as it is: the instruction is another.
        code: Python that can be parsed.
        lines: Of the defect.
    """
    try:
        made = _KINDS[kind](code, lines)
    except (SyntaxError, tokenize.TokenError):
        return None
    if made is None or (made.code == code and kind != "paraphrased"):
        return None
    return made


# --- names


def _renamed(code: str, lines: Lines) -> Perturbed | None:
    """Local variables get a prefix; no line moves."""
    tree = ast.parse(code)
    taken = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if taken & LOOKS_AT_NAMES:
        return None
    taken |= {a.arg for a in ast.walk(tree) if isinstance(a, ast.arg)} | _top_level(tree)
    places: list[tuple[int, int, int, str]] = []
    for function in _outermost_functions(tree):
        names = {n for n in _locals_of(function) if PREFIX + n not in taken} - _top_level(tree)
        places += [
            (node.lineno, node.col_offset, node.end_col_offset or 0, PREFIX + node.id)
            for node in ast.walk(function)
            if isinstance(node, ast.Name) and node.id in names
        ]
    text = [line.encode() for line in code.split("\n")]
    for line, start, end, name in sorted(places, reverse=True):  # offsets count bytes
        whole = text[line - 1]
        text[line - 1] = whole[:start] + name.encode() + whole[end:]
    return Perturbed(b"\n".join(text).decode(), lines)


def _top_level(tree: ast.Module) -> set[str]:
    """Names that the module itself binds, and built-in ones."""
    found = set(dir(builtins))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
    for statement in tree.body:
        if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found |= {n.id for n in ast.walk(statement) if isinstance(n, ast.Name)}
    return found


def _outermost_functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    found: list[ast.FunctionDef | ast.AsyncFunctionDef] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.append(node)
        else:
            found += _outermost_functions(node)
    return found


def _locals_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Names that a function binds and that can be renamed wherever they stand in it.

    Left alone: parameters, which callers may name; what is declared global or nonlocal; what a class
    inside binds, which are attributes; what the tree does not place (handlers, patterns), and what
    stands in an f-string, which older versions of Python misplace.
    """
    found, kept = set(), set()
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.arg):
            kept.add(node.arg)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            kept |= set(node.names)
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            kept.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            kept.add(node.rest)
        elif isinstance(node, (ast.ClassDef, ast.JoinedStr)):
            kept |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return {name for name in found - kept if not name.startswith("_")}


# --- white space and comments


def _reindented(code: str, lines: Lines) -> Perturbed | None:
    """Two spaces where four were; the inside of a text that spans lines stays as it is."""
    inside = _lines_inside_texts(code)
    made = []
    for number, line in enumerate(code.split("\n"), start=1):
        indent = len(line) - len(line.lstrip(" "))
        made.append(line if number in inside else " " * (indent // 2) + line[indent:])
    text = "\n".join(made)
    return Perturbed(text, lines) if _same_program(code, text) else None


def _lines_inside_texts(code: str) -> set[int]:
    """Lines that begin inside a string that spans several."""
    return {
        number
        for token in _tokens(code)
        if token.end[0] > token.start[0] and token.type != tokenize.NEWLINE
        for number in range(token.start[0] + 1, token.end[0] + 1)
    }


def _tokens(code: str) -> list[tokenize.TokenInfo]:
    return list(tokenize.generate_tokens(io.StringIO(code + "\n").readline))


def _uncommented(code: str, lines: Lines) -> Perturbed | None:
    """Without comments; a line that was one disappears."""
    cut = {t.start[0]: t.start[1] for t in _tokens(code) if t.type == tokenize.COMMENT}
    kept: dict[int, int] = {}
    made: list[str] = []
    for number, line in enumerate(code.split("\n"), start=1):
        left = line[: cut[number]].rstrip() if number in cut else line
        if number in cut and not left:
            continue
        made.append(left)
        kept[number] = len(made)
    text = "\n".join(made)
    if not _same_program(code, text):
        return None
    if lines is None:
        return Perturbed(text, None)
    inside = [kept[n] for n in range(lines[0], lines[1] + 1) if n in kept]
    return Perturbed(text, (inside[0], inside[-1])) if inside else None


def _commented(code: str, lines: Lines) -> Perturbed | None:
    """A neutral remark above every definition at the top."""
    tree = ast.parse(code)
    starts = [
        min([node.lineno, *(d.lineno for d in node.decorator_list)])
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    ]
    text = code.split("\n")
    for count, start in enumerate(reversed(starts)):
        text.insert(start - 1, REMARKS[(len(starts) - 1 - count) % len(REMARKS)])
    made = "\n".join(text)
    if not _same_program(code, made):
        return None
    return Perturbed(made, lines and (_moved(lines[0], starts), _moved(lines[1], starts)))


def _moved(line: int, inserted_above: list[int]) -> int:
    return line + sum(start <= line for start in inserted_above)


def _same_program(code: str, other: str) -> bool:
    return ast.dump(ast.parse(code)) == ast.dump(ast.parse(other))


# --- what stands around


def _surrounded(code: str, lines: Lines) -> Perturbed | None:
    """An unrelated function before and another one after."""
    tree = ast.parse(code)
    names = {n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    if names & {"_module_name", "_describe"}:
        return None
    first = tree.body[0]
    # A text or a __future__ import at the top must stay the first statement.
    is_bound = isinstance(first, ast.ImportFrom) and first.module == "__future__"
    is_bound |= isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    before, after = ((), AFTER_ALONE) if is_bound else (BEFORE, AFTER)
    shift = len(before)
    made = "\n".join([*before, code.rstrip("\n"), *after])
    return Perturbed(made, lines and (lines[0] + shift, lines[1] + shift))


def _as_it_is(code: str, lines: Lines) -> Perturbed | None:
    return Perturbed(code, lines)


_KINDS: dict[Perturbation, Callable[[str, Lines], Perturbed | None]] = {
    "renamed": _renamed,
    "reindented": _reindented,
    "uncommented": _uncommented,
    "commented": _commented,
    "surrounded": _surrounded,
    "paraphrased": _as_it_is,
}
