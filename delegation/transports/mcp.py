"""`mcp`: a tool of a Model Context Protocol server, by URL or by the command that starts it.

The brief is one argument of the tool. A structured result that is a reply is taken as it is, else the text is.
What a server that we have started writes to stderr reaches no terminal; the end of it stands behind its error.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TextIO

from ml_engineer.delegation.transports.base import Ask, TransportError, Written
from ml_engineer.delegation.transports.command import keep_end
from ml_engineer.delegation.transports.http import GRACE, as_transport_error, open_http, token

LAST_WORDS = 0.5  # seconds to read what a server has written before it ended; its children may hold the pipe open


@asynccontextmanager
async def _errors(said: bytearray) -> AsyncIterator[TextIO]:
    """A file for a child's stderr. The end of what is written to it is in `said`."""
    reading, writing = os.pipe()
    stream = asyncio.StreamReader()
    pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(reading, "rb", 0)
    )
    keeping = asyncio.ensure_future(keep_end(stream, said))
    try:
        with os.fdopen(writing, "w") as file:
            yield file
    finally:
        await asyncio.wait({keeping}, timeout=LAST_WORDS)
        keeping.cancel()
        pipe.close()


@dataclass(frozen=True, slots=True)
class MCP:
    tool: str
    argument: str
    url: str | None = None
    command: tuple[str, ...] = ()
    token_env: str | None = None
    name: str = "mcp"

    async def ask(self, ask: Ask) -> Written:
        from mcp import Client

        said = bytearray()
        try:
            async with AsyncExitStack() as stack:
                target = await self._target(stack, ask, said)
                client = await stack.enter_async_context(Client(target, read_timeout_seconds=ask.timeout + GRACE))
                result = await client.call_tool(self.tool, {self.argument: ask.brief})
        except Exception as error:
            failure = as_transport_error(error)
            last = said.decode("utf-8", "replace").strip()[-500:]
            told = f"{failure}; it said: {last}" if last else str(failure)
            raise TransportError(told, begun=failure.begun, again=failure.again) from error
        return Written(self._text(result))

    async def _target(self, stack: AsyncExitStack, ask: Ask, said: bytearray) -> Any:
        secret = token(self.token_env)
        if self.url is not None:
            import httpx2
            from mcp.client.streamable_http import streamable_http_client

            http = await stack.enter_async_context(open_http(httpx2, self.url, secret, ask.timeout + GRACE))
            return streamable_http_client(self.url, http_client=http)
        from mcp.client.stdio import StdioServerParameters, stdio_client

        env = {self.token_env: secret} if self.token_env and secret else None
        start = StdioServerParameters(command=self.command[0], args=list(self.command[1:]), env=env, cwd=ask.root)
        return stdio_client(start, errlog=await stack.enter_async_context(_errors(said)))

    def _text(self, result: Any) -> str:
        text = "\n".join(block.text for block in result.content if block.type == "text")
        if result.is_error:
            raise TransportError(f"the tool {self.tool} ended with an error: {text[:500] or 'no reason given'}")
        structured = result.structured_content
        if isinstance(structured, dict) and "answer" in structured:
            return json.dumps(structured)
        return text
