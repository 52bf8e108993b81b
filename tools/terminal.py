"""Makes text safe to show in a terminal and to hand to a model: no escape sequence survives.

A command's output may try to move the cursor, set the clipboard or hide text. Colours are dropped, a line that was
redrawn with carriage returns keeps its last state, and what is left of the control characters is spelled out.
"""

from __future__ import annotations

import re

_ESCAPES = re.compile(
    r"""
    \x1b\[[0-?]*[ -/]*[@-~]                      # CSI: colours, cursor
    | \x9b[0-?]*[ -/]*[@-~]                      # the same with its one-character introducer
    | \x1b[\]PX^_].*?(?:\x07|\x1b\\|\x9c|(?=\n)|\Z)  # OSC, DCS, SOS, PM, APC with their text: titles, clipboard, links
    | \x1b[ -/]*[0-~]                            # two- and three-character sequences
    """,
    re.VERBOSE | re.DOTALL,
)
_REDRAWN = re.compile(r"[^\n]*\r(?!\n|\r|\Z)")
# C0 and C1 but for tab and newline; the marks that reorder text (bidi) and those that hide it (zero width, tags).
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]"
)


def neutralise(text: str) -> str:
    """`text` with escape sequences removed and other invisible characters written as `\\x..` or `\\u....`."""
    if text.isascii() and text.isprintable():
        return text
    text = _ESCAPES.sub("", text)
    text = _REDRAWN.sub("", text)
    text = re.sub(r"\r+(?=\n|\Z)", "", text)
    return _UNSEEN.sub(lambda found: _spelled(found.group()), text)


def _spelled(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was no UTF-8, as surrogateescape keeps it
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
