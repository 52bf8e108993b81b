"""The way to the terminal: an output that shows what belongs together at once, and prints above what is drawn.

prompt_toolkit flushes several times while it erases, moves and draws, which shows as flicker. Between `held` and its
end nothing reaches the terminal, then all of it does in one write, inside the marks of a synchronized update (mode
2026) that terminals know or ignore.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from prompt_toolkit.output.color_depth import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output

from ml_engineer.interfaces.terminal.device import Device

if TYPE_CHECKING:
    from prompt_toolkit.application import Application

_DEPTHS = {
    "none": ColorDepth.DEPTH_1_BIT,
    "standard": ColorDepth.DEPTH_4_BIT,
    "256": ColorDepth.DEPTH_8_BIT,
    "truecolor": ColorDepth.DEPTH_24_BIT,
}


class SteadyOutput(Vt100_Output):
    """`Vt100_Output` whose flushes can be held back."""

    _holds = 0

    @classmethod
    def open(cls, device: Device) -> SteadyOutput:
        """On stdout."""
        found = cls.from_pty(sys.stdout, default_color_depth=_DEPTHS[device.colour])
        assert isinstance(found, SteadyOutput)
        return found

    @property
    def responds_to_cpr(self) -> bool:
        """It is not asked where the cursor is: no answer of the terminal can then be taken for input."""
        return False

    def flush(self) -> None:
        if self._holds == 0:
            super().flush()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let through what is written inside only at the end, and at once."""
        if self._holds == 0:
            self.write_raw("\x1b[?2026h")
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            if self._holds == 0:
                self.write_raw("\x1b[?2026l")
                super().flush()


def print_above(app: Application[Any], output: SteadyOutput, text: str) -> None:
    """Put lines into the scrollback above what the application draws, and draw it again under them."""
    with output.held():
        app.renderer.erase(leave_alternate_screen=False)
        output.write_raw(text.replace("\n", "\r\n"))
        app.renderer.reset()
        app._redraw()
