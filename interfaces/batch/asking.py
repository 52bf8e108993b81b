"""A worker's way to the model: each call is admitted by the batch's governor, and it hears what came of it.

    async with governed(client, address) as client:      a client; `client.line.notify` is to hear of every turn
    async with governed(client, address, owner) as …     one whose turns go by message batches, sent by the parent

The client is asked like any other. Where the governor refuses, `BudgetSpent` ends the step, as its own budget would.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from ml_engineer.agent.budget import BudgetSpent
from ml_engineer.agent.client import Client
from ml_engineer.agent.failures import ModelError, diagnose, expected_failures
from ml_engineer.agent.listener import Listener
from ml_engineer.agent.stream import ErrorEvent, TurnResult, whole
from ml_engineer.agent.turn import Patience
from ml_engineer.interfaces.batch.governor import LONGEST_LINE

if TYPE_CHECKING:
    from anthropic import AsyncStream

    from ml_engineer.agent.transcript import Transcript

BYTES_A_TOKEN = 2  # at least: what a prompt is held at must not be below what it is
MOST_REFUSALS = 20  # of one call, before it fails
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
        # The batch is gone, and this process with it in a moment. Who waits goes on waiting: a step that ended now
        # would be kept as one that the model did not finish.

    async def admit(self, agent: str, model: str, prompt: int, answer: int) -> None:
        """Wait until the call may leave. Raises BudgetSpent."""
        if agent in self._tickets:  # an answer of it broke off: nobody knows what that has cost
            self.say(agent, lost=True)
        reply = await self.ask(model=model, prompt=prompt, answer=answer)
        self._tickets[agent] = reply["go"]

    async def ask(self, **what: Any) -> dict[str, Any]:
        """The governor's reply. Raises BudgetSpent."""
        self._asked += 1
        number = self._asked
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self._write({"ask": number, **what})
        reply = await self._waiting[number]
        if "spent" in reply:
            raise BudgetSpent(reply["spent"], reply["message"])
        return reply

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
        """As `Client.send`. A call that has to wait stands in the governor's line again: the pauses of `agent.turn` are
        for one who asks alone, and a few refusals in a row are ordinary where many ask."""
        settings = self.settings
        for refusals in count(1):
            await self.line.admit(transcript.name, settings.model, _prompt(transcript, head), settings.max_tokens)
            try:
                return await super().send(transcript, head)
            except expected_failures() as error:
                failure = diagnose(error, settings)
                if failure.kind in _RATE:
                    self.line.say(transcript.name, refused=failure.wait)
                else:
                    self.line.say(transcript.name, lost=True)
                waits = failure.kind == "rate limit" and 0 < (failure.wait or 0) <= Patience.honoured
                if not waits or refusals == MOST_REFUSALS:
                    raise
        raise AssertionError("itertools.count has no end")


@dataclass(frozen=True)
class BatchedClient(GovernedClient):
    """A client whose turns the parent sends, in batches with those of others. `owner`: whose turns these are."""

    owner: str

    async def answer(self, transcript: Transcript, head: dict[str, Any], notify: Listener) -> TurnResult:
        s = self.settings
        request = transcript.body({key: value for key, value in head.items() if key != "stream"}, s.profile.mark)
        reply = await self.line.ask(
            model=s.model,
            prompt=_prompt(transcript, head),
            answer=s.max_tokens,
            owner=f"{self.owner}/{transcript.name}",
            request=request.decode(),
        )
        if "failed" in reply:
            raise ModelError(reply["failed"], reply["message"])
        if "error" in reply:
            raise ErrorEvent(reply["kind"], reply["error"])
        return whole(reply["message"])


def _prompt(transcript: Transcript, head: dict[str, Any]) -> int:
    """Tokens of a request, at most."""
    return (transcript.size + len(json.dumps(head))) // BYTES_A_TOKEN


async def connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The two ends of a line to the governor of that address. ConnectionError: it cannot be reached."""
    if not address.startswith("tcp:"):
        return await asyncio.open_unix_connection(address, limit=LONGEST_LINE)
    token, _, place = address.removeprefix("tcp:").partition("@")
    host, _, port = place.rpartition(":")
    try:
        reader, writer = await asyncio.open_connection(host, int(port), limit=LONGEST_LINE)
    except OSError as error:
        raise ConnectionError(
            f"the batch at {place} cannot be reached from its node; open it to the cluster ({error})"
        ) from error
    writer.write(f"{token}\n".encode())
    return reader, writer


@contextlib.asynccontextmanager
async def governed(client: Client, address: str, owner: str | None = None) -> AsyncIterator[GovernedClient]:
    """The client under the governor that listens at `address`; with an `owner`, its turns go by message batches."""
    reader, writer = await connect(address)
    line = Line(reader, writer)
    listening = asyncio.create_task(line.listen())
    try:
        parts = (client.lanes, client.settings, client.options, client.takes_bytes, line)
        yield GovernedClient(*parts) if owner is None else BatchedClient(*parts, owner)
    finally:
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening
        writer.close()
