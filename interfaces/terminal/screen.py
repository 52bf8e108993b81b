"""The console at a terminal: input at the bottom, everything else above it in the terminal's own scrollback.

It is no full-screen application. What is finished is printed once and stays; drawn again are only a few lines: the part
of the answer that is still growing, the plan, what is going on, the input or a question in its place, the status line.

    screen = Screen(device, history, completer)
    async with screen.running():
        message = await screen.message()        # None: the user leaves
        screen.stream("some *Markdown*"); screen.stream_end()
        await screen.choose("Allow it?", [...])

Work for the screen is done in small portions between which keys are handled, so that typing never waits for output.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import Completer
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import History
from prompt_toolkit.layout import Layout

from ml_engineer.interfaces.terminal import layout
from ml_engineer.interfaces.terminal.completion import offers
from ml_engineer.interfaces.terminal.console import Choice, FindingAct
from ml_engineer.interfaces.terminal.device import Device
from ml_engineer.interfaces.terminal.keys import bindings
from ml_engineer.interfaces.terminal.panels import ChoicePanel, FindingsPanel, Panel
from ml_engineer.interfaces.terminal.paste import Pastes
from ml_engineer.interfaces.terminal.printing import Printing
from ml_engineer.interfaces.terminal.steady import SteadyOutput, print_above
from ml_engineer.interfaces.terminal.style import STYLE
from ml_engineer.report.visible import one_line, visible

if TYPE_CHECKING:
    from ml_engineer.interfaces.terminal.markdown import Block, Cutter
    from ml_engineer.report.schema import Finding

PORTION = 0.012  # seconds of painting before keys have their turn
_PAUSE = 0.004
_TOGETHER = 10  # blocks that are painted at once
_FRAME = 0.05  # seconds between two looks at a growing answer
_TICK = 0.25  # of the clock in the activity line
_GRACE = 0.6  # seconds without a key after which a question that interrupted typing may be answered
_SEEN = 0.25  # seconds that a question has to stand before a key can be meant for it


class _Note:
    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def update(self, text: str) -> None:
        self._screen.activity(text)


class Screen(Printing):
    """See the module. `interrupt` is called for Ctrl-C and says whether there was anything to stop."""

    def __init__(self, device: Device, history: History, completer: Completer) -> None:
        super().__init__(device)
        self.interrupt: Callable[[], bool] = lambda: False
        self.status: Callable[[], Sequence[str]] = tuple
        self.cycle_mode: Callable[[], None] = lambda: None
        self.pastes = Pastes()
        self.plan: list[tuple[str, str]] = []  # (state, text)
        self._plan_changed = False
        self.panel: Panel | None = None
        self.question: str | None = None  # a line of text is asked for
        self.hint = ""
        self.queued: deque[str] = deque()
        self._arrived = asyncio.Event()
        self._left = False
        self._answered: asyncio.Future[str | None] | None = None
        self._activity, self._since = "", 0.0
        self._last_key = 0.0
        self._asked = 0.0  # when the question came up
        self._work: deque[str | Block] = deque()
        self._spaced = False  # the last line that was written is empty
        self._cutter: Cutter | None = None
        self.tail = ""  # painted: the part of the answer that is still growing
        self._handle: asyncio.TimerHandle | None = None
        self._next_frame = 0.0
        self.out = SteadyOutput.open(device)
        self.buffer = Buffer(
            multiline=True,
            history=history,
            completer=completer,
            complete_while_typing=Condition(lambda: self.question is None and offers(self.buffer.document)),
            enable_history_search=False,
        )
        parts = layout.build(self)
        self.app: Application[None] = Application(
            layout=Layout(parts.root, focused_element=parts.input),
            key_bindings=bindings(self),
            style=STYLE,
            output=self.out,
            erase_when_done=True,
            enable_page_navigation_bindings=False,
            max_render_postpone_time=0.01,
        )
        self.app.ttimeoutlen = 0.05
        self._parts = parts

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Take the terminal, and give it back at the end with all that was to be printed."""
        task = asyncio.ensure_future(self.app.run_async(set_exception_handler=False))
        ticker = asyncio.ensure_future(self._tick())
        task.add_done_callback(lambda _: self.leave())
        try:
            yield
        finally:
            ticker.cancel()
            self._drain()
            if not task.done():
                self.app.exit()
            await task

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            if self._activity:
                self.app.invalidate()

    # --- messages -------------------------------------------------------------------------------------------------

    async def message(self) -> str | None:
        """The next message, shown where it now belongs in the talk; None when the user leaves."""
        while not self.queued:
            if self._left:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        if self._left:
            return None
        typed = self.queued.popleft()
        self.show_message(typed)
        return self.pastes.expand(typed)

    def show_message(self, typed: str) -> None:
        from rich.text import Text

        lines = visible(typed).split("\n")
        shown = [
            Text.assemble(("› " if at == 0 else "  ", "bold cyan"), (line, "bold")) for at, line in enumerate(lines)
        ]
        self.space()
        self.show(Text("\n").join([*shown, Text()]))

    def leave(self) -> None:
        """No more messages."""
        self._left = True
        self._arrived.set()
        if self.panel is not None:
            self.panel.leave()
        self._answer(None)

    def submit(self) -> None:
        """Enter: a message, or the answer to a question for a line of text."""
        typed = self.buffer.text
        if not typed.strip():
            return
        if self._answered is not None:
            self._answer(self.pastes.expand(typed).strip())
            return
        whole = self.pastes.expand(typed)  # markers mean nothing in the next chat
        if self.buffer.history.get_strings()[-1:] != [whole]:
            self.buffer.history.append_string(whole)
        self.buffer.reset()
        self.queued.append(typed.strip("\n"))
        self._arrived.set()

    def take_back(self) -> bool:
        """Put the message that was queued last back into the input."""
        if not self.queued or self.buffer.text or self.question is not None:
            return False
        typed = self.queued.pop()
        self.buffer.document = Document(typed, len(typed))
        return True

    @property
    def working(self) -> bool:
        return bool(self._activity)

    # --- printing -------------------------------------------------------------------------------------------------

    def write(self, text: str) -> None:
        self._work.append(text)
        self._spaced = text.endswith("\n\n") or text == "\n"
        self._schedule(0)

    def space(self) -> None:
        """An empty line, unless there is one."""
        if not self._spaced:
            self.write("\n")

    def stream(self, piece: str) -> None:
        """A piece of an answer in Markdown."""
        from ml_engineer.interfaces.terminal.markdown import Cutter

        if self._cutter is None:
            self._cutter = Cutter()
            self.space()
        self._queue(self._cutter.feed(piece))
        self._schedule(max(0.0, self._next_frame - time.monotonic()))

    def stream_end(self) -> None:
        """The answer is complete."""
        if self._cutter is not None:
            self._queue(self._cutter.finish())
            self._cutter = None
        self.tail = ""
        self._schedule(0)

    def _queue(self, blocks: list[Block]) -> None:
        if blocks and self._spaced:  # the first one brings no empty line of its own
            blocks[0] = replace(blocks[0], gap=False)
        self._spaced = self._spaced and not blocks
        self._work.extend(blocks)

    def _schedule(self, delay: float) -> None:
        if self._handle is None and not self._left:
            self._handle = asyncio.get_running_loop().call_later(delay, self._portion)

    def _portion(self) -> None:
        """Paint for a moment, print that, and come again if there is more."""
        self._handle = None
        painted = self._paint_some(time.monotonic() + PORTION)
        if not self._work and self._cutter is not None:
            self._next_frame = time.monotonic() + _FRAME
            self.tail = self._paint_tail()
        if painted and self.app.is_running:
            print_above(self.app, self.out, painted)
        elif painted:
            self._print_plainly(painted)
        else:
            self.app.invalidate()
        if self._work:
            self._schedule(_PAUSE)

    def _paint_some(self, until: float) -> str:
        """What was painted before the time was up; at least one thing."""
        painted: list[str] = []
        while self._work:
            first = self._work.popleft()
            if isinstance(first, str):
                painted.append(first)
            else:
                painted.append(self._paint_blocks(first))
            if time.monotonic() > until:
                break
        return "".join(painted)

    def _paint_blocks(self, first: Block) -> str:
        """This block and some behind it: together they cost half, and lines of code have their colours in common."""
        from rich.console import Group

        from ml_engineer.interfaces.terminal.blocks import renderables

        blocks = [first]
        while self._work and len(blocks) < _TOGETHER and not isinstance(following := self._work[0], str):
            blocks.append(following)
            self._work.popleft()
        return self.painter.paint(Group(*renderables(blocks)), self.width)

    def _paint_tail(self) -> str:
        """The blocks in the making, as many lines of them as there is room for."""
        from rich.console import Group

        from ml_engineer.interfaces.terminal.blocks import renderables

        assert self._cutter is not None
        tail = self._cutter.tail
        if not tail:
            return ""
        if self._spaced:
            tail[0] = replace(tail[0], gap=False)
        lines = self.painter.paint(Group(*renderables(tail)), self.width).rstrip("\n").split("\n")
        return "\n".join(lines[-max(3, self.device.rows - 10) :])

    def _drain(self) -> None:
        """Print everything that is left."""
        while self._work or self._cutter is not None:
            self.stream_end()
            painted = self._paint_some(time.monotonic() + 60)
            if self.app.is_running:
                print_above(self.app, self.out, painted)
            else:
                self._print_plainly(painted)

    def _print_plainly(self, painted: str) -> None:
        self.out.write_raw(painted.replace("\n", "\r\n"))
        self.out.flush()

    def clear(self) -> None:
        with self.out.held():
            self.app.renderer.clear()
        self.app.invalidate()

    # --- what is going on -----------------------------------------------------------------------------------------

    def activity(self, text: str) -> None:
        """What is going on; nothing with an empty text."""
        if text and not self._activity:
            self._since = time.monotonic()
        self._activity = text
        self.app.invalidate()

    @property
    def activity_line(self) -> str:
        seconds = int(time.monotonic() - self._since)
        frame = "-\\|/"[int(time.monotonic() / _TICK) % 4]
        return f"{frame} {self._activity}" + (f" ({seconds} s)" if seconds else "") if self._activity else ""

    def show_plan(self, items: Sequence[tuple[str, str]]) -> None:
        """Above the input while there is work; in the talk when the work on a message is over, or all is done."""
        self.plan, self._plan_changed = list(items), True
        self.app.invalidate()

    def refresh(self) -> None:
        self.app.invalidate()

    def settle(self) -> None:
        self.stream_end()
        self.activity("")
        if self._plan_changed and self.plan:
            for state, text in self.plan:
                self.say(f"{layout.MARKS.get(state, '○')} {one_line(text)}", layout.PLAN_STYLES.get(state, ""))
        self._plan_changed = False
        if not any(state in ("active", "pending") for state, _ in self.plan):
            self.plan = []
        self.space()

    @contextlib.contextmanager
    def busy(self, text: str) -> Iterator[_Note]:
        before, since = self._activity, self._since
        self.activity(text)
        try:
            yield _Note(self)
        finally:
            self._since = since
            self.activity(before)

    # --- asking ---------------------------------------------------------------------------------------------------

    def key_pressed(self) -> None:
        """The user is typing."""
        self._last_key = time.monotonic()

    @property
    def may_answer(self) -> bool:
        """Whether a key is meant for the question: not before it can have been seen, and while a message is being
        typed not before a pause."""
        now = time.monotonic()
        return now - self._asked > _SEEN and (not self.buffer.text or now - self._last_key > _GRACE)

    async def _ask_panel(self, panel: Any) -> Any:
        """Ask, once everything is on the screen that the question is about."""
        while self._work:
            await asyncio.sleep(_PAUSE)
        self.panel, self._asked = panel, time.monotonic()
        self.app.layout.focus(self._parts.panel)
        self.app.invalidate()
        shown = asyncio.get_running_loop().call_later(_SEEN + _PAUSE, self.app.invalidate)  # with what can be pressed
        try:
            return await panel.answer
        finally:
            shown.cancel()
            self.panel = None
            self.app.layout.focus(self._parts.input)
            self._schedule(0)

    async def choose(self, question: str, choices: Sequence[Choice], default: str | None = None) -> str | None:
        if self._left:
            return None
        chosen: str | None = await self._ask_panel(ChoicePanel(question, choices, default))
        if chosen is not None:
            label = next(choice.label for choice in choices if choice.key == chosen)
            self.say(f"{question} {label}", "dim")
        return chosen

    async def ask(self, question: str) -> str | None:
        if self._left:
            return None
        draft = self.buffer.document
        self.buffer.reset()
        self.question = question
        self._answered = asyncio.get_running_loop().create_future()
        self.app.invalidate()
        try:
            answer = await self._answered
        finally:
            self.question = self._answered = None
            self.buffer.document = draft
            self.app.invalidate()
        if answer:
            self.say(f"{question} {answer}", "dim")
        return answer or None

    def _answer(self, answer: str | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(answer)

    def leave_question(self) -> bool:
        """Esc or Ctrl-C in a question for a line of text."""
        if self._answered is None:
            return False
        self._answer(None)
        return True

    async def findings(self, found: Sequence[Finding], root: Path, peers: Sequence[str]) -> FindingAct | None:
        at = 0
        while found:
            answer = await self._ask_panel(FindingsPanel(found, root, at))
            if answer is None:
                return None
            act, at = answer
            finding = found[at]
            if act == "fix":
                return FindingAct("fix", finding)
            if act == "suppress":
                reason = await self.ask("Why is it no problem here?")
                if reason is not None:
                    return FindingAct("suppress", finding, reason)
            elif (peer := await self._which_peer(finding, peers)) is not None:
                return FindingAct("send", finding, peer)
        return None

    async def _which_peer(self, finding: Finding, peers: Sequence[str]) -> str | None:
        """The peer that this goes to: those that the rule names come first."""
        ordered = sorted(peers, key=lambda name: name not in finding.peers)
        choices = [Choice(str(number), name) for number, name in enumerate(ordered[:9], 1)]
        if not choices:
            self.error("there is no peer to send it to; /peers says why")
            return None
        chosen = await self.choose("Which peer?", [*choices, Choice("q", "none")])
        return None if chosen in (None, "q") else ordered[int(chosen or 1) - 1]
