"""The wire of ACP: lines of JSON on standard input and output, with a limit, and an answer to what is no message.

    wire = await Wire.open()        takes descriptor 1 for itself: whatever else is printed goes to stderr
    connection = AgentSideConnection(agent, wire)

The SDK's own transport keeps a line of any length in memory, says nothing to a message that it cannot read, and ends
when one is no object. An editor that sends such a thing should learn what was wrong with it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from typing import Any

from acp.exceptions import RequestError

from ml_engineer.agent.log import encode
from ml_engineer.interfaces.options import Refusal

MAX_MESSAGE = 16 * 1024 * 1024  # bytes of one line

Message = dict[str, Any]


@dataclass
class Wire:
    """A transport of `acp.connection.Connection`."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    limit: int = MAX_MESSAGE

    @classmethod
    async def open(cls) -> Wire:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=MAX_MESSAGE)
        try:
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
            output = os.fdopen(os.dup(1), "wb", buffering=0)
            transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, output)
        except ValueError as error:
            raise Refusal(
                f"{str(error).rstrip('.')}. An editor starts this command itself, see docs/subagent.md"
            ) from error
        os.dup2(2, 1)
        return cls(reader, asyncio.StreamWriter(transport, protocol, None, loop))

    async def send(self, message: Message) -> None:
        self.writer.write(encode(message) + b"\n")
        await self.writer.drain()

    async def receive(self) -> Message | None:
        """The next message; None at the end of the input."""
        while True:
            line = await self._line()
            if line is None:
                return None
            if not line.strip():
                continue
            message = _read(line)
            if isinstance(message, dict):
                return message
            await self._refuse(message)

    async def _line(self) -> bytes | None:
        """A line without its end, or None. What is too long is thrown away and refused."""
        try:
            return (await self.reader.readuntil(b"\n"))[:-1]
        except asyncio.IncompleteReadError:
            return None  # a last line without an end is half a message
        except asyncio.LimitOverrunError:
            await self._skip()
            limit = self.limit >> 20
            await self._refuse(RequestError.invalid_request({"details": f"a message may have {limit} MB at most"}))
            return b""

    async def _skip(self) -> None:
        while True:
            try:
                await self.reader.readuntil(b"\n")
                return
            except asyncio.LimitOverrunError as error:
                await self.reader.readexactly(error.consumed)
            except asyncio.IncompleteReadError:
                return

    async def _refuse(self, error: RequestError) -> None:
        await self.send({"jsonrpc": "2.0", "id": None, "error": error.to_error_obj()})

    async def close(self) -> None:
        self.writer.close()


def _read(line: bytes) -> Message | RequestError:
    """The message, or why it is none."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        return RequestError.parse_error({"details": str(error)})
    if not isinstance(message, dict):
        return RequestError.invalid_request({"details": f"a message is an object, not {type(message).__name__}"})
    if not isinstance(message.get("method", ""), str):
        return RequestError.invalid_request({"details": "method is a text"})
    return message
