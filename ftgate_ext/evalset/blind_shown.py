"""Two answers shown blind, in the terminal and on a page: some texts, the two answers, nobody's name.

Whatever a model wrote is shown as it is, escaped: nothing in it is obeyed by a terminal or a browser.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from ftgate_ext.evalset.label_page import PageForm, page_document, radio_buttons, warning_line
from ftgate_ext.evalset.label_terminal import ask_in_turn, choose, plain_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class BlindForm:
    """What somebody is asked about two answers."""

    parts: Callable[[Any], list[tuple[str, str]]]
    """Name and text of what is shown about one thing; the two answers come last."""
    read: Callable[[dict[str, str]], dict[str, Any]]
    """What was typed -> verdict and note; ValueError says why it is none."""
    title: str
    """The question on the page."""
    asked: str
    """The question in the terminal, with its keys."""
    keys: Mapping[str, str]
    """Key -> what it says; `skip` is among them."""
    verb: tuple[str, str] = ("label", "labelled")

    @property
    def choices(self) -> tuple[str, ...]:
        """Everything that may be answered."""
        return tuple(self.keys.values())


def ask_in_terminal(
    form: BlindForm, sheet: Any, ask: Callable[[str], str], tell: Callable[[str], None]
) -> int:
    """Ask until nothing remains or somebody quits; every answer is saved at once.

    Args:
        form: What is asked.
        sheet: What remains to be asked, and where answers go: a `PairLabelling` or the like.
        ask: Shows a question and returns a line; EOFError ends it.
        tell: Prints a line.

    Returns:
        How many were answered.
    """

    def read(_: Any) -> dict[str, Any] | None:
        return _answer(form, ask, tell)

    def show(thing: Any, left: int) -> str:
        return as_text(form.parts(thing), left)

    return ask_in_turn(sheet, lambda thing: thing.key, show, read, tell, form.verb)


def _answer(
    form: BlindForm, ask: Callable[[str], str], tell: Callable[[str], None]
) -> dict[str, Any] | None:
    """What somebody says of two answers; None where they are skipped."""
    while True:
        verdict = choose(form.asked, form.choices, ask, tell, form.keys)
        if verdict == "skip":
            return None
        try:
            return form.read({"verdict": verdict, "note": ask("note; enter for none: ")})
        except ValueError as error:
            tell(plain_line(str(error)))


def as_text(parts: list[tuple[str, str]], left: int) -> str:
    """Some texts as the terminal shows them."""
    lines = ["", f"--- {left} left ---"]
    for name, text in parts:
        # A bar before each line: no answer can pass for a heading of ours.
        lines += ["", f"{name}:", *(f"| {plain_line(line)}" for line in text.splitlines() or [""])]
    return "\n".join([*lines, ""])


def page_form(form: BlindForm) -> PageForm:
    """The same on a page."""

    def show(thing: Any, left: int, problem: str, told: dict[str, str]) -> str:
        return _page(form, thing, left, problem, told)

    return PageForm(key=lambda thing: thing.key, show=show, read=lambda told, _: form.read(told))


def _page(form: BlindForm, thing: Any, left: int, problem: str, told: dict[str, str]) -> str:
    *above, first, second = [
        f'<h2>{name.capitalize()}</h2><pre tabindex="0" class="wrapped">{escape(text)}</pre>'
        for name, text in form.parts(thing)
    ]
    access = {value: key for key, value in form.keys.items()}
    return page_document(
        f"<p>{left} left</p><h1>{form.title}</h1>{''.join(above)}"
        f'<div class="pair"><div>{first}</div><div>{second}</div></div>'
        f'{warning_line(problem)}<form method="post" autocomplete="off">'
        f'<input type="hidden" name="key" value="{thing.key}">'
        f"{radio_buttons('verdict', form.choices, told, access)}"
        f'<p><label>note<br><textarea name="note" rows="3">{escape(told.get("note", ""))}</textarea></label></p>'
        f'<button type="submit">Save and next</button></form>'
    )
