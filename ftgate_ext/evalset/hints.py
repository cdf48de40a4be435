"""Code -> words in it that would tell a reviewer where to look, or that there is nothing to see."""

from __future__ import annotations

import re

HINTS = frozenset({
    "bug", "bugs", "buggy", "fixme", "todo", "xxx", "hack", "wrong", "wrongly", "incorrect", "incorrectly",
    "broken", "leak", "leaks", "leaked", "leaky", "vulnerable", "vulnerability", "unsafe", "insecure",
    "exploit", "exploitable", "fixed", "bad", "defect", "defective", "flaw", "flawed", "faulty", "mistake",
    "oops", "racy", "correct", "correctly", "secure", "safe", "safely", "good",
})  # fmt: skip
FREE_IN_PURPOSES = frozenset(
    {"fixed", "correct", "secure", "safe", "safely", "good", "broken", "wrong", "bad"}
)
"""A purpose may say what must hold: "a pool of fixed size", "a wrong password is refused"."""
API_NAMES = re.compile(
    r"newFixedThreadPool|\b(?:yaml\.)?(?:safe_(?:load|dump)(?:_all)?|safe_substitute|secure_filename)\b|SafeLoader|timingSafeEqual"
    r"|(?:is|MAX_|MIN_)_?SAFE_?INTEGER|isSafeInteger|\bsafe=|\bsecure[=:]|\bSecure\b|SecureRandom|setSecure"
    r"|[Bb]ad_?[Rr]equest|BAD_REQUEST|[Bb]ad_?[Gg]ateway|BAD_GATEWAY|BadZipFile|BadSignature"
)
"""Names that a library gives, in right and defective code alike."""


def words_of(code: str) -> set[str]:
    """The words of names, comments and strings: snake_case and camelCase are taken apart."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", code)
    return set(re.findall(r"[a-z]+", apart.replace("_", " ").lower()))


def hints_in_code(code: str) -> set[str]:
    """Hints in code, names of library functions left out."""
    return words_of(API_NAMES.sub(" ", code)) & HINTS


def hints_in_purpose(purpose: str) -> set[str]:
    """Hints in the phrase that says what the code is for."""
    return words_of(purpose) & (HINTS - FREE_IN_PURPOSES)
