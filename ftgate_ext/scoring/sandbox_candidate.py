"""Runs in the sandbox of the code under test: executes it, then answers calls until the wire ends.

Nothing here decides anything: hostile code may replace every line of it and gains no more than the
right to answer with other values. It is never given the test.
"""

from __future__ import annotations

import operator
import socket
import sys
import types
from typing import TYPE_CHECKING, Any

from ftgate_ext.scoring.sandbox_wire import LINK, Wire, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable

_DOINGS: dict[str, Callable[..., Any]] = {
    "call": lambda on, *args, **named: on(*args, **named),
    "getattr": getattr,
    "setattr": setattr,
    "isinstance": lambda on, value: isinstance(value, on),
    "iter": iter,
    "next": next,
    "len": len,
    "str": str,
    "repr": repr,
}


class Held:
    """The objects that stay in this process, by number."""

    def __init__(self) -> None:
        self.objects: list[Any] = []

    def name(self, value: Any) -> dict[str, Any]:
        """The number of an object."""
        self.objects.append(value)
        named: dict[str, Any] = {"h": len(self.objects) - 1}
        if isinstance(value, type) and issubclass(value, BaseException):
            named["raises"] = _ancestry(value)
        return named

    def find(self, said: dict[str, Any]) -> Any:
        """The object of a number."""
        return self.objects[said["h"]]


def _ancestry(kind: type) -> list[str]:
    return [ancestor.__name__ for ancestor in kind.__mro__]


def _exported(module: types.ModuleType, held: Held) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for name, value in list(vars(module).items()):
        if name.startswith("__"):
            continue
        if isinstance(value, types.ModuleType):
            names[name] = {"m": value.__name__}
        else:
            names[name] = {"v": encode(value, held.name)}
    return names


def _answer(asked: dict[str, Any], held: Held) -> dict[str, Any]:
    args = [decode(arg, held.find) for arg in asked["args"]]
    named = {key: decode(arg, held.find) for key, arg in asked["named"].items()}
    doing = _DOINGS.get(asked["do"]) or getattr(operator, asked["do"])
    try:
        value = encode(doing(*args, **named), held.name)
    except BaseException as error:  # noqa: BLE001 - whatever the code raises is its answer
        plain = [arg for arg in error.args if isinstance(arg, (str, int, float))]
        return {"raised": _ancestry(type(error)), "args": plain}
    changed = {}
    for place, (before, arg) in enumerate(zip(asked["args"], args)):  # noqa: B905 - Python 3.10 has it, but the lengths are the same
        if isinstance(arg, (list, dict, set, bytearray)) and not _is_handle(before):
            after = encode(arg, held.name)
            if after != before:
                changed[str(place)] = after
    return {"value": value, "changed": changed}


def _is_handle(said: Any) -> bool:
    return isinstance(said, dict) and "h" in said


def main() -> None:
    """Load the code from standard input, say what it defines, serve."""
    wire = Wire(socket.socket(fileno=LINK))
    code = sys.stdin.read()
    held = Held()
    module = types.ModuleType("candidate")
    sys.modules["candidate"] = module
    try:
        exec(compile(code, "candidate.py", "exec"), module.__dict__)  # noqa: S102 - that is the task
        names = _exported(module, held)
    except BaseException as error:  # noqa: BLE001 - whatever the code raises is its answer
        wire.send({"broken": f"{type(error).__name__}: {error}"[:300]})
        return
    wire.send({"names": names})
    while asked := wire.receive():
        wire.send(_answer(asked, held))


if __name__ == "__main__":
    main()
