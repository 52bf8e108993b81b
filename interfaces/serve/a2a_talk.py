"""One A2A task: work that goes on beside the requests, and the questions in it that the client answers.

    talk = Talk(updater); talk.begin(work)       work is a task of its own; it reports through talk.updater
    await talk.pause()                           until the work has ended, or waits for an answer
    await talk.reply(message, updater)           the client's next message
    await talk.cancel()                          returns when the work has ended, with its child processes

A task outlives the connection that began it: the client may come back, resubscribe, or ask for it later.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from a2a.helpers import get_data_parts, get_message_text, new_raw_part, new_text_part
from a2a.server.tasks import TaskUpdater
from a2a.types import Message

from ml_engineer.interfaces.options import ALL_STEPS
from ml_engineer.interfaces.serve.narrate import Narration, headline
from ml_engineer.interfaces.serve.service import Caller
from ml_engineer.report import markdown
from ml_engineer.report.schema import Report

JSON, MARKDOWN = "application/json", "text/markdown"
PATIENCE = 600.0  # seconds that a question waits for its answer
_YES = frozenset("yes y ok okay approve approved allow allowed".split())
_NO = frozenset("no n reject rejected deny denied stop".split())
_HINT = 'Answer yes or no, or with the data {"approved": true}.'


def verdict(message: Message) -> bool | None:
    """The client's yes or no; None where the message is neither."""
    for data in get_data_parts(message.parts):
        if isinstance(data, dict) and isinstance(data.get("approved"), bool):
            return bool(data["approved"])
    words = get_message_text(message).strip().strip(".!").lower()
    return True if words in _YES else False if words in _NO else None


@dataclass
class Talk:
    """The work of one task. `updater` is that of the request that is being served."""

    updater: TaskUpdater
    patience: float = PATIENCE
    _work: asyncio.Task[None] | None = None
    _paused: asyncio.Event = field(default_factory=asyncio.Event)
    _question: str = ""
    _read: Callable[[Message], Any] = verdict  # what a message answers to the question; None where it does not
    _answer: asyncio.Future[Any] | None = None
    _turns: asyncio.Lock = field(default_factory=asyncio.Lock)

    def begin(self, work: Coroutine[Any, Any, None], ended: Callable[[], object]) -> None:
        """`ended` is called when the work is over, also when it was cancelled before it could begin."""
        self._work = asyncio.ensure_future(work)
        self._work.add_done_callback(lambda _: ended())
        self._work.add_done_callback(lambda _: self._paused.set())

    async def pause(self) -> None:
        """Until the work waits for an answer or has ended."""
        await self._paused.wait()

    async def say(self, text: str) -> None:
        """A line about what goes on. It waits while a question is open: it would take the task out of that state."""
        async with self._turns:
            await self._tell(text)

    async def _tell(self, text: str) -> None:
        await self.updater.start_work(self.updater.new_agent_message([new_text_part(text)]))

    async def ask(self, question: str) -> bool:
        """Put a question to the client: one at a time. No answer in time is a no."""
        return bool(await self._asked(f"{question}\n\n{_HINT}", verdict, "that is taken as a no"))

    async def words(self, question: str) -> Message | None:
        """The client's next message, whatever it says; None where none comes in time."""
        said: Message | None = await self._asked(question, lambda message: message, "the task ends")
        return said

    async def _asked(self, question: str, read: Callable[[Message], Any], late: str) -> Any:
        async with self._turns:
            self._question, self._read = question, read
            self._answer = asyncio.get_running_loop().create_future()
            await self._put(question)
            try:
                async with asyncio.timeout(self.patience):
                    return await self._answer
            except TimeoutError:
                await self._tell(f"Nobody has answered for {self.patience:.0f} seconds: {late}.")
                return None
            finally:
                self._answer = None

    async def _put(self, question: str) -> None:
        await self.updater.requires_input(self.updater.new_agent_message([new_text_part(question)]))
        self._paused.set()

    async def reply(self, message: Message, updater: TaskUpdater) -> None:
        """Take the client's answer; what answers nothing is asked for again."""
        self.updater = updater
        answer = self._answer
        if answer is None:  # the question has run out of time in this very moment
            return
        said = self._read(message)
        if said is None:
            await self._put(self._question)
            return
        self._paused.clear()
        await self._tell("It is not done." if said is False else "Goes on.")
        if not answer.done():
            answer.set_result(said)

    async def cancel(self) -> None:
        """Stop the work, and wait until it has."""
        if self._work is not None and not self._work.done():
            self._work.cancel()
            await asyncio.wait([self._work])


@contextlib.asynccontextmanager
async def told(talk: Talk, steps: frozenset[int] = ALL_STEPS) -> AsyncIterator[Caller]:
    """A caller whose news reach the client in order, all of them before this ends well, and who can be asked."""
    narration, lines = Narration(steps), asyncio.Queue[str]()

    def progress(done: int, total: int, what: str) -> None:
        text = narration.hear(what)
        if text:
            lines.put_nowait(text)

    async def tell() -> None:
        while True:
            await talk.say(await lines.get())
            lines.task_done()

    teller = asyncio.ensure_future(tell())
    try:
        yield Caller(progress, talk.ask)
        await lines.join()
    finally:
        teller.cancel()


async def hand_over(talk: Talk, report: Report) -> None:
    """The report as artefacts: the sealed JSON byte for byte, so that its digest holds, and Markdown to read."""
    sealed, text = await asyncio.to_thread(lambda: (report.to_json().encode(), markdown.render(report)))
    await talk.updater.add_artifact([new_raw_part(sealed, JSON, "report.json")], name="report.json", last_chunk=True)
    await talk.updater.add_artifact([new_text_part(text, MARKDOWN)], name="report.md", last_chunk=True)
    await talk.updater.complete(talk.updater.new_agent_message([new_text_part(headline(report))]))
