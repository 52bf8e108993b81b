"""From what is to be shown to the characters that a terminal gets, and a last look over them.

    painter.paint(Text("done", "green"), width) -> "\\x1b[32mdone\\x1b[0m\\n"

Whatever was put in, only colours and newlines come out: a sequence that moves the cursor, sets the title or the
clipboard is spelled out. What builds the text makes it visible before, too; this is the second lock.
rich is imported when something is first painted, which is after the first prompt.
"""

from __future__ import annotations

import io
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ml_engineer.interfaces.terminal.device import Device

if TYPE_CHECKING:
    from rich.console import Console

_COLOURS = re.compile(r"(\x1b\[[0-9;]{0,40}m)")


class _Buffer(io.StringIO):
    """Says the terminal's encoding, by which rich chooses between line drawing and ASCII."""

    encoding = "utf-8"


def locked(text: str) -> str:
    """The text with every control character but newlines and colours spelled out."""
    from ml_engineer.report.visible import visible

    if "\x1b" not in text:
        return visible(text)
    return "".join(part if at % 2 else visible(part) for at, part in enumerate(_COLOURS.split(text)))


class Painter:
    """Paints for one device."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def paint(self, renderable: Any, width: int) -> str:
        """The lines of a rich renderable, each ended with a newline."""
        self._console.width = width
        with self._console.capture() as captured:
            self._console.print(renderable)
        return self.device.fit(locked(captured.get()))

    @cached_property
    def _console(self) -> Console:
        from rich.console import Console

        colour = self.device.colour
        buffer = _Buffer()
        buffer.encoding = self.device.encoding
        return Console(
            file=buffer,
            force_terminal=self.device.drawn,
            color_system=None if not self.device.drawn else "standard" if colour == "none" else colour,
            no_color=colour == "none",
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
            width=80,
        )
