"""Text of a model or a user -> the same text as material for a judge: visible, quoted, powerless.

Nothing is left out, so that the judge sees what a developer would be sent: what is invisible becomes
visible, special tokens of chat templates are broken by one blank, and every line gets a margin that no
text can do without. Code under review stays readable and can be told from what stands around it.
"""

from __future__ import annotations

import re
import unicodedata

VERSION = "1"
"""Part of the judge's fingerprint: another treatment of texts is another instrument."""

MARGIN = "| "

_NOT_PLAIN = re.compile(r"[^\n\t\x20-\x7e]")
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Fillers and selectors that are letters or marks by category and show nothing all the same.
_INVISIBLE = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, *range(0x180B, 0x1810)}
) | frozenset(range(0xE0100, 0xE01F0))

# What tokenizers take for one special token wherever it stands: ChatML, Llama, Mistral, Gemma,
# DeepSeek (with wide bars), Phi, Command, Qwen.
_SPECIAL_TOKEN = re.compile(
    r"(?P<opening><)(?=/?(?:[|\uff5c][^<>\n]{1,48}[|\uff5c]"
    r"|s|bos|eos|pad|unk|think|start_of_turn|end_of_turn|start_of_image)>)"
    r"|(?P<bracket>\[)(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\])"
    r"|(?P<system><<)(?=/?SYS>>)",
    re.IGNORECASE,
)


def neutralise(text: str) -> str:
    """The text with nothing invisible in it, and without special tokens of chat templates.

    Zero-width and bidirectional controls, other control characters and lone surrogates become
    `[U+200B]`; `<|im_end|>` becomes `< |im_end|>`. Line ends of other systems become line breaks.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    visible = _NOT_PLAIN.sub(lambda found: _shown(found.group()), lines)
    return _SPECIAL_TOKEN.sub(lambda found: found.group() + " ", visible)


def _shown(character: str) -> str:
    code = ord(character)
    hidden = unicodedata.category(character) in _INVISIBLE_CATEGORIES or code in _INVISIBLE
    return f"[U+{code:04X}]" if hidden else character


def quote(text: str) -> str:
    """Every line behind a margin: no line of a text can be taken for a line of the prompt."""
    return "\n".join(MARGIN + line for line in text.split("\n"))
