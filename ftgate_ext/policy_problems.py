"""A mistake in gate.yaml -> one line that says where, what was found and what was expected."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pydantic import ValidationError


# What a URL may hold of a key: user and password, or a query.
_SECRET = re.compile(r"(?<=//)[^/@\s']+(?=@)|(?<=\?)[^'\s]+")


def near(word: str, words: list[str]) -> str:
    """'; did you mean ...' or '; expected one of ...'."""
    close = difflib.get_close_matches(word, words, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; expected one of {', '.join(words)}"


def describe_problem(
    error: ValidationError, node: yaml.Node, where: str, schema: dict[str, Any]
) -> str:
    """The first mistake that pydantic found, with its line in the file.

    Args:
        error: What pydantic says.
        node: The composed YAML, which knows lines.
        where: The file's name.
        schema: JSON Schema of the policy, which knows the right keys.
    """
    errors = error.errors()
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    loc = [part for part in first["loc"] if part != "[key]"]
    line, found, path = _locate(node, loc)
    if not loc:  # a rule about the whole policy: point at the word that it names
        quoted = re.findall(r"'([^']+)'", first["msg"])
        line = next((at for word in quoted if (at := line_of(node, word))), line)
    dotted = ".".join(str(p) for p in path)
    more = f" ({error.error_count() - 1} more after this one)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        known = _known_keys(error, first, schema)
        place = ".".join(map(str, path[:-1])) or "gate.yaml"
        return (
            f"{where}:{line}: unknown key {path[-1]!r} in {place}{near(str(path[-1]), known)}{more}"
        )
    if path and str(path[-1]).endswith("_env"):
        found = None  # somebody wrote the secret itself where its name belongs
    message = first["msg"].removeprefix("Value error, ")
    prefix = f"{dotted}: " if dotted else ""
    got = f"found {found!r}; " if found is not None and repr(found) not in message else ""
    problem = f"{prefix}{got}{message[0].lower() + message[1:]}"
    return f"{where}:{line}: {_SECRET.sub('***', problem)}{more}"


def repeated_key(node: yaml.Node) -> yaml.ScalarNode | None:
    """The second of two equal keys in one mapping, if there are any."""
    if isinstance(node, yaml.SequenceNode):
        return next((twice for child in node.value if (twice := repeated_key(child))), None)
    if not isinstance(node, yaml.MappingNode):
        return None
    seen: set[str] = set()
    for key, child in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value in seen:
            return key
        seen.add(key.value)
        if twice := repeated_key(child):
            return twice
    return None


def line_of(node: yaml.Node, word: str) -> int | None:
    """The line of the first scalar that is `word`."""
    if isinstance(node, yaml.ScalarNode):
        return node.start_mark.line + 1 if node.value == word else None
    pairs = (
        node.value if isinstance(node, yaml.SequenceNode) else [n for kv in node.value for n in kv]
    )
    return next((at for child in pairs if (at := line_of(child, word))), None)


def _locate(node: yaml.Node, loc: list[Any]) -> tuple[int, str | None, list[Any]]:
    """Follow a pydantic location through the YAML nodes: (line, scalar found there, path walked)."""
    line, path = node.start_mark.line + 1, []
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            hit = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if hit is None:
                # A discriminator that pydantic puts into the path, or a key that is missing here.
                if part != loc[-1]:
                    continue
                path.append(part)
                return line, None, path
            line, node = hit[0].start_mark.line + 1, hit[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            continue
        path.append(part)
    found = node.value if isinstance(node, yaml.ScalarNode) and path else None
    return line, found, path


def _known_keys(error: ValidationError, first: Any, schema: dict[str, Any]) -> list[str]:
    """The keys that pydantic would have accepted where it met an unknown one."""
    here: dict[str, Any] = schema
    for part in first["loc"][:-1]:
        here = _step(schema, here, part)
    return sorted(_resolve(schema, here).get("properties", {})) or [error.title]


def _resolve(schema: dict[str, Any], here: dict[str, Any]) -> dict[str, Any]:
    for option in here.get("anyOf", []):
        if "$ref" in option or option.get("type") == "object":
            here = option
    while "$ref" in here:
        here = schema["$defs"][here["$ref"].rsplit("/", 1)[-1]]
    return here


def _step(schema: dict[str, Any], here: dict[str, Any], part: Any) -> dict[str, Any]:
    here = _resolve(schema, here)
    if isinstance(part, int):
        return dict(here.get("items", {}))
    mapping = here.get("discriminator", {}).get("mapping", {})
    if part in mapping:
        return {"$ref": mapping[part]}
    return dict(here.get("properties", {}).get(part, here.get("additionalProperties") or {}))
