"""Text or code -> its words, free of what reformatting changes. Knows no rows.

Line numbers (`3| `), fences, comments, diff headers, case, white space and punctuation go; the
escapes of code that stands inside JSON are undone. Both sides of a comparison pass through here, so
what is lost is lost on both.
"""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"\w+")
_LINE_STARTS = re.compile(
    r"^[ \t]*(?:\d+(?:[ \t]*[|:]|\t)|(?:```|~~~)[^\n]*|@@ -\d[^\n]*)", re.MULTILINE
)
_COMMENTS = re.compile(
    r"/\*[\s\S]*?\*/"
    r"|^[ \t+-]*(?:#|//|--[ \t])[^\n]*"
    # Within a line a sign must stand as code has it: `#12`, `a -- b` and URLs are prose.
    r"|(?<=[ \t])#[ \t!][^\n]*|(?<=[ \t;{}])//[^\n]*|(?<=[,;)])[ \t]+--[ \t][^\n]*",
    re.MULTILINE,
)


def unframed(text: str) -> str:
    """The text without line numbers, fences and escapes; comments, layout and case as they are."""
    if "\\" in text:
        text = text.replace("\\n", "\n").replace("\\t", "\t")
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return _LINE_STARTS.sub(" ", text)


def plain_text(text: str) -> str:
    """The text without line numbers, fences, escapes and comments."""
    text = unframed(text)
    # Looking for the signs first is ten times as fast as the pattern.
    if "#" in text or "//" in text or "--" in text or "/*" in text:
        text = _COMMENTS.sub(" ", text)
    return text


def plain_words(text: str) -> list[str]:
    """Words and numbers in lower case, in order."""
    return _WORD.findall(plain_text(text).lower())
