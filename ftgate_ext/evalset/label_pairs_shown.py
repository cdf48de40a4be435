"""Pairs to label, in the terminal and on a page: question and two answers, nobody's name.

Whatever a model wrote is shown as it is, escaped: nothing in it is obeyed by a terminal or a browser.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from ftgate_ext.evalset.label_page import PageForm, page_document, radio_buttons, warning_line
from ftgate_ext.evalset.label_pairs import CHOICES, read_choice
from ftgate_ext.evalset.label_terminal import StopError, choose, plain_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ftgate_ext.evalset.label_pairs import DrawnPair, PairLabelling

KEYS = {"1": "first", "2": "second", "t": "tie", "b": "both_bad", "s": "skip"}
ASKED = "[1] first better, [2] second better, [t]ie, [b]oth bad, [s]kip or [q]uit"


def label_pairs_in_terminal(
    labelling: PairLabelling, ask: Callable[[str], str], tell: Callable[[str], None]
) -> int:
    """Ask until nothing remains or the labeller quits; every answer is saved at once.

    Args:
        labelling: The pairs and their labels.
        ask: Shows a question and returns a line; EOFError ends the labelling.
        tell: Prints a line.

    Returns:
        How many pairs were labelled.
    """
    done = 0
    skipped: set[str] = set()
    while True:
        # Read anew each time: others may label at the same time.
        waiting = [pair for pair in labelling.remaining() if pair.key not in skipped]
        if not waiting:
            tell(f"Nothing left to label; {done} labelled now, {len(skipped)} skipped.")
            return done
        pair = waiting[0]
        tell(pair_as_text(pair, labelling.labeller, len(waiting)))
        try:
            answer = _answer(ask, tell)
        except (StopError, EOFError):
            tell(f"{done} labelled now, {len(waiting)} left. The same command again goes on.")
            return done
        if answer is None:
            skipped.add(pair.key)
            continue
        labelling.save(pair, answer)
        done += 1


def pair_as_text(pair: DrawnPair, labeller: str, left: int) -> str:
    """A pair as the terminal shows it."""
    first, second = pair.answers(labeller)
    parts = [("question", pair.question), ("first answer", first), ("second answer", second)]
    lines = ["", f"--- {left} left ---"]
    for name, text in parts:
        # A bar before each line: no answer can pass for a heading of ours.
        lines += ["", f"{name}:", *(f"| {plain_line(line)}" for line in text.splitlines() or [""])]
    return "\n".join([*lines, ""])


def _answer(ask: Callable[[str], str], tell: Callable[[str], None]) -> dict[str, Any] | None:
    """What the labeller says of a pair; None where it is skipped."""
    while True:
        verdict = choose(ASKED, (*CHOICES, "skip"), ask, tell, KEYS)
        if verdict == "skip":
            return None
        try:
            return read_choice({"verdict": verdict, "note": ask("note; enter for none: ")})
        except ValueError as error:
            tell(plain_line(str(error)))


def pair_form(labeller: str) -> PageForm:
    """The form of the page on which this labeller compares pairs."""

    def show(pair: DrawnPair, left: int, problem: str, told: dict[str, str]) -> str:
        return _pair_page(pair, labeller, left, problem, told)

    return PageForm(key=lambda pair: pair.key, show=show, read=lambda told, _: read_choice(told))


def _pair_page(
    pair: DrawnPair, labeller: str, left: int, problem: str, told: dict[str, str]
) -> str:
    first, second = pair.answers(labeller)
    return page_document(
        f"<p>{left} left</p><h1>Which answer is better?</h1>"
        f'<h2>Question</h2><pre tabindex="0" class="wrapped">{escape(pair.question)}</pre>'
        f'<div class="pair"><div><h2>First answer</h2><pre tabindex="0" class="wrapped">{escape(first)}</pre></div>'
        f'<div><h2>Second answer</h2><pre tabindex="0" class="wrapped">{escape(second)}</pre></div></div>'
        f'{warning_line(problem)}<form method="post" autocomplete="off">'
        f'<input type="hidden" name="key" value="{pair.key}">'
        f"{radio_buttons('verdict', (*CHOICES, 'skip'), told, {v: k for k, v in KEYS.items()})}"
        f'<p><label>note<br><textarea name="note" rows="3">{escape(told.get("note", ""))}</textarea></label></p>'
        f'<button type="submit">Save and next</button></form>'
    )
