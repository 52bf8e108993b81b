"""Long pasted text as a marker in the input line; the message that is sent has the text.

shown = pastes.collapse(text)        # "[pasted 120 lines #1]", or the text itself where it is short
pastes.expand("look: [pasted 120 lines #1]") -> the whole
"""

from __future__ import annotations

import re

from ml_engineer.report.visible import plural

LINES = 8
CHARACTERS = 800
_MARKER = re.compile(r"\[pasted [\d,]+ \w+ #(\d+)\]")


class Pastes:
    """The pasted texts of one message after the other."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def collapse(self, text: str) -> str:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        lines = text.count("\n") + 1
        if lines <= LINES and len(text) <= CHARACTERS:
            return text
        self._texts.append(text)
        size = plural(lines, "line") if lines > LINES else plural(len(text), "character")
        return f"[pasted {size} #{len(self._texts)}]"

    def expand(self, message: str) -> str:
        """The message with its pastes in their places. A marker that was typed by hand stays."""

        def whole(found: re.Match[str]) -> str:
            number = int(found[1])
            return self._texts[number - 1] if 0 < number <= len(self._texts) else found[0]

        return _MARKER.sub(whole, message)
