"""A real terminal for tests: the installed console script in a pty, its screen kept by pyte.

    with Terminal(["chat", root], environment, columns=80, rows=24) as terminal:
        terminal.wait_for("/help lists")
        terminal.send("hello", "enter")
        terminal.wait_for("answer that only the model can give")
        terminal.screen                 # lines, without trailing spaces
        terminal.history                # scrollback and screen
        terminal.svg("title")           # a picture

Nothing sleeps: everything waits for a condition, and says what was on the screen when it never came.
"""

from __future__ import annotations

import codecs
import fcntl
import html
import os
import pty
import select
import signal
import struct
import subprocess
import sysconfig
import termios
import threading
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import pyte

SCRIPT = Path(sysconfig.get_path("scripts")) / "ml-engineer"
DEADLINE = 60.0
KEYS = {
    "enter": "\r",
    "escape": "\x1b",
    "tab": "\t",
    "shift-tab": "\x1b[Z",
    "backspace": "\x7f",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "alt-enter": "\x1b\r",
    "ctrl-c": "\x03",
    "ctrl-d": "\x04",
    "ctrl-j": "\n",
    "ctrl-l": "\x0c",
    "ctrl-o": "\x0f",
    "end": "\x1b[F",
    "pagedown": "\x1b[6~",
}


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    """Nothing of the developer's own machine: no key, no home, no settings; a terminal with colours and UTF-8."""
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "TMPDIR")}
    settings = {"HOME": str(home), "ML_ENGINEER_HOME": str(home), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    return kept | settings | more


class _Screen(pyte.HistoryScreen):  # type: ignore[misc]  # pyte has no types
    """pyte's, which also knows faint text; it is drawn in grey."""

    def select_graphic_rendition(self, *attributes: int) -> None:
        faint = 2 in attributes and not {38, 48} & set(attributes)
        super().select_graphic_rendition(*((one for one in attributes if one != 2) if faint else attributes))
        if faint and self.cursor.attrs.fg == "default":
            self.cursor.attrs = self.cursor.attrs._replace(fg="brightblack")


class Terminal:
    """A process in a pty, and a thread that reads what it writes."""

    def __init__(
        self,
        arguments: Sequence[str | Path],
        environment: Mapping[str, str],
        *,
        columns: int = 90,
        rows: int = 30,
        cwd: Path | None = None,
        program: Sequence[str | Path] = (SCRIPT,),
    ) -> None:
        self.plain = "--plain" in arguments
        self.raw = bytearray()
        self.read_at: list[tuple[float, int]] = []  # when how many bytes had been read
        self._screen = _Screen(columns, rows, history=20_000, ratio=0.5)
        self._stream = pyte.Stream(self._screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._changed = threading.Condition()
        self.started = time.monotonic()
        self._master, slave = pty.openpty()
        _set_size(slave, columns, rows)
        # The shell leads the session, so that opening the pty makes it the terminal: hang-ups and resizes arrive.
        through = ["/bin/sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(slave)]
        self.process = subprocess.Popen(
            [*through, *map(str, (*program, *arguments))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(environment),
            cwd=cwd,
            start_new_session=True,
        )
        self._slave = slave  # kept open: without any, a read before the shell has opened it would be the end
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process and everything it started. Safe to call twice."""
        if self.process.poll() is None:
            self.kill()
        self._reader.join(10)
        if self._master >= 0:
            os.close(self._master)
            os.close(self._slave)
            self._master = -1

    def hang_up(self) -> None:
        """As when the window is closed: nothing can be read or written any more."""
        os.close(self._master)
        os.close(self._slave)
        self._master = -1

    def kill(self) -> None:
        """SIGKILL to the whole session of the terminal."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    # --- reading --------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        while True:
            try:
                ready, _, _ = select.select([self._master], [], [], 0.2)
                data = os.read(self._master, 65536) if ready else None
            except OSError:
                data = b""
            if data is None:
                if self.process.poll() is not None:
                    data = b""
                else:
                    continue
            with self._changed:
                if data:
                    self.raw += data
                    self.read_at.append((time.monotonic(), len(self.raw)))
                    self._stream.feed(self._decoder.decode(data))
                self._changed.notify_all()
            if not data:
                return

    @property
    def screen(self) -> str:
        """What is visible now."""
        with self._changed:
            return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    @property
    def title(self) -> str:
        """What the window's title was set to."""
        return str(self._screen.title)

    @property
    def history(self) -> str:
        """The scrollback and what is visible."""
        with self._changed:
            above = [_text(line, self._screen.columns) for line in self._screen.history.top]
            return "\n".join([*above, *(line.rstrip() for line in self._screen.display)]).rstrip()

    def wait(self, condition: Callable[[], bool], what: str, deadline: float = DEADLINE) -> None:
        """Until the condition holds; AssertionError with the screen when it never does."""
        until = time.monotonic() + deadline
        with self._changed:
            while not condition():
                left = until - time.monotonic()
                ended = self.process.poll() is not None and not self._reader.is_alive()
                if left <= 0 or ended:
                    reason = f"the process ended with {self.process.returncode}" if ended else f"{deadline:g} s passed"
                    raise AssertionError(f"{reason}, waiting for {what}. The screen:\n{self._shown()}")
                self._changed.wait(min(left, 0.5))

    def _shown(self) -> str:
        return "\n".join(f"| {line.rstrip()}" for line in self._screen.display)

    def wait_for(self, text: str, deadline: float = DEADLINE) -> None:
        """Until the text is on the screen."""
        self.wait(lambda: text in "\n".join(self._screen.display), repr(text), deadline)

    def wait_for_history(self, text: str, deadline: float = DEADLINE) -> None:
        """Until the text is on the screen or above it."""
        self.wait(lambda: text in self.history, f"{text!r} in the scrollback", deadline)

    def wait_gone(self, text: str, deadline: float = DEADLINE) -> None:
        """Until the text is not on the screen any more."""
        self.wait(lambda: text not in "\n".join(self._screen.display), f"the end of {text!r}", deadline)

    def wait_for_end(self, deadline: float = DEADLINE) -> int:
        """Until the process has ended; its exit code."""
        code = self.process.wait(deadline)
        self._reader.join(10)
        return code

    # --- writing --------------------------------------------------------------------------------------------------

    def send(self, *keys: str) -> None:
        """Type: the names of KEYS as those keys, everything else as it is."""
        for key in keys:
            os.write(self._master, KEYS.get(key, key).encode())

    def write(self, data: bytes) -> None:
        os.write(self._master, data)

    def paste(self, text: str) -> None:
        """As a terminal pastes: between the marks of bracketed paste."""
        os.write(self._master, b"\x1b[200~" + text.encode() + b"\x1b[201~")

    def say(self, words: str) -> None:
        """A message."""
        self.send(words, "enter")

    def resize(self, columns: int, rows: int) -> None:
        with self._changed:
            self._screen.resize(rows, columns)
        _set_size(self._master, columns, rows)
        os.killpg(self.process.pid, signal.SIGWINCH)

    # --- pictures -------------------------------------------------------------------------------------------------

    def svg(self, title: str) -> str:
        """The screen as a picture, without trailing empty lines."""
        with self._changed:
            rows = [dict(self._screen.buffer[at]) for at in range(self._screen.lines)]
            display = [line.rstrip() for line in self._screen.display]
            columns = self._screen.columns
        while len(display) > 1 and not display[-1]:
            display.pop()
        return draw(rows[: len(display)], columns, title)


def _text(line: Mapping[int, pyte.screens.Char], columns: int) -> str:
    return "".join(line[at].data for at in range(columns)).rstrip()


def _set_size(descriptor: int, columns: int, rows: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


# --- a screen as SVG --------------------------------------------------------------------------------------------------

_CELL, _LINE = 8.4, 19
_LOOKS = (
    "text{font:14px 'DejaVu Sans Mono',Menlo,Consolas,monospace;white-space:pre}"
    ".b{font-weight:bold}.i{font-style:italic}.u{text-decoration:underline}"
)
_BACK, _FORE = "#1d2025", "#d7dae0"
_PALETTE = {
    "black": "#1d2025",
    "red": "#e06c75",
    "green": "#98c379",
    "brown": "#e5c07b",
    "blue": "#61afef",
    "magenta": "#c678dd",
    "cyan": "#56b6c2",
    "white": "#d7dae0",
    "brightblack": "#7f8794",
    "brightred": "#ff7a85",
    "brightgreen": "#b5e890",
    "brightbrown": "#ffd68a",
    "brightblue": "#7cc4ff",
    "brightmagenta": "#e09bf5",
    "brightcyan": "#7fd8e4",
    "brightwhite": "#ffffff",
    "default": _FORE,
}


def draw(rows: Sequence[Mapping[int, pyte.screens.Char]], columns: int, title: str) -> str:
    """An SVG of a screen; only what is on it, so that the same screen gives the same bytes."""
    width, height = columns * _CELL + 32, len(rows) * _LINE + 58
    box = f'viewBox="0 0 {width:g} {height}" role="img" aria-label="{html.escape(title)}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box}>',
        f"<style>{_LOOKS}</style>",
        f'<rect width="100%" height="100%" rx="9" fill="{_BACK}"/>',
        *(f'<circle cx="{20 + 18 * at}" cy="18" r="5.5" fill="#4a505a"/>' for at in range(3)),
        f'<text x="{width / 2:g}" y="23" fill="#7f8794" text-anchor="middle">{html.escape(title)}</text>',
    ]
    for number, row in enumerate(rows):
        parts += _runs(row, columns, 40 + (number + 1) * _LINE - 5)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _runs(row: Mapping[int, pyte.screens.Char], columns: int, y: int) -> list[str]:
    """The cells of a line, those of one look together."""
    drawn: list[str] = []
    at = 0
    while at < columns:
        char = row.get(at)
        if char is None or (not char.data.strip() and not char.reverse and char.bg == "default"):
            at += 1
            continue
        text, start, look = "", at, _look(char)
        while at < columns and (following := row.get(at)) is not None and _look(following) == look:
            text += following.data
            at += 2 if following.data and unicodedata.east_asian_width(following.data[0]) in "WF" else 1
        drawn += _run(text.rstrip() if not char.reverse else text, start, y, look)
    return drawn


def _look(char: pyte.screens.Char) -> tuple[str, str, bool, bool, bool]:
    fore, back = (char.bg, char.fg) if char.reverse else (char.fg, char.bg)
    fore_colour = _BACK if char.reverse and fore == "default" else _colour(fore)
    back_colour = _FORE if char.reverse and back == "default" else "" if back == "default" else _colour(back)
    return fore_colour, back_colour, char.bold, char.italics, char.underscore


def _colour(name: str) -> str:
    return _PALETTE.get(name, f"#{name}")


def _run(text: str, start: int, y: int, look: tuple[str, str, bool, bool, bool]) -> list[str]:
    fore, back, bold, italic, underlined = look
    if not text:
        return []
    x, width = 16 + start * _CELL, len(text) * _CELL
    classes = " ".join(name for name, on in (("b", bold), ("i", italic), ("u", underlined)) if on)
    style = f' class="{classes}"' if classes else ""
    drawn = [f'<rect x="{x:g}" y="{y - 14}" width="{width:g}" height="{_LINE}" fill="{back}"/>'] if back else []
    length = f' textLength="{width:g}" lengthAdjust="spacingAndGlyphs"' if len(text) > 1 else ""
    return [*drawn, f'<text x="{x:g}" y="{y}" fill="{fore}"{style}{length}>{html.escape(text)}</text>']
