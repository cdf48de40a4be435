"""Label cases in the terminal: shows one after the other and asks. Prints nothing that a terminal obeys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftgate_ext.evalset.label import CATEGORIES, SEVERITIES, read_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ftgate_ext.evalset.label import Labelling

QUIT, SKIP = "q", "s"


class StopError(Exception):
    """The labeller has had enough."""


def label_in_terminal(
    labelling: Labelling, ask: Callable[[str], str], tell: Callable[[str], None]
) -> int:
    """Ask until nothing remains or the labeller quits; every answer is saved at once.

    Args:
        labelling: The set and its labels.
        ask: Shows a question and returns a line; EOFError ends the labelling.
        tell: Prints a line.

    Returns:
        How many cases were labelled.
    """

    def read(case: dict[str, Any]) -> dict[str, Any] | None:
        return _answer(case, ask, tell)

    return ask_in_turn(labelling, lambda case: str(case["id"]), shown, read, tell)


def ask_in_turn(
    labelling: Any,
    key: Callable[[Any], str],
    show: Callable[[Any, int], str],
    read: Callable[[Any], dict[str, Any] | None],
    tell: Callable[[str], None],
    verb: tuple[str, str] = ("label", "labelled"),
) -> int:
    """Put what remains to somebody, one after the other, until nothing does or they quit.

    Args:
        labelling: What remains, and where answers go: a `Labelling` or the like.
        key: A name for the thing that is asked about.
        show: Thing and how many are left -> what is told before the question.
        read: Asks; None is skipped, StopError or EOFError ends it.
        tell: Prints a line.
        verb: What is done, and what was.

    Returns:
        How many were answered.
    """
    done = 0
    skipped: set[str] = set()
    # Read anew each time: others may label at the same time.
    while waiting := [thing for thing in labelling.remaining() if key(thing) not in skipped]:
        thing = waiting[0]
        tell(show(thing, len(waiting)))
        try:
            answer = read(thing)
        except (StopError, EOFError):
            tell(f"{done} {verb[1]} now, {len(waiting)} left. The same command again goes on.")
            return done
        if answer is None:
            skipped.add(key(thing))
            continue
        labelling.save(thing, answer)
        done += 1
    tell(f"Nothing left to {verb[0]}; {done} {verb[1]} now, {len(skipped)} skipped.")
    return done


def shown(case: dict[str, Any], left: int) -> str:
    """A case as the terminal shows it, without id and label."""
    code = case["code"].splitlines()
    told = f"{case.get('language', '')} {case.get('form', '')}".strip()
    return "\n".join([
        "", f"--- {left} left --- {plain_line(told)}", plain_line(str(case.get("purpose", ""))), "",
        *(f"{number:4}  {plain_line(line)}" for number, line in enumerate(code, start=1)), "",
    ])  # fmt: skip


def _answer(
    case: dict[str, Any], ask: Callable[[str], str], tell: Callable[[str], None]
) -> dict[str, Any] | None:
    """What the labeller says of a case; None where it is skipped."""
    while True:
        verdict = choose(
            "[d]efect, [c]lean, [s]kip or [q]uit", ("defect", "clean", "skip"), ask, tell
        )
        if verdict == "skip":
            return None
        told = {"verdict": verdict}
        if verdict == "defect":
            told["category"] = choose(_numbered("category", CATEGORIES), CATEGORIES, ask, tell)
            told["severity"] = choose(_numbered("severity", SEVERITIES), SEVERITIES, ask, tell)
            told["lines"] = stop_or(ask("lines to change, 3-5 or 3; enter for none: "))
        told["comment"] = ask("comment; enter for none: ")
        try:
            return read_answer(told, case["code"])
        except ValueError as error:
            tell(plain_line(str(error)))


def _numbered(name: str, values: Sequence[str]) -> str:
    return f"{name}: " + ", ".join(f"{n} {value}" for n, value in enumerate(values, start=1))


def choose(
    question: str,
    values: Sequence[str],
    ask: Callable[[str], str],
    tell: Callable[[str], None],
    keys: Mapping[str, str] | None = None,
) -> str:
    """One of some values, by its key or number or by letters that only it begins with.

    Raises:
        StopError: The labeller typed q.
    """
    while True:
        told = stop_or(ask(f"{question}: ")).strip().lower()
        if keys and told in keys:
            return keys[told]
        if told.isascii() and told.isdecimal() and 1 <= int(told[:9]) <= len(values):
            return values[int(told) - 1]
        fitting = [value for value in values if told and value.startswith(told)]
        if told in values or len(fitting) == 1:
            return told if told in values else fitting[0]
        tell(f"found {plain_line(told[:20])!r}; expected one of {', '.join(values)}, or q.")


def stop_or(told: str) -> str:
    """What was typed, unless it was q."""
    if told.strip().lower() in {QUIT, "quit"}:
        raise StopError
    return told


def plain_line(text: str) -> str:
    """One line without anything that a terminal would obey."""
    return "".join(c if c.isprintable() else " " * 4 if c == "\t" else "?" for c in text)
