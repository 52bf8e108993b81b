"""`mcp`: a tool of a Model Context Protocol server, by URL or by the command that starts it. Needs `ml-engineer[mcp]`.

The brief is one argument of the tool. A structured result that is a reply is taken as it is, else the text is.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_engineer.delegation.transports.base import (
    GRACE,
    Ask,
    TransportError,
    Written,
    as_transport_error,
    capped,
    refuse_encoded,
    token,
)

if TYPE_CHECKING:
    import httpx2


@dataclass(frozen=True, slots=True)
class MCP:
    tool: str
    argument: str
    url: str | None = None
    command: tuple[str, ...] = ()
    token_env: str | None = None
    name: str = "mcp"

    async def ask(self, ask: Ask) -> Written:
        try:
            from mcp import Client
        except ImportError as error:
            raise TransportError(
                "the MCP client is not installed: pip install 'ml-engineer[mcp]'", begun=False
            ) from error
        try:
            async with AsyncExitStack() as stack:
                target = await self._target(stack, ask)
                client = await stack.enter_async_context(Client(target, read_timeout_seconds=ask.timeout + GRACE))
                result = await client.call_tool(self.tool, {self.argument: ask.brief})
        except Exception as error:
            raise as_transport_error(error, _not_begun) from error
        return Written(self._text(result))

    async def _target(self, stack: AsyncExitStack, ask: Ask) -> Any:
        secret = token(self.token_env)
        if self.url is not None:
            from mcp.client.streamable_http import streamable_http_client

            http = await stack.enter_async_context(_http_client(secret, ask.timeout + GRACE))
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


def _http_client(secret: str | None, timeout: float) -> httpx2.AsyncClient:
    import httpx2

    class Capped(httpx2.AsyncByteStream):
        def __init__(self, inner: httpx2.AsyncByteStream) -> None:
            self._inner = inner

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for chunk in capped(self._inner):
                yield chunk

        async def aclose(self) -> None:
            await self._inner.aclose()

    async def limit(response: httpx2.Response) -> None:
        refuse_encoded(response.headers)
        assert isinstance(response.stream, httpx2.AsyncByteStream), "an async client has async streams"
        response.stream = Capped(response.stream)

    headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {secret}"} if secret else {})
    return httpx2.AsyncClient(
        headers=headers, timeout=httpx2.Timeout(timeout, connect=10.0), event_hooks={"response": [limit]}
    )


def _not_begun(error: BaseException) -> bool:
    """Nobody was there to take the call."""
    import httpx2

    return isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
