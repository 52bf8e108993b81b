"""Long pasted text as a marker in the input line; the message that is sent has the text.

shown = pastes.collapse(text)        # "[pasted 120 lines #1]", or the text itself where it is short
pastes.expand("look: [pasted 120 lines #1]") -> the whole
"""

from __future__ import annotations

import re

from ml_engineer.report.visible import plural

LINES = 8
CHARACTERS = 800
_MARKER = re.compile(r"\[pasted [\d,]+ \w+ #\d+\]")


class Pastes:
    """The pasted texts of one message after the other."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}  # by their markers

    def collapse(self, text: str) -> str:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        lines = text.count("\n") + 1
        if lines <= LINES and len(text) <= CHARACTERS:
            return text
        size = plural(lines, "line") if lines > LINES else plural(len(text), "character")
        marker = f"[pasted {size} #{len(self._texts) + 1}]"
        self._texts[marker] = text
        return marker

    def expand(self, message: str) -> str:
        """The message with its pastes in their places. What only looks like a marker stays."""
        return _MARKER.sub(lambda found: self._texts.get(found[0], found[0]), message)
