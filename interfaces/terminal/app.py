"""The chat: messages from a console to the conversation or to a command, one after the other, until the user leaves.

    asyncio.run(converse(Start(root, choice, device)))

The session is opened behind the first prompt, because what it needs takes longer to import than a person takes to read.
Whatever is under way is one task, `_work`: Ctrl-C cancels it, and the conversation goes on with what was done.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import signal
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ml_engineer import __version__
from ml_engineer.agent.ending import Why
from ml_engineer.agent.runs import Run, RunError, discard, home
from ml_engineer.interfaces.model import ModelChoice
from ml_engineer.interfaces.options import Refusal
from ml_engineer.interfaces.terminal.console import Front
from ml_engineer.interfaces.terminal.device import Device
from ml_engineer.report.visible import plural, visible

if TYPE_CHECKING:
    from ml_engineer.agent.client import Settings
    from ml_engineer.agent.session import Session
    from ml_engineer.agent.survey import Survey
    from ml_engineer.interfaces.terminal.permission import Asker
    from ml_engineer.interfaces.terminal.story import Story

_SHOWN_AGAIN = 12  # pieces of an earlier conversation
_LINES_AGAIN = 12  # of one message in it
_MODES = ("ask", "accept-edits", "read-only")  # what Shift-Tab goes through; `full` has to be typed


@dataclass(frozen=True)
class Start:
    """What a chat begins with. `survey` was started while the process was small, where there is a model."""

    root: Path
    choice: ModelChoice
    settings: Settings | None
    device: Device
    permission: str | None = None
    resume: str | None = None
    survey: Survey | None = None


class App:
    """Implements `console.Chat`."""

    def __init__(self, start: Start) -> None:
        self.root = start.root
        self._start = start
        self._session: Session | None = None
        self._opening: asyncio.Future[Session] | None = None
        self._closing = contextlib.AsyncExitStack()
        self._work: asyncio.Task[None] | None = None
        self._left = False
        self.answered = True  # every message so far
        self._asker: Asker | None = None
        self._story: Story | None = None
        self._status: list[str] = []
        self._warming: asyncio.Task[None] | None = None
        self.console: Front = self._lines() if not start.device.drawn else self._screen()
        self.console.interrupt = self._interrupt

    def _lines(self) -> Front:
        from ml_engineer.interfaces.terminal.lines import Lines

        return Lines(self._start.device)

    def _screen(self) -> Front:
        from ml_engineer.interfaces.terminal.completion import ChatCompleter, Paths
        from ml_engineer.interfaces.terminal.history import open_history
        from ml_engineer.interfaces.terminal.screen import Screen

        self._paths = Paths(self.root)
        completer = ChatCompleter(_completions, self._paths)
        screen = Screen(self._start.device, open_history(home()), completer)
        screen.status = lambda: self._status
        screen.cycle_mode = self._cycle_mode
        return screen

    # --- from the first prompt to the last ------------------------------------------------------------------------

    async def run(self) -> None:
        """Until the user leaves."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._hang_up)
        loop.set_exception_handler(lambda _, about: self._tell_error(about.get("exception") or Fault(about["message"])))
        self._tell_status()
        async with self.console.running():
            with self._no_noise():
                self._greet()
                self._begin(self._start.resume)
                while not self._left and (message := await self.console.message()) is not None:
                    await self._do(message)
                kept = await self._close()
            if kept is not None and self.console.interactive:
                self.console.write(f"Go on with: ml-engineer chat --resume {kept}\n")

    def _no_noise(self) -> AbstractContextManager[object]:
        """What is said on stderr meanwhile is printed like everything else, not into the middle of the drawing."""
        if not self._start.device.drawn:
            return contextlib.nullcontext()
        return contextlib.redirect_stderr(_Aside(self.console))

    def _greet(self) -> None:
        settings = self._start.settings
        place = f"{settings.model} at {settings.place}" if settings else "No model: /review and most commands work"
        lines = [
            f"ml-engineer {__version__} in {_short(self.root)}",
            place,
            "/help lists the commands, @ completes a path, Ctrl-C stops, Ctrl-D leaves.",
        ]
        if self.console.interactive:
            self.console.write("".join(f"{self._start.device.fit(visible(line))}\n" for line in [*lines, ""]))

    async def _do(self, message: str) -> None:
        """One message, with everything that can go wrong in it told and survived."""
        self._work = asyncio.create_task(self._take(message))
        try:
            await asyncio.wait({self._work})
            if self._work.cancelled():
                self.console.stream_end()
                self.console.say("Stopped. What was done is kept; /undo takes the changes back.", "yellow")
                self.answered = False
            elif (error := self._work.exception()) is not None:
                self._tell_error(error)
                self.answered = False
        finally:
            self._work = None
            self.console.settle()
            self._tell_status()
            if self._start.device.drawn:
                self._paths.refresh()

    async def _take(self, message: str) -> None:
        if not message.startswith("/"):
            await self.say(message)
            return
        await asyncio.to_thread(_import_commands)
        from ml_engineer.interfaces.terminal.commands import dispatch

        await dispatch(self, message)

    def _tell_error(self, error: BaseException) -> None:
        from ml_engineer.interfaces.main import keep_traceback

        self.console.stream_end()
        if isinstance(error, click.ClickException):
            self.console.error(error.format_message())
        elif isinstance(error, _told_as_they_are()):
            self.console.error(str(error))
        else:
            self.console.error(f"{type(error).__name__}: {error}\n{keep_traceback(error)}")

    def _interrupt(self) -> bool:
        """Stop what is going on; False where nothing is."""
        if self._work is None:
            return False
        self._work.cancel()
        return True

    def _hang_up(self) -> None:
        """The terminal is gone, or somebody ends us: keep what there is, and go."""
        self._left = True
        self._interrupt()
        self.console.leave()

    # --- Chat -----------------------------------------------------------------------------------------------------

    async def ready(self) -> Session:
        assert self._opening is not None
        if not self._opening.done():
            with self.console.busy("Getting ready"):
                return await asyncio.shield(self._opening)
        return await asyncio.shield(self._opening)

    async def say(self, words: str) -> None:
        session = await self.ready()
        self.console.activity("Working")
        ending = await session.say(words)
        self.answered = self.answered and ending.why in (Why.ANSWERED, Why.FINISHED)

    async def resume(self, run_id: str) -> None:
        found = Run.open(run_id)
        if found.meta.get("mode") != "chat":
            raise Refusal(
                f"run {found.id} is no conversation but a {found.meta.get('mode')}: /report or /runs shows it"
            )
        if self._session is not None and found.id == self._session.run.id:
            raise Refusal("that is this conversation")
        await self._reopen(found.id)

    async def restart(self) -> None:
        await self._reopen(None)
        self.console.clear()

    def leave(self) -> None:
        self._left = True

    # --- the session ----------------------------------------------------------------------------------------------

    async def _reopen(self, run_id: str | None) -> None:
        """Another conversation in place of this one; this one again where the other cannot be opened."""
        before = await self._close()
        try:
            await self._begin(run_id)
        except BaseException:
            await self._begin(before)
            raise

    def _begin(self, run_id: str | None) -> asyncio.Future[Session]:
        self._opening = asyncio.ensure_future(self._open(run_id))
        self._opening.add_done_callback(self._opened)
        return self._opening

    def _opened(self, opening: asyncio.Future[Session]) -> None:
        """Say at once why there is no conversation, where nobody waits for it yet."""
        if not opening.cancelled() and (error := opening.exception()) is not None and self._work is None:
            self._tell_error(error)
            self._tell_status()

    async def _open(self, run_id: str | None) -> Session:
        """Open the conversation of a run, or a new one."""
        await asyncio.to_thread(_import_all)
        from ml_engineer.agent.session import open_session
        from ml_engineer.interfaces.terminal.permission import Asker
        from ml_engineer.interfaces.terminal.story import Story
        from ml_engineer.tools.permissions import Mode

        run = Run.open(run_id, work=True) if run_id else self._new_run()
        self._closing.callback(run.close)
        survey, self._start = self._start.survey, replace(self._start, survey=None)
        self.root = Path(run.meta["target"])
        self._asker = Asker(self.console, self._current)
        self._story = Story(self.console, self.root, self._asker.shown, self._tell_status)
        session = await self._closing.enter_async_context(
            open_session(
                run,
                settings=self._start.settings,
                mode=Mode(self._start.permission) if self._start.permission and not run_id else None,
                ask=self._asker,
                notify=self._hear,
                caps=ModelChoice.of(run.meta).caps(),
                survey=survey,
            )
        )
        self._session = session
        self._warming = asyncio.create_task(_warm_up(session))
        self.console.show_plan([(item.state, item.text) for item in session.plan])
        if run_id:
            self._show_again(session)
        if self._start.device.drawn:
            self._paths.root = self.root
            self._paths.refresh()
        self._tell_status()
        return session

    def _new_run(self) -> Run:
        choice = self._start.choice
        if self._start.settings is not None:
            choice = replace(choice, model=self._start.settings.model)
        meta = {"mode": "chat", "target": str(self._start.root), "ask_peers": not choice.offline} | choice.meta()
        try:
            return Run.create(meta)
        except OSError as error:
            self.console.say(f"This conversation cannot be kept: {error}", "yellow")
            return Run.in_memory(meta)

    def _current(self) -> Session:
        assert self._session is not None, "only a session asks"
        return self._session

    async def _close(self) -> str | None:
        """Close the session and give its run's id, or None where nothing was said: that leaves nothing behind."""
        if self._opening is not None and not self._opening.done():
            self._opening.cancel()
            await asyncio.wait({self._opening})
        session, self._session = self._session, None
        closing, self._closing = self._closing, contextlib.AsyncExitStack()
        await closing.aclose()
        if session is None:
            return None
        if session.log.turns or session.log.kept:
            return session.run.id
        with contextlib.suppress(RunError, OSError):
            discard(session.run)
        return None

    def _show_again(self, session: Session) -> None:
        """What was said before, its last part. The plan is shown as it stands now."""
        from ml_engineer.interfaces.terminal import calls
        from ml_engineer.interfaces.terminal.story import PLAN

        said = [one for one in session.replay() if one.text != PLAN or one.who != "tool"]
        if len(said) > _SHOWN_AGAIN:
            self.console.say(f"… {plural(len(said) - _SHOWN_AGAIN, 'earlier piece')} of this conversation", "dim")
        for one in said[-_SHOWN_AGAIN:]:
            if one.who == "user":
                self.console.show_message(_beginning(one.text))
            elif one.who == "agent":
                self.console.markdown(one.text)
            else:
                self.console.say(f"● {calls.asked(one.text, one.input)}", "dim")
        if session.interrupted:
            self.console.say("The last turn was interrupted; say how to go on.", "yellow")

    # --- what happens, and what the status line says of it ----------------------------------------------------------

    def _hear(self, kind: str, /, **data: Any) -> None:
        assert self._story is not None
        self._story(kind, **data)
        if kind in ("turn", "tool_end", "plan", "compacted"):
            self._tell_status()

    def _tell_status(self) -> None:
        session, settings = self._session, self._start.settings
        if session is not None:
            self._status = self._status_of(session)
        else:
            failed = self._opening is not None and self._opening.done()
            state = "the conversation could not be opened; /clear begins another" if failed else "getting ready"
            self._status = [settings.model if settings else "no model", state]
        self.console.refresh()

    @staticmethod
    def _status_of(session: Session) -> list[str]:
        usage = session.budget.usage()
        level = session.permissions.level
        parts = [session.settings.model if session.settings else "no model", f"mode {session.mode.value}"]
        parts.append(f"sandbox {getattr(level, 'value', level)}")
        tokens = usage.tokens.input + usage.tokens.output + usage.tokens.cache_read + usage.tokens.cache_write
        if usage.turns:
            cost = usage.cost_usd
            parts += [plural(tokens, "token"), "unpriced" if cost == "unpriced" else f"${cost:.2f}"]
        states = [item.state for item in session.plan]
        if "active" in states:
            parts.append(f"step {states.index('active') + 1} of {len(states)}")
        return parts

    def _cycle_mode(self) -> None:
        if self._session is None:
            return
        from ml_engineer.tools.permissions import Mode

        mode = self._session.mode.value
        following = _MODES[(_MODES.index(mode) + 1) % len(_MODES)] if mode in _MODES else _MODES[0]
        self._session.set_mode(Mode(following))
        self._tell_status()


async def _warm_up(session: Session) -> None:
    """Import what the first turn will need, and have the garbage collector leave alone what was imported: it takes
    long enough to look through it that it can be felt while typing."""
    if session.settings is not None:
        from ml_engineer.agent.client import import_sdk

        await asyncio.to_thread(import_sdk)
    gc.freeze()


def _told_as_they_are() -> tuple[type[BaseException], ...]:
    """Errors whose message is for the user."""
    from ml_engineer.agent.log import LogError
    from ml_engineer.agent.session import SessionError
    from ml_engineer.agent.survey import SurveyError
    from ml_engineer.tools.journal import JournalError

    return (RunError, OSError, SessionError, SurveyError, LogError, JournalError)


class _Aside(io.TextIOBase):
    """Stands for stderr: whole lines go to the console."""

    def __init__(self, console: Front) -> None:
        self._console, self._rest = console, ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in filter(str.strip, lines):
            self._console.say(line, "dim")
        return len(text)


class Fault(Exception):
    """Something went wrong where nobody waited for it."""


def _beginning(text: str) -> str:
    """The first lines of what was said, which may have been a long paste."""
    lines = text.split("\n")
    left = len(lines) - _LINES_AGAIN
    return "\n".join([*lines[:_LINES_AGAIN], f"… {plural(left, 'more line')}"]) if left > 1 else text


def _short(path: Path) -> str:
    """The path, counted from the user's home where it is in there."""
    with contextlib.suppress(ValueError, RuntimeError):
        return f"~/{path.relative_to(Path.home())}"
    return str(path)


def _import_commands() -> None:
    import ml_engineer.interfaces.terminal.commands  # noqa: F401 - to have it


def _completions() -> list[tuple[str, str]]:
    from ml_engineer.interfaces.terminal.commands import completions

    return completions()


def _import_all() -> None:
    """What the conversation needs, in a thread: the prompt is there meanwhile."""
    _import_commands()
    import ml_engineer.agent.session
    import ml_engineer.interfaces.terminal.blocks
    import ml_engineer.interfaces.terminal.story  # noqa: F401 - to have them


async def converse(start: Start) -> bool:
    """A chat from its first prompt to its last; whether every message was answered."""
    app = App(start)
    await app.run()
    return app.answered
