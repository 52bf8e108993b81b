"""What the editor sees of a session: every update in order, written down first, so that a session can be shown again.

    stage = Stage(connection, session_id, Log(folder / NAME))
    stage.show(update)                  from anywhere in the loop; never waits
    stage.write_down(update)            only that
    await stage.settled()               until the editor has all of it
    await stage.replay()                what was shown in earlier processes, and what the kill left open is closed

Pieces of text that wait are sent as one. When the editor has gone, what is shown is only written down.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from pathlib import Path
from typing import Any

from acp import update_agent_message_text, update_tool_call
from acp.agent.connection import AgentSideConnection
from acp.schema import (
    AgentMessageChunk,
    AgentThoughtChunk,
    AvailableCommandsUpdate,
    SessionNotification,
    TextContentBlock,
    ToolCallProgress,
    ToolCallStart,
    UserMessageChunk,
)

from ml_engineer.agent.log import Log, LogError, encode
from ml_engineer.report.text import one_line

NAME = "acp.jsonl"
_TEXTS = (AgentMessageChunk, AgentThoughtChunk, UserMessageChunk)
Update = Any  # one of the session updates of acp.schema


class Stage:
    """See the module."""

    def __init__(self, connection: AgentSideConnection, session_id: str, log: Log) -> None:
        self._connection, self._session_id, self._log = connection, session_id, log
        self._waiting: deque[Update] = deque()
        self._woken, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._lost = False  # the log cannot be written
        self._open: dict[str, None] = {}  # tool calls without an end
        self._sender = asyncio.ensure_future(self._send_all())

    def show(self, update: Update) -> None:
        last = self._waiting[-1] if self._waiting else None
        joined = _joined(last, update)
        if joined is not None:
            self._waiting[-1] = joined
        else:
            self._waiting.append(update)
        self._idle.clear()
        self._woken.set()

    def write_down(self, update: Update) -> None:
        """Keep what the editor has shown itself, such as the user's words."""
        try:
            self._log.append(encode(update.model_dump(mode="json", by_alias=True, exclude_none=True)))
        except LogError as error:
            if not self._lost:
                self._lost = True
                self.show(update_agent_message_text(f"\n[This session cannot be shown again: {error}]\n"))

    def close_calls(self, why: str) -> None:
        """Mark the calls that will not end any more."""
        for call_id in list(self._open):
            self.show(update_tool_call(call_id, status="failed", raw_output=why))

    async def settled(self) -> None:
        await self._idle.wait()

    async def _send_all(self) -> None:
        while True:
            await self._woken.wait()
            while self._waiting:
                update = self._waiting.popleft()
                self._note(update)
                if not isinstance(update, AvailableCommandsUpdate):  # those of the day are told anew
                    self.write_down(update)
                await self._send(update)
            self._woken.clear()
            self._idle.set()

    async def _send(self, update: Update) -> None:
        with contextlib.suppress(ConnectionError):  # the editor has gone; whoever works for it is told elsewhere
            await self._connection.session_update(session_id=self._session_id, update=update)

    def _note(self, update: Update) -> None:
        if isinstance(update, ToolCallStart):
            self._open[update.tool_call_id] = None
        if isinstance(update, ToolCallProgress) and update.status in ("completed", "failed"):
            self._open.pop(update.tool_call_id, None)

    async def replay(self) -> None:
        for record in self._log.load():
            note = SessionNotification.model_validate({"sessionId": self._session_id, "update": record})
            self._note(note.update)
            await self._send(note.update)
        self.close_calls("interrupted")
        await self.settled()

    async def close(self) -> None:
        """Write down what is left; safe to call twice."""
        await self.settled()
        self._sender.cancel()
        self._log.close()


def _joined(last: Update, update: Update) -> Update | None:
    """Two pieces of the same text as one."""
    if not isinstance(update, _TEXTS) or type(last) is not type(update):
        return None
    left, right = last.content, update.content
    if not isinstance(left, TextContentBlock) or not isinstance(right, TextContentBlock):
        return None
    return update.model_copy(update={"content": right.model_copy(update={"text": left.text + right.text})})


def title(folder: Path) -> str:
    """What the session kept in this folder began with."""
    with (folder / NAME).open("rb") as stream:
        try:
            first = json.loads(stream.readline(1 << 20))
            return one_line(str(first["content"]["text"]))[:80]
        except (ValueError, LookupError, TypeError):  # it is being written in this moment
            return ""
