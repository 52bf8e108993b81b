"""Real A2A and MCP servers on loopback, each in a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import uvicorn
from a2a.helpers import get_message_text, new_data_part, new_text_part
from a2a.helpers.proto_helpers import new_task_from_user_message
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill
from mcp.server import MCPServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Act = Callable[[str, TaskUpdater], Awaitable[None]]


@contextlib.contextmanager
def serve(make: Callable[[str], Any]) -> Iterator[str]:
    """Run the application that `make(url)` gives, and give its URL. Stops at the end, whatever still runs."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(make(url), log_level="critical", lifespan="on", ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
        assert not thread.is_alive()


class Agent(AgentExecutor):
    """An A2A agent that does what a function says, and remembers what it was told and whether it was cancelled."""

    def __init__(self, act: Act) -> None:
        self.act = act
        self.told: list[str] = []
        self.cancelled = threading.Event()

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        assert context.message is not None
        if not context.current_task:
            await event_queue.enqueue_event(new_task_from_user_message(context.message))
        self.told.append(get_message_text(context.message))
        updater = TaskUpdater(event_queue, context.task_id or "", context.context_id or "")
        await updater.start_work()
        await self.act(self.told[-1], updater)

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        self.cancelled.set()
        await TaskUpdater(event_queue, context.task_id or "", context.context_id or "").cancel()


def a2a_app(agent: Agent, *, streaming: bool = True, tokens: list[str | None] | None = None) -> Callable[[str], Any]:
    """An application for `serve`. `tokens` collects the Authorization header of each call."""

    def make(url: str) -> Any:
        card = AgentCard(
            name="architect",
            description="designs",
            version="1",
            skills=[AgentSkill(id="design", name="design", description="designs", tags=["cloud"])],
            capabilities=AgentCapabilities(streaming=streaming),
            default_input_modes=["text/plain"],
            default_output_modes=["text/plain"],
            supported_interfaces=[
                AgentInterface(protocol_binding="JSONRPC", protocol_version="1.0", url=f"{url}/a2a")
            ],
        )  # fmt: skip
        handler = DefaultRequestHandler(agent_executor=agent, task_store=InMemoryTaskStore(), agent_card=card)
        routes = [
            *create_agent_card_routes(agent_card=card),
            *create_jsonrpc_routes(request_handler=handler, rpc_url="/a2a"),
        ]
        app = Starlette(routes=routes)
        if tokens is None:
            return app

        async def noting(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                headers = {key.decode(): value.decode() for key, value in scope["headers"]}
                tokens.append(headers.get("authorization"))
            await app(scope, receive, send)

        return noting

    return make


def mcp_app(tool: Callable[..., Any], name: str = "ask") -> Callable[[str], Any]:
    """An MCP server with one tool, over streamable HTTP at /mcp."""

    def make(url: str) -> Any:
        server = MCPServer("peer", log_level="CRITICAL")
        server.tool(name=name)(tool)
        return server.streamable_http_app()

    return make


def fixed_app(status: int, body: bytes, kind: str = "application/json") -> Callable[[str], Any]:
    """An application that gives the same answer to everything."""

    async def respond(request: Request) -> Response:
        return Response(body, status, media_type=kind)

    return lambda url: Starlette(routes=[Route("/{path:path}", respond, methods=["GET", "POST"])])


__all__ = ["Agent", "a2a_app", "fixed_app", "mcp_app", "new_data_part", "new_text_part", "serve"]
