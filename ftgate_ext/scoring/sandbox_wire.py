"""Values between the process of a test and the process of the code under test, as lines of JSON.

Only plain data crosses as data. Any other object stays where it is and is named by a number; one
that is a kind of plain data (a named tuple, a Counter) brings its plain content along. Decoding
never creates anything but plain data, so what comes from hostile code can lie and nothing more.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

LINK = 3
LONGEST = 1 << 24
_ATOMS = (type(None), bool, str)
_BASES: tuple[type, ...] = (tuple, list, dict, set, frozenset, str, bytes, bytearray, int, float)
_SMALL = 1 << 53


class Wire:
    """Lines of JSON, one out, one in."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._lines = link.makefile("rb")

    def send(self, said: dict[str, Any]) -> None:
        """Write one line."""
        self._link.sendall(json.dumps(said).encode() + b"\n")

    def receive(self) -> dict[str, Any] | None:
        """Read one line; None when the other side is gone."""
        line = self._lines.readline(LONGEST + 1)
        if not line.endswith(b"\n"):
            return None
        said = json.loads(line)
        return said if isinstance(said, dict) else None


def encode(value: Any, name: Callable[[Any], dict[str, Any]]) -> Any:  # noqa: C901, PLR0911 - a table of kinds
    """A value as JSON; `name` gives the number of an object that is not plain, or nothing."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is int:
        return value if -_SMALL < value < _SMALL else {"i": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"f": repr(value)}
    if kind is list:
        return [encode(item, name) for item in value]
    if kind in (tuple, set, frozenset):
        return {kind.__name__: [encode(item, name) for item in value]}
    if kind is dict:
        return {"d": [[encode(k, name), encode(v, name)] for k, v in value.items()]}
    if kind in (bytes, bytearray):
        return {kind.__name__: value.hex()}
    if kind is complex:
        return {"c": [repr(value.real), repr(value.imag)]}
    named = name(value)
    for base in _BASES:
        if isinstance(value, base):
            plain = encode(base(value), name)
            return {**named, "plain": plain} if named else plain
    return named


def decode(said: Any, find: Callable[[dict[str, Any]], Any]) -> Any:  # noqa: PLR0911 - a table of kinds
    """The value of JSON; `find` gives the object that a number stands for."""
    if isinstance(said, list):
        return [decode(item, find) for item in said]
    if not isinstance(said, dict):
        return said
    if "h" in said:
        return find(said)
    (kind, content) = next(iter(said.items()))
    if kind == "d":
        return {decode(k, find): decode(v, find) for k, v in content}
    if kind in ("tuple", "set", "frozenset"):
        made: dict[str, Any] = {"tuple": tuple, "set": set, "frozenset": frozenset}
        return made[kind](decode(item, find) for item in content)
    if kind in ("bytes", "bytearray"):
        return bytes.fromhex(content) if kind == "bytes" else bytearray.fromhex(content)
    if kind == "i":
        return int(content, 16)
    if kind == "f":
        return float(content)
    if kind == "c":
        return complex(float(content[0]), float(content[1]))
    raise ValueError(f"no value is written as {kind!r}")
