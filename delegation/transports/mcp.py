"""`mcp`: a tool of a Model Context Protocol server, by URL or by the command that starts it.

The brief is one argument of the tool. A structured result that is a reply is taken as it is, else the text is.
"""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from ml_engineer.delegation.transports.base import Ask, TransportError, Written
from ml_engineer.delegation.transports.http import GRACE, as_transport_error, open_http, token


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

        try:
            async with AsyncExitStack() as stack:
                target = await self._target(stack, ask)
                client = await stack.enter_async_context(Client(target, read_timeout_seconds=ask.timeout + GRACE))
                result = await client.call_tool(self.tool, {self.argument: ask.brief})
        except Exception as error:
            raise as_transport_error(error) from error
        return Written(self._text(result))

    async def _target(self, stack: AsyncExitStack, ask: Ask) -> Any:
        secret = token(self.token_env)
        if self.url is not None:
            import httpx2
            from mcp.client.streamable_http import streamable_http_client

            http = await stack.enter_async_context(open_http(httpx2, self.url, secret, ask.timeout + GRACE))
            return streamable_http_client(self.url, http_client=http)
        from mcp.client.stdio import StdioServerParameters

        env = {self.token_env: secret} if self.token_env and secret else None
        return StdioServerParameters(command=self.command[0], args=list(self.command[1:]), env=env, cwd=ask.root)

    def _text(self, result: Any) -> str:
        text = "\n".join(block.text for block in result.content if block.type == "text")
        if result.is_error:
            raise TransportError(f"the tool {self.tool} ended with an error: {text[:500] or 'no reason given'}")
        structured = result.structured_content
        if isinstance(structured, dict) and "answer" in structured:
            return json.dumps(structured)
        return text
