"""A worker's way to the model: each call is admitted by the batch's governor, and it hears what came of it.

    async with governed(client, address) as client:      a client; `client.line.notify` is to hear of every turn

The client is asked like any other. Where the governor refuses, `BudgetSpent` ends the step, as its own budget would.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_engineer.agent.budget import BudgetSpent
from ml_engineer.agent.client import Client
from ml_engineer.agent.failures import diagnose, expected_failures

if TYPE_CHECKING:
    from anthropic import AsyncStream

    from ml_engineer.agent.transcript import Transcript

BYTES_A_TOKEN = 2  # at least: what a prompt is held at must not be below what it is
_RATE = frozenset({"rate limit", "overloaded"})


@dataclass
class Line:
    """The line to the governor. Steps of one review ask side by side."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    _asked: int = 0
    _waiting: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)
    _tickets: dict[str, int] = field(default_factory=dict)  # by the name of the agent whose call is in flight

    async def listen(self) -> None:
        while line := await self.reader.readline():
            said = json.loads(line)
            self._waiting.pop(said["n"]).set_result(said)
        for waiting in self._waiting.values():
            waiting.set_exception(BudgetSpent("time", "the batch has ended"))

    async def admit(self, agent: str, model: str, prompt: int, answer: int) -> None:
        """Wait until the call may leave. Raises BudgetSpent."""
        if agent in self._tickets:  # an answer of it broke off: nobody knows what that has cost
            self.say(agent, lost=True)
        self._asked += 1
        number = self._asked
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self._write({"ask": number, "model": model, "prompt": prompt, "answer": answer})
        reply = await self._waiting[number]
        if "spent" in reply:
            raise BudgetSpent(reply["spent"], reply["message"])
        self._tickets[agent] = reply["go"]

    def say(self, agent: str, **what: Any) -> None:
        """What came of the call that is in flight."""
        ticket = self._tickets.pop(agent, None)
        if ticket is not None:
            self._write({"ticket": ticket, **what})

    def notify(self, kind: str, /, **data: Any) -> None:
        """Listener of the agents' events: an answer that is kept has its price."""
        if kind == "turn":
            self.say(data["agent"], usage=data["usage"])

    def _write(self, message: dict[str, Any]) -> None:
        self.writer.write(json.dumps(message).encode() + b"\n")


@dataclass(frozen=True)
class GovernedClient(Client):
    """A client whose calls go over the line."""

    line: Line

    async def send(self, transcript: Transcript, head: dict[str, Any]) -> AsyncStream[object]:
        settings = self.settings
        size = transcript.size + len(json.dumps(head))
        await self.line.admit(transcript.name, settings.model, size // BYTES_A_TOKEN, settings.max_tokens)
        try:
            return await super().send(transcript, head)
        except expected_failures() as error:
            failure = diagnose(error, settings)
            if failure.kind in _RATE:
                self.line.say(transcript.name, refused=failure.wait)
            else:
                self.line.say(transcript.name, lost=True)
            raise


@contextlib.asynccontextmanager
async def governed(client: Client, address: str) -> AsyncIterator[GovernedClient]:
    """The client under the governor that listens at `address`."""
    reader, writer = await asyncio.open_unix_connection(address)
    line = Line(reader, writer)
    listening = asyncio.create_task(line.listen())
    try:
        yield GovernedClient(client.sdk, client.settings, client.options, client.takes_bytes, line)
    finally:
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening
        writer.close()
