"""Pairs to label, in the terminal and on a page: question and two answers, nobody's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftgate_ext.evalset.blind_shown import BlindForm, as_text, ask_in_terminal, page_form
from ftgate_ext.evalset.label_pairs import read_choice

if TYPE_CHECKING:
    from collections.abc import Callable

    from ftgate_ext.evalset.label_page import PageForm
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
    return ask_in_terminal(_form(labelling.labeller), labelling, ask, tell)


def pair_as_text(pair: DrawnPair, labeller: str, left: int) -> str:
    """A pair as the terminal shows it."""
    return as_text(_parts(pair, labeller), left)


def pair_form(labeller: str) -> PageForm:
    """The form of the page on which this labeller compares pairs."""
    return page_form(_form(labeller))


def _form(labeller: str) -> BlindForm:
    return BlindForm(
        parts=lambda pair: _parts(pair, labeller), read=read_choice,
        title="Which answer is better?", asked=ASKED, keys=KEYS,
    )  # fmt: skip


def _parts(pair: DrawnPair, labeller: str) -> list[tuple[str, str]]:
    first, second = pair.answers(labeller)
    return [("question", pair.question), ("first answer", first), ("second answer", second)]
