"""The seam between commands and the screen: what a command may show and ask, and what it may do to the chat.

Two classes are a `Console`: `screen.Screen` draws with prompt_toolkit at a terminal, `lines.Lines` writes plain lines
for pipes, dumb terminals and screen readers. A command knows neither. Everything that is handed to a console may hold
text of the target, of a tool or of a model: the console makes it visible (`report.visible`), the command does not.

A command comes from `commands.py`, where `COMMANDS` names each once, and has the form

    async def findings(chat: Chat, words: str) -> None      # words: what stands behind the command's name

It may raise `click.ClickException` (such as `interfaces.options.Refusal`): the message is shown, the chat goes on.
Cancelling its task is how the user interrupts it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from ml_engineer.interfaces.terminal.printing import Folded, Folds
    from ml_engineer.report.schema import Finding, Report

Act = Literal["fix", "suppress", "send"]


@dataclass(frozen=True)
class Choice:
    """One answer to a question: `key` is the letter that chooses it and what `choose` gives back."""

    key: str
    label: str


@dataclass(frozen=True)
class FindingAct:
    """What the user wants done about a finding. `text` is the reason of a suppression or the name of the peer."""

    act: Act
    finding: Finding
    text: str = ""


class Status(Protocol):
    """A line that says what is going on, while it goes on."""

    def update(self, text: str) -> None: ...


class Console(Protocol):
    """What can be shown to and asked of the person in front of the terminal, or the program behind the pipe."""

    plain: bool  # lines only: no colour, no redrawing, words instead of symbols
    interactive: bool  # somebody can be asked; else `choose`, `ask` and `findings` answer None at once

    @property
    def width(self) -> int:
        """Columns."""
        ...

    # --- showing: all of it stays in the scrollback ---------------------------------------------------------------

    def say(self, text: str, style: str = "") -> None:
        """Lines of text. `style` is a rich style such as `dim` or `bold red`, dropped where there is no colour."""
        ...

    def error(self, text: str) -> None:
        """What went wrong and what to do about it."""
        ...

    def markdown(self, text: str) -> None:
        """A whole text in Markdown."""
        ...

    def diff(self, text: str) -> None:
        """A unified diff, in colour; a long one is folded and `/unfold` shows the rest."""
        ...

    def output(self, title: str, text: str) -> None:
        """Output of a program or a file, folded when it is long."""
        ...

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Columns; the last one wraps. An empty `head` shows none. Narrow terminals get one block a row."""
        ...

    def report(self, report: Report) -> None:
        """A sealed report as `ml-engineer review` prints it."""
        ...

    def unfold(self, number: int | None = None) -> None:
        """Show in full what was folded under this number, or last."""
        ...

    def show(self, renderable: Any) -> None:
        """Anything rich can print, whose text has been made visible already."""
        ...

    def busy(self, text: str) -> AbstractContextManager[Status]:
        """Say what is going on until the block ends."""
        ...

    def clear(self) -> None:
        """An empty screen; the scrollback stays the terminal's business."""
        ...

    # --- asking: None where nobody can be asked, or the user left the question ------------------------------------

    async def choose(self, question: str, choices: Sequence[Choice], default: str | None = None) -> str | None:
        """The key of one choice. Enter takes `default`; without one it does nothing."""
        ...

    async def ask(self, question: str) -> str | None:
        """A line of text, never empty."""
        ...

    async def findings(self, found: Sequence[Finding], root: Path, peers: Sequence[str]) -> FindingAct | None:
        """Walk through findings with the keyboard, with quoted code and what can be done about each.

        Plain consoles print the list, numbered from 1, and give None: there `/findings 3 fix` names the act.
        """
        ...


class Front(Console, Protocol):
    """What the chat itself needs of a console beside what commands do."""

    interrupt: Callable[[], bool]  # called for Ctrl-C; says whether there was anything to stop
    folds: Folds

    def running(self) -> AbstractAsyncContextManager[None]:
        """Take the terminal for as long as the block lasts; what is still to be printed is printed at its end."""
        ...

    async def message(self) -> str | None:
        """The next message; None when there will be no more."""
        ...

    def leave(self) -> None:
        """No more messages, and no more answers."""
        ...

    def write(self, text: str) -> None:
        """Whole lines, painted already."""
        ...

    def fold(self, folded: Folded, limit: int) -> None:
        """The first lines of a text, and under which number the rest is."""
        ...

    def stream(self, piece: str) -> None:
        """A piece of an answer in Markdown, as it comes."""
        ...

    def stream_end(self) -> None:
        """The answer is over. Safe to call when there is none."""
        ...

    def activity(self, text: str) -> None:
        """What is going on now; nothing, with an empty text."""
        ...

    def show_plan(self, items: Sequence[tuple[str, str]]) -> None:
        """The plan as (state, text)."""
        ...

    def show_message(self, typed: str) -> None:
        """What the user said, as part of the talk."""
        ...

    def refresh(self) -> None:
        """What the status line says has changed."""
        ...

    def settle(self) -> None:
        """The work on a message is over."""
        ...


class Chat(Protocol):
    """The conversation that a command works on. `interfaces/terminal/app.py` has the real one.

    The session (agent.session.Session) is opened behind the first prompt: a command waits for it with `ready()`.
    """

    root: Path

    @property
    def console(self) -> Console:
        """Where it is shown."""
        ...

    async def ready(self) -> Any:
        """The session, once it is open. Raises click.ClickException when it could not be opened."""
        ...

    async def say(self, words: str) -> None:
        """One turn of the conversation, as if the user had typed the words: streamed, with its tools and questions."""
        ...

    async def resume(self, run_id: str) -> None:
        """Close this conversation and go on with that of another chat run."""
        ...

    async def restart(self) -> None:
        """Close this conversation, which stays on disk, and begin an empty one (`/clear`)."""
        ...

    def leave(self) -> None:
        """End the chat when the command is over."""
        ...
