"""The A2A server: this agent for other agents, by the Agent2Agent protocol, over HTTP.

/.well-known/agent-card.json     the card, without a token
/a2a                             JSON-RPC
/rest                            HTTP+JSON
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.request_handlers.response_helpers import agent_card_to_dict
from a2a.server.routes import create_jsonrpc_routes, create_rest_routes
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ml_engineer.interfaces.serve.a2a_card import REST, RPC, card
from ml_engineer.interfaces.serve.a2a_executor import Executor
from ml_engineer.interfaces.serve.a2a_store import BoundedTaskStore
from ml_engineer.interfaces.serve.a2a_talk import PATIENCE
from ml_engineer.interfaces.serve.common import Address, serve_http
from ml_engineer.interfaces.serve.logs import log_in_lines
from ml_engineer.interfaces.serve.service import Service
from ml_engineer.tools.permissions import Mode

CARD = "/.well-known/agent-card.json"
MAX_REMEMBERED = 64 << 20  # bytes of tasks that are not at work


async def serve(service: Service, address: Address) -> None:
    """Until interrupted; what is at work then is stopped."""
    log_in_lines()
    await serve_http(application(service, address), address, "", public=frozenset({CARD}))


def application(service: Service, address: Address) -> Starlette:
    """The ASGI application. The address in the card is the one under which it was asked for."""
    implements, token = service.policy.mode is not Mode.READ_ONLY, address.token is not None
    executor = Executor(service)
    handler = DefaultRequestHandler(
        agent_executor=executor,
        task_store=BoundedTaskStore(MAX_REMEMBERED),
        interrupted_task_timeout=PATIENCE + 60,
        agent_card=card(address.url(address.port), implements=implements, token=token),
    )

    async def show_card(request: Request) -> Response:
        here = str(request.base_url).rstrip("/")
        return JSONResponse(agent_card_to_dict(card(here, implements=implements, token=token)))

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await executor.close()
            await handler.aclose()

    routes = [
        Route(CARD, show_card),
        *create_jsonrpc_routes(request_handler=handler, rpc_url=RPC),
        *create_rest_routes(request_handler=handler, path_prefix=REST),
    ]
    return Starlette(routes=routes, lifespan=lifespan)
