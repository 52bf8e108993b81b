"""The console of lines: for pipes, dumb terminals, and screen readers (`--plain`).

Nothing is redrawn, there are no boxes and no colours, and what a symbol says elsewhere is said in words. Markdown is
written as it stands. Each line of the input is a message; a line that ends with a backslash goes on. Only at a terminal
is anybody asked: a pipe cannot approve, so that text which happens to be in it never does.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ml_engineer.interfaces.terminal.console import Choice, FindingAct
from ml_engineer.interfaces.terminal.device import Device
from ml_engineer.interfaces.terminal.printing import Printing
from ml_engineer.report.visible import one_line, plural, visible

if TYPE_CHECKING:
    from ml_engineer.report.schema import Finding


class _Note:
    """A status in lines: each new text is said once."""

    def __init__(self, console: Lines) -> None:
        self._console, self._said = console, ""

    def update(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._console.say(f"({text})")


class Lines(Printing):
    """Writes to stdout, reads lines from stdin."""

    plain = True

    def __init__(self, device: Device) -> None:
        super().__init__(device)
        self.interactive = device.interactive
        self._loop = asyncio.get_running_loop()
        self._incoming: asyncio.Queue[str | None] = asyncio.Queue()
        self._answers: asyncio.Queue[str | None] | None = None
        self._half = ""
        self._plan: dict[str, str] = {}
        self.interrupt: Callable[[], bool] = lambda: False
        threading.Thread(target=self._read, name="stdin", daemon=True).start()

    @property
    def width(self) -> int:
        return self.device.columns if self.interactive else 100

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ctrl-C stops what is going on, or leaves."""
        self._loop.add_signal_handler(signal.SIGINT, self._stop)
        try:
            yield
        finally:
            self.stream_end()
            self._loop.remove_signal_handler(signal.SIGINT)

    def _stop(self) -> None:
        if not self.interrupt():
            self.leave()

    def leave(self) -> None:
        for waiting in filter(None, (self._answers, self._incoming)):
            waiting.put_nowait(None)

    # --- reading --------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        """Hand every line to the loop, and None at the end of the input."""
        ended = False
        while not ended:
            line = sys.stdin.readline()
            ended = line == ""
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody listens any more
                self._loop.call_soon_threadsafe(self._heard, None if ended else line.rstrip("\r\n"))

    def _heard(self, line: str | None) -> None:
        (self._answers or self._incoming).put_nowait(line)

    async def message(self) -> str | None:
        """The next message, or None when the input has ended."""
        parts: list[str] = []
        while True:
            if self.interactive:
                self._prompt("... " if parts else "you: ")
            line = await self._incoming.get()
            if line is None:
                return "\n".join(parts) if parts else None
            if not line.endswith("\\"):
                return "\n".join([*parts, line])
            parts.append(line[:-1])

    def _prompt(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    # --- writing --------------------------------------------------------------------------------------------------

    def write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def stream(self, piece: str) -> None:
        """A piece of an answer: written line by line, since a reader cannot follow half a line."""
        *lines, self._half = (self._half + piece).split("\n")
        for line in lines:
            self.write(self.device.fit(visible(line)) + "\n")

    def stream_end(self) -> None:
        if self._half:
            self.stream("\n")

    def activity(self, text: str) -> None:
        """What is going on is said by the lines that come of it."""

    def show_plan(self, items: Sequence[tuple[str, str]]) -> None:
        """Each item when its state changes."""
        for state, text in items:
            if self._plan.get(text) != state and state != "pending":
                self.say(f"plan, {state}: {one_line(text)}")
        self._plan = {text: state for state, text in items}

    def show_message(self, typed: str) -> None:
        self.say(f"you: {typed}")

    def refresh(self) -> None:
        """There is no status line."""

    def settle(self) -> None:
        """Nothing is redrawn that would have to be taken away."""

    def clear(self) -> None:
        """Lines stay."""

    @contextlib.contextmanager
    def busy(self, text: str) -> Iterator[_Note]:
        note = _Note(self)
        if self.interactive:
            note.update(text)
        yield note

    # --- asking ---------------------------------------------------------------------------------------------------

    async def ask(self, question: str) -> str | None:
        if not self.interactive:
            return None
        self._prompt(f"{self.device.fit(visible(question))} ")
        self._answers = asyncio.Queue()
        try:
            answer = await self._answers.get()
        finally:
            self._answers = None
        if answer is None:
            self._incoming.put_nowait(None)
        return (answer or "").strip() or None

    async def choose(self, question: str, choices: Sequence[Choice], default: str | None = None) -> str | None:
        if not self.interactive:
            return None
        self.say(question)
        for choice in choices:
            self.say(f"  {choice.key}: {choice.label}" + (" (what Enter alone means)" if choice.key == default else ""))
        keys = [choice.key for choice in choices]
        while True:
            answer = await self.ask(f"Type {', '.join(keys[:-1])} or {keys[-1]}:")
            if answer is None and not self._incoming.empty():
                return None
            chosen = (answer or default or "").lower()
            if chosen in keys:
                return chosen

    async def findings(self, found: Sequence[Finding], root: Path, peers: Sequence[str]) -> FindingAct | None:
        from ml_engineer.report.text import where

        for number, finding in enumerate(found, 1):
            self.say(f"{number}. {finding.severity}: {one_line(finding.title)} ({finding.rule})")
            self.say(f"   at {where(finding.evidence[0])}")
        acts = "/findings NUMBER fix, /findings NUMBER suppress REASON, /findings NUMBER send PEER"
        self.say(f"{plural(len(found), 'finding')}. {acts}")
        return None
