"""`ml-engineer serve a2a`: this agent for other agents, by the Agent2Agent protocol, over HTTP.

/.well-known/agent-card.json     the card, without a token
/a2a                             JSON-RPC
/rest                            HTTP+JSON
"""

from __future__ import annotations

import asyncio
import contextlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ml_engineer.interfaces.model import ModelChoice, model_options
from ml_engineer.interfaces.options import Refusal
from ml_engineer.interfaces.serve.common import Address, Policy, Roots, serve_http
from ml_engineer.tools.permissions import Mode

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from ml_engineer.interfaces.serve.service import Service

CARD = "/.well-known/agent-card.json"
MAX_TASKS = 256  # that are remembered; the oldest that have ended are forgotten first


@click.command()
@click.option("--http", default="127.0.0.1:8766", show_default=True, metavar="HOST:PORT", help="Where to listen.")
@click.option(
    "--root",
    "folders",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A folder whose repositories clients may name; this folder by default. Can be given several times.",
)
@click.option(
    "--permission",
    type=click.Choice([mode.value for mode in Mode]),
    default=Mode.READ_ONLY.value,
    show_default=True,
    help="What is done for clients; in ask and accept-edits they approve the plan first.",
)
@model_options
def a2a(
    http: str,
    folders: tuple[Path, ...],
    permission: str,
    model: str | None,
    max_cost: str | None,
    max_turns: int | None,
) -> None:
    """Serve the Agent2Agent protocol, over JSON-RPC and HTTP+JSON.

    Anything but loopback needs a token in the environment variable ML_ENGINEER_SERVE_TOKEN, which clients show as
    `Authorization: Bearer`.
    """
    address, roots = Address.parse(http), Roots.open(folders)
    if find_spec("a2a") is None or find_spec("sse_starlette") is None:
        raise Refusal("the A2A server is not installed: pip install 'ml-engineer[a2a]'")
    asyncio.run(_serve(address, roots, Policy(Mode(permission)), ModelChoice(False, model, max_cost, max_turns)))


async def _serve(address: Address, roots: Roots, policy: Policy, choice: ModelChoice) -> None:
    from ml_engineer.interfaces.pool import Pool
    from ml_engineer.interfaces.serve.service import Service

    async with Pool() as pool:
        app = application(address, Service(roots, policy, choice, pool))
        await serve_http(app, address, "", public=frozenset({CARD}))


def application(address: Address, service: Service) -> Starlette:
    """The ASGI application; what is at work is stopped with it."""
    from a2a.server.request_handlers import DefaultRequestHandler
    from a2a.server.request_handlers.response_helpers import agent_card_to_dict
    from a2a.server.routes import create_jsonrpc_routes, create_rest_routes
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from ml_engineer.interfaces.serve.a2a_card import REST, RPC, card
    from ml_engineer.interfaces.serve.a2a_executor import Executor
    from ml_engineer.interfaces.serve.a2a_store import BoundedTaskStore

    implements, token = service.policy.mode is not Mode.READ_ONLY, address.token is not None
    executor = Executor(service)
    handler = DefaultRequestHandler(
        agent_executor=executor,
        task_store=BoundedTaskStore(MAX_TASKS),
        agent_card=card(address.url(address.port), implements=implements, token=token),
    )

    async def show_card(request: Request) -> Response:
        here = str(request.base_url).rstrip("/")
        return JSONResponse(agent_card_to_dict(card(here, implements=implements, token=token)))

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> Any:
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
