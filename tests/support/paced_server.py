"""The scripted Messages server with answers that take their time, chosen by a word of the user.

    plays = Plays({"#edit": [[call("Edit", …)], [text("done")]], "#slow": Paced(["one ", "two "], 0.01)})
    with PacedServer(plays.script, plays=plays) as server: …

A play is chosen by the last `#word` that the user said, and its turn by how often the model has answered since: so that
the scenes of one process do not depend on their order.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.answers import _event, answer, stream_events
from tests.support.messages_server import MessagesServer, Received, _send
from tests.support.script import Agent, Block, Fault, Request, Script, Turn, text

_WORD = re.compile(r"#[a-z-]+")


@dataclass(frozen=True)
class Paced:
    """An answer in pieces, with so many seconds between them; `then` many seconds of silence before the last."""

    pieces: Sequence[str]
    seconds: float
    then: float = 0.0


Play = Sequence[Sequence[Block] | Paced | Fault]


@dataclass
class Plays:
    """What is answered to which word."""

    plays: dict[str, Play]
    faulted: set[str] = field(default_factory=set)

    @property
    def script(self) -> Script:
        return Script([Agent([Turn(self.blocks)] * 1000)])

    def find(self, request: Request) -> Sequence[Block] | Paced | Fault:
        """The turn that answers this request. A fault stands first in its play, and is served once."""
        messages = request["messages"]
        for at in range(len(messages) - 1, -1, -1):
            words = _WORD.findall(_said(messages[at])) if messages[at]["role"] == "user" else []
            known = [word for word in words if word in self.plays]
            if known:
                return self._turn(known[-1], sum(one["role"] == "assistant" for one in messages[at:]))
        return [text("There is no play for that.")]

    def _turn(self, word: str, number: int) -> Sequence[Block] | Paced | Fault:
        turns = self.plays[word]
        if isinstance(turns[0], Fault) and word not in self.faulted:
            self.faulted.add(word)
            return turns[0]
        answers = [turn for turn in turns if not isinstance(turn, Fault)]
        return answers[number] if number < len(answers) else [text("That is all.")]

    def blocks(self, request: Request) -> list[Block]:
        found = self.find(request)
        return list(found) if not isinstance(found, (Paced, Fault)) else []


def _said(message: dict[str, Any]) -> str:
    content = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return "\n".join(block["text"] for block in blocks if block["type"] == "text")


@dataclass
class PacedServer(MessagesServer):
    """Also answers what is paced, and faults that come from a play."""

    plays: Plays | None = None

    async def _answer(self, entry: Received, raw: bytes, writer: asyncio.StreamWriter) -> bool:
        body = json.loads(raw) if entry.path.endswith("/v1/messages") else {}
        found = self.plays.find(body) if self.plays is not None and body.get("stream") else None
        if isinstance(found, (Paced, Fault)):
            entry.body = body
            self.requests.append(entry)
        if isinstance(found, Paced):
            return await _send_paced(found, body, writer)
        if isinstance(found, Fault):
            return await _send(writer, answer(Turn([]), [], body, found))
        return await super()._answer(entry, raw, writer)


async def _send_paced(paced: Paced, body: Request, writer: asyncio.StreamWriter) -> bool:
    events = stream_events(Turn([]), [], body)
    start, end = events[0], events[1:]
    writer.write(b"HTTP/1.1 200 Scripted\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    block = {"type": "text", "text": ""}
    _chunk(writer, start + _event("content_block_start", index=0, content_block=block))
    for number, piece in enumerate(paced.pieces, 1):
        delta = {"type": "text_delta", "text": piece}
        if paced.then and number == len(paced.pieces):
            await asyncio.sleep(paced.then)
        _chunk(writer, _event("content_block_delta", index=0, delta=delta))
        await writer.drain()
        if paced.seconds:
            await asyncio.sleep(paced.seconds)
    _chunk(writer, _event("content_block_stop", index=0) + b"".join(end))
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
