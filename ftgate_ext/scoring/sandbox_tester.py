"""Runs in the sandbox of the test: its names stand for what the code under test defines.

The code itself runs in another sandbox and only answers calls. The token is printed after the last
statement of the test; the code can neither see it nor end this process.
"""

from __future__ import annotations

import builtins
import importlib
import json
import operator
import os
import socket
import sys
from typing import Any, NoReturn

from ftgate_ext.scoring.sandbox_wire import LINK, Wire, decode, encode

_OPERATORS = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lt", "le", "gt", "ge", "and_",
    "or_", "xor",
)  # fmt: skip
# Raised in the middle of a test, these would end a loop early and look like success.
_NEVER = {"StopIteration", "StopAsyncIteration", "GeneratorExit"}


class CandidateError(Exception):
    """The code raised something that has no counterpart here."""


class Remote:
    """An object of the code under test. Equal to plain data only by the plain content it brought."""

    def __init__(self, asks: Asks, number: int, plain: tuple[Any, ...]) -> None:
        vars(self).update(_asks=asks, _number=number, _plain=plain)

    def __call__(self, *args: Any, **named: Any) -> Any:  # noqa: D102 - it does what Python says
        return self._asks.ask("call", [self, *args], named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__name__", "__doc__"):
            raise AttributeError(name)
        return self._asks.ask("getattr", [self, name])

    def __setattr__(self, name: str, value: Any) -> None:
        self._asks.ask("setattr", [self, name, value])

    def __len__(self) -> int:
        return int(self._asks.ask("len", [self]))

    def __iter__(self) -> Any:
        return self._asks.ask("iter", [self])

    def __next__(self) -> Any:
        return self._asks.ask("next", [self])

    def __getitem__(self, key: Any) -> Any:
        return self._asks.ask("getitem", [self, key])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._asks.ask("setitem", [self, key, value])

    def __delitem__(self, key: Any) -> None:
        self._asks.ask("delitem", [self, key])

    def __contains__(self, value: Any) -> bool:
        return any(item == value for item in (self._plain[0] if self._plain else self))

    def __bool__(self) -> bool:
        return self._asks.ask("truth", [self]) is True

    def __str__(self) -> str:
        return str(self._asks.ask("str", [self]))

    def __repr__(self) -> str:
        return str(self._asks.ask("repr", [self]))

    def __enter__(self) -> Any:
        return self._asks.ask("getattr", [self, "__enter__"])()

    def __exit__(self, *_: object) -> None:
        self._asks.ask("getattr", [self, "__exit__"])(None, None, None)

    def __instancecheck__(self, value: Any) -> bool:
        return self._asks.ask("isinstance", [self, value]) is True

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Remote):
            if self._plain and other._plain:
                return bool(self._plain == other._plain)
            return self._asks.ask("eq", [self, other]) is True
        return bool(self._plain) and bool(self._plain[0] == other)

    def __hash__(self) -> int:
        return hash(self._plain) if self._plain else hash(self._number)


def _operator(name: str) -> Any:
    """An operator that never asks the code how its answer compares with the test's own data."""
    plainly = getattr(operator, name)

    def operate(self: Remote, other: Any) -> Any:
        brought: tuple[Any, ...] = vars(self)["_plain"]
        if brought:
            theirs = vars(other)["_plain"] if isinstance(other, Remote) else ()
            return plainly(brought[0], theirs[0] if theirs else other)
        if isinstance(other, Remote):
            return vars(self)["_asks"].ask(name, [self, other])
        return NotImplemented

    return operate


for _name in _OPERATORS:
    setattr(Remote, f"__{_name.strip('_')}__", _operator(_name))


class Asks:
    """Questions to the code under test."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.errors: dict[str, type[Exception]] = {}

    def ask(self, do: str, args: list[Any], named: dict[str, Any] | None = None) -> Any:
        """Have something done over there and take the value, or raise what was raised."""
        asked = [encode(arg, _number_of) for arg in args]
        keyed = {key: encode(arg, _number_of) for key, arg in (named or {}).items()}
        self._wire.send({"do": do, "args": asked, "named": keyed})
        said = self._wire.receive()
        if said is None:
            fail("the code under test ended before it answered")
        if "raised" in said:
            self._raise(said, do)
        for place, after in said["changed"].items():
            _replace(args[int(place)], decode(after, self.find))
        return decode(said["value"], self.find)

    def find(self, said: dict[str, Any]) -> Remote:
        """A stand-in for the object of a number."""
        plain = (decode(said["plain"], self.find),) if "plain" in said else ()
        return Remote(self, said["h"], plain)

    def _raise(self, said: dict[str, Any], do: str) -> NoReturn:
        names = [str(name) for name in said["raised"]]
        if do == "next" and "StopIteration" in names:
            raise StopIteration
        kind = self.kind_of(names)
        try:
            raised = kind(*said["args"])
        except TypeError:
            raised = CandidateError(names[0])
        raise raised

    def kind_of(self, names: list[str]) -> type[Exception]:
        """The nearest counterpart of an exception class, by the names of its ancestors."""
        if _NEVER & set(names):
            return CandidateError
        for name in names:
            kind = self.errors.get(name) or getattr(builtins, name, None)
            if isinstance(kind, type) and issubclass(kind, Exception):
                return kind
        return CandidateError


def _number_of(value: Any) -> dict[str, Any]:
    """The number of an object over there; nothing for a kind of plain data, sent as that."""
    if isinstance(value, Remote):
        return {"h": vars(value)["_number"]}
    if not isinstance(value, (int, str, float, bytes, tuple, list, dict, set, frozenset)):
        fail(f"not checkable this way: the test hands over a {type(value).__name__} of its own")
    return {}


def _replace(kept: Any, after: Any) -> None:
    """Give the caller's own object the content that the call left in it."""
    if isinstance(kept, (list, bytearray)):
        kept[:] = after
    else:
        kept.clear()
        kept.update(after)


def fail(why: str) -> NoReturn:
    """End this process, whatever the test would catch."""
    sys.stderr.write(f"\n{why[:500]}\n")
    sys.stderr.flush()
    os._exit(1)


def _namespace(asks: Asks, names: dict[str, dict[str, Any]]) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "test"}
    for name, said in names.items():
        if hasattr(builtins, name):
            continue  # the test's own abs, len and all are not the code's to replace
        if "m" in said:
            if str(said["m"]).partition(".")[0] in sys.stdlib_module_names:
                space[name] = importlib.import_module(said["m"])
            continue
        value = said["v"]
        if isinstance(value, dict) and "raises" in value:
            ancestors = [str(ancestor) for ancestor in value["raises"]]
            base = asks.kind_of(ancestors[1:])
            builtin = getattr(builtins, ancestors[0], None)
            space[name] = builtin or type(name, (base,), {})
            asks.errors[ancestors[0]] = space[name]
        else:
            space[name] = decode(value, asks.find)
    return space


def main() -> None:
    """Run the test of standard input against the code at the other end of the wire."""
    given = json.load(sys.stdin)
    say = os.dup(1)
    os.dup2(2, 1)
    wire = Wire(socket.socket(fileno=LINK))
    said = wire.receive()
    if said is None or "names" not in said:
        fail(f"the code does not load: {(said or {}).get('broken', 'it ended at once')}")
    space = _namespace(Asks(wire), said["names"])
    try:
        exec(compile(given["test"], "test.py", "exec"), space)  # noqa: S102 - that is the task
    except BaseException as error:  # noqa: BLE001 - whatever a test raises fails it
        fail(f"{type(error).__name__}: {error}".rstrip(": "))
    os.write(say, given["token"].encode())


if __name__ == "__main__":
    main()
